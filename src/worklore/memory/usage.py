"""What the messages of an agent's session cost, in tokens."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import through
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, column
from worklore.work.session import SESSIONS, WorkSession


class UsageRecord(Created, Record):
    """What one message of a model cost in tokens, as the agent's transcript says."""

    __tablename__ = "usage_records"
    __table_args__ = (Index(None, "session_id"), Index(None, "model"), Index(None, "used_at"))
    audited = False
    derived = True

    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(Line(100))
    subagent: Mapped[str | None] = mapped_column(Line(100))
    used_at: Mapped[datetime]
    input_tokens: Mapped[int] = column(BigInteger, default=0, doc="Without those that the cache gave or took.")
    output_tokens: Mapped[int] = column(BigInteger, default=0)
    cache_read_tokens: Mapped[int] = column(BigInteger, default=0)
    cache_write_tokens: Mapped[int] = column(BigInteger, default=0)
    cache_write_long_tokens: Mapped[int] = column(
        BigInteger, default=0, doc="Those of `cache_write_tokens` that are kept for an hour."
    )


USAGE_RECORDS = Resource(
    model=UsageRecord,
    name="usage-record",
    plural="usage-records",
    visible=through(UsageRecord.session_id, WorkSession, SESSIONS.visible),
    filters=(UsageRecord.session_id, UsageRecord.model, UsageRecord.subagent, UsageRecord.used_at),
    columns=(UsageRecord.used_at, UsageRecord.model, UsageRecord.input_tokens, UsageRecord.output_tokens),
    verbs=READ_ONLY,
)
