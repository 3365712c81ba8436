"""The way to a derived operation: two look-ups in a dictionary instead of a walk along every route.

FastAPI tries its routes one after the other, and a hub of fifty nouns has hundreds. The derived operations need nothing
that FastAPI does for a call (they take a Request and give a Response), so one route in front of all others finds and
calls them. FastAPI keeps them too: it describes them, and answers what fits none of them.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class Dispatch(BaseRoute):
    """One route for the operations of a router whose paths have at most one parameter, ``{id}`` in second place.

    Args:
        root: the path the router is included under.
        router: holds the operations.

    Raises:
        ValueError: a path has another form.
    """

    def __init__(self, root: str, router: APIRouter) -> None:
        self._operations: dict[tuple[str, str], Endpoint] = {}
        self._root = f"{root}/"
        for route in router.routes:
            if not isinstance(route, APIRoute) or route.path.replace("/{id}", "", 1).count("{"):
                raise ValueError(f"{route} cannot be dispatched")
            for method in route.methods or ():
                # Of two that fit, FastAPI calls the one added first; so does this.
                self._operations.setdefault((method, root + route.path), route.endpoint)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """A full match or none: whatever is not found here is for FastAPI's own routes to answer."""
        if scope["type"] != "http" or scope.get("root_path"):
            return Match.NONE, {}
        method, path = scope["method"], scope["path"]
        endpoint, parameters = self._find(method, path)
        if endpoint is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": endpoint, "path_params": parameters}

    def _find(self, method: str, path: str) -> tuple[Endpoint | None, Mapping[str, str]]:
        if not path.startswith(self._root):
            return None, {}
        noun, *rest = path[len(self._root) :].split("/")
        if rest and rest[0]:
            named = self._operations.get((method, "/".join([f"{self._root}{noun}/{{id}}", *rest[1:]])))
            if named is not None:
                return named, {"id": rest[0]}
        return self._operations.get((method, path)), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the operation; the app's exception handlers answer what it raises."""
        endpoint: Endpoint = scope["endpoint"]
        response: Any = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)
