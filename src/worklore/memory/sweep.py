"""The rules of today over what was stored by the rules of its day.

Table by table, in the order of ids, some rows at a time, each batch a unit of work that also moves the place on: so it
can be stopped anywhere and goes on there. A row that changes keeps its id; a window takes a new number, so that every
node's index reads it again. What is swept once for a set of rules is not swept again for it.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Index, UniqueConstraint, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import SYSTEM, installation
from worklore.kernel.audit import record_batch, unaudited
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Created
from worklore.kernel.jobs import may_end
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.sequence import take
from worklore.kernel.transaction import Database
from worklore.kernel.types import Line, column, uuid7
from worklore.memory import tokens
from worklore.memory.redaction import note, version, without_secrets
from worklore.memory.units import unit_terms
from worklore.memory.window import SEQUENCE, WINDOWS, Role
from worklore.memory.written import OF_SESSIONS, columns_of, fitting

BATCH: Final = 200
JOB: Final = "sweep-memory"
JOB_SECONDS: Final = 3600
JOB_BATCHES: Final = 100
"""Batches of one run of the job: so a hub can stop in between, and other work goes on."""


class RedactionSweep(Created, Base):
    """How far a table has been swept by a set of rules."""

    __tablename__ = "redaction_sweeps"
    __table_args__ = (UniqueConstraint("rules_version", "table_name"), Index(None, "created_at"))
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    rules_version: Mapped[str] = mapped_column(Line(64))
    table_name: Mapped[str] = mapped_column(Line(64))
    last_id: Mapped[uuid.UUID | None] = mapped_column(doc="The last row that was looked at.")
    looked_at: Mapped[int] = column(default=0)
    changed: Mapped[int] = column(default=0)
    ended_at: Mapped[datetime | None] = mapped_column(doc="When the table's end was reached.")


REDACTION_SWEEPS = Resource(
    model=RedactionSweep,
    name="redaction-sweep",
    plural="redaction-sweeps",
    visible=installation,
    filters=(RedactionSweep.rules_version, RedactionSweep.table_name, RedactionSweep.ended_at),
    columns=(RedactionSweep.table_name, RedactionSweep.looked_at, RedactionSweep.changed, RedactionSweep.ended_at),
    verbs=READ_ONLY,
)


@dataclass(slots=True)
class Swept:
    """What came of a sweep: rows looked at, rows changed by table, and secrets found by rule."""

    looked_at: int = 0
    changed: Counter[str] = field(default_factory=Counter[str])
    found: Counter[str] = field(default_factory=Counter[str])
    ended: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that were looked at in one unit of work; ``ended`` when there are no more."""

    looked_at: int
    changed: int
    found: Counter[str]
    last: uuid.UUID | None
    ended: bool


Tell = Callable[[int, int, str], None]


def sweep(
    database: Database,
    *,
    dry_run: bool = False,
    again: bool = False,
    batches: int | None = None,
    tell: Tell = lambda _, __, ___: None,
) -> Swept:
    """Sweep every table from where it was left.

    Args:
        database: the hub's.
        dry_run: look at every row and change none; where it was left does not matter then.
        again: from the beginning, even what was swept by these rules.
        batches: end after so many, unfinished.
        tell: hears how many rows are done, of how many, and which table is at work.
    """
    swept = Swept()
    total = _count(database)
    for resource in OF_SESSIONS:
        table = resource.model.__tablename__
        place: uuid.UUID | None = None
        if again and not dry_run:
            database.write(partial(_forget, table=table))
        while True:
            if batches is not None and batches <= 0:
                swept.ended = False
                return swept
            batch = database.write(partial(_batch, resource=resource, after=place, dry_run=dry_run))
            if batch is None:
                break  # swept by these rules already
            place = batch.last
            swept.looked_at += batch.looked_at
            swept.found += batch.found
            if batch.changed:
                swept.changed[table] += batch.changed
            batches = None if batches is None else batches - 1
            tell(min(swept.looked_at, total), total, table)
            if batch.ended:
                break
            may_end()
    return swept


def job(database: Database, _: Mapping[str, Any]) -> None:
    """Sweep on, a part at a time; nothing when everything is swept by the rules of this hub."""
    sweep(database, batches=JOB_BATCHES)


