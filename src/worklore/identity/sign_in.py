"""Signing in with a password and, for whom it was asked for, a second factor. There is no default password."""

import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, SecretStr
from sqlalchemy import select, update

from worklore.identity import renewal, second_factor
from worklore.identity.agent import Agent, TaskGrant
from worklore.identity.keys import HubKey, keyed_hash
from worklore.identity.limit import Limit
from worklore.identity.password import Chosen, Password, hash_password, is_outdated, verify_password
from worklore.identity.renewal import AccessGranted, Caller
from worklore.identity.roles import SCOPES, common
from worklore.identity.setup import CODE_SCOPE, Code, new_code
from worklore.identity.token import issue_for_grant
from worklore.identity.user import User
from worklore.kernel.access import Principal, PrincipalKind
from worklore.kernel.audit import record_event, unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import ForbiddenError, InvalidError, NotFoundError, UnauthenticatedError
from worklore.kernel.wire import Clean, WireModel

LOCK_AFTER: Final = 5
LOCK_FOR: Final = timedelta(minutes=15)
OF_ACCOUNT: Final = Limit("sign-in", LOCK_AFTER, LOCK_FOR)
OF_DEVICE: Final = Limit("sign-in-device", LOCK_AFTER, LOCK_FOR)
OF_ADDRESS: Final = Limit("sign-in-address", 200, LOCK_FOR)
"""What locks an account for strangers, for a device that is known to it, and all accounts for one network address."""

OneTimeCode = Annotated[str, Field(max_length=40), Clean]


class SignIn(WireModel):
    """An address and a password; a code of the authenticator app or a recovery code where there is a second factor."""

    email: Annotated[str, Field(max_length=255), Clean]
    password: Password
    device: Annotated[str, Field(max_length=200), Clean] | None = None
    code: OneTimeCode | None = None


class Renewal(WireModel):
    """A refresh token."""

    refresh_token: Annotated[str, Field(max_length=200), Clean]


class ForGrant(WireModel):
    """The grant that an agent is to work by."""

    task_grant_id: UUID


class AgentToken(WireModel):
    """An agent's token for one grant, shown this once. It ends with the grant, at the latest after a day."""

    token: str
    agent_id: UUID
    task_grant_id: UUID
    expires_at: datetime


class NewPassword(WireModel):
    """A password to sign in with from now on, and the present one."""

    password: Chosen
    current: Password


class WithPassword(WireModel):
    """The caller's password, again."""

    password: Password


class WithCode(WireModel):
    """A code of the authenticator app."""

    code: OneTimeCode


class WithPasswordAndCode(WithPassword, WithCode):
    """The caller's password, again, and a code of the authenticator app or a recovery code."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A password that is being looked at: what was sent, from where, and whom it was found to concern.

    Attributes:
        purpose: what for, as the audit log calls it.
        generation: the user's when the password was compared: one that has moved on says that it was changed meanwhile.
        renewed: the hash to keep from now on, where the password is right and its hash is of weaker parameters.
    """

    body: SignIn
    caller: Caller
    user_id: UUID | None = None
    generation: int | None = None
    known: bool = False
    verified: bool = False
    renewed: str | None = None
    purpose: str = "sign-in"

    def limits(self, key: HubKey) -> list[tuple[Limit, str]]:
        """What this attempt counts against. A known device has a count of its own, so that no stranger locks it out."""
        if self.known:
            return [(OF_DEVICE, keyed_hash(key, f"device:{self.body.device}"))]
        address = [(OF_ADDRESS, self.caller.address)] if self.caller.address else []
        return [(OF_ACCOUNT, subject_of(key, self.body.email)), *address]


def subject_of(key: HubKey, email: str) -> str:
    """Under what the failures of an address are counted. A hash: people type passwords where addresses belong."""
    return keyed_hash(key, f"sign-in:{email.strip().casefold()}")


def attempt_sign_in(ctx: ReadContext, key: HubKey, body: SignIn, caller: Caller) -> tuple[Attempt, str | None]:
    """The attempt and the hash to compare its password with.

    Raises:
        TooManyRequestsError: there were too many failures, whether the account exists or not.
    """
    user = ctx.session.scalars(select(User).where(User.email == body.email, User.is_active)).one_or_none()
    known = user is not None and body.device is not None and _is_device(key, user, body.device)
    attempt = Attempt(body, caller, user.id if user else None, user.generation if user else None, known=known)
    for limit, subject in attempt.limits(key):
        limit.refuse(ctx, subject)
    return attempt, user.password_hash if user else None


def attempt_again(
    ctx: ReadContext, key: HubKey, password: SecretStr, caller: Caller, purpose: str
) -> tuple[Attempt, str | None]:
    """As :func:`attempt_sign_in`, for somebody who has signed in and gives the password again.

    Raises:
        ForbiddenError: the caller is no person who has signed in.
    """
    require_person(ctx.principal)
    user = ctx.session.get_one(User, ctx.principal.user_id)
    attempt, stored = attempt_sign_in(ctx, key, SignIn(email=user.email, password=password), caller)
    return replace(attempt, purpose=purpose), stored


