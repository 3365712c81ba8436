"""What learning has brought, measured day by day."""

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.kernel.access import by_client
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import ConflictError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line


class LearningMetric(Stamped, Record):
    """One figure of one day: what learning has brought, for a client or for the whole installation."""

    __tablename__ = "learning_metrics"
    __table_args__ = (
        UniqueConstraint("metric_date", "metric_name", "client_id"),
        Index(None, "metric_name", "metric_date"),
        Index(None, "client_id"),
    )

    metric_date: Mapped[date]
    metric_name: Mapped[str] = mapped_column(Line(100))
    metric_value: Mapped[float]
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    details: Mapped[dict[str, Any] | None]

    client: Mapped[Client | None] = relationship(backref=backref("learning_metrics", viewonly=True), viewonly=True)


def check(ctx: Context, metric: LearningMetric, _: Mapping[str, Any]) -> None:
    """A day has one figure of a name for a client, and one for the installation."""
    # A unique constraint holds NULL to differ from NULL, so the installation's own figures are compared here.
    if metric.client_id is not None:
        return
    same = select(LearningMetric.id).where(
        LearningMetric.metric_date == metric.metric_date,
        LearningMetric.metric_name == metric.metric_name,
        LearningMetric.client_id.is_(None),
    )
    if set(ctx.session.scalars(same)) - {metric.id}:
        raise ConflictError(
            f"There is a {metric.metric_name} of {metric.metric_date} for the installation already.",
            code="duplicate",
            fields=("metric_date", "metric_name", "client_id"),
        )


LEARNING_METRICS = Resource(
    model=LearningMetric,
    name="learning-metric",
    plural="learning-metrics",
    visible=by_client(LearningMetric.client_id),
    filters=(
        LearningMetric.metric_date,
        LearningMetric.metric_name,
        LearningMetric.metric_value,
        LearningMetric.client_id,
    ),
    columns=(
        LearningMetric.metric_date,
        LearningMetric.metric_name,
        LearningMetric.metric_value,
        LearningMetric.client_id,
    ),
    check=check,
)
