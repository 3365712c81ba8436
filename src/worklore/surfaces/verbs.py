"""REST: one verb of the catalogue, on a record, on its own, or finding a part of a list."""

from collections.abc import Callable
from typing import Any

from anyio import to_thread
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from worklore.kernel import crud
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import BadRequestError, InvalidError
from worklore.kernel.idempotency import former, remember
from worklore.kernel.query import understand
from worklore.kernel.resource import Resource
from worklore.surfaces.asked import flags, record_id
from worklore.surfaces.http import Gateway, Once, json_response, not_valid, read_body, validated


class RestAction:
    """One verb.

    ``POST /{plural}/{id}/{name}`` on a record, ``POST /{path}`` on its own, ``GET /{plural}/{name}`` where it finds.
    """

    def __init__(self, action: Action, resource: Resource | None, gateway: Gateway) -> None:
        self.action = action
        self._resource = resource
        self._gateway = gateway

    async def find(self, request: Request) -> Response:
        """The part of the list that the verb finds."""
        assert self._resource is not None  # noqa: S101 - what finds is on a noun
        own = self.action.body.model_fields if self.action.body else {}
        known = request.query_params.multi_items()
        rest = [(name, text) for name, text in known if name not in own]
        ask = understand(self._resource, rest, order=self.action.finds)
        given = [self._asked(self.action.body, [item for item in known if item[0] in own])] if self.action.body else []
        page: crud.Page = await self._gateway.read(
            request, self.action.scope, lambda ctx: self.action.run(ctx, *given, ask), long=True
        )
        return json_response(page.body())

    @staticmethod
    def _asked(model: type[BaseModel], known: list[tuple[str, str]]) -> BaseModel:
        repeated = next((name for name, _ in known if [key for key, _ in known].count(name) > 1), None)
        if repeated:
            raise BadRequestError(f"{repeated} is given twice.", code="parameter-repeated", parameter=repeated)
        try:
            return model.model_validate(dict(known))
        except ValidationError as error:
            refused = not_valid(error)
            raise BadRequestError(refused.detail, code="parameter-value", **refused.members) from error

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
        once = self._gateway.once(request, body)
        if dry_run:
            once = None
        outside = self.action.outside
        if outside is not None:
            result = await self._outside(request, outside, once, record, given, dry_run=dry_run)
        else:
            result = await self._gateway.write(
                request,
                self.action.scope,
                lambda ctx: self._once(ctx, once, lambda: self._run(ctx, record, given)),
                once=once,
                dry_run=dry_run,
            )
        return json_response(result, headers={"dry-run": "true"} if dry_run else None)

    async def _outside(
        self,
        request: Request,
        outside: Callable[[Any], Callable[[Context], BaseModel]],
        once: Once | None,
        record: str | None,
        given: list[Any],
        *,
        dry_run: bool,
    ) -> Any:
        """A verb that does something outside between two units of work. It is remembered when all is done."""
        if dry_run:
            raise BadRequestError(
                "What is done outside cannot be tried out.", code="parameter-value", parameter="dry_run"
            )

        def first(ctx: Context) -> tuple[Any, Any]:
            known = self._known(ctx, once)
            return known, None if known is not None else self._carried_out(ctx, record, given)

        known, prepared = await self._gateway.write(request, self.action.scope, first, once=once, hopeful=False)
        if known is not None:
            return known
        last = await to_thread.run_sync(outside, prepared)
        return await self._gateway.write(
            request,
            self.action.scope,
            lambda ctx: self._once(ctx, once, lambda: last(ctx).model_dump(mode="json")),
            once=once,
        )

    def _once(self, ctx: Context, once: Once | None, work: Callable[[], Any]) -> Any:
        known = self._known(ctx, once)
        if known is not None:
            return known
        result = work()
        if once is not None:
            kept = {} if self.action.risk is Risk.secret else {"result": result}
            remember(ctx, once.key, once.digest, kept)
        return result

    @staticmethod
    def _known(ctx: Context, once: Once | None) -> Any:
        """What was answered before under this key; None for a new one."""
        pointer = former(ctx, once.key, once.digest) if once is not None else None
        if pointer is None:
            return None
        if "result" not in pointer:
            raise InvalidError("This was done before; its answer is not kept.", code="already-done")
        return pointer["result"]

    def _run(self, ctx: ReadContext, record: str | None, given: list[Any]) -> Any:
        return self._carried_out(ctx, record, given).model_dump(mode="json")

    def _carried_out(self, ctx: ReadContext, record: str | None, given: list[Any]) -> Any:
        if self._resource is None:
            return self.action.run(ctx, *given)
        key = record_id(self._resource, record or "")
        return self.action.run(ctx, crud.load(ctx, self._resource, key), *given)
