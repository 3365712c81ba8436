"""The unit of work: who opens a transaction, who commits it, and when it runs again.

Only :meth:`Database.write` commits. A unit of work is a function of a Context; it runs again from its start after a
serialisation failure, a deadlock or a busy file, so it must have no effect outside its Context. When the connection is
lost at COMMIT the outcome is unknown (usually it *did* commit) and nothing is repeated blindly: the caller is told so,
and an ``Idempotency-Key`` lets it ask again safely.

SQLite has one writing connection, owned by one thread. Units that wait are grouped into one transaction, each in a
savepoint of its own, so that one ``fsync`` serves them all.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from worklore.kernel.access import SYSTEM, Principal
from worklore.kernel.audit import CHAINS, CONTEXT, AuditedSession, appending
from worklore.kernel.ballast import Ballast
from worklore.kernel.chain import HeadMovedError
from worklore.kernel.context import DERIVED, READING, Context, ReadContext
from worklore.kernel.db import Base, database_url, is_full, is_transient, server_engine, sqlite_engine
from worklore.kernel.errors import HubError, UnavailableError
from worklore.kernel.filelock import FileLock
from worklore.kernel.types import uuid7

MAX_ATTEMPTS: Final = 8
GROUP: Final = 64
"""Units of work that share one commit on SQLite, at most."""

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Operation:
    """Who asks for a unit of work, and how it is to be recorded.

    Attributes:
        guarded: the work looks its idempotency key up first, so that after a connection lost at COMMIT it can run
            again: it then finds what it did, or does it.
        hopeful: on a server, the first run takes the key for new without looking; see :class:`Context`.
    """

    principal: Principal = SYSTEM
    request_id: uuid.UUID | None = None
    message: str | None = None
    dry_run: bool = False
    guarded: bool = False
    hopeful: bool = False

    def context(self, session: AuditedSession, *, hopeful: bool = False) -> Context:
        """The Context of one attempt."""
        ctx = Context(
            session,
            self.principal,
            self.request_id or uuid7(),
            message=self.message,
            dry_run=self.dry_run,
            hopeful=hopeful,
        )
        session.info[CONTEXT] = ctx
        return ctx


Work = Callable[[Context], T]


class Database:
    """One database, entered by :meth:`read` and :meth:`write` only.

    Raises:
        UnavailableError: the URL is not usable, the folder is missing, or another hub has the file open.
    """

    def __init__(self, url: str | URL) -> None:
        self.url = database_url(url) if isinstance(url, str) else url
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._lock: FileLock | None = None
        self._writer: _Writer | None = None
        self._info: dict[Any, Any] = {DERIVED: {}}
        self.ballast: Ballast | None = None
        if self.is_sqlite:
            path = self._file()
            self._lock = FileLock(path)
            self.writing = sqlite_engine(str(path), writing=True)
            self.reading = sqlite_engine(str(path), writing=False)
            self.glancing = sqlite_engine(str(path), writing=False, autocommit=True)
            self._writer = _Writer(self.writing, self._info, self.make_room)
        else:
            self.writing = self.reading = server_engine(self.url)
            self.glancing = server_engine(self.url, autocommit=True)
        self._info[READING] = self.glancing

    def _file(self) -> Path:
        if not self.url.database or self.url.database == ":memory:":
            raise UnavailableError("A hub needs a database file.", hint="Use sqlite:///path/to/worklore.db.")
        path = Path(self.url.database).expanduser().absolute()
        if not path.parent.is_dir():
            raise UnavailableError(
                f"The folder {path.parent} does not exist.", hint="Create it, or name another database file."
            )
        return path

    @property
    def dialect(self) -> str:
        """``sqlite``, ``mariadb`` or ``postgresql``."""
        return self.url.get_backend_name()

    def has_room(self) -> bool:
        """False from when the disk was full until there is room for the reserve, which is made again then."""
        return self.ballast is None or not self.ballast.is_given or self.ballast.renew()

    def make_room(self) -> bool:
        """Give the reserve up, as the disk is full; True when that made room."""
        return self.ballast is not None and self.ballast.give()

    def provide(self, name: str, value: object) -> None:
        """Put something where every session finds it, in its ``info``, for domains that the kernel does not know."""
        self._info[name] = value

    def provided(self, name: str) -> object:
        """What was put there; None for nothing."""
        return self._info.get(name)

    @contextmanager
    def read(self, principal: Principal, request_id: uuid.UUID | None = None) -> Generator[ReadContext]:
        """A view of one moment; nothing read in it can be written back through it."""
        with AuditedSession(self.reading, autoflush=False, info=self._info) as session:
            yield ReadContext(session, principal, request_id or uuid7())

    def glance(self, look: Callable[[ReadContext], T], principal: Principal, request_id: uuid.UUID | None = None) -> T:
        """What ``look`` finds by one statement: without the transaction that :meth:`read` puts around several.

        A statement sees one moment by itself. It runs again when the connection it was given had died meanwhile.
        """
        try:
            return self._glance(look, principal, request_id)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._glance(look, principal, request_id)

    def _glance(self, look: Callable[[ReadContext], T], principal: Principal, request_id: uuid.UUID | None) -> T:
        with AuditedSession(self.glancing, autoflush=False, info=self._info) as session:
            return look(ReadContext(session, principal, request_id or uuid7()))

    def write(self, work: Work[T], operation: Operation = Operation()) -> T:
        """Run a unit of work, commit it, and give its result. Blocks the calling thread.

        Raises:
            HubError: whatever the work raised; its effects are rolled back.
            UnavailableError: the database stayed busy, or was lost (``outcome`` is ``unknown`` when at COMMIT).
        """
        return self.submit(work, operation).result()

    def submit(self, work: Work[T], operation: Operation = Operation()) -> Future[T]:
        """As :meth:`write`, answering with a future; on SQLite without occupying the calling thread."""
        if self._writer is not None:
            return self._writer.submit(work, operation)
        future: Future[T] = Future()
        try:
            future.set_result(self._write_on_server(work, operation))
        except BaseException as error:  # noqa: BLE001 - the future carries it to the caller
            future.set_exception(error)
        return future

    def _write_on_server(self, work: Work[T], operation: Operation) -> T:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            committing, hopeful = False, operation.hopeful and attempt == 1
            try:
                made = AuditedSession(self.writing, expire_on_commit=False, info=self._info)
                with appending(made) as keep, made as session:
                    ctx = operation.context(session, hopeful=hopeful)
                    result = work(ctx)
                    session.flush()
                    if operation.dry_run:
                        session.rollback()
                        return result
                    committing = True
                    session.commit()
                    keep()
            except HubError:
                # What is refused may be what this very request has done before: the next run looks for its key.
                if hopeful:
                    continue
                raise
            except (DBAPIError, StaleDataError, HeadMovedError) as error:
                lost = isinstance(error, DBAPIError) and error.connection_invalidated
                again = may_repeat(error) or (lost and (operation.guarded or not committing))
                # A uniqueness that failed was lost to another transaction; the next run finds what that one has made.
                if (again or isinstance(error, IntegrityError)) and attempt < MAX_ATTEMPTS:
                    _pause(attempt)
                    continue
                raise _unavailable(error, committing=committing) from error
            else:
                return result
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns or raises

    def renew_statistics(self) -> None:
        """Let SQLite count how its tables are filled, as the servers do by themselves.

        Without it, it takes any index that fits, and sorts all commands that failed, say, to show a page of them. One
        table after the other, so that writers wait for no more than one; a sample of a table would not do, since it
        makes what half the rows have in common look rare.
        """
        if not self.is_sqlite:
            return
        for table in Base.metadata.sorted_tables:
            self.write(partial(_analyse, table=table.description))
        # A connection goes by what it found when it was opened.
        self.reading.dispose()
        self.glancing.dispose()

    def close(self) -> None:
        """Finish waiting writes, close every connection (the writer last, so that it checkpoints), free the file."""
        if self._writer is not None:
            self._writer.stop()
        self.reading.dispose()
        self.glancing.dispose()
        self.writing.dispose()
        if (chains := self._info.get(CHAINS)) is not None:
            chains.release()
        if self._lock is not None:
            self._lock.release()


def _analyse(ctx: Context, table: str) -> None:
    ctx.session.connection().exec_driver_sql(f"ANALYZE {table}")


def may_repeat(error: BaseException) -> bool:
    """True when the unit of work may succeed if it runs again from its start."""
    return isinstance(error, StaleDataError | HeadMovedError) or is_transient(error)


def _unavailable(error: Exception, *, committing: bool) -> Exception:
    if may_repeat(error):
        return UnavailableError("The database stayed busy.", hint="Try again in a moment.", code="database-busy")
    if is_full(error):
        return no_room()
    if not isinstance(error, DBAPIError) or not error.connection_invalidated:
        return error
    if committing:
        return UnavailableError(
            "The connection to the database was lost while committing; the change may have been made.",
            hint="Repeat the request with the same Idempotency-Key: it will not be made twice.",
            code="outcome-unknown",
            outcome="unknown",
        )
    return UnavailableError("The connection to the database was lost.", hint="Try again.", code="database-lost")


def no_room() -> UnavailableError:
    """What is said while the disk is full."""
    return UnavailableError(
        "The disk is full.", hint="Make room on the hub's disk; nothing was changed.", code="disk-full"
    )


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0.2, 1.0) * min(1.0, 0.01 * 2**attempt))  # noqa: S311 - jitter, no secret


@dataclass(slots=True)
class _Waiting:
    work: Work[Any]
    operation: Operation
    future: Future[Any]
    result: Any = None


class _Writer(threading.Thread):
    """The thread that owns SQLite's writing connection."""

    def __init__(self, engine: Engine, info: dict[Any, Any], make_room: Callable[[], bool]) -> None:
        super().__init__(name="sqlite-writer", daemon=True)
        self._engine = engine
        self._make_room = make_room
        self._info = info
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._stopped = False
        self._gate = threading.Lock()  # nothing is queued behind the end
        self.start()

    def submit(self, work: Work[T], operation: Operation) -> Future[T]:
        future: Future[T] = Future()
        if threading.current_thread() is self:
            raise RuntimeError("a unit of work may not open another")
        # From here on it cannot be cancelled: a caller that goes away does not undo what it asked for.
        future.set_running_or_notify_cancel()
        with self._gate:
            if self._stopped:
                raise UnavailableError("The hub is shutting down.", hint="Try again when it is back.")
            self._queue.put(_Waiting(work, operation, future))
        return future

    def stop(self) -> None:
        with self._gate:
            self._stopped = True
            self._queue.put(None)
        self.join()

    def run(self) -> None:
        while (first := self._queue.get()) is not None:
            group, last = self._gather(first)
            self._commit(group)
            if last:
                return

    def _gather(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        group = [first]
        while len(group) < GROUP:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                return group, False
            if waiting is None:
                return group, True
            group.append(waiting)
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                with self._engine.connect() as connection, connection.begin():
                    alone = len(group) == 1
                    done = [waiting for waiting in group if self._run(connection, waiting, alone=alone)]
            except Exception as error:  # noqa: BLE001 - whatever BEGIN or COMMIT raised goes to those who wait
                if (chains := self._info.get(CHAINS)) is not None:
                    chains.forget()
                group = [waiting for waiting in group if not waiting.future.done()]
                again = may_repeat(error) or (is_full(error) and self._make_room())
                if again and len(group) > 1:
                    # Each by itself from here on: one that never succeeds takes no other with it.
                    for waiting in group:
                        self._commit([waiting])
                    return
                if again and attempt < MAX_ATTEMPTS:
                    _pause(attempt)
                    continue
                for waiting in group:
                    waiting.future.set_exception(_unavailable(error, committing=False))
            else:
                for waiting in done:
                    waiting.future.set_result(waiting.result)
            return

    def _run(self, connection: Connection, waiting: _Waiting, *, alone: bool) -> bool:
        """One unit; False when it has failed, was undone, and its caller knows.

        A unit among others runs in a savepoint; one that is alone takes the whole transaction with it when it fails.
        """
        session = AuditedSession(
            connection,
            expire_on_commit=False,
            join_transaction_mode="rollback_only" if alone else "create_savepoint",
            info=self._info,
        )
        try:
            # begin(), since closing alone does not undo a transaction that the session did not open itself.
            with appending(session) as keep:
                with session, session.begin():
                    ctx = waiting.operation.context(session)
                    waiting.result = waiting.work(ctx)
                    session.flush()
                    if waiting.operation.dry_run:
                        session.rollback()
                keep()
        except BaseException as error:  # a library that panics must not end the one thread that writes
            if may_repeat(error) or is_full(error):
                raise
            waiting.future.set_exception(error)
            return False
        return True
