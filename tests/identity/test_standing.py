"""Shutting out, letting in again and changing roles: by whom, whom, and how fast; somebody always has a way in."""

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from tests.conftest import TestHub, serve, unique
from tests.identity.conftest import PASSWORD, Person, refusal
from worklore.identity.refresh import RefreshFamily
from worklore.identity.roles import Role
from worklore.identity.token import CACHE_SECONDS, TokenKind
from worklore.identity.user import User
from worklore.kernel.audit import AuditEntry


def act(api: httpx2.Client, noun: str, key: object, verb: str, **body: Any) -> httpx2.Response:
    return api.post(f"/{noun}/{key}/{verb}", json=body)


def actions_on(hub: TestHub, key: object) -> list[str]:
    told = select(AuditEntry.action).where(AuditEntry.record_id == uuid.UUID(str(key)))
    with hub.database.reading.connect() as connection:
        return list(connection.scalars(told))


def agent_of(api: httpx2.Client, **given: Any) -> dict[str, Any]:
    body = {"name": unique("agent"), "role": "technician", **given}
    made: dict[str, Any] = api.post("/agents", json=body).raise_for_status().json()
    return made


def agents_token(api: httpx2.Client, agent: dict[str, Any]) -> str:
    task = api.post("/tasks", json={"title": unique("task")}).raise_for_status().json()["id"]
    grant = {"agent_id": agent["id"], "task_id": task, "scopes": ["client:read"]}
    key = api.post("/task-grants", json=grant).raise_for_status().json()["id"]
    return str(api.post("/auth/agent-token", json={"task_grant_id": key}).raise_for_status().json()["token"])


# --- at once, and by the rules --------------------------------------------------------------------------------------


def test_a_person_is_shut_out_at_once_and_let_in_again(hub: TestHub, new_person: Any, api: httpx2.Client) -> None:
    person: Person = new_person()
    agent = agent_of(person.api)
    held = [person.token, person.access_token(), agents_token(person.api, agent)]
    assert {hub.client(token).get("/me").status_code for token in held} == {200}
    told = act(api, "users", person.id, "disable").raise_for_status().json()
    assert (told["email"], told["is_active"]) == (person.email, False)
    for token in held:
        assert refusal(hub.client(token).get("/me")) == (401, "token-invalid"), "on this node without waiting"
    assert person.sign_in().status_code == 401
    assert act(api, "users", person.id, "enable").json()["is_active"] is True
    assert person.sign_in().status_code == 200
    for token in held:
        assert refusal(hub.client(token).get("/me")) == (401, "token-invalid"), "what ended stays ended"


def test_a_role_is_changed_by_who_has_it_too(hub: TestHub, new_person: Any) -> None:
    admin, person, owner = new_person(Role.admin), new_person(), new_person(Role.owner)
    for verb, body in (("role", {"role": "admin"}), ("disable", {}), ("enable", {}), ("sign-out", {})):
        assert refusal(act(person.api, "users", owner.id, verb, **body)) == (403, "scope-missing")
    for verb, body in (("role", {"role": "admin"}), ("disable", {}), ("sign-out", {})):
        assert refusal(act(admin.api, "users", owner.id, verb, **body)) == (403, "owner-only")
    assert refusal(act(admin.api, "users", person.id, "role", role="owner")) == (403, "owner-only")
    assert refusal(act(admin.api, "users", person.id, "role", role="agent")) == (422, "invalid")
    token = person.access_token()
    assert act(admin.api, "users", person.id, "role", role="auditor").json()["role"] == "auditor"
    assert refusal(hub.client(token).get("/me")) == (401, "token-invalid")
    assert person.signed_in.get("/me").json()["user"]["role"] == "auditor"


def test_signing_somebody_out_ends_sign_ins_and_no_token_of_a_machine(
    hub: TestHub, new_person: Any, api: httpx2.Client
) -> None:
    person: Person = new_person()
    person.access_token()
    granted = [person.sign_in().json() for _ in range(2)]
    live = [hub.client(each["access_token"]) for each in granted]
    assert {client.get("/me").status_code for client in live} == {200}
    assert act(api, "users", person.id, "sign-out").json()["ended"] == 3
    for client, each in zip(live, granted, strict=True):
        assert refusal(client.get("/me")) == (401, "token-invalid")
        body = {"refresh_token": each["refresh_token"]}
        assert refusal(hub.client().post("/auth/refresh", json=body)) == (401, "sign-in-ended")
    assert person.api.get("/me").status_code == 200


