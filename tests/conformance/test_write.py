"""Creating, changing and deleting, for every noun on every database."""

import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from tests.conformance.rules import FOLDED, REFILLED, TIED, UNRELATED, follows, plain_field
from worklore.kernel.audit import AuditEntry
from worklore.kernel.crud import children
from worklore.kernel.query import filterable
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.wire import wire
from worklore.resources import RESOURCES


def code(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "code", "detail", "request_id"} <= problem.keys()
    assert problem["status"] == answer.status_code
    return answer.status_code, problem["code"]


def settable(resource: Resource) -> dict[str, Any]:
    return dict(wire(resource).patch.model_fields)


def nullable(resource: Resource) -> list[str]:
    """Fields that may be emptied; the client last, for it follows from what else a record names."""
    names = [name for name in settable(resource) if resource.table.c[name].nullable]
    return sorted(names, key=lambda name: name == "client_id")


# --- create ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [True, False], ids=["full", "minimal"])
def test_what_was_sent_is_what_is_read(creatable: Resource, rows: Any, api: httpx2.Client, *, full: bool) -> None:
    body = rows.body(creatable, full=full)
    made = api.post(f"/{creatable.plural}", json=body)
    assert made.status_code == 201, made.text
    record = made.json()
    assert {name: record[name] for name in body} == body
    assert made.headers["location"] == f"/api/v1/{creatable.plural}/{record['id']}"
    assert record.keys() == wire(creatable).fields.keys()
    read = api.get(f"/{creatable.plural}/{record['id']}")
    assert read.json() == record
    assert read.headers["etag"] == made.headers["etag"] == '"1"'


def test_a_record_may_bring_its_own_id_once(creatable: Resource, rows: Any, api: httpx2.Client) -> None:
    key = rows.key()
    assert api.post(f"/{creatable.plural}", json=rows.body(creatable, id=key)).json()["id"] == key
    again = api.post(f"/{creatable.plural}", json=rows.body(creatable, id=key))
    assert code(again) == (409, "duplicate")


def test_unknown_fields_are_refused(creatable: Resource, sqlite_rows: Any) -> None:
    answer = sqlite_rows.api.post(f"/{creatable.plural}", json=sqlite_rows.body(creatable) | {"surprise": 1})
    assert code(answer) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["surprise"]


def test_fields_of_the_hub_cannot_be_set(creatable: Resource, sqlite_rows: Any) -> None:
    rows, api = sqlite_rows, sqlite_rows.api
    refused = ["version", "created_at", *(field.key for field in (*creatable.server_set, *creatable.hidden))]
    body = rows.body(creatable)
    record = rows.create(creatable)
    for name in refused:
        for answer in (
            api.post(f"/{creatable.plural}", json=body | {name: 7}),
            api.patch(f"/{creatable.plural}/{record['id']}", json={name: 7}),
        ):
            assert code(answer) == (422, "invalid"), name
    assert rows.read(creatable, record["id"]) == record


def test_each_needed_field_is_missed(creatable: Resource, sqlite_rows: Any) -> None:
    rows, api = sqlite_rows, sqlite_rows.api
    minimal = rows.body(creatable, full=False)
    for name, field in wire(creatable).create.model_fields.items():
        if field.is_required():
            answer = api.post(f"/{creatable.plural}", json={key: minimal[key] for key in minimal if key != name})
            assert code(answer) == (422, "invalid"), name
            assert name in [error["field"] for error in answer.json()["errors"]]


def test_a_parent_must_exist(creatable: Resource, rows: Any, api: httpx2.Client) -> None:
    for column in creatable.table.columns:
        if column.foreign_keys and column.name in settable(creatable):
            answer = api.post(f"/{creatable.plural}", json=rows.body(creatable) | {column.name: str(uuid.uuid4())})
            # What the other parents say of the client is looked at first, where a record names several.
            assert code(answer) in {(422, "reference-missing"), (422, "invalid")}, (column.name, answer.text)
            if answer.json()["code"] == "invalid":
                assert column.name == "client_id" or answer.json()["field"] == column.name, answer.text


