"""Who may act: people, and the clients they are limited to."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.identity.roles import SCOPES, Role
from worklore.kernel.access import SYSTEM, installation
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Record, Stamped
from worklore.kernel.errors import ForbiddenError, InvalidError
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
    """Nobody gives more rights than they have; whoever loses rights loses tokens."""
    role = user.role or Role.technician  # pyright: ignore[reportUnnecessaryComparison] - a new record has no defaults yet
    if role is Role.agent:
        raise InvalidError("role (agent) is for agents; people have one of the others.", field="role")
    if Role.owner in {role, before.get("role")} and not _is_owner(ctx):
        raise ForbiddenError("Only an owner makes or changes an owner.", hint="Ask an owner.", code="owner-only")
    if (not before or "role" in before) and not all(ctx.principal.may(scope) for scope in SCOPES[role]):
        raise ForbiddenError(
            f"The role {role} has rights that you do not have.", hint="Ask an administrator.", code="more-than-own"
        )
    if {"role", "is_active", "is_limited"} & before.keys():
        user.generation += 1


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
