"""Column types that read back equal on SQLite, MariaDB and PostgreSQL, and the ids and times in them.

Each type knows three forms of a value: the Python value, the value the driver speaks, and the *wire* form (what JSON
shows). ``wire_from_driver`` leads from the second to the third without the Python value in between, so that lists go
from the cursor to bytes; on SQLite most types are stored in their wire form already.
"""

import enum
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final, cast

import orjson
from sqlalchemy import (
    JSON,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Text,
    Uuid,
    false,
    text,
    true,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import MappedColumn, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

WireConverter = Callable[[Any], Any]
"""From a driver's value to a JSON-ready one; never called with None."""

# --- ids ------------------------------------------------------------------------------------------------------------

_COUNTER_BITS: Final = 12
_last_tick = 0
_tick_lock = threading.Lock()


def uuid7() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits of sub-millisecond clock, 62 random bits.

    Ids made by one process strictly ascend (section 6.2, method 3: the sub-millisecond part moves on by one when the
    clock has not), so that rows made in one request sort in the order they were made.
    """
    global _last_tick  # noqa: PLW0603 - the one piece of state that makes ids ascend
    tick = (time.time_ns() << _COUNTER_BITS) // 1_000_000
    with _tick_lock:
        _last_tick = tick = max(tick, _last_tick + 1)
    milliseconds, fraction = tick >> _COUNTER_BITS, tick & 0xFFF
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)


# --- times ----------------------------------------------------------------------------------------------------------


def utcnow() -> datetime:
    """The present time, aware, in UTC, to the microsecond."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """``2026-11-21T00:56:44.123456Z``: always six digits, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _aware_wire(moment: datetime) -> datetime | str:
    # orjson writes an aware time as iso() does, ten times as fast, but leaves out microseconds that are zero.
    return moment if moment.microsecond else iso(moment)


def _naive_iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "Z"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time with microseconds: ISO text on SQLite, DATETIME(6) on MariaDB, timestamptz on PostgreSQL.

    Binding a naive time raises ``ValueError``: a time without a zone has already lost its meaning.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(mysql.DATETIME(fsp=6))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        if dialect.name == "sqlite":
            return iso(value)
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if dialect.name == "sqlite":
            return datetime.fromisoformat(value)
        moment: datetime = value
        return moment.astimezone(UTC) if dialect.name == "postgresql" else moment.replace(tzinfo=UTC)


# --- text, numbers, JSON --------------------------------------------------------------------------------------------


class Line(TypeDecorator[str]):
    """A string of at most ``length`` characters, compared by code point on all three databases."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return postgresql.VARCHAR(self.length, collation="C")
        if dialect.name in {"mysql", "mariadb"}:
            return mysql.VARCHAR(self.length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
        return dialect.type_descriptor(String(self.length))


class Prose(TypeDecorator[str]):
    """Text of any length that people or agents write, compared by code point on all three databases."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return postgresql.TEXT(collation="C")
        if dialect.name in {"mysql", "mariadb"}:
            return mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_nopad_bin")
        return dialect.type_descriptor(Text())


class Id(TypeDecorator[uuid.UUID]):
    """A UUID: native on PostgreSQL and MariaDB, canonical text on SQLite."""

    impl = Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(36))
        return dialect.type_descriptor(Uuid(as_uuid=True))

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> str | uuid.UUID | None:
        if value is None or dialect.name != "sqlite":
            return value
        return str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        return uuid.UUID(value) if dialect.name == "sqlite" and value is not None else cast("uuid.UUID | None", value)


class Money(TypeDecorator[Decimal]):
    """NUMERIC(10, 2), an exact ``Decimal`` on all three databases (SQLite's REAL holds 15 digits; ten are used)."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Numeric(10, 2, asdecimal=False))
        return dialect.type_descriptor(Numeric(10, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return float(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - the same on all
        return None if value is None else _cents(value)


def _cents(value: Any) -> Decimal:
    return Decimal(f"{value:.2f}")


class Json(TypeDecorator[Any]):
    """A JSON value, kept as the text it was written as: JSONB would reorder keys and rewrite numbers.

    Never queried inside SQL.
    """

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)


def dumps(value: Any) -> str:
    """JSON text as the engines store it."""
    return orjson.dumps(value).decode()


class Raw(UserDefinedType[Any]):
    """What the driver says, unconverted: lists are read by it and converted once, to the wire."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "RAW"


def wire_from_driver(kind: TypeEngine[Any], dialect: Dialect) -> WireConverter | None:
    """The converter from the driver's value of a column of this type to its wire form; None where they are the same.

    orjson turns UUIDs and aware UTC times into their wire form itself, given ``OPT_UTC_Z``.
    """
    sqlite, postgres = dialect.name == "sqlite", dialect.name == "postgresql"
    if isinstance(kind, UtcDateTime):
        return None if sqlite else _aware_wire if postgres else _naive_iso
    if isinstance(kind, Id):
        return None
    if isinstance(kind, Json):
        return None if postgres else lambda stored: orjson.Fragment(stored.encode())
    if isinstance(kind, Money):
        return lambda number: f"{number:.2f}"
    if isinstance(kind, Boolean):
        return None if postgres else bool
    if isinstance(kind, Date):
        return None if sqlite else date.isoformat
    return None


def wire_value(value: Any) -> Any:
    """The wire form of a Python value read from an object of the mapped classes."""
    match value:
        case datetime():
            return iso(value)
        case Decimal():
            return f"{value:.2f}"
        case date():
            return value.isoformat()
        case enum.Enum():
            return value.value
        case uuid.UUID():
            return str(value)
        case _:
            return value


def _values(members: Iterable[enum.Enum]) -> list[str]:
    return [member.value for member in members]


ANNOTATIONS: dict[Any, Any] = {
    uuid.UUID: Id(),
    datetime: UtcDateTime(),
    date: Date(),
    Decimal: Money(),
    str: Prose(),
    bool: Boolean(),
    int: Integer(),
    float: Float(53),
    bytes: LargeBinary(),
    dict[str, Any]: Json(),
    list[str]: Json(),
    list[Any]: Json(),
    # VARCHAR with a named CHECK, holding the values rather than the names.
    enum.StrEnum: Enum(
        enum.StrEnum,
        native_enum=False,
        create_constraint=True,
        length=50,
        values_callable=_values,
        validate_strings=True,
    ),
}
"""The column type of each Python type that a mapped class may name."""


def column(*args: Any, default: Any, **kwargs: Any) -> MappedColumn[Any]:
    """``mapped_column`` with a constant default that the database knows too, so that raw SQL gets the same row."""
    made: Any = default
    match default:
        case bool():
            server: Any = true() if default else false()
        case int() | float():
            server = text(str(default))
        case enum.StrEnum():
            server = default.value
        case str():
            server = default
        case _:
            server = text(f"'{dumps(default)}'")
            made = partial(deepcopy, default)
    return mapped_column(*args, default=made, server_default=server, **kwargs)
