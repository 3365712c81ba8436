"""What the record says without being asked: where work stands, what is open, what was decided, what fails where.

Each function reads one sort of fact, the weightiest first, under the caller's visibility. A fact is one line under a
heading, and goes by a name, so that a session is not told it twice.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from sqlalchemy import ColumnElement, Select, case, or_, select

from worklore.kernel.context import ReadContext
from worklore.kernel.resource import Resource
from worklore.knowledge.insight import ENVIRONMENTAL_INSIGHTS, Confidence, EnvironmentalInsight
from worklore.knowledge.pattern import FAILURE_PATTERNS, FailurePattern
from worklore.knowledge.solution import PROBLEM_SOLUTIONS, ProblemSolution
from worklore.memory.compress.fit import Entry, Fitted, fit
from worklore.memory.decision import DECISIONS, DecisionLog, Impact
from worklore.memory.frame import neutral
from worklore.memory.project_state import PROJECT_STATES, ProjectState
from worklore.memory.redaction import told
from worklore.memory.warn.destructive import unpasteable
from worklore.memory.warn.evidence import host_name
from worklore.memory.warn.known import same_host
from worklore.memory.window import Kind
from worklore.trail.deployment import DEPLOYMENTS, Deployment
from worklore.trail.incident import INCIDENTS, IncidentStatus, SecurityIncident
from worklore.work.pending_task import PENDING_TASKS, PendingTask, PendingTaskStatus
from worklore.work.project import Priority, Project
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.work_item import WORK_ITEMS, WorkItem, WorkItemStatus

MOST: Final = 6
"""Facts of a sort."""

LINE: Final = 300
"""Characters of a fact."""

OPEN_ITEMS: Final = (WorkItemStatus.active, WorkItemStatus.blocked, WorkItemStatus.pending)
OPEN_TASKS: Final = (PendingTaskStatus.pending, PendingTaskStatus.in_progress, PendingTaskStatus.blocked)
WEIGHTS: Final = {
    "The work item": 10.0,
    "State": 9.0,
    "Blocked by": 8.0,
    "Next": 7.0,
    "Left by the last session": 7.5,
    "Known to fail on this host": 6.5,
    "Open work": 6.0,
    "Incidents": 6.0,
    "Decided": 5.0,
    "Known of this environment": 5.0,
    "Solved before": 4.0,
    "Deployed": 3.0,
    "Sessions": 3.0,
}
"""What goes last where not all fits."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Fact:
    """One line to be told, under a heading, and the name by which it is known that it was."""

    heading: str
    text: str
    name: str


def fitting(facts: Iterable[Fact], budget: int) -> tuple[Fitted, dict[str, str]]:
    """The facts that fit a budget of tokens as a text, and the name and heading of each that is in it."""
    kept = [fact for fact in facts if fact.text]
    places: dict[str, int] = {}
    entries: list[Entry] = []
    for fact in kept:
        place = places[fact.heading] = places.get(fact.heading, -1) + 1
        entries.append(Entry(fact.heading, neutral(told(fact.text)), WEIGHTS[fact.heading] - place / 4))
    fitted = fit(entries, budget)
    return fitted, {kept[place].name: kept[place].heading for place in fitted.shown}


def state(ctx: ReadContext, project: uuid.UUID) -> Iterator[Fact]:
    """Where a project stands, what blocks it, what comes next."""
    row = next(iter(_seen(ctx, PROJECT_STATES, select(ProjectState).where(ProjectState.project_id == project))), None)
    if row is None:
        return
    name = f"project-state {row.id} {row.version}"
    standing = (
        row.current_phase,
        f"{row.progress_percentage} %" if row.progress_percentage else "",
        row.context_summary,
    )
    yield Fact("State", _line(*standing), name)
    for heading, values in (("Blocked by", row.blockers), ("Next", row.next_actions)):
        yield from (Fact(heading, _line(_said(value)), name) for value in (values or ())[:MOST])


def left_behind(ctx: ReadContext, project: uuid.UUID, own: uuid.UUID | None) -> Iterator[Fact]:
    """What the last session of a project that handed its work over said of it."""
    handed = select(WorkSession).where(WorkSession.project_id == project, WorkSession.handoff.is_not(None))
    others = handed if own is None else handed.where(WorkSession.id != own)
    for row in _seen(ctx, SESSIONS, others.order_by(WorkSession.last_turn_at.desc(), WorkSession.id.desc()).limit(1)):
        for part in ("done", "remaining", "decisions", "uncertain"):
            said = _said((row.handoff or {}).get(part))
            yield Fact("Left by the last session", f"{part}: {_line(said)}" if said else "", f"handoff {row.id} {part}")


