"""File changes by folder: what became of each file in the end, not every step on the way."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from worklore.memory import tokens

ORDER: Final = ("created", "modified", "renamed", "deleted")
WORDS: Final = {
    "added": "created",
    "create": "created",
    "write": "created",
    "edit": "modified",
    "modify": "modified",
} | {
    "changed": "modified",
    "update": "modified",
    "updated": "modified",
    "rename": "renamed",
    "moved": "renamed",
    "move": "renamed",
    "delete": "deleted",
    "removed": "deleted",
    "remove": "deleted",
}
NAMES: Final = 8
"""Files named of one folder and kind."""


@dataclass(frozen=True, slots=True)
class FileStep:
    """One change of a file, in the order they were made."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """What became of the files, as text with its tokens, and how many changes and files that is of."""

    text: str
    tokens: int
    steps: int
    files: int


def file_changes(steps: Iterable[FileStep]) -> FilesChanged:
    """Compress changes: one line for each folder. A file that came and went again is left out."""
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    times: dict[str, int] = defaultdict(int)
    count = 0
    for step in steps:
        kind = WORDS.get(step.kind.lower(), step.kind.lower())
        path = step.path.replace("\\", "/")
        first.setdefault(path, kind)
        last[path] = kind
        times[path] += 1
        count += 1
    folders: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, kind in last.items():
        if first[path] == "created" and kind == "deleted":
            continue
        final = "created" if first[path] == "created" and kind == "modified" else kind
        folder, _, name = path.rpartition("/")
        folders[folder or "."][final].append(name + (f" x{times[path]}" if times[path] > 1 else ""))
    text = "\n".join(f"{folder}: {_kinds(folders[folder])}" for folder in sorted(folders))
    return FilesChanged(text, tokens.count(text), count, len(last))


def _kinds(by_kind: dict[str, list[str]]) -> str:
    known = [kind for kind in ORDER if kind in by_kind]
    return "; ".join(f"{kind} {_names(by_kind[kind])}" for kind in [*known, *sorted(by_kind.keys() - set(known))])


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES])
    return shown + (f" and {len(names) - NAMES} more" if len(names) > NAMES else "")
