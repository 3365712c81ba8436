"""A client's projects: their tree of work items, what waits for what, where they stand, what was decided."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from worklore.memory.decision import DecisionLog, Impact
from worklore.memory.project_state import ProjectState
from worklore.memory.snippet import ContextSnippet, SnippetCategory
from worklore.ops.demo.estate import Estate
from worklore.ops.demo.provider import Provider, Technician
from worklore.ops.demo.recall_tags import keep_tags
from worklore.ops.demo.releases import releases
from worklore.ops.demo.rows import UNTIL, Row, Rows
from worklore.ops.demo.scenarios import DECISIONS, PHASES, WISHES
from worklore.tracking.configuration import ActiveContext, ProjectConfiguration
from worklore.tracking.enhancement import EnhancementStatus, FutureEnhancement
from worklore.tracking.task_links import TaskStatusHistory
from worklore.work.dependency import DependencyType, WorkItemDependency
from worklore.work.graph import path_of
from worklore.work.identity import IdentityKind, ProjectIdentity
from worklore.work.project import Priority, Project, ProjectStatus, slug_of
from worklore.work.tagging import WorkItemTag
from worklore.work.work_item import ItemType, WorkItem, WorkItemStatus

DAY: Final = timedelta(days=1)

Span = tuple[datetime, datetime]
"""When something begins, and when it ends."""


@dataclass(slots=True)
class Undertaking:
    """A project with the time it runs; ``ends`` may lie after the record's end."""

    row: Row
    starts: datetime
    ends: datetime
    root: Row | None = None
    last_session: Row | None = None

    def open_at(self, moment: datetime) -> bool:
        """Whether it is worked on at a moment."""
        return self.starts <= moment < self.ends


def projects(rows: Rows, shared: Provider, made: Estate) -> list[Undertaking]:
    """The client's support, which never ends, and what it asked for beside that."""
    found = [_support(rows, made)]
    room = (UNTIL - made.since).days
    for name, category, labels in rows.chance.sample(WISHES, k={0.4: 2, 1.0: 3, 3.0: 5}[made.weight]):
        starts = made.since + timedelta(days=rows.chance.randrange(20, max(30, room - 20)))
        ends = starts + timedelta(days=rows.chance.randrange(30, 200))
        lead = rows.chance.choice(shared.technicians)
        undertaking = Undertaking(_project(rows, made, name, category, (starts, ends)), starts, ends)
        phases = _tree(rows, undertaking, lead, [shared.tags[label] for label in labels])
        releases(rows, shared, undertaking.row, phases, lead)
        found.append(undertaking)
    return found


def _support(rows: Rows, made: Estate) -> Undertaking:
    row = rows.add(
        Project,
        made.since,
        client_id=made.client["id"],
        name=f"Support of {made.client['name']}",
        slug=f"{made.slug}-support",
        category="support",
        status=ProjectStatus.working,
        priority=Priority.medium,
        description="Whatever comes in day by day.",
        started_date=made.since.date(),
        gitea_repo_url=f"https://git.example.com/clients/{made.slug}",
    )
    _identity(rows, row, made, "support")
    return Undertaking(row, made.since, UNTIL + DAY)


def _project(rows: Rows, made: Estate, name: str, category: str, span: Span) -> Row:
    starts, ends = span
    done = ends < UNTIL
    hours = Decimal(rows.chance.randrange(16, 160))
    others = (ProjectStatus.working, ProjectStatus.blocked, ProjectStatus.critical, ProjectStatus.deferred)
    target = starts.date() + timedelta(days=rows.chance.randrange(40, 160))
    row = rows.add(
        Project,
        starts,
        client_id=made.client["id"],
        name=name,
        slug=f"{made.slug}-{slug_of(name)}",
        category=category,
        status=ProjectStatus.complete if done else rows.chance.choices(others, (7, 2, 1, 1))[0],
        priority=rows.chance.choice(list(Priority)),
        description=f"{name} at {made.client['name']}.",
        started_date=starts.date(),
        target_completion_date=target,
        completed_date=ends.date() if done else None,
        estimated_hours=hours,
        actual_hours=(hours * rows.chance.randrange(80, 150) / 100).quantize(Decimal("0.01")) if done else None,
    )
    _identity(rows, row, made, slug_of(name))
    return row


