"""Recall: what was said and done that bears on a question, within a budget of tokens.

Candidates come from the project's index; what is shown is read from the database under the caller's visibility, so a
stale index can cost a place but never show what is gone or hidden.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute

from worklore.identity.machine import names_of
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.types import iso
from worklore.kernel.wire import WireModel
from worklore.memory.embed import ModelUnavailableError, embedder
from worklore.memory.life.stale import stale
from worklore.memory.only import Only
from worklore.memory.pack import Excerpt, Packed, Shown, pack
from worklore.memory.question import Question, only_of, scope_of
from worklore.memory.rank import Hit
from worklore.memory.recollection import Scope, recollection
from worklore.memory.redaction import asked, told
from worklore.memory.window import WINDOWS, Kind, MemoryWindow, Trust

MIN_HITS: Final = 60
TOKENS_PER_HIT: Final = 12
"""A budget is offered one hit for so many tokens: more than can fit, since some are passed over."""

BATCH: Final = 400


class Item(WireModel):
    """One turn or work record of the answer."""

    id: uuid.UUID
    kind: Kind
    record: uuid.UUID | None
    """The work record this is, of its kind; None for a turn."""
    time: str
    author: str
    machine: str
    session: uuid.UUID | None
    text: str
    trust: Trust
    valid_to: str | None
    """Until when it was valid, where something has taken its place."""
    stale: str | None
    """Why it may be out of date: what it names was changed later."""
    score: float
    """How relevant, from 0 to 10."""
    parts: dict[str, float]
    """What each signal adds to the score; together they are it, but for rounding."""
    why: list[str]
    """The signals that spoke for it, the strongest first."""


class Semantic(StrEnum):
    """Whether the embedding model took part in an answer."""

    full = "full"
    partial = "partial"
    off = "off"


class Recalled(WireModel):
    """What memory has to say."""

    text: str
    """Ready to be put before an agent: dated, attributed, in one known tag."""
    tokens: int
    tokenizer: str
    items: list[Item]
    project: uuid.UUID | None
    """None where a client was asked about."""
    searched: int
    """Windows the question was compared with."""
    semantic: Semantic
    """Of how many of them the meaning was compared, and not the words alone: ``full``, ``partial`` or ``off``."""
    notice: str
    """Why not of all, and what to do; empty otherwise."""
    ms: float


def recall(ctx: ReadContext, body: Question) -> Recalled:
    """What was said and done in a project that bears on a question, packed into a budget of tokens."""
    begun = time.perf_counter()
    scope, only = scope_of(ctx, body), only_of(ctx, body)
    question = asked(ctx, body.question)
    found = search(ctx, scope, question, budget=body.budget, limit=body.limit, only=only)
    packed = found.packed(body.budget)
    doubts = found.doubts(ctx, packed)
    packed = found.doubted(doubts).packed(body.budget) if doubts else packed
    items = [_item(shown, found, doubts) for shown in packed.shown]
    return Recalled(
        text=packed.text,
        tokens=packed.tokens,
        tokenizer=packed.tokenizer,
        items=items,
        project=scope.project,
        searched=found.searched,
        semantic=found.semantic,
        notice=found.notice,
        ms=round((time.perf_counter() - begun) * 1000, 2),
    )


def _item(shown: Shown, found: "Found", doubts: Mapping[str, str]) -> Item:
    hit, excerpt = found.hits[shown.excerpt.turn], shown.excerpt
    source = found.sources[excerpt.turn]
    return Item(
        id=uuid.UUID(hit.id),
        kind=source.kind,
        record=source.record_id,
        time=iso(excerpt.time),
        author=source.author,
        machine=excerpt.machine,
        session=source.session_id,
        text=shown.text,
        trust=Trust(source.trust),
        valid_to=iso(source.valid_to) if source.valid_to else None,
        stale=doubts.get(excerpt.turn),
        score=round(hit.relevance, 3),
        parts={name: round(value, 3) for name, value in hit.parts.items()},
        why=list(hit.why),
    )


RECALL: Final = Action(run=recall, name="recall", scope="memory:read", risk=Risk.read)


@dataclass(frozen=True, slots=True)
class Found:
    """Ranked excerpts, and of each turn the best hit and its row."""

    excerpts: list[Excerpt]
    hits: dict[str, Hit]
    sources: dict[str, Any]
    searched: int
    meant: int

    @property
    def semantic(self) -> Semantic:
        """Whether the embedding model took part."""
        if isinstance(embedder(), ModelUnavailableError):
            return Semantic.off
        return Semantic.full if self.meant >= self.searched else Semantic.partial

    @property
    def notice(self) -> str:
        """What keeps the answer from being as good as it could be."""
        model = embedder()
        if isinstance(model, ModelUnavailableError):
            return f"Found by words alone. {model}"
        waiting = self.searched - self.meant
        return f"The embedding model has yet to read {waiting:,} of the windows." if waiting > 0 else ""

    def packed(self, budget: int) -> Packed:
        """What of it fits a budget of tokens."""
        return fitting(self.excerpts, budget)

    def doubts(self, ctx: ReadContext, packed: Packed) -> dict[str, str]:
        """Of what is shown, by turn, why it may be out of date."""
        rows = [self.sources[shown.excerpt.turn] for shown in packed.shown]
        reasons = stale(ctx, rows) if rows else {}
        return {row.source_uuid: reasons[row.id] for row in rows if row.id in reasons}

    def doubted(self, doubts: Mapping[str, str]) -> "Found":
        """The same, each turn that may be out of date marked so."""
        excerpts = [
            replace(excerpt, author=f"{excerpt.author} (may be outdated: {doubts[excerpt.turn]})")
            if excerpt.turn in doubts
            else excerpt
            for excerpt in self.excerpts
        ]
        return replace(self, excerpts=excerpts)


def fitting(excerpts: list[Excerpt], budget: int) -> Packed:
    """What of ranked excerpts fits a budget of tokens, without what today's rules would not store any more.

    Only what would be told is judged: that costs more than to rank.
    """
    packed = pack(excerpts, budget)
    while stale := {shown.excerpt.turn for shown in packed.shown if _is_stale(shown)}:
        excerpts = [
            replace(excerpt, parts=tuple(map(told, excerpt.parts))) if excerpt.turn in stale else excerpt
            for excerpt in excerpts
        ]
        packed = pack(excerpts, budget)
    return packed


def _is_stale(shown: Shown) -> bool:
    parts = shown.excerpt.parts
    return any(told(parts[place]) != parts[place] for place in shown.parts)


def search(
    ctx: ReadContext,
    scope: Scope,
    question: str,
    *,
    budget: int,
    limit: int | None = None,
    now: datetime | None = None,
    only: Only | None = None,
    keep: Callable[[Excerpt], bool] = lambda _: True,
) -> Found:
    """Rank and read as much as a budget may need. ``keep`` says which excerpts may be shown at all."""
    wanted = max(MIN_HITS, budget // TOKENS_PER_HIT)
    ranked = recollection(ctx).rank(ctx, scope, question, now=now or ctx.now(), limit=wanted, only=only)
    read = [each for each in read_excerpts(ctx, scope, ranked.hits) if keep(each.excerpt)]
    if limit is not None:
        turns = list(dict.fromkeys(each.excerpt.turn for each in read))[:limit]
        read = [each for each in read if each.excerpt.turn in turns]
    best: dict[str, Hit] = {}
    sources: dict[str, Any] = {}
    for each in read:
        best.setdefault(each.excerpt.turn, each.hit)
        sources.setdefault(each.excerpt.turn, each.row)
    return Found([each.excerpt for each in read], best, sources, ranked.searched, ranked.meant)


@dataclass(frozen=True, slots=True)
class ReadHit:
    """A hit, its window as the database has it, and what can be shown of it."""

    hit: Hit
    row: Any
    excerpt: Excerpt


def read_excerpts(ctx: ReadContext, scope: Scope, hits: Iterable[Hit]) -> list[ReadHit]:
    """The turns of hits as the database has them now and the caller may see them, in the order of the hits."""
    ranked = list(hits)
    wanted = [uuid.UUID(hit.id) for hit in ranked]
    matched = {str(row.id): row for row in _rows(ctx, _SHOWN, MemoryWindow.id, wanted)}
    gone = [hit.id for hit in ranked if hit.id not in matched]
    if gone and ctx.principal.clients is None:
        recollection(ctx).forget(ctx, scope, gone)
    split = [row for row in matched.values() if row.parts > 1]
    parts: dict[tuple[uuid.UUID | None, str], dict[int, str]] = {}
    for row in _parts(ctx, split):
        parts.setdefault((row.project_id, row.source_uuid), {})[row.part] = row.text
    machines = names_of(ctx, {row.machine_id for row in matched.values() if row.machine_id})
    found: list[ReadHit] = []
    for hit in ranked:
        row = matched.get(hit.id)
        if row is not None:
            texts = parts.get((row.project_id, row.source_uuid), {row.part: row.text})
            found.append(ReadHit(hit, row, _excerpt(row, texts, machines.get(row.machine_id, ""))))
    return found


def _excerpt(row: Any, texts: dict[int, str], machine: str) -> Excerpt:
    places = sorted(texts)
    return Excerpt(
        turn=row.source_uuid,
        part=places.index(row.part),
        parts=tuple(texts[place] for place in places),
        session=str(row.session_id or row.record_id),
        ordinal=row.ordinal,
        time=row.said_at,
        author=_label(row),
        machine=machine,
        terms=frozenset(row.tokens.split()),
    )


def _label(row: Any) -> str:
    """Who says it; of a work record what it is and who made it; of what is valid no more until when it was."""
    who = row.author
    if row.kind is not Kind.turn:
        who = f"{row.kind.value} by {who}" if who else row.kind.value
    return f"{who} (no longer valid since {row.valid_to.date().isoformat()})" if row.valid_to else who


_SHOWN: Final = (
    MemoryWindow.id,
    MemoryWindow.kind,
    MemoryWindow.record_id,
    MemoryWindow.project_id,
    MemoryWindow.source_uuid,
    MemoryWindow.session_id,
    MemoryWindow.machine_id,
    MemoryWindow.ordinal,
    MemoryWindow.part,
    MemoryWindow.parts,
    MemoryWindow.said_at,
    MemoryWindow.author,
    MemoryWindow.text,
    MemoryWindow.tokens,
    MemoryWindow.trust,
    MemoryWindow.valid_to,
)


_PART: Final = (MemoryWindow.project_id, MemoryWindow.source_uuid, MemoryWindow.part, MemoryWindow.text)


def _parts(ctx: ReadContext, split: Sequence[Any]) -> Iterator[Any]:
    """All windows of the turns and records that some windows are parts of."""
    yield from _rows(ctx, _PART, MemoryWindow.record_id, list({row.record_id for row in split if row.record_id}))
    for project in {row.project_id for row in split if not row.record_id}:
        turns = {row.source_uuid for row in split if not row.record_id and row.project_id == project}
        yield from _rows(ctx, _PART, MemoryWindow.source_uuid, list(turns), MemoryWindow.project_id == project)


def _rows(
    ctx: ReadContext,
    columns: Sequence[InstrumentedAttribute[Any]],
    column: InstrumentedAttribute[Any],
    values: Sequence[object],
    *also: ColumnElement[bool],
) -> Iterator[Any]:
    for start in range(0, len(values), BATCH):
        some = select(*columns).where(column.in_(values[start : start + BATCH]), *also)
        if ctx.principal.clients is not None:
            some = some.where(WINDOWS.visible(ctx.principal))
        yield from ctx.session.execute(some)
