"""REST speed: the hub against a bare FastAPI app (:mod:`benchmarks.bare`), as a ratio from one run.

Both are real uvicorn processes (one worker, uvloop, httptools) on databases of their own with the same schema, made by
our migrations, and the same rows. A third process makes the load. Rounds are interleaved: each measures both apps right
after one another, the first one alternating, and the ratio is the median of the rounds' ratios, so that what else the
machine does strikes both alike. The rows are those of the made-up provider of medium size, and what a hub does once
for rows that came past it is done. The hub's writes carry an Idempotency-Key and so write three rows (project, audit
entry, key) where the bare app writes one.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError

from benchmarks.load import LISTS, Load, to_json
from worklore.identity.keys import load_key
from worklore.identity.setup import first_user
from worklore.identity.token import access_token
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.db import database_url
from worklore.kernel.transaction import Database
from worklore.memory.embed import DIMENSIONS, MODEL
from worklore.memory.remembered import index_records
from worklore.memory.vector import MemoryVector
from worklore.memory.window import MemoryWindow
from worklore.ops import migrate
from worklore.ops.demo.load import load
from worklore.ops.demo.profile import PROFILES
from worklore.work.project import Project

PROFILE = "medium"
SEED = 1
OPERATIONS = ("get", "list", "search", "create", "patch", "bulk")
CONNECTIONS = (8, 1)
FLOORS = {"get": 0.4, "list": 0.5, "create": 0.35}
AIM = 0.6
SERVERS = {
    "postgresql": ("WORKLORE_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mariadb": ("WORKLORE_TEST_MARIADB_URL", "mariadb://root@127.0.0.1:3306/"),
}
START_SECONDS = 60


@dataclass(frozen=True)
class App:
    """A running app."""

    name: str
    port: int
    pid: int


@dataclass(frozen=True)
class Rows:
    """What both databases hold."""

    parent: str
    ids: list[str]
    token: str


def fill(database: Database) -> None:
    """The schema and the rows."""
    migrate.upgrade(database)
    load(database, PROFILES[PROFILE], SEED, add=False, progress=lambda *_: None)


def catch_up(database: Database) -> None:
    """Do what the hub's background jobs would do about such rows at their first start.

    Vectors are left out: one for the last window says that all have theirs.
    """
    index_records(database, {})
    database.write(_with_last_vector)


def _with_last_vector(ctx: Context) -> None:
    last = ctx.session.execute(select(MemoryWindow.id, MemoryWindow.seq).order_by(MemoryWindow.seq.desc())).first()
    if last is not None:
        row = {"window_id": last.id, "seq": last.seq, "model": MODEL, "pooled": bytes(2 * DIMENSIONS), "tokens": b""}
        ctx.session.connection().execute(insert(MemoryVector), [row])


def prepare(urls: list[str], key_file: Path) -> Rows:
    """The schema and the same rows in each database, and a token that holds for an hour."""
    key = load_key(key_file, create=True)
    first = Database(urls[0])
    try:
        fill(first)
        catch_up(first)
        token = first.write(lambda ctx: access_token(key, first_user(ctx), timedelta(hours=1)))
        with first.read(SYSTEM) as ctx:
            rows = ctx.session.execute(select(Project.id, Project.client_id).order_by(Project.id)).all()
    finally:
        first.close()
    for url in urls[1:]:
        if first.is_sqlite:
            shutil.copyfile(str(first.url.database), str(make_url(url).database))
            continue
        other = Database(url)
        try:
            fill(other)
        finally:
            other.close()
    return Rows(str(rows[0].client_id), [str(row.id) for row in rows], token)


def _environment() -> dict[str, str]:
    """Ours, with Python keeping what it compiles as an installation has it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def running(name: str, command: list[str], url: str, ready_file: Path) -> Iterator[App]:
    """An app in a process of its own, stopped at the end."""
    log = ready_file.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command, "--ready-file", str(ready_file)],
            env=_environment() | {"WORKLORE_DATABASE_URL": url, "WORKLORE_LOG_LEVEL": "warning"},
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parent.parent,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        ready = json.loads(ready_file.read_text())
        port = ready.get("port") or make_url(ready["url"]).port
        yield App(name, port, ready["pid"])
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check_alike(apps: list[App], rows: Rows) -> None:
    """Both answer the same; otherwise the comparison means nothing. A whole second may be written in two ways."""
    for path in (f"/api/v1/projects/{rows.ids[7]}", "/api/v1/projects", *LISTS.values()):
        answers: list[Any] = []
        for app in apps:
            request = urllib.request.Request(
                f"http://127.0.0.1:{app.port}{path}", headers={"Authorization": f"Bearer {rows.token}"}
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                answers.append(json.loads(answer.read().replace(b".000000Z", b"Z")))
        if answers[0] != answers[1]:
            raise RuntimeError(f"the two apps answer {path} differently:\n{answers[0]}\n{answers[1]}")


def measured(load: Load) -> dict[str, Any]:
    """One measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=to_json(load),
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + load.seconds,
        cwd=Path(__file__).parent.parent,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout)


def compare(apps: list[App], rows: Rows, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Each operation at each concurrency: both apps' figures and the ratio."""
    results: list[dict[str, Any]] = []
    for operation in OPERATIONS:
        for connections in CONNECTIONS:
            taken: dict[str, list[dict[str, Any]]] = {app.name: [] for app in apps}
            for turn in range(rounds + 1):  # the first warms up and does not count
                for app in apps if turn % 2 else reversed(apps):
                    load = Load(
                        port=app.port,
                        pid=app.pid,
                        operation=operation,
                        token=rows.token,
                        ids=rows.ids[:1000],
                        parent=rows.parent,
                        keyed=app.name == "hub",
                        connections=connections,
                        seconds=seconds if turn else 0.5,
                    )
                    figures = measured(load)
                    if turn:
                        taken[app.name].append(figures)
            ratios = [ours["per_second"] / bare["per_second"] for ours, bare in zip(*taken.values(), strict=True)]
            ratio = statistics.median(ratios)
            results.append(
                {
                    "operation": operation,
                    "connections": connections,
                    "ratio": round(ratio, 3),
                    "ratios": [round(value, 3) for value in ratios],
                    "floor": FLOORS.get(operation),
                    "holds": ratio >= FLOORS.get(operation, 0),
                    **{name: _median(figures) for name, figures in taken.items()},
                }
            )
    return results


def _median(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    cpu = [figures["cpu_ms"] for figures in rounds if figures["cpu_ms"] is not None]
    return {
        "per_second": round(statistics.median(figures["per_second"] for figures in rounds), 1),
        "ms": {
            name: round(statistics.median(figures["ms"][name] for figures in rounds), 3) for name in rounds[0]["ms"]
        },
        "cpu_ms": round(statistics.median(cpu), 3) if cpu else None,
    }


@contextmanager
def two_databases(where: str, folder: Path) -> Iterator[list[str]]:
    """URLs of two fresh databases: ``sqlite``, or on the server whose URL is given; dropped at the end."""
    if where == "sqlite":
        yield [f"sqlite:///{folder / name}.db" for name in ("hub", "bare")]
        return
    server = database_url(where)
    engine = create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    names = [f"worklore_bench_{name}_{uuid.uuid4().hex[:8]}" for name in ("hub", "bare")]
    try:
        with engine.connect() as connection:
            for name in names:
                connection.execute(text(f"CREATE DATABASE {name}"))
        yield [_on(server, name) for name in names]
    finally:
        with engine.connect() as connection:
            for name in names:
                connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        engine.dispose()


def _on(server: URL, name: str) -> str:
    return server.set(database=name).render_as_string(hide_password=False)


def run_on(where: str, *, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """The comparison on one database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worklore-bench-")))
        urls = stack.enter_context(two_databases(where, folder))
        key_file = folder / "hub.key"
        rows = prepare(urls, key_file)
        serve = ["-m", "worklore", "serve", "--host", "127.0.0.1", "--port", "0", "--data", str(folder)]
        bare = ["-m", "benchmarks.bare", "--key", str(key_file)]
        apps = [
            stack.enter_context(running("hub", serve, urls[0], folder / "hub.ready")),
            stack.enter_context(running("bare", bare, urls[1], folder / "bare.ready")),
        ]
        check_alike(apps, rows)
        return compare(apps, rows, rounds, seconds)


def run(*, rounds: int = 3, seconds: float = 1.5, databases: list[str] | None = None) -> dict[str, Any]:
    """The figures by database. Servers that do not answer are named under ``not_measured``."""
    found = servers()
    results: dict[str, list[dict[str, Any]]] = {}
    for name, where in found.items():
        if databases is None or name in databases:
            print(f"{name} ...", file=sys.stderr, flush=True)
            results[name] = run_on(where, rounds=rounds, seconds=seconds)
    return {
        "profile": PROFILE,
        "rounds": rounds,
        "seconds": seconds,
        "aim": AIM,
        "sqlite_synchronous": "FULL",
        "holds": all(figures["holds"] for measured in results.values() for figures in measured),
        "databases": results,
        "not_measured": sorted({"sqlite", *SERVERS} - found.keys()),
    }


def servers() -> dict[str, str]:
    """Where each database is that answers: ``sqlite``, or a server's URL."""
    known = {name: os.environ.get(variable, default) for name, (variable, default) in SERVERS.items()}
    return {"sqlite": "sqlite"} | {name: where for name, where in known.items() if _answers(where)}


def _answers(where: str) -> bool:
    if not where:
        return False
    engine = create_engine(database_url(where), connect_args={"connect_timeout": 3})
    try:
        with engine.connect():
            return True
    except DBAPIError:
        return False
    finally:
        engine.dispose()


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    head = f"{'database':11}{'operation':10}{'conn':>5}{'ratio':>7}{'floor':>7}"
    for name in ("hub", "bare"):
        head += f"  | {name + ' req/s':>11} {'p50':>6} {'p95':>6} {'p99':>6} {'CPU ms':>6}"
    lines = [head]
    for database, results in figures["databases"].items():
        for result in results:
            mark = "" if result["holds"] else " below"
            line = f"{database:11}{result['operation']:10}{result['connections']:>5}{result['ratio']:>7.2f}"
            line += f"{result['floor'] or '-':>7}"
            for name in ("hub", "bare"):
                own = result[name]
                cpu = "-" if own["cpu_ms"] is None else f"{own['cpu_ms']:.3f}"
                line += f"  | {own['per_second']:>11.0f} {own['ms']['p50']:>6.2f} {own['ms']['p95']:>6.2f}"
                line += f" {own['ms']['p99']:>6.2f} {cpu:>6}"
            lines.append(line + mark)
    lines += [f"{name}: not measured, the server does not answer" for name in figures["not_measured"]]
    return "\n".join(lines)


def main() -> None:
    """Run it alone: `python -m benchmarks.rest --on sqlite --rounds 3`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--on", action="append", choices=["sqlite", "postgresql", "mariadb"], help="which database (all)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    figures = run(rounds=options.rounds, seconds=options.seconds, databases=options.on)
    print(table(figures))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
