"""The commands a technician types, against a pretended hub."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worklore_cli import hook_log
from worklore_cli import main as cli
from worklore_cli.replaying import prompt_of
from worklore_client import operations
from worklore_client.adapters import ADAPTERS, CLAUDE_CODE
from worklore_client.spool import FlushState

from .conftest import TOKEN, PretendedHub, record, waited, write_records

Run = Callable[..., tuple[int, str, str]]
CHECKS = [
    *("hub", "versions", "clock", "token", "memory", "project"),
    *("claude-code hooks", "claude-code recall", "claude-code capture"),
    *("spool", "last flush", "cache", "audit", "hook log"),
]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home without any trace of us."""
    home = tmp_path / "kim"
    (home / ".claude").mkdir(parents=True)
    moving = [adapter.variable for adapter in ADAPTERS if adapter.variable]
    for name in ("WORKLORE_HOME", "CLAUDE_PROJECT_DIR", "WORKLORE_HOOKS", *moving):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def worklore(user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["worklore", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def quick(user: Path) -> None:
    config = user / ".worklore" / "config"
    config.write_text(config.read_text() + "linger_ms=0\nretry_s=0\nstart_ms=5000\nprompt_ms=5000\n")


def test_connect_writes_proves_and_disconnect_leaves_no_trace(worklore: Run, user: Path, hub: PretendedHub) -> None:
    settings = user / ".claude" / "settings.json"
    original = '{"model": "opus",   "permissions": {"allow": []}}'
    settings.write_text(original)
    status, said, wrong = worklore("connect", hub.url, "--code", hub.code, "--yes")
    assert (status, wrong) == (0, "")
    assert "kim@example.com" in said
    assert "round trip through the hook" in said
    assert hub.asked("/hooks/claude-code/SessionStart")
    config = user / ".worklore" / "config"
    assert config.stat().st_mode & 0o777 == 0o600
    assert (user / ".worklore").stat().st_mode & 0o777 == 0o700
    machine = json.loads(hub.asked("/auth/setup")[0].body)["machine"]
    assert machine["home_directory"] == str(user)
    assert len(machine["machine_fingerprint"]) == 64

    written = settings.read_bytes()
    status, said, _ = worklore("connect", hub.url)  # no code: the token still works
    assert status == 0
    assert "unchanged" in said
    assert settings.read_bytes() == written
    assert len(hub.asked("/auth/setup")) == 1

    status, said, _ = worklore("disconnect")
    assert status == 0
    assert settings.read_text() == original
    assert not config.exists()
    assert list((user / ".claude").iterdir()) == [settings]


def test_a_settings_file_that_connecting_made_goes_again(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    assert (user / ".claude" / "settings.json").exists()
    assert worklore("disconnect")[0] == 0
    assert not list((user / ".claude").iterdir())


def test_a_dry_run_changes_nothing(worklore: Run, user: Path, hub: PretendedHub) -> None:
    status, said, _ = worklore("connect", hub.url, "--code", hub.code, "--dry-run")
    assert status == 0
    assert "Would exchange a code" in said
    assert not hub.asked("/auth/setup")
    assert [path.name for path in user.rglob("*")] == [".claude"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--code", "WRONG"], "does not take this code"),
        ([], "no token for that hub"),
    ],
)
def test_connect_says_what_is_missing(
    worklore: Run, user: Path, hub: PretendedHub, arguments: list[str], expected: str
) -> None:
    status, said, wrong = worklore("connect", hub.url, *arguments)
    assert (status, said) == (1, "")
    assert expected in wrong
    assert len(wrong.splitlines()) == 1
    assert not (user / ".worklore" / "config").exists()
    assert not (user / ".claude" / "settings.json").exists()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9", "cannot be reached"),
        ("http://192.0.2.7:8420", "Use https"),
        ("hub.example.com", "is not a hub's address"),
    ],
)
def test_addresses_that_cannot_be(worklore: Run, user: Path, url: str, expected: str) -> None:
    status, _, wrong = worklore("connect", url, "--code", "X")
    assert status == 1
    assert expected in wrong
    assert len(wrong.splitlines()) == 1


@pytest.mark.parametrize("mode", ["error", "rubbish", "html"])
def test_connect_to_something_that_is_no_hub(worklore: Run, hub: PretendedHub, mode: str) -> None:
    hub.mode = mode
    status, _, wrong = worklore("connect", hub.url, "--code", "X")
    assert status == 1
    assert len(wrong.splitlines()) == 1


