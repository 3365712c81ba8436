"""How the schema is changed: by one process at a time, step by step, so that a change that was interrupted can go on.

SQLite and PostgreSQL change their schema inside a transaction: a change is made whole or not at all. MariaDB commits
each statement that changes the schema by itself. There the comment of Alembic's own table says which step is being
made; a process that was killed leaves it behind, and the next one makes that step again from its start, where what
was made before is no error. Rows that a step changes must bear that too: a revision's UPDATE has to be repeatable.
"""

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

import worklore
from worklore.kernel.db import server_engine
from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database
from worklore.ops.fingerprint import VERSION_TABLE
from worklore.ops.schema_migration import note

SCRIPTS: Final = Path(worklore.__file__).parent / "migrations"
BASE: Final = "base"
"""Where a database without any revision is."""
WAIT_SECONDS: Final = 600
"""For another process that changes the same schema."""

Tell = Callable[[str], object]
"""Hears in one line what is being done."""

# Error numbers of MariaDB: what a step makes is there already, or what it takes away is gone.
_THERE: Final = frozenset({1022, 1050, 1060, 1061, 1068, 1359, 1826})
_FOREIGN_KEY_THERE: Final = "errno: 121"
"""How MariaDB, by a table that cannot be made, tells of a foreign key that is there."""

_GONE: Final = frozenset({1051, 1054, 1091, 1146, 1360})
_DONE_BEFORE: Final = {"CREATE": _THERE, "DROP": _GONE, "ALTER": _THERE | _GONE}
_CHANGES: Final = re.compile(r"\s*(CREATE|ALTER|DROP|INSERT|UPDATE|DELETE)\b")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Step:
    """One revision up or down; ``base`` is where there is none."""

    start: str
    end: str

    @property
    def is_up(self) -> bool:
        """True when it adds a revision."""
        return revisions().index(self.start) < revisions().index(self.end)

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"


def unheard(_: str) -> None:
    """Nobody listens."""


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, on a connection when one is given."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config


@cache
def scripts() -> ScriptDirectory:
    """The revisions that come with this version."""
    return ScriptDirectory.from_config(alembic_config())


@cache
def revisions() -> tuple[str, ...]:
    """The names of all revisions, the oldest first, after ``base``."""
    return (BASE, *reversed([script.revision for script in scripts().walk_revisions()]))


def steps(start: str, end: str) -> list[Step]:
    """The way from one revision to another, up or down."""
    every = revisions()
    first, last = every.index(start), every.index(end)
    way = every[first : last + 1] if first <= last else every[last : first + 1][::-1]
    return [Step(*pair) for pair in pairwise(way)]


# --- one process at a time ------------------------------------------------------------------------------------------


@contextmanager
def alone(database: Database, tell: Tell = unheard) -> Generator[Connection]:
    """The connection that may change the schema; other processes that want one wait.

    On SQLite the lock file keeps other processes out. Foreign keys are not enforced meanwhile, since rebuilding a
    table would delete what refers to it; they are checked at the end of :func:`walk`.

    Raises:
        UnavailableError: another process did not finish within ten minutes.
    """
    if database.is_sqlite:
        with database.writing.connect() as connection:
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA foreign_keys=OFF")
            try:
                yield connection
            finally:
                connection.rollback()
                raw.execute("PRAGMA foreign_keys=ON")
        return
    engine = server_engine(database.url, read_seconds=None)
    try:
        with engine.connect() as connection:
            _take(connection, database.dialect, tell)
            yield connection
    finally:
        engine.dispose()  # the lock goes with its connection, whatever happens to this process


def _take(connection: Connection, dialect: str, tell: Tell) -> None:
    if dialect == "postgresql":
        take = "SELECT pg_try_advisory_lock(hashtext('worklore'))"
    else:
        take = "SELECT GET_LOCK(MD5(CONCAT('worklore', DATABASE())), 0)"
        connection.execute(text("SET SESSION lock_wait_timeout = 15"))  # for a table that somebody uses
    until = time.monotonic() + WAIT_SECONDS
    waiting = False
    while not connection.execute(text(take)).scalar_one():
        connection.rollback()
        if time.monotonic() > until:
            raise UnavailableError(
                "Another process is changing the schema of this database.",
                hint="Wait for it, or end it if it hangs, and try again.",
                code="schema-busy",
            )
        if not waiting:
            tell("Another process is changing the schema; waiting for it.")
        waiting = True
        time.sleep(0.2)
    connection.rollback()


# --- steps ----------------------------------------------------------------------------------------------------------