def test_an_agent_is_its_makers_unless_another_owner_is_named(hub: TestHub, new_person: Any, api: Any) -> None:
    person, other = new_person(), new_person()
    agent = agent_of(person.api)
    assert agent["owner_id"] == str(person.id)
    assert agent_of(api, owner_id=str(other.id))["owner_id"] == str(other.id)
    several = person.api.post("/agents", json=[{"name": unique("agent")}, {"name": unique("agent")}])
    assert {each["owner_id"] for each in several.raise_for_status().json()} == {str(person.id)}
    client = hub.client(agents_token(person.api, agent))
    assert client.get("/me").status_code == 200
    assert refusal(act(other.api, "agents", agent["id"], "disable")) == (403, "not-yours")
    assert act(person.api, "agents", agent["id"], "disable").json()["is_active"] is False
    assert refusal(client.get("/me")) == (401, "token-invalid")
    assert act(person.api, "agents", agent["id"], "enable").json()["is_active"] is True
    assert act(person.api, "agents", agent["id"], "role", role="read-only").json()["role"] == "read-only"
    assert refusal(act(person.api, "agents", agent["id"], "role", role="admin")) == (422, "invalid")


def test_a_machine_that_was_lost_is_retired_with_all_that_it_holds(hub: TestHub, new_person: Any, api: Any) -> None:
    person: Person = new_person(Role.admin)
    code = person.api.post("/setup-codes").json()["code"]
    facts = {"hostname": unique("host"), "machine_fingerprint": unique("fingerprint")}
    made = hub.client().post("/auth/setup", json={"code": code, "machine": facts}).raise_for_status().json()
    machine, key = hub.client(made["token"]), made["machine"]["id"]
    agent = hub.client(agents_token(person.api, agent_of(person.api, machine_id=key)))
    signed_in = person.signed_in
    with hub.database.writing.begin() as connection:
        mine = update(RefreshFamily).where(RefreshFamily.user_id == person.id)
        connection.execute(mine.values(machine_id=uuid.UUID(key)))
    for client in (machine, agent, signed_in):
        assert client.get("/me").status_code == 200
    assert refusal(act(machine, "machines", key, "disable")) == (409, "own-machine")
    assert act(api, "machines", key, "disable").json() == {"id": key, "hostname": facts["hostname"], "is_active": False}
    for client in (machine, agent, signed_in):
        assert refusal(client.get("/me")) == (401, "token-invalid")
    assert person.api.get("/me").status_code == 200
    assert "update" in actions_on(hub, key)
    assert act(api, "machines", key, "enable").json()["is_active"] is True
    hub.hub.gateway.authenticator.forget()
    for client in (machine, agent, signed_in):
        assert refusal(client.get("/me")) == (401, "token-invalid")
    again = person.api.post("/setup-codes").json()["code"]
    assert hub.client().post("/auth/setup", json={"code": again, "machine": facts}).json()["machine"]["id"] == key


def test_an_agent_of_a_machine_that_is_retired_stops(hub: TestHub, new_person: Any, api: Any) -> None:
    """However the machine was retired."""
    person: Person = new_person()
    key = api.post("/machines", json={"hostname": unique("host")}).raise_for_status().json()["id"]
    client = hub.client(agents_token(person.api, agent_of(person.api, machine_id=key)))
    assert client.get("/me").status_code == 200
    api.patch(f"/machines/{key}", json={"is_active": False}).raise_for_status()
    assert refusal(client.get("/me")) == (401, "token-invalid")


def test_secrets_are_lent_to_agents_by_whom_they_are_shown_to(hub: TestHub, new_person: Any, api: Any) -> None:
    person: Person = new_person()
    agent = agent_of(person.api)
    task = api.post("/tasks", json={"title": unique("task")}).raise_for_status().json()["id"]
    grant = {"agent_id": agent["id"], "task_id": task, "scopes": ["credential:reveal"]}
    for caller in (person.api, person.signed_in):
        assert refusal(caller.post("/task-grants", json=grant)) == (403, "person-needed")
    assert api.get("/me").json()["sees_secrets"] is True
    assert api.post("/task-grants", json=grant).status_code == 201


# --- somebody always has a way in -----------------------------------------------------------------------------------


@pytest.fixture
def alone(hub: TestHub) -> Iterator[TestHub]:
    """The hub as if all its owners so far had been disabled."""
    able = select(User.id).where(User.role == Role.owner, User.is_active)

    def let(owners: list[uuid.UUID], *, act: bool) -> None:
        with hub.database.writing.begin() as connection:
            connection.execute(update(User).where(User.id.in_(owners)).values(is_active=act))
        hub.hub.gateway.authenticator.forget()

    with hub.database.reading.connect() as connection:
        owners = list(connection.scalars(able))
    let(owners, act=False)
    yield hub
    let(owners, act=True)


Change = Callable[[httpx2.Client, object], httpx2.Response]
CHANGES: dict[str, Change] = {
    "disable": lambda api, key: act(api, "users", key, "disable"),
    "role": lambda api, key: act(api, "users", key, "role", role="auditor"),
    "patch active": lambda api, key: api.patch(f"/users/{key}", json={"is_active": False}),
    "patch role": lambda api, key: api.patch(f"/users/{key}", json={"role": "auditor"}),
    "limit": lambda api, key: api.put(f"/users/{key}/clients", json={"clients": []}),
    "delete": lambda api, key: api.delete(f"/users/{key}", params={"cascade": "true"}),
    "delete several": lambda api, key: api.request(
        "DELETE", "/users", json=[{"id": str(key)}], params={"cascade": "true"}
    ),
}


