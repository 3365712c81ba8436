"""Scopes, visibility, the audit log, exactly once, and what the document says of it, for every noun and verb."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from tests.conformance.rows import Rows
from tests.conformance.rules import (
    CHOICES,
    ENDED,
    FOLDED,
    FOLLOWS,
    LEFT_OUT,
    MAKERS,
    RANGES,
    REFILLED,
    SHARED,
    TIED,
    UNRELATED,
    follows,
    plain_field,
)
from worklore.app import openapi_document
from worklore.identity.roles import Role
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import AuditEntry, content_of, measured
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.wire import wire
from worklore.resources import ACTIONS, CATALOG, RESOURCES

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/api/v1/auth/sign-in"),
    ("POST", "/api/v1/auth/setup"),
    ("POST", "/api/v1/auth/join"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/sign-out"),
    ("GET", "/connect"),
    ("POST", "/api/v1/auth/setup-code"),
    ("GET", "/share"),
    ("POST", "/api/v1/share"),
}
"""The operations that need no token."""

SELF = {
    ("GET", "/api/v1/me"),
    ("POST", "/api/v1/auth/password"),
    ("POST", "/api/v1/auth/second-factor/enrol"),
    ("POST", "/api/v1/auth/second-factor/confirm"),
    ("POST", "/api/v1/auth/second-factor/remove"),
    ("GET", "/api/v1/audit/checkpoint"),
    ("POST", "/api/v1/audit/checkpoint/compare"),
}
"""Operations about the caller alone, and what everybody signed in keeps as a witness; they need no scope."""

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


def code(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def audit(hub: Any, key: str) -> list[Any]:
    with hub.database.reading.connect() as connection:
        found = select(AuditEntry).where(AuditEntry.record_id == uuid.UUID(key)).order_by(AuditEntry.at, AuditEntry.id)
        return list(connection.execute(found))


ASKED_AT = {f"/{action.path or action.name}" for action in ACTIONS if action.on is None}
"""Where verbs of no noun are asked for, by scopes of their own; one may stand where a noun's records are listed."""


# --- scopes and visibility ------------------------------------------------------------------------------------------


def test_each_verb_asks_for_its_scope(noun: Resource, sqlite_rows: Any, sqlite_hub: Any) -> None:
    key, hub = sqlite_rows.samples(noun)[0]["id"], sqlite_hub
    reader = hub.client(hub.token(scopes=[f"{noun.name}:read"]))
    writer = hub.client(hub.token(scopes=[f"{noun.name}:write"]))
    assert reader.get(f"/{noun.plural}").status_code == 200
    for method, route, verb in (
        ("POST", f"/{noun.plural}", Verb.create),
        ("PATCH", f"/{noun.plural}", Verb.patch),
        ("DELETE", f"/{noun.plural}", Verb.delete),
        ("PATCH", f"/{noun.plural}/{key}", Verb.patch),
        ("DELETE", f"/{noun.plural}/{key}", Verb.delete),
        ("GET", f"/{noun.plural}/{key}", Verb.get),
        ("GET", f"/{noun.plural}", Verb.list),
    ):
        if method == "POST" and route in ASKED_AT:
            continue
        if verb not in noun.verbs:
            assert sqlite_rows.api.request(method, route).status_code in {404, 405}, (method, route)
            continue
        body: Any = [{"id": key}] if route == f"/{noun.plural}" and method in {"PATCH", "DELETE"} else {}
        caller = writer if verb in {Verb.get, Verb.list, Verb.delete} else reader
        refused = caller.request(method, route, json=body)
        if verb is not Verb.create or refused.status_code != 422:
            assert code(refused) == (403, "scope-missing"), (method, route)
            assert refused.json()["scope"] == noun.scope(verb)


