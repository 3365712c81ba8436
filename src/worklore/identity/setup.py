"""One-time codes: those that connect a machine, and invitations by which people choose their first password."""

import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field
from sqlalchemy import func, select

from worklore.identity.keys import HubKey, key_of, keyed_hash
from worklore.identity.machine import Machine
from worklore.identity.password import Chosen, require_good
from worklore.identity.roles import Role
from worklore.identity.second_factor import ALPHABET
from worklore.identity.token import ApiToken, SetupCode, TokenKind, issue
from worklore.identity.user import User, require_rank
from worklore.kernel.access import PrincipalKind
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import ConflictError, ForbiddenError, UnauthenticatedError
from worklore.kernel.types import uuid7
from worklore.kernel.wire import Clean, CleanJson, WireModel

CODE_LIFE: Final = timedelta(minutes=30)
INVITATION_LIFE: Final = timedelta(hours=24)
CODE_SCOPE: Final = "setup-code:write"
FIRST_USER: Final = "owner@localhost"


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
    """A one-time code and the machine that uses it; a password for its owner, who may have none yet."""

    code: Annotated[str, Field(max_length=40), Clean]
    machine: MachineFacts
    password: Chosen | None = None


class Join(WireModel):
    """The code of an invitation, and the password to sign in with from now on."""

    code: Annotated[str, Field(max_length=40), Clean]
    password: Chosen


class Joined(WireModel):
    """The address to sign in with."""

    email: str


class Named(WireModel):
    """Who or what, in brief."""

    id: UUID
    email: str | None = None
    hostname: str | None = None


class Connected(WireModel):
    """The machine's token, shown this once. ``password_set`` tells whether the password that was sent is theirs now."""

    token: str
    user: Named
    machine: Named
    expires_at: datetime
    password_set: bool


class Code(WireModel):
    """A one-time code, shown this once."""

    code: str
    expires_at: datetime


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
    """A code for one machine of a user, good for half an hour.

    One that a machine or an agent has asked for sets no password: any program there could sign in by it.
    """
    return _made(ctx, key, user, CODE_LIFE, is_invitation=False)


def invite(ctx: Context, user: User) -> Code:
    """A one-time code by which the user chooses a first password, within a day. An earlier invitation ends.

    Raises:
        ForbiddenError: the user has more rights than the caller, or it is a machine or an agent that asks.
        ConflictError: the user has a password.
    """
    if not _is_person(ctx):
        raise ForbiddenError(
            "A person is let in by a person; a machine's token may be any program's.",
            hint="Sign in and invite them then.",
            code="person-needed",
        )
    require_rank(ctx, {user.role})
    if user.password_hash is not None:
        raise _has_password()
    former = select(SetupCode).where(SetupCode.user_id == user.id, SetupCode.is_invitation, SetupCode.used_at.is_(None))
    for code in ctx.session.scalars(former):
        ctx.session.delete(code)
    return _made(ctx, key_of(ctx), user, INVITATION_LIFE, is_invitation=True)


def _made(ctx: Context, key: HubKey, user: User, life: timedelta, *, is_invitation: bool) -> Code:
    text = "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(3))
    code = SetupCode(
        id=uuid7(),
        code_hash=keyed_hash(key, _plain(text)),
        user_id=user.id,
        is_invitation=is_invitation,
        sets_password=_is_person(ctx),
        expires_at=ctx.now() + life,
    )
    ctx.session.add(code)
    return Code(code=text, expires_at=code.expires_at)


def _is_person(ctx: Context) -> bool:
    """False for a machine and an agent; the hub itself counts as whoever looks after it."""
    return ctx.principal.kind not in {PrincipalKind.machine, PrincipalKind.agent}


def _plain(code: str) -> str:
    return code.replace("-", "").replace(" ", "").upper()


def _usable(ctx: ReadContext, key: HubKey, text: str, *, is_invitation: bool) -> SetupCode:
    """The code, if it is good for this: a code that connects machines is no invitation, and the other way round."""
    hashed = SetupCode.code_hash == keyed_hash(key, _plain(text))
    code = ctx.session.scalars(select(SetupCode).where(hashed)).one_or_none()
    good = code is not None and code.used_at is None and code.expires_at >= ctx.now()
    if code is None or not good or code.is_invitation is not is_invitation:
        raise _refused(is_invitation=is_invitation)
    return code


def first_password(ctx: ReadContext, key: HubKey, body: SetUp | Join) -> str | None:
    """The first password that comes with a good code, to be hashed; None where none was sent or its user has one.

    Raises:
        UnauthenticatedError: the code is wrong, used or too old.
        InvalidError: the password is too easy to guess.
    """
    code = _usable(ctx, key, body.code, is_invitation=isinstance(body, Join))
    user = ctx.session.get_one(User, code.user_id)
    if body.password is None or user.password_hash is not None or not code.sets_password:
        return None
    require_good(body.password, user.email)
    return body.password.get_secret_value()


def redeem(ctx: Context, key: HubKey, body: SetUp, life: timedelta, hashed: str | None = None) -> Connected:
    """Use up a code: register the machine and give it a token. ``hashed`` is the first password of a user without one.

    Raises:
        UnauthenticatedError: the code is wrong, used or too old.
    """
    code = _usable(ctx, key, body.code, is_invitation=False)
    code.used_at = ctx.now()
    ctx.session.flush()
    user = ctx.session.get_one(User, code.user_id)
    password_set = hashed is not None and user.password_hash is None and code.sets_password
    if password_set:
        user.password_hash = hashed
    machine = _register(ctx, body.machine)
    token, row = issue(key, user, kind=TokenKind.machine, scopes=[], life=life, machine=machine)
    ctx.session.add(row)
    return Connected(
        token=token,
        user=Named(id=user.id, email=user.email),
        machine=Named(id=machine.id, hostname=machine.hostname),
        expires_at=row.expires_at,
        password_set=password_set,
    )


def join(ctx: Context, key: HubKey, body: Join, hashed: str | None) -> Joined:
    """Use up an invitation: its user has a password from now on.

    Raises:
        UnauthenticatedError: the code is wrong, used or too old, or no invitation.
        ConflictError: the user has a password already.
    """
    code = _usable(ctx, key, body.code, is_invitation=True)
    user = ctx.session.get_one(User, code.user_id)
    if hashed is None or user.password_hash is not None:
        raise _has_password()
    code.used_at = ctx.now()
    user.password_hash = hashed
    return Joined(email=user.email)


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


def _has_password() -> ConflictError:
    return ConflictError(
        "There is a password already.",
        hint="Sign in with it. `worklore hub user-reset` on the hub's machine replaces one that was lost.",
        code="password-exists",
    )


def _refused(*, is_invitation: bool) -> UnauthenticatedError:
    if is_invitation:
        return UnauthenticatedError(
            "The invitation is wrong, used, or older than a day.",
            hint="Ask whoever invited you for a new one.",
            code="invitation-invalid",
        )
    return UnauthenticatedError(
        "The set-up code is wrong, used, or older than half an hour.",
        hint="Get a new one with `worklore code` on a connected machine, or restart a hub that is not set up yet.",
        code="setup-code-invalid",
    )


INVITE: Final = Action(run=invite, name="invite", on="user", scope="user:write", risk=Risk.secret)
