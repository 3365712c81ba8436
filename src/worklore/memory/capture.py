"""From an agent's transcript to the record: the session, its trail, and the windows that recall finds.

The client sends a transcript in pieces, each from the byte offset the hub has reached. Offset and rows move in one
transaction, so a piece sent twice, or a sender killed at any moment, loses nothing and doubles nothing; records that
appear in several files (resumed sessions) are told by their uuid.

A file that is sent again from its start is *captured again*: what the rules of today make of it gets the ids of before,
so that nothing doubles, what says something else gets a new version, and what somebody has deleted stays deleted.
"""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import insert, select, update

from worklore.identity.user import User
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import record_batch, unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import ConflictError
from worklore.kernel.sequence import take
from worklore.kernel.types import uuid7
from worklore.kernel.wire import INT32, INT64, Clean, WireModel
from worklore.memory import tokens
from worklore.memory.life.correct import corrected_of
from worklore.memory.life.forgotten import lost, state_without, unread, without
from worklore.memory.life.taint import readings, taint
from worklore.memory.redaction import received
from worklore.memory.source import Transcript, TranscriptCursor
from worklore.memory.trail import known as names
from worklore.memory.trail.readers import reader_of
from worklore.memory.trail.rows import Whereabouts, lines_of
from worklore.memory.trail.rows import rows_of as trail_rows
from worklore.memory.trail.step import Read
from worklore.memory.trail.store import batches, forgotten, keep, keep_usage
from worklore.memory.trail.summary import said as said_in
from worklore.memory.trail.summary import summarise
from worklore.memory.transcript import Turn
from worklore.memory.units import passages, unit_terms
from worklore.memory.window import SEQUENCE, WINDOWS, MemoryWindow, Role
from worklore.work.identity import Folder, identify
from worklore.work.news import leave_news
from worklore.work.project import Project
from worklore.work.session import SESSIONS, WorkSession

MAX_TITLE: Final = 200
UNTITLED: Final = "Untitled session"
MAX_OTHERS: Final = 1_000
BATCH: Final = 400
"""Ids of one IN list, and rows of one INSERT."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), Clean]


class Piece(WireModel):
    """A piece of a transcript file."""

    agent: Annotated[str, Field(min_length=1, max_length=100), Clean]
    session: Annotated[str, Field(min_length=1, max_length=200), Clean]
    """The agent's own id of the session."""
    source: Annotated[str, Field(min_length=1, max_length=4000), Clean]
    """The file's path on the machine."""
    from_: Annotated[int, Field(ge=0, lt=INT64, alias="from")]
    """Byte offset where the piece begins: where the hub is, or 0 when the file was written anew."""
    to: Annotated[int, Field(ge=0, lt=INT64)]
    tail_digest: Digest | None = None
    """SHA-256 of the up to 4,096 bytes of the file before ``to``."""
    records: list[Any] = Field(default_factory=list[Any])
    """The file's records in order, as JSON objects."""
    skipped: Annotated[int, Field(ge=0, lt=INT32)] = 0
    malformed: Annotated[int, Field(ge=0, lt=INT32)] = 0
    identity: Folder
    event: Annotated[str, Field(max_length=50), Clean] | None = None


class Captured(WireModel):
    """How far the hub has the file now, and what came of the piece."""

    offset: int
    windows: int
    duplicates: int


class CursorOf(WireModel):
    """How far the hub has a transcript file."""

    offset: int
    tail_digest: str | None
    others: dict[str, int] = Field(default_factory=dict[str, int])
    """The session's other files on this machine, those of sub-agents among them, and how far the hub has each."""


def cursor(ctx: ReadContext, agent: str, session: str, source: str) -> CursorOf:
    """How far the hub has a file; offset 0 for one it does not know."""
    known = (
        select(Transcript.source, Transcript.source_digest, TranscriptCursor.byte_offset, TranscriptCursor.tail_digest)
        .join(TranscriptCursor, TranscriptCursor.transcript_id == Transcript.id)
        .where(Transcript.agent_client == agent)
    )
    own = _source_digest(ctx, session, source)
    found = ctx.session.execute(known.where(Transcript.source_digest == own)).one_or_none()
    others = ctx.session.execute(
        known.join(WorkSession, WorkSession.id == Transcript.session_id)
        .where(WorkSession.agent_client == agent, WorkSession.external_key == session)
        .where(Transcript.source_digest != own, Transcript.machine_id == ctx.principal.machine_id)
        .limit(MAX_OTHERS)
    ).all()
    return CursorOf(
        offset=found.byte_offset if found else 0,
        tail_digest=found.tail_digest if found else None,
        others={row.source: row.byte_offset for row in others},
    )


