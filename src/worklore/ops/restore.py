"""Putting a backup in the place of a database, which is kept.

Nothing is touched until the backup was proven byte by byte, and the target found idle. The backup is then restored
under another name beside the target, compared with its manifest, brought to this version's schema and given a new
epoch; only then do the two change places. Whatever fails before leaves the target as it was.

- SQLite: one rename puts the new file in the place of the old, which has a second name by then.
- PostgreSQL: both databases are renamed in one transaction.
- MariaDB cannot rename a database. All tables of both change places in one atomic ``RENAME TABLE``; tables cannot move
  with their triggers, so these are taken off before and put on again after. The statements that put them on are kept
  in a table of their own meanwhile: a restore that was killed in between is mended by the next one.
"""

import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final

import structlog
from alembic.script import ScriptDirectory
from pydantic import BaseModel
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

import worklore
from worklore.kernel.db import server_engine
from worklore.kernel.epoch import begin_epoch
from worklore.kernel.errors import ConflictError, UnavailableError
from worklore.kernel.filelock import FileLock
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow
from worklore.ops import migrate
from worklore.ops.backup_note import described
from worklore.ops.backups import Told, fill, manifest, sha256_of, sync, unheard
from worklore.ops.dump import METHODS, sqlite_file, trigger_statements
from worklore.ops.scratch import TEXT_AS_OURS, create_database, drop_database

RESTORING: Final = "_restoring"
KEPT: Final = "_before_restore_"
TRIGGERS: Final = "restore_triggers"
MOVED: Final = "restore_triggers_moved"
"""What the table of triggers is called from the moment in which the databases changed places."""
LOCK_SECONDS: Final = 60

log = structlog.get_logger()


class Restored(BaseModel):
    """How a restore ended.

    Attributes:
        kept: what was replaced: a file, or the name of a database; None when there was nothing.
        epoch: the new life of the installation.
    """

    database: str
    kept: str | None
    epoch: uuid.UUID
    tables: int
    rows: int


def restore(path: Path, to: URL, secret: bytes | None, told: Told = unheard) -> Restored:
    """Put a backup in the place of the database at ``to``.

    Raises:
        UnavailableError: the backup is no backup, damaged, of a newer schema or another kind of database; or a hub
            has the target open. Nothing was changed.
        ConflictError: what was restored is not what the backup says. Nothing was changed.
    """
    _fits(path, to)
    told("proving", 0)
    held = manifest(path, secret)
    place = _PLACES[to.get_backend_name()]
    with place(to) as (beside, swap):
        wrong = fill(path, secret, beside, told)
        if wrong:
            raise ConflictError(
                f"What was restored from {path} is not what was backed up: {'; '.join(wrong[:3])}.",
                hint="Take an older backup; the database was left as it was.",
                code="restore-differs",
            )
        told("upgrading", 0)
        epoch = _begin(beside, sha256_of(path))
        kept = swap()
    log.info("restored", database=to.render_as_string(), kept=kept, epoch=str(epoch))
    name = to.render_as_string()
    return Restored(database=name, kept=kept, epoch=epoch, tables=len(held.tables), rows=held.rows)


def _fits(path: Path, to: URL) -> None:
    backup = described(path)
    if METHODS[to.get_backend_name()] != backup.method:
        raise UnavailableError(
            f"{path} was made by {backup.method}; it cannot be restored on {to.get_backend_name()}.",
            hint="Restore it on a database of the same kind.",
            code="backup-dialect",
        )
    scripts = ScriptDirectory(str(Path(worklore.__file__).parent / "migrations"))
    if backup.database_schema not in {script.revision for script in scripts.walk_revisions()}:
        raise UnavailableError(
            f"{path} was made by a newer version ({backup.product}, schema {backup.database_schema}).",
            hint="Install that version, and restore with it.",
            code="schema-newer",
        )


def _begin(url: URL, sha256: str) -> uuid.UUID:
    """Bring what was restored to this version's schema and begin a new life with it."""
    database = Database(url)
    try:
        migrate.upgrade(database)
        return database.write(lambda ctx: begin_epoch(ctx, sha256).id)
    finally:
        database.close()


def _stamp() -> str:
    return f"{utcnow():%Y%m%dT%H%M%SZ}"


