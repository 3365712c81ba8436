"""Everything a person can see, row by row, and the files it goes to.

Every noun is read page by page and goes to the disk as it comes, so it does not matter how much there is. What is in a
row is the hub's answer, which holds no secret and nothing that the caller may not see.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from worklore_cli import catalog
from worklore_cli.catalog import Noun, noun
from worklore_cli.failure import Failure
from worklore_cli.nouns_hub import Record, Records
from worklore_client.config import PRIVATE_FOLDER
from worklore_client.wire import HubRefused

PAGE = 200
"""Rows at once: the longest texts of so many still fit into one answer."""

MANIFEST = "manifest.json"


class Form(StrEnum):
    """What is written: lines for programs, or pages for people."""

    jsonl = "jsonl"
    markdown = "markdown"


FORBIDDEN = 403

Progressing = Callable[[str, int], None]
"""Told of a noun, and how many of its rows were read, with each page."""


@dataclass(frozen=True)
class File:
    """A file of the export: its rows, its bytes and their SHA-256."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass
class Written:
    """What was exported, and which nouns the caller may not read."""

    hub: str
    form: Form
    client: Record | None
    files: dict[str, File] = field(default_factory=dict[str, File])
    forbidden: dict[str, str] = field(default_factory=dict[str, str])

    def as_dict(self) -> dict[str, Any]:
        """The manifest."""
        return {
            "worklore": version("worklore"),
            "hub": self.hub,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "format": self.form.value,
            "client": self.client and {name: self.client[name] for name in ("id", "name")},
            "rows": sum(file.rows for file in self.files.values()),
            "files": {
                name: {"file": file.name, "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256}
                for name, file in self.files.items()
            },
            "forbidden": self.forbidden,
        }


def prepared(out: Path, *, force: bool) -> Path:
    """The folder, made if it is not there. Failure when it is not empty, unless that is said to be no matter."""
    folder = out.expanduser().absolute()
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        if not force and next(folder.iterdir(), None) is not None:
            raise Failure(
                f"{folder} is not empty", "Name a new folder, or --force to replace what an export left there"
            )
    except FileExistsError:
        raise Failure(f"{folder} is no folder", "--out names a folder") from None
    # Without its manifest, what is there is not whole.
    (folder / MANIFEST).unlink(missing_ok=True)
    return folder


def finished(folder: Path, written: Written) -> None:
    """Write the manifest, last of all: where it stands, the export is whole."""
    with replacing(folder / MANIFEST) as file:
        file.write(json.dumps(written.as_dict(), ensure_ascii=False, indent=2).encode() + b"\n")


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A file to write for its owner alone, which takes its place when it is whole."""
    part = path.with_name(path.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


# --- rows -----------------------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """The rows of nouns, of one client alone where one is named.

    What a noun does not say of its client by itself, it says by the records it names: so nouns are read after those
    they name, and the ids of what is the client's are kept on the disk.
    """

    hub: Records
    client: Record | None
    disk: sqlite3.Connection

    def of(self, asked: Noun, progress: Progressing) -> Iterator[Record]:
        """The rows of a noun. Raises HubRefused as the hub does."""
        parameters: dict[str, str] = {}
        if self.client is not None and asked.name == "client":
            parameters["id"] = self.client["id"]
        elif self.client is not None and "client_id" in asked.filters:
            parameters["client_id"] = self.client["id"]
        done = 0
        for items, _ in self.hub.pages(asked, parameters, None, size=PAGE):
            kept = (
                items if self.client is None else [item for item in items if parameters or self._is_named(asked, item)]
            )
            if self.client is not None and asked.name in _NAMED:
                self.disk.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((item["id"],) for item in kept))
            yield from kept
            done += len(items)
            progress(asked.plural, done)

    def _is_named(self, asked: Noun, item: Record) -> bool:
        """Whether a row is the client's by what it names: nothing of another client's, something of this one's."""
        if item.get("client_id") is not None:
            return bool(self.client and item["client_id"] == self.client["id"])
        named = [item[each.name] for each in asked.fields.values() if each.reference and item.get(each.name)]
        return any(self.disk.execute("SELECT 1 FROM kept WHERE id = ?", (each,)).fetchone() for each in named)


_NAMED = frozenset(
    each.reference for name in catalog.descriptions() for each in noun(name).fields.values() if each.reference
)
"""Nouns that others name."""


@contextmanager
def reading(hub: Records, client: Record | None) -> Generator[Rows]:
    """Rows, and a database in a file that goes with them."""
    with closing(sqlite3.connect("")) as disk:
        disk.execute("CREATE TABLE kept (id TEXT PRIMARY KEY) WITHOUT ROWID")
        yield Rows(hub, client, disk)


def in_order() -> list[Noun]:
    """Every noun that can be listed, each after those it names."""
    ordered: dict[str, Noun] = {}
    begun: set[str] = set()

    def put(name: str) -> None:
        if name in begun:
            return  # nouns that name each other
        begun.add(name)
        found = noun(name)
        for each in found.fields.values():
            if each.reference:
                put(each.reference)
        if "list" in found.verbs:
            ordered[name] = found

    for name in catalog.descriptions():
        put(name)
    return list(ordered.values())


# --- JSON lines -----------------------------------------------------------------------------------------------------


def json_lines(rows: Rows, folder: Path, written: Written, progress: Progressing) -> None:
    """One file for each noun, a row on each line."""
    for each in in_order():
        path = folder / f"{each.plural}.jsonl"
        try:
            with replacing(path) as file:
                written.files[each.plural] = _write(rows.of(each, progress), path.name, file)
        except HubRefused as refusal:
            if refusal.status != FORBIDDEN:
                raise
            path.unlink(missing_ok=True)
            written.forbidden[each.plural] = str(refusal.problem.get("detail") or refusal.code)


def _write(rows: Iterator[Record], name: str, file: BinaryIO) -> File:
    digest, count, size = hashlib.sha256(), 0, 0
    for row in rows:
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        file.write(line)
        digest.update(line)
        count += 1
        size += len(line)
    return File(name, count, size, digest.hexdigest())
