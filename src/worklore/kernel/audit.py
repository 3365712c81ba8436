"""Change audit: one row for each record changed, in the same transaction, whoever changed it.

A listener on every flush writes the rows, so no caller can forget to. A second listener refuses statements that change
rows behind the ORM's back, unless they carry :func:`unaudited` with a reason; bulk capture records one row per batch
with :func:`record_batch`. Fields marked sealed are recorded by name only, with the digest of a ciphertext; long values
by length and digest, as is whatever is named as content: what is forgotten must not live on in the audit, which nobody
can change. A new row of a table that is a record itself leaves an entry with the row's digest, if it is to be
witnessed. Where the session has chains (see :mod:`worklore.kernel.chain`), each entry is a link of one.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    FromClause,
    Index,
    LargeBinary,
    TextClause,
    bindparam,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import InstanceState, Mapped, Mapper, ORMExecuteState, Session, UOWTransaction, mapped_column
from sqlalchemy.sql.elements import Null

from worklore.kernel.chain import NEW, Chains, Head, HeadMovedError, Link, digest
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base, is_full, is_transient
from worklore.kernel.errors import UnavailableError
from worklore.kernel.sequence import Sequence
from worklore.kernel.types import Line, dumps, utcnow, uuid7, wire_value

MAX_VALUE: Final = 500
SILENT: Final = frozenset({"id", "version", "created_at", "updated_at"})
CONTEXT: Final = "context"
CHAINS: Final = "chains"
"""Where a session holds the chains of its process; without it, entries are in no chain."""
LINK: Final = "link"
"""Where a session holds the chain that it appends to."""
WITNESS: Final = "witness"
"""The action of an entry that holds the digest of a row of a table which is a record itself."""
CODES: Final = frozenset({"prev_hmac", "row_hmac"})
"""The columns by which such a row is bound to its entry; the digest does not cover them."""
FORGOTTEN: Final = "tombstones-forgotten"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CLIENTS: Final = "clients"
"""The table of those for whom work is done; a change is recorded as theirs."""

S = TypeVar("S", bound=Executable)
log = structlog.get_logger()


class AuditEntry(Base):
    """Who did what to which record."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "record_id", "at"),
        Index(None, "actor", "at"),
        Index(None, "client_id"),
        Index(None, "chain", "seq", unique=True),
        Index(None, "chain", "prev_mac", unique=True),
    )
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    at: Mapped[int] = mapped_column(BigInteger, doc="Microseconds since 1970, UTC: an integer survives any driver.")
    actor: Mapped[str] = mapped_column(Line(255))
    on_behalf_of: Mapped[str | None] = mapped_column(Line(255))
    action: Mapped[str] = mapped_column(Line(50))
    table_name: Mapped[str] = mapped_column(Line(64))
    record_id: Mapped[uuid.UUID | None]
    client_id: Mapped[uuid.UUID | None]
    changed: Mapped[dict[str, Any]]
    message: Mapped[str | None]
    request_id: Mapped[uuid.UUID | None]
    outcome: Mapped[str] = mapped_column(Line(20), default="done")
    chain: Mapped[str | None] = mapped_column(Line(100), doc="None in rows from before there were chains.")
    seq: Mapped[int | None] = mapped_column(BigInteger, doc="The row's number in its chain, from 1.")
    prev_mac: Mapped[str | None] = mapped_column(Line(64), doc="The code of the row before.")
    mac: Mapped[str | None] = mapped_column(Line(64), doc="HMAC-SHA256 of the row.")


class Tombstone(Base):
    """A deleted record, for callers that ask what has changed since a time."""

    __tablename__ = "tombstones"
    __table_args__ = (Index(None, "table_name", "deleted_at"), Index(None, "record_id"))
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    table_name: Mapped[str] = mapped_column(Line(64))
    record_id: Mapped[uuid.UUID]
    client_id: Mapped[uuid.UUID | None]
    deleted_at: Mapped[datetime] = mapped_column(default=utcnow)


# Made once: SQLAlchemy finds what it compiled for a statement by a key that it works out once for each object.
_ADD_ENTRY: Final = insert(AuditEntry)
_ADD_TOMBSTONE: Final = insert(Tombstone)
_HEAD: Final = (
    select(AuditEntry.seq, AuditEntry.mac)
    .where(AuditEntry.chain == bindparam("wanted"))
    .order_by(AuditEntry.seq.desc())
    .limit(1)
)


