"""CPU of a hook when the hub does not answer, as a multiple of the bare interpreter: the two measured in turn.

``python -m benchmarks.without_hub [RUNS]`` prints a table. No hub is needed: the one that is asked refuses at once.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import worklore_client
from worklore_client import cache
from worklore_client.config import Config, save

HOOK = Path(worklore_client.__file__).parent / "hook.py"
MEMORIES = 2_000
EVENTS = {
    "SessionStart": {},
    "UserPromptSubmit": {"prompt": "Why does the backup of nas-07 fail with error 0x80070035 again?"},
    "PreToolUse": {"tool_name": "Bash", "tool_input": {"command": "systemctl restart nginx"}},
}


def filled(home: Path, project: Path) -> None:
    """A cache of one project with as many memories as a machine takes along."""
    config = Config(home, "http://127.0.0.1:9", "wl_nobody", {})
    save(config)
    words = ("backup", "share", "tunnel", "switch", "nas-07", "firewall", "certificate", "printer", "path", "error")
    items = [
        {
            "id": f"m{n}",
            "seq": n,
            "kind": "turn",
            "turn": f"t{n}",
            "author": "kim",
            "machine": "bench",
            "said_at": "2026-03-03T10:00:00Z",
            "text": " ".join(f"{words[(n * k) % 10]} {words[(n + 3 * k) % 10]} number{n % 97}" for k in range(12)),
        }
        for n in range(1, MEMORIES + 1)
    ]
    trigger = {"head": "systemctl restart", "program": False, "words": ["nginx"], "least": 1, "rights": False}
    warning = {"id": "w1", "line": "- it failed here\n", "hosts": [], "triggers": [trigger]}
    answer = {
        "project": {"id": "p1", "name": "network", "client_id": None},
        "whole": True,
        "cursor": "c",
        "memories": {"held": "", "base": 0},
        "parts": {"brief": [{"text": "The share was renamed.\n" * 40}], "warning": [warning]},
    }
    with cache.writing(config) as writer:
        writer.take({"path": str(project)}, answer, items, [])


def cpu(command: list[str], stdin: bytes) -> tuple[float, bytes]:
    """Milliseconds of CPU that a process took, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(command, input=stdin, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return spent * 1000, ran.stdout


def main() -> None:
    """Print the medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory(prefix="worklore-bench-") as name:
        home, project = Path(name) / "home", Path(name) / "network"
        project.mkdir()
        filled(home, project)
        bare = [sys.executable, "-I", "-S", "-c", "pass"]
        for event, members in EVENTS.items():
            ours, theirs = [], []
            for run in range(runs):
                about = {"session_id": f"{event}-{run}", "cwd": str(project), "hook_event_name": event}
                command = [sys.executable, "-I", "-S", str(HOOK), str(home), "claude-code", event]
                theirs.append(cpu(bare, b"")[0])
                spent, said = cpu(command, json.dumps({**about, **members}).encode())
                if not said:
                    sys.exit(f"{event}: the cache said nothing")
                ours.append(spent)
            hook, python = statistics.fmean(ours), statistics.fmean(theirs)
            sys.stdout.write(
                f"{event:20}{hook:6.1f} ms CPU, {hook / python:4.1f} x the interpreter ({python:.1f} ms)\n"
            )


if __name__ == "__main__":
    main()
