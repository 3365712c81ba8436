"""Claude Code's own memory: a folder of markdown for each project, with ``MEMORY.md`` as its index."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worklore_cli.capturing import CLAUDE, about
from worklore_cli.failure import Failure
from worklore_cli.imports.memory import (
    Found,
    Memory,
    Unread,
    files_below,
    first_heading,
    folder_at,
    front_matter,
    is_ours,
    modified,
    read_text,
    told,
)
from worklore_cli.machine import fingerprint
from worklore_client.adapters import BY_NAME

PROGRAM = "auto-memory"
INDEX = "MEMORY.md"
CATEGORIES = {"feedback": "pattern", "project": "state", "user": "state"}
"""What a note of each type is here; any other is a lesson."""

_POINTER = re.compile(r"\s*[-*]\s+\[[^\]]*\]\((?P<file>[^)#:]+\.md)\)")


@dataclass(frozen=True)
class Place:
    """A memory folder, what its project is called there, and that project's folder; "" where nobody knows it."""

    path: Path
    name: str
    folder: str

    def key(self, file: Path) -> str:
        """What a file is called: on which machine, of which project."""
        return f"{fingerprint()[:8]}:{self.name}/{file.relative_to(self.path).as_posix()}"

    def covers(self, key: str, _: str) -> bool:
        """Whether a memory of that key is one of this folder."""
        return key.startswith(f"{fingerprint()[:8]}:{self.name}/")


def places(source: Path | None) -> list[Place]:
    """The memory folders below the folder of Claude Code's projects, or the one that is named.

    Raises:
        Failure: there is no such folder, or no memory in it.
    """
    hint = "--from names a memory folder, or one of Claude Code's projects"
    top = folder_at(source or BY_NAME[CLAUDE].home() / "projects", hint)
    below = sorted(path for path in top.glob("*/memory") if path.is_dir())
    if below:
        return [Place(path, path.parent.name, folder_of(path.parent)) for path in below]
    if any(top.glob("*.md")):
        named = top.parent if top.name == "memory" else top
        return [Place(top, named.name, folder_of(named) if top.name == "memory" else "")]
    raise Failure(f"{top} holds no memory of Claude Code", "It keeps notes in projects/NAME/memory/*.md")


def encoded(folder: str) -> str:
    """What Claude Code calls the project of a folder."""
    return re.sub(r"[^A-Za-z0-9]", "-", folder)


def folder_of(project: Path) -> str:
    """The folder of a project of Claude Code: as its transcripts tell, else the one on this machine that is called so.

    "" where neither says it.
    """
    newest = sorted(project.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest:
        try:
            folder = about(path)[2]
        except (Failure, OSError):
            continue
        if encoded(folder) == project.name:
            return folder
    return _on_this_machine(Path("/"), project.name.removeprefix("-"))


def _on_this_machine(above: Path, name: str) -> str:
    try:
        inside = sorted(path for path in above.iterdir() if path.is_dir())
    except OSError:
        return ""
    for path in inside:
        own = encoded(path.name)
        if own == name:
            return str(path)
        if name.startswith(f"{own}-") and (found := _on_this_machine(path, name[len(own) + 1 :])):
            return found
    return ""


def memories(place: Place) -> Iterator[Found]:
    """The notes of a folder. Of the index what is more than pointers to them."""
    unread: list[Unread] = []
    for path in files_below(place.path, ".md", unread):
        if is_ours(path.relative_to(place.path)):
            continue
        text = read_text(path)
        if isinstance(text, Unread):
            yield Unread(text.what, text.why, place.key(path))
            continue
        front, body = front_matter(text)
        if path.name == INDEX:
            body = _beyond_pointers(body, path.parent)
        kind = told(front, "type").lower()
        description = told(front, "description")
        yield Memory(
            place.key(path),
            str(path),
            description or first_heading(body) or told(front, "name") or path.stem,
            f"{description}\n\n{body.strip()}" if description and body.strip() else body,
            CATEGORIES.get(kind, "lesson"),
            (PROGRAM, kind),
            modified(path),
        )
    yield from unread


def _beyond_pointers(text: str, folder: Path) -> str:
    """An index without its pointers to notes that are there; "" where nothing but headings is left."""
    lines = [line for line in text.split("\n") if not _points(line, folder)]
    return "\n".join(lines) if any(line.strip() and not line.startswith("#") for line in lines) else ""


def _points(line: str, folder: Path) -> bool:
    found = _POINTER.match(line)
    return found is not None and (folder / found["file"]).is_file()
