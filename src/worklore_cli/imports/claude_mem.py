"""claude-mem's database: observations, summaries of sessions and prompts, in the forms of its versions.

It is opened for reading alone. Which columns there are is asked of the database: versions have added and renamed some.
"""
# ruff: noqa: S608 - the names in statements are this file's own

import json
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from worklore_cli.failure import Failure
from worklore_cli.imports.memory import Found, Memory, Unread, moment
from worklore_cli.machine import fingerprint
from worklore_client.config import user_home

PROGRAM = "claude-mem"
OBSERVATIONS, SUMMARIES, PROMPTS, SESSIONS = "observations", "session_summaries", "user_prompts", "sdk_sessions"
NEEDED = {
    OBSERVATIONS: {"id", "project", "type", "created_at_epoch"},
    SUMMARIES: {"id", "project", "created_at_epoch"},
    PROMPTS: {"id", "prompt_text", "created_at_epoch"},
    SESSIONS: {"id", "project"},
}
"""What each table must have to be understood."""

SESSION = ("content_session_id", "claude_session_id")
"""What a session of the agent is called in newer and in older versions."""

SUMMARY = {
    "request": "Asked",
    "investigated": "Looked into",
    "learned": "Learned",
    "completed": "Done",
    "next_steps": "Next",
    "notes": "Notes",
}
CATEGORIES = {"decision": "decision"}
FORMER = {"memories", "overviews"}
"""Tables of the versions before observations."""


@dataclass(frozen=True)
class Database:
    """An open database: its file, the columns of its tables."""

    path: Path
    link: sqlite3.Connection
    columns: dict[str, frozenset[str]]

    def rows(self, table: str, project: str) -> Iterator[dict[str, Any]]:
        """The rows of a table that belong to a project, in their order."""
        if table not in self.columns:
            return
        asked = self._select(table)
        cursor = self.link.execute(f"{asked} WHERE {self._project(table)} = ? ORDER BY t.id", (project,))
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))

    def projects(self) -> list[str]:
        """What its projects are called."""
        found: set[str] = set()
        for table in (OBSERVATIONS, SUMMARIES, PROMPTS):
            if table in self.columns:
                query = f"SELECT DISTINCT {self._project(table)} FROM {self._from(table)}"
                found.update(name for (name,) in self.link.execute(query) if isinstance(name, str) and name)
        return sorted(found)

    def count(self, project: str) -> int:
        """How many rows a project has."""
        return sum(
            self.link.execute(
                f"SELECT count(*) FROM {self._from(table)} WHERE {self._project(table)} = ?", (project,)
            ).fetchone()[0]
            for table in (OBSERVATIONS, SUMMARIES, PROMPTS)
            if table in self.columns
        )

    def covers(self, project: str) -> Callable[[str, str], bool]:
        """Whether a memory is of this machine's database, and of the project's rows."""
        mark = key_of("", "", project).partition(" ")[0]
        return lambda key, _: key.startswith(f"{mark} ") and key.endswith(f" of {project}")

    def _select(self, table: str) -> str:
        return f"SELECT t.* FROM {self._from(table)}"

    def _from(self, table: str) -> str:
        if table != PROMPTS:
            return f"{table} t"
        # A prompt knows its project by its session alone.
        name = next(name for name in SESSION if name in self.columns[PROMPTS] & self.columns[SESSIONS])
        return f"{PROMPTS} t JOIN {SESSIONS} s ON s.{name} = t.{name}"

    def _project(self, table: str) -> str:
        """The project of a row: the one it was merged into, where that was done."""
        if table == PROMPTS:
            return "s.project"
        merged = "merged_into_project" in self.columns[table]
        return "coalesce(t.merged_into_project, t.project)" if merged else "t.project"


@contextmanager
def opened(source: Path | None) -> Generator[Database]:
    """The database, for reading alone.

    Raises:
        Failure: it is not there, cannot be read, is not claude-mem's, or of a version that is not known.
    """
    path = (source or user_home() / ".claude-mem" / "claude-mem.db").expanduser().absolute()
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Failure(f"{path}: {why}", "--from names claude-mem's database") from None
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as link:
            yield Database(path, link, _understood(path, link))
    except sqlite3.DatabaseError as error:
        raise Failure(f"{path} cannot be read as claude-mem's database ({error})", "--from names another") from None


