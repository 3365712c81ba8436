"""Do sealed fields hold what was last written into them? Ciphertext that was valid once opens without complaint.

The audit entry of each change has the SHA-256 of the new ciphertext and the version of the record, so that one row that
was put back to an older state is found.
"""

import hashlib
import secrets
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Text, and_, cast, select
from sqlalchemy.orm import aliased

from worklore.kernel.audit import AuditEntry, Recorded, recorded
from worklore.kernel.db import Base
from worklore.ops.audit_chain import streamed
from worklore.ops.audit_findings import Findings

CHUNK: Final = 200
"""Rows that are compared by one statement, which sees rows and entries of one moment."""


@dataclass(frozen=True)
class Holder:
    """A table with sealed fields, and these by the names that the audit has for them."""

    table: Any
    fields: Mapping[str, Any]


def holders() -> Iterator[Holder]:
    """The tables that hold ciphertext, of the classes that are loaded."""
    for mapper in sorted(Base.registry.mappers, key=lambda each: each.local_table.description):
        fields = {name: column for name, column in mapper.columns.items() if recorded(column) is Recorded.digest}
        if fields:
            yield Holder(mapper.local_table, fields)


def check_sealed(findings: Findings, sample: int | None = None) -> tuple[int, int]:
    """Compare sealed fields with their last entry: of all rows, or of so many of each table taken at random.

    Returns:
        How many rows were compared, and how many fields were last written before digests were kept.
    """
    compared = undigested = 0
    for holder in holders():
        ids = _ids(findings.connection, holder.table)
        wanted = ids if sample is None else iter(_sample(ids, sample))
        while some := list(islice(wanted, CHUNK)):
            compared += len(some)
            undigested += _compare(findings, holder, some)
    return compared, undigested


def _ids(connection: Connection, table: Any) -> Iterator[uuid.UUID]:
    last: uuid.UUID | None = None
    while True:
        some = select(table.c.id).order_by(table.c.id).limit(CHUNK)
        found = list(connection.execute(some if last is None else some.where(table.c.id > last)).scalars())
        yield from found
        if len(found) < CHUNK:
            return
        last = found[-1]


def _sample(ids: Iterator[uuid.UUID], most: int) -> list[uuid.UUID]:
    """So many of them, each as likely as the other (Vitter's algorithm R)."""
    kept: list[uuid.UUID] = []
    for number, key in enumerate(ids):
        if number < most:
            kept.append(key)
        elif (place := secrets.randbelow(number + 1)) < most:
            kept[place] = key
    return kept


def _compare(findings: Findings, holder: Holder, ids: list[uuid.UUID]) -> int:
    table, entry = holder.table, aliased(AuditEntry)
    of_row = and_(entry.record_id == table.c.id, entry.table_name == table.description)
    columns = [column.label(name) for name, column in holder.fields.items()]
    told = (entry.at, entry.action, cast(entry.changed, Text).label("told"))
    rows = select(table.c.id, *columns, *told).outerjoin_from(table, entry, of_row)
    rows = rows.where(table.c.id.in_(ids)).order_by(table.c.id)
    undigested = 0
    for key, entries in groupby(streamed(findings.connection, rows), key=itemgetter("id")):
        undigested += _compare_row(findings, holder, key, list(entries))
    return undigested


def _compare_row(findings: Findings, holder: Holder, key: uuid.UUID, entries: list[dict[str, Any]]) -> int:
    """``entries`` are those of one row, each with the row's fields beside it."""
    table, undigested = holder.table.description, 0
    changes = [(entry["at"], orjson.loads(entry["told"])) for entry in entries if entry["told"] is not None]
    for name in holder.fields:
        value: bytes | None = entries[0][name]
        present = None if value is None else hashlib.sha256(value).hexdigest()
        told = [(fact["version"], at, fact["sealed"]) for at, change in changes if (fact := _fact(change, name))]
        if not told:
            if present is not None and not changes:
                findings.broken(table, name, "no entry tells of this row", id=str(key))
            undigested += present is not None and bool(changes)
            continue
        last = max(told, key=itemgetter(0, 1))
        if last[2] != present:
            older = "what it held before" if present in {sha256 for _, _, sha256 in told} else "nothing ever written"
            findings.broken(table, name, f"it holds {older}, where version {last[0]} was written last", id=str(key))
    return undigested


def _fact(change: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The digest that an entry has of a field; none in those from before there were digests."""
    fact = change.get(name)
    return fact if isinstance(fact, dict) else None
