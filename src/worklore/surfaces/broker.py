"""Calls with a secret in them, which the hub makes for whoever holds a lease."""

import uuid
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request

from worklore.kernel import crud
from worklore.kernel.context import Context
from worklore.surfaces.http import Gateway, bounded
from worklore.vault.broker import Call, Called, NewCall, make, prepare
from worklore.vault.lease import CREDENTIAL_LEASES, USE

CALLS: Final = 16
"""Calls under way at once."""


def routes(gateway: Gateway) -> APIRouter:
    """The route, below the API's root."""
    router = APIRouter(route_class=bounded(gateway))
    limiter = CapacityLimiter(CALLS)

    @router.post(
        "/credential-leases/{lease_id}/call",
        tags=["credential-leases"],
        responses={
            502: {
                "description": "The other side did not answer as it should; `code` says how.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
        },
        openapi_extra={"x-scope": USE, "x-risk": "secret"},
    )
    async def call(request: Request, lease_id: uuid.UUID, body: NewCall) -> Called:
        """Let the hub make a request with a secret in it, to a place of its credential; gives the answer without it."""

        def on_record(ctx: Context) -> Call:
            return prepare(ctx, crud.load(ctx, CREDENTIAL_LEASES, lease_id), body)

        # Two steps: what the record of touches says is stored before anything leaves, and no unit of work waits.
        ready = await gateway.write(request, USE, on_record)
        server = request.scope.get("server")
        return await to_thread.run_sync(make, ready, (server[0], server[1]) if server else None, limiter=limiter)

    return router
