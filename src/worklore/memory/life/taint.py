"""Sessions that have read what nobody vouches for: how that is marked, and how a person lets them go on.

A page of the web, a search, a mail or what another server's tool answers may hold text that is written to be obeyed.
No filter finds all of it, so nothing depends on one: a session that has read such a thing is tainted, and until its
time is over or a person approves, no agent and no program of the same person and machine is shown a secret, uses or
shares one. Deterministic, and decided by the hub's own clock: an agent can neither take its taint away nor outwait it
by saying that its session has ended.
"""

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import ForeignKey, Index, UniqueConstraint, and_, event, false, inspect, or_, select, update
from sqlalchemy.orm import Mapped, Session, UOWTransaction, mapped_column

from worklore.identity.containment import Deed
from worklore.kernel.access import Principal, PrincipalKind, through
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import CONTEXT, AuditedSession, record_event, unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base, Created, Record
from worklore.kernel.errors import ConflictError, ForbiddenError
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, uuid7
from worklore.kernel.wire import Why, WireModel
from worklore.memory.life.person import require_person
from worklore.memory.trail.step import Done
from worklore.work.session import SESSIONS, WorkSession

LIFE: Final = timedelta(hours=12)
"""How long after its last reading, or its last sign of life, a session stays tainted."""

LONGEST: Final = 240
"""Minutes of an approval."""

SHELL_FETCH: Final = re.compile(
    r"(?<![\w./-])(?:curl|wget|lynx|w3m|aria2c|httpie|gh\s+(?:api|issue|pr))(?![\w./:-])", re.IGNORECASE
)
"""Programs of a command line that show what somebody else has written."""

_HOST: Final = re.compile(r"\bhttps?://(\[[0-9a-f:]+\]|[^\s/:'\"?#]+)", re.IGNORECASE)
_OWN: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
NAMED: Final = {"webfetch": "web", "web_fetch": "web", "websearch": "search", "web_search": "search"}


class TaintKind(StrEnum):
    """What a session has read."""

    web = "web"
    search = "search"
    mcp = "mcp"
    mail = "mail"
    stated = "stated"


