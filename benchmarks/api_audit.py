"""What the log of requests costs: the hub with it and without, as a ratio of p50 from one run on SQLite.

Both are the same hub in real processes on copies of one database; the one without is served by this module without the
middleware around the app. One caller asks both in turn, request by request, so that whatever else the machine does
strikes both alike. Moving lines to the table is inside the figures: it happens in the same process every second, and
CPU time for each request, which the mover's is part of, is shown beside p50.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.load import Load, cpu_seconds
from benchmarks.rest import App, Rows, prepare, running
from worklore.surfaces.api_audit import ApiAudit

PAIRS = {"get": 6000, "create": 2000}
WARM_UP = 200
FLOOR = 1.05
"""p50 with the log is at most this many times the p50 without."""


class Caller:
    """One connection to one app."""

    def __init__(self, app: App, rows: Rows, operation: str) -> None:
        self.app = app
        self.times: list[float] = []
        self._load = Load(app.port, app.pid, operation, rows.token, rows.ids[:1000], rows.parent, True, 1, 0)
        self._socket = socket.create_connection(("127.0.0.1", app.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, number: int) -> None:
        """One request and its whole answer."""
        request = self._load.request(number)
        started = time.perf_counter()
        self._socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(65536)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        self.times.append(time.perf_counter() - started)
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(answer[:600].decode(errors="replace"))


def compare(apps: list[App], rows: Rows, operation: str, pairs: int) -> dict[str, Any]:
    """One operation: p50 and CPU time of both, and the ratio of the p50."""
    callers = [Caller(app, rows, operation) for app in apps]
    for number in range(WARM_UP):
        for caller in callers:
            caller.ask(number)
    for caller in callers:
        caller.times.clear()
    before = [cpu_seconds(app.pid) for app in apps]
    for number in range(pairs):
        for caller in callers if number % 2 else reversed(callers):
            caller.ask(number)
    time.sleep(1.5)  # the mover's last turn
    after = [cpu_seconds(app.pid) for app in apps]
    p50 = {caller.app.name: statistics.median(caller.times) * 1000 for caller in callers}
    cpu = {
        app.name: None if first is None or last is None else round((last - first) * 1000 / pairs, 3)
        for app, first, last in zip(apps, before, after, strict=True)
    }
    ratio = p50["with"] / p50["without"]
    return {
        "operation": operation,
        "pairs": pairs,
        "ratio": round(ratio, 3),
        "holds": ratio <= FLOOR,
        "p50_ms": {name: round(value, 3) for name, value in p50.items()},
        "cpu_ms": cpu,
    }


def run(*, share: float = 1.0) -> dict[str, Any]:
    """The figures; of a ``share`` of the requests when time is short."""
    with ExitStack() as stack:
        folders = [
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="worklore-bench-")))
            for _ in ("with", "without")
        ]
        urls = [f"sqlite:///{folder / 'hub.db'}" for folder in folders]
        rows = prepare(urls[:1], folders[0] / "hub.key")
        shutil.copytree(folders[0], folders[1], dirs_exist_ok=True)
        options = ["serve", "--host", "127.0.0.1", "--port", "0", "--data"]
        commands = [["-m", "worklore"], ["-m", "benchmarks.api_audit", "--bare"]]
        apps = [
            stack.enter_context(running(name, [*command, *options, str(folder)], url, folder / "ready"))
            for name, command, folder, url in zip(("with", "without"), commands, folders, urls, strict=True)
        ]
        results = [compare(apps, rows, operation, int(pairs * share)) for operation, pairs in PAIRS.items()]
    return {"floor": FLOOR, "holds": all(result["holds"] for result in results), "results": results}


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{'operation':10}{'p50 with':>10}{'without':>10}{'ratio':>8}{'at most':>9}  | {'CPU with':>9}{'without':>9}"
    ]
    for result in figures["results"]:
        line = f"{result['operation']:10}{result['p50_ms']['with']:>10.3f}{result['p50_ms']['without']:>10.3f}"
        line += f"{result['ratio']:>8.3f}{figures['floor']:>9.2f}  | "
        line += f"{result['cpu_ms']['with'] or 0:>9.3f}{result['cpu_ms']['without'] or 0:>9.3f}"
        lines.append(line + ("" if result["holds"] else " above"))
    return "\n".join(lines)


def serve_bare(arguments: list[str]) -> int:
    """``worklore serve`` without the log of requests."""
    from worklore import app as composition  # noqa: PLC0415 - for this process alone
    from worklore.main import main  # noqa: PLC0415 - same

    def bare(app: Any, *_: Any) -> Any:
        return app

    assert vars(composition)["ApiAudit"] is ApiAudit
    vars(composition)["ApiAudit"] = bare
    sys.argv = ["worklore", *arguments]
    return main()


def main() -> int:
    """Run it alone: `python -m benchmarks.api_audit --share 0.5`."""
    if sys.argv[1:2] == ["--bare"]:
        return serve_bare(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the requests (1.0)")
    figures = run(share=parser.parse_args().share)
    print(table(figures))
    print(json.dumps(figures), file=sys.stderr)
    return 0 if figures["holds"] else 1


if __name__ == "__main__":
    os.environ.setdefault("WORKLORE_LOG_LEVEL", "warning")
    sys.exit(main())
