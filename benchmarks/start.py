"""Start-up: from the command to the first answer, on the made-up provider of medium size, and what the document costs.

The floor is two seconds with every noun. The OpenAPI document is made when somebody first asks and sent from memory
after that; both times are shown.
"""

import json
import os
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.load import cpu_seconds
from benchmarks.rest import PROFILE, SEED, running
from worklore.kernel.transaction import Database
from worklore.ops import migrate
from worklore.ops.demo.load import load
from worklore.ops.demo.profile import PROFILES

FLOOR = 2.0
TIMES = 5


def run() -> dict[str, Any]:
    """Seconds of the clock and of the processor until the hub answers, medians of some starts."""
    with tempfile.TemporaryDirectory(prefix="worklore-start-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'worklore.db'}"
        database = Database(url)
        try:
            migrate.upgrade(database)
            load(database, PROFILES[PROFILE], SEED, add=False, progress=lambda *_: None)
        finally:
            database.close()
        serve = ["-m", "worklore", "serve", "--host", "127.0.0.1", "--port", "0", "--data", str(folder)]
        taken: list[tuple[float, float, float, float]] = []
        for turn in range(TIMES):
            begun = time.perf_counter()
            with running("hub", serve, url, folder / f"{turn}.ready") as app:
                get(app.port, "/healthz")
                seconds = time.perf_counter() - begun
                cpu = cpu_seconds(app.pid) or 0.0
                first, second = (get(app.port, "/api/openapi.json") for _ in range(2))
                taken.append((seconds, cpu, first, second))
    seconds, cpu, first, second = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "profile": PROFILE,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "openapi_first_ms": round(first * 1000, 1),
        "openapi_again_ms": round(second * 1000, 1),
        "floor": FLOOR,
        "holds": seconds < FLOOR,
    }


def get(port: int, path: str) -> float:
    """One request; the seconds it took."""
    begun = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        json.load(answer)
    return time.perf_counter() - begun


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    mark = "" if figures["holds"] else f", above the floor of {FLOOR} s"
    return (
        f"start to first answer {figures['seconds']} s ({figures['cpu_seconds']} s of CPU){mark}; "
        f"OpenAPI first {figures['openapi_first_ms']} ms, from memory {figures['openapi_again_ms']} ms"
    )


if __name__ == "__main__":
    os.environ.setdefault("WORKLORE_LOG_LEVEL", "warning")
    print(table(run()))
