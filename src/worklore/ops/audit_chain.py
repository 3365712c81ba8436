"""Beginning the chains of the change audit, and signed checkpoints of where they stand.

A chain alone does not show that its end was cut off, or that an older copy was put in its place. A checkpoint does, if
it is kept where whoever changed the database cannot reach it: it names the last entry of every chain.
"""

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from struct import Struct
from typing import Any, Final

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, Executable, Text, cast, func, inspect, select

from worklore.identity.keys import HubKey, load_key
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import CHAINS, AuditEntry, record_event
from worklore.kernel.chain import FIELDS, Chains, Head, packed
from worklore.kernel.context import Context
from worklore.kernel.epoch import RestoreEpoch
from worklore.kernel.nodes import AuditCheckpoint, AuditCut, claim_node
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.ops import hub_key

BEGINS: Final = "audit-begins"
"""The action of the entry that covers those from before there were chains."""
ACCEPTED: Final = "accept-key"
"""The action of the first entry that is sealed with another hub's key than those before."""
KEY_FILE: Final = "hub.key"
CHECKPOINT_FILE: Final = "audit-checkpoints.jsonl"
RECORDS: Final = 1_000
SECONDS: Final = 60.0
POLL_SECONDS: Final = 1.0
BATCH: Final = 2_000

ENTRY: Final = tuple(
    cast(AuditEntry.changed, Text).label(name) if name == "changed" else getattr(AuditEntry, name) for name in FIELDS
)
"""The fields of an entry as they were sealed; ``changed`` as the text that is stored."""

_LENGTH: Final = Struct(">I").pack

log = structlog.get_logger()


# --- beginning ------------------------------------------------------------------------------------------------------


def join(database: Database, data: Path) -> HubKey | None:
    """Let what this process writes be linked into chains of its own; None where there is no key, and no chain, yet.

    Raises:
        UnavailableError: there are chains, and the key they were made with is missing, or another one is there.
    """
    with database.writing.connect() as connection:
        seen = inspect(connection)
        if not seen.has_table("audit_log") or not any(c["name"] == "chain" for c in seen.get_columns("audit_log")):
            return None
        begun = connection.execute(select(AuditEntry.chain).where(AuditEntry.chain > "").limit(1)).first()
    if begun is None and not (data / KEY_FILE).exists():
        return None
    key = load_key(data / KEY_FILE, create=False)
    hub_key.require_own(database, data)
    chained(database, key, data)
    return key


def chained(database: Database, key: HubKey, data: Path) -> Chains:
    """The chains of this process on a database; made once."""
    known = database.provided(CHAINS)
    if isinstance(known, Chains):
        return known
    node, release = claim_node(data)
    chains = Chains(key.audit, key.key_id, node, release)
    database.provide(CHAINS, chains)
    return chains


def begin_chains(ctx: Context) -> None:
    """Count and digest what is in no chain, in an entry that is; once."""
    connection = ctx.session.connection()
    if connection.execute(select(AuditEntry.chain).where(AuditEntry.chain > "").limit(1)).first() is None:
        record_event(ctx, BEGINS, AuditEntry.__tablename__, None, unchained(connection))


def unchained(connection: Connection) -> dict[str, Any]:
    """Count and SHA-256 of the entries that are in no chain, in the order of their ids."""
    digest, count = hashlib.sha256(), 0
    for row in streamed(connection, select(*ENTRY).where(AuditEntry.chain.is_(None)).order_by(AuditEntry.id)):
        data = packed(row)
        digest.update(_LENGTH(len(data)) + data)
        count += 1
    return {"count": count, "sha256": digest.hexdigest()}


def streamed(connection: Connection, rows: Executable) -> Iterator[dict[str, Any]]:
    """The rows of a query, a batch at a time."""
    result = connection.execute(rows, execution_options={"stream_results": True, "max_row_buffer": BATCH})
    for batch in result.mappings().partitions(BATCH):
        yield from (dict(row) for row in batch)


# --- checkpoints ----------------------------------------------------------------------------------------------------


