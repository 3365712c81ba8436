"""Events: a row in the transaction that caused them, delivered after its commit, at least once.

A subscriber gets its own unit of work. It may see an event twice (a hub that dies between the subscriber's commit and
the mark), so it must be safe to repeat; the event's ``key`` helps.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import Index, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base
from worklore.kernel.types import Line, column, utcnow, uuid7

BATCH: Final = 100
RETRY_SECONDS: Final = 5
RETRY_CEILING: Final = 3600

log = structlog.get_logger()


class OutboxEvent(Base):
    """An event that waits for delivery, or was delivered."""

    __tablename__ = "outbox_events"
    __table_args__ = (Index(None, "delivered_at", "next_attempt_at"),)
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    event: Mapped[str] = mapped_column(Line(100))
    key: Mapped[str] = mapped_column(Line(200))
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    delivered_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime] = mapped_column(default=utcnow)
    attempts: Mapped[int] = column(default=0)
    last_error: Mapped[str | None]


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a subscriber sees it."""

    id: uuid.UUID
    name: str
    key: str
    payload: Mapping[str, Any]


Subscriber = Callable[[Context, Event], None]
Subscriptions = Mapping[str, tuple[Subscriber, ...]]
"""Which functions hear of which event; one explicit table, made where the product is put together."""


def emit(ctx: Context, event: str, key: str, payload: Mapping[str, Any]) -> None:
    """Tell subscribers of ``event`` once the transaction has committed.

    Args:
        ctx: the unit of work that causes the event.
        event: ``noun.what-happened``.
        key: identifies the happening, so that a repeated delivery can be recognised.
        payload: JSON values only; ids rather than content.
    """
    row = {"id": uuid7(), "event": event, "key": key, "payload": dict(payload), "created_at": utcnow()}
    row |= {"next_attempt_at": utcnow(), "attempts": 0}
    ctx.session.connection().execute(insert(OutboxEvent), [row])


def pending(ctx: ReadContext) -> list[Event]:
    """The oldest events whose time has come."""
    waiting = (
        select(OutboxEvent.id, OutboxEvent.event, OutboxEvent.key, OutboxEvent.payload)
        .where(OutboxEvent.delivered_at.is_(None), OutboxEvent.next_attempt_at <= ctx.now())
        .order_by(OutboxEvent.id)
        .limit(BATCH)
    )
    return [Event(*row) for row in ctx.session.execute(waiting)]


def deliver(ctx: Context, event: Event, subscriptions: Subscriptions) -> None:
    """Run the subscribers of one event and mark it, all in the caller's unit of work."""
    for subscriber in subscriptions.get(event.name, ()):
        subscriber(ctx, event)
    done = update(OutboxEvent).where(OutboxEvent.id == event.id).values(delivered_at=ctx.now())
    ctx.session.execute(unaudited(done, "delivery mark of the hub's own outbox"))


def postpone(ctx: Context, event: Event, error: Exception) -> None:
    """Try again later: a subscriber failed. The wait doubles from 5 s to an hour."""
    row = ctx.session.get_one(OutboxEvent, event.id)
    wait = min(RETRY_CEILING, RETRY_SECONDS * 2**row.attempts)
    row.attempts += 1
    row.next_attempt_at = ctx.now() + timedelta(seconds=wait)
    row.last_error = type(error).__name__
    log.warning("event not delivered", outbox_event=event.name, key=event.key, error=type(error).__name__, wait=wait)
