"""The one-time code that connects a machine."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from tests.conftest import TestHub, unique
from tests.identity.conftest import refusal
from worklore.identity.keys import keyed_hash
from worklore.identity.setup import CODE_LIFE, _plain
from worklore.identity.token import SetupCode
from worklore.kernel.types import utcnow


def body(code: str, fingerprint: str | None = None) -> dict[str, Any]:
    machine = {"hostname": unique("host"), "machine_fingerprint": fingerprint or unique("fingerprint")}
    return {"code": code, "machine": machine}


def use(hub: TestHub, code: str, fingerprint: str | None = None) -> httpx2.Response:
    return hub.client().post("/auth/setup", json=body(code, fingerprint))


@pytest.fixture
def code(api: httpx2.Client) -> str:
    return str(api.post("/setup-codes").raise_for_status().json()["code"])


def test_a_code_connects_one_machine_and_then_no_other(hub: TestHub, code: str, api: httpx2.Client) -> None:
    asked = body(code)
    made = hub.client().post("/auth/setup", json=asked)
    assert made.status_code == 201, made.text
    me = hub.client(made.json()["token"]).get("/me").json()
    assert me["kind"] == "machine"
    assert me["machine"] == {"id": made.json()["machine"]["id"], "hostname": asked["machine"]["hostname"]}
    assert me["user"]["id"] == made.json()["user"]["id"] == api.get("/me").json()["user"]["id"]
    for again in (asked, body(code)):
        assert refusal(hub.client().post("/auth/setup", json=again)) == (401, "setup-code-invalid")


def test_a_code_may_be_typed_carelessly(hub: TestHub, api: httpx2.Client) -> None:
    for typed in (str.lower, lambda text: text.replace("-", ""), lambda text: f" {text.replace('-', ' ').lower()} "):
        code = api.post("/setup-codes").json()["code"]
        assert use(hub, typed(code)).status_code == 201
        assert use(hub, code).status_code == 401


@pytest.mark.parametrize("wrong", ["", "-", "AAAAA-AAAAA-AAAAA", "%", "ß" * 15])
def test_a_wrong_code_is_refused(hub: TestHub, code: str, wrong: str) -> None:
    for text in (wrong, wrong + code if wrong and wrong != "-" else wrong, code[:-1]):
        assert refusal(use(hub, text))[0] in {401, 422}
    assert use(hub, code).status_code == 201


def test_a_code_ends_after_half_an_hour(hub: TestHub, code: str) -> None:
    row = SetupCode.code_hash == keyed_hash(hub.hub.gateway.authenticator.key, _plain(code))
    for age, status in ((CODE_LIFE + timedelta(seconds=1), 401), (CODE_LIFE - timedelta(minutes=1), 201)):
        with hub.database.writing.begin() as connection:
            changed = connection.execute(update(SetupCode).where(row).values(expires_at=utcnow() + CODE_LIFE - age))
            assert changed.rowcount == 1
        assert use(hub, code).status_code == status


def test_of_many_who_use_a_code_at_once_one_is_let_in(hub: TestHub, api: httpx2.Client) -> None:
    together = threading.Barrier(4)

    def one(code: str) -> tuple[int, str]:
        asked = body(code)
        client = hub.client()
        together.wait()
        answer = client.post("/auth/setup", json=asked)
        return (201, "") if answer.status_code == 201 else refusal(answer)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            code = api.post("/setup-codes").json()["code"]
            found = sorted(pool.map(one, [code] * 4))
            assert found == [(201, ""), *[(401, "setup-code-invalid")] * 3]


def test_a_machine_that_connects_twice_at_once_is_one_machine(hub: TestHub, api: httpx2.Client) -> None:
    codes = [api.post("/setup-codes").json()["code"] for _ in range(2)]
    fingerprint, together = unique("fingerprint"), threading.Barrier(2)

    def one(code: str) -> httpx2.Response:
        together.wait()
        return use(hub, code, fingerprint)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(one, codes))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.json()["machine"]["id"] for answer in answers}) == 1
    assert len({answer.json()["token"] for answer in answers}) == 2


def test_only_who_may_makes_codes(hub: TestHub) -> None:
    assert refusal(hub.client(hub.token(scopes=["client:read"])).post("/setup-codes")) == (403, "scope-missing")
    assert refusal(hub.client().post("/setup-codes")) == (401, "token-missing")