def test_unique_fields_tell_case_and_spaces_apart(creatable: Resource, rows: Any, api: httpx2.Client) -> None:
    for column in creatable.table.columns:
        # Text of a form, such as an address, is no place for spaces and the like.
        folded = (creatable.name, column.name) in FOLDED
        if not column.unique or column.name not in settable(creatable) or "form" in column.info or folded:
            continue
        word = "Groß" + rows.word() + "@"
        for text in (word, word.upper(), word.replace("ß", "ss"), word + " ", word.replace("o", "ö"), word + "🛠️"):
            body = rows.body(creatable) | {column.name: text}
            answer = api.post(f"/{creatable.plural}", json=body)
            assert answer.status_code == 201, (column.name, text, answer.text)
            if column.name in filterable(creatable):
                found = api.get(f"/{creatable.plural}", params={column.name: text})
                assert found.json()["items"] == [answer.json()]
            again = api.post(f"/{creatable.plural}", json=rows.body(creatable) | {column.name: text})
            assert code(again) == (409, "duplicate")
            assert again.json()["fields"] == [column.name]


def test_text_that_no_database_keeps_is_refused(creatable: Resource, sqlite_rows: Any) -> None:
    rows, api = sqlite_rows, sqlite_rows.api
    record = rows.create(creatable)
    for name, column in wire(creatable).fields.items():
        if name in settable(creatable) and column.type.python_type is str and not column.foreign_keys:
            for text in (r'"a\u0000b"', r'"a\ud800b"'):
                answer = api.patch(f"/{creatable.plural}/{record['id']}", content=f'{{"{name}": {text}}}')
                assert code(answer)[0] == 422, (name, text)


# --- several at once ------------------------------------------------------------------------------------------------


def test_several_are_made_changed_and_deleted_or_none(changeable: Resource, rows: Any, api: httpx2.Client) -> None:
    route = f"/{changeable.plural}"
    made = api.post(route, json=[rows.body(changeable) for _ in range(3)])
    assert made.status_code == 201, made.text
    ids = [record["id"] for record in made.json()]

    spoilt = api.post(route, json=[rows.body(changeable, id=(lost := rows.key())), rows.body(changeable, id=ids[0])])
    assert code(spoilt) == (409, "duplicate")
    assert code(api.get(f"{route}/{lost}")) == (404, "not-found")

    other = rows.body(changeable)
    name = plain_field(changeable, made.json()[0], other)
    value = other[name]
    stale = api.patch(
        route, json=[{"id": ids[0], "version": 1, name: value}, {"id": ids[1], "version": 9, name: value}]
    )
    assert code(stale) == (412, "stale-version")
    assert rows.read(changeable, ids[0]) == made.json()[0]
    unknown = api.patch(route, json=[{"id": ids[0], name: value}, {"id": rows.key(), name: value}])
    assert code(unknown) == (404, "not-found")
    invalid = api.patch(route, json=[{"id": ids[0], name: value}, {"id": ids[1], "surprise": value}])
    assert code(invalid) == (422, "invalid")
    assert invalid.json()["item"] == 1
    assert rows.read(changeable, ids[0]) == made.json()[0]

    assert api.request("DELETE", route, json=[{"id": ids[2]}, {"id": rows.key()}]).status_code == 404
    assert (
        code(api.request("DELETE", route, json=[{"id": ids[1], "version": 1}, {"id": ids[2], "version": 9}]))[0] == 412
    )
    assert len(api.get(route, params={"id__in": ",".join(ids)}).json()["items"]) == 3
    assert api.request("DELETE", route, json=[{"id": key, "version": 1} for key in ids]).status_code == 204
    assert api.get(route, params={"id__in": ",".join(ids)}).json()["items"] == []


# --- change ---------------------------------------------------------------------------------------------------------


def test_each_field_changes_alone(changeable: Resource, rows: Any, api: httpx2.Client) -> None:
    record, other = rows.create(changeable, full=True), rows.body(changeable, full=True)
    for name in settable(changeable):
        if name not in other:
            continue
        answer = api.patch(f"/{changeable.plural}/{record['id']}", json={name: other[name]})
        if (changeable.name, name) in TIED:
            assert code(answer) == (422, "invalid"), f"{name} is no longer tied"
            continue
        assert answer.status_code == 200, (name, answer.text)
        changed = {key for key in record if record[key] != answer.json()[key]} - {"updated_at"}
        moved = record[name] != other[name]
        assert changed == ({name, "version"} | follows(changeable, name) if moved else set()), name
        assert answer.json()["version"] == record["version"] + moved
        record = answer.json()
    assert rows.read(changeable, record["id"]) == record


