"""``make outage``: a day without the hub, then with one that dies again and again; and a client that is killed at work.

Ends with 0 when every write took effect once, in its client's order, and nothing that was acknowledged is gone.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import text

import worklore_client
from tests.faults.rig import HubProcess, clean_environment
from worklore_client import operations
from worklore_client.config import Config, save
from worklore_client.operations import Operation
from worklore_client.wire import Hub

PACKAGE = Path(worklore_client.__file__).parent
DAY = 86_400
SECONDS = 3_600
EACH_SECONDS = 3_000.0
SHARED_EVERY = 50
"""Every so many operations a client changes the record that all clients change."""

OWN_EVERY = 5
PAUSE = 6.0
"""Seconds between one flusher that could not send all and the next."""


_AT_ONCE = threading.BoundedSemaphore(3 * (os.cpu_count() or 1))
"""So many flushers share this machine with the hub, which has to start between two kills."""


class Client:
    """A machine of its own, and what it was told to do: `made` and `changed` in order, `contested` by key."""

    def __init__(self, folder: Path, hub: HubProcess, name: str) -> None:
        self.home = folder / name
        self.name = name
        self.code = hub.code()
        machine = {"hostname": name, "machine_fingerprint": f"{random.getrandbits(256):064x}", "friendly_name": name}
        self.token = str(Hub(hub.url).post("auth/setup", {"code": self.code, "machine": machine})["token"])
        save(Config(self.home, hub.url, self.token, {"linger_ms": "0", "retry_s": "1"}))
        self.made: list[str] = []
        self.changed: list[str] = []
        self.contested: list[str] = []
        self.item = Hub(hub.url, self.token).post("work-items", {"title": f"item of {name}"})["id"]

    def work(self, count: int, shared: str) -> None:
        """Spool a day's operations: new records, changes of an own record, and of one that all change."""
        for number in range(count):
            made_at = time.time() - DAY + number * DAY / count
            said = f"{self.name}-{number:05}"
            if number % SHARED_EVERY == SHARED_EVERY - 1:
                operation = Operation(
                    "PATCH", f"work-items/{shared}", {"description": said}, said, if_match=1, made_at=made_at
                )
                self.contested.append(operation.key)
            elif number % OWN_EVERY == OWN_EVERY - 1:
                version = 1 + len(self.changed)
                operation = Operation(
                    "PATCH", f"work-items/{self.item}", {"description": said}, said, if_match=version, made_at=made_at
                )
                self.changed.append(said)
            else:
                body = {"category": "lesson", "title": said, "dense_content": f"Lesson {said}"}
                operation = Operation("POST", "context-snippets", body, said, made_at=made_at)
                self.made.append(said)
            operations.add(self.home, operation)

    def flusher(self) -> subprocess.Popen[bytes]:
        """What the next hook starts."""
        command = [sys.executable, "-I", "-S", str(PACKAGE), str(self.home), "flush"]
        quiet: Any = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=clean_environment())

    def settled(self) -> int:
        """Operations that the hub has taken or refused."""
        return sum(name.endswith((".done", ".conflict")) for name in os.listdir(self.home / "spool"))  # noqa: PTH208 - asked many times a second

    def drain(self) -> int:
        """Let flushers run until nothing waits; how many it took."""
        end = time.monotonic() + EACH_SECONDS
        runs = 0
        while operations.waiting(self.home):
            assert time.monotonic() < end, f"{self.name} was not drained"
            with _AT_ONCE:
                self.flusher().wait(timeout=EACH_SECONDS)
            runs += 1
            if operations.waiting(self.home):
                time.sleep(PAUSE)  # the next hook comes when somebody works on
        return runs


@dataclass
class Outage:
    """What was seen. `wrong` says what is not as it must be."""

    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    wrong: list[str] = field(default_factory=list[str])


def reconnect(folder: Path, *, clients: int, each: int, kills: int, seed: int) -> Outage:
    """Clients that wrote for a day without the hub send it all, while the hub is killed."""
    chance, outage = random.Random(seed), Outage()
    hub = HubProcess(folder / "hub")
    hub.patience = 4 * hub.patience  # so many machines ask again and again while it starts
    hub.start()
    try:
        machines = [Client(folder, hub, f"pc{number:02}") for number in range(clients)]
        shared = str(Hub(hub.url, machines[0].token).post("work-items", {"title": "shared"})["id"])
        hub.stop()
        begun = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: one.work(each, shared), machines))
        outage.figures["spooled in s"] = round(time.monotonic() - begun, 1)
        hub.start()
        begun = time.monotonic()
        done = threading.Event()
        marks = sorted(chance.uniform(0, 0.9 * clients * each) for _ in range(kills))
        killer = threading.Thread(target=_kill, args=(hub, machines, marks, done, outage))
        killer.start()
        with ThreadPoolExecutor(clients) as pool:
            runs = list(pool.map(Client.drain, machines))
        done.set()
        killer.join()
        outage.figures |= {"flushers": sum(runs), "drained in s": round(time.monotonic() - begun, 1)}
        _compare(hub, machines, shared, outage)
    finally:
        hub.stop()
    return outage


