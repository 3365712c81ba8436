"""First passwords: with the set-up of a machine, or by an invitation, and in no other way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from tests.conftest import TestHub, unique
from tests.identity.conftest import PASSWORD, Person, refusal
from worklore.identity.keys import keyed_hash
from worklore.identity.roles import Role
from worklore.identity.setup import INVITATION_LIFE, _plain
from worklore.identity.token import SetupCode
from worklore.kernel.audit import AuditEntry
from worklore.kernel.types import utcnow

OTHER = "a staple that is correct"


def join(hub: TestHub, code: str, password: str = PASSWORD) -> httpx2.Response:
    return hub.client().post("/auth/join", json={"code": code, "password": password})


def set_up(hub: TestHub, code: str, **given: Any) -> httpx2.Response:
    machine = {"hostname": unique("host"), "machine_fingerprint": unique("fingerprint")}
    return hub.client().post("/auth/setup", json={"code": code, "machine": machine, **given})


def test_an_invitation_sets_a_first_password_once(hub: TestHub, new_person: Any, api: httpx2.Client) -> None:
    person: Person = new_person()
    lost, code = person.invited(), person.invited()
    assert refusal(join(hub, lost)) == (401, "invitation-invalid"), "the next one takes its place"
    assert refusal(join(hub, code, f"{person.email} and more")) == (422, "invalid")
    assert join(hub, code).json() == {"email": person.email}
    assert refusal(join(hub, code, OTHER)) == (401, "invitation-invalid")
    assert person.sign_in().status_code == 200
    assert person.api.get("/me").status_code == 200, "tokens from before stay"
    assert refusal(api.post(f"/users/{person.id}/invite")) == (409, "password-exists")
    with hub.database.reading.connect() as connection:
        told = select(AuditEntry.changed, AuditEntry.actor).where(AuditEntry.record_id == person.id)
        found = [tuple(row) for row in connection.execute(told.where(AuditEntry.action == "update"))]
    assert ({"password_hash": "sealed"}, "anonymous") in found


def test_an_invitation_ends_after_a_day(hub: TestHub, new_person: Any) -> None:
    person: Person = new_person()
    code = person.invited()
    row = SetupCode.code_hash == keyed_hash(hub.hub.gateway.authenticator.key, _plain(code))
    for age, status in ((INVITATION_LIFE + timedelta(seconds=1), 401), (INVITATION_LIFE - timedelta(minutes=1), 200)):
        with hub.database.writing.begin() as connection:
            ends = utcnow() + INVITATION_LIFE - age
            assert connection.execute(update(SetupCode).where(row).values(expires_at=ends)).rowcount == 1
        assert join(hub, code).status_code == status


def test_of_two_invitations_used_at_once_one_password_stays(hub: TestHub, new_person: Any) -> None:
    person: Person = new_person()
    code, together = person.invited(), threading.Barrier(2)

    def ask(password: str) -> int:
        together.wait()
        return join(hub, code, password).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip((PASSWORD, OTHER), pool.map(ask, (PASSWORD, OTHER)), strict=True))
    assert sorted(answers.values()) in ([200, 401], [200, 409])
    for password, status in answers.items():
        assert person.sign_in(password).status_code == (200 if status == 200 else 401)


def test_a_code_for_machines_is_no_invitation_and_the_other_way_round(hub: TestHub, new_person: Any) -> None:
    email = f"{unique('person')}@example.com"
    program = hub.client(hub.token(email=email))
    person = Person(hub, email, "")
    code = program.post("/setup-codes").raise_for_status().json()["code"]
    assert refusal(join(hub, code)) == (401, "invitation-invalid")
    assert refusal(set_up(hub, person.invited(), password=PASSWORD)) == (401, "setup-code-invalid")
    assert refusal(set_up(hub, code, password=f"{email}!")) == (422, "invalid")
    assert set_up(hub, code, password=PASSWORD).raise_for_status().json()["password_set"] is True
    assert person.sign_in().status_code == 200
    further = program.post("/setup-codes").raise_for_status().json()["code"]
    again = set_up(hub, further, password=OTHER).raise_for_status()
    assert (again.json()["password_set"], again.headers["cache-control"]) == (False, "no-store")
    assert person.sign_in().status_code == 200, "one that is there stays"
    assert person.sign_in(OTHER).status_code == 401


def test_a_code_without_a_password_sets_none(hub: TestHub, new_person: Any) -> None:
    person: Person = new_person()
    code = person.api.post("/setup-codes").raise_for_status().json()["code"]
    assert set_up(hub, code).raise_for_status().json()["password_set"] is False
    assert person.sign_in("").status_code == 401


def test_who_may_invite_whom(hub: TestHub, new_person: Any, machine_api: Any) -> None:
    owner, person = new_person(Role.owner), new_person()
    admin: Person = new_person(Role.admin)
    assert refusal(admin.api.post(f"/users/{owner.id}/invite")) == (403, "owner-only")
    assert refusal(person.api.post(f"/users/{person.id}/invite")) == (403, "scope-missing")
    assert admin.api.post(f"/users/{person.id}/invite").status_code == 200
    assert refusal(machine_api.post(f"/users/{person.id}/invite")) == (403, "person-needed")


def test_a_code_that_a_machine_asks_for_sets_no_password(hub: TestHub, new_person: Any) -> None:
    person: Person = new_person()
    email = person.api.get("/me").json()["user"]["email"]
    before = hub.client(set_up(hub, person.api.post("/setup-codes").json()["code"]).json()["token"])
    code = before.post("/setup-codes").raise_for_status().json()["code"]
    made = set_up(hub, code, password=PASSWORD).raise_for_status().json()
    assert made["password_set"] is False
    told = {"email": email, "password": PASSWORD}
    assert hub.client().post("/auth/sign-in", json=told).status_code == 401


@pytest.mark.parametrize("code", ["", "AAAAA-AAAAA-AAAAA", "ß" * 15, "x" * 41])
def test_a_wrong_invitation_is_refused_before_anything_is_hashed(
    sqlite_hub: TestHub, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr("worklore.identity.password._HASHER", None)
    assert refusal(join(sqlite_hub, code))[0] in {401, 422}
    assert refusal(set_up(sqlite_hub, code, password=PASSWORD))[0] in {401, 422}
