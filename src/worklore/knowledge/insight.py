"""Facts learned about clients' environments."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.estate.infrastructure import INFRASTRUCTURE, Infrastructure
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.knowledge.learned import touched_by_people
from worklore.knowledge.pattern import FailurePattern
from worklore.work.bounds import within


class InsightCategory(StrEnum):
    """What an insight is about."""

    command_constraints = "command_constraints"
    service_configuration = "service_configuration"
    version_limitations = "version_limitations"
    custom_installations = "custom_installations"
    network_constraints = "network_constraints"
    permissions = "permissions"


class Confidence(StrEnum):
    """How sure an insight is."""

    confirmed = "confirmed"
    likely = "likely"
    suspected = "suspected"


class EnvironmentalInsight(Stamped, Record):
    """A learned fact about a client's environment."""

    __tablename__ = "environmental_insights"
    __table_args__ = (
        CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
        *(Index(None, name) for name in ("client_id", "infrastructure_id", "insight_category", "source_pattern_id")),
    )

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="CASCADE"))
    insight_category: Mapped[InsightCategory]
    insight_title: Mapped[str] = mapped_column(Line(500))
    insight_description: Mapped[str]
    examples: Mapped[list[Any] | None]
    source_pattern_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("failure_patterns.id", ondelete="SET NULL"))
    confidence_level: Mapped[Confidence] = column(default=Confidence.likely)
    priority: Mapped[int] = column(default=5, doc="1 to 10; 10 matters most.")
    last_verified: Mapped[datetime | None]
    corrected: Mapped[list[str] | None] = mapped_column(
        doc="Fields that somebody has set: what is learned does not change them any more."
    )

    client: Mapped[Client | None] = relationship(
        backref=backref("environmental_insights", viewonly=True), viewonly=True
    )
    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("environmental_insights", viewonly=True), viewonly=True
    )
    source_pattern: Mapped[FailurePattern | None] = relationship(
        backref=backref("environmental_insights", viewonly=True), viewonly=True
    )


def check(ctx: Context, insight: EnvironmentalInsight, before: Mapping[str, Any]) -> None:
    """An insight belongs to the client of its asset and of the pattern it was drawn from; its priority is in range."""
    one_client(ctx, insight, before)
    within(insight, "priority", 1, 10)
    touched_by_people(ctx, insight, before)


ENVIRONMENTAL_INSIGHTS = Resource(
    model=EnvironmentalInsight,
    name="environmental-insight",
    plural="environmental-insights",
    visible=any_of(
        (
            by_client(EnvironmentalInsight.client_id),
            through(EnvironmentalInsight.infrastructure_id, Infrastructure, INFRASTRUCTURE.visible),
        )
    ),
    filters=(
        EnvironmentalInsight.client_id,
        EnvironmentalInsight.infrastructure_id,
        EnvironmentalInsight.insight_category,
        EnvironmentalInsight.source_pattern_id,
        EnvironmentalInsight.confidence_level,
        EnvironmentalInsight.priority,
        EnvironmentalInsight.last_verified,
    ),
    search=(EnvironmentalInsight.insight_title, EnvironmentalInsight.insight_description),
    columns=(
        EnvironmentalInsight.insight_title,
        EnvironmentalInsight.insight_category,
        EnvironmentalInsight.confidence_level,
        EnvironmentalInsight.priority,
    ),
    server_set=(EnvironmentalInsight.corrected,),
    check=check,
)
