"""Taking old entries out of the change audit: handed out first, and a signed word left where each chain begins then.

Entries go from the beginning of each chain, never its last one, and with them the rows that they witness. What is still
needed of them is told once more at the end of a chain: the counts of what was there before, and the digests of sealed
fields that have not changed since. The database's own triggers let go only what such a signed word covers.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
from sqlalchemy import Connection, Text, cast, delete, func, select

from worklore.identity.keys import HubKey
from worklore.kernel.audit import WITNESS, AuditEntry, micros, record_event, unaudited
from worklore.kernel.chain import Head
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.nodes import AuditCut
from worklore.kernel.transaction import Database
from worklore.kernel.types import Json, uuid7, wire_value
from worklore.ops.api_audit import ApiAuditEntry
from worklore.ops.audit_chain import BEGINS, ENTRY, Checkpoint, chains_of, publics, streamed
from worklore.ops.audit_cut import cuts, message
from worklore.ops.audit_findings import Findings
from worklore.ops.audit_sealed import CHUNK, holders, ids_of, rows_of
from worklore.ops.audit_verify import State, verify
from worklore.ops.audit_witness import WITNESSED

PRUNED: Final = "prune"
CARRIED: Final = "carry"
"""The action of an entry that tells once more what one that was taken away has told."""
BATCH: Final = 1_000
"""Entries that go in one unit of work."""


@dataclass(frozen=True)
class Pruned:
    """What was taken away: entries, in how many chains, rows that they witnessed, and the digest of the export."""

    entries: int
    chains: int
    rows: int
    sha256: str


def finish(database: Database, key: HubKey) -> int:
    """Take away what an earlier prune that was killed has left; how many entries that were."""
    with database.reading.connect() as connection:
        begun = cuts(Findings(connection), publics([key]))
    return sum(_take_away(database, chain, head.seq) for chain, head in begun.items())


def prune(database: Database, key: HubKey, kept: Iterable[Checkpoint], before: datetime, file: Path) -> Pruned:
    """Hand out the entries from before a moment, and take them away.

    Args:
        database: its chains are this process's own.
        key: the hub's.
        kept: checkpoints from outside the database, for the verification that comes first.
        before: of each chain, the entries before its first one from then or later.
        file: where the entries go, as JSON lines, each with its codes; it must not be there yet.

    Raises:
        ConflictError: the audit is not intact, the log of requests still rests on these entries, or there are none.
        FileExistsError: the file is there.
        OSError: it cannot be written.
    """
    finish(database, key)
    with database.reading.connect() as connection:
        _require_intact(connection, key, kept)
        _require_no_requests(connection, before)
        ends = _ends(connection, micros(before), cuts(Findings(connection), publics([key])))
        if not ends:
            raise ConflictError("No entry is older than that, but those that end a chain.", code="nothing-to-prune")
        entries, rows, sha256 = _hand_out(connection, ends, file)
        _require_same(file, entries + rows, sha256)
        carried = [*_beginnings(connection, ends), *_digests(connection, ends)]
    facts = {"before": before.isoformat(), "entries": entries, "rows": rows, "sha256": sha256, "chains": len(ends)}
    database.write(partial(_sign, key=key, ends=ends, facts=facts, carried=carried))
    for chain, (head, _) in ends.items():
        _take_away(database, chain, head.seq)
    return Pruned(entries, len(ends), rows, sha256)


# --- before ---------------------------------------------------------------------------------------------------------


def _require_intact(connection: Connection, key: HubKey, kept: Iterable[Checkpoint]) -> None:
    verdict = verify(connection, [key], kept, rows=True)
    if verdict.state is not State.intact:
        raise ConflictError(
            f"The audit is {verdict.state}; nothing was taken away.",
            hint="See what worklore audit verify --rows says.",
            code="audit-not-intact",
        )


def _require_no_requests(connection: Connection, before: datetime) -> None:
    oldest = connection.scalar(select(func.min(ApiAuditEntry.timestamp)).where(ApiAuditEntry.batch.is_not(None)))
    if oldest is not None and oldest < before:
        raise ConflictError(
            f"The log of requests has rows of {oldest:%Y-%m-%d}, which these entries witness.",
            hint="Name an earlier day, or keep the log of requests for fewer (WORKLORE_KEEP_API_AUDIT_DAYS).",
            code="audit-needed",
        )


_Ends = Mapping[str, tuple[Head, int]]
"""By chain, the last entry that goes, and the number of the first one."""


def _ends(connection: Connection, before: int, begun: Mapping[str, Head]) -> _Ends:
    ends: dict[str, tuple[Head, int]] = {}
    for chain in chains_of(connection):
        of_chain = AuditEntry.chain == chain
        last = connection.scalar(select(func.max(AuditEntry.seq)).where(of_chain)) or 0
        young = connection.scalar(select(func.min(AuditEntry.seq)).where(of_chain, AuditEntry.at >= before))
        seq = min(last, young or last) - 1
        first = begun[chain].seq + 1 if chain in begun else 1
        if seq >= first:
            mac = connection.execute(select(AuditEntry.mac).where(of_chain, AuditEntry.seq == seq)).scalar_one()
            ends[chain] = Head(seq, mac or ""), first
    return ends


def _of(chain: str, first: int, last: int) -> Any:
    return (AuditEntry.chain == chain) & AuditEntry.seq.between(first, last)


# --- the export -----------------------------------------------------------------------------------------------------


def _hand_out(connection: Connection, ends: _Ends, file: Path) -> tuple[int, int, str]:
    """Write what goes into a file, forced to the disk: entries, rows that they witness, and the file's SHA-256."""
    told, entries, rows = hashlib.sha256(), 0, 0
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        for chain, (head, first) in ends.items():
            of_chain = select(*ENTRY, AuditEntry.mac).where(_of(chain, first, head.seq)).order_by(AuditEntry.seq)
            for row in streamed(connection, of_chain):
                entries += 1
                _write(out, told, row | {"changed": orjson.Fragment(row["changed"])})
            for row in _witnessed(connection, chain, first, head.seq):
                rows += 1
                _write(out, told, row)
        out.flush()
        os.fsync(out.fileno())
    return entries, rows, told.hexdigest()


