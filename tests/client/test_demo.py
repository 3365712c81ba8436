"""The demo on a real hub: the whole way from one machine's hooks to another machine's agent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import waited

DEMO = [sys.executable, "-m", "worklore_cli", "demo"]


def environment(folder: Path) -> dict[str, str]:
    # A home and a hub of the technician's own must not be touched by the demo.
    return {**os.environ, "TMPDIR": str(folder), "HOME": str(folder / "own"), "WORKLORE_HOME": str(folder / "own")}


def processes(folder: Path) -> list[str]:
    """The command lines of everything that still runs in `folder`."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it has just ended
        if str(folder) in command:
            found.append(command)
    return found


def test_the_second_machines_agent_is_told_what_the_first_did(tmp_path: Path) -> None:
    begun = time.monotonic()
    ran = subprocess.run(DEMO, capture_output=True, text=True, check=False, env=environment(tmp_path), timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert time.monotonic() - begun < 60
    start, prompt = ran.stdout.split("the agent is told")
    assert "<worklore-memory>" in start
    assert "keepalive must stay at 20 seconds" in start
    assert "workshop-pc" in prompt
    assert "1452" in prompt
    assert "Cost for the agent" in prompt
    assert list(tmp_path.iterdir()) == []
    assert processes(tmp_path) == []


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What starts now may be interrupted: a shell starts its background jobs, such as this run, with SIGINT ignored.

    A program keeps what it was started with, as it should, and only a handler of our own is not inherited.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("interruptible")
def test_interrupted_it_leaves_nothing_behind(tmp_path: Path, end: signal.Signals) -> None:
    demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path))
    assert waited(lambda: any(tmp_path.glob("worklore-demo-*/ready.json")))
    demo.send_signal(end)
    _, wrong = demo.communicate(timeout=20)
    assert demo.returncode == 130
    assert b"Traceback" not in wrong
    assert list(tmp_path.iterdir()) == []
    assert waited(lambda: processes(tmp_path) == [])
