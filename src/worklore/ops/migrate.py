"""Bringing a database to the schema this version needs, with a backup first when it holds anything."""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

import worklore
from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow

SCRIPTS = Path(worklore.__file__).parent / "migrations"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The revision a database is at, and the one this version needs."""

    current: str | None
    needed: str

    @property
    def is_current(self) -> bool:
        """True when nothing is to be done."""
        return self.current == self.needed


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, on a connection when one is given."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config


def reach(database: Database) -> None:
    """See that the database answers.

    Raises:
        UnavailableError: the server does not let us in, or the file is no database; the text says why, in one line.
    """
    try:
        database.writing.connect().close()
    except DBAPIError as error:
        why = str(error.orig).strip().partition("\n")[0]
        raise UnavailableError(
            f"The database {database.url.render_as_string()} cannot be used: {why}.",
            hint="See that its server runs and lets you in, or name another with WORKLORE_DATABASE_URL.",
            code="database-unusable",
        ) from error


def state(database: Database) -> SchemaState:
    """Where a database stands.

    Raises:
        UnavailableError: it does not answer, or was made by a newer version.
    """
    reach(database)
    scripts = ScriptDirectory.from_config(alembic_config())
    needed = scripts.get_current_head() or ""
    with database.writing.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise UnavailableError(
            f"The database was made by a newer version (schema {current}).",
            hint="Run that version, or restore the backup that was made before its upgrade.",
            code="schema-newer",
        )
    return SchemaState(current, needed)


def upgrade(database: Database) -> Path | None:
    """Bring the schema up to date; the path of the backup made first, if one was needed.

    Raises:
        UnavailableError: the database does not answer, or was made by a newer version.
    """
    reach(database)
    with _alone(database):
        before = state(database)
        if before.is_current:
            return None
        backup = _backup(database, before.current) if before.current else None
        _apply(database)
    log.info("schema upgraded", before=before.current, now=before.needed, backup=str(backup) if backup else None)
    return backup


@contextmanager
def _alone(database: Database) -> Generator[None]:
    """One hub upgrades a server's database at a time; the others wait. SQLite's lock file has seen to it already."""
    if database.is_sqlite:
        yield
        return
    postgres = database.dialect == "postgresql"
    take = "SELECT pg_advisory_lock(hashtext('worklore'))" if postgres else "SELECT GET_LOCK('worklore-upgrade', 600)"
    give = "SELECT pg_advisory_unlock(hashtext('worklore'))" if postgres else "SELECT RELEASE_LOCK('worklore-upgrade')"
    with database.writing.connect() as connection:
        connection.execute(text(take))
        try:
            yield
        finally:
            connection.execute(text(give))


def _apply(database: Database) -> None:
    with database.writing.connect() as connection, connection.begin():
        if database.dialect == "mariadb":
            # Columns without a collation of their own then tell case apart, as on the other two databases.
            connection.execute(text("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"))
        command.upgrade(alembic_config(connection), "head")


def _backup(database: Database, revision: str | None) -> Path | None:
    """A copy of a SQLite file before it changes. A server's databases are backed up by their own tools."""
    if not database.is_sqlite or database.url.database is None:
        return None
    source = Path(database.url.database).expanduser().absolute()
    target = source.with_name(f"{source.name}.before-{revision}-to-upgrade-{utcnow():%Y%m%dT%H%M%SZ}")
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        verdict: Any = copy.execute("PRAGMA integrity_check").fetchone()[0]
    target.chmod(0o600)
    if verdict != "ok":
        raise UnavailableError(f"The backup {target} did not verify: {verdict}.", hint="Look at the disk first.")
    return target
