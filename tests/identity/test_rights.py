"""When a token ends, and in whose name it acts."""

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from tests.conftest import TestHub, unique
from tests.identity.conftest import PASSWORD, Person, refusal
from worklore.identity.roles import Role
from worklore.identity.token import CACHE_SECONDS, ApiToken, TokenKind, access_token
from worklore.identity.user import User
from worklore.kernel.audit import AuditEntry
from worklore.kernel.types import utcnow

# --- when rights end ------------------------------------------------------------------------------------------------


def disable(person: Person, api: httpx2.Client) -> None:
    api.patch(f"/users/{person.id}", json={"is_active": False}).raise_for_status()


def demote(person: Person, api: httpx2.Client) -> None:
    api.patch(f"/users/{person.id}", json={"role": "read-only"}).raise_for_status()


def change_password(person: Person, _: httpx2.Client) -> None:
    body = {"password": PASSWORD * 2, "current": PASSWORD}
    person.hub.client(person.access_token()).post("/auth/password", json=body).raise_for_status()


def delete_user(person: Person, api: httpx2.Client) -> None:
    api.delete(f"/users/{person.id}", params={"cascade": "true"}).raise_for_status()


ENDS: tuple[Callable[[Person, httpx2.Client], None], ...] = (disable, demote, change_password, delete_user)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_whoever_loses_rights_loses_every_token(
    hub: TestHub, new_person: Any, api: httpx2.Client, end: Callable[[Person, httpx2.Client], None]
) -> None:
    person: Person = new_person()
    tokens = [person.token, person.access_token()]
    for token in tokens:
        assert hub.client(token).get("/me").status_code == 200
    end(person, api)
    hub.hub.gateway.authenticator.forget()
    for token in tokens:
        assert refusal(hub.client(token).get("/me")) == (401, "token-invalid")
    if end is disable:
        api.patch(f"/users/{person.id}", json={"is_active": True}).raise_for_status()
        for token in tokens:
            assert refusal(hub.client(token).get("/me")) == (401, "token-invalid")
        assert person.sign_in().status_code == 200


def test_a_token_that_is_revoked_or_deleted_ends(hub: TestHub, new_person: Any, api: httpx2.Client) -> None:
    for way in ("revoked", "deleted"):
        person: Person = new_person()
        assert person.api.get("/me").status_code == 200
        if way == "revoked":
            with hub.database.writing.begin() as connection:
                mine = update(ApiToken).where(ApiToken.user_id == person.id)
                assert connection.execute(mine.values(revoked_at=utcnow())).rowcount == 1
        else:
            [row] = api.get("/api-tokens", params={"user_id": str(person.id)}).json()["items"]
            assert api.delete(f"/api-tokens/{row['id']}").status_code == 204
        hub.hub.gateway.authenticator.forget()
        assert refusal(person.api.get("/me")) == (401, "token-invalid"), way


def test_a_retired_machine_is_shut_out(hub: TestHub, api: httpx2.Client) -> None:
    client = hub.client(hub.token(kind=TokenKind.machine))
    machine = client.get("/me").json()["machine"]["id"]
    api.patch(f"/machines/{machine}", json={"is_active": False}).raise_for_status()
    hub.hub.gateway.authenticator.forget()
    assert refusal(client.get("/me")) == (401, "token-invalid")
    api.patch(f"/machines/{machine}", json={"is_active": True}).raise_for_status()
    assert client.get("/me").status_code == 200


def test_what_was_taken_away_ends_within_five_seconds(sqlite_hub: TestHub) -> None:
    """All ways at once, each with tokens the hub has just seen and remembers."""
    hub, api = sqlite_hub, sqlite_hub.owner()
    old: list[httpx2.Client] = []
    for end in ENDS:
        email = f"{unique('person')}@example.com"
        person = Person(hub, email, hub.token(Role.technician, email=email))
        old += [person.api, hub.client(person.access_token())]
        for client in old[-2:]:
            assert client.get("/me").status_code == 200
        end(person, api)
    machine = hub.client(hub.token(kind=TokenKind.machine))
    retired = machine.get("/me").json()["machine"]["id"]
    api.patch(f"/machines/{retired}", json={"is_active": False}).raise_for_status()
    old.append(machine)
    begun = time.monotonic()
    while {client.get("/me").status_code for client in old} != {401}:
        assert time.monotonic() - begun < CACHE_SECONDS + 0.5
        time.sleep(0.1)


# --- whose deed it was ----------------------------------------------------------------------------------------------


def test_the_record_names_who_acted_and_for_whom(hub: TestHub, new_person: Any) -> None:
    email, host = f"{unique('person')}@example.com", unique("host")
    machine = hub.token(kind=TokenKind.machine, email=email, host=host)
    agent: Person = new_person(Role.owner, kind=TokenKind.agent)
    person: Person = new_person(Role.owner)
    with hub.database.reading.connect() as connection:
        generation = select(User.generation, User.id, User.email).where(User.email == person.email)
        user = User(**connection.execute(generation).one()._asdict())
    expected = {
        machine: ("machine", f"machine:{host}", email),
        agent.token: ("agent", f"token:{agent.token[:7]}", agent.email),
        person.token: ("user", f"token:{person.token[:7]}", person.email),
        access_token(hub.hub.gateway.authenticator.key, user, timedelta(minutes=1)): ("user", person.email, None),
    }
    for token, (kind, actor, behalf) in expected.items():
        client = hub.client(token)
        assert client.get("/me").json()["kind"] == kind
        made = client.post("/clients", json={"name": unique("client"), "type": "msp_client"}).raise_for_status().json()
        with hub.database.reading.connect() as connection:
            entry = select(AuditEntry.actor, AuditEntry.on_behalf_of)
            found = connection.execute(entry.where(AuditEntry.record_id == uuid.UUID(made["id"]))).one()
        assert tuple(found) == (actor, behalf)
        blind = client.patch(f"/clients/{made['id']}", json={"notes": "x"})
        assert blind.status_code == (200 if kind == "user" else 428), "agents and machines say what they read"


def test_a_limited_user_sees_their_clients_by_any_token(hub: TestHub, api: httpx2.Client, new_person: Any) -> None:
    bodies = [{"name": unique("client"), "type": "msp_client"} for _ in range(2)]
    ours, theirs = (made["id"] for made in api.post("/clients", json=bodies).raise_for_status().json())
    person: Person = new_person(Role.admin, clients=[ours])
    for token in (person.token, person.access_token()):
        client = hub.client(token)
        assert client.get("/me").json()["clients"] == [ours]
        assert [row["id"] for row in client.get("/clients").json()["items"]] == [ours]
        assert refusal(client.get(f"/clients/{theirs}")) == (404, "not-found")
        assert refusal(client.patch(f"/clients/{theirs}", json={"notes": "x"})) == (404, "not-found")
        assert client.get("/users").json()["items"] == [], "what is the installation's is not theirs"
