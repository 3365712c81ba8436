"""Backups and restores on each database: nothing lost, nothing torn, what is replaced is kept."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from tests.conformance.rows import Rows
from tests.conftest import TestHub, serve, unique
from tests.databases import PREFIX, drop_database, run_on_server, server_url
from tests.memory.transcripts import conversation, folder, piece
from worklore.clients.client import Client, ClientType
from worklore.identity.token import TokenKind
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.db import database_url as understood
from worklore.kernel.epoch import epoch
from worklore.kernel.errors import HubError
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow
from worklore.ops.backup import BackupLog, BackupSchedule, BackupType, VerificationStatus
from worklore.ops.backup_note import described, found, note_of
from worklore.ops.backup_schedules import make_due, thin_out
from worklore.ops.backups import check, create, make, manifest, record
from worklore.ops.digest import Facts
from worklore.ops.dump import file_facts, server_facts, sqlite_file
from worklore.ops.restore import restore
from worklore.resources import CATALOG

SECRET = b"correct horse battery"
NOUNS = ("m365-tenant", "infrastructure", "firewall-rule", "network", "service", "credential", "billable-time")
NOUNS += ("pending-task", "work-item", "command", "deployment", "operation-failure", "failure-pattern", "snippet")
"""Between them: every type of column, and texts in every alphabet."""


def facts(url: URL) -> Facts:
    return file_facts(sqlite_file(url)) if url.get_backend_name() == "sqlite" else server_facts(url)


def refusal(work: Callable[[], Any]) -> str:
    with pytest.raises(HubError) as caught:
        work()
    assert caught.value.hint or caught.value.detail == "Nothing was changed."
    return caught.value.code


@pytest.fixture
def target(dialect: str, tmp_path: Path) -> Iterator[URL]:
    """The name of a database that is not there; it, and what a restore keeps of it, is removed at the end."""
    if dialect == "sqlite":
        yield understood(f"sqlite:///{tmp_path / 'restored.db'}")
        return
    name = f"{PREFIX}{os.getpid()}_r_{unique('r')[-6:]}"
    yield server_url(dialect).set(database=name)
    listing = "SELECT datname FROM pg_database" if dialect == "postgresql" else "SHOW DATABASES"
    for (database,) in run_on_server(dialect, listing):
        if database.startswith(name):
            drop_database(dialect, database)


def add_client(database: Database, name: str) -> None:
    database.write(lambda ctx: ctx.session.add(Client(name=name, type=ClientType.internal)))


# --- the drill ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_restore_brings_back_what_was_backed_up_and_keeps_what_it_replaces(
    hub: TestHub, target: URL, tmp_path: Path, dialect: str
) -> None:
    rows, machine = Rows(hub, hub.owner()), hub.client(hub.token(kind=TokenKind.machine))
    for noun in NOUNS:
        rows.create(CATALOG.by_name[noun], full=True)
    place, session = folder(), unique("session")
    first = piece(conversation("Where is the spare switch?", "In the rack of the branch"), place, session=session)
    second = piece(conversation("And its twin?", "Sold", day=4), place, start=1000, session=session)
    known, late = {"idempotency-key": unique()}, {"idempotency-key": unique()}
    assert machine.post("/capture", json=first).status_code == 200
    kept = hub.owner().post("/clients", json={"name": unique("kept"), "type": "internal"}, headers=known).json()
    path = make(hub.database.url, tmp_path / "backups", type=BackupType.manual, encrypt=SECRET)
    lost = {"name": unique("lost"), "type": "internal"}
    assert hub.owner().post("/clients", json=lost, headers=late).status_code == 201
    assert machine.post("/capture", json=second).status_code == 200

    held = manifest(path, SECRET)
    new = restore(path, target, SECRET)
    assert (new.kept, new.tables, new.rows) == (None, len(held.tables), held.rows)
    assert sum(each.rows > 0 for each in held.tables.values()) > len(NOUNS)
    after = facts(target)
    assert {name for name in held.tables if after[name] != held.tables[name]} == {"restore_epochs"}

    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(hub.hub.settings.data / "hub.key", data)
    for served in serve(target, data):
        again, owner = served.client(token_of(machine)), served.client(token_of(hub.owner()))
        source = {name: first[name] for name in ("agent", "session", "source")}
        assert again.get("/capture", params=source).json()["offset"] == 1000
        assert again.post("/capture", json=second).json() == {"offset": 2000, "windows": 2, "duplicates": 0}
        said = again.post("/recall", json={"question": "the twin of the spare switch", "identity": place}).json()
        assert "Sold" in said["text"]
        repeated = {"name": kept["name"], "type": "internal"}
        assert owner.post("/clients", json=repeated, headers=known).json()["id"] == kept["id"]
        assert owner.post("/clients", json=lost, headers=late).status_code == 201
        assert refusal(lambda: restore(path, target, SECRET)) == "database-in-use"
    changed = facts(target)

    newer = restore(path, target, SECRET)
    assert newer.epoch != new.epoch
    assert newer.kept is not None
    kept_url = target.set(database=newer.kept)
    assert facts(kept_url) == changed
    assert rules_of(kept_url) == rules_of(target)
    with closing(Database(target)) as database, database.read(SYSTEM) as ctx:
        begun = epoch(ctx)
        assert begun is not None
        assert begun.id == newer.epoch
        assert ctx.session.query(Client).filter_by(name=lost["name"]).count() == 0


def token_of(client: httpx2.Client) -> str:
    return client.headers["authorization"].removeprefix("Bearer ")


def rules_of(url: URL) -> set[tuple[Any, ...]]:
    """Triggers and foreign keys, which a swap of tables must not lose."""
    if url.get_backend_name() != "mariadb":
        return set()
    triggers = "SELECT trigger_name, event_object_table FROM information_schema.triggers WHERE trigger_schema = :name"
    keys = "SELECT constraint_name, unique_constraint_schema = :name FROM information_schema.referential_constraints"
    found: set[tuple[Any, ...]] = set()
    with closing(Database(url)) as database, database.reading.connect() as connection:
        for listing in (triggers, f"{keys} WHERE constraint_schema = :name"):
            found |= {tuple(row) for row in connection.execute(text(listing), {"name": url.database})}
    assert len(found) > 150
    return found


# --- under writes ---------------------------------------------------------------------------------------------------


def test_a_backup_made_while_others_write_equals_the_moment_it_was_made(hub: TestHub, tmp_path: Path) -> None:
    stopping, written = threading.Event(), [0]

    def write() -> None:
        while not stopping.is_set():
            add_client(hub.database, unique("busy"))
            written[0] += 1

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        path = create(hub.database, tmp_path, type=BackupType.daily)
        during = written[0]
    finally:
        stopping.set()
        for writer in writers:
            writer.join()
    assert during > 0
    checked = check(path, hub.database.url, None)
    assert (checked.status, checked.details and checked.details.get("differences")) == ("passed", None)
    record(hub.database, tmp_path)
    with hub.database.read(SYSTEM) as ctx:
        row = ctx.session.get_one(BackupLog, described(path).id)
        assert row.verification_status is VerificationStatus.passed
        assert (row.file_path, row.file_size_bytes) == (str(path), path.stat().st_size)
        assert row.backup_method == {"sqlite": "sqlite-backup", "mariadb": "mariadb-dump"}.get(hub.dialect, "pg_dump")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    assert {file.name for file in tmp_path.iterdir()} == {path.name, note_of(path).name}


# --- schedules ------------------------------------------------------------------------------------------------------


def test_a_schedule_is_carried_out_once_after_a_pause_and_old_backups_go(sqlite_hub: TestHub, tmp_path: Path) -> None:
    database, owner = sqlite_hub.database, sqlite_hub.owner()
    asked = {"backup_type": "weekly", "cron_expression": "*/5 * * * *", "retention_count": 2}
    schedule = owner.post("/backup-schedules", json=asked).json()
    assert utcnow().isoformat() < schedule["next_run_at"] < (utcnow() + timedelta(minutes=6)).isoformat()

    def overdue(ctx: Context) -> None:
        row = ctx.session.get_one(BackupSchedule, schedule["id"])
        row.next_run_at = utcnow() - timedelta(days=3)

    def run() -> None:
        make_due(database, {}, folder=tmp_path, key_file=None)

    run()
    assert found(tmp_path) == {}
    passed: list[Path] = []
    for _ in range(4):
        database.write(overdue)
        run()
        run()
        passed = list(found(tmp_path))
    assert len(passed) == 2
    assert {each.status for each in found(tmp_path).values()} == {VerificationStatus.passed}
    now = owner.get(f"/backup-schedules/{schedule['id']}").json()
    assert now["next_run_at"] > utcnow().isoformat()
    assert now["last_backup_id"] == str(described(passed[0]).id)
    log = owner.get("/backup-log", params={"backup_type": "weekly", "sort": "backup_started_at"}).json()["items"]
    mine = [row for row in log if Path(row["file_path"]).is_relative_to(tmp_path)]
    assert [(Path(row["file_path"]).exists(), "file_deleted_at" in row["verification_details"]) for row in mine] == [
        (False, True),
        (False, True),
        (True, False),
        (True, False),
    ]


def test_the_last_backup_that_passed_is_never_thinned_out(sqlite_hub: TestHub, tmp_path: Path) -> None:
    good = create(sqlite_hub.database, tmp_path, type=BackupType.monthly, verify=True)
    unverified = [create(sqlite_hub.database, tmp_path, type=BackupType.monthly) for _ in range(2)]
    before = [create(sqlite_hub.database, tmp_path, type=BackupType.pre_migration) for _ in range(2)]
    assert thin_out(sqlite_hub.database, tmp_path, BackupType.monthly, 1) == unverified[:1]
    assert thin_out(sqlite_hub.database, tmp_path, BackupType.pre_migration, 1) == []
    assert set(found(tmp_path)) == {good, unverified[1], *before}
