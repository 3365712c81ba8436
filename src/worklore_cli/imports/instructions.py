"""What people have written down for their agents: CLAUDE.md, AGENTS.md and the files that those import."""

import re
from collections.abc import Iterator
from pathlib import Path

from worklore_cli.capturing import CLAUDE, CODEX
from worklore_cli.imports.memory import (
    Found,
    Memory,
    Unread,
    first_heading,
    front_matter,
    is_ours,
    modified,
    read_text,
)
from worklore_cli.machine import fingerprint
from worklore_client.adapters import BY_NAME
from worklore_client.project import find_project

PROGRAM = "instructions"
NAMES = ("CLAUDE.md", ".claude/CLAUDE.md", "CLAUDE.local.md", "AGENTS.md")
RULES = ".claude/rules"
DEEPEST = 5
"""Imports of imports that are followed."""

_IMPORT = re.compile(r"(?<![\w`@./])@(?P<path>~?[\w./\\-][\w./\\ -]*?[\w-])(?=[\s,;:)]|\.?$|\.\s)", re.MULTILINE)
_FENCE = re.compile(r"^\s*(```|~~~).*?^\s*\1", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`[^`\n]*`")
_OF_A_MACHINE = re.compile(r"[0-9a-f]{8}:")


def covers(key: str, _: str) -> bool:
    """Whether a memory is of the project's own files, which all machines share, or of this machine's."""
    return key.startswith(f"{fingerprint()[:8]}:") or _OF_A_MACHINE.match(key) is None


def memories(folder: Path, home: Path) -> Iterator[Found]:
    """The files of the project around a folder, of the folders above it and of the user's home, each once."""
    root = Path(find_project(str(folder))[0])
    seen: set[Path] = set()
    for path in _files(folder):
        yield from _with_imports(path, root, home, seen, DEEPEST)


def _files(folder: Path) -> Iterator[Path]:
    """Where agents look for what they are to know, the nearest first."""
    for place in (folder, *folder.parents):
        yield from (place / name for name in NAMES)
        yield from sorted((place / RULES).rglob("*.md"))
    claude = BY_NAME[CLAUDE].home()
    yield claude / "CLAUDE.md"
    yield from sorted((claude / "rules").rglob("*.md"))
    yield BY_NAME[CODEX].home() / "AGENTS.md"


def _with_imports(path: Path, root: Path, home: Path, seen: set[Path], deep: int) -> Iterator[Found]:
    real = path.resolve()
    if real in seen or is_ours(real) or not path.is_file():
        return
    seen.add(real)
    key = _key(path, root, home)
    text = read_text(path)
    if isinstance(text, Unread):
        yield Unread(text.what, text.why, key)
        return
    body = front_matter(text)[1]
    title = first_heading(body)
    # A name says more than a heading that only repeats it.
    named = f"{path.name}: {title}" if title and title.lower() != path.name.lower() else path.name
    yield Memory(key, str(path), named, body, "pattern", (PROGRAM,), modified(path))
    if deep:
        for wanted in imported(body):
            target = _allowed(wanted, path, root, home)
            if target is not None:
                yield from _with_imports(target, root, home, seen, deep - 1)


def _key(path: Path, root: Path, home: Path) -> str:
    """A project's file is called as in the project, whoever imports it; any other as on this machine."""
    if path.is_relative_to(root) and root != home:
        return path.relative_to(root).as_posix()
    place = f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else path.as_posix()
    return f"{fingerprint()[:8]}:{place}"


def imported(text: str) -> Iterator[str]:
    """The paths that a text imports by ``@path``, but for those in code."""
    bare = _SPAN.sub("", _FENCE.sub("", text))
    yield from (found["path"] for found in _IMPORT.finditer(bare))


def _allowed(wanted: str, by: Path, root: Path, home: Path) -> Path | None:
    """The file that is imported, if it is one in the project, or markdown in the user's home; links lead nowhere else.

    A repository that somebody else wrote must not have this machine send what lies elsewhere, such as keys.
    """
    path = home / wanted[2:] if wanted.startswith("~/") else by.parent / wanted
    try:
        real = path.resolve()
        if not real.is_file():
            return None
    except (OSError, ValueError):
        return None
    own = root != home and real.is_relative_to(root.resolve())
    return path if own or (real.is_relative_to(home.resolve()) and real.suffix.lower() == ".md") else None
