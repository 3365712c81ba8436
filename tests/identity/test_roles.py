"""Which role may do what, and what two sets of scopes have in common."""

import itertools
from typing import Any

import pytest

from tests.conftest import TestHub, unique
from tests.identity.conftest import Person, refusal
from worklore.app import openapi_document
from worklore.identity.roles import GROUPS, SCOPES, Role, common
from worklore.kernel.access import Principal, PrincipalKind


@pytest.fixture(scope="module")
def needed() -> list[str]:
    """Each scope that an operation asks for."""
    operations = [operation for item in openapi_document()["paths"].values() for operation in item.values()]
    return sorted({operation["x-scope"] for operation in operations if "x-scope" in operation})


def may(scopes: frozenset[str], scope: str) -> bool:
    return Principal(PrincipalKind.user, "somebody", scopes).may(scope)


def test_every_noun_of_a_scope_is_in_one_group(needed: list[str]) -> None:
    grouped = list(itertools.chain(*GROUPS.values()))
    assert len(grouped) == len(set(grouped))
    assert {scope.partition(":")[0] for scope in needed} == set(grouped)


def test_roles_hold_what_they_are_for_and_no_more(needed: list[str]) -> None:
    given = {role: {scope for scope in needed if may(SCOPES[role], scope)} for role in Role}
    assert given[Role.owner] == given[Role.admin] == set(needed)
    reads = {scope for scope in needed if scope.endswith(":read")}
    assert given[Role.auditor] == reads, "an auditor reads everything and changes nothing"
    secret = {f"{noun}:read" for group in ("identity", "vault", "audit", "ops") for noun in GROUPS[group]}
    assert given[Role.read_only] == reads - secret
    assert given[Role.client_portal] < given[Role.read_only]
    assert given[Role.read_only] < given[Role.technician]
    assert given[Role.agent] < given[Role.technician]
    assert not {scope for scope in given[Role.agent] if scope.endswith(":delete")}
    for role in (Role.technician, Role.agent, Role.client_portal):
        assert not {"audit:read", "user:read", "user:write", "api-token:read", "client:write"} & given[role]
    for role in (Role.auditor, Role.read_only, Role.client_portal, Role.agent):
        assert not may(SCOPES[role], "credential:reveal")


SETS = [
    frozenset({"*"}),
    frozenset({"*:read"}),
    frozenset({"client:*"}),
    frozenset({"client:read", "site:write"}),
    frozenset({"client:write", "*:delete"}),
    frozenset[str](),
    *SCOPES.values(),
]


@pytest.mark.parametrize(("one", "other"), list(itertools.product(SETS, SETS)), ids=lambda _: "")
def test_what_two_sets_have_in_common_is_what_both_allow(
    one: frozenset[str], other: frozenset[str], needed: list[str]
) -> None:
    both = common(one, other)
    for scope in needed:
        assert may(both, scope) == (may(one, scope) and may(other, scope)), scope


def test_a_token_never_has_more_than_its_person(hub: TestHub) -> None:
    client = hub.client(hub.token(Role.read_only, scopes=["*", "client:write"]))
    assert client.get("/clients").status_code == 200
    assert refusal(client.post("/clients", json={"name": "x", "type": "msp_client"})) == (403, "scope-missing")
    assert refusal(client.get("/users")) == (403, "scope-missing")


def test_nobody_gives_more_rights_than_they_have(hub: TestHub, new_person: Any) -> None:
    admin: Person = new_person(Role.admin)
    helper: Person = new_person(Role.admin, scopes=["user:*"])
    owner: Person = new_person(Role.owner)
    body = {"email": f"{unique('new')}@example.com", "name": "New"}
    assert refusal(admin.api.post("/users", json=body | {"role": "owner"})) == (403, "owner-only")
    assert refusal(helper.api.post("/users", json=body | {"role": "admin"})) == (403, "more-than-own")
    assert refusal(admin.api.post("/users", json=body | {"role": "agent"})) == (422, "invalid")
    made = admin.api.post("/users", json=body | {"role": "technician"}).raise_for_status().json()
    assert refusal(admin.api.patch(f"/users/{made['id']}", json={"role": "owner"})) == (403, "owner-only")
    for change in ({"role": "read-only"}, {"is_active": False}):
        assert refusal(admin.api.patch(f"/users/{owner.id}", json=change)) == (403, "owner-only")
    assert owner.api.patch(f"/users/{made['id']}", json={"role": "owner"}).status_code == 200


def test_a_limited_user_makes_nobody_who_is_not(hub: TestHub, api: Any, new_person: Any) -> None:
    ours = api.post("/clients", json={"name": unique("client"), "type": "msp_client"}).json()["id"]
    limited: Person = new_person(Role.admin, clients=[ours])
    body = {"email": f"{unique('new')}@example.com", "name": "New", "role": "admin"}
    assert limited.api.post("/users", json=body).status_code == 404
    assert api.get("/users", params={"email": body["email"]}).json()["items"] == []
    for route in (f"/users/{limited.id}/clients", f"/users/{new_person().id}/clients"):
        assert refusal(limited.api.put(route, json={"clients": None})) == (404, "not-found")


def test_limits_are_set_and_lifted_and_end_tokens(hub: TestHub, api: Any, new_person: Any) -> None:
    bodies = [{"name": unique("client"), "type": "msp_client"} for _ in range(2)]
    one, two = (made["id"] for made in api.post("/clients", json=bodies).raise_for_status().json())
    person: Person = new_person(Role.technician)
    person.access_token()
    route = f"/users/{person.id}/clients"
    for clients in ([one], sorted([one, two]), [two], [], None, [one]):
        former = person.access_token()
        assert api.put(route, json={"clients": clients}).json() == {"clients": clients}
        assert refusal(hub.client(former).get("/me")) == (401, "token-invalid")
        now = hub.client(person.access_token())
        assert now.get("/me").json()["clients"] == clients
        seen = {row["id"] for row in now.get("/clients", params={"id__in": f"{one},{two}"}).json()["items"]}
        assert seen == ({one, two} if clients is None else set(clients))
    unknown = "019a0000-0000-7000-8000-00000000dead"
    assert refusal(api.put(route, json={"clients": [unknown]})) == (422, "invalid")
    assert refusal(new_person().api.put(route, json={"clients": None})) == (403, "scope-missing")


def test_a_person_of_a_client_sees_nothing_until_a_client_is_named(hub: TestHub, api: Any, new_person: Any) -> None:
    person: Person = new_person(Role.client_portal)
    assert person.api.get("/me").json()["clients"] == []
    for noun in ("clients", "work-items", "billable-time", "security-incidents"):
        answer = person.api.get(f"/{noun}")
        assert answer.status_code in {200, 404}, noun
        assert answer.status_code == 404 or answer.json()["items"] == []
    assert refusal(person.api.get("/projects")) == (403, "scope-missing")
