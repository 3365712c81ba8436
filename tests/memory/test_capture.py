"""Capture over REST: nothing lost, nothing doubled, whatever arrives twice or out of turn."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from tests.conftest import TestHub, unique
from tests.memory.transcripts import conversation, folder, piece, record
from worklore.identity.roles import Role
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry


def rows(api: httpx2.Client, noun: str, **filters: Any) -> list[dict[str, Any]]:
    answer = api.get(f"/{noun}", params={"limit": 1000, **filters})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def post(api: httpx2.Client, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = api.post("/capture", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def cursor(api: httpx2.Client, body: dict[str, Any]) -> int:
    return api.get("/capture", params={name: body[name] for name in ("agent", "session", "source")}).json()["offset"]


def test_a_piece_becomes_a_session_and_windows(machine_api: httpx2.Client) -> None:
    body = piece(conversation("The VPN of the branch office drops", "The MTU was 1500; it is 1400 now"), folder())
    assert cursor(machine_api, body) == 0
    assert post(machine_api, body) == {"offset": 1000, "windows": 2, "duplicates": 0}
    assert cursor(machine_api, body) == 1000
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    assert session["session_title"] == "The VPN of the branch office drops"
    assert (session["session_date"], session["git_branch"]) == ("2026-03-03", "main")
    assert session["start_time"] == "2026-03-03T10:00:00.000000Z"
    assert session["machine_id"] is not None
    said = rows(machine_api, "memory-windows", session_id=session["id"], sort="ordinal")
    assert [(row["role"], row["text"]) for row in said] == [
        ("user", "The VPN of the branch office drops"),
        ("assistant", "The MTU was 1500; it is 1400 now"),
    ]
    assert "tokens" not in said[0]


def test_a_piece_sent_twice_is_refused_with_the_place_to_go_on(machine_api: httpx2.Client) -> None:
    body = piece(conversation("One", "Two"), folder(), size=300)
    post(machine_api, body)
    again = piece(
        conversation("Three"), body["identity"], start=100, size=300, session=body["session"], source=body["source"]
    )
    refusal = post(machine_api, again, 409)
    assert (refusal["code"], refusal["offset"]) == ("cursor-mismatch", 300)


def test_a_file_written_anew_starts_over_without_doubles(machine_api: httpx2.Client) -> None:
    first = conversation("Alpha question", "Alpha answer")
    body = piece(first, folder())
    post(machine_api, body)
    anew = body | {"to": 2000, "records": [*first, record("user", "Beta question", minute=9)]}
    assert post(machine_api, anew) == {"offset": 2000, "windows": 1, "duplicates": 2}


def test_a_resumed_session_repeats_records_that_are_known(machine_api: httpx2.Client) -> None:
    first = conversation("Where do the backups go", "To the second site")
    identity = folder()
    post(machine_api, piece(first, identity))
    resumed = piece([*first, record("user", "And how long are they kept", minute=5)], identity)
    assert post(machine_api, resumed)["windows"] == 1


def test_the_same_piece_from_many_senders_has_one_effect(hub: TestHub, machine_api: httpx2.Client) -> None:
    token = machine_api.headers["authorization"].removeprefix("Bearer ")
    body = piece(conversation(*(f"Message {number} about the mail server" for number in range(20))), folder(), size=500)
    clients = [hub.client(token) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda client: client.post("/capture", json=body), clients))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert sum(answer.json()["windows"] for answer in answers if answer.status_code == 200) == 20
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    assert len(rows(machine_api, "memory-windows", session_id=session["id"])) == 20


def test_garbage_among_the_records_is_passed_over(machine_api: httpx2.Client) -> None:
    said = record("user", "The only words")
    garbage: list[Any] = [None, 7, "text", [], {}, {"type": "user"}, {"type": "assistant", "uuid": 5, "message": 3}]
    assert post(machine_api, piece([*garbage, said], folder()))["windows"] == 1


def test_what_memory_told_is_not_captured_again(machine_api: httpx2.Client) -> None:
    told = "<worklore-memory>\n# 2026-01-01 host\nOwner: an old secret plan\n</worklore-memory>\nReboot the switch"
    body = piece([record("user", told)], folder())
    post(machine_api, body)
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    [window] = rows(machine_api, "memory-windows", session_id=session["id"])
    assert window["text"].strip() == "Reboot the switch"


def test_a_long_turn_is_cut_into_parts_that_join_to_it(machine_api: httpx2.Client) -> None:
    text = "\n\n".join(
        f"Step {number}: check the tunnel, then the route and the rule number {number}." for number in range(60)
    )
    body = piece([record("assistant", text)], folder())
    assert post(machine_api, body)["windows"] > 3
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    parts = rows(machine_api, "memory-windows", session_id=session["id"], sort="seq")
    assert "".join(part["text"] for part in sorted(parts, key=lambda part: part["part"])) == text


def test_capture_is_audited_as_one_batch(hub: TestHub, machine_api: httpx2.Client) -> None:
    request_id = str(uuid.uuid4())
    body = piece(conversation("One thing", "Another thing", "A third thing"), folder())
    machine_api.post("/capture", json=body, headers={"x-request-id": request_id}).raise_for_status()
    with hub.database.read(SYSTEM) as ctx:
        wanted = select(AuditEntry).where(AuditEntry.request_id == uuid.UUID(request_id))
        entries = [entry for entry in ctx.session.scalars(wanted) if entry.table_name == "memory_windows"]
    assert [(entry.action, entry.changed["count"]) for entry in entries] == [("capture", 3)]


@pytest.mark.parametrize(
    "change",
    [
        {"records": "none"},
        {"from": -1},
        {"to": "far"},
        {"tail_digest": "short"},
        {"identity": {}},
        {"session": ""},
        {"session": "a\0b"},
        {"surprise": 1},
    ],
)
def test_a_piece_that_is_none_is_refused(machine_api: httpx2.Client, change: dict[str, Any]) -> None:
    body = piece(conversation("Fine"), folder()) | change
    assert machine_api.post("/capture", json=body).status_code == 422


def test_a_reader_may_not_capture(hub: TestHub) -> None:
    reader = hub.client(hub.token(Role.read_only))
    assert reader.post("/capture", json=piece(conversation("Fine"), folder())).status_code == 403
    assert reader.get("/capture", params={"agent": "a", "session": unique(), "source": "s"}).status_code == 403
