"""Ways in: a password for people, a one-time set-up code for machines. There is no default password."""

import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import AfterValidator, Field, SecretStr
from sqlalchemy import func, select, update

from worklore.identity import renewal
from worklore.identity.agent import Agent, TaskGrant
from worklore.identity.hashing import aside
from worklore.identity.keys import HubKey
from worklore.identity.limit import Limit
from worklore.identity.machine import Machine
from worklore.identity.renewal import AccessGranted, Caller
from worklore.identity.roles import Role
from worklore.identity.token import ApiToken, SetupCode, TokenKind, issue, issue_for_grant, keyed_hash
from worklore.identity.user import User
from worklore.kernel.access import PrincipalKind
from worklore.kernel.audit import record_event, unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import ForbiddenError, InvalidError, NotFoundError, UnauthenticatedError
from worklore.kernel.types import uuid7
from worklore.kernel.wire import Clean, CleanJson, WireModel

CODE_LIFE: Final = timedelta(minutes=30)
CODE_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without letters and digits that look alike."""

LOCK_AFTER: Final = 5
LOCK_FOR: Final = timedelta(minutes=15)
OF_ACCOUNT: Final = Limit("sign-in", LOCK_AFTER, LOCK_FOR)
OF_DEVICE: Final = Limit("sign-in-device", LOCK_AFTER, LOCK_FOR)
OF_ADDRESS: Final = Limit("sign-in-address", 200, LOCK_FOR)
"""What locks an account for strangers, for a device that is known to it, and all accounts for one network address."""

FIRST_USER: Final = "owner@localhost"

# OWASP's minimum for Argon2id.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODY: Final = _HASHER.hash(secrets.token_hex(16))


def _encodable(password: SecretStr) -> SecretStr:
    """Refuse what has no bytes to hash."""
    try:
        password.get_secret_value().encode()
    except UnicodeEncodeError:
        # Not chained: the cause holds the password.
        raise ValueError("text may not contain lone surrogates") from None
    return password


Password = Annotated[SecretStr, Field(max_length=128), AfterValidator(_encodable)]


class SignIn(WireModel):
    """An address and a password."""

    email: Annotated[str, Field(max_length=255), Clean]
    password: Password
    device: Annotated[str, Field(max_length=200), Clean] | None = None


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
    """A password to sign in with from now on; the old one when there is one."""

    password: Annotated[Password, Field(min_length=12)]
    current: Password | None = None


class MachineFacts(WireModel):
    """What a machine says of itself when it connects."""

    hostname: Annotated[str, Field(min_length=1, max_length=255), Clean]
    machine_fingerprint: Annotated[str, Field(min_length=8, max_length=500), Clean]
    friendly_name: Annotated[str, Field(max_length=255), Clean] | None = None
    platform: Annotated[str, Field(max_length=50), Clean] | None = None
    os_version: Annotated[str, Field(max_length=100), Clean] | None = None
    username: Annotated[str, Field(max_length=255), Clean] | None = None
    home_directory: Annotated[str, Field(max_length=500), Clean] | None = None
    has_git: bool = True
    has_docker: bool = False
    has_ssh: bool = True
    has_powershell: bool = False
    preferred_shell: Annotated[str, Field(max_length=50), Clean] | None = None
    installed_tools: Annotated[list[CleanJson], Field(max_length=200)] | None = None


class SetUp(WireModel):
    """A one-time code and the machine that uses it."""

    code: Annotated[str, Field(max_length=40), Clean]
    machine: MachineFacts


class Named(WireModel):
    """Who or what, in brief."""

    id: UUID
    email: str | None = None
    hostname: str | None = None


class Connected(WireModel):
    """The machine's token, shown this once."""

    token: str
    user: Named
    machine: Named
    expires_at: datetime


class Code(WireModel):
    """A one-time set-up code, shown this once."""

    code: str
    expires_at: datetime


def hash_password(password: str) -> str:
    """An Argon2id hash."""
    return aside(_HASHER.hash, password)


