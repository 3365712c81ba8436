"""Commands that work or fail in an environment, as examples of an insight."""

import uuid
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import through
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import column
from worklore.knowledge.insight import ENVIRONMENTAL_INSIGHTS, EnvironmentalInsight
from worklore.knowledge.learned import numbered


class ExampleType(StrEnum):
    """What an example shows."""

    works = "works"
    fails = "fails"


class EnvironmentalExample(Created, Record):
    """A command that works or fails in an environment: an example of an insight."""

    __tablename__ = "environmental_examples"
    __table_args__ = tuple(Index(None, name) for name in ("insight_id", "example_type", "seq"))

    insight_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("environmental_insights.id", ondelete="CASCADE"))
    example_type: Mapped[ExampleType]
    command_text: Mapped[str]
    expected: Mapped[str | None]
    actual: Mapped[str | None]
    seq: Mapped[int] = column(
        BigInteger, default=0, doc="Ascends in the order of commits; every change takes a new one."
    )

    insight: Mapped[EnvironmentalInsight] = relationship(
        backref=backref("environmental_examples", viewonly=True), viewonly=True
    )


numbered(EnvironmentalExample)

ENVIRONMENTAL_EXAMPLES = Resource(
    model=EnvironmentalExample,
    name="environmental-example",
    plural="environmental-examples",
    visible=through(EnvironmentalExample.insight_id, EnvironmentalInsight, ENVIRONMENTAL_INSIGHTS.visible),
    filters=(EnvironmentalExample.insight_id, EnvironmentalExample.example_type),
    search=(EnvironmentalExample.command_text, EnvironmentalExample.expected, EnvironmentalExample.actual),
    columns=(EnvironmentalExample.example_type, EnvironmentalExample.command_text, EnvironmentalExample.actual),
    hidden=(EnvironmentalExample.seq,),
)