class UnauditedWriteError(RuntimeError):
    """A programming error: a statement would change rows without an audit entry."""


def unaudited(statement: S, reason: str) -> S:
    """Let a bulk statement pass the guard. The reason is for the reader of the code."""
    return statement.execution_options(unaudited=reason)


class AuditedSession(Session):
    """A session whose changes are recorded; ``info["context"]`` says who acts."""


@event.listens_for(AuditedSession, "do_orm_execute")
def _refuse_unaudited(state: ORMExecuteState) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    changes = state.is_insert or state.is_update or state.is_delete or isinstance(state.statement, TextClause)
    if changes and not state.execution_options.get("unaudited"):
        raise UnauditedWriteError("Change records through the session's objects, or say unaudited(statement, reason).")


@event.listens_for(AuditedSession, "before_flush")
def _record_changes(session: Session, _flush: UOWTransaction, _: object) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    witnessed = [(row, _witness(session, row)) for row in session.new if row.witnessed]
    entries = [entry for _, entry in witnessed]
    tombstones: list[dict[str, Any]] = []
    for action, objects in (("create", session.new), ("update", session.dirty), ("delete", session.deleted)):
        for changed in objects:
            if not changed.audited or (action == "update" and not session.is_modified(changed)):
                continue
            state: InstanceState[Any] = inspect(changed)
            if action == "create" and getattr(changed, "id", uuid) is None:
                changed.id = uuid7()
            fields = dict(_changed_fields(state, action))
            if action == "update" and not fields:
                continue
            entry = _entry(session, action, state.mapper, changed) | {"changed": fields}
            entries.append(entry)
            if action == "delete" and entry["record_id"] is not None:
                tombstones.append(
                    {"id": uuid7(), "deleted_at": utcnow()}
                    | {key: entry[key] for key in ("table_name", "record_id", "client_id")}
                )
    if entries:
        _append(session, entries)
        if tombstones:
            session.connection().execute(_ADD_TOMBSTONE, tombstones)
    for row, entry in witnessed:
        row.prev_hmac, row.row_hmac = entry.get("prev_mac"), entry.get("mac")


def _witness(session: Session, row: Any) -> dict[str, Any]:
    """The entry that holds a new row's digest. What the row lacks gets its default now, as the digest covers it."""
    state: InstanceState[Any] = inspect(row)
    for name, column in state.mapper.columns.items():
        default: Any = column.default
        if state.dict.get(name) is None and default is not None:
            setattr(row, name, default.arg({}) if default.is_callable else default.arg)
    table = state.mapper.local_table
    values = {column.key: state.dict.get(column.key) for column in covered(table)}
    return _entry(session, WITNESS, state.mapper, row) | {"changed": {"sha256": digest(table.description, values)}}


def covered(table: FromClause) -> list[Any]:
    """The columns that the digest of a witnessed row covers: all but those that bind it to its entry."""
    return [column for column in table.columns if column.key not in CODES]


def _append(session: Session, entries: list[dict[str, Any]]) -> None:
    connection = session.connection()
    chains: Chains | None = session.info.get(CHAINS)
    if chains is None:
        connection.execute(_ADD_ENTRY, entries)
        return
    link: Link | None = session.info.get(LINK)
    if link is None:
        link = session.info[LINK] = chains.take()
    chains.append(
        link, link.head or head_of(connection, link.slot.chain), entries, [dumps(e["changed"]) for e in entries]
    )
    try:
        connection.execute(_ADD_ENTRY, entries)
    except DBAPIError as error:
        if isinstance(error, IntegrityError) and "chain" in str(error.orig):
            raise HeadMovedError(link.slot.chain) from error
        if is_transient(error) or is_full(error) or error.connection_invalidated:
            raise
        raise _unwritten(error) from error


def _unwritten(error: DBAPIError) -> UnavailableError:
    log.error("the change audit cannot be written, changes are refused", error=type(error.orig).__name__)
    return UnavailableError(
        "The change audit cannot be written, and without it nothing is changed or shown.",
        hint="Look at the hub's log.",
        code="audit-unavailable",
    )


