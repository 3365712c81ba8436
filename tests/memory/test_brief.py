"""The brief of a session's start and the context packs: what they tell, within their budgets, and what they keep to
themselves."""

from typing import Any

import httpx2
import pytest

from tests.conftest import TestHub, unique
from tests.memory.test_records import Place
from tests.surfaces.test_agents import ask
from worklore.identity.roles import Role
from worklore.identity.token import TokenKind
from worklore.memory import tokens
from worklore.memory.brief import START_BUDGET
from worklore.memory.frame import CLOSING, FRAME, OPENING


@pytest.fixture
def place(api: httpx2.Client, machine_api: httpx2.Client) -> Place:
    return Place(api, machine_api)


@pytest.fixture
def elsewhere(hub: TestHub) -> httpx2.Client:
    """Another machine."""
    return hub.client(hub.token(kind=TokenKind.machine))


def filled(place: Place, host: str = "") -> dict[str, dict[str, Any]]:
    """A project with a state, open work, decisions, a handoff and what is known to fail; what was made, by noun."""
    project, client = place.project["id"], place.client["id"]
    made = {
        "state": place.make(
            "project-states",
            project_id=project,
            current_phase="roll-out",
            progress_percentage=60,
            context_summary="the quokka cluster moves to the new site",
            blockers=["the carrier's line is late"],
            next_actions=["move node 3"],
        ),
        "item": place.make("work-items", project_id=project, title="Order the fibre patch panel", priority="critical"),
        "done": place.make("work-items", project_id=project, title="Read the manual", status="completed"),
        "decision": place.make(
            "decision-logs",
            project_id=project,
            decision_type="network",
            decision_text="VLAN 40 carries the cluster traffic",
            rationale="it is not routed",
            impact="critical",
        ),
        "task": place.make("pending-tasks", project_id=project, client_id=client, title="tell the landlord"),
        "pattern": place.make(
            "failure-patterns",
            client_id=client,
            pattern_type="permission_denied",
            pattern_signature="pcs needs root",
            failure_description="pcs status fails without root",
            root_cause="policy",
            recommended_solution="use the service account",
            affected_systems=[host] if host else None,
        ),
    }
    handoff = {"done": ["nodes 1 and 2 moved"], "remaining": ["node 3"], "uncertain": "whether the rack has power"}
    version = place.api.get(f"/sessions/{place.session['id']}").json()["version"]
    path = f"/sessions/{place.session['id']}"
    place.api.patch(path, json={"handoff": handoff}, headers={"if-match": f'"{version}"'}).raise_for_status()
    return made


def test_a_brief_tells_where_the_project_stands(place: Place, elsewhere: httpx2.Client) -> None:
    filled(place)
    told = ask(elsewhere, "SessionStart", place.identity, unique())
    assert told.startswith(OPENING)
    assert told.endswith(CLOSING)
    assert told.count(FRAME) == 1
    assert tokens.count(told) <= START_BUDGET
    for text in (
        "roll-out. 60 %. the quokka cluster moves to the new site",
        "the carrier's line is late",
        "move node 3",
        "Order the fibre patch panel (active, critical)",
        "VLAN 40 carries the cluster traffic because it is not routed",
        "tell the landlord",
        "pcs status fails without root. Instead: use the service account",
        "remaining: node 3",
        "the toner contract with the supplier ends on 30 June",
    ):
        assert text in told, told
    assert "Read the manual" not in told


def test_a_brief_is_told_once_and_a_state_that_changed_again(place: Place, elsewhere: httpx2.Client) -> None:
    made, session = filled(place), unique()
    assert "VLAN 40" in ask(elsewhere, "SessionStart", place.identity, session)
    assert ask(elsewhere, "SessionStart", place.identity, session) == ""
    assert "VLAN 40" not in ask(elsewhere, "UserPromptSubmit", place.identity, session, "which VLAN has the cluster?")
    state = made["state"]
    place.api.patch(
        f"/project-states/{state['id']}",
        json={"next_actions": ["move node 4"]},
        headers={"if-match": f'"{state["version"]}"'},
    ).raise_for_status()
    again = ask(elsewhere, "SessionStart", place.identity, session)
    assert "move node 4" in again
    assert "VLAN 40" not in again


def test_what_fails_on_another_host_is_not_told(place: Place, hub: TestHub) -> None:
    here, there = unique("host"), unique("host")
    filled(place, here)
    for host, expected in ((here, True), (there, False)):
        client = hub.client(hub.token(kind=TokenKind.machine, host=host))
        assert ("pcs status" in ask(client, "SessionStart", place.identity, unique())) is expected


def test_a_brief_never_exceeds_its_budget(place: Place, elsewhere: httpx2.Client) -> None:
    project, long = place.project["id"], "the wombat counter stands at seven hundred and nothing helps " * 12
    for number in range(8):
        place.make("decision-logs", project_id=project, decision_type="x", decision_text=f"{number} {long}")
        place.make("work-items", project_id=project, title=f"{number} {long}"[:400])
    place.make("project-states", project_id=project, context_summary=f"{CLOSING} {long * 5}")
    told = ask(elsewhere, "SessionStart", place.identity, unique())
    assert 300 < tokens.count(told) <= START_BUDGET
    assert told.count(CLOSING.strip()) == 1


def pack(place: Place, noun: str, key: str, **body: Any) -> dict[str, Any]:
    answer = place.api.post(f"/{noun}/{key}/context-pack", json=body)
    assert answer.status_code == 200, answer.text
    assert tokens.count(answer.json()["text"]) == answer.json()["tokens"] <= body.get("budget", 2000)
    return answer.json()


def test_a_pack_of_a_client(place: Place) -> None:
    made = filled(place)
    for number in range(6):
        place.make("work-items", project_id=place.project["id"], title=f"Inspect rack {number} for loose cables")
    found = pack(place, "clients", place.client["id"])
    for text in ("Order the fibre patch panel", "tell the landlord", "VLAN 40 carries the cluster traffic"):
        assert text in found["text"]
    assert f"decision {made['decision']['id']}" in found["names"]
    small = pack(place, "clients", place.client["id"], budget=100)
    assert "Order the fibre patch panel" in small["text"]
    assert len(small["names"]) < len(found["names"])
    other = place.make("clients", name=unique("Other"), type="msp_client")
    assert pack(place, "clients", other["id"]) == {"text": "", "tokens": 0, "names": []}


def test_a_pack_of_a_work_item(place: Place) -> None:
    item = place.make(
        "work-items", project_id=place.project["id"], title="Label printers", description="Open the firewall for them"
    )
    part = place.make("work-items", project_id=place.project["id"], title="Buy labels", parent_id=item["id"])
    found = pack(place, "work-items", item["id"])
    assert found["text"].startswith(OPENING)
    assert found["text"].count(FRAME) == 1
    for text in ("Label printers (task, active). Open the firewall for them", "Buy labels", "Rule 214"):
        assert text in found["text"]
    assert f"work-item {part['id']}" in found["names"]
    for bad in ({"budget": 0}, {"budget": 10**9}, {"budget": "many"}):
        assert place.api.post(f"/work-items/{item['id']}/context-pack", json=bad).status_code == 422


def test_another_clients_pack_does_not_exist(hub: TestHub, place: Place) -> None:
    item = filled(place)["item"]
    mine = place.make("clients", name=unique("Mine"), type="msp_client")
    outsider = hub.client(hub.token(Role.technician, clients=[mine["id"]]))
    for path in (f"/clients/{place.client['id']}/context-pack", f"/work-items/{item['id']}/context-pack"):
        assert outsider.post(path, json={}).status_code == 404
