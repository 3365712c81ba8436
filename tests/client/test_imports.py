"""What other programs have kept: imported once, again, changed, torn, with secrets; found by recall and named there."""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.client.commands import Technician
from tests.client.commands import technician as connected
from tests.conftest import TestHub, unique
from tests.memory.agents import Claude
from worklore_cli import nouns_hub
from worklore_cli.imports import sending
from worklore_cli.imports.auto_memory import encoded
from worklore_cli.imports.instructions import imported
from worklore_cli.imports.memory import LARGEST, LONGEST, Memory, front_matter, moment
from worklore_client.spool import flusher_lock
from worklore_client.wire import HubUnreachable

SECRET = "ghp_" + "Zx9Kq2Lm7Pw4Rt8Yv3Nb6Hd1Jf5Gs0Ac2Eu4"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project of its own, in which commands are typed, in a home of its own."""
    home = tmp_path / "kim"
    folder = home / "work" / unique("acme")
    (folder / ".git").mkdir(parents=True)
    remote = f'[remote "origin"]\n\turl = https://git.example.com/{folder.name}.git\n'
    (folder / ".git" / "config").write_text(remote)
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def kim(sqlite_hub: TestHub, tmp_path: Path, place: Path) -> Technician:
    return connected(sqlite_hub, tmp_path / "client")


def take(kim: Technician, *arguments: str, status: int | None = 0) -> dict[str, Any]:
    """The counts of an import into one project."""
    [part] = kim("import", *arguments, "--json", status=status).json["projects"]
    return {name: value for name, value in part.items() if value and name not in {"project", "name"}}


def project_of(kim: Technician, place: Path) -> str:
    """The id of a folder's project, as every machine that has its repository knows it."""
    about = {"path": str(place), "name": place.name, "remote": f"https://git.example.com/{place.name}.git"}
    found: str = kim.api.post("/projects/identify", json=about).json()["id"]
    return found


def items(kim: Technician, question: str, **more: str) -> list[dict[str, Any]]:
    options = [option for name, value in more.items() for option in (f"--{name}", value)]
    found: list[dict[str, Any]] = kim("recall", question, "--json", *options).json["items"]
    return found


def everything(hub: TestHub) -> bytes:
    """The bytes of the hub's database, also those that are not in its own file yet."""
    folder = Path(str(hub.database.url.database)).parent
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# --- mem0 -----------------------------------------------------------------------------------------------------------


def mem0_entry(number: int, words: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"3c90c3cc-0d44-4b50-8888-{number:012}",
        "memory": words,
        "user_id": "kim@example.com",
        "hash": "abc",
        "metadata": None,
        "categories": ["network"],
        "created_at": "2025-11-07T05:31:56Z",
        "updated_at": "2025-12-07T05:31:56.123456-08:00",
        **more,
    }


@pytest.mark.parametrize("form", [lambda entries: entries, lambda entries: {"results": entries, "relations": []}])
def test_memories_of_mem0_are_imported_once(
    kim: Technician, place: Path, tmp_path: Path, form: Callable[[Any], Any]
) -> None:
    file = tmp_path / "memories.json"
    entries = [mem0_entry(1, "The quokka switch sits in rack 4"), mem0_entry(2, "Backups of the quokka run at 02:00")]
    file.write_text(json.dumps(form(entries)))
    source = ("mem0", "--from", str(file))
    assert take(kim, *source, "--dry-run") == {"created": 2}
    assert kim.api.get("/projects", params={"name": place.name}).json()["items"] == [], "not even the project is made"
    assert take(kim, *source) == {"created": 2}
    assert take(kim, *source) == {"unchanged": 2}
    [item, *_] = items(kim, "where is the quokka switch?")
    assert (item["kind"], item["author"], item["trust"]) == ("snippet", "mem0, memories.json", "untrusted")
    assert item["time"] == "2025-12-07T13:31:56.123456Z"
    assert "mem0, memories.json" in kim("recall", "where is the quokka switch?").out
    assert items(kim, "where is the quokka switch?", trust="transcript") == []
    snippet = kim("snippet", "show", item["record"], "--json").json
    assert (snippet["program"], snippet["source"], snippet["source_key"]) == ("mem0", str(file), entries[0]["id"])
    assert set(snippet["tags"]) == {"mem0", "network", "kim@example.com"}
    about = {"path": str(place), "name": place.name, "remote": f"https://git.example.com/{place.name}.git"}
    along = kim.api.post("/sync", json={"identity": about}).raise_for_status().text
    assert place.name in along
    assert "quokka" not in along, "what nobody vouches for is not taken along"


