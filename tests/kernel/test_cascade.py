"""A full client deleted with all that hangs from it: what goes, what is let go, and the record of both, row by row."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column, Enum, ForeignKey, Integer, LargeBinary, Table, func, inspect, select
from sqlalchemy.orm import Mapper

from tests.conformance.rows import Rows
from tests.conftest import TestHub
from tests.kernel.test_concurrency import told_of
from worklore.kernel.audit import AuditEntry, Tombstone
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.types import Id, Json, UtcDateTime, utcnow
from worklore.memory.window import Kind, MemoryWindow
from worklore.resources import CATALOG, RESOURCES

HELD_BACK: Final = {
    ("billable_time", "client_id"): "what was billed keeps its client",
    ("sessions", "client_id"): "as does the work that was done",
    ("user_clients", "client_id"): "a person's limits are lifted by hand, or that person would see every client",
    ("credential_audit_log", "credential_id"): "who touched a secret stays on record",
}
"""Keys that hold their parent back: a client with such rows is retired, not deleted."""

NEVER_NAMED: Final = {
    ("sessions", "project_id"): "a session of the client's project is the client's own, and holds it back",
}
"""Keys that let go and that no row here bears, and why."""

Key = tuple[Any, ...]


def keys_at(table: str) -> Iterator[tuple[Table[Any], ForeignKey]]:
    for each in Base.metadata.sorted_tables:
        for key in sorted(each.foreign_keys, key=lambda key: key.parent.key):
            if key.column.table.description == table:
                yield each, key


def mapper_of(table: str) -> Mapper[Any]:
    return next(mapper for mapper in Base.registry.mappers if mapper.local_table.description == table)


def tables_that_go() -> list[str]:
    """Every table that goes with a client, by the foreign keys alone."""
    found = ["clients"]
    for table in found:
        found += [
            each.description
            for each, key in keys_at(table)
            if key.ondelete == "CASCADE" and each.description not in found
        ]
    return found


# --- a full client --------------------------------------------------------------------------------------------------


def filled(hub: TestHub) -> Rows:
    """A client with rows in every table that may go with it, and rows of others that name some of those."""
    rows = Rows(hub, hub.owner())
    # Work that was done holds its client back: records here name work that was done for nobody.
    session = dict.fromkeys(("client_id", "project_id"))
    rows._parents["session"] = [rows.create(CATALOG.by_name["session"], id=rows.key(), **session)["id"]]
    going = tables_that_go()
    named = {each.description for table in going for each, _ in keys_at(table)}
    for resource in RESOURCES:
        if resource.table.description in (named | {*going}) - {"clients"} - {table for table, _ in HELD_BACK}:
            # A full state of a project names a session of the client, and that would hold it back.
            rows.create(resource, full=resource.name != "project-state")
    for table in going:
        if table not in CATALOG.by_table:
            plant(rows, table)
    return rows


ONE_OF_SEVERAL = {"pattern_evidence": {"failure_id": None}}
"""Of what a row may name, what it does not: it names one."""


def plant(rows: Rows, table: str) -> Any:
    """A row of a table that no noun stands for; its first primary key."""
    values: dict[str, Any] = {}
    for column in Base.metadata.tables[table].columns:
        for key in column.foreign_keys:
            parent = CATALOG.by_table.get(key.column.table.description)
            named = plant(rows, key.column.table.description) if parent is None else rows.parent(parent)
            values[column.key] = uuid.UUID(str(named)) if parent is not None else named
        if not (column.foreign_keys or column.nullable or column.default is not None):
            values[column.key] = made(rows, column)
    values |= ONE_OF_SEVERAL.get(table, {})
    record = mapper_of(table).class_(**values)

    def work(ctx: Context) -> Any:
        ctx.session.add(record)
        ctx.session.flush()
        return next(iter(inspect(record).identity or ()))

    return rows.hub.database.write(work)


def made(rows: Rows, column: Column[Any]) -> Any:
    match column.type:
        case UtcDateTime():
            return utcnow()
        case Integer():
            return 0
        case LargeBinary():
            return b"x"
        case Id():
            return uuid.UUID(rows.key())
        case Json():
            return {}
        case Enum():
            return column.type.python_type(column.type.enums[0])
        case _:
            return rows.word()


# --- what should happen, by the foreign keys alone ------------------------------------------------------------------


@dataclass
class Fate:
    """What a delete takes with it: primary keys by table, and the columns of other rows that are emptied.

    Of what goes, ``derived`` are rows that the hub made from another record: memory's windows of work records.
    """

    goes: dict[str, set[Key]] = field(default_factory=dict)
    let_go: set[tuple[str, str, Key]] = field(default_factory=set)
    derived: set[Key] = field(default_factory=set)

    def by_itself(self, table: str) -> set[Key]:
        """What goes of a table and was made from no other record."""
        keys = self.goes[table] - (self.derived if table == MemoryWindow.__tablename__ else set())
        return set() if mapper_of(table).class_.derived else keys


def fate(hub: TestHub, client: str) -> Fate:
    found = Fate({"clients": {(uuid.UUID(client),)}})
    waiting = [("clients", (uuid.UUID(client),))]
    named: set[tuple[str, str, Key]] = set()
    with hub.database.reading.connect() as connection:
        while waiting:
            table, gone = waiting.pop()
            for each, key in keys_at(table):
                rows = connection.execute(select(*each.primary_key.columns).where(key.parent == gone[0])).all()
                for row in map(tuple, rows):
                    assert key.ondelete in {"CASCADE", "SET NULL"}, f"{each.description}.{key.parent.key} holds back"
                    if key.ondelete == "SET NULL":
                        named.add((each.description, key.parent.key, row))
                    elif row not in found.goes.setdefault(each.description, set()):
                        found.goes[each.description].add(row)
                        waiting.append((each.description, row))
        made = connection.execute(select(MemoryWindow.id).where(MemoryWindow.kind != Kind.turn))
        found.derived = found.goes.get(MemoryWindow.__tablename__, set()) & set(map(tuple, made))
    found.let_go = {(table, column, row) for table, column, row in named if row not in found.goes.get(table, set())}
    return found


def counted(hub: TestHub) -> dict[str, int]:
    with hub.database.reading.connect() as connection:
        return {
            table.description: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
            if table.description not in {"audit_log", "tombstones", "jobs", "events", "sequences", "api_audit_log"}
        }


# --- the test -------------------------------------------------------------------------------------------------------


def test_a_full_client_goes_with_all_that_hangs_from_it(hub: TestHub) -> None:
    rows = filled(hub)
    expected, before = fate(hub, rows.client), counted(hub)
    assert expected.goes.keys() == {*tables_that_go()}, "a client full of all"
    named = {(table, column) for table, column, _ in expected.let_go}
    assert named >= letting_go() - NEVER_NAMED.keys()
    assert not named & NEVER_NAMED.keys(), "no exemption is stale"

    route, marked = f"/clients/{rows.client}", {"x-request-id": str(uuid.uuid4())}
    shown = rows.api.delete(f"{route}?cascade=true&dry_run=true")
    assert shown.status_code == 200, shown.text
    assert Counter((each["noun"], each["id"]) for each in shown.json()["would_delete"]) == nouns(expected)
    assert (fate(hub, rows.client), counted(hub)) == (expected, before), "a dry run changes nothing"

    answer = rows.api.delete(f"{route}?cascade=true", headers=marked)
    assert answer.status_code == 204, answer.text
    gone = {table: len(keys) for table, keys in expected.goes.items()}
    assert counted(hub) == {table: count - gone.get(table, 0) for table, count in before.items()}
    check_record(hub, uuid.UUID(marked["x-request-id"]), expected)
    check_rows(hub, expected)
    told_of(
        f"{hub.dialect}: {sum(gone.values())} rows of {len(gone)} tables went with a client, "
        f"{len(expected.let_go)} others let them go"
    )


def letting_go() -> set[tuple[str, str]]:
    """The keys of tables that stay which are emptied when what they name goes."""
    going = tables_that_go()
    return {
        (each.description, key.parent.key)
        for table in going
        for each, key in keys_at(table)
        if key.ondelete == "SET NULL" and each.description not in going
    }


def nouns(expected: Fate) -> Counter[tuple[str, str]]:
    """What a dry run lists: all that goes but what the hub made from another record."""
    listed: Counter[tuple[str, str]] = Counter()
    for table in expected.goes:
        noun = CATALOG.by_table[table].name if table in CATALOG.by_table else table
        single = "id" in Base.metadata.tables[table].c
        listed.update((noun, str(key[0]) if single else "") for key in expected.by_itself(table))
    return listed


def check_record(hub: TestHub, request: uuid.UUID, expected: Fate) -> None:
    """Audit rows and tombstones equal what went, and what was let go is recorded as changed."""
    kept = {table: expected.by_itself(table) for table in expected.goes if mapper_of(table).class_.audited}
    deleted = Counter(
        (table, key[0] if "id" in Base.metadata.tables[table].c else None)
        for table, keys in kept.items()
        for key in keys
    )
    with hub.database.reading.connect() as connection:
        entries = connection.execute(
            select(AuditEntry.action, AuditEntry.table_name, AuditEntry.record_id, AuditEntry.changed).where(
                AuditEntry.request_id == request
            )
        ).all()
        told = Counter((entry.table_name, entry.record_id) for entry in entries if entry.action == "delete")
        assert told == deleted
        ids = [key for _, key in deleted if key is not None]
        stones = connection.execute(
            select(Tombstone.table_name, Tombstone.record_id).where(Tombstone.record_id.in_(ids))
        ).all()
        assert Counter(map(tuple, stones)) == Counter({row: 1 for row in deleted if row[1] is not None})
    changed = {
        (entry.table_name, column, (entry.record_id,))
        for entry in entries
        if entry.action == "update"
        for column, (_, new) in entry.changed.items()
        if new is None
    }
    assert {each for each in expected.let_go if mapper_of(each[0]).class_.audited} <= changed


def check_rows(hub: TestHub, expected: Fate) -> None:
    """No row is left of what went, and what was let go is there without the key."""
    with hub.database.reading.connect() as connection:
        for table, keys in expected.goes.items():
            there = connection.execute(select(*Base.metadata.tables[table].primary_key.columns))
            assert not keys & set(map(tuple, there)), table
        for table, column, key in expected.let_go:
            columns = Base.metadata.tables[table].columns
            assert connection.execute(select(columns[column]).where(columns.id == key[0])).all() == [(None,)], (
                table,
                column,
            )