def _count(database: Database) -> int:
    with database.read(SYSTEM) as ctx:
        return sum(ctx.session.scalar(select(func.count()).select_from(each.model)) or 0 for each in OF_SESSIONS)


def _forget(ctx: Context, table: str) -> None:
    row = _standing(ctx, table)
    if row is not None:
        row.last_id, row.ended_at = None, None
        ctx.session.flush()


def _standing(ctx: Context, table: str) -> RedactionSweep | None:
    return ctx.session.scalars(
        select(RedactionSweep).where(RedactionSweep.rules_version == version(), RedactionSweep.table_name == table)
    ).one_or_none()


def _batch(ctx: Context, resource: Resource, after: uuid.UUID | None, *, dry_run: bool) -> Batch | None:
    """One batch of a table. A dry run goes on from ``after``; any other from what the table of sweeps says."""
    table = resource.model.__tablename__
    row = None if dry_run else _standing(ctx, table) or _begun(ctx, table)
    if row is not None:
        if row.ended_at is not None:
            return None
        after = row.last_id
    batch = _redacted(ctx, resource, after, dry_run=dry_run)
    if row is not None:
        row.last_id = batch.last or after
        row.looked_at += batch.looked_at
        row.changed += batch.changed
        row.ended_at = ctx.now() if batch.ended else None
        note(ctx, "sweep", batch.found, client_id=None, session_id=None)
        ctx.session.flush()
    return batch


def _begun(ctx: Context, table: str) -> RedactionSweep:
    row = RedactionSweep(id=uuid7(), rules_version=version(), table_name=table, looked_at=0, changed=0)
    ctx.session.add(row)
    ctx.session.flush()
    return row


def _redacted(ctx: Context, resource: Resource, after: uuid.UUID | None, *, dry_run: bool) -> Batch:
    model: Any = resource.model
    texts = columns_of(resource)
    extra = [model.role] if resource is WINDOWS else []
    labelled = [attribute.label(name) for name, attribute in texts.items()]
    wanted = select(model.id, model.version, *labelled, *extra).order_by(model.id).limit(BATCH)
    if after is not None:
        wanted = wanted.where(model.id > after)
    rows = ctx.session.execute(wanted if dry_run else wanted.with_for_update()).all()
    found = Counter[str]()
    changes: list[tuple[Any, dict[str, Any]]] = []
    for row in rows:
        values = dict(_changed(ctx, row, texts, found))
        if values:
            changes.append((row, values))
    if changes and not dry_run:
        _store(ctx, resource, changes, found)
    return Batch(len(rows), len(changes), found, rows[-1].id if rows else None, len(rows) < BATCH)


def _changed(ctx: Context, row: Any, texts: Mapping[str, Any], found: Counter[str]) -> Iterator[tuple[str, Any]]:
    for name, attribute in texts.items():
        value = getattr(row, name)
        if not value:
            continue
        clean = fitting(attribute, without_secrets(ctx, value, found))
        if clean != value:
            yield name, clean


def _store(
    ctx: Context, resource: Resource, changes: Sequence[tuple[Any, dict[str, Any]]], found: Counter[str]
) -> None:
    """Past the session's objects, whose audit entries would keep what the rows held."""
    model: Any = resource.model
    numbers = iter(take(ctx, SEQUENCE, len(changes))) if resource is WINDOWS else None
    for row, values in changes:
        if numbers is not None:
            values |= {"seq": next(numbers), **_of_window(row, values)}
        changing = update(model).where(model.id == row.id).values(version=row.version + 1, **values)
        ctx.session.execute(unaudited(changing, "one entry for the batch").execution_options(synchronize_session=False))
    ids = [row.id for row, _ in changes]
    record_batch(ctx, model.__tablename__, ids, action="redact", found=dict(sorted(found.items())))


def _of_window(row: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a window's terms are made of may have changed, so they are made anew."""
    text, author = values.get("text", row.text), values.get("author", row.author)
    role = "" if row.role is Role.person else row.role.value
    return {"tokens": " ".join(unit_terms(text, author=author, role=role)), "token_count": tokens.count(text)}
