"""Every rule of every table, broken through the API: the answer names field, value and rule, never the database."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2
import pytest
from sqlalchemy import CheckConstraint
from sqlalchemy.dialects import sqlite

from tests.conformance.rows import Rows
from tests.conftest import TestHub
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import iso
from worklore.kernel.wire import wire
from worklore.resources import CATALOG, RESOURCES

NOBODY: Final = "019a0000-0000-7000-8000-000000000001"

DATABASES_OWN: Final = re.compile(
    r"constraint[ `]|violates|integrityerror|sqlstate|pymysql|psycopg|sqlite|relation \"|detail:|ck_|fk_|uq_",
    re.IGNORECASE,
)
"""Words of databases and drivers."""

NOT_REACHED: Final = {
    ("task", "config"): "a body is JSON, so the text of its members is too",
    ("workflow", "definition"): "as the settings of a task",
}
"""Checks that no request can break, and why."""

BESIDE: Final = {("gate", "step"): {"work_item_id": None}}
"""What a record must say too, so that this check is the one it breaks."""

ANOTHER_FIELD: Final = {
    ("problem-solution", "client_id"): "session_id",  # a solution is its session's client's, and must name one
    ("workflow-run", "workflow_id"): "spec_version",  # it has no such published version
}
"""Keys whose refusal names another field: the one that contradicts them."""

LATE: Final = frozenset({"workflow-run"})
"""Nouns whose record is prepared by what its keys name: a broken key is put in afterwards."""


@pytest.fixture(scope="session")
def rows_on() -> Callable[[TestHub], Rows]:
    made: dict[str, Rows] = {}
    return lambda hub: made.setdefault(hub.dialect, Rows(hub, hub.owner()))


@pytest.fixture
def rows(hub: TestHub, rows_on: Callable[[TestHub], Rows]) -> Rows:
    return rows_on(hub)


@pytest.fixture
def sqlite_rows(sqlite_hub: TestHub, rows_on: Callable[[TestHub], Rows]) -> Rows:
    return rows_on(sqlite_hub)


# --- which rules there are ------------------------------------------------------------------------------------------


def settable(resource: Resource) -> set[str]:
    """Fields that a request can set."""
    schemas = wire(resource)
    made = set(schemas.create.model_fields) if Verb.create in resource.verbs else set[str]()
    return made | (set(schemas.patch.model_fields) if Verb.patch in resource.verbs else set())


def expression(check: CheckConstraint) -> str:
    text = str(check.sqltext.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    return text.replace(f"{check.table.description}.", "")


def fields_of(check: CheckConstraint) -> list[str]:
    return [word for word in dict.fromkeys(re.findall(r"\w+", expression(check))) if word in check.table.c]


def is_choice(check: CheckConstraint) -> bool:
    return len(fields_of(check)) == 1 and expression(check).startswith(f"{fields_of(check)[0]} IN (")


def short(check: CheckConstraint) -> str:
    return str(check.name).removeprefix(f"ck_{check.table.description}_")


def checks(*, at_the_edge: bool) -> list[tuple[Resource, CheckConstraint]]:
    """Those that a request can break: choices are refused before a database is asked, all others by a rule or by it."""
    return [
        (resource, check)
        for resource in RESOURCES
        for check in sorted(resource.table.constraints, key=lambda each: str(each.name))
        if isinstance(check, CheckConstraint) and set(fields_of(check)) <= settable(resource)
        if is_choice(check) == at_the_edge and (resource.name, short(check)) not in NOT_REACHED
    ]


def formed() -> list[tuple[Resource, str]]:
    return [
        (resource, column.name)
        for resource in RESOURCES
        for column in resource.table.columns
        if "form" in column.info and column.name in settable(resource)
    ]


def keys() -> list[tuple[Resource, str]]:
    return [
        (resource, column.name)
        for resource in RESOURCES
        for column in resource.table.columns
        if column.foreign_keys and column.name in settable(resource)
    ]


OF_NO_FORM: Final = {
    "ip": ("192.0.2", "192.0.2.256", "192.0.2.0/24", "2001:db8:::1", "host", ""),
    "cidr": ("192.0.2.0", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "any"),
    "mac": ("00:00:5e:00:53", "00:00:5e:00:53:zz", "00005e0053", ""),
    "email": ("somebody", "somebody@", "@example.com", "two words@example.com", "a@b@example.com"),
    "url": ("example.com", "https://", "mailto:somebody@example.com", "https://[2001:db8::/", ""),
    "hostname": ("-srv.example.com", "srv..example.com", "srv 01", "srv/01", ""),
    "commit": ("0" * 39, "0" * 41, "G" * 40, "A" * 40, ""),
    "quarter": ("2026-Q5", "2026-Q0", "26-Q1", "2026Q1", "Q1-2026"),
    "cron": ("* * * *", "60 * * * *", "every day", "* * 32 * *", ""),
    "port": (0, -1, 65_536, "ssh", 1.5),
}
"""Values of each form that are none."""


# --- values that break them -----------------------------------------------------------------------------------------


def breaking(rows: Rows, resource: Resource, check: CheckConstraint) -> Iterator[dict[str, Any]]:
    """Fields that break a check, one way after the other."""
    text, fields = expression(check), fields_of(check)
    first = fields[0]
    if is_choice(check):
        yield {first: "no-such-choice"}
    elif found := re.fullmatch(r"\w+ BETWEEN (\d+) AND (\d+)", text):
        yield {first: int(found[1]) - 1}
        yield {first: int(found[2]) + 1}
    elif found := re.fullmatch(r"\w+ (>=|>) (\d+)", text):
        low = int(found[2]) - (found[1] == ">=")
        yield {first: f"{low}.00" if "rate" in first or "amount" in first else low}
    elif text == "end_time >= start_time":
        start = datetime.fromisoformat("2026-03-01T08:00:00+00:00")
        yield {"start_time": iso(start), "end_time": iso(start - timedelta(microseconds=1))}
    elif " <> " in text and "NULL" not in text:
        one = rows.parent(CATALOG.by_table[next(iter(resource.table.c[first].foreign_keys)).column.table.description])
        yield dict.fromkeys(fields, one)
    elif "NULL" in text:
        both = {name: rows.value(resource.table.c[name]) for name in fields}
        if "<>" in text:
            yield both
            yield dict.fromkeys(fields, None)
        else:
            yield {first: both[first], fields[1]: None}
    elif text.startswith("LENGTH"):
        yield {first: "not of the form"}
    else:
        raise AssertionError(f"no way to break {text}")


def asked(rows: Rows, resource: Resource, fields: dict[str, Any]) -> Iterator[tuple[str, httpx2.Response]]:
    """The answers to a new record with these fields, and to a change of one."""
    schemas = wire(resource)
    if Verb.create in resource.verbs and fields.keys() <= schemas.create.model_fields.keys():
        early = {} if resource.name in LATE else fields
        body = rows.body(resource, full=False, **early) | fields
        yield "POST", rows.api.post(f"/{resource.plural}", json=body)
    if Verb.patch in resource.verbs and fields.keys() <= schemas.patch.model_fields.keys():
        record = rows.create(resource)
        yield "PATCH", rows.api.patch(f"/{resource.plural}/{record['id']}", json=fields)


def refused(answer: httpx2.Response, fields: dict[str, Any], about: object) -> dict[str, Any]:
    assert answer.status_code == 422, (about, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["field"] in fields, (about, told)
    assert told["value"] == fields[told["field"]], (about, told)
    assert len(told["rule"]) > 3, (about, told)
    assert not DATABASES_OWN.search(answer.text), (about, told)
    return told


# --- tests ----------------------------------------------------------------------------------------------------------


def broken(rows: Rows, resource: Resource, check: CheckConstraint) -> None:
    ways = 0
    beside = BESIDE.get((resource.name, short(check)), {})
    for fields in breaking(rows, resource, check):
        for method, answer in asked(rows, resource, fields | beside):
            refused(answer, fields, (method, resource.name, expression(check), fields))
            ways += 1
    assert ways


@pytest.mark.parametrize(("resource", "check"), checks(at_the_edge=False), ids=lambda each: getattr(each, "name", None))
def test_a_broken_check_is_told_by_field_value_and_rule(rows: Rows, resource: Resource, check: CheckConstraint) -> None:
    broken(rows, resource, check)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_a_choice_that_there_is_not_is_told_with_those_there_are(sqlite_rows: Rows, resource: Resource) -> None:
    """No database is asked."""
    for known, check in checks(at_the_edge=True):
        if known is resource:
            broken(sqlite_rows, resource, check)


@pytest.mark.parametrize(("resource", "name"), formed(), ids=lambda each: getattr(each, "name", each))
def test_a_text_of_another_form_is_told_with_the_form(sqlite_rows: Rows, resource: Resource, name: str) -> None:
    form = resource.table.c[name].info["form"]
    for value in OF_NO_FORM[form]:
        for method, answer in asked(sqlite_rows, resource, {name: value}):
            refused(answer, {name: value}, (method, resource.name, name, form, value))


@pytest.mark.parametrize(("resource", "name"), keys(), ids=lambda each: getattr(each, "name", each))
def test_a_key_that_names_no_record_is_told_by_field_value_and_rule(rows: Rows, resource: Resource, name: str) -> None:
    [key] = resource.table.c[name].foreign_keys
    parent = CATALOG.by_table[key.column.table.description]
    ways = 0
    for method, answer in asked(rows, resource, {name: NOBODY}):
        if (resource.name, name) in ANOTHER_FIELD:
            assert (answer.status_code, answer.json()["field"]) == (422, ANOTHER_FIELD[resource.name, name])
        else:
            told = refused(answer, {name: NOBODY}, (method, resource.name, name))
            assert parent.name in told["rule"], (method, told)
        ways += 1
    assert ways


def test_no_exemption_is_stale() -> None:
    known = {
        (resource.name, short(check))
        for resource in RESOURCES
        for check in resource.table.constraints
        if isinstance(check, CheckConstraint) and set(fields_of(check)) <= settable(resource)
    }
    assert NOT_REACHED.keys() | BESIDE.keys() <= known
    assert ANOTHER_FIELD.keys() <= {(resource.name, name) for resource, name in keys()}
    assert CATALOG.by_name.keys() >= LATE
    assert OF_NO_FORM.keys() == {resource.table.c[name].info["form"] for resource, name in formed()}
