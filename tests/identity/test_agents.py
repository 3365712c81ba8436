"""Agents as principals: what they may do, for whom, and when it ends."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from tests.conftest import TestHub, unique
from tests.identity.conftest import Person, refusal
from worklore.identity.agent import TaskGrant
from worklore.identity.roles import Role
from worklore.kernel.audit import AuditEntry
from worklore.kernel.types import iso, utcnow

READ = "client:read"
SCOPES = ["client:*", "project:*", "session:write"]


@dataclass
class Agent:
    """An agent, its owner and a grant."""

    hub: TestHub
    owner: Person
    id: str
    task: str
    grant: str

    def token(self) -> str:
        asked = self.owner.api.post("/auth/agent-token", json={"task_grant_id": self.grant})
        return str(asked.raise_for_status().json()["token"])

    @property
    def api(self) -> httpx2.Client:
        return self.hub.client(self.token())


def client_of(api: httpx2.Client) -> str:
    body = {"name": unique("client"), "type": "msp_client"}
    return str(api.post("/clients", json=body).raise_for_status().json()["id"])


@pytest.fixture
def new_agent(hub: TestHub, api: httpx2.Client, new_person: Any) -> Callable[..., Agent]:
    def make(role: str = "technician", of: Role = Role.technician, scopes: list[str] = SCOPES, **options: Any) -> Agent:
        client = options.pop("client", None)
        owner: Person = new_person(of, **options)
        body = {"name": unique("agent"), "owner_id": str(owner.id), "role": role}
        by = api if of is Role.auditor else owner.api
        agent = by.post("/agents", json=body).raise_for_status().json()["id"] if not options else None
        if agent is None:
            agent = api.post("/agents", json=body).raise_for_status().json()["id"]
        task = api.post("/tasks", json={"title": unique("task"), "client_id": client}).raise_for_status().json()["id"]
        given = {"agent_id": agent, "task_id": task, "scopes": scopes, "client_id": client}
        grant = api.post("/task-grants", json=given).raise_for_status().json()["id"]
        return Agent(hub, owner, agent, task, grant)

    return make


def test_an_agent_may_what_owner_role_and_grant_allow(new_agent: Callable[..., Agent], api: httpx2.Client) -> None:
    agent = new_agent()
    me = agent.api.get("/me").json()
    assert (me["kind"], me["user"]["email"], me["clients"]) == ("agent", agent.owner.email, None)
    # A technician reads clients and writes projects; the grant has more of clients, and less of all else.
    assert set(me["scopes"]) == {"client:read", "project:*", "project:read", "session:write"}
    assert agent.api.get("/clients").status_code == 200
    assert refusal(agent.api.get("/sessions")) == (403, "scope-missing")
    assert refusal(agent.api.post("/clients", json={"name": "x", "type": "msp_client"})) == (403, "scope-missing")
    reader = new_agent("read-only")
    assert set(reader.api.get("/me").json()["scopes"]) == {"client:read", "project:read"}
    everything = new_agent(scopes=["*:*"]).api.get("/me").json()["scopes"]
    assert "*" not in everything
    assert "user:read" not in everything


def test_clients_are_those_of_owner_agent_and_grant(new_agent: Callable[..., Agent], api: httpx2.Client) -> None:
    one, two, three = (client_of(api) for _ in range(3))
    seen = lambda agent: agent.api.get("/me").json()["clients"]  # noqa: E731 - asked often
    assert seen(new_agent(client=one)) == [one]
    limited = new_agent(clients=[one, two])
    assert seen(limited) == sorted([one, two])
    assert seen(new_agent(clients=[one, two], client=two)) == [two]
    assert seen(new_agent(clients=[one], client=two)) == []
    put = api.put(f"/agents/{limited.id}/clients", json={"clients": [two, three]})
    assert put.json() == {"clients": sorted([two, three])}
    assert seen(limited) == [two]
    api.put(f"/agents/{limited.id}/clients", json={"clients": []}).raise_for_status()
    assert seen(limited) == []
    assert limited.api.get("/clients").json()["items"] == []
    assert refusal(limited.api.get(f"/clients/{one}")) == (404, "not-found")


def revoke(agent: Agent, api: httpx2.Client) -> None:
    etag = {"if-match": api.get(f"/task-grants/{agent.grant}").headers["etag"]}
    api.patch(f"/task-grants/{agent.grant}", json={"revoked_at": iso(utcnow())}, headers=etag).raise_for_status()


def disable(agent: Agent, api: httpx2.Client) -> None:
    api.patch(f"/agents/{agent.id}", json={"is_active": False}).raise_for_status()


def disable_owner(agent: Agent, api: httpx2.Client) -> None:
    api.patch(f"/users/{agent.owner.id}", json={"is_active": False}).raise_for_status()


def demote(agent: Agent, api: httpx2.Client) -> None:
    api.patch(f"/agents/{agent.id}", json={"role": "read-only"}).raise_for_status()


def forget_task(agent: Agent, api: httpx2.Client) -> None:
    assert api.delete(f"/tasks/{agent.task}", params={"cascade": "true"}).status_code == 204


ENDS = (revoke, disable, disable_owner, demote, forget_task)


def test_whatever_ends_stops_the_agent(hub: TestHub, new_agent: Callable[..., Agent], api: httpx2.Client) -> None:
    """Within seconds; that what is remembered lasts no longer is tested with people's rights."""
    running = []
    for end in ENDS:
        agent = new_agent()
        client = agent.api
        assert client.get("/me").status_code == 200
        end(agent, api)
        running.append(client)
    hub.hub.gateway.authenticator.forget()
    for client in running:
        assert refusal(client.get("/me")) == (401, "token-invalid")


