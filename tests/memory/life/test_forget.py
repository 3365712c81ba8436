"""Forgetting: nothing of it is anywhere afterwards, and it stays forgotten, on every database."""

import json
import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import MetaData, inspect, select

from tests.conftest import TestHub, unique
from tests.memory.agents import Claude
from tests.memory.test_capture import post, rows
from tests.memory.test_trail import session_of
from tests.memory.transcripts import folder, piece
from worklore.identity.roles import Role
from worklore.kernel.access import SYSTEM
from worklore.memory.warn.learn import study
from worklore.work.news import waiting

REASON = {"reason": "the client asked for it"}


def everywhere(hub: TestHub, word: str) -> dict[str, int]:
    """The tables that hold a word in any column, as text or as bytes, and in how many rows."""
    found: dict[str, int] = {}
    forms = (word, word.lower(), word.encode().hex())
    with hub.database.read(SYSTEM) as ctx:
        connection = ctx.session.connection()
        metadata = MetaData()
        metadata.reflect(bind=connection, only=inspect(connection).get_table_names())
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                text = " ".join(value.hex() if isinstance(value, bytes) else str(value) for value in row).lower()
                if any(form in text for form in forms):
                    found[table.name] = found.get(table.name, 0) + 1
    return found


def learn_from(hub: TestHub, *sessions: dict[str, Any]) -> None:
    """Learn from sessions that wait, and leave those of other tests."""
    keys = {uuid.UUID(session["id"]) for session in sessions}
    with hub.database.read(SYSTEM) as ctx:
        found = [news for news in waiting(ctx, 100_000) if news.session_id in keys]
    for news in found:
        study(hub.database, news)


def telling_all(claude: Claude, word: str) -> list[dict[str, Any]]:
    """A session that says a word in every way that leaves something: turns, commands, files, lists, decisions."""
    return [
        claude.says(f"The {word} gateway answers with 502"),
        *claude.runs(f"cd /srv/{word} && systemctl restart {word}", f"Unit {word}.service not found.", code=5),
        *claude.runs(f"systemctl restart {word}", f"Unit {word}.service not found.", code=5),
        *claude.runs(f"systemctl restart {word}-web", "done"),
        *claude.runs(f"psql -h {word}.example.com -c 'select 1'", "could not connect: Connection refused", code=2),
        *claude.writes(f"/srv/{word}/a.py", "one\n"),
        *claude.lists(**{f"renew_{word}": "pending"}),
        *claude.runs(f"git push origin {word}", "pushed"),
        claude.calls("Bash", command=f"tail -f /var/log/{word}.log"),
        claude.says(f"This session is being continued. {word} was down.", isCompactSummary=True),
        claude.answers(
            f"We decided to use {word} instead of a cron job because the writers must not wait.\n\n"
            f"Next steps:\n- watch {word}\n- renew the certificate of {word}"
        ),
    ]


class Told:
    """A captured session that holds a word in all that can derive from it."""

    def __init__(self, hub: TestHub, api: httpx2.Client, machine: httpx2.Client, *, client: bool = False) -> None:
        self.word = "canary" + uuid.uuid4().hex[:12]
        self.claude = Claude(unique("c"))
        self.identity = folder()
        self.client_id = None
        if client:
            made = api.post("/clients", json={"name": unique("client"), "type": "msp_client"}).raise_for_status()
            self.client_id = made.json()["id"]
            project = machine.post("/projects/identify", json=self.identity).raise_for_status().json()["id"]
            version = api.get(f"/projects/{project}").headers["etag"]
            api.patch(
                f"/projects/{project}", json={"client_id": self.client_id}, headers={"if-match": version}
            ).raise_for_status()
        self.records = telling_all(self.claude, self.word)
        self.body = piece(self.records, self.identity, size=1000)
        post(machine, self.body)
        self.session = session_of(api, self.body)
        learn_from(hub, self.session)
        compressed = api.post(
            "/conversation-contexts/compress",
            json={"session_id": self.session["id"]},
            headers={"idempotency-key": str(uuid.uuid4())},
        )
        compressed.raise_for_status()

    def window(self, api: httpx2.Client, **filters: Any) -> dict[str, Any]:
        return rows(api, "memory-windows", session_id=self.session["id"], sort="ordinal,part", **filters)[0]

    def again(self, machine: httpx2.Client) -> dict[str, Any]:
        """The whole file from its start, as after a change of rules."""
        return post(machine, self.body)


