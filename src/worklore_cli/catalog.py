"""The nouns and verbs of the hub, from the catalogue that is shipped with the command line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("catalog.json")
TEXTUAL = frozenset({"text", "secret", "choice"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field as the catalogue tells of it.

    `required` and `create` hold for new records, `change` for existing ones; `null` says that it may be empty,
    `reference` names the noun whose id it is.
    """

    name: str
    type: str
    required: bool = False
    create: bool = False
    change: bool = False
    null: bool = False
    unique: bool = False
    choices: tuple[str, ...] = ()
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    default: Any = None
    description: str = ""
    reference: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Field":
        """From the catalogue's data."""
        members: dict[str, Any] = {**told, "choices": tuple(told.get("choices", ()))}
        return cls(**members)


@dataclass(frozen=True, slots=True)
class Action:
    """A verb: on a record of `noun`, or on its own at `path`; `body` is False where it takes nothing.

    One that `finds` answers with a part of the noun's list.
    """

    name: str
    risk: str
    scope: str
    description: str = ""
    noun: str = ""
    path: str = ""
    body: bool = False
    finds: bool = False
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun: what can be done with it, its fields by name, and how lists of it are asked for."""

    name: str
    plural: str
    description: str
    verbs: frozenset[str]
    versioned: bool
    fields: Mapping[str, Field]
    filters: Mapping[str, tuple[str, ...]]
    sort: tuple[str, ...]
    brief: tuple[str, ...]
    search: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The text fields that tell one record from all others."""
        return [
            field.name
            for field in self.fields.values()
            if field.unique and field.type in TEXTUAL and "" in self.filters.get(field.name, ())
        ]

    def where(self, use: str) -> list[Field]:
        """The fields that may be set on ``create`` or on ``change``."""
        return [field for field in self.fields.values() if getattr(field, use)]


@cache
def _told() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


@cache
def descriptions() -> dict[str, str]:
    """What each noun is, in one line, by its name."""
    return {noun["name"]: noun["description"] for noun in _told()["nouns"]}


@cache
def plurals() -> dict[str, str]:
    """The name of each noun by its plural, where the two differ."""
    return {noun["plural"]: noun["name"] for noun in _told()["nouns"] if noun["plural"] != noun["name"]}


@cache
def noun(name: str) -> Noun:
    """The noun of that name. KeyError when there is none."""
    told = {noun["name"]: noun for noun in _told()["nouns"]}[name]
    return Noun(
        name,
        told["plural"],
        told.get("description", ""),
        frozenset(told["verbs"]),
        bool(told.get("versioned")),
        {field["name"]: Field.of(field) for field in told["fields"]},
        {field: tuple(suffixes) for field, suffixes in told.get("filters", {}).items()},
        tuple(told.get("sort", ())),
        tuple(told.get("brief", ())),
        tuple(told.get("search", ())),
    )


def _action(told: Mapping[str, Any]) -> Action:
    members: dict[str, Any] = {**told, "fields": tuple(Field.of(field) for field in told.get("fields", ()))}
    return Action(**members)


@cache
def actions_of(name: str) -> tuple[Action, ...]:
    """The verbs of a noun: on its records, and those that are reached below its plural, such as projects/identify."""
    below = f"{noun(name).plural}/"
    return tuple(
        _action(told)
        for told in _told()["actions"]
        if told.get("noun") == name or told.get("path", "").startswith(below)
    )


@cache
def own_actions() -> dict[str, Action]:
    """The verbs that belong to no noun, by name."""
    heads = {noun["plural"] for noun in _told()["nouns"]}
    own = [
        told
        for told in _told()["actions"]
        if "noun" not in told and not ("/" in told["path"] and told["path"].partition("/")[0] in heads)
    ]
    return {told["name"]: _action(told) for told in own}
