"""Sign-in and set-up: the few operations that need no token, and who a token belongs to."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request

from worklore.identity.agent import AGENTS
from worklore.identity.limits import Limits, set_limits
from worklore.identity.machine import Machine
from worklore.identity.password import hash_password, require_good
from worklore.identity.renewal import AccessGranted, Caller, refused_renewal, renew, sign_out
from worklore.identity.second_factor import Enrolment, RecoveryCodes, confirm, enrolled
from worklore.identity.setup import (
    CODE_SCOPE,
    Code,
    Connected,
    Join,
    Joined,
    SetUp,
    first_password,
    join,
    new_code,
    redeem,
)
from worklore.identity.sign_in import (
    AgentToken,
    Attempt,
    ForGrant,
    NewPassword,
    Renewal,
    SignIn,
    WithCode,
    WithPassword,
    WithPasswordAndCode,
    attempt_again,
    attempt_sign_in,
    enrol_again,
    finish_sign_in,
    remove_second_factor,
    require_person,
    set_password,
    token_for_agent,
    verified,
)
from worklore.identity.user import USERS, User
from worklore.kernel.access import SYSTEM, Principal, PrincipalKind
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import ForbiddenError, UnauthenticatedError
from worklore.surfaces.http import Gateway, bounded

ANONYMOUS = Principal(PrincipalKind.system, "anonymous", frozenset())
HASHING = 4
"""Passwords that are hashed at once; further callers wait without holding a thread."""

T = TypeVar("T")


def _caller(request: Request) -> Caller:
    return Caller(request.client.host if request.client else None, request.headers.get("user-agent"))


def _person(gateway: Gateway) -> Callable[[Request], Awaitable[None]]:
    """Turns away whoever has not signed in as a person before the body is looked at."""

    async def admitted(request: Request) -> None:
        await gateway.admit(request, None)
        require_person(gateway.principal(request))

    return admitted


def or_raise(answer: T | UnauthenticatedError) -> T:
    """What a unit of work has answered; a refusal that was committed, with what it counts, is raised only now."""
    if isinstance(answer, UnauthenticatedError):
        raise answer
    return answer


class Passwords:
    """Compares and hashes passwords away from the event loop and outside units of work, a few at a time."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._limiter = CapacityLimiter(HASHING)

    async def attempt(self, request: Request, body: SignIn) -> Attempt:
        """What is known of a sign-in, and whether its password is right."""

        def work() -> Attempt:
            with self._gateway.database.read(SYSTEM) as ctx:
                attempt, stored = attempt_sign_in(ctx, self._gateway.authenticator.key, body, _caller(request))
            return verified(attempt, stored)

        return await to_thread.run_sync(work, limiter=self._limiter)

    async def again(self, request: Request, body: WithPassword, purpose: str) -> Attempt:
        """Whether it is the password of who has signed in."""
        return (await self._again(request, body, purpose, None))[0]

    async def change(self, request: Request, body: NewPassword) -> tuple[Attempt, str]:
        """Whether the present password is right, and the hash of the new one."""
        return await self._again(request, WithPassword(password=body.current), "change-password", body)

    async def _again(
        self, request: Request, body: WithPassword, purpose: str, wanted: NewPassword | None
    ) -> tuple[Attempt, str]:
        principal = self._gateway.principal(request)

        def work() -> tuple[Attempt, str]:
            with self._gateway.database.read(principal) as ctx:
                key, caller = self._gateway.authenticator.key, _caller(request)
                attempt, stored = attempt_again(ctx, key, body.password, caller, purpose)
            if wanted is not None:
                require_good(wanted.password, attempt.body.email)
            attempt = verified(attempt, stored)
            hashed = hash_password(wanted.password.get_secret_value()) if wanted and attempt.verified else ""
            return attempt, hashed

        return await to_thread.run_sync(work, limiter=self._limiter)

    async def chosen(self, body: SetUp | Join) -> str | None:
        """The hash of a first password that comes with a good code."""

        def work() -> str | None:
            with self._gateway.database.read(SYSTEM) as ctx:
                password = first_password(ctx, self._gateway.authenticator.key, body)
            return hash_password(password) if password else None

        return await to_thread.run_sync(work, limiter=self._limiter)