Place = tuple[URL, Callable[[], str | None]]
"""An empty database beside the target, and what makes the two change places and names what was kept."""


# --- SQLite ---------------------------------------------------------------------------------------------------------


@contextmanager
def _sqlite(to: URL) -> Generator[Place]:
    target = sqlite_file(to)
    if not target.parent.is_dir():
        raise UnavailableError(f"The folder {target.parent} does not exist.", hint="Create it first.")
    lock = FileLock(target)
    beside = target.with_name(f"{target.name}.restoring")
    _remove(beside)  # of a restore that was killed
    try:
        yield to.set(database=str(beside)), lambda: _swap_files(target, beside)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(
            f"The backup could not be restored beside {target}: {error}.",
            hint="Make room, or let this user write there. The database was left as it was.",
            code="restore-failed",
        ) from error
    finally:
        _remove(beside)
        lock.release()


def _remove(file: Path) -> None:
    for name in ("", "-wal", "-shm", ".lock"):
        file.with_name(file.name + name).unlink(missing_ok=True)


def _swap_files(target: Path, beside: Path) -> str | None:
    if not target.exists():
        beside.replace(target)
        sync(target.parent)
        return None
    kept = target.with_name(f"{target.name}.before-restore-{_stamp()}")
    try:
        with closing(sqlite3.connect(target)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        # Perhaps this is why it is replaced. Its journal is kept beside it, for whoever wants to save what can be.
        log.warning("the database that is replaced is damaged", error=str(error))
    for name in ("", "-wal"):
        old_file = target.with_name(target.name + name)
        if old_file.exists():
            _second_name(old_file, kept.with_name(kept.name + name))
    sync(target.parent)
    # A journal must never meet another database than its own.
    for name in ("-wal", "-shm"):
        target.with_name(target.name + name).unlink(missing_ok=True)
    beside.replace(target)
    sync(target.parent)
    return str(kept)


def _second_name(file: Path, name: Path) -> None:
    try:
        if not (name.exists() and name.samefile(file)):  # a restore killed a moment ago has kept it already
            os.link(file, name)
    except OSError:  # a file system without links
        shutil.copy2(file, name)


# --- servers --------------------------------------------------------------------------------------------------------


@contextmanager
def _connected(url: URL) -> Generator[Connection]:
    """A connection for statements about databases, each by itself."""
    engine = server_engine(url)
    try:
        with engine.connect() as plain:
            yield plain.execution_options(isolation_level="AUTOCOMMIT")
    except DBAPIError as error:
        raise UnavailableError(
            f"The server did not do what a restore needs: {str(error.orig).strip()}.",
            hint="Give a user who may create databases. The database was left as it was.",
            code="restore-failed",
        ) from error
    finally:
        engine.dispose()


def _idle(connection: Connection, name: str, listing: str) -> None:
    others = connection.execute(text(listing), {"name": name}).scalar_one()
    if others:
        raise UnavailableError(
            f"The database {name} is in use: {others} connections are open to it.",
            hint="Stop the hub, and whatever else is connected, first.",
            code="database-in-use",
        )


_POSTGRES_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)
_MARIADB_OTHERS: Final = (
    "SELECT count(*) FROM information_schema.processlist WHERE db = :name AND id <> CONNECTION_ID()"
)


@contextmanager
def _postgresql(to: URL) -> Generator[Place]:
    target, server = to.database or "", to.set(database="postgres")
    if target == "postgres":
        raise UnavailableError("The database postgres cannot be replaced.", hint="Name the hub's database.")
    name = f"{target[:50]}{RESTORING}"
    with _connected(server) as connection:
        _idle(connection, target, _POSTGRES_OTHERS)
        _idle(connection, name, _POSTGRES_OTHERS)
        drop_database(server, name)  # of a restore that was killed
        create_database(server, name)

        def swap() -> str | None:
            there = connection.execute(text("SELECT count(*) FROM pg_database WHERE datname = :n"), {"n": target})
            kept = f"{_kept(target)}{_stamp().lower()}" if there.scalar_one() else None
            renames = [(target, kept)] if kept else []
            # One transaction; it fails where anybody is connected to one of them.
            statements = [f'ALTER DATABASE "{old}" RENAME TO "{new}"' for old, new in [*renames, (name, target)]]
            connection.execute(text("BEGIN"))
            for statement in statements:
                connection.execute(text(statement))
            connection.execute(text("COMMIT"))
            return kept

        try:
            yield to.set(database=name), swap
        finally:
            drop_database(server, name)


