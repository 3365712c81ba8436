"""Families of refresh tokens: all that descend from one sign-in, and end together. See :mod:`.renewal`."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.identity.agent import Agent
from worklore.identity.machine import Machine
from worklore.identity.user import User
from worklore.kernel.access import installation
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import Line, column


class RefreshFamily(Created, Record):
    """One sign-in and the refresh tokens that descend from it: a token used twice too late ends them all."""

    __tablename__ = "refresh_families"
    __table_args__ = tuple(Index(None, name) for name in ("user_id", "agent_id", "machine_id", "expires_at"))

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"))
    agent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("machines.id", ondelete="CASCADE"))
    generation: Mapped[int] = mapped_column(doc="The user's generation at sign-in: it ends with it.")
    second_factor: Mapped[bool] = column(default=False, doc="A second factor was given at sign-in.")
    rotations: Mapped[int] = column(default=0)
    ip_address: Mapped[str | None] = mapped_column(Line(45), info={"form": "ip"})
    user_agent: Mapped[str | None]
    last_used_at: Mapped[datetime | None]
    idle_expires_at: Mapped[datetime] = mapped_column(doc="It ends then unless it is used before.")
    expires_at: Mapped[datetime] = mapped_column(doc="It ends then, used or not.")
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(Line(100))

    user: Mapped[User] = relationship(backref=backref("refresh_families", viewonly=True), viewonly=True)
    agent: Mapped[Agent | None] = relationship(backref=backref("refresh_families", viewonly=True), viewonly=True)
    machine: Mapped[Machine | None] = relationship(backref=backref("refresh_families", viewonly=True), viewonly=True)


class RefreshToken(Created, Record):
    """One refresh token of a family, as a keyed hash. Its first use makes its successor."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index(None, "family_id"),)
    audited = False

    family_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("refresh_families.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(Line(64), unique=True, info={"sealed": True})
    used_at: Mapped[datetime | None]


REFRESH_FAMILIES = Resource(
    model=RefreshFamily,
    name="refresh-family",
    plural="refresh-families",
    visible=installation,
    filters=(
        RefreshFamily.user_id,
        RefreshFamily.agent_id,
        RefreshFamily.machine_id,
        RefreshFamily.ip_address,
        RefreshFamily.last_used_at,
        RefreshFamily.idle_expires_at,
        RefreshFamily.expires_at,
        RefreshFamily.revoked_at,
    ),
    columns=(RefreshFamily.user_id, RefreshFamily.machine_id, RefreshFamily.last_used_at, RefreshFamily.expires_at),
    verbs=frozenset({Verb.list, Verb.get, Verb.delete}),
)
