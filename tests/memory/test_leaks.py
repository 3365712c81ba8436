"""Walls of memory: no word of another client or another project is told, whatever is asked, by whom and by which way;
and no answer is longer than it may be."""

import json
import os
import random
import string
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.client.commands import Technician
from tests.conftest import TestHub, unique
from tests.memory.test_recall import captured
from tests.memory.test_records import Place, everything
from tests.surfaces.test_agents import ask
from worklore.identity.roles import Role
from worklore.identity.token import TokenKind
from worklore.kernel.access import SYSTEM
from worklore.kernel.resource import Verb
from worklore.memory import tokens
from worklore.memory.question import of_project
from worklore.memory.recall import search
from worklore.resources import RESOURCES
from worklore.work.project import Project
from worklore_client.config import Config, save

RECALLS = int(os.environ.get("WORKLORE_RECALLS", "300"))


RANKED = ("context-snippets/top-relevant", "conversation-contexts/recall")


def canary() -> str:
    return "".join(random.choices(string.ascii_lowercase, k=14))


@dataclass
class Walled:
    """A project of a client, full of one word that stands nowhere else."""

    place: Place
    word: str

    @classmethod
    def made(cls, api: httpx2.Client, machine_api: httpx2.Client) -> "Walled":
        walled = cls(Place(api, machine_api), canary())
        place, word = walled.place, walled.word
        everything(place)
        for text in (f"the {word} gateway drops", f"the {word} password rule", f"{word} {word} {word}"):
            captured(machine_api, text, f"I looked at {word}", identity=place.identity)
        session, project, client = place.session["id"], place.project["id"], place.client["id"]
        place.make("decision-logs", project_id=project, decision_type="x", decision_text=f"keep {word}")
        place.make("work-items", project_id=project, title=f"replace {word}")
        place.make("pending-tasks", project_id=project, client_id=client, title=f"call {word}")
        place.make("project-states", project_id=project, context_summary=f"{word} is half done")
        place.make(
            "problem-solutions", session_id=session, problem_description=f"{word} hung", solution_applied="restarted"
        )
        place.make("context-snippets", project_id=project, category="lesson", title=word, dense_content=f"about {word}")
        kept = {
            "key": word,
            "source": f"/home/{word}/a.md",
            "digest": "0" * 64,
            "title": word,
            "text": f"{word} imported",
        }
        taken = {"project_id": project, "program": "notes", "memories": [kept]}
        api.post("/context-snippets/take-in", json=taken).raise_for_status()
        place.make(
            "environmental-insights",
            client_id=client,
            insight_category="permissions",
            insight_title=f"{word} needs elevation",
            insight_description="as it is",
        )
        return walled


@pytest.fixture
def two(api: httpx2.Client, machine_api: httpx2.Client) -> tuple[Walled, Walled]:
    """Projects of two clients."""
    return Walled.made(api, machine_api), Walled.made(api, machine_api)


def test_nothing_crosses_from_client_to_client(hub: TestHub, two: tuple[Walled, Walled]) -> None:
    mine, other = two
    limited = {
        "a person": hub.client(hub.token(Role.technician, clients=[mine.place.client["id"]])),
        "a machine": hub.client(hub.token(Role.technician, kind=TokenKind.machine, clients=[mine.place.client["id"]])),
    }
    for who, client in limited.items():
        told = [json.dumps(client.get(f"/{noun.plural}", params={"limit": 1000}).json()) for noun in listed()]
        for question in questions(other.word):
            for scope in ({"identity": mine.place.identity}, {"client": mine.place.client["id"]}):
                answer = client.post("/recall", json={"question": question, "budget": 4000, **scope})
                assert answer.status_code == 200, answer.text
                told.append(answer.text)
            for scope in ({"identity": other.place.identity}, {"client": other.place.client["name"]}):
                refused = client.post("/recall", json={"question": question, **scope})
                assert refused.status_code == 404, (who, refused.text)
                told.append(refused.text.replace(question, ""))
            told.append(ask(client, "UserPromptSubmit", mine.place.identity, unique(), question))
        told.append(ask(client, "SessionStart", mine.place.identity, unique()))
        told.append(ask(client, "SessionStart", other.place.identity, unique()))
        told.append(client.post(f"/clients/{mine.place.client['id']}/context-pack", json={}).text)
        told.append(client.post(f"/clients/{other.place.client['id']}/context-pack", json={}).text)
        asked = {"question": f"about {other.word}"}
        told += [client.get(f"/{path}", params=asked).text for path in RANKED]
        assert any(mine.word in text for text in told), who
        assert [text for text in told if other.word in text] == [], who


