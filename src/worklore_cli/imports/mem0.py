"""Memories of mem0, as its API and its library give them: a list, or an object with the list as ``results``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from worklore_cli.failure import Failure
from worklore_cli.imports.memory import Found, Memory, Unread, moment

PROGRAM = "mem0"
LARGEST = 64 * 1024 * 1024
FORMS = 'mem0 gives a list of memories, or {"results": [...]}'


def read(path: Path) -> list[Any]:
    """The entries of a file.

    Raises:
        Failure: it cannot be read, is too large, is torn, or is nothing of mem0's.
    """
    try:
        with path.open("rb") as file:
            given = file.read(LARGEST + 1)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or type(error).__name__}", "--from names the file") from None
    if len(given) > LARGEST:
        raise Failure(f"{path} is larger than {LARGEST >> 20} MiB", "Export it in pages, and import each")
    try:
        value: Any = json.loads(given.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "it is nested too deeply"
        raise Failure(f"{path} is torn or no JSON ({where})", "Export it again") from None
    entries = cast("dict[str, Any]", value).get("results") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise Failure(f"{path} holds no memories of mem0", FORMS)
    found = cast("Sequence[Any]", entries)
    if found and not any(isinstance(each, dict) and "memory" in each for each in found):
        raise Failure(f"{path} holds no memories of mem0", FORMS)
    return list(found)


def memories(path: Path, entries: Sequence[Any]) -> Iterator[Found]:
    """The memories of a file's entries, in their order."""
    for place, entry in enumerate(entries, 1):
        members = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        key, text = members.get("id"), members.get("memory")
        if not isinstance(key, str) or not key or not isinstance(text, str):
            yield Unread(
                f"entry {place} of {path.name}", "it has no id or no memory", key if isinstance(key, str) else ""
            )
            continue
        yield Memory(
            key,
            str(path),
            text.strip().partition("\n")[0],
            text,
            tags=(PROGRAM, *_tags(members)),
            written=moment(members.get("updated_at")) or moment(members.get("created_at")),
        )


def _tags(members: dict[str, Any]) -> Iterator[str]:
    """What it was sorted under, and of whom it tells."""
    told: Any = members.get("categories")
    yield from (each for each in cast("Sequence[Any]", told if isinstance(told, list) else ()) if isinstance(each, str))
    for name in ("user_id", "agent_id"):
        value = members.get(name)
        if isinstance(value, str) and value:
            yield value
