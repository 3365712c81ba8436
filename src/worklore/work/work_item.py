"""A piece of work that is planned, tracked and recorded: a tree with dependencies."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.clients.rules import is_new, keep_stamp, not_negative
from worklore.kernel.access import any_of, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.sequence import take
from worklore.kernel.types import Line, column
from worklore.work.graph import MAX_DEPTH, ROOT, depth_of, path_below, path_of
from worklore.work.item_metadata import (
    Metadata,
    ProjectMetadata,
    ResearchMetadata,
    SessionMetadata,
    TaskMetadata,
    check_metadata,
)
from worklore.work.project import PROJECTS, Priority, Project
from worklore.work.session import SESSIONS, WorkSession


class ItemType(StrEnum):
    """What a work item stands for."""

    project = "project"
    session = "session"
    task = "task"
    research = "research"


class WorkCategory(StrEnum):
    """What sort of work it is."""

    infrastructure = "infrastructure"
    troubleshooting = "troubleshooting"
    configuration = "configuration"
    development = "development"
    maintenance = "maintenance"
    security = "security"
    documentation = "documentation"


class WorkItemStatus(StrEnum):
    """Where a work item stands; ``in_progress`` is taken for ``active``."""

    pending = "pending"
    active = "active"
    blocked = "blocked"
    completed = "completed"
    deferred = "deferred"
    cancelled = "cancelled"

    @classmethod
    def _missing_(cls, value: object) -> "WorkItemStatus | None":
        return cls.active if value == "in_progress" else None


SHAPES: Final[Mapping[ItemType, type[Metadata]]] = {
    ItemType.project: ProjectMetadata,
    ItemType.session: SessionMetadata,
    ItemType.task: TaskMetadata,
    ItemType.research: ResearchMetadata,
}

TRANSITIONS: Final[Mapping[WorkItemStatus, frozenset[WorkItemStatus]]] = {
    WorkItemStatus.pending: frozenset(WorkItemStatus) - {WorkItemStatus.pending},
    WorkItemStatus.active: frozenset(WorkItemStatus) - {WorkItemStatus.active},
    WorkItemStatus.blocked: frozenset(
        {WorkItemStatus.pending, WorkItemStatus.active, WorkItemStatus.deferred, WorkItemStatus.cancelled}
    ),
    WorkItemStatus.completed: frozenset({WorkItemStatus.active}),
    WorkItemStatus.deferred: frozenset({WorkItemStatus.pending, WorkItemStatus.active, WorkItemStatus.cancelled}),
    WorkItemStatus.cancelled: frozenset({WorkItemStatus.pending, WorkItemStatus.active}),
}
"""What may follow what: blocked work goes on before it is completed, completed work is reopened as active."""


class ItemColumns(Stamped):
    """What a work item has, alive or archived. Only a living one's parent is held by a foreign key."""

    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    parent_id: Mapped[uuid.UUID | None]
    path: Mapped[str] = column(Line(500), default=ROOT, doc="The ids of its ancestors, root first, between slashes.")
    depth: Mapped[int] = column(default=0, doc="How many ancestors it has.")
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
    lease_owner: Mapped[str | None] = mapped_column(Line(255), doc="Who has claimed it.")
    lease_expires_at: Mapped[datetime | None]
    fence: Mapped[int] = column(default=0, doc="Counts the claims; what carries an older number comes too late.")
    approved_by_session: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    deleted_at: Mapped[datetime | None] = mapped_column(doc="When it was put away; it keeps its links.")
    created_by: Mapped[str | None] = mapped_column(Line(255))
    updated_by: Mapped[str | None] = mapped_column(Line(255))


class WorkItem(ItemColumns, Record):
    """A piece of work that is planned, tracked and recorded, with a parent, children and dependencies."""

    __tablename__ = "work_items"
    __table_args__ = (
        ForeignKeyConstraint(["parent_id"], ["work_items.id"], ondelete="SET NULL"),
        CheckConstraint(f"depth BETWEEN 0 AND {MAX_DEPTH}", name="depth"),
        *(Index(None, name) for name in ("session_id", "category", "status", "completed_at")),
        *(
            Index(None, name)
            for name in ("parent_id", "path", "item_type", "deleted_at", "project_id", "approved_by_session")
        ),
    )

    session: Mapped[WorkSession | None] = relationship(
        foreign_keys="WorkItem.session_id", backref=backref("work_items", viewonly=True), viewonly=True
    )
    project: Mapped[Project | None] = relationship(backref=backref("work_items", viewonly=True), viewonly=True)
    parent: Mapped["WorkItem | None"] = relationship(
        remote_side="WorkItem.id", backref=backref("children", viewonly=True), viewonly=True
    )
    approving_session: Mapped[WorkSession | None] = relationship(
        foreign_keys="WorkItem.approved_by_session",
        backref=backref("approved_work_items", viewonly=True),
        viewonly=True,
    )


