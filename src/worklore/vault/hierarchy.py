"""The order of keys: a vault key from outside wraps one random key for each client, which seals that client's secrets.

The database knows a vault key by its id, its fingerprint and a canary: a known text sealed with it, which only the
right key opens. What may be done with a key is its state here, so that all nodes that share the database agree.
"""

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from worklore.kernel.context import Context, ReadContext
from worklore.kernel.envelope import KEY, DamagedError, Label, lengths, read_label, seal, unseal
from worklore.kernel.epoch import RestoreEpoch
from worklore.kernel.errors import ConflictError, HubError, UnavailableError
from worklore.kernel.types import uuid7
from worklore.vault.keyring import Keyring, VaultKeyBytes, new_key
from worklore.vault.keys import ClientKey, KeyState, VaultKey

CANARY: Final = b"worklore vault canary"
CANARY_PURPOSE: Final = "canary"
WRAP_PURPOSE: Final = "client-key"

Refusal = Callable[[], HubError]
"""Why the vault does not answer, made anew for each who asks."""


def installation_id(ctx: ReadContext) -> uuid.UUID:
    """What tells this installation from all others, for good: the id of its first life. A restore keeps it.

    Raises:
        ConflictError: no hub was ever started on this database.
    """
    first = ctx.session.scalars(select(RestoreEpoch.id).where(RestoreEpoch.number == 1)).one_or_none()
    if first is None:
        raise ConflictError("No hub has begun on this database.", hint="Start it once.", code="vault-key-state")
    return first


# --- vault keys -----------------------------------------------------------------------------------------------------


def active_key(ctx: ReadContext, *, hold: bool = False) -> VaultKey | None:
    """The vault key that wraps new keys; with ``hold`` nobody retires it before this transaction ends."""
    query = select(VaultKey).where(VaultKey.state == KeyState.active)
    return ctx.session.scalars(query.with_for_update(read=True) if hold else query).one_or_none()


def register(ctx: Context, key: VaultKeyBytes, state: KeyState) -> VaultKey:
    """Make a vault key known to the database: its fingerprint, and a canary that proves it."""
    installation = installation_id(ctx)
    first = state is KeyState.active
    made = VaultKey(
        # Two nodes that begin on the same empty database cannot both make the first key.
        id=installation if first else uuid7(),
        key_id=key.id,
        fingerprint=key.fingerprint,
        state=state,
        canary=seal(key.secret, Label(key.id.encode()), CANARY_PURPOSE, CANARY, (installation.bytes,)),
        promoted_at=ctx.now() if first else None,
    )
    ctx.session.add(made)
    ctx.session.flush()
    return made


def proves(key: VaultKeyBytes, known: VaultKey, installation: uuid.UUID) -> bool:
    """Whether a key is the one that the database knows by this id."""
    try:
        return unseal(key.secret, CANARY_PURPOSE, known.canary, (installation.bytes,)) == CANARY
    except DamagedError:
        return False


def refusal(ctx: ReadContext, keyring: Keyring) -> Refusal | None:
    """Why the vault cannot be opened with these keys; None when it can."""
    known = [row for row in ctx.session.scalars(select(VaultKey)) if row.state is not KeyState.retired]
    if not keyring:
        because = f": {keyring.empty_because}" if keyring.empty_because else ""
        return _sealed(f"The vault is sealed, since no key was given ({keyring.source}{because}).", known)
    installation = installation_id(ctx)
    for row in known:
        key = keyring.get(row.key_id)
        if key is not None and not proves(key, row, installation):
            return _wrong(keyring, row, [key])
    active = next((row for row in known if row.state is KeyState.active), None)
    if active is not None and active.key_id not in keyring.keys:
        return _wrong(keyring, active, list(keyring))
    return None


def _sealed(detail: str, known: list[VaultKey]) -> Refusal:
    expected = [row.fingerprint for row in known]
    hint = "Give the hub the vault's key (worklore keys status tells which) and start it again; all else works."
    return lambda: UnavailableError(detail, hint=hint, code="vault-sealed", expected=expected)


def _wrong(keyring: Keyring, expected: VaultKey, supplied: list[VaultKeyBytes]) -> Refusal:
    prints = [key.fingerprint for key in supplied]
    detail = (
        f"The vault's key {expected.key_id} has the fingerprint {expected.fingerprint}; "
        f"{keyring.source} gives {', '.join(prints)}."
    )
    if expected.fingerprint in prints:
        detail = f"The key {expected.key_id} is of this fingerprint, and the canary in the database is not its own."
    want = expected.fingerprint
    hint = "Give the hub the keyring that belongs to this database, from your recovery kit."
    return lambda: UnavailableError(detail, hint=hint, code="vault-wrong-key", expected=[want], supplied=prints)