def capture(ctx: Context, body: Piece) -> Captured:
    """Take in a piece of a transcript; what the hub has of it already is passed over."""
    if body.to < body.from_:
        raise ConflictError("The piece ends before it begins.", code="cursor-mismatch", offset=body.from_)
    project = ctx.session.get_one(Project, identify(ctx, body.identity).id)
    session = ensure_session(ctx, body.agent, body.session, project)
    transcript, at = _transcript(ctx, body, session)
    if body.from_ not in {at.byte_offset, 0}:
        raise ConflictError(
            f"The hub has this file up to byte {at.byte_offset}.", code="cursor-mismatch", offset=at.byte_offset
        )
    again = body.from_ == 0 < at.byte_offset
    if again:
        at.records = at.skipped = at.malformed = 0
    state: dict[str, Any] = {} if body.from_ == 0 else deepcopy(at.state or {})
    records = received(ctx, body.records, client_id=session.client_id, session_id=session.id)
    gone = lost(ctx, transcript, session)
    read = reader_of(body.agent)(without(records, gone), state, source=body.source)
    unread(read, gone)
    state = state_without(state, gone.records) if gone.records else state
    said = read.turns
    known = _known(ctx, transcript.project_id, [turn.uuid for turn in said])
    fresh = list({turn.uuid: turn for turn in said if turn.uuid not in known | gone.records}.values())
    rows = _rows(ctx, session, transcript, at.next_ordinal, fresh)
    if said:
        at.last_uuid = said[-1].uuid
    # What somebody has deleted says nothing any more, to a title or to a rule.
    read.forgotten = {turn.uuid for turn in said} - known - {row["source_uuid"] for row in rows}
    remembered = [turn for turn in said if turn.uuid not in read.forgotten]
    if remembered:
        _touch(ctx, session, remembered)
    taint(ctx, session, list(readings(read.done)))
    done = _keep_trail(ctx, session, transcript, read, state)
    at.byte_offset, at.tail_digest, at.state = body.to, body.tail_digest, state
    at.next_ordinal += len(fresh)
    at.records += len(body.records)
    at.skipped = min(at.skipped + body.skipped, INT32 - 1)
    at.malformed = min(at.malformed + body.malformed, INT32 - 1)
    if rows or done:
        summarise(ctx, session, said_in(rows))
    leave_news(ctx, session.id)
    ctx.session.flush()
    rewritten = rewrite(ctx, transcript, [turn for turn in said if turn.uuid in known]) if again else 0
    store(ctx, rows, client_id=transcript.client_id)
    return Captured(offset=body.to, windows=len(rows) + rewritten, duplicates=len(said) - len(fresh))


def _keep_trail(ctx: Context, session: WorkSession, transcript: Transcript, read: Read, state: dict[str, Any]) -> int:
    """What was done and what it cost, as rows of the record; how many rows were made or changed."""
    lines = lines_of(read)
    machine = names.machine_name(ctx, transcript.machine_id)
    where = Whereabouts(
        project=transcript.project_id,
        session=session.id,
        client=transcript.client_id,
        now=ctx.now(),
        machine=machine,
        asset=names.assets(ctx, transcript.client_id, lines.values(), machine if lines else ""),
        item_of_branch=names.items_of_branches(ctx, transcript.project_id, read),
        named_items=names.named_items(ctx, transcript.project_id, read, state),
    )
    keep_usage(ctx, read.usage, session.id, transcript.project_id)
    return keep(ctx, trail_rows(read, lines, state, where), client_id=transcript.client_id)


CAPTURE: Final = Action(run=capture, name="capture", scope="memory:write", risk=Risk.write)


def ensure_session(ctx: Context, agent: str, external_key: str, project: Project) -> WorkSession:
    """The session an agent calls by its own id; made when the hub does not know it."""
    session = session_of(ctx, agent, external_key)
    if session is not None:
        return session
    user = ctx.session.get(User, ctx.principal.user_id) if ctx.principal.user_id else None
    session = WorkSession(
        id=uuid7(),
        client_id=project.client_id,
        project_id=project.id,
        machine_id=ctx.principal.machine_id,
        user_id=ctx.principal.user_id,
        technician=user.name if user else None,
        session_title=UNTITLED,
        session_date=ctx.now().date(),
        agent_client=agent,
        external_key=external_key,
        last_heartbeat=ctx.now(),
    )
    ctx.session.add(session)
    ctx.session.flush()
    return session


