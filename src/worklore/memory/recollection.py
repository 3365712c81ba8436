"""What this process remembers beside the database: one index for each project, brought up to date before it answers.

The database is the truth. An index is derived from it, holds everything up to a sequence number, reads what has come
since before each answer, and can be dropped at any time; numbers ascend in the order of commits, so nothing that is
committed is missed. The least recently asked projects are dropped when the windows held exceed ``MAX_UNITS``.
"""

import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import func, select

from worklore.kernel.context import ReadContext
from worklore.memory.index import Index
from worklore.memory.rank import Hit, rank
from worklore.memory.units import entry
from worklore.memory.window import MemoryWindow, Role
from worklore.work.session import WorkSession

MAX_UNITS: Final = 500_000
"""Windows held in memory by all indexes of this process."""

CHUNK: Final = 5_000
WARM_PROJECTS: Final = 20


@dataclass(slots=True)
class ProjectIndex:
    """The index of a project and how far it has read."""

    index: Index = field(default_factory=Index)
    seq: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


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
        self, ctx: ReadContext, project_id: uuid.UUID, question: str, *, now: datetime, limit: int
    ) -> tuple[list[Hit], int]:
        """The best windows of a project for a question, and how many were searched."""
        held = self._held(project_id)
        with held.lock:
            self._catch_up(ctx, project_id, held)
            hits = rank(held.index, question, now=now, limit=limit)
            searched = len(held.index)
        self._make_room()
        return hits, searched

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
            held.index.add(
                entry(
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
                for row in rows
            )
            if rows:
                held.seq = rows[-1].seq
            if len(rows) < CHUNK:
                return

    def _make_room(self) -> None:
        with self._lock:
            while len(self._projects) > 1 and sum(len(held.index) for held in self._projects.values()) > MAX_UNITS:
                self._projects.popitem(last=False)


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