def _witnessed(connection: Connection, chain: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    for model in WITNESSED:
        table: Any = model.__table__
        columns = [cast(c, Text).label(c.key) if isinstance(c.type, Json) else c for c in table.c]
        of_chain = (AuditEntry.record_id == table.c.id) & (AuditEntry.action == WITNESS)
        rows = select(*columns).join_from(table, AuditEntry, of_chain).where(_of(chain, first, last))
        for row in streamed(connection, rows.order_by(AuditEntry.seq)):
            yield {"table": table.description, **row}


def _write(out: BinaryIO, told: Any, facts: Mapping[str, Any]) -> None:
    line = orjson.dumps({name: wire_value(value) for name, value in facts.items()}) + b"\n"
    told.update(line)
    out.write(line)


def _require_same(file: Path, lines: int, sha256: str) -> None:
    """What is on the disk is what was to be written.

    Raises:
        OSError: it is not.
    """
    told, found = hashlib.sha256(), 0
    with file.open("rb") as kept:
        for line in kept:
            told.update(line)
            found += 1
    if (told.hexdigest(), found) != (sha256, lines):
        raise OSError(f"{file} does not hold what was written to it")


# --- what is told once more -----------------------------------------------------------------------------------------

_Carried = tuple[str, str, uuid.UUID | None, Mapping[str, Any]]
"""Action, table, record and facts of an entry."""


def _goes(ends: _Ends, chain: str | None, seq: int | None) -> bool:
    return chain is not None and chain in ends and seq is not None and seq <= ends[chain][0].seq


def _beginnings(connection: Connection, ends: _Ends) -> Iterator[_Carried]:
    rows = select(*ENTRY).where(AuditEntry.action == BEGINS, AuditEntry.chain.is_not(None))
    for row in streamed(connection, rows):
        if _goes(ends, row["chain"], row["seq"]):
            yield BEGINS, row["table_name"], row["record_id"], orjson.loads(row["changed"])


def _digests(connection: Connection, ends: _Ends) -> Iterator[_Carried]:
    """Of each sealed field whose last digest goes, that digest; of one without a digest, that of what it holds."""
    for holder in holders():
        ids = ids_of(connection, holder.table)
        while some := list(islice(ids, CHUNK)):
            for row in rows_of(connection, holder, some):
                facts: dict[str, Any] = {}
                for name, present in row.present.items():
                    last = max(row.told[name], key=attrgetter("order"), default=None)
                    if last is None and present is not None:
                        facts[name] = {"sealed": present, "version": 0}
                    elif last is not None and _goes(ends, last.chain, last.seq):
                        facts[name] = {"sealed": last.sha256, "version": last.version}
                if facts:
                    yield CARRIED, row.table, row.id, facts


def _sign(ctx: Context, key: HubKey, ends: _Ends, facts: dict[str, Any], carried: list[_Carried]) -> None:
    """Tell once more what is needed, and from where on each chain is to be read: one unit of work."""
    for action, table, record, told in carried:
        record_event(ctx, action, table, record, dict(told))
    for chain, (head, _) in ends.items():
        cut: dict[str, Any] = {
            "id": uuid7(),
            "at": time.time_ns() // 1000,
            "chain": chain,
            "seq": head.seq,
            "mac": head.mac,
            "records": facts["entries"],
            "export_sha256": facts["sha256"],
            "key_id": key.key_id,
        }
        ctx.session.add(AuditCut(**cut, signature=key.witness.sign(message(cut))))
    record_event(ctx, PRUNED, AuditEntry.__tablename__, None, facts)
    ctx.session.flush()


# --- taking away ----------------------------------------------------------------------------------------------------


def _take_away(database: Database, chain: str, last: int) -> int:
    """Delete the entries of a chain up to a number that was cut off, some at a time; how many there were."""
    gone = 0
    while some := database.write(partial(_take_some, chain=chain, last=last)):
        gone += some
    return gone


def _take_some(ctx: Context, chain: str, last: int) -> int:
    connection = ctx.session.connection()
    found = select(AuditEntry.id, AuditEntry.record_id, AuditEntry.table_name, AuditEntry.action)
    rows = connection.execute(found.where(_of(chain, 1, last)).order_by(AuditEntry.seq).limit(BATCH)).all()
    if not rows:
        return 0
    reason = "they were handed out, and a signed cut tells of them"
    ids = [row.id for row in rows]
    connection.execute(unaudited(delete(AuditEntry).where(AuditEntry.id.in_(ids)), reason))
    for model in WITNESSED:
        table: Any = model.__table__
        theirs = [row.record_id for row in rows if (row.action, row.table_name) == (WITNESS, table.description)]
        if theirs:
            connection.execute(unaudited(delete(table).where(table.c.id.in_(theirs)), reason))
    return len(rows)