@contextmanager
def _mariadb(to: URL) -> Generator[Place]:
    target, server = to.database or "", to.set(database="information_schema")
    name = f"{target[:50]}{RESTORING}"
    with _connected(server) as connection:
        _idle(connection, target, _MARIADB_OTHERS)
        _idle(connection, name, _MARIADB_OTHERS)
        _mend(connection, target)
        drop_database(server, name)  # of a restore that was killed
        create_database(server, name)
        try:
            yield to.set(database=name), lambda: _swap_tables(connection, target, name)
        finally:
            drop_database(server, name)


def _swap_tables(connection: Connection, target: str, name: str) -> str | None:
    # A hub that starts meanwhile waits for this lock, as it would for another that upgrades the schema.
    if not connection.execute(text(f"SELECT GET_LOCK('worklore-upgrade', {LOCK_SECONDS})")).scalar():
        raise UnavailableError("A hub on this server upgrades its schema.", hint="Try again in a moment.")
    _idle(connection, target, _MARIADB_OTHERS)
    kept = f"{_kept(target)}{_stamp().lower()}"
    for database in (kept, target):
        connection.execute(text(f"CREATE DATABASE IF NOT EXISTS `{database}` {TEXT_AS_OURS}"))
    old, new = _tables(connection, target), _tables(connection, name)
    _remember_triggers(connection, kept, target, name)
    try:
        for home in (target, name):
            for trigger in trigger_statements(connection, home):
                connection.execute(text(f"DROP TRIGGER `{home}`.`{trigger}`"))
        moves = [f"`{target}`.`{each}` TO `{kept}`.`{each}`" for each in old]
        moves += [f"`{name}`.`{each}` TO `{target}`.`{each}`" for each in new]
        moves += [f"`{kept}`.{TRIGGERS} TO `{kept}`.{MOVED}"]
        connection.execute(text(f"RENAME TABLE {', '.join(moves)}"))
    finally:
        _mend(connection, target)
    return kept if old else None


def _kept(target: str) -> str:
    return f"{target[:30]}{KEPT}"


def _tables(connection: Connection, database: str) -> list[str]:
    listing = text("SELECT table_name FROM information_schema.tables WHERE table_schema = :database")
    return sorted(connection.execute(listing, {"database": database}).scalars())


def _remember_triggers(connection: Connection, kept: str, target: str, name: str) -> None:
    """Write down what puts the triggers on again, in a table that is there until it is done."""
    connection.execute(text(f"CREATE TABLE `{kept}`.{TRIGGERS} (replaced BOOLEAN, statement LONGTEXT)"))
    for home in (target, name):
        for statement in trigger_statements(connection, home).values():
            remembered = text(f"INSERT INTO `{kept}`.{TRIGGERS} VALUES (:replaced, :statement)")  # noqa: S608 - our own name
            connection.execute(remembered, {"replaced": home == target, "statement": statement})
    connection.execute(text("COMMIT"))


def _mend(connection: Connection, target: str) -> None:
    """Put the triggers on again that a restore took off, this one or one that was killed, moved tables or not."""
    listing = text(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_name IN (:begun, :moved)"
    )
    for kept, table in connection.execute(listing, {"begun": TRIGGERS, "moved": MOVED}).all():
        if not kept.startswith(_kept(target)):
            continue
        moved = table == MOVED
        rows = connection.execute(text(f"SELECT replaced, statement FROM `{kept}`.{table}"))  # noqa: S608 - our own name
        for replaced, statement in rows.all():
            if moved or replaced:
                connection.execute(text(f"USE `{kept if moved and replaced else target}`"))
                connection.exec_driver_sql(statement)
        connection.execute(text(f"DROP TABLE `{kept}`.{table}"))
        if not _tables(connection, kept):
            connection.execute(text(f"DROP DATABASE `{kept}`"))  # nothing was there to be kept, or nothing has moved


_PLACES: Final[Mapping[str, Callable[[URL], AbstractContextManager[Place]]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
}
