"""CSV in and out, on a real hub: what is exported comes back as nothing new, and what is broken changes nothing."""

import csv
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.conformance.conftest import Rows, can
from worklore.kernel.audit import AuditEntry
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import uuid7
from worklore.resources import CATALOG
from worklore_cli import catalog, importing, importing_plan, nouns_hub
from worklore_client.wire import HubUnreachable

from .commands import Said, Technician, technician

CLIENT = CATALOG.by_name["client"]
IMPORTABLE = [noun for noun in can(Verb.list) if noun.verbs & {Verb.create, Verb.patch}]


@pytest.fixture
def worklore(dialect: str, hubs: Callable[[str], Any], tmp_path: Path) -> Technician:
    return technician(hubs(dialect), tmp_path / "home")


@pytest.fixture
def on_sqlite(hubs: Callable[[str], Any], tmp_path: Path) -> Technician:
    return technician(hubs("sqlite"), tmp_path / "home")


def audited(worklore: Technician) -> int:
    def count(ctx: Any) -> int:
        return ctx.session.scalar(select(func.count()).select_from(AuditEntry))

    return worklore.hub.database.write(count)


def sheet(folder: Path, *rows: list[str], name: str = "rows.csv") -> str:
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def last(said: Said) -> str:
    return said.out.splitlines()[-1]


def client_named(worklore: Technician, name: str) -> dict[str, Any] | None:
    found = worklore.api.get("/clients", params={"name": name}).json()["items"]
    return found[0] if found else None


# --- round trips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noun", IMPORTABLE, ids=lambda noun: noun.name)
def test_an_export_comes_back_as_no_change_at_all(noun: Resource, worklore: Technician, tmp_path: Path) -> None:
    rows = Rows(worklore.hub, worklore.api)
    records = [rows.create(noun, full=full) for full in (True, False, True)]
    asked = ",".join(record["id"] for record in records)
    file = tmp_path / "export.csv"
    file.write_text(worklore(noun.name, "list", "--filter", f"id__in={asked}", "--csv").out, newline="")
    before = audited(worklore)
    for arguments in (["--yes"], ["--preview"]):
        said = worklore(noun.name, "import", str(file), *arguments)
        assert re.fullmatch(r"0 .*created, 0 .*changed, 3 unchanged, 0 failed", last(said)), said
    assert audited(worklore) == before
    assert [rows.read(noun, record["id"]) for record in records] == records


@pytest.mark.parametrize("noun", can(Verb.create, Verb.delete), ids=lambda noun: noun.name)
def test_what_was_exported_can_be_made_again(noun: Resource, on_sqlite: Technician, tmp_path: Path) -> None:
    rows = Rows(on_sqlite.hub, on_sqlite.api)
    record = rows.create(noun, full=True)
    file = tmp_path / "export.csv"
    file.write_text(on_sqlite(noun.name, "list", "--filter", f"id={record['id']}", "--csv").out, newline="")
    on_sqlite(noun.name, "rm", record["id"], "--yes")
    assert last(on_sqlite(noun.name, "import", str(file), "--yes")) == "1 created, 0 changed, 0 unchanged, 0 failed"
    again = rows.read(noun, record["id"])
    settable = [field.name for field in catalog.noun(noun.name).where("create")]
    assert {name: again[name] for name in settable} == {name: record[name] for name in settable}


# --- what rows do ---------------------------------------------------------------------------------------------------


def test_a_preview_says_what_the_import_then_does(worklore: Technician, tmp_path: Path) -> None:
    rows = Rows(worklore.hub, worklore.api)
    old = rows.create(CLIENT, name=rows.word(), notes="old", type="internal")
    same = rows.create(CLIENT, name=rows.word() + ", with a comma", notes=None, type="internal")
    new = rows.word()
    file = sheet(
        tmp_path,
        ["name", "type", "notes"],
        [old["name"], "internal", 'new\r\nlines; and "quotes"'],
        [same["name"], "internal", ""],
        [new, "internal", "=1+1"],
        [rows.word(), "friend", ""],
        ["", "internal", ""],
        [new, "internal", ""],
        [rows.word(), "internal"],
    )
    before = audited(worklore)
    preview = worklore("client", "import", file, "--preview", status=1)
    assert audited(worklore) == before
    told = preview.out.splitlines()
    assert told[0].startswith('line 2: update  notes: "old" → "new')
    assert told[1] == "line 4: unchanged"  # the row before it has a line break in a cell
    assert told[2] == f'line 5: create  name: "{new}"'
    assert told[3] == "line 6: error  type takes one of msp_client, internal, project"
    assert told[4] == "line 7: error  name must be given: it is the key"
    assert told[5] == "line 8: error  name is the same as in line 5"
    assert told[6] == "line 9: error  it has 2 cells, the header has 3"
    assert told[7] == "1 would be created, 1 would be changed, 1 unchanged, 4 failed"
    assert client_named(worklore, new) is None

    applied = worklore("client", "import", file, "--yes", "--message", "Liste vom Kunden", status=1)
    assert last(applied) == "1 created, 1 changed, 1 unchanged, 4 failed"
    assert [line.partition("  ")[0] for line in applied.err.splitlines()] == [f"line {n}: error" for n in (6, 7, 8, 9)]
    assert client_named(worklore, new)["notes"] == "=1+1"
    assert rows.read(CLIENT, old["id"])["notes"] == 'new\r\nlines; and "quotes"'
    assert rows.read(CLIENT, same["id"]) == same


