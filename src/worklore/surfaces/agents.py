"""What agents' hooks ask: the hub parses, decides and answers with the exact bytes to print."""

from typing import Any, Final, cast
from urllib.parse import unquote

import orjson
from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from worklore.kernel.context import ReadContext
from worklore.kernel.errors import InvalidError, NotFoundError
from worklore.kernel.wire import clean_text
from worklore.memory.brief import Asker, Told, bearing, brief, write_down
from worklore.memory.capture import CursorOf, cursor
from worklore.surfaces.http import Gateway, read_body
from worklore.work.identity import Folder, find_project

AGENTS: Final = frozenset({"claude-code"})
EVENTS: Final = frozenset({"SessionStart", "UserPromptSubmit"})
MAX_PROMPT: Final = 20_000


def routes(gateway: Gateway) -> APIRouter:
    """The routes, below the API's root."""
    router = APIRouter()

    @router.post(
        "/hooks/{agent}/{event}",
        tags=["hooks"],
        response_class=Response,
        openapi_extra={
            "x-scope": "memory:read",
            "x-risk": "write",
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        },
    )
    async def hook(request: Request, agent: str, event: str) -> Response:
        """Answer an agent's hook: the body is what the agent gave the hook, the answer what the hook prints."""
        if agent not in AGENTS or event not in EVENTS:
            raise NotFoundError(f"There is no hook {event[:40]} of {agent[:40]}.", code="hook-unknown")
        given = _given(await read_body(request))
        folder = _folder(request, given)
        prompt = _text(given, "prompt")[:MAX_PROMPT]

        def look_up(ctx: ReadContext) -> tuple[Asker, Told] | None:
            project = find_project(ctx, folder)
            if project is None:
                return None
            asker = Asker(agent, _text(given, "session_id")[:200] or "unknown", project)
            return asker, brief(ctx, asker) if event == "SessionStart" else bearing(ctx, asker, prompt)

        found = await gateway.read(request, "memory:read", look_up, long=True)
        if found is None or not found[1].text:
            return Response(b"")
        asker, told = found
        # The agent waits for the text, not for the note that it was told.
        later = BackgroundTask(gateway.write, request, "memory:read", lambda ctx: write_down(ctx, asker, event, told))
        answer = {"hookSpecificOutput": {"hookEventName": event, "additionalContext": told.text}}
        return Response(orjson.dumps(answer), headers={"x-worklore-tokens": str(told.tokens)}, background=later)

    @router.get("/capture", tags=["capture"], openapi_extra={"x-scope": "memory:write", "x-risk": "read"})
    async def captured(request: Request, agent: str, session: str, source: str) -> CursorOf:
        """How far the hub has a transcript file."""
        return await gateway.read(request, "memory:write", lambda ctx: cursor(ctx, agent, session, source))

    return router


def _given(body: bytes) -> dict[str, Any]:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidError("The hook's input is not JSON.", code="not-json") from error
    if not isinstance(given, dict):
        raise InvalidError("The hook's input is not an object.", code="not-json")
    return cast("dict[str, Any]", given)


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    return value.replace("\0", "") if isinstance(value, str) else ""


def _folder(request: Request, given: dict[str, Any]) -> Folder:
    def header(name: str) -> str | None:
        text = unquote(request.headers.get(name, ""), errors="replace")
        return clean_text(text.replace("\0", ""))[:2000] or None

    path = header("x-worklore-cwd") or _text(given, "cwd") or "/"
    marker = header("x-worklore-marker")
    return Folder(remote=header("x-worklore-remote"), marker=marker[:200] if marker else None, path=path[:4000])
