"""Workflows: versioned definitions, their runs, the history of each run, and the tasks they are made of."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import Field
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.rules import in_order, keep_stamp
from worklore.kernel.access import installation, through
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.crud import load
from worklore.kernel.db import Base, Created, Record, Stamped
from worklore.kernel.errors import ConflictError, InvalidError
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, column, uuid7
from worklore.kernel.wire import WireModel
from worklore.runs.task import TASKS, Task

MAX_TASKS: Final = 1000


class WorkflowStatus(StrEnum):
    """Where a workflow stands."""

    draft = "draft"
    active = "active"
    archived = "archived"
    paused = "paused"


class RunStatus(StrEnum):
    """Where a run of a workflow stands."""

    pending = "pending"
    running = "running"
    waiting = "waiting"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"


ENDED: Final = frozenset({RunStatus.completed, RunStatus.failed, RunStatus.cancelled})


class Workflow(Stamped, Record):
    """Work that repeats, written down as data: steps, edges, retries and gates."""

    __tablename__ = "workflows"
    __table_args__ = (
        CheckConstraint("json_valid(definition)", name="definition").ddl_if(dialect="sqlite"),  # others by their type
        *(Index(None, name) for name in ("status", "created_at", "name")),
    )

    name: Mapped[str] = mapped_column(Line(255))
    description: Mapped[str | None]
    definition: Mapped[dict[str, Any]]
    spec_version: Mapped[int | None] = mapped_column(doc="The last published version of the definition.")
    status: Mapped[WorkflowStatus] = column(default=WorkflowStatus.draft)


class WorkflowVersion(Created, Record):
    """A definition of a workflow as it was published; it never changes, and runs go by it."""

    __tablename__ = "workflow_versions"
    __table_args__ = (UniqueConstraint("workflow_id", "spec_version"),)

    workflow_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workflows.id", ondelete="CASCADE"))
    spec_version: Mapped[int]
    definition: Mapped[dict[str, Any]]
    created_by: Mapped[str | None] = mapped_column(Line(255))

    workflow: Mapped[Workflow] = relationship(backref=backref("versions", viewonly=True), viewonly=True)


class WorkflowRun(Stamped, Record):
    """One run of a published workflow: what went in, where it stands, and what came out."""

    __tablename__ = "workflow_runs"
    __table_args__ = (Index(None, "workflow_id"), Index(None, "status"))

    workflow_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workflows.id", ondelete="CASCADE"))
    spec_version: Mapped[int]
    status: Mapped[RunStatus] = column(default=RunStatus.pending)
    input: Mapped[dict[str, Any] | None]
    output: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    error: Mapped[str | None]

    workflow: Mapped[Workflow] = relationship(backref=backref("runs", viewonly=True), viewonly=True)


class RunEvent(Created, Base):
    """Something that happened in a run; the events in their order are the run's history."""

    __tablename__ = "run_events"
    __table_args__ = (UniqueConstraint("run_id", "seq"), Index(None, "run_id"))
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workflow_runs.id", ondelete="CASCADE"))
    seq: Mapped[int] = mapped_column(doc="Ascends from 1 within a run.")
    kind: Mapped[str] = mapped_column(Line(50))
    step_key: Mapped[str | None] = mapped_column(Line(200))
    payload: Mapped[dict[str, Any] | None]

    run: Mapped[WorkflowRun] = relationship(backref=backref("events", viewonly=True), viewonly=True)


class WorkflowTask(Created, Base):
    """A task of a workflow, in its place."""

    __tablename__ = "workflow_tasks"
    __table_args__ = (
        CheckConstraint("sequence >= 0", name="sequence"),
        Index(None, "workflow_id"),
        Index(None, "task_id"),
        Index(None, "workflow_id", "sequence"),
        Index(None, "run_id"),
    )

    workflow_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workflows.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("workflow_runs.id", ondelete="SET NULL"))
    step_key: Mapped[str | None] = mapped_column(Line(200))
    sequence: Mapped[int] = column(default=0)

    workflow: Mapped[Workflow] = relationship(backref=backref("workflow_tasks", viewonly=True), viewonly=True)
    task: Mapped[Task] = relationship(backref=backref("workflow_tasks", viewonly=True), viewonly=True)
    run: Mapped[WorkflowRun | None] = relationship(backref=backref("workflow_tasks", viewonly=True), viewonly=True)


def check_run(ctx: Context, run: WorkflowRun, before: Mapping[str, Any]) -> None:
    """A run goes by a published version; once it has ended it stays ended."""
    former = before.get("status", run.status)
    if former in ENDED and former is not run.status:
        raise InvalidError(f"status ({run.status}) cannot follow {former}: the run has ended.", field="status")
    published = select(WorkflowVersion.id).where(
        WorkflowVersion.workflow_id == run.workflow_id, WorkflowVersion.spec_version == run.spec_version
    )
    if not before and ctx.session.scalars(published).first() is None:
        raise InvalidError(
            f"spec_version ({run.spec_version}) is no published version of the workflow.",
            hint="Publish the workflow first.",
            field="spec_version",
        )
    if run.status is RunStatus.running and run.started_at is None:
        run.started_at = ctx.now()
    keep_stamp(ctx, run, before, "completed_at", ended=run.status in ENDED)
    in_order(run, "started_at", "completed_at")


