"""What a machine takes along of a project, for the time when it cannot reach its hub: one question, one answer.

The answer holds what has changed since the cursor that the last one gave, and how what is held should look in the end,
so that a machine notices what is gone without being told of it. Everything in it is what the caller may read now: who
may see less than before gets another cursor, and with it everything anew.
"""

import base64
import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import Field
from sqlalchemy import ColumnElement, Select, or_, select

from worklore.identity.machine import names_of
from worklore.kernel import crud
from worklore.kernel.context import ReadContext
from worklore.kernel.epoch import epoch
from worklore.kernel.query import understand
from worklore.kernel.resource import Resource
from worklore.kernel.types import iso
from worklore.kernel.wire import WireModel
from worklore.memory.brief import CHECK_SESSION, Asker, brief
from worklore.memory.recollection import Scope
from worklore.memory.redaction import told
from worklore.memory.warn.carried import carried
from worklore.memory.window import WINDOWS, MemoryWindow, Trust
from worklore.ops.audit_chain import HandedOut
from worklore.surfaces.http import Gateway, json_response, read_body, validated
from worklore.surfaces.openapi import REF
from worklore.tracking.configuration import PROJECT_CONFIGURATIONS
from worklore.tracking.vendor import VENDORS
from worklore.work.identity import Folder, find_project
from worklore.work.project import PROJECTS, Project
from worklore.work.work_item import WORK_ITEMS

SCOPE: Final = "memory:read"
MEMORIES: Final = 2_000
"""The newest memories of a project that a machine takes along."""

SLACK: Final = 1_000
"""By how many more it may hold before the oldest are dropped."""

PAGE: Final = 500
"""Memories in one answer."""

ROWS: Final = 1_000
"""Records of one kind that are taken along, the last changed first."""

LONGEST: Final = 1_000
"""Characters of a field that are taken along."""

WORK_ITEM_FIELDS: Final = (
    "id,version,title,description,status,priority,item_type,parent_id,assigned_to,lease_owner,branch_name,updated_at"
)


class Sync(WireModel):
    """What a machine holds of a folder's project."""

    identity: Folder
    cursor: Annotated[str, Field(max_length=4_000)] | None = None
    """That of the last answer; none asks for everything."""

    memories: bool = True
    """False for the other parts alone."""


# A folder is described where all operations find it.
_SCHEMA: Final = {
    key: value for key, value in Sync.model_json_schema(ref_template=REF + "{model}").items() if key != "$defs"
}


class Memories(WireModel):
    """Memories of the project: what is new or changed, and what is to be held when all pages are taken."""

    items: list[dict[str, Any]]
    gone: list[str]
    """Ids that are not told any more."""
    base: int
    """Those of a lower ``seq`` are dropped."""
    held: str | None
    """On the last page: SHA-256 of the ids that are to be held, in order, a line each. Another: ask without cursor."""


class SyncAnswer(WireModel):
    """What a machine takes along."""

    checkpoint: HandedOut | None
    """Where the hub's audit stands; a later one must go on from it."""
    epoch: uuid.UUID | None
    """The hub's present life. Another than before: it was restored, and may have lost what it was told since."""
    project: dict[str, Any] | None
    """``id``, ``name``, ``slug`` and ``client_id``; none for a folder of no known project."""
    whole: bool
    """Forget what is held of the project: this is all of it."""
    more: bool
    """Ask again with the new cursor."""
    cursor: str | None
    memories: Memories | None
    """None where none were asked for."""
    parts: dict[str, list[dict[str, Any]]]
    """By kind (brief, work-item, vendor, configuration, warning) all of it, where it has changed."""


