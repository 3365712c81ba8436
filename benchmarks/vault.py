"""What secrets cost, as ratios from one run: a read of the vault against a plain read, on each database.

By themselves: an envelope sealed and opened, and a vault key proven by its canary. In the hub's own code: a secret
setting against a plain one, each in a transaction of its own. Over HTTP, on one connection: a credential's metadata
against a plain noun, and a reveal, which writes down who looked before it shows anything, against a change of a plain
record. The two of each pair are measured in turn, many times, so that what else the machine does strikes both alike.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.rest import App, running, servers, two_databases
from worklore.app import build
from worklore.identity.keys import load_key
from worklore.identity.setup import first_user
from worklore.identity.token import TokenKind, issue
from worklore.kernel import envelope
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.envelope import Label
from worklore.kernel.settings import Settings
from worklore.kernel.types import uuid7
from worklore.runs.configuration import Configuration, check, value_of
from worklore.vault.hierarchy import CANARY, CANARY_PURPOSE

ROUNDS = 5_000
PAIRS = 400
LIMIT = 2.0
"""A read of the vault takes at most this many times as long as a plain one."""

Ask = Callable[[], object]


def micros(work: Ask, rounds: int = ROUNDS) -> float:
    """The best of five runs, in microseconds for each call."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(rounds):
            work()
        best = min(best, time.perf_counter() - began)
    return round(best / rounds * 1e6, 2)


def primitives() -> dict[str, float]:
    """Microseconds of what needs no database."""
    key, value, bound = os.urandom(32), os.urandom(64), (b"place" * 20,)
    label = Label(os.urandom(16), 1)
    sealed = envelope.seal(key, label, "record", value, bound)
    canary = envelope.seal(key, label, CANARY_PURPOSE, CANARY, (b"installation",))
    plain = AESGCM(key)
    return {
        "AES-256-GCM alone, 64 bytes": micros(lambda: plain.encrypt(os.urandom(12), value, b"")),
        "seal an envelope, 64 bytes": micros(lambda: envelope.seal(key, label, "record", value, bound)),
        "open an envelope, 64 bytes": micros(lambda: envelope.unseal(key, "record", sealed, bound)),
        "prove a key by its canary": micros(lambda: envelope.unseal(key, CANARY_PURPOSE, canary, (b"installation",))),
    }


def pair(plain: Ask, vault: Ask, pairs: int) -> tuple[float, float, float]:
    """Medians in milliseconds of two things done in turn, and the median of their ratios over tenths of the run."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(pairs + 20):
        for place in (0, 1) if turn % 2 else (1, 0):
            began = time.perf_counter()
            (plain, vault)[place]()
            if turn >= 20:
                times[place].append((time.perf_counter() - began) * 1000)
    part = max(1, pairs // 10)
    ratios = [
        statistics.median(times[1][begin : begin + part]) / statistics.median(times[0][begin : begin + part])
        for begin in range(0, pairs, part)
    ]
    return statistics.median(times[0]), statistics.median(times[1]), statistics.median(ratios)


def _settings(ctx: Context) -> None:
    for key, secret in (("plain", False), ("secret", True)):
        setting = Configuration(id=uuid7(), key=key, value="x" * 64, is_secret=secret)
        check(ctx, setting, {})
        ctx.session.add(setting)


def in_the_hub(url: str, data: Path, pairs: int) -> dict[str, Any]:
    """A secret setting against a plain one, in a hub of this process."""
    hub = build(Settings(data=data, database_url=url))
    try:
        hub.database.write(_settings)

        def read(key: str) -> None:
            with hub.database.read(SYSTEM) as ctx:
                assert value_of(ctx, key) == "x" * 64

        return _told("a setting in hub code", pair(lambda: read("plain"), lambda: read("secret"), pairs))
    finally:
        hub.close()


class Caller:
    """One connection to a hub, kept open."""

    def __init__(self, app: App, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", app.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; any but 2xx ends the run."""
        content = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1{path}", content, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:400]!r}")
        return json.loads(text)