class Checkpoint(BaseModel):
    """Where all chains stood at a moment.

    Attributes:
        at: microseconds since 1970, UTC.
        epoch: the life of the installation; a restore begins a new one.
        heads: by chain, the number of its last entry and the code of that entry.
        records: entries in all chains together.
        root: SHA-256 over the heads in the order of their chains' names.
        key_id: the key it was signed with; ``signature`` is Ed25519, hexadecimal as all else.
    """

    id: uuid.UUID
    at: int
    epoch: uuid.UUID
    heads: dict[str, tuple[int, str]]
    records: int
    root: str
    key_id: str
    signature: str

    def message(self) -> bytes:
        """What is signed."""
        parts = ("worklore checkpoint/v1", self.id, self.at, self.epoch, self.records, self.root, self.key_id)
        return b"".join(_LENGTH(len(part)) + part for part in (str(each).encode() for each in parts))

    def flaw(self, public: Ed25519PublicKey) -> str | None:
        """What is wrong with it by itself: ``root``, ``records`` or ``signature``; None for nothing."""
        if self.root != root_of(self.heads):
            return "root"
        if self.records != sum(seq for seq, _ in self.heads.values()):
            return "records"
        try:
            public.verify(bytes.fromhex(self.signature), self.message())
        except (InvalidSignature, ValueError):
            return "signature"
        return None


class HandedOut(Checkpoint):
    """A checkpoint as clients get it, with the key to check it by (Ed25519, hexadecimal)."""

    public_key: str


class Extension(StrEnum):
    """How a checkpoint stands to an earlier one."""

    same = "same"
    extended = "extended"
    restored = "restored"
    broken = "broken"


def extends(earlier: Checkpoint, later: Checkpoint) -> Extension:
    """Whether a later checkpoint goes on from an earlier one; ``broken`` is an alarm.

    ``restored`` says that a restore has begun a new life in between: what was written since the backup is gone.
    """
    if earlier.epoch != later.epoch:
        return Extension.restored
    if earlier.heads == later.heads:
        return Extension.same
    for chain, (seq, mac) in earlier.heads.items():
        now = later.heads.get(chain)
        if now is None or now[0] < seq or (now[0] == seq and now[1] != mac):
            return Extension.broken
    return Extension.extended


def root_of(heads: Mapping[str, tuple[int, str]]) -> str:
    """SHA-256 over heads."""
    digest = hashlib.sha256()
    for chain in sorted(heads):
        for part in (chain, *heads[chain]):
            data = str(part).encode()
            digest.update(_LENGTH(len(data)) + data)
    return digest.hexdigest()


def chains_of(connection: Connection) -> Iterator[str]:
    """The names of all chains, each found by one look into the index."""
    first = select(func.min(AuditEntry.chain))
    name = connection.scalar(first)
    while name is not None:
        yield name
        name = connection.scalar(first.where(AuditEntry.chain > name))


def heads_of(connection: Connection) -> dict[str, tuple[int, str]]:
    """The last entry of every chain."""
    found: dict[str, tuple[int, str]] = {}
    for chain in chains_of(connection):
        last = select(AuditEntry.seq, AuditEntry.mac).where(AuditEntry.chain == chain)
        head: Any = connection.execute(last.order_by(AuditEntry.seq.desc()).limit(1)).one()
        found[chain] = Head(*head)
    return found


def newest(connection: Connection) -> Checkpoint | None:
    """The last checkpoint: by what it tells of, since a clock may have been wrong."""
    order = AuditCheckpoint.records.desc(), AuditCheckpoint.id.desc()
    return next(map(of_row, streamed(connection, select(AuditCheckpoint.__table__).order_by(*order).limit(1))), None)


def gone(connection: Connection, heads: Mapping[str, tuple[int, str]]) -> list[str]:
    """The chains whose entry, of those that are named, is not there or is another; what was pruned is not gone."""
    missed: list[str] = []
    for chain, (seq, mac) in heads.items():
        found = connection.scalar(select(AuditEntry.mac).where(AuditEntry.chain == chain, AuditEntry.seq == seq))
        cut = select(func.max(AuditCut.seq)).where(AuditCut.chain == chain)
        if found != mac and (found is not None or seq > (connection.scalar(cut) or 0)):
            missed.append(chain)
    return missed


def of_row(row: Mapping[Any, Any]) -> Checkpoint:
    """The checkpoint in a row of its table."""
    return Checkpoint.model_validate(dict(row) | {"signature": row["signature"].hex()})