def test_a_key_that_the_hub_would_never_take_is_the_error_of_its_row(on_sqlite: Technician, tmp_path: Path) -> None:
    good = str(uuid7())
    file = sheet(tmp_path, ["id", "name", "type"], ["no id", "a", "internal"], [good, f"c {good}", "internal"])
    said = on_sqlite("client", "import", file, "--preview", status=1)
    assert "line 2: error  id" in said.out
    assert "line 3: error  held back with its chunk (line 2)" in said.out


def test_without_yes_it_asks_after_a_preview(on_sqlite: Technician, tmp_path: Path) -> None:
    name = Rows(on_sqlite.hub, on_sqlite.api).word()
    file = sheet(tmp_path, ["name", "type"], [name, "internal"])
    asked = on_sqlite("client", "import", file, stdin="n\n", status=1)
    assert "1 would be created" in asked.out
    assert client_named(on_sqlite, name) is None
    on_sqlite("client", "import", file, stdin="y\n")
    assert client_named(on_sqlite, name) is not None


def test_empty_cells_and_references_by_name(on_sqlite: Technician, tmp_path: Path) -> None:
    rows = Rows(on_sqlite.hub, on_sqlite.api)
    client, name = rows.create(CLIENT), rows.word()
    header = ["client_id", "name", "status", "category", "notes"]
    file = sheet(tmp_path, header, [client["name"], name, "", "", ""], ["nobody at all", name, "", "", ""])
    said = on_sqlite("project", "import", file, "--key", "client_id,name", "--yes", status=1)
    assert last(said) == "1 created, 0 changed, 0 unchanged, 1 failed"
    assert "line 3: error  client_id: there is no client nobody at all" in said.err
    (project,) = on_sqlite("project", "list", "-f", f"client_id={client['id']}", "--json").json
    assert (project["status"], project["category"]) == ("working", None)  # left out, and empty
    changed = sheet(tmp_path, header, [client["name"], name, "blocked", "high", "soon"])
    again = on_sqlite("project", "import", changed, "--key", "client_id,name", "--yes")
    assert last(again) == "0 created, 1 changed, 0 unchanged, 0 failed"
    unclear = on_sqlite("project", "import", changed, "--yes", status=1)
    assert "nothing in the file tells which project a row is about" in unclear.err
    assert "--key" in unclear.err
    for key, status in (("notes", 2), ("slug", 1)):
        said = on_sqlite("project", "import", changed, "--key", key, "--yes", status=status)
        assert key in said.err


def test_a_key_that_several_records_have_changes_none(on_sqlite: Technician, tmp_path: Path) -> None:
    rows = Rows(on_sqlite.hub, on_sqlite.api)
    projects = [rows.create(CATALOG.by_name["project"], name="twice the same") for _ in range(2)]
    file = sheet(tmp_path, ["name", "notes"], ["twice the same", "x"])
    said = on_sqlite("project", "import", file, "--key", "name", "--yes", status=1)
    assert re.search(r"line 2: error  \d+ projects have this name", said.err)
    assert [rows.read(CATALOG.by_name["project"], item["id"]) for item in projects] == projects


