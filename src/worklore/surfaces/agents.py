"""What agents' hooks ask: the hub parses, decides and answers with the exact bytes to print."""

import json
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import unquote

import orjson
import structlog
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.exc import DBAPIError
from starlette.background import BackgroundTask

from worklore.kernel.context import ReadContext
from worklore.kernel.errors import HubError, InvalidError, NotFoundError, named
from worklore.kernel.wire import CleanStr, clean_text
from worklore.memory.brief import Asker, Telling, Told, bearing, brief, telling, write_down
from worklore.memory.capture import CursorOf, cursor
from worklore.ops.audit_chain import HandedOut
from worklore.surfaces.http import Gateway, read_body
from worklore.work.identity import Folder, find_project

AGENTS: Final = frozenset({"claude-code"})
EVENTS: Final = frozenset({"SessionStart", "UserPromptSubmit"})
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
        if agent not in AGENTS or event not in EVENTS:
            raise NotFoundError(f"There is no hook {named(event)} of {named(agent)}.", code="hook-unknown")
        given = _given(await read_body(request))
        folder = _folder(request, given)
        prompt = _text(given, "prompt")[:MAX_PROMPT]
        session = _text(given, "session_id")[:200] or "unknown"

        def look_up(ctx: ReadContext) -> tuple[Asker, Told, Telling] | None:
            under_way = telling(ctx, agent, session)
            with under_way.lock:
                # Copied before the first look at the database: what goes from it later is in what we see there.
                being_told = frozenset(under_way.turns)
                project = find_project(ctx, folder)
                if project is None:
                    return None
                asker = Asker(agent, session, project, being_told)
                told = brief(ctx, asker) if event == "SessionStart" else bearing(ctx, asker, prompt)
                under_way.turns.update(told.why)
            return asker, told, under_way

        found = await gateway.read(request, "memory:read", look_up, long=True)
        if found is None or not found[1].text:
            return Response(b"")
        asker, told, under_way = found

        async def noted() -> None:
            try:
                await gateway.write(request, "memory:read", lambda ctx: write_down(ctx, asker, event, told))
            except (HubError, DBAPIError) as error:
                # The agent has its answer; the turns may be told a second time.
                log.warning("what was told could not be noted", error=type(error).__name__)
            finally:
                under_way.turns.difference_update(told.why)

        answer = {"hookSpecificOutput": {"hookEventName": event, "additionalContext": told.text}}
        headers = {"x-worklore-tokens": str(told.tokens)}
        # The agent waits for the text, not for the note of it.
        return Response(orjson.dumps(answer), headers=headers, background=BackgroundTask(noted))

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
