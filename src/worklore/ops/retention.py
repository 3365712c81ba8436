"""How long what the hub notes beside the record is kept: requests, injections, events, tombstones, ended jobs.

So it is with what let somebody in and does so no more: counters of failures, sign-ins, codes, tokens.

Old rows go in small batches, each a unit of work of its own with one audit entry, so that nobody waits long for the
writer. The record itself and its change audit are kept.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import InstrumentedAttribute

from worklore.identity.limit import RateLimit
from worklore.identity.refresh import RefreshFamily, RefreshToken
from worklore.identity.token import ApiToken, SetupCode
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import Tombstone, forget, micros, record_batch, unaudited
from worklore.kernel.context import Context
from worklore.kernel.events import OutboxEvent
from worklore.kernel.jobs import Job, JobState
from worklore.kernel.nodes import AuditCheckpoint
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow
from worklore.memory.injection import Injection
from worklore.memory.trail.store import CAPTURED
from worklore.memory.warn.told import CommandWarning
from worklore.ops.api_audit import ApiAuditEntry

BATCH: Final = 500
MAX_BATCHES: Final = 200
"""Batches of one table in one run; what is left waits for the next, so that a hub can stop in between."""

EXPIRED: Final = "expire"
"""The action of the entry that tells of a batch, and before which moment rows may be gone."""

ENDED: Final = (JobState.done, JobState.failed, JobState.cancelled)
SIGN_IN_DAYS: Final = 30
TOKEN_DAYS: Final = 90
"""Days for which sign-ins and codes, and tokens, that have ended can still be looked at."""
CHECKPOINT_DAYS: Final = 30
HOUR: Final = 3_600_000_000
"""In microseconds."""

CLOCK_SLACK: Final = timedelta(days=1)
"""How far the time in a row's id may be from the row's own time."""


@dataclass(frozen=True)
class Kept:
    """For how many days the rows of a table are kept.

    Attributes:
        model: the class of the table, with an ``id``.
        old: the rows from before a moment, as a condition that an index serves.
    """

    model: type[Any]
    days: int
    old: Callable[[datetime], ColumnElement[bool]]


def kept(*, api_audit: int, injections: int, events: int, tombstones: int, jobs: int) -> tuple[Kept, ...]:
    """The tables that forget, each after its days."""
    return (
        Kept(ApiAuditEntry, api_audit, lambda moment: ApiAuditEntry.timestamp < moment),
        Kept(Injection, injections, lambda moment: _made_before(Injection.id, Injection.created_at, moment)),
        Kept(CommandWarning, injections, lambda moment: CommandWarning.created_at < moment),
        Kept(OutboxEvent, events, lambda moment: OutboxEvent.delivered_at < moment),
        Kept(
            Tombstone,
            tombstones,
            lambda moment: (
                _made_before(Tombstone.id, Tombstone.deleted_at, moment) & Tombstone.table_name.not_in(sorted(CAPTURED))
            ),
        ),
        # A job with a key is there once and for all, even cancelled.
        Kept(Job, jobs, lambda moment: Job.state.in_(ENDED) & Job.key.is_(None) & (Job.ended_at < moment)),
        *OF_IDENTITY,
    )


def _ended(moment: datetime) -> ColumnElement[bool]:
    """Sign-ins that ended before a moment, however they did."""
    return (RefreshFamily.idle_expires_at < moment) | (RefreshFamily.revoked_at < moment)


OF_IDENTITY: Final = (
    Kept(RateLimit, 0, lambda moment: RateLimit.expires_at < moment),
    # Before their sign-ins, so that no batch takes more with it than it has rows.
    Kept(
        RefreshToken,
        SIGN_IN_DAYS,
        lambda moment: RefreshToken.family_id.in_(select(RefreshFamily.id).where(_ended(moment))),
    ),
    Kept(RefreshFamily, SIGN_IN_DAYS, _ended),
    Kept(SetupCode, SIGN_IN_DAYS, lambda moment: SetupCode.expires_at < moment),
    Kept(ApiToken, TOKEN_DAYS, lambda moment: (ApiToken.expires_at < moment) | (ApiToken.revoked_at < moment)),
)
"""What let somebody in once."""


def _made_before(
    key: InstrumentedAttribute[uuid.UUID], time: InstrumentedAttribute[datetime], moment: datetime
) -> ColumnElement[bool]:
    """Rows from before a moment, found by their ids, which begin with the time: the time itself has no index."""
    milliseconds = int((moment + CLOCK_SLACK).timestamp() * 1000)
    return (key < uuid.UUID(int=milliseconds << 80)) & (time < moment)


def expire(database: Database, _: Mapping[str, Any], *, rules: tuple[Kept, ...]) -> None:
    """Delete what is older than it is kept. A background job."""
    now = utcnow()
    for rule in rules:
        before = now - timedelta(days=rule.days)
        for _batch in range(MAX_BATCHES):
            with database.read(SYSTEM) as reading:
                some = select(rule.model.id).where(rule.old(before)).limit(BATCH)
                found: list[uuid.UUID] = list(reading.session.scalars(some))
            if found:
                database.write(partial(_delete, model=rule.model, ids=sorted(found), before=before))
            if len(found) < BATCH:
                break
    thin_checkpoints(database)


def thin_checkpoints(database: Database, *, days: int = CHECKPOINT_DAYS) -> None:
    """Of checkpoints that are older, keep the last of each hour: what lies between is borne out by that one."""
    table: Any = AuditCheckpoint.__table__
    old = select(table.c.id, table.c.at, table.c.epoch).where(table.c.at < micros(utcnow() - timedelta(days=days)))
    with database.read(SYSTEM) as reading:
        rows = reading.session.connection().execute(old.order_by(table.c.at, table.c.id)).all()
    spare = [one.id for one, two in pairwise(rows) if (one.epoch, one.at // HOUR) == (two.epoch, two.at // HOUR)]
    for start in range(0, len(spare), BATCH):
        some = spare[start : start + BATCH]
        database.write(partial(_delete, model=AuditCheckpoint, ids=some, before=utcnow() - timedelta(days=days)))


def _delete(ctx: Context, model: type[Any], ids: list[uuid.UUID], before: datetime) -> None:
    if model is Tombstone:
        latest = ctx.session.scalar(select(func.max(Tombstone.deleted_at)).where(Tombstone.id.in_(ids)))
        if latest is not None:
            forget(ctx, latest)
    gone = unaudited(delete(model).where(model.id.in_(ids)), "one entry for the batch")
    ctx.session.connection().execute(gone)
    record_batch(ctx, model.__tablename__, ids, action=EXPIRED, before=micros(before))
