"""What the committed OpenAPI document promises: operations counted, look-ups by their paths, and each explained."""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance import rules
from tests.conformance.rows import Rows
from worklore.kernel import handles
from worklore.kernel.db import Base
from worklore.kernel.resource import Resource
from worklore.kernel.wire import WireModel, wire
from worklore.resources import CATALOG, RESOURCES
from worklore.surfaces.examples import AN_ID, examples

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs/reference/openapi.json").read_text())
WORK_RECORD = (
    "machines",
    "clients",
    "projects",
    "sessions",
    "tags",
    "work-items",
    "tasks",
    "billable-time",
    "sites",
    "infrastructure",
    "services",
    "networks",
    "firewall-rules",
    "m365-tenants",
    "credentials",
    "credential-audit-logs",
    "security-incidents",
    "conversation-contexts",
    "context-snippets",
    "project-states",
    "decision-logs",
)
READS = (
    "work-items/by-project/{value}",
    "billable-time/by-session/{value}",
    "billable-time/by-work-item/{value}",
    "sites/by-client/{value}",
    "networks/by-client/{value}",
    "m365-tenants/by-client/{value}",
    "credentials/by-client/{value}",
    "security-incidents/by-client/{value}",
    "infrastructure/by-site/{value}",
    "infrastructure/by-client/{value}",
    "security-incidents/by-status/{value}",
    "conversation-contexts/by-project/{value}",
    "conversation-contexts/by-session/{value}",
    "conversation-contexts/recall",
    "context-snippets/by-project/{value}",
    "context-snippets/by-client/{value}",
    "context-snippets/by-tags",
    "context-snippets/top-relevant",
    "project-states/by-project/{value}",
    "decision-logs/by-project/{value}",
    "decision-logs/by-session/{value}",
    "decision-logs/by-impact/{value}",
    "decision-logs/by-type/{value}",
    "decision-logs/by-tags",
    "decision-logs/recent",
    "credential-audit-logs/by-credential/{value}",
    "credential-audit-logs/by-user/{value}",
)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path.removeprefix("/api/v1/"), method, operation


def test_the_work_record_has_at_least_130_operations() -> None:
    found = {noun: [path for path, _, _ in operations() if path.partition("/")[0] == noun] for noun in WORK_RECORD}
    assert all(len(paths) >= 2 for paths in found.values()), found
    assert sum(len(paths) for paths in found.values()) >= 130


@pytest.mark.parametrize("path", READS)
def test_the_reads_that_people_know_are_there(path: str) -> None:
    assert "get" in DOCUMENT["paths"][f"/api/v1/{path}"]


def test_the_state_of_a_project_can_be_put() -> None:
    assert "put" in DOCUMENT["paths"]["/api/v1/project-states/by-project/{value}"]


def test_every_operation_says_what_it_is_and_what_it_needs() -> None:
    names: list[str] = []
    for path, method, operation in operations():
        names.append(operation["operationId"])
        assert operation["tags"], path
        assert operation.get("description"), (method, path)
        assert operation["x-risk"] in {"read", "write", "destructive", "secret"}, path
        # What everybody may do about themselves, and see of where the audit stands.
        own = path == "me" or path.startswith(("auth/", "audit/checkpoint"))
        assert own or "x-scope" in operation or operation.get("security") == [], path
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None and "x-scope" in operation and "$ref" not in body["schema"]:
            assert "example" in body, (method, path)
    assert len(names) == len(set(names))


def test_every_reference_in_the_document_leads_somewhere() -> None:
    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "$ref":
                    yield inner
                else:
                    yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    for reference in set(walk(DOCUMENT)):
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, reference
            place = place[step]


def test_the_examples_of_a_noun_fit_its_schemas(noun: Resource) -> None:
    schemas, shown = wire(noun), examples(noun)
    schemas.create.model_validate(shown["create"])
    schemas.patch.model_validate(shown["patch"])
    assert set(shown["read"]) == set(schemas.fields)
    schemas.read.model_validate(shown["read"])


def test_the_example_of_a_new_record_makes_one(creatable: Resource, sqlite_rows: Rows) -> None:
    """With the ids of records that are there, and words that no other record has."""
    body = dict(examples(creatable)["create"])
    for name in body:
        column = creatable.table.c[name]
        for key in column.foreign_keys:
            body[name] = sqlite_rows.parent(CATALOG.by_table[key.column.table.description])
        if creatable.is_unique(name) and not column.foreign_keys:
            body[name] = sqlite_rows.value(column)
    if creatable.name in rules.MAKERS and any(creatable.table.c[name].foreign_keys for name in body):
        rules.MAKERS[creatable.name](sqlite_rows, body)
    answer = sqlite_rows.api.post(f"/{creatable.plural}", json=body)
    assert answer.status_code == 201, (body, answer.text)


