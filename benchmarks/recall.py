"""How fast recall answers as memory grows: 10,000, 100,000 and a million windows, beside a bare FTS5 query.

The windows are made up from a seed: words of a vocabulary that is used as unevenly as people's (Zipf's law), sessions
of fifty turns, and vectors of random directions, so the figures say nothing of what is found. Recall is asked as the
API asks it, ranking, reading and packing within a read of the database; FTS5 holds the same texts in a file of its own
and is asked for the ten best of the same questions by OR, in turn with it.
"""

import argparse
import json
import os
import random
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert

from benchmarks.rest import SERVERS, two_databases
from worklore.clients.client import Client, ClientType
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.sequence import take
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow, uuid7
from worklore.memory import recollection as remembered
from worklore.memory.embed import DIMENSIONS, MODEL
from worklore.memory.recall import search
from worklore.memory.recollection import Scope, recollection
from worklore.memory.units import unit_terms
from worklore.memory.vector import MemoryVector
from worklore.memory.window import SEQUENCE, MemoryWindow, Role
from worklore.ops import migrate
from worklore.work.project import Project
from worklore.work.session import WorkSession

SIZES = (10_000, 100_000, 1_000_000)
GOALS = {100_000: 50.0, 1_000_000: 150.0}
VOCABULARY = 60_000
WORDS = 24
TURNS = 50
TOKENS = 24
"""Tokens of a window, each with a vector."""
BATCH = 20_000
QUESTIONS = 60
BUDGET = 700


class Text:
    """Words as unevenly used as people's, from a seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "il")]
        self.words = ["".join(self._chance.choices(syllables, k=3)) + str(n % 7) for n in range(VOCABULARY)]
        weights = 1 / np.arange(2, VOCABULARY + 2)
        self._numbers = np.random.default_rng(seed)
        self._shares = weights / weights.sum()

    def sentences(self, count: int, words: int) -> Iterator[str]:
        for row in self._numbers.choice(VOCABULARY, (count, words), p=self._shares):
            yield " ".join(self.words[number] for number in row)

    def question(self) -> str:
        """Two common words, two that are rarer, and one that is rare."""
        picked = [
            self._chance.randrange(low, high)
            for low, high in ((5, 200), (5, 200), (500, 5_000), (500, 5_000), (9_000, 50_000))
        ]
        return " ".join(self.words[number] for number in picked)


def owner(ctx: Context, projects: int) -> list[Scope]:
    client = Client(id=uuid7(), name="Benchmark", type=ClientType.project)
    ctx.session.add(client)
    ctx.session.flush()
    made = [Project(id=uuid7(), client_id=client.id, name=f"p{number}") for number in range(projects)]
    ctx.session.add_all(made)
    ctx.session.flush()
    return [Scope(project.id, client.id) for project in made]


def fill(ctx: Context, scope: Scope, texts: list[str], numbers: np.random.Generator) -> None:
    """A batch of windows with their vectors."""
    now, rows, vectors = utcnow(), [], []
    pooled = numbers.standard_normal((len(texts), DIMENSIONS)).astype(np.float32)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    tokens = numbers.integers(-40, 40, (len(texts), TOKENS, DIMENSIONS), dtype=np.int8)
    session: WorkSession | None = None
    for place, (text, seq) in enumerate(zip(texts, take(ctx, SEQUENCE, len(texts)), strict=True)):
        if place % TURNS == 0:
            session = WorkSession(id=uuid7(), client_id=scope.client, project_id=scope.project, session_title="s")
            ctx.session.add(session)
        assert session is not None
        key = uuid7()
        role = Role.user if place % 2 else Role.assistant
        rows.append(
            {
                "id": key,
                "seq": seq,
                "session_id": session.id,
                "project_id": scope.project,
                "client_id": scope.client,
                "source_uuid": key.hex,
                "ordinal": place % TURNS,
                "part": 0,
                "parts": 1,
                "role": role,
                "author": "somebody",
                "said_at": now,
                "text": text,
                "tokens": " ".join(unit_terms(text, author="somebody", role=role.value)),
                "token_count": 2 * WORDS,
                "trust": "transcript",
                "version": 1,
                "created_at": now,
            }
        )
        vectors.append(
            {
                "window_id": key,
                "seq": seq,
                "model": MODEL,
                "pooled": pooled[place].astype(np.float16).tobytes(),
                "tokens": tokens[place].tobytes(),
            }
        )
    ctx.session.flush()
    ctx.session.connection().execute(insert(MemoryWindow), rows)
    ctx.session.connection().execute(insert(MemoryVector), vectors)


def grown(database: Database, scopes: list[Scope], plain: sqlite3.Connection, more: int, text: Text) -> None:
    """So many more windows, spread over the scopes, in the database and in the bare index."""
    numbers = np.random.default_rng(more)
    left = more
    while left:
        size = min(BATCH, left)
        texts = list(text.sentences(size, WORDS))
        share = -(-size // len(scopes))
        for place, scope in enumerate(scopes):
            some = texts[place * share : (place + 1) * share]
            if some:
                database.write(partial(fill, scope=scope, texts=some, numbers=numbers))
        with plain:
            plain.executemany("INSERT INTO said (text) VALUES (?)", [(each,) for each in texts])
        left -= size


def asked(database: Database, scope: Scope, plain: sqlite3.Connection, text: Text) -> dict[str, Any]:
    """Milliseconds of recall and of a bare FTS5 query over the same texts, in turn."""
    ours, theirs = [], []
    for _ in range(QUESTIONS):
        question = text.question()
        begun = time.perf_counter()
        with database.read(SYSTEM) as ctx:
            search(ctx, scope, question, budget=BUDGET).packed(BUDGET)
        ours.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        plain.execute(
            "SELECT rowid FROM said WHERE said MATCH ? ORDER BY rank LIMIT 10", (" OR ".join(question.split()),)
        ).fetchall()
        theirs.append(time.perf_counter() - begun)
    cut = [statistics.quantiles(each, n=20) for each in (ours, theirs)]
    return {
        "p50_ms": 1000 * statistics.median(ours),
        "p95_ms": 1000 * cut[0][-1],
        "fts5_p50_ms": 1000 * statistics.median(theirs),
        "fts5_p95_ms": 1000 * cut[1][-1],
        "ratio": statistics.median(ours) / statistics.median(theirs),
    }


def memory() -> float:
    """Megabytes this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def run_on(where: str, sizes: tuple[int, ...] = SIZES, projects: int = 1) -> list[dict[str, Any]]:
    """The figures of one database at each size: windows are added, and the index is read anew each time."""
    remembered.MAX_UNITS = max(remembered.MAX_UNITS, 2 * max(sizes))
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, two_databases(where, Path(folder)) as (url, _):
        database, text = Database(url), Text(7)
        migrate.upgrade(database)
        plain = sqlite3.connect(Path(folder) / "fts.db")
        plain.execute("CREATE VIRTUAL TABLE said USING fts5(text)")
        try:
            scopes, held = database.write(partial(owner, projects=projects)), 0
            for size in sizes:
                grown(database, scopes, plain, size - held, text)
                held = size
                database.renew_statistics()
                with database.read(SYSTEM) as ctx:
                    ctx.derived.pop("recollection", None)
                    before, begun = memory(), time.perf_counter()
                    recollection(ctx).rank(ctx, scopes[0], text.question(), now=ctx.now(), limit=10)
                    build = time.perf_counter() - begun
                row = {"database": database.dialect, "windows": size, "projects": projects, "build_s": build}
                row |= {"index_mb": memory() - before} | asked(database, scopes[0], plain, text)
                goal = GOALS.get(size)
                found.append(row | {"holds": goal is None or projects > 1 or row["p95_ms"] <= goal})
                print(line(found[-1]), flush=True)
        finally:
            plain.close()
            database.close()
    return found


