"""Background work in the hub's own threads: leased, retried, on all three databases.

A job is a row. A worker claims it by one conditional UPDATE whose row count decides, so that two hub nodes never both
hold it; a worker renews its lease while it works, and one that dies loses it and the job returns. A handler gets a unit
of work of its own and may run more than once.
"""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import structlog
from sqlalchemy import Index, insert, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.transaction import Database
from worklore.kernel.types import Line, column, utcnow, uuid7

LEASE: Final = timedelta(minutes=5)
MAX_ATTEMPTS: Final = 10
POLL_SECONDS: Final = 5.0

log = structlog.get_logger()


class JobState(StrEnum):
    """Where a job stands."""

    pending = "pending"
    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"


class Job(Created, Record):
    """A piece of background work, waiting, running or ended."""

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "state", "run_after"), Index(None, "kind"))
    audited = False

    kind: Mapped[str] = mapped_column(Line(100))
    key: Mapped[str | None] = mapped_column(Line(200), unique=True, doc="At most one job of a key exists.")
    payload: Mapped[dict[str, Any]] = column(default={})
    state: Mapped[JobState] = column(default=JobState.pending)
    run_after: Mapped[datetime] = mapped_column(default=utcnow)
    repeat_seconds: Mapped[int | None] = mapped_column(doc="Run again this long after the end; None for once.")
    attempt: Mapped[int] = column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(Line(200))
    lease_expires_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]


Handler = Callable[[Database, Mapping[str, Any]], None]
"""The work of one kind of job. It opens its own units of work and may run more than once. A long one says between its
parts that it may end there: :func:`may_end`."""


class Ended(Exception):  # noqa: N818 - reads as the state it is
    """A job has ended early because its runner stops; it goes on after the next start."""


_worker = threading.local()


def may_end() -> None:
    """Between two parts of a long job: nothing as a rule.

    Raises:
        Ended: the runner that carries the job out stops. It puts the job back by itself.
    """
    stopping: threading.Event | None = getattr(_worker, "stopping", None)
    if stopping is not None and stopping.is_set():
        raise Ended


def enqueue(ctx: Context, kind: str, payload: Mapping[str, Any], *, run_after: datetime | None = None) -> uuid.UUID:
    """Ask for work after this transaction has committed; the id of its row."""
    job = Job(id=uuid7(), kind=kind, payload=dict(payload), run_after=run_after or ctx.now())
    ctx.session.add(job)
    return job.id


def ensure_repeating(ctx: Context, kind: str, seconds: int) -> None:
    """Have exactly one repeating job of a kind."""
    job = ctx.session.execute(select(Job).where(Job.key == kind)).scalar_one_or_none()
    if job is None:
        row: dict[str, Any] = {"id": uuid7(), "kind": kind, "key": kind, "payload": {}, "repeat_seconds": seconds}
        row |= {"created_at": ctx.now(), "run_after": ctx.now(), "state": JobState.pending, "attempt": 0, "version": 1}
        ctx.session.connection().execute(insert(Job), [row])
    elif job.repeat_seconds != seconds or job.state in {JobState.failed, JobState.done}:
        job.repeat_seconds, job.state = seconds, JobState.pending


def claim(ctx: Context, owner: str, kinds: frozenset[str]) -> Job | None:
    """Take the job that has waited longest, if there is one and nobody else is quicker."""
    now = ctx.now()
    free = or_(
        (Job.state == JobState.pending) & (Job.run_after <= now),
        (Job.state == JobState.running) & (Job.lease_expires_at < now),
    )
    candidates = select(Job.id, Job.version).where(free, Job.kind.in_(sorted(kinds))).order_by(Job.run_after).limit(8)
    for key, version in ctx.session.execute(candidates):
        taken = (
            update(Job)
            .where(Job.id == key, Job.version == version)
            .values(
                state=JobState.running,
                lease_owner=owner,
                lease_expires_at=now + LEASE,
                started_at=now,
                attempt=Job.attempt + 1,
                version=version + 1,
            )
            .execution_options(synchronize_session=False)
        )
        result: Any = ctx.session.execute(unaudited(taken, "a lease is no change of the record of work"))
        if result.rowcount == 1:
            return ctx.session.get_one(Job, key)
    return None


