"""The second factor: what it takes to sign in with one, and what is seen without."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import jwt
import pyotp
import pytest
from sqlalchemy import select, update

from tests.conftest import TestHub
from tests.identity.conftest import PASSWORD, Person, refusal
from worklore.identity import second_factor
from worklore.identity.limit import RateLimit
from worklore.identity.second_factor import RECOVERY_CODES, STEP_SECONDS, SecondFactor
from worklore.identity.sign_in import LOCK_AFTER, subject_of
from worklore.identity.token import Authenticator, access_token
from worklore.identity.user import User
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry
from worklore.kernel.errors import UnavailableError
from worklore.kernel.types import utcnow

FORM = "/auth/second-factor"


class Enrolled:
    """A person who has a second factor, and the app that shows its codes."""

    def __init__(self, person: Person) -> None:
        self.person = person
        signed_in = person.signed_in
        made = signed_in.post(f"{FORM}/enrol", json={"password": PASSWORD}).raise_for_status().json()
        self.app, self.uri = pyotp.TOTP(made["secret"]), made["uri"]
        told = signed_in.post(f"{FORM}/confirm", json={"code": self.code()}).raise_for_status().json()
        self.recovery: list[str] = told["recovery_codes"]
        self.without = signed_in

    def code(self, steps: int = 0) -> str:
        return self.app.at(utcnow() + timedelta(seconds=steps * STEP_SECONDS))

    def fresh(self) -> str:
        """A code of this moment that counts as new, as if the last one had been used long ago."""
        if (left := STEP_SECONDS - time.time() % STEP_SECONDS) < 2:
            time.sleep(left)  # so that a step does not end in the midst of a test
        with self.person.hub.database.writing.begin() as connection:
            mine = update(SecondFactor).where(SecondFactor.user_id == self.person.id)
            connection.execute(mine.values(last_step=None))
        return self.code()

    def client(self) -> httpx2.Client:
        granted = self.person.sign_in(code=self.fresh()).raise_for_status().json()
        return self.person.hub.client(granted["access_token"])


@pytest.fixture
def someone(new_person: Any) -> Enrolled:
    return Enrolled(new_person())


def sees(client: httpx2.Client) -> tuple[bool, bool]:
    me = client.get("/me").raise_for_status().json()
    return me["sees_secrets"], me["second_factor_enrolled"]


def test_a_code_is_needed_from_its_confirmation_on(hub: TestHub, new_person: Any) -> None:
    person: Person = new_person()
    client = person.signed_in
    assert sees(client) == (False, False)
    first = client.post(f"{FORM}/enrol", json={"password": PASSWORD})
    assert first.headers["cache-control"] == "no-store"
    assert person.sign_in().status_code == 200, "what is not confirmed asks for nothing"
    made = client.post(f"{FORM}/enrol", json={"password": PASSWORD}).raise_for_status().json()
    assert made["secret"] != first.json()["secret"]
    assert pyotp.parse_uri(made["uri"]).secret == made["secret"]
    assert person.email.replace("@", "%40") in made["uri"]
    app = pyotp.TOTP(made["secret"])
    for wrong in ("", "000", "12345678901", pyotp.TOTP(first.json()["secret"]).now(), "ß" * 6):
        assert refusal(client.post(f"{FORM}/confirm", json={"code": wrong})) == (422, "invalid")
    codes = client.post(f"{FORM}/confirm", json={"code": app.now()}).raise_for_status().json()["recovery_codes"]
    assert len(set(codes)) == RECOVERY_CODES
    assert refusal(client.post(f"{FORM}/confirm", json={"code": app.now()})) == (409, "second-factor-absent")
    assert refusal(client.post(f"{FORM}/enrol", json={"password": PASSWORD})) == (409, "second-factor-enrolled")
    assert sees(client) == (False, True), "it was not given when this sign-in began"
    assert refusal(person.sign_in()) == (401, "second-factor-needed")
    granted = person.sign_in(code=app.at(utcnow() + timedelta(seconds=STEP_SECONDS))).raise_for_status().json()
    assert jwt.decode(granted["access_token"], options={"verify_signature": False})["amr"] == ["pwd", "otp"]
    assert sees(hub.client(granted["access_token"])) == (True, True)
    again = hub.client().post("/auth/refresh", json={"refresh_token": granted["refresh_token"]}).json()
    assert sees(hub.client(again["access_token"])) == (True, True), "a renewal remembers it"


def test_codes_of_now_and_one_step_around_it_work_once(someone: Enrolled) -> None:
    used = someone.code()
    assert refusal(someone.person.sign_in(code=used)) == (401, "second-factor-refused"), "it has confirmed the factor"
    for steps in (-3, 3):
        someone.fresh()
        assert refusal(someone.person.sign_in(code=someone.code(steps))) == (401, "second-factor-refused")
    someone.fresh()
    assert someone.person.sign_in(code=someone.code(-1)).status_code == 200
    later = someone.code(1)
    assert someone.person.sign_in(code=f"{later[:3]} {later[3:]}").status_code == 200
    for code in (later, someone.code(-1)):
        assert refusal(someone.person.sign_in(code=code)) == (401, "second-factor-refused")


def test_of_many_with_one_code_one_is_let_in(someone: Enrolled) -> None:
    code, together = someone.fresh(), threading.Barrier(4)

    def ask(_: int) -> int:
        together.wait()
        return someone.person.sign_in(code=code).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(ask, range(4))) == [200, 401, 401, 401]


def test_a_recovery_code_works_once(someone: Enrolled) -> None:
    for code in (someone.recovery[0], someone.recovery[1].lower().replace("-", "")):
        assert someone.person.sign_in(code=code).status_code == 200
        assert refusal(someone.person.sign_in(code=code)) == (401, "second-factor-refused")
    assert someone.person.sign_in(code=someone.recovery[2]).status_code == 200


def test_wrong_codes_lock_and_leaving_the_code_out_forgives_nothing(hub: TestHub, someone: Enrolled) -> None:
    for _ in range(LOCK_AFTER):
        assert refusal(someone.person.sign_in()) == (401, "second-factor-needed")
        assert refusal(someone.person.sign_in(code="000000"))[0] == 401
    assert refusal(someone.person.sign_in(code=someone.fresh())) == (429, "too-many-requests")
    key = hub.hub.gateway.authenticator.key
    with hub.database.writing.begin() as connection:
        mine = RateLimit.subject == subject_of(key, someone.person.email)
        connection.execute(update(RateLimit).where(mine).values(blocked_until=utcnow()))
    for _ in range(2):
        answer = someone.person.sign_in("incorrect horse battery", code=someone.code())
        assert refusal(answer) == (401, "sign-in-refused")
    assert someone.person.sign_in(code=someone.fresh()).status_code == 200, "a code is not used up by a wrong password"
    with hub.database.reading.connect() as connection:
        found = select(AuditEntry.outcome).where(AuditEntry.record_id == someone.person.id)
        told = connection.scalars(found.where(AuditEntry.action == "sign-in")).all()
    before_there_was_a_password = 1
    assert told.count("refused") == before_there_was_a_password + 2 * LOCK_AFTER + 2


def test_it_is_removed_by_password_and_code_together(hub: TestHub, someone: Enrolled) -> None:
    client = someone.client()
    assert sees(client) == (True, True)
    for body in (
        {"password": "incorrect horse battery", "code": someone.recovery[0]},
        {"password": PASSWORD, "code": "ABCDE-FGHJK"},
    ):
        assert refusal(client.post(f"{FORM}/remove", json=body))[0] == 401
    assert refusal(client.post(f"{FORM}/remove", json={"password": PASSWORD})) == (422, "invalid")
    body = {"password": PASSWORD, "code": someone.recovery[0]}
    assert client.post(f"{FORM}/remove", json=body).status_code == 204
    assert sees(client) == (False, False), "what was given once counts no more"
    assert someone.person.sign_in().status_code == 200
    assert refusal(client.post(f"{FORM}/remove", json=body)) == (409, "second-factor-absent")


def test_only_who_has_signed_in_has_to_do_with_it(hub: TestHub, someone: Enrolled, machine_api: Any) -> None:
    for token in (someone.person.api, machine_api):
        for verb, body in (
            ("enrol", {"password": PASSWORD}),
            ("confirm", {"code": "000000"}),
            ("remove", {"password": PASSWORD, "code": someone.recovery[0]}),
        ):
            assert refusal(token.post(f"{FORM}/{verb}", json=body)) == (403, "person-needed")
    assert refusal(someone.without.post(f"{FORM}/enrol", json={"password": "x"})) == (401, "sign-in-refused")


def test_the_hub_can_ask_it_only_of_who_has_one(hub: TestHub, someone: Enrolled, new_person: Any) -> None:
    key = hub.hub.gateway.authenticator.key
    lenient = Authenticator(key, all_need_second_factor=False)
    other: Person = new_person()

    def shown(person: Person, *, given: bool) -> bool:
        with hub.database.read(SYSTEM) as ctx:
            user = ctx.session.get_one(User, person.id)
            token = access_token(key, user, timedelta(minutes=1), second_factor=given)
            return lenient.authenticate(ctx, token).sees_secrets

    assert shown(other, given=False)
    assert not shown(someone.person, given=False)
    assert shown(someone.person, given=True)


def test_the_database_holds_neither_seed_nor_codes(hub: TestHub, someone: Enrolled, new_person: Any) -> None:
    key = hub.hub.gateway.authenticator.key
    with hub.database.reading.connect() as connection:
        row = connection.execute(select(SecondFactor).where(SecondFactor.user_id == someone.person.id)).one()
        told = connection.scalars(select(AuditEntry.changed).where(AuditEntry.record_id == row.id)).all()
    for secret in (someone.app.secret, *someone.recovery, *(code.replace("-", "") for code in someone.recovery)):
        assert secret not in str(tuple(row)) + str(told)
        assert secret.encode() not in row.seed_encrypted
    assert any("seed_encrypted" in changed for changed in told)
    assert any("recovery_hashes" in changed for changed in told)
    # A row that is moved to another person opens nothing.
    moved = SecondFactor(**row._asdict() | {"id": uuid.uuid4(), "user_id": new_person().id})
    with pytest.raises(UnavailableError) as refused:
        second_factor._seed(key, moved)
    assert refused.value.code == "second-factor-unreadable"
    assert second_factor._seed(key, SecondFactor(**row._asdict())) == someone.app.secret


def test_the_codes_are_those_of_the_standard() -> None:
    """RFC 6238, appendix B: the last six of its eight digits."""
    seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    vectors = {59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037"}
    for seconds, code in vectors.items():
        moment = utcnow().fromtimestamp(seconds, utcnow().tzinfo)
        step = seconds // STEP_SECONDS
        assert second_factor._step(seed, code, moment, None) == step
        assert second_factor._step(seed, code, moment, step) is None
