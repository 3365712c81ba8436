"""A person's word on what a memory should say: it stands, whatever is captured again, and can be taken back."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import StringConstraints
from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import through
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import record_as_content
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import ConflictError, InvalidError, NotFoundError
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.sequence import take
from worklore.kernel.types import Line, uuid7
from worklore.kernel.wire import Clean, Why, WireModel
from worklore.memory import tokens
from worklore.memory.life.person import require_person
from worklore.memory.units import unit_terms
from worklore.memory.window import SEQUENCE, WINDOWS, Kind, MemoryWindow, Role, Trust

MAX_TEXT: Final = 8_000
BATCH: Final = 400


class Correction(Created, Record):
    """What a memory said before a person corrected it: who did, why, and whether that was taken back."""

    __tablename__ = "memory_corrections"
    __table_args__ = (Index(None, "window_id"), Index(None, "created_at"))

    window_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("memory_windows.id", ondelete="CASCADE"))
    former_text: Mapped[str]
    former_trust: Mapped[str] = mapped_column(Line(20))
    reason: Mapped[str]
    author: Mapped[str] = mapped_column(Line(255))
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None] = mapped_column(Line(255))


record_as_content(Correction, ("former_text",))

CORRECTIONS = Resource(
    model=Correction,
    name="correction",
    plural="corrections",
    visible=through(Correction.window_id, MemoryWindow, WINDOWS.visible),
    filters=(Correction.window_id, Correction.author, Correction.undone_at, Correction.created_at),
    search=(Correction.former_text, Correction.reason),
    columns=(Correction.window_id, Correction.author, Correction.reason, Correction.former_text),
    verbs=READ_ONLY,
)


class Correcting(WireModel):
    """What a memory should say, and why."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT), Clean]
    reason: Why


class Corrected(WireModel):
    """A memory that was corrected, or whose correction was taken back."""

    id: uuid.UUID
    trust: str
    version: int


def correct(ctx: Context, window: MemoryWindow, body: Correcting) -> Corrected:
    """Give a memory the text it should have. A person's word: it is confirmed, and capture leaves it alone."""
    require_person(ctx, "correct a memory")
    if window.kind is not Kind.turn:
        raise ConflictError(
            "This tells of a work record, and says what that says.", hint="Change the record.", code="memory-of-record"
        )
    if body.text == window.text:
        raise InvalidError("text: that is what it says.", field="text")
    ctx.session.add(
        Correction(
            id=uuid7(),
            window_id=window.id,
            former_text=window.text,
            former_trust=window.trust,
            reason=body.reason,
            author=ctx.principal.on_behalf_of or ctx.principal.actor,
        )
    )
    return _say(ctx, window, body.text, Trust.confirmed)


def uncorrect(ctx: Context, window: MemoryWindow) -> Corrected:
    """Take the last correction of a memory back: it says again what it said before."""
    require_person(ctx, "take a correction back")
    last = _last(ctx, window)
    if last is None:
        raise NotFoundError("Nobody has corrected it.", hint="Look at its provenance.", code="not-corrected")
    last.undone_at, last.undone_by = ctx.now(), ctx.principal.on_behalf_of or ctx.principal.actor
    return _say(ctx, window, last.former_text, last.former_trust)


def _last(ctx: ReadContext, window: MemoryWindow) -> Correction | None:
    found = select(Correction).where(Correction.window_id == window.id, Correction.undone_at.is_(None))
    return ctx.session.scalars(found.order_by(Correction.created_at.desc(), Correction.id.desc())).first()


def corrected_of(ctx: ReadContext, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Which of some windows say what a person has made of them."""
    found: set[uuid.UUID] = set()
    for start in range(0, len(ids), BATCH):
        some = select(Correction.window_id).where(
            Correction.window_id.in_(ids[start : start + BATCH]), Correction.undone_at.is_(None)
        )
        found.update(ctx.session.scalars(some))
    return found


def _say(ctx: Context, window: MemoryWindow, text: str, trust: str) -> Corrected:
    role = "" if window.role is Role.person else window.role.value
    window.text, window.trust = text, trust
    window.tokens = " ".join(unit_terms(text, author=window.author, role=role))
    window.token_count = tokens.count(text)
    window.seq = take(ctx, SEQUENCE, 1)[0]
    ctx.session.flush()
    return Corrected(id=window.id, trust=window.trust, version=window.version)


CORRECT: Final = Action(run=correct, name="correct", on="memory", scope="memory:correct", risk=Risk.write)
UNCORRECT: Final = Action(run=uncorrect, name="uncorrect", on="memory", scope="memory:correct", risk=Risk.write)
