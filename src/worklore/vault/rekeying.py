"""A client's key followed by another, and all that it seals sealed anew: for a key that somebody may have seen.

The new key takes over at once, whatever hubs are running: who seals holds the key until the end of the transaction
(see :func:`newest_client_key`), so nothing comes under the former key once it opens only. Then every value under it is
opened and sealed by the new one, some at a time, and at the end the former key is deleted.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import or_, select

from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.envelope import DamagedError
from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database
from worklore.vault.fields import Holder, column_of
from worklore.vault.hierarchy import newest_client_key, of_client
from worklore.vault.keys import ClientKey, KeyState
from worklore.vault.seal import Place, key_of, vault_of

BATCH: Final = 200
"""Records that are sealed anew in one transaction."""


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What was done: clients whose key was followed, values sealed anew, and where those stand that did not open."""

    clients: int
    values: int
    unreadable: tuple[Place, ...]


def owners(database: Database) -> list[uuid.UUID | None]:
    """Whoever has a key: clients, and None for the installation."""
    with database.read(SYSTEM) as ctx:
        return list(ctx.session.scalars(select(ClientKey.client_id).distinct().order_by(ClientKey.client_id)))


def rekey(
    database: Database,
    holders: Sequence[Holder[Any]],
    clients: Sequence[uuid.UUID | None],
    tell: Callable[[int], None] = lambda _: None,
) -> Rekeyed:
    """Let a new key follow that of each client, and seal anew whatever the former one seals.

    It may be ended at any moment and run again: a client whose former key is still there is gone on with, and each
    record is changed only if nobody else has changed it since it was read. A former key stays while a value under it
    does not open. ``tell`` hears how many values are done.

    Raises:
        UnavailableError: the vault is sealed.
    """
    done, keys, failed = 0, 0, list[Place]()
    for client in clients:
        newest = database.write(partial(_follow, client=client))
        if newest is None:
            continue
        keys += 1
        bad: list[Place] = []
        for holder in holders:
            last: uuid.UUID | None = uuid.UUID(int=0)
            while last is not None:
                moved, unreadable, last = database.write(
                    partial(_reseal_some, holder=holder, client=client, newest=newest, after=last)
                )
                done += moved
                bad += unreadable
                tell(done)
        if not bad:
            database.write(partial(_drop, client=client))
        failed += bad
    return Rekeyed(keys, done, tuple(failed))


def _follow(ctx: Context, client: uuid.UUID | None) -> uuid.UUID | None:
    """The id of the key that all is to be sealed by; None where nothing was ever sealed."""
    vault = vault_of(ctx)
    vault.require()
    newest = newest_client_key(ctx, client)
    if newest is None:
        return None
    if ctx.session.scalars(_former(client)).first() is not None:
        return newest.id
    newest.state = KeyState.decrypt_only
    # Whoever seals by it now has to end before this returns.
    ctx.session.flush()
    return vault.make_key(ctx, client, newest.generation + 1)


def _former(client: uuid.UUID | None) -> Any:
    return select(ClientKey).where(of_client(client), ClientKey.state == KeyState.decrypt_only)


def _reseal_some(
    ctx: Context, holder: Holder[Any], client: uuid.UUID | None, newest: uuid.UUID, after: uuid.UUID
) -> tuple[int, list[Place], uuid.UUID | None]:
    """One batch behind an id: how many values are new, which did not open, and the last id; None at the end."""
    model = holder.model
    if hasattr(model, "client_id"):
        own = model.client_id == client if client else model.client_id.is_(None)
    elif client is not None:
        return 0, [], None
    else:
        own = model.id.is_not(None)
    holding = or_(*(getattr(model, column_of(field)).is_not(None) for field in holder.fields))
    rows = ctx.session.scalars(
        select(model).where(own, holding, model.id > after).order_by(model.id).limit(BATCH)
    ).all()
    moved, failed = 0, list[Place]()
    for record in rows:
        for field in holder.held(record):
            try:
                if key_of(getattr(record, column_of(field))) != newest:
                    holder.seal(ctx, record, field, holder.open(ctx, record, field))
                    moved += 1
            except (DamagedError, UnavailableError):
                failed.append(holder.place(record, field))
    ctx.session.flush()
    return moved, failed, rows[-1].id if rows else None


def _drop(ctx: Context, client: uuid.UUID | None) -> None:
    for row in ctx.session.scalars(_former(client)):
        ctx.session.delete(row)
