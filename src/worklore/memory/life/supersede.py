"""That one memory takes the place of another: from when, by whom and why; and taking that back."""

import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import through
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.crud import load
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import ConflictError, InvalidError, NotFoundError
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.sequence import take
from worklore.kernel.types import Line, uuid7
from worklore.kernel.wire import UtcTime, Why, WireModel
from worklore.memory.window import SEQUENCE, WINDOWS, MemoryWindow


class Supersession(Created, Record):
    """That a memory took the place of another one: from when, by whom and why, and whether that was taken back."""

    __tablename__ = "memory_supersessions"
    __table_args__ = (Index(None, "window_id"), Index(None, "by_id"), Index(None, "created_at"))

    window_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("memory_windows.id", ondelete="CASCADE"))
    by_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("memory_windows.id", ondelete="CASCADE"))
    valid_from: Mapped[datetime] = mapped_column(doc="Since when the later one holds and the earlier one does not.")
    former_valid_to: Mapped[datetime | None] = mapped_column(doc="The earlier one's before that.")
    former_valid_from: Mapped[datetime | None] = mapped_column(doc="The later one's before that.")
    reason: Mapped[str]
    actor: Mapped[str] = mapped_column(Line(255))
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None] = mapped_column(Line(255))


SUPERSESSIONS = Resource(
    model=Supersession,
    name="supersession",
    plural="supersessions",
    visible=through(Supersession.window_id, MemoryWindow, WINDOWS.visible),
    filters=(
        Supersession.window_id,
        Supersession.by_id,
        Supersession.actor,
        Supersession.valid_from,
        Supersession.undone_at,
        Supersession.created_at,
    ),
    columns=(Supersession.window_id, Supersession.by_id, Supersession.valid_from, Supersession.reason),
    verbs=READ_ONLY,
)


class Superseding(WireModel):
    """The memory that takes the place of this one, why, and since when."""

    by: uuid.UUID
    reason: Why
    valid_from: UtcTime | None = None
    """The time at which the later one was said, if none is given."""


class Standing(WireModel):
    """How a memory stands: from when to when it holds, and what took its place."""

    id: uuid.UUID
    valid_from: datetime | None
    valid_to: datetime | None
    superseded_by: uuid.UUID | None
    version: int


def supersede(ctx: Context, window: MemoryWindow, body: Superseding) -> Standing:
    """Let another memory take the place of this one. It can be taken back; neither text is lost."""
    by: MemoryWindow = load(ctx, WINDOWS, body.by)
    put_in_place(ctx, window, by, body.reason, body.valid_from)
    return standing(window)


def put_in_place(
    ctx: Context, window: MemoryWindow, by: MemoryWindow, reason: str, valid_from: datetime | None = None
) -> None:
    """Let ``by`` take the place of a window.

    Raises:
        InvalidError: it is the window itself, or another client's.
        ConflictError: the window was superseded before, or would come after itself.
    """
    if by.id == window.id:
        raise InvalidError("by: nothing takes its own place.", field="by")
    if by.client_id != window.client_id:
        raise InvalidError("by: it belongs to another client.", field="by")
    # Taken before looking: of two that would close a ring together, the second sees what the first has done.
    numbers = take(ctx, SEQUENCE, 2)
    for each in (window, by):
        ctx.session.refresh(each)
    if window.superseded_by is not None:
        raise ConflictError(
            "Another memory has taken its place already.",
            hint="Undo that first, or supersede the later one.",
            code="superseded-already",
            superseded_by=str(window.superseded_by),
        )
    if window.id in chain(ctx, by):
        raise ConflictError("It would come after itself.", hint="Look at its supersessions.", code="supersession-cycle")
    since = valid_from or by.said_at
    ctx.session.add(
        Supersession(
            id=uuid7(),
            window_id=window.id,
            by_id=by.id,
            valid_from=since,
            former_valid_to=window.valid_to,
            former_valid_from=by.valid_from,
            reason=reason,
            actor=ctx.principal.actor,
        )
    )
    window.valid_to, window.superseded_by, by.valid_from = since, by.id, since
    window.seq, by.seq = numbers
    ctx.session.flush()


def chain(ctx: ReadContext, window: MemoryWindow) -> list[uuid.UUID]:
    """The ids of a window and of all that took its place one after the other, at last the one that holds."""
    found = [window.id]
    following = window.superseded_by
    while following is not None and following not in found:
        found.append(following)
        following = ctx.session.scalar(select(MemoryWindow.superseded_by).where(MemoryWindow.id == following))
    return found


def standing_supersession(ctx: ReadContext, window: MemoryWindow) -> Supersession | None:
    """What says that a window was superseded; None where nothing does, or that was taken back."""
    found = select(Supersession).where(Supersession.window_id == window.id, Supersession.undone_at.is_(None))
    return ctx.session.scalars(found.order_by(Supersession.created_at.desc())).first()


def restore(ctx: Context, window: MemoryWindow) -> Standing:
    """Take back that another memory took the place of this one; both hold as they did before."""
    numbers = take(ctx, SEQUENCE, 2)
    ctx.session.refresh(window)
    found = standing_supersession(ctx, window)
    if found is None:
        raise NotFoundError(
            "Nothing has taken its place.", hint="Only what was superseded is restored.", code="not-superseded"
        )
    take_back(ctx, window, found, numbers)
    return standing(window)


def take_back(ctx: Context, window: MemoryWindow, found: Supersession, numbers: Iterable[int]) -> None:
    """Undo a supersession, and note who has; ``numbers`` are two that were taken before."""
    first, second = numbers
    by = ctx.session.get(MemoryWindow, found.by_id)
    window.valid_to, window.superseded_by, window.seq = found.former_valid_to, None, first
    if by is not None and by.valid_from == found.valid_from:
        by.valid_from, by.seq = found.former_valid_from, second
    found.undone_at, found.undone_by = ctx.now(), ctx.principal.actor
    ctx.session.flush()


def freed(ctx: ReadContext, ids: Iterable[uuid.UUID]) -> Iterator[Supersession]:
    """The standing supersessions by some windows, of windows that are not among them: they fall when these go."""
    going = list(ids)
    for start in range(0, len(going), BATCH):
        some = going[start : start + BATCH]
        found = select(Supersession).where(Supersession.by_id.in_(some), Supersession.undone_at.is_(None))
        for each in ctx.session.scalars(found).all():
            if each.window_id not in going:
                yield each


BATCH: Final = 400


def standing(window: MemoryWindow) -> Standing:
    """How a window stands."""
    return Standing(
        id=window.id,
        valid_from=window.valid_from,
        valid_to=window.valid_to,
        superseded_by=window.superseded_by,
        version=window.version,
    )


SUPERSEDE: Final = Action(run=supersede, name="supersede", on="memory", scope="memory:write", risk=Risk.write)
RESTORE: Final = Action(run=restore, name="restore", on="memory", scope="memory:write", risk=Risk.write)
