"""The schema that the migrations make: there and back, as the mapped classes say, and guarded against raw SQL."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic import command
from sqlalchemy import CheckConstraint, Connection, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from tests.conftest import unique
from worklore.clients.client import Client, ClientType
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.transaction import Database
from worklore.ops import migrate
from worklore.vault.credential import CredentialAction, CredentialAuditLog

TRIGGERS = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(t.oid) || prosrc "
    "FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal",
    "mariadb": "SELECT event_object_table, trigger_name, CONCAT(action_timing, event_manipulation, action_statement) "
    "FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
}
LEFTOVERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'",
    "postgresql": "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL "
    "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL "
    "SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace",
    "mariadb": "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() UNION ALL "
    "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() UNION ALL "
    "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
}
"""Whatever a database may hold: tables, indexes, sequences, routines, types, triggers."""


def triggers(connection: Connection, dialect: str) -> list[tuple[str, str, str]]:
    return sorted((row[0], row[1], row[2]) for row in connection.execute(text(TRIGGERS[dialect])))


def fingerprint(connection: Connection, dialect: str) -> dict[str, Any]:
    seen = inspect(connection)
    made: dict[str, Any] = {"triggers": triggers(connection, dialect)}
    for table in sorted(seen.get_table_names()):
        made[table] = {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"], str(column["default"]))
                for column in seen.get_columns(table)
            ],
            "key": seen.get_pk_constraint(table),
            "indexes": sorted(
                (str(index["name"]), tuple(map(str, index["column_names"])), bool(index["unique"]))
                for index in seen.get_indexes(table)
            ),
            "unique": sorted((str(rule["name"]), rule["column_names"]) for rule in seen.get_unique_constraints(table)),
            "foreign keys": sorted(
                (str(key["name"]), key["constrained_columns"], key["referred_table"], str(key["options"]))
                for key in seen.get_foreign_keys(table)
            ),
            "checks": sorted((str(rule["name"]), rule["sqltext"]) for rule in seen.get_check_constraints(table)),
        }
    return made


@contextmanager
def opened(url: URL) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


@pytest.mark.slow
def test_up_and_down_and_up_again_is_the_same_schema_and_that_of_the_classes(database_url: URL, dialect: str) -> None:
    with opened(database_url) as database:
        migrate.upgrade(database)
        with database.writing.connect() as connection:
            first = fingerprint(connection, dialect)
        with database.writing.connect() as connection, connection.begin():
            command.downgrade(migrate.alembic_config(connection), "base")
        with database.writing.connect() as connection:
            left = [name for (name,) in connection.execute(text(LEFTOVERS[dialect])) if "alembic_version" not in name]
        assert left == []
        migrate.upgrade(database)
        with database.writing.connect() as connection:
            second = fingerprint(connection, dialect)
            assert first.keys() == second.keys()
            for name, made in first.items():
                assert made == second[name], name
            command.check(migrate.alembic_config(connection))  # raises for a table, column, index or key that differs
        _rules_agree(second, dialect)


def _rules_agree(schema: dict[str, Any], dialect: str) -> None:
    """What Alembic does not compare: check constraints by name, and a trigger for each time of change."""
    touched = {table for table, name, _ in schema["triggers"] if name == f"trigger_{table}_updated_at"}
    assert touched == {table.name for table in Base.metadata.tables.values() if "updated_at" in table.c}
    for table in Base.metadata.tables.values():
        wanted = {
            str(rule.name)
            for rule in table.constraints
            if isinstance(rule, CheckConstraint) and (dialect == "sqlite" or "json_valid" not in str(rule.sqltext))
        }
        made = {name for name, _ in schema[table.name]["checks"]}
        assert wanted - made == set(), table.name
        assert {name for name in made - wanted if name.startswith("ck_")} == set(), table.name


def test_the_time_of_change_moves_when_raw_sql_changes_a_row(database: Database) -> None:
    def make(ctx: Context) -> uuid.UUID:
        client = Client(name=unique("client"), type=ClientType.internal)
        ctx.session.add(client)
        ctx.session.flush()
        return client.id

    def change(ctx: Context) -> None:
        raw = text("UPDATE clients SET notes = 'by hand' WHERE name = :name")
        ctx.session.connection().execute(raw, {"name": before.name})

    key = database.write(make)
    with database.reading.connect() as connection:
        before = connection.execute(Client.__table__.select().where(Client.__table__.c.id == key)).one()
    time.sleep(0.01)
    database.write(change)
    with database.reading.connect() as connection:
        after = connection.execute(Client.__table__.select().where(Client.__table__.c.id == key)).one()
    assert after.notes == "by hand"
    assert 0 < (after.updated_at - before.updated_at).total_seconds() < 60
    assert after.created_at == before.created_at


@pytest.mark.parametrize("table", ["audit_log", "credential_audit_log"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET action = action", "DELETE FROM {}"], ids=["update", "delete"])
def test_the_logs_take_no_change_and_no_deletion(database: Database, table: str, statement: str) -> None:
    def note(ctx: Context) -> None:
        ctx.session.add(CredentialAuditLog(action=CredentialAction.use, user_id=unique("user")))
        ctx.session.add(Client(name=unique("client"), type=ClientType.internal))

    def count() -> int:
        with database.reading.connect() as connection:
            return connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one()

    database.write(note)
    before = count()
    assert before > 0
    with pytest.raises(DBAPIError, match=f"{table} is append-only"):
        database.write(lambda ctx: ctx.session.connection().execute(text(statement.format(table))))
    assert count() == before
