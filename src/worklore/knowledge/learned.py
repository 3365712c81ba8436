"""What the hub learned and people correct: their word stands, and every change is found in the order of commits."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from worklore.kernel.access import PrincipalKind
from worklore.kernel.context import Context
from worklore.kernel.sequence import take

SEQUENCE: Final = "known_failures"
"""The numbers of patterns and examples, by which an index of them catches up."""

UNHEEDED: Final = frozenset({"corrected", "seq"})


class Learned(Protocol):
    """A record that the hub may have learned."""

    corrected: list[str] | None


class Numbered(Protocol):
    """A record that an index reads in the order of commits."""

    seq: int


def touched_by_people(ctx: Context, record: Learned, before: Mapping[str, Any]) -> None:
    """Note which fields somebody other than the hub has changed."""
    if before and ctx.principal.kind is not PrincipalKind.system:
        record.corrected = sorted({*(record.corrected or ()), *before} - UNHEEDED)


def learn(record: Learned, **values: Any) -> bool:
    """Set the fields that nobody has corrected; True when one of them has changed."""
    kept = set(record.corrected or ())
    moved = {name: value for name, value in values.items() if name not in kept and getattr(record, name) != value}
    for name, value in moved.items():
        setattr(record, name, value)
    return bool(moved)


def number(ctx: Context, record: Numbered) -> None:
    """Give a record that is about to be stored its number."""
    record.seq = take(ctx, SEQUENCE, 1)[0]
