"""Headers that stand on every answer, whoever gives it: the hub hands out data, not pages, and keeps it out of caches.

No answer allows another origin (CORS is off: there is no header for it), and none names the server's software.
Strict-Transport-Security is for the proxy that speaks TLS: over plain HTTP browsers must not heed it (RFC 6797, 8.1).
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_STORE: Final = "no-store"
NO_CONTENT: Final = "default-src 'none'; frame-ancestors 'none'"

ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
UNLESS_SAID: Final = (
    (b"cache-control", NO_STORE.encode()),
    (b"content-security-policy", NO_CONTENT.encode()),
)
"""What an answer may say otherwise: the page of the API's reference, and the files that it loads."""

ASK_AGAIN: Final = (b"cache-control", b"private, no-cache")
"""For an answer that has a tag to ask by: a copy may be kept by who asked, and is asked for again before it is used."""


class SafeHeaders:
    """Middleware around everything, so that refusals and failures have them too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with the headers above."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                said = {name.lower() for name, _ in given}
                if b"etag" in said and b"cache-control" not in said:
                    given.append(ASK_AGAIN)
                    said.add(b"cache-control")
                message["headers"] = [*given, *ALWAYS, *(each for each in UNLESS_SAID if each[0] not in said)]
            await send(message)

        await self._app(scope, receive, told)
