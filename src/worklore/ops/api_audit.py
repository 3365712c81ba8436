"""The log of requests: a line in a journal file before the answer leaves, a row of the table a moment later.

A line that the operating system has taken outlives the process, and costs a request microseconds where a row would
cost it a transaction. Each hub process has files of its own in the journal's folder and holds a lock while it lives; a
thread moves whole files into the table, those of dead processes too. An entry's id is made with the line, so that a
file that is moved twice adds nothing the second time.

Rows that are moved together are a batch, and the change audit has an entry for it, with their count and digest: an
entry for each request would double what it costs.
"""

import errno
import hashlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Index, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.audit import record_event
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.errors import UnavailableError
from worklore.kernel.filelock import FileLock
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.transaction import Database
from worklore.kernel.types import Line, dumps, iso, utcnow, uuid7

MOVE_SECONDS: Final = 1.0
CHUNK: Final = 500
"""Lines that become rows in one unit of work."""

MOVED: Final = "move"
"""The action of the entry of a batch."""

LOG_SECONDS: Final = 60.0
"""While the journal cannot be written, the log says so this often."""

log = structlog.get_logger()


class ApiAuditEntry(Base):
    """A request to the API: who asked what, and what was answered."""

    __tablename__ = "api_audit_log"
    __table_args__ = tuple(Index(None, name) for name in ("user_id", "endpoint", "timestamp", "http_status"))
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[str] = mapped_column(Line(255), doc="The name of the principal.")
    method: Mapped[str | None] = mapped_column(Line(10))
    endpoint: Mapped[str] = mapped_column(Line(500))
    http_status: Mapped[int | None]
    ip_address: Mapped[str | None] = mapped_column(Line(45), info={"form": "ip"})
    user_agent: Mapped[str | None]
    request_id: Mapped[uuid.UUID | None]
    request_body_redacted: Mapped[dict[str, Any] | None]
    response_time_ms: Mapped[int | None]
    error_message: Mapped[str | None]
    timestamp: Mapped[datetime] = mapped_column(default=utcnow)
    batch: Mapped[uuid.UUID | None] = mapped_column(
        doc="The first row of those moved together, which the change audit has one entry for; None in older rows."
    )


API_AUDIT = Resource(
    model=ApiAuditEntry,
    name="api-audit-entry",
    plural="api-audit-log",
    visible=installation,
    filters=(
        ApiAuditEntry.user_id,
        ApiAuditEntry.method,
        ApiAuditEntry.endpoint,
        ApiAuditEntry.http_status,
        ApiAuditEntry.ip_address,
        ApiAuditEntry.request_id,
        ApiAuditEntry.response_time_ms,
        ApiAuditEntry.timestamp,
    ),
    search=(ApiAuditEntry.endpoint, ApiAuditEntry.error_message),
    columns=(
        ApiAuditEntry.timestamp,
        ApiAuditEntry.user_id,
        ApiAuditEntry.method,
        ApiAuditEntry.endpoint,
        ApiAuditEntry.http_status,
    ),
    hidden=(ApiAuditEntry.batch,),
    verbs=READ_ONLY,
)

COLUMNS: Final = tuple(column.key for column in ApiAuditEntry.__table__.columns if column.key != "batch")
"""What a line of the journal holds, in this order."""
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - of a text whose zone is written elsewhere
TIME: Final = COLUMNS.index("timestamp")


def line(
    *,
    user_id: str,
    endpoint: str,
    method: str | None = None,
    http_status: int | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
    request_id: uuid.UUID | None = None,
    body: dict[str, Any] | None = None,
    response_time_ms: int | None = None,
    error_message: str | None = None,
) -> bytes:
    """An entry of this moment as a line of the journal: the values in the order of the columns.

    The time is in microseconds since 1970 and the body is JSON text; what else it takes to make a row is the mover's.
    """
    return orjson.dumps(
        (
            uuid7(),
            user_id,
            method,
            endpoint,
            http_status,
            ip_address,
            user_agent,
            request_id,
            None if body is None else dumps(body),
            response_time_ms,
            error_message,
            time.time_ns() // 1000,
        ),
        option=orjson.OPT_APPEND_NEWLINE,
    )


