"""Tokens of programs: who makes them, what they may do, and when they were used."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.conftest import TestHub, unique
from tests.identity.conftest import Person, refusal
from tests.identity.test_second_factor import Enrolled
from worklore.identity.roles import Role
from worklore.kernel.types import utcnow

ISSUE = "/api-tokens/issue"


def asked(**given: Any) -> dict[str, Any]:
    return {"name": "Nightly report", "scopes": ["client:read", "session:*"], **given}


def client_of(api: httpx2.Client) -> str:
    body = {"name": unique("client"), "type": "msp_client"}
    return str(api.post("/clients", json=body).raise_for_status().json()["id"])


def test_a_person_makes_a_token_for_less_than_they_may(hub: TestHub, new_person: Any, api: httpx2.Client) -> None:
    person: Person = new_person()
    answer = person.signed_in.post(ISSUE, json=asked()).raise_for_status()
    made = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert timedelta(days=89) < datetime.fromisoformat(made["expires_at"]) - utcnow() < timedelta(days=91)
    program = hub.client(made["token"])
    me = program.get("/me").json()
    assert (me["kind"], me["user"]["email"], me["signed_in"]) == ("user", person.email, False)
    assert me["scopes"] == ["client:read", "session:*", "session:read"]
    assert program.get("/clients").status_code == 200
    assert refusal(program.get("/projects")) == (403, "scope-missing")
    shown = api.get(f"/api-tokens/{made['id']}").json()
    assert (shown["name"], shown["kind"], shown["is_limited"]) == ("Nightly report", "user", False)
    assert made["token"] not in str(shown)
    assert made["token"].startswith(shown["hint"])


def test_only_a_person_who_has_signed_in_makes_one(hub: TestHub, new_person: Any, machine_api: Any) -> None:
    person: Person = new_person()
    token = person.signed_in.post(ISSUE, json=asked(scopes=["api-token:write"])).raise_for_status().json()["token"]
    for caller in (person.api, machine_api, hub.client(token)):
        assert refusal(caller.post(ISSUE, json=asked(scopes=["client:read"]))) == (403, "person-needed")
    reader: Person = new_person(Role.read_only)
    assert refusal(reader.signed_in.post(ISSUE, json=asked())) == (403, "scope-missing")


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"scopes": []}, 422, "invalid"),
        ({"scopes": ["everything"]}, 422, "invalid"),
        ({"scopes": ["client:read", "Client:Read"]}, 422, "invalid"),
        ({"scopes": ["client:write"]}, 403, "more-than-own"),
        ({"scopes": ["client:*"]}, 403, "more-than-own"),
        ({"scopes": ["*"]}, 403, "more-than-own"),
        ({"scopes": ["*:*"]}, 403, "more-than-own"),
        ({"scopes": ["*:read"]}, 403, "more-than-own"),
        ({"scopes": ["credential:reveal"]}, 403, "person-needed"),
        ({"days": 0}, 422, "invalid"),
        ({"days": 366}, 422, "invalid"),
        ({"name": " "}, 422, "invalid"),
        ({"name": "x" * 101}, 422, "invalid"),
        ({"clients": ["019a0000-0000-7000-8000-00000000dead"]}, 422, "invalid"),
    ],
    ids=str,
)
def test_what_a_token_cannot_be(
    sqlite_hub: TestHub, technician: httpx2.Client, given: dict[str, Any], status: int, code: str
) -> None:
    assert refusal(technician.post(ISSUE, json=asked(**given))) == (status, code)


@pytest.fixture
def technician(sqlite_hub: TestHub) -> httpx2.Client:
    email = f"{unique('person')}@example.com"
    return Person(sqlite_hub, email, sqlite_hub.token(Role.technician, email=email)).signed_in


def test_a_token_that_reveals_takes_a_second_factor(hub: TestHub, new_person: Any) -> None:
    someone = Enrolled(new_person(Role.owner))
    for scopes in (["*"], ["*:*"], ["credential:*"], ["*:reveal"], ["credential:reveal"]):
        body = asked(scopes=scopes)
        assert refusal(someone.without.post(ISSUE, json=body)) == (403, "person-needed")
    made = someone.client().post(ISSUE, json=asked(scopes=["credential:reveal"])).raise_for_status().json()
    assert hub.client(made["token"]).get("/me").json()["sees_secrets"] is True


def test_a_token_sees_the_clients_named_that_its_person_sees(hub: TestHub, new_person: Any, api: Any) -> None:
    one, two, three = (client_of(api) for _ in range(3))
    person: Person = new_person(clients=[one, two])
    client = person.signed_in
    assert refusal(client.post(ISSUE, json=asked(clients=[one, three]))) == (422, "invalid")
    for clients, seen in (([one], [one]), ([], []), (None, sorted([one, two]))):
        made = client.post(ISSUE, json=asked(clients=clients)).raise_for_status().json()
        program = hub.client(made["token"])
        assert program.get("/me").json()["clients"] == seen
        assert sorted(row["id"] for row in program.get("/clients").json()["items"]) == seen
    unlimited: Person = new_person()
    made = unlimited.signed_in.post(ISSUE, json=asked(clients=[three])).raise_for_status().json()
    program = hub.client(made["token"])
    assert program.get("/me").json()["clients"] == [three]
    assert api.delete(f"/clients/{three}", params={"cascade": "true"}).status_code == 204
    hub.hub.gateway.authenticator.forget()
    assert program.get("/me").json()["clients"] == [], "a client that goes leaves no token without a limit"


def test_a_secret_answer_is_not_kept_to_be_repeated(hub: TestHub, new_person: Any) -> None:
    person: Person = new_person()
    client, key = person.signed_in, {"idempotency-key": str(uuid.uuid4())}
    client.post(ISSUE, json=asked(), headers=key).raise_for_status()
    assert refusal(client.post(ISSUE, json=asked(), headers=key)) == (422, "already-done")


def test_a_token_is_revoked_by_its_person_or_who_looks_after_all(hub: TestHub, new_person: Any, api: Any) -> None:
    person, other = new_person(), new_person()
    client = person.signed_in
    made = [client.post(ISSUE, json=asked()).raise_for_status().json() for _ in range(3)]
    programs = [hub.client(each["token"]) for each in made]
    assert {program.get("/me").status_code for program in programs} == {200}
    assert refusal(other.signed_in.post(f"/api-tokens/{made[0]['id']}/revoke")) == (404, "not-found")
    for caller, each in ((client, made[0]), (api, made[1])):
        told = caller.post(f"/api-tokens/{each['id']}/revoke").raise_for_status().json()
        assert told["name"] == "Nightly report"
    assert api.delete(f"/api-tokens/{made[2]['id']}").status_code == 204
    assert {refusal(program.get("/me")) for program in programs} == {(401, "token-invalid")}, "at once on this node"
    assert api.get(f"/api-tokens/{made[0]['id']}").json()["revoked_at"] is not None


def test_the_last_use_is_written_now_and_then(hub: TestHub, new_person: Any, api: httpx2.Client) -> None:
    person: Person = new_person()
    made = person.signed_in.post(ISSUE, json=asked()).raise_for_status().json()
    program, row = hub.client(made["token"]), f"/api-tokens/{made['id']}"
    before = api.get(row).json()
    begun = utcnow()
    for _ in range(3):
        program.get("/me").raise_for_status()
    assert api.get(row).json() == before, "not for each request"
    hub.hub.uses.write()
    after = api.get(row).json()
    assert begun <= datetime.fromisoformat(after["last_used_at"]) <= utcnow()
    assert after["last_used_ip"] == "127.0.0.1"
    assert after["version"] == before["version"]
    hub.hub.uses.write()
    assert api.get(row).json() == after
