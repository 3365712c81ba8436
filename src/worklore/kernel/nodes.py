"""The hub's processes that share a database, and the signed heads of their audit chains."""

import secrets
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.db import Base
from worklore.kernel.errors import UnavailableError
from worklore.kernel.filelock import FileLock
from worklore.kernel.types import Line, column, utcnow, uuid7

MOST_NODES: Final = 1_000
"""Processes on one data folder at once."""


def claim_node(data: Path) -> tuple[str, Callable[[], None]]:
    """A name for this process that no other has while it lives, and what gives it back.

    It is one of those that the data folder keeps, so that a process goes on with the chains of the one before.
    """
    for number in range(1, MOST_NODES):
        file = data / f"audit-node-{number}"
        try:
            lock = FileLock(file)
        except UnavailableError:
            continue
        file.touch(mode=0o600)
        if not file.read_text():
            file.write_text(secrets.token_hex(6))
        return file.read_text().strip(), lock.release
    raise UnavailableError(f"Too many processes share the folder {data}.", hint="End some.", code="nodes-too-many")


class HubNode(Base):
    """A process of the hub; it lives while its heartbeat is fresh."""

    __tablename__ = "hub_nodes"
    __table_args__ = (Index(None, "last_heartbeat"),)
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str] = mapped_column(Line(100), unique=True)
    hostname: Mapped[str] = mapped_column(Line(255))
    software_version: Mapped[str] = mapped_column(Line(50))
    key_fingerprints: Mapped[list[str]] = column(default=[], doc="The vault keys it has loaded.")
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_heartbeat: Mapped[datetime] = mapped_column(default=utcnow)


class AuditCheckpoint(Base):
    """The signed heads of all audit chains at a moment; a later one must extend it."""

    __tablename__ = "audit_checkpoints"
    __table_args__ = (Index(None, "at"),)
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    at: Mapped[int] = mapped_column(BigInteger, doc="Microseconds since 1970, UTC: an integer survives any driver.")
    epoch: Mapped[uuid.UUID] = mapped_column(doc="The life of the installation; a restore begins a new one.")
    heads: Mapped[dict[str, Any]] = mapped_column(doc="By chain: the last sequence number and its MAC.")
    records: Mapped[int] = mapped_column(BigInteger, doc="Entries in all chains together.")
    root: Mapped[str] = mapped_column(Line(64), doc="SHA-256 over the heads in the order of their chains' names.")
    key_id: Mapped[str] = mapped_column(Line(64), doc="The signing key.")
    signature: Mapped[bytes]


class AuditCut(Base):
    """The signed word that a chain begins later: the entries up to a number were handed out and taken away."""

    __tablename__ = "audit_cuts"
    __table_args__ = (Index(None, "chain", "seq", unique=True),)
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    at: Mapped[int] = mapped_column(BigInteger, doc="Microseconds since 1970, UTC.")
    chain: Mapped[str] = mapped_column(Line(100))
    seq: Mapped[int] = mapped_column(BigInteger, doc="The last entry that was taken away.")
    mac: Mapped[str] = mapped_column(Line(64), doc="Its code, which the next entry names.")
    records: Mapped[int] = mapped_column(BigInteger, doc="Entries in the export, of all chains.")
    export_sha256: Mapped[str] = mapped_column(Line(64), doc="The file that they were handed out in.")
    key_id: Mapped[str] = mapped_column(Line(64), doc="The signing key.")
    signature: Mapped[bytes]