def _identity(rows: Rows, project: Row, made: Estate, name: str) -> None:
    value = f"git.example.com/{made.slug}/{name}"
    rows.add(ProjectIdentity, project["created_at"], project_id=project["id"], kind=IdentityKind.remote, value=value)


def _tree(rows: Rows, undertaking: Undertaking, lead: Technician, labels: list[uuid.UUID]) -> list[Row]:
    """The project's item, its phases, each waiting for the one before, and two tasks below each; the phases."""
    project, starts = undertaking.row, undertaking.starts
    whole = (starts, undertaking.ends)
    root = _item(rows, undertaking, [], project["name"], whole, lead=lead, item_type=ItemType.project)
    undertaking.root = root
    step = (undertaking.ends - starts) / len(PHASES)
    phases: list[Row] = []
    for order, (title, description) in enumerate(PHASES):
        begin = starts + step * order
        plan = {"description": description, "item_order": order}
        phase = _item(rows, undertaking, [root], title, (begin, begin + step), lead=lead, **plan)
        for label in labels:
            rows.add(WorkItemTag, begin, work_item_id=phase["id"], tag_id=label)
        if phases:
            rows.add(
                WorkItemDependency,
                starts,
                source_id=phase["id"],
                target_id=phases[-1]["id"],
                dependency_type=DependencyType.depends_on,
                created_by=lead.email,
            )
        for part, what in enumerate(("Do it", "Check it")):
            half = step / 2
            span = (begin + half * part, begin + half * (part + 1))
            name = f"{title}: {what.lower()}"
            _item(rows, undertaking, [root, phase], name, span, lead=lead, item_order=part)
        phases.append(phase)
    return phases


def _item(
    rows: Rows, undertaking: Undertaking, above: list[Row], title: str, span: Span, *, lead: Technician, **more: Any
) -> Row:
    """An item planned at its project's start; its status is what the record's end finds it in."""
    begin, end = span
    status = _status(undertaking, begin, end)
    item = rows.add(
        WorkItem,
        undertaking.starts,
        project_id=undertaking.row["id"],
        parent_id=above[-1]["id"] if above else None,
        path=path_of([item["id"] for item in above]),
        depth=len(above),
        title=title,
        status=status,
        priority=rows.chance.choice(list(Priority)),
        estimated_minutes=rows.chance.randrange(2, 40) * 15,
        actual_minutes=rows.chance.randrange(2, 60) * 15 if status is WorkItemStatus.completed else None,
        completed_at=end if status is WorkItemStatus.completed else None,
        assigned_to=lead.email,
        created_by=lead.email,
        updated_by=lead.email,
        **more,
    )
    moved = [(WorkItemStatus.active, begin), (WorkItemStatus.completed, end)]
    former = WorkItemStatus.pending
    for follows, at in moved:
        if at < UNTIL and (follows is WorkItemStatus.active or status is follows):
            rows.add(
                TaskStatusHistory,
                at,
                work_item_id=item["id"],
                from_status=former.value,
                to_status=follows.value,
                changed_at=at,
                changed_by=lead.email,
            )
            item["updated_at"], former = at, follows
    if status is WorkItemStatus.blocked:
        item["metadata"] = {"blocked_reason": "Waits for the client's answer"}
    return item


def _status(undertaking: Undertaking, begin: datetime, end: datetime) -> WorkItemStatus:
    if end < UNTIL:
        return WorkItemStatus.completed
    if begin >= UNTIL:
        deferred = undertaking.row["status"] is ProjectStatus.deferred
        return WorkItemStatus.deferred if deferred else WorkItemStatus.pending
    return WorkItemStatus.blocked if undertaking.row["status"] is ProjectStatus.blocked else WorkItemStatus.active


