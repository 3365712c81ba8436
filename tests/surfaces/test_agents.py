"""What agents' hooks are answered."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.client.conftest import waited
from tests.conftest import TestHub, unique
from tests.memory.transcripts import conversation, folder, home, piece
from worklore.identity.token import TokenKind
from worklore.kernel.access import SYSTEM
from worklore.memory.brief import telling

TALK = (
    "The nightly backup of nas-07 fails with error 0x80070035",
    "The share was renamed; I pointed the job at the new path and the backup of nas-07 ran through",
)


def ask(client: httpx2.Client, event: str, identity: dict[str, Any], session: str, prompt: str = "") -> str:
    body = {"session_id": session, "hook_event_name": event, "cwd": "/srv/elsewhere", "prompt": prompt}
    headers = {"x-worklore-remote": quote(identity["remote"]), "x-worklore-cwd": quote(identity["path"])}
    answer = client.post(f"/hooks/claude-code/{event}", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text
    if not answer.content:
        return ""
    output = answer.json()["hookSpecificOutput"]
    assert output["hookEventName"] == event
    assert len(output["additionalContext"]) < 10_000
    return output["additionalContext"]


@pytest.fixture
def identity(machine_api: httpx2.Client) -> dict[str, Any]:
    about = home(machine_api)
    machine_api.post("/capture", json=piece(conversation(*TALK), about)).raise_for_status()
    return about


@pytest.fixture
def elsewhere(hub: TestHub) -> httpx2.Client:
    """Another machine."""
    return hub.client(hub.token(kind=TokenKind.machine))


def test_another_machine_is_told_where_work_was_left(elsewhere: httpx2.Client, identity: dict[str, Any]) -> None:
    told = ask(elsewhere, "SessionStart", identity, unique())
    assert all(text in told for text in TALK)
    assert "2026-03-03" in told


def test_a_prompt_gets_what_bears_on_it(elsewhere: httpx2.Client, identity: dict[str, Any]) -> None:
    assert TALK[1] in ask(elsewhere, "UserPromptSubmit", identity, unique(), "why does the nas-07 backup fail again?")


def test_nothing_is_told_twice_in_a_session(elsewhere: httpx2.Client, identity: dict[str, Any]) -> None:
    session = unique()
    assert ask(elsewhere, "SessionStart", identity, session)
    assert ask(elsewhere, "UserPromptSubmit", identity, session, "the nas-07 backup fails") == ""
    assert ask(elsewhere, "UserPromptSubmit", identity, unique(), "the nas-07 backup fails")


def test_nothing_is_told_twice_to_prompts_that_come_at_once(elsewhere: httpx2.Client, identity: dict[str, Any]) -> None:
    """The note that something was told is written after the answer: until then the process itself remembers."""
    session = unique()
    events = ["SessionStart", "UserPromptSubmit"] * 4
    with ThreadPoolExecutor(len(events)) as threads:
        asking = partial(ask, elsewhere, identity=identity, session=session, prompt="the nas-07 backup fails")
        told = "".join(threads.map(asking, events))
    assert [told.count(text) for text in TALK] == [1, 1]


def test_what_a_hook_did_not_wait_for_is_told_the_next_time(hub: TestHub, elsewhere: httpx2.Client) -> None:
    """A hook out of time hangs up while the hub still looks: it has heard nothing, so nothing was told."""
    machine = hub.client(hub.token(kind=TokenKind.machine))
    identity = home(machine)
    machine.post("/capture", json=piece(conversation(*TALK), identity)).raise_for_status()
    session = unique()
    with hub.database.read(SYSTEM) as ctx:
        under_way = telling(ctx, "claude-code", session)
    headers = {"x-worklore-remote": quote(identity["remote"]), "x-worklore-cwd": quote(identity["path"])}
    body = {"session_id": session, "hook_event_name": "SessionStart", "cwd": "/srv", "prompt": ""}
    with under_way.lock, pytest.raises(httpx2.TimeoutException):
        elsewhere.post("/hooks/claude-code/SessionStart", json=body, headers=headers, timeout=0.3)
    assert waited(lambda: TALK[1] in ask(elsewhere, "SessionStart", identity, session))


def test_a_prompt_that_nothing_bears_on_gets_nothing(elsewhere: httpx2.Client, identity: dict[str, Any]) -> None:
    for prompt in ("write a haiku about autumn", "", "the and of", "backup", "\0"):
        told = ask(elsewhere, "UserPromptSubmit", identity, unique(), prompt)
        assert (TALK[1] in told) == (prompt == "backup")


def test_a_session_is_not_told_its_own_words(machine_api: httpx2.Client) -> None:
    about, session = folder(), unique("session")
    machine_api.post("/capture", json=piece(conversation(*TALK), about, session=session)).raise_for_status()
    assert ask(machine_api, "UserPromptSubmit", about, session, "the nas-07 backup fails") == ""


def test_a_folder_nobody_knows_is_told_nothing_and_leaves_nothing(elsewhere: httpx2.Client) -> None:
    about, session = folder(), unique()
    assert ask(elsewhere, "SessionStart", about, session) == ""
    assert elsewhere.get("/sessions", params={"external_key": session}).json()["items"] == []
    assert elsewhere.get("/project-identities", params={"value__contains": about["name"]}).json()["items"] == []


def test_what_was_told_is_on_record(elsewhere: httpx2.Client, identity: dict[str, Any]) -> None:
    session = unique()
    ask(elsewhere, "SessionStart", identity, session)
    assert waited(lambda: elsewhere.get("/sessions", params={"external_key": session}).json()["items"] != [])
    [row] = elsewhere.get("/sessions", params={"external_key": session}).json()["items"]
    injected = elsewhere.get("/injections", params={"session_id": row["id"]}).json()["items"]
    assert {(item["event"], item["why"]) for item in injected} == {("SessionStart", "recent work")}


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/hooks/claude-code/SessionStart", b"not json", 422),
        ("/hooks/claude-code/SessionStart", b"[]", 422),
        ("/hooks/claude-code/SessionStart", b"\xff\xfe", 422),
        ("/hooks/claude-code/SessionEnded", b"{}", 404),
        ("/hooks/some-agent/SessionStart", b"{}", 404),
        ("/hooks/claude-code/SessionStart", b"{}", 200),
        ("/hooks/claude-code/UserPromptSubmit", b'{"prompt": 7, "session_id": [], "cwd": null}', 200),
    ],
)
def test_bad_input_of_hooks(machine_api: httpx2.Client, path: str, content: bytes, status: int) -> None:
    assert machine_api.post(path, content=content).status_code == status


def test_a_prompt_may_hold_what_no_database_keeps(elsewhere: httpx2.Client, identity: dict[str, Any]) -> None:
    assert TALK[1] in ask(elsewhere, "UserPromptSubmit", identity, unique(), "nas-07 \0 \ud800 backup fails")


def test_hooks_need_a_token(hub: TestHub) -> None:
    assert hub.client().post("/hooks/claude-code/SessionStart", content=b"{}").status_code == 401