def head_of(connection: Connection, chain: str) -> Head:
    """The last entry of a chain."""
    found: Any = connection.execute(_HEAD, {"wanted": chain}).one_or_none()
    return NEW if found is None else Head(*found)


@contextmanager
def appending(session: Session) -> Generator[Callable[[], None]]:
    """Give the session's chain back at the end; call what it yields once the session's work is known to be stored."""
    stored = False

    def keep() -> None:
        nonlocal stored
        stored = True

    try:
        yield keep
    finally:
        link: Link | None = session.info.pop(LINK, None)
        if link is not None:
            session.info[CHAINS].give_back(link, link.head if stored else None)


@event.listens_for(AuditedSession, "after_soft_rollback")
def _forget_head(session: Session, _: object) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    link: Link | None = session.info.get(LINK)
    if link is not None:
        link.head = None


def _entry(session: Session, action: str, mapper: Mapper[Any], changed: Any) -> dict[str, Any]:
    table = mapper.local_table.description
    record = getattr(changed, "id", None)
    facts = {"action": action, "table_name": table, "record_id": record, "client_id": client_of(session, changed)}
    return _who(session) | facts


def client_of(session: Session, record: Any) -> uuid.UUID | None:
    """Whose a record is: its own client, else that of the first record it names that has one."""
    own: uuid.UUID | None = record.id if record.__table__.description == CLIENTS else getattr(record, "client_id", None)
    if own is not None:
        return own
    for name, model in _ways_to_a_client(inspect(record).mapper):
        key = getattr(record, name)
        named = None if key is None else session.get(model, key) or _pending(session, model, key)
        owner = None if named is None else client_of(session, named)
        if owner is not None:
            return owner
    return None


def _pending(session: Session, model: type[Base], key: uuid.UUID) -> Any:
    """A record that the same flush is about to store."""
    return next(
        (added for added in session.new if isinstance(added, model) and inspect(added).dict.get("id") == key), None
    )


@cache
def _ways_to_a_client(mapper: Mapper[Any]) -> tuple[tuple[str, type[Base]], ...]:
    """The attributes of a class that name a record which may have a client, with the class of that record."""
    return tuple(_ways(mapper, frozenset({mapper.local_table.description})))


def _ways(mapper: Mapper[Any], seen: frozenset[str]) -> Iterator[tuple[str, type[Base]]]:
    """Never to a table that was passed already: a chain of records of one table has the client of its first."""
    for attribute in mapper.column_attrs:
        for key in attribute.columns[0].foreign_keys:
            parent = next(known for known in Base.registry.mappers if known.local_table is key.column.table)
            table = parent.local_table.description
            if table in seen:
                continue
            if table == CLIENTS or "client_id" in parent.columns or any(_ways(parent, seen | {table})):
                yield attribute.key, parent.class_


def _who(session: Session) -> dict[str, Any]:
    context: Context = session.info[CONTEXT]
    return {
        "id": uuid7(),
        "at": time.time_ns() // 1000,
        "actor": context.principal.actor,
        "on_behalf_of": context.principal.on_behalf_of,
        "message": context.message,
        "request_id": context.request_id,
        "outcome": "done",
    }


def _changed_fields(state: InstanceState[Any], action: str) -> Iterator[tuple[str, Any]]:
    for name, kind in _recorded(state.mapper):
        old, new = None, state.dict.get(name)
        if action == "update":
            history = state.attrs[name].history
            if not history.has_changes():
                continue
            old = history.deleted[0] if history.deleted else None
        elif action == "delete":
            old, new = new, None
        if old is None and (new is None or isinstance(new, Null)):
            continue
        match kind:
            case Recorded.with_values:
                yield name, [_short(old), _short(new)]
            case Recorded.as_content:
                yield name, [measured(old), measured(new)]
            case Recorded.by_name:
                yield name, "sealed"
            case Recorded.by_digest:
                sha256 = None if new is None else hashlib.sha256(new).hexdigest()
                yield name, {"sealed": sha256, "version": _version(state, action)}


def _version(state: InstanceState[Any], action: str) -> int:
    """The version that a record will have: it orders the digests of a ciphertext where clocks do not agree."""
    former: int | None = state.dict.get("version")
    return (former or 0) + 1 if action == "update" else former or 1