def conclude(rows: Rows, shared: Provider, undertakings: list[Undertaking]) -> None:
    """Where each project stands at the end, what was decided in it, and what it left for later."""
    for undertaking in undertakings:
        stands = min(UNTIL, undertaking.ends)
        lead = rows.chance.choice(shared.technicians)
        chosen = rows.chance.sample(DECISIONS, k=2)
        for decision in chosen:
            at = undertaking.starts + (stands - undertaking.starts) * rows.chance.random()
            _decide(rows, undertaking, at, decision)
        _state(rows, undertaking, stands, [text for _, text, _, _ in chosen])
        _later(rows, undertaking, stands, lead)


def _decide(
    rows: Rows, undertaking: Undertaking, at: datetime, decision: tuple[str, str, str, tuple[str, ...]]
) -> None:
    """A decision, and the snippet that was made of it."""
    kind, text, why, weighed = decision
    session, chance = undertaking.last_session, rows.chance
    log = rows.add(
        DecisionLog,
        at,
        project_id=undertaking.row["id"],
        session_id=session["id"] if session and session["start_time"] <= at else None,
        decision_type=kind,
        decision_text=text,
        rationale=why,
        alternatives_considered=list(weighed),
        impact=chance.choice(list(Impact)),
        tags=[kind],
    )
    snippet = rows.add(
        ContextSnippet,
        at,
        project_id=undertaking.row["id"],
        client_id=undertaking.row["client_id"],
        category=SnippetCategory.decision,
        title=text[:200],
        dense_content=f"{text}. {why}",
        tags=[kind],
        relevance_score=round(chance.uniform(1, 9), 2),
        importance=chance.randrange(3, 9),
    )
    keep_tags(rows, DecisionLog.__tablename__, log)
    keep_tags(rows, ContextSnippet.__tablename__, snippet)


def _state(rows: Rows, undertaking: Undertaking, stands: datetime, decided: list[str]) -> None:
    chance, session = rows.chance, undertaking.last_session
    whole = undertaking.ends - undertaking.starts
    progress = 100 if undertaking.ends < UNTIL else int(100 * ((stands - undertaking.starts) / whole))
    phase = PHASES[min(len(PHASES) - 1, progress * len(PHASES) // 100)][0]
    support = undertaking.root is None
    rows.add(
        ProjectState,
        stands,
        project_id=undertaking.row["id"],
        last_session_id=session["id"] if session else None,
        current_phase="Support" if support else phase,
        progress_percentage=0 if support else progress,
        blockers=["The client's answer"] if undertaking.row["status"] is ProjectStatus.blocked else [],
        next_actions=[] if progress == 100 and not support else ["Agree on the next window", "Tell the users"],  # noqa: PLR2004 - all of it
        context_summary=f"{undertaking.row['name']}: {phase.lower()}." if not support else "Tickets as they come.",
        key_files=["docs/plan.md", "docs/way-back.md"],
        important_decisions=decided,
    )
    commit = hashlib.sha1(str(undertaking.row["id"]).encode(), usedforsecurity=False).hexdigest()
    rows.add(
        ProjectConfiguration,
        stands,
        project_id=undertaking.row["id"],
        active_context_type=chance.choice(list(ActiveContext)),
        git_branch="main",
        git_head_commit=commit,
        last_health_check_at=stands,
        updated_by="system",
    )


def _later(rows: Rows, undertaking: Undertaking, stands: datetime, lead: Technician) -> None:
    if undertaking.root is None or rows.likely(0.5):
        return
    rows.add(
        FutureEnhancement,
        stands,
        project_id=undertaking.row["id"],
        title="Report once a month by itself",
        description="What was done and what is open, sent to the client without anybody writing it.",
        priority=rows.chance.randrange(1, 6),
        status=EnhancementStatus.planned,
        requires_constitutional_principles=[],
        target_quarter=quarter(stands.date() + timedelta(days=120)),
        created_by=lead.email,
    )


def quarter(day: date) -> str:
    """The quarter of a day, as 2027-Q1."""
    return f"{day.year}-Q{(day.month + 2) // 3}"


def told(values: dict[str, Any], text: str) -> str:
    """A text of a scenario with its names filled in."""
    return text.format_map(values)
