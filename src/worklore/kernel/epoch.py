"""The lives of an installation: a restore begins a new one.

Whoever remembers something of the hub's, a cursor or the last entry of a chain, keeps the epoch with it. Another epoch
says that the hub went back in time: what it was told since may be gone, and is to be offered again.
"""

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base
from worklore.kernel.types import Line, utcnow, uuid7


class RestoreEpoch(Base):
    """A life of the installation; its id is the epoch that clients are told."""

    __tablename__ = "restore_epochs"
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    number: Mapped[int] = mapped_column(unique=True, doc="1 for the first life.")
    began_at: Mapped[datetime] = mapped_column(default=utcnow)
    backup_sha256: Mapped[str | None] = mapped_column(
        Line(64), doc="The backup file it began with; none for the first."
    )


def epoch(ctx: ReadContext) -> RestoreEpoch | None:
    """The present epoch; None in a database that no hub has begun yet."""
    return ctx.session.scalars(select(RestoreEpoch).order_by(RestoreEpoch.number.desc()).limit(1)).one_or_none()


def begin_epoch(ctx: Context, backup_sha256: str | None = None) -> RestoreEpoch:
    """A new epoch, after a restore; or the first."""
    before = epoch(ctx)
    new = RestoreEpoch(id=uuid7(), number=before.number + 1 if before else 1, backup_sha256=backup_sha256)
    ctx.session.add(new)
    ctx.session.flush()
    return new


def ensure_epoch(ctx: Context) -> None:
    """See that the installation has an epoch."""
    if epoch(ctx) is None:
        begin_epoch(ctx)
