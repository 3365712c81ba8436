"""The vault: it seals a secret for one place in the database and opens it there, and nowhere else.

A unit of work finds it by :func:`vault_of`. What it gives out is for the caller to record and to guard: it knows keys
and places, and nothing of who may do what.
"""

import hmac
import os
import time
import unicodedata
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from sqlalchemy import select

from worklore.kernel import envelope
from worklore.kernel.access import Principal
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.envelope import DamagedError, derive, lengths
from worklore.kernel.errors import UnavailableError
from worklore.vault.hierarchy import OpenKey, Refusal, make_client_key, newest_client_key, unwrap
from worklore.vault.keyring import Keyring
from worklore.vault.keys import ClientKey, KeyState
from worklore.vault.secret import Secret

VAULT: Final = "vault"
"""Where a session holds the vault of its hub."""

RECORD: Final = "record"
INDEX: Final = "blind-index"
KEEP_SECONDS: Final = 5.0
KEEP_KEYS: Final = 1_024
"""For how long, and how many, client keys that a read has opened stay open in this process: they are half its cost."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value stands. It opens with the same place only.

    Attributes:
        client_id: whose it is; None for the installation's own.
        table: the table's name, ``record_id`` the row, ``field`` the column.
        version: the number of this value among all that the field has had, for callers that keep it; else 0. It is
            not the row's ``version``, which moves with every change of another field too.
    """

    client_id: uuid.UUID | None
    table: str
    record_id: uuid.UUID
    field: str
    version: int = 0

    def parts(self) -> tuple[bytes, ...]:
        """What the sealed value is bound to."""
        client = self.client_id.bytes if self.client_id else b""
        version = self.version.to_bytes(8, "big")
        return client, self.table.encode(), self.record_id.bytes, self.field.encode(), version


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A secret that did not open, and who asked for it: for the audit log."""

    place: Place
    principal: Principal
    request_id: uuid.UUID


class Vault:
    """The vault of a hub.

    Attributes:
        refusal: why it does not answer; None when it does.
        unreadable: what did not open and is not in the audit log yet.
        made: the file into which this start has written a first key.
    """

    def __init__(self, keyring: Keyring, installation: uuid.UUID, refusal: Refusal | None = None) -> None:
        self.keyring = keyring
        self.refusal = refusal
        self.unreadable: SimpleQueue[Unreadable] = SimpleQueue()
        self.made: Path | None = None
        self._installation = installation
        self._kept: dict[uuid.UUID, tuple[OpenKey, float]] = {}

    def seal(self, ctx: Context, value: Secret, place: Place) -> bytes:
        """A secret, sealed for a place. The first of a client makes that client's key.

        Raises:
            UnavailableError: the vault is sealed (``vault-sealed``) or was given another key (``vault-wrong-key``), or
                the client's own key cannot be read (``credential-unreadable``).
        """
        self.require()
        key = self._newest(ctx, place) or make_client_key(ctx, place.client_id, self.keyring, self._installation)
        return envelope.seal(key.secret, key.label, RECORD, value.reveal().encode(), self._bound(place))

    def open(self, ctx: ReadContext, sealed: bytes, place: Place) -> Secret:
        """The secret that was sealed for a place.

        Raises:
            UnavailableError: as :meth:`seal`; ``credential-unreadable`` too when it was changed, moved, or its
                client's key is gone. That is written into the audit log; other secrets are not affected.
        """
        self.require()
        try:
            return self._unseal(ctx, sealed, place)
        except DamagedError as error:
            raise self._cannot_read(ctx, place) from error

    def opens(self, ctx: ReadContext, sealed: bytes, place: Place) -> bool:
        """Whether a value opens in a place, for those who look after the vault; nothing is recorded.

        Raises:
            UnavailableError: the vault is sealed.
        """
        return self.quietly(ctx, sealed, place) is not None

    def quietly(self, ctx: ReadContext, sealed: bytes, place: Place) -> Secret | None:
        """The secret that was sealed for a place, None when it does not open; for those who look after the vault.

        Nothing is recorded: who asks for many writes down once that they do.

        Raises:
            UnavailableError: the vault is sealed.
        """
        self.require()
        try:
            return self._unseal(ctx, sealed, place)
        except DamagedError:
            return None

    def knows(self, ctx: ReadContext, sealed: bytes) -> bool:
        """Whether the client key that a value names is there; not whether the value opens."""
        try:
            key_id = key_of(sealed)
        except DamagedError:
            return False
        return self._still_open(key_id) is not None or ctx.session.get(ClientKey, key_id) is not None

    def has(self, row: ClientKey) -> bool:
        """Whether a client's key can be unwrapped."""
        try:
            unwrap(row, self.keyring, self._installation)
        except DamagedError:
            return False
        return True

    def make_key(self, ctx: Context, client_id: uuid.UUID | None, generation: int) -> uuid.UUID:
        """A further key of a client, which seals from now on; its id."""
        self.require()
        return make_client_key(ctx, client_id, self.keyring, self._installation, generation=generation).id

    def blind_index(self, ctx: ReadContext, client_id: uuid.UUID | None, field: str, text: str) -> bytes:
        """32 bytes by which equal texts of one client and field are found without opening any.

        For fields of many distinct values, such as a login; never for a password. Case, spaces around it and forms of
        the same letter do not matter. To a reader, a client without a key has no index yet: what it gets matches none.
        """
        self.require()
        place = Place(client_id, ClientKey.__tablename__, client_id or self._installation, field)
        key = self._newest(ctx, place)
        if key is None and isinstance(ctx, Context):
            key = make_client_key(ctx, client_id, self.keyring, self._installation)
        return os.urandom(envelope.KEY) if key is None else _index(key, field, _folded(text))

    def blind_indexes(
        self, ctx: ReadContext, clients: Collection[uuid.UUID] | None, field: str, text: str
    ) -> list[bytes]:
        """The blind indexes of a text for each of the clients; None stands for all of them and the installation.

        One for each generation of a client's key, since what is not sealed anew yet has its index by the former one.
        A key that does not open gives none.
        """
        self.require()
        wanted = (
            select(ClientKey) if clients is None else select(ClientKey).where(ClientKey.client_id.in_(sorted(clients)))
        )
        same, found = _folded(text), list[bytes]()
        for row in ctx.session.scalars(wanted.where(ClientKey.state != KeyState.retired)):
            with suppress(DamagedError):
                found.append(_index(unwrap(row, self.keyring, self._installation), field, same))
        return found

    def require(self) -> None:
        """Raise unless the vault answers."""
        if self.refusal is not None:
            raise self.refusal()

    def _newest(self, ctx: ReadContext, place: Place) -> OpenKey | None:
        row = newest_client_key(ctx, place.client_id, hold=isinstance(ctx, Context))
        try:
            return None if row is None else unwrap(row, self.keyring, self._installation)
        except DamagedError as error:
            raise self._cannot_read(ctx, place) from error

    def _unseal(self, ctx: ReadContext, sealed: bytes, place: Place) -> Secret:
        key = self._named(ctx, sealed, place)
        return Secret(envelope.unseal(key.secret, RECORD, sealed, self._bound(place)).decode())

    def _named(self, ctx: ReadContext, sealed: bytes, place: Place) -> OpenKey:
        key_id = key_of(sealed)
        key = self._still_open(key_id)
        if key is None:
            row = ctx.session.get(ClientKey, key_id)
            if row is None:
                raise DamagedError
            key = unwrap(row, self.keyring, self._installation)
            # What a writer sees may be undone yet.
            if not isinstance(ctx, Context):
                self._keep(key)
        if key.client_id != place.client_id:
            raise DamagedError
        return key

    def _still_open(self, key_id: uuid.UUID) -> OpenKey | None:
        key, until = self._kept.get(key_id, (None, 0.0))
        return key if time.monotonic() < until else None

    def _keep(self, key: OpenKey) -> None:
        if len(self._kept) >= KEEP_KEYS:
            self._kept.clear()
        self._kept[key.id] = key, time.monotonic() + KEEP_SECONDS

    def _bound(self, place: Place) -> tuple[bytes, ...]:
        return (lengths(self._installation.bytes, *place.parts()),)

    def _cannot_read(self, ctx: ReadContext, place: Place) -> UnavailableError:
        self.unreadable.put(Unreadable(place, ctx.principal, ctx.request_id))
        return UnavailableError(
            "This secret does not open: it was changed, stands where it does not belong, or its key is gone.",
            hint="Restore it from a backup, or write it anew; other secrets are not affected.",
            code="credential-unreadable",
            record=str(place.record_id),
            field=place.field,
        )


def key_of(sealed: bytes) -> uuid.UUID:
    """The id of the client key that a sealed value names; nothing of it is proven.

    Raises:
        DamagedError: it is no sealed value.
    """
    try:
        return uuid.UUID(bytes=envelope.read_label(sealed).key_id)
    except ValueError as error:
        raise DamagedError from error


def _folded(text: str) -> bytes:
    """The form in which texts are compared by their index."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).strip().casefold()).encode()


def _index(key: OpenKey, field: str, same: bytes) -> bytes:
    own = derive(key.secret, INDEX, key.client_id.bytes if key.client_id else b"", field.encode())
    return hmac.digest(own, same, "sha256")


def vault_of(ctx: ReadContext) -> Vault:
    """The vault of the hub that a unit of work belongs to.

    Raises:
        UnavailableError: this process has opened none.
    """
    vault: Vault | None = ctx.session.info.get(VAULT)
    if vault is None:
        raise UnavailableError("This command opens no vault.", hint="Ask the hub.", code="vault-sealed")
    return vault
