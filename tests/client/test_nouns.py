"""The commands of every noun, on a real hub."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.conftest import Rows, can
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import uuid7
from worklore.resources import CATALOG
from worklore_cli import catalog, nouns_hub, nouns_shown
from worklore_cli.catalog import Field
from worklore_cli.catalog_values import parse, same, write

from .commands import Technician, technician

CREATABLE = can(Verb.create)
CLIENT = CATALOG.by_name["client"]


@pytest.fixture
def worklore(dialect: str, hubs: Callable[[str], Any], tmp_path: Path) -> Technician:
    return technician(hubs(dialect), tmp_path / "home")


@pytest.fixture
def on_sqlite(hubs: Callable[[str], Any], tmp_path: Path) -> Technician:
    return technician(hubs("sqlite"), tmp_path / "home")


@pytest.fixture
def rows(on_sqlite: Technician) -> Rows:
    return Rows(on_sqlite.hub, on_sqlite.api)


def assignments(noun: Resource, body: dict[str, Any]) -> list[str]:
    fields = catalog.noun(noun.name).fields
    return [f"{name}={write(fields[name], value)}" for name, value in body.items()]


# --- every noun -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noun", CREATABLE, ids=lambda noun: noun.name)
def test_what_is_added_can_be_shown_listed_and_found(noun: Resource, on_sqlite: Technician, rows: Rows) -> None:
    body = rows.body(noun)
    said = on_sqlite(noun.name, "add", *assignments(noun, body))
    key = re.fullmatch(rf"Made {noun.name} (\S+)\n", said.out)[1]
    shown = on_sqlite(noun.name, "show", key, "--json").json
    assert {name: shown[name] for name in body} == body
    assert shown == rows.read(noun, key)
    listed = on_sqlite(noun.name, "list", "--filter", f"id={key}", "--json").json
    assert listed == [shown]
    (row,) = csv.DictReader(io.StringIO(on_sqlite(noun.name, "list", "--filter", f"id={key}", "--csv").out, newline=""))
    fields = catalog.noun(noun.name).fields
    assert {name: parse(fields[name], text) for name, text in row.items()} == shown
    for line in on_sqlite(noun.name, "list", "--limit", "5").out.splitlines():
        assert len(line) <= 80
    people_read = on_sqlite(noun.name, "show", key).out
    assert key in people_read


@pytest.mark.parametrize("noun", can(Verb.create, Verb.patch), ids=lambda noun: noun.name)
def test_what_is_set_is_changed_once(noun: Resource, on_sqlite: Technician, rows: Rows) -> None:
    record = rows.create(noun, full=True)
    fields = {field.name: field for field in catalog.noun(noun.name).where("change")}
    present = {name: write(field, record[name]) for name, field in fields.items() if record[name] is not None}
    unchanged = on_sqlite(noun.name, "set", record["id"], *(f"{name}={text}" for name, text in present.items() if text))
    assert rows.read(noun, record["id"]) == record
    assert "version" not in record or unchanged.out == "Nothing has changed\n"
    prose = [name for name, field in fields.items() if field.type == "text" and not field.max_length]
    for plain in prose[:1]:
        on_sqlite(noun.name, "set", record["id"], f"{plain}=changed = twice", "--message", "Größe stimmt")
        assert rows.read(noun, record["id"])[plain] == "changed = twice"


@pytest.mark.parametrize("noun", can(Verb.create, Verb.delete), ids=lambda noun: noun.name)
def test_what_is_removed_is_gone(noun: Resource, on_sqlite: Technician, rows: Rows) -> None:
    record = rows.create(noun)
    would = on_sqlite(noun.name, "rm", record["id"], "--dry-run").out
    assert f"Would delete {noun.name} {record['id']}\n" in would
    rows.read(noun, record["id"])
    asked = on_sqlite(noun.name, "rm", record["id"], stdin="n\n", status=1)
    assert record["id"] in asked.out + asked.err
    rows.read(noun, record["id"])
    on_sqlite(noun.name, "rm", record["id"], "--yes")
    assert on_sqlite(noun.name, "show", record["id"], status=1).out == ""


# --- which record ---------------------------------------------------------------------------------------------------


def test_ids_may_be_shortened_on_every_database(worklore: Technician, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(worklore.hub, worklore.api)
    first, second = (f"0{rows.chance.getrandbits(44):011x}-7{rows.chance.getrandbits(8):02x}0" for _ in "ab")
    made = {}
    for start, tail in ((first, "1"), (first, "2"), (second, "3")):
        whole = f"{start[:8]}-{start[8:]}-8000-00000000000{tail}"
        made[tail] = rows.create(CATALOG.by_name["tag"], id=whole)["id"]
    for size in (1000, 2):  # in one page, and by halving a list of several
        monkeypatch.setattr(nouns_hub, "PAGE", size)
        assert worklore("tag", "show", made["3"][:18], "--json").json["id"] == made["3"]
        assert worklore("tag", "show", made["2"].upper(), "--json").json["id"] == made["2"]
        several = worklore("tag", "show", made["1"][:18], status=1)
        assert "several tags have an id that begins with" in several.err
        none = worklore("tag", "show", "ffff", status=1)
        assert "there is no tag ffff" in none.err
        assert "or its name" in none.err


def test_names_stand_for_records_and_for_what_is_referred_to(on_sqlite: Technician, rows: Rows) -> None:
    client = rows.create(CLIENT)
    on_sqlite("client", "set", client["name"], "notes=found by name")
    assert rows.read(CLIENT, client["id"])["notes"] == "found by name"
    on_sqlite("project", "add", f"client_id={client['name']}", "name=Move the phones")
    (project,) = on_sqlite("project", "list", "-f", f"client_id={client['name']}", "--json").json
    assert project["client_id"] == client["id"]
    lost = on_sqlite("project", "add", "client_id=nobody at all", "name=x", status=1)
    assert "there is no client nobody at all" in lost.err


# --- lists ----------------------------------------------------------------------------------------------------------


def test_lists_are_filtered_searched_sorted_and_cut(on_sqlite: Technician, rows: Rows, monkeypatch: Any) -> None:
    word = rows.word()
    for number in range(7):
        rows.create(CLIENT, name=f"{word} room{number}", is_active=number % 2 == 0)
    base = ["client", "list", "--filter", f"name__startswith={word}", "--json"]
    assert [item["name"][-1] for item in on_sqlite(*base, "--sort", "-name").json] == list("6543210")
    assert len(on_sqlite(*base, "-f", "is_active=false").json) == 3
    assert [*on_sqlite(*base, "--search", f"{word} room4", "--fields", "name").json] == [{"name": f"{word} room4"}]
    monkeypatch.setattr(nouns_hub, "PAGE", 2)
    assert [item["name"][-1] for item in on_sqlite(*base, "--all", "--sort", "name").json] == list("0123456")
    cut = on_sqlite(*base, "--limit", "3", "--sort", "name")
    assert [item["name"][-1] for item in cut.json] == list("012")
    assert "--all" in cut.err
    assert on_sqlite(*base, "--limit", "7").err == ""
    exported = on_sqlite("client", "list", "-f", f"name__startswith={word}", "--csv", "--fields", "name")
    assert sorted(exported.out.splitlines()) == sorted(["name", *(f"{word} room{number}" for number in range(7))])
    empty = on_sqlite("client", "list", "--filter", "name=nobody at all", "--json")
    assert empty.json == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["client", "list", "--filter", "surprise=1"], "there is no filter surprise"),
        (["client", "list", "--filter", "name__gt=1"], "there is no filter name__gt"),
        (["client", "list", "--filter", "name"], "there is no filter name"),
        (["client", "list", "--sort", "-notes"], "not sorted by -notes"),
        (["client", "list", "--fields", "name,surprise"], "no field surprise"),
        (["client", "list", "--json", "--csv"], "exclude each other"),
        (["client", "list", "--all", "--limit", "3"], "exclude each other"),
        (["client", "add", "name=x"], "type must be given"),
        (["client", "add", "name=x", "type=internal", "surprise=1"], "no field surprise"),
        (["client", "add", "name=x", "type=friend"], "takes one of msp_client, internal, project"),
        (["client", "add", "name=x", "name=y", "type=internal"], "given twice"),
        (["client", "add", "name"], "must be given"),
        (["client", "set", "x"], "nothing is to be changed"),
        (["client", "set", "x", "version=7"], "no field version"),
        (["client", "set", "x", "is_active=perhaps"], "takes true or false"),
        (["client", "surprise"], "No such command"),
        (["surprise"], "No such command"),
    ],
)
def test_wrong_usage_is_told_with_2_before_anything_is_done(
    on_sqlite: Technician, arguments: list[str], expected: str
) -> None:
    said = on_sqlite(*arguments, status=2)
    assert said.out == ""
    assert expected in re.sub(r"[│\s]+", " ", said.err)


def test_what_stands_in_a_record_cannot_steer_the_terminal(on_sqlite: Technician, rows: Rows) -> None:
    name = f"{rows.word()}\x1b]0;owned\x07\x1b[2J\u202e"
    record = rows.create(CLIENT, name=name, notes="a\n\x1b[31mb")
    for said in (
        on_sqlite("client", "list", "--filter", f"id={record['id']}"),
        on_sqlite("client", "show", record["id"]),
        on_sqlite("client", "rm", record["id"], stdin="n\n", status=1),
    ):
        assert not set(said.out + said.err) & {"\x1b", "\x07", "\u202e"}
    assert on_sqlite("client", "show", record["id"], "--json").json == record


# --- writing --------------------------------------------------------------------------------------------------------


def test_a_stale_version_shows_what_somebody_else_changed(
    on_sqlite: Technician, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = rows.create(CLIENT, notes="mine")
    old = on_sqlite("client", "set", client["id"], "notes=new", "--version", "7", status=1)
    assert "version 1 now" in old.err
    assert 'notes is "mine" now' in old.err
    written = nouns_hub.Records.write

    def meanwhile(self: Any, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(nouns_hub.Records, "write", written)
        assert on_sqlite.api.patch(f"/clients/{client['id']}", json={"notes": "theirs"}).status_code == 200
        return written(self, *arguments, **options)

    monkeypatch.setattr(nouns_hub.Records, "write", meanwhile)
    stale = on_sqlite("client", "set", client["id"], "domain_name=example.com", status=1)
    assert 'notes: "mine" → "theirs"' in stale.err
    assert rows.read(CLIENT, client["id"])["notes"] == "theirs"
    assert rows.read(CLIENT, client["id"])["domain_name"] is None


def test_children_in_the_way_are_named_and_may_go_with_it(on_sqlite: Technician, rows: Rows) -> None:
    client = rows.create(CLIENT)
    project = rows.create(CATALOG.by_name["project"], client_id=client["id"])
    refused = on_sqlite("client", "rm", client["id"], "--yes", status=1)
    assert f"1 project (goes with --cascade): {project['id']}" in refused.err
    would = on_sqlite("client", "rm", client["id"], "--cascade", "--dry-run").out
    assert would.splitlines() == [f"Would delete project {project['id']}", f"Would delete client {client['id']}"]
    on_sqlite("client", "rm", client["id"], "--cascade", "--yes")
    assert on_sqlite.api.get(f"/projects/{project['id']}").status_code == 404


def test_json_goes_in_and_comes_out(on_sqlite: Technician, rows: Rows, tmp_path: Path) -> None:
    bodies = [rows.body(CLIENT) for _ in range(3)]
    made = on_sqlite("client", "add", "--json", "-", stdin=json.dumps(bodies)).json
    assert [{name: item[name] for name in body} for item, body in zip(made, bodies, strict=True)] == bodies
    file = tmp_path / "change.json"
    file.write_text(json.dumps({"notes": "über eine Datei"}))
    assert on_sqlite("client", "set", made[0]["id"], "--json", str(file)).json["notes"] == "über eine Datei"
    tried = on_sqlite("client", "add", "name=never made", "type=internal", "--dry-run")
    assert tried.out.startswith("Would make client ")
    assert on_sqlite("client", "list", "-f", "name=never made", "--json").json == []
    broken = on_sqlite("client", "add", "--json", "-", stdin="{", status=1)
    assert "standard input is no JSON" in broken.err
    several = on_sqlite("client", "add", "--json", "-", stdin='{"surprise": 1, "name": 2}', status=1)
    assert {"surprise", "name", "type"} <= set(re.findall(r"(\w+):", several.err))


def test_verbs_of_nouns_and_of_their_own(on_sqlite: Technician, rows: Rows) -> None:
    session = rows.create(CATALOG.by_name["session"])
    label = rows.word()
    said = on_sqlite("session", "tag", session["id"], f"names={label},urgent")
    assert said.json == {"names": sorted([label, "urgent"])}
    identified = on_sqlite("project", "identify", f"path=/srv/{label}", f"remote=https://git.example.com/{label}.git")
    assert identified.json["created"] is True
    refused = on_sqlite("session", "tag", str(uuid7()), "names=x", status=1)
    assert "There is no session with the id" in refused.err
    needed = on_sqlite("session", "untag", session["id"], status=1)
    assert "names" in needed.err


def test_a_real_process_lists_a_noun_by_its_plural(on_sqlite: Technician, rows: Rows) -> None:
    record = rows.create(CLIENT, name=f"Zahnärzte {rows.word()}")
    ran = on_sqlite.process("clients", "list", "--filter", f"id={record['id']}", "--csv", "--fields", "id,name")
    assert ran.stderr == b""
    assert ran.returncode == 0
    assert ran.stdout == f"id,name\r\n{record['id']},{record['name']}\r\n".encode()


def test_a_machine_that_is_not_connected_is_told_so(on_sqlite: Technician) -> None:
    (on_sqlite.home / "config").unlink()
    said = on_sqlite("client", "list", status=1)
    assert "this machine is not connected" in said.err
    assert "worklore connect" in said.err


# --- values ---------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
VALUES = st.one_of(
    st.tuples(st.just("text"), TEXTS.filter(bool)),
    st.tuples(st.just("integer"), st.integers(-(2**62), 2**62)),
    st.tuples(st.just("number"), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("boolean"), st.booleans()),
    st.tuples(st.just("list"), st.lists(JSON, max_size=4)),
    st.tuples(st.just("object"), st.dictionaries(TEXTS, JSON, max_size=4)),
    st.tuples(st.just("json"), JSON.filter(lambda value: value is not None)),
)


@given(VALUES)
def test_what_is_written_reads_back_as_the_same_value(typed: tuple[str, Any]) -> None:
    kind, value = typed
    field = Field("value", kind, null=True)
    assert parse(field, write(field, value)) == value
    assert parse(field, write(field, None)) is None


@pytest.mark.parametrize(
    ("kind", "given_", "present", "equal"),
    [
        ("decimal", "1.5", "1.50", True),
        ("decimal", "1.5", "1.51", False),
        ("decimal", "much", "1.50", False),
        ("time", "2026-03-01T09:00:00+01:00", "2026-03-01T08:00:00.000000Z", True),
        ("time", "2026-03-01T09:00:00", "2026-03-01T09:00:00.000000Z", False),
        ("id", "019A0000-0000-7000-8000-000000000000", "019a0000-0000-7000-8000-000000000000", True),
        ("text", None, "", False),
        ("text", None, None, True),
    ],
)
def test_two_spellings_of_one_value_are_the_same(kind: str, given_: Any, present: Any, *, equal: bool) -> None:
    assert same(Field("value", kind), given_, present) is equal


@given(st.text())
def test_nothing_printed_holds_a_control_character(text: str) -> None:
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in nouns_shown.plain(text))
