"""Commands that work or fail in an environment, as examples of an insight."""

import uuid
from enum import StrEnum

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import through
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.knowledge.insight import ENVIRONMENTAL_INSIGHTS, EnvironmentalInsight


class ExampleType(StrEnum):
    """What an example shows."""

    works = "works"
    fails = "fails"


class EnvironmentalExample(Created, Record):
    """A command that works or fails in an environment: an example of an insight."""

    __tablename__ = "environmental_examples"
    __table_args__ = (Index(None, "insight_id"), Index(None, "example_type"))

    insight_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("environmental_insights.id", ondelete="CASCADE"))
    example_type: Mapped[ExampleType]
    command_text: Mapped[str]
    expected: Mapped[str | None]
    actual: Mapped[str | None]

    insight: Mapped[EnvironmentalInsight] = relationship(
        backref=backref("environmental_examples", viewonly=True), viewonly=True
    )


ENVIRONMENTAL_EXAMPLES = Resource(
    model=EnvironmentalExample,
    name="environmental-example",
    plural="environmental-examples",
    visible=through(EnvironmentalExample.insight_id, EnvironmentalInsight, ENVIRONMENTAL_INSIGHTS.visible),
    filters=(EnvironmentalExample.insight_id, EnvironmentalExample.example_type),
    search=(EnvironmentalExample.command_text, EnvironmentalExample.expected, EnvironmentalExample.actual),
    columns=(EnvironmentalExample.example_type, EnvironmentalExample.command_text, EnvironmentalExample.actual),
)
