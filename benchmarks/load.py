"""Loads one HTTP operation for a while and prints what it saw; runs in a process of its own.

Reads a :class:`Load` as JSON from standard input. Each connection sends its next request as soon as the answer before
has arrived whole (a closed loop). Any answer that is not 2xx ends the run: a figure must not be made of errors.
"""

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import uvloop

MAX_REQUESTS = 200_000
BULK = 500
PROJECTS = "/api/v1/projects"
LISTS = {"list": f"{PROJECTS}?status=complete&limit=50", "search": f"{PROJECTS}?q=network"}
ANSWER_SECONDS = 15
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """One measurement.

    Attributes:
        port: where the app listens, on loopback.
        pid: the app's process, whose CPU time is read.
        operation: ``get``, ``list`` (a filtered page of 50), ``search``, ``create``, ``patch``, ``bulk`` (500 made).
        token: the bearer token.
        ids: records to get.
        parent: the client a new record belongs to.
        keyed: send an Idempotency-Key with each write.
        connections: how many requests are under way at once.
        seconds: for how long.
    """

    port: int
    pid: int
    operation: str
    token: str
    ids: list[str]
    parent: str
    keyed: bool
    connections: int
    seconds: float

    def request(self, number: int) -> bytes:
        """The bytes of the given request."""
        match self.operation:
            case "get":
                return self._head("GET", f"{PROJECTS}/{self.ids[number % len(self.ids)]}", "")
            case "list" | "search":
                return self._head("GET", LISTS[self.operation], "")
            case "patch":
                path = f"{PROJECTS}/{self.ids[number % len(self.ids)]}"
                return self._write("PATCH", path, {"notes": f"Looked at for the {number}th time."})
            case "create":
                return self._write("POST", PROJECTS, self._project(number))
            case _:
                projects = [self._project(BULK * number + place) for place in range(BULK)]
                return self._write("POST", PROJECTS, projects)

    def _project(self, number: int) -> dict[str, Any]:
        return {
            "client_id": self.parent,
            "name": f"Cut-over {number}",
            "status": "working",
            "priority": "high",
            "description": "Move the file shares of the branch office to the new server.",
            "started_date": "2026-03-02",
            "estimated_hours": "12.50",
        }

    def _write(self, method: str, path: str, value: Any) -> bytes:
        body = json.dumps(value)
        key = f"Idempotency-Key: {uuid.uuid4()}\r\n" if self.keyed else ""
        head = f"{key}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return self._head(method, path, head) + body.encode()

    def _head(self, method: str, path: str, more: str) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\nAccept: application/json\r\n{more}\r\n"
        ).encode()


class Connection(asyncio.Protocol):
    """Sends a request, waits for the whole answer, notes how long it took, and sends the next."""

    def __init__(
        self, next_request: Callable[[], bytes | None], times: list[float], done: asyncio.Future[None]
    ) -> None:
        self._next_request, self._times, self._done = next_request, times, done
        self._received = bytearray()
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods and not the base class
        self._send()

    def _send(self) -> None:
        request = self._next_request()
        if request is None:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._started = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._received) < end + 4 + length:
            return
        self._times.append(time.perf_counter() - self._started)
        if not head.startswith(b"http/1.1 2"):
            self.connection_lost(RuntimeError(bytes(self._received[: end + 400]).decode(errors="replace")))
            return
        self._received.clear()
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the app closed the connection"))


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process so far; None where the system does not tell (no /proc)."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def measure(load: Load) -> dict[str, Any]:
    """The figures of one measurement."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    number = 0
    deadline = loop.time() + load.seconds

    def next_request() -> bytes | None:
        nonlocal number
        number += 1
        return load.request(number) if loop.time() < deadline and number <= MAX_REQUESTS else None

    cpu = cpu_seconds(load.pid)
    started = time.perf_counter()
    done: list[asyncio.Future[None]] = []
    for _ in range(load.connections):
        finished: asyncio.Future[None] = loop.create_future()
        done.append(finished)
        await loop.create_connection(
            lambda finished=finished: Connection(next_request, times, finished), "127.0.0.1", load.port
        )
    await asyncio.wait_for(asyncio.gather(*done), load.seconds + ANSWER_SECONDS)
    seconds = time.perf_counter() - started
    after = cpu_seconds(load.pid)
    times.sort()
    return {
        "requests": len(times),
        "per_second": len(times) / seconds,
        "ms": {f"p{share}": times[min(len(times) - 1, len(times) * share // 100)] * 1000 for share in (50, 95, 99)},
        "cpu_ms": None if cpu is None or after is None else (after - cpu) * 1000 / len(times),
    }


def to_json(load: Load) -> str:
    """What :func:`main` reads."""
    return json.dumps(asdict(load))


def main() -> None:
    """Measure what standard input says."""
    print(json.dumps(uvloop.run(measure(Load(**json.load(sys.stdin))))))


if __name__ == "__main__":
    main()
