"""Records of any noun, made from its columns, for tests written once and run over the whole catalogue."""

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from sqlalchemy import BigInteger, Boolean, Column, Date, Enum, Float, Integer, LargeBinary, inspect

from worklore.kernel.context import Context
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import Id, Json, Line, Money, Prose, UtcDateTime, iso
from worklore.kernel.wire import wire
from worklore.resources import CATALOG, RESOURCES

TEXT = (
    "Größe",
    "ẞtraße",
    "naïve café",
    "日本語",
    "🛠️ tool",
    "plain",
    "UPPER",
    "a_b%c",
    "quo\"te'",
    "back\\slash",
    "two\nlines",
)
START = datetime.fromisoformat("2026-03-01T08:00:00.000001+00:00")


def _user(rows: "Rows", body: dict[str, Any]) -> None:
    body["email"] = f"{rows.word()}@example.com"


def _context(rows: "Rows", body: dict[str, Any]) -> None:
    if "relevance_score" in body:
        body["relevance_score"] = rows.chance.choice([0.0, 0.1, 2.5, 10.0])


def _session(rows: "Rows", body: dict[str, Any]) -> None:
    """The project belongs to the session's client."""
    if "project_id" in body:
        body["client_id"] = rows.api.get(f"/projects/{body['project_id']}").json()["client_id"]


def _window(rows: "Rows", body: dict[str, Any]) -> None:
    body["seq"] = rows.chance.randrange(10**15, 10**16)


SPECIAL: Mapping[str, Callable[["Rows", dict[str, Any]], None]] = {
    "user": _user,
    "context": _context,
    "session": _session,
    "memory": _window,
}
"""What the rules of single nouns ask of a record beyond its columns."""


@dataclass
class Rows:
    """Makes records of any noun on one hub. The same seed makes the same ones."""

    hub: Any
    api: httpx2.Client
    fixed: str | None = None
    chance: random.Random = field(init=False)
    _samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.fixed)

    def word(self) -> str:
        return f"w{self.chance.getrandbits(48):012x}"

    def key(self) -> str:
        """An id as the hub makes them: a UUIDv7."""
        number = 0x019A << 112 | self.chance.getrandbits(112)
        return str(uuid.UUID(int=number & ~(0xF << 76) & ~(0b11 << 62) | 0x7 << 76 | 0b10 << 62))

    def value(self, column: Column[Any]) -> Any:  # noqa: C901, PLR0912 - one case for each type of column
        """A wire value that fits a column."""
        kind, chance = column.type, self.chance
        for key in column.foreign_keys:
            parent = CATALOG.by_table[key.column.table.description]
            return self.create(parent, id=self.key())["id"]
        match kind:
            case Id():
                return self.key()
            case Enum():
                return chance.choice(kind.enums)
            case Boolean():
                return chance.random() < 0.5
            case UtcDateTime():
                return iso(START + timedelta(microseconds=self._late(column) + chance.randrange(10**12)))
            case Date():
                return (
                    date(2026, 3, 1) + timedelta(days=self._late(column) // 10**12 * 60 + chance.randrange(20))
                ).isoformat()
            case Money():
                return f"{Decimal(chance.randrange(10**6)) / 100:.2f}"
            case Float():
                return chance.choice([0.1, 1 / 3, 7.0, 1e-7])
            case BigInteger():
                return chance.randrange(2**53, 2**62)
            case Integer():
                return chance.randrange(1000)
            case Line():
                text = f"{self.word()} {chance.choice(TEXT)}"
                return text[: kind.length] if (kind.length or 0) < 100 else text
            case Prose():
                return f"{self.word()} {chance.choice(TEXT)}"
            case Json():
                return self._json(column)
            case LargeBinary():
                raise AssertionError("no noun shows bytes yet")
        raise AssertionError(f"no value for {column}")

    @staticmethod
    def _late(column: Column[Any]) -> int:
        """Nothing ends before it begins."""
        return 0 if "start" in column.name or column.name == "valid_from" else 2 * 10**12

    def _json(self, column: Column[Any]) -> Any:
        inner = {"z": [1, 2.5, None, True], "a": {"ß": "🛠️", "": 1e-7}, "bb": self.word(), "number": 9007199254740993}
        hint = str(inspect_hint(column))
        return inner if "dict" in hint else [self.word(), "ß"] if "list[str]" in hint else [inner, "ß", 1.0]

    def body(self, resource: Resource, *, full: bool = True, **given: Any) -> dict[str, Any]:
        """What creates a record: all fields but the id, or only those that must be sent."""
        fields = wire(resource).create.model_fields if Verb.create in resource.verbs else wire(resource).fields
        columns = {column.name: column for column in resource.table.columns}
        body: dict[str, Any] = {}
        for name in fields:
            column = columns[name]
            optional = column.nullable or column.default is not None or column.server_default is not None
            if name in given or name in {"id", "version", "created_at", "updated_at"} or (optional and not full):
                continue
            if any(key.column.table is resource.table for key in column.foreign_keys):
                continue
            body[name] = self.value(column)
        body |= given
        if resource.name in SPECIAL:
            SPECIAL[resource.name](self, body)
        return body | given

    def create(self, resource: Resource, *, full: bool = False, **given: Any) -> dict[str, Any]:
        """A new record in wire form, over REST where the noun is offered for it, straight into the table elsewhere."""
        body = self.body(resource, full=full, **given)
        if Verb.create not in resource.verbs:
            return self._plant(resource, body)
        answer = self.api.post(f"/{resource.plural}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def _plant(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        schemas = wire(resource)
        values = {
            schemas.attributes[name]: (
                None
                if value is None
                else schemas.adapters[name].validate_python(value)
                if not isinstance(value, str)
                else schemas.adapters[name].validate_strings(value)
            )
            for name, value in body.items()
        }
        for attribute in inspect(resource.model).column_attrs:
            column = attribute.columns[0]
            if column.name not in schemas.fields and not column.nullable and column.default is None:
                values[attribute.key] = self.value(column)

        def work(ctx: Context) -> str:
            record = resource.model(**values)
            ctx.session.add(record)
            ctx.session.flush()
            return str(record.id)

        return self.read(resource, self.hub.database.write(work))

    def read(self, resource: Resource, key: str) -> dict[str, Any]:
        answer = self.api.get(f"/{resource.plural}/{key}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def samples(self, resource: Resource) -> list[dict[str, Any]]:
        """Five records for tests that only read: some full, some minimal, so that there are ties and NULLs."""
        if resource.name not in self._samples:
            self._samples[resource.name] = [
                self.create(resource, full=full) for full in (True, False, True, False, True)
            ]
        return self._samples[resource.name]


def inspect_hint(column: Column[Any]) -> Any:
    resource = CATALOG.by_table[column.table.description]
    return resource.model.__annotations__.get(column.name) or resource.model.__annotations__[f"{column.name}_"]


def can(*verbs: Verb) -> list[Resource]:
    return [resource for resource in RESOURCES if set(verbs) <= resource.verbs]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`noun` is every resource; `creatable`, `changeable` and `removable` those offered for it."""
    wanted = {
        "noun": [],
        "creatable": [Verb.create],
        "changeable": [Verb.create, Verb.patch],
        "removable": [Verb.delete],
    }
    for name, verbs in wanted.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, can(*verbs), ids=lambda resource: resource.name)


@pytest.fixture(scope="session")
def rows(hub: Any, api: httpx2.Client) -> Rows:
    return Rows(hub, api)


@pytest.fixture
def rows_of() -> Callable[..., Rows]:
    return Rows
