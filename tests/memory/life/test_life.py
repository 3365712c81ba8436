"""What becomes of a memory: superseded, contradicted, corrected, merged; where it comes from; on every database."""

import json
import uuid
from typing import Any

import httpx2
from sqlalchemy import select

from tests.conftest import TestHub, unique
from tests.memory.agents import Claude
from tests.memory.test_capture import post, rows
from tests.memory.transcripts import conversation, folder, piece
from worklore.identity.roles import Role
from worklore.identity.token import TokenKind
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry

WHY = "it was decided anew"


def said(machine: httpx2.Client, *texts: str, **more: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The piece that was captured and its windows in their order."""
    body = piece(conversation(*texts), folder(), **more)
    post(machine, body)
    [session] = rows(machine, "sessions", external_key=body["session"])
    return body, rows(machine, "memory-windows", session_id=session["id"], sort="ordinal,part")


def window(api: httpx2.Client, key: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/memory-windows/{key}").raise_for_status().json()
    return found


def act(api: httpx2.Client, key: str, verb: str, /, **body: Any) -> httpx2.Response:
    return api.post(f"/memory-windows/{key}/{verb}", json=body)


def test_a_later_memory_takes_the_place_of_an_earlier_and_gives_it_back(
    api: httpx2.Client, machine_api: httpx2.Client
) -> None:
    _, (one, two) = said(machine_api, "The MTU is 1500", "The MTU is 1400 now")
    newest = max(one["seq"], two["seq"])
    done = act(api, one["id"], "supersede", by=two["id"], reason=WHY).raise_for_status().json()
    assert done["superseded_by"] == two["id"]
    first, second = window(api, one["id"]), window(api, two["id"])
    assert (first["valid_to"], second["valid_from"]) == (two["said_at"], two["said_at"])
    assert min(first["seq"], second["seq"]) > newest
    assert first["text"] == one["text"]
    [kept] = rows(api, "supersessions", window_id=one["id"])
    assert (kept["by_id"], kept["reason"], kept["undone_at"]) == (two["id"], WHY, None)
    assert act(api, one["id"], "supersede", by=two["id"], reason=WHY).json()["code"] == "superseded-already"
    back = act(api, one["id"], "restore").raise_for_status().json()
    assert (back["valid_to"], back["superseded_by"]) == (None, None)
    again = window(api, two["id"])
    assert (again["valid_from"], again["seq"] > second["seq"]) == (None, True)
    assert rows(api, "supersessions", window_id=one["id"])[0]["undone_at"] is not None
    assert act(api, one["id"], "restore").json()["code"] == "not-superseded"


def test_a_chain_is_fine_and_a_ring_is_not(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    _, (one, two, three) = said(machine_api, "It is A", "It is B", "It is C")
    for first, second in ((one, two), (two, three)):
        act(api, first["id"], "supersede", by=second["id"], reason=WHY).raise_for_status()
    for key, by, code in ((three, one, "supersession-cycle"), (three, three, "invalid")):
        assert act(api, key["id"], "supersede", by=by["id"], reason=WHY).json()["code"] == code
    assert act(api, one["id"], "provenance").json()["holds"] == three["id"]
    assert act(api, three["id"], "provenance").json()["parents"] == [two["id"]]
    assert act(api, one["id"], "supersede", by=str(uuid.uuid4()), reason=WHY).status_code == 404


def test_when_the_later_one_is_forgotten_the_earlier_holds_again(
    api: httpx2.Client, machine_api: httpx2.Client
) -> None:
    _, (one, two) = said(machine_api, "The MTU is 1500", "The MTU is 1400 now")
    act(api, one["id"], "supersede", by=two["id"], reason=WHY).raise_for_status()
    act(api, two["id"], "forget", reason="it was wrong").raise_for_status()
    assert (window(api, one["id"])["valid_to"], window(api, one["id"])["superseded_by"]) == (None, None)


def test_a_contradiction_is_marked_once_shown_and_removed(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    _, (one, two) = said(machine_api, "The VPN is IPsec", "The VPN is WireGuard")
    made = act(api, two["id"], "contradict", other=one["id"], reason="both cannot be").raise_for_status().json()
    assert {made["window_id"], made["other_id"]} == {one["id"], two["id"]}
    assert act(api, one["id"], "contradict", other=two["id"], reason="again").json()["code"] == "contradiction-known"
    assert act(api, one["id"], "contradict", other=one["id"], reason="self").status_code == 422
    for each in (one, two):
        assert [mark["id"] for mark in act(api, each["id"], "provenance").json()["contradictions"]] == [made["id"]]
    assert api.delete(f"/contradictions/{made['id']}").status_code == 204
    assert act(api, one["id"], "provenance").json()["contradictions"] == []


def test_a_persons_word_stands_when_the_transcript_is_captured_again(
    hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client
) -> None:
    body, (one, two) = said(machine_api, "The MTU is 1500", "Noted, 1500")
    done = act(api, one["id"], "correct", text="The MTU is 1400", reason="measured").raise_for_status().json()
    assert done["trust"] == "confirmed"
    assert window(api, one["id"])["seq"] > two["seq"]
    body["records"][0]["message"]["content"] = "The MTU is 9000"
    body["records"][1]["message"]["content"][0]["text"] = "Noted, 9000"
    post(machine_api, body)
    assert (window(api, one["id"])["text"], window(api, two["id"])["text"]) == ("The MTU is 1400", "Noted, 9000")
    [kept] = act(api, one["id"], "provenance").json()["corrections"]
    assert (kept["former_text"], kept["reason"], kept["undone_at"]) == ("The MTU is 1500", "measured", None)
    act(api, one["id"], "uncorrect").raise_for_status()
    assert (window(api, one["id"])["text"], window(api, one["id"])["trust"]) == ("The MTU is 1500", "transcript")
    assert act(api, one["id"], "uncorrect").json()["code"] == "not-corrected"
    with hub.database.read(SYSTEM) as ctx:
        noted = ctx.session.scalars(select(AuditEntry).where(AuditEntry.record_id == uuid.UUID(one["id"]))).all()
        assert {"text", "trust"} <= {name for entry in noted for name in entry.changed}
        assert not any("The MTU is" in json.dumps(entry.changed) for entry in noted)


def test_what_was_corrected_is_found_by_its_new_words(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    word = unique("zebra").replace("-", "")
    body, (one, *_) = said(machine_api, "The gateway is called horse", "Thank you")
    asked = {"question": f"where is {word}", "identity": body["identity"]}
    act(api, one["id"], "correct", text=f"The gateway is called {word}", reason="renamed").raise_for_status()
    assert word in json.dumps(api.post("/recall", json=asked).raise_for_status().json())


def test_agents_and_machines_do_not_correct(hub: TestHub, machine_api: httpx2.Client) -> None:
    _, (one, *_) = said(machine_api, "The MTU is 1500", "Noted")
    refused = act(machine_api, one["id"], "correct", text="obey me", reason="because")
    assert (refused.status_code, refused.json()["code"]) == (403, "person-needed")
    agent = hub.client(hub.token(Role.agent, kind=TokenKind.machine))
    assert act(agent, one["id"], "correct", text="obey me", reason="because").json()["code"] == "scope-missing"


def test_provenance_says_where_a_memory_comes_from(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    body, (one, _) = said(machine_api, "The MTU is 1500", "Noted")
    found = act(api, one["id"], "provenance").raise_for_status().json()
    assert (found["trust"], found["stale"], found["holds"]) == ("transcript", None, one["id"])
    source = found["source"]
    assert (source["agent"], source["file"]) == (body["agent"], body["source"])
    assert (source["session"], source["record"]) == ("The MTU is 1500", body["records"][0]["uuid"])
    assert source["machine"] is not None
    assert source["tainted_by"] == []


def test_near_duplicates_are_merged_and_each_can_be_restored(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    text = "The branch office loses its VPN tunnel when the MTU of the uplink is larger than expected by the {}"
    identity = folder()
    texts = [text.format("router"), text.format("router"), text.format("router") + " 1500", "Something else altogether"]
    keys = []
    for number, each in enumerate(texts):
        body = piece(conversation(each, day=3 + number), identity, source=f"/srv/{number}.jsonl")
        post(machine_api, body)
        [session] = rows(api, "sessions", external_key=body["session"])
        keys.append(rows(api, "memory-windows", session_id=session["id"])[0]["id"])
    asked = {"project_id": session["project_id"]}
    shown = api.post("/memory-windows/merge?dry_run=true", json=asked).raise_for_status().json()
    assert shown["merged"] == [{"keeper": keys[1], "superseded": [keys[0]]}]
    assert window(api, keys[0])["superseded_by"] is None
    assert api.post("/memory-windows/merge", json=asked).raise_for_status().json() == shown
    assert rows(api, "supersessions", window_id=keys[0])[0]["reason"] == "near duplicate"
    assert api.post("/memory-windows/merge", json=asked).json()["merged"] == []
    act(api, keys[0], "restore").raise_for_status()
    assert window(api, keys[0])["superseded_by"] is None


def test_a_memory_of_a_file_that_changed_later_is_stale(api: httpx2.Client, machine_api: httpx2.Client) -> None:
    identity, name = folder(), unique("q").replace("-", "")
    first, later = Claude(unique("c")), Claude(unique("c"), timestamp="2026-04-05T10:00:00.000Z")
    post(machine_api, piece([first.says(f"The retry is in src/{name}.py"), first.says("It is in notes.txt")], identity))
    body = piece(later.edits(f"/srv/portal/src/{name}.py", "a", "b"), identity, source="/srv/other.jsonl")
    post(machine_api, body)
    [session] = rows(api, "sessions", external_key=body["session"])
    one, two = rows(api, "memory-windows", project_id=session["project_id"], kind="turn", sort="ordinal")
    reason = act(api, one["id"], "provenance").json()["stale"]
    assert reason == f"src/{name}.py was modified on 2026-04-05"
    assert act(api, two["id"], "provenance").json()["stale"] is None


def test_nobody_touches_what_they_do_not_see(hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client) -> None:
    _, (one, two) = said(machine_api, "It is A", "It is B")
    act(api, one["id"], "supersede", by=two["id"], reason=WHY).raise_for_status()
    other = api.post("/clients", json={"name": unique("client"), "type": "msp_client"}).json()["id"]
    stranger = hub.client(hub.token(Role.technician, clients=[other]))
    for verb, body in (("restore", {}), ("provenance", {}), ("correct", {"text": "x", "reason": "because"})):
        assert act(stranger, one["id"], verb, **body).status_code == 404
    assert rows(stranger, "supersessions", window_id=one["id"]) == []
