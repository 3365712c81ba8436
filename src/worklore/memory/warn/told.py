"""Warnings as they were given, and what came of them."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.db import Base, Created
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, utcnow, uuid7
from worklore.knowledge.insight import Confidence
from worklore.work.session import SESSIONS, WorkSession


class Outcome(StrEnum):
    """What came of a warning: it was followed, it was passed over and right, or it was wrong."""

    heeded = "heeded"
    ignored = "ignored"
    wrong = "wrong"


class OutcomeSource(StrEnum):
    """Who says what came of it: somebody, or what the session ran afterwards."""

    told = "told"
    derived = "derived"


class CommandWarning(Created, Base):
    """A warning before a command that is known to fail: of what, to whom, and what came of it."""

    __tablename__ = "warnings"
    __table_args__ = tuple(
        Index(None, name) for name in ("session_id", "client_id", "pattern_id", "insight_id", "created_at")
    )
    audited = False
    derived = True

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    pattern_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("failure_patterns.id", ondelete="CASCADE"))
    insight_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("environmental_insights.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(Line(50), doc="The hook's event, or asked.")
    host: Mapped[str] = mapped_column(Line(255))
    confidence: Mapped[Confidence]
    told_at: Mapped[datetime] = mapped_column(default=utcnow, doc="By the clock of the machine that asked.")
    outcome: Mapped[Outcome | None]
    outcome_source: Mapped[OutcomeSource | None]


WARNINGS = Resource(
    model=CommandWarning,
    name="warning",
    plural="warnings",
    visible=any_of(
        (by_client(CommandWarning.client_id), through(CommandWarning.session_id, WorkSession, SESSIONS.visible))
    ),
    filters=(
        CommandWarning.session_id,
        CommandWarning.client_id,
        CommandWarning.pattern_id,
        CommandWarning.insight_id,
        CommandWarning.event,
        CommandWarning.confidence,
        CommandWarning.outcome,
        CommandWarning.created_at,
    ),
    columns=(
        CommandWarning.created_at,
        CommandWarning.event,
        CommandWarning.host,
        CommandWarning.confidence,
        CommandWarning.outcome,
    ),
    verbs=READ_ONLY,
)
