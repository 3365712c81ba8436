"""Decisions, why they were taken, and what else was weighed."""

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.kernel.access import any_of, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.memory.context_tag import keep_tags
from worklore.work.project import PROJECTS, Project
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.traced import Traced, traced


class Impact(StrEnum):
    """How far a decision reaches."""

    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


class DecisionLog(Traced, Stamped, Record):
    """A decision, why it was taken, and what else was weighed."""

    __tablename__ = "decision_logs"
    __table_args__ = tuple(Index(None, name) for name in ("project_id", "session_id", "decision_type", "impact"))

    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    decision_type: Mapped[str] = mapped_column(Line(100))
    decision_text: Mapped[str]
    rationale: Mapped[str | None]
    alternatives_considered: Mapped[list[Any] | None]
    impact: Mapped[Impact] = column(default=Impact.medium)
    tags: Mapped[list[str] | None]

    project: Mapped[Project | None] = relationship(backref=backref("decision_logs", viewonly=True), viewonly=True)
    session: Mapped[WorkSession | None] = relationship(backref=backref("decision_logs", viewonly=True), viewonly=True)


def check(ctx: Context, decision: DecisionLog, before: Mapping[str, Any]) -> None:
    """Project and session belong to one client; tags can be looked up."""
    one_client(ctx, decision, before)
    keep_tags(ctx, decision, before)


DECISIONS = Resource(
    model=DecisionLog,
    name="decision",
    plural="decision-logs",
    visible=any_of(
        (
            through(DecisionLog.project_id, Project, PROJECTS.visible),
            through(DecisionLog.session_id, WorkSession, SESSIONS.visible),
        )
    ),
    filters=(
        DecisionLog.project_id,
        DecisionLog.session_id,
        DecisionLog.decision_type,
        DecisionLog.impact,
        DecisionLog.source_uuid,
        DecisionLog.subagent,
    ),
    search=(DecisionLog.decision_text, DecisionLog.rationale),
    columns=(DecisionLog.decision_type, DecisionLog.decision_text, DecisionLog.impact, DecisionLog.project_id),
    by=(
        ("project", DecisionLog.project_id),
        ("session", DecisionLog.session_id),
        ("impact", DecisionLog.impact),
        ("type", DecisionLog.decision_type),
    ),
    server_set=traced(DecisionLog),
    hidden=(DecisionLog.captured_digest,),
    check=check,
)
