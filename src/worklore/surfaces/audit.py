"""The history of records: what the change audit holds, for those who may see the records themselves."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, TypeAdapter, ValidationError

from worklore.kernel import crud
from worklore.kernel.access import both, by_client
from worklore.kernel.audit import EPOCH, AuditEntry
from worklore.kernel.errors import BadRequestError, NotFoundError, named
from worklore.kernel.query import DEFAULT_LIMIT, MAX_LIMIT, understand
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import iso
from worklore.kernel.wire import INT64, CleanStr, UtcTime, WireModel
from worklore.ops.audit_chain import Checkpoint, newest
from worklore.ops.audit_chain import gone as missing
from worklore.surfaces.http import Gateway, json_response, read_body, validated
from worklore.vault.hidden import of_nothing_hidden

SCOPE: Final = "audit:read"

# Not in the catalogue: its filters have names that people expect, and its times are integers in the table.
AUDIT: Final = Resource(
    model=AuditEntry,
    name="audit",
    plural="audit",
    visible=both(by_client(AuditEntry.client_id), of_nothing_hidden(AuditEntry.record_id)),
    guarded=True,
    filters=(
        AuditEntry.record_id,
        AuditEntry.client_id,
        AuditEntry.table_name,
        AuditEntry.actor,
        AuditEntry.action,
        AuditEntry.at,
    ),
    hidden=(AuditEntry.chain, AuditEntry.seq, AuditEntry.prev_mac, AuditEntry.mac),
    verbs=READ_ONLY,
)

FIELDS: Final = {"record_id": "record", "client_id": "client", "table_name": "table"}
"""The columns that are shown and asked for under another name."""

FILTERS: Final = {
    "record": "record_id",
    "client": "client_id",
    "table": "table_name",
    "actor": "actor",
    "action": "action",
}
TIMES: Final = {"since": "at__gte", "until": "at__lt"}
SORTS: Final = {"at": "id", "-at": "-id"}  # ids are made in the order of time, and the primary key finds them
PAGING: Final = ("limit", "after")

_TIME: Final = TypeAdapter[Any](UtcTime)
_UUID: Final = {"type": "string", "format": "uuid"}
_TEXT: Final = {"type": "string"}
_MOMENT: Final = {"type": "string", "format": "date-time"}

_PARAMETERS: Final = (
    ("record", _UUID, "The history of this record."),
    ("client", _UUID, "What was done for this client."),
    ("table", _TEXT, "Records of this table."),
    ("actor", _TEXT, "Done by this actor."),
    ("action", _TEXT, "create, update, delete, or what else happened."),
    ("since", _MOMENT, "At this time or later."),
    ("until", _MOMENT, "Before this time."),
    ("sort", {"type": "string", "enum": ["-at", "at"], "default": "-at"}, "Newest or oldest first."),
    ("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}, "Rows of a page."),
    ("after", _TEXT, "The `next` of the page before."),
)
_PAGE: Final = {
    "type": "object",
    "required": ["items", "next"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object"}},
        "next": {"type": ["string", "null"], "description": "`after` of the next page; null at the end."},
    },
}


class Heads(WireModel):
    """Where the chains of the audit stood when a checkpoint was made: number and code of their last entries."""

    heads: Annotated[dict[CleanStr, tuple[Annotated[int, Field(ge=1, lt=INT64)], CleanStr]], Field(max_length=1_000)]


_COMPARED: Final = {
    "x-risk": "read",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": Heads.model_json_schema(),
                "example": {"heads": {"0f1e2d3c4b5a.0.k1": [7, "0" * 64]}},
            }
        },
    },
}


def routes(gateway: Gateway) -> APIRouter:
    """``/audit``, below the API's root."""
    router = APIRouter()

    @router.get(
        "/audit",
        tags=["audit"],
        summary="List the changes of records",
        response_class=Response,
        responses={
            200: {"description": "A page.", "content": {"application/json": {"schema": _PAGE}}},
            **{code: {"$ref": f"#/components/responses/{code}"} for code in (400, 401, 403)},
        },
        openapi_extra={
            "x-scope": SCOPE,
            "x-risk": "read",
            "parameters": [
                {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
                for name, schema, description in _PARAMETERS
            ],
        },
    )
    async def history(request: Request) -> Response:
        """Who did what to which record, the newest first."""
        await gateway.admit(request, SCOPE)
        ask = understand(AUDIT, _asked(request))
        page = await gateway.read(request, SCOPE, lambda ctx: crud.list_(ctx, AUDIT, ask), long=True)
        return json_response({"items": [_shown(item) for item in page.items], "next": page.next})

    @router.get(
        "/audit/checkpoint",
        tags=["audit"],
        dependencies=[Depends(gateway.known)],
        openapi_extra={"x-risk": "read"},
    )
    async def checkpoint(request: Request) -> Checkpoint:
        """Where the chains of the change audit stand, signed. Keep it: a later one must go on from it."""
        found = await gateway.read(request, None, lambda ctx: newest(ctx.session.connection()))
        if found is None:
            raise NotFoundError("There is no checkpoint yet.", hint="Ask again in a minute.")
        return found

    @router.post("/audit/checkpoint/compare", tags=["audit"], openapi_extra=_COMPARED)
    async def compare(request: Request) -> Gone:
        """Are the entries that a checkpoint tells of still there? A machine asks before it keeps the next one."""
        await gateway.admit(request, None)
        asked: Heads = validated(Heads, await read_body(request))
        missed = await gateway.read(
            request, None, lambda ctx: missing(ctx.session.connection(), asked.heads), long=True
        )
        return Gone(gone=missed)

    return router


class Gone(WireModel):
    """The chains that do not have those entries any more."""

    gone: list[str]


def _asked(request: Request) -> list[tuple[str, str]]:
    """The parameters, by the names that lists of the catalogue have for them."""
    given = {"sort": "-at"}
    allowed = [name for name, _, _ in _PARAMETERS]
    for name, text in request.query_params.multi_items():
        if name not in allowed:
            raise BadRequestError(
                f"There is no parameter {named(name)} here.",
                hint="Use one of the parameters listed in `allowed`.",
                code="parameter-unknown",
                allowed=allowed,
            )
        given[name] = text
    if given["sort"] not in SORTS:
        raise BadRequestError("sort takes at or -at.", code="sort-unknown", allowed=list(SORTS))
    asked = [(FILTERS[name], given[name]) for name in FILTERS if name in given]
    asked += [(TIMES[name], _micros(name, given[name])) for name in TIMES if name in given]
    asked += [(name, given[name]) for name in PAGING if name in given]
    return [*asked, ("sort", SORTS[given["sort"]])]


def _micros(name: str, text: str) -> str:
    try:
        moment = _TIME.validate_strings(text)
    except ValidationError as error:
        raise BadRequestError(
            f"{name} takes a time with its zone, such as 2026-03-01T00:00:00Z.", code="filter-value", parameter=name
        ) from error
    return str((moment - EPOCH) // timedelta(microseconds=1))


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    return {FIELDS.get(name, name): value for name, value in item.items()} | {
        "at": iso(EPOCH + timedelta(microseconds=item["at"]))
    }
