"""What another program keeps, as it leaves this machine: without secrets and without what was injected there."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worklore_cli.failure import Failure
from worklore_client.record import cut
from worklore_redact.engine import redact

LONGEST = 100_000
"""Characters of one memory, as the hub takes it."""

LARGEST = 1_048_576
"""Bytes of a file that holds one memory."""

MOST_TAGS, TAG, TITLE, KEY, PLACE = 50, 100, 200, 500, 4_000
MILLISECONDS = 100_000_000_000
"""A time above this is in milliseconds, below it in seconds."""

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_BLOCKS = re.compile(r"<(claude-mem-context|system-reminder|private)>.*?</\1>", re.DOTALL | re.IGNORECASE)
"""What a program has put into a text itself, or what its author wants to keep out of any memory, without a mark.
Our own blocks are taken out with the secrets."""


@dataclass(frozen=True)
class Memory:
    """What another program has kept: `key` is what it is called there, the same at each reading, `source` its file."""

    key: str
    source: str
    title: str
    text: str
    category: str = "lesson"
    tags: tuple[str, ...] = ()
    written: datetime | None = None

    def outgoing(self) -> dict[str, Any] | None:
        """As it is sent, secrets taken out; None where nothing is left to tell."""
        text = _clean(_BLOCKS.sub("", self.text)).strip()
        if not text:
            return None
        title = " ".join(_clean(self.title).split()) or text.splitlines()[0]
        tags = dict.fromkeys(" ".join(_clean(tag).lower().split())[:TAG] for tag in self.tags)
        said = {
            "title": title[:TITLE],
            # What is cut off first may leave half a secret that nothing recognises.
            "text": text if len(text) <= LONGEST else cut(text, LONGEST - 100),
            "category": self.category,
            "tags": [tag for tag in tags if tag][:MOST_TAGS],
        }
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        written = self.written.astimezone(UTC).isoformat() if self.written else None
        about = {"key": _clean(self.key)[:KEY], "source": _clean(self.source)[:PLACE], "happened_at": written}
        return {**about, "digest": digest, **said}


@dataclass(frozen=True)
class Unread:
    """What could not be read, and why. `key` is what it would be called, so that it is not taken for gone."""

    what: str
    why: str
    key: str = ""


Found = Memory | Unread


def _clean(text: str) -> str:
    return redact(_UNSENDABLE.sub("\ufffd", text)).text


# --- files of markdown ----------------------------------------------------------------------------------------------


def is_ours(path: Path) -> bool:
    """True for a file of our own, such as a project's journal: it tells what the hub knows already."""
    return ".worklore" in path.parts


def folder_at(path: Path, hint: str) -> Path:
    """A folder that is there and can be looked into. Failure with a hint otherwise."""
    folder = path.expanduser().absolute()
    try:
        with os.scandir(folder):
            return folder
    except (FileNotFoundError, NotADirectoryError):
        raise Failure(f"{folder} is no folder", hint) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Failure(f"{folder} cannot be read: {why}", "Run it as the user whose folder it is") from None


def files_below(folder: Path, ending: str, unread: list[Unread]) -> list[Path]:
    """The files with an ending below a folder, sorted; folders that cannot be read are added to `unread`."""

    def note(error: OSError) -> None:
        unread.append(Unread(str(error.filename), error.strerror or type(error).__name__))

    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, onerror=note)
        for name in names
        if name.endswith(ending)
    )


def read_text(path: Path) -> str | Unread:
    """The text of a file, or why it is none."""
    try:
        with path.open("rb") as file:
            given = file.read(LARGEST + 1)
    except OSError as error:
        return Unread(str(path), error.strerror or type(error).__name__)
    if len(given) > LARGEST:
        return Unread(str(path), f"it is larger than {LARGEST:,} bytes")
    if b"\0" in given:
        return Unread(str(path), "it is no text")
    text = given.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    if len(text) > LONGEST:
        return Unread(str(path), f"it has {len(text):,} characters, more than {LONGEST:,}; split it")
    return text


def modified(path: Path) -> datetime:
    """When a file was last written."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def moment(value: object) -> datetime | None:
    """A time as other programs write it: ISO 8601, or seconds or milliseconds since 1970; None for what is none."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip())
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


Front = dict[str, str | list[str]]
_PAIR = re.compile(r"(?P<indent>\s*)(?P<name>[\w.-]+):(?:\s+(?P<value>.*))?$")


def front_matter(text: str) -> tuple[Front, str]:
    """The names and values before a markdown text, and the text: as much of YAML as these files use.

    Values are texts and lists of texts; what is nested stands under its own name too, unless that is taken. A text
    whose front matter does not end has none.
    """
    lines = text.split("\n")
    if lines[0].strip() != "---":
        return {}, text
    end = next((place for place, line in enumerate(lines[1:], 1) if line.strip() in {"---", "..."}), 0)
    if not end:
        return {}, text
    return _values(lines[1:end]), "\n".join(lines[end + 1 :])


def _values(lines: Iterable[str]) -> Front:
    found: Front = {}
    name, folded = "", ""
    for line in lines:
        pair = None if folded and line.startswith((" ", "\t")) else _PAIR.match(line)
        if pair is not None:
            folded, value = "", (pair["value"] or "").strip()
            name = pair["name"] if not pair["indent"] or pair["name"] not in found else ""
            if value[:1] in {"|", ">"}:
                folded, value = value[0], ""
            if name:
                found[name] = [_plain(part) for part in value[1:-1].split(",")] if _is_list(value) else _plain(value)
            continue
        item, held = line.strip(), found.get(name, "")
        if not name or not item:
            continue
        if folded:
            found[name] = f"{held}{' ' if folded == '>' else chr(10)}{item}".strip()
        elif item.startswith("- "):
            found[name] = [*(held if isinstance(held, list) else []), _plain(item[2:])]
    return found


def _is_list(value: str) -> bool:
    return value.startswith("[") and value.endswith("]") and len(value) > 2  # noqa: PLR2004 - more than the brackets


def _plain(value: str) -> str:
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def told(front: Front, *names: str) -> str:
    """The first of some names that has a text."""
    return next((value for name in names if isinstance(value := front.get(name), str) and value), "")


def listed(front: Front, name: str) -> Iterator[str]:
    """A name's values: a list, or a text with commas."""
    value = front.get(name, "")
    yield from value if isinstance(value, list) else (part.strip() for part in value.split(",") if part.strip())


def first_heading(text: str) -> str:
    """The text of the first heading; "" without one."""
    return next((line.lstrip("#").strip() for line in text.split("\n") if re.match(r"#{1,6}\s", line)), "")
