"""The hooks as the agent runs them: a process, JSON on stdin."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worklore_client import cache, events
from worklore_client.ask import answer_body, header, split_url
from worklore_client.cached import CLOSING, OPENING, UNAVAILABLE
from worklore_client.config import load

from .conftest import HOOK, TOKEN, Machine, PretendedHub, record, serving, waited, write_records

SHA256 = "_sha2" if sys.version_info >= (3, 12) else "_sha256"


def modules_after(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, check=True, text=True)
    return set(ran.stdout.split())


BARE = modules_after("pass")
OURS = {"worklore_client", "worklore_client.events"}
WITHOUT_HUB = {"worklore_client.cached", "worklore_client.words", "_functools", "_sqlite3", "_json", SHA256}
"""What is loaded only when the hub did not answer."""

ASKING = ["SessionStart", "UserPromptSubmit", "PreToolUse"]
ALLOWED = {
    "SessionStart": OURS | {"worklore_client.ask", "worklore_client.project", "_socket", "fcntl"},
    "UserPromptSubmit": OURS | {"worklore_client.ask", "worklore_client.project", "_socket"},
    "PreToolUse": OURS | {"worklore_client.ask", "worklore_client.project", "_socket"},
    "Stop": OURS | {"fcntl"},
    "PreCompact": OURS | {"fcntl"},
    "PostToolUse": OURS | {"fcntl"},
}


@pytest.mark.parametrize("event", [*ALLOWED, "Said"])
def test_a_hook_loads_exactly_the_modules_it_may(machine: Machine, event: str) -> None:
    assert loaded(machine, event) == ALLOWED.get(event, OURS)
    assert machine.log() == ""


@pytest.mark.parametrize("event", ASKING)
def test_a_hook_without_a_hub_loads_little_more(machine: Machine, hub: PretendedHub, event: str) -> None:
    kept(machine, hub)
    hub.mode = "error"
    more = {"worklore_client.commands"} if event == "PreToolUse" else set[str]()
    found = loaded(machine, event, prompt="the backup of nas-07", tool_input={"command": "systemctl restart nginx"})
    assert found == ALLOWED[event] - {"fcntl"} | WITHOUT_HUB | more  # nothing waits for a flusher
    assert machine.log().split()[1::3] == [event] * 2
    assert machine.log().split()[2::3] == ["answer-500", "cache-answered"]


def loaded(machine: Machine, event: str, **members: object) -> set[str]:
    # The hook leaves by _exit; the stand-in reports what is loaded at that moment.
    script = (
        "import sys, posix\n"
        "posix._exit = lambda code: sys.stderr.write(f'{code} ' + ' '.join(sys.modules))\n"
        f"sys.argv = {[str(HOOK), str(machine.home), 'claude-code', event]!r}\n"
        f"__file__ = {str(HOOK)!r}\n"
        f"exec(compile(open(__file__).read(), __file__, 'exec'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        input=machine.event(event, **members),
        capture_output=True,
        check=True,
    )
    status, *modules = ran.stderr.decode().split()
    assert status == "0"
    return set(modules) - BARE


def kept(machine: Machine, hub: PretendedHub, ago: float = 0.0) -> None:
    """Let the machine have kept a little of its project."""
    identity = {"path": str(machine.project), "remote": None, "marker": None}
    memory = {"id": "m1", "seq": 1, "kind": "turn", "turn": "t1", "author": "kim", "machine": "bench"}
    memory |= {"said_at": "2026-03-03T10:00:00Z", "text": "The backup of nas-07 needs the new path </worklore-memory>"}
    trigger = {"head": "systemctl restart", "program": False, "words": ["nginx"], "least": 1, "rights": True}
    warning = {"id": "w1", "line": "- systemctl restart failed here\n", "hosts": [], "triggers": [trigger]}
    answer = {
        "project": {"id": "p1", "name": "firewall", "client_id": None},
        "whole": True,
        "cursor": "c1",
        "memories": {"held": cache.digest_of(["m1"]), "base": 0},
        "parts": {
            "brief": [{"text": OPENING + "The path of the backup was changed\n" + CLOSING}],
            "warning": [warning],
        },
    }
    config = load(machine.home)
    with cache.writing(config) as writer:
        assert writer.take(identity, answer, [memory], [])
    if ago:
        with contextlib.closing(sqlite3.connect(machine.home / "cache.db")) as link, link:
            link.execute("UPDATE projects SET fetched = fetched - ?", (ago,))


def test_what_is_kept_answers_when_the_hub_takes_too_long(machine: Machine, hub: PretendedHub) -> None:
    kept(machine, hub, ago=7_300)
    hub.mode = "slow"
    config = machine.home / "config"
    config.write_text(config.read_text().replace("_ms=3000", "_ms=200"))
    ran = machine.run("UserPromptSubmit", prompt='Why does the "backup"\nof nas-07 fail?', session_id="late")
    text = said(ran.stdout)
    assert "2026-03-03, kim on bench: The backup of nas-07 needs the new path" in text
    assert "2 hours old. It may have been overtaken." in text
    assert text.count("</worklore-memory>") == 1
    assert [line.split()[2] for line in machine.log().splitlines()] == ["hub-timeout", "cache-answered"]


def test_warnings_that_are_kept(machine: Machine, hub: PretendedHub) -> None:
    kept(machine, hub)
    hub.mode = "error"

    def warned(command: str, session: str) -> bool:
        ran = machine.run("PreToolUse", tool_input={"command": command}, session_id=session)
        return "systemctl restart failed here" in said(ran.stdout)

    assert warned("cd /tmp && systemctl restart nginx", "a")
    assert not warned("systemctl restart nginx", "a"), "nothing is warned of twice in a session"
    assert warned("ssh web-1 'systemctl restart nginx'", "b")
    assert not warned("sudo systemctl restart nginx", "c"), "with more rights it is another command"
    assert not warned("systemctl status nginx", "d")
    assert not warned("systemctl restart apache2", "e")
    assert not warned("", "f")


def test_a_cache_of_another_token_is_not_read(machine: Machine, hub: PretendedHub) -> None:
    kept(machine, hub)
    hub.mode = "error"
    config = machine.home / "config"
    config.write_text(config.read_text().replace(TOKEN, "wl_another"))
    assert "The path of the backup" not in said(machine.run("SessionStart").stdout)
    assert "SessionStart cache-of-another" in machine.log()


def test_nothing_of_a_token_is_kept(machine: Machine, hub: PretendedHub) -> None:
    kept(machine, hub)
    for name in ("cache.db", "cache.db-wal"):
        path = machine.home / name
        assert not path.exists() or TOKEN.encode() not in path.read_bytes()
    assert (machine.home / "cache.db").stat().st_mode & 0o777 == 0o600


def test_several_hooks_at_once_on_one_cache_that_is_being_written(machine: Machine, hub: PretendedHub) -> None:
    kept(machine, hub)
    hub.mode = "error"
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(machine.run, "SessionStart", session_id=f"many-{n}") for n in range(12)]
        for _ in range(20):
            kept(machine, hub)
        answers = [said(each.result().stdout) for each in asked]
    assert all("The path of the backup was changed" in text for text in answers), machine.log()


@pytest.mark.parametrize("event", ASKING)
def test_the_hubs_answer_is_printed_byte_for_byte(machine: Machine, hub: PretendedHub, event: str) -> None:
    ran = machine.run(event, prompt="What did we change on the firewall?")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert json.loads(ran.stdout)["hookSpecificOutput"]["additionalContext"] == "Grüße aus dem Gedächtnis"
    (request,) = hub.asked(f"/hooks/claude-code/{event}")
    assert request.body == machine.event(event, prompt="What did we change on the firewall?")
    assert request.headers["x-worklore-cwd"] == str(machine.project)


def test_the_project_goes_along_without_the_remotes_credentials(machine: Machine, hub: PretendedHub) -> None:
    git = machine.project / ".git"
    git.mkdir()
    (git / "config").write_text('[remote "origin"]\n\turl = https://kim:s3cret@git.example.com/msp/café.git\n')
    marker = machine.project / ".worklore" / "project"
    marker.parent.mkdir()
    marker.write_text("acme-firewall\n")
    deeper = machine.project / "rules" / "vpn"
    deeper.mkdir(parents=True)
    assert machine.run("UserPromptSubmit", prompt="hello", cwd=str(deeper)).stdout
    (request,) = hub.asked("/hooks/")
    assert request.headers["x-worklore-remote"] == "https://git.example.com/msp/café.git"
    assert request.headers["x-worklore-marker"] == "acme-firewall"
    assert request.headers["x-worklore-cwd"] == str(machine.project)


def said(output: bytes) -> str:
    return str(json.loads(output)["hookSpecificOutput"]["additionalContext"]) if output else ""


@pytest.mark.parametrize("mode", ["slow", "error", "rubbish", "html"])
@pytest.mark.parametrize("event", ASKING)
def test_a_hub_in_trouble_is_said_once_a_session_and_is_a_line_in_the_log(
    machine: Machine, hub: PretendedHub, mode: str, event: str
) -> None:
    if mode == "slow":
        config = machine.home / "config"
        config.write_text(config.read_text().replace("_ms=3000", "_ms=400"))
    hub.mode = mode
    begun = time.monotonic()
    ran = machine.run(event, prompt="the prompt stays here")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert said(ran.stdout) == ("" if event == "PreToolUse" else UNAVAILABLE.format(why="the hub did not answer"))
    assert machine.run(event, prompt="and once more").stdout == b""
    assert time.monotonic() - begun < 10
    code = {"slow": "hub-timeout", "error": "answer-500", "rubbish": "answer-rubbish", "html": "answer-rubbish"}[mode]
    assert [line.split()[1:] for line in machine.log().splitlines()] == [[event, code]] * 2


def test_a_hub_that_is_down_is_said_once_and_then_silence(machine: Machine, tmp_path: Path) -> None:
    write_records(tmp_path / "t.jsonl", [record(1)])
    config = machine.home / "config"
    config.write_text("hub=http://127.0.0.1:9\ntoken=wl_x\nretry_s=0\n")
    for event in ALLOWED:
        ran = machine.run(event, transcript_path=str(tmp_path / "t.jsonl"))
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert bool(ran.stdout) == (event == "SessionStart")
    assert len(machine.notes()) >= 1
    assert "UserPromptSubmit hub-unreachable" in machine.log()
    assert waited(lambda: "flush hub-unreachable" in machine.log())


def test_a_token_that_is_no_longer_good_is_said_once_and_forgets_what_was_kept(
    machine: Machine, hub: PretendedHub
) -> None:
    hub.tokens.clear()
    kept(machine, hub)
    assert "does not take this machine's token" in said(machine.run("SessionStart").stdout)
    assert machine.run("UserPromptSubmit", prompt="the backup of nas-07").stdout == b""
    assert not (machine.home / "cache.db").exists()
    assert "SessionStart cache-forgotten" in machine.log()
    assert "SessionStart answer-401" in machine.log()
    assert TOKEN not in machine.log()


BAD_INPUT = {
    "": "not-json",
    "not json": "not-json",
    '{"session_id": "s", "cw': "not-json",
    "[1, 2]": "not-json",
    '{"hook_event_name": "%s"}': "missing-session_id",
    '{"session_id": 7, "hook_event_name": "%s"}': "missing-session_id",
    '{"session_id": "s"}': "missing-hook_event_name",
    '{"session_id": "s", "hook_event_name": "Teatime", "transcript_path": "/t"}': "wrong-event",
}


@pytest.mark.parametrize("event", ALLOWED)
@pytest.mark.parametrize("text", BAD_INPUT)
def test_bad_input_is_silence_and_a_code(machine: Machine, hub: PretendedHub, event: str, text: str) -> None:
    expected = BAD_INPUT[text]
    if event not in ASKING and expected == "wrong-event":
        text = text.replace("Teatime", "SessionStart")
    ran = machine.run(event, stdin=text.replace("%s", event).encode())
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert machine.log().split()[1:] == [event, expected]
    assert not machine.notes()
    assert not hub.requests


def test_an_event_nobody_knows_and_bytes_that_are_no_text(machine: Machine, hub: PretendedHub) -> None:
    assert machine.run("Teatime").returncode == 0
    assert machine.run("UserPromptSubmit", stdin=b"\xff\xfe\x00{").returncode == 0
    assert machine.run("Stop", stdin=b'{"session_id":"s","hook_event_name":"Stop"}').returncode == 0
    codes = [line.split()[1:] for line in machine.log().splitlines()]
    assert codes == [
        ["Teatime", "unknown-event"],
        ["UserPromptSubmit", "not-json"],
        ["Stop", "missing-transcript_path"],
    ]
    assert not hub.requests


def test_a_machine_that_is_not_connected_prints_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "none", tmp_path)
    for event in ALLOWED:
        ran = machine.run(event)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_without_arguments_it_writes_nowhere(tmp_path: Path) -> None:
    for arguments in ([], [""], ["", "claude-code", "Stop"]):
        command = [sys.executable, "-I", "-S", str(HOOK), *arguments]
        ran = subprocess.run(command, input=b"{}", capture_output=True, check=False, cwd=tmp_path)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert not Path("/hook.log").exists()
    assert not list(tmp_path.iterdir())


def test_hooks_of_our_own_commands_do_nothing(machine: Machine, hub: PretendedHub) -> None:
    machine.environment["WORKLORE_HOOKS"] = "off"
    for event in ALLOWED:
        assert machine.run(event).stdout == b""
    assert not hub.requests
    assert not machine.notes()


def test_the_token_never_crosses_plain_http_off_this_machine(machine: Machine) -> None:
    for url in ("http://192.0.2.7:8420", "http://hub.example.com", "http://127.0.0.1.example.com", "http://0x7f.1"):
        (machine.home / "config").write_text(f"hub={url}\ntoken={TOKEN}\n")
        assert machine.run("SessionStart").stdout == b""
    assert {line.split()[2] for line in machine.log().splitlines()} == {"insecure-url"}


def test_parallel_hooks_lose_no_note(machine: Machine) -> None:
    machine.environment["CLAUDE_PROJECT_DIR"] = str(machine.project)
    (machine.home / "config").unlink()  # the flusher has nowhere to send: every note stays
    with ThreadPoolExecutor(8) as pool:
        ran = list(pool.map(lambda n: machine.run("Stop", transcript_path=f"/t/{n}.jsonl"), range(24)))
    assert {r.returncode for r in ran} == {0}
    notes = [json.loads(path.read_bytes()) for path in machine.notes()]
    assert sorted(note["transcript_path"] for note in notes) == sorted(f"/t/{n}.jsonl" for n in range(24))


def test_a_note_holds_no_content_and_only_the_owner_can_read_it(machine: Machine) -> None:
    (machine.home / "config").unlink()
    ran = machine.run("Stop", last_assistant_message="the words of the session", background_tasks=[{"a": ["}", "\\"]}])
    assert ran.returncode == 0
    (note,) = machine.notes()
    assert b"words" not in note.read_bytes()
    assert note.stat().st_mode & 0o777 == 0o600
    assert machine.run("UserPromptSubmit", prompt="a prompt nobody may keep").returncode == 0
    everything = b"".join(path.read_bytes() for path in machine.home.rglob("*") if path.is_file())
    assert b"nobody may keep" not in everything


def test_the_flusher_holds_none_of_the_agents_pipes(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(1)])
    hub.mode, hub.slow = "slow", 20.0
    begun = time.monotonic()
    # communicate() returns only once every holder of the pipes has let go.
    assert machine.run("Stop", transcript_path=str(transcript)).returncode == 0
    assert time.monotonic() - begun < 5
    assert waited(lambda: bool(hub.asked("/capture")))
    hub.mode = "ok"
    hub.released.set()
    assert machine.drained()
    assert len(hub.records) == 1


def test_what_an_outage_left_goes_out_at_the_next_session_start(tmp_path: Path, machine: Machine) -> None:
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(n) for n in range(5)])
    hub = PretendedHub()
    with serving(hub) as server:
        port = server.server_port
    config = machine.home / "config"
    config.write_text(config.read_text().split("\n", 1)[1] + f"hub={hub.url}\n")
    assert machine.run("Stop", transcript_path=str(transcript)).returncode == 0
    assert waited(lambda: "flush hub-unreachable" in machine.log())
    assert len(machine.notes()) == 1
    with serving(hub, port):
        assert machine.run("SessionStart").stdout
        assert machine.drained()
    assert len(hub.records) == 5


def test_the_log_is_turned_over(machine: Machine) -> None:
    log = machine.home / "hook.log"
    log.write_text("x" * events.LOG_LIMIT)
    machine.run("Teatime")
    assert (machine.home / "hook.log.1").stat().st_size > events.LOG_LIMIT
    assert not log.exists()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=6), st.booleans())
def test_the_scanner_finds_what_a_parser_finds(value: dict[str, object], ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = events.members(raw)
    plain = {key: item for key, item in value.items() if json.dumps(key, ensure_ascii=ascii_only) == f'"{key}"'}
    for key, item in plain.items():
        assert json.loads(found[key].decode("utf-8", "surrogatepass")) == item


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_the_scanner_takes_any_bytes(raw: bytes) -> None:
    try:
        events.members(raw)
    except ValueError:
        return


@settings(deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=32, exclude_categories=["Cs"])))
def test_quoted_text_is_json(text: str) -> None:
    assert json.loads(events.quoted(text)) == text


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from('\\"/u😀')), st.booleans())
def test_a_text_is_read_as_a_parser_reads_it(text: str, ascii_only: bool) -> None:
    assert events.text_of(json.dumps(text, ensure_ascii=ascii_only).encode()) == text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8420", (False, "127.0.0.1", 8420, "")),
        ("http://[::1]:8420/", (False, "::1", 8420, "")),
        ("https://hub.example.com/worklore/", (True, "hub.example.com", 443, "/worklore")),
        ("https://hub.example.com:8443", (True, "hub.example.com", 8443, "")),
    ],
)
def test_urls(url: str, expected: tuple[bool, str, int, str]) -> None:
    assert split_url(url) == expected


@pytest.mark.parametrize(
    "url", ["", "hub", "ftp://hub", "http://", "http://127.0.0.1:port", "https://a@hub.example.com"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(events.Silent, match="bad-url"):
        split_url(url)


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n", b"{}"),
        (b"HTTP/1.0 200\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n\r\n<worklore-memory>x</worklore-memory>", b"<worklore-memory>x</worklore-memory>"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "answer-torn"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", "answer-torn"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "answer-503"),
        (b"HTTP/1.1 200 OK\r\n", "answer-rubbish"),
        (b"HTTP/1.1 OK\r\n\r\n", "answer-rubbish"),
        (b"", "answer-rubbish"),
    ],
)
def test_only_a_whole_answer_of_the_hub_is_shown(raw: bytes, outcome: bytes | str) -> None:
    if isinstance(outcome, bytes):
        assert answer_body(raw) == outcome
    else:
        with pytest.raises(events.Silent, match=outcome):
            answer_body(raw)


@settings(deadline=None)
@given(st.text())
def test_a_header_is_one_line_of_ascii(value: str) -> None:
    line = header("X-Worklore-Cwd", value)
    assert line == "" if not value else line.endswith("\r\n")
    assert line.isascii()
    assert line.count("\r") == line.count("\n") == (1 if value else 0)


def test_stdin_of_a_megabyte_is_scanned_quickly() -> None:
    raw = json.dumps({"session_id": "s", "prompt": 'say "hello" \\ again ' * 50_000, "hook_event_name": "x"}).encode()
    begun = time.process_time()
    assert events.members(raw)["session_id"] == b'"s"'
    assert time.process_time() - begun < 2


def test_a_closed_stdout_does_not_disturb(machine: Machine) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = subprocess.Popen(machine.command("SessionStart"), stdin=subprocess.PIPE, stdout=writing)
    finally:
        os.close(writing)
    process.communicate(machine.event("SessionStart"))
    assert process.returncode == 0
    assert "internal-BrokenPipeError" in machine.log()
