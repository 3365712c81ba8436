"""Whether every sealed value opens: all of them are opened, one after the other, and none is shown or kept."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, or_, select

from worklore.kernel.context import ReadContext
from worklore.vault.fields import Holder
from worklore.vault.keys import ClientKey
from worklore.vault.seal import vault_of

BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Shut:
    """A value that does not open."""

    table: str
    record: uuid.UUID
    field: str


@dataclass(frozen=True, slots=True)
class Checked:
    """How many client keys and sealed values there are, and which of them do not open."""

    keys: int
    values: int
    shut: tuple[Shut, ...]


def check(
    ctx: ReadContext, holders: Sequence[Holder[Any]], tell: Callable[[int, int], None] = lambda _, __: None
) -> Checked:
    """Open every client key and every sealed value. ``tell`` hears how many records are done, of how many.

    Raises:
        UnavailableError: the vault is sealed.
    """
    vault = vault_of(ctx)
    vault.require()
    keys, shut = 0, list[Shut]()
    for row in ctx.session.scalars(select(ClientKey).order_by(ClientKey.id)):
        keys += 1
        if not vault.has(row):
            shut.append(Shut(ClientKey.__tablename__, row.id, "wrapped_key"))
    total = sum(ctx.session.scalar(select(func.count()).where(_holding(holder))) or 0 for holder in holders)
    done = values = 0
    for holder in holders:
        last = uuid.UUID(int=0)
        while rows := ctx.session.scalars(
            select(holder.model).where(_holding(holder), holder.model.id > last).order_by(holder.model.id).limit(BATCH)
        ).all():
            for record in rows:
                for field in holder.held(record):
                    values += 1
                    place = holder.place(record, field)
                    if not vault.opens(ctx, getattr(record, place.field), place):
                        shut.append(Shut(place.table, record.id, place.field))
            done, last = done + len(rows), rows[-1].id
            tell(done, total)
            ctx.session.expunge_all()
    return Checked(keys, values, tuple(shut))


def _holding(holder: Holder[Any]) -> Any:
    return or_(*(column.is_not(None) for column in holder.columns))
