"""A database as a stream of bytes and back, by its own means, with the facts of the very rows that are in the stream.

The facts (see :mod:`worklore.ops.digest`) and the stream show one moment, while others go on writing:

- SQLite: the file is copied by SQLite's backup interface inside one reading transaction, and the copy is counted. The
  connection only reads, so a hub that has the file open is not disturbed.
- PostgreSQL: a transaction exports its snapshot, and ``pg_dump`` reads by the same one.
- MariaDB cannot share a snapshot between connections. Writers wait for a moment (``LOCK TABLES ... READ`` on the tables
  of this database) while the counting connection and ``mariadb-dump`` each begin theirs.
"""

import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from worklore.kernel.db import is_transient, server_engine
from worklore.kernel.errors import UnavailableError
from worklore.ops.digest import Facts, facts
from worklore.ops.tool import feed, mariadb_options, postgres_environment, pour

METHODS: Final[Mapping[str, str]] = {
    "sqlite": "sqlite-backup",
    "mariadb": "mariadb-dump",
    "postgresql": "pg_dump",
}
PIECE: Final = 1 << 20
PAGES: Final = 1_024
ATTEMPTS: Final = 5
LOCK_SECONDS: Final = 20
"""How long MariaDB's writers may be waited for; they wait behind us as long."""

END: Final = "$worklore$"
"""Ends a trigger's text, in which semicolons may stand."""

Sink = Callable[[bytes], object]


def sqlite_file(url: URL) -> Path:
    """The file of a SQLite URL."""
    return Path(url.database or "").expanduser().absolute()


def _read_only(path: Path, **more: int) -> sqlite3.Connection:
    options = "".join(f"&{name}={value}" for name, value in more.items())
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro{options}", uri=True, isolation_level=None)


@contextmanager
def looking(url: URL) -> Generator[Connection]:
    """A connection that only reads, beside a hub that runs.

    Raises:
        UnavailableError: the database does not answer; the text says why.
    """
    if url.get_backend_name() == "sqlite":
        path = sqlite_file(url)
        engine = create_engine("sqlite://", creator=lambda: _read_only(path), poolclass=NullPool)
    else:
        engine = server_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    except (DBAPIError, sqlite3.Error) as error:
        why = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise UnavailableError(
            f"The database {url.render_as_string()} cannot be read: {why}.",
            hint="See that it is there and lets you in.",
            code="database-unusable",
        ) from error
    finally:
        engine.dispose()


def dump(url: URL, work: Path, sink: Sink) -> Facts:
    """Pour a database into a sink; the facts of what was poured. ``work`` is a folder for a copy while it is made."""
    return _DUMPS[url.get_backend_name()](url, work, sink)


