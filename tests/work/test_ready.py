"""Ready work, held against a naive model of whatever graph, and what the rest is said to wait for."""

from dataclasses import dataclass, field
from typing import Any

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import unique
from tests.work.test_claims import made

PAST, FUTURE = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


@dataclass
class Naive:
    """A work item as anybody would think of it."""

    status: str
    parent: "Naive | None"
    gate: tuple[str, str | None] | None
    waits: "list[Naive]" = field(default_factory=list)
    parts: "list[Naive]" = field(default_factory=list)
    put_away: bool = False

    @property
    def finished(self) -> bool:
        return self.status in {"completed", "cancelled"} or self.put_away

    @property
    def held_up(self) -> bool:
        gate = self.gate is not None and self.gate[0] != "passed" and self.gate[1] != PAST
        waits = any(not other.finished for other in self.waits)
        return self.put_away or self.status in {"blocked", "deferred", "cancelled"} or gate or waits

    @property
    def ready(self) -> bool:
        up, above = self, False
        while up.parent is not None:
            up = up.parent
            above = above or up.held_up
        parts = any(not part.finished for part in self.parts)
        return self.status in {"pending", "active"} and not self.held_up and not above and not parts


STATUSES = st.sampled_from(["pending", "active", "active", "blocked", "deferred", "cancelled", "completed"])
GATES = st.none() | st.sampled_from(
    [("waiting", None), ("passed", None), ("refused", None), ("waiting", PAST), ("waiting", FUTURE)]
)
ITEMS = st.lists(st.tuples(STATUSES, st.integers(0, 30), GATES, st.booleans(), st.booleans()), min_size=1, max_size=9)
EDGES = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.booleans()), max_size=8)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ITEMS, EDGES)
def test_what_is_ready_is_what_anybody_would_think(
    api: httpx2.Client, items: list[tuple[Any, ...]], edges: list[tuple[int, int, bool]]
) -> None:
    client = made(api, "clients", name=unique("client"), type="msp_client")
    project = made(api, "projects", client_id=client["id"], name=unique("project"))["id"]
    naive: list[Naive] = []
    real: list[dict[str, Any]] = []
    for status, parent, gate, put_away, hung in items:
        below = parent % len(naive) if naive and hung else None
        if below is not None and real[below]["depth"] == 5:
            below = None
        body = {"project_id": project, "title": unique("item"), "status": status}
        if below is not None:
            body["parent_id"] = real[below]["id"]
        if put_away:
            body["deleted_at"] = PAST
        real.append(made(api, "work-items", **body))
        naive.append(Naive(status, naive[below] if below is not None else None, gate, put_away=put_away))
        if below is not None:
            naive[below].parts.append(naive[-1])
        if gate is not None:
            state, at = gate
            kind = {"kind": "time", "condition": {"at": at}} if at else {"kind": "decision"}
            made(api, "gates", work_item_id=real[-1]["id"], state=state, **kind)
    for one, other, depends in edges:
        low, high = sorted((one % len(real), other % len(real)))
        if low == high or naive[high] in naive[low].waits:
            continue
        # What comes later waits for what came before: no circle.
        source, target = (high, low) if depends else (low, high)
        kind = "depends_on" if depends else "blocks"
        answer = api.post(
            f"/work-items/{real[source]['id']}/add-dependency",
            json={"target_id": real[target]["id"], "dependency_type": kind},
        )
        if answer.status_code == 200:
            naive[high].waits.append(naive[low])
    found = api.post("/ready-work", json={"project_id": project, "limit": 100, "explain": True}).json()
    assert {each["id"] for each in found["ready"]} == {
        item["id"] for item, thought in zip(real, naive, strict=True) if thought.ready
    }
    opened = {
        item["id"]
        for item, thought in zip(real, naive, strict=True)
        if thought.status in {"pending", "active"} and not thought.put_away and not thought.ready
    }
    assert {each["id"] for each in found["waiting"]} == opened
    assert all(each["obstacles"] for each in found["waiting"])


def test_each_obstacle_is_named(api: httpx2.Client) -> None:
    client = made(api, "clients", name=unique("client"), type="msp_client")
    project = made(api, "projects", client_id=client["id"], name=unique("project"))["id"]
    top = made(api, "work-items", project_id=project, title="Move the mail", status="pending")
    low = made(api, "work-items", project_id=project, title="Low", priority="low", status="pending")
    part = made(api, "work-items", parent_id=top["id"], title="Copy the boxes", priority="critical", status="pending")
    made(api, "gates", work_item_id=top["id"], kind="time", condition={"at": FUTURE})
    api.post(
        f"/work-items/{part['id']}/add-dependency",
        json={"target_id": low["id"], "dependency_type": "depends_on"},
    ).raise_for_status()
    found = api.post("/ready-work", json={"project_id": project, "explain": True}).json()
    assert [each["title"] for each in found["ready"]] == ["Low"]
    told = {each["title"]: [obstacle["text"] for obstacle in each["obstacles"]] for each in found["waiting"]}
    assert told == {
        "Copy the boxes": [
            "waits for “Low”, which is pending",
            f"what it is a part of is held up: waits until {FUTURE}",
        ],
        "Move the mail": [f"waits until {FUTURE}", "1 of its parts are unfinished"],
    }
    refused = api.post(f"/work-items/{part['id']}/claim", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "not-ready")
    assert "waits for “Low”" in refused.json()["detail"]
    assert api.post(f"/work-items/{part['id']}/claim", json={"even_if_waiting": True}).status_code == 200
