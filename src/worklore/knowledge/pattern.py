"""Failures seen more than once, and how to avoid them."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.clients.rules import in_order
from worklore.estate.infrastructure import INFRASTRUCTURE, Infrastructure
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column, utcnow
from worklore.knowledge.learned import numbered, touched_by_people
from worklore.work.bounds import within


class PatternType(StrEnum):
    """What sort of failure repeats."""

    command_compatibility = "command_compatibility"
    version_mismatch = "version_mismatch"
    permission_denied = "permission_denied"
    service_unavailable = "service_unavailable"
    configuration_error = "configuration_error"
    environmental_limitation = "environmental_limitation"


class PatternSeverity(StrEnum):
    """How much a repeated failure hinders."""

    blocking = "blocking"
    major = "major"
    minor = "minor"
    info = "info"


class FailurePattern(Stamped, Record):
    """A failure seen more than once, and how to avoid it."""

    __tablename__ = "failure_patterns"
    __table_args__ = (
        *(Index(None, name) for name in ("infrastructure_id", "client_id", "pattern_type", "pattern_signature", "seq")),
        Index(None, "learned_key", unique=True),
    )

    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    pattern_type: Mapped[PatternType]
    pattern_signature: Mapped[str] = mapped_column(Line(500))
    error_pattern: Mapped[str | None]
    affected_systems: Mapped[list[Any] | None]
    triggering_commands: Mapped[list[Any] | None]
    triggering_operations: Mapped[list[Any] | None]
    failure_description: Mapped[str]
    root_cause: Mapped[str]
    recommended_solution: Mapped[str]
    alternative_approaches: Mapped[list[Any] | None]
    occurrence_count: Mapped[int] = column(default=1)
    severity: Mapped[PatternSeverity | None]
    is_active: Mapped[bool] = column(default=True)
    added_to_insights: Mapped[bool] = column(default=False)
    first_seen: Mapped[datetime] = mapped_column(default=utcnow)
    last_seen: Mapped[datetime] = mapped_column(default=utcnow)
    learned_key: Mapped[str | None] = mapped_column(
        Line(64), doc="The evidence that the hub drew it from; empty for one that somebody wrote."
    )
    corrected: Mapped[list[str] | None] = mapped_column(
        doc="Fields that somebody has set: what is learned does not change them any more."
    )
    seq: Mapped[int] = column(
        BigInteger, default=0, doc="Ascends in the order of commits; every change takes a new one."
    )

    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("failure_patterns", viewonly=True), viewonly=True
    )
    client: Mapped[Client | None] = relationship(backref=backref("failure_patterns", viewonly=True), viewonly=True)


numbered(FailurePattern)


def check(ctx: Context, pattern: FailurePattern, before: Mapping[str, Any]) -> None:
    """A pattern belongs to its asset's client; it was first seen before it was last seen, at least once."""
    one_client(ctx, pattern, before)
    within(pattern, "occurrence_count", 1)
    # A new record has no defaults yet: reported with one of its times, the failure was seen at that time only.
    pattern.first_seen = pattern.first_seen or pattern.last_seen or ctx.now()
    pattern.last_seen = pattern.last_seen or pattern.first_seen
    in_order(pattern, "first_seen", "last_seen")
    touched_by_people(ctx, pattern, before)


FAILURE_PATTERNS = Resource(
    model=FailurePattern,
    name="failure-pattern",
    plural="failure-patterns",
    visible=any_of(
        (
            by_client(FailurePattern.client_id),
            through(FailurePattern.infrastructure_id, Infrastructure, INFRASTRUCTURE.visible),
        )
    ),
    filters=(
        FailurePattern.infrastructure_id,
        FailurePattern.client_id,
        FailurePattern.pattern_type,
        FailurePattern.pattern_signature,
        FailurePattern.severity,
        FailurePattern.occurrence_count,
        FailurePattern.is_active,
        FailurePattern.added_to_insights,
        FailurePattern.first_seen,
        FailurePattern.last_seen,
    ),
    search=(
        FailurePattern.pattern_signature,
        FailurePattern.error_pattern,
        FailurePattern.failure_description,
        FailurePattern.root_cause,
        FailurePattern.recommended_solution,
    ),
    columns=(
        FailurePattern.pattern_signature,
        FailurePattern.pattern_type,
        FailurePattern.severity,
        FailurePattern.occurrence_count,
        FailurePattern.last_seen,
    ),
    server_set=(FailurePattern.corrected,),
    hidden=(FailurePattern.learned_key, FailurePattern.seq),
    check=check,
)