def test_what_changed_there_is_a_new_version_here(kim: Technician, tmp_path: Path) -> None:
    file = tmp_path / "memories.json"
    first, second = mem0_entry(1, "The numbat printer is on port 9"), mem0_entry(2, "The numbat vault is locked")
    file.write_text(json.dumps([first, second]))
    assert take(kim, "mem0", "--from", str(file)) == {"created": 2}
    before = items(kim, "numbat printer port")[0]
    later = {"memory": "The numbat printer is on port 12", "updated_at": "2026-01-01T00:00:00Z"}
    file.write_text(json.dumps([first | later]))
    assert take(kim, "mem0", "--from", str(file), "--dry-run") == {"changed": 1, "gone": 1}
    assert take(kim, "mem0", "--from", str(file)) == {"changed": 1, "gone": 1}
    after = items(kim, "numbat printer port")[0]
    assert after["record"] == before["record"]
    assert "port 12" in after["text"]
    assert kim("snippet", "show", after["record"], "--json").json["version"] == 2
    assert any("vault" in item["text"] for item in items(kim, "numbat vault"))
    # An older export does not undo it.
    file.write_text(json.dumps([first, second]))
    assert take(kim, "mem0", "--from", str(file)) == {"left": 1, "unchanged": 1}


def test_what_people_changed_or_deleted_stays_so(kim: Technician, tmp_path: Path) -> None:
    file = tmp_path / "memories.json"
    file.write_text(json.dumps([mem0_entry(1, "The bilby router"), mem0_entry(2, "The bilby door code is on paper")]))
    take(kim, "mem0", "--from", str(file))
    router, door = (items(kim, words)[0]["record"] for words in ("bilby router", "bilby door code paper"))
    kim("snippet", "set", router, "title=The bilby router is new")
    kim("snippet", "rm", door, "--yes")
    later = {"updated_at": "2026-02-01T00:00:00Z"}
    changed = [mem0_entry(1, "The bilby router is old", **later), mem0_entry(2, "The bilby door has a key", **later)]
    file.write_text(json.dumps(changed))
    assert take(kim, "mem0", "--from", str(file)) == {"left": 1, "deleted": 1}
    assert kim("snippet", "show", router, "--json").json["title"] == "The bilby router is new"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'[{"id": "a", "memory": "cut o', "torn"),
        (b'{"clients": []}', "holds no memories of mem0"),
        (b'[{"name": "another program"}]', "holds no memories of mem0"),
        (b"[" * 100_000, "torn"),
    ],
)
def test_a_file_that_is_none_of_mem0s_says_so(kim: Technician, tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "memories.json"
    file.write_bytes(content)
    assert says in kim("import", "mem0", "--from", str(file), status=1).err
    assert "No such file" in kim("import", "mem0", "--from", str(tmp_path / "nothing.json"), status=1).err
    assert "--from" in kim("import", "mem0", status=2).err


def test_an_entry_that_cannot_be_read_is_named_and_the_others_go(kim: Technician, tmp_path: Path) -> None:
    file = tmp_path / "memories.json"
    file.write_text(json.dumps([mem0_entry(1, "The potoroo host is up"), {"id": "b", "memory": None}, "rubbish"]))
    told = kim("import", "mem0", "--from", str(file), status=1).out
    assert "1 new" in told
    assert "entry 2 of memories.json" in told
    assert "entry 3 of memories.json" in told


def test_no_secret_leaves_the_machine(kim: Technician, sqlite_hub: TestHub, tmp_path: Path) -> None:
    words = f"Wallaby deploys with the token {SECRET}"
    entry = mem0_entry(1, words, categories=[SECRET])
    body = Memory("k", f"/home/{SECRET}", words, words, tags=(SECRET,)).outgoing()
    assert SECRET not in json.dumps(body)
    file = tmp_path / "memories.json"
    file.write_text(json.dumps([entry]))
    assert take(kim, "mem0", "--from", str(file)) == {"created": 1}
    assert items(kim, "wallaby deploys")
    held = everything(sqlite_hub)
    assert SECRET.encode() not in held
    assert SECRET.lower().encode() not in held
    assert b"Wallaby deploys" in held
    assert all(SECRET not in path.read_text(errors="replace") for path in kim.home.rglob("*") if path.is_file())


def test_the_hub_takes_out_what_the_client_does_not_know(kim: Technician, sqlite_hub: TestHub, place: Path) -> None:
    api = kim.api
    project = api.post("/projects/identify", json={"path": str(place), "name": place.name}).json()["id"]
    owner = api.get(f"/projects/{project}").json()["client_id"]
    value = f"Kookaburra{unique().replace('-', '')}9"
    new = {"client_id": owner, "credential_type": "password", "service_name": unique("door"), "password": value}
    assert api.post("/credentials/store", json=new).status_code == 200
    memory = {"key": "1", "source": "a.md", "digest": "0" * 64, "title": "Door", "text": f"The door opens by {value}"}
    body = {"project_id": project, "program": "notes", "memories": [memory]}
    answer = api.post("/context-snippets/take-in", json=body)
    assert answer.json() == {"created": 1, "changed": 0, "unchanged": 0, "left": 0, "deleted": 0}
    [kept] = api.get("/context-snippets", params={"project_id": project, "program": "notes"}).json()["items"]
    assert "[redacted:vault-secret]" in kept["dense_content"]
    assert value.encode() not in everything(sqlite_hub)


def test_a_stopped_import_goes_on(kim: Technician, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "BATCH", 2)
    file = tmp_path / "memories.json"
    file.write_text(json.dumps([mem0_entry(number, f"The dunnart host {number} is up") for number in range(6)]))
    write, sent = nouns_hub.Records.write, [0]

    def dying(self: Any, method: str, path: str, *arguments: Any, **options: Any) -> Any:
        sent[0] += path == sending.TAKE_IN
        if sent[0] > 2:
            raise HubUnreachable("it is gone")
        return write(self, method, path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(nouns_hub.Records, "write", dying)
        said = kim("import", "mem0", "--from", str(file), status=1)
    assert "4 new" in said.out
    assert "Run it again" in said.err
    assert take(kim, "mem0", "--from", str(file)) == {"created": 2, "unchanged": 4}

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sending.Sending, "run", interrupted)
        said = kim("import", "mem0", "--from", str(file), status=130)
    assert "goes on where it was" in said.err


def test_a_machine_that_is_not_connected_says_what_to_do(kim: Technician, tmp_path: Path) -> None:
    (kim.home / "config").unlink()
    file = tmp_path / "memories.json"
    file.write_text("[]")
    assert "worklore connect" in kim("import", "mem0", "--from", str(file), status=1).err


def test_another_clients_project_takes_nothing_in(kim: Technician, sqlite_hub: TestHub, place: Path) -> None:
    project = project_of(kim, place)
    stranger = kim.api.post("/clients", json={"name": unique("Other"), "type": "msp_client"}).json()["id"]
    memory = {"key": "1", "source": "a.md", "digest": "0" * 64, "title": "x", "text": "x"}
    body = {"project_id": project, "program": "notes", "memories": [memory]}
    other = sqlite_hub.client(sqlite_hub.token(clients=[stranger]))
    assert other.post("/context-snippets/take-in", json=body).status_code == 404


# --- files of markdown ----------------------------------------------------------------------------------------------


def test_front_matter_is_read_as_far_as_these_files_use_it() -> None:
    text = "---\nname: a\ndescription: >-\n  two\n  lines\nmetadata:\n  type: feedback\n"
    front, body = front_matter(text + "tags: [x, 'y z']\nlist:\n- p\n- q\n---\nbody")
    assert front["description"] == "two lines"
    assert (front["type"], front["tags"], front["list"], body) == ("feedback", ["x", "y z"], ["p", "q"], "body")
    assert front_matter("---\nname: torn\nbody") == ({}, "---\nname: torn\nbody")


@pytest.mark.parametrize("value", ["yesterday", "", None, True, 1e40, [1]])
def test_what_is_no_time_is_none(value: object) -> None:
    assert moment(value) is None
    assert (
        moment("2026-01-05") == moment(1_767_571_200) == moment(1_767_571_200_000) == datetime(2026, 1, 5, tzinfo=UTC)
    )


def auto_memory(home: Path, folder: Path) -> Path:
    memory = home / ".claude" / "projects" / encoded(str(folder)) / "memory"
    memory.mkdir(parents=True)
    (memory / "MEMORY.md").write_text("# Memory\n\n- [Bandicoot](bandicoot.md) - how the VPN is restarted\n")
    note = "---\nname: bandicoot\ndescription: The bandicoot VPN wants a restart of charon\n"
    note += "metadata:\n  type: feedback\n---\n"
    (memory / "bandicoot.md").write_text(note + "Why: the tunnel hangs after a rekey.\n")
    return memory


def test_claudes_own_memory_goes_to_the_project_it_is_of(kim: Technician, place: Path) -> None:
    memory = auto_memory(Path.home(), place)
    os.utime(memory / "bandicoot.md", (1_767_571_200, 1_767_571_200))
    (memory / "notes.md").write_text("<worklore-memory>\ntold by us\n</worklore-memory>\n")
    assert take(kim, "auto-memory") == {"created": 1, "empty": 2}
    [item, *_] = items(kim, "bandicoot VPN restart")
    assert (item["author"], item["time"]) == ("auto-memory, bandicoot.md", "2026-01-05T00:00:00.000000Z")
    assert "rekey" in item["text"]
    snippet = kim("snippet", "show", item["record"], "--json").json
    assert (snippet["category"], sorted(snippet["tags"])) == ("pattern", ["auto-memory", "feedback"])
    assert take(kim, "auto-memory") == {"unchanged": 1, "empty": 2}
    (memory / "MEMORY.md").write_text("# Memory\n\n- [Gone](gone.md)\nThe bandicoot firewall is in bridge mode.\n")
    (memory / "bandicoot.md").unlink()
    assert take(kim, "auto-memory", "--from", str(memory)) == {"created": 1, "empty": 1, "gone": 1}
    assert items(kim, "bandicoot firewall bridge")


def test_a_memory_whose_folder_nobody_knows_is_told_of(kim: Technician, place: Path) -> None:
    auto_memory(Path.home(), Path("/nowhere/at all"))
    said = kim("import", "auto-memory")
    assert "nobody knows its project's folder" in said.err
    folder = Path.home() / ".claude" / "projects" / encoded("/nowhere/at all") / "memory"
    project = project_of(kim, place)
    assert take(kim, "auto-memory", "--from", str(folder), "--project", project) == {"created": 1, "empty": 1}
    assert "is no folder" in kim("import", "auto-memory", "--from", "nowhere", status=1).err
    assert "holds no memory" in kim("import", "auto-memory", "--from", str(place), status=1).err


def test_of_many_memory_folders_those_of_the_named_project_are_taken(kim: Technician, place: Path) -> None:
    other = place.parent / unique("beside")
    other.mkdir()
    for folder in (place, other):
        auto_memory(Path.home(), folder)
    project = project_of(kim, place)
    [part] = kim("import", "auto-memory", "--project", project, "--json").json["projects"]
    assert (part["project"], part["created"]) == (project, 1)
    assert kim.api.get("/projects", params={"name": other.name}).json()["items"] == []
    names = {part["name"] for part in kim("import", "auto-memory", "--json").json["projects"]}
    assert names == {place.name, other.name}


def test_instructions_come_with_what_they_import(kim: Technician, place: Path) -> None:
    home = Path.home()
    (home / ".claude").mkdir(exist_ok=True)
    (home / ".claude" / "CLAUDE.md").write_text("Kim likes kowari diagrams. @~/.claude/more.md")
    (home / ".claude" / "more.md").write_text("Kowari colours are green.")
    (home / "work" / "AGENTS.md").write_text("All kowari work is logged.")
    (home / ".ssh").mkdir()
    (home / ".ssh" / "config").write_text("Host kowari-secret-host")
    (place.parent / "beside.md").write_text("kowari beside, in the home")
    (place / "CLAUDE.md").write_text(
        "# Kowari network\n\nSee @docs/vlans.md, @../../.ssh/config and `@docs/not.md`. Mail kim@example.com.\n"
        "```\n@docs/not.md\n```\n@/etc/hostname @missing.md @CLAUDE.md\n"
    )
    (place / "docs").mkdir()
    (place / "docs" / "vlans.md").write_text("Kowari VLAN 20 is for phones. @../CLAUDE.md")
    (place / "docs" / "not.md").write_text("kowari in code")
    (place / ".worklore").mkdir()
    (place / ".worklore" / "CLAUDE.md").write_text("kowari of ours")
    assert take(kim, "instructions") == {"created": 5}
    assert take(kim, "instructions") == {"unchanged": 5}
    keys = {each["source_key"].partition(":")[2] or each["source_key"] for each in listed(kim, "instructions")}
    assert keys == {"CLAUDE.md", "docs/vlans.md", "~/.claude/CLAUDE.md", "~/.claude/more.md", "~/work/AGENTS.md"}
    assert items(kim, "which kowari VLAN is for phones")[0]["author"] == "instructions, vlans.md"
    (place / "CLAUDE.md").write_text("# Kowari network\n\nNothing is imported.\n")
    assert take(kim, "instructions") == {"changed": 1, "unchanged": 3, "gone": 1}


def listed(kim: Technician, program: str) -> list[dict[str, Any]]:
    project = kim("import", program, "--dry-run", "--json").json["projects"][0]["project"]
    found: list[dict[str, Any]] = kim.api.get(
        "/context-snippets", params={"program": program, "project_id": project, "limit": 100}
    ).json()["items"]
    return found


def test_imports_in_code_and_addresses_are_none() -> None:
    text = "@a.md, (@b/c.txt) `@no.md` x@example.com\n```\n@no.md\n```\n- @~/d.md\n@e.md."
    assert list(imported(text)) == ["a.md", "b/c.txt", "~/d.md", "e.md"]


def basic_memory(folder: Path) -> None:
    (folder / "clients").mkdir(parents=True)
    (folder / "clients" / "acme.md").write_text(
        "---\ntitle: Acme network\ntype: client\npermalink: clients/acme\ntags: [dibbler, vpn]\n"
        "modified: 2026-01-05T10:00:00+01:00\n---\n# Acme network\n\n"
        "- [decision] Dibbler tunnels use IKEv2 #ipsec (after the audit)\n"
        "- depends_on [[Dibbler firewall]]\n- [ ] a task\n"
    )
    (folder / ".obsidian").mkdir()
    (folder / ".obsidian" / "x.md").write_text("dibbler settings")


def test_notes_of_basic_memory(kim: Technician, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    basic_memory(folder)
    source = ("basic-memory", "--from", str(folder))
    assert take(kim, *source) == {"created": 1}
    assert take(kim, *source) == {"unchanged": 1}
    [item, *_] = items(kim, "which tunnels does dibbler use")
    assert (item["author"], item["time"]) == ("basic-memory, acme.md", "2026-01-05T09:00:00.000000Z")
    assert "depends_on [[Dibbler firewall]]" in item["text"]
    snippet = kim("snippet", "show", item["record"], "--json").json
    assert (snippet["category"], snippet["title"]) == ("decision", "Acme network")
    assert set(snippet["tags"]) == {"basic-memory", "client", "dibbler", "vpn", "decision", "ipsec"}
    (folder / "clients" / "acme.md").rename(folder / "acme-network.md")
    assert take(kim, *source) == {"unchanged": 1}, "its permalink says that it is the same note"
    (folder / "huge.md").write_text("x" * (LARGEST + 1))
    (folder / "long.md").write_text("x" * (LONGEST + 1))
    (folder / "binary.md").write_bytes(b"PK\0\0")
    said = kim("import", *source, status=1).out
    assert "1 unchanged, 3 not read" in said
    for why in ("larger than", "split it", "it is no text"):
        assert why in said
    (tmp_path / "empty").mkdir()
    assert "holds no notes" in kim("import", "basic-memory", "--from", str(tmp_path / "empty"), status=1).err


@pytest.mark.parametrize("source", ["basic-memory", "auto-memory", "transcripts"])
def test_a_folder_that_is_not_there_says_so(kim: Technician, tmp_path: Path, source: str) -> None:
    assert "is no folder" in kim("import", source, "--from", str(tmp_path / "nowhere"), status=1).err


@pytest.mark.parametrize("source", ["basic-memory", "auto-memory", "transcripts"])
def test_a_folder_of_somebody_else_says_so(
    kim: Technician, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    scan, closed = os.scandir, tmp_path / "closed"
    closed.mkdir()

    def refusing(path: Any = ".") -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    said = kim("import", source, "--from", str(closed), status=1).err
    assert "cannot be read: Permission denied" in said
    # One among many is named, and the others go.
    transcript(tmp_path, unique("s"), "The phascogale host")
    (tmp_path / "note.md").write_text("The phascogale note")
    if source == "basic-memory":
        said = kim("import", source, "--from", str(tmp_path), status=1).out
        assert f"{closed}: Permission denied" in said
        assert "1 new" in said


# --- claude-mem -----------------------------------------------------------------------------------------------------

NEW = """
CREATE TABLE schema_versions (id INTEGER PRIMARY KEY, version INTEGER UNIQUE NOT NULL, applied_at TEXT NOT NULL);
INSERT INTO schema_versions VALUES (1, 35, '2026-01-01');
CREATE TABLE sdk_sessions (id INTEGER PRIMARY KEY, content_session_id TEXT UNIQUE, memory_session_id TEXT UNIQUE,
  project TEXT NOT NULL, started_at TEXT, started_at_epoch INTEGER);
CREATE TABLE observations (id INTEGER PRIMARY KEY, memory_session_id TEXT, project TEXT NOT NULL, text TEXT,
  type TEXT NOT NULL, title TEXT, subtitle TEXT, facts TEXT, narrative TEXT, concepts TEXT, files_read TEXT,
  files_modified TEXT, merged_into_project TEXT, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL);
CREATE TABLE session_summaries (id INTEGER PRIMARY KEY, memory_session_id TEXT, project TEXT NOT NULL, request TEXT,
  investigated TEXT, learned TEXT, completed TEXT, next_steps TEXT, files_read TEXT, files_edited TEXT, notes TEXT,
  created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL);
CREATE TABLE user_prompts (id INTEGER PRIMARY KEY, content_session_id TEXT NOT NULL, prompt_number INTEGER,
  prompt_text TEXT NOT NULL, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL);
"""
OLD = """
CREATE TABLE sdk_sessions (id INTEGER PRIMARY KEY, claude_session_id TEXT UNIQUE, sdk_session_id TEXT UNIQUE,
  project TEXT NOT NULL);
CREATE TABLE observations (id INTEGER PRIMARY KEY, sdk_session_id TEXT, project TEXT NOT NULL, text TEXT NOT NULL,
  type TEXT NOT NULL, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL);
CREATE TABLE session_summaries (id INTEGER PRIMARY KEY, sdk_session_id TEXT, project TEXT NOT NULL, request TEXT,
  learned TEXT, created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL);
"""
AT = 1_767_571_200_000


def database(path: Path, schema: str, **tables: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as link:
        link.executescript(schema)
        for table, rows in tables.items():
            for row in rows:
                names = ", ".join(row)
                link.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", [*row.values()])
        link.commit()
    return path


def observation(number: int, project: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "project": project, "type": "bugfix", "created_at": "x", "created_at_epoch": AT, **more}


def claude_mem(path: Path, project: str, other: str) -> Path:
    facts = json.dumps(["The quoll host is quoll-01", "It runs Debian"])
    about = {"title": "Quoll lost its lease", "narrative": "The scope of the quoll was full.", "facts": facts}
    dated = {"created_at": "x", "created_at_epoch": AT}
    return database(
        path,
        NEW,
        sdk_sessions=[
            {"content_session_id": "s-1", "project": project},
            {"content_session_id": "s-2", "project": other},
        ],
        observations=[
            observation(1, project, **about, concepts='["dhcp"]', files_modified='["/etc/dhcp/dhcpd.conf"]'),
            observation(2, other, text="of another project"),
            observation(3, other, text="Quoll was merged", merged_into_project=project, facts="no list"),
        ],
        session_summaries=[
            {"project": project, "request": "Why has the quoll no address?", "learned": "Full.", **dated}
        ],
        user_prompts=[
            {"content_session_id": "s-1", "prompt_number": 1, "prompt_text": "Look at the quoll", **dated},
            {"content_session_id": "s-1", "prompt_number": 2, "prompt_text": "<private>mine</private>", **dated},
        ],
    )


def test_claude_mems_database_in_its_present_form(kim: Technician, place: Path) -> None:
    path = claude_mem(Path.home() / ".claude-mem" / "claude-mem.db", place.name, unique("other"))
    before = path.read_bytes()
    said = kim("import", "claude-mem", "--json")
    [part] = said.json["projects"]
    assert (part["name"], part["created"], part["empty"], part["gone"]) == (place.name, 4, 1, 0)
    assert "there is no project of that name here" in said.err
    assert path.read_bytes() == before
    assert take(kim, "claude-mem", "--name", place.name) == {"unchanged": 4, "empty": 1}
    [item, *_] = items(kim, "why did the quoll lose its lease")
    assert (item["author"], item["time"]) == ("claude-mem, claude-mem.db", "2026-01-05T00:00:00.000000Z")
    assert "- It runs Debian" in item["text"]
    assert "Changed: /etc/dhcp/dhcpd.conf" in item["text"]
    snippet = kim("snippet", "show", item["record"], "--json").json
    assert set(snippet["tags"]) == {"claude-mem", "bugfix", "dhcp"}
    assert snippet["source_key"].endswith(f": observation 1 of {place.name}")


def test_claude_mems_database_in_an_old_form(kim: Technician, place: Path, tmp_path: Path) -> None:
    rows = [observation(1, "legacy", text="The mulgara mail server relays", type="decision")]
    path = database(tmp_path / "old.db", OLD, observations=rows)
    project = project_of(kim, place)
    assert take(kim, "claude-mem", "--from", str(path), "--project", project) == {"created": 1}
    [item, *_] = items(kim, "mulgara mail server")
    assert kim("snippet", "show", item["record"], "--json").json["category"] == "decision"


def test_several_projects_of_claude_mem_want_a_name(kim: Technician, place: Path) -> None:
    claude_mem(Path.home() / ".claude-mem" / "claude-mem.db", "one", "two")
    project = project_of(kim, place)
    assert "one, two" in kim("import", "claude-mem", "--project", project, status=1).err
    assert "It knows one, two" in kim("import", "claude-mem", "--name", "three", status=1).err
    assert take(kim, "claude-mem", "--name", "two", "--project", project) == {"created": 1}


def test_what_is_not_claude_mems_database_says_so(kim: Technician, tmp_path: Path) -> None:
    def said(path: Path) -> str:
        return kim("import", "claude-mem", "--from", str(path), status=1).err

    assert "No such file" in said(tmp_path / "nothing.db")
    torn = tmp_path / "torn.db"
    torn.write_bytes(b"not a database, whatever its name" * 100)
    assert "cannot be read as claude-mem's database" in said(torn)
    assert "is no database of claude-mem" in said(database(tmp_path / "other.db", "CREATE TABLE notes (id INTEGER);"))
    former = "".join(f"CREATE TABLE {name} (id INTEGER);" for name in ("memories", "overviews", "sdk_sessions"))
    assert "cannot read: it has no observations yet" in said(database(tmp_path / "former.db", former))
    future = OLD.replace("created_at_epoch INTEGER NOT NULL", "made INTEGER").replace("project TEXT NOT NULL,", "")
    assert "that this program cannot read: observations has no" in said(database(tmp_path / "future.db", future))


# --- transcripts ----------------------------------------------------------------------------------------------------


def transcript(folder: Path, session: str, *words: str, name: str = "") -> Path:
    claude = Claude(session, sessionId=session, cwd=str(folder))
    projects = Path.home() / ".claude" / "projects" / encoded(str(folder))
    projects.mkdir(parents=True, exist_ok=True)
    path = projects / f"{name or session}.jsonl"
    path.write_text("".join(json.dumps(claude.says(word)) + "\n" for word in words))
    return path


def test_sessions_that_were_kept_are_sent_once(kim: Technician, place: Path) -> None:
    gone = place.parent / unique("gone")
    here, there = unique("s"), unique("s")
    late = transcript(place, here, "The chuditch switch is in the cellar", "It has 48 ports")
    early = transcript(gone, there, "The chuditch phone system answers late")
    os.utime(early, (time.time() - 20 * 86_400,) * 2)
    below = early.with_suffix("") / "subagents"
    below.mkdir(parents=True)
    agent = Claude("a", sessionId=there, cwd=str(gone), isSidechain=True)
    (below / "agent-a.jsonl").write_text(json.dumps(agent.says("chuditch sub-agent")) + "\n")
    (late.parent / "rubbish.jsonl").write_text("[1]\n")
    told = kim("import", "transcripts", "--dry-run", "--json", status=1).json
    assert (told["sessions"], told["known"], told["windows"], len(told["unread"])) == (2, 0, 0, 1)
    assert kim.api.get("/sessions", params={"external_key": here}).json()["items"] == []
    told = kim("import", "transcripts", "--json", status=1).json
    assert (told["sessions"], told["windows"], told["known"]) == (2, 3, 0)
    told = kim("import", "transcripts", "--json", status=1).json
    assert (told["sessions"], told["windows"], told["known"]) == (0, 0, 2)
    assert "cellar" in items(kim, "chuditch switch")[0]["text"]
    sessions = kim.api.get("/sessions", params={"external_key__in": f"{here},{there}"}).json()["items"]
    assert len({each["project_id"] for each in sessions}) == 2
    assert {kim.api.get(f"/projects/{each['project_id']}").json()["name"] for each in sessions} == {
        place.name,
        gone.name,
    }
    with late.open("a") as file:
        file.write(json.dumps(Claude("more", sessionId=here, cwd=str(place)).says("The chuditch router too")) + "\n")
    told = kim("import", "transcripts", "--json", status=1).json
    assert (told["sessions"], told["windows"], told["known"]) == (1, 1, 1)


def test_the_oldest_transcripts_go_first_and_a_dead_hub_leaves_the_rest(
    kim: Technician, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worklore_cli import capturing  # noqa: PLC0415 - replaced below

    paths = [transcript(place, unique("s"), f"The thylacine log {number}") for number in range(3)]
    for age, path in enumerate(paths):
        os.utime(path, (time.time() - age * 86_400,) * 2)
    capture, order = capturing.capture, []

    def dying(home: Path, wanted: str, **options: Any) -> Any:
        order.append(Path(wanted))
        if len(order) == 2:
            raise HubUnreachable("it is gone")
        return capture(home, wanted, **options)

    with monkeypatch.context() as patch:
        patch.setattr(capturing, "capture", dying)
        said = kim("import", "transcripts", status=1)
    assert order == [paths[2], paths[1]]
    assert "1 transcripts sent" in said.out
    assert "Run it again" in said.err
    told = kim("import", "transcripts", "--json").json
    assert (told["sessions"], told["known"]) == (2, 1)
    with flusher_lock(kim.home) as free:
        assert free


def test_only_one_projects_transcripts_are_sent(kim: Technician, place: Path) -> None:
    other = place.parent / unique("beside")
    transcript(place, unique("s"), "The kultarr host")
    transcript(other, unique("s"), "The kultarr of another project")
    told = kim("import", "transcripts", "--project", project_of(kim, place), "--json").json
    assert (told["sessions"], told["others"]) == (1, 1)
    assert "of other projects" in kim("import", "transcripts", "--project", project_of(kim, place)).out


def test_no_secret_of_a_transcript_reaches_the_hub(kim: Technician, sqlite_hub: TestHub, place: Path) -> None:
    transcript(place, unique("s"), f"The ningaui token is {SECRET}")
    assert kim("import", "transcripts", "--json").json["windows"] == 1
    assert SECRET.encode() not in everything(sqlite_hub)


@pytest.fixture(autouse=True)
def _nothing_in_the_log(sqlite_hub: TestHub) -> Iterator[None]:
    yield
    with sqlite_hub.database.reading.connect() as link:
        rows = link.execute(text("SELECT changed FROM audit_log ORDER BY at DESC LIMIT 500")).all()
    assert all(SECRET not in str(row) for row in rows)
