"""Commands of nouns while the hub does not answer: lists from what is kept, writes into the spool."""

import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from worklore_cli import nouns_shown, offline
from worklore_cli.catalog import Field, Noun
from worklore_cli.failure import Failure
from worklore_cli.nouns_hub import Record
from worklore_client import cache, layers, writing
from worklore_client.config import Config
from worklore_client.identity import identity
from worklore_client.operations import Operation, SpoolFull
from worklore_client.wire import HubUnreachable

KEPT: Mapping[str, str] = {"work-item": "work-items", "vendor": "vendors", "project-configuration": "configuration"}
"""Nouns that are read in layers, and as what."""

KINDS: Mapping[str, str] = {noun: layers.KIND[what] for noun, what in KEPT.items()}
"""The same, as what they are kept."""

SPOOLED = frozenset(
    {
        *KEPT,
        "billable-time",
        "command",
        "database-change",
        "decision",
        "deployment",
        "deployment-event",
        "enhancement",
        "file-change",
        "incident",
        "infrastructure-change",
        "operation-failure",
        "pending-task",
        "session",
        "snippet",
        "solution",
    }
)
"""Nouns that are written without the hub. None of them holds a secret."""


@dataclass(frozen=True)
class Unsent:
    """A write that got no answer: it may have arrived, so the operation has the same key."""

    error: HubUnreachable
    key: str
    message: str | None

    def allowed(self, noun: Noun, *, dry_run: bool) -> None:
        """Raise the error where the write cannot wait."""
        if dry_run or noun.name not in SPOOLED:
            raise self.error


class References:
    """Stands in for the hub where references are resolved: only whole ids can be."""

    def resolve(self, field: Field, value: Any) -> Any:
        """The id itself. Failure for anything that the hub would have to look up."""
        if field.reference and isinstance(value, str):
            try:
                return str(uuid.UUID(value))
            except ValueError:
                raise Failure(
                    f"{field.name}={value} cannot be looked up without the hub", "Give the whole id"
                ) from None
        return value


def new_key() -> str:
    """A key for a write."""
    return f"cli-{uuid.uuid4()}"


def add(noun: Noun, body: Any, unsent: Unsent) -> None:
    """Let a new record wait."""
    about = f"{noun.name} added: {_named(body)}"
    _keep(
        Operation("POST", noun.plural, body, about, str(Path.cwd()), key=unsent.key, message=unsent.message or ""),
        unsent,
    )


def _named(body: Any) -> str:
    if not isinstance(body, dict):
        return f"{len(body)} records"
    record = cast("Record", body)
    return str(record.get("title") or record.get("name") or "")


def change(noun: Noun, identifier: str, body: Mapping[str, Any], unsent: Unsent, version: int | None) -> None:
    """Let a change wait, against the version that is kept here unless one is given."""
    config, folder = offline.configured(), str(Path.cwd())
    record = _found(config, noun, identifier, folder)
    known = version or (record or {}).get("version")
    key = str(record["id"]) if record else _whole(noun, identifier)
    if noun.versioned and not isinstance(known, int):
        raise Failure(
            f"this machine does not know which version of the {noun.name} {identifier} was read: {unsent.error}",
            "Give it with --version, or try again when the hub answers",
        )
    name = (record or {}).get("title") or (record or {}).get("name") or key
    about = f"{noun.name} {name}: {', '.join(f'{field}={value}' for field, value in body.items())}"
    operation = Operation(
        "PATCH", f"{noun.plural}/{key}", dict(body), about, folder, known, key=unsent.key, message=unsent.message or ""
    )
    after = {**record, **body, "version": known + 1} if record and isinstance(known, int) else None
    _keep(operation, unsent, KINDS.get(noun.name, ""), after)


def _whole(noun: Noun, identifier: str) -> str:
    try:
        return str(uuid.UUID(identifier))
    except ValueError:
        raise Failure(f"{identifier} is no {noun.name} that is kept on this machine", "Give its whole id") from None


def _found(config: Config, noun: Noun, identifier: str, folder: str) -> Record | None:
    """The record that is kept, by its id, the beginning of it, or its title or name."""
    if noun.name not in KINDS:
        return None
    try:
        records = cache.records_of(config, identity(folder, config.home / "roots.json"), KINDS[noun.name]) or []
    except sqlite3.Error:
        records = []
    named = [each for each in records if identifier in (each.get("title"), each.get("name"))]
    found = named or [each for each in records if str(each["id"]).startswith(identifier.lower())]
    if len(found) > 1:
        raise Failure(f"several {noun.plural} are named {identifier}", "Give the whole id")
    return found[0] if found else None


def show(noun: Noun, identifier: str, error: HubUnreachable) -> Record:
    """A record that is kept here. The error where it is not."""
    record = _found(offline.configured(), noun, identifier, str(Path.cwd()))
    if record is None:
        raise error
    nouns_shown.warn(nouns_shown.plain(f"{error}. This is what this machine has kept"))
    return record


def _keep(operation: Operation, unsent: Unsent, kind: str = "", record: Record | None = None) -> None:
    try:
        spooled = writing.keep(offline.configured(), operation, kind, record)
    except (OSError, SpoolFull, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Failure(f"{unsent.error}, and it cannot be kept on this machine: {reason}") from None
    nouns_shown.warn(nouns_shown.plain(str(unsent.error)))
    nouns_shown.say(f"It waits on this machine (number {spooled.number}) and is sent when the hub answers")


def rows(noun: Noun, filters: list[str], search: str | None, error: HubUnreachable) -> list[Record]:
    """The rows of a list that are kept of this folder's project; plain filters and words are applied here."""
    if noun.name not in KEPT:
        raise error
    answer = offline.read(KEPT[noun.name])
    if answer.layer not in (layers.HUB, layers.CACHE):
        nouns_shown.say(answer.text.rstrip())
        return []
    found = answer.items
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals or "__" in name:
            raise Failure(f"{text} cannot be answered without the hub: {error}", "Plain filters FIELD=VALUE can")
        found = [row for row in found if str(row.get(name)) == value]
    words = (search or "").lower().split()
    return [row for row in found if all(word in str(row).lower() for word in words)]
