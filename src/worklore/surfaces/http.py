"""What every HTTP surface shares: who asks, one hop to the database, and errors as problem documents.

On SQLite short reads run where they arrive, on the event loop, and writes wait for the writer thread without
occupying a thread; on a server database each request makes one hop to a worker thread, with everything it needs.
"""

import hmac
import re
import threading
import time
import uuid
from asyncio import timeout, wrap_future
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import orjson
import structlog
from anyio import CapacityLimiter, from_thread, to_thread
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worklore.identity.token import Authenticator, rights_changed
from worklore.kernel.access import Principal, PrincipalKind
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import POOL_SIZE, is_away
from worklore.kernel.errors import (
    AddressTooLongError,
    BadRequestError,
    ConflictError,
    HeadersTooLargeError,
    HubError,
    InvalidError,
    NotFoundError,
    SlowError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    limit,
    named,
)
from worklore.kernel.idempotency import MAX_KEY
from worklore.kernel.refusals import MAX_VALUE
from worklore.kernel.transaction import Database, Operation, no_room
from worklore.kernel.types import uuid7
from worklore.kernel.wire import INT64, MAX_DEPTH, NESTED

MAX_BODY: Final = 8 * 1024 * 1024
MAX_ADDRESS: Final = 48 * 1024
MAX_HEADERS: Final = 64 * 1024
"""Bytes of a request's path and parameters, below the 64 KiB that the server itself refuses, and of all its headers."""

IDLE_SECONDS: Final = 30
"""How long a body may pause."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_ID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9]{1,10}")

MAX_INSTANCE: Final = 200
"""Characters of a path that a problem repeats."""

MAX_MESSAGE: Final = 500
LONG_READS: Final = 2
"""Long reads under way at once where the database is in the process."""
QUEUED_SECONDS: Final = 0.05
"""A long read that has queued for longer is not begun where the caller has hung up meanwhile, as hooks soon do."""
MAX_ERRORS: Final = 50
"""Faults of a body that are told."""

SECRET: Final = re.compile(
    "(login|pass\\w*|secret|tokens?|code|key|credential|seed|value|connection_string)$", re.IGNORECASE
)
"""Fields whose values are never repeated."""

NOT_THE_FIELDS_OWN: Final = frozenset({"missing", "extra_forbidden", "json_invalid", "model_type"})
"""Kinds of fault whose value is the whole body, or that of a field nobody knows."""

_NOBODY: Final = Principal(PrincipalKind.system, "nobody", frozenset())
"""Stands in while a token is looked up."""

T = TypeVar("T")
log = structlog.get_logger()


class JsonResponse(Response):
    """Bytes that are JSON already."""

    media_type = "application/json"


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer from JSON-ready values."""
    return JsonResponse(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z), status, headers)


