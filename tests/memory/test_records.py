"""Work records and turns in one index: found by one question, chosen by scope, kind, place, tag, time and trust."""

import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import URL, func, select, update

from tests.conftest import TestHub, unique
from tests.memory.test_meaning import pass_over_what_others_said
from tests.memory.test_recall import TALK, captured, recall
from tests.memory.transcripts import home
from worklore.clients.client import Client, ClientType
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.memory.recollection import recollection
from worklore.memory.reindex import reindex
from worklore.memory.remembered import index_records
from worklore.memory.snippet import ContextSnippet, SnippetCategory
from worklore.memory.vector import MemoryVector, embed_memory
from worklore.memory.window import MemoryWindow
from worklore.work.project import Project


class Place:
    """A project of a client of its own with a session on a machine, and records made there."""

    def __init__(self, api: httpx2.Client, machine_api: httpx2.Client) -> None:
        self.api = api
        key, self.identity = unique("session"), home(machine_api)
        captured(machine_api, *TALK, session=key, identity=self.identity)
        [self.session] = api.get("/sessions", params={"external_key": key}).json()["items"]
        self.project = api.get(f"/projects/{self.session['project_id']}").json()
        self.client = api.get(f"/clients/{self.project['client_id']}").json()

    def make(self, noun: str, **body: Any) -> dict[str, Any]:
        answer = self.api.post(f"/{noun}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def ask(self, question: str, **more: Any) -> list[dict[str, Any]]:
        if "client" not in more:
            more |= {"identity": self.identity}
        answer = self.api.post("/recall", json={"question": question, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]


@pytest.fixture
def place(api: httpx2.Client, machine_api: httpx2.Client) -> Place:
    return Place(api, machine_api)


def everything(place: Place) -> dict[str, dict[str, Any]]:
    """One record of each kind about the same printer, by kind."""
    session, project, client = place.session["id"], place.project["id"], place.client["id"]
    host = place.make("infrastructure", client_id=client, hostname=unique("print"), asset_type="physical_server")
    said = "the quokka printer"
    return {
        "solution": place.make(
            "problem-solutions",
            session_id=session,
            problem_description=f"{said} prints blank pages",
            root_cause="dried head",
            solution_applied="cleaned the head twice",
        ),
        "failure": place.make(
            "operation-failures",
            session_id=session,
            operation_type="service_restart",
            operation_description=f"restart the spooler of {said}",
            error_message="access denied",
        ),
        "pattern": place.make(
            "failure-patterns",
            client_id=client,
            pattern_type="permission_denied",
            pattern_signature=f"spooler of {said}",
            failure_description="restarting needs elevation",
            root_cause="policy",
            recommended_solution="use the service account",
        ),
        "insight": place.make(
            "environmental-insights",
            client_id=client,
            infrastructure_id=host["id"],
            insight_category="permissions",
            insight_title=f"{said} needs elevation",
            insight_description="its spooler runs as another user",
        ),
        "decision": place.make(
            "decision-logs",
            project_id=project,
            decision_type="purchase",
            decision_text=f"replace {said} in June",
            rationale="spare parts are gone",
            tags=["Hardware Budget"],
        ),
        "work-item": place.make("work-items", project_id=project, title=f"Order the successor of {said}"),
        "deployment": place.make(
            "deployments", session_id=session, deployment_type="firmware", description=f"new firmware on {said}"
        ),
        "context": place.make(
            "conversation-contexts",
            project_id=project,
            context_type="general_context",
            title=f"All about {said}",
            dense_summary="it stands in Lyon",
        ),
        "snippet": place.make(
            "context-snippets",
            project_id=project,
            category="lesson",
            title=f"Paper for {said}",
            dense_content="only 90 g paper feeds well",
        ),
    } | {"host": host}


def test_each_kind_is_found_as_soon_as_it_is_there(place: Place) -> None:
    made = everything(place)
    made.pop("host")
    found = {item["kind"]: item for item in place.ask("quokka printer", budget=4000) if "quokka" in item["text"]}
    assert set(found) == set(made)
    for kind, item in found.items():
        assert item["record"] == made[kind]["id"]
        assert item["trust"] == "stated"
        assert abs(sum(item["parts"].values()) - item["score"]) < 0.02
    assert "Solution: cleaned the head twice" in found["solution"]["text"]
    assert found["solution"]["session"] == place.session["id"]
    assert found["insight"]["session"] is None
    assert "work record" in found["insight"]["why"]


def test_only_the_kinds_asked_for(place: Place) -> None:
    everything(place)
    for kinds in (["decision"], ["solution", "failure"], ["turn"]):
        found = place.ask("quokka printer firewall rule", kinds=kinds, budget=4000)
        assert {item["kind"] for item in found} == set(kinds)
    answer = place.api.post("/recall", json={"question": "x", "identity": place.identity, "kinds": ["rumour"]})
    assert answer.status_code == 422


def test_what_changes_is_told_as_it_is_now_and_what_is_deleted_no_more(place: Place) -> None:
    made = everything(place)["decision"]
    path = f"/decision-logs/{made['id']}"
    changed = place.api.patch(
        path, json={"decision_text": "keep the numbat printer"}, headers={"if-match": f'"{made["version"]}"'}
    )
    assert changed.status_code == 200, changed.text
    assert place.ask("quokka", kinds=["decision"]) == []
    [found] = place.ask("numbat printer", kinds=["decision"])
    assert found["text"].startswith("keep the numbat printer")
    assert place.api.delete(path, headers={"if-match": f'"{changed.json()["version"]}"'}).status_code == 204
    assert place.ask("numbat printer", kinds=["decision"]) == []
    windows = place.api.get("/memory-windows", params={"record_id": made["id"]}).json()["items"]
    assert windows == []


def test_a_long_record_is_cut_and_shrinks_again(place: Place) -> None:
    steps = "\n\n".join(
        f"Step {n}: look at the wombat counter number {n} and write it down carefully" for n in range(40)
    )
    made = place.make(
        "context-snippets", project_id=place.project["id"], category="lesson", title="x", dense_content=steps
    )
    [found] = place.ask("wombat counter number 33", kinds=["snippet"], limit=1)
    assert "Step 33" in found["text"]
    body = {"dense_content": "the wombat counter is gone"}
    place.api.patch(
        f"/context-snippets/{made['id']}", json=body, headers={"if-match": f'"{made["version"]}"'}
    ).raise_for_status()
    [found] = place.ask("wombat counter", kinds=["snippet"])
    assert found["text"] == "x\nthe wombat counter is gone"


def test_records_of_the_client_are_told_in_all_its_projects_and_those_of_a_project_are_not(place: Place) -> None:
    everything(place)
    other = place.make("projects", client_id=place.client["id"], name=unique("Other"), slug=unique("other"))
    found = place.ask("quokka printer", project=other["id"], budget=4000)
    assert {item["kind"] for item in found} == {"pattern", "insight"}
    whole = place.ask("quokka printer", client=place.client["name"], budget=4000)
    assert {"decision", "solution", "pattern"} <= {item["kind"] for item in whole}
    assert place.ask("firewall rule label printers", client=place.client["id"])


def test_of_one_session_one_host_one_tag(place: Place, machine_api: httpx2.Client) -> None:
    made = everything(place)
    captured(machine_api, "the quokka printer hums", identity=place.identity)
    [turn] = place.ask("quokka printer hums", kinds=["turn"], limit=1)
    for name in (turn["session"], place.api.get(f"/sessions/{turn['session']}").json()["external_key"]):
        assert {item["session"] for item in place.ask("quokka printer", session=name)} == {turn["session"]}
    [about] = place.ask("quokka printer", host=made["host"]["hostname"].upper())
    assert about["kind"] == "insight"
    assert {item["machine"] for item in place.ask("quokka printer", host=turn["machine"])} == {turn["machine"]}
    assert place.ask("quokka printer", host="nowhere.example.com") == []
    [tagged] = place.ask("quokka printer", tags=["hardware  budget"])
    assert tagged["kind"] == "decision"
    assert place.ask("quokka printer", tags=["no such tag"]) == []
    place.api.post(f"/sessions/{turn['session']}/tag", json={"names": [word := unique("label")]}).raise_for_status()
    assert {item["session"] for item in place.ask("quokka printer", tags=[word])} == {turn["session"]}
    answer = place.api.post("/recall", json={"question": "x", "identity": place.identity, "session": "unknown"})
    assert (answer.status_code, answer.json()["code"]) == (404, "session-unknown")


def test_as_of_a_time_and_by_trust(place: Place) -> None:
    everything(place)
    assert place.ask("quokka printer", as_of="2026-01-01T00:00:00Z") == []
    assert {item["kind"] for item in place.ask("firewall rule printers", as_of="2026-04-01T00:00:00Z")} == {"turn"}
    trusted = place.ask("quokka printer firewall rule", trust_min="stated", budget=4000)
    assert trusted
    assert all(item["trust"] == "stated" for item in trusted)
    assert place.ask("quokka printer", trust_min="confirmed") == []


def test_another_clients_records_are_not_told(hub: TestHub, place: Place, api: httpx2.Client) -> None:
    everything(place)
    mine = api.post("/clients", json={"name": unique("Mine"), "type": "msp_client"}).json()
    outsider = hub.client(hub.token(clients=[mine["id"]], scopes=["*"]))
    for asked in ({"client": place.client["name"]}, {"client": place.client["id"]}, {"project": place.project["id"]}):
        answer = outsider.post("/recall", json={"question": "quokka printer", **asked})
        assert answer.status_code == 404, answer.text
    answer = outsider.post("/recall", json={"question": "quokka printer", "client": mine["id"]}).json()
    assert answer["items"] == []


def test_what_capture_reads_off_a_turn_is_in_memory_once(place: Place, machine_api: httpx2.Client) -> None:
    identity = captured(machine_api, "Which bus?", "We decided to use the bilby bus because it is quiet.")
    found = recall(machine_api, "bilby bus", identity)["items"]
    assert {item["kind"] for item in found} == {"turn"}
    assert api_decisions(place.api, found[0]["session"])


def api_decisions(api: httpx2.Client, session: str) -> list[dict[str, Any]]:
    return api.get("/decision-logs", params={"session_id": session}).json()["items"]


def test_records_from_before_are_brought_in(hub: TestHub, place: Place) -> None:
    made = everything(place)["solution"]
    held = place.api.get("/memory-windows", params={"record_id": made["id"]}).json()["items"]
    for window in held:
        place.api.delete(f"/memory-windows/{window['id']}", headers={"if-match": f'"{window["version"]}"'})
    assert place.ask("quokka printer", kinds=["solution"]) == []
    index_records(hub.database, {})
    assert [item["record"] for item in place.ask("quokka printer", kinds=["solution"])] == [made["id"]]


def test_their_meaning_is_known_too(hub: TestHub, place: Place) -> None:
    pass_over_what_others_said(hub)
    everything(place)
    embed_memory(hub.database, {})
    with hub.database.read(SYSTEM) as ctx:
        ctx.derived.pop("recollection", None)
        assert len(recollection(ctx)) == 0
    [found] = place.ask("what shall we purchase instead of the old machine?", kinds=["decision"])
    assert "late" in found["parts"]


def test_contexts_and_snippets_are_ranked_by_a_question(place: Place) -> None:
    project = place.project["id"]
    # Letters alone: the parts of "gnu12ab" would be found in names of other tests.
    letters = str.maketrans("0123456789-", "ghijklmnopq")
    word, lamp, oil = (unique(kind).translate(letters) for kind in ("gnu", "lamp", "oil"))
    texts = (
        f"the {word} {lamp}",
        f"the {word} {lamp} of the {word} room needs {oil}",
        f"{oil} for the {word}",
        "nothing of it",
    )
    titled = {"project_id": project, "relevance_score": 3}
    for number, text in enumerate(texts):
        place.make("context-snippets", category="lesson", title=f"S{number}", dense_content=text, **titled)
        place.make(
            "conversation-contexts", context_type="general_context", title=f"C{number}", dense_summary=text, **titled
        )
    for path in ("context-snippets/top-relevant", "conversation-contexts/recall"):
        asked = {"question": f"where is the {word} {lamp} and its {oil}?", "fields": "title", "total": "true"}
        found = place.api.get(f"/{path}", params=asked)
        assert found.status_code == 200, found.text
        titles = [item["title"][1:] for item in found.json()["items"]]
        assert (titles[0], found.json()["total"]) == ("1", 3)
        assert set(titles) == {"0", "1", "2"}
        second = place.api.get(f"/{path}", params=asked | {"limit": "1", "offset": "1"}).json()["items"]
        assert [item["title"][1:] for item in second] == titles[1:2]
        assert place.api.get(f"/{path}", params={"question": "xylophones"}).json()["items"] == []
        assert place.api.get(f"/{path}", params={"question": "x" * 20_001}).status_code == 400


def test_what_names_a_file_that_was_changed_later_is_marked(place: Place, machine_api: httpx2.Client) -> None:
    captured(machine_api, "Where is the quokka limit?", "It is 40 in etc/quokka/limits.conf", identity=place.identity)
    [before] = place.ask("quokka limit", kinds=["turn"], limit=1)
    assert before["stale"] is None
    place.make(
        "file-changes", session_id=place.session["id"], file_path="etc/quokka/limits.conf", change_type="modified"
    )
    answer = place.api.post("/recall", json={"question": "quokka limit", "identity": place.identity}).json()
    [item] = [item for item in answer["items"] if "limits.conf" in item["text"]]
    assert "etc/quokka/limits.conf was modified on " in item["stale"]
    assert "(may be outdated: etc/quokka/limits.conf was modified" in answer["text"]
    assert answer["tokens"] <= 1000


def test_what_was_superseded_comes_behind_and_says_so(place: Place, machine_api: httpx2.Client) -> None:
    captured(machine_api, "The quokka licence has 40 seats", "Noted.", identity=place.identity)
    captured(machine_api, "The wombat licence has 60 seats", "Noted.", identity=place.identity)
    (old,) = place.ask("quokka licence seats", kinds=["turn"], limit=1)
    (new,) = place.ask("wombat licence seats", kinds=["turn"], limit=1)
    asked = "how many seats has the quokka licence, and the wombat licence?"
    assert place.ask(asked, kinds=["turn"])[0]["id"] == old["id"]
    body = {"by": new["id"], "reason": "renamed", "valid_from": "2026-03-05T00:00:00Z"}
    done = place.api.post(f"/memory-windows/{old['id']}/supersede", json=body)
    assert done.status_code == 200, done.text
    ids = [item["id"] for item in place.ask(asked, kinds=["turn"])]
    assert ids.index(new["id"]) < ids.index(old["id"])
    answer = place.api.post("/recall", json={"question": asked, "identity": place.identity}).json()
    assert "(no longer valid since 2026-03-05): The quokka licence has 40 seats" in answer["text"]
    [behind] = [item for item in answer["items"] if item["id"] == old["id"]]
    assert behind["valid_to"] == "2026-03-05T00:00:00.000000Z"
    assert old["id"] not in [item["id"] for item in place.ask(asked, as_of="2026-03-06T00:00:00Z")]
    then = place.ask("quokka licence seats", as_of="2026-03-04T00:00:00Z")
    assert old["id"] in [item["id"] for item in then]
    assert place.api.post(f"/memory-windows/{old['id']}/restore", json={"reason": "wrong"}).status_code == 200
    assert place.ask(asked, kinds=["turn"])[0]["id"] == old["id"]


def test_what_is_derived_is_made_anew_and_goes_on_where_it_was(schema_url: URL) -> None:
    own = Database(schema_url)
    try:

        def fill(ctx: Context) -> None:
            client = Client(id=uuid7(), name="Example", type=ClientType.msp_client)
            project = Project(id=uuid7(), client_id=client.id, name="Move")
            lesson = {"project_id": project.id, "category": SnippetCategory.lesson}
            ctx.session.add(client)
            ctx.session.flush()
            ctx.session.add(project)
            ctx.session.flush()
            ctx.session.add_all(
                ContextSnippet(id=uuid7(), title=f"S{n}", dense_content=f"the wombat {n}", **lesson) for n in range(7)
            )

        def spoil(ctx: Context) -> None:
            spoilt = update(MemoryWindow).values(tokens="", token_count=0)
            ctx.session.execute(unaudited(spoilt, "a test").execution_options(synchronize_session=False))

        own.write(fill)
        before = stored(own)
        own.write(spoil)
        done = reindex(own, vectors=True)
        assert (done.looked_at, done.changed) == (7, 7)
        after = stored(own)
        assert {key: row[1:] for key, row in after.items()} == {key: row[1:] for key, row in before.items()}
        assert min(row[0] for row in after.values()) > max(row[0] for row in before.values())
        assert (reindex(own).changed, reindex(own, after=done.last).looked_at) == (0, 0)
        with own.read(SYSTEM) as ctx:
            assert ctx.session.scalar(select(func.count()).select_from(MemoryVector)) == 7
    finally:
        own.close()


def stored(database: Database) -> dict[uuid.UUID, tuple[Any, ...]]:
    """The number, terms and size of each window, by its id."""
    columns = (MemoryWindow.id, MemoryWindow.seq, MemoryWindow.tokens, MemoryWindow.token_count)
    with database.read(SYSTEM) as ctx:
        return {row[0]: tuple(row[1:]) for row in ctx.session.execute(select(*columns))}
