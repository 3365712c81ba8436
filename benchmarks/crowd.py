"""Fifty agents at once on one machine, against one hub: what hooks take, what they are told, and that nothing is lost.

All agents run the same hook in the same moment, event after event, as after a meeting in which everybody sat down to
work. Beside each wave runs one of as many bare interpreters: on few cores they wait for each other, and a hook may take
as long as the slowest of those, its limit for the hub's answer, and its limit for what this machine has kept.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.faults.rig import HubProcess, Station
from tests.faults.samples import TOPICS, Session, lines_of
from worklore_client.ask import CACHE_MS, LIMITS

AGENTS = 50
TURNS = 3
WINDOWS_OF_A_TURN = 3
MEMBERS: dict[str, dict[str, Any]] = {
    "SessionStart": {"source": "startup"},
    "UserPromptSubmit": {"prompt": "Why does the tunnel to the warehouse drop?"},
    "PreToolUse": {"tool_name": "Bash", "tool_input": {"command": "ssh fw-01 show crypto session"}},
    "PostToolUse": {"tool_name": "Bash", "tool_input": {"command": "ssh fw-01 show crypto session"}},
    "Stop": {},
}


def wave(pool: ThreadPoolExecutor, one: Callable[[int], bytes], agents: int) -> tuple[list[float], list[bytes]]:
    """Milliseconds of each of so many at once, and what each printed."""

    def timed(number: int) -> tuple[float, bytes]:
        begun = time.perf_counter()
        said = one(number)
        return 1000 * (time.perf_counter() - begun), said

    found = list(pool.map(timed, range(agents)))
    return [took for took, _ in found], [said for _, said in found]


def bare(_: int) -> bytes:
    return subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True, capture_output=True).stdout


def run(agents: int = AGENTS) -> dict[str, Any]:
    """For each event what the hooks took beside bare interpreters and how many told something; what was lost."""
    with tempfile.TemporaryDirectory(prefix="worklore-bench-") as place, ThreadPoolExecutor(agents) as pool:
        folder = Path(place)
        hub, station = HubProcess(folder / "hub"), Station(folder / "pc")
        hub.start()
        try:
            station.prepare()
            station.connect(hub.url, hub.code())
            sessions = [Session(f"agent-{number}") for number in range(agents)]
            paths = [folder / f"{session.id}.jsonl" for session in sessions]
            for session, path in zip(sessions, paths, strict=True):
                path.write_bytes(
                    b"".join(lines_of(line for n in range(1, TURNS + 1) for line in session.turn(TOPICS[0], n)))
                )
            station.hook("Stop", sessions[0].id, paths[0])  # so that there is something to tell
            station.worklore("sync")
            events = {event: _event(pool, station, sessions, paths, event=event) for event in MEMBERS}
            settled = station.settled(300)
            kept = len(hub.windows(*(session.id for session in sessions)))
        finally:
            hub.kill()
    lost = agents * TURNS * WINDOWS_OF_A_TURN - kept
    held = settled and lost == 0 and all(each["held"] for each in events.values())
    return {"agents": agents, "events": events, "lost": lost, "holds": held}


def _event(
    pool: ThreadPoolExecutor, station: Station, sessions: list[Session], paths: list[Path], *, event: str
) -> dict[str, Any]:
    theirs, _ = wave(pool, bare, len(sessions))
    before = len(station.log())
    ours, said = wave(pool, lambda n: station.hook(event, sessions[n].id, paths[n], **MEMBERS[event]), len(sessions))
    codes = Counter(line.split()[-1] for line in station.log()[before:] if " flush " not in line)
    limit = LIMITS[event][1] + CACHE_MS if event in LIMITS else 0
    return {
        "p50_ms": round(statistics.median(ours), 1),
        "max_ms": round(max(ours), 1),
        "bare_p50_ms": round(statistics.median(theirs), 1),
        "bare_max_ms": round(max(theirs), 1),
        "limit_ms": limit,
        "told": sum(map(bool, said)),
        "codes": dict(codes),
        "held": not limit or max(ours) <= max(theirs) + limit,
    }


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'event':18}{'p50 ms':>9}{'max':>9}{'bare p50':>10}{'max':>9}{'limit':>7}{'told':>6}  in the log"]
    for event, each in figures["events"].items():
        codes = ", ".join(f"{code} {count}" for code, count in sorted(each["codes"].items()))
        lines.append(
            f"{event:18}{each['p50_ms']:>9.1f}{each['max_ms']:>9.1f}{each['bare_p50_ms']:>10.1f}"
            f"{each['bare_max_ms']:>9.1f}{each['limit_ms']:>7}{each['told']:>6}  {codes}"
            + ("" if each["held"] else "  OVER ITS LIMIT")
        )
    return "\n".join([*lines, f"{figures['agents']} agents at once, {figures['lost']} windows lost"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = run(given.agents)
    print(json.dumps(found, indent=1) if given.json else table(found))
    sys.exit(0 if found["holds"] else 1)