def over_http(caller: Caller, pairs: int) -> list[dict[str, Any]]:
    """A credential's metadata against a plain noun, and a reveal against a plain change."""
    client = caller.ask("POST", "/clients", {"name": "Example", "type": "msp_client"})["id"]
    project = caller.ask("POST", "/projects", {"client_id": client, "name": "Cut-over"})["id"]
    new = {"client_id": client, "credential_type": "password", "service_name": "portal", "password": "x" * 64}
    credential = caller.ask("POST", "/credentials/store", new)["id"]
    numbers = iter(range(10**9))
    read = pair(
        lambda: caller.ask("GET", f"/projects/{project}"),
        lambda: caller.ask("GET", f"/credentials/{credential}"),
        pairs,
    )
    reveal = pair(
        lambda: caller.ask("PATCH", f"/projects/{project}", {"notes": f"Looked at {next(numbers)} times."}),
        lambda: caller.ask("POST", f"/credentials/{credential}/reveal", {"reason": "a measurement"}),
        pairs,
    )
    return [_told("metadata over HTTP", read), _told("a reveal, against a change", reveal)]


def _told(name: str, figures: tuple[float, float, float]) -> dict[str, Any]:
    plain, vault, ratio = figures
    return {
        "read": name,
        "plain_ms": round(plain, 3),
        "vault_ms": round(vault, 3),
        "ratio": round(ratio, 2),
        "holds": ratio <= LIMIT,
    }


def run_on(where: str, pairs: int) -> list[dict[str, Any]]:
    """The pairs on one database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worklore-vault-")))
        urls = stack.enter_context(two_databases(where, folder))
        for name in ("own", "served"):
            (folder / name).mkdir()
        results = [in_the_hub(urls[0], folder / "own", pairs)]
        hub = build(Settings(data=folder / "served", database_url=urls[1]))
        key = load_key(folder / "served" / "hub.key", create=True)

        def token(ctx: Context) -> str:
            made, row = issue(key, first_user(ctx), kind=TokenKind.user, scopes=["*"], life=timedelta(hours=1))
            ctx.session.add(row)
            return made

        bearer = hub.database.write(token)
        hub.close()
        serve = ["-m", "worklore", "serve", "--host", "127.0.0.1", "--port", "0", "--data", str(folder / "served")]
        app = stack.enter_context(running("hub", serve, urls[1], folder / "served.ready"))
        return [*results, *over_http(Caller(app, bearer), pairs)]


def run(*, pairs: int = PAIRS, databases: list[str] | None = None) -> dict[str, Any]:
    """The figures by database."""
    found = {name: where for name, where in servers().items() if databases is None or name in databases}
    results = {name: run_on(where, pairs) for name, where in found.items()}
    return {
        "pairs": pairs,
        "limit": LIMIT,
        "holds": all(figures["holds"] for measured in results.values() for figures in measured),
        "primitives_us": primitives(),
        "databases": results,
    }


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{name:<40} {cost:8.1f} µs" for name, cost in figures["primitives_us"].items()]
    lines.append(f"{'database':12}{'read':30}{'plain ms':>10}{'vault ms':>10}{'ratio':>8}")
    for database, results in figures["databases"].items():
        for result in results:
            mark = "" if result["holds"] else f" above {figures['limit']}"
            line = f"{database:12}{result['read']:30}{result['plain_ms']:>10.2f}{result['vault_ms']:>10.2f}"
            lines.append(f"{line}{result['ratio']:>8.2f}{mark}")
    return "\n".join(lines)


def main() -> int:
    """Run it alone: `python -m benchmarks.vault --on sqlite`; 1 when a ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", action="append", choices=["sqlite", "postgresql", "mariadb"], help="which (all)")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    figures = run(pairs=options.pairs, databases=options.on)
    print(table(figures))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if figures["holds"] else 1


if __name__ == "__main__":
    os.environ.setdefault("WORKLORE_LOG_LEVEL", "warning")
    sys.exit(main())