def routes(gateway: Gateway, access_life: timedelta, token_life: timedelta) -> APIRouter:
    """The routes, below the API's root."""
    router = APIRouter(route_class=bounded(gateway))
    passwords = Passwords(gateway)
    _ways_in(router, gateway, passwords, access_life)
    _by_code(router, gateway, passwords, token_life)
    _for_people(router, gateway, passwords)
    _for_those_within(router, gateway)
    _of_limits(router, gateway)
    return router


def _ways_in(router: APIRouter, gateway: Gateway, passwords: Passwords, access_life: timedelta) -> None:
    key = gateway.authenticator.key

    @router.post("/auth/sign-in", tags=["auth"], openapi_extra={"security": [], "x-risk": "secret"})
    async def sign_in(request: Request, body: SignIn) -> AccessGranted:
        """Sign in with an address and a password, and a code where there is a second factor.

        Gives an access token for ten minutes, and one to renew it with.
        """
        attempt = await passwords.attempt(request, body)
        return or_raise(
            await gateway.write(
                request, None, lambda unit: finish_sign_in(unit, key, attempt, access_life), principal=ANONYMOUS
            )
        )

    @router.post("/auth/refresh", tags=["auth"], openapi_extra={"security": [], "x-risk": "secret"})
    async def refresh(request: Request, body: Renewal) -> AccessGranted:
        """Use a refresh token: gives a new access token and the next refresh token. A late second use ends both."""
        granted = await gateway.write(
            request, None, lambda unit: renew(unit, key, body.refresh_token, access_life), principal=ANONYMOUS
        )
        if granted is None:
            raise refused_renewal()
        return granted

    @router.post("/auth/sign-out", tags=["auth"], status_code=204, openapi_extra={"security": [], "x-risk": "write"})
    async def end_sign_in(request: Request, body: Renewal) -> None:
        """End the sign-in that a refresh token is of, and all its tokens."""
        await gateway.write(request, None, lambda unit: sign_out(unit, key, body.refresh_token), principal=ANONYMOUS)


def _by_code(router: APIRouter, gateway: Gateway, passwords: Passwords, token_life: timedelta) -> None:
    key = gateway.authenticator.key

    @router.post("/auth/setup", tags=["auth"], status_code=201, openapi_extra={"security": [], "x-risk": "secret"})
    async def set_up(request: Request, body: SetUp) -> Connected:
        """Use up a one-time set-up code: register the machine and get its token, shown this once.

        A password is set for a user who has none; one that is there stays.
        """
        hashed = await passwords.chosen(body) if body.password else None
        return await gateway.write(
            request, None, lambda ctx: redeem(ctx, key, body, token_life, hashed), principal=ANONYMOUS
        )

    @router.post("/auth/join", tags=["auth"], openapi_extra={"security": [], "x-risk": "secret"})
    async def accept_invitation(request: Request, body: Join) -> Joined:
        """Use up an invitation: choose a first password. Answers with the address to sign in with."""
        hashed = await passwords.chosen(body)
        return await gateway.write(request, None, lambda ctx: join(ctx, key, body, hashed), principal=ANONYMOUS)

    @router.post(
        "/setup-codes",
        tags=["auth"],
        status_code=201,
        openapi_extra={"x-scope": CODE_SCOPE, "x-risk": "secret"},
    )
    async def make_code(request: Request) -> Code:
        """A further one-time code, good for half an hour, for another machine of yours."""

        def work(ctx: Context) -> Code:
            user = ctx.session.get(User, ctx.principal.user_id) if ctx.principal.user_id else None
            if user is None:
                raise ForbiddenError("Only a user's tokens can make set-up codes.")
            return new_code(ctx, key, user)

        return await gateway.write(request, CODE_SCOPE, work)


