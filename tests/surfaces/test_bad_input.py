"""What no caller should send: refused with a reason, on every database, and without a trace."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import func, select

from tests.conftest import TestHub, unique
from tests.memory.transcripts import conversation, folder, piece
from worklore.kernel.db import Base
from worklore.surfaces.http import MAX_BODY
from worklore.surfaces.rest import MAX_BULK

JSON = {"content-type": "application/json"}
LATER = frozenset({"jobs"})
"""Tables that the hub's own work may change meanwhile."""

NESTED = "[" * 1000 + "]" * 1000
HUGE = "9" * 40
SURROGATE = r"\ud800"
NUL = r"\u0000"


def rows(hub: TestHub) -> dict[str, int]:
    """How many rows each table has."""
    with hub.database.reading.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
            if table.name not in LATER
        }


@pytest.fixture
def untouched(hub: TestHub) -> Iterator[None]:
    """Nothing is written meanwhile."""
    hub.owner().get("/me").raise_for_status()
    before = rows(hub)
    yield
    assert rows(hub) == before


def refused(answer: httpx2.Response, *statuses: int) -> dict[str, Any]:
    """The problem document of a refusal with one of these statuses; any of 4xx when none is named."""
    assert answer.status_code in (statuses or range(400, 500)), f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == answer.status_code
    assert {"type", "title", "code", "detail", "instance", "request_id"} <= told.keys()
    assert told["detail"]
    assert len(answer.content) < 20_000, "a refusal does not repeat what was sent"
    return told


# --- too much -------------------------------------------------------------------------------------------------------

READING = (
    ("POST", "/clients"),
    ("PATCH", "/clients"),
    ("DELETE", "/clients"),
    ("POST", "/capture"),
    ("POST", "/recall"),
    ("POST", "/hooks/claude-code/SessionStart"),
    ("POST", "/auth/setup"),
    ("POST", "/auth/sign-in"),
    ("POST", "/auth/join"),
)
"""One of each way a body is read."""


