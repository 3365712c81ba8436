"""Many at once, against a live hub on each database: nothing acknowledged is lost, nothing is done twice.

The short form runs with the suite. ``make race`` runs for longer (WORKLORE_RACE_SECONDS, WORKLORE_RACE_KEYS) and prints
what it has counted.
"""

import os
import random
import shutil
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from sqlalchemy import select

from tests.conftest import TestHub, serve, unique
from worklore.kernel.audit import AuditEntry
from worklore.kernel.idempotency import IdempotencyKey

SECONDS: Final = float(os.environ.get("WORKLORE_RACE_SECONDS", "4"))
KEYS: Final = int(os.environ.get("WORKLORE_RACE_KEYS", "50"))
WRITERS: Final = 12
ROWS: Final = 20


def together(work: Callable[[int], Any]) -> list[Any]:
    """What each of the writers has done, all at once."""
    with ThreadPoolExecutor(WRITERS) as threads:
        return list(threads.map(work, range(WRITERS)))


def told_of(text: str) -> None:
    """A figure, for those who run it with ``-s``."""
    sys.stdout.write(f"\n{text}\n")


# --- updates --------------------------------------------------------------------------------------------------------


def updates(api: httpx2.Client, keys: list[str], writer: int) -> tuple[list[tuple[str, int, str]], Counter[int]]:
    """Change random rows for a while: (row, version, value) of each acknowledged change, and how often each status.

    Every other writer says which version it read; the rest change what they find, as people may.
    """
    chance, done, statuses = random.Random(writer), list[tuple[str, int, str]](), Counter[int]()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        key, value = chance.choice(keys), uuid.uuid4().hex
        headers = {"if-match": api.get(f"/tags/{key}").headers["etag"]} if writer % 2 else {}
        answer = api.patch(f"/tags/{key}", json={"description": value}, headers=headers)
        statuses[answer.status_code] += 1
        if answer.status_code == 200:
            done.append((key, answer.json()["version"], value))
        else:
            assert (answer.status_code, answer.json()["current"]["id"]) == (412, key), answer.text
    return done, statuses


def test_every_acknowledged_update_is_there(hub: TestHub) -> None:
    api = hub.owner()
    keys = [api.post("/tags", json={"name": unique("hot")}).json()["id"] for _ in range(ROWS)]
    clients = [hub.owner() for _ in range(WRITERS)]
    outcomes = together(lambda writer: updates(clients[writer], keys, writer))
    told: dict[str, dict[int, str]] = defaultdict(dict)
    for done, _ in outcomes:
        for key, version, value in done:
            assert version not in told[key], "two callers were told the same version"
            told[key][version] = value
    statuses = sum((counted for _, counted in outcomes), Counter[int]())
    for key in keys:
        row = api.get(f"/tags/{key}").json()
        assert sorted(told[key]) == list(range(2, row["version"] + 1)), "each version was told to somebody"
        assert row["description"] == told[key].get(row["version"]), "the last one told is the one that is there"
        assert recorded(hub, key) == [told[key][version] for version in sorted(told[key])]
    assert statuses[200] == sum(len(each) for each in told.values()) >= ROWS
    told_of(
        f"{hub.dialect}: {WRITERS} writers on {ROWS} rows for {SECONDS:g} s: {statuses[200]} updates acknowledged, "
        f"all of them there; {statuses[412]} refused as stale"
    )


def recorded(hub: TestHub, key: str) -> list[str]:
    """The values a tag was given, by the audit log, in the order of its own chain from old to new."""
    changes = select(AuditEntry.changed).where(AuditEntry.record_id == uuid.UUID(key), AuditEntry.action == "update")
    with hub.database.reading.connect() as connection:
        follows = dict(row["description"] for row in connection.scalars(changes))
    chain: list[str] = []
    while (chain[-1] if chain else None) in follows:
        chain.append(follows[chain[-1] if chain else None])
    return chain


# --- once -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def second(hub: TestHub, tmp_path: Path) -> Iterator[TestHub]:
    """Another hub on the same database, with the same key; on SQLite, whose file one hub has alone, the same hub."""
    if hub.dialect == "sqlite":
        yield hub
        return
    shutil.copy(hub.hub.settings.data / "hub.key", tmp_path / "hub.key")
    yield from serve(hub.database.url, tmp_path)


def test_a_key_raced_by_twelve_callers_takes_effect_once(hub: TestHub, second: TestHub) -> None:
    token = hub.token()
    clients = [(hub, second)[number % 2].client(token) for number in range(WRITERS)]
    gate = threading.Barrier(WRITERS, timeout=60)
    keys = [(f"race-{uuid.uuid4()}", unique("once")) for _ in range(KEYS)]

    def call(caller: int) -> list[httpx2.Response]:
        answers: list[httpx2.Response] = []
        for key, name in keys:
            gate.wait()
            body = {"name": name, "type": "msp_client"}
            answers.append(clients[caller].post("/clients", json=body, headers={"idempotency-key": key}))
        return answers

    outcomes = together(call)
    statuses: Counter[str] = Counter()
    for number, (key, name) in enumerate(keys):
        answers = [answers[number] for answers in outcomes]
        made = [answer for answer in answers if answer.status_code == 201]
        fresh = [answer for answer in made if "idempotency-replayed" not in answer.headers]
        running = [answer for answer in answers if answer.status_code == 409]
        assert len(fresh) == 1, [answer.text for answer in answers]
        assert len(made) + len(running) == WRITERS, [answer.text for answer in answers]
        assert {answer.json()["code"] for answer in running} <= {"still-running"}
        [there] = hub.owner().get("/clients", params={"name": name}).json()["items"]
        assert {answer.json()["id"] for answer in made} == {there["id"]}
        assert kept(hub, key) == 1
        statuses.update(made=1, replayed=len(made) - 1, running=len(running))
    told_of(
        f"{hub.dialect}: {KEYS} keys raced by {WRITERS} callers of {1 + (second is not hub)} hubs: {statuses['made']} "
        f"took effect, once each; {statuses['replayed']} answers replayed, {statuses['running']} told to wait"
    )


def kept(hub: TestHub, key: str) -> int:
    with hub.database.reading.connect() as connection:
        return len(connection.execute(select(IdempotencyKey.key).where(IdempotencyKey.key == key)).all())
