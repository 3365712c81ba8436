"""Is the change audit what was written? Every code is worked out again, and every checkpoint compared.

So is what its entries witness: touches of secrets, batches of requests and, if asked for, sealed fields. It all goes by
in streams; what is kept in memory does not grow with the audit.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any, Final

import orjson
from pydantic import BaseModel
from sqlalchemy import Connection, func, or_, select

from worklore.identity.keys import HubKey
from worklore.kernel.audit import AuditEntry
from worklore.kernel.chain import START, Head, key_of, seal
from worklore.kernel.epoch import RestoreEpoch
from worklore.kernel.nodes import AuditCheckpoint
from worklore.ops.audit_chain import BEGINS, ENTRY, Checkpoint, chains_of, of_row, publics, streamed, unchained
from worklore.ops.audit_cut import cuts
from worklore.ops.audit_findings import Break, Findings
from worklore.ops.audit_sealed import check_sealed
from worklore.ops.audit_witness import check_requests, check_witnessed

LOG: Final = AuditEntry.__tablename__
CHUNK: Final = 500
"""Checkpoints that are compared at once, and numbers of one IN list."""


class State(StrEnum):
    """How a verification ended."""

    intact = "intact"
    broken = "broken"
    incomplete = "incomplete"


class Verdict(BaseModel):
    """What was found.

    Attributes:
        cut: entries that a prune has handed out and taken away.
        touches: rows of the log of touches that were compared.
        requests: rows of the log of requests that were compared.
        sealed: rows with sealed fields that were compared, if that was asked for.
        undigested: sealed fields that were last written before the audit kept digests of them.
    """

    state: State
    records: int
    unchained: int
    chains: int
    cut: int
    checkpoints: int
    earlier_lives: int
    touches: int
    requests: int
    sealed: int
    undigested: int
    breaks: list[Break]
    missing: list[str]
    seconds: float
    per_second: int


@dataclass
class _Audit(Findings):
    """A verification under way.

    Attributes:
        last: by chain, the highest number that a checkpoint tells of.
        differs: by chain, the first entry that is another than a checkpoint tells.
    """

    keys: Mapping[str, HubKey] = field(default_factory=dict[str, HubKey])
    first: int = 1
    cut: Mapping[str, Head] = field(default_factory=dict[str, Head])
    last: dict[str, int] = field(default_factory=dict[str, int])
    differs: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    records: int = 0


def verify(
    connection: Connection,
    keys: Iterable[HubKey],
    outside: Iterable[Checkpoint] = (),
    *,
    first: int = 1,
    rows: bool = False,
    sample: int | None = None,
) -> Verdict:
    """Look at every entry from number ``first`` of its chain on.

    Args:
        connection: one that reads; others may go on writing.
        keys: the hub's key, and former ones.
        outside: checkpoints that were kept elsewhere. Those of an earlier life of the installation count only as far
            as the database has them too.
        first: with more than 1, the entries before and those of no chain are taken on trust.
        rows: also compare what sealed fields hold with what was last written into them.
        sample: of that many rows of each table, taken at random.
    """
    began = time.monotonic()
    known = {key.key_id: key for key in keys}
    audit = _Audit(connection, first == 1, keys=known, first=first)
    audit.cut = cuts(audit, publics(known.values()))
    # Checkpoints first: what is written meanwhile stands behind them.
    checkpoints, earlier = _checkpoints(audit, outside)
    chains = list(chains_of(connection))
    for chain in chains:
        _chain(audit, chain)
    for chain in sorted(audit.last.keys() - set(chains)):
        audit.lacks(f"a checkpoint knows {audit.last[chain]} entries of chain {chain}, which is not there")
    for chain in sorted(audit.cut.keys() - set(chains)):
        audit.broken(LOG, "seq", "what a prune has left of this chain is not there", chain=chain)
    loose = 0 if first > 1 else _unchained(audit)
    touches, requests = check_witnessed(audit), check_requests(audit)
    sealed, undigested = check_sealed(audit, sample) if rows else (0, 0)
    seconds = time.monotonic() - began
    looked_at = audit.records + loose + touches + requests + sealed
    return Verdict(
        state=State.broken if audit.breaks else State.incomplete if audit.missing else State.intact,
        records=audit.records,
        unchained=loose,
        chains=len(chains),
        cut=sum(head.seq for head in audit.cut.values()),
        checkpoints=checkpoints,
        earlier_lives=earlier,
        touches=touches,
        requests=requests,
        sealed=sealed,
        undigested=undigested,
        breaks=audit.breaks,
        missing=audit.missing,
        seconds=round(seconds, 3),
        per_second=round(looked_at / max(seconds, 1e-6)),
    )


# --- checkpoints ----------------------------------------------------------------------------------------------------


def _checkpoints(audit: _Audit, outside: Iterable[Checkpoint]) -> tuple[int, int]:
    """Compare all checkpoints with the entries they tell of; how many there are, and how many of earlier lives."""
    count = earlier = 0
    stored = _stored(audit.connection)
    while some := list(islice(stored, CHUNK)):
        count += len(some)
        _compare(audit, some)
    life = audit.connection.scalar(select(RestoreEpoch.id).order_by(RestoreEpoch.number.desc()).limit(1))
    given = iter(outside)
    while some := list(islice(given, CHUNK)):
        table: Any = AuditCheckpoint.__table__
        same = select(table).where(table.c.id.in_([each.id for each in some]))
        there = {each.id: each for each in map(of_row, streamed(audit.connection, same))}
        others = [each for each in some if there.get(each.id) != each]
        ours = [each for each in others if each.epoch == life or each.id in there]
        earlier += len(others) - len(ours)
        count += len(ours)
        _compare(audit, ours)
    return count, earlier


def _stored(connection: Connection) -> Iterator[Checkpoint]:
    """The checkpoints in the database, by pages: MariaDB answers nothing else while a stream is open."""
    page = select(AuditCheckpoint.__table__).order_by(AuditCheckpoint.id).limit(CHUNK)
    some = connection.execute(page).mappings().all()
    while some:
        yield from (of_row(dict(row)) for row in some)
        some = connection.execute(page.where(AuditCheckpoint.id > some[-1]["id"])).mappings().all()


def _compare(audit: _Audit, checkpoints: list[Checkpoint]) -> None:
    known = publics(audit.keys.values())
    told: dict[str, dict[int, str]] = {}
    for checkpoint in checkpoints:
        public = known.get(checkpoint.key_id)
        if public is None:
            audit.lacks(f"the key {checkpoint.key_id}, which signed checkpoints")
            continue
        flaw = checkpoint.flaw(public)
        if flaw is not None:
            why = f"the {flaw} of the checkpoint {checkpoint.id} is not what was signed"
            audit.broken(LOG, "checkpoint", why)
            continue
        for chain, (seq, mac) in checkpoint.heads.items():
            if told.setdefault(chain, {}).setdefault(seq, mac) != mac:
                _differs(audit, {"chain": chain, "seq": seq, "id": None})
    for chain, heads in told.items():
        audit.last[chain] = max(audit.last.get(chain, 0), *heads)
        numbers = iter(sorted(heads))
        while some := list(islice(numbers, CHUNK)):
            there = select(AuditEntry.chain, AuditEntry.seq, AuditEntry.id, AuditEntry.mac)
            for row in streamed(audit.connection, there.where(AuditEntry.chain == chain, AuditEntry.seq.in_(some))):
                if heads[row["seq"]] != row["mac"]:
                    _differs(audit, row)


def _differs(audit: _Audit, row: Mapping[str, Any]) -> None:
    former = audit.differs.get(row["chain"])
    if former is None or row["seq"] < former["seq"]:
        audit.differs[row["chain"]] = row


# --- chains ---------------------------------------------------------------------------------------------------------


def _chain(audit: _Audit, chain: str) -> None:
    key = audit.keys.get(key_of(chain))
    if key is None:
        audit.lacks(f"the key {key_of(chain)}, with which chain {chain} was sealed")
    cut = audit.cut.get(chain, Head(0, START))
    _before(audit, chain, cut)
    first = max(audit.first, cut.seq + 1)
    expected, former = first, cut.mac if first == cut.seq + 1 else _code_before(audit, chain, first)
    rows = select(*ENTRY, AuditEntry.mac).where(AuditEntry.chain == chain, AuditEntry.seq >= first)
    intact, suspect = True, None
    for row in streamed(audit.connection, rows.order_by(AuditEntry.seq)):
        audit.records += 1
        if row["action"] == BEGINS:
            audit.beginnings.setdefault(row["table_name"], []).append(row)
        if suspect is not None:
            _tell_of(audit, suspect, row["prev_mac"])
            suspect = None
        if intact and (flaw := _out_of_place(row, expected, former)) is not None:
            audit.broken(LOG, *flaw, **_place(row))
            intact = False  # what follows a break follows from it
        elif intact and key is not None and seal(key.audit, row) != row["mac"]:
            intact, suspect = False, row
        expected, former = expected + 1, row["mac"]
    if suspect is not None:
        _tell_of(audit, suspect, suspect["mac"])
    if intact and chain in audit.differs:
        audit.broken(LOG, "checkpoint", "a checkpoint tells of another entry here", **_place(audit.differs[chain]))
    last = audit.last.get(chain, 0)
    if last >= expected:
        audit.lacks(f"a checkpoint knows {last} entries of chain {chain}, of which {expected - 1} are there")


def _place(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"chain": row["chain"], "seq": row["seq"], "id": None if row["id"] is None else str(row["id"])}


def _before(audit: _Audit, chain: str, cut: Head) -> None:
    """No entry stands before the first one of a chain; entries that were cut off may wait to be taken away."""
    stray = select(func.count()).select_from(AuditEntry).where(AuditEntry.chain == chain)
    if audit.connection.scalar(stray.where(or_(AuditEntry.seq < 1, AuditEntry.seq.is_(None)))):
        audit.broken(LOG, "seq", "an entry stands before the first, or nowhere", chain=chain)
    if cut.seq and audit.connection.scalar(stray.where(AuditEntry.seq.between(1, cut.seq))):
        audit.lacks(f"the end of a prune: entries of chain {chain} that were cut off are still there")


def _code_before(audit: _Audit, chain: str, first: int) -> str | None:
    before = select(AuditEntry.mac).where(AuditEntry.chain == chain, AuditEntry.seq == first - 1)
    return audit.connection.scalar(before)


def _out_of_place(row: Mapping[str, Any], expected: int, former: str | None) -> tuple[str, str] | None:
    """The field that says where an entry stands, if it is wrong, and why."""
    if row["seq"] != expected:
        return "seq", f"the number {expected} was to come" if row["seq"] > expected else "this number is there twice"
    if row["prev_mac"] != former:
        return "prev_mac", "it does not follow the entry before"
    return None


def _tell_of(audit: _Audit, row: Mapping[str, Any], named: str) -> None:
    """Of an entry whose code is not that of its fields: was it the code, which the next one ``named``, or the rest?"""
    why = "its code is not the one that the next entry names"
    what = ("mac", why) if named != row["mac"] else ("content", "its code is not that of its fields")
    audit.broken(LOG, *what, **_place(row))


def _unchained(audit: _Audit) -> int:
    """The entries from before there were chains, against the entry that counted them; how many there are."""
    found = unchained(audit.connection)
    count: int = found["count"]
    beginnings = audit.beginnings.get(LOG, [])
    if not beginnings:
        if audit.records:
            audit.broken(LOG, "unchained", f"no entry {BEGINS} tells of what was there before")
        elif count:
            audit.lacks(f"{count} entries are in no chain, as no hub has begun one yet")
    for row in beginnings:
        counted = orjson.loads(row["changed"])
        if counted != found:
            why = (
                f"{counted['count']} entries were in no chain, {count} are"
                if counted.get("count") != count
                else "entries in no chain were changed"
            )
            audit.broken(LOG, "unchained", why, **_place(row))
    return count
