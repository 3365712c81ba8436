"""Secrets that were planted come out where somebody asked for them, and nowhere else in any form."""

import base64
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy.engine import URL

from tests.canaries.planted import KINDS, Finder, Planter
from tests.canaries.rig import Rig
from tests.canaries.steps import STEPS

PLANTED = int(os.environ.get("WORKLORE_CANARIES", "60"))
"""Secrets, at least; `make canaries` plants a thousand on each database."""

LONG = PLANTED >= 1000

FORMS: dict[str, Callable[[str], bytes]] = {
    "raw": lambda text: text.encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 within others": lambda text: base64.urlsafe_b64encode(f"ab{text}yz".encode()),
    "base64 as PowerShell takes it": lambda text: base64.b64encode(text.encode("utf-16-le")),
    "hexadecimal": lambda text: text.encode().hex().upper().encode(),
    "percent-encoded": lambda text: quote(text, safe="").encode(),
    "percent-encoded, each character": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "JSON": lambda text: "".join(f"\\u{ord(character):04x}" for character in text if ord(character) < 65536).encode(),
    "UTF-16": lambda text: text.encode("utf-16-be"),
    "in lower case": lambda text: text.lower().encode(),
}


@pytest.fixture
def rig(schema_url: URL, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, schema_url)
    try:
        yield made
    finally:
        made.stop()


def test_the_search_finds_what_is_planted_in_each_form() -> None:
    plant = Planter()
    finder = Finder(plant.mark)
    for kind in KINDS:
        secret = plant(kind)
        for form, made in FORMS.items():
            assert list(finder.found("here", b"before " + made(secret) + b" after")), (kind, form)
    other = Planter()
    assert not list(finder.found("here", b"".join(made(other(kind)) for kind in KINDS for made in FORMS.values())))


def test_the_search_finds_a_secret_that_was_written_into_a_note(sqlite_hub: Any, tmp_path: Path) -> None:
    """The same search, on places where there is something to find: an answer, the database's file and its dump."""
    rig = Rig(tmp_path / "rig", sqlite_hub.database.url)
    rig.url, rig.token = sqlite_hub.url, sqlite_hub.token()
    for form, made in FORMS.items():
        note = made(rig.plant()).decode("latin-1").replace("\0", "")
        new = {"name": f"{rig.plant.mark[:4]} {rig.plant.made}", "type": "internal", "notes": note}
        before = len(rig.finder.hits)
        rig.api("POST", "/clients", 201, json=new)
        assert len(rig.finder.hits) > before, form
    rig.finder.hits.clear()
    rig.finder.search("dump", rig.dump())
    assert {hit.form.partition(" at ")[0] for hit in rig.finder.hits} >= {"raw", "base64", "hexadecimal"}
    rig.stop()


def test_no_planted_secret_is_found_where_it_does_not_belong(rig: Rig) -> None:
    rig.start()
    done: set[str] = set()
    steps = [step for step in STEPS if LONG or rig.dialect == "sqlite" or not step.anywhere]
    while rig.plant.made < PLANTED:
        for step in steps:
            if not (step.once and step.name in done):
                step.run(rig)
                done.add(step.name)
    assert {200, 401, 403, 404, 422, 500, 503} - {403} <= set(rig.statuses)
    rig.search_everything()
    assert rig.end(signal.SIGTERM) == 0
    rig.search_everything()
    finder = rig.finder
    figures = f"{rig.plant.made} secrets planted and {finder.known - 1} of the hub's own on {rig.dialect}; "
    figures += f"{len(rig.statuses)} requests, {finder.places} places of {finder.searched:,} bytes searched"
    sys.stdout.write(f"\n{figures}: {len(finder.hits)} found\n")
    for hit in finder.hits:
        sys.stdout.write(f"  {hit.what} in {hit.place}, {hit.form}, at {hit.offset}\n")
    assert finder.hits == [], figures
