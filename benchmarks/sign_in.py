"""Sign-ins: how many a second, how long each takes, and what a storm of them does to everybody else.

python -m benchmarks.sign_in

A hub in a process of its own, on SQLite. A sign-in is one Argon2id hash (19 MiB, OWASP's minimum) and one unit of work;
four hash at once and the others wait. For the storm, 16 callers sign in without a pause while one reads a client; what
counts is how much longer its median read takes than when nobody signs in.
"""

import http.client
import json
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.rest import running
from worklore.clients.client import Client, ClientType
from worklore.identity.keys import load_key
from worklore.identity.password import hash_password
from worklore.identity.setup import first_user
from worklore.identity.token import access_token
from worklore.kernel.context import Context
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.ops import migrate

PASSWORD = "correct horse battery"
SECONDS = 8.0
ROUNDS = 3
STORM = 16


class Caller:
    """One connection that stays open."""

    def __init__(self, port: int, token: str = "") -> None:
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> float:
        """Milliseconds of one request."""
        begun = time.perf_counter()
        self._link.request(method, f"/api/v1{path}", json.dumps(body) if body else None, self._headers)
        answer = self._link.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {text[:300]!r}")
        return (time.perf_counter() - begun) * 1000


def prepare(folder: Path) -> tuple[str, str, str]:
    """A database with an owner who has a password and a client: the owner's address, a token, the client's path."""
    key = load_key(folder / "hub.key", create=True)
    hashed = hash_password(PASSWORD)
    database = Database(f"sqlite:///{folder / 'worklore.db'}")

    def fill(ctx: Context) -> tuple[str, str, str]:
        user = first_user(ctx)
        user.password_hash = hashed
        client = Client(id=uuid7(), name="Example Bakery", type=ClientType.msp_client)
        ctx.session.add(client)
        return user.email, access_token(key, user, timedelta(hours=1)), f"/clients/{client.id}"

    try:
        migrate.upgrade(database)
        return database.write(fill)
    finally:
        database.close()


def sign_ins(port: int, email: str, callers: int, seconds: float) -> tuple[float, list[float]]:
    """Sign-ins a second by so many callers, and the milliseconds of each."""
    begun = time.perf_counter()

    def call(_: int) -> list[float]:
        caller, times = Caller(port), list[float]()
        while time.perf_counter() - begun < seconds:
            times.append(caller.ask("POST", "/auth/sign-in", {"email": email, "password": PASSWORD}))
        return times

    with ThreadPoolExecutor(callers) as pool:
        times = [each for some in pool.map(call, range(callers)) for each in some]
    return len(times) / (time.perf_counter() - begun), times


def reads(caller: Caller, path: str, seconds: float) -> list[float]:
    """Milliseconds of each read of one record, a hundred a second at most, so that reading itself is no storm."""
    times, ends = list[float](), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        times.append(caller.ask("GET", path))
        time.sleep(0.01)
    return times


def run() -> dict[str, Any]:
    """The figures: medians of some rounds, quiet and storm right after one another."""
    with tempfile.TemporaryDirectory(prefix="worklore-sign-in-") as name:
        folder = Path(name)
        email, token, path = prepare(folder)
        serve = ["-m", "worklore", "serve", "--host", "127.0.0.1", "--port", "0", "--data", str(folder)]
        figures: dict[str, Any] = {}
        with running("hub", serve, f"sqlite:///{folder / 'worklore.db'}", folder / "ready") as app:
            for callers in (1, 8):
                rate, times = sign_ins(app.port, email, callers, SECONDS)
                p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[18]
                told = {"per_second": round(rate, 1), "p50_ms": round(p50, 1), "p95_ms": round(p95, 1)}
                figures[f"{callers} callers" if callers > 1 else "1 caller"] = told | {"sign_ins": len(times)}
            figures["storm"] = storm(app.port, email, token, path)
    return figures


def storm(port: int, email: str, token: str, path: str) -> dict[str, Any]:
    """What reads take while nobody signs in, and while many do."""
    quiet, stormy, rates = list[float](), list[float](), list[float]()
    caller = Caller(port, token)
    for _ in range(ROUNDS):
        quiet.append(statistics.median(reads(caller, path, SECONDS / 2)))
        thread = threading.Thread(target=lambda: rates.append(sign_ins(port, email, STORM, SECONDS / 2 + 1)[0]))
        thread.start()
        time.sleep(0.5)
        stormy.append(statistics.median(reads(caller, path, SECONDS / 2)))
        thread.join()
    ratios = [after / before for before, after in zip(quiet, stormy, strict=True)]
    return {
        "quiet_p50_ms": round(statistics.median(quiet), 2),
        "storm_p50_ms": round(statistics.median(stormy), 2),
        "ratio": round(statistics.median(ratios), 1),
        "sign_ins_per_second": round(statistics.median(rates), 1),
    }


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{name:<10} {told['per_second']:6.1f} sign-ins/s   p50 {told['p50_ms']:7.1f} ms   p95 {told['p95_ms']:7.1f} ms"
        for name, told in figures.items()
        if name != "storm"
    ]
    storm = figures["storm"]
    lines.append(
        f"GET p50 {storm['quiet_p50_ms']} ms when quiet, {storm['storm_p50_ms']} ms while {STORM} callers sign in "
        f"({storm['sign_ins_per_second']}/s): {storm['ratio']} times as long"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(run()))