class Journal:
    """The requests that this process has answered, in files, until they are rows.

    ``broken`` is True while lines cannot be written. The next line that can is preceded by one that tells how many
    are missing.

    Args:
        folder: of the files.
        make_room: asked when the disk is full; True when there is some room now.

    Raises:
        UnavailableError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, make_room: Callable[[], bool] = lambda: False) -> None:
        self.folder = folder
        self._make_room = make_room
        self.name = uuid7().hex
        self.broken = False
        self._missing = 0
        self._missing_since = self._logged_at = utcnow()
        self._gate = threading.Lock()
        self._file: int | None = None
        self._written = 0
        self._torn = False
        self.current: Path | None = None
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = FileLock(folder / self.name)
        except OSError as error:
            raise UnavailableError(
                f"The folder {folder} cannot be used: {error.strerror}.", hint="Make it the hub's own."
            ) from error

    def write(self, entry: bytes) -> None:
        """Hand a line to the operating system. While that fails the log says so, and the lines are counted."""
        with self._gate:
            try:
                self._write(entry)
            except OSError as error:
                if error.errno == errno.ENOSPC and self._make_room():
                    self._write_at_last(entry)
                else:
                    self._lost(error)

    def _write_at_last(self, entry: bytes) -> None:
        try:
            self._write(entry)
        except OSError as error:
            self._lost(error)

    def _write(self, entry: bytes) -> None:
        if self.broken:
            self._append(self._gap())
            self.broken, self._missing = False, 0
        self._append(entry)

    def _append(self, entry: bytes) -> None:
        if self._file is None:
            self._written += 1
            self.current = self.folder / f"{self.name}-{self._written:08}.jsonl"
            self._file = os.open(self.current, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._torn = False
        if self._torn:
            entry = b"\n" + entry
        size = os.write(self._file, entry)
        self._torn = size < len(entry)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _lost(self, error: OSError) -> None:
        now = utcnow()
        if not self.broken:
            self._missing_since = now
        if not self.broken or (now - self._logged_at).total_seconds() > LOG_SECONDS:
            self._logged_at = now
            log.error("requests are not written down, changes are refused", folder=str(self.folder), error=str(error))
        self.broken = True
        self._missing += 1

    def _gap(self) -> bytes:
        told = f"{self._missing} requests from {iso(self._missing_since)} on could not be written down."
        return line(user_id="system", endpoint="", error_message=told)

    def rotate(self) -> None:
        """End the present file; the next line begins another."""
        with self._gate:
            file, self._file, self.current = self._file, None, None
        if file is not None:
            os.close(file)

    def is_own(self, file: Path) -> bool:
        """True for a file that this process wrote."""
        return file.name.startswith(self.name)

    def finished(self) -> Iterator[Path]:
        """The files that nobody writes to: our own but the present one, and those of dead processes."""
        for lock in sorted(self.folder.glob("*.lock")):
            own = lock.stem == self.name
            try:
                held = None if own else FileLock(lock.with_suffix(""))
            except UnavailableError:
                continue  # that process lives, and moves its lines itself
            try:
                for file in sorted(self.folder.glob(f"{lock.stem}-*.jsonl")):
                    if file != self.current:
                        yield file
            finally:
                if held is not None:
                    held.release()
            if not own and not any(self.folder.glob(f"{lock.stem}-*.jsonl")):
                lock.unlink(missing_ok=True)

    def close(self) -> None:
        """End the present file; what is not moved is left to the next process."""
        self.rotate()
        self._lock.release()
        if not any(self.folder.glob(f"{self.name}-*.jsonl")):
            self._lock.path.unlink(missing_ok=True)


class Mover(threading.Thread):
    """The thread that makes rows of the journal's lines, and of those that dead processes left."""

    def __init__(self, database: Database, journal: Journal) -> None:
        super().__init__(name="api-audit", daemon=True)
        self._database = database
        self._journal = journal
        self._stopping = threading.Event()
        self._tried: set[Path] = set()

    def run(self) -> None:
        """Move what there is every second until stopped."""
        self.move()
        while not self._stopping.wait(MOVE_SECONDS):
            self.move()

    def stop(self) -> None:
        """Move what is left and let go of the journal."""
        self._stopping.set()
        if self.ident is not None:  # one that was never started cannot be waited for
            self.join()
        self.move()
        self._journal.close()

    def move(self) -> None:
        """Make rows of every line written so far. A file that cannot be moved now stays for the next time."""
        self._journal.rotate()
        for file in self._journal.finished():
            try:
                self._take(file)
            except Exception as error:  # noqa: BLE001 - a file that fails does not hold up the others
                log.warning("requests wait to be written to the database", file=file.name, error=type(error).__name__)

    def _take(self, file: Path) -> None:
        again = file in self._tried or not self._journal.is_own(file)
        self._tried.add(file)
        rows = list(_rows(file))
        for start in range(0, len(rows), CHUNK):
            self._database.write(partial(_add, rows=rows[start : start + CHUNK], again=again))
        file.unlink()
        self._tried.discard(file)