def walk(connection: Connection, way: Sequence[Step], tell: Tell = unheard) -> None:
    """Make steps, in one transaction where the database can; a first step that was interrupted is made again.

    Raises:
        UnavailableError: the database refused a statement; the text says which step, why, and what became of it.
    """
    on_mariadb = connection.dialect.name == "mariadb"
    progress = Progress(connection, tell)
    again = interrupted(connection) == way[0]
    connection.rollback()
    try:
        with connection.begin():
            if on_mariadb:
                # Columns without a collation of their own then tell case apart, as on the other two databases.
                connection.execute(text("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"))
                command.ensure_version(alembic_config(connection))
            if again:
                with _repeating(connection.engine):
                    progress.make(way[:1])
            progress.make(way[1:] if again else way)
            _see_that_rows_agree(connection)
        if on_mariadb:
            _mark(connection, "")
    except DBAPIError as error:
        why = str(error.orig).strip().partition("\n")[0]
        raise UnavailableError(
            f"The schema could not be changed, {progress.step}: {why}.",
            hint="Mend that and run the same again: it goes on with this step."
            if on_mariadb
            else "Nothing was changed. Mend that and run the same again.",
            code="schema-refused",
        ) from error


class Progress:
    """The steps being made on a connection: told, marked on MariaDB, and what they did noted in the history."""

    def __init__(self, connection: Connection, tell: Tell) -> None:
        self.step: Step | None = None
        self._connection = connection
        self._tell = tell
        self._ahead: Iterator[Step] = iter(())
        self._statements: list[str] = []

    def make(self, way: Sequence[Step]) -> None:
        """Make steps that lead in one direction."""
        if not way:
            return
        config = alembic_config(self._connection)
        config.attributes["progress"] = self
        self._ahead = iter(way)
        self._begin()
        event.listen(self._connection, "before_cursor_execute", self._collect)
        try:
            (command.upgrade if way[0].is_up else command.downgrade)(config, way[-1].end)
        finally:
            event.remove(self._connection, "before_cursor_execute", self._collect)

    def ended(self, applied: Sequence[Script]) -> None:
        """Called by Alembic's environment after each step, with the revisions now applied, the newest first."""
        note(self._connection, applied, self._statements)
        self._begin()

    def _begin(self) -> None:
        self.step = next(self._ahead, None)
        self._statements.clear()
        if self.step is not None:
            self._tell(f"{self.step} ...")
            if self._connection.dialect.name == "mariadb":
                _mark(self._connection, str(self.step))

    def _collect(self, _: object, __: object, statement: str, *___: object) -> None:
        if _CHANGES.match(statement) and VERSION_TABLE not in statement:
            self._statements.append(statement.strip())


def _see_that_rows_agree(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    wrong = connection.execute(text("PRAGMA foreign_key_check")).first()
    if wrong is not None:
        raise UnavailableError(
            f"After this change a row of {wrong[0]} would refer to one of {wrong[2]} that is not there.",
            hint="Nothing was changed. Mend the row, then run the same again.",
            code="schema-refused",
        )


# --- on MariaDB -----------------------------------------------------------------------------------------------------


def interrupted(connection: Connection) -> Step | None:
    """The step that a process had begun and not ended. Only MariaDB knows of such."""
    if connection.dialect.name != "mariadb" or not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = inspect(connection).get_table_comment(VERSION_TABLE)["text"]
    start, _, end = (found or "").partition(" to ")
    current = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() or BASE  # noqa: S608 - a constant
    return Step(start, end) if end and current == start else None


def _mark(connection: Connection, what: str) -> None:
    connection.execute(text(f"ALTER TABLE {VERSION_TABLE} COMMENT = '{what}'"))


@contextmanager
def _repeating(engine: Engine) -> Generator[None]:
    """While a step is made again, a statement that was carried out before is passed over."""
    event.listen(engine, "do_execute", _execute_again)
    try:
        yield
    finally:
        event.remove(engine, "do_execute", _execute_again)


def _execute_again(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Carry a statement out; True tells SQLAlchemy that it was seen to."""
    try:
        cursor.execute(statement, parameters)
    except context.dialect.loaded_dbapi.Error as error:
        kind = _CHANGES.match(statement)
        done_before = _DONE_BEFORE.get(kind[1]) if kind else None
        if done_before is None or not (error.args[0] in done_before or _FOREIGN_KEY_THERE in str(error)):
            raise
        log.info("done before the interruption", statement=statement.strip().partition("\n")[0])
    return True
