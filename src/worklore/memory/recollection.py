"""What this process remembers beside the database: one index for each scope, brought up to date before it answers.

A scope is a project, with what somebody has written down for its whole client, or a client with all its projects.

The database is the truth. An index is derived from it, holds everything up to a sequence number, reads what has come
since before each answer, and can be dropped at any time; numbers ascend in the order of commits, so nothing that is
committed is missed. The least recently asked scopes are dropped when the windows held exceed ``MAX_UNITS``.
"""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from math import inf
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select

from worklore.kernel.context import ReadContext
from worklore.kernel.sequence import last
from worklore.memory.embed import MODEL, Embedding, ModelUnavailableError, TokenVectors, Vector, embedder
from worklore.memory.index import Entry, Index
from worklore.memory.only import Only
from worklore.memory.rank import Hit, Meaning, rank
from worklore.memory.units import entry
from worklore.memory.vector import MemoryVector, done, pooled_of, tokens_of
from worklore.memory.window import SEQUENCE, MemoryWindow, Role, Trust
from worklore.work.session import WorkSession

MAX_UNITS: Final = 500_000
"""Windows held in memory by all indexes of this process."""

MAX_TOKEN_VECTORS: Final = 10_000
"""Windows whose token vectors are held in memory by all indexes of this process: some 3 kB each."""

CHUNK: Final = 5_000
BATCH: Final = 400
WARM_PROJECTS: Final = 20
MAX_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose windows a question is compared with: of a project, or of all projects of a client where none is named.

    Attributes:
        project: the project's id.
        client: the id of the client, which is the project's.
    """

    project: uuid.UUID | None
    client: uuid.UUID | None

    @property
    def parts(self) -> list[ColumnElement[bool]]:
        """The windows, in parts that an index of the database finds each by itself."""
        if self.project is None:
            return [MemoryWindow.client_id == self.client]
        of_client = MemoryWindow.project_id.is_(None) & (MemoryWindow.client_id == self.client)
        said = MemoryWindow.trust.in_([Trust.stated.value, Trust.confirmed.value])
        return [MemoryWindow.project_id == self.project, *([of_client & said] if self.client else [])]


@dataclass(slots=True)
class ScopeIndex:
    """The index of a scope, and how far it has read the windows (a number for each part) and their vectors."""

    index: Index = field(default_factory=Index)
    seq: list[int] = field(default_factory=lambda: [0] * MAX_PARTS)
    seen: int = 0
    """The last number of all windows when this one was last brought up to date."""
    waiting: dict[str, int] = field(default_factory=dict[str, int])
    """Windows whose vectors are not read yet, and their numbers."""
    embedded: int = 0
    """The last number that had vectors when they were last read."""
    tokens: OrderedDict[str, TokenVectors] = field(default_factory=OrderedDict[str, TokenVectors])
    """The token vectors asked for last."""
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
        self._scopes: OrderedDict[Scope, ScopeIndex] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Windows held in memory."""
        with self._lock:
            return sum(len(held.index) for held in self._scopes.values())

    def rank(
        self, ctx: ReadContext, scope: Scope, question: str, *, now: datetime, limit: int, only: Only | None = None
    ) -> Ranked:
        """The best windows of a scope for a question, of those that may be ranked."""
        held = self._held(scope)
        asked = _asked(question)
        with held.lock:
            self._catch_up(ctx, scope, held)
            if not isinstance(embedder(), ModelUnavailableError):
                # Asked nothing, too: what is read before the first prompt need not be read by it.
                self._catch_up_vectors(ctx, held)
            meaning = Meaning(asked, partial(_tokens, ctx, held)) if asked is not None else None
            hits = rank(held.index, question, now=now, meaning=meaning, only=only, limit=limit)
            ranked = Ranked(hits, len(held.index), held.index.embedded if meaning else 0)
        self._make_room()
        return ranked

    def forget(self, ctx: ReadContext, scope: Scope, windows: list[str]) -> None:
        """Drop windows that a reader does not find in the database.

        A reader whose view is older than the index does not find what came since: its word does not count.
        """
        held = self._held(scope)
        seen = last(ctx, SEQUENCE)
        with held.lock:
            if seen >= max(held.seq):
                held.index.remove(windows)

    def _held(self, scope: Scope) -> ScopeIndex:
        with self._lock:
            held = self._scopes.setdefault(scope, ScopeIndex())
            self._scopes.move_to_end(scope)
            return held

    def _catch_up(self, ctx: ReadContext, scope: Scope, held: ScopeIndex) -> None:
        newest = last(ctx, SEQUENCE)
        if newest <= held.seen:
            return
        for place, part in enumerate(scope.parts):
            while True:
                newer = (
                    select(*_READ)
                    .where(part, MemoryWindow.seq > held.seq[place])
                    .order_by(MemoryWindow.seq)
                    .limit(CHUNK)
                )
                rows = ctx.session.execute(newer).all()
                if rows:
                    # Adding nothing would still have the index arranged anew, by every question.
                    held.index.add(_entry(row) for row in rows)
                    held.waiting.update((str(row.id), row.seq) for row in rows)
                    for row in rows:
                        held.tokens.pop(str(row.id), None)
                    held.seq[place] = rows[-1].seq
                if len(rows) < CHUNK:
                    break
        held.seen = newest

    def _catch_up_vectors(self, ctx: ReadContext, held: ScopeIndex) -> None:
        made = done(ctx) if held.waiting else 0
        if made <= held.embedded:
            return
        wanted = [window for window, seq in held.waiting.items() if seq <= made]
        for start in range(0, len(wanted), BATCH):
            keys = [uuid.UUID(window) for window in wanted[start : start + BATCH]]
            stored = select(MemoryVector.window_id, MemoryVector.seq, MemoryVector.pooled).where(
                MemoryVector.window_id.in_(keys), MemoryVector.model == MODEL
            )
            found: dict[str, Vector] = {}
            for row in ctx.session.execute(stored):
                window, vector = str(row.window_id), pooled_of(row.pooled)
                # One of another number is of what the window said before.
                if held.waiting.get(window) == row.seq:
                    del held.waiting[window]
                    if vector is not None:
                        found[window] = vector
            held.index.embed(found)
        held.embedded = made

    def _make_room(self) -> None:
        with self._lock:
            while len(self._scopes) > 1 and sum(len(held.index) for held in self._scopes.values()) > MAX_UNITS:
                self._scopes.popitem(last=False)
            vectors = 0
            for held in reversed(self._scopes.values()):
                vectors += len(held.tokens)
                if vectors > MAX_TOKEN_VECTORS:
                    vectors -= len(held.tokens)
                    held.tokens = OrderedDict()