def test_every_look_up_gives_what_the_filter_gives(rows: Rows) -> None:
    for resource in RESOURCES:
        for name, field in resource.by:
            sample = rows.create(resource, full=True)
            value = sample[field.key]
            assert value is not None, (resource.name, name)
            found = rows.api.get(f"/{resource.plural}/by-{name}/{quote(str(value), safe='')}")
            assert found.status_code == 200, (resource.name, name, found.text)
            if resource.is_unique(field.key):
                assert found.json() == sample
                continue
            filtered = rows.api.get(f"/{resource.plural}", params={field.key: value})
            assert found.json() == filtered.json()
            assert sample["id"] in [item["id"] for item in found.json()["items"]] or found.json()["next"]


def test_a_look_up_of_a_parent_that_is_not_there_is_not_found(sqlite_rows: Rows) -> None:
    api = sqlite_rows.api
    for path in ("sites/by-client", "work-items/by-project", "project-states/by-project"):
        for key in (uuid.uuid4(), AN_ID, "nonsense"):
            answer = api.get(f"/{path}/{key}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), answer.text
    refused = api.get("/security-incidents/by-status/forgotten")
    assert (refused.status_code, refused.json()["code"]) == (400, "filter-value")


def test_the_state_of_a_project_is_made_and_then_changed_by_put(rows: Rows) -> None:
    project = rows.create(CATALOG.by_name["project"])["id"]
    path = f"/project-states/by-project/{project}"
    made = rows.api.put(path, json={"current_phase": "build", "blockers": ["licence"]})
    assert made.status_code == 201, made.text
    assert made.headers["location"].endswith(made.json()["id"])
    machine = rows.machine()
    assert machine.put(path, json={"progress_percentage": 40}).status_code == 428
    changed = machine.put(path, json={"progress_percentage": 40}, headers={"if-match": made.headers["etag"]})
    assert changed.status_code == 200, changed.text
    assert changed.json() | {"version": 0, "updated_at": 0} == made.json() | {
        "progress_percentage": 40,
        "version": 0,
        "updated_at": 0,
    }
    stale = machine.put(path, json={"progress_percentage": 50}, headers={"if-match": made.headers["etag"]})
    assert (stale.status_code, stale.json()["current"]["progress_percentage"]) == (412, 40)
    other = rows.create(CATALOG.by_name["project"])["id"]
    assert rows.api.put(path, json={"project_id": other}).status_code == 422
    assert rows.api.put(path, json={"progress_percentage": 101}).status_code == 422
    assert rows.api.put(path, json=["no object"]).status_code == 422
    assert rows.api.get(path).json()["progress_percentage"] == 40


def test_a_key_makes_a_put_happen_once(rows: Rows) -> None:
    project = rows.create(CATALOG.by_name["project"])["id"]
    path, key = f"/project-states/by-project/{project}", {"idempotency-key": rows.word()}
    first = rows.api.put(path, json={"progress_percentage": 1}, headers=key)
    again = rows.api.put(path, json={"progress_percentage": 1}, headers=key)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, first.json(), "true")


def test_snippets_and_contexts_are_found_by_their_tags(rows: Rows) -> None:
    word = rows.word()
    project = rows.create(CATALOG.by_name["project"])["id"]
    noun = CATALOG.by_name["snippet"]
    both = rows.create(noun, tags=[f"{word} VPN", f"{word} dns"], relevance_score=2.0)
    one = rows.create(noun, tags=[f"  {word}   vpn "], relevance_score=9.0)
    rows.create(noun, tags=[f"{word} other"])

    def by(tags: str, **more: str) -> list[str]:
        answer = rows.api.get("/context-snippets/by-tags", params={"tags": tags, **more})
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    assert by(f"{word} vpn") == [one["id"], both["id"]]
    assert by(f"{word} dns,{word} nothing") == [both["id"]]
    assert by(f"{word} vpn", sort="relevance_score", limit="1") == [both["id"]]
    changed = rows.api.patch(f"/context-snippets/{both['id']}", json={"tags": [f"{word} vpn"]})
    assert changed.status_code == 200, changed.text
    assert by(f"{word} dns") == []
    assert rows.api.delete(f"/context-snippets/{one['id']}", params={"cascade": "true"}).status_code == 204
    assert by(f"{word} vpn") == [both["id"]]
    context = rows.create(CATALOG.by_name["context"], project_id=project, tags=[word], relevance_score=3.0)
    known = {"project_id": project, "tags": word}
    assert [item["id"] for item in rows.api.get("/conversation-contexts/recall", params=known).json()["items"]] == [
        context["id"]
    ]
    high = rows.api.get("/conversation-contexts/recall", params={**known, "min_relevance_score": "3.5"})
    assert high.json()["items"] == []
    assert rows.api.get("/context-snippets/by-tags").status_code == 400
    assert rows.api.get("/context-snippets/by-tags", params={"tags": "x", "nonsense": "1"}).status_code == 400
    assert rows.api.get("/context-snippets/top-relevant", params={"min_relevance_score": "11"}).status_code == 400


