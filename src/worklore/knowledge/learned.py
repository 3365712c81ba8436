"""What the hub learned and people correct: their word stands, and every change is found in the order of commits."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.orm import Mapper, object_session

from worklore.kernel.access import PrincipalKind
from worklore.kernel.context import Context
from worklore.kernel.sequence import take_on

SEQUENCE: Final = "known_failures"
"""The numbers of patterns and examples, by which an index of them catches up."""


def touched_by_people(ctx: Context, record: Any, before: Mapping[str, Any]) -> None:
    """Note which fields of a record with `corrected` somebody other than the hub has changed."""
    if before and ctx.principal.kind is not PrincipalKind.system:
        record.corrected = sorted({*(record.corrected or ()), *before})


def learn(record: Any, **values: Any) -> bool:
    """Set the fields that nobody has corrected; True when one of them has changed."""
    kept: set[str] = set(record.corrected or ())
    moved = {name: value for name, value in values.items() if name not in kept and getattr(record, name) != value}
    for name, value in moved.items():
        setattr(record, name, value)
    return bool(moved)


def numbered(model: type[Any]) -> None:
    """Let each record of a class take a new number whenever it is stored, by whatever way of the ORM."""
    event.listen(model, "before_insert", _number)
    event.listen(model, "before_update", _number)


def _number(_: Mapper[Any], connection: Connection, record: Any) -> None:
    session = object_session(record)
    if session is not None and session.is_modified(record):
        record.seq = take_on(connection, SEQUENCE, 1)[0]