def session_of(ctx: ReadContext, agent: str, external_key: str) -> WorkSession | None:
    """The session an agent calls by its own id, if the hub knows it.

    Raises:
        ConflictError: it belongs to a client the caller may not see.
    """
    found = select(WorkSession).where(WorkSession.agent_client == agent, WorkSession.external_key == external_key)
    session = ctx.session.scalars(found).one_or_none()
    if session is not None and ctx.principal.clients is not None:
        visible = found.where(SESSIONS.visible(ctx.principal))
        if ctx.session.scalars(visible).one_or_none() is None:
            raise ConflictError("The session belongs to a client you cannot see.", code="session-elsewhere")
    return session


def _source_digest(ctx: ReadContext, session: str, source: str) -> str:
    named = f"{ctx.principal.machine_id}\n{session}\n{source}"
    return hashlib.sha256(named.encode()).hexdigest()


def _transcript(ctx: Context, body: Piece, session: WorkSession) -> tuple[Transcript, TranscriptCursor]:
    digest = _source_digest(ctx, body.session, body.source)
    transcript = ctx.session.scalars(
        select(Transcript).where(Transcript.agent_client == body.agent, Transcript.source_digest == digest)
    ).one_or_none()
    if transcript is None:
        transcript = Transcript(
            id=uuid7(),
            session_id=session.id,
            project_id=session.project_id,
            client_id=session.client_id,
            machine_id=ctx.principal.machine_id,
            agent_client=body.agent,
            external_key=body.session,
            source=body.source,
            source_digest=digest,
        )
        ctx.session.add(transcript)
        ctx.session.flush()
        ctx.session.add(TranscriptCursor(transcript_id=transcript.id, byte_offset=0, next_ordinal=0))
        ctx.session.flush()
    # Held until commit: a second sender of the same piece waits, and is then told where the cursor is.
    at = ctx.session.get_one(TranscriptCursor, transcript.id, with_for_update=True, populate_existing=True)
    return transcript, at


def _known(ctx: ReadContext, project_id: uuid.UUID, uuids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(uuids), BATCH):
        some = select(MemoryWindow.source_uuid).where(
            MemoryWindow.project_id == project_id, MemoryWindow.source_uuid.in_(uuids[start : start + BATCH])
        )
        known.update(ctx.session.scalars(some))
    return known


def _rows(
    ctx: Context, session: WorkSession, transcript: Transcript, ordinal: int, said: Sequence[Turn]
) -> list[dict[str, Any]]:
    """The windows of some turns, but for those that somebody has deleted."""
    person = session.technician or Role.user.value
    shared = {
        "session_id": session.id,
        "project_id": transcript.project_id,
        "client_id": transcript.client_id,
        "machine_id": transcript.machine_id,
        "transcript_id": transcript.id,
        "created_at": ctx.now(),
        "trust": "transcript",
        "version": 1,
    }
    rows: list[dict[str, Any]] = [
        shared | row | {"id": window_id(transcript.project_id, turn.uuid, row["part"])}
        for place, turn in enumerate(said, ordinal)
        for row in rows_of(turn, place, author=person if turn.role == Role.user else turn.role, now=ctx.now())
    ]
    gone = forgotten(ctx, [row["id"] for row in rows])
    return [row for row in rows if row["id"] not in gone]


def window_id(project_id: uuid.UUID, source_uuid: str, part: int) -> uuid.UUID:
    """The id of a window: what is captured again, or deleted and captured again, is the same window."""
    return uuid.uuid5(project_id, f"{source_uuid}\nwindow\n{part}")


def _stored(ctx: ReadContext, transcript: Transcript, uuids: Sequence[str]) -> dict[str, list[MemoryWindow]]:
    """The windows of some turns, each turn's in their order; none of those that a person has corrected."""
    stored: dict[str, list[MemoryWindow]] = {}
    for some in batches(uuids):
        found = select(MemoryWindow).where(
            MemoryWindow.project_id == transcript.project_id, MemoryWindow.source_uuid.in_(some)
        )
        for window in ctx.session.scalars(found.order_by(MemoryWindow.part)):
            stored.setdefault(window.source_uuid, []).append(window)
    corrected = corrected_of(ctx, [window.id for windows in stored.values() for window in windows])
    return {key: windows for key, windows in stored.items() if not corrected & {window.id for window in windows}}


