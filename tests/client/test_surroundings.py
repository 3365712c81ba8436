"""The client where its surroundings are not as they should be: homes, users, consoles, networks, releases, tokens."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TestHub
from worklore.identity.token import TokenKind
from worklore_cli import main as cli
from worklore_client.config import Config, save

from .conftest import HOOK, TOKEN, Machine, PretendedHub, record, serving, waited, write_records
from .test_wire import certificate, secure_hub

__all__ = ["certificate", "secure_hub"]

NOBODY = 65_534
SYSTEM_PYTHON = Path("/usr/bin/python3")
as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else")


def worklore(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a home with Claude Code."""
    (home / ".claude").mkdir(parents=True, exist_ok=True)
    kept = {"PATH": "/usr/bin:/bin", "HOME": str(home), "NO_COLOR": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.run(
        [sys.executable, "-m", "worklore_cli", *arguments],
        capture_output=True,
        check=False,
        cwd=home,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
    )


def one_line(ran: subprocess.CompletedProcess[bytes], expected: str) -> None:
    assert ran.returncode == 1, ran
    assert expected in ran.stderr.decode()
    assert len(ran.stderr.decode().splitlines()) == 1, ran


# --- homes and users


def test_hooks_need_neither_home_nor_path_nor_anything_else(machine: Machine, hub: PretendedHub) -> None:
    for event, printed in (("SessionStart", True), ("Stop", False)):
        ran = subprocess.run(
            machine.command(event), input=machine.event(event), capture_output=True, check=False, env={}, cwd="/"
        )
        assert (ran.returncode, bool(ran.stdout), ran.stderr) == (0, printed, b"")
    assert machine.drained()


@as_root
def test_a_user_without_a_home_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such users are those of containers: a number that the system has no name for."""
    monkeypatch.setattr(sys, "argv", ["worklore", "status"])
    for name in ("HOME", "WORKLORE_HOME"):
        monkeypatch.delenv(name, raising=False)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(writing, 2)
            os.setuid(54_321)
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - the handle itself
            cli.err.file = sys.stderr
            cli.main()
        except SystemExit:
            sys.stderr.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        assert told.read().decode().strip() == (
            "worklore: this user has no home folder: neither HOME nor the system's list of users names one. Set HOME"
        )


def test_a_home_that_cannot_be_written_keeps_the_code_good(tmp_path: Path, hub: PretendedHub) -> None:
    for place in ("/sys/worklore", "/proc/worklore", "/dev/null/worklore"):
        ran = worklore(tmp_path, "connect", hub.url, "--code", hub.code, WORKLORE_HOME=place)
        one_line(ran, place.rpartition("/")[0])
        for event in ("SessionStart", "UserPromptSubmit", "Stop", "PostToolUse", "Said"):
            command = [sys.executable, "-I", "-S", str(HOOK), place, "claude-code", event]
            asked = {"session_id": "s", "transcript_path": "/t.jsonl", "hook_event_name": event, "cwd": "/"}
            hook = subprocess.run(command, input=json.dumps(asked).encode(), capture_output=True, check=False)
            assert (hook.returncode, hook.stdout, hook.stderr) == (0, b"", b"")
    assert not hub.asked("/auth/setup")
    assert not hub.asked("/hooks/")
    assert not (tmp_path / ".claude" / "settings.json").exists()


@as_root
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="there is no Python that other users may run")
@pytest.mark.parametrize("readable", [True, False])
def test_hooks_in_the_home_of_another_user_disturb_nobody(machine: Machine, hub: PretendedHub, readable: bool) -> None:
    for each in (machine.home, *machine.home.rglob("*")):
        each.chmod((0o755 if each.is_dir() else 0o644) if readable else 0o700)
    with contextlib.ExitStack() as stack:
        for folder in list(machine.home.parents)[:-2]:
            mode = folder.stat().st_mode & 0o777
            stack.callback(folder.chmod, mode)
            folder.chmod(mode | 0o055)
        for event in ("SessionStart", "Stop", "PostToolUse", "Said"):
            ran = subprocess.run(
                [str(SYSTEM_PYTHON), *machine.command(event)[1:]],
                input=machine.event(event),
                capture_output=True,
                check=False,
                cwd="/",
                user=NOBODY,
            )
            assert (ran.returncode, ran.stderr) == (0, b"")
            assert bool(ran.stdout) == (readable and event == "SessionStart")
    assert machine.notes() == []


# --- consoles


def test_a_console_of_few_characters_shows_what_it_can(tmp_path: Path, hub: PretendedHub) -> None:
    console = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    home = tmp_path / "kim ✓ 日本"
    ran = worklore(home, "connect", hub.url, "--code", hub.code, **console)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert "kim ?" in ran.stdout.decode("cp1252")
    hub.known.add(str(home))
    ran = worklore(home, "recall", "Grüße 😀 → ok", **console)
    assert (ran.returncode, ran.stdout.decode("cp1252")) == (
        0,
        "<worklore-memory>Grüße ? ? ok</worklore-memory>\n",
    )
    (home / ".claude" / "settings.json").write_text("{}")
    ran = worklore(home, "doctor", **console)
    assert ran.returncode == 1
    assert b"Traceback" not in ran.stderr
    assert "Memory does NOT work" in ran.stdout.decode("cp1252")
    assert worklore(home, "disconnect", **console).returncode == 0


# --- networks


def test_a_certificate_that_is_refused_is_told_with_what_to_do(
    tmp_path: Path, secure_hub: PretendedHub, certificate: Path
) -> None:
    one_line(worklore(tmp_path, "connect", secure_hub.url, "--code", "X"), "--ca-file names the certificate authority")
    wrong_name = secure_hub.url.replace("127.0.0.1", "localhost")
    one_line(
        worklore(tmp_path, "connect", wrong_name, "--code", "X", "--ca-file", str(certificate)), "is refused: Host"
    )
    one_line(worklore(tmp_path, "connect", secure_hub.url, "--code", "X", "--ca-file", "/nowhere.pem"), "/nowhere.pem")
    assert not secure_hub.asked("/auth/setup")
    assert not (tmp_path / ".worklore").exists()


def test_proxies_of_the_environment_are_passed_by(tmp_path: Path, hub: PretendedHub) -> None:
    names = ("http_proxy", "https_proxy", "all_proxy")
    proxies = {each: "http://127.0.0.1:9" for name in names for each in (name, name.upper())}
    ran = worklore(tmp_path, "connect", hub.url, "--code", hub.code, **proxies)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert worklore(tmp_path, "doctor", **proxies).returncode == 0
    machine = Machine(tmp_path / ".worklore", tmp_path, proxies)
    assert machine.run("SessionStart").stdout


@pytest.fixture
def new_hub() -> Iterator[PretendedHub]:
    """A hub that IPv6 alone leads to."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    pretended = PretendedHub()
    try:
        with serving(pretended, address="::1"):
            yield pretended
    except OSError:
        pytest.skip("this machine has no IPv6 on loopback")


def test_a_hub_that_ipv6_alone_leads_to(tmp_path: Path, new_hub: PretendedHub) -> None:
    port = new_hub.url.rpartition(":")[2]
    ran = worklore(tmp_path, "connect", f"http://localhost:{port}", "--code", new_hub.code)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert f"hub=http://[::1]:{port}\n" in (tmp_path / ".worklore" / "config").read_text()
    assert worklore(tmp_path, "doctor").returncode == 0
    assert Machine(tmp_path / ".worklore", tmp_path).run("SessionStart").stdout
    assert worklore(tmp_path, "connect", new_hub.url).returncode == 0


# --- releases


def test_a_hub_of_an_earlier_release_serves_the_agents_it_knows(tmp_path: Path, hub: PretendedHub) -> None:
    hub.agents, hub.version = {"claude-code"}, "0.0.9"
    (tmp_path / ".codex").mkdir()
    ran = worklore(tmp_path, "connect", hub.url, "--code", hub.code)
    assert (ran.returncode, ran.stderr) == (0, b"")
    said = ran.stdout.decode()
    assert "Claude Code: round trip" in said
    assert "Codex: this hub knows no hooks of it yet" in said
    said = " ".join(worklore(tmp_path, "doctor").stdout.decode().split())
    assert "Upgrade the hub" in said
    assert "the hub is of a release that does not know this hook" in said


def test_entries_of_an_earlier_client_still_speak_to_this_hub(sqlite_hub: TestHub, tmp_path: Path) -> None:
    """They name home, agent and event, and nothing of members."""
    home = tmp_path / "home"
    save(Config(home, sqlite_hub.url, sqlite_hub.token(kind=TokenKind.machine), {"linger_ms": "0", "start_ms": "9000"}))
    shutil.rmtree(home / "last")  # which that client did not make
    machine = Machine(home, tmp_path)
    for event in ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop", "PreCompact"):
        assert machine.run(event).returncode == 0
    assert machine.drained()
    assert {line.split()[2] for line in machine.log().splitlines()} <= {"transcript-gone"}


# --- tokens


def test_a_token_revoked_in_mid_session_loses_nothing(sqlite_hub: TestHub, tmp_path: Path) -> None:
    home, transcript = tmp_path / ".worklore", tmp_path / "t.jsonl"
    limits = dict.fromkeys(("start_ms", "prompt_ms", "tool_ms"), "9000")
    save(
        Config(
            home, sqlite_hub.url, sqlite_hub.token(kind=TokenKind.machine), {"linger_ms": "0", "retry_s": "0", **limits}
        )
    )
    machine, owner = Machine(home, tmp_path), sqlite_hub.owner()
    me = sqlite_hub.client((home / "config").read_text().split("token=")[1].split("\n")[0]).get("/me").json()
    assert machine.run("SessionStart").returncode == 0
    assert machine.log() == ""
    write_records(transcript, [record(1, f"Said before the end, in {tmp_path.name}")])
    owner.post(f"/machines/{me['machine']['id']}/disable", json={}).raise_for_status()
    told = [machine.run(event, prompt="What now?") for event in ("UserPromptSubmit", "UserPromptSubmit", "PreToolUse")]
    assert [(ran.returncode, b"Memory is unavailable" in ran.stdout, ran.stderr) for ran in told] == [
        (0, True, b""),
        (0, False, b""),
        (0, False, b""),
    ]
    assert machine.run("Stop", transcript_path=str(transcript)).returncode == 0
    assert waited(lambda: " flush " in machine.log())
    codes = {tuple(line.split()[1:]) for line in machine.log().splitlines()}
    assert ("UserPromptSubmit", "answer-401") in codes
    assert len(machine.notes()) == 1
    ran = worklore(tmp_path, "doctor")
    assert ran.returncode == 1
    assert "Connect again" in ran.stdout.decode()
    assert TOKEN not in ran.stdout.decode()

    code = owner.post("/setup-codes", json={}).json()["code"]
    owner.post(f"/machines/{me['machine']['id']}/enable", json={}).raise_for_status()
    ran = worklore(tmp_path, "connect", sqlite_hub.url, "--code", code)
    assert ran.returncode == 0, ran
    assert machine.run("SessionStart").returncode == 0
    assert machine.drained()
