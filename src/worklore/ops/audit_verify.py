"""Is the change audit what was written? Every code is worked out again, and every checkpoint compared."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson
from pydantic import BaseModel
from sqlalchemy import Connection, select

from worklore.identity.keys import HubKey
from worklore.kernel.audit import AuditEntry
from worklore.kernel.chain import START, key_of, seal
from worklore.kernel.epoch import RestoreEpoch
from worklore.kernel.nodes import AuditCheckpoint
from worklore.ops.audit_chain import BEGINS, ENTRY, Checkpoint, chains_of, of_row, publics, streamed, unchained

MOST: Final = 1_000
"""Breaks and gaps that are told one by one."""


class State(StrEnum):
    """How a verification ended."""

    intact = "intact"
    broken = "broken"
    incomplete = "incomplete"


class Break(BaseModel):
    """The first entry of a chain that is not what was written.

    Attributes:
        field: what is wrong: ``seq`` (an entry is missing, or is there twice), ``prev_mac`` (it does not follow the one
            before), ``mac`` (its code alone was changed), ``content`` (one of its other fields was changed),
            ``checkpoint`` (another entry stood here, or the checkpoint itself was changed), ``unchained`` (those from
            before there were chains are not those that were counted).
    """

    chain: str | None
    seq: int | None
    id: str | None
    field: str
    why: str


class Verdict(BaseModel):
    """What was found."""

    state: State
    records: int
    unchained: int
    chains: int
    checkpoints: int
    earlier_lives: int
    breaks: list[Break]
    missing: list[str]
    seconds: float
    per_second: int


@dataclass
class _Audit:
    """A verification under way."""

    connection: Connection
    keys: Mapping[str, HubKey]
    first: int
    breaks: list[Break] = field(default_factory=list[Break])
    missing: list[str] = field(default_factory=list[str])
    seen: dict[str, dict[int, str]] = field(default_factory=dict[str, dict[int, str]])
    beginnings: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    records: int = 0

    def broken(self, why: str, what: str, row: Mapping[str, Any] | None = None, chain: str | None = None) -> None:
        place = row or {"chain": chain, "seq": None, "id": None}
        found = Break(
            chain=place["chain"], seq=place["seq"], id=str(place["id"]) if place["id"] else None, field=what, why=why
        )
        if len(self.breaks) < MOST:
            self.breaks.append(found)

    def lacks(self, what: str) -> None:
        if what not in self.missing and len(self.missing) < MOST:
            self.missing.append(what)


def verify(
    connection: Connection, keys: Iterable[HubKey], outside: Iterable[Checkpoint] = (), *, first: int = 1
) -> Verdict:
    """Look at every entry from number ``first`` of its chain on.

    Args:
        connection: one that reads; others may go on writing.
        keys: the hub's key, and former ones.
        outside: checkpoints that were kept elsewhere. Those of an earlier life of the installation count only as far
            as the database has them too.
        first: with more than 1, the entries before and those of no chain are taken on trust.
    """
    began = time.monotonic()
    audit = _Audit(connection, {key.key_id: key for key in keys}, first)
    # Checkpoints first: what is written meanwhile stands behind them.
    checkpoints, earlier = _checkpoints(audit, outside)
    chains = list(chains_of(connection))
    for chain in chains:
        _chain(audit, chain)
    for chain in sorted(audit.seen.keys() - set(chains)):
        audit.lacks(f"a checkpoint knows {max(audit.seen[chain])} entries of chain {chain}, which is not there")
    loose = 0 if first > 1 else _unchained(audit)
    seconds = time.monotonic() - began
    state = State.broken if audit.breaks else State.incomplete if audit.missing else State.intact
    return Verdict(
        state=state,
        records=audit.records,
        unchained=loose,
        chains=len(chains),
        checkpoints=checkpoints,
        earlier_lives=earlier,
        breaks=audit.breaks,
        missing=audit.missing,
        seconds=round(seconds, 3),
        per_second=round((audit.records + loose) / max(seconds, 1e-6)),
    )


def _checkpoints(audit: _Audit, outside: Iterable[Checkpoint]) -> tuple[int, int]:
    """Check the checkpoints and remember what they say; how many there are, and how many of earlier lives."""
    rows = streamed(audit.connection, select(AuditCheckpoint.__table__).order_by(AuditCheckpoint.id))
    stored = {checkpoint.id: checkpoint for checkpoint in map(of_row, rows)}
    life = audit.connection.scalar(select(RestoreEpoch.id).order_by(RestoreEpoch.number.desc()).limit(1))
    known = publics(audit.keys.values())
    earlier = count = 0
    for checkpoint in (*stored.values(), *(each for each in outside if stored.get(each.id) != each)):
        if checkpoint.epoch != life and checkpoint.id not in stored:
            earlier += 1
            continue
        count += 1
        public = known.get(checkpoint.key_id)
        if public is None:
            audit.lacks(f"the key {checkpoint.key_id}, which signed checkpoints")
            continue
        flaw = checkpoint.flaw(public)
        if flaw is not None:
            audit.broken(f"the {flaw} of the checkpoint {checkpoint.id} is not what was signed", "checkpoint")
            continue
        for chain, (seq, mac) in checkpoint.heads.items():
            if audit.seen.setdefault(chain, {}).setdefault(seq, mac) != mac:
                audit.broken(f"two checkpoints tell of different entries {seq}", "checkpoint", chain=chain)
    return count, earlier


def _chain(audit: _Audit, chain: str) -> None:
    key = audit.keys.get(key_of(chain))
    if key is None:
        audit.lacks(f"the key {key_of(chain)}, with which chain {chain} was sealed")
    witnessed = audit.seen.get(chain, {})
    expected, former = audit.first, _code_before(audit, chain)
    rows = select(*ENTRY, AuditEntry.mac).where(AuditEntry.chain == chain, AuditEntry.seq >= audit.first)
    intact = True
    for row in streamed(audit.connection, rows.order_by(AuditEntry.seq)):
        audit.records += 1
        if row["action"] == BEGINS and row["table_name"] == AuditEntry.__tablename__:
            audit.beginnings.append(row)
        if intact:
            flaw = _flaw(audit, row, expected, former, key)
            seen = witnessed.get(expected)
            if flaw is None and seen is not None and seen != row["mac"]:
                flaw = "checkpoint", "a checkpoint tells of another entry here"
            if flaw is not None:
                audit.broken(flaw[1], flaw[0], row)
                intact = False  # what follows a break follows from it
        expected, former = expected + 1, row["mac"]
    last = max(witnessed, default=0)
    if last >= expected:
        audit.lacks(f"a checkpoint knows {last} entries of chain {chain}, of which {expected - 1} are there")


def _code_before(audit: _Audit, chain: str) -> str | None:
    if audit.first == 1:
        return START
    before = select(AuditEntry.mac).where(AuditEntry.chain == chain, AuditEntry.seq == audit.first - 1)
    return audit.connection.scalar(before)


def _flaw(
    audit: _Audit, row: Mapping[str, Any], expected: int, former: str | None, key: HubKey | None
) -> tuple[str, str] | None:
    """The field of an entry that is wrong, and why; None for nothing."""
    if row["seq"] != expected:
        return "seq", f"the number {expected} was to come" if row["seq"] > expected else "this number is there twice"
    if row["prev_mac"] != former:
        return "prev_mac", "it does not follow the entry before"
    if key is None or seal(key.audit, row) == row["mac"]:
        return None
    following = select(AuditEntry.prev_mac).where(AuditEntry.chain == row["chain"], AuditEntry.seq == expected + 1)
    after = audit.connection.execute(following).scalars().first()
    if after is not None and after != row["mac"]:
        return "mac", "its code is not the one that the next entry names"
    return "content", "its code is not that of its fields"


def _unchained(audit: _Audit) -> int:
    """The entries from before there were chains, against the entry that counted them; how many there are."""
    found = unchained(audit.connection)
    count: int = found["count"]
    if not audit.beginnings:
        if audit.records:
            audit.broken(f"no entry {BEGINS} tells of what was there before", "unchained")
        elif count:
            audit.lacks(f"{count} entries are in no chain, as no hub has begun one yet")
    for row in audit.beginnings:
        counted = orjson.loads(row["changed"])
        if counted != found:
            why = (
                f"{counted['count']} entries were in no chain, {count} are"
                if counted.get("count") != count
                else "entries in no chain were changed"
            )
            audit.broken(why, "unchained", row)
    return count