def _kill(hub: HubProcess, machines: list[Client], marks: list[float], done: threading.Event, outage: Outage) -> None:
    """Kill the hub each time when it has taken so many operations, in the midst of the next."""
    hits = 0
    for mark in marks:
        while sum(machine.settled() for machine in machines) < mark and not done.is_set():
            time.sleep(0.05)
        if done.is_set():
            break
        hub.kill()
        hub.start()
        hits += 1
    outage.figures["kill -9 of the hub"] = hits
    if hits < len(marks):
        outage.wrong.append(f"only {hits} of {len(marks)} kills hit: more operations are needed")


def _compare(hub: HubProcess, machines: list[Client], shared: str, outage: Outage) -> None:
    """The ledger of what was asked for against what the database says, read past the hub."""
    with hub.engine().connect() as connection:
        rows = connection.execute(text("SELECT title FROM context_snippets ORDER BY id")).all()
        items = connection.execute(text("SELECT id, version, description FROM work_items")).all()
    titles = [str(row[0]) for row in rows]
    found = {str(row[0]).replace("-", ""): (int(row[1]), str(row[2])) for row in items}
    counted = Counter(titles)
    asked = {said for machine in machines for said in machine.made}
    for name, wrong in {
        "lost": [said for said in asked if not counted[said]],
        "doubled": [said for said, count in counted.items() if count > 1],
        "of nobody": [said for said in counted if said not in asked],
    }.items():
        outage.figures[name] = len(wrong)
        outage.wrong += [f"{name}: {said}" for said in wrong[:5]]
    winners = 0
    for machine in machines:
        own = [said for said in titles if said.startswith(f"{machine.name}-")]
        if own != machine.made:
            outage.wrong.append(f"{machine.name}: its order was not kept")
        version, last = found[machine.item.replace("-", "")]
        if (version, last) != (1 + len(machine.changed), machine.changed[-1] if machine.changed else "None"):
            outage.wrong.append(f"{machine.name}: {len(machine.changed)} changes made version {version}, {last}")
        refused = {each.operation.key for each in operations.conflicts(machine.home)}
        if not refused <= set(machine.contested):
            outage.wrong.append(f"{machine.name}: refused without a rival")
        winners += len(machine.contested) - len(refused)
        if operations.waiting(machine.home) or operations.torn(machine.home):
            outage.wrong.append(f"{machine.name}: something waits or is torn")
    contested = sum(len(machine.contested) for machine in machines)
    outage.figures |= {"operations": len(asked) + sum(len(machine.changed) for machine in machines) + contested}
    outage.figures |= {"contested": contested, "conflicts reported": contested - winners}
    if contested and (winners, found[shared.replace("-", "")][0]) != (1, 2):
        outage.wrong.append(f"{winners} won the contested record, it is at version {found[shared.replace('-', '')][0]}")
    if "Traceback" in hub.log():
        outage.wrong.append("the hub's log holds a traceback")


# --- a client that is killed at work

ADDING = """
import sys
sys.path.insert(0, {source!r})
from pathlib import Path
from worklore_client import operations
from worklore_client.operations import Operation
for number in range(5):
    body = {{"category": "lesson", "title": f"{name}-{{number}}", "dense_content": "Lesson"}}
    spooled = operations.add(Path({home!r}), Operation("POST", "context-snippets", body))
    sys.stdout.write(f"{name}-{{number}}\\n")
    sys.stdout.flush()
"""


