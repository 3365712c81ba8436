"""A login name that lies sealed is found by an equal text, by those who may see whose it is."""

import uuid
from collections.abc import Callable
from typing import Any

import httpx2
from sqlalchemy import select

from tests.conftest import TestHub, unique
from tests.vault.test_credentials import ask, code, secrets_of, stored
from worklore.vault.credential import Credential


def found(api: httpx2.Client, login: str, **more: Any) -> list[str]:
    answer = api.post("/credentials/find-login", json={"login": login, **more})
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_a_login_is_found_whatever_its_case_and_by_no_part_of_it(
    api: httpx2.Client, client_id: uuid.UUID, new_client: Callable[[], uuid.UUID]
) -> None:
    login = f"{unique('Planted')}@Example.com"
    one = stored(api, client_id, login=login, password="x")
    two = stored(api, new_client(), login=login.upper(), password="y")
    own = stored(api, client_id, login="other", password="z")
    assert one["holds"] == ["login", "password"]
    assert found(api, f"  {login.lower()} ") == [one["id"], two["id"]]
    assert found(api, login, client_id=str(client_id)) == [one["id"]]
    assert found(api, login[:-1]) == found(api, login, client_id=str(uuid.uuid4())) == []
    assert own["id"] not in found(api, login)
    assert secrets_of(api, one["id"], "login") == {"login": login}


def test_the_index_follows_the_login(api: httpx2.Client, client_id: uuid.UUID) -> None:
    first, second = unique("login"), unique("login")
    key = stored(api, client_id, login=first)["id"]
    assert ask(api, key, "rotate", password="new").status_code == 200
    assert found(api, first) == [key]
    assert ask(api, key, "rotate", login=second).status_code == 200
    assert (found(api, first), found(api, second)) == ([], [key])
    assert ask(api, key, "shred").status_code == 200
    assert found(api, second) == []


def test_only_of_clients_that_may_be_seen(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, new_client: Callable[[], uuid.UUID]
) -> None:
    login, other = unique("login"), new_client()
    mine = stored(api, client_id, login=login)["id"]
    stored(api, other, login=login)
    own = api.post(
        "/credentials/store", json={"credential_type": "password", "service_name": "own", "login": login}
    ).json()["id"]
    assert own in found(api, login)
    insider = hub.client(hub.token(clients=[client_id]))
    assert found(insider, login) == found(insider, login, client_id=str(client_id)) == [mine]
    refused = [
        insider.post("/credentials/find-login", json={"login": login, "client_id": str(key)})
        for key in (other, uuid.uuid4())
    ]
    assert [code(answer) for answer in refused] == [(404, "not-found")] * 2


def test_a_login_is_in_no_answer_and_no_log(hub: TestHub, api: httpx2.Client, client_id: uuid.UUID) -> None:
    mark = f"canary{uuid.uuid4().hex}"
    key = stored(api, client_id, login=mark)["id"]
    answers = [
        api.post("/credentials/find-login", json={"login": mark}),
        api.post("/credentials/find-login", json={"login": [mark]}),
        api.post("/credentials/find-login", json={"login": mark * 2000}),
        api.get(f"/credentials/{key}"),
        api.get("/credentials", params={"q": mark}),
    ]
    assert [answer.status_code for answer in answers] == [200, 422, 422, 200, 200]
    assert not any(mark in answer.text for answer in answers)
    assert "login_index" not in answers[3].json()
    hub.hub.requests.move()
    row = select(Credential.login_index, Credential.login_encrypted).where(Credential.id == uuid.UUID(key))
    with hub.database.reading.connect() as connection:
        index, sealed = connection.execute(row).one()
    assert len(bytes.fromhex(index)) == 32
    assert mark.encode() not in sealed
    listed = api.get("/api-audit-log", params={"endpoint": "/api/v1/credentials/find-login", "limit": "1000"})
    assert mark not in listed.text
    assert listed.json()["items"]