def open_work(ctx: ReadContext, *of: ColumnElement[bool]) -> Iterator[Fact]:
    """Work items that are not done, the most urgent first. `of` are conditions on work items."""
    rank = case({each: place for place, each in enumerate(Priority)}, value=WorkItem.priority, else_=2)
    wanted = select(WorkItem).where(*of, WorkItem.status.in_(OPEN_ITEMS), WorkItem.deleted_at.is_(None))
    for row in _seen(
        ctx, WORK_ITEMS, wanted.order_by(rank, WorkItem.created_at.desc(), WorkItem.id.desc()).limit(MOST)
    ):
        about = [row.status.value, row.priority.value if row.priority else "", row.assigned_to or ""]
        yield Fact("Open work", _line(f"{row.title} ({', '.join(filter(None, about))})"), _name(Kind.work_item, row.id))


def itself(item: WorkItem) -> Iterator[Fact]:
    """A work item: its title, where it stands, and what is to be done, as far as a few lines say it."""
    about = [item.item_type.value, item.status.value, item.priority.value if item.priority else ""]
    text = _line(f"{item.title} ({', '.join(filter(None, about))})", item.description)
    yield Fact("The work item", text, _name(Kind.work_item, item.id))


def follow_ups(ctx: ReadContext, *of: ColumnElement[bool]) -> Iterator[Fact]:
    """What sessions noted as left to do, the newest first. `of` are conditions on pending tasks."""
    wanted = select(PendingTask).where(*of, PendingTask.status.in_(OPEN_TASKS))
    newest = wanted.order_by(PendingTask.created_at.desc(), PendingTask.id.desc()).limit(MOST)
    for row in _seen(ctx, PENDING_TASKS, newest):
        yield Fact("Open work", _line(row.title, row.blocked_by and f"blocked by {row.blocked_by}"), f"task {row.id}")


def decided(ctx: ReadContext, *of: ColumnElement[bool]) -> Iterator[Fact]:
    """Decisions, those with the widest impact first, then the newest. `of` are conditions on decisions."""
    rank = case({each: place for place, each in enumerate(reversed(Impact))}, value=DecisionLog.impact, else_=9)
    wanted = select(DecisionLog).where(*of).order_by(rank, DecisionLog.created_at.desc(), DecisionLog.id.desc())
    for row in _seen(ctx, DECISIONS, wanted.limit(MOST)):
        because = f"because {row.rationale}" if row.rationale else ""
        yield Fact(
            "Decided",
            _dated(row.happened_at or row.created_at, row.decision_text, because),
            _name(Kind.decision, row.id),
        )


def failing(ctx: ReadContext, client: uuid.UUID | None, host: str) -> Iterator[Fact]:
    """What is known to fail on a host of a client: patterns in force that name it, or name none."""
    wanted = select(FailurePattern).where(FailurePattern.client_id == client, FailurePattern.is_active)
    newest = wanted.order_by(FailurePattern.occurrence_count.desc(), FailurePattern.last_seen.desc()).limit(100)
    found = 0
    for row in _seen(ctx, FAILURE_PATTERNS, newest):
        hosts = [host_name(str(each)) for each in row.affected_systems or ()]
        if found < MOST and (not hosts or any(same_host(each, host) for each in hosts)):
            found += 1
            text = _line(row.failure_description, f"Instead: {row.recommended_solution}")
            yield Fact("Known to fail on this host", unpasteable(text), _name(Kind.pattern, row.id))


def known(ctx: ReadContext, client: uuid.UUID | None) -> Iterator[Fact]:
    """What was learned of a client's environment, the weightiest first; suspicions are left out."""
    wanted = select(EnvironmentalInsight).where(
        EnvironmentalInsight.client_id == client, EnvironmentalInsight.confidence_level != Confidence.suspected
    )
    first = wanted.order_by(EnvironmentalInsight.priority.desc(), EnvironmentalInsight.updated_at.desc()).limit(MOST)
    for row in _seen(ctx, ENVIRONMENTAL_INSIGHTS, first):
        text = _line(row.insight_title, row.insight_description)
        yield Fact("Known of this environment", unpasteable(text), _name(Kind.insight, row.id))