def require_person(principal: Principal) -> None:
    """See that somebody has signed in: a token may be held by any program.

    Raises:
        ForbiddenError: it is a token that asks.
    """
    if not principal.signed_in:
        raise ForbiddenError(
            "Only a person who has signed in may do this.",
            hint="Sign in with address and password; a token of a machine or program does not do.",
            code="person-needed",
        )


def verified(attempt: Attempt, stored: str | None) -> Attempt:
    """The attempt with what comparing its password has shown. Takes its time: keep it off the event loop."""
    password = attempt.body.password.get_secret_value()
    if not verify_password(stored, password):
        return attempt
    outdated = stored is not None and is_outdated(stored, password)
    return replace(attempt, verified=True, renewed=hash_password(password) if outdated else None)


def finish_sign_in(
    ctx: Context, key: HubKey, attempt: Attempt, life: timedelta
) -> AccessGranted | UnauthenticatedError:
    """Grant access, or count a failure. That must be committed, so the error is given back and not raised.

    Raises:
        TooManyRequestsError: others failed too often since the attempt began.
    """
    admitted = admit(ctx, key, attempt)
    if isinstance(admitted, UnauthenticatedError):
        return admitted
    user, by_factor = admitted
    granted = renewal.begin(ctx, key, user, life, attempt.caller, second_factor=by_factor)
    return granted.model_copy(update={"device": _device(key, user)})


def code_for_machine(ctx: Context, key: HubKey, attempt: Attempt) -> Code | UnauthenticatedError:
    """A set-up code for who shows to be a user, or the counted failure, given back as by :func:`finish_sign_in`.

    Raises:
        TooManyRequestsError: as there.
        ForbiddenError: their role connects no machines.
    """
    admitted = admit(ctx, key, replace(attempt, purpose="connect-machine"))
    if isinstance(admitted, UnauthenticatedError):
        return admitted
    user, _ = admitted
    if not common(SCOPES[user.role], {CODE_SCOPE}):
        raise ForbiddenError(
            f"The role {user.role} connects no machines.", hint="Ask an administrator for another role."
        )
    return new_code(ctx, key, user)


def admit(ctx: Context, key: HubKey, attempt: Attempt) -> tuple[User, bool] | UnauthenticatedError:
    """Whose address, password and code these are, noted as that, and whether it took a code; or the failure, counted.

    Raises:
        TooManyRequestsError: others failed too often since the attempt began.
    """
    user = prove(ctx, key, attempt)
    if user is None:
        return refused_sign_in()
    factor = second_factor.enrolled(ctx, user.id)
    if factor is not None:
        if attempt.body.code is None:
            # It counts neither way: whoever tries out codes must not start anew by leaving one out.
            record_event(ctx, attempt.purpose, "api_users", user.id, {"lacks": "second factor"}, outcome="refused")
            return second_factor.needed()
        if not prove_code(ctx, key, attempt, user, attempt.body.code):
            return second_factor.refused()
    forgive(ctx, key, attempt, user)
    if attempt.renewed:
        user.password_hash = attempt.renewed
    record_event(ctx, attempt.purpose, "api_users", user.id, {"second_factor": factor is not None})
    return user, factor is not None


def prove(ctx: Context, key: HubKey, attempt: Attempt) -> User | None:
    """The user whose password it is, kept from others until the end; None for a failure, which is counted.

    Raises:
        TooManyRequestsError: others failed too often since the attempt began.
    """
    for limit, subject in attempt.limits(key):
        limit.refuse(ctx, subject, alone=True)
    user = ctx.session.get(User, attempt.user_id, with_for_update=True) if attempt.user_id else None
    if user is None or not user.is_active or not attempt.verified or user.generation != attempt.generation:
        _fail(ctx, key, attempt, user)
        return None
    return user


def prove_code(ctx: Context, key: HubKey, attempt: Attempt, user: User, code: str) -> bool:
    """Use a code of the second factor up; False for a failure, which is counted as that of a password."""
    factor = second_factor.enrolled(ctx, user.id)
    if factor is not None and second_factor.accept(ctx, key, factor, code):
        return True
    _fail(ctx, key, attempt, user)
    return False


def forgive(ctx: Context, key: HubKey, attempt: Attempt, user: User) -> None:
    """Forget the failures before a success."""
    for limit, subject in attempt.limits(key)[:1]:
        limit.forgive(ctx, subject)
    if user.failed_sign_ins or user.locked_until:
        _note(ctx, user, 0, None)


