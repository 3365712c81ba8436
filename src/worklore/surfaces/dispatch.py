"""The way to a derived operation: a few look-ups in a dictionary instead of a walk along every route.

FastAPI tries its routes one after the other, and a hub of seventy nouns has hundreds. The derived operations need
nothing that FastAPI does for a call (they take a Request and give a Response), so they are found and called in front of
it, past its middleware. What is not found here is for FastAPI's own routes to answer.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Request, Exception], Awaitable[Response]]
"""Makes an answer of what an operation raised."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path.

    Attributes:
        method: the HTTP method.
        path: below the API's root; ``{id}`` in second place or ``{value}`` in third and last is the only parameter.
        endpoint: answers it.
        describe: makes its OpenAPI description; called when somebody asks for the document.
    """

    method: str
    path: str
    endpoint: Endpoint
    describe: Callable[[], dict[str, Any]]


class Dispatch(BaseRoute):
    """One route for many operations below one root. A path without a parameter goes before one with.

    In FastAPI's router it tells which methods a path has; :class:`Front` calls the operations.

    Raises:
        ValueError: two operations are the same, or a path has another form.
    """

    def __init__(self, root: str, operations: Iterable[Operation]) -> None:
        self._paths: dict[str, dict[str, Endpoint]] = defaultdict(dict)
        self._root = f"{root}/"
        for operation in operations:
            methods = self._paths[operation.path.lstrip("/")]
            if operation.method in methods or not _can_be_found(operation.path):
                raise ValueError(f"{operation.method} {operation.path} cannot be dispatched")
            methods[operation.method] = operation.endpoint

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """A full match, a partial one where the path has other methods, or none."""
        if scope["type"] != "http" or scope.get("root_path") or not scope["path"].startswith(self._root):
            return Match.NONE, {}
        for path, parameters in _forms(scope["path"][len(self._root) :]):
            methods = self._paths.get(path)
            if methods is None:
                continue
            # The plainest form that is known decides: a word of the API is no id where it lacks the method.
            endpoint = methods.get(scope["method"])
            if endpoint is None:
                return Match.PARTIAL, {"endpoint": _refuse}
            return Match.FULL, {"endpoint": endpoint, "path_params": parameters}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the operation; the app's exception handlers answer what it raises."""
        endpoint: Endpoint = scope["endpoint"]
        response: Any = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


class Front:
    """Answers derived operations, and has the app answer all else."""

    def __init__(self, app: ASGIApp, dispatch: Dispatch, on_error: Answer) -> None:
        self._app = app
        self._dispatch = dispatch
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the operation that a request names."""
        match, child = self._dispatch.matches(scope)
        if match is not Match.FULL:
            await self._app(scope, receive, send)
            return
        scope["path_params"] = child["path_params"]
        request = Request(scope, receive, send)
        try:
            response = await child["endpoint"](request)
        except Exception as error:  # noqa: BLE001 - what it does not know it raises again
            response = await self._on_error(request, error)
        await response(scope, receive, send)


def _can_be_found(path: str) -> bool:
    asked = path.lstrip("/").replace("{id}", "0", 1).replace("{value}", "0", 1)
    return path.lstrip("/") in {form for form, _ in _forms(asked)}


def _forms(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The ways a path can be read, the plainest first."""
    if "{" not in path:  # else it could pass for a path with a parameter
        yield path, {}
    noun, *rest = path.split("/")
    if not rest or not rest[0]:
        return
    if len(rest) == 2 and rest[1]:  # noqa: PLR2004 - /{noun}/{look-up}/{value}
        yield f"{noun}/{rest[0]}/{{value}}", {"value": rest[1]}
    yield "/".join([noun, "{id}", *rest[1:]]), {"id": rest[0]}


async def _refuse(_: Request) -> Response:
    """Which methods are offered is told where the refusal is answered: other routes may have the path as well."""
    raise HTTPException(405)
