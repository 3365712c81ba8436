"""A journal in markdown in the project's own folder, for projects that opt in: the last layer, readable without us.

``.worklore/journal/`` holds ``journal.md``, a line for each write made here, and a page for each kind of record, as it
was when it was last fetched. A project opts in on one machine, by ``worklore offline journal on``: what a repository
brings along is not written to.
"""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worklore_client import cache
from worklore_client.config import Config, replace_file, write_private
from worklore_client.events import log
from worklore_client.project import find_project

FOLDER = Path(".worklore") / "journal"
WRITES = "journal.md"
PAGES = {
    "brief": "brief.md",
    "work-item": "work-items.md",
    "vendor": "vendors.md",
    "configuration": "configuration.md",
    "warning": "warnings.md",
}
"""The page of each kind."""

LIMIT = 1_048_576
"""Bytes of ``journal.md``; then it is turned over to ``journal.1.md``."""

_HEAD = 4
"""Lines of a page before its records."""

LISTED = "journals"
_NAMES = ("title", "name", "key", "id")


def turn_on(home: Path, folder: str) -> Path:
    """Let the project of a folder have a journal; where it is. OSError when it cannot be made."""
    root = find_project(folder)[0]
    place = Path(root) / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    write_private(home / LISTED, "".join(f"{line}\n" for line in dict.fromkeys([*_listed(home), root])))
    return place


def turn_off(home: Path, folder: str) -> Path:
    """Write no journal there any more; what it holds stays."""
    root = find_project(folder)[0]
    write_private(home / LISTED, "".join(f"{line}\n" for line in _listed(home) if line != root))
    return Path(root) / FOLDER


def place_of(home: Path, folder: str) -> Path | None:
    """The journal of a folder's project; None where it has not opted in, or where a link leads elsewhere."""
    root = find_project(folder)[0]
    if root not in _listed(home):
        return None
    place = Path(root) / FOLDER
    return None if place.is_symlink() or place.parent.is_symlink() else place


def _listed(home: Path) -> list[str]:
    try:
        return [line for line in (home / LISTED).read_text(encoding="utf-8").splitlines() if line]
    except OSError:
        return []


def note(home: Path, folder: str, about: str) -> None:
    """Add a line about a write, in which nothing is secret any more. A journal that cannot be written is logged."""
    place = place_of(home, folder)
    if place is None:
        return
    line = f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {' '.join(about.split())}\n"
    try:
        place.mkdir(parents=True, exist_ok=True)
        path = place / WRITES
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.write(line.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
            full = file.tell() > LIMIT
        if full:
            path.replace(place / "journal.1.md")
    except OSError:
        log(str(home), "journal", "journal-unwritable")


def mirror(config: Config, folder: str, about: Mapping[str, Any]) -> None:
    """Write the pages anew from what was just fetched."""
    place = place_of(config.home, folder)
    reader = cache.reading(config) if place is not None else None
    if place is None or reader is None:
        return
    try:
        held = reader.project(about)
        if held is None:
            return
        head = f"As fetched from the hub at {datetime.fromtimestamp(held.fetched, UTC):%Y-%m-%d %H:%M} UTC.\n\n"
        place.mkdir(parents=True, exist_ok=True)
        for kind, name in PAGES.items():
            lines = reader.brief(held).splitlines() if kind == "brief" else map(line_of, reader.records(held, kind))
            page = f"# {kind}\n\n{head}" + "".join(f"{line}\n" for line in lines)
            replace_file(place / name, page.encode("utf-8", "replace"), 0o600)
    except OSError:
        log(str(config.home), "journal", "journal-unwritable")
    finally:
        reader.close()


def line_of(record: Mapping[str, Any]) -> str:
    """A record as one line: its name, then its other fields that say something."""
    if "line" in record:
        return str(record["line"]).rstrip()
    name = next((str(record[key]) for key in _NAMES if record.get(key)), "")
    left_out = {*_NAMES, "updated_at", "created_at", "seq"}
    rest = [
        f"{key} {_short(value)}" for key, value in record.items() if key not in left_out and value not in (None, "")
    ]
    return f"- {' '.join(name.split())}" + (f" ({'; '.join(rest)})" if rest else "") + f" `{record.get('id', '')}`"


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else text[:199] + "…"  # noqa: PLR2004 - a line stays a line


def entries(place: Path, kind: str) -> tuple[list[str], float]:
    """The lines of a kind's page, or for ``recall`` of all of them; seconds since they were written."""
    names = [PAGES[kind]] if kind in PAGES else [WRITES, "journal.1.md", *PAGES.values()]
    found: list[str] = []
    newest = 0.0
    for name in names:
        try:
            text = (place / name).read_text(encoding="utf-8", errors="replace")[: 2 * LIMIT]
            newest = max(newest, (place / name).stat().st_mtime)
        except OSError:
            continue
        told = text.splitlines()[_HEAD:] if name in PAGES.values() else text.splitlines()
        found += [line for line in told if line.strip()]
    if kind in PAGES:
        # What was written here since then is newer than the page.
        found += _since(place, kind)
    return found, max(0.0, time.time() - newest) if newest else 0.0


def _since(place: Path, kind: str) -> list[str]:
    try:
        lines = (place / WRITES).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if f", {kind}" in line][-50:]