WORKFLOWS = Resource(
    model=Workflow,
    name="workflow",
    plural="workflows",
    visible=installation,
    filters=(Workflow.name, Workflow.status, Workflow.spec_version),
    search=(Workflow.name, Workflow.description),
    columns=(Workflow.name, Workflow.status, Workflow.spec_version),
    server_set=(Workflow.spec_version,),
)

WORKFLOW_VERSIONS = Resource(
    model=WorkflowVersion,
    name="workflow-version",
    plural="workflow-versions",
    visible=through(WorkflowVersion.workflow_id, Workflow, WORKFLOWS.visible),
    filters=(WorkflowVersion.workflow_id, WorkflowVersion.spec_version, WorkflowVersion.created_by),
    columns=(WorkflowVersion.workflow_id, WorkflowVersion.spec_version, WorkflowVersion.created_by),
    verbs=READ_ONLY,
)

WORKFLOW_RUNS = Resource(
    model=WorkflowRun,
    name="workflow-run",
    plural="workflow-runs",
    visible=through(WorkflowRun.workflow_id, Workflow, WORKFLOWS.visible),
    filters=(
        WorkflowRun.workflow_id,
        WorkflowRun.spec_version,
        WorkflowRun.status,
        WorkflowRun.started_at,
        WorkflowRun.completed_at,
    ),
    search=(WorkflowRun.error,),
    columns=(WorkflowRun.workflow_id, WorkflowRun.spec_version, WorkflowRun.status, WorkflowRun.started_at),
    fixed=(WorkflowRun.workflow_id, WorkflowRun.spec_version),
    check=check_run,
)

RUN_EVENTS = Resource(
    model=RunEvent,
    name="run-event",
    plural="run-events",
    visible=through(RunEvent.run_id, WorkflowRun, WORKFLOW_RUNS.visible),
    filters=(RunEvent.run_id, RunEvent.seq, RunEvent.kind, RunEvent.step_key),
    columns=(RunEvent.run_id, RunEvent.seq, RunEvent.kind, RunEvent.step_key),
    verbs=READ_ONLY,
)


class Published(WireModel):
    """The version by which runs go now."""

    spec_version: int
    status: WorkflowStatus


class StepTasks(WireModel):
    """Tasks by id, in their order."""

    tasks: list[uuid.UUID] = Field(min_length=1, max_length=MAX_TASKS)


class TasksOfWorkflow(WireModel):
    """The tasks of a workflow, in their order."""

    tasks: list[uuid.UUID]


def publish(ctx: Context, workflow: Workflow) -> Published:
    """Make the definition as it is now the version by which runs go. An unchanged definition keeps its version."""
    if workflow.status is WorkflowStatus.archived:
        raise ConflictError("The workflow is archived.", hint="Set its status to draft first.")
    latest = ctx.session.scalars(
        select(WorkflowVersion).where(
            WorkflowVersion.workflow_id == workflow.id, WorkflowVersion.spec_version == workflow.spec_version
        )
    ).one_or_none()
    number = latest.spec_version if latest else 0
    if latest is None or latest.definition != workflow.definition:
        number += 1
        ctx.session.add(
            WorkflowVersion(
                workflow_id=workflow.id,
                spec_version=number,
                definition=workflow.definition,
                created_by=ctx.principal.actor,
            )
        )
    workflow.spec_version, workflow.status = number, WorkflowStatus.active
    ctx.session.flush()
    return Published(spec_version=number, status=workflow.status)


def _tasks(ctx: Context, workflow: Workflow) -> TasksOfWorkflow:
    found = (
        select(WorkflowTask.task_id)
        .where(WorkflowTask.workflow_id == workflow.id)
        .order_by(WorkflowTask.sequence, WorkflowTask.task_id)
    )
    return TasksOfWorkflow(tasks=list(ctx.session.scalars(found)))


def add_tasks(ctx: Context, workflow: Workflow, body: StepTasks) -> TasksOfWorkflow:
    """Put tasks at the end of a workflow, in the order given. Those it has already stay where they are."""
    last = select(func.coalesce(func.max(WorkflowTask.sequence), -1)).where(WorkflowTask.workflow_id == workflow.id)
    place = ctx.session.scalars(last).one()
    for key in dict.fromkeys(body.tasks):
        task = load(ctx, TASKS, key)
        if ctx.session.get(WorkflowTask, (workflow.id, task.id)) is None:
            place += 1
            ctx.session.add(WorkflowTask(workflow_id=workflow.id, task_id=task.id, sequence=place))
    ctx.session.flush()
    return _tasks(ctx, workflow)


def remove_tasks(ctx: Context, workflow: Workflow, body: StepTasks) -> TasksOfWorkflow:
    """Take tasks out of a workflow; the tasks stay. Those it does not have are passed over."""
    for key in dict.fromkeys(body.tasks):
        link = ctx.session.get(WorkflowTask, (workflow.id, key))
        if link is not None:
            ctx.session.delete(link)
    ctx.session.flush()
    return _tasks(ctx, workflow)


PUBLISH = Action(run=publish, name="publish", on="workflow", scope="workflow:write", risk=Risk.write)
ADD_TASKS = Action(run=add_tasks, name="add-tasks", on="workflow", scope="workflow:write", risk=Risk.write)
REMOVE_TASKS = Action(run=remove_tasks, name="remove-tasks", on="workflow", scope="workflow:write", risk=Risk.write)