def test_null_on_creation_is_null(creatable: Resource, rows: Any, api: httpx2.Client) -> None:
    emptied = {name: None for name in nullable(creatable) if creatable.table.c[name].default is not None}
    answer = api.post(f"/{creatable.plural}", json=rows.body(creatable) | emptied)
    assert answer.status_code == 201, answer.text
    assert {name: answer.json()[name] for name in emptied} == emptied


def test_null_empties_and_absent_keeps(changeable: Resource, rows: Any, api: httpx2.Client) -> None:
    record = rows.create(changeable, full=True)
    route = f"/{changeable.plural}/{record['id']}"
    for name in nullable(changeable):
        answer = api.patch(route, json={name: None})
        assert answer.status_code == 200, (name, answer.text)
        stays = (changeable.name, name) in REFILLED
        assert (answer.json()[name] is not None) == stays, name
    emptied = rows.read(changeable, record["id"])
    untouched = settable(changeable).keys() - set(nullable(changeable))
    assert {name: emptied[name] for name in untouched} == {name: record[name] for name in untouched}
    for name in settable(changeable).keys() - set(nullable(changeable)):
        if not changeable.table.c[name].nullable:
            assert code(api.patch(route, json={name: None})) == (422, "invalid"), name


def test_a_change_of_nothing_changes_nothing(changeable: Resource, rows: Any, api: httpx2.Client) -> None:
    record = rows.create(changeable, full=True)
    same = {name: record[name] for name in settable(changeable)}
    for body in ({}, same):
        answer = api.patch(f"/{changeable.plural}/{record['id']}", json=body, headers={"if-match": '"1"'})
        assert answer.status_code == 200, answer.text
        assert answer.json() == record


def test_a_stale_version_is_refused_with_the_present_row(changeable: Resource, rows: Any, api: httpx2.Client) -> None:
    record, other = rows.create(changeable), rows.body(changeable)
    route = f"/{changeable.plural}/{record['id']}"
    name = plain_field(changeable, record, other)
    moved = api.patch(route, json={name: other[name]}, headers={"if-match": '"1"'})
    assert moved.headers["etag"] == '"2"'
    for answer in (
        api.patch(route, json={name: record[name]}, headers={"if-match": '"1"'}),
        api.delete(route, headers={"if-match": '"1"'}) if Verb.delete in changeable.verbs else None,
    ):
        if answer is not None:
            assert code(answer) == (412, "stale-version")
            assert answer.json()["current"] == moved.json()
    assert rows.read(changeable, record["id"]) == moved.json()


def test_a_machine_must_say_which_version_it_read(changeable: Resource, sqlite_rows: Any) -> None:
    rows, machine_api = sqlite_rows, sqlite_rows.machine()
    record = rows.create(changeable)
    route = f"/{changeable.plural}/{record['id']}"
    assert code(machine_api.patch(route, json={})) == (428, "version-required")
    assert code(machine_api.delete(route)) == (428, "version-required")
    assert code(machine_api.patch(f"/{changeable.plural}", json=[{"id": record["id"]}])) == (428, "version-required")
    assert rows.read(changeable, record["id"]) == record
    assert machine_api.patch(route, json={}, headers={"if-match": '"1"'}).status_code == 200
    assert machine_api.delete(route, headers={"if-match": 'W/"1"'}).status_code == 204


@pytest.mark.parametrize(
    "tag", ["²", "abc", '"1', '"' + "9" * 5000 + '"', ""], ids=["superscript", "word", "torn", "huge", "empty"]
)
def test_an_etag_the_hub_never_gave_is_refused(api: httpx2.Client, rows: Any, tag: str) -> None:
    resource = next(resource for resource in RESOURCES if resource.name == "client")
    record = rows.create(resource)
    answer = api.patch(f"/clients/{record['id']}", json={"notes": "x"}, headers={"if-match": tag.encode("latin-1")})
    assert code(answer) == (400, "etag-invalid")