def test_the_last_owner_stays(alone: TestHub) -> None:
    owner = Person(alone, email := f"{unique('owner')}@example.com", alone.token(email=email))
    disabled = Person(alone, email := f"{unique('owner')}@example.com", alone.token(email=email))
    act(owner.api, "users", disabled.id, "disable").raise_for_status()
    limited = Person(alone, email := f"{unique('owner')}@example.com", alone.token(email=email))
    owner.api.put(f"/users/{limited.id}/clients", json={"clients": []}).raise_for_status()
    for what, change in CHANGES.items():
        assert refusal(change(owner.api, owner.id)) == (409, "last-owner"), what
    assert owner.api.get("/me").json()["user"]["role"] == "owner"
    act(owner.api, "users", disabled.id, "enable").raise_for_status()
    for what, change in CHANGES.items():
        assert refusal(change(owner.api, owner.id)) == (409, "own-account"), what
    second = alone.client(alone.token())
    for what, change in CHANGES.items():
        other = Person(alone, email := f"{unique('owner')}@example.com", alone.token(email=email))
        assert change(second, other.id).is_success, what
    assert owner.api.get("/me").status_code == 200


def test_two_owners_cannot_shut_each_other_out_at_once(alone: TestHub) -> None:
    first, second = (
        Person(alone, email, alone.token(email=email)) for email in (f"{unique('owner')}@example.com" for _ in range(2))
    )
    together = threading.Barrier(2)

    def shut_out(pair: tuple[Person, Person]) -> int:
        client, key = pair[0].api, pair[1].id
        together.wait()
        return act(client, "users", key, "disable").status_code

    with ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(shut_out, [(first, second), (second, first)]))
    # The slower of the two is told that it was the last, or is shut out already.
    assert found[0] == 200
    assert found[1] in {401, 403, 409}
    with alone.database.reading.connect() as connection:
        able = select(User.id).where(User.id.in_([first.id, second.id]), User.is_active)
        assert len(connection.scalars(able).all()) == 1


def test_nobody_shuts_themselves_out_by_accident(hub: TestHub, new_person: Any) -> None:
    admin: Person = new_person(Role.admin)
    for what, change in CHANGES.items():
        assert refusal(change(admin.api, admin.id)) == (409, "own-account"), what
    machine = hub.client(hub.token(Role.admin, kind=TokenKind.machine))
    me = machine.get("/me").json()
    assert refusal(act(machine, "users", me["user"]["id"], "disable")) == (409, "own-account")
    assert act(machine, "users", me["user"]["id"], "sign-out").status_code == 200


# --- through another node -------------------------------------------------------------------------------------------


@pytest.fixture
def second(hub: TestHub, tmp_path: Path) -> Iterator[TestHub]:
    """Another hub on the same database, with the same key; on SQLite, whose file one hub has alone, the same hub."""
    if hub.dialect == "sqlite":
        yield hub
        return
    shutil.copy(hub.hub.settings.data / "hub.key", tmp_path / "hub.key")
    yield from serve(hub.database.url, tmp_path)


def change_password(person: Person) -> httpx2.Response:
    body = {"password": "a staple that is correct", "current": PASSWORD}
    return person.signed_in.post("/auth/password", json=body)


def test_what_ends_on_one_node_ends_on_the_other_within_seconds(
    hub: TestHub, second: TestHub, new_person: Any, api: httpx2.Client
) -> None:
    ends: list[Callable[[Person], httpx2.Response]] = [
        lambda person: act(api, "users", person.id, "disable"),
        lambda person: act(api, "users", person.id, "role", role="read-only"),
        lambda person: act(api, "users", person.id, "sign-out"),
        change_password,
    ]
    people: list[Person] = [new_person() for _ in ends]
    held = [second.client(person.access_token()) for person in people]
    owner: Person = new_person()
    agents = second.client(agents_token(owner.api, agent_of(owner.api)))
    lost = hub.token(kind=TokenKind.machine)
    machine = second.client(lost).get("/me").json()["machine"]["id"]
    held += [agents, second.client(lost)]
    for client in held:
        assert client.get("/me").status_code == 200
    for end, person in zip(ends, people, strict=True):
        assert end(person).is_success
    assert act(api, "users", owner.id, "disable").is_success
    assert act(api, "machines", machine, "disable").is_success
    begun = time.monotonic()
    while {client.get("/me").status_code for client in held} != {401}:
        assert time.monotonic() - begun < CACHE_SECONDS + 1
        time.sleep(0.1)


def test_a_sign_in_of_one_node_is_renewed_on_the_other(hub: TestHub, second: TestHub, new_person: Any) -> None:
    person: Person = new_person()
    person.access_token()
    token = person.sign_in().json()["refresh_token"]
    renew = partial(second.client().post, "/auth/refresh")
    granted = renew(json={"refresh_token": token}).raise_for_status().json()
    assert second.client(granted["access_token"]).get("/me").status_code == 200
    assert hub.client(granted["access_token"]).get("/me").status_code == 200