@pytest.mark.parametrize("by", ["session", "transcript", "client"])
def test_nothing_derived_remains_anywhere(
    by: str, hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client
) -> None:
    told = Told(hub, api, machine_api, client=by == "client")
    held = everywhere(hub, told.word)
    assert {
        "memory_windows", "commands_run", "file_changes", "decision_logs", "pending_tasks", "deployments",
        "conversation_contexts", "transcript_cursors", "sessions", "pattern_evidence", "idempotency_keys",
    } <= held.keys()  # fmt: skip
    path = {
        "session": f"/sessions/{told.session['id']}/forget",
        "client": f"/clients/{told.client_id}/forget",
        "transcript": f"/transcripts/{rows(api, 'transcripts', session_id=told.session['id'])[0]['id']}/forget",
    }[by]
    shown = api.post(f"{path}?dry_run=true", json=REASON).raise_for_status().json()
    assert everywhere(hub, told.word) == held
    done = api.post(path, json=REASON).raise_for_status().json()
    assert done == shown
    assert (done["kind"], done["sessions"]) == (by, 1)
    assert done["rows"]["memory_windows"] > 2  # two turns, and what tells of the records that were read off them
    assert everywhere(hub, told.word) == {}
    told.again(machine_api)
    learn_from(hub, *rows(api, "sessions", external_key=told.body["session"]))
    assert everywhere(hub, told.word) == {}
    [kept] = rows(api, "memory-forgets", record_id=done["id"])
    assert (kept["reason"], kept["counts"]) == (REASON["reason"], done["rows"])


def test_what_is_said_afterwards_is_captured(hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client) -> None:
    told = Told(hub, api, machine_api)
    api.post(f"/sessions/{told.session['id']}/forget", json=REASON).raise_for_status()
    later = told.claude.says("A new question about printers", timestamp="2099-01-01T00:00:00.000Z")
    more = piece([later], told.identity, start=1000, size=100, session=told.body["session"], source=told.body["source"])
    assert post(machine_api, more)["windows"] == 1
    assert told.window(api)["text"] == "A new question about printers"
    whole = piece([*told.records, later], told.identity, size=1100, session=told.body["session"])
    post(machine_api, whole | {"source": told.body["source"]})
    assert everywhere(hub, told.word) == {}
    assert len(rows(api, "memory-windows", session_id=told.session["id"])) == 1


def test_one_turn_is_forgotten_and_the_others_stay(
    hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client
) -> None:
    word = "canary" + uuid.uuid4().hex[:12]
    claude = Claude(unique("c"))
    records = [
        claude.says("The printer of the office is out of paper"),
        claude.answers(f"We decided to use {word} instead of a cron job because the writers must not wait."),
        claude.says("Thank you, the printer prints again"),
    ]
    body = piece(records, folder())
    post(machine_api, body)
    session = session_of(api, body)
    assert everywhere(hub, word).keys() == {"memory_windows", "decision_logs", "conversation_contexts"}
    [window] = rows(api, "memory-windows", session_id=session["id"], role="assistant")
    done = api.post(f"/memory-windows/{window['id']}/forget", json=REASON).raise_for_status().json()
    assert done["rows"] == {"conversation_contexts": 1, "decision_logs": 1, "memory_windows": 1}
    assert everywhere(hub, word) == {}
    post(machine_api, body)
    assert everywhere(hub, word) == {}
    said = rows(api, "memory-windows", session_id=session["id"], sort="ordinal")
    assert [row["text"] for row in said] == [records[0]["message"]["content"], records[2]["message"]["content"]]
    assert session_of(api, body)["session_title"] == records[0]["message"]["content"]
    assert api.post(f"/memory-windows/{window['id']}/forget", json=REASON).status_code == 404


def test_the_first_turn_takes_the_title_with_it(hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client) -> None:
    word = "canary" + uuid.uuid4().hex[:12]
    claude = Claude(unique("c"))
    body = piece([claude.says(f"Why is {word} slow"), claude.answers("The disk is full")], folder())
    post(machine_api, body)
    session = session_of(api, body)
    [window] = rows(api, "memory-windows", session_id=session["id"], role="user")
    api.post(f"/memory-windows/{window['id']}/forget", json=REASON).raise_for_status()
    assert session_of(api, body)["session_title"] == "Untitled session"
    assert everywhere(hub, word) == {}


def test_what_is_borne_out_elsewhere_stays(hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client) -> None:
    """A pattern that two sessions bear out outlives one of them, and says nothing that only that one has said."""
    command, word = unique("frobnicate"), "canary" + uuid.uuid4().hex[:12]
    sessions = []
    for extra in ("", f" --note {word}", ""):
        claude = Claude(unique("c"))
        records = [claude.says("Restart it")]
        for _ in range(2):
            records += claude.runs(f"{command} --all{extra}", "frobnicate: command not found", code=127)
        body = piece(records, folder())
        post(machine_api, body)
        sessions.append(session_of(api, body))
    learn_from(hub, *sessions)
    api.post(f"/sessions/{sessions[1]['id']}/forget", json=REASON).raise_for_status()
    assert everywhere(hub, word) == {}
    assert any(command in json.dumps(row) for row in rows(api, "commands", session_id=sessions[0]["id"]))


def test_an_agent_may_not_forget_and_nobody_forgets_what_they_do_not_see(
    hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client
) -> None:
    told = Told(hub, api, machine_api)
    path = f"/sessions/{told.session['id']}/forget"
    refused = hub.client(hub.token(Role.agent)).post(path, json=REASON)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope-missing")
    other = api.post("/clients", json={"name": unique("client"), "type": "msp_client"}).json()["id"]
    assert hub.client(hub.token(Role.technician, clients=[other])).post(path, json=REASON).status_code == 404
    assert api.post(path, json={"reason": ""}).status_code == 422
