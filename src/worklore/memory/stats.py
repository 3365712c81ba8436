"""What memory holds, what it told at what cost, and how much of that was of use."""

import uuid
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import func, select

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.crud import load
from worklore.kernel.resource import Resource
from worklore.kernel.wire import WireModel
from worklore.knowledge.insight import ENVIRONMENTAL_INSIGHTS
from worklore.knowledge.metric import LEARNING_METRICS, LearningMetric
from worklore.knowledge.pattern import FAILURE_PATTERNS
from worklore.memory.context import CONTEXTS
from worklore.memory.decision import DECISIONS
from worklore.memory.figures import Outcomes, Tally, told_since, warnings_since
from worklore.memory.injection import Injection
from worklore.memory.recollection import recollection
from worklore.memory.snippet import SNIPPETS
from worklore.memory.warn.known import known_failures
from worklore.memory.warn.told import Outcome
from worklore.memory.window import WINDOWS
from worklore.work.project import PROJECTS

REDACTION: Final = "redact"
"""How the names of the figures that count redactions begin."""

HELD: Final[tuple[Resource, ...]] = (WINDOWS, CONTEXTS, SNIPPETS, DECISIONS, FAILURE_PATTERNS, ENVIRONMENTAL_INSIGHTS)


class StatsAsked(WireModel):
    """Of which time and project."""

    weeks: Annotated[int, Field(ge=1, le=520)] = 12
    """So many weeks back."""
    project_id: uuid.UUID | None = None
    """Of one project alone: what it was told, not what is held."""


class ToldFigures(WireModel):
    """What was told, and what came of it."""

    week: str | None
    """Its Monday; empty for all weeks together."""
    event: str | None
    """The hook's event, or what asked; empty for all together."""
    items: int
    answers: int
    tokens: int
    judged: int
    """Items of which it is known whether they were used, or useful."""
    used: int
    useless: int
    """Items that somebody has marked so."""
    precision: float | None
    """The share of judged items that were of use."""


class WarningFigures(WireModel):
    """Warnings of a week, and what came of them."""

    week: str | None
    given: int
    heeded: int
    ignored: int
    wrong: int
    precision: float | None
    """The share of those with an outcome that were right."""


class MemoryStats(WireModel):
    """What memory holds, what it told, and what came of it."""

    held: dict[str, int]
    """Records by noun, as far as the caller may see them."""
    index: dict[str, int]
    """What this hub process holds in memory: passages of recall, and known failures."""
    told: ToldFigures
    told_by_event: list[ToldFigures]
    told_by_week: list[ToldFigures]
    warnings: WarningFigures
    warnings_by_week: list[WarningFigures]
    redactions: dict[str, float]


def memory_stats(ctx: ReadContext, body: StatsAsked) -> MemoryStats:
    """What memory holds, what it told in the last weeks at what cost, and the share of that which was of use."""
    monday = (ctx.now() - timedelta(days=ctx.now().weekday(), weeks=body.weeks - 1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    project = load(ctx, PROJECTS, body.project_id).id if body.project_id else None
    total, by_event, by_week = Tally(), defaultdict[str, Tally](Tally), defaultdict[str, Tally](Tally)
    for row in told_since(ctx, monday, project):
        for tally in (total, by_event[row.event], by_week[_week(row.created_at)]):
            tally.add(row)
    warned, warned_by_week = Outcomes(), defaultdict[str, Outcomes](Outcomes)
    for row in warnings_since(ctx, monday, project):
        for outcomes in (warned, warned_by_week[_week(row.created_at)]):
            outcomes.add(row.outcome)
    known = known_failures(ctx)
    known.catch_up(ctx)
    return MemoryStats(
        held={resource.name: _count(ctx, resource) for resource in HELD},
        index={"passages": len(recollection(ctx)), "known_failures": len(known)},
        told=_told(total),
        told_by_event=[_told(tally, event=event) for event, tally in sorted(by_event.items())],
        told_by_week=[_told(tally, week=week) for week, tally in sorted(by_week.items())],
        warnings=_warned(warned),
        warnings_by_week=[_warned(outcomes, week) for week, outcomes in sorted(warned_by_week.items())],
        redactions=_redactions(ctx, monday.date()),
    )


MEMORY_STATS: Final = Action(
    run=memory_stats, name="stats", path="memory-windows/stats", scope="memory:read", risk=Risk.read
)


class Feedback(WireModel):
    """Whether what was told was of use."""

    useful: bool


class Judged(WireModel):
    """What was told, and whether it was of use."""

    id: uuid.UUID
    useful: bool


def feedback(ctx: Context, injection: Injection, body: Feedback) -> Judged:
    """Say whether something that memory told was useful; the agent itself may."""
    injection.useful = body.useful
    ctx.session.flush()
    return Judged(id=injection.id, useful=body.useful)


INJECTION_FEEDBACK: Final = Action(
    run=feedback, name="feedback", on="injection", scope="injection:write", risk=Risk.write
)


def _week(moment: datetime) -> str:
    day: date = moment.date()
    return (day - timedelta(days=day.weekday())).isoformat()


def _told(tally: Tally, *, week: str | None = None, event: str | None = None) -> ToldFigures:
    return ToldFigures(
        week=week,
        event=event,
        items=tally.items,
        answers=len(tally.answers),
        tokens=tally.tokens,
        judged=tally.judged,
        used=tally.used,
        useless=tally.useless,
        precision=tally.precision,
    )


def _warned(outcomes: Outcomes, week: str | None = None) -> WarningFigures:
    counts = {outcome.value: outcomes.came_of[outcome] for outcome in Outcome}
    return WarningFigures(week=week, given=outcomes.given, precision=outcomes.precision, **counts)


def _count(ctx: ReadContext, resource: Resource) -> int:
    model: Any = resource.model
    return ctx.session.scalar(select(func.count()).select_from(model).where(resource.visible(ctx.principal))) or 0


def _redactions(ctx: ReadContext, since: date) -> dict[str, float]:
    """The figures that count what was redacted, where there are any; each client's and the installation's."""
    found = (
        select(LearningMetric.metric_name, func.sum(LearningMetric.metric_value))
        .where(
            LearningMetric.metric_date >= since,
            LearningMetric.metric_name.like(f"{REDACTION}%"),
            LearningMetric.client_id.is_(None)
            if ctx.principal.clients is None
            else LEARNING_METRICS.visible(ctx.principal),
        )
        .group_by(LearningMetric.metric_name)
        .order_by(LearningMetric.metric_name)
    )
    return {name: float(value) for name, value in ctx.session.execute(found)}
