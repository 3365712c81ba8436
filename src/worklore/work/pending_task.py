"""Follow-ups that outlive the session that found them."""

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.clients.rules import keep_stamp
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.project import PROJECTS, Priority, Project
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.traced import Traced, traced
from worklore.work.work_item import WORK_ITEMS, WorkItem


class PendingTaskStatus(StrEnum):
    """Where a follow-up stands."""

    pending = "pending"
    in_progress = "in_progress"
    blocked = "blocked"
    completed = "completed"
    cancelled = "cancelled"


class PendingTask(Traced, Stamped, Record):
    """A follow-up noted in passing, open until somebody takes it up."""

    __tablename__ = "pending_tasks"
    __table_args__ = tuple(
        Index(None, name) for name in ("client_id", "project_id", "work_item_id", "session_id", "status", "priority")
    )

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="SET NULL"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("sessions.id", ondelete="SET NULL"), doc="The session that left it."
    )
    title: Mapped[str] = mapped_column(Line(500))
    description: Mapped[str | None]
    priority: Mapped[Priority] = column(default=Priority.medium)
    blocked_by: Mapped[str | None]
    assigned_to: Mapped[str | None] = mapped_column(Line(255))
    due_date: Mapped[date | None]
    status: Mapped[PendingTaskStatus] = column(default=PendingTaskStatus.pending)
    completed_at: Mapped[datetime | None]

    client: Mapped[Client | None] = relationship(backref=backref("pending_tasks", viewonly=True), viewonly=True)
    project: Mapped[Project | None] = relationship(backref=backref("pending_tasks", viewonly=True), viewonly=True)
    work_item: Mapped[WorkItem | None] = relationship(backref=backref("pending_tasks", viewonly=True), viewonly=True)
    session: Mapped[WorkSession | None] = relationship(backref=backref("pending_tasks", viewonly=True), viewonly=True)


def check(ctx: Context, task: PendingTask, before: Mapping[str, Any]) -> None:
    """Project, work item and session are of the task's client; the time of completion is kept with the status."""
    one_client(ctx, task, before)
    keep_stamp(ctx, task, before, "completed_at", ended=task.status is PendingTaskStatus.completed)


PENDING_TASKS = Resource(
    model=PendingTask,
    name="pending-task",
    plural="pending-tasks",
    visible=any_of(
        (
            by_client(PendingTask.client_id),
            through(PendingTask.project_id, Project, PROJECTS.visible),
            through(PendingTask.work_item_id, WorkItem, WORK_ITEMS.visible),
            through(PendingTask.session_id, WorkSession, SESSIONS.visible),
        )
    ),
    filters=(
        PendingTask.client_id,
        PendingTask.project_id,
        PendingTask.work_item_id,
        PendingTask.session_id,
        PendingTask.priority,
        PendingTask.assigned_to,
        PendingTask.due_date,
        PendingTask.status,
        PendingTask.completed_at,
        PendingTask.source_uuid,
    ),
    search=(PendingTask.title, PendingTask.description, PendingTask.blocked_by),
    columns=(
        PendingTask.title,
        PendingTask.status,
        PendingTask.priority,
        PendingTask.assigned_to,
        PendingTask.due_date,
    ),
    server_set=traced(PendingTask),
    hidden=(PendingTask.captured_digest,),
    check=check,
)