def run(sizes: tuple[int, ...] = SIZES[:2]) -> dict[str, Any]:
    """All databases with one project, and one with five hundred; the million, which takes ten minutes, by itself."""
    places = ["sqlite", *(os.environ.get(name) or url for name, url in SERVERS.values())]
    rows = [row for where in places for row in run_on(where, sizes)]
    rows += run_on("sqlite", sizes[:2], projects=500)
    return {"rows": rows, "holds": all(row["holds"] for row in rows if row["database"] != "mariadb")}


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['database']:<11}{row['windows']:>10,}{row['projects']:>9}{row['build_s']:>9.1f}{row['index_mb']:>9.0f}"
        f"{row['p50_ms']:>9.1f}{row['p95_ms']:>9.1f}{row['fts5_p50_ms']:>9.1f}{row['fts5_p95_ms']:>9.1f}{row['ratio']:>7.2f}"
    )


HEADING = (
    f"{'database':<11}{'windows':>10}{'projects':>9}{'build s':>9}{'MB':>9}{'p50 ms':>9}{'p95 ms':>9}"
    f"{'FTS5 p50':>9}{'p95':>9}{'ratio':>7}"
)


def table(figures: dict[str, Any]) -> str:
    """The figures, one line for each database and size."""
    return "\n".join([HEADING, *(line(row) for row in figures["rows"])])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--on", default="sqlite", help="sqlite, or the URL of a server")
    parser.add_argument("--projects", type=int, default=1)
    given = parser.parse_args()
    print(HEADING)
    print(json.dumps(run_on(given.on, tuple(given.sizes), given.projects)))
