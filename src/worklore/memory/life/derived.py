"""Removing what memory holds of some turns, and everything that was made of them.

Windows and their vectors, the rows of the trail that were read from the same records, contexts that sum them up, what
is noted of their being told, evidence of failures and what was learned from that evidence alone. Past the session's
objects: an entry of the change audit is never changed, so it must not hold what goes. What is removed leaves
tombstones, and one entry for each table with count and digest.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update

from worklore.kernel.audit import Tombstone, record_batch, record_event, unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.crud import children
from worklore.kernel.db import Base
from worklore.kernel.idempotency import IdempotencyKey
from worklore.kernel.sequence import take
from worklore.kernel.types import dumps, uuid7
from worklore.knowledge.example import EnvironmentalExample
from worklore.knowledge.insight import EnvironmentalInsight
from worklore.knowledge.pattern import FailurePattern
from worklore.memory.capture import UNTITLED
from worklore.memory.context import ConversationContext
from worklore.memory.injection import Injection
from worklore.memory.life.forgotten import state_without
from worklore.memory.life.supersede import freed, take_back
from worklore.memory.source import Transcript, TranscriptCursor
from worklore.memory.trail.rows import trail_id
from worklore.memory.trail.store import TRAIL, batches
from worklore.memory.trail.summary import Said, summarise
from worklore.memory.warn.evidence import PatternEvidence
from worklore.memory.warn.learn import pattern_of, relearn, unlearn
from worklore.memory.window import SEQUENCE, Kind, MemoryWindow
from worklore.trail.command import CommandRun
from worklore.trail.failure import OperationFailure
from worklore.work.news import leave_news
from worklore.work.session import WorkSession

ACTION: Final = "forget"


@dataclass(frozen=True, slots=True)
class Scope:
    """What of one session is forgotten: all that was captured, one transcript's, or what single records hold."""

    session: WorkSession
    transcript: Transcript | None = None
    records: tuple[str, ...] | None = None

    @property
    def whole(self) -> bool:
        """True for all of the session."""
        return self.transcript is None and self.records is None


@dataclass(slots=True)
class Removed:
    """Rows that went, by table, and the ids that other rows may still name."""

    client_id: uuid.UUID | None = None
    """Whose the rows are that go now."""
    counts: Counter[str] = field(default_factory=Counter[str])
    ids: set[str] = field(default_factory=set[str])


def remove(ctx: Context, scope: Scope, done: Removed) -> None:
    """Remove the windows of a scope and what derived from them."""
    session = scope.session
    done.client_id = session.client_id
    cursors = _held(ctx, scope)
    windows = ctx.session.execute(
        select(MemoryWindow.id, MemoryWindow.source_uuid, MemoryWindow.said_at, MemoryWindow.text).where(
            MemoryWindow.session_id == session.id, _of_windows(scope)
        )
    ).all()
    sources = {row.source_uuid for row in windows} | set(scope.records or ())
    first = min((row.said_at for row in windows), default=None)
    titled = scope.whole or any(_is_title(session.session_title, row.text) for row in windows)
    trail = _of_trail(ctx, scope, sources)
    evidence = _evidence(ctx, trail)
    for each in list(freed(ctx, [row.id for row in windows])):
        take_back(ctx, ctx.session.get_one(MemoryWindow, each.window_id), each, take(ctx, SEQUENCE, 2))
    _remove(ctx, MemoryWindow, [row.id for row in windows], done)
    for model, ids in trail.items():
        _remove(ctx, model, ids, done)
    _remove(ctx, ConversationContext, _summaries(ctx, scope, first), done)
    _untold(ctx, sorted(sources), done)
    _relearn(ctx, evidence, done)
    _unwind(ctx, cursors, None if scope.records is None else sources)
    _rename(ctx, scope, titled=titled)
    _sum_up(ctx, scope, done)
    leave_news(ctx, session.id)


def _of_windows(scope: Scope) -> ColumnElement[bool]:
    if scope.records is not None:
        return MemoryWindow.source_uuid.in_(scope.records)
    if scope.transcript is not None:
        return MemoryWindow.transcript_id == scope.transcript.id
    # Windows of records go with their records; those that people entered stay.
    return MemoryWindow.kind == Kind.turn


def _of_trail(ctx: ReadContext, scope: Scope, sources: set[str]) -> dict[type[Any], list[uuid.UUID]]:
    """The rows of the trail that were read from the scope's records; what people entered has none and stays."""
    found: dict[type[Any], list[uuid.UUID]] = {}
    for model in TRAIL:
        rows = select(model.id).where(model.session_id == scope.session.id, model.source_uuid.is_not(None))
        if model is ConversationContext:
            rows = rows.where(~model.source_uuid.startswith(str(scope.session.id)))
        if scope.records is not None:
            rows = rows.where(model.source_uuid.in_(sorted(sources)))
        elif scope.transcript is not None:
            rows = rows.where(_of_transcript(ctx, model, scope.transcript))
        found[model] = list(ctx.session.scalars(rows))
    return found


