"""The rows of one unit of work, by table in the order they are stored, with ids and times out of a seed."""

import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from worklore.kernel.db import Base

UNTIL: Final = datetime(2026, 11, 2, tzinfo=UTC)
"""The day the made-up record ends. It is fixed, since rows that moved with the calendar would not be the same."""

BEGIN: Final = UNTIL - timedelta(days=731)
"""The day it begins, a Saturday: weeks are counted from there."""

Row = dict[str, Any]


@dataclass(slots=True)
class Rows:
    """Rows by table; they come out with tables before those that refer to them, and in a table as they were added."""

    chance: random.Random
    tables: dict[str, list[Row]] = field(default_factory=dict[str, list[Row]])

    def key(self, at: datetime) -> uuid.UUID:
        """A UUIDv7 of a moment; its random bits come out of the seed."""
        milliseconds = int(at.timestamp() * 1000)
        bits = self.chance.getrandbits(74)
        return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1))

    def add(self, model: type[Base], at: datetime, **values: Any) -> Row:
        """A row of a class's table, made at a moment: its id and times of creation and change follow from that.

        Raises:
            KeyError: a column that cannot be empty was not given.
        """
        shape = _shape(model)
        row = {**shape.template, **values}
        if shape.keyed and row.get("id") is None:
            row["id"] = self.key(at)
        for name in shape.stamps:
            if row[name] is None:
                row[name] = at
        for name in shape.required:
            if row[name] is None:
                raise KeyError(f"{shape.table}.{name}")
        self.tables.setdefault(shape.table, []).append(row)
        return row

    def likely(self, share: float) -> bool:
        """True so often: 0 is never, 1 is always."""
        return self.chance.random() < share

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.tables.values())

    def __iter__(self) -> Iterator[tuple[str, list[Row]]]:
        return ((table, self.tables[table]) for table in _order() if table in self.tables)


@cache
def _order() -> tuple[str, ...]:
    return tuple(table.description for table in Base.metadata.sorted_tables)


@dataclass(frozen=True, slots=True)
class _Shape:
    table: str
    template: Mapping[str, Any]
    keyed: bool
    stamps: tuple[str, ...]
    required: tuple[str, ...]


@cache
def _shape(model: type[Base]) -> _Shape:
    """Every column of a table with its constant default: a bulk insert wants all rows to have the same columns."""
    table: Table = model.__table__  # type: ignore[assignment]  # no class here is mapped to a join
    template: Row = {}
    for column in table.columns:
        default = column.default
        template[str(column.name)] = default.arg if isinstance(default, ScalarElementColumnDefault) else None
    stamps = tuple(name for name in ("created_at", "updated_at") if name in template)
    required = tuple(str(column.name) for column in table.columns if not column.nullable)
    return _Shape(table.description, dict(template), "id" in template, stamps, required)
