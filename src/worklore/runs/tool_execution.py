"""Calls of tools by agents and workers."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.clients.rules import keep_stamp
from worklore.kernel.access import any_of, through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.runs.task import TASKS, Task
from worklore.work.bounds import within
from worklore.work.session import SESSIONS, WorkSession


class ExecutionStatus(StrEnum):
    """Where a call of a tool stands."""

    pending = "pending"
    running = "running"
    completed = "completed"
    failed = "failed"
    timeout = "timeout"


ENDED: Final = frozenset({ExecutionStatus.completed, ExecutionStatus.failed, ExecutionStatus.timeout})


class ToolExecution(Created, Record):
    """One call of a tool for a task or in a session: with what, what came out, and how long it took."""

    __tablename__ = "tool_executions"
    __table_args__ = (
        CheckConstraint("duration_ms >= 0", name="duration_ms"),
        Index(None, "task_id"),
        Index(None, "task_id", "created_at"),
        *(Index(None, name) for name in ("session_id", "tool_name", "status", "created_at")),
    )

    task_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    tool_name: Mapped[str] = mapped_column(Line(200))
    arguments: Mapped[dict[str, Any]]
    output: Mapped[str | None]
    status: Mapped[ExecutionStatus] = column(default=ExecutionStatus.pending)
    error: Mapped[str | None]
    completed_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None]

    task: Mapped[Task | None] = relationship(backref=backref("tool_executions", viewonly=True), viewonly=True)
    session: Mapped[WorkSession | None] = relationship(backref=backref("tool_executions", viewonly=True), viewonly=True)


def check(ctx: Context, execution: ToolExecution, before: Mapping[str, Any]) -> None:
    """Task and session are of one client; a call that has ended has its end and its duration."""
    one_client(ctx, execution, before)
    within(execution, "duration_ms", 0)
    keep_stamp(ctx, execution, before, "completed_at", ended=execution.status in ENDED)
    _time(execution)


def _time(execution: ToolExecution) -> None:
    end, begin = execution.completed_at, execution.created_at
    if end is None or begin is None or execution.duration_ms is not None:  # pyright: ignore[reportUnnecessaryComparison] - no created_at before the first flush
        return
    execution.duration_ms = max(0, (end - begin) // timedelta(milliseconds=1))


TOOL_EXECUTIONS = Resource(
    model=ToolExecution,
    name="tool-execution",
    plural="tool-executions",
    visible=any_of(
        (
            through(ToolExecution.task_id, Task, TASKS.visible),
            through(ToolExecution.session_id, WorkSession, SESSIONS.visible),
        )
    ),
    filters=(
        ToolExecution.task_id,
        ToolExecution.session_id,
        ToolExecution.tool_name,
        ToolExecution.status,
        ToolExecution.created_at,
        ToolExecution.completed_at,
        ToolExecution.duration_ms,
    ),
    search=(ToolExecution.tool_name, ToolExecution.output, ToolExecution.error),
    columns=(ToolExecution.tool_name, ToolExecution.status, ToolExecution.created_at, ToolExecution.duration_ms),
    check=check,
)
