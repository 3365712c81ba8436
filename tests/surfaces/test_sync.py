"""What a machine takes along of a project."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from tests.conftest import TestHub, unique
from tests.memory.test_warnings import Place
from tests.memory.transcripts import conversation, home, piece
from worklore.identity.roles import Role
from worklore.identity.token import TokenKind
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.memory.window import MemoryWindow, Trust
from worklore.surfaces import sync
from worklore.surfaces.sync import digest_of
from worklore.tracking.vendor import EXAMPLE

TALK = ("The backup of nas-07 fails with 0x80070035", "The share was renamed; the job has the new path now")


class Taken:
    """What a machine holds, as a client keeps it."""

    def __init__(self, client: httpx2.Client, identity: dict[str, Any]) -> None:
        self.client, self.identity = client, identity
        self.cursor: str | None = None
        self.memories: dict[str, dict[str, Any]] = {}
        self.parts: dict[str, list[dict[str, Any]]] = {}
        self.answers: list[dict[str, Any]] = []

    def sync(self) -> dict[str, Any]:
        self.answers = []
        while True:
            answer = self.client.post("/sync", json={"identity": self.identity, "cursor": self.cursor})
            assert answer.status_code == 200, answer.text
            told = answer.json()
            self.answers.append(told)
            if told["whole"]:
                self.memories, self.parts = {}, {}
            self.cursor = told["cursor"]
            self.memories |= {item["id"]: item for item in told["memories"]["items"]}
            for gone in told["memories"]["gone"]:
                self.memories.pop(gone, None)
            base = told["memories"]["base"]
            self.memories = {key: item for key, item in self.memories.items() if item["seq"] >= base}
            self.parts |= told["parts"]
            if not told["more"]:
                return told

    @property
    def complete(self) -> bool:
        held = self.answers[-1]["memories"]["held"]
        return bool(held == digest_of(self.memories))

    def texts(self) -> list[str]:
        return [item["text"] for item in self.memories.values()]


@pytest.fixture
def identity(machine_api: httpx2.Client) -> dict[str, Any]:
    about = home(machine_api)
    machine_api.post("/capture", json=piece(conversation(*TALK), about)).raise_for_status()
    return about


@pytest.fixture
def project(machine_api: httpx2.Client, identity: dict[str, Any]) -> str:
    return str(machine_api.post("/projects/identify", json=identity).json()["id"])


@pytest.fixture
def taken(hub: TestHub, identity: dict[str, Any]) -> Taken:
    return Taken(hub.client(hub.token(kind=TokenKind.machine)), identity)


def test_a_machine_takes_along_all_that_agents_read(
    api: httpx2.Client, hub: TestHub, taken: Taken, project: str
) -> None:
    work = {"project_id": project, "title": "Replace the share", "description": "password: Geheim77x"}
    item = api.post("/work-items", json=work).json()
    api.put(f"/project-configuration/by-project/{project}", json={"git_branch": "main"}).raise_for_status()
    vendor = {"name": unique("vendor"), "extractor_version": "2.4.0", "metadata": EXAMPLE}
    api.post("/vendor-extractors", json=vendor).raise_for_status()
    told = taken.sync()
    assert told["whole"]
    assert told["epoch"]
    assert told["project"]["id"] == project
    assert set(TALK) <= set(taken.texts())
    assert TALK[1] in taken.parts["brief"][0]["text"]
    assert [row["id"] for row in taken.parts["work-item"]] == [item["id"]]
    assert taken.parts["configuration"][0]["git_branch"] == "main"
    assert vendor["metadata"] in [row["metadata"] for row in taken.parts["vendor"]]
    records = taken.client.post("/sync", json={"identity": taken.identity, "memories": False}).json()
    assert (records["memories"], records["parts"]) == (None, taken.parts)
    assert "Geheim77x" not in str(told)
    assert taken.complete


def test_of_its_client_only_what_somebody_stated_comes_along(
    api: httpx2.Client, hub: TestHub, taken: Taken, project: str
) -> None:
    """As recall in a project tells it: what was merely read off a transcript elsewhere stays there."""
    about = {"client_id": api.get(f"/projects/{project}").json()["client_id"], "insight_category": "permissions"}
    told = {word: unique(word) for word in ("stated", "read")}
    for word in told.values():
        insight = {**about, "insight_title": word, "insight_description": "as it is"}
        api.post("/environmental-insights", json=insight).raise_for_status()

    def read_off(ctx: Context) -> None:
        low = update(MemoryWindow).where(MemoryWindow.text.contains(told["read"])).values(trust=Trust.transcript)
        ctx.session.execute(unaudited(low, "a test").execution_options(synchronize_session=False))

    hub.database.write(read_off)
    taken.sync()
    texts = "\n".join(taken.texts())
    assert told["stated"] in texts
    assert told["read"] not in texts


def test_only_what_has_changed_is_sent_again(api: httpx2.Client, taken: Taken, project: str) -> None:
    item = api.post("/work-items", json={"project_id": project, "title": "Replace the share"}).json()
    taken.sync()
    again = taken.sync()
    assert (again["whole"], again["memories"]["items"], again["parts"]) == (False, [], {})
    api.patch(f"/work-items/{item['id']}", json={"status": "completed"}, headers={"if-match": '"1"'}).raise_for_status()
    changed = taken.sync()
    assert "work-item" in changed["parts"]
    assert taken.parts["work-item"][0]["status"] == "completed"
    assert not changed["whole"]
    assert taken.complete


def test_what_was_forgotten_is_noticed(owner_api: httpx2.Client, taken: Taken) -> None:
    taken.sync()
    key = next(key for key, item in taken.memories.items() if item["text"] == TALK[0])
    owner_api.delete(f"/memory-windows/{key}", headers={"if-match": '"1"'}).raise_for_status()
    taken.sync()
    if not taken.complete:  # nothing says what is gone, so everything is asked anew
        taken.cursor = None
        taken.sync()
    assert taken.complete
    assert TALK[0] not in taken.texts()


@pytest.fixture
def owner_api(hub: TestHub) -> httpx2.Client:
    return hub.owner()


def test_other_projects_add_nothing(machine_api: httpx2.Client, taken: Taken) -> None:
    taken.sync()
    size = len(taken.client.post("/sync", json={"identity": taken.identity}).content)
    for _ in range(3):
        machine_api.post("/capture", json=piece(conversation(*TALK), home(machine_api))).raise_for_status()
    again = taken.sync()
    assert (again["memories"]["items"], again["memories"]["gone"]) == ([], [])
    assert abs(len(taken.client.post("/sync", json={"identity": taken.identity}).content) - size) < 16


def test_who_may_see_less_gets_less(hub: TestHub, api: httpx2.Client, taken: Taken, project: str) -> None:
    """A caller limited to another client is told of no project; one without a scope not of what that is for."""
    other = api.post("/clients", json={"name": unique("client"), "type": "msp_client"}).json()["id"]
    limited = Taken(hub.client(hub.token(Role.technician, clients=[other])), taken.identity)
    answer = limited.client.post("/sync", json={"identity": limited.identity}).json()
    assert (answer["project"], answer["memories"], answer["parts"]) == (None, None, {})
    api.post("/work-items", json={"project_id": project, "title": "Replace the share"}).raise_for_status()
    narrow = Taken(hub.client(hub.token(scopes=["memory:read"])), taken.identity)
    narrow.sync()
    assert narrow.parts["work-item"] == []
    # A cursor of somebody who saw more brings everything anew.
    taken.sync()
    narrow.cursor = taken.cursor
    assert narrow.sync()["whole"]


def test_many_memories_come_in_pages_and_the_oldest_go(
    machine_api: httpx2.Client, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PAGE", 3), ("MEMORIES", 6), ("SLACK", 2)):
        monkeypatch.setattr(sync, name, value)
    words = [f"{'Question' if n % 2 else 'Answer'} {n} about the tunnel" for n in range(8)]
    machine_api.post("/capture", json=piece(conversation(*words), taken.identity)).raise_for_status()
    taken.sync()
    assert len(taken.answers) > 1
    assert taken.complete
    assert len(taken.memories) == 6
    assert words[-1] in taken.texts()
    more = [f"{'Question' if n % 2 else 'Answer'} {n} about the switch" for n in range(8, 16)]
    machine_api.post("/capture", json=piece(conversation(*more), taken.identity)).raise_for_status()
    taken.sync()
    assert taken.complete
    assert 6 <= len(taken.memories) <= 8
    assert TALK[0] not in taken.texts()


def test_known_failures_go_along_with_what_repeats_them(hub: TestHub, api: httpx2.Client) -> None:
    place = Place(hub, api)
    api.post("/project-identities", json={"project_id": place.project["id"], "kind": "marker", "value": place.host})
    place.twice()
    taken = Taken(hub.client(hub.token()), {"path": "/nowhere", "marker": place.host})
    taken.sync()
    [known] = [each for each in taken.parts["warning"] if place.host in each["hosts"]]
    assert "Access denied" in known["line"]
    assert known["triggers"][0]["head"] == "systemctl restart"
    assert "nginx" in known["triggers"][0]["words"]


@pytest.mark.parametrize("cursor", ["", "rubbish", "e30=", "eyJ3aG8iOjF9"])
def test_a_cursor_that_is_none_brings_everything(taken: Taken, cursor: str) -> None:
    taken.cursor = cursor
    assert taken.sync()["whole"]
