"""One stretch of work by a person or an agent on a machine."""

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.identity.machine import Machine
from worklore.identity.user import User
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column, utcnow
from worklore.work.project import PROJECTS, Project


class SessionStatus(StrEnum):
    """Where a session stands."""

    planned = "planned"
    in_progress = "in_progress"
    completed = "completed"
    blocked = "blocked"
    cancelled = "cancelled"


class ConnectionType(StrEnum):
    """How a session reaches the hub."""

    hook = "hook"
    mcp = "mcp"
    http = "http"
    websocket = "websocket"
    grpc = "grpc"
    cli = "cli"


class WorkSession(Stamped, Record):
    """One sitting of work by a person or an agent on a machine; live while its heartbeat is fresh."""

    __tablename__ = "sessions"
    __table_args__ = (
        UniqueConstraint("agent_client", "external_key"),
        *(
            Index(None, name)
            for name in ("client_id", "project_id", "machine_id", "session_date", "agent_client", "user_id")
        ),
        *(Index(None, name) for name in ("is_active", "last_heartbeat", "created_at", "tainted_at")),
    )

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="RESTRICT"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("machines.id", ondelete="RESTRICT"))
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("api_users.id", ondelete="SET NULL"))
    session_title: Mapped[str] = mapped_column(Line(500))
    status: Mapped[SessionStatus] = column(default=SessionStatus.in_progress)
    session_date: Mapped[date] = mapped_column(default=lambda: utcnow().date())
    start_time: Mapped[datetime | None]
    end_time: Mapped[datetime | None]
    duration_minutes: Mapped[int | None]
    is_billable: Mapped[bool] = column(default=False)
    billable_hours: Mapped[Decimal | None]
    technician: Mapped[str | None] = mapped_column(Line(255))
    summary: Mapped[str | None]
    session_log_file: Mapped[str | None] = mapped_column(Line(500))
    notes: Mapped[str | None]
    agent_client: Mapped[str | None] = mapped_column(Line(100), doc="The connecting program, such as claude-code.")
    external_key: Mapped[str | None] = mapped_column(Line(200), doc="The agent's own id of the session.")
    connection_type: Mapped[ConnectionType] = column(default=ConnectionType.hook)
    is_active: Mapped[bool] = column(default=True)
    last_heartbeat: Mapped[datetime] = mapped_column(default=utcnow)
    last_turn_at: Mapped[datetime | None]
    last_progress_at: Mapped[datetime | None]
    tainted_at: Mapped[datetime | None]
    git_branch: Mapped[str | None] = mapped_column(Line(255))
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    handoff: Mapped[dict[str, Any] | None]

    client: Mapped[Client | None] = relationship(backref=backref("sessions", viewonly=True), viewonly=True)
    project: Mapped[Project | None] = relationship(backref=backref("sessions", viewonly=True), viewonly=True)
    machine: Mapped[Machine | None] = relationship(backref=backref("sessions", viewonly=True), viewonly=True)
    user: Mapped[User | None] = relationship(backref=backref("sessions", viewonly=True), viewonly=True)


def check(ctx: Context, session: WorkSession, _: Mapping[str, Any]) -> None:
    """Times are in order; a session of a project belongs to the project's client."""
    if session.start_time and session.end_time and session.end_time < session.start_time:
        raise InvalidError("end_time lies before start_time.", field="end_time")
    if (session.duration_minutes or 0) < 0 or (session.billable_hours or 0) < 0:
        raise InvalidError("Durations cannot be negative.", field="duration_minutes")
    project = ctx.session.get(Project, session.project_id) if session.project_id else None
    if project is not None:
        if session.client_id is None:
            session.client_id = project.client_id
        elif session.client_id != project.client_id:
            raise InvalidError("The project belongs to another client.", field="client_id")


SESSIONS = Resource(
    model=WorkSession,
    name="session",
    plural="sessions",
    visible=any_of((by_client(WorkSession.client_id), through(WorkSession.project_id, Project, PROJECTS.visible))),
    filters=(
        WorkSession.client_id,
        WorkSession.project_id,
        WorkSession.machine_id,
        WorkSession.user_id,
        WorkSession.status,
        WorkSession.session_date,
        WorkSession.agent_client,
        WorkSession.external_key,
        WorkSession.is_active,
        WorkSession.is_billable,
        WorkSession.last_heartbeat,
        WorkSession.tainted_at,
    ),
    search=(WorkSession.session_title, WorkSession.summary, WorkSession.notes),
    columns=(WorkSession.session_title, WorkSession.status, WorkSession.session_date, WorkSession.technician),
    server_set=(WorkSession.tainted_at,),
    check=check,
)