def test_what_is_anothers_does_not_exist(noun: Resource, rows: Any, hub: Any) -> None:
    limited, record = rows.stranger()[1], rows.samples(noun)[0]
    route = f"/{noun.plural}/{record['id']}"
    if noun.name in SHARED:
        assert limited.get(route).json() == record
        return
    assert code(limited.get(route)) == (404, "not-found")
    assert limited.get(f"/{noun.plural}", params={"id": record["id"], "total": "true"}).json() == {
        "items": [],
        "next": None,
        "total": 0,
    }
    if Verb.patch in noun.verbs:
        assert code(limited.patch(route, json={})) == (404, "not-found")
        assert code(limited.patch(f"/{noun.plural}", json=[{"id": record["id"]}])) == (404, "not-found")
    if Verb.delete in noun.verbs:
        for answer in (
            limited.delete(route),
            limited.request("DELETE", f"/{noun.plural}", json=[{"id": record["id"]}]),
        ):
            assert code(answer) == (404, "not-found")
    assert rows.read(noun, record["id"]) == record


def test_anothers_record_cannot_be_a_parent(creatable: Resource, rows: Any, hub: Any) -> None:
    limited, body = rows.stranger()[1], rows.body(creatable)
    keys = [
        column.name
        for column in creatable.table.columns
        for key in column.foreign_keys
        if column.name in body and CATALOG.by_table[key.column.table.description].name not in SHARED
    ]
    if not keys:
        return
    refused = limited.post(f"/{creatable.plural}", json=body)
    assert code(refused) == (422, "invalid")
    assert refused.json()["field"] in keys
    unknown = limited.post(f"/{creatable.plural}", json=body | {refused.json()["field"]: str(uuid.uuid4())})
    assert unknown.json()["detail"] == refused.json()["detail"]


def test_anothers_tombstones_are_not_shown(removable: Resource, rows: Any, hub: Any, api: httpx2.Client) -> None:
    limited, gone = rows.stranger()[1], rows.create(removable)
    assert api.delete(f"/{removable.plural}/{gone['id']}").status_code == 204
    if "created_at" not in gone:
        return
    told = limited.get(f"/{removable.plural}", params={"since": gone["created_at"]}).json()["deleted"]
    assert gone["id"] not in [item["id"] for item in told]


def test_ones_own_changes_and_tombstones_are_told(removable: Resource, rows: Any, hub: Any) -> None:
    """Whoever may see a record learns that it is gone, and the audit log says whose it was, by way of what it names."""
    record = rows.create(removable, full=True)
    route = f"/{removable.plural}/{record['id']}"
    if rows.insider().get(route).status_code == 404:
        return  # of the installation
    assert rows.api.delete(route).status_code == 204
    if "created_at" in record:
        told = rows.insider().get(f"/{removable.plural}", params={"since": record["created_at"]}).json()["deleted"]
        assert (record["id"] in [gone["id"] for gone in told]) == (removable.name not in SHARED)
    if removable.name in SHARED:
        return
    owner = record["id"] if removable.name == "client" else rows.client
    assert {str(entry.client_id) for entry in audit(hub, record["id"])} == {owner}


def test_one_sees_what_is_ones_own(rows: Any, hub: Any) -> None:
    client = rows.create(CATALOG.by_name["client"])
    limited = hub.client(hub.token(Role.technician, clients=[client["id"]]))
    project = limited.post("/projects", json={"client_id": client["id"], "name": "Own"})
    assert project.status_code == 201, project.text
    assert [item["id"] for item in limited.get("/projects").json()["items"]] == [project.json()["id"]]
    assert [item["id"] for item in limited.get("/clients").json()["items"]] == [client["id"]]
    moved = limited.patch(
        f"/projects/{project.json()['id']}", json={"client_id": rows.create(CATALOG.by_name["client"])["id"]}
    )
    assert code(moved) == (422, "invalid")


