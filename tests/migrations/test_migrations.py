"""The schema that the migrations make: there and back, as the mapped classes say, and guarded against raw SQL."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic import command
from sqlalchemy import CheckConstraint, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from tests.conftest import unique
from worklore.clients.client import Client, ClientType
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.transaction import Database
from worklore.ops import migrate
from worklore.ops.fingerprint import Fingerprint, differences, fingerprint
from worklore.ops.schema_change import alembic_config
from worklore.vault.credential import CredentialAction, CredentialAuditLog

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


@contextmanager
def opened(url: URL) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def found(database: Database) -> Fingerprint:
    with database.writing.connect() as connection:
        return fingerprint(connection)


@pytest.mark.slow
def test_up_and_down_and_up_again_is_the_same_schema_and_that_of_the_classes(
    database_url: URL, schema_url: URL, dialect: str
) -> None:
    with opened(database_url) as database:
        migrate.upgrade(database)
        first = found(database)
        with opened(schema_url) as copy:  # what the other tests run on
            assert migrate.state(copy).is_current
            assert differences(found(copy), first) == []
        migrate.downgrade(database, "base")
        with database.writing.connect() as connection:
            left = [name for (name,) in connection.execute(text(LEFTOVERS[dialect])) if "alembic_version" not in name]
        assert left == []
        migrate.upgrade(database)
        second = found(database)
        assert differences(second, first) == []
        with database.writing.connect() as connection:
            command.check(alembic_config(connection))  # raises for a table, column, index or key that differs
        _rules_agree(second, dialect)


def _rules_agree(schema: Fingerprint, dialect: str) -> None:
    """What Alembic does not compare: check constraints by name, and a trigger for each time of change."""
    touched = {table for table in Base.metadata.tables if f"{table}: trigger trigger_{table}_updated_at" in schema}
    assert touched == {table.name for table in Base.metadata.tables.values() if "updated_at" in table.c}
    made = {part for part in schema if ": check ck_" in part}
    wanted = {
        f"{table}: check {rule.name}"
        for table in Base.metadata.tables.values()
        for rule in table.constraints
        if isinstance(rule, CheckConstraint) and (dialect == "sqlite" or "json_valid" not in str(rule.sqltext))
    }
    assert made == {name for name in wanted if ": check ck_" in name}
    assert wanted <= schema.keys()


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
