"""A change of the schema that is killed, doubled or refused ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.operations import Operations
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database
from worklore.kernel.types import iso, utcnow
from worklore.ops import migrate
from worklore.ops.fingerprint import Fingerprint, differences, fingerprint
from worklore.ops.schema_change import Step, revisions

KILLS = int(os.environ.get("WORKLORE_MIGRATION_KILLS", "3"))
OLD = "0005" if KILLS <= 3 else "0001"
"""Where the changes that are killed begin; the longer form makes every step that has rows before it."""
ROWS = 7


@contextmanager
def opened(url: URL) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def add_rows(connection: Connection) -> None:
    """Clients, by SQL that fits any revision."""
    now = iso(utcnow()) if connection.dialect.name == "sqlite" else utcnow().replace(tzinfo=None)
    statement = text(
        "INSERT INTO clients (id, name, type, is_active, created_at, updated_at) "
        "VALUES (:id, :name, 'internal', true, :now, :now)"
    )
    rows = [{"id": str(uuid.uuid4()), "name": f"client-{number}", "now": now} for number in range(ROWS)]
    connection.execute(statement, rows)


def rows_of(database: Database) -> list[tuple[Any, ...]]:
    with database.writing.connect() as connection:
        found = connection.execute(text("SELECT id, name, created_at, updated_at FROM clients ORDER BY name"))
        return [tuple(row) for row in found]


def fingerprint_of(database: Database) -> Fingerprint:
    with database.writing.connect() as connection:
        return fingerprint(connection)


def start(url: URL, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`worklore db ...` as a process of its own; its lines of progress come on standard error."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WORKLORE_")}
    settings = {
        "WORKLORE_CONFIG": str(folder / "none.env"),
        "WORKLORE_DATA": str(folder),
        "WORKLORE_DATABASE_URL": url.render_as_string(hide_password=False),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "worklore", "db", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | settings,
    )


def kill_within(process: subprocess.Popen[str], step: int, seconds: float) -> bool:
    """SIGKILL a process so long after it began a step; False when it had ended by itself."""
    assert process.stderr is not None
    seen = 0
    for line in process.stderr:
        seen += " to " in line
        if seen == step:
            break
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_any_moment_up_or_down_it_goes_on_where_it_was(database_url: URL, tmp_path: Path) -> None:
    with opened(database_url) as database:
        migrate.upgrade(database)
        wanted = fingerprint_of(database)
        migrate.downgrade(database, OLD)
        with database.writing.connect() as connection, connection.begin():
            add_rows(connection)
        rows = rows_of(database)
    killed = 0
    for turn in range(KILLS):
        # Each run starts where the last was cut off, so it begins the step that was cut off first.
        task = ("downgrade", OLD, "--yes") if turn % 3 == 2 else ("upgrade",)
        process = start(database_url, tmp_path, *task, "--no-backup")
        killed += kill_within(process, random.randint(1, 3), random.uniform(0, 0.2))
    ended = start(database_url, tmp_path, "upgrade", "--no-backup")
    told, errors = ended.communicate(timeout=120)
    assert ended.returncode == 0, errors
    assert "up to date" in told
    assert killed > 0, "every process had ended before it was killed; nothing was tested"
    with opened(database_url) as database:
        assert differences(fingerprint_of(database), wanted) == []
        assert migrate.state(database).is_current
        assert rows_of(database) == rows
        with database.writing.connect() as connection:
            history = connection.execute(text("SELECT version_id FROM schema_migrations ORDER BY 1")).scalars().all()
    assert [str(one) for one in history] == sorted(revisions()[1:])


class BrokenError(Exception):
    """Made up: what ends a step in the middle."""


def test_a_step_that_fails_is_undone_or_marked_and_made_again(
    database_url: URL, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(database_url) as database:
        migrate.upgrade(database, to="0006")
        before = fingerprint_of(database)
        with breaking(monkeypatch, "create_index"), pytest.raises(BrokenError):
            migrate.upgrade(database, to="0007")
        expect_left(database, before, Step("0006", "0007") if dialect == "mariadb" else None)
        migrate.upgrade(database, to="0007")
        above = fingerprint_of(database)
        with breaking(monkeypatch, "drop_index"), pytest.raises(BrokenError):
            migrate.downgrade(database, "0006")
        expect_left(database, above, Step("0007", "0006") if dialect == "mariadb" else None)
        migrate.downgrade(database, "0006")
        assert differences(fingerprint_of(database), before) == []
        assert migrate.state(database) == migrate.SchemaState("0006", revisions()[-1])


@contextmanager
def breaking(monkeypatch: pytest.MonkeyPatch, method: str) -> Iterator[None]:
    """Revision 0007 ends in its middle, where it makes or drops one of its indexes."""
    real = getattr(Operations, method)

    def broken(self: Operations, name: Any, *arguments: Any, **options: Any) -> Any:
        if "security_incidents_service_id" in name:
            raise BrokenError
        return real(self, name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Operations, method, broken)
        yield


def expect_left(database: Database, before: Fingerprint, step: Step | None) -> None:
    """Either all is as before, or the step is marked and a hub does not start."""
    found = migrate.state(database)
    assert found.interrupted == step
    assert (differences(fingerprint_of(database), before) == []) is (step is None)
    with pytest.raises(UnavailableError) as refused:
        migrate.require(database)
    assert refused.value.code == ("schema-older" if step is None else "schema-interrupted")
    assert "worklore db upgrade" in (refused.value.hint or "")


@pytest.mark.slow
def test_of_two_upgrades_at_once_one_waits(database_url: URL, dialect: str, tmp_path: Path) -> None:
    if dialect == "sqlite":
        return  # the second is refused by the lock file, as a second hub is
    processes = [start(database_url, tmp_path, "upgrade", "--json") for _ in range(2)]
    ends = [(*process.communicate(timeout=180), process.returncode) for process in processes]
    made = [json.loads(told)["steps"] for told, *_ in ends]
    assert [code for *_, code in ends] == [0, 0], ends
    assert sorted(len(steps) for steps in made) == [0, len(revisions()) - 1]
    with opened(database_url) as database:
        assert migrate.check(database) == []
