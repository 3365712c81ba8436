"""Files that work touched."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.clients.rules import not_negative
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.traced import Traced, traced
from worklore.work.work_item import WorkItem


class FileChange(Traced, Created, Record):
    """A file that was created, changed, moved or deleted in a session."""

    __tablename__ = "file_changes"
    __table_args__ = (Index(None, "work_item_id"), Index(None, "session_id"))

    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    file_path: Mapped[str] = mapped_column(Line(1000))
    change_type: Mapped[str] = mapped_column(Line(50))
    backup_path: Mapped[str | None] = mapped_column(Line(1000))
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    description: Mapped[str | None]

    work_item: Mapped[WorkItem | None] = relationship(backref=backref("file_changes", viewonly=True), viewonly=True)
    session: Mapped[WorkSession] = relationship(backref=backref("file_changes", viewonly=True), viewonly=True)


def check(ctx: Context, change: FileChange, before: Mapping[str, Any]) -> None:
    """The work item is of the session's client; a size is not negative."""
    not_negative(change, "size_bytes")
    one_client(ctx, change, before)


FILE_CHANGES = Resource(
    model=FileChange,
    name="file-change",
    plural="file-changes",
    visible=through(FileChange.session_id, WorkSession, SESSIONS.visible),
    filters=(
        FileChange.work_item_id,
        FileChange.session_id,
        FileChange.file_path,
        FileChange.change_type,
        FileChange.size_bytes,
        FileChange.source_uuid,
        FileChange.subagent,
    ),
    search=(FileChange.file_path, FileChange.description),
    columns=(FileChange.created_at, FileChange.change_type, FileChange.file_path, FileChange.session_id),
    server_set=traced(FileChange),
    hidden=(FileChange.captured_digest,),
    check=check,
)
