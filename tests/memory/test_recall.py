"""Recall over REST: fresh, within its budget, within the caller's walls, and the same on every database."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from tests.conftest import TestHub, unique
from tests.memory.transcripts import conversation, folder, home, piece, record
from worklore.identity.roles import Role
from worklore.identity.token import TokenKind
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.types import utcnow
from worklore.memory import tokens
from worklore.memory.index import Index
from worklore.memory.question import of_project
from worklore.memory.recall import search
from worklore.memory.recollection import recollection, warm
from worklore.work.project import Project
from worklore.work.session import WorkSession

TALK = (
    "The print server in Lyon rejects jobs since the update",
    "The driver isolation policy was reset; I set it back to shared on print-lyon-01",
    "Which firewall rule did we open for the label printers?",
    "Rule 214 allows 192.0.2.0/26 to port 9100 on print-lyon-01",
    "Please also write down that the toner contract ends in June",
    "Noted: the toner contract with the supplier ends on 30 June",
)


def captured(api: httpx2.Client, *texts: str, identity: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    identity = identity or home(api)
    api.post("/capture", json=piece(conversation(*texts), identity, **more)).raise_for_status()
    return identity


def recall(api: httpx2.Client, question: str, identity: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = api.post("/recall", json={"question": question, "identity": identity, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_answer_is_dated_attributed_and_explained(machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, *TALK)
    found = recall(machine_api, "which firewall rule for label printers", identity)
    assert found["text"].startswith("<worklore-memory>")
    assert "2026-03-03" in found["text"]
    texts = [item["text"] for item in found["items"]]
    assert any("Rule 214" in text for text in texts)
    assert all(item["machine"] and item["author"] and item["time"] for item in found["items"])
    assert any("words" in item["why"] for item in found["items"])
    assert found["searched"] == len(TALK)


def test_a_budget_is_kept_to_the_token(machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, *(f"{text} (case {number})" for number in range(12) for text in TALK))
    for budget in (50, 90, 200, 600):
        found = recall(machine_api, "print server driver rule toner contract", identity, budget=budget)
        assert tokens.count(found["text"]) == found["tokens"] <= budget


def test_a_row_is_found_as_soon_as_it_is_committed(machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, "Something else entirely")
    for word in ("quokka", "wombat", "numbat", "bilby"):
        assert not recall(machine_api, word, identity)["items"]
        captured(machine_api, f"The {word} is in the server room", identity=identity)
        assert word in recall(machine_api, word, identity)["text"]


def test_nothing_is_missed_while_many_capture_at_once(hub: TestHub, machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, "The first words")
    token = machine_api.headers["authorization"].removeprefix("Bearer ")
    clients = [hub.client(token) for _ in range(5)]

    def work(number: int) -> None:
        for step in range(6):
            captured(clients[number], *(f"worker{number} step{step} line{n}" for n in range(7)), identity=identity)
            recall(clients[number], f"worker{number}", identity)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(5)))
    assert recall(machine_api, "worker", identity)["searched"] == 1 + 5 * 6 * 7


def test_a_reader_with_an_older_view_takes_nothing_out_of_the_index(hub: TestHub, machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, *TALK)
    project = uuid.UUID(machine_api.post("/projects/identify", json=identity).json()["id"])
    with hub.database.read(SYSTEM) as ctx:
        scope = of_project(ctx.session.get_one(Project, project))
        captured(machine_api, "the quokka is in the server room", identity=identity)
        assert recall(machine_api, "quokka", identity)["items"]
        search(ctx, scope, "quokka", budget=1000)
    assert recall(machine_api, "quokka", identity)["items"]


def test_another_clients_memory_does_not_exist(hub: TestHub, machine_api: httpx2.Client, api: httpx2.Client) -> None:
    identity = captured(machine_api, *TALK)
    project = machine_api.post("/projects/identify", json=identity).json()
    mine = api.post("/clients", json={"name": unique("Mine"), "type": "msp_client"}).json()
    outsider = hub.client(hub.token(Role.technician, clients=[mine["id"]]))
    for asked in ({"project": project["id"]}, {"project": project["slug"]}, {"identity": identity}):
        answer = outsider.post("/recall", json={"question": "print server", **asked})
        assert (answer.status_code, answer.json()["code"]) == (404, "project-unknown")
    assert outsider.get("/memory-windows", params={"project_id": project["id"]}).json()["items"] == []


def test_whoever_may_see_the_client_may_recall(hub: TestHub, machine_api: httpx2.Client, api: httpx2.Client) -> None:
    identity = captured(machine_api, *TALK)
    project = api.get(f"/projects/{machine_api.post('/projects/identify', json=identity).json()['id']}").json()
    insider = hub.client(hub.token(Role.technician, clients=[project["client_id"]]))
    answer = insider.post("/recall", json={"question": "toner contract", "project": project["slug"]})
    assert "30 June" in answer.json()["text"]


def test_deleted_memory_is_not_told(machine_api: httpx2.Client, api: httpx2.Client) -> None:
    identity = home(machine_api)
    session = unique("session")
    captured(machine_api, *TALK, identity=identity, session=session)
    captured(machine_api, "Unrelated words about the lift", identity=identity)
    assert "Rule 214" in recall(machine_api, "firewall rule label printers", identity)["text"]
    [row] = api.get("/sessions", params={"external_key": session}).json()["items"]
    assert api.delete(f"/sessions/{row['id']}").status_code == 409
    assert api.delete(f"/sessions/{row['id']}", params={"cascade": "true"}).status_code == 204
    after = recall(machine_api, "firewall rule label printers", identity)
    assert "Rule 214" not in after["text"]
    assert recall(machine_api, "firewall rule", identity)["searched"] == 1


def test_an_index_made_anew_gives_the_same_answer(hub: TestHub, machine_api: httpx2.Client) -> None:
    identity = home(machine_api)
    for start in range(0, len(TALK), 2):
        captured(machine_api, *TALK[start : start + 2], identity=identity)
    before = recall(machine_api, "printers in Lyon", identity)
    with hub.database.read(SYSTEM) as ctx:
        ctx.derived.pop("recollection")
        assert recollection(ctx) is not None
    after = recall(machine_api, "printers in Lyon", identity)
    assert (after["text"], after["items"]) == (before["text"], before["items"])


def test_every_database_gives_the_same_answer(every_hub: dict[str, TestHub]) -> None:
    keys = [str(uuid.uuid4()) for _ in TALK]
    answers: dict[str, list[tuple[str, float]]] = {}
    for name, hub in every_hub.items():
        client = hub.client(hub.token(kind=TokenKind.machine))
        identity = home(client)
        records = [
            record(("user", "assistant")[place % 2], text, minute=place, key=keys[place])
            for place, text in enumerate(TALK * 1)
        ]
        client.post("/capture", json=piece(records, identity)).raise_for_status()
        found = recall(client, "what about the printers and the toner contract in June", identity)
        answers[name] = [(item["text"], item["score"]) for item in found["items"]]
    assert len({tuple(answer) for answer in answers.values()}) == 1, answers
    assert answers["sqlite"]


def test_a_question_about_no_known_project(api: httpx2.Client) -> None:
    for asked in ({}, {"project": unique()}, {"identity": folder()}):
        answer = api.post("/recall", json={"question": "anything", **asked})
        assert (answer.status_code, answer.json()["code"]) == (404, "project-unknown")


def test_questions_that_are_none(machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, *TALK)
    for bad in (
        {"question": ""},
        {"question": "x" * 30_000},
        {"question": "a\0b"},
        {"budget": 1},
        {"limit": 0},
        {"k": 3},
    ):
        answer = machine_api.post("/recall", json={"question": "toner", "identity": identity} | bad)
        assert answer.status_code == 422, bad
    for odd in ("?!", "the of and", "日本語", "🖨️", "'; DROP TABLE clients; --"):
        recall(machine_api, odd, identity)


def test_projects_in_use_are_read_before_they_are_asked(hub: TestHub, machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, *TALK)

    def now_in_use(ctx: Context) -> None:
        """The latest, whatever other tests have left."""
        session = ctx.session.scalars(select(WorkSession).order_by(WorkSession.created_at.desc())).first()
        assert session is not None
        session.last_turn_at = utcnow() + timedelta(days=36_500)

    hub.database.write(now_in_use)
    with hub.database.read(SYSTEM) as ctx:
        ctx.derived.pop("recollection", None)
        warm(ctx)
        assert len(recollection(ctx)) > 0
    assert recall(machine_api, "toner contract", identity)["items"]


def test_the_parts_of_a_score_are_the_score(machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, *TALK)
    for question in ("which firewall rule for label printers", "toner contract in June", "Lyon"):
        for item in recall(machine_api, question, identity)["items"]:
            assert 0 < item["score"] < 10
            assert abs(sum(item["parts"].values()) - item["score"]) < 0.001 * (1 + len(item["parts"]))


def test_only_what_was_said_in_a_time_is_told(machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, *TALK)
    times = [item["time"] for item in recall(machine_api, "print server toner contract rule", identity)["items"]]
    middle = sorted(times)[len(times) // 2]
    later = recall(machine_api, "print server toner contract rule", identity, since=middle)["items"]
    sooner = recall(machine_api, "print server toner contract rule", identity, until=middle)["items"]
    assert {item["time"] for item in later} == {time for time in times if time >= middle}
    assert {item["time"] for item in sooner} == {time for time in times if time < middle}
    refused = machine_api.post(
        "/recall", json={"question": "x", "identity": identity, "since": times[0], "until": "2001-01-01T00:00:00Z"}
    )
    assert refused.status_code == 422
    assert "ends before it begins" in refused.text


def test_a_question_arranges_nothing_anew_while_nothing_was_said(
    machine_api: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = captured(machine_api, *TALK)
    recall(machine_api, "label printers", identity)
    arranged: list[int] = []
    arrange = Index._arrange
    monkeypatch.setattr(Index, "_arrange", lambda index: (arranged.append(len(index)), arrange(index))[1])
    recall(machine_api, "label printers", identity)
    assert arranged == []
    captured(machine_api, "The toner contract was renewed", identity=identity)
    recall(machine_api, "label printers", identity)
    assert arranged == [len(TALK) + 1]
