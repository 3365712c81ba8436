"""Rows outside the change audit that its entries witness: touches of secrets, and batches of the log of requests."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from struct import Struct
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Select, Text, and_, cast, func, select
from sqlalchemy.orm import aliased

from worklore.kernel.audit import WITNESS, AuditEntry, covered, micros, record_event
from worklore.kernel.chain import digest
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.types import Json
from worklore.ops.api_audit import COLUMNS, MOVED, ApiAuditEntry, digest_of, row_digest
from worklore.ops.audit_chain import BEGINS, begin_chains, streamed
from worklore.ops.audit_findings import Findings
from worklore.ops.retention import EXPIRED
from worklore.vault.credential import CredentialAuditLog

WITNESSED: Final[tuple[type[Base], ...]] = (CredentialAuditLog,)
"""The tables whose every row has an entry with its digest."""

REQUESTS: Final = ApiAuditEntry.__tablename__

_NAMED: Final = uuid.UUID("0d6f5c5e-2f0b-5d0c-9a53-6c1b7f1f8a01")
_LENGTH: Final = Struct(">I").pack


# --- beginning ------------------------------------------------------------------------------------------------------


def begin(ctx: Context) -> None:
    """Begin the chains, and count in them what was there before they were and before rows had witnesses; once."""
    begin_chains(ctx)
    connection = ctx.session.connection()
    counts = {model.__tablename__: partial(loose, model=model) for model in WITNESSED}
    for name, count in (counts | {REQUESTS: _loose_requests}).items():
        mark = uuid.uuid5(_NAMED, name)  # an index finds it by that, where the action has none
        known = select(AuditEntry.id).where(AuditEntry.record_id == mark, AuditEntry.action == BEGINS).limit(1)
        if connection.execute(known).first() is None:
            record_event(ctx, BEGINS, name, mark, count(connection))


def loose(connection: Connection, model: type[Base]) -> dict[str, Any]:
    """Count and SHA-256 of the rows that no entry witnesses, in the order of their ids."""
    told, count = hashlib.sha256(), 0
    columns = model.__table__.c
    rows = select(*_stored(model)).where(columns.row_hmac.is_(None)).order_by(columns.id)
    for row in streamed(connection, rows):
        told.update(bytes.fromhex(digest(model.__tablename__, row)))
        count += 1
    return {"count": count, "sha256": told.hexdigest()}


def _loose_requests(connection: Connection) -> dict[str, Any]:
    unmoved = select(func.count()).select_from(ApiAuditEntry).where(ApiAuditEntry.batch.is_(None))
    return {"count": connection.execute(unmoved).scalar_one()}


def _stored(model: type[Base]) -> list[Any]:
    """The columns that a digest covers, JSON as the text that is stored."""
    return [
        cast(column, Text).label(column.key) if isinstance(column.type, Json) else column
        for column in covered(model.__table__)
    ]


# --- touches of secrets ---------------------------------------------------------------------------------------------


def check_witnessed(findings: Findings) -> int:
    """Compare every row of the witnessed tables with its entry; how many there are."""
    return sum(_compare(findings, model) for model in WITNESSED)


def _compare(findings: Findings, model: type[Base]) -> int:
    table, name = model.__table__, model.__tablename__
    entry = aliased(AuditEntry)
    witness = and_(entry.record_id == table.c.id, entry.table_name == name, entry.action == WITNESS)
    told = (entry.id.label("entry"), entry.mac, entry.prev_mac, cast(entry.changed, Text).label("told"))
    codes = (table.c.prev_hmac, table.c.row_hmac)
    rows = select(*_stored(model), *codes, *told).outerjoin_from(table, entry, witness)
    compared = 0
    for row in streamed(findings.connection, rows.where(table.c.row_hmac.is_not(None))):
        compared += 1
        flaw = _flaw(model, row)
        if flaw is not None:
            findings.broken(name, *flaw, id=str(row["id"]))
    absent = select(entry.record_id, entry.chain, entry.seq).outerjoin(table, table.c.id == entry.record_id)
    absent = absent.where(entry.table_name == name, entry.action == WITNESS, table.c.id.is_(None))
    for row in streamed(findings.connection, absent):
        place = {"id": str(row["record_id"]), "chain": row["chain"], "seq": row["seq"]}
        findings.broken(name, "deleted", "an entry tells of a row that is not there", **place)
    return compared + _compare_loose(findings, model)


def _flaw(model: type[Base], row: dict[str, Any]) -> tuple[str, str] | None:
    if row["entry"] is None:
        return "inserted", "no entry tells of this row"
    if row["row_hmac"] != row["mac"]:
        return "row_hmac", "it is not the code of its entry"
    if row["prev_hmac"] != row["prev_mac"]:
        return "prev_hmac", "it is not the code of the entry before its own"
    values = {column.key: row[column.key] for column in covered(model.__table__)}
    if digest(model.__tablename__, values) != orjson.loads(row["told"]).get("sha256"):
        return "content", "its digest is not the one in its entry"
    return None


def _compare_loose(findings: Findings, model: type[Base]) -> int:
    found, name = loose(findings.connection, model), model.__tablename__
    count: int = found["count"]
    counted = findings.beginnings.get(name, [])
    if count and not counted and findings.whole:
        findings.lacks(f"{count} rows of {name} have no witness, as no hub has counted them yet")
    for row in counted:
        told = orjson.loads(row["changed"])
        if told != found:
            why = (
                f"{told['count']} rows had no witness, {count} have none"
                if told.get("count") != count
                else "rows without a witness were changed"
            )
            findings.broken(name, "unwitnessed", why, chain=row["chain"], seq=row["seq"])
    return count


# --- the log of requests --------------------------------------------------------------------------------------------


@dataclass
class _Batch:
    """A batch of which not all rows have come by yet."""

    facts: Mapping[str, Any]
    rows: list[bytes] = field(default_factory=list[bytes])

    @property
    def is_whole(self) -> bool:
        count: int = self.facts["count"]
        return len(self.rows) == count


def check_requests(findings: Findings) -> int:
    """Compare every batch of the log of requests with its entry; how many rows there are.

    What retention has taken is known from its own entries; of a batch that it has begun to take, the rest is not
    compared.
    """
    wrong: dict[uuid.UUID, tuple[Mapping[str, Any], str]] = {}
    count = _compare_batches(findings, wrong)
    horizon = _horizon(findings.connection)
    for key, facts in _absent(findings.connection):
        if facts["from"] >= horizon:
            wrong.setdefault(key, (facts, "its rows are not there"))
    horizon = _horizon(findings.connection)  # once more: retention may be at work
    for key, (facts, why) in wrong.items():
        if facts["from"] >= horizon:
            findings.broken(REQUESTS, "batch", why, id=str(key))
    return count


def _compare_batches(findings: Findings, wrong: dict[uuid.UUID, tuple[Mapping[str, Any], str]]) -> int:
    """Note the batches whose rows are not those of the entry; how many rows there are in all.

    A row comes a little after those of its batch in the order of ids, so few batches are open at once.
    """
    batches: dict[uuid.UUID, _Batch] = {}
    count = unmoved = 0
    for row in streamed(findings.connection, _requests()):
        count += 1
        key = row["batch"]
        if key is None:
            unmoved += 1
            continue
        if row["told"] is None:
            findings.broken(REQUESTS, "inserted", "no entry tells of its batch", id=str(row["id"]))
            continue
        batch = batches.get(key) or batches.setdefault(key, _Batch(orjson.loads(row["told"])))
        batch.rows.append(row_digest(_line(row)))
        if batch.is_whole:
            del batches[key]
            if digest_of(batch.rows) != batch.facts["sha256"]:
                wrong[key] = batch.facts, "its digest is not the one in its entry"
    for key, batch in batches.items():
        wrong[key] = batch.facts, f"{len(batch.rows)} rows, where its entry tells of {batch.facts['count']}"
    _compare_unmoved(findings, unmoved)
    return count


def _requests() -> Select[Any]:
    table = ApiAuditEntry.__table__
    entry = aliased(AuditEntry)
    moved = and_(entry.record_id == table.c.batch, entry.table_name == REQUESTS, entry.action == MOVED)
    body = table.c.request_body_redacted
    columns = [cast(body, Text).label(body.key) if column is body else column for column in table.c]
    rows = select(*columns, cast(entry.changed, Text).label("told"))
    return rows.outerjoin_from(table, entry, moved).order_by(table.c.id)


def _line(row: Mapping[str, Any]) -> list[Any]:
    """The row as the journal had it."""
    values = {**row, "timestamp": micros(row["timestamp"])}
    return [str(value) if isinstance(value := values[name], uuid.UUID) else value for name in COLUMNS]


def _absent(connection: Connection) -> Iterator[tuple[uuid.UUID, Mapping[str, Any]]]:
    """The batches whose first row is not there."""
    table = ApiAuditEntry.__table__
    told = select(AuditEntry.record_id, cast(AuditEntry.changed, Text).label("told"))
    told = told.outerjoin(table, table.c.id == AuditEntry.record_id)
    told = told.where(AuditEntry.table_name == REQUESTS, AuditEntry.action == MOVED, table.c.id.is_(None))
    for row in streamed(connection, told):
        yield row["record_id"], orjson.loads(row["told"])


def _horizon(connection: Connection) -> int:
    """The time before which retention may have taken rows; 0 if it took none."""
    told = select(cast(AuditEntry.changed, Text).label("told")).where(
        AuditEntry.table_name == REQUESTS, AuditEntry.action == EXPIRED, AuditEntry.chain.is_not(None)
    )
    return max((orjson.loads(row["told"]).get("before", 0) for row in streamed(connection, told)), default=0)


def _compare_unmoved(findings: Findings, unmoved: int) -> None:
    """Those from before there were batches become fewer, never more."""
    counted = findings.beginnings.get(REQUESTS, [])
    if unmoved and not counted and findings.whole:
        findings.lacks(f"{unmoved} rows of {REQUESTS} are in no batch, as no hub has counted them yet")
    for row in counted:
        most = orjson.loads(row["changed"])["count"]
        if unmoved > most:
            why = f"{most} rows were in no batch, {unmoved} are"
            findings.broken(REQUESTS, "unwitnessed", why, chain=row["chain"], seq=row["seq"])
