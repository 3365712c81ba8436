"""A secret goes in sealed, comes out with a reason and a record of it, and is nowhere else."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, text

from tests.conftest import TestHub, unique
from worklore.kernel.db import Base
from worklore.kernel.errors import UnavailableError
from worklore.kernel.wire import wire
from worklore.vault.credential import CREDENTIALS, Credential, CredentialAuditLog
from worklore.vault.revealing import NewCredential, SecretField, Secrets

REASON = "The server does not answer"


def body(client_id: object, **secrets: str) -> dict[str, Any]:
    return {
        "client_id": str(client_id),
        "credential_type": "password",
        "service_name": unique("service"),
        "username": "operator",
    } | secrets


def stored(api: httpx2.Client, client_id: object, **secrets: str) -> dict[str, Any]:
    answer = api.post("/credentials/store", json=body(client_id, **secrets))
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(api: httpx2.Client, key: str, verb: str, **sent: Any) -> httpx2.Response:
    return api.post(f"/credentials/{key}/{verb}", json=sent)


def secrets_of(api: httpx2.Client, key: str, *fields: str) -> dict[str, str]:
    answer = ask(api, key, "reveal", reason=REASON, fields=list(fields))
    assert answer.status_code == 200, answer.text
    return answer.json()["secrets"]


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def touches(api: httpx2.Client, key: str) -> list[dict[str, Any]]:
    """The record of who touched a secret, the oldest first."""
    answer = api.get(f"/credential-audit-logs/by-credential/{key}", params={"sort": "timestamp"})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_what_is_stored_is_the_noun_and_every_sealed_column() -> None:
    """The fields of a new credential are written down twice, here and in the class: neither lacks one of the other."""
    given = NewCredential.model_fields.keys() - Secrets.model_fields.keys()
    assert given == wire(CREDENTIALS).create.model_fields.keys() - {"id"}
    assert set(SecretField) == Secrets.model_fields.keys()
    assert {field.column for field in SecretField} | {"login_index"} == {field.key for field in CREDENTIALS.hidden}
    derived, own = (model.model_json_schema()["properties"] for model in (wire(CREDENTIALS).create, NewCredential))
    for name in given:
        assert own[name].get("anyOf") == derived[name].get("anyOf"), name
        assert own[name].get("maxLength") == derived[name].get("maxLength"), name


def test_each_secret_comes_back_and_each_touch_is_on_record(api: httpx2.Client, client_id: uuid.UUID) -> None:
    me = api.get("/me").json()["user"]["email"]
    planted = {field: unique(f"Größe {field}") for field in SecretField}
    credential = stored(api, client_id, **planted)
    key = credential["id"]
    assert credential["holds"] == list(SecretField)
    assert secrets_of(api, key) == planted
    assert secrets_of(api, key, "token", "token") == {"token": planted[SecretField.token]}
    rotated = ask(api, key, "rotate", password="another").json()
    assert rotated["last_rotated_at"] is not None
    assert rotated["version"] > credential["version"]
    assert secrets_of(api, key) == planted | {"password": "another"}
    shredded = ask(api, key, "shred").json()
    assert (shredded["holds"], shredded["is_active"]) == ([], False)
    assert code(ask(api, key, "reveal", reason=REASON)) == (409, "secret-absent")
    assert code(ask(api, key, "rotate", password="third")) == (409, "credential-inactive")
    found = touches(api, key)
    assert [row["action"] for row in found] == ["create", "reveal", "reveal", "rotate", "reveal", "delete"]
    assert [row["details"]["fields"] for row in found][2:4] == [["token"], ["password"]]
    assert {row["details"].get("reason") for row in found if row["action"] == "reveal"} == {REASON}
    assert {row["details"]["on_behalf_of"] for row in found} == {me}
    assert all(row["user_id"].startswith("token:wl_") for row in found)
    assert api.get(f"/credentials/{key}").json()["service_name"] == credential["service_name"]


def test_shredding_leaves_no_ciphertext(hub: TestHub, api: httpx2.Client, client_id: uuid.UUID) -> None:
    planted = {field: unique("planted") for field in SecretField}
    key = stored(api, client_id, **planted)["id"]
    columns = [getattr(Credential, field.column) for field in SecretField]
    row = select(*columns).where(Credential.id == uuid.UUID(key))
    with hub.database.reading.connect() as connection:
        assert all(connection.execute(row).one())
    assert ask(api, key, "shred").status_code == 200
    with hub.database.reading.connect() as connection:
        assert not any(connection.execute(row).one())


def test_what_is_anothers_is_not_touched(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, new_client: Callable[[], uuid.UUID]
) -> None:
    key = stored(api, client_id, password="planted")["id"]
    stranger = hub.client(hub.token(clients=[new_client()]))
    for verb, sent in (("reveal", {"reason": REASON}), ("rotate", {"password": "x"}), ("shred", {})):
        assert code(ask(stranger, key, verb, **sent)) == (404, "not-found")
    own, unknown = body(client_id, password="x"), body(uuid.uuid4(), password="x")
    refused = [stranger.post("/credentials/store", json=sent) for sent in (own, unknown)]
    assert [code(answer) for answer in refused] == [(422, "invalid")] * 2
    told = [
        answer.json()["detail"].replace(sent["client_id"], "")
        for answer, sent in zip(refused, (own, unknown), strict=True)
    ]
    assert told[0] == told[1]
    assert [row["action"] for row in touches(api, key)] == ["create"]
    insider = hub.client(hub.token(clients=[client_id], scopes=["*"]))
    assert secrets_of(insider, key) == {"password": "planted"}
    assert stored(insider, client_id, token="own")["holds"] == ["token"]


def test_a_reveal_needs_its_scope_a_reason_and_no_rehearsal(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID
) -> None:
    key = stored(api, client_id, password="planted")["id"]
    writer = hub.client(hub.token(scopes=["credential:read", "credential:write", "credential:delete"]))
    refused = ask(writer, key, "reveal", reason=REASON)
    assert code(refused) == (403, "scope-missing")
    assert refused.json()["scope"] == "credential:reveal"
    for reason in ({}, {"reason": "  x  "}, {"reason": "x" * 501}, {"reason": None}):
        assert code(ask(api, key, "reveal", **reason)) == (422, "invalid")
    tried = api.post(f"/credentials/{key}/reveal", params={"dry_run": "true"}, json={"reason": REASON})
    assert tried.status_code == 400
    assert code(ask(api, key, "reveal", reason=REASON, fields=["token"])) == (409, "secret-absent")
    once = {"idempotency-key": unique("key")}
    answers = [api.post(f"/credentials/{key}/reveal", json={"reason": REASON}, headers=once) for _ in range(2)]
    assert answers[0].json()["secrets"] == {"password": "planted"}
    assert code(answers[1]) == (422, "already-done")
    for answer in (refused, tried, answers[1]):
        assert "planted" not in answer.text
    assert [row["action"] for row in touches(api, key)] == ["create", "reveal"]


@contextmanager
def renamed(hub: TestHub, table: str) -> Iterator[None]:
    """A table that is not there."""
    with hub.database.writing.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO gone"))
    try:
        yield
    finally:
        with hub.database.writing.begin() as connection:
            connection.execute(text(f"ALTER TABLE gone RENAME TO {table}"))


def test_without_its_record_no_secret_is_shown_or_changed(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID
) -> None:
    key = stored(api, client_id, password="planted canary")["id"]
    with renamed(hub, CredentialAuditLog.__tablename__):
        answers = [
            ask(api, key, "reveal", reason=REASON),
            ask(api, key, "rotate", password="planted second"),
            ask(api, key, "shred"),
            api.post("/credentials/store", json=body(client_id, password="planted third")),
        ]
    assert [answer.status_code for answer in answers] == [500] * 4
    assert not any("planted" in answer.text for answer in answers)
    assert secrets_of(api, key) == {"password": "planted canary"}
    counted = select(func.count()).where(Credential.client_id == client_id)
    with hub.database.reading.connect() as connection:
        assert connection.execute(counted).scalar_one() == 1


def test_a_sealed_vault_stores_and_shows_nothing_and_still_shreds(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = stored(api, client_id, password="planted")["id"]
    sealed = UnavailableError("The vault is sealed.", code="vault-sealed")
    monkeypatch.setattr(hub.hub.vault, "refusal", lambda: sealed)
    for answer in (
        ask(api, key, "reveal", reason=REASON),
        ask(api, key, "rotate", password="other"),
        api.post("/credentials/store", json=body(client_id, password="other")),
    ):
        assert code(answer) == (503, "vault-sealed")
    assert api.get(f"/credentials/{key}").status_code == 200
    monkeypatch.undo()
    assert [row["action"] for row in touches(api, key)] == ["create"]
    assert secrets_of(api, key) == {"password": "planted"}
    monkeypatch.setattr(hub.hub.vault, "refusal", lambda: sealed)
    assert ask(api, key, "shred").json()["holds"] == []


def test_a_credential_stays_with_the_client_it_is_sealed_for(
    api: httpx2.Client, client_id: uuid.UUID, new_client: Callable[[], uuid.UUID]
) -> None:
    key = stored(api, client_id, password="planted")["id"]
    assert code(api.patch(f"/credentials/{key}", json={"client_id": str(new_client())})) == (422, "invalid")
    own = body(client_id, password="planted") | {"client_id": None}
    key = api.post("/credentials/store", json=own).json()["id"]
    host = {"client_id": str(client_id), "hostname": unique("host"), "asset_type": "physical_server"}
    made = api.post("/infrastructure", json=host)
    assert made.status_code == 201, made.text
    moved = api.patch(f"/credentials/{key}", json={"infrastructure_id": made.json()["id"]})
    assert (code(moved), moved.json()["field"]) == ((422, "invalid"), "infrastructure_id")
    assert secrets_of(api, key) == {"password": "planted"}


def test_a_secret_that_is_refused_is_not_repeated(api: httpx2.Client, client_id: uuid.UUID) -> None:
    for field in SecretField:
        for wrong in ("", "planted " * 5000, 4711471147, ["planted"], {"planted": "planted"}, "planted \ud800"):
            answer = api.post(
                "/credentials/store",
                content=json.dumps(body(client_id) | {field: wrong}),
                headers={"content-type": "application/json"},
            )
            assert answer.status_code == 422, (field, wrong)
            assert "planted" not in answer.text
            assert "4711471147" not in answer.text
    for sent in (b'"planted"', b'["planted"]', b'{"password": "planted', b'{"pasword": "planted"}'):
        answer = api.post("/credentials/store", content=sent)
        assert answer.status_code == 422
        assert "planted" not in answer.text
    assert code(api.post("/credentials/store", json=body(client_id))) == (422, "invalid")


def test_a_planted_secret_is_nowhere(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, capfd: pytest.CaptureFixture[str]
) -> None:
    mark = f"canary{uuid.uuid4().hex}"
    planted = {field: f"{mark} {field}" for field in SecretField}
    once = {"idempotency-key": unique("key"), "change-message": "a new one"}
    sent = body(client_id, **planted)
    first, again = (api.post("/credentials/store", json=sent, headers=once) for _ in range(2))
    assert first.json() == again.json()
    key = first.json()["id"]
    answers = [
        first,
        ask(api, key, "rotate", **planted),
        ask(api, key, "rotate", **planted, surprise=mark),
        api.get(f"/credentials/{key}"),
        api.get("/credentials", params={"q": mark}),
        api.get(f"/credential-audit-logs/by-credential/{key}"),
    ]
    assert secrets_of(api, key) == planted
    with renamed(hub, CredentialAuditLog.__tablename__):
        answers.append(ask(api, key, "rotate", **planted))
    assert [answer.status_code for answer in answers] == [200, 200, 422, 200, 200, 200, 500]
    assert not any(mark in answer.text for answer in answers)
    hub.hub.requests.move()
    with hub.database.reading.connect() as connection:
        for table in Base.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                assert mark not in repr(row), table.description
    if hub.database.is_sqlite:
        folder = hub.hub.settings.data
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert any(path.name == "hub.db" for path in files)
        for path in files:
            assert mark.encode() not in path.read_bytes(), path.name
    told = capfd.readouterr()
    assert "request failed" in told.out + told.err, "the log was looked at"
    assert mark not in told.out + told.err


def test_the_log_of_requests_names_the_fields_and_hides_their_values(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID
) -> None:
    request = str(uuid.uuid4())
    sent = body(client_id, password="planted", connection_string="planted")
    assert api.post("/credentials/store", json=sent, headers={"x-request-id": request}).status_code == 200
    hub.hub.requests.move()
    entry = api.get("/api-audit-log", params={"request_id": request}).json()["items"][0]
    assert entry["request_body_redacted"] == dict.fromkeys(sent, "***") | {
        "client_id": str(client_id),
        "credential_type": "password",
    }


def test_the_document_gives_no_example_of_a_secret() -> None:
    document = json.loads((Path(__file__).parents[2] / "docs/reference/openapi.json").read_text())
    schemas = document["components"]["schemas"]
    for name in ("NewCredential", "Secrets"):
        for field in SecretField:
            given = schemas[name]["properties"][field]["anyOf"][0]
            assert (given["format"], given["writeOnly"]) == ("password", True)