def _understood(path: Path, link: sqlite3.Connection) -> dict[str, frozenset[str]]:
    """The columns of the tables that are read. Failure where they are not those of a known version."""
    names = {name for (name,) in link.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not names & {OBSERVATIONS, SUMMARIES} or SESSIONS not in names:
        if names >= FORMER:
            raise _unknown(path, link, names, "it has no observations yet")
        raise Failure(f"{path} is no database of claude-mem", "--from names it; usually ~/.claude-mem/claude-mem.db")
    columns = {
        table: frozenset(row[1] for row in link.execute(f"PRAGMA table_info({table})"))
        for table in NEEDED
        if table in names
    }
    for table, found in columns.items():
        if lacking := NEEDED[table] - found:
            raise _unknown(path, link, names, f"{table} has no {', '.join(sorted(lacking))}")
    if PROMPTS in columns and not any(name in columns[PROMPTS] & columns[SESSIONS] for name in SESSION):
        raise _unknown(path, link, names, f"{PROMPTS} does not name its sessions")
    return columns


def _unknown(path: Path, link: sqlite3.Connection, names: set[str], why: str) -> Failure:
    version = "of an unknown version"
    if "schema_versions" in names:
        version = f"of schema version {link.execute('SELECT max(version) FROM schema_versions').fetchone()[0]}"
    return Failure(
        f"{path} is {version} that this program cannot read: {why}", "Let claude-mem open it once, or tell us"
    )


def chosen(database: Database, names: Sequence[str], *, is_one: bool) -> list[str]:
    """The projects that are meant: those named, else all.

    Raises:
        Failure: a name is not there, or several projects would go into the one that is named.
    """
    known = database.projects()
    unknown = [name for name in names if name not in known]
    listed = ", ".join(known) or "none"
    if unknown:
        raise Failure(f"{unknown[0]}: claude-mem keeps nothing under that name", f"It knows {listed}")
    found = list(dict.fromkeys(names)) or known
    if is_one and not names and len(found) > 1:
        raise Failure(
            f"claude-mem keeps several projects: {listed}", "--name says which of them --project is meant for"
        )
    return found


def key_of(kind: str, number: object, project: str) -> str:
    """What a row is called: on which machine, which row, of which project."""
    return f"{fingerprint()[:8]}: {kind} {number} of {project}"


def memories(database: Database, project: str) -> Iterator[Found]:
    """The rows of a project as memories."""
    makers = {OBSERVATIONS: _observation, SUMMARIES: _summary, PROMPTS: _prompt}
    for table, make in makers.items():
        for row in database.rows(table, project):
            kind = make.__name__.removeprefix("_")
            key = key_of(kind, row["id"], project)
            written = moment(row["created_at_epoch"]) or moment(row.get("created_at"))
            if written is None:
                yield Unread(f"{kind} {row['id']} of {project}", "it has no time", key)
                continue
            title, text, category, tags = make(row)
            yield Memory(key, str(database.path), title, text, category, (PROGRAM, *tags), written)


Said = tuple[str, str, str, Sequence[str]]


def _observation(row: dict[str, Any]) -> Said:
    kind = _text(row, "type")
    lines = [_text(row, "title"), _text(row, "subtitle"), _text(row, "narrative") or _text(row, "text")]
    lines += [f"- {fact}" for fact in _list(row, "facts")]
    for name, files in (("Read", _list(row, "files_read")), ("Changed", _list(row, "files_modified"))):
        lines += [f"{name}: {', '.join(files)}"] if files else []
    return _text(row, "title"), _lines(lines), CATEGORIES.get(kind, "lesson"), (kind, *_list(row, "concepts"))


def _summary(row: dict[str, Any]) -> Said:
    lines = [f"{label}: {said}" for name, label in SUMMARY.items() if (said := _text(row, name))]
    return _text(row, "request") or "Summary of a session", _lines(lines), "state", ("summary",)


def _prompt(row: dict[str, Any]) -> Said:
    text = _text(row, "prompt_text")
    return text.partition("\n")[0], text, "state", ("prompt",)


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(line for line in lines if line)


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""


def _list(row: dict[str, Any], name: str) -> list[str]:
    """A list that is kept as JSON; a text that is none counts as its only entry."""
    text = _text(row, name)
    try:
        value: Any = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return [text]
    return [str(item) for item in cast("Sequence[Any]", value) if item] if isinstance(value, list) else [text]
