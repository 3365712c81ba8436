"""What others feel of a flood of sign-ins: a plain GET while 200 passwords are tried on 200 accounts, and without.

Each failure costs the hub an Argon2id hash of 19 MiB, for unknown accounts too; at most four are made at once. Somebody
reads record after record over one connection; beside it a few others send the sign-ins as fast as they are answered.
Rounds are interleaved with quiet ones of the same length, so that what else the machine does strikes both alike. Each
round has a hub of its own, since 200 failures are what one address may have in a quarter of an hour.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.load import Load
from benchmarks.rest import App, Rows, measured, prepare, running

SIGN_INS = 200
CALLERS = 16
ROUNDS = 3
AIM = 2.0
"""The p99 of a GET during the flood is to be at most this many times that of a quiet time."""


class Flood(threading.Thread):
    """One of those who try passwords."""

    def __init__(self, port: int, numbers: list[int]) -> None:
        super().__init__(daemon=True)
        self._port, self._numbers = port, numbers
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        for number in self._numbers:
            body = json.dumps({"email": f"somebody-{number}@example.com", "password": f"a guess of {number}"})
            connection.request("POST", "/api/v1/auth/sign-in", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            self.answers[answer.status] += 1
        connection.close()


def flood(app: App) -> tuple[list[Flood], float]:
    """All of them, under way, and when they began."""
    callers = [Flood(app.port, list(range(place, SIGN_INS, CALLERS))) for place in range(CALLERS)]
    for caller in callers:
        caller.start()
    return callers, time.perf_counter()


def reading(app: App, rows: Rows, seconds: float) -> dict[str, Any]:
    """The figures of one who reads."""
    return measured(Load(app.port, app.pid, "get", rows.token, rows.ids[:500], rows.parent, False, 1, seconds))


def one_round(app: App, rows: Rows, seconds: float) -> dict[str, Any]:
    """A quiet time and a flood on one hub."""
    reading(app, rows, 1)
    quiet = reading(app, rows, seconds)
    callers, began = flood(app)
    loud = reading(app, rows, seconds)
    for caller in callers:
        caller.join()
    taken = time.perf_counter() - began
    answers = sum((caller.answers for caller in callers), Counter[int]())
    if set(answers) - {401, 429}:
        raise RuntimeError(f"sign-ins were answered {dict(answers)}")
    return {"quiet": quiet["ms"], "flood": loud["ms"], "sign_ins": dict(answers), "flood_seconds": round(taken, 1)}


def run(*, rounds: int = ROUNDS, seconds: float = 5.0) -> dict[str, Any]:
    """The figures of all rounds, and the medians of the ratios."""
    results: list[dict[str, Any]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="worklore-bench-") as name:
            folder = Path(name)
            url = f"sqlite:///{folder / 'hub.db'}"
            rows = prepare([url], folder / "hub.key")
            command = ["-m", "worklore", "serve", "--host", "127.0.0.1", "--port", "0", "--data", str(folder)]
            with running("hub", command, url, folder / "ready") as app:
                results.append(one_round(app, rows, seconds))
    ratios = {
        share: round(statistics.median(each["flood"][share] / each["quiet"][share] for each in results), 2)
        for share in ("p50", "p95", "p99")
    }
    return {"aim": AIM, "holds": ratios["p99"] <= AIM, "ratios": ratios, "results": results}


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'a GET, ms':12}{'p50':>8}{'p95':>8}{'p99':>8}   sign-ins"]
    for each in figures["results"]:
        for what in ("quiet", "flood"):
            line = f"{what:12}" + "".join(f"{each[what][share]:>8.2f}" for share in ("p50", "p95", "p99"))
            lines.append(line + (f"   {each['sign_ins']} in {each['flood_seconds']} s" if what == "flood" else ""))
    lines.append(f"{'ratio':12}" + "".join(f"{ratio:>8.2f}" for ratio in figures["ratios"].values()))
    return "\n".join(lines)


def main() -> int:
    """Run it alone: `python -m benchmarks.stuffing --rounds 1`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    figures = run(rounds=options.rounds, seconds=options.seconds)
    print(table(figures))
    return 0 if figures["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
