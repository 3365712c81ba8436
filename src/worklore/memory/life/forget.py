"""Forgetting: a turn, a transcript, a session or a client, with everything that was made of it, and for good."""

import uuid
from typing import Final

from pydantic import Field
from sqlalchemy import select

from worklore.clients.client import Client
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import record_as_content
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.sequence import take
from worklore.kernel.types import uuid7
from worklore.kernel.wire import Why, WireModel
from worklore.knowledge.example import ENVIRONMENTAL_EXAMPLES
from worklore.knowledge.insight import ENVIRONMENTAL_INSIGHTS
from worklore.knowledge.pattern import FAILURE_PATTERNS
from worklore.memory.life.derived import Removed, Scope, remove, unanswer
from worklore.memory.life.forgotten import Forgotten, MemoryForget
from worklore.memory.source import Transcript
from worklore.memory.trail.store import TRAIL
from worklore.memory.window import SEQUENCE, Kind, MemoryWindow
from worklore.memory.written import OF_SESSIONS, columns_of
from worklore.work.pending_task import PENDING_TASKS
from worklore.work.session import SESSIONS, WorkSession

_LEARNED: Final = (FAILURE_PATTERNS, ENVIRONMENTAL_INSIGHTS, ENVIRONMENTAL_EXAMPLES)

for _resource in (*OF_SESSIONS, PENDING_TASKS):
    if _resource.model in {*TRAIL, MemoryWindow} or _resource in _LEARNED:
        record_as_content(_resource.model, columns_of(_resource))
record_as_content(MemoryWindow, ("tokens",))
record_as_content(FAILURE_PATTERNS.model, ("pattern_signature",))
record_as_content(SESSIONS.model, ("session_title", "summary", "handoff"))


class ToForget(WireModel):
    """Why something is to be forgotten; kept for good, so not in its words."""

    reason: Why


class Forgot(WireModel):
    """What was forgotten: rows that went or were made anew, by table. With ``dry_run`` nothing has."""

    id: uuid.UUID
    kind: Forgotten
    sessions: int
    rows: dict[str, int] = Field(default_factory=dict[str, int])


def forget_item(ctx: Context, window: MemoryWindow, body: ToForget) -> Forgot:
    """Forget a turn for good: all of its passages, what was done in it, and what was made of it."""
    if window.kind is not Kind.turn or window.session_id is None:
        raise ConflictError(
            "This tells of a work record, and goes with it.", hint="Delete the record.", code="memory-of-record"
        )
    session = ctx.session.get_one(WorkSession, window.session_id)
    scope = Scope(session, records=(window.source_uuid,))
    return _forget(ctx, Forgotten.item, window.id, [scope], body)


def forget_transcript(ctx: Context, transcript: Transcript, body: ToForget) -> Forgot:
    """Forget for good all that one transcript has told so far, and what was made of it."""
    session = ctx.session.get_one(WorkSession, transcript.session_id)
    return _forget(ctx, Forgotten.transcript, transcript.id, [Scope(session, transcript=transcript)], body)


def forget_session(ctx: Context, session: WorkSession, body: ToForget) -> Forgot:
    """Forget for good all that was captured of a session so far; the session itself, and its time, stay."""
    return _forget(ctx, Forgotten.session, session.id, [Scope(session)], body)


def forget_client(ctx: Context, client: Client, body: ToForget) -> Forgot:
    """Forget for good all that was captured for a client so far; what people entered stays."""
    found = ctx.session.scalars(select(WorkSession).where(WorkSession.client_id == client.id).order_by(WorkSession.id))
    return _forget(ctx, Forgotten.client, client.id, [Scope(session) for session in found.all()], body)


def _forget(ctx: Context, kind: Forgotten, key: uuid.UUID, scopes: list[Scope], body: ToForget) -> Forgot:
    done = Removed()
    for scope in scopes:
        remove(ctx, scope, done)
    unanswer(ctx, done)
    # Whoever has read up to here has seen that they are gone.
    take(ctx, SEQUENCE, 1)
    counts = {str(name): number for name, number in sorted(done.counts.items()) if number}
    row = MemoryForget(
        id=uuid7(),
        kind=kind,
        record_id=key,
        until=ctx.now(),
        reason=body.reason,
        actor=ctx.principal.actor,
        counts=counts,
    )
    if kind is Forgotten.client:
        row.client_id = key
    else:
        [scope] = scopes
        row.client_id, row.session_id = scope.session.client_id, scope.session.id
        row.source_uuid = scope.records[0] if scope.records else None
    ctx.session.add(row)
    ctx.session.flush()
    return Forgot(id=key, kind=kind, sessions=len(scopes), rows=counts)


SCOPE: Final = "memory:forget"
FORGET_ITEM: Final = Action(run=forget_item, name="forget", on="memory", scope=SCOPE, risk=Risk.destructive)
FORGET_TRANSCRIPT: Final = Action(
    run=forget_transcript, name="forget", on="transcript", scope=SCOPE, risk=Risk.destructive
)
FORGET_SESSION: Final = Action(run=forget_session, name="forget", on="session", scope=SCOPE, risk=Risk.destructive)
FORGET_CLIENT: Final = Action(run=forget_client, name="forget", on="client", scope=SCOPE, risk=Risk.destructive)
FORGETTING: Final = (FORGET_ITEM, FORGET_TRANSCRIPT, FORGET_SESSION, FORGET_CLIENT)