def test_a_tag_that_is_too_long_or_empty_is_refused(rows: Rows) -> None:
    body = rows.body(CATALOG.by_name["snippet"], full=False)
    for tags in ([""], ["x" * 101]):
        answer = rows.api.post("/context-snippets", json={**body, "tags": tags})
        assert (answer.status_code, answer.json()["field"]) == (422, "tags"), answer.text


def test_the_latest_decisions_come_first_and_pages_follow_each_other(rows: Rows) -> None:
    project = rows.create(CATALOG.by_name["project"])["id"]
    made = [rows.create(CATALOG.by_name["decision"], project_id=project)["id"] for _ in range(5)]
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = rows.api.get("/decision-logs/recent", params={"project_id": project, "limit": "2", **after}).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == made[::-1]


def test_others_look_ups_stay_hidden(rows: Rows) -> None:
    _, stranger = rows.stranger()
    site = rows.create(CATALOG.by_name["site"], full=True)
    assert stranger.get(f"/sites/by-client/{site['client_id']}").status_code == 404
    project = rows.create(CATALOG.by_name["project"], client_id=rows.client)["id"]
    rows.api.put(f"/project-states/by-project/{project}", json={})
    assert stranger.get(f"/project-states/by-project/{project}").status_code == 404
    assert stranger.put(f"/project-states/by-project/{project}", json={}).status_code in {404, 422}


def test_the_document_is_served_from_memory_and_known_by_its_tag(sqlite_rows: Rows) -> None:
    api = sqlite_rows.api
    first = api.get("/../openapi.json")
    assert first.status_code == 200
    assert first.json() == DOCUMENT
    again = api.get("/../openapi.json", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


KERNEL = "mechanism of the hub, no part of the record"
KEYS = "keys are looked after on the hub's own machine"
UNOFFERED = {
    "agent_clients": "a limit of an agent: set with the agent's own rights",
    "api_token_clients": "a limit of a token: set when it is made",
    "audit_checkpoints": KERNEL,
    "audit_cuts": KERNEL,
    "audit_log": "offered as /audit, with filters of its own",
    "client_keys": KEYS,
    "deployment_links": "a link, made and removed by the deployment event's verbs",
    "handles": KERNEL,
    "hub_nodes": KERNEL,
    "idempotency_keys": KERNEL,
    "infrastructure_tags": "a link, made and removed by the verbs tag and untag",
    "outbox_events": KERNEL,
    "memory_vectors": "made from the windows in the background: a recall says how much of it there is",
    "pattern_evidence": "what a failure pattern was drawn from: told by its counts",
    "refresh_tokens": "told and ended by their refresh-family",
    "restore_epochs": KERNEL,
    "schema_migrations": "told by `worklore db current`",
    "second_factors": "a person's own: told by /me, changed below /auth",
    "sequences": KERNEL,
    "session_news": KERNEL,
    "session_tags": "a link, made and removed by the verbs tag and untag",
    "setup_codes": "a one-time code, shown once by the verb that makes it",
    "signing_keys": KEYS,
    "task_branch_links": "a link, made and removed by the verbs link-git and unlink-git",
    "task_commit_links": "a link, made and removed by the verbs link-git and unlink-git",
    "tombstones": "told by `since` on every list",
    "transcript_cursors": "told by /capture",
    "user_clients": "a limit of a person: set with the person's own rights",
    "vault_keys": KEYS,
    "vendor_deployment_links": "a link, made and removed by the deployment event's verbs",
    "work_item_dependencies": "a link, made and removed by the dependency verbs",
    "work_item_deployment_links": "a link, made and removed by the deployment event's verbs",
    "work_item_tags": "a link, made and removed by the verbs tag and untag",
    "workflow_tasks": "a link, made and removed by the verbs add-tasks and remove-tasks",
}
"""Tables without operations of their own, and why."""


def test_every_table_is_offered_or_says_why_not() -> None:
    tables = {mapper.local_table.description for mapper in Base.registry.mappers} | {handles.Handle.__tablename__}
    assert tables - CATALOG.by_table.keys() == UNOFFERED.keys()


def test_no_two_models_share_a_name() -> None:
    """The document names schemas by their classes: of two that share a name it would show one for both."""
    known: dict[str, set[type]] = defaultdict(set)
    waiting = [WireModel]
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        known[model.__name__].add(model)
    made_by_hand = {name: models for name, models in known.items() if not name.startswith("_")}
    assert {name for name, models in made_by_hand.items() if len({each.__module__ for each in models}) > 1} == set()
