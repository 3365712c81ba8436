"""Storing what was made up: a unit of work for each client, which is there as a whole or not at all.

A load that was cut off is finished by running it again: clients that are there are passed over.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from worklore.clients.client import Client
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import record_batch
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base
from worklore.kernel.errors import ConflictError
from worklore.kernel.transaction import Database, Operation
from worklore.memory.capture import store
from worklore.memory.window import WINDOWS
from worklore.ops.demo.client import ClientRows, client
from worklore.ops.demo.estate import client_name
from worklore.ops.demo.profile import Profile
from worklore.ops.demo.provider import Provider, provider
from worklore.ops.demo.rows import Row
from worklore.tracking.vendor import VendorExtractor
from worklore.work.tag import Tag

BATCH: Final = 1000
"""Rows of one INSERT."""

ACTION: Final = "demo-data"
OPERATION: Final = Operation(message="demo data")
CHANGES: Final = ("commands_run", "file_changes", "infrastructure_changes", "database_changes")


@dataclass(slots=True)
class Loaded:
    """What a load has stored: rows by table, clients, those that were there already, seconds."""

    rows: Counter[str] = field(default_factory=Counter[str])
    clients: int = 0
    present: int = 0
    seconds: float = 0.0

    @property
    def changes(self) -> int:
        """Rows of change: commands, and changes of files, infrastructure and databases."""
        return sum(self.rows[table] for table in CHANGES)


Progress = Callable[[int, Loaded], None]
"""Told after each client how many are done, and what has been stored so far."""


def load(database: Database, profile: Profile, seed: int, *, add: bool, progress: Progress) -> Loaded:
    """Fill a database whose schema is up to date.

    Raises:
        ConflictError: it holds clients and ``add`` was not asked for; or other clients have names of this seed.
    """
    begun, loaded = time.monotonic(), Loaded()
    with database.read(SYSTEM) as ctx:
        present = _present(ctx, profile, seed, add=add)
    shared = database.write(partial(_store_provider, made=provider(seed, profile), loaded=loaded), OPERATION)
    for number in range(profile.clients):
        if client_name(seed, number) in present:
            loaded.present += 1
        else:
            made = client(shared, number)
            database.write(partial(_store_client, made=made), OPERATION)
            _count(loaded, made)
        loaded.seconds = time.monotonic() - begun
        progress(number + 1, loaded)
    return loaded


def _present(ctx: ReadContext, profile: Profile, seed: int, *, add: bool) -> set[str]:
    """Names of this seed's clients that are there already."""
    held = set(ctx.session.scalars(select(Client.name)))
    if held and not add:
        raise ConflictError(
            f"The database holds {len(held)} clients already.",
            hint="Name an empty database with --database-url, or say --add: it adds to what is there, and finishes a "
            "load that was cut off.",
            code="not-empty",
        )
    return {client_name(seed, number) for number in range(profile.clients)} & held


def _store_provider(ctx: Context, made: Provider, loaded: Loaded) -> Provider:
    """Store what all clients share, but for what is there; labels and vendors of the same name stay as they are."""
    loaded.rows.clear()
    for table, found in made.rows:
        ids = set(ctx.session.scalars(select(_table(table).c.id)))
        names: set[str] = set()
        if "name" in _table(table).c and table != "api_users":
            names = set(ctx.session.scalars(select(_table(table).c.name)))
        fresh = [row for row in found if row["id"] not in ids and row.get("name") not in names]
        _insert(ctx, table, fresh, client_id=None)
        loaded.rows[table] += len(fresh)
    return replace(made, tags=_ids(ctx, Tag, made.tags), vendors=_ids(ctx, VendorExtractor, made.vendors))


def _ids(ctx: Context, model: type[Tag | VendorExtractor], names: Iterable[str]) -> dict[str, uuid.UUID]:
    found = ctx.session.execute(select(model.name, model.id).where(model.name.in_(names)))
    return {row.name: row.id for row in found}


def _store_client(ctx: Context, made: ClientRows) -> None:
    for table, found in made.rows:
        _insert(ctx, table, found, client_id=made.id)
    tags = _table(Tag.__tablename__)
    counts = (
        update(tags).where(tags.c.id == bindparam("key")).values(usage_count=tags.c.usage_count + bindparam("uses"))
    )
    ctx.session.connection().execute(counts, [{"key": key, "uses": uses} for key, uses in made.labels.items()])
    store(ctx, made.windows, client_id=made.id)


def _insert(ctx: Context, table: str, rows: list[Row], *, client_id: uuid.UUID | None) -> None:
    connection, statement = ctx.session.connection(), insert(_table(table))
    for some in _batches(rows):
        connection.execute(statement, some)
    if rows and table in _audited():
        record_batch(ctx, table, [_key(row) for row in rows], action=ACTION, client_id=client_id)


def _key(row: Row) -> uuid.UUID:
    """A row's id; of a link, the first of the two it joins."""
    key: uuid.UUID = row["id"] if "id" in row else next(iter(row.values()))
    return key


@cache
def _audited() -> frozenset[str]:
    """Tables whose changes are recorded; the others are records themselves, or derived from one."""
    return frozenset(mapper.local_table.description for mapper in Base.registry.mappers if mapper.class_.audited)


def _batches(rows: list[Row]) -> Iterable[list[Row]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _table(name: str) -> Any:
    return Base.metadata.tables[name]


def _count(loaded: Loaded, made: ClientRows) -> None:
    loaded.clients += 1
    for table, found in made.rows:
        loaded.rows[table] += len(found)
    loaded.rows[WINDOWS.table.description] += len(made.windows)
