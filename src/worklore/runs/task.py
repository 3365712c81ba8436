"""Executable units of work, given to an agent or a worker."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.clients.rules import in_order
from worklore.estate.graph import reaches
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.sequence import take
from worklore.kernel.types import Line, column
from worklore.runs.transitions import ENDED, TaskStatus, may_move, next_statuses
from worklore.work.bounds import within
from worklore.work.project import PROJECTS, Project
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.work_item import WorkItem


class TaskType(StrEnum):
    """What sort of work a task is: the first eight for people and agents, the others for workers."""

    implementation = "implementation"
    research = "research"
    review = "review"
    deployment = "deployment"
    testing = "testing"
    documentation = "documentation"
    bugfix = "bugfix"
    analysis = "analysis"
    file_operation = "file_operation"
    git_operation = "git_operation"
    shell_operation = "shell_operation"
    http_request = "http_request"
    mcp_call = "mcp_call"
    workflow = "workflow"
    agent = "agent"


class Complexity(StrEnum):
    """How hard a task is expected to be."""

    trivial = "trivial"
    simple = "simple"
    moderate = "moderate"
    complex = "complex"


class Task(Stamped, Record):
    """One executable unit of work, given to an agent or a worker: leased, retried and timed; it may have sub-tasks."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("attempt >= 0", name="attempt"),
        CheckConstraint("json_valid(config)", name="config").ddl_if(dialect="sqlite"),  # the other engines' own types
        *(Index(None, name) for name in ("parent_task_id", "session_id", "client_id", "project_id", "work_item_id")),
        *(Index(None, name) for name in ("status", "task_type", "created_at", "workspace_path", "lease_expires_at")),
    )

    parent_task_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="SET NULL"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="SET NULL"))
    task_order: Mapped[int] = column(default=0)
    title: Mapped[str] = mapped_column(Line(500))
    description: Mapped[str | None]
    task_type: Mapped[TaskType | None]
    status: Mapped[TaskStatus] = column(default=TaskStatus.pending)
    blocking_reason: Mapped[str | None]
    assigned_agent: Mapped[str | None] = mapped_column(Line(100))
    estimated_complexity: Mapped[Complexity | None]
    task_context: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    config: Mapped[dict[str, Any]] = column(default={}, doc="What a worker needs to know to carry the task out.")
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    workspace_path: Mapped[str | None] = mapped_column(Line(700))
    priority: Mapped[int] = column(default=0, doc="Higher goes first.")
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    attempt: Mapped[int] = column(default=0)
    max_attempts: Mapped[int] = column(default=1)
    timeout_seconds: Mapped[int | None]
    run_after: Mapped[datetime | None]
    lease_owner: Mapped[str | None] = mapped_column(Line(200))
    lease_expires_at: Mapped[datetime | None]
    fence: Mapped[int] = column(default=0, doc="Moves on with every lease; an older holder's writes are refused.")

    parent_task: Mapped["Task | None"] = relationship(
        remote_side="Task.id", backref=backref("sub_tasks", viewonly=True), viewonly=True
    )
    session: Mapped[WorkSession | None] = relationship(backref=backref("tasks", viewonly=True), viewonly=True)
    client: Mapped[Client | None] = relationship(backref=backref("tasks", viewonly=True), viewonly=True)
    project: Mapped[Project | None] = relationship(backref=backref("tasks", viewonly=True), viewonly=True)
    work_item: Mapped[WorkItem | None] = relationship(backref=backref("tasks", viewonly=True), viewonly=True)


def check(ctx: Context, task: Task, before: Mapping[str, Any]) -> None:
    """A task is no part of itself, belongs to one client, and moves from status to status as it may."""
    if task.parent_task_id is not None and task.id is not None:  # pyright: ignore[reportUnnecessaryComparison] - no id before the first flush
        _refuse_cycle(ctx, task, task.parent_task_id, moved="parent_task_id" in before)
    one_client(ctx, task, before)
    within(task, "max_attempts", 1)
    within(task, "timeout_seconds", 1)
    if "status" in before:
        _check_move(task, before["status"])
    _stamp(ctx, task, before)
    in_order(task, "started_at", "completed_at")


def _refuse_cycle(ctx: Context, task: Task, parent: uuid.UUID, *, moved: bool) -> None:
    def parents(tasks: frozenset[uuid.UUID]) -> Iterable[uuid.UUID]:
        found = select(Task.parent_task_id).where(Task.id.in_(sorted(tasks)))
        return [key for key in ctx.session.scalars(found) if key is not None]

    if moved:
        take(ctx, "task_parents", 1)  # one mover at a time: two moves, each harmless alone, can close a cycle
    if reaches(parent, task.id, parents):
        raise InvalidError(f"parent_task_id ({parent}) is part of this task itself.", field="parent_task_id")


def _check_move(task: Task, former: TaskStatus) -> None:
    if may_move(former, task.status):
        return
    allowed = ", ".join(next_statuses(former)) or "none: it has ended"
    raise InvalidError(f"status ({task.status}) cannot follow {former}; what can: {allowed}.", field="status")


def _stamp(ctx: Context, task: Task, before: Mapping[str, Any]) -> None:
    """Keep the times of the present attempt; they say when it began and when it ended."""
    if "status" not in before and task.started_at is None and task.status in {TaskStatus.running, *ENDED}:
        task.started_at = task.completed_at or ctx.now()
    if "status" in before and task.status is TaskStatus.running and "started_at" not in before:
        task.started_at = ctx.now()
    if task.status in ENDED:
        task.completed_at = task.completed_at or ctx.now()
    elif task.completed_at is not None:
        raise InvalidError("completed_at is for tasks that have ended; this one is open.", field="completed_at")


TASKS = Resource(
    model=Task,
    name="task",
    plural="tasks",
    visible=any_of(
        (
            by_client(Task.client_id),
            through(Task.project_id, Project, PROJECTS.visible),
            through(Task.session_id, WorkSession, SESSIONS.visible),
        )
    ),
    filters=(
        Task.parent_task_id,
        Task.session_id,
        Task.client_id,
        Task.project_id,
        Task.work_item_id,
        Task.task_type,
        Task.status,
        Task.task_order,
        Task.assigned_agent,
        Task.estimated_complexity,
        Task.workspace_path,
        Task.priority,
        Task.attempt,
        Task.run_after,
        Task.started_at,
        Task.completed_at,
        Task.lease_owner,
        Task.lease_expires_at,
    ),
    search=(Task.title, Task.description, Task.blocking_reason),
    columns=(Task.title, Task.status, Task.task_type, Task.assigned_agent, Task.priority),
    server_set=(Task.attempt, Task.lease_owner, Task.lease_expires_at, Task.fence),
    check=check,
)
