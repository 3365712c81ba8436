"""Why a write was refused, in the caller's words: field, value and rule, and never the database's own text.

A rule is found by the name of the constraint that failed, which PostgreSQL and MariaDB tell for every kind of rule.
SQLite does not name foreign keys: which record is missing is looked up once the write has failed.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint, inspect, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError

from worklore.kernel.context import READING, Context
from worklore.kernel.db import is_check_violation
from worklore.kernel.errors import ConflictError, InvalidError
from worklore.kernel.resource import Catalog, Resource
from worklore.kernel.types import wire_value
from worklore.kernel.wire import wire

Rule = TypeVar("Rule", CheckConstraint, ForeignKeyConstraint)

MAX_VALUE: Final = 100
"""Characters of a refused value that are repeated."""

COMPARED: Final[Mapping[str, str]] = {
    ">=": "at least {}",
    ">": "more than {}",
    "<=": "at most {}",
    "<": "less than {}",
    "<>": "another than {}",
}


def refused(
    ctx: Context,
    catalog: Catalog,
    resource: Resource,
    values: Mapping[str, Any],
    error: DBAPIError,
    *,
    beside: Collection[Any] = (),
) -> InvalidError | ConflictError | None:
    """What a refused write means for the caller; None when it is no fault of the request.

    ``values`` is what should have been stored, by the class's attributes, and ``beside`` holds the ids of records of
    the same noun that the same unit of work has made.
    """
    said, name = _said(error), _constraint_name(error)
    if isinstance(error, IntegrityError) and ("unique" in said or "duplicate" in said):
        fields = next((names for known, names in _unique(resource) if known in (name or said)), None) or next(
            (names for _, names in _unique(resource) if all(f".{field}" in said for field in names)), ()
        )
        same = f" (same {', '.join(fields)})" if fields else ""
        return ConflictError(f"A {resource.name} like this exists already{same}.", code="duplicate", fields=fields)
    if isinstance(error, IntegrityError) and "foreign key" in said:
        key = _named(_keys(resource), name or said) or _missing(ctx, resource, values, beside)
        if key is None:
            return InvalidError(
                f"The {resource.name} refers to a record that does not exist.", code="reference-missing"
            )
        return no_such(catalog, resource, key.column_keys[0], values, code="reference-missing")
    if is_check_violation(error):
        check = _named(_checks(resource), name or said)
        if check is None:
            return InvalidError(f"The {resource.name} breaks a rule of its table.", code="check-failed")
        fields, rule = rule_of(check)
        return broken(resource, fields[0], values, rule, code="check-failed")
    return None


def broken(resource: Resource, field: str, values: Mapping[str, Any], rule: str, *, code: str) -> InvalidError:
    """The refusal of a field's value: ``rule`` says what it must be."""
    shown = shown_value(resource, field, values)
    value = f" ({orjson.dumps(shown['value']).decode()})" if shown else ""
    return InvalidError(f"{field}{value} must be {rule}.", code=code, field=field, **shown, rule=rule)


def no_such(
    catalog: Catalog, resource: Resource, field: str, values: Mapping[str, Any], *, code: str | None = None
) -> InvalidError:
    """The refusal of a key that names no record, or none that the caller may know of: the two look alike."""
    [key] = resource.table.c[field].foreign_keys
    parent = catalog.by_table.get(key.column.table.description)
    noun = parent.name if parent is not None else "record"
    shown = shown_value(resource, field, values)
    return InvalidError(
        f"{field} names no {noun} that you can see.",
        hint=f"List {parent.plural} to find one." if parent is not None else None,
        code=code,
        field=field,
        **shown,
        rule=f"the id of a {noun}",
    )


def complete(resource: Resource, values: Mapping[str, Any], error: InvalidError) -> None:
    """Add to what a noun's own rule has said of a record: the value it refused and, in words, what the rule is."""
    field = error.members.get("field")
    if isinstance(field, str) and field in resource.table.c and "rule" not in error.members:
        error.members = {**shown_value(resource, field, values), "rule": error.detail, **error.members}


def shown_value(resource: Resource, field: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """``value``: a field's value as JSON shows it, cut short; nothing for a field that is hidden or sealed."""
    schemas = wire(resource)
    if field not in schemas.fields or resource.table.c[field].info.get("sealed"):
        return {}
    value = wire_value(values.get(schemas.attributes[field]))
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return {"value": value if len(text) <= MAX_VALUE else text[:MAX_VALUE]}


@cache
def rule_of(check: CheckConstraint) -> tuple[tuple[str, ...], str]:
    """The fields of a check constraint, the one it is about first, and what that one must be, in words."""
    text = str(check.sqltext.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    text = text.replace(f"{check.table.description}.", "")
    fields = tuple(dict.fromkeys(word for word in re.findall(r"\w+", text) if word in check.table.c))
    if found := re.fullmatch(r"\w+ IN \((.+)\)", text):
        return fields, "one of " + found[1].replace("'", "")
    if found := re.fullmatch(r"\w+ BETWEEN (\w+) AND (\w+)", text):
        return fields, f"between {found[1]} and {found[2]}"
    if found := re.fullmatch(r"\w+ (>=|>|<=|<|<>) (\w+)", text):
        return fields, COMPARED[found[1]].format(found[2])
    if found := re.fullmatch(r"\(\w+ IS NULL\) (<>|=) \(\w+ IS NULL\)", text):
        return fields, f"set where {fields[1]} is {'not' if found[1] == '<>' else 'too'}, and only there"
    return fields, f"such that {text}"


def _said(error: DBAPIError) -> str:
    """The driver's words without the row they are about, in which anything may stand."""
    diagnosis = getattr(error.orig, "diag", None)
    return str(diagnosis.message_primary if diagnosis is not None else error.orig).lower()


def _constraint_name(error: DBAPIError) -> str | None:
    name: str | None = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    return name


def _checks(resource: Resource) -> Iterator[CheckConstraint]:
    return (each for each in resource.table.constraints if isinstance(each, CheckConstraint))


def _keys(resource: Resource) -> Iterator[ForeignKeyConstraint]:
    return (each for each in resource.table.constraints if isinstance(each, ForeignKeyConstraint))


def _named(constraints: Iterator[Rule], text: str) -> Rule | None:
    """The constraint that a text names; the longest name, since one may begin as another does."""
    named = [each for each in constraints if each.name is not None and str(each.name) in text]
    return max(named, key=lambda each: len(str(each.name)), default=None)


def _missing(
    ctx: Context, resource: Resource, values: Mapping[str, Any], beside: Collection[Any]
) -> ForeignKeyConstraint | None:
    """The first foreign key whose record is not there."""
    columns: Mapping[str, str] = {
        attribute.columns[0].key: attribute.key for attribute in inspect(resource.model).column_attrs
    }
    with ctx.info[READING].connect() as connection:
        for key in _keys(resource):
            element = key.elements[0]
            value = values.get(columns[element.parent.key])
            own = element.column.table is resource.table and value in beside
            if value is None or own:
                continue
            if connection.execute(select(element.column).where(element.column == value)).first() is None:
                return key
    return None


def _unique(resource: Resource) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and fields of each unique constraint and index of the table."""
    for constraint in resource.table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield str(constraint.name), tuple(column.key for column in constraint.columns)
    for index in resource.table.indexes:
        if index.unique:
            yield str(index.name), tuple(column.key for column in index.columns)