def verify_password(stored: str | None, password: str) -> bool:
    """Compare a password; takes as long for a user who does not exist."""
    try:
        return aside(_HASHER.verify, stored or _NOBODY, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in under way: what was sent, from where, and whom it was found to concern.

    Attributes:
        renewed: the hash to keep from now on, where the password is right and its hash is of weaker parameters.
    """

    body: SignIn
    caller: Caller
    user_id: UUID | None = None
    known: bool = False
    verified: bool = False
    renewed: str | None = None

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
    attempt = Attempt(body, caller, user.id if user else None, known=known)
    for limit, subject in attempt.limits(key):
        limit.refuse(ctx, subject)
    return attempt, user.password_hash if user else None


def verified(attempt: Attempt, stored: str | None) -> Attempt:
    """The attempt with what comparing its password has shown. Takes its time: keep it off the event loop."""
    password = attempt.body.password.get_secret_value()
    if not verify_password(stored, password):
        return attempt
    weak = stored is not None and _HASHER.check_needs_rehash(stored)
    return replace(attempt, verified=True, renewed=hash_password(password) if weak else None)


def finish_sign_in(ctx: Context, key: HubKey, attempt: Attempt, life: timedelta) -> AccessGranted | None:
    """Count a failure, or grant access. None for a failure: it must be committed, so it cannot be an exception.

    Raises:
        TooManyRequestsError: others failed too often since the attempt began.
    """
    for limit, subject in attempt.limits(key):
        limit.refuse(ctx, subject, alone=True)
    user = ctx.session.get(User, attempt.user_id, with_for_update=True) if attempt.user_id else None
    if user is None or not user.is_active or not attempt.verified:
        record_event(ctx, "sign-in", "api_users", attempt.user_id, {}, outcome="refused")
        ends = [limit.count(ctx, subject) for limit, subject in attempt.limits(key)]
        if user is not None and not attempt.known:
            _note(ctx, user, 0 if ends[0] else user.failed_sign_ins + 1, ends[0])
        return None
    for limit, subject in attempt.limits(key)[:1]:
        limit.forgive(ctx, subject)
    if user.failed_sign_ins or user.locked_until:
        _note(ctx, user, 0, None)
    if attempt.renewed:
        user.password_hash = attempt.renewed
    record_event(ctx, "sign-in", "api_users", user.id, {})
    return renewal.begin(ctx, key, user, life, attempt.caller).model_copy(update={"device": _device(key, user)})


def unlock(ctx: Context, key: HubKey, user: User) -> None:
    """Let a user try again at once."""
    OF_ACCOUNT.forgive(ctx, subject_of(key, user.email))
    _note(ctx, user, 0, None)
    record_event(ctx, "unlock", "api_users", user.id, {})


def reset_password(ctx: Context, key: HubKey, user: User) -> str:
    """A new password for somebody who has lost theirs; it is told once. Everything of theirs is signed out."""
    password = secrets.token_urlsafe(15)
    user.password_hash = hash_password(password)
    user.is_active = True
    user.generation += 1
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


def set_password(ctx: Context, body: NewPassword) -> None:
    """Set the caller's own password. Tokens made under a former one end."""
    user = ctx.session.get(User, ctx.principal.user_id) if ctx.principal.user_id else None
    if user is None or ctx.principal.kind is PrincipalKind.agent:
        raise InvalidError("Only people have passwords.")
    current = body.current.get_secret_value() if body.current else ""
    if user.password_hash is not None and not verify_password(user.password_hash, current):
        raise refused_sign_in()
    if user.password_hash is not None:
        user.generation += 1
    user.password_hash = hash_password(body.password.get_secret_value())


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


# --- set-up codes ---------------------------------------------------------------------------------------------------


def is_set_up(ctx: ReadContext) -> bool:
    """True once a machine has connected or a user has a password."""
    tokens = ctx.session.scalar(select(func.count()).select_from(ApiToken)) or 0
    people = ctx.session.scalar(select(func.count()).select_from(User).where(User.password_hash.is_not(None))) or 0
    return tokens + people > 0


def first_user(ctx: Context) -> User:
    """The owner, made when the hub has no user yet."""
    user = ctx.session.scalars(select(User).where(User.role == Role.owner).order_by(User.created_at)).first()
    if user is None:
        user = User(id=uuid7(), email=FIRST_USER, name="Owner", role=Role.owner)
        ctx.session.add(user)
        ctx.session.flush()
    return user


def new_code(ctx: Context, key: HubKey, user: User) -> Code:
    """A code for one machine of a user, good for half an hour."""
    text = "-".join("".join(secrets.choice(CODE_ALPHABET) for _ in range(5)) for _ in range(3))
    code = SetupCode(
        id=uuid7(), code_hash=keyed_hash(key, _plain(text)), user_id=user.id, expires_at=ctx.now() + CODE_LIFE
    )
    ctx.session.add(code)
    return Code(code=text, expires_at=code.expires_at)


def _plain(code: str) -> str:
    return code.replace("-", "").replace(" ", "").upper()


def redeem(ctx: Context, key: HubKey, body: SetUp, life: timedelta) -> Connected:
    """Use up a code: register the machine and give it a token.

    Raises:
        UnauthenticatedError: the code is wrong, used or too old.
    """
    code = ctx.session.scalars(
        select(SetupCode).where(SetupCode.code_hash == keyed_hash(key, _plain(body.code)))
    ).one_or_none()
    if code is None or code.used_at is not None or code.expires_at < ctx.now():
        raise UnauthenticatedError(
            "The set-up code is wrong, used, or older than half an hour.",
            hint="Get a new one with `worklore code` on a connected machine, or restart a hub that is not set up yet.",
            code="setup-code-invalid",
        )
    code.used_at = ctx.now()
    ctx.session.flush()
    user = ctx.session.get_one(User, code.user_id)
    machine = _register(ctx, body.machine)
    token, row = issue(key, user, kind=TokenKind.machine, scopes=[], life=life, machine=machine)
    ctx.session.add(row)
    return Connected(
        token=token,
        user=Named(id=user.id, email=user.email),
        machine=Named(id=machine.id, hostname=machine.hostname),
        expires_at=row.expires_at,
    )


def _register(ctx: Context, facts: MachineFacts) -> Machine:
    machine = ctx.session.scalars(
        select(Machine).where(Machine.machine_fingerprint == facts.machine_fingerprint)
    ).one_or_none()
    values: dict[str, Any] = facts.model_dump(exclude_none=True)
    if machine is None:
        machine = Machine(id=uuid7(), **values)
        ctx.session.add(machine)
    for name, value in values.items():
        setattr(machine, name, value)
    machine.last_seen, machine.is_active = ctx.now(), True
    ctx.session.flush()
    return machine