def check(ctx: Context, item: WorkItem, before: Mapping[str, Any]) -> None:
    """Everything a work item promises: its place in the tree, one client, its status, its stamps, its metadata."""
    _place(ctx, item, before)
    one_client(ctx, item, before)
    _check_transition(item, before)
    keep_stamp(ctx, item, before, "completed_at", ended=item.status is WorkItemStatus.completed)
    not_negative(item, "estimated_minutes", "actual_minutes")
    if item.pr_number is not None and item.pr_number < 1:
        raise InvalidError(f"pr_number ({item.pr_number}) must be 1 or more.", field="pr_number")
    if item.metadata_ is not None:
        check_metadata(SHAPES[item.item_type or ItemType.task], item.metadata_)
    if is_new(item):
        item.created_by = ctx.principal.actor
    if is_new(item) or before:
        item.updated_by = ctx.principal.actor


def _place(ctx: Context, item: WorkItem, before: Mapping[str, Any]) -> None:
    """Keep path and depth, of the item and of all below it; a child is in its parent's project unless it says where."""
    if "parent_id" in before:
        take(ctx, "work_item_tree", 1)  # one mover at a time: two moves, each harmless alone, can close a cycle
    ancestors = _ancestors(ctx, item)
    _hang(ctx, item, path_of([ancestor.id for ancestor in ancestors]))
    if item.project_id is None and item.session_id is None and ancestors:
        item.project_id = ancestors[-1].project_id


def _ancestors(ctx: Context, item: WorkItem) -> list[WorkItem]:
    """Root first."""
    found: list[WorkItem] = []
    parent = ctx.session.get(WorkItem, item.parent_id) if item.parent_id else None
    if item.parent_id is not None and item.parent_id == item.id:
        parent = item
    while parent is not None:
        if parent is item:
            raise InvalidError(f"parent_id ({item.parent_id}) is the item itself or lies below it.", field="parent_id")
        found.insert(0, parent)
        _refuse_depth(len(found))
        parent = ctx.session.get(WorkItem, parent.parent_id) if parent.parent_id else None
    return found


def _hang(ctx: Context, item: WorkItem, path: str) -> None:
    depth = depth_of(path)
    _refuse_depth(depth)
    moved = not is_new(item) and item.path != path
    item.path, item.depth = path, depth
    if moved:
        for child in ctx.session.scalars(select(WorkItem).where(WorkItem.parent_id == item.id)).all():
            _hang(ctx, child, path_below(path, item.id))


def _refuse_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidError(
            f"parent_id would hang an item at depth {depth}; {MAX_DEPTH} is the most.", field="parent_id"
        )


def _check_transition(item: WorkItem, before: Mapping[str, Any]) -> None:
    former: WorkItemStatus | None = before.get("status")
    if former is not None and item.status not in TRANSITIONS[former]:
        allowed = ", ".join(sorted(TRANSITIONS[former]))
        raise InvalidError(f"status ({item.status}) cannot follow {former}; it can become {allowed}.", field="status")


WORK_ITEMS = Resource(
    model=WorkItem,
    name="work-item",
    plural="work-items",
    visible=any_of(
        (
            through(WorkItem.session_id, WorkSession, SESSIONS.visible),
            through(WorkItem.project_id, Project, PROJECTS.visible),
        )
    ),
    filters=(
        WorkItem.session_id,
        WorkItem.project_id,
        WorkItem.parent_id,
        WorkItem.path,
        WorkItem.depth,
        WorkItem.item_type,
        WorkItem.category,
        WorkItem.status,
        WorkItem.priority,
        WorkItem.is_billable,
        WorkItem.estimated_minutes,
        WorkItem.actual_minutes,
        WorkItem.completed_at,
        WorkItem.branch_name,
        WorkItem.commit_hash,
        WorkItem.pr_number,
        WorkItem.assigned_to,
        WorkItem.lease_owner,
        WorkItem.lease_expires_at,
        WorkItem.approved_by_session,
        WorkItem.deleted_at,
        WorkItem.created_by,
    ),
    search=(WorkItem.title, WorkItem.description),
    columns=(WorkItem.title, WorkItem.item_type, WorkItem.status, WorkItem.priority, WorkItem.assigned_to),
    by=(("project", WorkItem.project_id),),
    server_set=(
        WorkItem.path,
        WorkItem.depth,
        WorkItem.lease_owner,
        WorkItem.lease_expires_at,
        WorkItem.fence,
        WorkItem.approved_by_session,
        WorkItem.created_by,
        WorkItem.updated_by,
    ),
    check=check,
)
