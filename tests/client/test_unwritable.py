"""A home that cannot be written, and a disk that is full: nothing acknowledged is lost, and no agent is disturbed."""

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.client.conftest import Machine, PretendedHub
from tests.client.test_hook import kept, said
from worklore_client import cache, operations
from worklore_client.config import load
from worklore_client.layers import Question, read
from worklore_client.operations import Operation

LESSON = Operation("POST", "context-snippets", {"category": "lesson", "title": "t", "dense_content": "d"})
ADD = """
import sys
sys.path.insert(0, {source!r})
from pathlib import Path
from worklore_client import operations
from worklore_client.operations import Operation
try:
    operations.add(Path({home!r}), Operation("POST", "context-snippets", {{"title": "t"}}))
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def full_disk() -> None:
    """Let this process write not one byte more into any file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@contextmanager
def read_only(folder: Path) -> Iterator[Callable[[list[str]], list[str]]]:
    """Gives what to put before a command so that it finds the folder read-only."""
    if os.geteuid() == 0:
        # Rights do not bind root: the folder is mounted over itself, for the command alone.
        mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}' && exec \"$@\""
        if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
            pytest.skip("root cannot mount here")
        yield lambda command: ["unshare", "-m", "sh", "-c", mount, "sh", *command]
        return
    paths = [folder, *folder.rglob("*")]
    modes = [(path, stat.S_IMODE(path.stat().st_mode)) for path in paths]
    for path, mode in modes:
        path.chmod(mode & ~0o222)
    try:
        yield lambda command: command
    finally:
        for path, mode in modes:
            path.chmod(mode)


def added(machine: Machine, before: list[str] | None = None, *, full: bool = False) -> str:
    code = ADD.format(source=str(Path(operations.__file__).parent.parent), home=str(machine.home))
    command = [*(before or []), sys.executable, "-I", "-c", code]
    limit = full_disk if full else None
    ran = subprocess.run(command, capture_output=True, check=True, text=True, preexec_fn=limit)
    return ran.stdout


def test_a_full_disk_refuses_an_operation_and_leaves_nothing_of_it(machine: Machine) -> None:
    first = operations.add(machine.home, LESSON)
    assert added(machine, full=True).split()[0] == "OSError"
    assert operations.waiting(machine.home) == [first.path]
    assert not list((machine.home / "spool").glob(".*.part"))
    assert operations.read(machine.home, first.path) == first


def test_a_full_disk_leaves_the_cache_as_it_was(machine: Machine, hub: PretendedHub) -> None:
    kept(machine, hub)
    process = os.fork()
    if process == 0:
        full_disk()
        try:
            kept(machine, hub)
        except Exception:  # noqa: BLE001 - whatever it is, it was refused
            os._exit(7)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    answer = read(load(machine.home), Question("brief", str(machine.project)))
    assert "The path of the backup was changed" in answer.text


@pytest.mark.parametrize("event", ["SessionStart", "UserPromptSubmit", "PreToolUse", "Stop"])
def test_hooks_on_a_full_disk(machine: Machine, hub: PretendedHub, event: str) -> None:
    kept(machine, hub)
    hub.mode = "error"
    ran = subprocess.run(
        machine.command(event),
        input=machine.event(event, prompt="the backup of nas-07"),
        capture_output=True,
        check=False,
        cwd=machine.project,
        preexec_fn=full_disk,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    if event == "SessionStart":
        assert "The path of the backup was changed" in said(ran.stdout)


def test_a_home_that_cannot_be_written(machine: Machine, hub: PretendedHub) -> None:
    kept(machine, hub)
    hub.mode = "error"
    with read_only(machine.home) as inside:
        for event in ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop"):
            ran = subprocess.run(
                inside(machine.command(event)),
                input=machine.event(event, prompt="the backup of nas-07"),
                capture_output=True,
                check=False,
                cwd=machine.project,
            )
            assert (ran.returncode, ran.stderr) == (0, b"")
            if event == "SessionStart":
                assert "The path of the backup was changed" in said(ran.stdout)
        assert added(machine, inside([])).split()[0] in {"OSError", "PermissionError"}
        command = [sys.executable, "-m", "worklore_cli", "brief", "--json"]
        environment = {**os.environ, "WORKLORE_HOME": str(machine.home)}
        done = subprocess.run(
            inside(command), capture_output=True, check=False, text=True, cwd=machine.project, env=environment
        )
        told = json.loads(done.stdout)
        assert told["layer"] == "cache", told
        assert "The path of the backup was changed" in told["text"]
    assert operations.waiting(machine.home) == []
    assert cache.reading(load(machine.home)) is not None