def first_key(ctx: ReadContext, keyring: Keyring) -> VaultKeyBytes | None:
    """The key to begin with in a database that has none: the first that was given, else a new one for the file.

    None when the database has keys, or there is none and no file to write one into. Never a new one beside a canary.
    """
    if ctx.session.scalars(select(VaultKey.id).limit(1)).first() is not None:
        return None
    return next(iter(keyring), None) or (new_key() if keyring.file is not None else None)


def begin(ctx: Context, key: VaultKeyBytes) -> None:
    """Take a first key, unless another node has meanwhile."""
    if ctx.session.scalars(select(VaultKey.id).limit(1)).first() is None:
        register(ctx, key, KeyState.active)


# --- client keys ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A client's key, unwrapped. The client None is the installation itself."""

    id: uuid.UUID
    client_id: uuid.UUID | None
    generation: int
    secret: bytes = field(repr=False)

    @property
    def label(self) -> Label:
        """What the header of an envelope says of it."""
        return Label(self.id.bytes, self.generation)


def newest_client_key(ctx: ReadContext, client_id: uuid.UUID | None, *, hold: bool = False) -> ClientKey | None:
    """The key that seals what is new of a client; None where nothing was sealed yet.

    With ``hold`` no other key follows it before this transaction ends, so that nothing is sealed by one that is about
    to be dropped.
    """
    query = (
        select(ClientKey)
        .where(of_client(client_id), ClientKey.state == KeyState.active)
        .order_by(ClientKey.generation.desc())
        .limit(1)
    )
    return ctx.session.scalars(query.with_for_update(read=True) if hold else query).one_or_none()


def of_client(client_id: uuid.UUID | None) -> ColumnElement[bool]:
    """The keys of a client; those of the installation for None."""
    return ClientKey.client_id == client_id if client_id else ClientKey.client_id.is_(None)


def make_client_key(
    ctx: Context, client_id: uuid.UUID | None, keyring: Keyring, installation: uuid.UUID, *, generation: int = 1
) -> OpenKey:
    """A new random key, wrapped by the active vault key.

    Raises:
        StaleDataError: another has made this generation meanwhile; the unit of work begins anew, and finds it.
        UnavailableError: there is no active vault key, or this hub was started without it.
    """
    active = active_key(ctx, hold=True)
    if active is None:
        raise UnavailableError(
            "The database has no vault key.", hint="Start the hub with one.", code="vault-sealed", expected=[]
        )
    by = keyring.get(active.key_id)
    if by is None:
        raise UnavailableError(
            f"The active vault key is {active.key_id} now, and this hub was started without it.",
            hint="Put it into this hub's keyring and start it again.",
            code="vault-sealed",
            expected=[active.fingerprint],
        )
    # Of the keys without a client only one can have this id, as a client has one key of each generation.
    own = installation if generation == 1 else uuid.uuid5(installation, f"generation {generation}")
    made = OpenKey(uuid7() if client_id else own, client_id, generation, os.urandom(KEY))
    ctx.session.add(
        ClientKey(
            id=made.id,
            client_id=client_id,
            vault_key_id=active.id,
            generation=made.generation,
            wrapped_key=wrap(made, by, installation),
        )
    )
    try:
        ctx.session.flush()
    except IntegrityError as error:
        # The flush may have stored what waited beside the key; only the key is for this function to explain.
        if ClientKey.__tablename__ not in (error.statement or ""):
            raise
        raise StaleDataError("another key of this client was made meanwhile") from error
    return made


def wrap(key: OpenKey, by: VaultKeyBytes, installation: uuid.UUID) -> bytes:
    """A client's key as it stands in the database."""
    return seal(by.secret, Label(by.id.encode()), WRAP_PURPOSE, key.secret, (_place(key, installation),))


def unwrap(row: ClientKey, keyring: Keyring, installation: uuid.UUID) -> OpenKey:
    """A client's key.

    Raises:
        DamagedError: it does not open, or the vault key that wraps it is not at hand.
    """
    by = keyring.get(read_label(row.wrapped_key).key_id.decode("ascii", "replace"))
    if by is None:
        raise DamagedError
    place = _place(OpenKey(row.id, row.client_id, row.generation, b""), installation)
    secret = unseal(by.secret, WRAP_PURPOSE, row.wrapped_key, (place,))
    return OpenKey(row.id, row.client_id, row.generation, secret)


def _place(key: OpenKey, installation: uuid.UUID) -> bytes:
    return lengths(
        installation.bytes,
        key.client_id.bytes if key.client_id else b"",
        key.id.bytes,
        key.generation.to_bytes(4, "big"),
    )
