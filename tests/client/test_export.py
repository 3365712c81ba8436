"""Everything a person can see, in files: whole, in pages, of one client, and nothing of another's and no secret."""

import hashlib
import json
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.commands import Technician
from tests.client.commands import technician as connected
from tests.conftest import TestHub, unique
from worklore_cli import catalog, exporting_rows, nouns_hub
from worklore_client.config import Config, save


@pytest.fixture
def owner(sqlite_hub: TestHub, tmp_path: Path) -> Technician:
    return connected(sqlite_hub, tmp_path / "client")


class Made:
    """A client with a record of many nouns, each of which holds a word that nothing else holds."""

    def __init__(self, owner: Technician) -> None:
        self.owner = owner
        self.word = unique("canary").replace("-", "")
        self.secret = f"Kx{unique().replace('-', '')}9Z"
        self.client = self.make("clients", name=f"{self.word} Dental", type="msp_client")
        self.project = self.make("projects", name=f"{self.word} network", client_id=self.client)
        about = {"project_id": self.project, "client_id": self.client}
        self.session = self.make("sessions", session_title=f"{self.word} session", session_date="2026-01-05", **about)
        item = {"title": f"{self.word} item", "description": self.word, "item_type": "task"}
        self.make("work-items", project_id=self.project, **item)
        self.make(
            "decision-logs", project_id=self.project, decision_type="stated", decision_text=f"{self.word}\n# no heading"
        )
        self.make("context-snippets", project_id=self.project, category="lesson", title="t", dense_content=self.word)
        solved = {"problem_description": self.word, "solution_applied": f"turned {self.word} off", "root_cause": "x"}
        self.make("problem-solutions", session_id=self.session, **solved)
        host = self.make("infrastructure", client_id=self.client, hostname=self.word, asset_type="physical_server")
        self.make("services", infrastructure_id=host, service_name=f"{self.word} service", service_type="web_server")
        new = {"client_id": self.client, "credential_type": "password", "service_name": f"{self.word} door"}
        stored = owner.api.post("/credentials/store", json={**new, "password": self.secret})
        assert stored.status_code == 200, stored.text

    def make(self, noun: str, **body: Any) -> str:
        answer = self.owner.api.post(f"/{noun}", json=body)
        assert answer.status_code == 201, (noun, answer.text)
        made: str = answer.json()["id"]
        return made


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def lines(folder: Path, plural: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{plural}.jsonl").read_text().splitlines()]


def test_every_noun_has_a_file_and_the_manifest_proves_it(owner: Technician, tmp_path: Path) -> None:
    made, out = Made(owner), tmp_path / "out"
    assert "rows in" in owner("export", "--out", str(out)).out
    manifest = json.loads((out / "manifest.json").read_text())
    listed = {catalog.noun(name).plural for name in catalog.descriptions() if "list" in catalog.noun(name).verbs}
    assert set(manifest["files"]) | set(manifest["forbidden"]) == listed
    assert {path.name for path in out.iterdir()} == {f"{name}.jsonl" for name in manifest["files"]} | {"manifest.json"}
    for name, told in manifest["files"].items():
        content = (out / told["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (told["bytes"], told["sha256"]), name
        assert len(lines(out, name)) == told["rows"], name
    assert made.project in {row["id"] for row in lines(out, "projects")}
    assert [row for row in lines(out, "projects") if row["id"] == made.project] == [
        owner.api.get(f"/projects/{made.project}").json()
    ]
    assert made.word.encode() in everything(out)
    assert made.secret.encode() not in everything(out)
    assert stat.S_IMODE((out / "projects.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE(out.stat().st_mode) == 0o700


def test_one_clients_export_holds_all_that_is_its_own_and_nothing_else(owner: Technician, tmp_path: Path) -> None:
    own, other = Made(owner), Made(owner)
    for form in ("jsonl", "markdown"):
        out = tmp_path / form
        owner("export", "--out", str(out), "--format", form, "--client", f"{own.word} Dental")
        content = everything(out)
        assert own.word.encode() in content
        for foreign in (other.word, other.secret, own.secret, other.client, other.project, other.session):
            assert foreign.encode() not in content, (form, foreign)
    files = json.loads((tmp_path / "jsonl" / "manifest.json").read_text())["files"]
    for noun in ("clients", "projects", "work-items", "decision-logs", "problem-solutions", "services", "credentials"):
        assert files[noun]["rows"] == 1, noun


def test_who_is_limited_to_a_client_exports_nothing_of_another(
    owner: Technician, sqlite_hub: TestHub, tmp_path: Path
) -> None:
    own, other = Made(owner), Made(owner)
    home = tmp_path / "limited"
    save(Config(home, sqlite_hub.url, sqlite_hub.token(clients=[own.client]), {}))
    limited = Technician(sqlite_hub, home, owner.api)
    for form in ("jsonl", "markdown"):
        out = tmp_path / form
        limited("export", "--out", str(out), "--format", form)
        content = everything(out)
        assert own.word.encode() in content
        for foreign in (other.word, other.secret, own.secret, other.client, other.project, other.session):
            assert foreign.encode() not in content, (form, foreign)


def test_what_a_role_may_not_read_is_named_and_left_out(owner: Technician, sqlite_hub: TestHub, tmp_path: Path) -> None:
    home = tmp_path / "reader"
    save(Config(home, sqlite_hub.url, sqlite_hub.token(scopes=["client:read", "project:read"]), {}))
    said = Technician(sqlite_hub, home, owner.api)("export", "--out", str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert set(manifest["files"]) == {"clients", "projects"}
    assert "sessions" in manifest["forbidden"]
    assert "sessions: left out" in said.err


def test_pages_for_people_tell_in_the_order_of_time(owner: Technician, tmp_path: Path) -> None:
    made, out = Made(owner), tmp_path / "out"
    early = {"start_time": "2020-01-05T08:00:00Z", "project_id": made.project, "client_id": made.client}
    made.make("sessions", session_title="the first one", session_date="2020-01-05", **early)
    owner("export", "--out", str(out), "--format", "markdown", "--client", made.client)
    page = (out / "projects" / f"{made.word}-network.md").read_text()
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings[0] == f"# {made.word} network"
    assert headings[1] == "## 2020-01-05 08:00 Session: the first one"
    assert {heading.split(" ")[3].rstrip(":") for heading in headings[1:]} == {
        "Session", "Work", "Decision", "Solution", "Remembered"
    }  # fmt: skip
    assert headings[1:] == sorted(headings[1:], key=lambda heading: heading[:19])
    assert "> # no heading" in page
    assert f"> turned {made.word} off" in page
    index = (out / "README.md").read_text()
    assert f"projects/{made.word}-network.md), 6 entries, {made.word} Dental" in index


def test_a_folder_that_is_not_empty_is_refused(owner: Technician, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("mine")
    said = owner("export", "--out", str(out), status=1).err
    assert "is not empty" in said
    assert "--force" in said
    owner("export", "--out", str(out), "--force")
    assert (out / "letter.txt").read_text() == "mine"
    assert (out / "manifest.json").is_file()
    assert "is no folder" in owner("export", "--out", str(out / "letter.txt"), status=1).err


def test_an_export_that_broke_off_has_no_manifest(
    owner: Technician, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    owner("export", "--out", str(out))

    def broken(*_: Any) -> Any:
        raise OSError(28, "No space left on device", str(out))

    monkeypatch.setattr(exporting_rows, "_write", broken)
    assert "No space left" in owner("export", "--out", str(out), "--force", status=1).err
    assert not (out / "manifest.json").exists()
    assert not list(out.glob("*.part"))


def test_rows_come_in_pages_and_none_is_missed(
    owner: Technician, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(owner)
    ids = {made.make("tags", name=unique("tag")) for _ in range(25)}
    monkeypatch.setattr(exporting_rows, "PAGE", 7)
    owner("export", "--out", str(tmp_path / "out"))
    found = [row["id"] for row in lines(tmp_path / "out", "tags")]
    assert ids <= set(found)
    assert len(found) == len(set(found))


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hundred thousand rows of half a kilobyte pass through a few megabytes."""
    rows, size = 100_000, 500
    noun = catalog.noun("client")

    def pages(*_: Any, size: int, **__: Any) -> Iterator[tuple[list[dict[str, Any]], bool]]:
        for start in range(0, rows, size):
            yield [{"id": str(start + number), "notes": "x" * 500} for number in range(size)], True

    hub = nouns_hub.Records("http://127.0.0.1:9")
    monkeypatch.setattr(hub, "pages", pages)
    written = exporting_rows.Written(hub.url, exporting_rows.Form.jsonl, None)
    monkeypatch.setattr(exporting_rows, "in_order", lambda: [noun])
    tracemalloc.start()
    try:
        with exporting_rows.reading(hub, None) as reading:
            exporting_rows.json_lines(reading, tmp_path, written, lambda *_: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written.files["clients"].rows == rows
    assert written.files["clients"].bytes > rows * size
    assert peak < 4_000_000, peak


def test_nouns_come_after_those_they_name() -> None:
    order = [noun.name for noun in exporting_rows.in_order()]
    for first, later in (("client", "project"), ("session", "work-item"), ("infrastructure", "service")):
        assert order.index(first) < order.index(later)
    assert len(order) == len(set(order))
