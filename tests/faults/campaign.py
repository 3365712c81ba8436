"""Replaying transcripts while hooks, flushers and the hub are killed at random moments."""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.rig import DRAIN_SECONDS, HubProcess, Station, forget_peak, memory, waited
from tests.faults.samples import MEGABYTE, Session, growing
from worklore_cli.replaying import steps

HOOK_SECONDS = 0.08
"""About what a hook takes: it is killed within so much of its start."""
FLUSHER_SECONDS = 0.4
MAX_PASSES = 20
FLUSHER_LIMIT = 120 * MEGABYTE
"""Most a flusher may ever hold: a portion of a file, its objects and its JSON, whatever the file's size."""
HUB_LIMIT = 200 * MEGABYTE
"""Most by which the hub may grow while it takes in one large transcript."""


def replay(station: Station, paths: Sequence[Path]) -> dict[str, Any]:
    """The product's own replay, undisturbed; its report."""
    done = station.worklore("replay", *map(str, paths), "--json", seconds=600)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout)


class Campaign:
    """Drives transcripts through the hooks of a machine while somebody kills.

    `planned` names who is still to be killed: ``hook``, ``flusher`` or ``hub`` each time. `killed` counts who was,
    `failing` is what hooks that were left alone did wrong, `grown` the rows by table that came after the first pass.
    """

    def __init__(self, hub: HubProcess, station: Station, kills: Sequence[str], seed: int) -> None:
        self._hub = hub
        self._station = station
        self._random = random.Random(seed)
        self._eager = 0.0
        self.planned = list(kills)
        self._random.shuffle(self.planned)
        self.killed: Counter[str] = Counter()
        self.hooks = 0
        self.failing: list[str] = []
        self.grown: dict[str, int] = {}
        self.passes = 0

    def run(self, paths: Sequence[Path], seconds: float = 300) -> None:
        """At least twice over, and again until all kills have hit something alive."""
        end = time.monotonic() + seconds
        hooks = sum(map(_hooks_of, paths))
        # The first pass sees most of the kills: what comes later finds everything stored.
        self._eager = min(0.9, 2 * len(self.planned) / max(1, hooks))
        stored: dict[str, int] = {}
        while self.passes < 2 or (self.planned and self.passes < MAX_PASSES and time.monotonic() < end):
            self.passes += 1
            for path in paths:
                self._drive(path)
            self._eager = 0.9
            stored = stored or self._hub.counts(killed=True)
        self.grown = {
            name: rows - stored[name] for name, rows in self._hub.counts(killed=True).items() if rows != stored[name]
        }

    def _drive(self, path: Path) -> None:
        session, found = steps(path)
        folder = self._station.home / "replay"
        folder.mkdir(exist_ok=True)
        copy = folder / f"{session}.jsonl"
        open_turn = False
        with copy.open("wb", buffering=0) as file:
            self._hook("SessionStart", session, copy, source="startup")
            for step in found:
                if step.kind == "prompt":
                    if open_turn:
                        self._hook("Stop", session, copy, stop_hook_active=False)
                        open_turn = False
                    self._hook("UserPromptSubmit", session, copy, prompt=step.prompt)
                elif step.kind == "compaction":
                    self._hook("PreCompact", session, copy, trigger="auto")
                file.write(step.line)
                open_turn = open_turn or step.kind == "answer"
            self._hook("Stop", session, copy, stop_hook_active=False)
        self._finish(session, copy)

    def _finish(self, session: str, copy: Path) -> None:
        """A last Stop that nobody disturbs, and everything sent: what was held up before must come with it."""
        for _ in range(3):
            self._healthy("Stop", self._station.start_hook("Stop", session, copy))
            if self._station.settled(DRAIN_SECONDS / 2):
                break
        else:
            raise AssertionError(f"not everything was sent: {self._station.log()[-5:]}")
        copy.unlink()

    def _hook(self, event: str, session: str, copy: Path, **members: Any) -> None:
        victim = self.planned[-1] if self.planned and self._random.random() < self._eager else ""
        process = self._station.start_hook(event, session, copy, **members)
        if victim == "hook":
            time.sleep(self._random.uniform(0, HOOK_SECONDS))
            if process.poll() is None:
                process.kill()
                process.communicate()
                self._hit(victim)
                return
        self._healthy(event, process)
        if victim in {"flusher", "hub"} and waited(lambda: any(self._station.flushers()), 0.3):
            time.sleep(self._random.uniform(0, FLUSHER_SECONDS))
            if victim == "hub":
                self._hub.kill()
                self._hub.start()
            elif not self._station.kill_flushers():
                return  # it was quicker
            self._hit(victim)

    def _hit(self, victim: str) -> None:
        self.planned.pop()
        self.killed[victim] += 1

    def _healthy(self, event: str, process: subprocess.Popen[bytes]) -> None:
        said, wrong = process.communicate(timeout=30)
        self.hooks += 1
        if process.returncode or wrong:
            self.failing.append(f"{event}: exit {process.returncode}: {wrong[-200:]!r}")
        elif said and event in {"Stop", "PreCompact"}:
            self.failing.append(f"{event} printed {said[:100]!r}")


def _hooks_of(path: Path) -> int:
    return 2 + sum(2 if step.kind == "prompt" else step.kind == "compaction" for step in steps(path)[1])


@dataclass
class Large:
    """What sending one large transcript took. Sizes in bytes."""

    size: int
    turns: int
    flusher: int
    hub_growth: int
    seconds: float


def send_large(hub: HubProcess, station: Station, session: Session, path: Path, size: int) -> Large:
    """Let one Stop hook send a transcript of `size` bytes, and watch the memory of both sides meanwhile."""
    turns = 0
    with path.open("wb") as file:
        for line in growing(session, size):
            file.write(line)
            turns += b'"toolUseResult"' in line
    forget_peak(hub.pid)
    before, begun, flusher = memory(hub.pid, "VmRSS"), time.monotonic(), 0
    station.hook("Stop", session.id, path)
    end = begun + 10 * DRAIN_SECONDS
    while not station.idle():
        assert time.monotonic() < end, "the transcript was not sent in time"
        flusher = max(flusher, *map(memory, station.flushers()), 0)
        time.sleep(0.02)
    seconds = time.monotonic() - begun
    return Large(path.stat().st_size, turns, flusher, memory(hub.pid) - before, seconds)