def of_file(file: Path) -> Iterator[Checkpoint]:
    """The checkpoints in a file of JSON lines; a line that was half written is passed over.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as lines:
        for line in lines:
            try:
                yield Checkpoint.model_validate_json(line)
            except ValidationError:
                log.warning("a line is no checkpoint and is passed over", file=str(file), bytes=len(line))


def make_checkpoint(database: Database, key: HubKey, file: Path, *, always: bool = False) -> Checkpoint | None:
    """Sign where the chains stand, in the database and in a file.

    None when nothing was added since the last, unless one is to be made ``always``.
    """
    with database.read(SYSTEM) as ctx:
        connection = ctx.session.connection()
        former, heads = newest(connection), heads_of(connection)
        epoch = connection.scalar(select(RestoreEpoch.id).order_by(RestoreEpoch.number.desc()).limit(1))
    if epoch is None:
        return None
    if not always and former is not None and former.epoch == epoch and former.heads == heads:
        return None
    made = Checkpoint(
        id=uuid7(),
        at=time.time_ns() // 1000,
        epoch=epoch,
        heads=heads,
        records=sum(seq for seq, _ in heads.values()),
        root=root_of(heads),
        key_id=key.key_id,
        signature="",
    )
    made.signature = key.witness.sign(made.message()).hex()
    row = made.model_dump(exclude={"signature"}) | {"signature": bytes.fromhex(made.signature)}
    database.write(lambda ctx: ctx.session.add(AuditCheckpoint(**row)))
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as kept:
        kept.write(made.model_dump_json().encode() + b"\n")
        kept.flush()
        os.fsync(kept.fileno())
    return made


def accept(database: Database, key: HubKey, data: Path) -> Checkpoint | None:
    """Go on with another key than the last, and say so in the audit; the former chains end where they are.

    None where no hub has begun yet.
    """
    with database.writing.connect() as connection:
        last = newest(connection)
    if last is None:
        return None
    chained(database, key, data)

    def work(ctx: Context) -> None:
        hub_key.replace(ctx, key)
        facts = {"former": last.key_id, "key": key.key_id}
        record_event(ctx, ACCEPTED, AuditEntry.__tablename__, None, facts)

    database.write(work)
    return make_checkpoint(database, key, data / CHECKPOINT_FILE, always=True)


class Witness(threading.Thread):
    """Makes a checkpoint after every thousand entries or every minute, whichever comes first, while there are some.

    Attributes:
        newest: the last one, for clients to keep: each of them is a witness that nobody can reach by the database.
    """

    def __init__(self, database: Database, key: HubKey, chains: Chains, file: Path) -> None:
        super().__init__(name="audit-witness", daemon=True)
        self._database = database
        self._key = key
        self._chains = chains
        self._file = file
        self.newest: HandedOut | None = None
        self._stopping = threading.Event()
        self._seen = 0
        self._made = time.monotonic()

    def run(self) -> None:
        """Look every second until stopped."""
        while not self._stopping.wait(POLL_SECONDS):
            added = self._chains.appended - self._seen
            if added >= RECORDS or (added and time.monotonic() - self._made >= SECONDS):
                self.testify()

    def testify(self, *, always: bool = False) -> None:
        """Make a checkpoint now; what fails is tried again.

        A hub that starts makes one ``always``: an older database that was put in its place is found by its time.
        """
        seen = self._chains.appended
        try:
            self._look_back()
            made = make_checkpoint(self._database, self._key, self._file, always=always)
        except Exception as error:  # noqa: BLE001 - the database or the disk may be back at the next turn
            log.warning("no checkpoint of the change audit was made", error=type(error).__name__)
            return
        if made is not None:
            public = self._key.witness.public_key().public_bytes_raw().hex()
            self.newest = HandedOut(**made.model_dump(), public_key=public)
        self._seen, self._made = seen, time.monotonic()

    def _look_back(self) -> None:
        """Say so at once when entries that the last checkpoint told of are gone or are others."""
        if self.newest is None:
            return
        with self._database.read(SYSTEM) as ctx:
            epoch = ctx.session.scalar(select(RestoreEpoch.id).order_by(RestoreEpoch.number.desc()).limit(1))
            missed = gone(ctx.session.connection(), self.newest.heads) if epoch == self.newest.epoch else []
        if missed:
            log.error("entries of the change audit are gone or were changed; run worklore audit verify", chains=missed)

    def stop(self) -> None:
        """Make a last checkpoint and end."""
        self._stopping.set()
        if self.ident is not None:  # one that was never started cannot be waited for
            self.join()
        if self._chains.appended > self._seen:
            self.testify()


def publics(keys: Iterable[HubKey]) -> dict[str, Ed25519PublicKey]:
    """What checkpoints are checked with, by the name of the key."""
    return {key.key_id: key.witness.public_key() for key in keys}
