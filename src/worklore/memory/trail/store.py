"""Writing rows of the record that were read from a transcript: each once, whatever is read again.

- A row that is not there is made, unless somebody has deleted it: what was forgotten stays forgotten.
- A row that says the same is left as it is.
- A row that says something else is changed and gets a new version, unless somebody has changed it since it was written,
  or it tells of a later moment than what is read: a file that is read again passes through what it said before.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Table, bindparam, insert, select, update

from worklore.kernel.audit import Tombstone, record_batch
from worklore.kernel.context import Context, ReadContext
from worklore.memory.changed import note_changed
from worklore.memory.context import ConversationContext
from worklore.memory.decision import DecisionLog
from worklore.memory.snippet import ContextSnippet
from worklore.memory.trail.rows import Row
from worklore.memory.trail.step import Usage
from worklore.memory.usage import USAGE_RECORDS
from worklore.memory.window import MemoryWindow
from worklore.trail.command import CommandRun
from worklore.trail.deployment import Deployment
from worklore.trail.failure import OperationFailure
from worklore.trail.file_change import FileChange
from worklore.work.pending_task import PendingTask

TRAIL: Final = (
    CommandRun,
    FileChange,
    OperationFailure,
    Deployment,
    DecisionLog,
    PendingTask,
    ConversationContext,
)
"""The nouns of a trail."""

CAPTURED: Final = frozenset({model.__tablename__ for model in (*TRAIL, MemoryWindow, ContextSnippet)})
"""Tables whose deleted rows are remembered for good: capture and imports must not bring them back."""

BATCH: Final = 400
COUNTED: Final = ("input", "output", "cache_read", "cache_write", "cache_write_long")


def forgotten(ctx: ReadContext, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Which of some ids were deleted."""
    found: set[uuid.UUID] = set()
    for some in batches(ids):
        gone = select(Tombstone.record_id).where(Tombstone.record_id.in_(some))
        found.update(ctx.session.scalars(gone))
    return found


def batches(ids: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """So many at once as one statement takes."""
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a row says, by which it is told whether it says the same."""
    said = {name: value for name, value in content.items() if value is not None}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def keep(ctx: Context, rows: Sequence[Row], *, client_id: uuid.UUID | None) -> int:
    """Write rows; how many were made or changed. One entry of the change audit for each table and way."""
    gone = forgotten(ctx, [row.id for row in rows])
    written = 0
    for model in TRAIL:
        wanted = {row.id: row for row in rows if row.model is model and row.id not in gone}
        if wanted:
            written += _keep(ctx, model, wanted, client_id)
    return written


def _keep(ctx: Context, model: type[Any], wanted: Mapping[uuid.UUID, Row], client_id: uuid.UUID | None) -> int:
    table: Table = model.__table__
    stored = _stored(ctx, table, list(wanted))
    fresh = [row for key, row in wanted.items() if key not in stored]
    changed = [row for key, row in wanted.items() if key in stored and _differs(row, stored[key])]
    connection = ctx.session.connection()
    for some in batches([_values(ctx, table, row) for row in fresh]):
        connection.execute(insert(table), list(some))
    if fresh:
        record_batch(ctx, table.description, [row.id for row in fresh], action="capture", client_id=client_id)
    for row in changed:
        _change(ctx, table, row, stored[row.id])
    if changed:
        record_batch(ctx, table.description, [row.id for row in changed], action="recapture", client_id=client_id)
    note_changed(ctx, model, (row.id for row in (*fresh, *changed)))
    return len(fresh) + len(changed)


def _stored(ctx: Context, table: Table, ids: list[uuid.UUID]) -> dict[uuid.UUID, Mapping[str, Any]]:
    found: dict[uuid.UUID, Mapping[str, Any]] = {}
    for some in batches(ids):
        rows = ctx.session.connection().execute(select(table).where(table.c.id.in_(some)))
        found.update({row["id"]: row for row in rows.mappings()})
    return found


def _differs(row: Row, stored: Mapping[str, Any]) -> bool:
    known: datetime | None = stored["happened_at"]
    if known is not None and row.time < known:
        return False
    former: str | None = stored["captured_digest"]
    if former == digest(row.content):
        return any(stored[name] is None and value is not None for name, value in row.links.items())
    return not edited(row.content, stored)


def edited(content: Iterable[str], stored: Mapping[str, Any]) -> bool:
    """True when somebody has changed what capture wrote, or when it was not capture that wrote it."""
    written: str | None = stored["captured_digest"]
    return digest({name: stored[name] for name in content}) != written


def _change(ctx: Context, table: Table, row: Row, stored: Mapping[str, Any]) -> None:
    links = {name: value for name, value in row.links.items() if stored[name] is None and value is not None}
    values = row.content | links | {"happened_at": row.time, "captured_digest": digest(row.content)}
    if "updated_at" in table.c:
        values["updated_at"] = ctx.now()
    values["version"] = stored["version"] + 1
    moved = update(table).where(table.c.id == bindparam("key")).values(**values)
    ctx.session.connection().execute(moved, {"key": row.id})


def _values(ctx: Context, table: Table, row: Row) -> dict[str, Any]:
    now = ctx.now()
    traced = {
        "source_uuid": row.source[:100],
        "subagent": row.subagent[:100] or None,
        "happened_at": row.time,
        "ordinal": row.ordinal,
        "captured_digest": digest(row.content),
    }
    stamps = {name: now for name in ("created_at", "updated_at") if name in table.c}
    return {"id": row.id, "version": 1} | row.content | row.links | row.more | traced | stamps


# --- what it cost


def keep_usage(ctx: Context, used: Sequence[Usage], session_id: uuid.UUID, project_id: uuid.UUID) -> None:
    """Write what messages cost. Of a message that is told several times the highest figures count: they grow."""
    table = USAGE_RECORDS.table
    highest: dict[str, dict[str, Any]] = {}
    for usage in used:
        known = highest.get(usage.key)
        if known is None:
            known = highest[usage.key] = {
                "id": uuid.uuid5(project_id, f"{usage.key}\nusage\n0"),
                "version": 1,
                "session_id": session_id,
                "model": usage.model,
                "subagent": usage.subagent[:100] or None,
                "used_at": usage.time or ctx.now(),
                "created_at": ctx.now(),
                **dict.fromkeys((f"{name}_tokens" for name in COUNTED), 0),
            }
        for name in COUNTED:
            known[f"{name}_tokens"] = max(known[f"{name}_tokens"], getattr(usage, name))
    wanted = {row["id"]: row for row in highest.values()}
    stored = _stored(ctx, table, list(wanted))
    connection = ctx.session.connection()
    for some in batches([row for key, row in wanted.items() if key not in stored]):
        connection.execute(insert(table), list(some))
    for key, row in stored.items():
        higher = {
            name: wanted[key][name] for name in (f"{name}_tokens" for name in COUNTED) if wanted[key][name] > row[name]
        }
        if higher:
            connection.execute(update(table).where(table.c.id == key).values(version=row["version"] + 1, **higher))