def _fail(ctx: Context, key: HubKey, attempt: Attempt, user: User | None) -> None:
    record_event(ctx, attempt.purpose, "api_users", attempt.user_id, {}, outcome="refused")
    ends = [limit.count(ctx, subject) for limit, subject in attempt.limits(key)]
    if user is not None and not attempt.known:
        _note(ctx, user, 0 if ends[0] else user.failed_sign_ins + 1, ends[0])


def unlock(ctx: Context, key: HubKey, user: User) -> None:
    """Let a user try again at once."""
    OF_ACCOUNT.forgive(ctx, subject_of(key, user.email))
    _note(ctx, user, 0, None)
    record_event(ctx, "unlock", "api_users", user.id, {})


def reset_password(ctx: Context, key: HubKey, user: User) -> str:
    """A new password for somebody who has lost theirs; it is told once.

    Everything of theirs is signed out, and their second factor is gone.
    """
    password = secrets.token_urlsafe(15)
    user.password_hash = hash_password(password)
    user.is_active = True
    user.generation += 1
    second_factor.remove(ctx, user.id)
    unlock(ctx, key, user)
    return password


def _device(key: HubKey, user: User) -> str:
    """What a device shows to be known again; worth nothing without the password, and nothing after it changes."""
    mark = secrets.token_urlsafe(16)
    return f"{mark}.{keyed_hash(key, f'device:{user.id}:{user.generation}:{mark}')}"


def _is_device(key: HubKey, user: User, device: str) -> bool:
    mark, _, proof = device.partition(".")
    return hmac.compare_digest(keyed_hash(key, f"device:{user.id}:{user.generation}:{mark}").encode(), proof.encode())


def _note(ctx: Context, user: User, failures: int, locked_until: datetime | None) -> None:
    """Show with the user what the counters say."""
    counted = update(User).where(User.id == user.id).values(failed_sign_ins=failures, locked_until=locked_until)
    ctx.session.execute(
        unaudited(counted, "sign-ins are recorded as events").execution_options(synchronize_session=False)
    )


def refused_sign_in() -> UnauthenticatedError:
    """The one answer to a wrong address, a wrong password and a disabled user."""
    return UnauthenticatedError("Address or password is wrong.", hint="Try again.", code="sign-in-refused")


def set_password(ctx: Context, key: HubKey, attempt: Attempt, hashed: str) -> UnauthenticatedError | None:
    """Set the caller's own password, already hashed. Tokens made under the former one end.

    A wrong former password counts as a failed sign-in. That must be committed, so the error is given back.
    """
    user = prove(ctx, key, attempt)
    if user is None:
        return refused_sign_in()
    forgive(ctx, key, attempt, user)
    user.password_hash = hashed
    user.generation += 1
    return None


def enrol_again(ctx: Context, key: HubKey, attempt: Attempt) -> second_factor.Enrolment | UnauthenticatedError:
    """A second factor to confirm, for who has given the password again. A failure is counted, and given back."""
    user = prove(ctx, key, attempt)
    if user is None:
        return refused_sign_in()
    forgive(ctx, key, attempt, user)
    return second_factor.enrol(ctx, key, user)


def remove_second_factor(ctx: Context, key: HubKey, attempt: Attempt, code: str) -> UnauthenticatedError | None:
    """Do without a second factor, by the password and a code. A failure is counted, and given back.

    Raises:
        ConflictError: there is none.
    """
    user = prove(ctx, key, attempt)
    if user is None:
        return refused_sign_in()
    if second_factor.enrolled(ctx, user.id) is None:
        raise second_factor.absent()
    if not prove_code(ctx, key, attempt, user, code):
        return second_factor.refused()
    forgive(ctx, key, attempt, user)
    second_factor.remove(ctx, user.id)
    return None


def token_for_agent(ctx: Context, key: HubKey, body: ForGrant) -> AgentToken:
    """A token with which an agent works by a grant; its owner asks for it.

    Raises:
        NotFoundError: there is no such grant of an agent of the caller's.
        ForbiddenError: an agent asks.
    """
    if ctx.principal.kind is PrincipalKind.agent:
        raise ForbiddenError("An agent cannot make tokens.", hint="Its owner makes them.")
    grant = ctx.session.get(TaskGrant, body.task_grant_id)
    agent = ctx.session.get(Agent, grant.agent_id) if grant else None
    if grant is None or agent is None or agent.owner_id != ctx.principal.user_id:
        raise NotFoundError(f"There is no task-grant {body.task_grant_id} of an agent of yours.")
    if grant.revoked_at is not None or grant.expires_at <= ctx.now() or not agent.is_active:
        raise InvalidError("The grant has ended, or the agent is disabled.", field="task_grant_id")
    token, row = issue_for_grant(key, agent, grant)
    ctx.session.add(row)
    return AgentToken(token=token, agent_id=agent.id, task_grant_id=grant.id, expires_at=row.expires_at)
