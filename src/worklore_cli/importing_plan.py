"""What each row of an import would do: create, update, nothing, or fail for a reason."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from worklore_cli.catalog import Field, Noun
from worklore_cli.catalog_values import parse, same, write
from worklore_cli.failure import Failure
from worklore_cli.importing_csv import Row
from worklore_cli.nouns_hub import Record, Records
from worklore_client.wire import HubRefused

LONGEST_QUESTION = 6000
"""Characters of a look-up in an address; servers refuse ones that are much longer."""
MOST_ASKED = 200
MOST_KEPT = 10_000
SHOWN = 60
OWN = frozenset({"id", "version", "created_at", "updated_at"})

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a row does: `kind` is create, update, unchanged or error, `note` says what or why, `body` is sent."""

    line: int
    kind: str
    note: str = ""
    body: Any = None

    def failed(self, why: str) -> "Decision":
        """The same row, not applied."""
        return replace(self, kind="error", note=why)


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    """A row that cannot be understood; its text says why."""


def keys_of(noun: Noun, columns: Sequence[str], wished: Sequence[str]) -> list[str]:
    """The fields that tell which record a row is about: those wished for, else the id, else a unique field.

    Raises Failure when there is none, since every import would then make every record again.
    """
    absent = [name for name in wished if name not in columns]
    if absent:
        raise Failure(f"the file has no column {absent[0]}", f"Its columns are {', '.join(columns)}")
    found = list(wished) or [name for name in ("id", *noun.names) if name in columns][:1]
    if not found:
        usable = ", ".join(name for name in columns if "" in noun.filters.get(name, ())) or "none of these columns"
        raise Failure(
            f"nothing in the file tells which {noun.name} a row is about",
            f"Add a column id{''.join(f' or {name}' for name in noun.names)}, or name one with --key: {usable}",
        )
    return found


