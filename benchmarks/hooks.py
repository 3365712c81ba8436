"""What a hook costs the agent: CPU as a multiple of a bare interpreter's start, and the time the agent waits.

Every round runs ``python -I -S -c pass`` and each hook once, in turn, so that a busy moment hits all of them alike. CPU
is user and system time of the process from `wait4`; the detached flusher is not part of it and has ended before the
next measurement begins. The hub is a real one on an SQLite file of its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worklore_cli.hub_process import temporary_hub
from worklore_cli.machine import describe_machine
from worklore_cli.replaying import percentiles
from worklore_client.agent_settings import TIMEOUTS, command_of, entries
from worklore_client.config import Config, save
from worklore_client.spool import flusher_lock, note_files
from worklore_client.wire import Hub

BARE = "bare interpreter"
GOAL = 2.0
PROMPT = "The tunnel to the branch office drops again since the firmware update. What did we change last time?"


@contextmanager
def connected_home() -> Iterator[Path]:
    """A client's home that is connected to a hub of its own."""
    with tempfile.TemporaryDirectory(prefix="worklore-bench-") as place, temporary_hub(Path(place)) as hub:
        machine = describe_machine("bench")
        answer = Hub(hub.url).post("auth/setup", {"code": hub.setup_code, "machine": machine})
        home = Path(place) / "home"
        save(Config(home, hub.url, answer["token"], {"linger_ms": "0", "prompt_ms": "5000", "start_ms": "5000"}))
        project = Path(place) / "network"
        (project / ".git").mkdir(parents=True)
        (project / ".git" / "config").write_text('[remote "origin"]\n\turl = https://git.example.com/msp/network.git\n')
        yield home


def commands(home: Path) -> dict[str, tuple[list[str], bytes]]:
    """What is measured: the command and its standard input."""
    project = home.parent / "network"
    transcript = home.parent / "none.jsonl"
    about = {
        "session_id": "bench",
        "transcript_path": str(transcript),
        "cwd": str(project),
        "permission_mode": "default",
    }
    bare = [sys.executable, "-I", "-S", "-c", "pass"]
    measured = {BARE: (bare, b"")}
    for event, entry in entries(home).items():
        stdin = {**about, "hook_event_name": event, "prompt": PROMPT, "source": "startup", "trigger": "auto"}
        measured[event] = (command_of(entry), json.dumps(stdin).encode())
    return measured


def measure(command: list[str], stdin: bytes, folder: Path) -> tuple[float, float]:
    """(CPU, wall) of one run in milliseconds."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000, wall * 1000


def settle(home: Path) -> None:
    """Wait until the flusher that a hook started has ended."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not note_files(home):
            with flusher_lock(home) as free:
                if free:
                    return
        time.sleep(0.005)
    raise RuntimeError("the flusher does not come to an end")


def run(*, rounds: int = 60) -> dict[str, Any]:
    """The figures: for each event CPU in milliseconds and as a multiple, wall p50 and p95, and what failed silently."""
    with connected_home() as home:
        measured = commands(home)
        cpu: dict[str, list[float]] = {name: [] for name in measured}
        wall: dict[str, list[float]] = {name: [] for name in measured}
        for number in range(rounds + 2):
            for name, (command, stdin) in measured.items():
                used, waited = measure(command, stdin, home.parent / "network")
                settle(home)
                if number >= 2:  # the first rounds compile and fill caches
                    cpu[name].append(used)
                    wall[name].append(waited)
        log = home / "hook.log"
        silent = [line for line in log.read_text().splitlines() if " flush " not in line] if log.exists() else []
    bare = statistics.median(cpu[BARE])
    results = {
        name: {
            "cpu_ms": round(statistics.median(cpu[name]), 2),
            "multiple": round(statistics.median(cpu[name]) / bare, 2),
            "wall_ms": percentiles(wall[name]),
        }
        for name in measured
    }
    holds = not silent and all(results[event]["multiple"] <= GOAL for event in TIMEOUTS)
    return {"rounds": rounds, "goal": GOAL, "holds": holds, "silent_failures": silent[-5:], "results": results}


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'hook':20}{'CPU ms':>8}{'multiple':>10}{'wall p50':>10}{'p95':>8}"]
    for name, result in figures["results"].items():
        wall = result["wall_ms"]
        lines.append(
            f"{name:20}{result['cpu_ms']:>8.2f}{result['multiple']:>10.2f}{wall['p50']:>10.1f}{wall['p95']:>8.1f}"
        )
    lines.append(f"goal: a multiple of at most {figures['goal']:g}; {'held' if figures['holds'] else 'NOT held'}")
    lines += [f"gave up in silence: {line}" for line in figures["silent_failures"]]
    return "\n".join(lines)


def main() -> None:
    """Run it alone: `python -m benchmarks.hooks --rounds 60`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = run(rounds=arguments.rounds)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
