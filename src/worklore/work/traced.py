"""What capture notes beside a record that it read from a transcript, so that reading it again finds the record."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from worklore.kernel.types import Line


class Traced:
    """Where a record was read from. All of it is empty for a record that somebody entered."""

    source_uuid: Mapped[str | None] = mapped_column(
        Line(100), sort_order=60, doc="The record of the transcript that it was read from."
    )
    subagent: Mapped[str | None] = mapped_column(
        Line(100), sort_order=61, doc="The agent that the session's own agent had do it, if it was one."
    )
    happened_at: Mapped[datetime | None] = mapped_column(sort_order=62, doc="When, as the transcript says.")
    ordinal: Mapped[int | None] = mapped_column(sort_order=63, doc="Place of its record within the transcript.")
    captured_digest: Mapped[str | None] = mapped_column(
        Line(64), sort_order=64, doc="SHA-256 of what capture wrote: it leaves alone what somebody has changed since."
    )


def traced(model: type[Traced]) -> tuple[InstrumentedAttribute[Any], ...]:
    """The fields that capture alone sets."""
    names = ("source_uuid", "subagent", "happened_at", "ordinal", "captured_digest")
    return tuple(getattr(model, name) for name in names)
