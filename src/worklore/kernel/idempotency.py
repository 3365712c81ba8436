"""Exactly once: a key from the caller, kept in the transaction of the effect.

The row holds a digest of the request and a pointer to the result, never the result's content: a repeat reads the
record as it is now, with the rights the caller has now.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Index, bindparam, delete, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.errors import InvalidError
from worklore.kernel.types import Line

KEPT_FOR: Final = timedelta(days=7)
MAX_KEY: Final = 200


class IdempotencyKey(Base):
    """A write that was done under a caller's key."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "expires_at"),)
    audited = False

    principal: Mapped[str] = mapped_column(Line(255), primary_key=True)
    key: Mapped[str] = mapped_column(Line(MAX_KEY), primary_key=True)
    digest: Mapped[str] = mapped_column(Line(64))
    state: Mapped[str] = mapped_column(Line(20), default="done")
    pointer: Mapped[dict[str, Any] | None]
    request_id: Mapped[uuid.UUID]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


# Made once: SQLAlchemy finds what it compiled for a statement by a key that it works out once for each object.
_FORMER: Final = select(IdempotencyKey.digest, IdempotencyKey.pointer).where(
    IdempotencyKey.principal == bindparam("actor"), IdempotencyKey.key == bindparam("given")
)
_REMEMBER: Final = insert(IdempotencyKey)


def former(ctx: Context, key: str, digest: str) -> dict[str, Any] | None:
    """The pointer to the result when this request was done before; None when it is new.

    Raises:
        InvalidError: the key was used for another request.
    """
    if ctx.hopeful:
        return None
    row = ctx.session.connection().execute(_FORMER, {"actor": ctx.principal.identity, "given": key}).one_or_none()
    if row is None:
        return None
    if row.digest != digest:
        raise InvalidError(
            "This Idempotency-Key was used for another request.",
            hint="Use a new key for a new request, and the same body when you repeat one.",
            code="idempotency-key-reused",
        )
    return row.pointer or {}


def remember(ctx: Context, key: str, digest: str, pointer: dict[str, Any]) -> None:
    """Keep the key with its effect; both commit together."""
    now = ctx.now()
    row = {
        "principal": ctx.principal.identity,
        "key": key,
        "digest": digest,
        "state": "done",
        "pointer": pointer,
        "request_id": ctx.request_id,
        "created_at": now,
        "expires_at": now + KEPT_FOR,
    }
    ctx.session.connection().execute(_REMEMBER, row)


def forget_expired(ctx: Context) -> int:
    """Drop keys whose time is over; how many."""
    expired = delete(IdempotencyKey).where(IdempotencyKey.expires_at < ctx.now())
    return ctx.session.connection().execute(unaudited(expired, "the keys record no state of the product")).rowcount
