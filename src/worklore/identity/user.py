"""Who may act: people, and the clients they are limited to."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column


class Role(StrEnum):
    """What a person may do, in short."""

    owner = "owner"
    admin = "admin"
    technician = "technician"
    auditor = "auditor"
    read_only = "read-only"


SCOPES: Final[Mapping[Role, frozenset[str]]] = {
    Role.owner: frozenset({"*"}),
    Role.admin: frozenset({"*"}),
    Role.technician: frozenset(
        {f"{noun}:*" for noun in ("machine", "client", "project", "session", "tag", "transcript", "memory", "context")}
        | {"*:read", "setup-code:write"}
    ),
    Role.auditor: frozenset({"*:read"}),
    Role.read_only: frozenset({"*:read"}),
}
"""The scopes of each role."""


class User(Stamped, Record):
    """A person who may sign in."""

    __tablename__ = "api_users"

    email: Mapped[str] = mapped_column(Line(255), unique=True, info={"form": "email"})
    name: Mapped[str] = mapped_column(Line(255))
    role: Mapped[Role] = column(default=Role.technician)
    password_hash: Mapped[str | None] = mapped_column(Line(255), info={"sealed": True})
    generation: Mapped[int] = column(default=1, doc="Moves on when rights or the password change: old tokens end.")
    is_active: Mapped[bool] = column(default=True)
    failed_sign_ins: Mapped[int] = column(default=0)
    locked_until: Mapped[datetime | None]


class UserClient(Base):
    """A client that a user is limited to. A user without any sees all.

    So a client cannot go while somebody is limited to it: the last limit would vanish with it, and they would see all.
    """

    __tablename__ = "user_clients"
    __table_args__ = (Index(None, "client_id"),)

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id", ondelete="RESTRICT"), primary_key=True)


def check(_: Context, user: User, before: Mapping[str, Any]) -> None:
    """Whoever loses rights loses tokens."""
    if {"role", "is_active"} & before.keys():
        user.generation += 1


USERS = Resource(
    model=User,
    name="user",
    plural="users",
    visible=installation,
    filters=(User.email, User.role, User.is_active),
    search=(User.email, User.name),
    columns=(User.email, User.name, User.role, User.is_active),
    server_set=(User.generation, User.failed_sign_ins, User.locked_until),
    hidden=(User.password_hash,),
    check=check,
)
