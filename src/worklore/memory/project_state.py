"""The present state of each project: what it is at, what blocks it, what comes next."""

import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import CheckConstraint, ForeignKey, Index, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.kernel.access import through
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.crud import load
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError, NotFoundError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.kernel.wire import CleanJson, CleanStr, UtcTime, WireModel
from worklore.work.bounds import within
from worklore.work.project import PROJECTS, Project
from worklore.work.session import SESSIONS, WorkSession


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
    fixed=(ProjectState.project_id,),
    check=check,
)


class StateOfProject(WireModel):
    """The present state of a project."""

    id: uuid.UUID
    project_id: uuid.UUID
    last_session_id: uuid.UUID | None
    current_phase: str | None
    progress_percentage: int
    blockers: list[Any] | None
    next_actions: list[Any] | None
    context_summary: str | None
    key_files: list[Any] | None
    important_decisions: list[Any] | None
    version: int
    updated_at: UtcTime


class NewState(WireModel):
    """What has changed about a project; fields that are not sent stay as they are."""

    last_session_id: uuid.UUID | None = None
    current_phase: Annotated[CleanStr, Field(max_length=100)] | None = None
    progress_percentage: int = Field(default=0, ge=0, le=100)
    blockers: Annotated[list[CleanJson], Field(max_length=1000)] | None = None
    next_actions: Annotated[list[CleanJson], Field(max_length=1000)] | None = None
    context_summary: CleanStr | None = None
    key_files: Annotated[list[CleanJson], Field(max_length=1000)] | None = None
    important_decisions: Annotated[list[CleanJson], Field(max_length=1000)] | None = None


def find_state(ctx: ReadContext, project_id: uuid.UUID) -> ProjectState | None:
    """The state of a project; None when nobody has written it yet."""
    return ctx.session.scalars(select(ProjectState).where(ProjectState.project_id == project_id)).one_or_none()


def _shown(state: ProjectState) -> StateOfProject:
    return StateOfProject(**{name: getattr(state, name) for name in StateOfProject.model_fields})


def project_state(ctx: ReadContext, project: Project) -> StateOfProject:
    """The present state of a project."""
    state = find_state(ctx, project.id)
    if state is None:
        raise NotFoundError("Nobody has written this project's state yet.", hint="Set it with set-state.")
    return _shown(state)


def set_project_state(ctx: Context, project: Project, body: NewState) -> StateOfProject:
    """Write the present state of a project: make it, or change the fields that are sent."""
    if body.last_session_id is not None:
        load(ctx, SESSIONS, body.last_session_id)
    state = find_state(ctx, project.id)
    if state is None:
        state = ProjectState(project_id=project.id)
        ctx.session.add(state)
    for name in body.model_fields_set:
        setattr(state, name, getattr(body, name))
    with ctx.session.no_autoflush:
        check(ctx, state, {})
    ctx.session.flush()
    return _shown(state)


PROJECT_STATE = Action(run=project_state, name="state", on="project", scope="project-state:read", risk=Risk.read)
SET_PROJECT_STATE = Action(
    run=set_project_state, name="set-state", on="project", scope="project-state:write", risk=Risk.write
)