class SessionTaint(Created, Base):
    """That a session has read something nobody vouches for: what kind of thing, by which tool, and since when."""

    __tablename__ = "session_taints"
    __table_args__ = (UniqueConstraint("session_id", "kind", "tool"), Index(None, "created_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    kind: Mapped[TaintKind]
    tool: Mapped[str] = mapped_column(Line(100), doc="The tool that read it, or who says so.")
    source_uuid: Mapped[str | None] = mapped_column(Line(100), doc="The record of the transcript, the first one.")
    reason: Mapped[str | None]


SESSION_TAINTS = Resource(
    model=SessionTaint,
    name="session-taint",
    plural="session-taints",
    visible=through(SessionTaint.session_id, WorkSession, SESSIONS.visible),
    filters=(SessionTaint.session_id, SessionTaint.kind, SessionTaint.tool, SessionTaint.created_at),
    columns=(SessionTaint.session_id, SessionTaint.kind, SessionTaint.tool, SessionTaint.created_at),
    verbs=READ_ONLY,
)


class TaintApproval(Created, Record):
    """A person's word that a tainted session may do something all the same, until when and how often."""

    __tablename__ = "taint_approvals"
    __table_args__ = (Index(None, "session_id", "expires_at"), Index(None, "record_id"), Index(None, "created_at"))

    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    deed: Mapped[Deed]
    record_id: Mapped[uuid.UUID | None] = mapped_column(doc="The one record it is for; any when empty.")
    reason: Mapped[str]
    approved_by: Mapped[str] = mapped_column(Line(255))
    uses_left: Mapped[int | None] = mapped_column(doc="How often it still may; as often as wanted when empty.")
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


TAINT_APPROVALS = Resource(
    model=TaintApproval,
    name="taint-approval",
    plural="taint-approvals",
    visible=through(TaintApproval.session_id, WorkSession, SESSIONS.visible),
    filters=(
        TaintApproval.session_id,
        TaintApproval.deed,
        TaintApproval.record_id,
        TaintApproval.approved_by,
        TaintApproval.expires_at,
        TaintApproval.revoked_at,
    ),
    columns=(TaintApproval.session_id, TaintApproval.deed, TaintApproval.approved_by, TaintApproval.expires_at),
    verbs=READ_ONLY,
)

# --- what taints ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """Something read that nobody vouches for: what kind, by which tool, in which record."""

    kind: TaintKind
    tool: str
    record: str


def kind_of(tool: str, command: str = "") -> TaintKind | None:
    """What a call of a tool reads that nobody vouches for; None for all else. The hub's own tools are vouched for."""
    name = tool.strip().lower()
    if name.startswith("mcp__"):
        server = name.split("__")[1] if name.count("__") > 1 else name
        if server == "worklore":
            return None
        return TaintKind.mail if _MAIL.search(name) else TaintKind.mcp
    if name in NAMED:
        return TaintKind(NAMED[name])
    if _MAIL.search(name):
        return TaintKind.mail
    return TaintKind.web if _fetches(command) else None


def _fetches(command: str) -> bool:
    """True for a command line that reads from elsewhere; what the machine itself serves is not elsewhere."""
    hosts = {host.lower() for host in _HOST.findall(command)}
    return bool(SHELL_FETCH.search(command)) and not (hosts and hosts <= _OWN)


_MAIL: Final = re.compile(r"mail|outlook|imap|inbox", re.IGNORECASE)


def readings(done: Iterable[Done]) -> Iterator[Reading]:
    """What some calls have read that nobody vouches for, each kind and tool once."""
    seen: set[tuple[TaintKind, str]] = set()
    for each in done:
        tool = each.call.tool[:100]
        kind = kind_of(tool, each.call.text if each.call.shell else "")
        if kind is not None and (kind, tool) not in seen:
            seen.add((kind, tool))
            yield Reading(kind, tool, each.call.uuid[:100])


def taint(ctx: Context, session: WorkSession, found: Sequence[Reading], reason: str | None = None) -> None:
    """Mark a session as one that has read something; again moves the time on."""
    if not found:
        return
    known = {
        (row.kind, row.tool)
        for row in ctx.session.execute(
            select(SessionTaint.kind, SessionTaint.tool).where(SessionTaint.session_id == session.id)
        )
    }
    for each in found:
        if (each.kind, each.tool) not in known:
            ctx.session.add(
                SessionTaint(
                    id=uuid7(),
                    session_id=session.id,
                    kind=each.kind,
                    tool=each.tool,
                    source_uuid=each.record or None,
                    reason=reason,
                )
            )
    marked = update(WorkSession).where(WorkSession.id == session.id).values(tainted_at=ctx.now())
    ctx.session.execute(
        unaudited(marked, "each kind of reading has a row of its own").execution_options(synchronize_session=False)
    )
    ctx.session.flush()


class Tainting(WireModel):
    """What a session has read that nobody vouches for."""

    kind: TaintKind = TaintKind.stated
    reason: Why


class Tainted(WireModel):
    """A session that has read something nobody vouches for."""

    session_id: uuid.UUID
    tainted_at: datetime
    kinds: list[TaintKind]


def mark(ctx: Context, session: WorkSession, body: Tainting) -> Tainted:
    """Say that a session has read something nobody vouches for: secrets are held back from it then."""
    taint(ctx, session, [Reading(body.kind, ctx.principal.actor[:100], "")], body.reason)
    kinds = select(SessionTaint.kind).where(SessionTaint.session_id == session.id).order_by(SessionTaint.created_at)
    return Tainted(session_id=session.id, tainted_at=ctx.now(), kinds=list(dict.fromkeys(ctx.session.scalars(kinds))))


# --- a person's word ------------------------------------------------------------------------------------------------


class Approving(WireModel):
    """What a tainted session may do all the same, on which record, how often and for how many minutes."""

    deed: Deed
    record_id: uuid.UUID | None = None
    reason: Why
    minutes: Annotated[int, Field(ge=1, le=LONGEST)] = 15
    uses: Annotated[int, Field(ge=1, le=100)] | None = 1
    """How often; null for as often as wanted within the time."""


NEEDED: Final = {
    Deed.reveal: "credential:reveal",
    Deed.use: "credential:use",
    Deed.share: "share-link:write",
    Deed.cross_client: "client:read",
}
"""Nobody approves what they may not do themselves: the scope for each deed."""


class Approved(WireModel):
    """A person's word that a tainted session may do something all the same."""

    id: uuid.UUID
    session_id: uuid.UUID
    deed: Deed
    record_id: uuid.UUID | None
    approved_by: str
    uses_left: int | None
    expires_at: datetime


def approve(ctx: Context, session: WorkSession, body: Approving) -> Approved:
    """Let a tainted session do something all the same. Only a person who has signed in can, never an agent."""
    require_person(ctx, "approve what a tainted session does", signed_in=True)
    if session.tainted_at is None:
        raise ConflictError(
            "The session has read nothing that taints it.", hint="Nothing is held back.", code="session-untainted"
        )
    ctx.principal.require(NEEDED[body.deed])
    given = TaintApproval(
        id=uuid7(),
        session_id=session.id,
        deed=body.deed,
        record_id=body.record_id,
        reason=body.reason,
        approved_by=ctx.principal.on_behalf_of or ctx.principal.actor,
        # Each look at the record is one; nobody counts those.
        uses_left=None if body.deed is Deed.cross_client else body.uses,
        expires_at=ctx.now() + timedelta(minutes=body.minutes),
    )
    ctx.session.add(given)
    ctx.session.flush()
    return Approved.model_validate(given, from_attributes=True)


class Cleared(WireModel):
    """A session that a person vouches for."""

    session_id: uuid.UUID


class Clearing(WireModel):
    """Why a person vouches for what a session has read."""

    reason: Why


def clear(ctx: Context, session: WorkSession, body: Clearing) -> Cleared:
    """Vouch for what a session has read so far: it is tainted no more. Only a person who has signed in can."""
    require_person(ctx, "vouch for what a session has read", signed_in=True)
    session.tainted_at = None
    ctx.session.flush()
    record_event(ctx, "untaint", WorkSession.__tablename__, session.id, {"reason": body.reason})
    return Cleared(session_id=session.id)


def revoke(ctx: Context, approval: TaintApproval) -> Approved:
    """Take an approval back. Again is no error."""
    if approval.revoked_at is None:
        approval.revoked_at = ctx.now()
        ctx.session.flush()
    return Approved.model_validate(approval, from_attributes=True)


# --- the guard ------------------------------------------------------------------------------------------------------


def tainted_sessions(ctx: ReadContext, who: Principal | None = None) -> list[uuid.UUID]:
    """The tainted sessions that the caller, or another principal, may be the hand of: of the same person or machine.

    A token says who holds it and not in which session, and what a program says of its session it may have been told
    to say. So all count that it could be. A person who has signed in is no program's hand.
    """
    who = who or ctx.principal
    if who.signed_in or who.kind is PrincipalKind.system:
        return []
    since = ctx.now() - LIFE
    alive = and_(
        WorkSession.tainted_at.is_not(None), or_(WorkSession.tainted_at > since, WorkSession.last_heartbeat > since)
    )
    mine = or_(
        false() if who.user_id is None else WorkSession.user_id == who.user_id,
        false() if who.machine_id is None else WorkSession.machine_id == who.machine_id,
    )
    return list(ctx.session.scalars(select(WorkSession.id).where(alive, mine).order_by(WorkSession.tainted_at.desc())))


HELD: Final = ("tainted_at", "user_id", "machine_id", "client_id", "project_id")
"""What of a tainted session says whose hands are bound, and what they may still touch."""


@event.listens_for(AuditedSession, "before_flush", insert=True)
def _hold(session: Session, _flush: UOWTransaction, _: object) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    """Nobody slips out of a taint by deleting the tainted session, or by making it another one's."""
    who: Principal = session.info[CONTEXT].principal
    if who.signed_in or who.kind is PrincipalKind.system:
        return
    for record in (*session.dirty, *session.deleted):
        if isinstance(record, WorkSession) and _escapes(record, gone=record in session.deleted):
            raise ForbiddenError(
                "The session has read something from outside, and only a person may move it or delete it.",
                hint="Ask a person to do it, or to vouch for what the session has read.",
                code="session-tainted",
                session_id=str(record.id),
            )


def _escapes(record: WorkSession, *, gone: bool) -> bool:
    state = inspect(record)
    former = state.attrs.tainted_at.history
    tainted = (former.deleted or former.unchanged or [None])[0] is not None
    return tainted and (gone or any(state.attrs[name].history.has_changes() for name in HELD))


def refuse_tainted(ctx: ReadContext, deed: Deed, record: uuid.UUID | None) -> None:
    """The guard of secrets; see :mod:`worklore.identity.containment`. An approval is used up by what it allows."""
    for session_id in tainted_sessions(ctx):
        if not _approved(ctx, session_id, deed, record):
            raise ForbiddenError(
                "A session of yours has read something from outside that nobody vouches for.",
                hint="Ask a person to approve it: signed in, `worklore session approve`. You cannot do that yourself.",
                code="session-tainted",
                session_id=str(session_id),
                deed=deed.value,
            )


def clients_left(ctx: ReadContext, agent: Principal) -> frozenset[uuid.UUID] | None:
    """The clients that an agent still sees; None where it is not tainted, or where a person lets it see others.

    It sees those that each of its tainted sessions is of: one that is of no client leaves none.
    """
    held = [key for key in tainted_sessions(ctx, agent) if not _approved(ctx, key, Deed.cross_client, None)]
    if not held:
        return None
    owners = set(ctx.session.scalars(select(WorkSession.client_id).where(WorkSession.id.in_(held))))
    named = frozenset(owner for owner in owners if owner is not None)
    return named if len(owners) == 1 else frozenset()


def _approved(ctx: ReadContext, session_id: uuid.UUID, deed: Deed, record: uuid.UUID | None) -> bool:
    standing = (
        TaintApproval.session_id == session_id,
        TaintApproval.deed == deed,
        TaintApproval.revoked_at.is_(None),
        TaintApproval.expires_at > ctx.now(),
        or_(TaintApproval.record_id.is_(None), TaintApproval.record_id == record),
        or_(TaintApproval.uses_left.is_(None), TaintApproval.uses_left > 0),
    )
    found = select(TaintApproval).where(*standing).order_by(TaintApproval.expires_at, TaintApproval.id)
    for approval in ctx.session.scalars(found).all():
        if approval.uses_left is None or (isinstance(ctx, Context) and _used(ctx, approval)):
            return True
    return False


def _used(ctx: Context, approval: TaintApproval) -> bool:
    """Count a use; False when another one was quicker and it was the last."""
    left = update(TaintApproval).where(TaintApproval.id == approval.id, TaintApproval.uses_left > 0)
    counted = left.values(uses_left=TaintApproval.uses_left - 1, version=TaintApproval.version + 1)
    moved = ctx.session.connection().execute(counted.execution_options(synchronize_session=False))
    if not moved.rowcount:
        return False
    facts = {"deed": approval.deed.value, "session": str(approval.session_id)}
    record_event(ctx, "approval-used", TaintApproval.__tablename__, approval.id, facts)
    ctx.session.expire(approval)
    return True


TAINT: Final = Action(run=mark, name="taint", on="session", scope="session:write", risk=Risk.write)
APPROVE: Final = Action(run=approve, name="approve", on="session", scope="session:approve", risk=Risk.secret)
CLEAR: Final = Action(run=clear, name="vouch", on="session", scope="session:approve", risk=Risk.secret)
REVOKE_APPROVAL: Final = Action(
    run=revoke, name="withdraw", on="taint-approval", scope="session:approve", risk=Risk.write
)
TAINTING: Final = (TAINT, APPROVE, CLEAR, REVOKE_APPROVAL)
