"""Claims: who works on a work item, for how long, and how the work is handed on, completed and approved.

A claim is a lease: it ends by itself unless its holder says in time that the work goes on, so that work of whoever has
died comes back. Each claim of an item has a higher number, its *fence*: whoever comes with an older one comes too late,
however sure of the work they are. All of it changes the item's row where its version is still the one that was read
(one conditional update, its count of rows looked at), so of several who claim at once one does.

Times are the hub's own; those of its callers do not matter.
"""

import uuid
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.crud import load
from worklore.kernel.errors import ConflictError, InvalidError, NotFoundError
from worklore.kernel.types import iso
from worklore.kernel.wire import CleanStr, WireModel
from worklore.work.ready import ENDED, holder, obstacles, waits_for
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.work_item import WORK_ITEMS, WorkItem, WorkItemStatus, check

LEASE_SECONDS: Final = 900
SHORTEST: Final = 10
LONGEST: Final = 86_400

Seconds = Annotated[int, Field(ge=SHORTEST, le=LONGEST)]
Notes = Annotated[list[Annotated[CleanStr, Field(max_length=2_000)]], Field(max_length=50, default_factory=list)]


class ClaimWanted(WireModel):
    """How long the claim holds unless it is renewed, and who will do the work."""

    lease_seconds: Seconds = LEASE_SECONDS
    session_id: uuid.UUID | None = None
    """The work session that does it. Two agents of one person are told apart by theirs."""
    even_if_waiting: bool = False
    """Claim what waits for something else, too."""


class Held(WireModel):
    """The claim that the caller speaks from."""

    fence: int
    """The number that claiming it gave."""
    session_id: uuid.UUID | None = None
    """As it was claimed with."""


class Heartbeat(Held):
    """The work goes on."""

    lease_seconds: Seconds = LEASE_SECONDS


class Handoff(Held):
    """Where the work stands, for whoever goes on with it."""

    done: Notes
    remaining: Notes
    decisions: Notes
    uncertain: Notes


class Approval(WireModel):
    """Who looked at the work: another session than the one that did it."""

    session_id: uuid.UUID


class Claim(WireModel):
    """A work item's claim as it stands now."""

    id: uuid.UUID
    title: str
    status: WorkItemStatus
    version: int
    fence: int
    lease_owner: str | None
    lease_expires_at: str | None


def claim(ctx: Context, item: WorkItem, body: ClaimWanted) -> Claim:
    """Take a work item for yourself until the lease ends. What somebody holds, or what still waits, is refused.

    One's own claim can be taken anew: it gets a new fence.
    """
    session, owner = _owner(ctx, body.session_id)
    _refuse_held(ctx, item, owner)
    found = [obstacle for obstacle in obstacles(ctx, item) if obstacle.kind != "claim"]
    ended = item.deleted_at is not None or item.status in ENDED
    if found and (ended or not body.even_if_waiting):
        raise ConflictError(
            f"The item is not ready: {waits_for(found)}.", hint="Ask for ready work instead.", code="not-ready"
        )
    former = item.status
    item.status = WorkItemStatus.active
    item.lease_owner, item.lease_expires_at = owner, ctx.now() + timedelta(seconds=body.lease_seconds)
    item.fence += 1
    if session is not None:
        item.session_id = session.id
    return _saved(ctx, item, former)


def heartbeat(ctx: Context, item: WorkItem, body: Heartbeat) -> Claim:
    """Hold a claimed work item from now on for as long again. The answer says until when."""
    _refuse_late(ctx, item, body)
    item.lease_expires_at = ctx.now() + timedelta(seconds=body.lease_seconds)
    return _saved(ctx, item, item.status)


def release(ctx: Context, item: WorkItem, body: Held) -> Claim:
    """Give a claimed work item back, undone: it is open to others at once."""
    _refuse_late(ctx, item, body)
    return _let_go(ctx, item, WorkItemStatus.pending)