@dataclass(slots=True)
class _Cursor:
    """`who` stands for the caller, its rights, the project and the hub's life; `parts` are digests."""

    who: str
    seq: int
    base: int
    parts: dict[str, str]

    @classmethod
    def read(cls, text: str | None, who: str) -> "_Cursor | None":
        """The cursor that a machine sent back; None for one that holds no longer, or is none."""
        if text is None:
            return None
        try:
            known = orjson.loads(base64.urlsafe_b64decode(text))
            found = cls(str(known["who"]), int(known["seq"]), int(known["base"]), dict(known["parts"]))
        except (ValueError, KeyError, TypeError):
            return None
        return found if found.who == who else None

    def text(self) -> str:
        """It as machines keep it."""
        known = {"who": self.who, "seq": self.seq, "base": self.base, "parts": self.parts}
        return base64.urlsafe_b64encode(orjson.dumps(known)).decode()


def routes(gateway: Gateway, newest: Callable[[], HandedOut | None]) -> APIRouter:
    """The route, below the API's root. ``newest`` gives the last checkpoint of the audit."""
    router = APIRouter()

    @router.post(
        "/sync",
        tags=["sync"],
        response_model=SyncAnswer,
        openapi_extra={
            "x-scope": SCOPE,
            "x-risk": "read",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _SCHEMA, "example": AN_EXAMPLE}},
            },
        },
    )
    async def sync(request: Request) -> Response:
        """What a machine takes along of a project for the time without the hub: all of it, or what has changed."""
        await gateway.admit(request, SCOPE)
        body: Sync = validated(Sync, await read_body(request))
        found = await gateway.read(request, SCOPE, lambda ctx: synced(ctx, body), long=True)
        found.checkpoint = newest()
        # Columns of JSON come as the bytes that they are, which a model does not write.
        return json_response({**found.model_dump(mode="json", exclude={"parts"}), "parts": found.parts})

    return router


AN_EXAMPLE: Final = {"identity": {"remote": "https://git.example.com/msp/portal.git", "path": "/srv/portal"}}


def synced(ctx: ReadContext, body: Sync) -> SyncAnswer:
    """The answer, but for the checkpoint."""
    life = epoch(ctx)
    project = find_project(ctx, body.identity)
    answer = SyncAnswer(
        checkpoint=None,
        epoch=life.id if life else None,
        project=None,
        whole=False,
        more=False,
        cursor=None,
        memories=None,
        parts={},
    )
    if project is None:
        return answer
    who = _who(ctx, project, life.id if life else None)
    known = _Cursor.read(body.cursor, who)
    cursor = known or _Cursor(who, 0, _base(ctx, project), {})
    answer.whole = known is None
    answer.project = crud.get(ctx, PROJECTS, project.id, ("id", "name", "slug", "client_id"))
    if not body.memories:
        answer.parts = _parts(ctx, project)
        return answer
    answer.memories = _memories(ctx, project, cursor, whole=known is None)
    answer.more = answer.memories.held is None
    if not answer.more:  # the last page has the rest: what goes with it is then of one moment
        answer.parts = _changed(cursor, _parts(ctx, project))
    answer.cursor = cursor.text()
    return answer


def _who(ctx: ReadContext, project: Project, life: uuid.UUID | None) -> str:
    caller = ctx.principal
    clients = None if caller.clients is None else sorted(map(str, caller.clients))
    known = [caller.identity, clients, sorted(caller.scopes), str(project.id), str(project.client_id), str(life)]
    return hashlib.sha256(orjson.dumps(known)).hexdigest()


# --- memories -------------------------------------------------------------------------------------------------------


def _memories(ctx: ReadContext, project: Project, cursor: _Cursor, *, whole: bool) -> Memories:
    newer = MemoryWindow.seq > max(cursor.seq, cursor.base - 1)
    wanted = select(MemoryWindow).where(*_seen(ctx, project), newer).order_by(MemoryWindow.seq).limit(PAGE + 1)
    if whole:
        wanted = wanted.where(*_TOLD)
    found = ctx.session.scalars(wanted).all()
    rows = found[:PAGE]
    shown = [row for row in rows if _is_told(row)]
    if rows:
        cursor.seq = rows[-1].seq
    last = len(found) <= PAGE
    held = _held(ctx, project, cursor) if last else None
    machines = names_of(ctx, {row.machine_id for row in shown if row.machine_id})
    return Memories(
        items=[_item(row, machines) for row in shown],
        gone=[str(row.id) for row in rows if not _is_told(row)],
        base=cursor.base,
        held=held,
    )


