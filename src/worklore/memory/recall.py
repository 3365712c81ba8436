"""Recall: what was said and done that bears on a question, within a budget of tokens.

Candidates come from the project's index; what is shown is read from the database under the caller's visibility, so a
stale index can cost a place but never show what is gone or hidden.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute

from worklore.identity.machine import Machine
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.errors import InvalidError, NotFoundError
from worklore.kernel.types import iso
from worklore.kernel.wire import Clean, WireModel
from worklore.memory.dates import Interval
from worklore.memory.embed import ModelUnavailableError, embedder
from worklore.memory.pack import Excerpt, Packed, Shown, pack
from worklore.memory.rank import Hit
from worklore.memory.recollection import recollection
from worklore.memory.redaction import asked, told
from worklore.memory.window import WINDOWS, MemoryWindow
from worklore.work.identity import Folder, find_project
from worklore.work.project import PROJECTS, Project

MAX_BUDGET: Final = 100_000
MIN_HITS: Final = 100
TOKENS_PER_HIT: Final = 12
"""A budget is offered one hit for so many tokens: more than can fit, since some are passed over."""

BATCH: Final = 400
EARLIEST: Final = datetime(1, 1, 2, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)


class Question(WireModel):
    """A question to memory."""

    question: Annotated[str, Field(min_length=1, max_length=20_000), Clean]
    project: Annotated[str, Field(max_length=255), Clean] | None = None
    """Id or slug of the project."""
    identity: Folder | None = None
    """The folder whose project is meant, where none is named."""
    budget: Annotated[int, Field(ge=50, le=MAX_BUDGET)] = 1000
    """Tokens of the answer, frame and dates included."""
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    """At most so many items."""
    since: datetime | None = None
    """Only what was said at or after this time."""
    until: datetime | None = None
    """Only what was said before this time."""


class Item(WireModel):
    """One turn of the answer."""

    id: uuid.UUID
    time: str
    author: str
    machine: str
    session: uuid.UUID
    text: str
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
    project: uuid.UUID
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
    project = named_project(ctx, body)
    question, within = asked(ctx, body.question), _within(body)
    found = search(ctx, project.id, question, budget=body.budget, limit=body.limit, within=within)
    packed = found.packed(body.budget)
    items = [
        Item(
            id=uuid.UUID(found.hits[shown.excerpt.turn].id),
            time=iso(shown.excerpt.time),
            author=shown.excerpt.author,
            machine=shown.excerpt.machine,
            session=uuid.UUID(shown.excerpt.session),
            text=shown.text,
            score=round(found.hits[shown.excerpt.turn].relevance, 3),
            parts={name: round(value, 3) for name, value in found.hits[shown.excerpt.turn].parts.items()},
            why=list(found.hits[shown.excerpt.turn].why),
        )
        for shown in packed.shown
    ]
    return Recalled(
        text=packed.text,
        tokens=packed.tokens,
        tokenizer=packed.tokenizer,
        items=items,
        project=project.id,
        searched=found.searched,
        semantic=found.semantic,
        notice=found.notice,
        ms=round((time.perf_counter() - begun) * 1000, 2),
    )


def _within(body: Question) -> Interval | None:
    """The time that a question is about.

    Raises:
        InvalidError: it ends before it begins.
    """
    if body.since is None and body.until is None:
        return None
    start, end = (_in_utc(body.since or EARLIEST), _in_utc(body.until or LATEST))
    if end < start:
        raise InvalidError("The time ends before it begins.", hint="Give `until` a later time than `since`.")
    return Interval(start, end)


def _in_utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


RECALL: Final = Action(run=recall, name="recall", scope="memory:read", risk=Risk.read)


def named_project(ctx: ReadContext, body: Question) -> Project:
    """The project a question is about.

    Raises:
        NotFoundError: none is named, or the caller sees none by that name.
    """
    if body.project is not None:
        try:
            named = select(Project).where(Project.id == uuid.UUID(body.project))
        except ValueError:
            named = select(Project).where(Project.slug == body.project)
        if ctx.principal.clients is not None:
            named = named.where(PROJECTS.visible(ctx.principal))
        project = ctx.session.scalars(named).one_or_none()
    else:
        project = find_project(ctx, body.identity) if body.identity else None
    if project is None:
        raise NotFoundError(
            f"There is no project {body.project}." if body.project else "This folder belongs to no known project.",
            hint="List /api/v1/projects to find it, or name one.",
            code="project-unknown",
        )
    return project


@dataclass(frozen=True, slots=True)
class Found:
    """Ranked excerpts, and of each turn the best hit."""

    excerpts: list[Excerpt]
    hits: dict[str, Hit]
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
    project_id: uuid.UUID,
    question: str,
    *,
    budget: int,
    limit: int | None = None,
    now: datetime | None = None,
    within: Interval | None = None,
    keep: Callable[[Excerpt], bool] = lambda _: True,
) -> Found:
    """Rank and read as much as a budget may need. ``keep`` says which excerpts may be shown at all."""
    wanted = max(MIN_HITS, budget // TOKENS_PER_HIT)
    ranked = recollection(ctx).rank(ctx, project_id, question, now=now or ctx.now(), limit=wanted, within=within)
    excerpts = [excerpt for excerpt in read_excerpts(ctx, project_id, ranked.hits) if keep(excerpt[1])]
    if limit is not None:
        turns = list(dict.fromkeys(excerpt.turn for _, excerpt in excerpts))[:limit]
        excerpts = [(hit, excerpt) for hit, excerpt in excerpts if excerpt.turn in turns]
    best: dict[str, Hit] = {}
    for hit, excerpt in excerpts:
        best.setdefault(excerpt.turn, hit)
    return Found([excerpt for _, excerpt in excerpts], best, ranked.searched, ranked.meant)


def read_excerpts(ctx: ReadContext, project_id: uuid.UUID, hits: Iterable[Hit]) -> list[tuple[Hit, Excerpt]]:
    """The turns of hits as the database has them now and the caller may see them, in the order of the hits."""
    ranked = list(hits)
    matched = {str(row.id): row for row in _rows(ctx, MemoryWindow.id, [uuid.UUID(hit.id) for hit in ranked])}
    gone = [hit.id for hit in ranked if hit.id not in matched]
    if gone and ctx.principal.clients is None:
        recollection(ctx).forget(project_id, gone)
    split = [row.source_uuid for row in matched.values() if row.parts > 1]
    parts: dict[str, dict[int, str]] = {}
    for row in _rows(ctx, MemoryWindow.source_uuid, list(dict.fromkeys(split)), project_id):
        parts.setdefault(row.source_uuid, {})[row.part] = row.text
    machines = _machines(ctx, {row.machine_id for row in matched.values() if row.machine_id})
    found: list[tuple[Hit, Excerpt]] = []
    for hit in ranked:
        match = matched.get(hit.id)
        if match is not None:
            texts = parts.get(match.source_uuid, {match.part: match.text})
            found.append((hit, _excerpt(match, texts, machines.get(match.machine_id, ""))))
    return found


def _excerpt(row: Any, texts: dict[int, str], machine: str) -> Excerpt:
    places = sorted(texts)
    return Excerpt(
        turn=row.source_uuid,
        part=places.index(row.part),
        parts=tuple(texts[place] for place in places),
        session=str(row.session_id),
        ordinal=row.ordinal,
        time=row.said_at,
        author=row.author,
        machine=machine,
        terms=frozenset(row.tokens.split()),
    )


_SHOWN: Final = (
    MemoryWindow.id,
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
)


def _rows(
    ctx: ReadContext,
    column: InstrumentedAttribute[Any],
    values: Sequence[object],
    project_id: uuid.UUID | None = None,
) -> Iterator[Any]:
    for start in range(0, len(values), BATCH):
        some = select(*_SHOWN).where(column.in_(values[start : start + BATCH]))
        if project_id is not None:
            some = some.where(MemoryWindow.project_id == project_id)
        if ctx.principal.clients is not None:
            some = some.where(WINDOWS.visible(ctx.principal))
        yield from ctx.session.execute(some)


def _machines(ctx: ReadContext, ids: set[uuid.UUID]) -> dict[uuid.UUID, str]:
    if not ids:
        return {}
    named = select(Machine.id, Machine.friendly_name, Machine.hostname).where(Machine.id.in_(sorted(ids)))
    return {row.id: row.friendly_name or row.hostname for row in ctx.session.execute(named)}