class Planner:
    """Compares rows with the hub's records, a piece of the file at a time."""

    def __init__(self, hub: Records, noun: Noun, columns: Sequence[str], keys: Sequence[str]) -> None:
        self._hub = hub
        self._noun = noun
        self._fields = [noun.fields[name] for name in columns]
        self._keys = [noun.fields[name] for name in keys]
        self._seen: dict[Key, int] = {}
        self._references: dict[tuple[str, str], str] = {}

    def decide(self, rows: Sequence[Row]) -> list[Decision]:
        """What each row does, in their order."""
        decided: dict[int, Decision] = {}
        understood: dict[int, Record] = {}
        for row in rows:
            try:
                values = self._values(row)
                self._once(row.line, values)
                understood[row.line] = values
            except _Wrong as wrong:
                decided[row.line] = Decision(row.line, "error", str(wrong))
        known = self._known(list(understood.values()))
        for line, values in understood.items():
            try:
                decided[line] = self._decision(line, values, known)
            except _Wrong as wrong:
                decided[line] = Decision(line, "error", str(wrong))
        return [decided[row.line] for row in rows]

    def _values(self, row: Row) -> Record:
        """The values of a row's cells. An empty cell is null where the field may be empty, else it says nothing."""
        if row.problem:
            raise _Wrong(row.problem)
        values: Record = {}
        wrong: list[str] = []
        for field in self._fields:
            text = row.cells[field.name]
            if not text and not field.null:
                continue
            try:
                value = parse(field, text)
                values[field.name] = self._resolved(field, value) if field.create or field.change else value
            except ValueError as error:
                wrong.append(f"{field.name} {error}")
            except Failure as failure:
                wrong.append(f"{field.name}: {failure}")
        if wrong:
            raise _Wrong("; ".join(wrong))
        return values

    def _resolved(self, field: Field, value: Any) -> Any:
        if not field.reference or not isinstance(value, str):
            return value
        place = (field.reference, value)
        if place not in self._references:
            if len(self._references) >= MOST_KEPT:
                self._references.clear()
            self._references[place] = self._hub.resolve(field, value)
        return self._references[place]

    def _key(self, values: Mapping[str, Any]) -> Key | None:
        """What identifies the record; None when the row leaves it out."""
        if not any(values.get(field.name) not in (None, "") for field in self._keys):
            return None
        return tuple(_comparable(field, values.get(field.name)) for field in self._keys)

    def _once(self, line: int, values: Mapping[str, Any]) -> None:
        key = self._key(values)
        if key is None:
            if [field.name for field in self._keys] != ["id"]:
                raise _Wrong(f"{', '.join(field.name for field in self._keys)} must be given: it is the key")
            return  # a row without an id is a new record
        if key in self._seen:
            raise _Wrong(f"{', '.join(field.name for field in self._keys)} is the same as in line {self._seen[key]}")
        self._seen[key] = line

    # --- records that are there ---------------------------------------------------------------------------------

    def _known(self, rows: Sequence[Record]) -> dict[Key, list[Record]]:
        """The hub's records with the rows' keys."""
        found: dict[str, Record] = {}
        for question in self._questions([values for values in rows if self._key(values) is not None]):
            found |= self._answers(question)
        known: dict[Key, list[Record]] = {}
        for item in found.values():
            key = self._key(item)
            if key is not None:
                known.setdefault(key, []).append(item)
        return known

    def _answers(self, question: Mapping[str, str]) -> dict[str, Record]:
        """Records by id. A value that the filter does not take is the key of none, so the others are asked alone."""
        ((name, text),) = question.items()
        try:
            pages = [items for items, _ in self._hub.pages(self._noun, question, None)]
        except HubRefused as refusal:
            if refusal.code != "filter-value":
                raise
            if not name.endswith("__in"):
                return {}
            single = name.removesuffix("__in")
            return {key: item for part in text.split(",") for key, item in self._answers({single: part}).items()}
        return {item["id"]: item for items in pages for item in items}

    def _questions(self, rows: Sequence[Record]) -> Iterator[dict[str, str]]:
        """Filters that find all of them: by the part of the key that differs most, many values at a time."""
        if not rows:
            return
        asked = [(field, _texts(field, rows)) for field in self._keys if all(row.get(field.name) for row in rows)]
        if not asked:
            raise Failure("one part of the key must be given in every row", "Choose another --key")
        field, texts = max(asked, key=lambda each: len(each[1]))
        several = "in" in self._noun.filters[field.name]
        group: list[str] = []
        for text in texts:
            if "," in text or not several:  # a list of values is divided by commas
                yield {field.name: text}
                continue
            if group and (len(group) >= MOST_ASKED or sum(map(_length, [*group, text])) > LONGEST_QUESTION):
                yield {f"{field.name}__in": ",".join(group)}
                group = []
            group.append(text)
        if group:
            yield {f"{field.name}__in": ",".join(group)}

    # --- decisions ----------------------------------------------------------------------------------------------

    def _decision(self, line: int, values: Record, known: Mapping[Key, list[Record]]) -> Decision:
        key = self._key(values)
        records = known.get(key, []) if key is not None else []
        if len(records) > 1:
            raise _Wrong(f"{len(records)} {self._noun.plural} have this {', '.join(f.name for f in self._keys)}")
        return self._change(line, values, records[0]) if records else self._creation(line, values)

    def _creation(self, line: int, values: Record) -> Decision:
        if "create" not in self._noun.verbs:
            raise _Wrong(f"there is no such {self._noun.name}, and none can be made")
        body = {name: value for name, value in values.items() if self._noun.fields[name].create}
        missing = [field.name for field in self._noun.fields.values() if field.required and field.name not in body]
        if missing:
            raise _Wrong(f"{', '.join(missing)} must be given")
        shown = [name for name in (*self._noun.names, *self._noun.brief) if body.get(name) is not None][:1]
        return Decision(line, "create", "".join(f"{name}: {_shown(body[name])}" for name in shown), body)

    def _change(self, line: int, values: Record, record: Record) -> Decision:
        different = [
            field
            for field in self._fields
            if field.name in values and not _says(field, values[field.name], record.get(field.name))
        ]
        fixed = [field.name for field in different if field.create and not field.change]
        if fixed:
            raise _Wrong(f"{fixed[0]} cannot be changed")
        changed = [field.name for field in different if field.change]
        if not changed:
            return Decision(line, "unchanged")
        if "patch" not in self._noun.verbs:
            raise _Wrong(f"a {self._noun.name} cannot be changed; {', '.join(changed)} differ")
        read = values.get("version")
        if read is not None and read != record.get("version"):
            raise _Wrong(
                f"the record has changed since the export: it is at version {record['version']}, the file has {read}; "
                "export again, or leave the column version out"
            )
        body: Record = {name: values[name] for name in changed} | {"id": record["id"]}
        if self._noun.versioned:
            body["version"] = record["version"]
        note = "; ".join(f"{name}: {_shown(record.get(name))} → {_shown(values[name])}" for name in changed)
        return Decision(line, "update", note, body)


def _says(field: Field, given: Any, present: Any) -> bool:
    """True when a cell says what is there. CSV knows one kind of empty: it is also what an empty text is."""
    return (given is None and present == "") or same(field, given, present)


def _comparable(field: Field, value: Any) -> Any:
    """A form in which two spellings of one key are equal."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        match field.type:
            case "id":
                return value.lower()
            case "decimal":
                return Decimal(value)
            case "time":
                return datetime.fromisoformat(value)
            case _:
                return value
    except (InvalidOperation, ValueError):
        return value


def _texts(field: Field, rows: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(write(field, row[field.name]) for row in rows))


def _length(text: str) -> int:
    return 3 * len(text.encode()) + 3  # as it stands in an address at worst


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
