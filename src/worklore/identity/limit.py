"""Counters of attempts, shared by all nodes: lock-outs and rate limits."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Index, UniqueConstraint, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Record
from worklore.kernel.errors import TooManyRequestsError
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, column, uuid7


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


@dataclass(frozen=True, slots=True)
class Limit:
    """How many failures within a time refuse further tries for as long again."""

    bucket: str
    most: int
    within: timedelta

    def refuse(self, ctx: ReadContext, subject: str, *, alone: bool = False) -> RateLimit | None:
        """The subject's counter, if it has one. ``alone`` keeps others from it until the transaction ends.

        Raises:
            TooManyRequestsError: further tries are refused for now.
        """
        known = select(RateLimit).where(RateLimit.bucket == self.bucket, RateLimit.subject == subject)
        row = ctx.session.scalars(known.with_for_update() if alone else known).one_or_none()
        now = ctx.now()
        if row is not None and row.blocked_until is not None and row.blocked_until > now:
            wait = int((row.blocked_until - now).total_seconds()) + 1
            raise TooManyRequestsError(
                "Too many failed tries.", hint=f"Try again in {wait // 60 + 1} minutes.", retry_after=wait
            )
        return row

    def count(self, ctx: Context, subject: str) -> datetime | None:
        """Count a failure; until when tries are refused from now on, if they are."""
        row, now = self.refuse(ctx, subject, alone=True), ctx.now()
        if row is None:
            row = RateLimit(id=uuid7(), bucket=self.bucket, subject=subject, window_started_at=now, attempts=0)
            ctx.session.add(row)
        if row.blocked_until is not None or row.window_started_at + self.within <= now:
            row.window_started_at, row.attempts, row.blocked_until = now, 0, None
        row.attempts += 1
        if row.attempts >= self.most:
            row.blocked_until = now + self.within
        row.expires_at = now + self.within
        ctx.session.flush()
        return row.blocked_until

    def forgive(self, ctx: Context, subject: str) -> None:
        """Forget the subject's failures."""
        mine = delete(RateLimit).where(RateLimit.bucket == self.bucket, RateLimit.subject == subject)
        ctx.session.execute(
            unaudited(mine, "sign-ins are recorded as events").execution_options(synchronize_session=False)
        )