def test_whoever_loses_the_last_client_does_not_gain_all(rows: Any, hub: Any, api: httpx2.Client) -> None:
    client = rows.create(CATALOG.by_name["client"])
    limited = hub.client(hub.token(clients=[client["id"]]))
    assert len(limited.get("/clients").json()["items"]) == 1
    refused = api.delete(f"/clients/{client['id']}?cascade=true")
    assert code(refused) == (409, "has-children")
    assert [child["noun"] for child in refused.json()["children"]] == ["user_clients"]
    hub.hub.gateway.authenticator.forget()
    assert len(limited.get("/clients").json()["items"]) == 1


# --- audit ----------------------------------------------------------------------------------------------------------


def sealed(resource: Resource) -> set[str]:
    """The attributes that the audit log records by name only."""
    attributes = wire(resource).attributes
    return {attributes[column.name] for column in resource.table.columns if column.info.get("sealed")}


def test_each_change_is_recorded(changeable: Resource, rows: Any, hub: Any, api: httpx2.Client) -> None:
    me = api.get("/me").json()["user"]["email"]
    asked = {"change-message": "because%20%C3%9F", "x-request-id": str(uuid.uuid4())}
    body = rows.body(changeable)
    record = api.post(f"/{changeable.plural}", json=body, headers=asked).json()
    route = f"/{changeable.plural}/{record['id']}"
    other = rows.body(changeable)
    name = plain_field(changeable, record, other)
    assert api.patch(route, json={name: other[name]}, headers=asked).status_code == 200
    assert api.delete(route, headers=asked).status_code == 204
    entries = audit(hub, record["id"])
    assert [entry.action for entry in entries] == ["create", "update", "delete"]
    for entry in entries:
        assert entry.actor.startswith("token:wl_")
        assert (entry.on_behalf_of, entry.message) == (me, "because ß")
        assert str(entry.request_id) == asked["x-request-id"]
        assert (entry.table_name, entry.outcome) == (changeable.table.description, "done")
        assert abs(entry.at / 1e6 - time.time()) < 60
    created, updated, deleted = (entry.changed for entry in entries)
    attribute = wire(changeable).attributes
    assert {attribute[field] for field, value in body.items() if value is not None} - {"id"} <= created.keys()
    open_ = {field: told for field, told in created.items() if told != "sealed"}
    assert open_.keys() | sealed(changeable) == created.keys() | sealed(changeable)
    assert all(former is None for former, _ in open_.values())
    assert updated.keys() == {attribute[name]} | follows(changeable, name)
    if attribute[name] in sealed(changeable):
        assert (updated[attribute[name]], deleted[attribute[name]]) == ("sealed", "sealed")
    else:
        as_told = measured if attribute[name] in content_of(changeable.model) else lambda value: value
        assert updated[attribute[name]] == [as_told(record[name]), as_told(other[name])]
        assert deleted[attribute[name]] == [as_told(other[name]), None]


def test_sealed_fields_are_recorded_by_name_only(hub: Any, rows: Any, api: httpx2.Client) -> None:
    token = next(iter(rows.samples(CATALOG.by_name["api-token"])))
    entries = audit(hub, token["id"])
    assert entries[0].changed["token_hash"] == "sealed"


# --- exactly once ---------------------------------------------------------------------------------------------------


def test_a_repeat_under_a_key_is_done_once(changeable: Resource, rows: Any, hub: Any, api: httpx2.Client) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    body = rows.body(changeable)
    first = api.post(f"/{changeable.plural}", json=body, headers=key)
    again = api.post(f"/{changeable.plural}", json=body, headers=key)
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = api.post(f"/{changeable.plural}", json=rows.body(changeable), headers=key)
    assert code(other) == (422, "idempotency-key-reused")
    route = f"/{changeable.plural}/{first.json()['id']}"
    assert code(api.delete(route, headers=key)) == (422, "idempotency-key-reused")
    last = {"idempotency-key": str(uuid.uuid4())}
    assert [api.delete(route, headers=last).status_code for _ in range(2)] == [204, 204]
    assert len(audit(hub, first.json()["id"])) == 2


