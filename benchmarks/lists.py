"""Lists at scale: the same lists over 1,000 and over 100,000 rows, on each database, as a ratio of p50 from one run.

Two hubs on databases of their own hold commands of the made-up provider, one a thousand, the other a hundred thousand.
Each list is asked of both in turn, many times. A list counts no rows unless asked to, so its cost must not grow with
the table.
"""

import json
import os
import statistics
import tempfile
import time
import urllib.request
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.rest import App, running, servers, two_databases
from worklore.identity.keys import load_key
from worklore.identity.setup import first_user
from worklore.identity.token import access_token
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.ops import migrate
from worklore.trail.command import CommandRun
from worklore.work.session import WorkSession

SIZES = (1_000, 100_000)
SESSIONS = 50
LIMIT = 2.0
"""A list over the larger table takes at most this many times as long."""

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
ROUNDS = 60


def fill(url: str, key_file: Path, size: int) -> tuple[str, str]:
    """A database with so many commands; a token and the id of a session that has 20 of them."""
    database = Database(url)
    try:
        migrate.upgrade(database)

        def work(ctx: Context) -> tuple[str, str]:
            user = first_user(ctx)
            sessions = [
                WorkSession(id=uuid7(), session_date=START.date(), session_title=f"Work {number}")
                for number in range(SESSIONS)
            ]
            ctx.session.add_all(sessions)
            ctx.session.flush()
            small = sessions[-1].id
            ids = [uuid7() for _ in range(size)]
            for begin in range(0, size, 5000):
                rows = [_command(place, ids[place], sessions) for place in range(begin, min(size, begin + 5000))]
                ctx.session.execute(unaudited(insert(CommandRun), "rows of a benchmark"), rows)
            return access_token(load_key(key_file, create=True), user, timedelta(hours=1)), str(small)

        known = database.write(work)
        database.renew_statistics()  # as the hub does once a day
    finally:
        database.close()
    return known


def _command(place: int, key: uuid.UUID, sessions: list[WorkSession]) -> dict[str, Any]:
    few = place % (SIZES[0] // 20) == 0 and place < SIZES[0]
    return {
        "id": key,
        "session_id": sessions[-1].id if few else sessions[place % (SESSIONS - 1)].id,
        "command_text": f"systemctl restart unit-{place}",
        "host": f"srv-{place % 40}",
        "shell_type": "bash",
        "success": place % 10 != 0,
        "exit_code": 0,
        "executed_at": START + timedelta(seconds=place),
    }


def lists(session: str) -> dict[str, str]:
    """The lists that are asked for, by what they are."""
    middle = START + timedelta(seconds=SIZES[0] - 100)
    return {
        "first page": "/commands",
        "of one session": f"/commands?session_id={session}",
        "failed ones": "/commands?success=false",
        "newest first": "/commands?sort=-id&limit=50",
        "of a host": "/commands?host=srv-7",
        "found by a word": "/commands?q=restart",
        "with fields chosen": "/commands?fields=id,command_text&limit=50",
        "a page by number": "/commands?offset=500&limit=50",
        "executed lately": f"/commands?executed_at__gte={middle.isoformat().replace('+00:00', 'Z')}&limit=50",
    }


def ask(app: App, path: str, token: str) -> float:
    """One list; the seconds it took."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{app.port}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}
    )
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=30) as answer:
        page = json.load(answer)
    seconds = time.perf_counter() - begun
    if not page["items"]:
        raise RuntimeError(f"{path} finds nothing")
    return seconds


def run_on(where: str) -> list[dict[str, Any]]:
    """Each list on both sizes of one database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worklore-lists-")))
        urls = stack.enter_context(two_databases(where, folder))
        apps: list[App] = []
        asked: list[tuple[str, str]] = []
        for size, url in zip(SIZES, urls, strict=True):
            data = folder / str(size)
            data.mkdir()
            asked.append(fill(url, data / "hub.key", size))
            serve = ["-m", "worklore", "serve", "--host", "127.0.0.1", "--port", "0", "--data", str(data)]
            apps.append(stack.enter_context(running(str(size), serve, url, folder / f"{size}.ready")))
        results: list[dict[str, Any]] = []
        for name in lists(""):
            times: list[list[float]] = [[], []]
            for turn in range(ROUNDS):
                for place in (0, 1) if turn % 2 else (1, 0):
                    token, session = asked[place]
                    times[place].append(ask(apps[place], lists(session)[name], token))
            few, many = (statistics.median(taken[5:]) * 1000 for taken in times)
            ratio = round(many / few, 2)
            results.append(
                {"list": name, "ms": [round(few, 2), round(many, 2)], "ratio": ratio, "holds": ratio <= LIMIT}
            )
        return results


def run() -> dict[str, Any]:
    """The figures by database."""
    databases = {name: run_on(where) for name, where in servers().items()}
    holds = all(figures["holds"] for results in databases.values() for figures in results)
    return {"sizes": SIZES, "limit": LIMIT, "holds": holds, "databases": databases}


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'database':12}{'list':20}{'1,000 rows ms':>15}{'100,000 rows ms':>17}{'ratio':>8}"]
    for database, results in figures["databases"].items():
        for result in results:
            few, many = result["ms"]
            mark = "" if result["holds"] else f" above {LIMIT}"
            lines.append(f"{database:12}{result['list']:20}{few:>15.2f}{many:>17.2f}{result['ratio']:>8.2f}{mark}")
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("WORKLORE_LOG_LEVEL", "warning")
    print(table(run()))
