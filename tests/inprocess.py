"""Thousands of requests at the cost of the app alone: it is called as the server calls it, without a socket between.

They run on the loop that the server under test runs on, so that the app lives on one loop, as it does in earnest.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Asked:
    """A request. ``path`` may have a query; a ``body`` that is not None goes as JSON."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass
class Answer:
    """What the app answered, and whether it had looked at the body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    body_read: bool = False

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class InProcess:
    """Asks the app of a hub under test."""

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    def __call__(self, requests: Sequence[Asked], *, at_once: int = 1) -> list[Answer]:
        """The answers, in the order of the requests."""
        return asyncio.run_coroutine_threadsafe(self._all(requests, at_once), self._loop).result()

    async def _all(self, requests: Sequence[Asked], at_once: int) -> list[Answer]:
        room = asyncio.Semaphore(at_once)

        async def one(asked: Asked) -> Answer:
            async with room:
                return await self._ask(asked)

        return list(await asyncio.gather(*(one(asked) for asked in requests)))

    async def _ask(self, asked: Asked) -> Answer:
        path, _, query = asked.path.partition("?")
        body = b"" if asked.body is None else json.dumps(asked.body).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **asked.headers}
        answer = Answer()

        async def receive() -> Message:
            if answer.body_read:
                await asyncio.Event().wait()  # whoever asks stays on the line
            answer.body_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            else:
                answer.content += message.get("body", b"")

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": asked.method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": quote(path, safe="/%").encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self._app(scope, receive, send)
        return answer
