"""Records of any noun, made from its columns, for tests written once and run over the whole catalogue."""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from inspect import get_annotations
from typing import Any

import httpx2
from sqlalchemy import BigInteger, Boolean, Column, Date, Enum, Float, Integer, LargeBinary, inspect

from tests.conformance import rules
from worklore.identity.token import TokenKind
from worklore.kernel.context import Context
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import Id, Json, Line, Money, Prose, UtcDateTime, iso
from worklore.kernel.wire import wire
from worklore.resources import CATALOG

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
EARLY = {"valid_from", "first_seen", "incident_date"}
"""Times that others follow, by names that do not say so."""

START = datetime.fromisoformat("2026-03-01T08:00:00.000001+00:00")


@dataclass
class Rows:
    """Makes records of any noun on one hub. The same seed makes the same ones."""

    hub: Any
    api: httpx2.Client
    fixed: str | None = None
    chance: random.Random = field(init=False)
    _sample: dict[str, dict[str, Any]] = field(default_factory=dict)
    _samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _parents: dict[str, list[str]] = field(default_factory=dict)
    _stranger: tuple[str, httpx2.Client] | None = None
    _turns: dict[Column[Any], int] = field(default_factory=dict)
    _insider: httpx2.Client | None = None
    _machine: httpx2.Client | None = None

    def __post_init__(self) -> None:
        self.chance = random.Random(self.fixed)

    def word(self) -> str:
        return f"w{self.chance.getrandbits(48):012x}"

    def number(self, low: int, high: int) -> int:
        return self.chance.randint(low, high)

    def key(self) -> str:
        """An id as the hub makes them: a UUIDv7."""
        number = 0x019A << 112 | self.chance.getrandbits(112)
        return str(uuid.UUID(int=number & ~(0xF << 76) & ~(0b11 << 62) | 0x7 << 76 | 0b10 << 62))

    def value(self, column: Column[Any]) -> Any:  # noqa: C901, PLR0912 - one case for each type of column
        """A wire value that fits a column."""
        kind, chance = column.type, self.chance
        noun = CATALOG.by_table[column.table.description]
        for key in column.foreign_keys:
            return self.parent(CATALOG.by_table[key.column.table.description])
        if column.name in rules.CHOICES.get(noun.name, {}):
            return self._next(column, rules.CHOICES[noun.name][column.name])
        if column.name in rules.RANGES.get(noun.name, {}):
            return self.number(*rules.RANGES[noun.name][column.name])
        if "form" in column.info:
            return rules.FORMS[column.info["form"]](self)
        match kind:
            case Id():
                return self.key()
            case Enum():
                return self._next(column, kind.enums)
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

    def _next(self, column: Column[Any], choices: Sequence[Any]) -> Any:
        """One after the other, so that two records made in succession differ."""
        turn = self._turns[column] = self._turns.get(column, -1) + 1
        return choices[turn % len(choices)]

    @staticmethod
    def _late(column: Column[Any]) -> int:
        """Nothing ends before it begins."""
        return 0 if "start" in column.name or column.name in EARLY else 2 * 10**12

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
            if name in rules.LEFT_OUT.get(resource.name, {}):
                continue
            if any(key.column.table is resource.table for key in column.foreign_keys):
                continue
            body[name] = self.value(column)
        if full and resource.name in rules.ENDED:
            state, ended = rules.ENDED[resource.name]
            body[state] = ended
        body |= given
        if resource.name in rules.MAKERS:
            rules.MAKERS[resource.name](self, body)
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
                else schemas.adapter(name).validate_python(value)
                if not isinstance(value, str)
                else schemas.adapter(name).validate_strings(value)
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

    @property
    def client(self) -> str:
        """The client that everything here belongs to."""
        return self.parent(CATALOG.by_name["client"])

    def parent(self, resource: Resource) -> str:
        """The id of one of two records that others hang from, all of one client."""
        if resource.name not in self._parents:
            given = {"type": "msp_client"} if resource.name == "client" else {}
            number = 1 if resource.name == "client" else 2
            self._parents[resource.name] = [
                self.create(resource, full=True, id=self.key(), **given)["id"] for _ in range(number)
            ]
        return self.chance.choice(self._parents[resource.name])

    def stranger(self) -> tuple[str, httpx2.Client]:
        """A client that nothing here belongs to, and the API for somebody limited to it."""
        if self._stranger is None:
            client = self.create(CATALOG.by_name["client"])["id"]
            self._stranger = client, self.hub.client(self.hub.token(clients=[client]))
        return self._stranger

    def machine(self) -> httpx2.Client:
        """The API for a machine of somebody who may do everything."""
        if self._machine is None:
            self._machine = self.hub.client(self.hub.token(kind=TokenKind.machine))
        return self._machine

    def insider(self) -> httpx2.Client:
        """The API for somebody limited to the client that everything here belongs to."""
        if self._insider is None:
            self._insider = self.hub.client(self.hub.token(clients=[self.client]))
        return self._insider

    def sample(self, resource: Resource) -> dict[str, Any]:
        """One record for tests that only read."""
        if resource.name not in self._sample:
            made = self._samples.get(resource.name)
            self._sample[resource.name] = made[0] if made else self.create(resource, full=True)
        return self._sample[resource.name]

    def samples(self, resource: Resource) -> list[dict[str, Any]]:
        """Five records for tests that only read: some full, some minimal, so that there are ties and NULLs."""
        if resource.name not in self._samples:
            self._samples[resource.name] = [
                self.create(resource, full=full) for full in (True, False, True, False, True)
            ]
        return self._samples[resource.name]


def inspect_hint(column: Column[Any]) -> Any:
    resource = CATALOG.by_table[column.table.description]
    known = {name: hint for kind in reversed(resource.model.__mro__) for name, hint in get_annotations(kind).items()}
    return known.get(column.name) or known[f"{column.name}_"]
