"""What changed on an asset, and the way back."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.estate.infrastructure import Infrastructure
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.work_item import WorkItem


class InfrastructureChange(Created, Record):
    """A change on an asset: how it was, how it is now, and the way back."""

    __tablename__ = "infrastructure_changes"
    __table_args__ = (Index(None, "work_item_id"), Index(None, "session_id"), Index(None, "infrastructure_id"))

    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="SET NULL"))
    change_type: Mapped[str] = mapped_column(Line(50))
    target_system: Mapped[str] = mapped_column(Line(255))
    before_state: Mapped[str | None]
    after_state: Mapped[str | None]
    is_permanent: Mapped[bool] = column(default=True)
    rollback_procedure: Mapped[str | None]
    verification_performed: Mapped[bool] = column(default=False)
    verification_notes: Mapped[str | None]

    work_item: Mapped[WorkItem | None] = relationship(
        backref=backref("infrastructure_changes", viewonly=True), viewonly=True
    )
    session: Mapped[WorkSession] = relationship(backref=backref("infrastructure_changes", viewonly=True), viewonly=True)
    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("infrastructure_changes", viewonly=True), viewonly=True
    )


def check(ctx: Context, change: InfrastructureChange, before: Mapping[str, Any]) -> None:
    """Work item and asset are of the session's client."""
    one_client(ctx, change, before, shared={"infrastructure_id"})


INFRASTRUCTURE_CHANGES = Resource(
    model=InfrastructureChange,
    name="infrastructure-change",
    plural="infrastructure-changes",
    visible=through(InfrastructureChange.session_id, WorkSession, SESSIONS.visible),
    filters=(
        InfrastructureChange.work_item_id,
        InfrastructureChange.session_id,
        InfrastructureChange.infrastructure_id,
        InfrastructureChange.change_type,
        InfrastructureChange.target_system,
        InfrastructureChange.is_permanent,
        InfrastructureChange.verification_performed,
    ),
    search=(
        InfrastructureChange.target_system,
        InfrastructureChange.before_state,
        InfrastructureChange.after_state,
        InfrastructureChange.rollback_procedure,
        InfrastructureChange.verification_notes,
    ),
    columns=(
        InfrastructureChange.created_at,
        InfrastructureChange.target_system,
        InfrastructureChange.change_type,
        InfrastructureChange.is_permanent,
    ),
    check=check,
)
