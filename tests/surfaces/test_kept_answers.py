"""What may be kept of an answer: nothing that holds a secret, and nothing unasked."""

from typing import Any

import httpx2

from tests.conftest import TestHub, unique
from worklore.kernel.action import Risk
from worklore.resources import ACTIONS

NEVER = {"cache-control": "no-store"}
ASK_AGAIN = {"cache-control": "private, no-cache"}


def kept(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name == "cache-control"}


def test_answers_with_a_secret_are_never_kept(sqlite_hub: TestHub) -> None:
    api = sqlite_hub.owner()
    email = f"{unique('person')}@example.com"
    made = api.post("/users", json={"email": email, "name": "Somebody"}).json()["id"]
    code = api.post(f"/users/{made}/invite")
    joined = sqlite_hub.client().post("/auth/join", json={"code": code.json()["code"], "password": "correct horse"})
    signed_in = sqlite_hub.client().post("/auth/sign-in", json={"email": email, "password": "correct horse"})
    person = sqlite_hub.client(signed_in.json()["access_token"])
    issued = person.post("/api-tokens/issue", json={"name": "x", "scopes": ["client:read"]})
    renewed = sqlite_hub.client().post("/auth/refresh", json={"refresh_token": signed_in.json()["refresh_token"]})
    enrolled = person.post("/auth/second-factor/enrol", json={"password": "correct horse"})
    for answer in (code, joined, signed_in, renewed, enrolled, issued, api.post("/setup-codes"), api.get("/me")):
        assert answer.is_success, answer.text
        assert kept(answer) == NEVER, answer.request.url
    assert {action.name for action in ACTIONS if action.risk is Risk.secret} >= {"reveal", "invite", "issue"}


def test_a_revealed_secret_is_never_kept(sqlite_hub: TestHub) -> None:
    api = sqlite_hub.client(sqlite_hub.token(scopes=["*"]))
    body = {"credential_type": "password", "service_name": unique("service"), "password": "planted"}
    key = api.post("/credentials/store", json=body).raise_for_status().json()["id"]
    shown = api.post(f"/credentials/{key}/reveal", json={"reason": "The server does not answer"})
    assert "planted" in shown.raise_for_status().text
    assert kept(shown) == NEVER


def test_what_has_a_tag_is_asked_for_again_and_all_else_is_not_kept(sqlite_hub: TestHub) -> None:
    api, client = sqlite_hub.owner(), {"name": unique("client"), "type": "msp_client"}
    made = api.post("/clients", json=client)
    place = f"/clients/{made.json()['id']}"
    read = api.get(place)
    unchanged = api.get(place, headers={"if-none-match": read.headers["etag"]})
    assert unchanged.status_code == 304
    answers: list[Any] = [
        made,
        read,
        unchanged,
        api.patch(place, json={"notes": "x"}),
    ]
    for answer in answers:
        assert kept(answer) == ASK_AGAIN, (answer.request.url, answer.status_code)
    others: list[Any] = [
        api.get("/clients"),
        api.delete(place),
        api.get(place),
        sqlite_hub.client().get("/clients"),
        api.get("/nothing"),
        api.get(f"/clients?q={'x' * 60_000}"),
    ]
    for answer in others:
        assert kept(answer) == NEVER, (answer.request.url, answer.status_code)