def known_already(request: Request, tag: str) -> bool:
    """True when ``If-None-Match`` names the tag, weak or strong, alone or among others (RFC 9110, 13.1.2)."""
    known = [item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")]
    return tag in known or known == ["*"]


def request_id(request: Request) -> uuid.UUID:
    """The caller's ``X-Request-Id`` when it is a UUID, else a new one; the same for the whole request."""
    known: uuid.UUID | None = getattr(request.state, "request_id", None)
    if known is None:
        try:
            known = uuid.UUID(request.headers.get("x-request-id", ""))
        except ValueError:
            known = uuid7()
        request.state.request_id = known
    return known


async def read_body(request: Request) -> bytes:
    """The body, refused before it is read when it is too large.

    Raises:
        TooLargeError: more than ``MAX_BODY`` bytes.
        SlowError: nothing came for ``IDLE_SECONDS``.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and (size := int(declared[:18])) > MAX_BODY:
        raise _too_large(size)
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        while more:
            async with timeout(IDLE_SECONDS):
                message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            size, more = size + len(chunk), message.get("more_body", False)
            if size > MAX_BODY:
                raise _too_large(size)
            chunks.append(chunk)
    except TimeoutError as error:
        pause = f"Nothing of the body came for {IDLE_SECONDS} seconds."
        raise SlowError(pause, hint="Send it again.", **limit("body-pause-seconds", IDLE_SECONDS)) from error
    # Where the log of requests finds it; it is not read a second time.
    body = request.state.body = b"".join(chunks)
    return body


def _too_large(size: int) -> TooLargeError:
    """``size`` is what was declared, or had come when the limit was passed."""
    detail = f"A body may have {MAX_BODY} bytes."
    return TooLargeError(detail, hint="Send it in parts.", **limit("body-bytes", MAX_BODY, size))


class BoundedHead:
    """Middleware that refuses an address or headers beyond the limits before anything looks at them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limits."""
        error = _head_too_large(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
        else:
            await problem(error, Request(scope))(scope, receive, send)


def _head_too_large(scope: Scope) -> HubError | None:
    address = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if address > MAX_ADDRESS:
        hint = "Ask in several requests, with fewer values in each."
        told = limit("address-bytes", MAX_ADDRESS, address)
        return AddressTooLongError(f"Path and parameters may have {MAX_ADDRESS} bytes.", hint=hint, **told)
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    if headers > MAX_HEADERS:
        return HeadersTooLargeError(
            f"The headers may have {MAX_HEADERS} bytes.", **limit("header-bytes", MAX_HEADERS, headers)
        )
    return None


class _Read(Request):
    def __init__(self, scope: Scope, body: bytes) -> None:
        super().__init__(scope)
        self._body = body


def validated(model: type[BaseModel], body: bytes) -> Any:
    """A body as its model.

    Raises:
        InvalidError: it is not JSON or breaks a rule; ``errors`` names each field.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise not_valid(error) from error


def not_valid(error: ValidationError) -> InvalidError:
    """What a body breaks, field by field: the rule, and the value where it is short and cannot be a secret."""
    errors = [
        {"field": _field(item["loc"]), "code": item["type"], "message": item["msg"]} | _value_of(item)
        for item in error.errors(include_url=False, include_context=False)[:MAX_ERRORS]
    ]
    first = errors[0]
    shown = {"field": first["field"], **({"value": first["value"]} if "value" in first else {})}
    detail = f"{first['field'] or 'body'}: {first['message']}."
    return InvalidError(detail, **shown, rule=first["message"], errors=errors, **_limit_of(error))


def _field(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) if isinstance(part, int) else named(part) for part in place)


def _limit_of(error: ValidationError) -> dict[str, Any]:
    for item in error.errors(include_url=False)[:MAX_ERRORS]:
        if item["type"] == NESTED or "recursion limit" in item["msg"]:
            return limit("json-depth", MAX_DEPTH)
    return {}


def _value_of(item: ErrorDetails) -> dict[str, Any]:
    value, name = item["input"], str(item["loc"][-1]) if item["loc"] else ""
    if item["type"] in NOT_THE_FIELDS_OWN or SECRET.search(name):
        return {}
    if item["type"] == "enum" and isinstance(value, str):
        return {"value": named(value)}
    short = len(value) <= MAX_VALUE if isinstance(value, str) else isinstance(value, float | None)
    # An integer beyond 64 bits is one that our own JSON could not show.
    return {"value": value} if short or (isinstance(value, int) and -INT64 <= value < INT64) else {}


@dataclass(slots=True)
class Once:
    """A caller's Idempotency-Key and the keyed digest of the request it stands for."""

    key: str
    digest: str


