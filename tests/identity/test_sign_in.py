"""Passwords: whom they let in, and whom not."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx2
import jwt
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from tests.conftest import TestHub, unique
from tests.identity.conftest import PASSWORD, Person, refusal
from worklore.identity import sign_in
from worklore.identity.sign_in import LOCK_AFTER, LOCK_FOR
from worklore.identity.user import User
from worklore.kernel.audit import AuditEntry
from worklore.kernel.types import utcnow

JSON = {"content-type": "application/json"}
WRONG = "incorrect horse battery"


@pytest.fixture
def person(new_person: Any) -> Person:
    made: Person = new_person()
    made.api.post("/auth/password", json={"password": PASSWORD}).raise_for_status()
    return made


def test_a_password_gives_an_access_token(hub: TestHub, person: Person) -> None:
    granted = person.sign_in().raise_for_status().json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 600)
    claims = jwt.decode(granted["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 600
    me = hub.client(granted["access_token"]).get("/me").json()
    assert (me["kind"], me["user"]["email"], me["machine"]) == ("user", person.email, None)


def test_all_who_are_refused_are_refused_alike(hub: TestHub, person: Person, new_person: Any, api: Any) -> None:
    disabled, without = new_person(), new_person()
    disabled.access_token()
    api.patch(f"/users/{disabled.id}", json={"is_active": False}).raise_for_status()
    nobody = Person(hub, f"{unique('nobody')}@example.com", "")
    answers = [person.sign_in(WRONG), disabled.sign_in(), without.sign_in(), nobody.sign_in(), person.sign_in("")]
    told = []
    for answer in answers:
        assert refusal(answer) == (401, "sign-in-refused")
        told.append({name: value for name, value in answer.json().items() if name != "request_id"})
        assert PASSWORD not in answer.text
        assert WRONG not in answer.text
    assert all(each == told[0] for each in told)
    assert person.sign_in().status_code == 200


def test_a_hash_is_made_for_nobody_too(sqlite_hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer takes as long for an address nobody has: the same work is done for it."""
    hashed: list[str] = []

    def verify(stored: str, password: str) -> bool:
        hashed.append(stored)
        return PasswordHasher().verify(stored, password)

    monkeypatch.setattr(sign_in, "_HASHER", SimpleNamespace(verify=verify))
    assert Person(sqlite_hub, f"{unique('nobody')}@example.com", "").sign_in(WRONG).status_code == 401
    assert len(hashed) == 1
    assert hashed[0].startswith("$argon2id$")


def test_five_failures_lock_the_account_for_the_right_password_too(hub: TestHub, person: Person) -> None:
    for _ in range(LOCK_AFTER - 1):
        assert person.sign_in(WRONG).status_code == 401
    assert person.sign_in().status_code == 200, "four failures lock nobody out, and are forgiven"
    for _ in range(LOCK_AFTER):
        assert refusal(person.sign_in(WRONG)) == (401, "sign-in-refused")
    for password in (PASSWORD, WRONG):
        locked = person.sign_in(password)
        assert refusal(locked) == (429, "too-many-requests")
        assert 0 < int(locked.headers["retry-after"]) <= LOCK_FOR.total_seconds() + 1
    assert person.api.get("/me").status_code == 200, "tokens given before still work"
    ended = utcnow() - timedelta(seconds=1)
    with hub.database.writing.begin() as connection:
        connection.execute(update(User).where(User.email == person.email).values(locked_until=ended))
    assert person.sign_in().status_code == 200


def test_failures_at_once_are_all_counted(person: Person) -> None:
    together = threading.Barrier(LOCK_AFTER)

    def fail(_: int) -> int:
        together.wait()
        return person.sign_in(WRONG).status_code

    with ThreadPoolExecutor(LOCK_AFTER) as pool:
        assert set(pool.map(fail, range(LOCK_AFTER))) <= {401, 429}
    assert person.sign_in().status_code == 429


def test_a_password_changes_with_the_former_one_only(hub: TestHub, person: Person) -> None:
    by_token, by_password = person.api, hub.client(person.access_token())
    new = "a staple that is correct"
    for current in (None, "", WRONG, new):
        answer = by_token.post("/auth/password", json={"password": new, "current": current})
        assert refusal(answer) == (401, "sign-in-refused")
    assert person.sign_in().status_code == 200
    assert by_password.post("/auth/password", json={"password": new, "current": PASSWORD}).status_code == 204
    assert person.sign_in().status_code == 401
    assert person.sign_in(new).status_code == 200
    for former in (by_token, by_password):
        assert refusal(former.get("/me")) == (401, "token-invalid")


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 129], ids=["empty", "short", "eleven", "long"])
def test_a_password_has_a_decent_length(new_person: Any, password: str) -> None:
    someone: Person = new_person()
    answer = someone.api.post("/auth/password", json={"password": password})
    assert refusal(answer) == (422, "invalid")
    assert len(password) < 6 or password not in answer.text
    assert someone.sign_in(password).status_code in {401, 422}


def test_any_text_may_be_a_password(new_person: Any) -> None:
    someone: Person = new_person()
    password = "Größe 🛠️ \0 \x7f 日本語"
    assert someone.api.post("/auth/password", json={"password": password}).status_code == 204
    assert someone.sign_in(password).status_code == 200
    assert someone.sign_in(password.replace("\0", "")).status_code == 401


@pytest.mark.parametrize("field", ["email", "password"])
def test_what_is_no_text_cannot_sign_in(person: Person, hub: TestHub, field: str) -> None:
    given = f'{{"email": "{person.email}", "password": "{PASSWORD}"}}'
    before = person.email if field == "email" else PASSWORD
    answer = hub.client().post("/auth/sign-in", content=given.replace(before, before + r"\ud800"), headers=JSON)
    assert refusal(answer)[0] in {401, 422}
    wanted = f'{{"password": "{PASSWORD} \\udfff", "current": "{PASSWORD}\\ud800"}}'
    assert refusal(person.api.post("/auth/password", content=wanted, headers=JSON))[0] in {401, 422}
    assert person.sign_in().status_code == 200


def test_a_locked_account_does_not_lock_others(person: Person, new_person: Any) -> None:
    other: Person = new_person()
    other.access_token()
    for _ in range(LOCK_AFTER):
        person.sign_in(WRONG)
    assert person.sign_in().status_code == 429
    assert other.sign_in().status_code == 200


def test_signing_in_is_recorded(hub: TestHub, person: Person) -> None:
    headers = {"x-request-id": "019a0000-0000-7000-8000-000000000001"}
    asked: httpx2.Response = hub.client().post(
        "/auth/sign-in", json={"email": person.email, "password": WRONG}, headers=headers
    )
    assert asked.json()["request_id"] == headers["x-request-id"]
    person.sign_in().raise_for_status()
    with hub.database.reading.connect() as connection:
        found = connection.execute(_sign_ins(person)).all()
    assert [tuple(row) for row in found] == [("anonymous", "refused"), ("anonymous", "done")]


def _sign_ins(person: Person) -> Any:
    entry = select(AuditEntry.actor, AuditEntry.outcome).order_by(AuditEntry.at, AuditEntry.id)
    return entry.where(AuditEntry.record_id == person.id, AuditEntry.action == "sign-in")