def load(url: URL, source: Iterable[bytes]) -> None:
    """Fill an empty database with what :func:`dump` has poured.

    Raises:
        UnavailableError: the database's own tool is missing, or failed; the text says why.
    """
    match url.get_backend_name():
        case "sqlite":
            _write(sqlite_file(url), source)
        case "postgresql":
            restore = ["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
            feed([*restore, f"--dbname={url.database}"], postgres_environment(url), source)
        case _:
            with mariadb_options(url) as options:
                # Binary mode also turns off the client's own commands, one of which starts programs.
                feed(["mariadb", *options, "--binary-mode", url.database or ""], None, source)


def _write(path: Path, source: Iterable[bytes]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for piece in source:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


# --- SQLite ---------------------------------------------------------------------------------------------------------


def _dump_sqlite(url: URL, work: Path, sink: Sink) -> Facts:
    copy = work / "copy.db"
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(_read_only(sqlite_file(url))) as live, closing(sqlite3.connect(copy)) as target:
        # Inside a reading transaction the copy never starts over, however much is written meanwhile.
        live.execute("BEGIN")
        live.execute("SELECT 1 FROM sqlite_master").fetchone()
        live.backup(target, pages=PAGES)
    found = file_facts(copy)
    with copy.open("rb") as file:
        while piece := file.read(PIECE):
            sink(piece)
    copy.unlink()
    return found


def file_facts(path: Path) -> Facts:
    """The facts of a SQLite file that nobody writes to, leaving no other file beside it."""
    engine = create_engine("sqlite://", creator=lambda: _read_only(path, immutable=1), poolclass=NullPool)
    with engine.connect() as connection:
        return facts(connection)


def file_damage(path: Path) -> list[str]:
    """What SQLite finds wrong in a file that nobody writes to; nothing when it is whole."""
    with closing(_read_only(path, immutable=1)) as connection:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        broken = [f"a row of {row[0]} points nowhere" for row in connection.execute("PRAGMA foreign_key_check")]
    return [line for line in said if line != "ok"] + broken


# --- servers --------------------------------------------------------------------------------------------------------


def _dump_postgres(url: URL, _: Path, sink: Sink) -> Facts:
    with _disposing(server_engine(url)) as engine, engine.connect() as plain, ThreadPoolExecutor(1) as beside:
        connection = plain.execution_options(isolation_level="REPEATABLE READ")
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
        counted = beside.submit(facts, connection)
        # Compressed later, by whoever keeps the stream.
        command = ["pg_dump", "--format=custom", "--compress=0", "--no-owner", "--no-privileges"]
        command += [f"--snapshot={snapshot}", f"--dbname={url.database}"]
        pour(command, postgres_environment(url), sink)
        return counted.result()


def server_facts(url: URL) -> Facts:
    """The facts of a server's database, as of one moment."""
    with _disposing(server_engine(url)) as engine, engine.connect() as plain:
        connection = plain.execution_options(isolation_level="REPEATABLE READ")
        if url.get_backend_name() == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        return facts(connection)


def _dump_mariadb(url: URL, _: Path, sink: Sink) -> Facts:
    with _disposing(server_engine(url)) as engine, engine.connect() as plain, ThreadPoolExecutor(1) as beside:
        counting = plain.execution_options(isolation_level="REPEATABLE READ")
        lock = _Locked(engine)
        try:
            counting.execute(text("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"))
            counted = beside.submit(facts, counting)

            def pass_on(piece: bytes) -> None:
                # The first table's text comes after the tool's own snapshot has begun.
                if b"CREATE TABLE" in piece:
                    lock.release()
                sink(piece)

            with mariadb_options(url) as options:
                command = ["mariadb-dump", *options, "--single-transaction", "--quick", "--hex-blob", "--routines"]
                pour([*command, "--skip-triggers", "--skip-dump-date", url.database or ""], None, pass_on)
            found = counted.result()
            for statement in trigger_statements(counting, url.database or "").values():
                sink(f"DELIMITER {END}\n{statement}{END}\nDELIMITER ;\n".encode())
            return found
        finally:
            lock.release()


def trigger_statements(connection: Connection, database: str) -> dict[str, str]:
    """What makes each trigger of a MariaDB database, by its name.

    Without the definer that MariaDB's own dump names: it would be a right of few to make a trigger for another user.
    """
    listing = text(
        "SELECT trigger_name, action_timing, event_manipulation, event_object_table, action_statement "
        "FROM information_schema.triggers WHERE trigger_schema = :database ORDER BY event_object_table, action_order"
    )
    return {
        name: f"CREATE TRIGGER IF NOT EXISTS `{name}` {timing} {event} ON `{on}` FOR EACH ROW {body}"
        for name, timing, event, on, body in connection.execute(listing, {"database": database})
    }


class _Locked:
    """No table of the database is written to until :meth:`release`."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            self._connection.execute(text(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}"))
            names = ", ".join(f"`{name}` READ" for name in inspect(self._connection).get_table_names())
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._connection.execute(text(f"LOCK TABLES {names}"))
                except DBAPIError as error:
                    if not is_transient(error) or attempt == ATTEMPTS:
                        raise
                else:
                    return
        except DBAPIError as error:
            self.release()
            raise UnavailableError(
                f"The tables could not be held still for a moment: {error.orig}.",
                hint="Give the user the right LOCK TABLES on this database; or try again when less is written.",
                code="backup-lock",
            ) from error

    def release(self) -> None:
        """Let writers go on."""
        if not self._connection.closed:
            self._connection.invalidate()  # the server unlocks when the connection ends
            self._connection.close()


@contextmanager
def _disposing(engine: Engine) -> Generator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


_DUMPS: Final[Mapping[str, Callable[[URL, Path, Sink], Facts]]] = {
    "sqlite": _dump_sqlite,
    "mariadb": _dump_mariadb,
    "postgresql": _dump_postgres,
}