def renew(ctx: Context, job: Job) -> bool:
    """Hold a job for another lease; False when it was taken over."""
    held = (
        update(Job)
        .where(Job.id == job.id, Job.version == job.version)
        .values(lease_expires_at=ctx.now() + LEASE)
        .execution_options(synchronize_session=False)
    )
    result: Any = ctx.session.execute(unaudited(held, "a lease is no change of the record of work"))
    return bool(result.rowcount)


def settle(ctx: Context, job: Job, error: Exception | None) -> None:
    """Write down how an attempt ended. A worker whose lease was taken over changes nothing."""
    now = ctx.now()
    values: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None, "ended_at": now, "error": None}
    if isinstance(error, Ended):
        values |= {"state": JobState.pending, "attempt": job.attempt - 1}
    elif error is not None:
        given_up = job.attempt >= MAX_ATTEMPTS and job.repeat_seconds is None
        values |= {
            "state": JobState.failed if given_up else JobState.pending,
            "error": f"{type(error).__name__}: {error}",
        }
        values |= {"run_after": now + timedelta(seconds=min(3600, 2 ** min(job.attempt, 12)))}
    elif job.repeat_seconds is not None:
        again = now + timedelta(seconds=job.repeat_seconds)
        values |= {"state": JobState.pending, "run_after": again, "attempt": 0}
    else:
        values |= {"state": JobState.done}
    ended = (
        update(Job)
        .where(Job.id == job.id, Job.version == job.version)
        .values(version=job.version + 1, **values)
        .execution_options(synchronize_session=False)
    )
    ctx.session.execute(unaudited(ended, "the end of a lease is no change of the record of work"))


class Runner:
    """Threads that carry out jobs until stopped."""

    def __init__(self, database: Database, handlers: Mapping[str, Handler], threads: int) -> None:
        self._database = database
        self._handlers = handlers
        self._stopping = threading.Event()
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._threads = [threading.Thread(target=self._loop, name=f"job-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the jobs in hand, or those of their parts that are, and end."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:  # one that was never started has nothing in hand
                thread.join()

    def _loop(self) -> None:
        _worker.stopping = self._stopping
        while not self._stopping.is_set():
            try:
                busy = self.run_one()
            except Exception as error:  # noqa: BLE001 - a worker outlives a database that is away
                log.warning("background work is waiting for the database", error=type(error).__name__)
                busy = False
            if not busy:
                self._stopping.wait(POLL_SECONDS)

    def run_one(self) -> bool:
        """Claim and carry out one job; False when there was none."""
        kinds = frozenset(self._handlers)
        job = self._database.write(lambda ctx: claim(ctx, self._owner, kinds))
        if job is None:
            return False
        failure: Exception | None = None
        try:
            with self._held(job):
                self._handlers[job.kind](self._database, job.payload)
        except Ended as error:
            failure = error
        except Exception as error:
            log.exception("background job failed", kind=job.kind, attempt=job.attempt)
            failure = error
        self._database.write(lambda ctx: settle(ctx, job, failure))
        return True

    @contextmanager
    def _held(self, job: Job) -> Generator[None]:
        """Renew the lease of a job until its handler has ended."""
        ended = threading.Event()
        thread = threading.Thread(target=self._renew, args=(job, ended), name=f"lease-{job.kind}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _renew(self, job: Job, ended: threading.Event) -> None:
        while not ended.wait(LEASE.total_seconds() / 3):
            try:
                if not self._database.write(lambda ctx: renew(ctx, job)):
                    log.warning("a job was taken over while it ran", kind=job.kind, attempt=job.attempt)
                    return
            except Exception as error:  # noqa: BLE001 - the next turn may find the database again
                log.warning("a lease was not renewed", kind=job.kind, error=type(error).__name__)