class Gateway:
    """The way from a request to the database and back."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self.database = database
        self.authenticator = authenticator
        self._running: set[tuple[str, str]] = set()
        self._running_lock = threading.Lock()

    @cached_property
    def _limiter(self) -> CapacityLimiter:
        # A database in the process shares its interpreter: more threads than a few only wait for each other.
        return CapacityLimiter(LONG_READS if self.database.is_sqlite else POOL_SIZE)

    def once(self, request: Request, body: bytes) -> Once | None:
        """The request's key, if it has one, and a keyed digest: a body may hold a secret that is short enough to guess.

        Raises:
            BadRequestError: the key is longer than ``MAX_KEY`` or not printable ASCII.
        """
        key = request.headers.get("idempotency-key")
        if key is None:
            return None
        if not 0 < len(key) <= MAX_KEY or not (key.isascii() and key.isprintable()):
            detail = f"An Idempotency-Key has 1 to {MAX_KEY} printable characters."
            raise BadRequestError(detail, code="idempotency-key")
        path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
        head = f"request:{request.method} {path}?{query}\n{request.headers.get('if-match', '')}\n"
        return Once(key, hmac.new(self.authenticator.key.pepper, head.encode() + body, "sha256").hexdigest())

    def principal(self, request: Request) -> Principal:
        """Who asks.

        Raises:
            UnauthenticatedError: there is no valid bearer token.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError(
                "There is no bearer token.", hint="Send `Authorization: Bearer <token>`.", code="token-missing"
            )
        known = self.authenticator.cached(token)
        if known is None:
            with self.database.read(_NOBODY) as ctx:
                address = request.client.host if request.client else None
                known = self.authenticator.authenticate(ctx, token, address)
        request.state.principal = known
        return known

    async def admit(self, request: Request, scope: str | None) -> None:
        """Turn away, before anything it sent is read, whoever has no valid token or lacks the scope.

        Raises:
            UnauthenticatedError: there is no valid bearer token.
            ForbiddenError: the scope is missing.
        """
        _, _, token = request.headers.get("authorization", "").partition(" ")
        if self.database.is_sqlite or self.authenticator.cached(token) is not None:
            principal = self.principal(request)
        else:
            principal = await to_thread.run_sync(self.principal, request, limiter=self._limiter)
        if scope is not None:
            principal.require(scope)

    async def known(self, request: Request) -> None:
        """As :meth:`admit` without a scope: what FastAPI asks first where it reads the body itself."""
        await self.admit(request, None)

    async def read(
        self,
        request: Request,
        scope: str | None,
        work: Callable[[ReadContext], T],
        *,
        long: bool = False,
        single: bool = False,
    ) -> T:
        """Run a read for the caller. ``long`` reads never run on the event loop; a ``single`` one is one statement."""

        def run() -> T:
            principal = self.principal(request)
            if scope is not None:
                principal.require(scope)
            if single:
                return self.database.glance(work, principal, request_id(request))
            with self.database.read(principal, request_id(request)) as ctx:
                return work(ctx)

        if self.database.is_sqlite and not long:
            return run()
        asked = time.monotonic()

        def run_if_awaited() -> T:
            if time.monotonic() - asked > QUEUED_SECONDS and from_thread.run(request.is_disconnected):
                raise UnavailableError("Nobody waits for the answer any more.", code="hung-up")
            return run()

        return await to_thread.run_sync(run_if_awaited if long else run, limiter=self._limiter)

    async def write(
        self,
        request: Request,
        scope: str | None,
        work: Callable[[Context], T],
        *,
        once: Once | None = None,
        dry_run: bool = False,
        principal: Principal | None = None,
        hopeful: bool = True,
    ) -> T:
        """Run a unit of work for the caller and commit it. ``principal`` stands in where nobody is signed in.

        A ``hopeful`` one remembers the key that it was sent under, so that it need not look whether it was used before.
        What this node remembers of tokens ends with a change of rights, before the caller has the answer.
        """
        changed = False

        def watched(ctx: Context) -> T:
            nonlocal changed
            result = work(ctx)
            changed = rights_changed(ctx)
            return result

        def prepare() -> tuple[Principal, Operation]:
            # What the reserve on the disk gave is for those who sign in to make room, and for the record of it.
            if principal is None and not self.database.has_room():
                raise no_room()
            actor = principal or self.principal(request)
            if scope is not None:
                actor.require(scope)
            return actor, Operation(
                principal=actor,
                request_id=request_id(request),
                message=_message(request),
                dry_run=dry_run,
                guarded=once is not None,
                hopeful=once is not None and hopeful,
            )

        def run() -> T:
            actor, operation = prepare()
            with self._alone(actor, once):
                return self.database.write(watched, operation)

        if self.database.is_sqlite:
            actor, operation = prepare()
            with self._alone(actor, once):
                result = await wrap_future(self.database.submit(watched, operation))
        else:
            result = await to_thread.run_sync(run, limiter=self._limiter)
        if changed:
            self.authenticator.forget()
        return result

    @contextmanager
    def _alone(self, actor: Principal, once: Once | None) -> Generator[None]:
        """Refuse a second request under a key whose first is still running on this node."""
        if once is None:
            yield
            return
        mark = (actor.identity, once.key)
        with self._running_lock:
            if mark in self._running:
                raise ConflictError(
                    "A request with this Idempotency-Key is still running.",
                    hint="Wait a moment and repeat it with the same key.",
                    code="still-running",
                )
            self._running.add(mark)
        try:
            yield
        finally:
            with self._running_lock:
                self._running.discard(mark)


