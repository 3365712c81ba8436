"""Who may do what with which secret: every verb at every level, restricted or not, and what the others do not see."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest

from tests.conftest import TestHub, unique
from tests.vault.agents import new_agent, person
from tests.vault.test_credentials import REASON, ask, code, secrets_of, stored
from worklore.identity.roles import Role
from worklore.identity.token import TokenKind
from worklore.kernel.access import SYSTEM
from worklore.kernel.crud import visibility
from worklore.resources import RESOURCES
from worklore.vault.grant import PermissionLevel

WITHOUT_MANAGING = ["credential:*", "credential-lease:*", "credential-audit-log:*", "credential-permission:read"]
WITHOUT_MANAGING += ["share-link:*", "audit:read"]
"""All that can be done with credentials, but for naming people."""

TRY = {"dry_run": "true"}
Verb = Callable[[httpx2.Client, str], httpx2.Response]

VERBS: Mapping[str, Verb] = {
    "get": lambda api, key: api.get(f"/credentials/{key}"),
    "patch": lambda api, key: api.patch(f"/credentials/{key}", json={"username": unique("login")}),
    "patch nothing": lambda api, key: api.patch(f"/credentials/{key}", json={}),
    "patch many": lambda api, key: api.patch("/credentials", json=[{"id": key, "username": unique("login")}]),
    "rotate": lambda api, key: ask(api, key, "rotate", password="planted"),
    "reveal": lambda api, key: ask(api, key, "reveal", reason=REASON),
    "lease": lambda api, key: ask(api, key, "lease", purpose="restart the service"),
    "share": lambda api, key: ask(api, key, "share", recipient="kim@example.com"),
    "shred": lambda api, key: api.post(f"/credentials/{key}/shred", json={}, params=TRY),
    "free": lambda api, key: api.patch(f"/credentials/{key}", json={"is_restricted": False}, params=TRY),
    "permit": lambda api, key: api.post(
        f"/credentials/{key}/permit", json={"user_id": person(api), "permission_level": "admin"}, params=TRY
    ),
}
"""Whatever can be done with one credential, so that it can be done again."""

EDITING = {"patch", "patch nothing", "patch many", "shred"}
ALLOWED: Mapping[str | None, set[str]] = {
    "read": {"get"},
    "use": {"get", "lease"},
    "reveal": {"get", "lease", "reveal"},
    "share": {"get", "lease", "reveal", "share"},
    "edit": {"get", *EDITING},
    "rotate": {"get", "rotate"},
    "admin": set(VERBS),
}
"""What each level allows, said a second time."""


@pytest.fixture
def somebody(hub: TestHub) -> httpx2.Client:
    """An owner who cannot name people."""
    return hub.client(hub.token(scopes=WITHOUT_MANAGING))


@pytest.fixture
def key(api: httpx2.Client, client_id: uuid.UUID) -> str:
    return str(stored(api, client_id, password="planted")["id"])


def name(api: httpx2.Client, key: str, who: httpx2.Client, level: str | None) -> None:
    answer = ask(api, key, "permit", user_id=person(who), permission_level=level)
    assert answer.status_code == 200, answer.text


def restrict(api: httpx2.Client, key: str) -> None:
    assert api.patch(f"/credentials/{key}", json={"is_restricted": True}).status_code == 200


def test_the_table_has_every_level() -> None:
    assert ALLOWED.keys() == set(PermissionLevel)


def test_every_verb_at_every_level(api: httpx2.Client, somebody: httpx2.Client, key: str) -> None:
    restrict(api, key)
    for level in ALLOWED:
        name(api, key, somebody, level)
        for verb, carry_out in VERBS.items():
            answer = carry_out(somebody, key)
            cell = (level, verb, answer.text)
            if verb in ALLOWED[level]:
                assert answer.status_code == 200, cell
            else:
                assert code(answer) == (403, "credential-permission"), cell
                assert "planted" not in answer.text, cell


def test_roles_alone_decide_where_nothing_is_restricted(api: httpx2.Client, somebody: httpx2.Client, key: str) -> None:
    for level in (None, *ALLOWED):
        name(api, key, somebody, level)
        for verb, carry_out in VERBS.items():
            answer = carry_out(somebody, key)
            if verb == "permit":
                assert code(answer) == (403, "scope-missing"), level
            else:
                assert answer.status_code == 200, (level, verb, answer.text)


def test_a_level_gives_no_more_than_the_role(hub: TestHub, api: httpx2.Client, key: str) -> None:
    restrict(api, key)
    technician = hub.client(hub.token(Role.technician, scopes=["*"]))
    name(api, key, technician, "admin")
    for verb in ("patch", "rotate", "shred", "share", "free"):
        assert code(VERBS[verb](technician, key)) == (403, "scope-missing"), verb
    for verb in ("get", "lease", "reveal", "permit"):
        assert VERBS[verb](technician, key).status_code == 200, verb


def test_who_is_not_named_does_not_know_of_it(
    hub: TestHub, api: httpx2.Client, somebody: httpx2.Client, key: str, client_id: uuid.UUID
) -> None:
    other = api.post("/users", json={"email": f"{unique('kim')}@example.com", "name": "Kim", "role": "read-only"})
    permitted = ask(api, key, "permit", user_id=other.json()["id"], permission_level="use")
    permission = api.get("/credential-permissions", params={"credential_id": key}).json()["items"][0]["id"]
    assert permitted.json()["people"] == [{"user_id": other.json()["id"], "permission_level": "use"}]
    lease = ask(api, key, "lease", purpose="restart").json()["id"]
    link = ask(api, key, "share", recipient="kim@example.com").json()["id"]
    touch = api.get("/credential-audit-logs", params={"credential_id": key}).json()["items"][0]["id"]
    children = {
        "credential-permissions": permission,
        "credential-leases": lease,
        "share-links": link,
        "credential-audit-logs": touch,
    }
    limited = hub.client(hub.token(clients=[client_id], scopes=WITHOUT_MANAGING))
    for caller in (somebody, limited):
        assert caller.get(f"/credentials/{key}").status_code == 200
        assert all(caller.get(f"/{plural}/{child}").status_code == 200 for plural, child in children.items())
    assert key in somebody.get("/audit", params={"record": key}).text
    restrict(api, key)
    for caller in (somebody, limited):
        for verb, carry_out in VERBS.items():
            assert code(carry_out(caller, key)) == (404, "not-found"), verb
        for asked in ({"id": key}, {"client_id": str(client_id)}):
            assert caller.get("/credentials", params=asked | {"total": "true"}).json()["total"] == 0
        assert caller.get(f"/credentials/by-client/{client_id}").json()["items"] == []
        for plural, child in children.items():
            assert code(caller.get(f"/{plural}/{child}")) == (404, "not-found"), plural
            assert caller.get(f"/{plural}", params={"credential_id": key}).json()["items"] == [], plural
        assert code(caller.get(f"/credential-audit-logs/by-credential/{key}")) == (404, "not-found")
        for verb in ("inject", "renew", "release"):
            sent = {"fields": ["password"]} if verb == "inject" else {}
            answer = caller.post(f"/credential-leases/{lease}/{verb}", json=sent)
            assert code(answer) == (404, "not-found"), verb
        assert code(caller.delete(f"/share-links/{link}")) == (404, "not-found")
        for record in (key, *children.values()):
            assert caller.get("/audit", params={"record": record}).json()["items"] == []
    name(api, key, somebody, "read")
    assert [item["id"] for item in somebody.get("/credentials", params={"id": key}).json()["items"]] == [key]
    assert all(somebody.get(f"/{plural}/{child}").status_code == 200 for plural, child in children.items())
    assert key in somebody.get("/audit", params={"record": key}).text


def test_who_names_people_sees_what_is_known_and_uses_nothing(api: httpx2.Client, key: str) -> None:
    restrict(api, key)
    allowed = {"get", "free", "permit"}
    for verb, carry_out in VERBS.items():
        answer = carry_out(api, key)
        assert answer.status_code == 200 if verb in allowed else code(answer) == (403, "credential-permission"), verb
    assert api.get("/credentials", params={"id": key}).json()["items"]


def test_agents_and_machines_have_the_level_of_their_person(hub: TestHub, api: httpx2.Client, key: str) -> None:
    owner = hub.client(hub.token(Role.technician, scopes=["*"]))
    agent = new_agent(hub, owner).api
    restrict(api, key)
    assert code(ask(agent, key, "lease", purpose="restart")) == (404, "not-found")
    name(api, key, owner, "read")
    assert agent.get(f"/credentials/{key}").status_code == 200
    assert code(ask(agent, key, "lease", purpose="restart")) == (403, "credential-permission")
    name(api, key, owner, "use")
    assert ask(agent, key, "lease", purpose="restart").status_code == 200
    machine = hub.client(hub.token(kind=TokenKind.machine))
    name(api, key, machine, "rotate")
    assert ask(machine, key, "rotate", password="second").status_code == 200
    assert code(ask(machine, key, "lease", purpose="restart")) == (403, "credential-permission")


def test_whoever_restricts_one_does_not_lose_it(
    api: httpx2.Client, somebody: httpx2.Client, key: str, client_id: uuid.UUID
) -> None:
    restrict(somebody, key)
    made = stored(somebody, client_id, password="planted", is_restricted=True)
    for own in (key, made["id"]):
        assert secrets_of(somebody, own) == {"password": "planted"}
        named = api.get("/credential-permissions", params={"credential_id": own}).json()["items"]
        assert [(row["user_id"], row["permission_level"]) for row in named] == [(person(somebody), "admin")]
        assert code(ask(api, own, "reveal", reason=REASON)) == (403, "credential-permission")
    kept = stored(api, client_id, password="planted", is_restricted=True)["id"]
    assert api.get("/credential-permissions", params={"credential_id": kept}).json()["items"] == []


def test_a_permission_names_a_user_who_is_there(api: httpx2.Client, key: str) -> None:
    for wrong in (str(uuid.uuid4()), "kim@example.com", ""):
        body = {"credential_id": key, "user_id": wrong, "permission_level": "use"}
        answer = api.post("/credential-permissions", json=body)
        assert (code(answer), answer.json()["field"]) == ((422, "invalid"), "user_id")
    me = person(api)
    body = {"credential_id": key, "user_id": me.upper(), "permission_level": "use"}
    assert api.post("/credential-permissions", json=body).json()["user_id"] == me
    assert ask(api, key, "permit", user_id=str(uuid.uuid4()), permission_level="use").status_code == 422
    assert ask(api, key, "permit", user_id=me, permission_level="read").json()["people"] == [
        {"user_id": me, "permission_level": "read"}
    ]
    assert ask(api, key, "permit", user_id=me, permission_level=None).json()["people"] == []


def test_hosts_are_hosts(api: httpx2.Client, key: str) -> None:
    for good in (["api.example.com", "192.0.2.10:8443", "[2001:db8::1]:443"], [], None):
        assert api.patch(f"/credentials/{key}", json={"allowed_hosts": good}).status_code == 200
    for bad in ("https://api.example.com", "api.example.com/x", "a b", "x@example.com", "example.com:x", "", "a:0"):
        answer = api.patch(f"/credentials/{key}", json={"allowed_hosts": [bad]})
        assert (code(answer), answer.json()["field"]) == ((422, "invalid"), "allowed_hosts"), bad


def test_reads_of_other_nouns_ask_nothing_more(api: httpx2.Client) -> None:
    guarded: dict[str, Any] = {one.name: visibility(one, SYSTEM) for one in RESOURCES if one.guarded}
    assert guarded.keys() == {
        "credential",
        "credential-audit-log",
        "credential-lease",
        "credential-permission",
        "share-link",
    }
    assert all(visibility(one, SYSTEM) is None for one in RESOURCES if not one.guarded)
