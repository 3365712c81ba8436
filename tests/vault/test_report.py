"""Which secrets want looking after is told to those who may see them."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
from sqlalchemy import update

from tests.conftest import TestHub, unique
from tests.vault.test_credentials import ask, stored
from worklore.integrations.credential import IntegrationCredential
from worklore.kernel.types import iso, utcnow
from worklore.vault.credential import Credential


def report(api: httpx2.Client, **asked: Any) -> dict[str, list[str]]:
    answer = api.post("/credentials/report", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["more"] is False
    return {item["id"]: item["concerns"] for item in answer.json()["items"]}


def in_days(days: float) -> str:
    return iso(utcnow() + timedelta(days=days))


def aged(hub: TestHub, key: str, days: int) -> None:
    """As if it had been made so long ago."""
    made = update(Credential.__table__).where(Credential.id == uuid.UUID(key))
    with hub.database.writing.begin() as connection:
        connection.execute(made.values(created_at=utcnow() - timedelta(days=days)))


def test_what_expires_and_what_was_not_rotated_is_told(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, new_client: Callable[[], uuid.UUID]
) -> None:
    past, soon, late, old, gone = (stored(api, client_id, password="x")["id"] for _ in range(5))
    for key, days in ((past, -1), (soon, 20), (late, 40)):
        assert api.patch(f"/credentials/{key}", json={"expires_at": in_days(days)}).status_code == 200
    aged(hub, old, 200)
    aged(hub, gone, 200)
    assert ask(api, gone, "shred").status_code == 200
    own = {"client_id": str(client_id)}
    assert report(api, **own) == {past: ["expired"], soon: ["expires"], old: ["unrotated"]}
    assert list(report(api, **own, expires_within_days=50)) == [past, soon, late, old]
    assert report(api, **own, unrotated_days=300) == {past: ["expired"], soon: ["expires"]}
    assert ask(api, old, "rotate", password="new").status_code == 200
    assert old not in report(api, **own)
    insider, stranger = hub.client(hub.token(clients=[client_id])), hub.client(hub.token(clients=[new_client()]))
    assert report(insider) == report(api, **own)
    assert report(stranger) == report(stranger, **own) == {}


def test_integrations_are_told_to_those_who_may_read_them(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID
) -> None:
    sent = {"integration_name": unique("syncro"), "credential_type": "oauth"}
    made = api.post("/integration-credentials", json=sent | {"oauth_expires_at": in_days(-1)}).json()["id"]
    failed = update(IntegrationCredential.__table__).where(IntegrationCredential.id == uuid.UUID(made))
    with hub.database.writing.begin() as connection:
        connection.execute(failed.values(last_test_status="forbidden"))
    assert report(api)[made] == ["expired", "failed"]
    assert made not in report(hub.client(hub.token(clients=[client_id])))
    assert made not in report(hub.client(hub.token(scopes=["credential:read"])))