def test_a_grant_that_ends_in_mid_run_stops_at_the_next_request(
    hub: TestHub, new_agent: Callable[..., Agent], api: httpx2.Client
) -> None:
    agent = new_agent()
    token = agent.token()
    soon = utcnow() + timedelta(seconds=1.5)
    with hub.database.writing.begin() as connection:
        connection.execute(update(TaskGrant).where(TaskGrant.id == uuid.UUID(agent.grant)).values(expires_at=soon))
    client = hub.client(token)
    assert client.get("/me").status_code == 200
    time.sleep(max(0.0, (soon - utcnow()).total_seconds()))
    assert refusal(client.get("/me")) == (401, "token-expired")
    assert refusal(agent.owner.api.post("/auth/agent-token", json={"task_grant_id": agent.grant})) == (422, "invalid")


def test_a_renewed_grant_keeps_its_token(new_agent: Callable[..., Agent], api: httpx2.Client) -> None:
    agent = new_agent()
    client = agent.api
    later = iso(utcnow() + timedelta(hours=2))
    assert agent.owner.api.patch(f"/task-grants/{agent.grant}", json={"expires_at": later}).status_code == 200
    assert client.get("/me").status_code == 200


def test_only_its_owner_makes_a_token_for_an_agent(
    new_agent: Callable[..., Agent], new_person: Any, api: httpx2.Client
) -> None:
    agent = new_agent(scopes=["*:*"])
    body = {"task_grant_id": agent.grant}
    for other in (api, new_person().api):
        assert refusal(other.post("/auth/agent-token", json=body)) == (404, "not-found")
    own = agent.api
    assert refusal(own.post("/auth/agent-token", json=body)) == (403, "forbidden")
    wanted = {"password": "correct horse battery", "current": "incorrect horse battery"}
    assert refusal(own.post("/auth/password", json=wanted)) == (403, "person-needed")
    stranger: Person = new_person()
    theirs = {"name": unique("agent"), "owner_id": str(agent.owner.id)}
    assert refusal(stranger.api.post("/agents", json=theirs)) == (403, "not-yours")
    given = {"agent_id": agent.id, "task_id": agent.task, "scopes": [READ]}
    assert refusal(stranger.api.post("/task-grants", json=given)) == (403, "not-yours")
    etag = {"if-match": own.get(f"/agents/{agent.id}").headers.get("etag", '"1"')}
    assert own.patch(f"/agents/{agent.id}", json={"notes": "mine"}, headers=etag).status_code in {403, 404}


def test_the_record_names_the_agent_and_its_owner(hub: TestHub, new_agent: Callable[..., Agent], api: Any) -> None:
    client = client_of(api)
    agent = new_agent()
    made = agent.api.post("/projects", json={"client_id": client, "name": unique("project")}).raise_for_status().json()
    name = api.get(f"/agents/{agent.id}").json()["name"]
    with hub.database.reading.connect() as connection:
        entry = select(AuditEntry.actor, AuditEntry.on_behalf_of).where(AuditEntry.record_id == uuid.UUID(made["id"]))
        found = {tuple(row) for row in connection.execute(entry)}
    assert found == {(f"agent:{name}", agent.owner.email)}