def _of_transcript(ctx: ReadContext, model: Any, transcript: Transcript) -> ColumnElement[bool]:
    """Rows do not say which file they are of, so: all but those that are known to be another one's."""
    own = _agent_of(transcript)
    if own:
        mine: ColumnElement[bool] = model.subagent == own
        return mine
    others = ctx.session.scalars(
        select(Transcript).where(Transcript.session_id == transcript.session_id, Transcript.id != transcript.id)
    ).all()
    agents = [name for name in map(_agent_of, others) if name]
    theirs = select(MemoryWindow.source_uuid).where(
        MemoryWindow.session_id == transcript.session_id, MemoryWindow.transcript_id.in_([each.id for each in others])
    )
    return and_(or_(model.subagent.is_(None), model.subagent.not_in(agents)), model.source_uuid.not_in(theirs))


def _agent_of(transcript: Transcript) -> str:
    """The sub-agent whose file a transcript is; empty for a session's own file."""
    stem = PurePosixPath(transcript.source.replace("\\", "/")).stem
    return stem.removeprefix("agent-")[:100] if stem.startswith("agent-") else ""


def _summaries(ctx: ReadContext, scope: Scope, first: datetime | None) -> list[uuid.UUID]:
    """The contexts that sum up what goes: a session's compressed ones, and those its agent wrote afterwards."""
    own = _summary_id(scope.session)
    rows = select(ConversationContext.id).where(
        ConversationContext.session_id == scope.session.id, ConversationContext.id != own
    )
    if not scope.whole and first is not None:
        # Made of all that was said before: nobody can tell that it holds none of what goes.
        later = ConversationContext.happened_at
        rows = rows.where(or_(later.is_(None), later >= first))
    return list(ctx.session.scalars(rows))


def _summary_id(session: WorkSession) -> uuid.UUID | None:
    """The id of a session's summary by rules, which is made anew of what is left."""
    if session.project_id is None:
        return None
    return trail_id(session.project_id, str(session.id), "session summary", 0)


def _remove(ctx: Context, model: type[Any], ids: Sequence[uuid.UUID], done: Removed) -> None:
    """Remove rows and, before them, the rows that live by them; those that merely name them lose the name."""
    if not ids:
        return
    for key, child in children(model):
        if child is model or key.ondelete != "CASCADE":
            continue
        _remove_children(ctx, child, key.parent, ids, done)
    if model is not MemoryWindow:
        for some in batches(sorted(ids)):
            told = select(MemoryWindow.id).where(MemoryWindow.record_id.in_(some))
            _remove(ctx, MemoryWindow, list(ctx.session.scalars(told)), done)
    table: Any = model.__table__
    for some in batches(sorted(ids)):
        gone = delete(model).where(table.c.id.in_(some))
        ctx.session.execute(unaudited(gone, "one entry for the batch").execution_options(synchronize_session="fetch"))
    _note(ctx, table.description, list(ids), done, audited=model.audited)


def _remove_children(ctx: Context, child: type[Base], column: Any, ids: Sequence[uuid.UUID], done: Removed) -> None:
    table: Any = child.__table__
    for some in batches(sorted(ids)):
        if "id" in table.c:
            _remove(ctx, child, list(ctx.session.scalars(select(table.c.id).where(column.in_(some)))), done)
        else:
            result: Any = ctx.session.connection().execute(delete(table).where(column.in_(some)))
            done.counts[table.description] += result.rowcount


def _note(ctx: Context, table: str, ids: list[uuid.UUID], done: Removed, *, audited: bool) -> None:
    done.counts[table] += len(ids)
    done.ids.update(str(key) for key in ids)
    if audited:
        record_batch(ctx, table, ids, action=ACTION, client_id=done.client_id)
    rows = [
        {"id": uuid7(), "table_name": table, "record_id": key, "client_id": done.client_id, "deleted_at": ctx.now()}
        for key in ids
    ]
    for some in batches(rows):
        ctx.session.connection().execute(insert(Tombstone), list(some))


def _untold(ctx: Context, sources: Sequence[str], done: Removed) -> None:
    """Notes of what was told say why it was, in words of its own."""
    for some in batches(sources):
        gone = delete(Injection).where(Injection.source_uuid.in_(some))
        result: Any = ctx.session.execute(
            unaudited(gone, "notes, not decisions").execution_options(synchronize_session=False)
        )
        if result.rowcount:
            done.counts[Injection.__tablename__] += result.rowcount


# --- what was learned


def _evidence(ctx: ReadContext, trail: dict[type[Any], list[uuid.UUID]]) -> tuple[list[str], set[str]]:
    """The keys of patterns that the trail bears out, and the texts of its commands."""
    keys: set[str] = set()
    texts: set[str] = set()
    for model, column in ((CommandRun, PatternEvidence.command_id), (OperationFailure, PatternEvidence.failure_id)):
        for some in batches(trail[model]):
            keys.update(ctx.session.scalars(select(PatternEvidence.pattern_key).where(column.in_(some))))
            if model is CommandRun:
                texts.update(ctx.session.scalars(select(CommandRun.command_text).where(CommandRun.id.in_(some))))
    return sorted(keys), texts


