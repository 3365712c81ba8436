"""What this process remembers beside the database: one index for each project, brought up to date before it answers.

The database is the truth. An index is derived from it, holds everything up to a sequence number, reads what has come
since before each answer, and can be dropped at any time; numbers ascend in the order of commits, so nothing that is
committed is missed. The least recently asked projects are dropped when the windows held exceed ``MAX_UNITS``.
"""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import func, select

from worklore.kernel.context import ReadContext
from worklore.memory.dates import Interval
from worklore.memory.embed import MODEL, ModelUnavailableError, TokenVectors, embedder
from worklore.memory.index import Entry, Index
from worklore.memory.rank import Hit, Meaning, rank
from worklore.memory.units import entry
from worklore.memory.vector import MemoryVector, pooled_of, tokens_of
from worklore.memory.window import MemoryWindow, Role
from worklore.work.session import WorkSession

MAX_UNITS: Final = 500_000
"""Windows held in memory by all indexes of this process."""

CHUNK: Final = 5_000
BATCH: Final = 400
WARM_PROJECTS: Final = 20


@dataclass(slots=True)
class ProjectIndex:
    """The index of a project, and how far it has read the windows and their vectors."""

    index: Index = field(default_factory=Index)
    seq: int = 0
    vector_seq: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best windows, how many were searched, and of how many of those the meaning is known."""

    hits: list[Hit]
    searched: int
    meant: int


class Recollection:
    """The indexes of one database in this process."""

    def __init__(self) -> None:
        self._projects: OrderedDict[uuid.UUID, ProjectIndex] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Windows held in memory."""
        with self._lock:
            return sum(len(held.index) for held in self._projects.values())

    def rank(
        self,
        ctx: ReadContext,
        project_id: uuid.UUID,
        question: str,
        *,
        now: datetime,
        limit: int,
        within: Interval | None = None,
    ) -> Ranked:
        """The best windows of a project for a question, of those said within an interval if one is given."""
        held = self._held(project_id)
        meaning = meaning_of(ctx, question)
        with held.lock:
            self._catch_up(ctx, project_id, held)
            if meaning is not None:
                self._catch_up_vectors(ctx, project_id, held)
            hits = rank(held.index, question, now=now, meaning=meaning, within=within, limit=limit)
            ranked = Ranked(hits, len(held.index), held.index.embedded if meaning else 0)
        self._make_room()
        return ranked

    def forget(self, project_id: uuid.UUID, windows: list[str]) -> None:
        """Drop windows the database no longer has."""
        held = self._held(project_id)
        with held.lock:
            held.index.remove(windows)

    def _held(self, project_id: uuid.UUID) -> ProjectIndex:
        with self._lock:
            held = self._projects.setdefault(project_id, ProjectIndex())
            self._projects.move_to_end(project_id)
            return held

    def _catch_up(self, ctx: ReadContext, project_id: uuid.UUID, held: ProjectIndex) -> None:
        columns = (
            MemoryWindow.seq,
            MemoryWindow.id,
            MemoryWindow.session_id,
            MemoryWindow.ordinal,
            MemoryWindow.part,
            MemoryWindow.said_at,
            MemoryWindow.author,
            MemoryWindow.role,
            MemoryWindow.text,
            MemoryWindow.tokens,
        )
        while True:
            newer = (
                select(*columns)
                .where(MemoryWindow.project_id == project_id, MemoryWindow.seq > held.seq)
                .order_by(MemoryWindow.seq)
                .limit(CHUNK)
            )
            rows = ctx.session.execute(newer).all()
            if rows:
                # Adding nothing would still have the index arranged anew, by every question.
                held.index.add(_entry(row) for row in rows)
                held.seq = rows[-1].seq
            if len(rows) < CHUNK:
                return

    def _catch_up_vectors(self, ctx: ReadContext, project_id: uuid.UUID, held: ProjectIndex) -> None:
        columns = (MemoryVector.seq, MemoryVector.window_id, MemoryVector.pooled)
        while True:
            newer = (
                select(*columns)
                .where(MemoryVector.project_id == project_id, MemoryVector.seq > held.vector_seq)
                .where(MemoryVector.model == MODEL)
                .order_by(MemoryVector.seq)
                .limit(CHUNK)
            )
            rows = ctx.session.execute(newer).all()
            if rows:
                read = [(str(row.window_id), pooled_of(row.pooled)) for row in rows]
                held.index.embed({window: vector for window, vector in read if vector is not None})
                held.vector_seq = rows[-1].seq
            if len(rows) < CHUNK:
                return

    def _make_room(self) -> None:
        with self._lock:
            while len(self._projects) > 1 and sum(len(held.index) for held in self._projects.values()) > MAX_UNITS:
                self._projects.popitem(last=False)


def _entry(row: Any) -> Entry:
    return entry(
        row.text,
        id=str(row.id),
        session=str(row.session_id),
        ordinal=row.ordinal,
        part=row.part,
        time=row.said_at.timestamp(),
        author=row.author,
        role="" if row.role is Role.person else row.role.value,
        indexed=row.tokens.split(),
    )


def meaning_of(ctx: ReadContext, question: str) -> Meaning | None:
    """A question as the model reads it; None where there is no model, and for a question without a word."""
    model = embedder()
    if isinstance(model, ModelUnavailableError) or not question.strip():
        return None
    return Meaning(model.embed([question])[0], partial(_tokens, ctx))


def _tokens(ctx: ReadContext, windows: Sequence[str]) -> dict[str, TokenVectors]:
    found: dict[str, TokenVectors] = {}
    for start in range(0, len(windows), BATCH):
        keys = [uuid.UUID(window) for window in windows[start : start + BATCH]]
        stored = select(MemoryVector.window_id, MemoryVector.tokens).where(MemoryVector.window_id.in_(keys))
        stored = stored.where(MemoryVector.model == MODEL)
        found |= {str(row.window_id): tokens_of(row.tokens) for row in ctx.session.execute(stored)}
    return found


def warm(ctx: ReadContext) -> None:
    """Read the projects in use into memory, so that the first prompt after a start is answered as fast as the next."""
    in_use = (
        select(WorkSession.project_id)
        .where(WorkSession.project_id.is_not(None), WorkSession.last_turn_at.is_not(None))
        .group_by(WorkSession.project_id)
        .order_by(func.max(WorkSession.last_turn_at).desc())
        .limit(WARM_PROJECTS)
    )
    for project_id in ctx.session.scalars(in_use).all():
        if project_id is not None:
            recollection(ctx).rank(ctx, project_id, "", now=ctx.now(), limit=1)


def recollection(ctx: ReadContext) -> Recollection:
    """This process's recollection of the context's database."""
    found: Recollection = ctx.derived.setdefault("recollection", Recollection())
    return found