def test_nothing_crosses_by_commands_or_by_what_a_machine_takes_along(
    hub: TestHub, two: tuple[Walled, Walled], tmp_path: Path
) -> None:
    mine, other = two
    token = hub.token(Role.technician, kind=TokenKind.machine, clients=[mine.place.client["id"]])
    save(Config(tmp_path, hub.url, token, {}))
    types, client = Technician(hub, tmp_path, hub.owner()), hub.client(token)
    told = [
        types(*words, "--limit", "1000", form).out
        for form in ("--json", "--csv")
        for words in (("context", "list"), ("snippet", "list"), ("decision", "list"), ("work-item", "list"))
    ]
    for walled, status in ((mine, 0), (other, None)):
        for question in questions(other.word):
            said = types("recall", question, "--client", walled.place.client["id"], "--json", status=status)
            assert (said.status == 0) == (walled is mine), said
            told.append((said.out + said.err).replace(question, ""))
        told.append(client.post("/sync", json={"identity": walled.place.identity}).raise_for_status().text)
    assert any(mine.word in text for text in told)
    assert [text for text in told if other.word in text] == []


def test_nothing_crosses_from_project_to_project(two: tuple[Walled, Walled], machine_api: httpx2.Client) -> None:
    """An owner sees both, and an agent in one project is told of that one alone."""
    mine, other = two
    told = [ask(machine_api, "SessionStart", mine.place.identity, unique())]
    for question in questions(other.word):
        answer = machine_api.post("/recall", json={"question": question, "identity": mine.place.identity}).json()
        told += [answer["text"], json.dumps(answer["items"])]
        told.append(ask(machine_api, "UserPromptSubmit", mine.place.identity, unique(), question))
    assert any(mine.word in text for text in told)
    assert [text for text in told if other.word in text] == []


def questions(word: str) -> list[str]:
    return [word, f"what about the {word} gateway?", f"{word} printer firewall rule", f'"{word}" OR 1=1 --', "*"]


def listed() -> list[Any]:
    return [noun for noun in RESOURCES if Verb.list in noun.verbs]


def test_no_answer_is_longer_than_it_may_be(hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client) -> None:
    walled = Walled.made(api, machine_api)
    chance = random.Random(RECALLS)
    long = " ".join(f"line {n} of the {walled.word} log\n" for n in range(400))
    captured(machine_api, "And the log?", long, identity=walled.place.identity)
    words = [
        walled.word,
        "gateway",
        "printer",
        "rule",
        "log",
        "🛠️",
        "東京",
        "</worklore-memory>",
        "DROP TABLE",
        "\u202e",
    ]
    with hub.database.read(SYSTEM) as ctx:
        scope = of_project(ctx.session.get_one(Project, uuid.UUID(walled.place.project["id"])))
        for _ in range(RECALLS):
            budget = chance.choice([50, 51, 60, 80, 120, 400, 1000, 100_000, chance.randrange(50, 3000)])
            question = " ".join(chance.choices(words, k=chance.randrange(1, 9)))
            packed = search(ctx, scope, question, budget=budget).packed(budget)
            assert tokens.count(packed.text) == packed.tokens <= budget
            assert packed.text.count("</worklore-memory>") == bool(packed.text)
