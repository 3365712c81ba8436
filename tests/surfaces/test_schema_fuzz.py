"""A short campaign of schemathesis with all of its checks; `make fuzz` is the long one, over every operation."""

from pathlib import Path

from tests.conftest import TestHub
from tests.fuzz.campaign import campaign, only

TAGS = ("clients", "sites", "work-items", "tags")
"""Nouns of each kind: alone, with a parent, with rules between fields, for everybody. All are made alike."""


def test_the_api_keeps_what_its_description_promises(sqlite_hub: TestHub, tmp_path: Path) -> None:
    token = sqlite_hub.token()
    seeded = ("--seed", "1", "--max-examples", "3", "--no-shrink")
    found = campaign(
        sqlite_hub.url, token, tmp_path / "report.json", *seeded, *only(TAGS), phases="fuzzing", seconds=12
    )
    assert found.failures == 0, found.output
    assert found.cases > found.operations > len(TAGS) * 5
    sqlite_hub.client(token).get("/me").raise_for_status()
