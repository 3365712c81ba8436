"""Tests written once and run over the whole catalogue: every noun, on every database."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.conformance.rows import Rows
from worklore.kernel.resource import Resource, Verb
from worklore.resources import RESOURCES


def can(*verbs: Verb) -> list[Resource]:
    return [resource for resource in RESOURCES if set(verbs) <= resource.verbs]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`noun` is every resource; `creatable`, `changeable` and `removable` those offered for it."""
    wanted = {
        "noun": [],
        "creatable": [Verb.create],
        "changeable": [Verb.create, Verb.patch],
        "removable": [Verb.delete],
    }
    for name, verbs in wanted.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, can(*verbs), ids=lambda resource: resource.name)


@pytest.fixture(scope="session")
def rows_on() -> Callable[[Any], Rows]:
    """The records of this process on a hub, with the parents they share."""
    made: dict[str, Rows] = {}

    def on(hub: Any) -> Rows:
        if hub.dialect not in made:
            made[hub.dialect] = Rows(hub, hub.owner())
        return made[hub.dialect]

    return on


@pytest.fixture(scope="session")
def rows(hub: Any, rows_on: Callable[[Any], Rows]) -> Rows:
    return rows_on(hub)


@pytest.fixture(scope="session")
def sqlite_rows(sqlite_hub: Any, rows_on: Callable[[Any], Rows]) -> Rows:
    """Records on SQLite alone, for what no database can change."""
    return rows_on(sqlite_hub)


@pytest.fixture(scope="session")
def sqlite_api(sqlite_rows: Rows) -> httpx2.Client:
    return sqlite_rows.api


@pytest.fixture(scope="session")
def equal_rows(every_hub: dict[str, Any]) -> list[Rows]:
    """On each database, records that are equal to those on the others, for they come from the same seed."""
    # Who signs a record is named by the host, which can be the same everywhere, and a token's hint cannot.
    return [Rows(hub, hub.client(hub.token(host="equal")), fixed="equal") for hub in every_hub.values()]