def _rows(file: Path) -> Iterator[list[Any]]:
    """The entries of a file; what a process that died or a full disk left half written is passed over."""
    for entry in file.read_bytes().split(b"\n"):
        if not entry:
            continue
        try:
            row: list[Any] | None = orjson.loads(entry)
        except ValueError:
            row = None
        if isinstance(row, list) and len(row) == len(COLUMNS):
            yield row
        else:
            log.warning("a request was half written and is passed over", file=file.name, bytes=len(entry))


def _add(ctx: Context, rows: list[list[Any]], *, again: bool) -> None:
    """Add rows in one statement, past every conversion: it has to cost a fraction of the requests it tells of.

    Args:
        ctx: the unit of work.
        rows: the lines of the journal.
        again: some may be there already, as a process may die between its commit and the removal of the file.
    """
    if again:
        ids = [uuid.UUID(row[0]) for row in rows]
        there = set(ctx.session.scalars(select(ApiAuditEntry.id).where(ApiAuditEntry.id.in_(ids))))
        rows = [row for row, key in zip(rows, ids, strict=True) if key not in there]
    if not rows:
        return
    first = uuid.UUID(rows[0][0])
    times = [row[TIME] for row in rows]
    facts = {"count": len(rows), "sha256": digest_of(map(row_digest, rows)), "from": min(times), "until": max(times)}
    record_event(ctx, MOVED, ApiAuditEntry.__tablename__, first, facts)
    connection = ctx.session.connection()
    sqlite = connection.dialect.name == "sqlite"
    # The server databases take a time without its zone as UTC, that of their sessions; MariaDB takes no zone at all.
    zone = "Z" if sqlite else ""
    rows = [[*row[:TIME], f"{_moment(row[TIME])}{zone}", *row[TIME + 1 :], str(first)] for row in rows]
    one = f"({', '.join(('?' if sqlite else '%s',) * (len(COLUMNS) + 1))})"
    table = ApiAuditEntry.__tablename__
    added = f"INSERT INTO {table} ({', '.join(COLUMNS)}, batch) VALUES {', '.join([one] * len(rows))}"  # noqa: S608 - our names
    connection.exec_driver_sql(added, tuple(chain.from_iterable(rows)))


def row_digest(row: Sequence[Any]) -> bytes:
    """SHA-256 of a row: the values of a line of the journal, in the order of the columns."""
    return hashlib.sha256(orjson.dumps(row)).digest()


def digest_of(rows: Iterable[bytes]) -> str:
    """The digest of a batch from those of its rows, in whatever order they come."""
    return hashlib.sha256(b"".join(sorted(rows))).hexdigest()


def _moment(micros: int) -> str:
    return (EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds")
