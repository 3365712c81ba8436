"""Ways in: a password for people, a one-time set-up code for machines. There is no default password."""

import secrets
import threading
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import AfterValidator, Field, SecretStr
from sqlalchemy import func, select, update

from worklore.identity.keys import HubKey
from worklore.identity.machine import Machine
from worklore.identity.token import ApiToken, SetupCode, TokenKind, access_token, issue, keyed_hash
from worklore.identity.user import Role, User
from worklore.kernel.audit import record_event, unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import InvalidError, TooManyRequestsError, UnauthenticatedError
from worklore.kernel.types import uuid7
from worklore.kernel.wire import Clean, CleanJson, WireModel

CODE_LIFE: Final = timedelta(minutes=30)
CODE_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without letters and digits that look alike."""

LOCK_AFTER: Final = 5
LOCK_FOR: Final = timedelta(minutes=15)
FIRST_USER: Final = "owner@localhost"

# OWASP's minimum for Argon2id; four at a time, since memory is what an attacker would exhaust.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_HASHING: Final = threading.BoundedSemaphore(4)
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


class AccessGranted(WireModel):
    """A signed access token."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int


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
    """An Argon2id hash; waits when four others are being made."""
    with _HASHING:
        return _HASHER.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Compare a password; takes as long for a user who does not exist."""
    with _HASHING:
        try:
            return _HASHER.verify(stored or _NOBODY, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


def find_for_sign_in(ctx: ReadContext, email: str) -> tuple[UUID | None, str | None]:
    """Id and hash of the user with an address.

    Raises:
        TooManyRequestsError: the account is locked after too many failures.
    """
    user = ctx.session.scalars(select(User).where(User.email == email, User.is_active)).one_or_none()
    if user is not None and user.locked_until is not None and user.locked_until > ctx.now():
        wait = int((user.locked_until - ctx.now()).total_seconds()) + 1
        raise TooManyRequestsError(
            "Too many failed sign-ins.", hint=f"Try again in {wait // 60 + 1} minutes.", retry_after=wait
        )
    return (user.id, user.password_hash) if user else (None, None)


def finish_sign_in(
    ctx: Context, key: HubKey, user_id: UUID | None, *, verified: bool, life: timedelta
) -> AccessGranted | None:
    """Count a failure, or grant access. None for a failure: it must be committed, so it cannot be an exception."""
    # Locked on server databases, so that of failures at the same moment each is counted.
    user = ctx.session.get(User, user_id, with_for_update=True) if user_id else None
    if user is None or not verified:
        record_event(ctx, "sign-in", "api_users", user_id, {}, outcome="refused")
        if user is not None:
            failures = user.failed_sign_ins + 1
            _note(ctx, user, failures % LOCK_AFTER, ctx.now() + LOCK_FOR if failures >= LOCK_AFTER else None)
        return None
    if user.failed_sign_ins or user.locked_until:
        _note(ctx, user, 0, None)
    record_event(ctx, "sign-in", "api_users", user.id, {})
    return AccessGranted(access_token=access_token(key, user, life), expires_in=int(life.total_seconds()))


def _note(ctx: Context, user: User, failures: int, locked_until: datetime | None) -> None:
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
    if user is None:
        raise InvalidError("Only people have passwords.")
    current = body.current.get_secret_value() if body.current else ""
    if user.password_hash is not None and not verify_password(user.password_hash, current):
        raise refused_sign_in()
    if user.password_hash is not None:
        user.generation += 1
    user.password_hash = hash_password(body.password.get_secret_value())


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
