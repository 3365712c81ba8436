"""Keys: those that seal the vault, one for each client, and those that sign tokens and checkpoints.

A vault key's bytes never stand in the database: only its id, its fingerprint and a canary sealed with it. Client keys
and signing keys are stored wrapped by a vault key.
"""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.kernel.db import Record, Stamped
from worklore.kernel.types import Line, column


class KeyState(StrEnum):
    """What a key may still be used for."""

    added = "added"
    active = "active"
    decrypt_only = "decrypt-only"
    retired = "retired"


class KeyPurpose(StrEnum):
    """What a signing key signs."""

    token = "token"  # noqa: S105 - a purpose, no secret
    checkpoint = "checkpoint"


class VaultKey(Stamped, Record):
    """A key-encryption key that nodes load from outside, known by its fingerprint."""

    __tablename__ = "vault_keys"
    __table_args__ = (Index(None, "state"),)

    key_id: Mapped[str] = mapped_column(Line(64), unique=True)
    fingerprint: Mapped[str] = mapped_column(Line(64), unique=True)
    state: Mapped[KeyState] = column(default=KeyState.added)
    canary: Mapped[bytes] = mapped_column(info={"sealed": True}, doc="A known text sealed with it: proves the key.")
    promoted_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


class ClientKey(Stamped, Record):
    """The key of one client, or of the installation, wrapped by a vault key; without it the secrets are shredded."""

    __tablename__ = "client_keys"
    __table_args__ = (
        UniqueConstraint("client_id", "generation"),
        Index(None, "client_id"),
        Index(None, "vault_key_id"),
    )

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    vault_key_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("vault_keys.id", ondelete="RESTRICT"))
    generation: Mapped[int] = column(default=1)
    state: Mapped[KeyState] = column(default=KeyState.active)
    wrapped_key: Mapped[bytes] = mapped_column(info={"sealed": True})
    rotated_at: Mapped[datetime | None]

    client: Mapped[Client | None] = relationship(backref=backref("client_keys", viewonly=True), viewonly=True)
    vault_key: Mapped[VaultKey] = relationship(backref=backref("client_keys", viewonly=True), viewonly=True)


class SigningKey(Stamped, Record):
    """An Ed25519 key that signs access tokens or audit checkpoints; its private half is wrapped by a vault key."""

    __tablename__ = "signing_keys"
    __table_args__ = (Index(None, "purpose", "state"), Index(None, "vault_key_id"))

    key_id: Mapped[str] = mapped_column(Line(64), unique=True)
    purpose: Mapped[KeyPurpose]
    state: Mapped[KeyState] = column(default=KeyState.added)
    public_key: Mapped[bytes]
    wrapped_private_key: Mapped[bytes | None] = mapped_column(
        info={"sealed": True}, doc="None when the key lives outside the database."
    )
    vault_key_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("vault_keys.id", ondelete="RESTRICT"))
    promoted_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]

    vault_key: Mapped[VaultKey | None] = relationship(backref=backref("signing_keys", viewonly=True), viewonly=True)
