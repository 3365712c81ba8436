"""What work waits for: a time, somebody's decision, or a check that passes."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import ConflictError, InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.work_item import WORK_ITEMS, WorkItem


class GateKind(StrEnum):
    """What opens a gate."""

    time = "time"
    decision = "decision"
    check = "check"


class GateState(StrEnum):
    """Where a gate stands. What was decided stays decided."""

    waiting = "waiting"
    passed = "passed"
    refused = "refused"


class Gate(Stamped, Record):
    """Something a work item, or a step of a run, waits for: a time, a decision, or a check that passes."""

    __tablename__ = "gates"
    __table_args__ = (
        CheckConstraint("(work_item_id IS NULL) <> (run_id IS NULL)", name="one_waiter"),
        CheckConstraint("(run_id IS NULL) = (step_key IS NULL)", name="step"),
        *(Index(None, name) for name in ("work_item_id", "run_id", "state")),
    )

    work_item_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("work_items.id", ondelete="CASCADE"), info={"example": "0199a2c0-5b1e-7c3a-9f00-5d2f6b7a8c9d"}
    )
    run_id: Mapped[uuid.UUID | None] = mapped_column(doc="The run whose step waits; the runs keep this in order.")
    step_key: Mapped[str | None] = mapped_column(Line(100), doc="The step of the run that waits.")
    kind: Mapped[GateKind] = mapped_column(info={"example": "decision"})
    condition: Mapped[dict[str, Any] | None] = mapped_column(
        doc='What opens it. Of a time: {"at": "2026-11-21T08:00:00Z"}.'
    )
    state: Mapped[GateState] = column(default=GateState.waiting)
    decided_by: Mapped[str | None] = mapped_column(Line(255))
    decided_at: Mapped[datetime | None]

    work_item: Mapped[WorkItem | None] = relationship(backref=backref("gates", viewonly=True), viewonly=True)


def check(ctx: Context, gate: Gate, before: Mapping[str, Any]) -> None:
    """One thing waits; a time gate says when; who decided, and when, is kept, and the decision stays."""
    if (gate.work_item_id is None) == (gate.run_id is None):
        raise InvalidError("Exactly one of work_item_id and run_id must be set.", field="work_item_id")
    if (gate.run_id is None) != (gate.step_key is None):
        raise InvalidError("step_key is set with run_id and only with it.", field="step_key")
    if gate.kind is GateKind.time:
        _check_time((gate.condition or {}).get("at"))
    former = before.get("state", gate.state)
    if before and former is not None and former is not GateState.waiting:
        raise ConflictError(f"The gate was {former} already.", hint="Make a new gate.", code="decided")
    if gate.state in {GateState.passed, GateState.refused} and gate.decided_at is None:
        gate.decided_by = ctx.principal.actor
        gate.decided_at = ctx.now()


def _check_time(at: object) -> None:
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidError(f"condition.at ({at!r:.60}) must be an ISO 8601 time with its zone.", field="condition")


GATES = Resource(
    model=Gate,
    name="gate",
    plural="gates",
    visible=through(Gate.work_item_id, WorkItem, WORK_ITEMS.visible),
    filters=(
        Gate.work_item_id,
        Gate.run_id,
        Gate.step_key,
        Gate.kind,
        Gate.state,
        Gate.decided_by,
        Gate.decided_at,
    ),
    columns=(Gate.kind, Gate.state, Gate.work_item_id, Gate.decided_by),
    server_set=(Gate.decided_by, Gate.decided_at),
    fixed=(Gate.work_item_id, Gate.run_id, Gate.step_key, Gate.kind),
    check=check,
)
