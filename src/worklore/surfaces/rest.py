"""REST: the routes of every noun and verb, derived from the catalogue.

One function per operation; what differs between nouns is in their Resource. The OpenAPI document of these routes is
derived as well, in :mod:`worklore.surfaces.openapi`.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from http import HTTPStatus
from types import GenericAlias
from typing import Any, Final

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from worklore.kernel import crud
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import BadRequestError, InvalidError, NotFoundError, limit, named
from worklore.kernel.idempotency import former, remember
from worklore.kernel.query import Ask, Condition, equal, selection, understand
from worklore.kernel.resource import Catalog, Resource, Verb
from worklore.kernel.wire import Wire, WireModel, wire
from worklore.surfaces.asked import etag, expected_version, flags, record_id
from worklore.surfaces.dispatch import Endpoint, Operation
from worklore.surfaces.http import (
    Gateway,
    Once,
    json_response,
    known_already,
    not_valid,
    read_body,
    validated,
)
from worklore.surfaces.openapi import describe_action, describe_lookup, describe_operation
from worklore.surfaces.verbs import RestAction

MAX_BULK: Final = 500
SHORT_LIST: Final = 100
"""Lists of up to so many rows are read on the event loop where the database is in the process."""


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


class RestResource:
    """The operations of one noun."""

    def __init__(self, resource: Resource, gateway: Gateway, writer: crud.Writer) -> None:
        self.resource = resource
        self._gateway = gateway
        self._writer = writer

    # A model costs milliseconds and a hub has hundreds: each is made when it is first needed.

    @cached_property
    def _schemas(self) -> Wire:
        return wire(self.resource)

    @cached_property
    def _changes(self) -> type[BaseModel]:
        patch = self._schemas.patch
        return create_model(f"{patch.__name__}Item", __base__=patch, id=(uuid.UUID, ...), version=(int | None, None))

    # --- reads ------------------------------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """One page of records."""
        ask = understand(self.resource, request.query_params.multi_items())
        work = partial(crud.list_, resource=self.resource, ask=ask)
        return await self._page(request, ask, work, single=not (ask.total or ask.since))

    async def of(self, name: str, parent: Resource | None, request: Request) -> Response:
        """One page of the records whose field has the value in the path.

        Raises:
            NotFoundError: the value is the id of a parent that is not there, or may not be seen.
        """
        ask = understand(self.resource, request.query_params.multi_items())
        condition = self._named(name, parent, request)
        ask = replace(ask, conditions=(*ask.conditions, condition))

        def work(ctx: ReadContext) -> crud.Page:
            if parent is not None:
                crud.get(ctx, parent, condition.value, ("id",))
            return crud.list_(ctx, self.resource, ask)

        return await self._page(request, ask, work)

    async def _page(
        self, request: Request, ask: Ask, work: Callable[[ReadContext], crud.Page], *, single: bool = False
    ) -> Response:
        long = ask.limit > SHORT_LIST or bool(ask.words) or ask.total
        page = await self._gateway.read(request, self.resource.scope("list"), work, long=long, single=single)
        return json_response(page.body())

    def _named(self, name: str, parent: Resource | None, request: Request) -> Condition:
        """The condition that a look-up's path states."""
        text = request.path_params["value"]
        return equal(self.resource, name, str(record_id(parent, text)) if parent else text)

    async def get(self, request: Request) -> Response:
        """One record."""
        return await self._get(request, record_id(self.resource, request.path_params["id"]), "id")

    async def get_by(self, name: str, parent: Resource | None, request: Request) -> Response:
        """The one record whose field has the value in the path."""
        return await self._get(request, self._named(name, parent, request).value, name)

    async def _get(self, request: Request, key: object, by: str) -> Response:
        known = dict(request.query_params)
        for name in known:
            if name not in {"fields", "omit", "brief"}:
                told = named(name)
                raise BadRequestError(f"There is no parameter {told} here.", code="parameter-unknown", parameter=told)
        fields = selection(self.resource, known)
        item = await self._gateway.read(
            request,
            self.resource.scope("get"),
            lambda ctx: crud.get(ctx, self.resource, key, fields, by=by),
            single=True,
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

    async def put_by(self, name: str, parent: Resource | None, request: Request) -> Response:
        """Make the one record whose field has the value in the path, or change the fields sent."""
        value = self._named(name, parent, request).value
        version = expected_version(request)
        body = await read_body(request)
        given: dict[str, Any] = validated(_Object, body).model_extra or {}
        if given.get(name, str(value)) != str(value):
            raise InvalidError(f"{name} in the body differs from the path.", field=name)
        wanted = validated(self._schemas.create, json.dumps({**given, name: str(value)}).encode())

        def work(ctx: Context) -> Answer:
            try:
                record = crud.load(ctx, self.resource, value, by=name)
            except NotFoundError:
                made = self._writer.create(ctx, self.resource, [wanted])
                return self._shown(made, status=HTTPStatus.CREATED)
            return self._shown([self._writer.patch(ctx, self.resource, record, self._change(record, wanted), version)])

        return await self._write(request, "create", work, body)

    def _change(self, record: Any, wanted: BaseModel) -> BaseModel:
        """What a new record's body changes in the one that is there.

        Raises:
            InvalidError: a field that is set once would change.
        """
        changed = {field: getattr(wanted, field) for field in wanted.model_fields_set}
        for field in changed.keys() - self._schemas.patch.model_fields.keys():
            if changed.pop(field) != getattr(record, self._schemas.attributes[field]):
                raise InvalidError(f"{field} is set once, on creation.", field=field)
        return self._schemas.patch.model_construct(_fields_set=set(changed), **changed)

    async def patch(self, request: Request) -> Response:
        """Change the fields sent."""
        key = record_id(self.resource, request.path_params["id"])
        version = expected_version(request)
        body = await read_body(request)
        change = validated(self._schemas.patch, body)

        def work(ctx: Context) -> Answer:
            record = crud.load(ctx, self.resource, key)
            return self._shown([self._writer.patch(ctx, self.resource, record, change, version)])

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
        once = self._gateway.once(request, body)
        if dry_run:
            once = None
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

    def _shown(self, records: Sequence[Any], *, several: bool = False, status: int = HTTPStatus.OK) -> Answer:
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
                raise InvalidError(f"Item {refused.detail}", **refused.members, item=place[0]) from error
            detail = f"A bulk body is a list of 1 to {MAX_BULK} objects: {refused.detail}"
            raise InvalidError(detail, **refused.members) from error
        if not 0 < len(bodies) <= MAX_BULK:
            detail = f"A bulk body is a list of 1 to {MAX_BULK} objects; this one has {len(bodies)}."
            raise InvalidError(detail, **limit("bulk-rows", MAX_BULK, len(bodies)))
        return bodies


@cache
def _list_of(model: type[BaseModel]) -> TypeAdapter[list[Any]]:
    several: Any = GenericAlias(list, (model,))
    return TypeAdapter(several)


class _Named(WireModel):
    """A record to delete, and the version the caller read."""

    id: uuid.UUID
    version: int | None = Field(default=None, ge=1)


class _Object(BaseModel):
    """Any JSON object."""

    model_config = ConfigDict(extra="allow")


def _admitted(gateway: Gateway, scope: str, endpoint: Endpoint) -> Endpoint:
    """The endpoint, for those who may: nobody else's words are read."""

    async def answer(request: Request) -> Response:
        await gateway.admit(request, scope)
        return await endpoint(request)

    return answer


def operations(catalog: Catalog, gateway: Gateway) -> Iterator[Operation]:
    """The operations of the whole catalogue, below the API's root."""
    writer = crud.Writer(catalog)
    for resource in catalog.resources:
        noun = RestResource(resource, gateway, writer)
        yield from _of_noun(noun, gateway)
        for name, field in resource.by:
            yield from _of_lookup(catalog, noun, gateway, name, field.key)
    for action in catalog.actions:
        on = catalog.by_name[action.on] if action.on else None
        rest = RestAction(action, on, gateway)
        if on is None:
            path = f"/{action.path or action.name}"
        else:
            path = f"/{on.plural}/{action.name}" if action.finds else f"/{on.plural}/{{id}}/{action.name}"
        method, endpoint = ("GET", rest.find) if action.finds else ("POST", rest.call)
        describe = partial(describe_action, action, on)
        yield Operation(method, path, _admitted(gateway, action.scope, endpoint), describe)


def _of_noun(noun: RestResource, gateway: Gateway) -> Iterator[Operation]:
    offered: list[tuple[str, str, str, Endpoint]] = [
        ("list", "GET", "", noun.page),
        ("create", "POST", "", noun.create),
        ("patch", "PATCH", "", noun.patch_many),
        ("delete", "DELETE", "", noun.delete_many),
        ("get", "GET", "/{id}", noun.get),
        ("patch", "PATCH", "/{id}", noun.patch),
        ("delete", "DELETE", "/{id}", noun.delete),
    ]
    resource = noun.resource
    for verb, method, tail, endpoint in offered:
        if Verb(verb) in resource.verbs:
            describe = partial(describe_operation, resource, verb, many=not tail and verb in {"patch", "delete"})
            admitted = _admitted(gateway, resource.scope(verb), endpoint)
            yield Operation(method, f"/{resource.plural}{tail}", admitted, describe)


def _of_lookup(catalog: Catalog, noun: RestResource, gateway: Gateway, name: str, field: str) -> Iterator[Operation]:
    """A list by a field's value or, where no two records share it, the one record: read, or made and changed."""
    resource = noun.resource
    path = f"/{resource.plural}/by-{name}/{{value}}"
    tables = [key.column.table.description for key in resource.table.c[field].foreign_keys]
    parent = next((catalog.by_table[table] for table in tables if table in catalog.by_table), None)
    offered: list[tuple[str, str, Any]] = [("list", "GET", noun.of)]
    if resource.is_unique(field):
        offered = [("get", "GET", noun.get_by)]
        if {Verb.create, Verb.patch} <= resource.verbs:
            offered.append(("put", "PUT", noun.put_by))
    for verb, method, endpoint in offered:
        scope = resource.scope("create" if verb == "put" else verb)
        describe = partial(describe_lookup, resource, verb, name, field, parent)
        yield Operation(method, path, _admitted(gateway, scope, partial(endpoint, field, parent)), describe)
