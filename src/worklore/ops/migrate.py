"""The schema of a database: where it stands, up, down, and whether it is what this version's revisions make."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from sqlalchemy import Connection, func, inspect, select
from sqlalchemy import column as named
from sqlalchemy import table as called
from sqlalchemy.exc import DBAPIError

from worklore.kernel.errors import ConflictError, InvalidError, UnavailableError
from worklore.kernel.transaction import Database
from worklore.ops import schema_migration
from worklore.ops.fingerprint import VERSION_TABLE, differences, fingerprint
from worklore.ops.schema_change import (
    BASE,
    Step,
    Tell,
    alone,
    interrupted,
    revisions,
    scripts,
    steps,
    unheard,
    walk,
)
from worklore.ops.scratch import scratch

Backup = Callable[[Database], Path]
"""Makes a backup before the schema changes, and gives its path."""

OWN: Final = frozenset({VERSION_TABLE, schema_migration.TABLE})
"""Tables that only speak of the schema."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Where a database's schema stands.

    Attributes:
        current: its revision; None when there is none yet.
        needed: the revision that this version works with.
        interrupted: the step that a process had begun and not ended.
        edited: applied revisions whose files have changed since.
    """

    current: str | None
    needed: str
    interrupted: Step | None = None
    edited: tuple[str, ...] = ()

    @property
    def is_current(self) -> bool:
        """True when nothing is to be done."""
        return self.current == self.needed and self.interrupted is None

    @property
    def is_empty(self) -> bool:
        """True when nothing was ever made, or all was taken away."""
        return self.current is None and self.interrupted is None

    def __str__(self) -> str:
        if self.interrupted is not None:
            return f"in the middle of the step {self.interrupted}, which was interrupted"
        return "up to date" if self.is_current else f"at {self.current or BASE}, this version needs {self.needed}"


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a schema."""

    before: SchemaState
    after: SchemaState
    steps: tuple[Step, ...] = ()
    backup: Path | None = None


