"""Sessions in which something new was recorded, until what learns from them has looked.

Whoever records something in a session leaves its id here in the same transaction; a background job takes it up. An id
stands here once, however much is recorded meanwhile, and goes only if nothing came after the look.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ForeignKey, Index, delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base
from worklore.kernel.types import column, utcnow
from worklore.work.session import WorkSession

LEFT: Final = "session news"
"""Where a unit of work holds the sessions it has left here already."""


class SessionNews(Base):
    """A session in which something was recorded that nothing was learned from yet."""

    __tablename__ = "session_news"
    __table_args__ = (Index(None, "noted_at"),)
    audited = False
    derived = True

    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    noted_at: Mapped[datetime] = mapped_column(default=utcnow)
    serial: Mapped[int] = column(default=1)


@dataclass(frozen=True, slots=True)
class News:
    """A session, and how often something had been recorded in it when it was looked up."""

    session_id: uuid.UUID
    serial: int


def leave_news(ctx: Context, session_id: uuid.UUID | None) -> None:
    """Say that something new is recorded in a session; once in a unit of work is enough."""
    left: set[uuid.UUID] = ctx.info.setdefault(LEFT, set())
    if session_id is None or session_id in left or ctx.session.get(WorkSession, session_id) is None:
        return  # one that is not there is refused elsewhere
    left.add(session_id)
    connection = ctx.session.connection()
    again = update(SessionNews).where(SessionNews.session_id == session_id)
    moved = connection.execute(again.values(noted_at=ctx.now(), serial=SessionNews.serial + 1))
    if moved.rowcount == 0:
        connection.execute(insert(SessionNews), [{"session_id": session_id, "noted_at": ctx.now(), "serial": 1}])


def waiting(ctx: ReadContext, limit: int) -> Sequence[News]:
    """The sessions that have waited longest."""
    found = select(SessionNews.session_id, SessionNews.serial).order_by(SessionNews.noted_at).limit(limit)
    return [News(*row) for row in ctx.session.execute(found)]


def take_away(ctx: Context, news: News) -> None:
    """Drop what was looked at; it stays if something came meanwhile."""
    looked_at = delete(SessionNews).where(SessionNews.session_id == news.session_id, SessionNews.serial == news.serial)
    ctx.session.execute(unaudited(looked_at, "a mark of the hub's own").execution_options(synchronize_session=False))