def handoff(ctx: Context, item: WorkItem, body: Handoff) -> Claim:
    """Give a claimed work item back and say where it stands. The next session in its project is told so.

    It is kept with the work session that the item was claimed with.
    """
    session = _refuse_late(ctx, item, body)
    if session is None:
        raise InvalidError("A handoff is kept with a work session: claim with one, and name it.", field="session_id")
    parts = body.model_dump(include={"done", "remaining", "decisions", "uncertain"})
    session.handoff = {"work_item_id": str(item.id), "title": item.title} | {name: s for name, s in parts.items() if s}
    return _let_go(ctx, item, WorkItemStatus.pending)


def complete(ctx: Context, item: WorkItem, body: Held) -> Claim:
    """Say that a claimed work item is done. The claim ends with it."""
    _refuse_late(ctx, item, body)
    return _let_go(ctx, item, WorkItemStatus.completed)


def approve(ctx: Context, item: WorkItem, body: Approval) -> Claim:
    """Approve completed work, from another session than the one that did it."""
    session, _ = _owner(ctx, body.session_id)
    if item.status is not WorkItemStatus.completed:
        raise ConflictError(f"The item is {item.status}, not completed.", hint="Complete it first.", code="not-done")
    if session is None or item.session_id == session.id:
        raise ConflictError(
            "The session that did the work cannot approve it.", hint="Approve it from another one.", code="own-work"
        )
    item.approved_by_session = session.id
    return _saved(ctx, item, item.status)


def _owner(ctx: Context, session_id: uuid.UUID | None) -> tuple[WorkSession | None, str]:
    """The session, and the holder's name: who asks, and in which session where that is told."""
    actor = ctx.principal.actor
    if session_id is None:
        return None, actor
    try:
        session: WorkSession = load(ctx, SESSIONS, session_id)
    except NotFoundError as error:
        raise InvalidError(f"session_id ({session_id}) names no session you can see.", field="session_id") from error
    return session, f"{actor} in {session_id}"


def _refuse_held(ctx: Context, item: WorkItem, owner: str) -> None:
    held = holder(item, ctx.now())
    if held is not None and held[0] != owner:
        raise ConflictError(
            f"The item is claimed by {held[0]} until {iso(held[1])}.",
            hint="Take other ready work, or wait for the lease to end.",
            code="claimed",
        )


def _refuse_late(ctx: Context, item: WorkItem, body: Held) -> WorkSession | None:
    """Refuse whoever does not hold the claim any more, and say why; gives the session of whoever does."""
    session, owner = _owner(ctx, body.session_id)
    held = holder(item, ctx.now())
    if held is not None and held[0] == owner and item.fence == body.fence:
        return session
    if held is None:
        why = "the lease is over" if item.lease_owner else "nobody holds it"
    elif item.fence == body.fence:
        why = f"it is {held[0]} who holds it"
    else:
        why = f"it was claimed anew since, by {held[0]}, and its fence is {item.fence}"
    raise ConflictError(
        f"Fence {body.fence} holds the item no more: {why}.",
        hint="Claim it again before you go on; look at what was done meanwhile.",
        code="claim-lost",
    )


def _let_go(ctx: Context, item: WorkItem, status: WorkItemStatus) -> Claim:
    former, item.status = item.status, status
    item.lease_owner = item.lease_expires_at = None
    return _saved(ctx, item, former)


def _saved(ctx: Context, item: WorkItem, former: WorkItemStatus) -> Claim:
    check(ctx, item, {"status": former} if former is not item.status else {})
    ctx.session.flush()
    return Claim(
        id=item.id,
        title=item.title,
        status=item.status,
        version=item.version,
        fence=item.fence,
        lease_owner=item.lease_owner,
        lease_expires_at=iso(item.lease_expires_at) if item.lease_expires_at else None,
    )


_ON: Final = WORK_ITEMS.name
CLAIMS: Final = (
    Action(run=claim, name="claim", on=_ON, scope="work-item:write", risk=Risk.write),
    Action(run=heartbeat, name="heartbeat", on=_ON, scope="work-item:write", risk=Risk.write),
    Action(run=release, name="release", on=_ON, scope="work-item:write", risk=Risk.write),
    Action(run=handoff, name="handoff", on=_ON, scope="work-item:write", risk=Risk.write),
    Action(run=complete, name="complete", on=_ON, scope="work-item:write", risk=Risk.write),
    Action(run=approve, name="approve", on=_ON, scope="work-item:write", risk=Risk.write),
)
