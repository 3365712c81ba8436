"""What leaves the machine for the trail, sub-agents' files, and sending a transcript on demand."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.client.commands import Technician
from tests.client.commands import technician as connected
from tests.conftest import TestHub, unique
from tests.memory.agents import Claude, codex_session, whole_session
from worklore_cli import capturing
from worklore_cli.failure import Failure
from worklore_client.flush import flush
from worklore_client.record import OUTPUT_LIMIT, outgoing
from worklore_client.spool import flusher_lock

from .conftest import Machine, PretendedHub, write_records
from .test_flush import noted

LONG = "start " + "x" * 50_000 + " end"


def test_what_tools_print_and_write_is_sent_bounded() -> None:
    claude = Claude("c")
    for record in (
        *claude.runs("make", LONG),
        *claude.writes("/srv/a", LONG),
        *claude.edits("/srv/a", LONG, LONG),
        claude.record(
            "user", [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": LONG}]}]
        ),
    ):
        record["toolUseResult"] = {"originalFile": LONG, "structuredPatch": [LONG], "stdout": LONG, "type": "update"}
        sent = outgoing(record)
        assert sent is not None
        assert len(json.dumps(sent)) < 4 * OUTPUT_LIMIT
        assert "originalFile" not in sent["toolUseResult"]
        for text in _texts(sent["message"]["content"]):
            assert len(text) < OUTPUT_LIMIT + 60
            assert text.startswith("start ") == text.endswith(" end")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if len(value) > 100 else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _texts(item)]


def test_what_a_command_is_and_what_is_said_is_sent_whole() -> None:
    claude = Claude("c")
    command = "echo " + "y" * 9_000
    sent = [outgoing(record) for record in (claude.says(LONG), claude.runs(command)[0])]
    assert sent[0]["message"]["content"] == LONG  # type: ignore[index]
    assert sent[1]["message"]["content"][0]["input"]["command"] == command  # type: ignore[index]


def test_what_a_model_thinks_to_itself_stays_here() -> None:
    claude = Claude("c")
    thought = [{"type": "thinking", "thinking": "the password is x", "signature": "abc"}]
    assert "password" not in json.dumps(outgoing(claude.record("assistant", thought)))
    kept = [line for line in codex_session() if outgoing(line) is not None]
    assert {(line["type"], line["payload"].get("type")) for line in codex_session() if line not in kept} == {
        ("response_item", "reasoning"),
        ("event_msg", "user_message"),
    }


def test_sub_agents_files_go_with_their_session(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    transcript = tmp_path / "s-1.jsonl"
    write_records(transcript, [Claude("main").says("Find the leak")])
    folder = tmp_path / "s-1" / "subagents"
    folder.mkdir(parents=True)
    for name in ("agent-a.jsonl", "agent-b.jsonl", "notes.txt"):
        write_records(folder / name, [Claude(name, isSidechain=True).says(f"I am {name}")])
    noted(machine, transcript)
    assert flush(machine.home)
    sources = [json.loads(request.body)["source"] for request in hub.asked("/capture") if request.body]
    assert sources == [str(transcript), str(folder / "agent-a.jsonl"), str(folder / "agent-b.jsonl")]
    assert len(hub.records) == 3


# --- worklore capture ------------------------------------------------------------------------------------------------


@pytest.fixture
def technician(sqlite_hub: TestHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Technician:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / ".claude"))
    return connected(sqlite_hub, tmp_path / "client")


def kept(folder: Path, name: str, records: list[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.jsonl"
    write_records(path, records)
    return path


def test_a_transcript_is_captured_and_captured_again(technician: Technician, tmp_path: Path) -> None:
    name = unique("w")
    records = [{**record, "sessionId": name, "uuid": f"{name}-{place}"} for place, record in enumerate(whole_session())]
    path = kept(tmp_path / ".claude" / "projects" / "-srv-portal", name, records)
    first = technician("capture", str(path), "--json")
    (told,) = first.json["files"]
    assert (told["session"], told["agent"], told["windows"]) == (name, "claude-code", 5)
    before = trail(technician, name)
    assert len(before) > 10
    for again in (["capture", name], ["capture", name, "--again"]):
        done = technician(*again)
        assert "0 memories stored" in done.out
        assert trail(technician, name) == before


def trail(technician: Technician, name: str) -> list[Any]:
    [session] = technician.api.get("/sessions", params={"external_key": name}).json()["items"]
    return technician.api.post(f"/sessions/{session['id']}/trail").json()["entries"]


def test_a_rollout_of_codex_is_known_by_its_lines(technician: Technician, tmp_path: Path) -> None:
    key = "0195aaaa-0000-7000-8000-000000000001"
    path = kept(tmp_path / ".codex/sessions/2026/03/04", f"rollout-2026-03-04T09-00-00-{key}", codex_session())
    assert capturing.find(key) == path
    assert capturing.about(path) == ("codex", key, "/srv/shop")
    technician("capture", key, "--json")
    assert [entry["kind"] for entry in trail(technician, key)].count("command") == 3


def test_what_cannot_be_captured_says_so(technician: Technician, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("root:x:0:0\n{}\n")
    for wanted in (str(tmp_path / "none.jsonl"), "no-such-session", str(tmp_path / "letter.txt"), str(tmp_path), ""):
        done = technician("capture", wanted, status=1)
        assert "no transcript" in done.err or "no such file" in done.err


def test_a_flusher_that_is_at_work_is_waited_for(
    technician: Technician, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(tmp_path, unique("busy"), [Claude(unique("b")).says("Hello")])
    monkeypatch.setattr(capturing, "LOCK_SECONDS", 0.2)
    with flusher_lock(technician.home) as mine:
        assert mine
        with pytest.raises(Failure, match="does not come to an end"):
            capturing.capture(technician.home, str(path), again=False, folder=None)


def test_showing_a_session_names_the_way_to_its_trail(technician: Technician, tmp_path: Path) -> None:
    name = unique("shown")
    path = kept(tmp_path, name, [{**Claude(name).says("Hello"), "sessionId": name}])
    technician("capture", str(path))
    [session] = technician.api.get("/sessions", params={"external_key": name}).json()["items"]
    shown = technician("session", "show", session["id"])
    assert shown.err == f"More: worklore session trail {session['id']}\n"
    assert technician("session", "trail", session["id"]).json["title"] == "Hello"