def rewrite(ctx: Context, transcript: Transcript, said: Sequence[Turn]) -> int:
    """Give windows that are stored the text that their turn has now; how many were changed.

    A turn of which somebody has deleted or corrected a part stays as it is.
    """
    turns = {turn.uuid: turn for turn in said}
    stored = _stored(ctx, transcript, list(turns))
    changed: list[MemoryWindow] = []
    added: list[dict[str, Any]] = []
    for key, windows in stored.items():
        pieces = passages(turns[key].text)
        if len(windows) != windows[0].parts or [window.text for window in windows] == [piece.text for piece in pieces]:
            continue
        first = windows[0]
        fresh = list(rows_of(turns[key], first.ordinal, author=first.author, now=first.said_at))
        for window, row in zip(windows, fresh, strict=False):
            window.text, window.tokens, window.token_count = row["text"], row["tokens"], row["token_count"]
            window.parts = row["parts"]
            changed.append(window)
        for window in windows[len(fresh) :]:
            ctx.session.delete(window)
        shared = {name: getattr(first, name) for name in _SHARED}
        for row in fresh[len(windows) :]:
            own = window_id(transcript.project_id, key, row["part"])
            # The turn is whole: nobody has deleted this part, though it may have gone when the turn was shorter.
            part_id = uuid7() if forgotten(ctx, [own]) else own
            added.append(shared | row | {"id": part_id, "created_at": ctx.now()})
    if changed:
        for window, seq in zip(changed, take(ctx, SEQUENCE, len(changed)), strict=True):
            window.seq = seq
        ctx.session.flush()
    store(ctx, added, client_id=transcript.client_id)
    return len(changed) + len(added)


_SHARED: Final = (
    "session_id",
    "project_id",
    "client_id",
    "machine_id",
    "transcript_id",
    "trust",
    "version",
)


def rows_of(turn: Turn, ordinal: int, *, author: str, now: datetime) -> Iterator[dict[str, Any]]:
    """The windows of a turn, but for what they share with the others of their transcript."""
    for passage in passages(turn.text):
        role = "" if turn.role == Role.person else turn.role
        yield {
            "id": uuid7(),
            "source_uuid": turn.uuid[:100],
            "ordinal": ordinal,
            "part": passage.part,
            "parts": passage.parts,
            "role": Role(turn.role),
            "author": author,
            "said_at": turn.time or now,
            "text": passage.text,
            "tokens": " ".join(unit_terms(passage.text, author=author, role=role)),
            "token_count": tokens.count(passage.text),
            "git_branch": turn.git_branch[:255] if turn.git_branch else None,
        }


def store(ctx: Context, rows: list[dict[str, Any]], *, client_id: uuid.UUID | None) -> None:
    """Write windows with numbers of their own, last in the unit of work: other captures wait for its commit."""
    if not rows:
        return
    for row, seq in zip(rows, take(ctx, SEQUENCE, len(rows)), strict=True):
        row["seq"] = seq
    connection = ctx.session.connection()
    for start in range(0, len(rows), BATCH):
        connection.execute(insert(MemoryWindow), rows[start : start + BATCH])
    table = WINDOWS.table.description
    record_batch(ctx, table, [row["id"] for row in rows], action="capture", client_id=client_id)


def _touch(ctx: Context, session: WorkSession, said: Sequence[Turn]) -> None:
    """The session goes on: its times, its branch, and a title once somebody has said what it is about."""
    times = [turn.time for turn in said if turn.time is not None]
    first = next((turn.text for turn in said if turn.role == Role.user), None)
    if session.session_title == UNTITLED and first:
        session.session_title = " ".join(first.split())[:MAX_TITLE]
        ctx.session.flush()
    if not times:
        return
    start, end = session.start_time, session.end_time
    values: dict[str, Any] = {
        "start_time": min(times) if start is None else min(start, *times),
        "end_time": max(times) if end is None else max(end, *times),
        # A file that is sent again passes through what was last before.
        "last_turn_at": max(times) if session.last_turn_at is None else max(session.last_turn_at, *times),
        "last_heartbeat": ctx.now(),
        "updated_at": ctx.now(),
        "session_date": (min(times) if start is None else min(start, *times)).date(),
    }
    branch = next((turn.git_branch for turn in reversed(said) if turn.git_branch), None)
    if branch:
        values["git_branch"] = branch[:255]
    alive = update(WorkSession).where(WorkSession.id == session.id).values(**values)
    ctx.session.execute(unaudited(alive, "signs of life, not decisions").execution_options(synchronize_session=False))
