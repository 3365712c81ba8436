"""What was forgotten, and that it stays so when a transcript is captured again.

Rows that were removed have tombstones, by which capture knows their ids. Ids alone are not enough: by tomorrow's rules
the same record may become other rows. So capture never reads a record that was forgotten, and nothing of it reaches
what a reader keeps for the records that follow.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, cast

from sqlalchemy import ForeignKey, Index, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import by_client
from worklore.kernel.context import ReadContext
from worklore.kernel.db import Base, Created
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, uuid7
from worklore.memory.source import Transcript
from worklore.memory.trail.step import Read, items
from worklore.memory.transcript import moment
from worklore.work.session import WorkSession


class Forgotten(StrEnum):
    """What was forgotten: one turn, or all that one transcript, session or client has said so far."""

    item = "item"
    transcript = "transcript"
    session = "session"
    client = "client"


class MemoryForget(Created, Base):
    """That something was forgotten, by whom and why. It holds ids and counts, and nothing of what was there."""

    __tablename__ = "memory_forgets"
    __table_args__ = tuple(Index(None, name) for name in ("client_id", "session_id", "record_id", "created_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[Forgotten]
    record_id: Mapped[uuid.UUID] = mapped_column(doc="The window, transcript, session or client that was meant.")
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(doc="Outlasts the session, so no key of another table.")
    source_uuid: Mapped[str | None] = mapped_column(Line(100), doc="The record of the transcript, for an item.")
    until: Mapped[datetime] = mapped_column(doc="What was said up to then stays forgotten.")
    reason: Mapped[str]
    actor: Mapped[str] = mapped_column(Line(255))
    counts: Mapped[dict[str, Any]] = mapped_column(doc="Rows that were removed or made anew, by table.")


FORGETS = Resource(
    model=MemoryForget,
    name="memory-forget",
    plural="memory-forgets",
    visible=by_client(MemoryForget.client_id),
    filters=(
        MemoryForget.kind,
        MemoryForget.record_id,
        MemoryForget.client_id,
        MemoryForget.session_id,
        MemoryForget.actor,
        MemoryForget.created_at,
    ),
    columns=(MemoryForget.kind, MemoryForget.record_id, MemoryForget.reason, MemoryForget.actor, MemoryForget.until),
    verbs=READ_ONLY,
)

STANDING: Final = frozenset({"session_meta", "turn_context"})
"""Lines of Codex that say where a session is and hold nothing of what was said in it."""

NOT_READ: Final = "forgotten"
"""The type that a forgotten record is given: every reader passes over it, and counts it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What of a transcript stays forgotten: all up to a moment, and single records."""

    until: datetime | None = None
    records: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """True when anything was forgotten."""
        return self.until is not None or bool(self.records)


def lost(ctx: ReadContext, transcript: Transcript, session: WorkSession) -> Lost:
    """What was forgotten of a transcript."""
    named = MemoryForget.session_id == session.id
    if session.client_id is not None:
        named = or_(named, (MemoryForget.kind == Forgotten.client) & (MemoryForget.record_id == session.client_id))
    columns = (MemoryForget.kind, MemoryForget.record_id, MemoryForget.source_uuid, MemoryForget.until)
    moments: list[datetime] = []
    records: set[str] = set()
    for kind, record_id, source, until in ctx.session.execute(select(*columns).where(named)):
        if kind is Forgotten.item and source is not None:
            records.add(source)
        elif kind is not Forgotten.transcript or record_id == transcript.id:
            moments.append(until)
    return Lost(max(moments, default=None), frozenset(records))


def without(records: Iterable[Any], gone: Lost) -> list[Any]:
    """Records as a reader may see them: each in its place, those up to the moment without their content.

    A record without a time counts as forgotten then: nobody can tell when it was written.
    """
    given = list(records)
    return (
        given
        if gone.until is None
        else [_hidden(record) if _is_gone(record, gone.until) else record for record in given]
    )


def _is_gone(record: Any, until: datetime) -> bool:
    fields = _fields(record)
    if fields.get("type") in STANDING:
        return False
    time = moment(fields.get("timestamp"))
    return time is None or time <= until


def _hidden(record: Any) -> dict[str, Any]:
    fields = _fields(record)
    return {"type": NOT_READ} | {name: fields[name] for name in ("uuid", "timestamp") if name in fields}


def _fields(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def unread(read: Read, gone: Lost) -> None:
    """Drop what single forgotten records have told, but for their turns: capture tells what is left of those."""
    if gone.records:
        read.done = [done for done in read.done if done.call.uuid not in gone.records]
        read.items = [item for item in read.items if item.uuid not in gone.records]
        read.summaries = [summary for summary in read.summaries if summary.uuid not in gone.records]


KEPT: Final = frozenset({"ordinal", "session", "model", "cwd", "branch"})
"""What a reader's state may keep of a transcript that was forgotten: how far and where, not what."""


def state_without(state: Mapping[str, Any], sources: Collection[str] | None) -> dict[str, Any]:
    """A reader's state without some records, or without all that records have said when none are named."""
    if sources is None:
        return {name: value for name, value in state.items() if name in KEPT}
    return {name: _pruned(value, sources) for name, value in state.items()}


def _pruned(value: Any, sources: Collection[str]) -> Any:
    """Without the entries that say they are of a record: calls, items of a list, and where something was said first."""
    if not isinstance(value, dict):
        return value
    held = cast("Mapping[str, Any]", value)
    return {name: entry for name, entry in held.items() if not _is_of(entry, sources)}


def _is_of(entry: Any, sources: Collection[str]) -> bool:
    if isinstance(entry, dict):
        return cast("Mapping[str, Any]", entry).get("uuid") in sources
    listed = items(entry)
    return bool(listed) and listed[0] in sources