def test_an_old_export_does_not_undo_what_others_did(on_sqlite: Technician, tmp_path: Path) -> None:
    rows = Rows(on_sqlite.hub, on_sqlite.api)
    client = rows.create(CLIENT, notes="exported")
    file = tmp_path / "export.csv"
    exported = on_sqlite("client", "list", "--filter", f"id={client['id']}", "--csv").out
    file.write_text(exported.replace("exported", "edited"), newline="")
    on_sqlite("client", "set", client["id"], "notes=theirs")
    said = on_sqlite("client", "import", str(file), "--yes", status=1)
    assert "the record has changed since the export: it is at version 2, the file has 1" in said.err
    assert rows.read(CLIENT, client["id"])["notes"] == "theirs"
    other_id = sheet(tmp_path, ["id", "name", "notes"], [str(uuid7()), client["name"], "mine"])
    fixed = on_sqlite("client", "import", other_id, "--key", "name", "--yes", status=1)
    assert "line 2: error  id cannot be changed" in fixed.err


# --- chunks ---------------------------------------------------------------------------------------------------------


def test_a_chunk_is_applied_as_a_whole_or_not_at_all(
    on_sqlite: Technician, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(on_sqlite.hub, on_sqlite.api)
    monkeypatch.setattr(importing, "CHUNK", 3)
    word = rows.word()
    lines = [[f"{word}{number}@example.com", f"User {number}"] for number in range(9)]
    lines[4][0] = f"{word} no address"
    file = sheet(tmp_path, ["email", "name"], *lines)
    for arguments in (["--preview"], ["--yes"]):
        said = on_sqlite("user", "import", file, *arguments, status=1)
        told = said.out + said.err
        assert re.search(r"6 (would be )?created, 0 (would be )?changed, 0 unchanged, 3 failed", told)
        assert re.search(r"line 6: error  .*e-mail address", told)
        assert "line 5: error  held back with its chunk (line 6)" in told
        assert "line 7: error  held back with its chunk (line 6)" in told
    lines[4][0] = f"{word}4@example.com"
    mended = on_sqlite("user", "import", sheet(tmp_path, ["email", "name"], *lines), "--yes")
    assert last(mended) == "3 created, 0 changed, 6 unchanged, 0 failed"


def test_an_answer_that_was_lost_does_not_double_rows(
    on_sqlite: Technician, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    send = nouns_hub.Records.send

    def losing(self: Any, method: str, path: str, **options: Any) -> Any:
        answer = send(self, method, path, **options)
        if method == "POST":
            sent.append(options["headers"]["Idempotency-Key"])
            if len(sent) == 1:
                raise HubUnreachable("the line went dead")
        return answer

    monkeypatch.setattr(nouns_hub.Records, "send", losing)
    word = Rows(on_sqlite.hub, on_sqlite.api).word()
    file = sheet(tmp_path, ["name", "type"], *([f"{word} {number}", "internal"] for number in range(3)))
    said = on_sqlite("client", "import", file, "--yes")
    assert last(said) == "3 created, 0 changed, 0 unchanged, 0 failed"
    assert len(sent) == 2
    assert len(set(sent)) == 1
    assert len(on_sqlite("client", "list", "-f", f"name__startswith={word}", "--json").json) == 3


def test_a_hub_that_goes_away_ends_the_import_with_one_line(
    on_sqlite: Technician, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise HubUnreachable("it cannot be reached")

    monkeypatch.setattr(nouns_hub.Records, "send", away)
    file = sheet(tmp_path, ["name", "type"], ["x", "internal"])
    said = on_sqlite("client", "import", file, "--yes", status=1)
    assert said.err == "worklore: it cannot be reached\n"


def test_look_ups_stay_short_enough_for_an_address(on_sqlite: Technician) -> None:
    noun = catalog.noun("client")
    planner = importing_plan.Planner(nouns_hub.Records(on_sqlite.hub.url, "t"), noun, ["name"], ["name"])
    names = [f"{'日' * 80} {number}" for number in range(50)] + ["one, two", *(f"n{number}" for number in range(300))]
    questions = list(planner._questions([{"name": name} for name in names]))
    asked: list[str] = []
    for question in questions:
        ((filter_, text),) = question.items()
        asked += text.split(",") if filter_ == "name__in" else [text]
        assert len(text.encode()) * 3 < 8000
    assert sorted(asked) == sorted(names)
    assert {"name": "one, two"} in questions
    assert len(questions) < 20


@pytest.mark.slow
def test_ten_thousand_rows_stay_within_bounded_memory(on_sqlite: Technician, tmp_path: Path) -> None:
    word = Rows(on_sqlite.hub, on_sqlite.api).word()
    notes = "x" * 400
    file = sheet(tmp_path, ["name", "description"], *([f"{word} {number:05d}", notes] for number in range(10_000)))
    assert on_sqlite.process("tag", "import", file, "--yes").stdout.endswith(
        b"10000 created, 0 changed, 0 unchanged, 0 failed\n"
    )
    tracemalloc.start()
    again = on_sqlite("tag", "import", file, "--yes")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last(again) == "0 created, 0 changed, 10000 unchanged, 0 failed"
    assert peak < 64 * 1024 * 1024


# --- broken files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"name,type,name\na,internal,b\n", "the column 'name' twice"),
        (b"name,type,surprise\na,internal,b\n", "the column 'surprise', which is no field of a client"),
        (b"name;type\na;internal\n", "Save it with commas"),
        (b'name,type\n{word},internal\n"b"x,internal\n', "line 3 of"),
        (b'name,type\n{word},internal\n"b,internal\n', "line 3 of"),
        (b"name,type\n{word},internal\nM\xfcller,internal\n", "is not in UTF-8"),
        ("name,type\n{word},internal\n".encode("utf-16"), "is not in UTF-8"),
        (b"notes,type\nx,internal\n", "nothing in the file tells which client"),
    ],
)
def test_a_broken_file_changes_nothing(on_sqlite: Technician, tmp_path: Path, content: bytes, expected: str) -> None:
    word = Rows(on_sqlite.hub, on_sqlite.api).word()
    file = tmp_path / "broken.csv"
    file.write_bytes(content.replace(b"{word}", word.encode()))
    said = on_sqlite("client", "import", str(file), "--yes", status=1)
    assert expected in said.err
    assert len(said.err.splitlines()) == 1
    assert client_named(on_sqlite, word) is None


def test_a_file_that_is_not_there_is_named(on_sqlite: Technician, tmp_path: Path) -> None:
    said = on_sqlite("client", "import", str(tmp_path / "nowhere.csv"), "--yes", status=1)
    assert "nowhere.csv: No such file or directory" in said.err


def test_real_processes_export_and_import(on_sqlite: Technician, tmp_path: Path) -> None:
    rows = Rows(on_sqlite.hub, on_sqlite.api)
    record = rows.create(CLIENT, notes="Zeile 1\r\nZeile 2\rZeile 3; 日本語", name=rows.word())
    exported = on_sqlite.process("client", "list", "--filter", f"id={record['id']}", "--csv")
    assert (exported.returncode, exported.stderr) == (0, b"")
    file = tmp_path / "export.csv"
    file.write_bytes(exported.stdout)
    same = on_sqlite.process("client", "import", str(file), "--yes")
    assert (same.returncode, same.stdout, same.stderr) == (0, b"0 created, 0 changed, 1 unchanged, 0 failed\n", b"")
    file.write_bytes(exported.stdout.replace(b"Zeile 2", b"Zeile zwei"))
    changed = on_sqlite.process("client", "import", str(file), "--yes")
    assert changed.stdout == b"0 created, 1 changed, 0 unchanged, 0 failed\n"
    assert rows.read(CLIENT, record["id"])["notes"] == "Zeile 1\r\nZeile zwei\rZeile 3; 日本語"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
def test_standard_input_is_read_with_or_without_a_mark(on_sqlite: Technician, mark: bytes) -> None:
    name = f"Ärzte {Rows(on_sqlite.hub, on_sqlite.api).word()}"
    content = mark + f"name,type\r\n{name},internal\r\n\r\n".encode()
    ran = on_sqlite.process("client", "import", "-", "--yes", stdin=content)
    assert ran.stdout == b"1 created, 0 changed, 0 unchanged, 0 failed\n"
    assert ran.stderr == b""
    assert client_named(on_sqlite, name) is not None


def test_bad_values_are_told_cell_by_cell(on_sqlite: Technician, tmp_path: Path) -> None:
    header = ["session_title", "external_key", "is_billable", "duration_minutes", "start_time", "metadata"]
    key = f"k{uuid7()}"
    bad = sheet(
        tmp_path, header, ["x", key, "perhaps", "long", "2026-03-01", "{"], ["y", f"{key}b", "", "", "noon", ""]
    )
    said = on_sqlite("session", "import", bad, "--key", "external_key", "--preview", status=1)
    first, second, total = said.out.splitlines()
    for expected in ("is_billable takes true or false", "duration_minutes takes a whole number", "metadata takes JSON"):
        assert expected in first
    assert second.startswith("line 3: error  start_time: ")
    assert total == "0 would be created, 0 would be changed, 0 unchanged, 2 failed"
