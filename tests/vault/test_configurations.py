"""A secret setting is read as a mask by everybody but the hub's own code."""

import json
import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from tests.conftest import TestHub, unique
from worklore.kernel.access import SYSTEM
from worklore.kernel.db import Base
from worklore.kernel.errors import NotFoundError, UnavailableError
from worklore.runs.configuration import MASK, Configuration, value_of


def put(api: httpx2.Client, key: str, **sent: Any) -> httpx2.Response:
    return api.put(f"/configurations/by-key/{key}", json=sent)


def change(api: httpx2.Client, key: str, **sent: Any) -> httpx2.Response:
    found = api.get(f"/configurations/by-key/{key}").json()["id"]
    return api.patch(f"/configurations/{found}", json=sent)


def made(api: httpx2.Client, **sent: Any) -> str:
    key = unique("setting")
    answer = put(api, key, **sent)
    assert answer.status_code == 201, answer.text
    return key


def value(hub: TestHub, key: str) -> Any:
    with hub.database.read(SYSTEM) as ctx:
        return value_of(ctx, key)


@pytest.mark.parametrize(
    ("kind", "text", "typed"),
    [
        ("string", "planted Größe", "planted Größe"),
        ("integer", "4711471147", 4711471147),
        ("float", "-2.5e3", -2500.0),
        ("boolean", "true", True),
        ("json", '{"planted": [1, null]}', {"planted": [1, None]}),
    ],
)
@pytest.mark.parametrize("secret", [True, False])
def test_hub_code_gets_the_typed_value(
    hub: TestHub, api: httpx2.Client, kind: str, text: str, typed: Any, *, secret: bool
) -> None:
    key = made(api, value=text, value_type=kind, is_secret=secret)
    assert value(hub, key) == typed
    assert type(value(hub, key)) is type(typed)
    assert api.get(f"/configurations/by-key/{key}").json()["value"] == (MASK if secret else text)


def test_a_planted_value_is_nowhere(hub: TestHub, api: httpx2.Client) -> None:
    mark = f"canary{uuid.uuid4().hex}"
    key = made(api, value=mark, is_secret=True)
    found = api.get(f"/configurations/by-key/{key}").json()
    answers = [
        api.get("/configurations", params={"key": key}),
        api.get("/configurations", params={"q": mark}),
        put(api, key, value=f"{mark} second"),
        put(api, key, value=f"{mark} no number", value_type="integer"),
        api.patch(f"/configurations/{found['id']}", json={"value": [mark]}),
        api.post("/configurations", json={"key": key, "value": mark, "is_secret": True}),
        api.post("/configurations", json={"key": unique(), "value": mark * 2000, "is_secret": True}),
        api.post("/configurations", json=[{"key": unique(), "value": mark, "is_secret": True} for _ in range(2)]),
        api.post(
            "/configurations", json={"key": unique(), "value": mark, "is_secret": True}, params={"dry_run": "true"}
        ),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 422, 422, 409, 422, 201, 201]
    assert not any(mark in answer.text for answer in answers)
    assert value(hub, key) == f"{mark} second"
    hub.hub.requests.move()
    with hub.database.reading.connect() as connection:
        for table in Base.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                assert mark not in repr(row), table.description


def test_what_is_sealed_is_opened_by_giving_it_anew_alone(hub: TestHub, api: httpx2.Client) -> None:
    key = made(api, value="planted", is_secret=True)
    for sent in ({"is_secret": False}, {"value_type": "boolean"}, {"is_secret": False, "value": MASK}):
        refused = change(api, key, **sent)
        assert refused.status_code == 422, sent
        assert "planted" not in refused.text
    assert value(hub, key) == "planted"
    assert change(api, key, description="what it is for").status_code == 200
    assert change(api, key, value=MASK).json()["value"] == MASK
    assert value(hub, key) == "planted", "what was read is written back, and changes nothing"
    assert change(api, key, is_secret=False, value="open").json()["value"] == "open"
    assert value(hub, key) == "open"
    assert change(api, key, is_secret=True).json()["value"] == MASK
    assert value(hub, key) == "open"
    assert change(api, key, value="7", value_type="integer").json()["value"] == MASK
    assert value(hub, key) == 7


def test_the_mask_is_no_secret(api: httpx2.Client) -> None:
    """What was exported from another hub does not become the secret here."""
    refused = put(api, unique("setting"), value=MASK, is_secret=True)
    assert (refused.status_code, refused.json()["field"]) == (422, "value")
    assert change(api, made(api, value=MASK), is_secret=True).status_code == 422


def test_a_type_is_checked_before_a_value_is_sealed(api: httpx2.Client) -> None:
    for kind, text in (("integer", "x1"), ("float", "1,5"), ("boolean", "yes"), ("json", "{")):
        refused = put(api, unique("setting"), value=text, value_type=kind, is_secret=True)
        assert (refused.status_code, refused.json()["field"]) == (422, "value")
        assert json.dumps(text) not in refused.text


def test_a_sealed_vault_stores_no_secret_and_shows_the_rest(
    hub: TestHub, api: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, plain = made(api, value="planted", is_secret=True), made(api, value="plain")
    monkeypatch.setattr(hub.hub.vault, "refusal", lambda: UnavailableError("It is sealed.", code="vault-sealed"))
    refused = put(api, unique("setting"), value="planted", is_secret=True)
    assert (refused.status_code, refused.json()["code"]) == (503, "vault-sealed")
    assert api.get(f"/configurations/by-key/{secret}").json()["value"] == MASK
    assert value(hub, plain) == "plain"
    with pytest.raises(UnavailableError):
        value(hub, secret)


def test_a_value_does_not_open_in_another_setting(hub: TestHub, api: httpx2.Client) -> None:
    one, two = (made(api, value=text, is_secret=True) for text in ("one", "two"))
    table = Configuration.__table__
    with hub.database.writing.begin() as connection:
        stolen = connection.execute(select(table.c.value_encrypted).where(table.c.key == one)).scalar_one()
        connection.execute(table.update().where(table.c.key == two).values(value_encrypted=stolen))
    with pytest.raises(UnavailableError) as error:
        value(hub, two)
    assert error.value.code == "credential-unreadable"
    assert value(hub, one) == "one"
    assert put(api, two, value="anew").status_code == 200
    assert value(hub, two) == "anew"
    while not hub.hub.vault.unreadable.empty():
        hub.hub.vault.unreadable.get_nowait()


def test_a_setting_that_is_not_there(hub: TestHub) -> None:
    with pytest.raises(NotFoundError):
        value(hub, unique("setting"))
