"""From query parameters to SQL: filters with suffixes, search, sort, offset and keyset paging, field selection.

The statement of each *shape* of question (which filters, which sort, which fields) is built once with bound
parameters and kept; a request only fills in values. Answers and their order are equal on all three databases: text
compares by code point, NULL sorts before every value, and the id breaks ties.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Enum,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    false,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from worklore.kernel.errors import BadRequestError, limit, named
from worklore.kernel.resource import Resource
from worklore.kernel.types import Json, Line, Prose, Raw, UtcDateTime, WireConverter, wire_from_driver, wire_value
from worklore.kernel.wire import CleanStr, wire

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
MAX_OFFSET: Final = 10_000_000
MAX_IN: Final = 500
MAX_WORDS: Final = 20
MAX_DIGITS: Final = 18
"""Of a number in a parameter; one of more digits passes every limit anyhow."""


ORDERED: Final = (int, float, Decimal, date, datetime)
PAGING: Final = frozenset({"q", "sort", "limit", "offset", "after", "since", "total", "fields", "omit", "brief"})


class folded(GenericFunction[str]):  # noqa: N801 - a SQL function's name
    """Text in lower case, beyond ASCII too, on all three databases."""

    type = Text()  # of no collation: a bound value compared with it must not bring one along
    inherit_cache = True


@compiles(folded)
def _folded(element: Any, compiler: Any, **kw: Any) -> str:  # pyright: ignore[reportUnusedFunction] - the compiler calls it
    return f"lower({compiler.process(element.clauses, **kw)})"


@compiles(folded, "postgresql")
def _folded_postgresql(element: Any, compiler: Any, **kw: Any) -> str:  # pyright: ignore[reportUnusedFunction] - the compiler calls it
    return f'lower(({compiler.process(element.clauses, **kw)}) COLLATE "und-x-icu")'


@compiles(folded, "mysql", "mariadb")
def _folded_mariadb(element: Any, compiler: Any, **kw: Any) -> str:  # pyright: ignore[reportUnusedFunction] - the compiler calls it
    # A binary collation folds by an old table without the capital sharp s.
    folding = f"lower(({compiler.process(element.clauses, **kw)}) COLLATE utf8mb4_unicode_520_ci)"
    return f"{folding} COLLATE utf8mb4_nopad_bin"


Make = Callable[[ColumnElement[Any], Any], ColumnElement[bool]]


def _contains(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return folded(column).contains(value.lower(), autoescape=True)


def _starts(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return folded(column).startswith(value.lower(), autoescape=True)


OPERATORS: Final[Mapping[str, Make]] = {
    "": lambda column, value: column == value,
    "ne": lambda column, value: or_(column != value, column.is_(None)),
    "in": lambda column, value: column.in_(value),
    "isnull": lambda column, value: column.is_(None) if value else column.is_not(None),
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "contains": _contains,
    "startswith": _starts,
}
"""What a suffix means: ``name__contains=vpn``, ``created_at__gte=2026-11-01T00:00:00Z``."""

_BOOL: Final = TypeAdapter(bool)
_TEXT: Final = TypeAdapter[str](CleanStr)


def suffixes(resource: Resource, name: str) -> tuple[str, ...]:
    """The suffixes a filter takes, by the type of its column."""
    column = wire(resource).fields[name]
    kind = column.type
    wanted = ["", "ne", "in"]
    if isinstance(kind, Boolean):
        wanted = ["", "ne"]
    if column.nullable:
        wanted.append("isnull")
    if isinstance(kind, UtcDateTime) or (not isinstance(kind, Boolean) and _python(column) in ORDERED):
        wanted += ["gt", "gte", "lt", "lte"]
    if isinstance(kind, Line | Prose):
        wanted += ["contains", "startswith"]
    return tuple(wanted)


def _python(column: Column[Any]) -> type[Any] | None:
    if isinstance(column.type, Enum):
        return None
    return column.type.python_type


@lru_cache
def filterable(resource: Resource) -> tuple[str, ...]:
    """The fields a list may be filtered by: those named, the id, and the times the table has."""
    named = [filter_.key for filter_ in resource.filters]
    always = [name for name in ("id", "created_at", "updated_at") if name in wire(resource).fields]
    return tuple(dict.fromkeys([*named, *always]))


@lru_cache
def sortable(resource: Resource) -> tuple[str, ...]:
    """The fields a list may be sorted by: the filters and the columns of tables, JSON apart."""
    names = [*filterable(resource), *(field.key for field in resource.columns)]
    fields = wire(resource).fields
    return tuple(name for name in dict.fromkeys(names) if not isinstance(fields[name].type, Json))


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter: ``field`` ``operator`` ``value``."""

    field: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Ask:
    """A list request, understood."""

    conditions: tuple[Condition, ...] = ()
    words: tuple[str, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    after: tuple[Any, ...] | None = None
    since: datetime | None = None
    total: bool = False
    fields: tuple[str, ...] = field(default=())


def understand(resource: Resource, parameters: Sequence[tuple[str, str]], *, order: str | None = None) -> Ask:
    """Read the parameters of a list, which comes in ``order`` unless they say another.

    Raises:
        BadRequestError: a parameter, filter, suffix or field that does not exist, or a value that does not fit it.
    """
    known: dict[str, str] = {}
    conditions: list[Condition] = []
    for name, text in parameters:
        if name in known:
            told = named(name)
            raise BadRequestError(f"{told} is given twice.", code="parameter-repeated", parameter=told)
        known[name] = text
        if name not in PAGING:
            conditions.append(_condition(resource, name, text))
    sort = _sort(resource, known.get("sort", order))
    return Ask(
        conditions=tuple(conditions),
        words=_words(resource, known.get("q")),
        sort=sort,
        limit=_number("limit", known.get("limit"), DEFAULT_LIMIT, low=1, high=MAX_LIMIT),
        offset=_number("offset", known.get("offset"), 0, low=0, high=MAX_OFFSET),
        after=_cursor(resource, sort, known.get("after")),
        since=_since(resource, known.get("since")),
        total=_flag("total", known.get("total")),
        fields=selection(resource, known),
    )


def equal(resource: Resource, name: str, text: str) -> Condition:
    """The condition that a field has the value written as ``text``.

    Raises:
        BadRequestError: the field takes no such value.
    """
    return Condition(name, "", _parse(wire(resource).adapter(name), name, text))


def _condition(resource: Resource, parameter: str, text: str) -> Condition:
    name, divider, operator = parameter.partition("__")
    if bool(divider) != bool(operator) or name not in filterable(resource) or operator not in suffixes(resource, name):
        allowed = [f"{key}__{end}" if end else key for key in filterable(resource) for end in suffixes(resource, key)]
        raise BadRequestError(
            f"There is no filter {named(parameter)} on {resource.plural}.",
            hint="Use one of the filters listed in `allowed`.",
            code="filter-unknown",
            parameter=named(parameter),
            allowed=sorted(allowed),
        )
    adapter = _BOOL if operator == "isnull" else wire(resource).adapter(name)
    if operator == "in":
        parts = text.split(",")
        if len(parts) > MAX_IN:
            told = limit("values-of-a-filter", MAX_IN, len(parts))
            raise BadRequestError(
                f"{parameter} takes at most {MAX_IN} values.", code="filter-value", parameter=parameter, **told
            )
        return Condition(name, operator, tuple(_parse(adapter, parameter, part) for part in parts))
    if operator in {"contains", "startswith"}:
        return Condition(name, operator, _parse(_TEXT, parameter, text))
    return Condition(name, operator, _parse(adapter, parameter, text))


def _parse(adapter: TypeAdapter[Any], parameter: str, text: str) -> Any:
    try:
        value = adapter.validate_strings(text)
    except ValidationError as error:
        raise BadRequestError(
            f"{parameter} does not take that value: {error.errors()[0]['msg']}.",
            code="filter-value",
            parameter=parameter,
        ) from error
    if type(value) is date and text != value.isoformat():
        # A number of days, or a midnight, is no way to write a date.
        raise BadRequestError(
            f"{parameter} does not take that value: a date is written as 2026-03-31.",
            code="filter-value",
            parameter=parameter,
        )
    return value


def _words(resource: Resource, text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    if not resource.search:
        raise BadRequestError(f"{resource.plural} cannot be searched.", hint="Use a filter.", code="search-unknown")
    words = tuple(_parse(_TEXT, "q", text.replace("\0", " ")).split())
    if len(words) > MAX_WORDS:
        told = limit("words-of-a-search", MAX_WORDS, len(words))
        raise BadRequestError(f"q takes at most {MAX_WORDS} words.", code="parameter-value", parameter="q", **told)
    return words


def _sort(resource: Resource, text: str | None) -> tuple[tuple[str, bool], ...]:
    keys: list[tuple[str, bool]] = []
    for part in text.split(",") if text else ():
        name = part.removeprefix("-")
        if name not in sortable(resource):
            raise BadRequestError(
                f"{resource.plural} cannot be sorted by {named(name)}.",
                hint="Use one of the fields listed in `allowed`.",
                code="sort-unknown",
                allowed=list(sortable(resource)),
            )
        if any(name == known for known, _ in keys):
            raise BadRequestError(f"sort names {name} twice.", code="parameter-repeated", parameter="sort")
        keys.append((name, part.startswith("-")))
    if "id" in wire(resource).fields and not any(name == "id" for name, _ in keys):
        keys.append(("id", bool(keys) and keys[-1][1]))
    return tuple(keys)


def _number(name: str, text: str | None, default: int, *, low: int, high: int) -> int:
    if text is None:
        return default
    digits = text.isascii() and text.isdigit()
    number = int(text) if digits and len(text) <= MAX_DIGITS else None
    if number is None or not low <= number <= high:
        told = limit(name, high, number) if digits and (number is None or number > high) else {}
        detail = f"{name} takes a whole number from {low} to {high}."
        raise BadRequestError(detail, code="parameter-value", parameter=name, **told)
    return number


def _flag(name: str, text: str | None) -> bool:
    if text not in {None, "true", "false", "1", "0"}:
        raise BadRequestError(f"{name} takes true or false.", code="parameter-value")
    return text in {"true", "1"}


def _since(resource: Resource, text: str | None) -> datetime | None:
    if text is None:
        return None
    if "created_at" not in wire(resource).fields:
        raise BadRequestError(f"{resource.plural} keep no time of change.", code="parameter-value")
    moment: datetime = _parse(wire(resource).adapter("created_at"), "since", text)
    return moment


def selection(resource: Resource, known: Mapping[str, str]) -> tuple[str, ...]:
    """The fields to show, from ``fields``, ``omit`` and ``brief``.

    Raises:
        BadRequestError: a field that does not exist, or two of the three at once.
    """
    every = tuple(wire(resource).fields)
    given = [name for name in ("fields", "omit", "brief") if name in known]
    if not given:
        return every
    if len(given) > 1:
        raise BadRequestError(f"{' and '.join(given)} exclude each other.", code="parameter-value")
    if given == ["brief"]:
        brief = ("id", *(column.key for column in resource.columns))
        return tuple(name for name in every if name in brief) if _flag("brief", known["brief"]) else every
    names = known[given[0]].split(",") if known[given[0]] else []
    unknown = [name for name in names if name not in every]
    if unknown:
        raise BadRequestError(
            f"{resource.plural} have no field {named(unknown[0])}.",
            hint="Use the fields listed in `allowed`.",
            code="field-unknown",
            allowed=list(every),
        )
    shown = tuple(name for name in every if (name in names) == (given == ["fields"]))
    if not shown:
        raise BadRequestError(f"{given[0]} leaves no field to show.", code="parameter-value", parameter=given[0])
    return shown


# --- cursors --------------------------------------------------------------------------------------------------------


def cursor_of(sort: Iterable[tuple[str, bool]], values: Iterable[Any]) -> str:
    """An opaque mark after a row: the sort and the row's values of it."""
    order = ",".join(f"-{name}" if down else name for name, down in sort)
    return (
        base64.urlsafe_b64encode(orjson.dumps([order, *(wire_value(value) for value in values)])).decode().rstrip("=")
    )


def _cursor(resource: Resource, sort: tuple[tuple[str, bool], ...], text: str | None) -> tuple[Any, ...] | None:
    if text is None:
        return None
    order = ",".join(f"-{name}" if down else name for name, down in sort)
    try:
        made_for, *values = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if made_for != order or len(values) != len(sort):
            raise BadRequestError("The cursor belongs to another sort.", hint="Start again.", code="cursor-invalid")
        schemas = wire(resource)
        return tuple(
            None if value is None else schemas.adapter(name).validate_json(orjson.dumps(value))
            for (name, _), value in zip(sort, values, strict=True)
        )
    except (ValueError, TypeError) as error:
        raise BadRequestError("The cursor cannot be read.", hint="Start again.", code="cursor-invalid") from error


def _after(columns: Mapping[str, Column[Any]], ask: Ask) -> ColumnElement[bool]:
    """Rows behind the cursor: for some key all earlier ones equal and this one beyond, NULL being the lowest."""
    assert ask.after is not None  # noqa: S101 - asked for by the caller
    alternatives: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for (name, down), value in zip(ask.sort, ask.after, strict=True):
        column = columns[name]
        mark = literal(value, column.type)  # typed, since true and false compare as values here
        beyond: ColumnElement[bool] | None
        if value is None:
            beyond = None if down else column.is_not(None)
        elif down:
            beyond = or_(column < mark, column.is_(None)) if column.nullable else column < mark
        else:
            beyond = column > mark
        if beyond is not None:
            alternatives.append(and_(*equal, beyond))
        equal.append(column.is_(None) if value is None else column == mark)
    return or_(false(), *alternatives)


# --- statements -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def _plain(
    resource: Resource,
    fields: tuple[str, ...],
    shape: tuple[tuple[str, str], ...],
    sort: tuple[tuple[str, bool], ...],
) -> Select[Any]:
    columns = wire(resource).fields
    statement = select(*(type_coerce(columns[name], Raw()).label(name) for name in fields))
    for position, (name, operator) in enumerate(shape):
        column = columns[name]
        value = bindparam(f"v{position}", type_=column.type, expanding=operator == "in")
        statement = statement.where(OPERATORS[operator](column, value))
    for name, down in sort:
        column = columns[name]
        if column.nullable:
            statement = statement.order_by(column.is_not(None).desc() if down else column.is_not(None))
        statement = statement.order_by(column.desc() if down else column)
    return statement.limit(bindparam("row_limit", type_=Integer())).offset(bindparam("row_offset", type_=Integer()))


_BOUND: Final = frozenset({"", "ne", "in", "gt", "gte", "lt", "lte"})
"""Operators whose value is a bound parameter of a kept statement; the others make SQL of their own."""


def statement(resource: Resource, ask: Ask, extra: ColumnElement[bool] | None) -> tuple[Select[Any], dict[str, Any]]:
    """The SELECT of a list, and the values for it. It asks for one row more than the limit, to know if more follow.

    Args:
        resource: the noun.
        ask: the request.
        extra: the visibility condition; None when the principal sees all.
    """
    bound = [condition for condition in ask.conditions if condition.operator in _BOUND]
    shown = tuple(dict.fromkeys([*ask.fields, *(name for name, _ in ask.sort)]))
    made = _plain(resource, shown, tuple((item.field, item.operator) for item in bound), ask.sort)
    values: dict[str, Any] = {f"v{position}": item.value for position, item in enumerate(bound)}
    values |= {"row_limit": ask.limit + 1, "row_offset": ask.offset}
    if extra is not None:
        made = made.where(extra)
    for condition in where(resource, ask, bound_too=False):
        made = made.where(condition)
    if ask.after is not None:
        made = made.where(_after(wire(resource).fields, ask))
    return made, values


def where(resource: Resource, ask: Ask, *, bound_too: bool = True) -> list[ColumnElement[bool]]:
    """The conditions of a request as expressions of their own."""
    columns = wire(resource).fields
    made = [
        OPERATORS[item.operator](columns[item.field], item.value)
        for item in ask.conditions
        if bound_too or item.operator not in _BOUND
    ]
    made += [or_(*(_contains(resource.table.c[found.key], word) for found in resource.search)) for word in ask.words]
    if ask.since is not None:
        changed = columns.get("updated_at", columns["created_at"])
        made.append(changed >= ask.since)
    return made


def count(resource: Resource, ask: Ask, extra: ColumnElement[bool] | None) -> Select[int]:
    """How many rows the request has in all."""
    conditions = where(resource, ask)
    if extra is not None:
        conditions.append(extra)
    return select(func.count()).select_from(resource.table).where(*conditions)


@lru_cache(maxsize=2048)
def converters(resource: Resource, fields: tuple[str, ...], dialect: Dialect) -> tuple[tuple[int, WireConverter], ...]:
    """Position and converter of each field whose driver value is not its wire form."""
    columns = wire(resource).fields
    found = ((place, wire_from_driver(columns[name].type, dialect)) for place, name in enumerate(fields))
    return tuple((place, convert) for place, convert in found if convert is not None)


def to_wire(
    rows: Iterable[Sequence[Any]],
    fields: tuple[str, ...],
    converted: tuple[tuple[int, WireConverter], ...],
) -> list[dict[str, Any]]:
    """Rows of driver values as JSON-ready mappings."""
    items = [dict(zip(fields, row, strict=False)) for row in rows]
    for place, convert in converted:
        name = fields[place]
        for item in items:
            value = item[name]
            if value is not None:
                item[name] = convert(value)
    return items