def test_a_home_that_cannot_be_is_one_line(
    worklore: Run, user: Path, hub: PretendedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (user / "occupied").write_text("a file")
    monkeypatch.setenv("WORKLORE_HOME", str(user / "occupied"))
    status, _, wrong = worklore("connect", hub.url, "--code", hub.code)
    assert (status, wrong) == (1, f"worklore: {user}/occupied: File exists\n")
    assert not hub.asked("/auth/setup")


def test_a_broken_settings_file_stops_before_the_code_is_used(worklore: Run, user: Path, hub: PretendedHub) -> None:
    settings = user / ".claude" / "settings.json"
    settings.write_text('{"hooks": ')
    status, _, wrong = worklore("connect", hub.url, "--code", hub.code)
    assert status == 1
    assert "is not JSON" in wrong
    assert not hub.asked("/auth/setup")
    assert settings.read_text() == '{"hooks": '


def test_doctor_is_content_and_then_is_not(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    status, said, _ = worklore("doctor", "--json")
    assert status == 0
    checks = {check["name"]: check["state"] for check in json.loads(said)["checks"]}
    assert checks == dict.fromkeys(CHECKS, "ok")
    assert worklore("status")[0] == 0
    assert "belongs to no project yet" in worklore("doctor")[1]
    hub.known.add(str(user))
    assert "3 searched" in worklore("doctor")[1]

    hub.tokens.clear()
    status, said, _ = worklore("doctor")
    assert status == 1
    assert "Memory does NOT work" in said

    hub.mode = "error"
    assert worklore("doctor")[0] == 1


def test_doctor_shows_what_the_hooks_kept_to_themselves(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    home = user / ".worklore"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    (home / "hook.log").write_text(f"2020-01-01T00:00:00Z Stop old\n{now} UserPromptSubmit hub-timeout\n")
    state = FlushState()
    state.failed("hub-unreachable", 60)
    state.save(home)
    (home / "config").chmod(0o644)
    note = home / "spool" / "1.note"
    note.write_text("{}")
    os.utime(note, (1, 1))
    status, said, _ = worklore("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(said)["checks"]}
    assert checks["permissions"]["state"] == "warning"
    assert "hub-timeout" in checks["hook log"]["detail"]
    assert "old" not in checks["hook log"]["detail"]
    assert checks["last flush"]["state"] == "warning"
    assert (checks["spool"]["state"], status) == ("failure", 1)


def test_doctor_notices_a_clock_that_is_wrong_and_a_release_that_is_another(
    worklore: Run, user: Path, hub: PretendedHub
) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    for version, hint in (("99.1.0", "Upgrade this client"), ("0.0.9", "Upgrade the hub"), ("", "")):
        hub.version, hub.clock = version, 7200.0
        status, said, _ = worklore("doctor", "--json")
        checks = {check["name"]: check for check in json.loads(said)["checks"]}
        assert status == 0  # it works all the same
        assert hint in checks["versions"]["hint"]
        assert checks["versions"]["state"] == ("warning" if hint else "ok")
        assert checks["clock"]["state"] == "warning"
        assert "120 minutes behind the hub's" in checks["clock"]["detail"]


def test_the_log_tells_who_gave_up_and_what_to_do(worklore: Run, user: Path, hub: PretendedHub) -> None:
    home = user / ".worklore"
    home.mkdir()
    (home / "hook.log.1").write_text("2026-03-01T10:00:00Z Stop old-code\nrubbish\n")
    (home / "hook.log").write_text(
        "2026-03-02T10:00:00Z UserPromptSubmit hub-timeout\n2026-03-03T10:00:00Z flush hub-unreachable\n"
    )
    status, said, _ = worklore("log")
    assert status == 0
    assert [line.split()[2] for line in said.splitlines()] == ["old-code", "hub-timeout", "hub-unreachable"]
    assert "is it running" in said
    assert worklore("log", "--event", "flush")[1].count("\n") == 1
    assert json.loads(worklore("log", "--json", "-n", "1")[1]) == [
        {"time": "2026-03-03T10:00:00Z", "event": "flush", "code": "hub-unreachable"}
    ]
    assert worklore("log", "-n", "0")[1] == "No hook has given up\n"


def test_the_log_is_followed_over_its_turn(tmp_path: Path) -> None:
    log = tmp_path / "hook.log"
    log.write_text("2026-03-01T10:00:00Z Stop old\n")
    lines = hook_log.follow(tmp_path)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(next(lines).code for _ in range(2)))
    reader.start()
    time.sleep(0.2)
    with log.open("a") as file:
        file.write("2026-03-01T10:00:01Z Stop first\n2026-03-01T10:00:02Z Stop half")
    assert waited(lambda: seen == ["first"])
    log.replace(tmp_path / "hook.log.1")
    log.write_text("2026-03-01T10:00:03Z Stop turned\n")
    reader.join(5)
    assert seen == ["first", "turned"]


def test_doctor_notices_hooks_that_cannot_run(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    settings = user / ".claude" / "settings.json"
    connected = settings.read_text()
    settings.write_text(connected.replace(json.dumps(sys.executable)[1:-1], "/opt/gone/bin/python"))
    status, said, _ = worklore("doctor")
    assert status == 1
    assert "/opt/gone/bin/python" in said
    settings.write_text("{}")
    assert "not in" in worklore("doctor")[1]
    assert worklore("connect", hub.url)[0] == 0
    assert worklore("doctor")[0] == 0


@pytest.mark.parametrize("command", [["status"], ["code"], ["recall", "what?"], ["replay", "t.jsonl"]])
def test_commands_on_a_machine_that_is_not_connected(worklore: Run, user: Path, command: list[str]) -> None:
    write_records(user / "t.jsonl", [record(1)])
    status, _, wrong = worklore(*command)
    assert status == 1
    assert "worklore connect" in wrong
    assert worklore("doctor")[0] == 1


def test_recall_and_code(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    status, said, wrong = worklore("recall", "what?")
    assert (status, said) == (1, "")
    assert "belongs to no known project" in wrong
    hub.known.add(str(user))
    status, said, wrong = worklore("recall", "what of the [bold]VPN[/bold]?", "--budget", "500")
    assert (status, said) == (0, "<worklore-memory>what of the [bold]VPN[/bold]?</worklore-memory>\n")
    assert "12 of 500 tokens (cl100k_base)" in wrong
    body = json.loads(hub.asked("/recall")[-1].body)
    assert (body["budget"], body["project"], body["identity"]["path"]) == (500, None, str(user))
    status, said, _ = worklore("recall", "again", "--project", "acme", "--json")
    assert json.loads(said)["tokens"] == 12
    assert json.loads(hub.asked("/recall")[-1].body)["identity"] is None
    only = ("--client", "Acme", "--host", "fw-01", "--kind", "solution", "--kind", "decision", "--tag", "vpn")
    assert worklore("recall", "again", *only, "--as-of", "2026-03-01", "--trust", "stated")[0] == 0
    body = json.loads(hub.asked("/recall")[-1].body)
    assert (body["client"], body["host"], body["tags"], body["identity"]) == ("Acme", "fw-01", ["vpn"], None)
    assert (body["kinds"], body["as_of"], body["trust_min"]) == (["solution", "decision"], "2026-03-01", "stated")
    assert "FURTHER-CODE" in worklore("code")[1]


def test_disconnect_keeps_and_names_what_was_not_sent(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    note = user / ".worklore" / "spool" / "1.note"
    note.write_text("{}")
    home = user / ".worklore"
    operation = operations.add(home, operations.Operation("POST", "context-snippets", {"title": "t"}))
    (home / "cache.db").write_bytes(b"what was kept")
    status, said, _ = worklore("disconnect")
    assert status == 0
    assert "1 transcript notes" in said
    assert "1 writes of this machine" in said
    assert note.exists()
    assert operation.path.exists()
    assert not (home / "cache.db").exists()
    assert TOKEN not in said


def tools() -> list[dict[str, Any]]:
    """A command that runs, and one that fails."""
    used = [
        {"type": "tool_use", "id": f"t{n}", "name": name, "input": {"command": "ls"}}
        for n, name in enumerate(("Bash", "Read"))
    ]
    ended = [{"type": "tool_result", "tool_use_id": f"t{n}", "content": "x", "is_error": n == 1} for n in range(2)]
    calls = {
        "type": "assistant",
        "uuid": "calls",
        "sessionId": "s-1",
        "message": {"role": "assistant", "content": used},
    }
    results = {"type": "user", "uuid": "results", "sessionId": "s-1", "message": {"role": "user", "content": ended}}
    return [calls, results]


def session(turns: int) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [{"type": "file-history-snapshot", "messageId": "m", "snapshot": {}}]
    for turn in range(turns):
        records += [record(2 * turn), record(2 * turn + 1, kind="assistant"), {"type": "progress", "data": {}}]
        if turn == 0:
            records += tools()
        if turn == 1:
            records.append({"type": "system", "subtype": "compact_boundary", "uuid": "boundary", "sessionId": "s-1"})
            summary = record(900, "This session is continued from an earlier one")
            records.append({**summary, "isCompactSummary": True})
    return records


def test_replay_drives_the_real_hooks_and_twice_doubles_nothing(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    quick(user)
    recorded = user / "recorded.jsonl"
    write_records(recorded, session(4))
    recorded.write_bytes(recorded.read_bytes() + b'{"torn": \xff\n')
    status, said, _ = worklore("replay", str(recorded), "--json")
    sums = json.loads(said)
    assert status == 0, said
    assert (sums["sessions"], sums["prompts"], sums["failures"], sums["drained"]) == (1, 4, 0, True)
    assert sums["hooks"] == 1 + 4 + 4 + 2 + 3 + 1  # the start, prompts, Stops, a compaction, three of tools, the end
    ran = {event: times["p50"] > 0 for event, times in sums["by_event"].items()}
    assert ran == dict.fromkeys([event.name for event in CLAUDE_CODE.events if event.name != "SubagentStop"], True)
    assert sums["windows"] == len(hub.records) == 12
    assert sums["injected_tokens"] > 0
    assert sums["silent"] == {}
    assert hub.malformed == 1
    prompts = [json.loads(request.body)["prompt"] for request in hub.asked("UserPromptSubmit")]
    assert prompts == [record(2 * turn)["message"]["content"] for turn in range(4)]
    assert {identity["path"] for identity in hub.identities} == {str(user)}

    status, said, _ = worklore("replay", str(recorded))
    assert status == 0
    assert "0 memories stored" in said
    assert len(hub.records) == 12
    assert not list((user / ".worklore" / "replay").iterdir())


def test_replay_fails_when_a_hook_does(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    quick(user)
    settings = user / ".claude" / "settings.json"
    settings.write_text(settings.read_text().replace('"UserPromptSubmit"\n', '"--no-such"\n').replace("-I", "--bad", 1))
    recorded = user / "recorded.jsonl"
    write_records(recorded, session(1))
    status, said, _ = worklore("replay", str(recorded), "--json")
    assert status == 1
    assert json.loads(said)["failures"] == 1


def test_replay_says_that_not_everything_was_sent(worklore: Run, user: Path, hub: PretendedHub) -> None:
    assert worklore("connect", hub.url, "--code", hub.code)[0] == 0
    quick(user)
    recorded = user / "recorded.jsonl"
    write_records(recorded, session(1))
    hub.mode = "error"
    status, said, _ = worklore("replay", str(recorded), "--wait", "1")
    assert status == 1
    assert "Not everything could be sent" in said
    hub.mode = "ok"
    assert waited(lambda: not hub.lock.locked())


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "user", "message": {"content": " do it "}}, "do it"),
        ({"type": "user", "message": {"content": [{"type": "text", "text": "look"}, {"type": "image"}]}}, "look"),
        ({"type": "user", "message": {"content": [{"type": "tool_result", "content": "x"}]}}, ""),
        ({"type": "user", "isMeta": True, "message": {"content": "x"}}, ""),
        ({"type": "user", "message": {"content": "<command-name>/clear</command-name>"}}, ""),
        ({"type": "user", "message": {"content": "[Request interrupted by user]"}}, ""),
        ({"type": "user", "message": 7}, ""),
        ({"type": "assistant", "message": {"content": "x"}}, ""),
        ({}, ""),
    ],
)
def test_what_counts_as_a_prompt(message: dict[str, Any], expected: str) -> None:
    assert prompt_of(message) == expected


def test_hub_commands_are_handed_on_and_need_the_hub(worklore: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    class Handed(Exception):  # noqa: N818 - stands in for the program that takes over
        pass

    def hand_over(_path: str, command: list[str]) -> None:
        seen.append(command)
        raise Handed

    monkeypatch.setattr("os.execv", hand_over)
    monkeypatch.setattr(sys, "argv", ["worklore", "serve", "--port", "0", "--help"])
    with pytest.raises(Handed):
        cli.main()
    assert seen == [[sys.executable, "-m", "worklore", "serve", "--port", "0", "--help"]]
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    status, _, wrong = worklore("serve")
    assert status == 1
    assert "pip install 'worklore[hub]'" in wrong
    assert len(wrong.splitlines()) == 1
