"""What agents' hooks ask: the hub parses, decides and answers with the exact bytes to print."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import unquote

import orjson
import structlog
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.exc import DBAPIError
from starlette.background import BackgroundTask

from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import HubError, InvalidError, NotFoundError, named
from worklore.kernel.wire import CleanStr, clean_text
from worklore.memory.brief import CHECK_SESSION, Asker, Telling, bearing, brief, telling, write_down
from worklore.memory.capture import CursorOf, cursor, ensure_session, session_of
from worklore.memory.warn.warning import Log, before_running, write_down_warnings
from worklore.ops.audit_chain import HandedOut
from worklore.surfaces.answers import ANSWERS, SESSION_MEMBERS
from worklore.surfaces.http import Gateway, read_body
from worklore.work.identity import Folder, find_project

BEFORE_A_TOOL: Final = "PreToolUse"
CLOCK_FAULT: Final = timedelta(days=3650)
"""A clock that differs more from the hub's is none."""
AN_EVENT: Final = {
    "session_id": "a1",
    "cwd": "/srv/portal",
    "hook_event_name": "UserPromptSubmit",
    "prompt": "Why did the backup fail?",
}
MAX_PROMPT: Final = 20_000

log = structlog.get_logger()


class Synced(CursorOf):
    """How far the hub has a transcript file, and where its audit stands."""

    checkpoint: HandedOut | None
    """Keep it: a later one must go on from it."""


def routes(gateway: Gateway, newest: Callable[[], HandedOut | None]) -> APIRouter:
    """The routes, below the API's root. ``newest`` gives the last checkpoint of the audit."""
    router = APIRouter()

    @router.post(
        "/hooks/{agent}/{event}",
        tags=["hooks"],
        response_class=Response,
        openapi_extra={
            "x-scope": "memory:read",
            "x-risk": "write",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}, "example": AN_EVENT}},
            },
        },
    )
    async def hook(request: Request, agent: str, event: str) -> Response:
        """Answer an agent's hook: the body is what the agent gave the hook, the answer what the hook prints."""
        await gateway.admit(request, "memory:read")
        form = ANSWERS.get(agent, {}).get(event)
        if form is None:
            raise NotFoundError(f"There is no hook {named(event)} of {named(agent)}.", code="hook-unknown")
        given = _given(await read_body(request))
        folder = _folder(request, given)
        session = next(filter(None, (_text(given, name) for name in SESSION_MEMBERS)), "unknown")[:200]
        told_at = _clock(request)

        def look_up(ctx: ReadContext) -> tuple[_Answer, Telling] | None:
            under_way = telling(ctx, agent, session)
            with under_way.lock:
                # Copied before the first look at the database: what goes from it later is in what we see there.
                being_told = frozenset(under_way.turns)
                project = find_project(ctx, folder)
                if project is None:
                    return None
                asker = Asker(agent, session, project, being_told)
                found = (
                    _warned(ctx, asker, given, told_at) if event == BEFORE_A_TOOL else _told(ctx, asker, event, given)
                )
                under_way.turns.update(found.names)
            return found, under_way

        looked_up = await gateway.read(request, "memory:read", look_up, long=True)
        if looked_up is None or not looked_up[0].text:
            return Response(b"")
        found, under_way = looked_up
        if await request.is_disconnected():  # a hook that was out of time: what it has not heard is not noted as told
            under_way.turns.difference_update(found.names)
            return Response(b"")

        async def noted() -> None:
            try:
                await gateway.write(request, "memory:read", found.note)
            except (HubError, DBAPIError) as error:
                # The agent has its answer; the turns may be told a second time.
                log.warning("what was told could not be noted", error=type(error).__name__)
            finally:
                under_way.turns.difference_update(found.names)

        headers = {"x-worklore-tokens": str(found.tokens)}
        # The agent waits for the text, not for the note of it.
        return Response(orjson.dumps(form(found.text)), headers=headers, background=BackgroundTask(noted))

    @router.get(
        "/capture",
        tags=["capture"],
        dependencies=[Depends(gateway.known)],
        openapi_extra={"x-scope": "memory:write", "x-risk": "read"},
    )
    async def captured(request: Request, agent: CleanStr, session: CleanStr, source: CleanStr) -> Synced:
        """How far the hub has a transcript file, and the newest checkpoint of its audit."""
        found = await gateway.read(request, "memory:write", lambda ctx: cursor(ctx, agent, session, source))
        return Synced(**found.model_dump(), checkpoint=newest())

    return router


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an agent is told, what that is by name while it is under way, and how it is noted."""

    text: str
    tokens: int
    names: frozenset[str]
    note: Callable[[Context], None]


def _told(ctx: ReadContext, asker: Asker, event: str, given: dict[str, Any]) -> _Answer:
    prompt = _text(given, "prompt")[:MAX_PROMPT]
    told = brief(ctx, asker) if event == "SessionStart" else bearing(ctx, asker, prompt)
    return _Answer(told.text, told.tokens, frozenset(told.why), lambda ctx: write_down(ctx, asker, event, told))


def _warned(ctx: ReadContext, asker: Asker, given: dict[str, Any], told_at: datetime) -> _Answer:
    """The warnings for the command that an agent is about to run; a tool that runs none gets none."""
    tool = given.get("tool_input")
    command = _text(cast("dict[str, Any]", tool), "command") if isinstance(tool, dict) else ""
    session = session_of(ctx, asker.agent, asker.key)
    warned = before_running(
        ctx, asker.project, command, session_id=session.id if session else None, being_told=asker.being_told
    )

    def note(ctx: Context) -> None:
        if asker.key == CHECK_SESSION:
            return
        session = ensure_session(ctx, asker.agent, asker.key, asker.project)
        entry = Log(BEFORE_A_TOOL, session.id, asker.project.client_id, told_at)
        write_down_warnings(ctx, entry, warned.found, warned.tokens)

    return _Answer(warned.text, warned.tokens, warned.names, note)


def _clock(request: Request) -> datetime:
    """The time by the asking machine's clock, which stands in its transcripts too; the hub's where it tells none."""
    now = datetime.now(UTC)
    text = request.headers.get("x-worklore-time", "")
    if not (text.isascii() and text.isdigit() and len(text) <= len("9999999999999")):
        return now
    told = datetime.fromtimestamp(int(text) / 1000, UTC)
    return told if abs(told - now) < CLOCK_FAULT else now


def _given(body: bytes) -> dict[str, Any]:
    try:
        # The standard library's reader takes lone surrogates, which a prompt may hold, as the agent wrote them.
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidError("The hook's input is not JSON.", code="not-json") from error
    if not isinstance(given, dict):
        raise InvalidError("The hook's input is not an object.", code="not-json")
    return cast("dict[str, Any]", given)


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    return value.replace("\0", "").encode(errors="replace").decode() if isinstance(value, str) else ""


def _folder(request: Request, given: dict[str, Any]) -> Folder:
    def header(name: str) -> str | None:
        text = unquote(request.headers.get(name, ""), errors="replace")
        return clean_text(text.replace("\0", ""))[:2000] or None

    path = header("x-worklore-cwd") or _text(given, "cwd") or "/"
    marker = header("x-worklore-marker")
    return Folder(remote=header("x-worklore-remote"), marker=marker[:200] if marker else None, path=path[:4000])
