"""Every request is written down before its answer leaves: who asked what, and what was answered.

What people say or keep secret is not. A body is recorded by the names of the fields that the operation knows; values
only where the request was carried out and the column holds neither a secret nor free text. No query, no header but the
agent's name.
"""

import hashlib
import ipaddress
import re
import time
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, cast, get_args
from uuid import UUID

import orjson
from fastapi import Request
from pydantic import BaseModel
from sqlalchemy import Column
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worklore.identity.setup import Join, SetUp
from worklore.identity.sign_in import NewPassword, Renewal, SignIn, WithCode, WithPassword, WithPasswordAndCode
from worklore.kernel.errors import HIDDEN, UnavailableError
from worklore.kernel.resource import Catalog, Resource
from worklore.kernel.types import Json, Line, Prose
from worklore.kernel.wire import wire
from worklore.ops.api_audit import Journal, line
from worklore.surfaces.http import problem, request_id, told_path

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Who watches the hub asks these every few seconds; they are written down when the answer is not 200."""

MAX_PARSED: Final = 64 * 1024
MAX_BODY: Final = 4 * 1024
MAX_VALUE: Final = 200
MAX_AGENT: Final = 500
MAX_ACTOR: Final = 255
ITEMS_SHOWN: Final = 5
FAILED: Final = 400

WORDS: Final = frozenset({"capture", "recall", "hooks"})
"""The first part of the paths whose bodies are what people and agents say: size and digest only."""

SECRET: Final = re.compile(r"pass|secret|token|key|code|url|credential|authorization|connection_string")
"""Names of text fields that may hold a secret, whatever their column says."""

TOKEN: Final = re.compile(r"wl_[\w-]{8,}|eyJ[\w-]{8,}\.[\w.-]+")
"""The hub's own tokens, where one was put into a path or the like by mistake."""

Shown = Mapping[str, bool]
"""The fields that a body may have, and whether their values are recorded."""


class Bodies:
    """Redacts bodies by what the catalogue says of each field.

    Args:
        root: the path of the API.
        catalog: the nouns and verbs whose bodies are known; of any other only the size is told.
    """

    def __init__(self, root: str, catalog: Catalog) -> None:
        self._root = f"{root}/"
        models: dict[str, type[BaseModel]] = {
            "auth/sign-in": SignIn,
            "auth/setup": SetUp,
            "auth/join": Join,
            "auth/password": NewPassword,
            "auth/second-factor/enrol": WithPassword,
            "auth/second-factor/confirm": WithCode,
            "auth/second-factor/remove": WithPasswordAndCode,
            "auth/refresh": Renewal,
            "auth/sign-out": Renewal,
        }
        self._paths: dict[str, Shown] = {
            path: dict.fromkeys(model.model_fields, False) for path, model in models.items()
        }
        self._nouns = {resource.plural: resource for resource in catalog.resources}
        self._verbs: dict[tuple[str, str], Shown] = {}
        for action in catalog.actions:
            fields = action.body.model_fields if action.body else {}
            shown = {name: _closed(field.annotation) for name, field in fields.items()}
            if action.on is None:
                self._paths[action.path or action.name] = shown
            else:
                self._verbs[catalog.by_name[action.on].plural, action.name] = shown

    def redacted(self, path: str, body: bytes, *, done: bool) -> dict[str, Any] | None:
        """What is recorded of a body: at most ``MAX_BODY`` bytes of JSON. ``done`` when the request was carried out."""
        if not body or not path.startswith(self._root):
            return {"bytes": len(body)} if body else None
        path = path[len(self._root) :]
        noun, *rest = path.split("/", 2)
        if noun in WORDS:
            return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        shown = self._paths.get(path)
        if shown is None and len(rest) > 1 and not rest[0].startswith("by-"):
            shown = self._verbs.get((noun, rest[1]))
        elif shown is None and noun in self._nouns:
            shown = _of_noun(self._nouns[noun])
        if shown is None or len(body) > MAX_PARSED:
            return {"bytes": len(body)}
        try:
            given = orjson.loads(body)
        except ValueError:
            return {"bytes": len(body)}
        told = _told(given, shown, done=done)
        return told if told is not None and len(orjson.dumps(told)) <= MAX_BODY else {"bytes": len(body)}