class Recorded(Enum):
    """What is recorded of a column: old and new value, their digests, its name only, or that of the new ciphertext."""

    with_values = "values"
    as_content = "content"
    by_name = "name"
    by_digest = "digest"


@cache
def _recorded(mapper: Mapper[Any]) -> tuple[tuple[str, Recorded], ...]:
    """The attributes that are recorded, and how."""
    columns = {attribute.key: attribute.columns[0] for attribute in mapper.column_attrs if attribute.key not in SILENT}
    content = content_of(mapper.class_)
    return tuple(
        (name, Recorded.as_content if name in content else recorded(column)) for name, column in columns.items()
    )


_CONTENT: Final[dict[type[Any], frozenset[str]]] = {}


def content_of(model: type[Any]) -> frozenset[str]:
    """The attributes of a class that are recorded as content."""
    return _CONTENT.get(model, frozenset())


def record_as_content(model: type[Base], names: Iterable[str]) -> None:
    """From now on, record attributes of a class by length and digest alone, however short what they hold is."""
    _CONTENT[model] = content_of(model) | frozenset(names)
    _recorded.cache_clear()


def recorded(column: ColumnElement[Any]) -> Recorded:
    """How the change of a column is recorded.

    The digest of a ciphertext tells nothing of the secret. That of a sealed text, which may be a hash or short, would.
    """
    if not column.info.get("sealed", False):
        return Recorded.with_values
    return Recorded.by_digest if isinstance(column.type, LargeBinary) else Recorded.by_name


def _short(value: Any) -> Any:
    value = wire_value(value)
    if isinstance(value, bytes):
        return {"length": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    text = _text(value)
    return value if text is None or len(text) <= MAX_VALUE else _size_and_digest(text)


def measured(value: Any) -> Any:
    """The length and digest of a value; of a None nothing."""
    value = wire_value(value)
    text = value if isinstance(value, str) else None if value is None or isinstance(value, Null) else dumps(value)
    return None if text is None else _size_and_digest(text)


def _size_and_digest(text: str) -> dict[str, Any]:
    return {"length": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _text(value: object) -> str | None:
    """The text whose length decides; None for a value that is short by nature."""
    if isinstance(value, str):
        return value
    return dumps(value) if isinstance(value, dict | list | tuple) else None


def record_batch(
    ctx: Context, table: str, ids: list[uuid.UUID], *, action: str, client_id: uuid.UUID | None = None, **more: Any
) -> None:
    """One entry for many rows written by a bulk statement: their count and the SHA-256 of their ids in order."""
    sha256 = hashlib.sha256(b"".join(key.bytes for key in ids)).hexdigest()
    facts = {"action": action, "table_name": table, "record_id": None, "client_id": client_id}
    entry = _who(ctx.session) | facts | {"changed": {"count": len(ids), "sha256": sha256, **more}}
    _append(ctx.session, [entry])


def record_event(
    ctx: Context, action: str, table: str, record: uuid.UUID | None, facts: dict[str, Any], *, outcome: str = "done"
) -> None:
    """An entry for something that is no change of a row: a sign-in, a refusal, a secret used."""
    entry = _who(ctx.session) | {"action": action, "table_name": table, "record_id": record, "client_id": None}
    _append(ctx.session, [entry | {"changed": facts, "outcome": outcome}])


def forgotten(ctx: ReadContext) -> datetime | None:
    """Up to when tombstones are no longer kept; None while all are."""
    last = ctx.session.scalar(select(Sequence.value).where(Sequence.name == FORGOTTEN))
    return None if last is None else EPOCH + timedelta(microseconds=last)


def forget(ctx: Context, until: datetime) -> None:
    """Write down that tombstones up to a moment are gone, in the transaction that deletes them."""
    last = micros(until)
    connection = ctx.session.connection()
    former = connection.execute(select(Sequence.value).where(Sequence.name == FORGOTTEN)).scalar()
    if former is None:
        connection.execute(insert(Sequence), [{"name": FORGOTTEN, "value": last}])
    elif former < last:
        connection.execute(update(Sequence).where(Sequence.name == FORGOTTEN).values(value=last))


def micros(moment: datetime) -> int:
    """Microseconds since 1970, as times of the audit are stored."""
    return (moment - EPOCH) // timedelta(microseconds=1)
