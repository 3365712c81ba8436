"""How one vault key follows another: added, loaded by every hub, promoted, client keys rewrapped, the old retired."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import func, select

from worklore.kernel.context import Context, ReadContext
from worklore.kernel.envelope import DamagedError
from worklore.kernel.errors import ConflictError, NotFoundError, UnavailableError
from worklore.kernel.nodes import HubNode
from worklore.kernel.transaction import Database
from worklore.vault.hierarchy import active_key, installation_id, proves, unwrap, wrap
from worklore.vault.keyring import Keyring, VaultKeyBytes
from worklore.vault.keys import ClientKey, KeyState, SigningKey, VaultKey

BATCH: Final = 200
"""Client keys that are rewrapped in one transaction."""


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """A vault key of the database, and how it stands.

    Attributes:
        given: it is in the keyring of the process that asks.
        proven: what the keyring holds under its id opens its canary.
        rows: keys of clients and signing keys that are wrapped by it.
    """

    key_id: str
    fingerprint: str
    state: KeyState
    given: bool
    proven: bool
    rows: int


def standings(ctx: ReadContext, keyring: Keyring) -> list[KeyStanding]:
    """Every vault key the database knows, the oldest first."""
    installation = installation_id(ctx)
    return [
        KeyStanding(
            row.key_id,
            row.fingerprint,
            row.state,
            given=(key := keyring.get(row.key_id)) is not None,
            proven=key is not None and proves(key, row, installation),
            rows=_rows(ctx, row),
        )
        for row in ctx.session.scalars(select(VaultKey).order_by(VaultKey.created_at, VaultKey.id))
    ]


def _rows(ctx: ReadContext, key: VaultKey) -> int:
    counts = (
        ctx.session.scalar(select(func.count()).select_from(model).where(model.vault_key_id == key.id)) or 0
        for model in (ClientKey, SigningKey)
    )
    return sum(counts)


def known_key(ctx: ReadContext, key_id: str) -> VaultKey:
    """The vault key of an id.

    Raises:
        NotFoundError: the database knows none.
    """
    row = ctx.session.scalars(select(VaultKey).where(VaultKey.key_id == key_id)).one_or_none()
    if row is None:
        raise NotFoundError(
            f"The database knows no vault key {key_id}.",
            hint="List them with worklore keys status; worklore keys add makes one known.",
            code="vault-key-unknown",
        )
    return row


def promote(ctx: Context, key: VaultKeyBytes, nodes: list[HubNode]) -> VaultKey:
    """Let a key wrap all that is new; the one before it only opens from now on. Again is no error.

    Raises:
        ConflictError: a node that lives has not loaded the key, or the key was retired.
    """
    row = known_key(ctx, key.id)
    if row.state is KeyState.active:
        return row
    if row.state is KeyState.retired:
        raise ConflictError(f"The key {key.id} was retired.", hint="Add a new one.", code="vault-key-state")
    if not proves(key, row, installation_id(ctx)):
        raise UnavailableError(
            f"The key {key.id} has the fingerprint {row.fingerprint}; the keyring gives {key.fingerprint}.",
            hint="Put the key that was added into the keyring.",
            code="vault-wrong-key",
        )
    lagging = [node.name for node in nodes if key.fingerprint not in node.key_fingerprints]
    if lagging:
        raise ConflictError(
            f"These hubs run without the key {key.id}: {', '.join(lagging)}.",
            hint="Put it into their keyrings, start them again, and promote it then.",
            code="vault-key-lags",
            nodes=lagging,
        )
    before = active_key(ctx)
    if before is not None:
        before.state = KeyState.decrypt_only
    row.state, row.promoted_at = KeyState.active, ctx.now()
    ctx.session.flush()
    return row


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What a rewrapping has done: keys now wrapped by the active key, and ids of those that could not be opened."""

    rewrapped: int
    unreadable: tuple[uuid.UUID, ...]


def rewrap(database: Database, keyring: Keyring, tell: Callable[[int], None] = lambda _: None) -> Rewrapped:
    """Wrap every client key by the active vault key, some at a time.

    It may be ended at any moment and run again, by several at once too: what is done stays done, and each row moves
    only if nobody else has moved it since it was read. ``tell`` hears how many are done.
    """
    done, failed, last = 0, list[uuid.UUID](), uuid.UUID(int=0)
    while True:
        batch = database.write(partial(_rewrap_some, keyring=keyring, after=last))
        if batch is None:
            return Rewrapped(done, tuple(failed))
        moved, unreadable, last = batch
        done += moved
        failed += unreadable
        tell(done)


def _rewrap_some(ctx: Context, keyring: Keyring, after: uuid.UUID) -> tuple[int, list[uuid.UUID], uuid.UUID] | None:
    """One batch behind an id: how many moved, which did not open, and the last id; None at the end."""
    active = active_key(ctx, hold=True)
    if active is None:
        raise NotFoundError("The database has no vault key.", hint="Start the hub once.", code="vault-key-unknown")
    by, installation = keyring.require(active.key_id), installation_id(ctx)
    others = select(ClientKey).where(ClientKey.vault_key_id != active.id, ClientKey.id > after)
    rows = ctx.session.scalars(others.order_by(ClientKey.id).limit(BATCH)).all()
    unreadable: list[uuid.UUID] = []
    for row in rows:
        try:
            key = unwrap(row, keyring, installation)
        except DamagedError:
            unreadable.append(row.id)
            continue
        row.wrapped_key, row.vault_key_id, row.rotated_at = wrap(key, by, installation), active.id, ctx.now()
    return (len(rows) - len(unreadable), unreadable, rows[-1].id) if rows else None


def retire(ctx: Context, key_id: str) -> VaultKey:
    """Say that a key is needed no more. Its canary stays, so that backups of older days can still name it.

    Raises:
        ConflictError: it is the active key, or wraps something still.
    """
    row = known_key(ctx, key_id)
    if row.state is KeyState.active:
        raise ConflictError(
            f"The key {key_id} is the active one.", hint="Promote another first.", code="vault-key-state"
        )
    # The row first: whoever wraps by it now has to end before the count.
    row.state, row.retired_at = KeyState.retired, row.retired_at or ctx.now()
    ctx.session.flush()
    left = _rows(ctx, row)
    if left:
        raise ConflictError(
            f"The key {key_id} still wraps {left} keys.",
            hint="Run worklore keys rewrap first.",
            code="vault-key-needed",
            rows=left,
        )
    return row
