"""SQL run against a client's database, with the way back."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.clients.rules import not_negative
from worklore.estate.infrastructure import Infrastructure
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.work_item import WorkItem


class DatabaseChange(Created, Record):
    """SQL that was run against a client's database: what it did, and the way back."""

    __tablename__ = "database_changes"
    __table_args__ = (Index(None, "work_item_id"), Index(None, "session_id"), Index(None, "infrastructure_id"))

    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="SET NULL"))
    database_name: Mapped[str] = mapped_column(Line(255))
    change_type: Mapped[str] = mapped_column(Line(50))
    sql_executed: Mapped[str | None]
    rows_affected: Mapped[int | None] = mapped_column(BigInteger)
    size_freed_bytes: Mapped[int | None] = mapped_column(BigInteger, doc="Below zero when the database grew.")
    backup_taken: Mapped[bool] = column(default=False)
    backup_location: Mapped[str | None] = mapped_column(Line(500))
    rollback_sql: Mapped[str | None]

    work_item: Mapped[WorkItem | None] = relationship(backref=backref("database_changes", viewonly=True), viewonly=True)
    session: Mapped[WorkSession] = relationship(backref=backref("database_changes", viewonly=True), viewonly=True)
    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("database_changes", viewonly=True), viewonly=True
    )


def check(ctx: Context, change: DatabaseChange, before: Mapping[str, Any]) -> None:
    """Work item and asset are of the session's client; a count of rows is not negative."""
    not_negative(change, "rows_affected")
    one_client(ctx, change, before, shared={"infrastructure_id"})


DATABASE_CHANGES = Resource(
    model=DatabaseChange,
    name="database-change",
    plural="database-changes",
    visible=through(DatabaseChange.session_id, WorkSession, SESSIONS.visible),
    filters=(
        DatabaseChange.work_item_id,
        DatabaseChange.session_id,
        DatabaseChange.infrastructure_id,
        DatabaseChange.database_name,
        DatabaseChange.change_type,
        DatabaseChange.rows_affected,
        DatabaseChange.size_freed_bytes,
        DatabaseChange.backup_taken,
    ),
    search=(DatabaseChange.database_name, DatabaseChange.sql_executed, DatabaseChange.rollback_sql),
    columns=(
        DatabaseChange.created_at,
        DatabaseChange.database_name,
        DatabaseChange.change_type,
        DatabaseChange.rows_affected,
        DatabaseChange.backup_taken,
    ),
    check=check,
)
