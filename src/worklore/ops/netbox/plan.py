"""What an object of a NetBox becomes here: the record, its fields, and what is done once it is there."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from worklore.kernel.resource import Resource
from worklore.ops.netbox.dump import Thing

NAMESPACE: Final = uuid.UUID("6f1c3c0e-8a0b-5d0e-9a57-0d6c5a2b7f11")
HEADING: Final = "From NetBox:"


@dataclass(frozen=True, slots=True)
class Planned:
    """A record to be.

    Attributes:
        thing: the object it comes from.
        key: its id, which follows from the object's key alone: a renamed object stays the same record.
        fields: what it is to say, in wire form. What is not named stays as it is.
        facts: lines for its notes.
        labels: its tags.
        by_name: a field by which a record that is there already is taken for it.
    """

    thing: Thing
    resource: Resource
    key: uuid.UUID
    fields: dict[str, Any]
    facts: Sequence[str] = ()
    labels: Sequence[str] = ()
    by_name: str | None = None


def key_of(source: str, model: str, pk: object) -> uuid.UUID:
    """The id of the record that an object of a source becomes."""
    return uuid.uuid5(NAMESPACE, f"{source}/{model}/{pk}")


def noted(present: str | None, facts: Sequence[str]) -> str | None:
    """Notes with the facts below a heading at their end; what people wrote above it stays."""
    written = (present or "").partition(HEADING)[0].rstrip()
    told = [fact for fact in facts if fact]
    block = "\n".join([HEADING, *told]) if told else ""
    return "\n\n".join(part for part in (written, block) if part) or None
