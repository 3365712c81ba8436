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
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

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
        fields = {name: column for name, column in mapper.columns.items() if recorded(column) is Recorded.by_digest}
        if fields:
            yield Holder(mapper.local_table, fields)


def check_sealed(findings: Findings, sample: int | None = None) -> tuple[int, int]:
    """Compare sealed fields with their last entry: of all rows, or of so many of each table taken at random.

    Returns:
        How many rows were compared, and how many fields were last written before digests were kept.
    """
    compared = undigested = 0
    for holder in holders():
        ids = ids_of(findings.connection, holder.table)
        wanted = ids if sample is None else iter(_sample(ids, sample))
        while some := list(islice(wanted, CHUNK)):
            compared += len(some)
            undigested += _compare(findings, holder, some)
    return compared, undigested


def ids_of(connection: Connection, table: Any) -> Iterator[uuid.UUID]:
    """The ids of a table, some at a time."""
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
    undigested = 0
    for row in rows_of(findings.connection, holder, ids):
        for name, present in row.present.items():
            told = row.told[name]
            if not told:
                if present is not None and not row.is_told:
                    findings.broken(row.table, name, "no entry tells of this row", id=str(row.id))
                undigested += present is not None and row.is_told
                continue
            last = max(told, key=attrgetter("order"))
            if last.sha256 != present:
                older = "what it held before" if present in {each.sha256 for each in told} else "nothing ever written"
                why = f"it holds {older}, where version {last.version} was written last"
                findings.broken(row.table, name, why, id=str(row.id))
    return undigested


class Digest(NamedTuple):
    """What an entry says of a sealed field."""

    version: int
    at: int
    sha256: str | None
    chain: str | None
    seq: int | None

    @property
    def order(self) -> tuple[int, int]:
        """By the record's version, since clocks may not agree, and then by time."""
        return self.version, self.at


@dataclass(frozen=True)
class Row:
    """A row with sealed fields, and what the audit tells of it.

    Attributes:
        is_told: there are entries of it, with digests or from before there were any.
        present: by field, the SHA-256 of what it holds; None for nothing.
        told: by field, the digests in its entries.
    """

    table: str
    id: uuid.UUID
    is_told: bool
    present: Mapping[str, str | None]
    told: Mapping[str, list[Digest]]


def rows_of(connection: Connection, holder: Holder, ids: list[uuid.UUID]) -> Iterator[Row]:
    """Some rows of a table, each with what its entries tell, as of one moment."""
    table, entry = holder.table, aliased(AuditEntry)
    of_row = and_(entry.record_id == table.c.id, entry.table_name == table.description)
    columns = [column.label(name) for name, column in holder.fields.items()]
    told = [column.label(f"entry_{column.key}") for column in (entry.at, entry.chain, entry.seq)]
    changed = cast(entry.changed, Text).label("entry_changed")
    rows = select(table.c.id.label("row_id"), *columns, *told, changed).outerjoin_from(table, entry, of_row)
    rows = rows.where(table.c.id.in_(ids)).order_by(table.c.id)
    for key, group in groupby(streamed(connection, rows), key=itemgetter("row_id")):
        entries = list(group)
        held = {name: entries[0][name] for name in holder.fields}
        yield Row(
            table.description,
            key,
            is_told=entries[0]["entry_changed"] is not None,
            present={n: None if value is None else hashlib.sha256(value).hexdigest() for n, value in held.items()},
            told=_told(holder, entries),
        )


def _told(holder: Holder, entries: list[dict[str, Any]]) -> dict[str, list[Digest]]:
    told: dict[str, list[Digest]] = {name: [] for name in holder.fields}
    for entry in entries:
        change = orjson.loads(entry["entry_changed"] or "{}")
        for name in holder.fields.keys() & change.keys():
            if isinstance(fact := change[name], dict):  # those from before there were digests have the word alone
                place = entry["entry_chain"], entry["entry_seq"]
                told[name].append(Digest(fact["version"], entry["entry_at"], fact["sealed"], *place))
    return told
