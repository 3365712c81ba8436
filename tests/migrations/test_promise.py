"""The schema as its users were promised it: read from the databases themselves, not from the classes."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.orm import configure_mappers

from tests.migrations.promise import ADDED, BASE, RECALL, RENAMED, RUNS, TRACKING
from worklore.kernel.db import Base
from worklore.kernel.transaction import Database
from worklore.ops.fingerprint import fingerprint

PROMISED = {**BASE, **RECALL, **TRACKING, **RUNS, **ADDED}
ORCHESTRATOR = ("sessions", "tasks", "workflows", "workflow_tasks", "tool_executions", "configurations")
RELATED = {
    "Client": "projects sessions pending_tasks sites infrastructure networks m365_tenants credentials",
    "Project": "client sessions pending_tasks work_items",
    "WorkSession": "client project machine work_items deployments database_changes",
    "Machine": "sessions",
    "Infrastructure": "client site deployments database_changes infrastructure_changes",
    "WorkItem": "session project parent children",
    "PendingTask": "client project work_item",
    "Task": "parent_task sub_tasks session",
    "BillableTime": "work_item session client",
    "Site": "client infrastructure networks",
    "Service": "infrastructure deployments",
    "Credential": "client service infrastructure",
    "Deployment": "work_item session infrastructure service",
}


@pytest.fixture
def schema(database: Database) -> Iterator[Any]:
    with database.reading.connect() as connection:
        yield inspect(connection)


def names(rows: list[Any]) -> set[str]:
    return {row["name"] for row in rows}


def plain_indexes(schema: Any, table: str) -> list[Any]:
    """Without those that only stand for a uniqueness or, on MariaDB, were made for a foreign key."""
    return [
        index
        for index in schema.get_indexes(table)
        if not index["unique"] and str(index["name"]).startswith(f"ix_{table}_")
    ]


def named_checks(schema: Any, table: str) -> list[Any]:
    """Without MariaDB's own, which see that JSON is JSON."""
    return [rule for rule in schema.get_check_constraints(table) if str(rule["name"]).startswith(f"ck_{table}_")]


def test_every_promised_table_and_column_is_there(schema: Any) -> None:
    assert PROMISED.keys() - set(schema.get_table_names()) == set()
    for table, columns in PROMISED.items():
        wanted = {RENAMED.get((table, column), column) for column in columns.split()}
        assert wanted - names(schema.get_columns(table)) == set(), table
    assert all(column in PROMISED[table].split() for table, column in RENAMED), "a departure from nothing"


def test_the_figures_of_the_record_of_work(schema: Any) -> None:
    keys = {table: schema.get_pk_constraint(table)["constrained_columns"] for table in BASE}
    columns = {table: names(schema.get_columns(table)) for table in BASE}
    foreign = {table: len(schema.get_foreign_keys(table)) for table in BASE}
    indexes = {table: len(plain_indexes(schema, table)) for table in BASE}
    checks = {table: len(named_checks(schema, table)) for table in BASE}
    assert len(BASE) == 38
    assert len(BASE) + len(RECALL) == 43
    assert sum(key == ["id"] for key in keys.values()) == 34
    assert sum({"created_at", "updated_at"} <= found for found in columns.values()) == 19
    for figures, at_least, tables in ((foreign, 67, 31), (indexes, 110, 37), (checks, 35, 21)):
        assert sum(figures.values()) >= at_least, figures
        assert sum(figure > 0 for figure in figures.values()) >= tables, figures


def test_the_figures_of_what_is_run(schema: Any, database: Database) -> None:
    assert sum(bool(schema.get_pk_constraint(table)["constrained_columns"]) for table in ORCHESTRATOR) == 6
    cascades = [key for key in schema.get_foreign_keys("workflow_tasks") if key["options"].get("ondelete") == "CASCADE"]
    promised = {"workflow_id", "task_id"}
    assert promised <= {column for key in cascades for column in key["constrained_columns"]}
    with database.reading.connect() as connection:
        parts = fingerprint(connection)
    for table in ("tasks", "workflows", "sessions", "configurations"):
        assert f"{table}: trigger trigger_{table}_updated_at" in parts
    assert sum(len(plain_indexes(schema, table)) for table in ORCHESTRATOR) >= 22
    assert sum(len(named_checks(schema, table)) for table in ORCHESTRATOR) >= 11
    defaults = [column["default"] for table in ORCHESTRATOR for column in schema.get_columns(table)]
    # MariaDB says NULL where a column may be empty and has no default.
    assert sum(default is not None and default != "NULL" for default in defaults) >= 16


def test_every_foreign_key_has_an_index_that_begins_with_it(schema: Any) -> None:
    lacking: list[str] = []
    for table in schema.get_table_names():
        unique = [rule["column_names"] for rule in schema.get_unique_constraints(table)]
        begins = [
            *(index["column_names"] for index in schema.get_indexes(table) if not index["name"].startswith("fk_")),
            schema.get_pk_constraint(table)["constrained_columns"],
            *unique,
        ]
        for key in schema.get_foreign_keys(table):
            columns = key["constrained_columns"]
            if not any(index[: len(columns)] == columns for index in begins):
                lacking.append(f"{table}.{columns}")
    assert lacking == []


def test_the_classes_are_related_as_promised() -> None:
    configure_mappers()
    found = {mapper.class_.__name__: set(mapper.relationships.keys()) for mapper in Base.registry.mappers}
    for name, relations in RELATED.items():
        assert set(relations.split()) - found[name] == set(), name
    assert len(RELATED) >= 13
    assert sum(len(relations.split()) for relations in RELATED.values()) >= 41
