"""`worklore db`, and a hub that meets a schema which is not its own."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from tests.migrations.test_interrupted import OLD, add_rows, opened, rows_of
from worklore.app import build
from worklore.kernel.db import database_url as understood
from worklore.kernel.errors import InvalidError, UnavailableError
from worklore.kernel.settings import Settings
from worklore.main import main
from worklore.ops import backup_note, migrate
from worklore.ops.backup import BackupType
from worklore.ops.schema_change import revisions, scripts

Run = Callable[..., tuple[int, str, str]]


def named(url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> URL:
    monkeypatch.setenv("WORKLORE_CONFIG", str(tmp_path / "none.env"))
    monkeypatch.setenv("WORKLORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("WORKLORE_DATABASE_URL", url.render_as_string(hide_password=False))
    return url


@pytest.fixture
def own(database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> URL:
    """An empty database on each server, which the settings name."""
    return named(database_url, tmp_path, monkeypatch)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> URL:
    """An empty SQLite file, for what no database changes."""
    return named(understood(f"sqlite:///{tmp_path / 'own.db'}"), tmp_path, monkeypatch)


@pytest.fixture
def db(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `worklore db`: exit code, answer, and what was said beside it."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()  # what was logged before it
        code = main(["db", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def change(url: URL, *statements: str) -> None:
    with opened(url) as database, database.writing.connect() as connection, connection.begin():
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.slow
def test_a_hub_on_an_older_schema_says_so_until_it_is_upgraded_after_a_backup(
    own: URL, dialect: str, db: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(own) as database:
        migrate.upgrade(database, to=OLD)
        with database.writing.connect() as connection, connection.begin():
            add_rows(connection)
        rows = rows_of(database)
    settings = Settings(data=tmp_path / "data")
    with pytest.raises(UnavailableError, match=f"at {OLD}, this version needs {revisions()[-1]}") as refused:
        build(settings)
    assert refused.value.code == "schema-older"
    assert "worklore db upgrade" in (refused.value.hint or "")
    if dialect != "sqlite":
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(tmp_path))
            code, _, said = db("upgrade")
        assert (code, "Install the package" in said) == (2, True), said
    assert json.loads(db("current", "--json")[1])["current"] == OLD
    build(settings, upgrade=True).close()
    with opened(own) as database:
        assert rows_of(database) == rows
        assert migrate.state(database).is_current
    (backup,) = backup_note.found(tmp_path / "data" / "backups").values()
    assert (backup.backup_type, backup.database_schema) == (BackupType.pre_migration, OLD)


def test_what_a_downgrade_would_lose_is_listed_and_kept_until_that_is_meant(file: URL, db: Run) -> None:
    assert db("upgrade")[0] == 0
    with opened(file) as database, database.writing.connect() as connection, connection.begin():
        add_rows(connection)
        connection.execute(text("UPDATE clients SET notes = 'kept'"))
    code, _, said = db("downgrade", "base")
    assert code == 2
    assert "clients: 7 rows" in said
    assert "--yes" in said
    code, told, _ = db("downgrade", OLD, "--json")
    facts = json.loads(told)
    assert (code, facts["current"], facts["lost"]) == (0, OLD, [])
    assert Path(facts["backup"]).is_file()
    assert "backup_log: 1 rows" in db("downgrade", "-1")[2], "the log of that very backup"
    code, told, said = db("downgrade", "-1", "--yes")
    assert (code, f"at {revisions()[revisions().index(OLD) - 1]}" in told) == (0, True), said
    code, told, _ = db("downgrade", "base", "--yes", "--no-backup")
    assert code == 0
    assert "Lost with it: clients: 7 rows." in told
    assert "at base" in told


def test_a_schema_that_was_changed_by_hand_is_described(file: URL, db: Run) -> None:
    assert db("upgrade")[0] == 0
    assert db("check") == (0, "The schema is the one this version makes.\n", "")
    change(
        file,
        "DROP INDEX ix_sites_client_id",
        "DROP TRIGGER trigger_sites_updated_at",
        "ALTER TABLE sites ADD COLUMN colour TEXT",
        "ALTER TABLE machines DROP COLUMN notes",
        "UPDATE schema_migrations SET checksum = 'another' WHERE version_id = '0002'",
    )
    code, told, _ = db("check", "--json")
    assert code == 1
    assert json.loads(told)["differences"] == [
        "The file of revision 0002 is not the one that was applied.",
        "machines: column notes is missing.",
        "sites: column colour is not part of the schema.",
        "sites: index ix_sites_client_id is missing.",
        "sites: trigger trigger_sites_updated_at is missing.",
    ]
    code, told, _ = db("current")
    assert code == 0
    assert "revision 0002" in told


def test_each_revision_is_noted_with_its_file_and_statements(file: URL) -> None:
    with opened(file) as database:
        migrate.upgrade(database)
        migrate.downgrade(database, "0006")
        migrate.upgrade(database, to="0007")
        with database.writing.connect() as connection:
            found = connection.execute(text("SELECT * FROM schema_migrations ORDER BY version_id")).mappings().all()
    notes = {str(row["version_id"]): dict(row) for row in found}
    assert list(notes) == list(revisions()[1:8])
    for revision, note in notes.items():
        script: Any = scripts().get_revision(revision)
        assert note["checksum"] == hashlib.sha256(Path(script.path).read_bytes()).hexdigest()
        assert note["description"] == script.doc
        assert "@" in note["applied_by"]
    assert notes["0007"]["migration_sql"].count("CREATE INDEX") == 8
    assert "schema_migrations" in notes["0005"]["migration_sql"]
    assert notes["0004"]["migration_sql"] is None, "the table came later"


def test_a_revision_that_is_unknown_or_the_wrong_way_is_refused(file: URL) -> None:
    with opened(file) as database:
        migrate.upgrade(database, to="0002")
        with pytest.raises(InvalidError, match="no revision 9999"):
            migrate.upgrade(database, to="9999")
        with pytest.raises(InvalidError, match="beyond 0001"):
            migrate.upgrade(database, to="0001")
        with pytest.raises(InvalidError, match="below 0003"):
            migrate.downgrade(database, "0003")
        assert migrate.state(database).current == "0002"


def test_a_database_of_something_else_is_left_alone(own: URL) -> None:
    change(own, "CREATE TABLE clients (name TEXT)")
    with opened(own) as database:
        with pytest.raises(UnavailableError, match="not Worklore's: it holds clients") as refused:
            migrate.upgrade(database)
        assert refused.value.code == "database-foreign"
