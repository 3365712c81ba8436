"""Where a memory comes from and what became of it."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import or_, select

from worklore.identity.machine import Machine
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.wire import WireModel
from worklore.memory.life.contradict import Contradicted, contradictions, shown
from worklore.memory.life.correct import Correction
from worklore.memory.life.stale import stale
from worklore.memory.life.supersede import Supersession, chain
from worklore.memory.life.taint import SessionTaint, TaintKind
from worklore.memory.life.trust import trust_of
from worklore.memory.source import Transcript
from worklore.memory.window import WINDOWS, MemoryWindow, Trust
from worklore.work.session import WorkSession


class SourceOf(WireModel):
    """The transcript that a memory was read from, and where that was written."""

    transcript_id: uuid.UUID | None
    agent: str | None
    file: str | None
    machine_id: uuid.UUID | None
    machine: str | None
    session_id: uuid.UUID | None
    session: str | None
    record: str
    tainted_by: list[TaintKind]
    """What its session has read that nobody vouches for."""


class SupersessionOf(WireModel):
    """That a memory took the place of another one."""

    id: uuid.UUID
    window_id: uuid.UUID
    by_id: uuid.UUID
    valid_from: datetime
    reason: str
    actor: str
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None


class CorrectionOf(WireModel):
    """What a memory said before, and who corrected it."""

    id: uuid.UUID
    former_text: str
    reason: str
    author: str
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None


class Provenance(WireModel):
    """Where a memory comes from, how far it can be relied on, and what became of it."""

    id: uuid.UUID
    author: str
    role: str
    said_at: datetime
    trust: Trust
    """The least of its own and of those it took the place of with nothing but their words."""
    source: SourceOf
    parents: list[uuid.UUID]
    """The memories it took the place of."""
    holds: uuid.UUID
    """The memory that holds now: itself, or the last of those that took its place."""
    stale: str | None
    """Why it may be out of date, as the record tells."""
    corrections: list[CorrectionOf]
    supersessions: list[SupersessionOf]
    contradictions: list[Contradicted]


def provenance(ctx: ReadContext, window: MemoryWindow) -> Provenance:
    """Where a memory comes from and what became of it: source, trust, corrections, supersessions, contradictions."""
    passed = _supersessions(ctx, window.id)
    parents = [each.window_id for each in passed if each.by_id == window.id and each.undone_at is None]
    return Provenance(
        id=window.id,
        author=window.author,
        role=window.role.value,
        said_at=window.said_at,
        trust=_trust(ctx, window, parents),
        source=_source(ctx, window),
        parents=parents,
        holds=chain(ctx, window)[-1],
        stale=stale(ctx, [window]).get(window.id),
        corrections=[CorrectionOf.model_validate(each, from_attributes=True) for each in _corrections(ctx, window.id)],
        supersessions=[SupersessionOf.model_validate(each, from_attributes=True) for each in passed],
        contradictions=[shown(each) for each in contradictions(ctx, window.id)],
    )


def _trust(ctx: ReadContext, window: MemoryWindow, parents: Sequence[uuid.UUID]) -> Trust:
    """A person's word needs no parents; all else is worth no more than the least of them."""
    own = trust_of([window.trust])
    if own is Trust.confirmed or not parents:
        return own
    levels = ctx.session.scalars(select(MemoryWindow.trust).where(MemoryWindow.id.in_(parents))).all()
    return trust_of([own, *levels])


def _source(ctx: ReadContext, window: MemoryWindow) -> SourceOf:
    transcript = ctx.session.get(Transcript, window.transcript_id) if window.transcript_id else None
    machine = ctx.session.get(Machine, window.machine_id) if window.machine_id else None
    session = ctx.session.get(WorkSession, window.session_id) if window.session_id else None
    kinds = select(SessionTaint.kind).where(SessionTaint.session_id == window.session_id)
    kinds = kinds.where(SessionTaint.created_at <= window.created_at).order_by(SessionTaint.created_at)
    return SourceOf(
        transcript_id=window.transcript_id,
        agent=transcript.agent_client if transcript else None,
        file=transcript.source if transcript else None,
        machine_id=window.machine_id,
        machine=(machine.friendly_name or machine.hostname) if machine else None,
        session_id=window.session_id,
        session=session.session_title if session else None,
        record=window.source_uuid,
        tainted_by=list(dict.fromkeys(ctx.session.scalars(kinds))),
    )


def _supersessions(ctx: ReadContext, window_id: uuid.UUID) -> Sequence[Supersession]:
    """Those that name a window on either side, where the caller may see both."""
    seen = select(MemoryWindow.id).where(WINDOWS.visible(ctx.principal))
    found = select(Supersession).where(
        or_(Supersession.window_id == window_id, Supersession.by_id == window_id),
        Supersession.window_id.in_(seen),
        Supersession.by_id.in_(seen),
    )
    return ctx.session.scalars(found.order_by(Supersession.created_at, Supersession.id)).all()


def _corrections(ctx: ReadContext, window_id: uuid.UUID) -> Sequence[Correction]:
    found = select(Correction).where(Correction.window_id == window_id)
    return ctx.session.scalars(found.order_by(Correction.created_at, Correction.id)).all()


PROVENANCE: Final = Action(run=provenance, name="provenance", on="memory", scope="memory:read", risk=Risk.read)