def test_a_change_repeated_under_a_key_is_not_stale(rows: Any, api: httpx2.Client) -> None:
    made = rows.create(CATALOG.by_name["client"])
    once = {"idempotency-key": str(uuid.uuid4()), "if-match": f'"{made["version"]}"'}
    first, again = (api.patch(f"/clients/{made['id']}", json={"notes": "moved"}, headers=once) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert again.json() == first.json()
    assert first.json()["version"] == made["version"] + 1
    other = once | {"idempotency-key": str(uuid.uuid4())}
    assert code(api.patch(f"/clients/{made['id']}", json={"notes": "again"}, headers=other)) == (412, "stale-version")


def test_a_key_many_use_at_once_has_one_effect(rows: Any, hub: Any, api: httpx2.Client) -> None:
    resource = CATALOG.by_name["machine"]
    key, body = {"idempotency-key": str(uuid.uuid4())}, rows.body(resource, full=False)
    answers: list[httpx2.Response] = []

    def ask() -> None:
        answer = api.post("/machines", json=body, headers=key)
        while answer.status_code == 409:
            assert answer.json()["code"] == "still-running"
            time.sleep(0.02)
            answer = api.post("/machines", json=body, headers=key)
        answers.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(api.get("/machines", params={"hostname": body["hostname"]}).json()["items"]) == 1


def test_keys_of_different_callers_are_different(hub: Any, rows: Any) -> None:
    key, body = {"idempotency-key": str(uuid.uuid4())}, rows.body(CATALOG.by_name["machine"], full=False)
    made = [hub.client(hub.token(host="same-name")).post("/machines", json=body, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert len({answer.json()["id"] for answer in made}) == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "ß"])
def test_a_key_is_short_and_printable(api: httpx2.Client, key: str) -> None:
    answer = api.post("/tags", json={}, headers={"idempotency-key": key.encode()})
    assert answer.status_code in {400, 422}
    assert answer.json()["code"] in {"idempotency-key", "invalid"}


# --- verbs ----------------------------------------------------------------------------------------------------------


def _turn(rows: Rows) -> dict[str, Any]:
    return rows.create(CATALOG.by_name["memory"], full=True, kind="turn")


ACTION_BODIES: Mapping[str, Callable[[Rows], dict[str, Any]]] = {
    "claim": lambda _: {},
    "heartbeat": lambda _: {"fence": 1},
    "work-item release": lambda _: {"fence": 1},
    "handoff": lambda _: {"fence": 1},
    "complete": lambda _: {"fence": 1},
    "work-item approve": lambda rows: {"session_id": rows.parent(CATALOG.by_name["session"])},
    "ready-work": lambda _: {},
    "identify": lambda rows: {"path": f"/srv/{rows.word()}"},
    "tag": lambda _: {"names": ["vpn"]},
    "untag": lambda _: {"names": ["vpn"]},
    "retry": lambda _: {},
    "cancel": lambda _: {},
    "dependencies": lambda _: {},
    "trail": lambda _: {},
    "add-dependency": lambda rows: {
        "target_id": rows.parent(CATALOG.by_name["work-item"]),
        "dependency_type": "blocks",
    },
    "remove-dependency": lambda rows: {"target_id": rows.parent(CATALOG.by_name["work-item"])},
    "link": lambda rows: {"vendors": [rows.parent(CATALOG.by_name["vendor"])]},
    "unlink": lambda rows: {"work_items": [rows.parent(CATALOG.by_name["work-item"])]},
    "link-git": lambda _: {"branches": ["main"], "commits": [{"commit_hash": "ab" * 20}]},
    "unlink-git": lambda _: {"branches": ["main"]},
    "publish": lambda _: {},
    "add-tasks": lambda rows: {"tasks": [rows.parent(CATALOG.by_name["task"])]},
    "remove-tasks": lambda rows: {"tasks": [rows.parent(CATALOG.by_name["task"])]},
    "store": lambda rows: {"credential_type": "password", "service_name": rows.word(), "password": rows.word()},
    "rotate": lambda rows: {"password": rows.word()},
    "reveal": lambda _: {"reason": "the server does not answer"},
    "shred": lambda _: {},
    "disable": lambda _: {},
    "enable": lambda _: {},
    "role": lambda _: {"role": "read-only"},
    "sign-out": lambda _: {},
    "invite": lambda _: {},
    "issue": lambda rows: {"name": rows.word(), "scopes": ["client:read"]},
    "revoke": lambda _: {},
    "permit": lambda rows: {"user_id": rows.create(CATALOG.by_name["user"])["id"], "permission_level": "use"},
    "lease": lambda _: {"purpose": "restart the service"},
    "renew": lambda _: {},
    "release": lambda _: {},
    "inject": lambda _: {"fields": ["password"]},
    "share": lambda rows: {"recipient": rows.word()},
    "find-login": lambda rows: {"login": rows.word()},
    "report": lambda _: {},
    "test": lambda _: {},
    "warn": lambda _: {"command": "ls"},
    "outcome": lambda _: {"outcome": "wrong"},
    "feedback": lambda _: {"useful": False},
    "stats": lambda _: {},
    "compress": lambda rows: {
        "session_id": rows.create(CATALOG.by_name["memory"], full=True, kind="turn")["session_id"]
    },
    "context-pack": lambda _: {},
    "make": lambda _: {"text": "We decided to use WireGuard for the tunnels because IPsec drops."},
    "take-in": lambda rows: {
        "project_id": rows.parent(CATALOG.by_name["project"]),
        "program": "notes",
        "memories": [{"key": rows.word(), "source": "a.md", "digest": "0" * 64, "title": "VPN", "text": "It drops."}],
    },
    "brief": lambda _: {},
    "supersede": lambda rows: {"by": rows.create(CATALOG.by_name["memory"])["id"], "reason": "decided anew"},
    "restore": lambda _: {},
    "contradict": lambda rows: {"other": rows.create(CATALOG.by_name["memory"])["id"], "reason": "both cannot be"},
    "correct": lambda rows: {"text": rows.word(), "reason": "measured"},
    "uncorrect": lambda _: {},
    "provenance": lambda _: {},
    "merge": lambda rows: {"project_id": rows.parent(CATALOG.by_name["project"])},
    "forget": lambda _: {"reason": "the client asked for it"},
    "taint": lambda _: {"reason": "it read the inbox"},
    "approve": lambda _: {"deed": "use", "reason": "the page is ours"},
    "vouch": lambda _: {"reason": "the page is ours"},
    "withdraw": lambda _: {},
}
"""What each verb is asked, by its name; by its noun too where several have it."""

ONCE = {
    "heartbeat": "nobody holds a work item made here",
    "work-item release": "as heartbeat",
    "handoff": "as heartbeat",
    "complete": "as heartbeat",
    "work-item approve": "nor has anybody completed it",
    "retry": "a job waits to be retried once",
    "cancel": "a job is cancelled once",
    "reveal": "a secret that was shown is not kept to be shown again, and a record made here holds none",
    "invite": "a code that was shown is not kept to be shown again",
    "issue": "nor is a token, and nobody here has signed in",
    "renew": "a lease is renewed by whoever took it, and a record made here is nobody's",
    "inject": "as renew and reveal",
    "share": "as reveal",
    "test": "it asks another machine, and a record made here holds nothing to ask with",
    "restore": "it takes back what was done to a memory, and nothing was done to one made here",
    "uncorrect": "as restore",
    "correct": "a memory made here may tell of a record, which is corrected itself",
    "forget": "as correct",
    "supersede": "a memory is superseded once",
    "contradict": "that two contradict each other is marked once",
    "approve": "nothing is held back from a session made here, and nobody here has signed in",
    "vouch": "as approve",
}
"""Verbs that a record in its first state does not take, or that answer once, and why."""

OF_A_MOMENT = {
    "claim": "the answer says until when, and each claim has a number of its own",
    "identify": "the second time there is a project",
    "take-in": "the second time it is there",
    "store": "a dry run undoes the key that the first secret of a client makes",
    "rotate": "the answer says when",
    "lease": "the answer says until when",
    "warn": "the answer says how long it took",
    "taint": "the answer says when",
}
"""Verbs whose second answer differs from the first, and why."""

ELSEWHERE = {
    "capture": "memory's own tests send transcripts",
    "recall": "memory's own tests ask questions",
}
"""Verbs whose content is tested beside the domain they are of, and why."""


CARRIED_OUT = [action for action in ACTIONS if not action.finds]
FOUND = [action for action in ACTIONS if action.finds]
QUESTIONS = {"by-tags": {"tags": "vpn"}}
"""What a verb that finds must be asked."""


def named(action: Action) -> str:
    """What the tables above know a verb by."""
    whole = f"{action.on} {action.name}"
    return whole if whole in ACTION_BODIES else action.name


def test_every_verb_is_covered_and_no_exemption_is_stale() -> None:
    names = {named(action) for action in CARRIED_OUT}
    assert QUESTIONS.keys() <= {action.name for action in FOUND}
    assert names == ACTION_BODIES.keys() | ELSEWHERE.keys()
    assert not ACTION_BODIES.keys() & ELSEWHERE.keys()
    assert ONCE.keys() | OF_A_MOMENT.keys() <= ACTION_BODIES.keys()
    assert all([*ELSEWHERE.values(), *ONCE.values(), *OF_A_MOMENT.values()])


def test_no_exemption_of_a_noun_is_stale() -> None:
    """Each names a noun and a field of it; whether the field still needs it is asserted where the exemption counts."""
    assert SHARED.keys() | ENDED.keys() | MAKERS.keys() | CHOICES.keys() | RANGES.keys() <= CATALOG.by_name.keys()
    for noun, fields in {**LEFT_OUT, **CHOICES, **RANGES}.items():
        assert fields.keys() <= wire(CATALOG.by_name[noun]).fields.keys(), noun
    for table in (FOLLOWS, TIED, REFILLED, FOLDED, UNRELATED):
        for noun, name in table:
            assert name in wire(CATALOG.by_name[noun]).patch.model_fields, (noun, name)
            assert table[noun, name]


def place(action: Action, key: str) -> str:
    return (
        f"/{CATALOG.by_name[action.on].plural}/{key}/{action.name}" if action.on else f"/{action.path or action.name}"
    )


@pytest.mark.parametrize("action", CARRIED_OUT, ids=lambda action: action.name)
def test_each_verb_asks_for_its_scope_and_refuses_what_is_unknown(
    action: Action, rows: Any, hub: Any, api: httpx2.Client
) -> None:
    record = rows.samples(CATALOG.by_name[action.on])[0]["id"] if action.on else ""
    body = ACTION_BODIES[named(action)](rows) if named(action) in ACTION_BODIES else {}
    stranger = hub.client(hub.token(scopes=["nothing:read"]))
    if named(action) in ACTION_BODIES:
        assert code(stranger.post(place(action, record), json=body)) == (403, "scope-missing")
    if action.body is not None:
        assert code(api.post(place(action, record), json=body | {"surprise": 1})) == (422, "invalid")
    if action.on:
        assert code(api.post(place(action, str(uuid.uuid4())), json=body)) == (404, "not-found")
        assert code(rows.stranger()[1].post(place(action, record), json=body)) == (404, "not-found")
    if action.risk is not Risk.read and named(action) in ACTION_BODIES:
        assert code(api.post(f"{place(action, record)}?surprise=1", json=body)) == (400, "parameter-unknown")


@pytest.mark.parametrize("action", FOUND, ids=lambda action: f"{action.on}-{action.name}")
def test_a_verb_that_finds_asks_for_its_scope_and_shows_what_may_be_seen(action: Action, rows: Any, hub: Any) -> None:
    noun, asked = CATALOG.by_name[action.on], QUESTIONS.get(action.name, {})
    route = f"/{noun.plural}/{action.name}"
    rows.create(noun, full=True, tags=["vpn"])
    found = rows.api.get(route, params=asked)
    assert found.status_code == 200, found.text
    assert found.json()["items"]
    assert code(hub.client(hub.token(scopes=["nothing:read"])).get(route, params=asked)) == (403, "scope-missing")
    assert rows.stranger()[1].get(route, params=asked).json()["items"] == []
    assert code(rows.api.get(route, params=asked | {"surprise": "1"})) == (400, "filter-unknown")
    assert rows.api.post(route, json=asked).status_code == 405


REPEATABLE = [
    action
    for action in ACTIONS
    if action.risk is not Risk.read and named(action) in ACTION_BODIES and named(action) not in ONCE
]


@pytest.mark.parametrize("action", REPEATABLE, ids=lambda action: f"{action.on}-{action.name}")
def test_a_verb_repeated_under_a_key_answers_alike(action: Action, rows: Any, api: httpx2.Client) -> None:
    record = rows.create(CATALOG.by_name[action.on])["id"] if action.on else ""
    body = ACTION_BODIES[named(action)](rows)
    dry = api.post(f"{place(action, record)}?dry_run=true", json=body)
    assert (dry.status_code, dry.headers["dry-run"]) == (200, "true"), dry.text
    key = {"idempotency-key": str(uuid.uuid4())}
    first, again = (api.post(place(action, record), json=body, headers=key) for _ in range(2))
    assert first.status_code == 200, first.text
    assert again.json() == first.json()
    if named(action) not in OF_A_MOMENT:
        moving = {"id", "created_at", "updated_at"}  # of what the verb makes or touches
        shown, done, repeated = (
            {name: value for name, value in answer.json().items() if name not in moving}
            for answer in (dry, first, api.post(place(action, record), json=body))
        )
        assert shown == done == repeated
    if action.name == "identify":
        assert first.json()["created"] is True
        assert api.post(place(action, record), json=body).json() == first.json() | {"created": False}
        assert dry.json()["id"] != first.json()["id"]


def test_labels_come_and_go_with_their_count(rows: Any, api: httpx2.Client) -> None:
    label = rows.word()
    one, two = (rows.create(CATALOG.by_name["session"])["id"] for _ in range(2))
    for session in (one, two, one):
        assert label in api.post(f"/sessions/{session}/tag", json={"names": [label.upper(), label]}).json()["names"]
    count = lambda: api.get("/tags", params={"name": label}).json()["items"][0]["usage_count"]  # noqa: E731 - asked thrice
    assert count() == 2
    removed = api.post(f"/sessions/{one}/untag", json={"names": [label, "never-there"]})
    assert (removed.status_code, removed.json()) == (200, {"names": []}), removed.text
    assert count() == 1


# --- the document ---------------------------------------------------------------------------------------------------


@cache
def document() -> dict[str, Any]:
    return openapi_document()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
    ]


def test_the_committed_document_is_the_present_one() -> None:
    made = json.dumps(document(), indent=1, sort_keys=True) + "\n"
    assert DOCUMENT.read_text() == made, "Run `make reference` and look at the difference."


def test_every_operation_says_what_it_needs_and_does() -> None:
    named: set[str] = set()
    for method, path, operation in operations():
        assert operation["tags"], path
        assert operation["description"].strip(), path
        assert operation["x-risk"] in set(Risk), path
        assert operation["operationId"] not in named
        named.add(operation["operationId"])
        if (method, path) in OPEN:
            assert operation["security"] == []
        else:
            assert "security" not in operation
        assert ("x-scope" in operation) == ((method, path) not in OPEN | SELF), (method, path)
    assert {resource.scope(verb) for resource in RESOURCES for verb in resource.verbs} <= {
        operation.get("x-scope") for _, _, operation in operations()
    }
