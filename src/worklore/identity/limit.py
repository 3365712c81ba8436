"""Counters of attempts, shared by all nodes: lock-outs and rate limits."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.db import Record
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, column


class RateLimit(Record):
    """How often somebody has tried something within the present window, and until when further tries are refused."""

    __tablename__ = "rate_limits"
    __table_args__ = (UniqueConstraint("bucket", "subject"), Index(None, "expires_at"))
    audited = False

    bucket: Mapped[str] = mapped_column(Line(50), doc="What is counted, such as sign-ins of an account.")
    subject: Mapped[str] = mapped_column(Line(255), doc="Whose tries: an account or an address.")
    window_started_at: Mapped[datetime]
    attempts: Mapped[int] = column(default=0)
    blocked_until: Mapped[datetime | None]
    expires_at: Mapped[datetime] = mapped_column(doc="The row means nothing after this.")


RATE_LIMITS = Resource(
    model=RateLimit,
    name="rate-limit",
    plural="rate-limits",
    visible=installation,
    filters=(
        RateLimit.bucket,
        RateLimit.subject,
        RateLimit.attempts,
        RateLimit.window_started_at,
        RateLimit.blocked_until,
        RateLimit.expires_at,
    ),
    columns=(RateLimit.bucket, RateLimit.subject, RateLimit.attempts, RateLimit.blocked_until),
    verbs=READ_ONLY,
)
