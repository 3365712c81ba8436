"""The present state of each project: what it is at, what blocks it, what comes next."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.bounds import within
from worklore.work.project import PROJECTS, Project
from worklore.work.session import WorkSession


class ProjectState(Stamped, Record):
    """The present state of one project: one row per project."""

    __tablename__ = "project_states"
    __table_args__ = (
        CheckConstraint("progress_percentage BETWEEN 0 AND 100", name="progress_percentage"),
        Index(None, "last_session_id"),
        Index(None, "progress_percentage"),
    )

    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), unique=True)
    last_session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    current_phase: Mapped[str | None] = mapped_column(Line(100))
    progress_percentage: Mapped[int] = column(default=0)
    blockers: Mapped[list[Any] | None]
    next_actions: Mapped[list[Any] | None]
    context_summary: Mapped[str | None]
    key_files: Mapped[list[Any] | None]
    important_decisions: Mapped[list[Any] | None]

    project: Mapped[Project] = relationship(backref=backref("state", uselist=False, viewonly=True), viewonly=True)
    last_session: Mapped[WorkSession | None] = relationship(
        backref=backref("project_states", viewonly=True), viewonly=True
    )


def check(ctx: Context, state: ProjectState, before: Mapping[str, Any]) -> None:
    """Progress is a percentage; the last session is one of the project."""
    within(state, "progress_percentage", 0, 100)
    one_client(ctx, state, before)
    session = ctx.session.get(WorkSession, state.last_session_id) if state.last_session_id else None
    if session is not None and session.project_id not in {None, state.project_id}:
        raise InvalidError("last_session_id names a session of another project.", field="last_session_id")


PROJECT_STATES = Resource(
    model=ProjectState,
    name="project-state",
    plural="project-states",
    visible=through(ProjectState.project_id, Project, PROJECTS.visible),
    filters=(
        ProjectState.project_id,
        ProjectState.last_session_id,
        ProjectState.current_phase,
        ProjectState.progress_percentage,
    ),
    search=(ProjectState.context_summary, ProjectState.current_phase),
    columns=(ProjectState.project_id, ProjectState.current_phase, ProjectState.progress_percentage),
    by=(("project", ProjectState.project_id),),
    fixed=(ProjectState.project_id,),
    check=check,
)
