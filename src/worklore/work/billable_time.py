"""Time to invoice, with its rate and amount."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.clients.rules import in_order, not_negative
from worklore.kernel.access import by_client
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import ConflictError, InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.session import WorkSession
from worklore.work.work_item import WorkItem

CENT: Final = Decimal("0.01")
MAX_AMOUNT: Final = Decimal("99999999.99")
"""What NUMERIC(10, 2) holds."""

OPEN_FIELDS: Final = frozenset({"notes", "invoiced_at", "invoice_id"})
"""What may still change once time is invoiced; clearing ``invoiced_at`` takes the invoice back."""


def amount(minutes: int, hourly_rate: Decimal) -> Decimal:
    """What so many minutes cost, to the cent; half a cent is rounded up."""
    return (Decimal(minutes) * hourly_rate / 60).quantize(CENT, ROUND_HALF_UP)


def _amount(execution: Any) -> Decimal:
    row: Mapping[str, Any] = execution.get_current_parameters()
    return amount(row["duration_minutes"], row["hourly_rate"])


def _billed_seconds(execution: Any) -> int:
    minutes: int = execution.get_current_parameters()["duration_minutes"]
    return minutes * 60


class BillableTime(Stamped, Record):
    """Time worked for a client: how long it was, how much of it is billed, and what that costs."""

    __tablename__ = "billable_time"
    __table_args__ = (
        CheckConstraint("duration_minutes > 0", name="duration_minutes"),
        CheckConstraint("duration_seconds >= 0", name="duration_seconds"),
        CheckConstraint("billed_seconds >= 0", name="billed_seconds"),
        CheckConstraint("hourly_rate >= 0", name="hourly_rate"),
        CheckConstraint("total_amount >= 0", name="total_amount"),
        CheckConstraint("end_time >= start_time", name="end_time"),
        *(Index(None, name) for name in ("client_id", "session_id", "work_item_id", "invoiced_at")),
    )

    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="SET NULL"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id", ondelete="RESTRICT"))
    start_time: Mapped[datetime]
    end_time: Mapped[datetime | None]
    duration_minutes: Mapped[int] = mapped_column(doc="The minutes to invoice.")
    duration_seconds: Mapped[int | None] = mapped_column(
        doc="The seconds really worked; from start_time to end_time unless given."
    )
    billed_seconds: Mapped[int] = mapped_column(
        default=_billed_seconds, doc="The seconds to invoice; those of duration_minutes unless given."
    )
    hourly_rate: Mapped[Decimal]
    total_amount: Mapped[Decimal] = mapped_column(
        default=_amount, doc="duration_minutes at hourly_rate, rounded half up to the cent, unless given."
    )
    is_billable: Mapped[bool] = column(default=True)
    description: Mapped[str]
    category: Mapped[str | None] = mapped_column(Line(50))
    invoiced_at: Mapped[datetime | None]
    invoice_id: Mapped[str | None] = mapped_column(Line(100))
    notes: Mapped[str | None]

    client: Mapped[Client] = relationship(backref=backref("billable_time", viewonly=True), viewonly=True)
    session: Mapped[WorkSession | None] = relationship(backref=backref("billable_time", viewonly=True), viewonly=True)
    work_item: Mapped[WorkItem | None] = relationship(backref=backref("billable_time", viewonly=True), viewonly=True)


def check(ctx: Context, time: BillableTime, before: Mapping[str, Any]) -> None:
    """What is invoiced is frozen; times are in order, amounts not negative; what follows from others is worked out."""
    _refuse_invoiced(time, before)
    in_order(time, "start_time", "end_time")
    if time.duration_minutes <= 0:
        raise InvalidError(f"duration_minutes ({time.duration_minutes}) must be above 0.", field="duration_minutes")
    not_negative(time, "hourly_rate", "duration_seconds", "billed_seconds")
    _work_out(time, before)
    not_negative(time, "total_amount")
    one_client(ctx, time, before)


def _refuse_invoiced(time: BillableTime, before: Mapping[str, Any]) -> None:
    invoiced = before.get("invoiced_at", time.invoiced_at)
    # A deleted session or work item takes its id off the time; that is no change of what was invoiced.
    detached = {name for name in ("session_id", "work_item_id") if getattr(time, name) is None}
    changed = sorted(set(before) - OPEN_FIELDS - detached)
    if invoiced is not None and changed:
        raise ConflictError(
            f"{', '.join(changed)} cannot change: the time was invoiced.",
            hint="Take the invoice back first: clear invoiced_at.",
            code="invoiced",
            field=changed[0],
        )


def _work_out(time: BillableTime, before: Mapping[str, Any]) -> None:
    if {"start_time", "end_time"} & before.keys() and "duration_seconds" not in before:
        time.duration_seconds = None
    if time.duration_seconds is None and time.end_time is not None:
        time.duration_seconds = int((time.end_time - time.start_time).total_seconds())
    if "duration_minutes" in before and "billed_seconds" not in before:
        time.billed_seconds = time.duration_minutes * 60
    total = amount(time.duration_minutes, time.hourly_rate)
    if total > MAX_AMOUNT:
        raise InvalidError(f"total_amount ({total}) exceeds {MAX_AMOUNT}.", field="total_amount")
    if {"duration_minutes", "hourly_rate"} & before.keys() and "total_amount" not in before:
        time.total_amount = total


BILLABLE_TIME = Resource(
    model=BillableTime,
    name="billable-time",
    plural="billable-time",
    visible=by_client(BillableTime.client_id),
    filters=(
        BillableTime.client_id,
        BillableTime.session_id,
        BillableTime.work_item_id,
        BillableTime.start_time,
        BillableTime.end_time,
        BillableTime.duration_minutes,
        BillableTime.duration_seconds,
        BillableTime.billed_seconds,
        BillableTime.hourly_rate,
        BillableTime.total_amount,
        BillableTime.is_billable,
        BillableTime.category,
        BillableTime.invoiced_at,
        BillableTime.invoice_id,
    ),
    search=(BillableTime.description, BillableTime.notes),
    columns=(
        BillableTime.start_time,
        BillableTime.duration_minutes,
        BillableTime.total_amount,
        BillableTime.description,
        BillableTime.client_id,
    ),
    by=(("session", BillableTime.session_id), ("work-item", BillableTime.work_item_id)),
    check=check,
)
