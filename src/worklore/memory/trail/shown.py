"""A session's trail for people and agents: what was done in it, in order, and what it cost."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import func, select

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.types import iso
from worklore.kernel.wire import WireModel
from worklore.memory.decision import DecisionLog
from worklore.memory.trail.prices import Tokens, cost, price_of, prices
from worklore.memory.trail.step import one_line
from worklore.memory.usage import UsageRecord
from worklore.trail.command import CommandRun
from worklore.trail.deployment import Deployment
from worklore.trail.failure import OperationFailure
from worklore.trail.file_change import FileChange
from worklore.work.pending_task import PendingTask
from worklore.work.session import WorkSession

MAX_ENTRIES: Final = 1_000
MAX_TEXT: Final = 300


class TrailEntry(WireModel):
    """Something that was done, decided or left."""

    kind: str
    """`command`, `file`, `failure`, `deployment`, `decision` or `task`."""
    id: uuid.UUID
    """Of the record, which holds the rest."""
    at: str | None
    text: str
    outcome: str | None = None
    """How it ended, or where it stands: `ok`, `exit 1 test_failure`, `created`, `pending`."""
    host: str | None = None
    subagent: str | None = None


class ModelUsage(WireModel):
    """What a model was used for in tokens, and what that cost by the prices of a day; no cost for an unknown model."""

    model: str
    messages: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost: Decimal | None
    currency: str | None
    prices_of: date | None


class SessionTrail(WireModel):
    """What was done in a session, oldest first, and what it cost."""

    session_id: uuid.UUID
    title: str
    entries: list[TrailEntry]
    left_out: int
    """Entries beyond the first ones, of which the lists of each noun tell."""
    usage: list[ModelUsage]
    cost: dict[str, Decimal]
    """The sum of what is known, by currency."""


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    model: type[Any]
    shown: Callable[[Any], tuple[str, str | None, str | None]]
    time: Callable[[Any], datetime | None] = lambda row: row.happened_at or row.created_at


def _command(row: CommandRun) -> tuple[str, str | None, str | None]:
    ended = {None: None, True: "ok", False: "failed"}[row.success]
    code = f"exit {row.exit_code}" if row.exit_code else None
    outcome = " ".join(filter(None, (code or ended, row.failure_category)))
    return row.command_text, outcome or None, row.host


_KINDS: Final = (
    _Kind("command", CommandRun, _command, lambda row: row.executed_at),
    _Kind("file", FileChange, lambda row: (row.file_path, _both(row.change_type, row.description), None)),
    _Kind(
        "failure",
        OperationFailure,
        lambda row: (f"{row.operation_description}: {row.error_message}", row.failure_category, row.target_system),
    ),
    _Kind(
        "deployment",
        Deployment,
        lambda row: (row.description or row.deployment_type or "", row.deployment_type, row.deployed_to),
    ),
    _Kind("decision", DecisionLog, lambda row: (row.decision_text, row.decision_type, None)),
    _Kind("task", PendingTask, lambda row: (row.title, row.status.value, None)),
)


def _both(one: str, other: str | None) -> str:
    return f"{one} {other}" if other else one


def trail(ctx: ReadContext, session: WorkSession) -> SessionTrail:
    """What was done in a session in its order: commands, files, failures, deployments, decisions, what is left."""
    found = sorted(_entries(ctx, session.id), key=lambda entry: (entry[0], entry[1]))
    used = list(_usage(ctx, session.id))
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for model in used:
        if model.cost is not None and model.currency is not None:
            sums[model.currency] += model.cost
    return SessionTrail(
        session_id=session.id,
        title=session.session_title,
        entries=[entry for _, _, entry in found[:MAX_ENTRIES]],
        left_out=_number(ctx, session.id) - min(len(found), MAX_ENTRIES),
        usage=used,
        cost=dict(sums),
    )


def _number(ctx: ReadContext, session_id: uuid.UUID) -> int:
    counted = (
        select(func.count()).select_from(kind.model).where(kind.model.session_id == session_id) for kind in _KINDS
    )
    return sum(ctx.session.scalar(number) or 0 for number in counted)


def _entries(ctx: ReadContext, session_id: uuid.UUID) -> Iterator[tuple[str, int, TrailEntry]]:
    for kind in _KINDS:
        rows = (
            select(kind.model)
            .where(kind.model.session_id == session_id)
            .order_by(kind.model.happened_at, kind.model.ordinal, kind.model.id)
            .limit(MAX_ENTRIES)
        )
        for row in ctx.session.scalars(rows):
            text, outcome, host = kind.shown(row)
            time = kind.time(row)
            at = iso(time) if time else ""
            yield (
                at,
                row.ordinal or 0,
                TrailEntry(
                    kind=kind.name,
                    id=row.id,
                    at=at or None,
                    text=one_line(text, MAX_TEXT),
                    outcome=outcome,
                    host=host,
                    subagent=row.subagent,
                ),
            )


def _usage(ctx: ReadContext, session_id: uuid.UUID) -> Iterator[ModelUsage]:
    columns = (
        UsageRecord.input_tokens,
        UsageRecord.output_tokens,
        UsageRecord.cache_read_tokens,
        UsageRecord.cache_write_tokens,
        UsageRecord.cache_write_long_tokens,
    )
    by_model = (
        select(UsageRecord.model, func.count(), *(func.sum(column) for column in columns))
        .where(UsageRecord.session_id == session_id)
        .group_by(UsageRecord.model)
        .order_by(UsageRecord.model)
    )
    known = prices(ctx)
    for model, messages, *sums in ctx.session.execute(by_model):
        used = Tokens(*(int(number or 0) for number in sums))
        price = price_of(model, known)
        yield ModelUsage(
            model=model,
            messages=messages,
            input_tokens=used.input,
            output_tokens=used.output,
            cache_read_tokens=used.cache_read,
            cache_write_tokens=used.cache_write,
            cost=cost(used, price) if price else None,
            currency=price.currency if price else None,
            prices_of=price.true_on if price else None,
        )


TRAIL_OF_SESSION: Final = Action(run=trail, name="trail", on="session", scope="session:read", risk=Risk.read)
