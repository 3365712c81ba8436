"""Passwords: whom they let in, and whom not."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx2
import jwt
import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr
from sqlalchemy import select, update

from tests.conftest import TestHub, unique
from tests.identity.conftest import PASSWORD, Person, refusal
from worklore.identity import password as passwords
from worklore.identity.limit import RateLimit
from worklore.identity.renewal import Caller
from worklore.identity.sign_in import (
    LOCK_AFTER,
    LOCK_FOR,
    OF_ADDRESS,
    Attempt,
    SignIn,
    attempt_sign_in,
    finish_sign_in,
    subject_of,
    unlock,
)
from worklore.identity.user import User
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry
from worklore.kernel.errors import TooManyRequestsError, UnauthenticatedError
from worklore.kernel.types import utcnow

JSON = {"content-type": "application/json"}
WRONG = "incorrect horse battery"


@pytest.fixture
def person(new_person: Any) -> Person:
    made: Person = new_person()
    made.join().raise_for_status()
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

    monkeypatch.setattr(passwords, "_HASHER", SimpleNamespace(verify=verify))
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
    assert locked_until(hub, person) > utcnow()
    let_time_pass(hub, person)
    assert person.sign_in().status_code == 200
    assert locked_until(hub, person) is None


def locked_until(hub: TestHub, person: Person) -> Any:
    with hub.database.reading.connect() as connection:
        return connection.scalar(select(User.locked_until).where(User.email == person.email))


def let_time_pass(hub: TestHub, person: Person) -> None:
    """As if the account had been locked a quarter of an hour ago."""
    ended = utcnow() - timedelta(seconds=1)
    mine = RateLimit.subject == subject_of(hub.hub.gateway.authenticator.key, person.email)
    with hub.database.writing.begin() as connection:
        assert connection.execute(update(RateLimit).where(mine).values(blocked_until=ended)).rowcount == 1


def test_nobody_learns_by_a_lock_which_accounts_exist(hub: TestHub, person: Person, new_person: Any, api: Any) -> None:
    disabled: Person = new_person()
    disabled.access_token()
    api.patch(f"/users/{disabled.id}", json={"is_active": False}).raise_for_status()
    told = []
    for each in (person, disabled, new_person(), Person(hub, f"{unique('nobody')}@example.com", "")):
        answers = [each.sign_in(WRONG) for _ in range(LOCK_AFTER + 1)]
        assert [answer.status_code for answer in answers] == [401] * LOCK_AFTER + [429]
        told.append({name: value for name, value in answers[-1].json().items() if name != "request_id"})
    waits = [each.pop("retry_after") for each in told]
    assert all(each == told[0] for each in told)
    assert all(LOCK_FOR.total_seconds() - 30 < wait <= LOCK_FOR.total_seconds() + 1 for wait in waits)


def test_no_stranger_locks_a_known_device_out(hub: TestHub, person: Person, new_person: Any) -> None:
    device = person.sign_in().raise_for_status().json()["device"]

    def from_device(password: str = PASSWORD, mark: str = device) -> httpx2.Response:
        return hub.client().post("/auth/sign-in", json={"email": person.email, "password": password, "device": mark})

    for _ in range(LOCK_AFTER):
        person.sign_in(WRONG)
    assert person.sign_in().status_code == 429
    assert from_device().status_code == 200
    other: Person = new_person()
    other.access_token()
    for mark in ("", "x", ".", device[:-1], device.replace(".", ""), other.sign_in().json()["device"]):
        assert from_device(mark=mark).status_code == 429, "only what was given to this user counts"
    for _ in range(LOCK_AFTER):
        assert from_device(WRONG).status_code == 401
    assert from_device().status_code == 429, "and it has five tries of its own"


def test_one_network_address_has_a_limit_over_all_accounts(sqlite_hub: TestHub) -> None:
    attempt = Caller("192.0.2.77", None)
    key = sqlite_hub.hub.gateway.authenticator.key
    body = SignIn(email=f"{unique('nobody')}@example.com", password=SecretStr(WRONG))
    for number in range(OF_ADDRESS.most):
        tried = Attempt(body.model_copy(update={"email": f"{number}@example.com"}), attempt)
        refused = sqlite_hub.database.write(partial(finish_sign_in, key=key, attempt=tried, life=LOCK_FOR))
        assert isinstance(refused, UnauthenticatedError)
    with sqlite_hub.database.read(SYSTEM) as ctx:
        with pytest.raises(TooManyRequestsError):
            attempt_sign_in(ctx, key, body, attempt)
        attempt_sign_in(ctx, key, body, Caller("192.0.2.78", None))


def test_an_account_is_unlocked_by_hand(hub: TestHub, person: Person) -> None:
    for _ in range(LOCK_AFTER):
        person.sign_in(WRONG)
    assert person.sign_in().status_code == 429
    key = hub.hub.gateway.authenticator.key
    hub.database.write(lambda ctx: unlock(ctx, key, ctx.session.get_one(User, person.id)))
    assert person.sign_in().status_code == 200


def test_a_weak_hash_is_made_anew_at_the_next_sign_in(hub: TestHub, person: Person) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    with hub.database.writing.begin() as connection:
        connection.execute(update(User).where(User.email == person.email).values(password_hash=weak))
    token = person.sign_in().raise_for_status().json()["access_token"]
    with hub.database.reading.connect() as connection:
        stored = connection.scalar(select(User.password_hash).where(User.email == person.email))
    assert "m=19456,t=2,p=1" in stored
    assert hub.client(token).get("/me").status_code == 200
    assert person.sign_in().status_code == 200


def test_a_huge_password_is_refused_before_it_is_hashed(sqlite_hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_HASHER", None)
    body = {"email": "somebody@example.com", "password": "x" * 1_000_000}
    assert refusal(sqlite_hub.client().post("/auth/sign-in", json=body)) == (422, "invalid")


def test_failures_at_once_are_all_counted(person: Person) -> None:
    together = threading.Barrier(LOCK_AFTER)

    def fail(_: int) -> int:
        together.wait()
        return person.sign_in(WRONG).status_code

    with ThreadPoolExecutor(LOCK_AFTER) as pool:
        assert set(pool.map(fail, range(LOCK_AFTER))) <= {401, 429}
    assert person.sign_in().status_code == 429


def test_a_password_changes_with_the_former_one_only(hub: TestHub, person: Person) -> None:
    by_token, by_password = person.api, person.signed_in
    new = "a staple that is correct"
    for current in ("", WRONG, new):
        answer = by_password.post("/auth/password", json={"password": new, "current": current})
        assert refusal(answer) == (401, "sign-in-refused")
    assert refusal(by_password.post("/auth/password", json={"password": new})) == (422, "invalid")
    assert person.sign_in().status_code == 200
    assert by_password.post("/auth/password", json={"password": new, "current": PASSWORD}).status_code == 204
    assert person.sign_in().status_code == 401
    assert person.sign_in(new).status_code == 200
    for former in (by_token, by_password):
        assert refusal(former.get("/me")) == (401, "token-invalid")


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 129], ids=["empty", "short", "eleven", "long"])
def test_a_password_has_a_decent_length(new_person: Any, password: str) -> None:
    someone: Person = new_person()
    answer = someone.join(password)
    assert refusal(answer) == (422, "invalid")
    assert len(password) < 6 or password not in answer.text
    assert someone.sign_in(password).status_code in {401, 422}


def test_any_text_may_be_a_password(new_person: Any) -> None:
    someone: Person = new_person()
    password = "Größe 🛠️ \0 \x7f 日本語"
    assert someone.join(password).status_code == 200
    assert someone.sign_in(password).status_code == 200
    assert someone.sign_in(password.replace("\0", "")).status_code == 401


@pytest.mark.parametrize("field", ["email", "password"])
def test_what_is_no_text_cannot_sign_in(person: Person, hub: TestHub, field: str) -> None:
    given = f'{{"email": "{person.email}", "password": "{PASSWORD}"}}'
    before = person.email if field == "email" else PASSWORD
    answer = hub.client().post("/auth/sign-in", content=given.replace(before, before + r"\ud800"), headers=JSON)
    assert refusal(answer)[0] in {401, 422}
    wanted = f'{{"password": "{PASSWORD} \\udfff", "current": "{PASSWORD}\\ud800"}}'
    assert refusal(person.signed_in.post("/auth/password", content=wanted, headers=JSON))[0] in {401, 422}
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
