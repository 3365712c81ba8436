"""Refresh tokens: used once, forgiven for two minutes, and the end of a sign-in after that."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from tests.conftest import TestHub
from tests.identity.conftest import PASSWORD, Person, refusal
from worklore.identity.refresh import RefreshFamily, RefreshToken
from worklore.identity.renewal import GRACE, IDLE, LIFE, AccessGranted, renew
from worklore.kernel.audit import AuditEntry
from worklore.kernel.context import Context
from worklore.kernel.types import utcnow

LIFE_OF_ACCESS = timedelta(minutes=10)
AT_ONCE = 50


@pytest.fixture
def person(new_person: Any) -> Person:
    made: Person = new_person()
    made.join().raise_for_status()
    return made


def signed_in(person: Person) -> dict[str, Any]:
    granted: dict[str, Any] = person.sign_in().raise_for_status().json()
    return granted


def refresh(hub: TestHub, token: str) -> httpx2.Response:
    return hub.client().post("/auth/refresh", json={"refresh_token": token})


def refresh_at(hub: TestHub, token: str, moment: datetime) -> AccessGranted | None:
    """As the route does it, at another time."""

    def work(ctx: Context) -> AccessGranted | None:
        ctx.now = lambda: moment
        return renew(ctx, hub.hub.gateway.authenticator.key, token, LIFE_OF_ACCESS)

    granted = hub.database.write(work)
    hub.hub.gateway.authenticator.forget()
    return granted


def status(hub: TestHub, token: str) -> int:
    return hub.client(token).get("/me").status_code


def test_a_refresh_token_gets_the_next_pair(hub: TestHub, person: Person) -> None:
    granted = signed_in(person)
    for _ in range(3):
        granted = refresh(hub, granted["refresh_token"]).raise_for_status().json()
        assert hub.client(granted["access_token"]).get("/me").json()["user"]["email"] == person.email
    with hub.database.reading.connect() as connection:
        [family] = connection.execute(select(RefreshFamily).where(RefreshFamily.user_id == person.id)).all()
        hashes = connection.scalars(select(RefreshToken.token_hash).where(RefreshToken.family_id == family.id)).all()
    assert (family.rotations, family.revoked_at, len(hashes)) == (3, None, 4)
    assert granted["refresh_token"] not in hashes
    assert refusal(hub.client(granted["refresh_token"]).get("/me")) == (401, "token-invalid"), "it opens nothing itself"


def test_fifty_at_once_all_get_working_tokens_and_a_late_repeat_ends_all(hub: TestHub, person: Person) -> None:
    first = signed_in(person)["refresh_token"]
    together = threading.Barrier(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def ask(_: int) -> Any:
            together.wait()
            return refresh(hub, first).raise_for_status().json()

        pairs = list(pool.map(ask, range(AT_ONCE)))
    assert len({pair["refresh_token"] for pair in pairs}) == AT_ONCE
    assert {status(hub, pair["access_token"]) for pair in pairs} == {200}
    live = [refresh(hub, pair["refresh_token"]).raise_for_status().json() for pair in pairs[:3]]
    assert refresh_at(hub, first, utcnow() + GRACE - timedelta(seconds=10)) is not None
    assert refresh_at(hub, first, utcnow() + GRACE + timedelta(seconds=1)) is None
    assert {status(hub, pair["access_token"]) for pair in pairs + live} == {401}
    for pair in (*pairs, *live):
        assert refusal(refresh(hub, pair["refresh_token"])) == (401, "sign-in-ended")
    with hub.database.reading.connect() as connection:
        family = connection.execute(select(RefreshFamily).where(RefreshFamily.user_id == person.id)).one()
        told = select(AuditEntry.action).where(AuditEntry.record_id == family.id)
        assert "end-sign-in" in connection.scalars(told).all()
    assert family.revoked_reason == "a refresh token was used again"
    assert person.sign_in().status_code == 200


def test_a_sign_in_ends_when_idle_and_in_any_case(hub: TestHub, person: Person) -> None:
    begun, second = utcnow(), timedelta(seconds=5)
    idle = signed_in(person)["refresh_token"]
    assert refresh_at(hub, idle, begun + IDLE + second) is None
    token = signed_in(person)["refresh_token"]
    moment = begun
    while moment + IDLE - second < begun + LIFE:
        moment += IDLE - second
        granted = refresh_at(hub, token, moment)
        assert granted is not None
        token = granted.refresh_token
        assert granted.refresh_expires_at <= begun + LIFE + second
    assert refresh_at(hub, token, begun + LIFE + second) is None


def change_password(person: Person, _: Any, __: str) -> None:
    body = {"password": PASSWORD * 2, "current": PASSWORD}
    person.signed_in.post("/auth/password", json=body).raise_for_status()


def demote(person: Person, api: Any, _: str) -> None:
    api.patch(f"/users/{person.id}", json={"role": "read-only"}).raise_for_status()


def disable(person: Person, api: Any, _: str) -> None:
    api.patch(f"/users/{person.id}", json={"is_active": False}).raise_for_status()


def sign_out(person: Person, _: Any, token: str) -> None:
    assert person.hub.client().post("/auth/sign-out", json={"refresh_token": token}).status_code == 204


def take_away(person: Person, api: Any, _: str) -> None:
    [family] = api.get("/refresh-families", params={"user_id": str(person.id)}).json()["items"]
    assert api.delete(f"/refresh-families/{family['id']}", params={"cascade": "true"}).status_code == 204
    person.hub.hub.gateway.authenticator.forget()


@pytest.mark.parametrize("end", [change_password, demote, disable, sign_out, take_away], ids=lambda end: end.__name__)
def test_what_ends_a_sign_in(hub: TestHub, person: Person, api: Any, end: Callable[[Person, Any, str], None]) -> None:
    granted = signed_in(person)
    granted = refresh(hub, granted["refresh_token"]).raise_for_status().json()
    end(person, api, granted["refresh_token"])
    assert refusal(refresh(hub, granted["refresh_token"])) == (401, "sign-in-ended")
    hub.hub.gateway.authenticator.forget()
    assert refusal(hub.client(granted["access_token"]).get("/me")) == (401, "token-invalid")


def test_what_is_no_refresh_token_is_refused_alike(hub: TestHub, person: Person) -> None:
    access = signed_in(person)["access_token"]
    for token in ("", "x", person.token, access[:200], "wl_" + "a" * 49):
        assert refusal(refresh(hub, token)) == (401, "sign-in-ended")
    assert refusal(refresh(hub, "x" * 201)) == (422, "invalid")
    assert hub.client().post("/auth/sign-out", json={"refresh_token": "x"}).status_code == 204


@pytest.mark.parametrize("apart", [timedelta(hours=-1), timedelta(hours=1)], ids=str)
def test_a_sign_in_outlives_a_clock_that_was_an_hour_wrong(hub: TestHub, person: Person, apart: timedelta) -> None:
    """By one node whose clock is wrong, and then by one whose clock is right."""
    granted = refresh_at(hub, signed_in(person)["refresh_token"], utcnow() + apart)
    assert granted is not None
    again = refresh(hub, granted.refresh_token).raise_for_status().json()
    assert status(hub, again["access_token"]) == 200
