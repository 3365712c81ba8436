"""Too much, too deep, too long, too slow: refused by the name of the limit, and the hub goes on."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.conftest import TestHub, unique
from tests.memory.transcripts import conversation, folder, piece
from worklore.identity.token import TokenKind
from worklore.kernel.query import MAX_IN, MAX_LIMIT, MAX_WORDS
from worklore.kernel.wire import MAX_DEPTH
from worklore.surfaces import http
from worklore.surfaces.http import MAX_ADDRESS, MAX_BODY, MAX_HEADERS
from worklore.surfaces.rest import MAX_BULK

JSON: Final = {"content-type": "application/json"}
AUTHORIZED: Final = "authorization"
DEEP: Final = 1000
NESTED: Final = "[" * DEEP + "]" * DEEP


@pytest.fixture
def api(sqlite_hub: TestHub) -> httpx2.Client:
    """No database is asked in any of these, so one will do."""
    return sqlite_hub.owner()


@pytest.fixture
def machine_api(sqlite_hub: TestHub) -> httpx2.Client:
    return sqlite_hub.client(sqlite_hub.token(kind=TokenKind.machine))


def refused(answer: httpx2.Response, *statuses: int) -> dict[str, Any]:
    assert answer.status_code in statuses, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 5_000, "a refusal does not repeat what was sent"
    told: dict[str, Any] = answer.json()
    assert told["status"] == answer.status_code
    assert told["detail"]
    return told


def asked_raw(hub: TestHub, target: str) -> bytes:
    """What comes back for an address that HTTP clients refuse to send."""
    address = urlsplit(hub.url)
    head = f"GET /api/v1{target} HTTP/1.1\r\nhost: x\r\n{AUTHORIZED}: {hub.owner().headers[AUTHORIZED]}\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as raw:
        raw.sendall(f"{head}connection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: raw.recv(65_536), b""))


# --- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["declared", "in chunks"])
def test_a_body_of_ten_megabytes(api: httpx2.Client, way: str) -> None:
    size = 10_000_000

    def chunks() -> Iterator[bytes]:
        for _ in range(size // 100_000):
            yield b" " * 100_000

    for path in ("/clients", "/capture", "/recall", "/hooks/claude-code/SessionStart", "/auth/sign-in"):
        content = b" " * size if way == "declared" else chunks()
        told = refused(api.post(path, content=content, headers=JSON), 413)["limit"]
        assert (told["name"], told["most"]) == ("body-bytes", MAX_BODY), path
        assert told["sent"] == size if way == "declared" else MAX_BODY < told["sent"] <= size


def test_a_body_without_a_length_is_taken(api: httpx2.Client) -> None:
    body = json.dumps({"name": unique("client"), "type": "msp_client"}).encode()

    def bytewise() -> Iterator[bytes]:
        for at in range(len(body)):
            yield body[at : at + 1]

    answer = api.post("/clients", content=bytewise(), headers=JSON)
    assert answer.status_code == 201, answer.text
    assert "content-length" not in answer.request.headers


def test_a_bulk_of_ten_thousand(api: httpx2.Client) -> None:
    one = {"name": "x", "type": "msp_client"}
    told = refused(api.post("/clients", json=[one] * 10_000), 422)
    assert told["limit"] == {"name": "bulk-rows", "most": MAX_BULK, "sent": 10_000}
    nobody = {"id": "019a0000-0000-7000-8000-000000000001"}
    for method in ("PATCH", "DELETE"):
        told = refused(api.request(method, "/clients", json=[nobody] * 10_000), 422)
        assert told["limit"] == {"name": "bulk-rows", "most": MAX_BULK, "sent": 10_000}


def test_an_address_beyond_the_limit(sqlite_hub: TestHub, api: httpx2.Client) -> None:
    for path in (f"/clients?q={'x' * MAX_ADDRESS}", f"/clients/{'x' * MAX_ADDRESS}", f"/{'x' * MAX_ADDRESS}"):
        told = refused(api.get(path), 414)["limit"]
        assert (told["name"], told["most"]) == ("address-bytes", MAX_ADDRESS)
        assert MAX_ADDRESS < told["sent"] < MAX_ADDRESS + 100
        # Beyond 64 KiB there is no address any more that could be answered: the server turns the request away.
        assert asked_raw(sqlite_hub, path + "x" * 1_000_000).startswith(b"HTTP/1.1 400 ")
    assert api.get("/clients", params={"limit": 1}).status_code == 200


def test_a_header_of_a_megabyte_and_ten_thousand_headers(sqlite_hub: TestHub, api: httpx2.Client) -> None:
    for headers in ({"x-big": "x" * 1_000_000}, {f"x-{number}": "x" for number in range(10_000)}):
        told = refused(api.get("/clients", headers=headers), 431)["limit"]
        assert (told["name"], told["most"]) == ("header-bytes", MAX_HEADERS)
        assert told["sent"] > MAX_HEADERS
    refused(sqlite_hub.client("x" * 1_000_000).get("/clients"), 431)


# --- how many, how far ----------------------------------------------------------------------------------------------


def test_numbers_of_a_list_beyond_their_limits(api: httpx2.Client) -> None:
    for name, most in (("limit", MAX_LIMIT), ("offset", 10_000_000)):
        for number in (most + 1, 10**12):
            told = refused(api.get("/clients", params={name: number}), 400)
            assert told["limit"] == {"name": name, "most": most, "sent": number}
        assert refused(api.get(f"/clients?{name}={'9' * 5000}"), 400)["limit"]["most"] == most
        for nonsense in ("-1", "1.5", "1e3", "", "+1", "\u0661", "x" * 5000):
            told = refused(api.get("/clients", params={name: nonsense}), 400)
            assert told["parameter"] == name
            assert "limit" not in told


def test_one_filter_with_a_hundred_thousand_values(sqlite_hub: TestHub, api: httpx2.Client) -> None:
    within = ",".join(["x"] * MAX_IN)
    assert api.get("/clients", params={"name__in": within}).status_code == 200
    told = refused(api.get("/clients", params={"name__in": within + ",x"}), 400)
    assert told["limit"] == {"name": "values-of-a-filter", "most": MAX_IN, "sent": MAX_IN + 1}
    assert refused(api.get(f"/clients?name__in={'x,' * 30_000}"), 414)["limit"]["name"] == "address-bytes"
    assert asked_raw(sqlite_hub, f"/clients?name__in={'x,' * 100_000}").startswith(b"HTTP/1.1 400 ")


def test_a_search_for_a_thousand_words(api: httpx2.Client) -> None:
    assert api.get("/clients", params={"q": " ".join(["word"] * MAX_WORDS)}).status_code == 200
    told = refused(api.get("/clients", params={"q": " ".join(["word"] * 1000)}), 400)
    assert told["limit"] == {"name": "words-of-a-search", "most": MAX_WORDS, "sent": 1000}
    assert api.get("/clients", params={"q": "x" * 20_000}).json()["items"] == []


def test_a_thousand_parameters(api: httpx2.Client) -> None:
    for query in (
        "&".join(f"surprise{number}=1" for number in range(1000)),
        "&".join(["name=x"] * 1000),
        "sort=" + ",".join(["name"] * 1000),
        "fields=" + ",".join(f"surprise{number}" for number in range(1000)),
    ):
        refused(api.get(f"/clients?{query}"), 400)


# --- depth and width of JSON ----------------------------------------------------------------------------------------


def test_json_a_thousand_levels_deep(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    """In a body, in a column, in each member of the bodies that are read otherwise: no answer is a fault of ours."""
    objects = '{"a":' * DEEP + "1" + "}" * DEEP
    for deep in (NESTED, objects):
        for content in (deep, f'{{"hostname": {deep}}}', f'{{"hostname": "x", "vpn_profiles": {deep}}}'):
            for path in ("/machines", "/recall", "/auth/sign-in", "/projects/identify"):
                refused(api.post(path, content=content, headers=JSON), 400, 422)
            answer = machine_api.post("/hooks/claude-code/UserPromptSubmit", content=content, headers=JSON)
            assert answer.status_code in {200, 422}, answer.text
        sent = json.dumps(piece(conversation("The scanner sends blank pages"), folder()) | {"records": ["\1"]})
        taken = machine_api.post("/capture", content=sent.replace('"\\u0001"', deep), headers=JSON)
        assert taken.status_code == 422, taken.text


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 199, DEEP])
def test_a_column_deeper_than_the_limit_is_told_the_limit(api: httpx2.Client, levels: int) -> None:
    deep = "[" * levels + "]" * levels
    for content in (
        f'{{"hostname": "x", "vpn_profiles": [{deep}]}}',
        f'[{{"hostname": "x", "vpn_profiles": [{deep}]}}]',
    ):
        told = refused(api.post("/machines", content=content, headers=JSON), 422)
        assert told["limit"] == {"name": "json-depth", "most": MAX_DEPTH}


def test_numbers_of_ten_thousand_digits(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    for number in ("9" * 10_000, "-" + "9" * 10_000, "1e99999", "0." + "1" * 10_000):
        for path, body in (
            ("/sessions", f'{{"session_title": "x", "total_minutes": {number}}}'),
            ("/machines", f'{{"hostname": "x", "vpn_profiles": [{number}]}}'),
            ("/recall", f'{{"question": "x", "budget": {number}}}'),
            ("/clients", number),
        ):
            answer = api.post(path, content=body, headers=JSON)
            assert answer.status_code == 422 or (answer.status_code == 201 and number.startswith("0.")), answer.text
        hook = machine_api.post("/hooks/claude-code/UserPromptSubmit", content=f'{{"cwd": {number}}}', headers=JSON)
        assert hook.status_code in {200, 422}


def test_of_a_member_given_twice_the_last_one_counts(api: httpx2.Client) -> None:
    first, last = unique("first"), unique("last")
    content = f'{{"name": "{first}", "type": "msp_client", "name": "{last}"}}'
    answer = api.post("/clients", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["name"]) == (201, last)


def test_a_list_of_a_million_items_in_a_column(api: httpx2.Client) -> None:
    answer = api.post("/machines", json={"hostname": unique("wide"), "vpn_profiles": [1] * 1_000_000})
    assert answer.status_code in {201, 422}, answer.text[:500]


# --- time -----------------------------------------------------------------------------------------------------------


def test_a_slow_body_holds_up_nobody_and_is_given_up(
    sqlite_hub: TestHub, api: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 1)
    address = urlsplit(sqlite_hub.url)
    head = (
        f"POST /api/v1/clients HTTP/1.1\r\nhost: x\r\nauthorization: {api.headers['authorization']}\r\n"
        "content-type: application/json\r\ncontent-length: 100\r\n\r\n"
    )
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as slow:
        slow.sendall(head.encode() + b'{"name": ')
        for _ in range(3):
            assert api.get("/clients", params={"limit": 1}).status_code == 200
            time.sleep(0.1)
            slow.sendall(b" ")
        answer = b""
        while b"}" not in answer and (part := slow.recv(65_536)):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"body-pause-seconds"' in answer