@pytest.mark.parametrize("way", ["declared", "in chunks"])
def test_a_body_of_nine_mebibytes_is_too_large(sqlite_hub: TestHub, way: str) -> None:
    size = 9 * 1024 * 1024
    assert size > MAX_BODY
    api, before = sqlite_hub.owner(), rows(sqlite_hub)

    def chunks() -> Iterator[bytes]:
        for _ in range(size // 65536):
            yield b" " * 65536

    for method, path in READING:
        answer = api.request(method, path, content=chunks() if way == "in chunks" else b" " * size, headers=JSON)
        assert refused(answer, 413)["code"] == "too-large", path
    assert rows(sqlite_hub) == before


@pytest.mark.parametrize(("count", "status"), [(0, 422), (MAX_BULK + 1, 422)])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.usefixtures("untouched")
def test_a_bulk_has_one_to_five_hundred_items(api: httpx2.Client, method: str, count: int, status: int) -> None:
    item = {"name": "x", "type": "msp_client"} if method == "POST" else {"id": "019a0000-0000-7000-8000-000000000001"}
    assert "500" in refused(api.request(method, "/clients", json=[item] * count), status)["detail"]


# --- not what was asked for -----------------------------------------------------------------------------------------

NO_OBJECT = (
    "",
    " ",
    "{",
    "nonsense",
    "null",
    "true",
    "7",
    '"text"',
    "[7]",
    "[null]",
    "[[]]",
    '{"name": "x"',
    "{'name': 'x'}",
    '{"name": "x",}',
    '{"name": NaN}',
    "\ufeff{}",
    NESTED,
    '{"name": ' + NESTED + "}",
    '[{"name": ' + NESTED + "}]",
    HUGE,
    f'{{"name": {HUGE}}}',
    f'{{"{SURROGATE}": 1}}',
    f'{{"{NUL}": 1}}',
    f'{{"name": "{SURROGATE}", "type": "msp_client"}}',
    f'{{"name": "{NUL}", "type": "msp_client"}}',
)


@pytest.mark.usefixtures("untouched")
def test_a_body_that_is_no_object_of_the_kind(api: httpx2.Client) -> None:
    nobody = "019a0000-0000-7000-8000-000000000001"
    for method, path in (*READING, ("PATCH", f"/clients/{nobody}"), ("POST", "/projects/identify")):
        for text in NO_OBJECT if "/hooks/" not in path else ():
            refused(api.request(method, path, content=text.encode(), headers=JSON), 400, 422)


@pytest.mark.usefixtures("untouched")
def test_a_body_that_is_no_text(api: httpx2.Client) -> None:
    bodies = (b"\xff\xfe{}", b'{"name": "\xff"}', b'{"name": "\xed\xa0\x80"}', b"\0")
    for method, path in READING:
        for content in bodies if "/hooks/" not in path else ():
            refused(api.request(method, path, content=content, headers=JSON), 400, 422)


@pytest.mark.usefixtures("untouched")
def test_a_body_of_another_media_type_is_refused_where_it_is_not_json(api: httpx2.Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense", ""):
        for method, path in READING:
            refused(api.request(method, path, content=b"name=x", headers={"content-type": kind}), 400, 415, 422)


DOES_NOT_FIT: tuple[tuple[str, Any], ...] = (
    ("surprise", 1),
    ("type", "enemy"),
    ("type", 7),
    ("type", None),
    ("name", None),
    ("name", 7),
    ("name", "x" * 256),
    ("name", ["x"]),
    ("id", "no id"),
    ("id", 7),
    ("is_active", "perhaps"),
    ("is_active", 2),
    ("is_active", 1),
    ("is_active", "true"),
    ("is_active", None),
    ("version", 1),
    ("created_at", "2026-01-01T00:00:00Z"),
)


@pytest.mark.usefixtures("untouched")
def test_a_field_that_is_unknown_or_does_not_fit(api: httpx2.Client) -> None:
    for field, value in DOES_NOT_FIT:
        body = {"name": unique("client"), "type": "msp_client", field: value}
        for sent in (body, [body]):
            told = refused(api.post("/clients", json=sent), 422)
            assert field in " ".join(error["field"] for error in told["errors"])
            assert "x" * 50 not in json.dumps(told)


@pytest.mark.usefixtures("untouched")
def test_numbers_that_no_column_holds(machine_api: httpx2.Client, api: httpx2.Client) -> None:
    for number in (2**31, 2**63, 10**40, -(10**40), 1e300, True, False):
        refused(api.post("/sessions", json={"session_title": "x", "total_minutes": number}), 422)
        refused(machine_api.post("/recall", json={"question": "x", "budget": number}), 422)


@pytest.mark.usefixtures("untouched")
def test_days_are_no_numbers(api: httpx2.Client) -> None:
    for day in (0, 1773014400, "0", 1.5, True):
        told = refused(
            api.post("/learning-metrics", json={"metric_name": "x", "metric_value": 1, "metric_date": day}), 422
        )
        assert told["field"] == "metric_date"


@pytest.mark.usefixtures("untouched")
def test_offsets_that_no_file_has(machine_api: httpx2.Client) -> None:
    for member in ("from", "to", "skipped", "malformed"):
        for number in (-1, 1.5, "many", None, 2**63, 10**40):
            sent = piece(conversation("The printer of the front desk is out of toner"), folder()) | {member: number}
            refused(machine_api.post("/capture", json=sent), 422)


@pytest.mark.usefixtures("untouched")
def test_json_columns_take_no_endless_nesting_or_text_that_no_database_keeps(api: httpx2.Client) -> None:
    for value in (NESTED, f'["{NUL}"]', f'["{SURROGATE}"]', f'[{{"{NUL}": 1}}]', f"[{HUGE}]", "[1e400]", "[NaN]", "7"):
        refused(api.post("/machines", content=f'{{"hostname": "x", "vpn_profiles": {value}}}', headers=JSON), 422)


# --- paths, parameters and headers ----------------------------------------------------------------------------------


NO_ID = ("x", "%00", "%ED%A0%80", "%FF", "..%2fx", "0" * 5000, "019a0000-0000-7000-8000-00000000000g", "%F0%9F%92%A9")


@pytest.mark.usefixtures("untouched")
def test_an_id_that_is_none(api: httpx2.Client) -> None:
    for key in NO_ID:
        for path in (f"/clients/{key}", f"/memory-windows/{key}", f"/surprise/{key}"):
            refused(api.get(path), 404)
        refused(api.patch(f"/clients/{key}", json={"notes": "x"}), 404, 405)
        refused(api.delete(f"/clients/{key}"), 404, 405)
        refused(api.post(f"/jobs/{key}/retry"), 404, 405)


def cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


NOT_UNDERSTOOD = (
    "surprise=1",
    "name__surprise=1",
    "__=1",
    "=1",
    "name__in__in=1",
    "id=nonsense",
    "id=%00",
    "name=%00",
    "name__contains=a%00b",
    "type=enemy",
    "type=%ED%A0%80",
    "is_active=perhaps",
    "created_at__gte=yesterday",
    "created_at__gte=2026-01-01",
    "created_at__gte=0001-01-01T00:00:00%2B14:00",
    "created_at__gte=99999-01-01T00:00:00Z",
    "since=",
    "since=%00",
    "limit=0",
    "limit=-1",
    "limit=1e3",
    f"limit={HUGE}",
    "limit=",
    "offset=-1",
    f"offset={HUGE}",
    "offset=%D9%A1",
    "sort=surprise",
    "sort=%00",
    "sort=--name",
    "sort=name;drop",
    "after=",
    "after=%FF",
    "after=%C3%A4",
    "after=" + "A" * 4000,
    "after=" + cursor("id"),
    "after=" + cursor("id", "x"),
    "after=" + cursor("id", "\0"),
    "after=" + cursor("id", {"a": 1}),
    "after=" + cursor({"id": 1}, 1),
    "after=" + cursor("id", 10**40),
    "after=" + base64.urlsafe_b64encode(NESTED.encode()).decode(),
    "total=perhaps",
    "fields=surprise",
    "fields=%00",
    "omit=surprise",
    "fields=id&omit=id",
    "brief=7",
    "limit=1&limit=1",
)


@pytest.mark.usefixtures("untouched")
def test_parameters_that_are_not_understood(api: httpx2.Client) -> None:
    for query in NOT_UNDERSTOOD:
        assert refused(api.get(f"/clients?{query}"), 400), query


@pytest.mark.usefixtures("untouched")
def test_parameters_of_writes_that_are_not_understood(api: httpx2.Client) -> None:
    body = {"name": unique("client"), "type": "msp_client"}
    for query in ("surprise=1", "dry_run=perhaps", "dry_run=", "dry_run=%00", "cascade=%ED%A0%80", "limit=1"):
        refused(api.post(f"/clients?{query}", json=body), 400)


@pytest.mark.parametrize("text", ["%00", "%ED%A0%80", "a" * 5000], ids=["nul", "surrogate", "long"])
@pytest.mark.usefixtures("untouched")
def test_where_a_file_is_may_be_asked_with_any_text(machine_api: httpx2.Client, text: str) -> None:
    """Text that no database keeps names no file; the answer says so one way or the other."""
    for name in ("agent", "session", "source"):
        asked = {"agent": "claude-code", "session": "s", "source": "/x"} | {name: "\1"}
        query = "&".join(f"{key}={text if value == chr(1) else quote(value)}" for key, value in asked.items())
        answer = machine_api.get(f"/capture?{query}")
        if answer.status_code == 200:
            assert (answer.json()["offset"], answer.json()["tail_digest"]) == (0, None)
        else:
            refused(answer, 400, 422)


@pytest.mark.parametrize("key", [b"", b"x" * 201, "ä".encode("latin-1"), b"\xff\xfe"])
@pytest.mark.usefixtures("untouched")
def test_an_idempotency_key_that_is_none(api: httpx2.Client, key: bytes) -> None:
    body = {"name": unique("client"), "type": "msp_client"}
    answer = api.post("/clients", json=body, headers={"idempotency-key": key})
    assert refused(answer, 400)["code"] == "idempotency-key"


@pytest.mark.parametrize(
    "value", [b"%00", b"%ED%A0%80", b"\xff", b"x" * 20_000], ids=["nul", "surrogate", "ff", "long"]
)
def test_headers_that_are_only_noted_spoil_nothing(api: httpx2.Client, value: bytes) -> None:
    headers = {"change-message": value, "x-request-id": value[:100], "x-surprise": value}
    made = api.post("/clients", json={"name": unique("client"), "type": "msp_client"}, headers=headers)
    assert made.status_code == 201, made.text
    assert api.delete(f"/clients/{made.json()['id']}", headers=headers).status_code == 204


@pytest.mark.usefixtures("untouched")
def test_paths_and_methods_that_do_not_exist(api: httpx2.Client, hub: TestHub) -> None:
    for method, path, status in (
        ("GET", "/surprise", 404),
        ("GET", "/", 404),
        ("GET", "/%00", 404),
        ("PUT", "/clients", 405),
        ("DELETE", "/recall", 405),
        ("PATCH", "/memory-windows", 405),
        ("GET", "/auth/sign-in", 405),
    ):
        told = refused(api.request(method, path), status)
        assert told["instance"].startswith("/api/v1")
    refused(hub.client().get("/clients"), 401)


def test_a_date_is_written_as_one(api: httpx2.Client) -> None:
    for text in ("0", "86400", "2026-03-01T00:00:00", "20260301", "yesterday"):
        for suffix in ("", "__gt", "__in"):
            assert refused(api.get(f"/sessions?session_date{suffix}={text}"), 400), (suffix, text)
    assert api.get("/sessions?session_date__gt=2026-03-01&session_date__in=2026-03-02,2026-03-03").status_code == 200
