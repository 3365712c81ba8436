"""Who may act: people, and the clients they are limited to."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, ForeignKey, Index, event, select
from sqlalchemy.orm import Mapped, Mapper, mapped_column, object_session

from worklore.identity.roles import SCOPES, Role
from worklore.kernel.access import SYSTEM, installation
from worklore.kernel.audit import CONTEXT
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Record, Stamped
from worklore.kernel.errors import ConflictError, ForbiddenError, InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column


class User(Stamped, Record):
    """A person who may sign in."""

    __tablename__ = "api_users"

    email: Mapped[str] = mapped_column(Line(255), unique=True, info={"form": "email"})
    name: Mapped[str] = mapped_column(Line(255))
    role: Mapped[Role] = column(default=Role.technician)
    password_hash: Mapped[str | None] = mapped_column(Line(255), info={"sealed": True})
    generation: Mapped[int] = column(default=1, doc="Moves on when rights or the password change: old tokens end.")
    is_active: Mapped[bool] = column(default=True)
    is_limited: Mapped[bool] = column(default=False, doc="Sees the clients named for them and no others.")
    failed_sign_ins: Mapped[int] = column(default=0)
    locked_until: Mapped[datetime | None]


class UserClient(Base):
    """A client that a limited user sees.

    A client cannot go while somebody is limited to it, so that nobody's rights change unseen.
    """

    __tablename__ = "user_clients"
    __table_args__ = (Index(None, "client_id"),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id", ondelete="RESTRICT"), primary_key=True)


def check(ctx: Context, user: User, before: Mapping[str, Any]) -> None:
    """Nobody gives more rights than they have; whoever loses rights loses tokens; an owner is left, and a way in."""
    role = user.role or Role.technician  # pyright: ignore[reportUnnecessaryComparison] - a new record has no defaults yet
    if role is Role.agent:
        raise InvalidError("role (agent) is for agents; people have one of the others.", field="role")
    former = before.get("role", role)
    disabled = before.get("is_active") is True and not user.is_active
    limited = before.get("is_limited") is False and user.is_limited
    loses = disabled or limited or "role" in before
    if loses and user.id == ctx.principal.user_id:
        # First, since what the caller is from now on is no measure of what they may.
        require_way_in(ctx, user, was_owner=former is Role.owner)
    require_rank(ctx, {role, former}, rights=role if not before or "role" in before else None)
    if loses:
        require_way_in(ctx, user, was_owner=former is Role.owner)
    if {"role", "is_active", "is_limited"} & before.keys():
        user.generation += 1


def require_rank(ctx: Context, roles: Collection[Role], rights: Role | None = None) -> None:
    """See that the caller may decide about somebody with these roles, and has the ``rights`` that are given.

    Raises:
        ForbiddenError: it is about an owner and the caller is none, or the role has rights that the caller lacks.
    """
    if Role.owner in roles and not _is_owner(ctx):
        raise ForbiddenError("Only an owner makes or changes an owner.", hint="Ask an owner.", code="owner-only")
    if rights is not None and not all(ctx.principal.may(scope) for scope in SCOPES[rights]):
        raise ForbiddenError(
            f"The role {rights} has rights that you do not have.", hint="Ask an administrator.", code="more-than-own"
        )


def require_way_in(ctx: Context, user: User, *, was_owner: bool) -> None:
    """See that an owner is left who sees everything, and that nobody shuts themselves out.

    The hub's own commands may do both: whoever works on its machine can undo them there.

    Raises:
        ConflictError: it is the last such owner, or the caller's own account.
    """
    if ctx.principal is SYSTEM:
        return
    if was_owner:
        # In the order of ids and kept until the end, so that two owners cannot shut each other out at once.
        able = select(User.id).where(User.role == Role.owner, User.is_active, User.is_limited.is_(False))
        owners = ctx.session.connection().scalars(able.order_by(User.id).with_for_update()).all()
        if not set(owners) - {user.id}:
            raise ConflictError(
                "This is the last owner who is active and sees everything.",
                hint="Make somebody else an owner first.",
                code="last-owner",
            )
    if user.id == ctx.principal.user_id:
        raise ConflictError(
            "This is your own account: you would shut yourself out.",
            hint="Ask another owner or administrator to do it.",
            code="own-account",
        )


@event.listens_for(User, "before_delete")
def _keep_a_way_in(_: Mapper[Any], __: Connection, user: User) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    session = object_session(user)
    assert session is not None  # noqa: S101 - a flush is of a session
    require_way_in(session.info[CONTEXT], user, was_owner=user.role is Role.owner)


def _is_owner(ctx: Context) -> bool:
    if ctx.principal is SYSTEM:
        return True
    caller = ctx.session.get(User, ctx.principal.user_id) if ctx.principal.user_id else None
    return caller is not None and caller.role is Role.owner


USERS = Resource(
    model=User,
    name="user",
    plural="users",
    visible=installation,
    filters=(User.email, User.role, User.is_active, User.is_limited),
    search=(User.email, User.name),
    columns=(User.email, User.name, User.role, User.is_active),
    server_set=(User.generation, User.failed_sign_ins, User.locked_until),
    hidden=(User.password_hash,),
    check=check,
)
