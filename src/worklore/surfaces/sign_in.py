"""Sign-in and set-up: the few operations that need no token, and who a token belongs to."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request

from worklore.identity.agent import AGENTS
from worklore.identity.limits import Limits, set_limits
from worklore.identity.machine import Machine
from worklore.identity.renewal import AccessGranted, Caller, refused_renewal, renew, sign_out
from worklore.identity.sign_in import (
    AgentToken,
    Attempt,
    Code,
    Connected,
    ForGrant,
    NewPassword,
    Renewal,
    SetUp,
    SignIn,
    attempt_sign_in,
    finish_sign_in,
    new_code,
    redeem,
    refused_sign_in,
    set_password,
    token_for_agent,
    verified,
)
from worklore.identity.user import USERS, User
from worklore.kernel.access import SYSTEM, Principal, PrincipalKind
from worklore.kernel.context import ReadContext
from worklore.kernel.errors import ForbiddenError
from worklore.surfaces.http import Gateway, bounded

ANONYMOUS = Principal(PrincipalKind.system, "anonymous", frozenset())


def _attempt(gateway: Gateway, body: SignIn, caller: Caller) -> Attempt:
    """What is known of a sign-in, and whether its password is right; away from the event loop, as it takes its time."""
    with gateway.database.read(SYSTEM) as ctx:
        attempt, stored = attempt_sign_in(ctx, gateway.authenticator.key, body, caller)
    return verified(attempt, stored)


def _caller(request: Request) -> Caller:
    return Caller(request.client.host if request.client else None, request.headers.get("user-agent"))


def _holder(gateway: Gateway, scope: str) -> Callable[[Request], Awaitable[None]]:
    """Turns away whoever lacks a scope before the body is looked at."""

    async def admitted(request: Request) -> None:
        await gateway.admit(request, scope)

    return admitted


def routes(gateway: Gateway, access_life: timedelta, token_life: timedelta) -> APIRouter:
    """The routes, below the API's root."""
    router = APIRouter(route_class=bounded(gateway))
    _ways_in(router, gateway, access_life, token_life)
    _for_those_within(router, gateway)
    _of_limits(router, gateway)
    return router


def _ways_in(router: APIRouter, gateway: Gateway, access_life: timedelta, token_life: timedelta) -> None:
    key = gateway.authenticator.key
    hashing = CapacityLimiter(4)

    @router.post("/auth/sign-in", tags=["auth"], openapi_extra={"security": [], "x-risk": "write"})
    async def sign_in(request: Request, body: SignIn) -> AccessGranted:
        """Sign in with an address and a password; gives an access token for ten minutes, and one to renew it with."""
        attempt = await to_thread.run_sync(_attempt, gateway, body, _caller(request), limiter=hashing)
        granted = await gateway.write(
            request, None, lambda unit: finish_sign_in(unit, key, attempt, access_life), principal=ANONYMOUS
        )
        if granted is None:
            raise refused_sign_in()
        return granted

    @router.post("/auth/refresh", tags=["auth"], openapi_extra={"security": [], "x-risk": "secret"})
    async def refresh(request: Request, body: Renewal) -> AccessGranted:
        """Use a refresh token: gives a new access token and the next refresh token. A late second use ends both."""
        granted = await gateway.write(
            request, None, lambda unit: renew(unit, key, body.refresh_token, access_life), principal=ANONYMOUS
        )
        if granted is None:
            gateway.authenticator.forget()
            raise refused_renewal()
        return granted

    @router.post("/auth/sign-out", tags=["auth"], status_code=204, openapi_extra={"security": [], "x-risk": "write"})
    async def end_sign_in(request: Request, body: Renewal) -> None:
        """End the sign-in that a refresh token is of, and all its tokens."""
        await gateway.write(request, None, lambda unit: sign_out(unit, key, body.refresh_token), principal=ANONYMOUS)
        gateway.authenticator.forget()

    @router.post("/auth/setup", tags=["auth"], status_code=201, openapi_extra={"security": [], "x-risk": "secret"})
    async def set_up(request: Request, body: SetUp) -> Connected:
        """Use up a one-time set-up code: register the machine and get its token, shown this once."""
        return await gateway.write(request, None, lambda ctx: redeem(ctx, key, body, token_life), principal=ANONYMOUS)


def _for_those_within(router: APIRouter, gateway: Gateway) -> None:
    key = gateway.authenticator.key

    @router.post(
        "/auth/agent-token",
        tags=["auth"],
        status_code=201,
        dependencies=[Depends(_holder(gateway, "task-grant:write"))],
        openapi_extra={"x-scope": "task-grant:write", "x-risk": "secret"},
    )
    async def agent_token(request: Request, body: ForGrant) -> AgentToken:
        """A token for an agent of yours to work by a grant, shown this once; it ends with the grant."""
        return await gateway.write(request, "task-grant:write", lambda unit: token_for_agent(unit, key, body))

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


def _of_limits(router: APIRouter, gateway: Gateway) -> None:
    @router.put(
        "/users/{user_id}/clients",
        tags=["user"],
        dependencies=[Depends(_holder(gateway, "user:write"))],
        openapi_extra={"x-scope": "user:write", "x-risk": "write"},
    )
    async def limit_user(request: Request, user_id: UUID, body: Limits) -> Limits:
        """Limit a user to clients, or lift the limit with null; the user's tokens end."""
        limits = await gateway.write(request, "user:write", lambda ctx: set_limits(ctx, USERS, user_id, body))
        gateway.authenticator.forget()
        return limits

    @router.put(
        "/agents/{agent_id}/clients",
        tags=["agent"],
        dependencies=[Depends(_holder(gateway, "agent:write"))],
        openapi_extra={"x-scope": "agent:write", "x-risk": "write"},
    )
    async def limit_agent(request: Request, agent_id: UUID, body: Limits) -> Limits:
        """Limit an agent to clients among its owner's, or lift the limit with null; the agent's tokens end."""
        limits = await gateway.write(request, "agent:write", lambda ctx: set_limits(ctx, AGENTS, agent_id, body))
        gateway.authenticator.forget()
        return limits