def bounded(gateway: Gateway) -> type[APIRoute]:
    """Routes whose body FastAPI reads by itself: bounded as :func:`read_body` bounds all others, for those who may.

    An operation whose description says ``security: []`` is open to anybody.
    """

    class BoundedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()
            described = self.openapi_extra or {}
            is_open = described.get("security") == []

            async def handler(request: Request) -> Response:
                if not is_open:
                    await gateway.admit(request, described.get("x-scope"))
                return await answer(_Read(request.scope, await read_body(request)))

            return handler

    return BoundedRoute


def _message(request: Request) -> str | None:
    text = request.headers.get("change-message")
    return unquote(text)[:MAX_MESSAGE].replace("\0", "") if text else None


# --- errors ---------------------------------------------------------------------------------------------------------


def told_path(path: str) -> str:
    """A path as an answer and the log of requests may repeat it: names and ids, and nothing that could be a secret."""
    parts = (part if _ID.fullmatch(part) or not part else named(part) for part in path.split("/"))
    return "/".join(parts)[:MAX_INSTANCE]


def problem(error: HubError, request: Request) -> Response:
    """The answer to an error the caller is told about."""
    body = error.problem() | {"instance": told_path(request.url.path), "request_id": str(request_id(request))}
    request.state.error = f"{error.code}: {body['title']}"
    headers = {"content-type": "application/problem+json"}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if "retry_after" in error.members:
        headers["retry-after"] = str(error.members["retry_after"])
    return Response(orjson.dumps(body), error.status, headers)


async def _on_hub_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)  # noqa: S101 - registered for it
    return problem(error, request)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem(
            NotFoundError(f"There is nothing at {told_path(request.url.path)}.", code="no-such-path"), request
        )
    headers = dict(error.headers or {})
    known = HubError(str(error.detail), code="http-error")
    known.members = {"status": error.status_code, "title": str(error.detail)}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = ", ".join(offered(request))
        known.detail = f"{request.method} is not offered here; {headers['allow']} is."
    answer = problem(known, request)
    answer.status_code = error.status_code
    answer.headers.update(headers)
    return answer


def offered(request: Request) -> list[str]:
    """The methods that any route takes at the request's path; one path can be that of several routes."""
    routes = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    errors = [
        {"field": _field(item["loc"][1:]), "code": item["type"], "message": item["msg"]} for item in error.errors()[:50]
    ]
    first = errors[0]
    return problem(InvalidError(f"{first['field'] or 'body'}: {first['message']}.", errors=errors), request)


async def _on_database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)  # noqa: S101 - registered for it
    if is_away(error):
        log.warning("the database does not answer", error=type(error.orig).__name__, request=str(request_id(request)))
        return problem(UnavailableError("The database does not answer.", hint="Try again in a moment."), request)
    return await _on_unknown_error(request, error)


async def _on_unknown_error(request: Request, error: Exception) -> Response:
    log.error("request failed", request=str(request_id(request)), path=told_path(request.url.path), exc_info=error)
    return problem(HubError("The hub failed to answer; its log says why, under this request id."), request)


class Faults:
    """Middleware that answers what nobody expected, once: the server would log it again and break the connection off.

    A caller that keeps its connection, as all do, would lose its next request with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and answer an exception unless an answer has begun."""
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            request = Request(scope)
            await (await _on_unknown_error(request, error))(scope, receive, send)


ANSWERS: Final[Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]] = {
    HubError: _on_hub_error,
    HTTPException: _on_http_error,
    RequestValidationError: _on_validation_error,
    DBAPIError: _on_database_error,
}


async def on_error(request: Request, error: Exception) -> Response:
    """The answer to an error; one that nobody expected is raised again, for :class:`Faults`."""
    handler = next((known for kind, known in ANSWERS.items() if isinstance(error, kind)), None)
    if handler is None:
        raise error
    return await handler(request, error)
