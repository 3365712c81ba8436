"""Sign-in and set-up: the few operations that need no token, and who a token belongs to."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request

from worklore.identity.machine import Machine
from worklore.identity.sign_in import (
    AccessGranted,
    Code,
    Connected,
    NewPassword,
    SetUp,
    SignIn,
    find_for_sign_in,
    finish_sign_in,
    new_code,
    redeem,
    refused_sign_in,
    set_password,
    verify_password,
)
from worklore.identity.user import User
from worklore.kernel.access import SYSTEM, Principal, PrincipalKind
from worklore.kernel.context import ReadContext
from worklore.kernel.errors import ForbiddenError
from worklore.surfaces.http import BoundedRoute, Gateway

ANONYMOUS = Principal(PrincipalKind.system, "anonymous", frozenset())


def _verified(gateway: Gateway, body: SignIn) -> tuple[UUID | None, bool]:
    """Whose address it is and whether the password is theirs; away from the event loop, as it takes its time."""
    with gateway.database.read(SYSTEM) as ctx:
        user_id, stored = find_for_sign_in(ctx, body.email)
    return user_id, verify_password(stored, body.password.get_secret_value())


def routes(gateway: Gateway, access_life: timedelta, token_life: timedelta) -> APIRouter:
    """The routes, below the API's root."""
    router = APIRouter(route_class=BoundedRoute)
    key = gateway.authenticator.key
    hashing = CapacityLimiter(4)

    @router.post("/auth/sign-in", tags=["auth"], openapi_extra={"security": [], "x-risk": "write"})
    async def sign_in(request: Request, body: SignIn) -> AccessGranted:
        """Sign in with an address and a password; gives an access token for ten minutes."""
        user_id, verified = await to_thread.run_sync(_verified, gateway, body, limiter=hashing)
        granted = await gateway.write(
            request,
            None,
            lambda unit: finish_sign_in(unit, key, user_id, verified=verified, life=access_life),
            principal=ANONYMOUS,
        )
        if granted is None:
            raise refused_sign_in()
        return granted

    @router.post("/auth/setup", tags=["auth"], status_code=201, openapi_extra={"security": [], "x-risk": "secret"})
    async def set_up(request: Request, body: SetUp) -> Connected:
        """Use up a one-time set-up code: register the machine and get its token, shown this once."""
        return await gateway.write(request, None, lambda ctx: redeem(ctx, key, body, token_life), principal=ANONYMOUS)

    @router.post(
        "/auth/password",
        tags=["auth"],
        status_code=204,
        dependencies=[Depends(gateway.known)],
        openapi_extra={"x-risk": "secret"},
    )
    async def change_password(request: Request, body: NewPassword) -> None:
        """Set your password; tokens made under a former one end."""
        await gateway.write(request, None, lambda ctx: set_password(ctx, body))
        gateway.authenticator.forget()

    @router.post(
        "/setup-codes",
        tags=["auth"],
        status_code=201,
        openapi_extra={"x-scope": "setup-code:write", "x-risk": "secret"},
    )
    async def make_code(request: Request) -> Code:
        """A further one-time code, good for half an hour, for another machine of yours."""

        def work(ctx: Any) -> Code:
            user = ctx.session.get(User, ctx.principal.user_id)
            if user is None:
                raise ForbiddenError("Only a user's tokens can make set-up codes.")
            return new_code(ctx, key, user)

        return await gateway.write(request, "setup-code:write", work)

    @router.get("/me", tags=["auth"], openapi_extra={"x-risk": "read"})
    async def me(request: Request) -> dict[str, Any]:
        """Who the token belongs to and what it may do."""

        def work(ctx: ReadContext) -> dict[str, Any]:
            principal = ctx.principal
            user = ctx.session.get(User, principal.user_id) if principal.user_id else None
            machine = ctx.session.get(Machine, principal.machine_id) if principal.machine_id else None
            return {
                "kind": principal.kind,
                "user": {"id": user.id, "email": user.email, "name": user.name, "role": user.role} if user else None,
                "machine": {"id": machine.id, "hostname": machine.hostname} if machine else None,
                "scopes": sorted(principal.scopes),
                "clients": sorted(map(str, principal.clients)) if principal.clients is not None else None,
            }

        return await gateway.read(request, None, work)

    return router