# --- where it stands ------------------------------------------------------------------------------------------------


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
        UnavailableError: it does not answer, was made by a newer version, or holds the tables of something else.
    """
    reach(database)
    with database.writing.connect() as connection:
        return _state(connection)


def _state(connection: Connection) -> SchemaState:
    current = MigrationContext.configure(connection).get_current_revision()
    if current not in {None, *revisions()}:
        raise UnavailableError(
            f"The database was made by a newer version (schema {current}; this one knows up to {revisions()[-1]}).",
            hint="Run that version, or restore the backup that was made before its upgrade.",
            code="schema-newer",
        )
    begun = interrupted(connection)
    if current is None and begun is None:
        others = set(inspect(connection).get_table_names()) - {VERSION_TABLE}
        if others:
            raise UnavailableError(
                f"The database is not empty and not Worklore's: it holds {min(others)}.",
                hint="Give Worklore a database of its own with WORKLORE_DATABASE_URL.",
                code="database-foreign",
            )
    edited = schema_migration.edited(connection, _applied(current))
    return SchemaState(current, revisions()[-1], begun, tuple(edited))


def _applied(current: str | None) -> list[Script]:
    return list(scripts().iterate_revisions(current, BASE)) if current else []


def require(database: Database) -> None:
    """See that the schema is the one this version works with.

    Raises:
        UnavailableError: it is older, newer or half changed; the text says what to do.
    """
    found = state(database)
    if not found.is_current:
        raise UnavailableError(
            f"The schema of the database is {found}.",
            hint="Run `worklore db upgrade`, which backs the database up first; then start again.",
            code="schema-interrupted" if found.interrupted else "schema-older",
        )


# --- up and down ----------------------------------------------------------------------------------------------------


def upgrade(database: Database, *, to: str | None = None, backup: Backup | None = None, tell: Tell = unheard) -> Change:
    """Bring the schema up to a revision, the newest unless told otherwise.

    ``backup`` is called first when the database holds rows and there is something to do.

    Raises:
        InvalidError: there is no such revision, or the database is beyond it.
        UnavailableError: the database does not answer, is not ours, or refuses the change.
    """
    return _change(database, to or revisions()[-1], backup=backup, tell=tell, up=True)


def downgrade(database: Database, to: str, *, backup: Backup | None = None, tell: Tell = unheard) -> Change:
    """Bring the schema down to a revision, to ``base``, or down by one with ``-1``; rows of later tables are lost.

    Raises:
        InvalidError: there is no such revision, or the database is below it.
        UnavailableError: as for :func:`upgrade`.
    """
    return _change(database, to, backup=backup, tell=tell, up=False)


def _change(database: Database, to: str, *, backup: Backup | None, tell: Tell, up: bool) -> Change:
    before = state(database)
    end = _target(before, to, up=up)
    saved: Path | None = None
    if backup is not None and (before.interrupted or end != (before.current or BASE)) and holds_rows(database):
        tell("Backing the database up ...")
        saved = backup(database)
    with alone(database, tell) as connection:
        before = _state(connection)  # another process may have been at work
        connection.rollback()
        way = _way(before, _target(before, end, up=up))
        if way:
            walk(connection, way, tell)
        after = _state(connection)
    if way:
        log.info("schema changed", before=before.current, now=after.current, backup=str(saved) if saved else None)
    return Change(before, after, tuple(way), saved)


def _way(before: SchemaState, end: str) -> list[Step]:
    """What was interrupted is finished first, in the direction it had."""
    if before.interrupted is None:
        return steps(before.current or BASE, end)
    return [before.interrupted, *steps(before.interrupted.end, end)]


def _target(found: SchemaState, to: str, *, up: bool) -> str:
    every = revisions()
    place = every.index(found.interrupted.end if found.interrupted else found.current or BASE)
    if to == "-1":
        to = every[max(place - 1, 0)]
    if to not in every:
        raise InvalidError(
            f"There is no revision {to}.", hint=f"There are {', '.join(every)}.", code="revision-unknown", field="to"
        )
    if (every.index(to) < place) if up else (every.index(to) > place):
        raise InvalidError(
            f"The database is at {every[place]}, which is {'beyond' if up else 'below'} {to}.",
            hint=f"Use `worklore db {'downgrade' if up else 'upgrade'}` for that.",
            code="revision-direction",
            field="to",
        )
    return to


def holds_rows(database: Database) -> bool:
    """True when there is anything to lose."""
    with database.writing.connect() as connection:
        tables = set(inspect(connection).get_table_names()) - OWN
        return any(connection.execute(select(1).select_from(called(name)).limit(1)).first() for name in tables)


def losses(database: Database, to: str) -> list[str]:
    """What a downgrade takes away, one line for each table with rows and each column with values that goes."""
    end = _target(state(database), to, up=False)
    with scratch("sqlite://") as older:
        upgrade(older, to=end)
        with older.writing.connect() as connection:
            seen: Any = inspect(connection)
            kept = {name: {column["name"] for column in seen.get_columns(name)} for name in seen.get_table_names()}
    lost: list[str] = []
    with database.writing.connect() as connection:
        seen = inspect(connection)
        for name in sorted(set(seen.get_table_names()) - OWN):
            if name not in kept:
                gone = {"rows": func.count()}
            else:
                columns = {column["name"] for column in seen.get_columns(name)} - kept[name]
                gone = {f"values of {column}": func.count(named(column)) for column in sorted(columns)}
            for what, count in gone.items():
                number = connection.execute(select(count).select_from(called(name))).scalar_one()
                lost += [f"{name}: {number} {what}"] if number else []
    return lost


def refuse_losses(lost: list[str]) -> None:
    """See that nothing would be lost.

    Raises:
        ConflictError: something would; the text says what.
    """
    if lost:
        raise ConflictError(
            f"This would lose {'; '.join(lost)}.", hint="Add --yes if that is meant.", code="rows-would-be-lost"
        )


# --- is it what it should be? ---------------------------------------------------------------------------------------


def check(database: Database) -> list[str]:
    """How a database's schema differs from what its revisions make, one line each; empty when it does not.

    The revisions are applied to a scratch database beside it, so the user must be one who may make databases.

    Raises:
        UnavailableError: the database does not answer, or no scratch database can be made.
    """
    found = state(database)
    lines = [] if found.is_current else [f"The schema is {found}."]
    lines += [f"The file of revision {name} is not the one that was applied." for name in found.edited]
    with scratch(database.url.render_as_string(hide_password=False)) as beside:
        upgrade(beside, to=found.current or BASE)
        with beside.writing.connect() as connection:
            wanted = fingerprint(connection)
    with database.writing.connect() as connection:
        return lines + differences(fingerprint(connection), wanted)
