"""Reading the form that ``manage.py dumpdata`` writes: a list of objects with a model, a key and fields."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson

from worklore.kernel.errors import InvalidError, UnavailableError
from worklore.ops.netbox.report import Report

HINT: Final = "Make it with: manage.py dumpdata --natural-foreign --output netbox.json"


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of the dump."""

    model: str
    pk: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field as text without blanks at its ends; empty where it says nothing."""
        value = self.fields.get(name)
        return "" if value is None or isinstance(value, dict | list) else str(value).strip()

    def choice(self, name: str) -> str:
        """A field whose value one of several is, in lower case."""
        return self.text(name).lower()


@dataclass(slots=True)
class Dump:
    """The objects of a dump by model and key, in the order of the file."""

    report: Report
    things: dict[str, dict[str, Thing]] = field(default_factory=dict[str, dict[str, Thing]])

    def all(self, model: str) -> Iterator[Thing]:
        """The objects of a model."""
        return iter(self.things.get(model, {}).values())

    def get(self, model: str, pk: object) -> Thing | None:
        """An object by its key, if the file has it."""
        return self.things.get(model, {}).get(str(pk))

    def named(self, thing: Thing, field_name: str, model: str) -> Thing | None:
        """The object that a field names; one that the file does not have is a problem, and none."""
        key = thing.fields.get(field_name)
        if key is None or key == "":
            return None
        found = self.get(model, key)
        if found is None:
            self.report.problem(
                thing.model, thing.pk, f"{field_name} names {model} {key}, which the file does not have"
            )
        return found

    def kind(self, value: object) -> str:
        """The model that a content type names, whether by its key or by its natural one."""
        match value:
            case [str(app), str(model)]:
                return f"{app}.{model}"
            case int() | str():
                named = self.get("contenttypes.contenttype", value)
                return f"{named.text('app_label')}.{named.text('model')}" if named else ""
            case _:
                return ""


def read(path: Path, report: Report) -> Dump:
    """The dump in a file. Entries that are no objects are problems and are passed over.

    Raises:
        UnavailableError: the file cannot be read.
        InvalidError: it is no JSON, or no list of objects.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read: {error.strerror}.", hint="Name the file of a dump.") from error
    except orjson.JSONDecodeError as error:
        raise InvalidError(f"{path} is no JSON: {error}.", hint=HINT) from error
    if not isinstance(content, list):
        raise InvalidError(f"{path} is JSON, but no list as dumpdata writes it.", hint=HINT)
    entries = cast("list[object]", content)
    dump = Dump(report)
    for number, entry in enumerate(entries, 1):
        thing = _thing(entry, number, report)
        if thing is None:
            continue
        report.of(thing.model).count += 1
        same = dump.things.setdefault(thing.model, {})
        if thing.pk in same:
            report.of(thing.model).left["its key occurs twice; the first is taken"] += 1
            report.problem(thing.model, thing.pk, "its key occurs twice; the first is taken")
            continue
        same[thing.pk] = thing
    if entries and not dump.things:
        raise InvalidError(f"{path} holds no object as dumpdata writes them.", hint=HINT)
    return dump


def _thing(entry: object, number: int, report: Report) -> Thing | None:
    match entry:
        case {"model": str(model), "fields": dict()}:
            given = cast("dict[str, Any]", entry)
            # Without a key of its own (users, rights, content types): the place in the file tells it from others.
            return Thing(model.lower(), str(given.get("pk", f"#{number}")), given["fields"])
        case _:
            report.problem("?", f"#{number}", "the entry has no model and fields")
            return None
