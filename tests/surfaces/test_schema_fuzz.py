"""A short campaign of schemathesis with all of its checks; `make fuzz` is the long one, over every operation."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TestHub, serve
from tests.fuzz.campaign import campaign, only
from worklore.kernel.db import database_url

TAGS = ("clients", "sites", "work-items", "tags")
"""Nouns of each kind: alone, with a parent, with rules between fields, for everybody. All are made alike."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[TestHub]:
    """A hub of its own: what the campaign deletes is nobody else's."""
    yield from serve(database_url(f"sqlite:///{tmp_path / 'own.db'}"), tmp_path)


def test_the_api_keeps_what_its_description_promises(own: TestHub, tmp_path: Path) -> None:
    token = own.token()
    seeded = ("--seed", "1", "--max-examples", "3", "--no-shrink")
    found = campaign(own.url, token, tmp_path / "report.json", *seeded, *only(TAGS), phases="fuzzing", seconds=12)
    assert found.failures == 0, found.output
    assert found.cases > found.operations > len(TAGS) * 5
    own.client(token).get("/me").raise_for_status()
