"""Merging memories that say nearly the same: one is kept, the others are superseded by it and keep their sources."""

import uuid
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import select

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.crud import load
from worklore.kernel.wire import WireModel
from worklore.memory.life.duplicates import THRESHOLD, Kept, Saying, merges
from worklore.memory.life.supersede import put_in_place
from worklore.memory.life.trust import trust_of
from worklore.memory.window import WINDOWS, Kind, MemoryWindow
from worklore.work.project import PROJECTS

REASON: Final = "near duplicate"
MOST: Final = 50_000
"""Memories of a project that are compared, the latest."""

AT_ONCE: Final = 500
"""Supersessions of one request; the next goes on."""


class Merging(WireModel):
    """The project whose memories are compared, and how much two must share."""

    project_id: uuid.UUID
    threshold: Annotated[float, Field(ge=0.5, le=1.0)] = THRESHOLD
    """The part of all distinct terms that both have."""


class MergedInto(WireModel):
    """A memory that is kept, and those it stands for."""

    keeper: uuid.UUID
    superseded: list[uuid.UUID]


class Merged(WireModel):
    """What was merged; with ``dry_run`` what would be. `left` are those of the next request."""

    compared: int
    merged: list[MergedInto]
    left: int


def merge(ctx: Context, body: Merging) -> Merged:
    """Let one memory of a project stand for those that say nearly the same. Each can be restored by itself."""
    project = load(ctx, PROJECTS, body.project_id)
    columns = (MemoryWindow.id, MemoryWindow.text, MemoryWindow.said_at, MemoryWindow.trust, MemoryWindow.role)
    held = (
        select(*columns)
        .where(
            MemoryWindow.project_id == project.id,
            MemoryWindow.superseded_by.is_(None),
            MemoryWindow.kind == Kind.turn,
            MemoryWindow.parts == 1,
            WINDOWS.visible(ctx.principal),
        )
        .order_by(MemoryWindow.seq.desc())
        .limit(MOST)
    )
    rows = ctx.session.execute(held).all()
    found: list[tuple[str, str]] = []
    for role in sorted({row.role for row in rows}):
        own = {str(row.id): row for row in rows if row.role is role}
        ranks = {name: Kept(trust_of([row.trust]).level, row.said_at, name) for name, row in own.items()}
        sayings = {name: Saying.of(row.text) for name, row in own.items()}
        for keeper, others in merges(sayings, ranks, body.threshold).items():
            found += [(keeper, other) for other in others]
    done = found[:AT_ONCE]
    for keeper, other in done:
        put_in_place(ctx, _window(ctx, other), _window(ctx, keeper), REASON)
    into: dict[str, list[uuid.UUID]] = {}
    for keeper, other in done:
        into.setdefault(keeper, []).append(uuid.UUID(other))
    merged = [MergedInto(keeper=uuid.UUID(keeper), superseded=others) for keeper, others in into.items()]
    return Merged(compared=len(rows), merged=merged, left=len(found) - len(done))


def _window(ctx: Context, key: str) -> MemoryWindow:
    return ctx.session.get_one(MemoryWindow, uuid.UUID(key))


MERGE: Final = Action(run=merge, name="merge", path="memory-windows/merge", scope="memory:write", risk=Risk.write)
