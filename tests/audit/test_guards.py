"""What the databases themselves refuse: by triggers, and to a user who has no right to it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from tests.audit.test_witness import touch
from tests.conftest import TestHub, serve, unique
from tests.databases import Templates, drop_database, run_on_server
from worklore.kernel.audit import Tombstone, micros
from worklore.kernel.context import Context
from worklore.kernel.nodes import AuditCheckpoint, AuditCut
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow, uuid7
from worklore.ops.api_audit import ApiAuditEntry
from worklore.ops.audit_grants import RIGHTS, statements

GUARDED = ("audit_log", "credential_audit_log", "audit_cuts", "audit_checkpoints", "api_audit_log", "tombstones")
DAY = timedelta(days=1)


def rows(age: timedelta) -> list[tuple[Any, dict[str, Any]]]:
    """A row of that age in each table that forgets, and one in the table that never does."""
    then = utcnow() - age
    heads = {"heads": {}, "records": 0, "root": "0" * 64, "epoch": uuid7()}
    signed = {"at": micros(then), "key_id": "k", "signature": b"x"}
    cut = {"chain": unique("chain"), "seq": 1, "mac": "0" * 64, "records": 1, "export_sha256": "0" * 64}
    return [
        (AuditCheckpoint, {**signed, **heads}),
        (ApiAuditEntry, {"user_id": "x", "endpoint": "/", "timestamp": then}),
        (Tombstone, {"table_name": "tags", "record_id": uuid7(), "deleted_at": then}),
        (AuditCut, {**signed, **cut}),
    ]


def fill(ctx: Context, age: timedelta) -> dict[str, Any]:
    ids: dict[str, Any] = {}
    for model, row in rows(age):
        ids[model.__tablename__] = uuid7()
        ctx.session.connection().execute(insert(model), [row | {"id": ids[model.__tablename__]}])
    return ids


def refused(database: Database, statement: Any, table: str) -> None:
    with database.writing.connect() as connection, pytest.raises(DBAPIError, match=f"{table} is append-only"):
        connection.execute(statement)


@pytest.mark.parametrize("table", GUARDED)
def test_no_row_of_the_audit_is_changed_or_taken_away(database: Database, table: str) -> None:
    database.write(partial(touch, count=1))
    young, old = (database.write(partial(fill, age=age)) for age in (timedelta(0), 40 * DAY))
    refused(database, text(f"UPDATE {table} SET id = id"), table)
    refused(database, text(f"DELETE FROM {table}"), table)
    if database.dialect == "postgresql":
        refused(database, text(f"TRUNCATE {table} CASCADE"), table)
    if table in young:
        of: Any = next(model.__table__ for model, _ in rows(DAY) if model.__tablename__ == table)
        refused(database, of.delete().where(of.c.id == young[table]), table)
        refused(database, of.update().where(of.c.id == old[table]).values(id=uuid7()), table)
        if table == "audit_cuts":
            refused(database, of.delete().where(of.c.id == old[table]), table)
            return
        with database.writing.begin() as connection:
            assert connection.execute(of.delete().where(of.c.id == old[table])).rowcount == 1


# --- a user with no more rights than it needs -----------------------------------------------------------------------


@contextmanager
def a_user(dialect: str, url: URL) -> Iterator[tuple[str, URL]]:
    """A user of the server, as its database quotes it, and the URL to come in by."""
    name, password = f"worklore_hub_{secrets.token_hex(4)}", secrets.token_hex(16)
    user = name if dialect == "postgresql" else f"'{name}'@'%'"
    made = f"ROLE {name} LOGIN PASSWORD" if dialect == "postgresql" else f"USER {user} IDENTIFIED BY"
    run_on_server(dialect, f"CREATE {made} '{password}'")
    try:
        yield user, url.set(username=name, password=password)
    finally:
        if dialect == "postgresql":
            owner = Database(url)
            with owner.writing.begin() as connection:
                connection.execute(text(f"DROP OWNED BY {name}"))
            owner.close()
        run_on_server(dialect, f"DROP {'ROLE' if dialect == 'postgresql' else 'USER'} {user}")


def test_with_the_rights_that_are_documented_a_hub_works_and_cannot_change_its_audit(
    dialect: str, templates: Templates, tmp_path: Path
) -> None:
    if dialect == "sqlite":  # it has no users; its file has an owner
        file = tmp_path / "hub.db"
        Database(f"sqlite:///{file}").close()
        assert file.stat().st_mode & 0o077 == 0
        return
    url = templates.copied(dialect, tmp_path)
    try:
        owner = Database(url)
        with a_user(dialect, url) as (user, theirs):
            with owner.writing.begin() as connection:
                tables = inspect(connection).get_table_names()
                for statement in statements(dialect, tables, user):
                    connection.execute(text(statement))
            assert RIGHTS.keys() <= {*tables}
            owner.close()
            with contextmanager(serve)(theirs, tmp_path) as hub:
                works(hub)
                for table in GUARDED:
                    denied(hub.database, f"UPDATE {table} SET id = id")
                for table in ("audit_log", "credential_audit_log", "audit_cuts"):
                    denied(hub.database, f"DELETE FROM {table}")
                for table in GUARDED:
                    denied(hub.database, f"TRUNCATE TABLE {table}")
                denied(hub.database, "DROP TABLE audit_log")
                after = " ON audit_log" if dialect == "postgresql" else ""
                denied(hub.database, f"DROP TRIGGER trigger_audit_log_no_delete{after}")
    finally:
        drop_database(dialect, url.database or "")


def works(hub: TestHub) -> None:
    """What a hub writes from its start to its end."""
    api = hub.owner()
    made = api.post("/clients", json={"name": unique("client"), "type": "internal"}).json()
    assert api.patch(f"/clients/{made['id']}", json={"notes": "x"}).status_code == 200
    assert api.delete(f"/clients/{made['id']}").status_code == 204
    body = {"credential_type": "password", "service_name": "x", "password": "planted"}
    stored = api.post("/credentials/store", json=body).json()
    assert api.post(f"/credentials/{stored['id']}/reveal", json={"reason": "a test"}).status_code == 200
    hub.hub.requests.move()
    hub.hub.witness.testify()
    with hub.database.reading.connect() as connection:
        assert connection.execute(select(ApiAuditEntry.id).where(ApiAuditEntry.batch.is_not(None))).first() is not None


def denied(database: Database, statement: str) -> None:
    with database.writing.connect() as connection, pytest.raises(DBAPIError, match=r"denied|must be owner") as refusal:
        connection.execute(text(statement))
    assert "append-only" not in str(refusal.value)
