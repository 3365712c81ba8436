"""Claims: one holder at a time, told apart by fences; dead holders' work comes back; work is handed on and approved."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from tests.conftest import TestHub, unique
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.work.work_item import WorkItem


def made(api: httpx2.Client, noun: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"/{noun}", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def done(api: httpx2.Client, item: dict[str, Any], verb: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"/work-items/{item['id']}/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(api: httpx2.Client, item: dict[str, Any], verb: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"/work-items/{item['id']}/{verb}", json=body)
    assert answer.status_code == 409, answer.text
    return answer.json()


@pytest.fixture
def project(api: httpx2.Client) -> dict[str, Any]:
    client = made(api, "clients", name=unique("client"), type="msp_client")
    return made(api, "projects", client_id=client["id"], name=unique("project"))


@pytest.fixture
def item(api: httpx2.Client, project: dict[str, Any]) -> dict[str, Any]:
    return made(api, "work-items", project_id=project["id"], title="Replace the switch", status="pending")


def session(api: httpx2.Client, project: dict[str, Any]) -> str:
    made_ = made(
        api, "sessions", project_id=project["id"], client_id=project["client_id"], session_title="Work",
        session_date="2026-03-03",
    )  # fmt: skip
    return str(made_["id"])


def let_the_lease_end(hub: TestHub, item: dict[str, Any]) -> None:
    def work(ctx: Context) -> None:
        past = ctx.now() - timedelta(seconds=1)
        change = update(WorkItem).where(WorkItem.id == item["id"]).values(lease_expires_at=past)
        ctx.session.execute(unaudited(change, "the clock of a test"))

    hub.database.write(work)


def test_one_holds_an_item_until_it_is_done(api: httpx2.Client, hub: TestHub, item: dict[str, Any]) -> None:
    other = hub.client(hub.token())
    held = done(api, item, "claim", lease_seconds=60)
    assert (held["fence"], held["status"]) == (1, "active")
    found = refused(other, item, "claim")
    assert found["code"] == "claimed"
    assert held["lease_owner"] in found["detail"]
    assert refused(other, item, "heartbeat", fence=1)["code"] == "claim-lost"
    longer = done(api, item, "heartbeat", fence=1, lease_seconds=3600)
    assert longer["lease_expires_at"] > held["lease_expires_at"]
    over = done(api, item, "complete", fence=1)
    assert (over["status"], over["lease_owner"], over["lease_expires_at"]) == ("completed", None, None)
    assert refused(other, item, "claim", even_if_waiting=True)["code"] == "not-ready"


def test_work_of_the_dead_comes_back_and_they_come_too_late(
    api: httpx2.Client, hub: TestHub, item: dict[str, Any]
) -> None:
    other = hub.client(hub.token())
    done(api, item, "claim")
    let_the_lease_end(hub, item)
    assert "the lease is over" in refused(api, item, "heartbeat", fence=1)["detail"]
    assert item["id"] in {each["id"] for each in other.post("/ready-work", json={"limit": 100}).json()["ready"]}
    assert done(other, item, "claim")["fence"] == 2
    for verb in ("heartbeat", "release", "complete"):
        late = refused(api, item, verb, fence=1)
        assert (late["code"], "its fence is 2" in late["detail"]) == ("claim-lost", True)
    assert done(other, item, "release", fence=2)["status"] == "pending"
    assert done(api, item, "claim")["fence"] == 3


def test_two_agents_of_one_person_are_told_apart_by_their_sessions(
    api: httpx2.Client, project: dict[str, Any], item: dict[str, Any]
) -> None:
    one, other = session(api, project), session(api, project)
    fence = done(api, item, "claim", session_id=one)["fence"]
    assert refused(api, item, "claim", session_id=other)["code"] == "claimed"
    assert "who holds it" in refused(api, item, "complete", session_id=other, fence=fence)["detail"]
    assert done(api, item, "claim", session_id=one)["fence"] == fence + 1


def test_what_is_handed_on_is_told_to_the_next_session(
    api: httpx2.Client, project: dict[str, Any], item: dict[str, Any]
) -> None:
    first = session(api, project)
    fence = done(api, item, "claim", session_id=first)["fence"]
    left = {"done": ["cabled"], "remaining": ["name the ports"], "decisions": ["LACP on 1 and 2"], "uncertain": []}
    assert done(api, item, "handoff", session_id=first, fence=fence, **left)["status"] == "pending"
    kept = api.get(f"/sessions/{first}").json()["handoff"]
    assert kept == {"work_item_id": item["id"], "title": item["title"]} | {k: v for k, v in left.items() if v}
    without = api.post(f"/work-items/{item['id']}/claim", json={}).json()
    answer = api.post(f"/work-items/{item['id']}/handoff", json={"fence": without["fence"], **left})
    assert (answer.status_code, answer.json()["field"]) == (422, "session_id")


def test_nobody_approves_their_own_work(api: httpx2.Client, project: dict[str, Any], item: dict[str, Any]) -> None:
    did, looked = session(api, project), session(api, project)
    fence = done(api, item, "claim", session_id=did)["fence"]
    assert refused(api, item, "approve", session_id=looked)["code"] == "not-done"
    done(api, item, "complete", session_id=did, fence=fence)
    assert refused(api, item, "approve", session_id=did)["code"] == "own-work"
    done(api, item, "approve", session_id=looked)
    assert api.get(f"/work-items/{item['id']}").json()["approved_by_session"] == looked


def test_of_eight_that_claim_everything_each_item_goes_to_one(
    api: httpx2.Client, hub: TestHub, project: dict[str, Any]
) -> None:
    items = api.post(
        "/work-items",
        json=[{"project_id": project["id"], "title": f"Port {n}", "status": "pending"} for n in range(40)],
    ).json()
    won: Counter[str] = Counter()
    lock = threading.Lock()

    def claim_all(token: str) -> None:
        client = hub.client(token)
        for each in items:
            answer = client.post(f"/work-items/{each['id']}/claim", json={})
            assert answer.status_code in {200, 409}, answer.text
            if answer.status_code == 200:
                with lock:
                    won[each["id"]] += 1

    tokens = [hub.token() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claim_all, tokens))
    assert won == Counter({each["id"]: 1 for each in items})


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("claim", {"lease_seconds": 1}),
        ("claim", {"lease_seconds": 10**9}),
        ("claim", {"session_id": "0199a2c0-5b1e-7c3a-9f00-5d2f6b7a8c9d"}),
        ("heartbeat", {}),
        ("complete", {"fence": "one"}),
        ("handoff", {"fence": 1, "done": ["x" * 3_000]}),
        ("approve", {}),
    ],
)
def test_bad_bodies(api: httpx2.Client, item: dict[str, Any], verb: str, body: dict[str, Any]) -> None:
    answer = api.post(f"/work-items/{item['id']}/{verb}", json=body)
    assert answer.status_code == 422, answer.text
    assert api.get(f"/work-items/{item['id']}").json()["version"] == item["version"]
