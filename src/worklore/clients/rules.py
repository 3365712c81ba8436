"""Rules that nouns of several domains share. Each names the field, its value and what it must be."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import inspect

from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.errors import InvalidError
from worklore.kernel.types import wire_value


def is_new(record: Base) -> bool:
    """True for a record that has not been stored yet."""
    return inspect(record).key is None


def not_negative(record: object, *names: str) -> None:
    """Refuse a number below zero in any of the fields named; an empty one passes."""
    for name in names:
        value = getattr(record, name)
        if value is not None and value < 0:
            raise InvalidError(f"{name} ({wire_value(value)}) cannot be negative.", field=name)


def in_order(record: object, earlier: str, later: str) -> None:
    """Refuse a ``later`` field that lies before the ``earlier`` one; where one is empty there is no order."""
    start, end = getattr(record, earlier), getattr(record, later)
    if start is not None and end is not None and end < start:
        raise InvalidError(f"{later} ({wire_value(end)}) lies before {earlier} ({wire_value(start)}).", field=later)


def keep_stamp(ctx: Context, record: Base, before: Mapping[str, Any], name: str, *, ended: bool) -> None:
    """Keep the time at which a record ended: set when it ends, unless the caller says when, and cleared on reopening.

    Raises:
        InvalidError: the caller sets the time of a record that has not ended.
    """
    value = getattr(record, name)
    if ended and value is None:
        setattr(record, name, ctx.now())
    if not ended and value is not None:
        if name in before or is_new(record):
            raise InvalidError(f"{name} ({wire_value(value)}) is only for records that have ended.", field=name)
        setattr(record, name, None)