# --- dry run --------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_and_changes_nothing(changeable: Resource, rows: Any, hub: Any, api: httpx2.Client) -> None:
    record, other = rows.create(changeable), rows.body(changeable, full=True)
    route = f"/{changeable.plural}/{record['id']}"
    name = plain_field(changeable, record, other)
    key = rows.key()
    made = api.post(f"/{changeable.plural}?dry_run=true", json=other | {"id": key})
    assert (made.status_code, made.headers["dry-run"]) == (201, "true"), made.text
    assert {field: made.json()[field] for field in other} == other
    assert api.get(f"/{changeable.plural}/{key}").status_code == 404
    patched = api.patch(f"{route}?dry_run=true", json={name: other[name]})
    assert patched.json()[name] == other[name]
    removed = api.delete(f"{route}?dry_run=true")
    assert removed.status_code == 200
    assert removed.json()["would_delete"][-1] == {"noun": changeable.name, "id": record["id"]}
    assert rows.read(changeable, record["id"]) == record
    with hub.database.reading.connect() as connection:
        found = connection.execute(select(AuditEntry.action).where(AuditEntry.record_id == uuid.UUID(record["id"])))
        assert found.scalars().all() == ["create"]


# --- delete ---------------------------------------------------------------------------------------------------------


def test_what_is_deleted_is_gone_and_told_of(removable: Resource, rows: Any, api: httpx2.Client) -> None:
    before, record = rows.create(removable), rows.create(removable)
    version = {"if-match": f'"{record["version"]}"'}
    answer = api.delete(f"/{removable.plural}/{record['id']}", headers=version)
    assert answer.status_code == 204, answer.text
    assert code(api.get(f"/{removable.plural}/{record['id']}")) == (404, "not-found")
    assert code(api.delete(f"/{removable.plural}/{record['id']}")) == (404, "not-found")
    if "created_at" not in record:
        return
    deleted = api.get(f"/{removable.plural}", params={"since": before["created_at"]}).json()["deleted"]
    assert record["id"] in [gone["id"] for gone in deleted]
    assert before["id"] not in [gone["id"] for gone in deleted]


def dependents(resource: Resource) -> list[tuple[str, Resource, str]]:
    """Column, noun and rule of each foreign key at a noun that deletes are asked of, if records can be made with it."""
    found: list[tuple[str, Resource, str]] = []
    for key, model in children(resource.model):
        child = next((known for known in RESOURCES if known.model is model), None)
        if child is None or child is resource or (child.name, key.parent.name) in UNRELATED:
            continue
        if Verb.create not in child.verbs or key.parent.name in wire(child).create.model_fields:
            found.append((key.parent.name, child, key.ondelete or "RESTRICT"))
    return found


def test_children_hold_their_parent_or_go_with_it(removable: Resource, rows: Any, hub: Any, api: httpx2.Client) -> None:
    for column, child, rule in dependents(removable):
        parent = rows.create(removable)
        record = rows.create(child, **{column: parent["id"]})
        route = f"/{removable.plural}/{parent['id']}"
        if rule == "SET NULL":
            assert api.delete(route).status_code == 204, (child.name, column)
            assert rows.read(child, record["id"])[column] is None
            continue
        if child.model.derived:
            assert api.delete(route).status_code == 204, (child.name, column)
            assert api.get(f"/{child.plural}/{record['id']}").status_code == 404
            continue
        refused = api.delete(route)
        assert code(refused) == (409, "has-children"), (child.name, column)
        told = {entry["noun"]: entry for entry in refused.json()["children"]}
        assert told[child.name] == {
            "noun": child.name,
            "count": 1,
            "ids": [record["id"]],
            "cascades": rule == "CASCADE",
        }
        rows.read(removable, parent["id"])
        cascade = api.delete(f"{route}?cascade=true")
        if rule == "RESTRICT":
            assert code(cascade) == (409, "has-children")
            rows.read(child, record["id"])
            continue
        assert cascade.status_code == 204, cascade.text
        assert api.get(f"/{child.plural}/{record['id']}").status_code == 404
        if not child.model.audited:
            continue
        with hub.database.reading.connect() as connection:
            found = select(AuditEntry.action).where(AuditEntry.record_id == uuid.UUID(record["id"]))
            found = found.order_by(AuditEntry.at, AuditEntry.id)
            assert list(connection.execute(found).scalars())[-1] == "delete"
