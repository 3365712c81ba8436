"""Shell commands that work ran, and how they ended."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.clients.rules import not_negative
from worklore.estate.infrastructure import Infrastructure
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column, utcnow
from worklore.work.news import leave_news
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.traced import Traced, traced
from worklore.work.work_item import WorkItem


class CommandRun(Traced, Record):
    """A shell command that was run in a session, where, and how it ended."""

    __tablename__ = "commands_run"
    __table_args__ = (
        Index(None, "work_item_id"),
        Index(None, "session_id"),
        Index(None, "success"),
        Index(None, "infrastructure_id"),
    )

    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("infrastructure.id", ondelete="SET NULL"), doc="The asset it ran on or talked to."
    )
    command_text: Mapped[str]
    host: Mapped[str | None] = mapped_column(Line(255), doc="Where it ran: behind `ssh`, the host that it went to.")
    shell_type: Mapped[str | None] = mapped_column(Line(50))
    working_directory: Mapped[str | None] = mapped_column(Line(1000))
    success: Mapped[bool | None] = mapped_column(doc="Nothing: it is not known how it ended.")
    output_summary: Mapped[str | None]
    exit_code: Mapped[int | None] = mapped_column(BigInteger, doc="Those of Windows run up to 2**32 - 1.")
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    error_message: Mapped[str | None]
    failure_category: Mapped[str | None] = mapped_column(Line(100))
    resolution: Mapped[str | None]
    resolved: Mapped[bool] = column(default=False)
    execution_order: Mapped[int | None]
    executed_at: Mapped[datetime] = mapped_column(default=utcnow)

    work_item: Mapped[WorkItem | None] = relationship(backref=backref("commands_run", viewonly=True), viewonly=True)
    session: Mapped[WorkSession] = relationship(backref=backref("commands_run", viewonly=True), viewonly=True)
    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("commands_run", viewonly=True), viewonly=True
    )


def check(ctx: Context, command: CommandRun, before: Mapping[str, Any]) -> None:
    """Work item and asset are of the session's client; what the command says is learned from soon."""
    not_negative(command, "duration_ms")
    one_client(ctx, command, before, shared={"infrastructure_id"})
    leave_news(ctx, command.session_id)


COMMANDS = Resource(
    model=CommandRun,
    name="command",
    plural="commands",
    visible=through(CommandRun.session_id, WorkSession, SESSIONS.visible),
    filters=(
        CommandRun.work_item_id,
        CommandRun.session_id,
        CommandRun.infrastructure_id,
        CommandRun.host,
        CommandRun.shell_type,
        CommandRun.success,
        CommandRun.exit_code,
        CommandRun.failure_category,
        CommandRun.resolved,
        CommandRun.execution_order,
        CommandRun.executed_at,
        CommandRun.source_uuid,
        CommandRun.subagent,
    ),
    search=(CommandRun.command_text, CommandRun.output_summary, CommandRun.error_message, CommandRun.resolution),
    columns=(CommandRun.executed_at, CommandRun.host, CommandRun.command_text, CommandRun.success),
    server_set=traced(CommandRun),
    hidden=(CommandRun.captured_digest,),
    check=check,
)
