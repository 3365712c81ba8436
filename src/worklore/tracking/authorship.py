"""Who made and last changed a record, kept by the server."""

from collections.abc import Mapping
from typing import Any, Protocol

from worklore.kernel.context import Context


class Created(Protocol):
    """A record that knows who made it."""

    created_by: Any


class Updated(Protocol):
    """A record that knows who changed it last."""

    updated_by: Any


def sign_created(ctx: Context, record: Created) -> None:
    """Put the actor under a record that nobody has signed."""
    if record.created_by is None:
        record.created_by = ctx.principal.actor


def sign_updated(ctx: Context, record: Updated, before: Mapping[str, Any]) -> None:
    """Put the actor under a new or changed record."""
    if before or record.updated_by is None:
        record.updated_by = ctx.principal.actor