_TOLD: Final = (
    MemoryWindow.superseded_by.is_(None),
    MemoryWindow.valid_to.is_(None),
    MemoryWindow.trust != Trust.untrusted.value,
)


def _is_told(row: MemoryWindow) -> bool:
    """As `_TOLD` says it of rows in the database."""
    return row.superseded_by is None and row.valid_to is None and row.trust != Trust.untrusted.value


def _seen(ctx: ReadContext, project: Project) -> list[ColumnElement[bool]]:
    """What recall would compare a question with, as far as the caller sees it."""
    own = or_(*Scope(project.id, project.client_id).parts)
    seen = crud.visibility(WINDOWS, ctx.principal)
    return [own] if seen is None else [own, seen]


def _base(ctx: ReadContext, project: Project) -> int:
    """The number of the oldest memory that is taken along."""
    numbers: Select[int] = select(MemoryWindow.seq).where(*_seen(ctx, project), *_TOLD)
    oldest = ctx.session.scalar(numbers.order_by(MemoryWindow.seq.desc()).offset(MEMORIES - 1).limit(1))
    return oldest or 0


def _held(ctx: ReadContext, project: Project, cursor: _Cursor) -> str:
    """The digest of what is to be held; where that has become too much, the base moves up."""
    wanted = select(MemoryWindow.seq, MemoryWindow.id).where(*_seen(ctx, project), *_TOLD)
    rows = ctx.session.execute(wanted.where(MemoryWindow.seq >= cursor.base).order_by(MemoryWindow.seq)).all()
    if len(rows) > MEMORIES + SLACK:
        rows = rows[-MEMORIES:]
        cursor.base = rows[0].seq
    return digest_of(str(row.id) for row in rows)


def digest_of(ids: Iterable[str]) -> str:
    """SHA-256 of ids in order, a line each; the client makes the same of what it holds."""
    return hashlib.sha256("".join(f"{key}\n" for key in sorted(ids)).encode()).hexdigest()


def _item(row: MemoryWindow, machines: Mapping[uuid.UUID, str]) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "seq": row.seq,
        "kind": row.kind.value,
        "turn": row.source_uuid,
        "author": row.author,
        "machine": machines.get(row.machine_id, "") if row.machine_id else "",
        "said_at": iso(row.said_at),
        "text": told(row.text),
    }


# --- everything else ------------------------------------------------------------------------------------------------


def _parts(ctx: ReadContext, project: Project) -> dict[str, list[dict[str, Any]]]:
    own = ("project_id", str(project.id))
    living = ("deleted_at__isnull", "true")
    last_changed = ("sort", "-updated_at")
    text = brief(ctx, Asker("worklore", CHECK_SESSION, project)).text
    return {
        "brief": [{"text": text}] if text else [],
        "warning": carried(ctx, project.client_id),
        "work-item": _rows(ctx, WORK_ITEMS, own, living, last_changed, ("fields", WORK_ITEM_FIELDS)),
        "vendor": _rows(ctx, VENDORS, last_changed),
        "configuration": _rows(ctx, PROJECT_CONFIGURATIONS, own),
    }


def _rows(ctx: ReadContext, resource: Resource, *asked: tuple[str, str]) -> list[dict[str, Any]]:
    """The records of a noun that the caller may list, their texts cut and without secrets."""
    if not ctx.principal.may(resource.scope("list")):
        return []
    page = crud.list_(ctx, resource, understand(resource, [*asked, ("limit", str(ROWS))]))
    return [{name: _short(value) for name, value in item.items()} for item in page.items]


def _short(value: Any) -> Any:
    return told(value[:LONGEST]) if isinstance(value, str) else value


def _changed(cursor: _Cursor, parts: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The parts that are others than at the last time; the cursor remembers how they are now."""
    digests = {
        kind: hashlib.sha256(orjson.dumps(items, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        for kind, items in parts.items()
    }
    before, cursor.parts = cursor.parts, digests
    return {kind: items for kind, items in parts.items() if before.get(kind) != digests[kind]}
