"""The page of the API's reference, and the files it loads: all from the hub itself, so that it works without a network.

Swagger UI is in ``static/swagger-ui`` as its authors ship it; ``ORIGIN.txt`` there says which version it is. A file is
served under a name that holds its digest, and may be kept for a year: another content has another name.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import Request, Response
from starlette.routing import Route

from worklore.kernel.errors import NotFoundError
from worklore.surfaces.headers import NO_STORE

STATIC: Final = files("worklore.surfaces") / "static"
FILES: Final = {
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css"),
    "reference.js": ("reference.js", "text/javascript"),
}
"""By the names the page has for them: where they are, and what they are."""

FOR_A_YEAR: Final = "public, max-age=31536000, immutable"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load and ask: nothing of another host, and no script that stands in the page."""


def routes(path: str) -> list[Route]:
    """The page at ``path``, and its files below it. They need no token: they are the same for everybody."""

    def page(_: Request) -> Response:
        headers = {"content-security-policy": POLICY, "cache-control": NO_STORE}
        return Response(_page(path.rpartition("/")[2]), media_type="text/html", headers=headers)

    def file(request: Request) -> Response:
        found = _served().get(request.path_params["name"])
        if found is None:
            raise NotFoundError("There is no such file of the page.", code="no-such-path")
        content, kind = found
        return Response(content, media_type=kind, headers={"cache-control": FOR_A_YEAR})

    return [Route(path, page), Route(f"{path}/{{name}}", file)]


@cache
def _served() -> dict[str, tuple[bytes, str]]:
    """The files by the names they are served under."""
    return {_name(name): (_content(name), kind) for name, (_, kind) in FILES.items()}


def _content(name: str) -> bytes:
    return STATIC.joinpath(FILES[name][0]).read_bytes()


def _name(name: str) -> str:
    return f"{hashlib.sha256(_content(name)).hexdigest()[:16]}-{name}"


@cache
def _page(folder: str) -> str:
    text = STATIC.joinpath("reference.html").read_text(encoding="utf-8")
    for name in FILES:
        text = text.replace(f"{{{name}}}", f"{folder}/{_name(name)}")
    return text
