"""The export that people read: a page for each project, with what was done, decided and solved in the order of time."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from worklore_cli.catalog import noun
from worklore_cli.exporting_rows import FORBIDDEN, File, Progressing, Rows, Written, replacing
from worklore_cli.nouns_hub import Record
from worklore_cli.nouns_shown import plain
from worklore_client.wire import HubRefused

FOLDER = "projects"
INDEX = "README.md"
OTHER = "without-a-project"
NAME = 80


@dataclass(frozen=True)
class Told:
    """How the rows of a noun are told: what they are called, their title, the fields that follow it, and their time."""

    noun: str
    label: str
    title: str
    parts: dict[str, str]
    times: tuple[str, ...] = ("created_at",)


TOLD = (
    Told(
        "session",
        "Session",
        "session_title",
        {"": "summary", "Notes": "notes", "Handed over": "handoff"},
        ("start_time", "created_at"),
    ),
    Told(
        "work-item",
        "Work item",
        "title",
        {"": "description", "Status": "status", "Systems": "affected_systems", "Branch": "branch_name"},
    ),
    Told(
        "decision",
        "Decision",
        "decision_text",
        {"Because": "rationale", "Weighed": "alternatives_considered", "Tags": "tags"},
        ("happened_at", "created_at"),
    ),
    Told(
        "problem-solution",
        "Solution",
        "problem_title",
        {
            "": "problem_description",
            "Symptom": "symptom",
            "Error": "error_message",
            "Cause": "root_cause",
            "Solution": "solution_applied",
            "Checked by": "verification_method",
            "Way back": "rollback_plan",
        },
    ),
    Told(
        "snippet",
        "Remembered",
        "title",
        {"": "dense_content", "From": "program", "File": "source", "Tags": "tags"},
        ("happened_at", "created_at"),
    ),
)
"""What stands on a page. Nouns come after those by which they know their project."""

READ = len(TOLD) + 2
"""Nouns that are read: clients and projects too."""


def markdown(rows: Rows, folder: Path, written: Written, progress: Progressing) -> None:
    """A page for each project and one that leads to them; what has no project has a page too."""
    rows.disk.execute("CREATE TABLE told (project TEXT, time TEXT, kind TEXT, id TEXT, text TEXT)")
    rows.disk.execute("CREATE TABLE homes (id TEXT PRIMARY KEY, project TEXT) WITHOUT ROWID")
    rows.disk.execute("CREATE TABLE pages (project TEXT PRIMARY KEY, name TEXT, client TEXT)")
    names = {row["id"]: row["name"] for row in _seen(rows, "client", written, progress)}
    for row in _seen(rows, "project", written, progress):
        page = (row["id"], row["name"], names.get(row["client_id"], ""))
        rows.disk.execute("INSERT INTO pages VALUES (?, ?, ?)", page)
    for told in TOLD:
        for row in _seen(rows, told.noun, written, progress):
            project = (
                row.get("project_id") or _home(rows, row.get("session_id")) or _home(rows, row.get("work_item_id"))
            )
            rows.disk.execute("INSERT OR IGNORE INTO homes VALUES (?, ?)", (row["id"], project))
            time = next(str(row[name]) for name in told.times if row.get(name))
            entry = (project or "", time, told.label, row["id"], _entry(told, row, time))
            rows.disk.execute("INSERT INTO told VALUES (?, ?, ?, ?, ?)", entry)
    rows.disk.execute("CREATE INDEX in_time ON told (project, time, id)")
    (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    _pages(rows, folder, written)


def _seen(rows: Rows, name: str, written: Written, progress: Progressing) -> Iterator[Record]:
    """The rows of a noun; none where the caller may not read it."""
    try:
        yield from rows.of(noun(name), progress)
    except HubRefused as refusal:
        if refusal.status != FORBIDDEN:
            raise
        written.forbidden[noun(name).plural] = str(refusal.problem.get("detail") or refusal.code)


def _home(rows: Rows, key: str | None) -> str | None:
    found = rows.disk.execute("SELECT project FROM homes WHERE id = ?", (key,)).fetchone()
    return found[0] if found else None


def _pages(rows: Rows, folder: Path, written: Written) -> None:
    index = ["# Projects", ""]
    taken: set[str] = set()
    listed = rows.disk.execute("SELECT project, name, client FROM pages ORDER BY client, name, project").fetchall()
    homeless = rows.disk.execute(
        "SELECT count(*) FROM told WHERE project NOT IN (SELECT project FROM pages)"
    ).fetchone()
    for project, name, client in [*listed, *([("", "Without a project", "")] if homeless[0] else [])]:
        file = _free(name if project else OTHER, project, taken)
        path = folder / FOLDER / f"{file}.md"
        heading = f"# {_line(name)}\n" + (f"\nFor {_line(client)}\n" if client else "")
        written.files[f"{FOLDER}/{file}"] = page = _page(path, heading, _entries(rows, project))
        index.append(
            f"- [{_line(name)}]({FOLDER}/{file}.md), {page.rows} entries" + (f", {_line(client)}" if client else "")
        )
    path = folder / INDEX
    written.files[INDEX] = _page(path, "\n".join(index) + "\n", iter(()))


def _entries(rows: Rows, project: str) -> Iterator[str]:
    """What stands on a project's page, or on that of what has none, in the order of time."""
    asked = _OF_PROJECT if project else _OF_NONE
    for (text,) in rows.disk.execute(asked, (project,) if project else ()):
        yield text


_OF_PROJECT = "SELECT text FROM told WHERE project = ? ORDER BY time, id"
_OF_NONE = "SELECT text FROM told WHERE project NOT IN (SELECT project FROM pages) ORDER BY time, id"


def _page(path: Path, heading: str, entries: Iterator[str]) -> File:
    digest, count, size = hashlib.sha256(), 0, 0
    with replacing(path) as file:

        def put(text: str) -> None:
            nonlocal size
            content = text.encode("utf-8", "replace")
            file.write(content)
            digest.update(content)
            size += len(content)

        put(heading)
        for entry in entries:
            put(entry)
            count += 1
    name = path.name if path.name == INDEX else f"{FOLDER}/{path.name}"
    return File(name, count, size, digest.hexdigest())


def _free(name: str, project: str, taken: set[str]) -> str:
    """A name for a page: of letters that any file system takes, and of no other page."""
    file = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:NAME] or "project"
    file = file if file not in taken else f"{file}-{project}"
    taken.add(file)
    return file


def _entry(told: Told, row: Record, time: str) -> str:
    """One row: a heading with its time and title, and its fields as quotations, whatever they hold."""
    fields = {label: _text(row.get(name)) for label, name in told.parts.items()}
    title = _text(row.get(told.title))
    shown = _line(title or next((text for text in fields.values() if text), row["id"]))
    if len(shown) > NAME:
        shown = f"{shown[: NAME - 1]}…"
    lines = [f"\n## {time[:10]} {time[11:16]} {told.label}: {shown}\n"]
    for label, text in (*([("", title)] if title != shown else []), *fields.items()):
        if text:
            lines += [f"\n{label}:\n\n" if label else "\n", *(f"> {line}\n" for line in text.split("\n"))]
    return "".join(lines)


def _text(value: object) -> str:
    """A value as people read it, without what could steer a terminal."""
    text = "; ".join(map(str, cast("Sequence[object]", value))) if isinstance(value, list) else str(value or "")
    return plain(text.replace("\r\n", "\n").strip(), keep="\n\t")


def _line(text: str) -> str:
    return " ".join(plain(text, keep="\n\t").split())
