"""Notes of basic-memory: a folder of markdown with front matter, observations and relations."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

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
    listed,
    modified,
    moment,
    read_text,
    told,
)
from worklore_client.config import user_home

PROGRAM = "basic-memory"
_OBSERVATION = re.compile(r"\s*[-*]\s+\[(?P<category>[^\[\]()]{2,60})\]\s+(?P<said>\S.*)$")
_TAG = re.compile(r"(?<![\w#/])#(?P<tag>[\w/-]+)")
_DATES = ("modified", "updated", "updated_at", "created", "created_at", "date")


def folder_of(source: Path | None) -> Path:
    """The folder that is named, else the usual one. Failure where there is none, or no note in it."""
    folder = folder_at(source or user_home() / "basic-memory", "--from names the folder of a basic-memory project")
    if next(_notes(folder, []), None) is None:
        raise Failure(f"{folder} holds no notes", "basic-memory keeps them as markdown (*.md)")
    return folder


def covering(folder: Path) -> Callable[[str, str], bool]:
    """Whether a memory is one of this folder: its key begins with the folder's name."""
    return lambda key, _: key.startswith(f"{folder.name}/")


def _notes(folder: Path, unread: list[Unread]) -> Iterator[Path]:
    for path in files_below(folder, ".md", unread):
        within = path.relative_to(folder)
        if not is_ours(within) and not any(part.startswith(".") for part in within.parts):
            yield path


def memories(folder: Path) -> Iterator[Found]:
    """The notes of a folder, each whole: its observations and relations stand in it as lines."""
    unread: list[Unread] = []
    for path in _notes(folder, unread):
        place = path.relative_to(folder).as_posix()
        text = read_text(path)
        if isinstance(text, Unread):
            yield Unread(text.what, text.why, f"{folder.name}/{place}")
            continue
        front, body = front_matter(text)
        title = told(front, "title") or first_heading(body) or path.stem
        kind = told(front, "type")
        written = next((found for name in _DATES if (found := moment(told(front, name)))), None)
        yield Memory(
            f"{folder.name}/{told(front, 'permalink') or place}",
            str(path),
            title,
            body,
            _category(body),
            (PROGRAM, *([kind] if kind not in {"", "note"} else []), *listed(front, "tags"), *_tags(body)),
            written or modified(path),
        )
    yield from unread


def _observations(text: str) -> Iterator[tuple[str, str]]:
    """Category and words of each observation outside of code."""
    fenced = False
    for line in text.split("\n"):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        found = None if fenced else _OBSERVATION.match(line)
        if found is not None:
            yield found["category"].strip().lower(), found["said"]


def _category(text: str) -> str:
    """A note whose observations are all decisions is one; all others are lessons."""
    kinds = {category for category, _ in _observations(text)}
    return "decision" if kinds == {"decision"} else "lesson"


def _tags(text: str) -> Iterator[str]:
    """The tags of a note's observations, and what these are about."""
    for category, said in _observations(text):
        yield category
        yield from (found["tag"] for found in _TAG.finditer(said))