def solved(ctx: ReadContext, *of: ColumnElement[bool]) -> Iterator[Fact]:
    """Problems that were solved, those met most often first. `of` are conditions on solutions."""
    wanted = select(ProblemSolution).where(*of)
    often = wanted.order_by(ProblemSolution.recurrence_count.desc(), ProblemSolution.created_at.desc()).limit(MOST)
    for row in _seen(ctx, PROBLEM_SOLUTIONS, often):
        text = _dated(row.created_at, row.problem_title or row.problem_description, f"Solution: {row.solution_applied}")
        yield Fact("Solved before", text, _name(Kind.solution, row.id))


def deployed(ctx: ReadContext, *of: ColumnElement[bool]) -> Iterator[Fact]:
    """The last deployments. `of` are conditions on deployments."""
    wanted = select(Deployment).where(*of).order_by(Deployment.created_at.desc(), Deployment.id.desc()).limit(MOST)
    for row in _seen(ctx, DEPLOYMENTS, wanted):
        what = " ".join(filter(None, (row.deployment_type, row.software_version)))
        target = f"to {row.deployed_to}" if row.deployed_to else ""
        text = _dated(row.happened_at or row.created_at, what, row.description or "", target)
        yield Fact("Deployed", unpasteable(text), _name(Kind.deployment, row.id))


def incidents(ctx: ReadContext, client: uuid.UUID) -> Iterator[Fact]:
    """Incidents of a client that are not closed, the newest first."""
    wanted = select(SecurityIncident).where(
        SecurityIncident.client_id == client, SecurityIncident.status != IncidentStatus.resolved
    )
    for row in _seen(ctx, INCIDENTS, wanted.order_by(SecurityIncident.incident_date.desc()).limit(MOST)):
        text = _dated(row.incident_date, f"{row.severity.value} {row.incident_type.value}", row.description)
        yield Fact("Incidents", text, f"incident {row.id}")


def sessions(ctx: ReadContext, *of: ColumnElement[bool]) -> Iterator[Fact]:
    """The last sessions: when, who, about what. `of` are conditions on sessions."""
    wanted = select(WorkSession).where(*of, WorkSession.last_turn_at.is_not(None))
    for row in _seen(
        ctx, SESSIONS, wanted.order_by(WorkSession.last_turn_at.desc(), WorkSession.id.desc()).limit(MOST)
    ):
        who = f"by {row.technician}" if row.technician else ""
        yield Fact("Sessions", _dated(row.last_turn_at, row.session_title, who, row.summary or ""), f"session {row.id}")


def of_client(model: type[Any], client: uuid.UUID) -> ColumnElement[bool]:
    """Records of a client by the session they were made in or the project they belong to."""
    named: list[ColumnElement[bool]] = []
    if hasattr(model, "client_id"):
        named.append(model.client_id == client)
    if hasattr(model, "session_id"):
        named.append(model.session_id.in_(select(WorkSession.id).where(WorkSession.client_id == client)))
    if hasattr(model, "project_id"):
        named.append(model.project_id.in_(select(Project.id).where(Project.client_id == client)))
    return or_(*named)


def _seen(ctx: ReadContext, resource: Resource, wanted: Select[Row]) -> Sequence[Row]:
    if ctx.principal.clients is not None:
        wanted = wanted.where(resource.visible(ctx.principal))
    return ctx.session.scalars(wanted).all()


def _name(kind: Kind, key: uuid.UUID) -> str:
    """The name by which recall knows the record too."""
    return f"{kind.value} {key}"


def _dated(time: Any, *parts: str) -> str:
    return _line(f"{time.date().isoformat()}:", *parts, between=" ")


def _line(*parts: str | None, between: str = ". ") -> str:
    said = [" ".join(str(part).split()) for part in parts if part]
    text = between.join(part.rstrip(".") if between == ". " else part for part in said)
    return text if len(text) <= LINE else text[: LINE - 1] + "…"


def _said(value: object) -> str:
    """A value of a JSON column as a text."""
    if isinstance(value, dict):
        return "; ".join(str(inner) for inner in cast("dict[str, object]", value).values() if inner not in (None, ""))
    if isinstance(value, list):
        return "; ".join(_said(inner) for inner in cast("list[object]", value))
    return "" if value is None else str(value)
