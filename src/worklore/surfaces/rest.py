"""REST: the routes of every noun and verb, derived from the catalogue.

One function per operation; what differs between nouns is in their Resource. The OpenAPI document of these routes is
derived as well, in :mod:`worklore.surfaces.openapi`.
"""

import re
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from types import GenericAlias
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model

from worklore.kernel import crud
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import BadRequestError, InvalidError
from worklore.kernel.idempotency import former, remember
from worklore.kernel.query import selection, understand
from worklore.kernel.resource import Catalog, Resource, Verb
from worklore.kernel.wire import WireModel, wire
from worklore.surfaces.http import Gateway, Once, idempotency, json_response, not_valid, read_body, validated
from worklore.surfaces.openapi import describe_action, describe_operation

MAX_BULK: Final = 500
SHORT_LIST: Final = 100
"""Lists of up to so many rows are read on the event loop where the database is in the process."""

ETAG: Final = re.compile(r'(?:W/)?"(?P<version>[0-9]{1,10})"')
"""A version as a tag; a proxy that compresses makes it a weak one."""

WRITE_PARAMETERS: Final = frozenset({"dry_run", "cascade"})


Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a unit of work answers, in wire form."""

    status: int
    body: Any
    headers: dict[str, str]

    def response(self) -> Response:
        """The HTTP form."""
        if self.body is None:
            return Response(status_code=self.status, headers=self.headers)
        return json_response(self.body, self.status, self.headers)


def record_id(resource: Resource, text: str) -> uuid.UUID:
    """The id in a path.

    Raises:
        NotFoundError: it is no id at all, so nothing has it.
    """
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise crud.missing(resource, text[:80]) from error


def flags(request: Request) -> dict[str, bool]:
    """``dry_run`` and ``cascade`` of a write.

    Raises:
        BadRequestError: another parameter, or a value that is not true or false.
    """
    found: dict[str, bool] = {}
    for name, value in request.query_params.multi_items():
        if name not in WRITE_PARAMETERS or value not in {"true", "false"}:
            raise BadRequestError(
                f"{name}={value[:40]} is not understood here.",
                hint="Writes take dry_run=true and, to delete, cascade=true.",
                code="parameter-unknown",
                parameter=name,
            )
        found[name] = value == "true"
    return found


def expected_version(request: Request) -> int | None:
    """The version in ``If-Match``; None when there is none or it is ``*``.

    Raises:
        BadRequestError: it is not an ETag this hub gives.
    """
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    tag = ETAG.fullmatch(text.strip())
    if tag is None:
        raise BadRequestError("If-Match takes an ETag as the hub gave it.", code="etag-invalid")
    return int(tag["version"])


def etag(item: dict[str, Any]) -> dict[str, str]:
    """The ETag of a record: its version."""
    return {"etag": f'"{item["version"]}"'} if "version" in item else {}


def known_already(request: Request, tag: str) -> bool:
    """True when ``If-None-Match`` names the tag, weak or strong, alone or among others (RFC 9110, 13.1.2)."""
    known = [item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")]
    return tag in known or known == ["*"]


class RestResource:
    """The operations of one noun."""

    def __init__(self, resource: Resource, gateway: Gateway, writer: crud.Writer) -> None:
        self.resource = resource
        self._gateway = gateway
        self._writer = writer
        self._schemas = wire(resource)
        self._changes = create_model(
            f"{self._schemas.patch.__name__}Item",
            __base__=self._schemas.patch,
            id=(uuid.UUID, ...),
            version=(int | None, None),
        )

    # --- reads ------------------------------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """One page of records."""
        ask = understand(self.resource, request.query_params.multi_items())
        long = ask.limit > SHORT_LIST or bool(ask.words) or ask.total
        page = await self._gateway.read(
            request,
            self.resource.scope("list"),
            lambda ctx: crud.list_(ctx, self.resource, ask),
            long=long,
            single=not (ask.total or ask.since),
        )
        return json_response(page.body())

    async def get(self, request: Request) -> Response:
        """One record."""
        key = record_id(self.resource, request.path_params["id"])
        known = dict(request.query_params)
        for name in known:
            if name not in {"fields", "omit", "brief"}:
                raise BadRequestError(f"There is no parameter {name} here.", code="parameter-unknown", parameter=name)
        fields = selection(self.resource, known)
        item = await self._gateway.read(
            request, self.resource.scope("get"), lambda ctx: crud.get(ctx, self.resource, key, fields), single=True
        )
        headers = etag(item)
        if headers and known_already(request, headers["etag"]):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if len(item) > len(fields):
            item = {name: item[name] for name in fields}
        return json_response(item, headers=headers)

    # --- writes -----------------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        """One record from an object, several from a list: all or none."""
        body = await read_body(request)
        several = body.lstrip()[:1] == b"["
        bodies = self._several(self._schemas.create, body) if several else [validated(self._schemas.create, body)]

        def work(ctx: Context) -> Answer:
            made = self._writer.create(ctx, self.resource, bodies)
            return self._shown(made, several=several, status=HTTPStatus.CREATED)

        return await self._write(request, "create", work, body)

    async def patch(self, request: Request) -> Response:
        """Change the fields sent."""
        key = record_id(self.resource, request.path_params["id"])
        version = expected_version(request)
        body = await read_body(request)
        change = validated(self._schemas.patch, body)

        def work(ctx: Context) -> Answer:
            record = crud.load(ctx, self.resource, key)
            return self._shown([self._writer.patch(ctx, self.resource, record, change, version)], several=False)

        return await self._write(request, "patch", work, body)

    async def patch_many(self, request: Request) -> Response:
        """Change several records, each named by its id: all or none."""
        body = await read_body(request)
        changes = self._several(self._changes, body)

        def work(ctx: Context) -> Answer:
            records: list[Any] = []
            for change in changes:
                record = crud.load(ctx, self.resource, change.id)
                wanted = {name: getattr(change, name) for name in change.model_fields_set - {"id", "version"}}
                patch = self._schemas.patch.model_construct(_fields_set=set(wanted), **wanted)
                records.append(self._writer.patch(ctx, self.resource, record, patch, change.version))
            return self._shown(records, several=True)

        return await self._write(request, "patch", work, body)

    async def delete(self, request: Request) -> Response:
        """Delete a record."""
        key = record_id(self.resource, request.path_params["id"])
        return await self._delete(request, [(key, expected_version(request))], b"")

    async def delete_many(self, request: Request) -> Response:
        """Delete several records: all or none."""
        body = await read_body(request)
        named = self._several(_Named, body)
        return await self._delete(request, [(item.id, item.version) for item in named], body)

    async def _delete(self, request: Request, keys: Sequence[tuple[uuid.UUID, int | None]], body: bytes) -> Response:
        cascade = flags(request).get("cascade", False)

        def work(ctx: Context) -> Answer:
            for key, version in keys:
                record = crud.load(ctx, self.resource, key)
                self._writer.delete(ctx, self.resource, record, version, cascade=cascade)
            gone = ctx.info.get(crud.DELETED, [])
            if ctx.dry_run:
                return Answer(HTTPStatus.OK, {"would_delete": gone}, {})
            return Answer(HTTPStatus.NO_CONTENT, None, {})

        return await self._write(request, "delete", work, body)

    async def _write(self, request: Request, verb: str, work: Callable[[Context], Answer], body: bytes) -> Response:
        dry_run = flags(request).get("dry_run", False)
        once = None if dry_run else idempotency(request, body)
        scope = self.resource.scope(verb)
        answer = await self._gateway.write(request, scope, self._once(once, work), once=once, dry_run=dry_run)
        if dry_run:
            answer.headers["dry-run"] = "true"
        return answer.response()

    def _once(self, once: Once | None, work: Callable[[Context], Answer]) -> Callable[[Context], Answer]:
        if once is None:
            return work

        def run(ctx: Context) -> Answer:
            pointer = former(ctx, once.key, once.digest)
            if pointer is not None:
                return self._again(ctx, pointer)
            answer = work(ctx)
            several = isinstance(answer.body, list)
            items: list[dict[str, Any]] = answer.body if several else [answer.body] if answer.body else []
            ids = [item["id"] for item in items]
            remember(ctx, once.key, once.digest, {"status": int(answer.status), "ids": ids, "several": several})
            return answer

        return run

    def _again(self, ctx: Context, pointer: dict[str, Any]) -> Answer:
        """What a repeated request gets: the records as they are now, if the caller may still see them."""
        records = [crud.load(ctx, self.resource, uuid.UUID(key)) for key in pointer["ids"]]
        replayed = {"idempotency-replayed": "true"}
        if not records and not pointer["several"]:
            return Answer(pointer["status"], None, replayed)
        answer = self._shown(records, several=pointer["several"], status=pointer["status"])
        return Answer(answer.status, answer.body, answer.headers | replayed)

    def _shown(self, records: Sequence[Any], *, several: bool, status: int = HTTPStatus.OK) -> Answer:
        items = [crud.shown(self.resource, record) for record in records]
        if several:
            return Answer(status, items, {})
        headers = etag(items[0])
        if status == HTTPStatus.CREATED:
            headers["location"] = f"/api/v1/{self.resource.plural}/{items[0]['id']}"
        return Answer(status, items[0], headers)

    def _several(self, model: type[BaseModel], body: bytes) -> list[Any]:
        try:
            bodies = _list_of(model).validate_json(body)
        except ValidationError as error:
            refused = not_valid(error)
            place = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
            if place:
                errors = refused.members["errors"]
                raise InvalidError(f"Item {refused.detail}", errors=errors, item=place[0]) from error
            raise InvalidError(f"A bulk body is a list of 1 to {MAX_BULK} objects: {refused.detail}") from error
        if not 0 < len(bodies) <= MAX_BULK:
            raise InvalidError(f"A bulk body is a list of 1 to {MAX_BULK} objects; this one has {len(bodies)}.")
        return bodies


@cache
def _list_of(model: type[BaseModel]) -> TypeAdapter[list[Any]]:
    several: Any = GenericAlias(list, (model,))
    return TypeAdapter(several)


class _Named(WireModel):
    """A record to delete, and the version the caller read."""

    id: uuid.UUID
    version: int | None = Field(default=None, ge=1)


class RestAction:
    """One verb: ``POST /{plural}/{id}/{name}`` on a record, ``POST /{path}`` on its own."""

    def __init__(self, action: Action, resource: Resource | None, gateway: Gateway) -> None:
        self.action = action
        self._resource = resource
        self._gateway = gateway

    async def call(self, request: Request) -> Response:
        """Carry out the verb."""
        body = await read_body(request)
        given = [validated(self.action.body, body or b"{}")] if self.action.body else []
        record = request.path_params.get("id")
        if self.action.risk is Risk.read:
            result = await self._gateway.read(
                request, self.action.scope, lambda ctx: self._run(ctx, record, given), long=True
            )
            return json_response(result)
        dry_run = flags(request).get("dry_run", False)
        once = None if dry_run else idempotency(request, body)
        answer = await self._gateway.write(
            request,
            self.action.scope,
            lambda ctx: self._once(ctx, once, record, given),
            once=once,
            dry_run=dry_run,
        )
        return json_response(answer, headers={"dry-run": "true"} if dry_run else None)

    def _once(self, ctx: Context, once: Once | None, record: str | None, given: list[Any]) -> Any:
        if once is None:
            return self._run(ctx, record, given)
        pointer = former(ctx, once.key, once.digest)
        if pointer is not None:
            if "result" not in pointer:
                raise InvalidError("This was done before; its answer is not kept.", code="already-done")
            return pointer["result"]
        result = self._run(ctx, record, given)
        kept = {} if self.action.risk is Risk.secret else {"result": result}
        remember(ctx, once.key, once.digest, kept)
        return result

    def _run(self, ctx: ReadContext, record: str | None, given: list[Any]) -> Any:
        if self._resource is None:
            result = self.action.run(ctx, *given)
        else:
            key = record_id(self._resource, record or "")
            result = self.action.run(ctx, crud.load(ctx, self._resource, key), *given)
        return result.model_dump(mode="json")


def _admitted(gateway: Gateway, scope: str, endpoint: Endpoint) -> Endpoint:
    """The endpoint, for those who may: nobody else's words are read."""

    async def answer(request: Request) -> Response:
        await gateway.admit(request, scope)
        return await endpoint(request)

    return answer


