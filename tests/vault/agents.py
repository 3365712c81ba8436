"""Agents that work by a grant, and people who are named for a credential."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2

from tests.conftest import TestHub, unique
from worklore.identity.roles import Role
from worklore.kernel.access import Principal, PrincipalKind
from worklore.kernel.types import iso, utcnow

USE = ["credential:read", "credential:use"]


@dataclass
class Agent:
    """An agent of a technician, with a token for one grant."""

    api: httpx2.Client
    token: str
    principal: Principal
    grant: str


def person(api: httpx2.Client) -> str:
    """The id of the user behind a client."""
    return str(api.get("/me").json()["user"]["id"])


def technician(hub: TestHub, **options: Any) -> httpx2.Client:
    """Somebody who uses secrets, and to whom they are shown."""
    return hub.client(hub.token(Role.technician, scopes=["*"], **options))


def new_agent(hub: TestHub, owner: httpx2.Client, *, life: timedelta = timedelta(minutes=15)) -> Agent:
    api, who = hub.owner(), person(owner)
    made = owner.post("/agents", json={"name": unique("agent"), "owner_id": who, "role": "agent"})
    agent = made.raise_for_status().json()["id"]
    task = api.post("/tasks", json={"title": unique("task")}).raise_for_status().json()["id"]
    given = {"agent_id": agent, "task_id": task, "scopes": USE, "expires_at": iso(utcnow() + life)}
    grant = owner.post("/task-grants", json=given).raise_for_status().json()["id"]
    token = owner.post("/auth/agent-token", json={"task_grant_id": grant}).raise_for_status().json()["token"]
    principal = Principal(
        PrincipalKind.agent,
        "agent:of-a-test",
        frozenset(USE),
        user_id=UUID(who),
        agent_id=UUID(agent),
        task_grant_id=UUID(grant),
    )
    return Agent(hub.client(token), token, principal, grant)
