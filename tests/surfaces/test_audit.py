"""The history of a record: complete, in order, by pages, and only for those who see the record."""

import uuid
from typing import Any

import httpx2

from worklore.identity.roles import Role
from worklore.kernel.types import iso, utcnow
from worklore.resources import CATALOG


def client_of(api: httpx2.Client) -> dict[str, Any]:
    made: dict[str, Any] = api.post("/clients", json={"name": str(uuid.uuid4()), "type": "internal"}).json()
    return made


def test_the_history_of_a_record(hub: Any, api: httpx2.Client) -> None:
    before, me = iso(utcnow()), api.get("/me").json()["user"]["email"]
    made = client_of(api)
    asked = {"change-message": "because", "x-request-id": str(uuid.uuid4())}
    for notes in ("one", "two"):
        api.patch(f"/clients/{made['id']}", json={"notes": notes}, headers=asked)
    between = iso(utcnow())
    assert api.delete(f"/clients/{made['id']}").status_code == 204
    page = api.get("/audit", params={"record": made["id"]}).json()
    assert [entry["action"] for entry in page["items"]] == ["delete", "update", "update", "create"]
    update = dict(page["items"][1])
    assert before < update.pop("at") < between
    assert update.pop("id")
    assert update.pop("actor").startswith("token:wl_")
    assert update == {
        "on_behalf_of": me,
        "action": "update",
        "table": "clients",
        "record": made["id"],
        "client": made["id"],
        "changed": {"notes": ["one", "two"]},
        "message": "because",
        "request_id": asked["x-request-id"],
        "outcome": "done",
    }
    oldest = api.get("/audit", params={"record": made["id"], "sort": "at", "limit": 3}).json()
    rest = api.get("/audit", params={"record": made["id"], "sort": "at", "after": oldest["next"]}).json()
    assert oldest["items"] + rest["items"] == page["items"][::-1]
    assert rest["next"] is None

    def actions(**more: str) -> list[str]:
        found = api.get("/audit", params={"client": made["id"], **more}).json()
        return [entry["action"] for entry in found["items"]]

    assert actions(action="update", table="clients") == ["update"] * 2
    assert actions(since=between) == ["delete"]
    assert actions(until=between, since=before) == ["update", "update", "create"]
    assert actions(actor="nobody") == []


def test_only_ones_own_clients_history_is_told(hub: Any, api: httpx2.Client) -> None:
    mine, other = client_of(api), client_of(api)
    limited = hub.client(hub.token(Role.auditor, clients=[mine["id"]]))
    assert {entry["client"] for entry in limited.get("/audit").json()["items"]} == {mine["id"]}
    for key in (other["id"], api.get("/me").json()["user"]["id"]):
        assert limited.get("/audit", params={"record": key}).json() == {"items": [], "next": None}


def test_who_may_ask_and_how(sqlite_hub: Any) -> None:
    api = sqlite_hub.owner()
    assert sqlite_hub.client().get("/audit").status_code == 401
    refused = sqlite_hub.client(sqlite_hub.token(scopes=["client:read"])).get("/audit")
    assert (refused.status_code, refused.json()["scope"]) == (403, "audit:read")
    for wrong in ({"record_id": "x"}, {"total": "true"}, {"sort": "actor"}, {"since": "yesterday"}, {"record": "x"}):
        assert api.get("/audit", params=wrong).status_code == 400, wrong
    assert api.get("/audit", params={"after": "x"}).json()["code"] == "cursor-invalid"


def test_what_is_hidden_is_sealed_in_the_history_too() -> None:
    """But for the words of a text that is shown itself, and what the hub keeps of its own about a row."""
    hidden = [(noun.name, noun.table.c[field.key]) for noun in CATALOG.resources for field in noun.hidden]
    assert len(hidden) > 5
    plain = {(name, column.key) for name, column in hidden if not column.info.get("sealed")}
    own = {"batch", "captured_digest", "learned_key", "seq"}
    assert {(noun, field) for noun, field in plain if field not in own} == {("memory", "tokens")}