def _for_people(router: APIRouter, gateway: Gateway, passwords: Passwords) -> None:
    """What only a person who has signed in may do, and only about themselves."""
    key, admitted = gateway.authenticator.key, [Depends(_person(gateway))]

    @router.post(
        "/auth/password", tags=["auth"], status_code=204, dependencies=admitted, openapi_extra={"x-risk": "secret"}
    )
    async def change_password(request: Request, body: NewPassword) -> None:
        """Set your password; tokens made under the former one end."""
        attempt, hashed = await passwords.change(request, body)
        or_raise(await gateway.write(request, None, lambda ctx: set_password(ctx, key, attempt, hashed)))

    @router.post("/auth/second-factor/enrol", tags=["auth"], dependencies=admitted, openapi_extra={"x-risk": "secret"})
    async def enrol_second_factor(request: Request, body: WithPassword) -> Enrolment:
        """The seed for an authenticator app, shown this once. It counts when it is confirmed by a code."""
        attempt = await passwords.again(request, body, "enrol-second-factor")
        return or_raise(await gateway.write(request, None, lambda ctx: enrol_again(ctx, key, attempt)))

    @router.post(
        "/auth/second-factor/confirm", tags=["auth"], dependencies=admitted, openapi_extra={"x-risk": "secret"}
    )
    async def confirm_second_factor(request: Request, body: WithCode) -> RecoveryCodes:
        """Let the second factor count, by a code of the app. Gives ten recovery codes, shown this once."""

        def work(ctx: Context) -> RecoveryCodes:
            user = ctx.session.get_one(User, ctx.principal.user_id)
            return confirm(ctx, key, user.id, body.code)

        codes = await gateway.write(request, None, work)
        gateway.authenticator.forget()
        return codes

    @router.post(
        "/auth/second-factor/remove",
        tags=["auth"],
        status_code=204,
        dependencies=admitted,
        openapi_extra={"x-risk": "destructive"},
    )
    async def do_without_second_factor(request: Request, body: WithPasswordAndCode) -> None:
        """Remove your second factor, by your password and a code of the app or a recovery code."""
        attempt = await passwords.again(request, body, "remove-second-factor")
        or_raise(await gateway.write(request, None, lambda ctx: remove_second_factor(ctx, key, attempt, body.code)))
        gateway.authenticator.forget()


def _for_those_within(router: APIRouter, gateway: Gateway) -> None:
    key = gateway.authenticator.key

    @router.post(
        "/auth/agent-token",
        tags=["auth"],
        status_code=201,
        openapi_extra={"x-scope": "task-grant:write", "x-risk": "secret"},
    )
    async def agent_token(request: Request, body: ForGrant) -> AgentToken:
        """A token for an agent of yours to work by a grant, shown this once; it ends with the grant."""
        return await gateway.write(request, "task-grant:write", lambda unit: token_for_agent(unit, key, body))

    @router.get("/me", tags=["auth"], openapi_extra={"x-risk": "read"})
    async def me(request: Request) -> dict[str, Any]:
        """Who the token belongs to, what it may do, and whether secrets may be shown to it."""

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
                "signed_in": principal.signed_in,
                "sees_secrets": principal.sees_secrets,
                "second_factor_enrolled": user is not None and enrolled(ctx, user.id) is not None,
            }

        return await gateway.read(request, None, work)


def _of_limits(router: APIRouter, gateway: Gateway) -> None:
    @router.put(
        "/users/{user_id}/clients",
        tags=["user"],
        openapi_extra={"x-scope": "user:write", "x-risk": "write"},
    )
    async def limit_user(request: Request, user_id: UUID, body: Limits) -> Limits:
        """Limit a user to clients, or lift the limit with null; the user's tokens end."""
        return await gateway.write(request, "user:write", lambda ctx: set_limits(ctx, USERS, user_id, body))

    @router.put(
        "/agents/{agent_id}/clients",
        tags=["agent"],
        openapi_extra={"x-scope": "agent:write", "x-risk": "write"},
    )
    async def limit_agent(request: Request, agent_id: UUID, body: Limits) -> Limits:
        """Limit an agent to clients among its owner's, or lift the limit with null; the agent's tokens end."""
        return await gateway.write(request, "agent:write", lambda ctx: set_limits(ctx, AGENTS, agent_id, body))