@cache
def _of_noun(resource: Resource) -> Shown:
    """Made when a noun is first written to: its schemas are as well."""
    columns = wire(resource).fields
    known = {*wire(resource).create.model_fields, *wire(resource).patch.model_fields}
    shown = {name: name in columns and _plain(columns[name]) for name in known}
    return shown | {"id": True, "version": True}


def _told(given: object, shown: Shown, *, done: bool) -> dict[str, Any] | None:
    if isinstance(given, dict):
        return _fields(cast("dict[str, object]", given), shown, done=done)
    if not isinstance(given, list):
        return None
    items = cast("list[object]", given)
    # A bulk is a list of objects. Lists within lists are none, and may nest deeper than a function can.
    objects = [cast("dict[str, object]", item) for item in items[:ITEMS_SHOWN] if isinstance(item, dict)]
    return {"count": len(items), "items": [_fields(item, shown, done=done) for item in objects]}


def _fields(given: dict[str, object], shown: Shown, *, done: bool) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in given.items():
        # A name that no field has may be anything, a mistyped secret too.
        if name in shown:
            told[name] = value if done and shown[name] and _short(value) else HIDDEN
        else:
            told[HIDDEN] = HIDDEN
    return told


def _short(value: object) -> bool:
    return len(value) <= MAX_VALUE if isinstance(value, str) else not isinstance(value, dict | list)


def _plain(column: Column[Any]) -> bool:
    """True for a column that holds neither a secret nor free text."""
    if column.info.get("sealed") or isinstance(column.type, Prose | Json):
        return False
    return not (isinstance(column.type, Line) and SECRET.search(str(column.name)))


def _closed(annotation: Any) -> bool:
    """True for a type whose values are no free text: numbers, ids, times, choices."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    return all(
        isinstance(kind, type) and issubclass(kind, bool | int | float | Decimal | date | Enum | UUID) for kind in kinds
    )


class ApiAudit:
    """Middleware around the whole app, so that what the app itself refuses or fails at is written down too.

    While the journal cannot be written, reads are answered and everything else is refused: what changes the record
    leaves a trace.
    """

    def __init__(self, app: ASGIApp, journal: Journal, bodies: Bodies) -> None:
        self._app = app
        self._journal = journal
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and write it down."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        scope.setdefault("state", {})
        status: int | None = None
        written = False

        async def told(message: Message) -> None:
            nonlocal status, written
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not written and not message.get("more_body"):
                written = True
                self._write(scope, status, started)
            await send(message)

        try:
            if self._journal.broken and scope["method"] not in READS:
                await problem(_refusal(), Request(scope))(scope, receive, told)
            else:
                await self._app(scope, receive, told)
        finally:
            if not written:  # the caller went away, or the app failed while it answered
                self._write(scope, status, started)

    def _write(self, scope: Scope, status: int | None, started: float) -> None:
        path: str = scope["path"]
        if status == 200 and path in PROBES:  # noqa: PLR2004 - the status of a probe that finds all well
            return
        state = scope["state"]
        principal = state.get("principal")
        body: bytes | None = state.get("body")
        done = status is not None and status < FAILED
        self._journal.write(
            line(
                user_id="anonymous" if principal is None else principal.actor[:MAX_ACTOR],
                method=scope["method"][:10],
                endpoint=told_path(path),
                http_status=status,
                ip_address=_address(scope["client"][0]) if scope.get("client") else None,
                user_agent=_user_agent(scope),
                request_id=state.get("request_id") or request_id(Request(scope)),
                body=self._bodies.redacted(path, body, done=done) if body else None,
                response_time_ms=round((time.perf_counter() - started) * 1000),
                error_message=state.get("error"),
            )
        )


def _refusal() -> UnavailableError:
    return UnavailableError(
        "The hub cannot write its log of requests, so it changes nothing.",
        hint="Look at the hub's log: its disk may be full. Reading goes on.",
        code="audit-unavailable",
    )


def _safe(text: str) -> str:
    """Text as every database can keep it, without what looks like a token of ours."""
    if "wl_" in text or "eyJ" in text:
        text = TOKEN.sub(HIDDEN, text)
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _user_agent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"user-agent":
            return _program(value)
    return None


@lru_cache(maxsize=1024)
def _program(value: bytes) -> str:
    return _safe(value.decode("latin-1"))[:MAX_AGENT]


@lru_cache(maxsize=1024)
def _address(text: str) -> str | None:
    """The caller's address; None when a proxy named something else."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
