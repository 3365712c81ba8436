"""What was said in agents' sessions, as capture would have stored it, and the summaries made of it."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from worklore.memory import tokens
from worklore.memory.capture import rows_of
from worklore.memory.context import ContextType, ConversationContext
from worklore.memory.source import Transcript, TranscriptCursor
from worklore.memory.transcript import Turn
from worklore.memory.window import Kind
from worklore.ops.demo.provider import Technician
from worklore.ops.demo.recall_tags import keep_tags
from worklore.ops.demo.rows import Row, Rows

AGENT: Final = "claude-code"
BYTES_A_TURN: Final = 900
"""What a turn takes up in a transcript, its records of tools included."""


def converse(
    rows: Rows, session: Row, talk: Sequence[tuple[str, str]], names: dict[str, Any], technician: Technician
) -> list[Row]:
    """The windows of a session's conversation, without their sequence numbers; its transcript goes to ``rows``."""
    starts, key = session["start_time"], session["external_key"]
    source = f"{technician.home}/.claude/projects/{key}.jsonl"
    transcript = rows.add(
        Transcript,
        starts,
        session_id=session["id"],
        project_id=session["project_id"],
        client_id=session["client_id"],
        machine_id=session["machine_id"],
        agent_client=AGENT,
        external_key=key,
        source=source,
        source_digest=hashlib.sha256(f"{session['machine_id']}\n{key}\n{source}".encode()).hexdigest(),
    )
    said = [line.format_map(names) for pair in talk for line in pair]
    step = (session["end_time"] - starts) / (len(said) + 1)
    shared = {
        name: session[name] for name in ("project_id", "client_id", "machine_id")
    } | {
        "session_id": session["id"], "transcript_id": transcript["id"], "version": 1, "trust": "transcript",
        "valid_from": None, "valid_to": None, "superseded_by": None,
        "kind": Kind.turn, "record_id": None, "infrastructure_id": None,
    }  # fmt: skip
    windows: list[Row] = []
    last = ""
    for ordinal, text in enumerate(said):
        at = starts + step * (ordinal + 1)
        role = "assistant" if ordinal % 2 else "user"
        last = str(rows.key(at))
        turn = Turn(last, role, text, at, session=key, git_branch="main")
        author = technician.name if role == "user" else role
        made = rows_of(turn, ordinal, author=author, now=at)
        stamps = {"created_at": at + timedelta(seconds=30)}
        windows += [window | shared | stamps | {"id": rows.key(at)} for window in made]
    rows.add(
        TranscriptCursor,
        session["end_time"],
        transcript_id=transcript["id"],
        byte_offset=len(said) * BYTES_A_TURN,
        tail_digest=hashlib.sha256(last.encode()).hexdigest(),
        last_uuid=last,
        next_ordinal=len(said),
        records=len(said),
    )
    if rows.likely(0.25):
        _summary(rows, session, said)
    return windows


def _summary(rows: Rows, session: Row, said: Sequence[str]) -> None:
    at, text = session["end_time"], f"{session['session_title']}. {session['summary']}"
    before, after = sum(map(tokens.count, said)), tokens.count(text)
    context = rows.add(
        ConversationContext,
        at,
        session_id=session["id"],
        project_id=session["project_id"],
        machine_id=session["machine_id"],
        context_type=ContextType.session_summary,
        title=session["session_title"][:200],
        dense_summary=text,
        key_decisions=[session["summary"]],
        tags=["summary"],
        relevance_score=round(rows.chance.uniform(1, 9), 2),
        importance=rows.chance.randrange(3, 9),
        tokens_before=before,
        tokens_after=after,
        content_hash=hashlib.sha256(f"{session['id']}{text}".encode()).hexdigest(),
    )
    keep_tags(rows, ConversationContext.__tablename__, context)
