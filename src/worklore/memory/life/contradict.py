"""That two memories contradict each other: marked until somebody decides which of them holds."""

import uuid
from typing import Final

from sqlalchemy import ForeignKey, Index, UniqueConstraint, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import both, through
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.crud import load
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import ConflictError, InvalidError
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import Line, uuid7
from worklore.kernel.wire import Why, WireModel
from worklore.memory.window import WINDOWS, MemoryWindow


class Contradiction(Created, Record):
    """That two memories contradict each other: who says so and why. Delete it when that is settled."""

    __tablename__ = "memory_contradictions"
    __table_args__ = (UniqueConstraint("window_id", "other_id"), Index(None, "window_id"), Index(None, "other_id"))

    window_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("memory_windows.id", ondelete="CASCADE"), doc="Of the two the one with the lower id."
    )
    other_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("memory_windows.id", ondelete="CASCADE"))
    reason: Mapped[str]
    actor: Mapped[str] = mapped_column(Line(255))


CONTRADICTIONS = Resource(
    model=Contradiction,
    name="contradiction",
    plural="contradictions",
    visible=both(
        through(Contradiction.window_id, MemoryWindow, WINDOWS.visible),
        through(Contradiction.other_id, MemoryWindow, WINDOWS.visible),
    ),
    filters=(Contradiction.window_id, Contradiction.other_id, Contradiction.actor, Contradiction.created_at),
    columns=(Contradiction.window_id, Contradiction.other_id, Contradiction.reason, Contradiction.actor),
    verbs=frozenset({Verb.list, Verb.get, Verb.delete}),
)


class Contradicting(WireModel):
    """The memory that says otherwise, and what they differ in."""

    other: uuid.UUID
    reason: Why


class Contradicted(WireModel):
    """That two memories contradict each other."""

    id: uuid.UUID
    window_id: uuid.UUID
    other_id: uuid.UUID
    reason: str
    actor: str


def contradict(ctx: Context, window: MemoryWindow, body: Contradicting) -> Contradicted:
    """Mark that another memory contradicts this one. Delete the mark when it is settled."""
    other: MemoryWindow = load(ctx, WINDOWS, body.other)
    if other.id == window.id:
        raise InvalidError("other: nothing contradicts itself.", field="other")
    first, second = sorted((window.id, other.id))
    known = select(Contradiction).where(Contradiction.window_id == first, Contradiction.other_id == second)
    if ctx.session.scalars(known).one_or_none() is not None:
        raise ConflictError(
            "That they contradict each other is marked already.",
            hint="List contradictions of this memory.",
            code="contradiction-known",
        )
    made = Contradiction(id=uuid7(), window_id=first, other_id=second, reason=body.reason, actor=ctx.principal.actor)
    ctx.session.add(made)
    ctx.session.flush()
    return shown(made)


def shown(mark: Contradiction) -> Contradicted:
    """A mark as callers see it."""
    return Contradicted.model_validate(mark, from_attributes=True)


def contradictions(ctx: ReadContext, window_id: uuid.UUID) -> list[Contradiction]:
    """The marks on a window, of those that the caller may see."""
    named = or_(Contradiction.window_id == window_id, Contradiction.other_id == window_id)
    found = select(Contradiction).where(named, CONTRADICTIONS.visible(ctx.principal))
    return list(ctx.session.scalars(found.order_by(Contradiction.created_at)))


CONTRADICT: Final = Action(run=contradict, name="contradict", on="memory", scope="memory:write", risk=Risk.write)