def routes(catalog: Catalog, gateway: Gateway) -> APIRouter:
    """The routes of the whole catalogue, below the API's root."""
    router = APIRouter()
    writer = crud.Writer(catalog)
    for resource in catalog.resources:
        noun = RestResource(resource, gateway, writer)
        offered: list[tuple[str, str, str, Endpoint]] = [
            ("list", "GET", "", noun.page),
            ("create", "POST", "", noun.create),
            ("patch", "PATCH", "", noun.patch_many),
            ("delete", "DELETE", "", noun.delete_many),
            ("get", "GET", "/{id}", noun.get),
            ("patch", "PATCH", "/{id}", noun.patch),
            ("delete", "DELETE", "/{id}", noun.delete),
        ]
        for verb, method, tail, endpoint in offered:
            if Verb(verb) in resource.verbs:
                router.add_api_route(
                    f"/{resource.plural}{tail}",
                    _admitted(gateway, resource.scope(verb), endpoint),
                    methods=[method],
                    response_class=Response,
                    **describe_operation(resource, verb, many=not tail and verb in {"patch", "delete"}),
                )
    for action in catalog.actions:
        on = catalog.by_name[action.on] if action.on else None
        path = f"/{on.plural}/{{id}}/{action.name}" if on else f"/{action.path or action.name}"
        router.add_api_route(
            path,
            _admitted(gateway, action.scope, RestAction(action, on, gateway).call),
            methods=["POST"],
            response_class=Response,
            **describe_action(action, on),
        )
    return router
