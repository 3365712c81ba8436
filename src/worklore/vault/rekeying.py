"""A client's key followed by another, and all that it seals sealed anew: for a key that somebody may have seen.

The new key takes over at once, whatever hubs are running: whoever seals holds the key until the end of the transaction
(see :func:`worklore.vault.hierarchy.newest_client_key`), so nothing comes under the former key once it opens only. Then
every value under it is opened and sealed by the new one, some at a time, and at the end the former key is deleted.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm.exc import StaleDataError

from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.envelope import DamagedError
from worklore.kernel.errors import ConflictError, UnavailableError
from worklore.kernel.transaction import Database
from worklore.vault.fields import Holder, column_of
from worklore.vault.hierarchy import of_client
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
        ConflictError: a value came under a former key all the same; nothing is deleted then.
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
            database.write(partial(_drop, holders=holders, client=client, newest=newest))
        failed += bad
    return Rekeyed(keys, done, tuple(failed))


def _follow(ctx: Context, client: uuid.UUID | None) -> uuid.UUID | None:
    """The id of the key that all is to be sealed by; None where nothing was ever sealed.

    Raises:
        StaleDataError: another has made it meanwhile; the unit of work begins anew, and finds it.
    """
    vault = vault_of(ctx)
    vault.require()
    # All of them, whatever their state, so that of two who follow at once one waits here for the other to end.
    keys = ctx.session.scalars(
        select(ClientKey).where(of_client(client)).order_by(ClientKey.generation).with_for_update()
    ).all()
    if not keys:
        return None
    newest = keys[-1]
    if newest.state is not KeyState.active:
        raise StaleDataError("another key of this client was made meanwhile")
    if len(keys) > 1:
        return newest.id
    newest.state = KeyState.decrypt_only
    # Whoever seals by it now has to end before this returns.
    ctx.session.flush()
    return vault.make_key(ctx, client, newest.generation + 1)


def _reseal_some(
    ctx: Context, holder: Holder[Any], client: uuid.UUID | None, newest: uuid.UUID, after: uuid.UUID
) -> tuple[int, list[Place], uuid.UUID | None]:
    """One batch behind an id: how many values are new, which did not open, and the last id; None at the end."""
    model = holder.model
    wanted = select(model).where(_own(holder, client), model.id > after).order_by(model.id).limit(BATCH)
    # Held, since of two hundred records that people work with one would always have moved on meanwhile.
    rows = ctx.session.scalars(wanted.with_for_update()).all()
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


def _own(holder: Holder[Any], client: uuid.UUID | None) -> ColumnElement[bool]:
    """The records of a table that hold a secret of a client; of the installation for None."""
    model = holder.model
    holding = or_(*(column.is_not(None) for column in holder.columns))
    if not hasattr(model, "client_id"):
        return holding if client is None else false()
    return and_(holding, model.client_id == client if client else model.client_id.is_(None))


def _drop(ctx: Context, holders: Sequence[Holder[Any]], client: uuid.UUID | None, newest: uuid.UUID) -> None:
    """Delete the former keys. Looks once more that nothing is under them: without its key a value is lost.

    Raises:
        ConflictError: something is.
    """
    for holder in holders:
        values = ctx.session.execute(
            select(*holder.columns).where(_own(holder, client)).execution_options(yield_per=BATCH)
        )
        left = sum(1 for row in values for value in row if value is not None and key_of(value) != newest)
        if left:
            raise ConflictError(
                f"{left} values of {holder.model.__tablename__} are not sealed anew yet.",
                hint="Run it again.",
                code="vault-key-needed",
                rows=left,
            )
    for row in ctx.session.scalars(select(ClientKey).where(of_client(client), ClientKey.id != newest)):
        ctx.session.delete(row)
