"""Work items that were moved out of the way of the living ones."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import any_of, through
from worklore.kernel.db import Record
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import utcnow
from worklore.work.graph import MAX_DEPTH
from worklore.work.project import PROJECTS, Project
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.work_item import ItemColumns


class ArchivedWorkItem(ItemColumns, Record):
    """A work item as it was when it was archived, under the id it had."""

    __tablename__ = "archived_work_items"
    __table_args__ = (
        CheckConstraint(f"depth BETWEEN 0 AND {MAX_DEPTH}", name="depth"),
        *(Index(None, name) for name in ("created_at", "item_type", "archived_at")),
        *(Index(None, name) for name in ("session_id", "project_id", "approved_by_session")),
    )

    archived_at: Mapped[datetime] = mapped_column(default=utcnow)

    session: Mapped[WorkSession | None] = relationship(
        foreign_keys="ArchivedWorkItem.session_id", backref=backref("archived_work_items", viewonly=True), viewonly=True
    )
    project: Mapped[Project | None] = relationship(backref=backref("archived_work_items", viewonly=True), viewonly=True)
    approving_session: Mapped[WorkSession | None] = relationship(
        foreign_keys="ArchivedWorkItem.approved_by_session",
        backref=backref("approved_archived_work_items", viewonly=True),
        viewonly=True,
    )


ARCHIVED_WORK_ITEMS = Resource(
    model=ArchivedWorkItem,
    name="archived-work-item",
    plural="archived-work-items",
    visible=any_of(
        (
            through(ArchivedWorkItem.session_id, WorkSession, SESSIONS.visible),
            through(ArchivedWorkItem.project_id, Project, PROJECTS.visible),
        )
    ),
    filters=(
        ArchivedWorkItem.session_id,
        ArchivedWorkItem.project_id,
        ArchivedWorkItem.parent_id,
        ArchivedWorkItem.path,
        ArchivedWorkItem.depth,
        ArchivedWorkItem.item_type,
        ArchivedWorkItem.category,
        ArchivedWorkItem.status,
        ArchivedWorkItem.priority,
        ArchivedWorkItem.is_billable,
        ArchivedWorkItem.completed_at,
        ArchivedWorkItem.branch_name,
        ArchivedWorkItem.commit_hash,
        ArchivedWorkItem.pr_number,
        ArchivedWorkItem.assigned_to,
        ArchivedWorkItem.approved_by_session,
        ArchivedWorkItem.deleted_at,
        ArchivedWorkItem.created_at,
        ArchivedWorkItem.created_by,
        ArchivedWorkItem.archived_at,
    ),
    search=(ArchivedWorkItem.title, ArchivedWorkItem.description),
    columns=(
        ArchivedWorkItem.title,
        ArchivedWorkItem.item_type,
        ArchivedWorkItem.status,
        ArchivedWorkItem.archived_at,
    ),
    verbs=READ_ONLY,
)
