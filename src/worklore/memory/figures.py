"""What memory told and what came of it, counted: for a person who asks, and day by day in the learning metrics."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import select

from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.transaction import Database, Operation
from worklore.kernel.types import utcnow, uuid7
from worklore.knowledge.metric import LearningMetric
from worklore.memory.injection import INJECTIONS, Injection
from worklore.memory.warn.told import WARNINGS, CommandWarning, Outcome
from worklore.work.session import WorkSession

DAYS: Final = 7
"""Days that the job counts again, since what came of a memory is known later than that it was told."""

WARNING: Final = "warning:"


@dataclass(slots=True)
class Tally:
    """What was told in some span: items, the answers they were in, the tokens of these, and what came of the items.

    An item is judged when it is known whether it was used, or somebody has said whether it was useful; what was said
    counts before what was found.
    """

    items: int = 0
    answers: set[tuple[uuid.UUID, datetime]] = field(default_factory=set[tuple[uuid.UUID, datetime]])
    tokens: int = 0
    judged: int = 0
    used: int = 0
    useless: int = 0

    def add(self, row: Any) -> None:
        """Count one note of what was told."""
        self.items += 1
        answer = (row.session_id, row.created_at)
        if answer not in self.answers:
            self.answers.add(answer)
            self.tokens += row.tokens
        verdict = row.useful if row.useful is not None else row.used
        if verdict is not None:
            self.judged += 1
            self.used += verdict
        self.useless += row.useful is False

    @property
    def precision(self) -> float | None:
        """The share of judged items that were of use; None where none is judged."""
        return round(self.used / self.judged, 4) if self.judged else None


@dataclass(slots=True)
class Outcomes:
    """Warnings given in some span, and what came of them."""

    given: int = 0
    came_of: Counter[Outcome] = field(default_factory=Counter[Outcome])

    def add(self, outcome: Outcome | None) -> None:
        """Count one warning."""
        self.given += 1
        if outcome is not None:
            self.came_of[outcome] += 1

    @property
    def precision(self) -> float | None:
        """The share of warnings with an outcome that were right; None where none has one."""
        known = sum(self.came_of.values())
        return round(1 - self.came_of[Outcome.wrong] / known, 4) if known else None


def told_since(ctx: ReadContext, since: datetime, project_id: uuid.UUID | None = None) -> Iterable[Any]:
    """The notes of what was told since a moment, but for warnings, as far as the caller may see them."""
    columns = (
        Injection.session_id,
        Injection.event,
        Injection.created_at,
        Injection.tokens,
        Injection.used,
        Injection.useful,
        WorkSession.client_id,
    )
    found = (
        select(*columns)
        .join(WorkSession, WorkSession.id == Injection.session_id)
        .where(
            Injection.created_at >= since,
            Injection.source_uuid.not_like(f"{WARNING}%"),
            INJECTIONS.visible(ctx.principal),
        )
    )
    if project_id is not None:
        found = found.where(WorkSession.project_id == project_id)
    return ctx.session.execute(found)


def warnings_since(ctx: ReadContext, since: datetime, project_id: uuid.UUID | None = None) -> Iterable[Any]:
    """The warnings given since a moment, as far as the caller may see them."""
    found = select(CommandWarning.created_at, CommandWarning.client_id, CommandWarning.outcome).where(
        CommandWarning.created_at >= since, WARNINGS.visible(ctx.principal)
    )
    if project_id is not None:
        sessions = select(WorkSession.id).where(WorkSession.project_id == project_id)
        found = found.where(CommandWarning.session_id.in_(sessions))
    return ctx.session.execute(found)


Owner = tuple[date, uuid.UUID | None]
"""A day, and a client or the installation as a whole."""


def measure(database: Database, _: Mapping[str, Any]) -> None:
    """Write the last days' figures down, for each client and for the installation. A background job."""
    since = datetime.combine((utcnow() - timedelta(days=DAYS)).date(), time(), UTC)
    with database.read(SYSTEM) as ctx:
        figures = daily(told_since(ctx, since), warnings_since(ctx, since))
    database.write(lambda ctx: _keep(ctx, since.date(), figures), Operation(message="what memory was worth"))


def daily(told: Iterable[Any], warned: Iterable[Any]) -> dict[Owner, dict[str, float]]:
    """The figures of each day by name, for each client and, without one, for all together."""
    tallies: dict[Owner, Tally] = defaultdict(Tally)
    outcomes: dict[Owner, Outcomes] = defaultdict(Outcomes)
    for row in told:
        for client in {row.client_id, None}:
            tallies[row.created_at.date(), client].add(row)
    for row in warned:
        for client in {row.client_id, None}:
            outcomes[row.created_at.date(), client].add(row.outcome)
    figures: dict[Owner, dict[str, float]] = defaultdict(dict)
    for owner, tally in tallies.items():
        figures[owner] |= {
            "memories_told": float(tally.items),
            "memories_used": float(tally.used),
            "memory_tokens": float(tally.tokens),
        }
        if tally.precision is not None:
            figures[owner]["memory_precision"] = tally.precision
    for owner, came in outcomes.items():
        figures[owner]["warnings_given"] = float(came.given)
        figures[owner] |= {f"warnings_{outcome}": float(came.came_of[outcome]) for outcome in Outcome}
        if came.precision is not None:
            figures[owner]["warning_precision"] = came.precision
    return dict(figures)


def _keep(ctx: Context, since: date, figures: Mapping[Owner, Mapping[str, float]]) -> None:
    names = {name for named in figures.values() for name in named}
    stored = select(LearningMetric).where(
        LearningMetric.metric_date >= since, LearningMetric.metric_name.in_(sorted(names))
    )
    held = {
        (metric.metric_date, metric.client_id, metric.metric_name): metric for metric in ctx.session.scalars(stored)
    }
    for (day, client), named in sorted(figures.items(), key=str):
        for name, value in named.items():
            metric = held.get((day, client, name))
            if metric is None:
                made = LearningMetric(
                    id=uuid7(), metric_date=day, client_id=client, metric_name=name, metric_value=value
                )
                ctx.session.add(made)
            elif metric.metric_value != value:
                metric.metric_value = value
