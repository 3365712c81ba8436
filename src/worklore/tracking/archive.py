"""Work items that were moved out of the way of the living ones."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import any_of, through
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, column, utcnow
from worklore.work.graph import MAX_DEPTH, ROOT
from worklore.work.project import PROJECTS, Priority, Project
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.work_item import ItemType, WorkCategory, WorkItemStatus


class ArchivedWorkItem(Stamped, Record):
    """A work item as it was when it was archived, under the id it had."""

    __tablename__ = "archived_work_items"
    __table_args__ = (
        CheckConstraint(f"depth BETWEEN 0 AND {MAX_DEPTH}", name="depth"),
        *(Index(None, name) for name in ("created_at", "item_type", "archived_at")),
        *(Index(None, name) for name in ("session_id", "project_id", "approved_by_session")),
    )

    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    parent_id: Mapped[uuid.UUID | None] = mapped_column(doc="No foreign key: the parent may be alive or archived.")
    path: Mapped[str] = column(Line(500), default=ROOT, doc="The ids of its ancestors, root first, between slashes.")
    depth: Mapped[int] = column(default=0, doc="How many ancestors it had.")
    item_type: Mapped[ItemType] = column(default=ItemType.task)
    category: Mapped[WorkCategory | None]
    title: Mapped[str] = mapped_column(Line(500))
    description: Mapped[str | None]
    status: Mapped[WorkItemStatus] = column(default=WorkItemStatus.active)
    priority: Mapped[Priority | None]
    is_billable: Mapped[bool] = column(default=False)
    estimated_minutes: Mapped[int | None]
    actual_minutes: Mapped[int | None]
    affected_systems: Mapped[list[Any] | None]
    technologies_used: Mapped[list[Any] | None]
    item_order: Mapped[int | None]
    completed_at: Mapped[datetime | None]
    branch_name: Mapped[str | None] = mapped_column(Line(255))
    commit_hash: Mapped[str | None] = mapped_column(Line(40), info={"form": "commit"})
    pr_number: Mapped[int | None]
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    assigned_to: Mapped[str | None] = mapped_column(Line(255))
    lease_owner: Mapped[str | None] = mapped_column(Line(255))
    lease_expires_at: Mapped[datetime | None]
    fence: Mapped[int] = column(default=0)
    approved_by_session: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    deleted_at: Mapped[datetime | None]
    created_by: Mapped[str | None] = mapped_column(Line(255))
    updated_by: Mapped[str | None] = mapped_column(Line(255))
    archived_at: Mapped[datetime] = mapped_column(default=utcnow)

    session: Mapped[WorkSession | None] = relationship(
        foreign_keys=[session_id], backref=backref("archived_work_items", viewonly=True), viewonly=True
    )
    project: Mapped[Project | None] = relationship(backref=backref("archived_work_items", viewonly=True), viewonly=True)
    approving_session: Mapped[WorkSession | None] = relationship(
        foreign_keys=[approved_by_session],
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