def _relearn(ctx: Context, evidence: tuple[list[str], set[str]], done: Removed) -> None:
    """Let each pattern be what is left of its evidence; without any it goes, with its insight and examples."""
    keys, texts = evidence
    for key in keys:
        pattern = pattern_of(ctx, key)
        _drop_examples(ctx, pattern, texts)
        left = relearn(ctx, key)
        if left is not None and not left.is_active:
            # Too little is left to say anything by, so nothing of before is left either.
            unlearn(ctx, left)
            left = None
        if pattern is not None and left is None:
            done.counts[FailurePattern.__tablename__] += 1


def _drop_examples(ctx: Context, pattern: FailurePattern | None, texts: set[str]) -> None:
    if pattern is None:
        return
    insights = select(EnvironmentalInsight.id).where(EnvironmentalInsight.source_pattern_id == pattern.id)
    found = ctx.session.scalars(select(EnvironmentalExample).where(EnvironmentalExample.insight_id.in_(insights))).all()
    for example in found:
        if example.command_text in texts:
            ctx.session.delete(example)
    ctx.session.flush()


# --- what is kept of a session itself


def _is_title(title: str, text: str) -> bool:
    """True when a session's title is the beginning of a text: capture takes it from what was said first."""
    flat = " ".join(text.split())
    return bool(flat) and (flat.startswith(title) or title.startswith(flat))


def _held(ctx: Context, scope: Scope) -> Sequence[TranscriptCursor]:
    """How far the session's transcripts are read, held until commit: what is captured meanwhile waits."""
    cursors = select(TranscriptCursor).join(Transcript, Transcript.id == TranscriptCursor.transcript_id)
    cursors = cursors.where(Transcript.session_id == scope.session.id).order_by(TranscriptCursor.transcript_id)
    if scope.transcript is not None:
        cursors = cursors.where(Transcript.id == scope.transcript.id)
    return ctx.session.scalars(cursors.with_for_update(of=TranscriptCursor)).all()


def _unwind(ctx: Context, cursors: Sequence[TranscriptCursor], sources: set[str] | None) -> None:
    """Readers go on where they are, and know nothing of what was forgotten."""
    for cursor in cursors:
        if cursor.state is not None:
            cursor.state = state_without(cursor.state, sources)
    ctx.session.flush()


def _rename(ctx: Context, scope: Scope, *, titled: bool) -> None:
    values: dict[str, Any] = {"session_title": UNTITLED} if titled else {}
    if scope.whole:
        values |= {"summary": None, "handoff": None}
    if values:
        session = scope.session
        moved = update(WorkSession).where(WorkSession.id == session.id)
        moved = moved.values(version=WorkSession.version + 1, updated_at=ctx.now(), **values)
        ctx.session.execute(
            unaudited(moved, "an entry of its own says which fields").execution_options(synchronize_session=False)
        )
        record_event(ctx, ACTION, WorkSession.__tablename__, session.id, {"fields": sorted(values)})
        ctx.session.refresh(session)


def _sum_up(ctx: Context, scope: Scope, done: Removed) -> None:
    """The session's summary of what is left; one that somebody has changed goes, for it may say anything."""
    key = _summary_id(scope.session)
    known = ctx.session.get(ConversationContext, key) if key else None
    if known is None:
        return
    known.happened_at = None
    ctx.session.flush()
    before = known.version
    summarise(ctx, scope.session, Said())
    if known.version == before:
        ctx.session.expunge(known)
        _remove(ctx, ConversationContext, [known.id], done)
    else:
        done.counts[ConversationContext.__tablename__] += 1


# --- answers that are kept


def unanswer(ctx: Context, done: Removed) -> None:
    """Kept answers of verbs that name what was removed may show it: who repeats the request learns it was done."""
    kept = select(IdempotencyKey.principal, IdempotencyKey.key, IdempotencyKey.pointer).where(
        IdempotencyKey.pointer.is_not(None)
    )
    for principal, key, pointer in ctx.session.execute(kept).all():
        if pointer and "result" in pointer and any(_ids_in(pointer, done.ids)):
            row = update(IdempotencyKey).where(IdempotencyKey.principal == principal, IdempotencyKey.key == key)
            ctx.session.execute(
                unaudited(row.values(pointer={}), "the keys record no state of the product").execution_options(
                    synchronize_session=False
                )
            )


def _ids_in(pointer: Any, ids: set[str]) -> Iterator[str]:
    text = dumps(pointer)
    return (found for found in _words(text) if found in ids)


def _words(text: str) -> Iterator[str]:
    for word in text.split('"'):
        if len(word) == len(str(uuid.NAMESPACE_URL)):
            yield word