def killed_at_work(folder: Path, *, hits: int, seed: int) -> Outage:
    """Writers, flushers and hooks of one machine are killed at random moments: what was acknowledged is there."""
    chance, outage = random.Random(seed), Outage()
    hub = HubProcess(folder / "hub")
    hub.start()
    try:
        machine = Client(folder, hub, "bench")
        project = folder / "project"
        project.mkdir()
        Hub(hub.url, machine.token).post("projects/identify", {"path": str(project), "name": "project"})
        acknowledged: list[str] = []
        killed: Counter[str] = Counter()
        tries = 0
        while killed.total() < hits and tries < 4 * hits:
            tries += 1
            which = chance.choice(("writer", "flusher", "prompt hook", "stop hook"))
            (machine.home / "spool" / "refresh").write_text(f"{project}\n")
            process = _start(machine, project, which, tries)
            time.sleep(chance.uniform(0.0, 0.9 if which in ("writer", "flusher") else 0.1))
            process.send_signal(signal.SIGKILL)
            said, _ = process.communicate()
            killed[which] += process.returncode == -signal.SIGKILL
            acknowledged += [line for line in (said or b"").decode().split("\n")[:-1] if which == "writer"]
            if tries % 10 == 0:
                _see_intact(machine.home, outage)
        _end_flushers(machine.home)
        outage.figures |= {f"kill -9 of a {name}": count for name, count in sorted(killed.items())}
        for note in (machine.home / "spool").glob("*.note"):
            note.unlink()  # of transcripts that never were
        machine.drain()
        _see_intact(machine.home, outage)
        with hub.engine().connect() as connection:
            counted = Counter(str(row[0]) for row in connection.execute(text("SELECT title FROM context_snippets")))
        outage.figures |= {"acknowledged": len(acknowledged), "on the hub": counted.total()}
        outage.wrong += [f"lost: {said}" for said in acknowledged if not counted[said]][:5]
        outage.wrong += [f"doubled: {said}" for said, count in counted.items() if count > 1][:5]
        if operations.conflicts(machine.home) or operations.torn(machine.home):
            outage.wrong.append("an operation was refused or torn")
    finally:
        hub.stop()
    return outage


def _start(machine: Client, project: Path, which: str, number: int) -> subprocess.Popen[bytes]:
    if which == "flusher":
        return machine.flusher()
    if which == "writer":
        code = ADDING.format(source=str(PACKAGE.parent), home=str(machine.home), name=f"w{number:05}")
        command, stdin = [sys.executable, "-I", "-c", code], b""
    else:
        event = "UserPromptSubmit" if which == "prompt hook" else "Stop"
        command = [sys.executable, "-I", "-S", str(PACKAGE / "hook.py"), str(machine.home), "claude-code", event]
        about = {"session_id": f"s-{number % 7}", "transcript_path": "/nowhere.jsonl", "cwd": str(project)}
        stdin = json.dumps({**about, "hook_event_name": event, "prompt": "the lesson of the day"}).encode()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment()
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(stdin)
        process.stdin.close()
    process.stdin = None
    return process


def _see_intact(home: Path, outage: Outage) -> None:
    """The cache is whole, and every operation that waits can be read."""
    if (home / "cache.db").exists():
        with contextlib.closing(sqlite3.connect(home / "cache.db", timeout=20)) as link:
            found = link.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            outage.wrong.append(f"the cache is damaged: {found}")
        outage.figures["looks at the cache, each whole"] = outage.figures.get("looks at the cache, each whole", 0) + 1
    for path in operations.waiting(home):
        if operations.read(home, path) is None and path.exists():
            outage.wrong.append(f"{path.name} cannot be read")


def _end_flushers(home: Path) -> None:
    """End those that the hooks have started."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if entry.read_bytes().split(b"\0")[-3:-1] == [str(home).encode(), b"flush"]:
                os.kill(int(entry.parent.name), signal.SIGKILL)


def main() -> int:
    """Run both, print the figures."""
    parser = argparse.ArgumentParser(prog="make outage", description=__doc__)
    parser.add_argument("--clients", type=int, default=20, help="machines that were without the hub [20]")
    parser.add_argument("--operations", type=int, default=500, help="writes of each [500]")
    parser.add_argument("--kills", type=int, default=20, help="how often the hub is killed meanwhile [20]")
    parser.add_argument(
        "--hits", type=int, default=1_000, help="how often hooks, writers and flushers are killed [1000]"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the random choices")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    good = True
    with tempfile.TemporaryDirectory(prefix="worklore-outage-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if options.clients:
            day = reconnect(
                folder, clients=options.clients, each=options.operations, kills=options.kills, seed=options.seed
            )
            good = _told("a day without the hub", day)
        if options.hits:
            good = (
                _told("killed at work", killed_at_work(folder / "work", hits=options.hits, seed=options.seed)) and good
            )
    signal.alarm(0)
    sys.stdout.write("Each once, in order, nothing lost.\n" if good else f"FAILED (--seed {options.seed})\n")
    return 0 if good else 1


def _told(title: str, outage: Outage) -> bool:
    """Print what was seen; True when it is as it must be."""
    sys.stdout.write(f"{title}\n")
    for what, figure in outage.figures.items():
        sys.stdout.write(f"  {what:40}{figure}\n")
    for what in outage.wrong:
        sys.stdout.write(f"! {what}\n")
    sys.stdout.flush()
    return not outage.wrong


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"not done within {SECONDS} seconds")


if __name__ == "__main__":
    sys.exit(main())