_READ: Final = (
    MemoryWindow.seq,
    MemoryWindow.id,
    MemoryWindow.kind,
    MemoryWindow.record_id,
    MemoryWindow.session_id,
    MemoryWindow.machine_id,
    MemoryWindow.infrastructure_id,
    MemoryWindow.ordinal,
    MemoryWindow.part,
    MemoryWindow.said_at,
    MemoryWindow.valid_from,
    MemoryWindow.valid_to,
    MemoryWindow.trust,
    MemoryWindow.author,
    MemoryWindow.role,
    MemoryWindow.text,
    MemoryWindow.tokens,
)


_LEVELS: Final = {each.value: each.level for each in Trust}


def _entry(row: Any) -> Entry:
    return entry(
        row.text,
        id=str(row.id),
        # A record of no session stands by itself.
        session=str(row.session_id or row.record_id),
        ordinal=row.ordinal,
        part=row.part,
        time=row.said_at.timestamp(),
        author=row.author,
        role="" if row.role is Role.person else row.role.value,
        indexed=row.tokens.split(),
        kind=row.kind.value,
        record=str(row.record_id or ""),
        machine=str(row.machine_id or ""),
        asset=str(row.infrastructure_id or ""),
        trust=_LEVELS[row.trust],
        valid_from=row.valid_from.timestamp() if row.valid_from else -inf,
        valid_to=row.valid_to.timestamp() if row.valid_to else inf,
    )


def _asked(question: str) -> Embedding | None:
    """A question as the model reads it; None where there is no model, and for a question without a word."""
    model = embedder()
    if isinstance(model, ModelUnavailableError) or not question.strip():
        return None
    return model.question(question)


def _tokens(ctx: ReadContext, held: ScopeIndex, windows: Sequence[str]) -> dict[str, TokenVectors]:
    """The token vectors of windows, from memory where they were asked for of late."""
    # Another thread may take the whole of it away; what is held here stays.
    cache = held.tokens
    found = {window: cache[window] for window in windows if window in cache}
    wanted = [window for window in windows if window not in found]
    for start in range(0, len(wanted), BATCH):
        keys = [uuid.UUID(window) for window in wanted[start : start + BATCH]]
        stored = select(MemoryVector.window_id, MemoryVector.tokens).where(MemoryVector.window_id.in_(keys))
        stored = stored.where(MemoryVector.model == MODEL)
        read = {str(row.window_id): tokens_of(row.tokens) for row in ctx.session.execute(stored)}
        found |= read
        cache.update((window, read[window]) for window in read if window not in held.waiting)
    for window in windows:
        if window in cache:
            cache.move_to_end(window)
    while len(cache) > MAX_TOKEN_VECTORS:
        cache.popitem(last=False)
    return found


def warm(ctx: ReadContext) -> None:
    """Read the projects in use into memory, so that the first prompt after a start is answered as fast as the next."""
    in_use = (
        select(WorkSession.project_id, WorkSession.client_id)
        .where(WorkSession.project_id.is_not(None), WorkSession.last_turn_at.is_not(None))
        .group_by(WorkSession.project_id, WorkSession.client_id)
        .order_by(func.max(WorkSession.last_turn_at).desc())
        .limit(WARM_PROJECTS)
    )
    for row in ctx.session.execute(in_use).all():
        recollection(ctx).rank(ctx, Scope(row.project_id, row.client_id), "", now=ctx.now(), limit=1)


def recollection(ctx: ReadContext) -> Recollection:
    """This process's recollection of the context's database."""
    found: Recollection = ctx.derived.setdefault("recollection", Recollection())
    return found
