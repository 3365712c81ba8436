"""The summary of a session by rules: its title, what was asked first, its last words, what was done and decided.

One context for each session, made anew from the session's rows whenever they grow; it holds nothing that they do not.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select

from worklore.kernel.context import Context, ReadContext
from worklore.memory import tokens
from worklore.memory.context import ContextType, ConversationContext
from worklore.memory.decision import DecisionLog
from worklore.memory.trail.rows import trail_id
from worklore.memory.trail.step import bounded, one_line
from worklore.memory.trail.store import digest, edited, forgotten
from worklore.memory.window import Kind, MemoryWindow, Role
from worklore.trail.command import CommandRun
from worklore.trail.deployment import Deployment
from worklore.trail.failure import OperationFailure
from worklore.trail.file_change import FileChange
from worklore.work.pending_task import PendingTask, PendingTaskStatus
from worklore.work.session import WorkSession

MAX_WORDS: Final = 600
MAX_FILES: Final = 12
MAX_LINES: Final = 6
MAX_LINE: Final = 200
OPEN: Final = (PendingTaskStatus.pending, PendingTaskStatus.in_progress, PendingTaskStatus.blocked)


@dataclass(frozen=True, slots=True)
class Said:
    """What the windows that are about to be stored add: a session's summary is written before they are."""

    first: str = ""
    last: str = ""
    tokens: int = 0


def said(rows: Sequence[dict[str, Any]]) -> Said:
    """The same, of windows as rows."""
    first = next((row["text"] for row in rows if row["role"] is Role.user), "")
    last = next((row["text"] for row in reversed(rows) if row["role"] is Role.assistant and row["part"] == 0), "")
    return Said(first, last, sum(row["token_count"] for row in rows))


def summarise(ctx: Context, session: WorkSession, added: Said) -> None:
    """Write the session's summary, or write it anew; leave alone one that somebody has changed or deleted."""
    if session.project_id is None:
        return
    ctx.session.refresh(session, ["git_branch", "last_turn_at"])  # moved by a bulk statement
    key = trail_id(session.project_id, str(session.id), "session summary", 0)
    content = _content(ctx, session, added)
    known = ctx.session.get(ConversationContext, key)
    if known is None:
        if not forgotten(ctx, [key]):
            ctx.session.add(_new(session, key, content))
    elif not edited(content, {name: getattr(known, name) for name in (*content, "captured_digest")}):
        for name, value in content.items():
            if getattr(known, name) != value:
                setattr(known, name, value)
        known.captured_digest = digest(content)
        known.happened_at = session.last_turn_at
    ctx.session.flush()


def _new(session: WorkSession, key: uuid.UUID, content: dict[str, Any]) -> ConversationContext:
    return ConversationContext(
        id=key,
        session_id=session.id,
        project_id=session.project_id,
        machine_id=session.machine_id,
        context_type=ContextType.session_summary,
        source_uuid=str(session.id),
        happened_at=session.last_turn_at,
        captured_digest=digest(content),
        **content,
    )


def _content(ctx: ReadContext, session: WorkSession, added: Said) -> dict[str, Any]:
    counted = _counts(ctx, session.id)
    decided = _texts(ctx, DecisionLog.decision_text, DecisionLog, session.id)
    left = _texts(ctx, PendingTask.title, PendingTask, session.id, PendingTask.status.in_(OPEN))
    text = "\n".join(_lines(ctx, session, added, _Facts(counted, decided, left)))
    state: dict[str, Any] = {name: number for name, number in counted.items() if number}
    if session.git_branch:
        state["branch"] = session.git_branch
    if left:
        state["open"] = left
    before = select(func.sum(MemoryWindow.token_count)).where(
        MemoryWindow.session_id == session.id, MemoryWindow.kind == Kind.turn
    )
    return {
        "title": one_line(session.session_title, MAX_LINE) or "Session",
        "dense_summary": text,
        "key_decisions": decided or None,
        "current_state": state or None,
        "tokens_before": int(ctx.session.scalar(before) or 0) + added.tokens,
        "tokens_after": tokens.count(text),
    }


@dataclass(frozen=True, slots=True)
class _Facts:
    counted: dict[str, int]
    decided: list[str]
    left: list[str]


def _lines(ctx: ReadContext, session: WorkSession, added: Said, facts: _Facts) -> Iterable[str]:
    yield f"Session: {one_line(session.session_title, MAX_LINE)}"
    first = _word(ctx, session.id, Role.user, MemoryWindow.ordinal) or added.first
    if first:
        yield f"Asked: {one_line(first, MAX_WORDS)}"
    last = added.last or _word(ctx, session.id, Role.assistant, MemoryWindow.ordinal.desc())
    if last:
        yield f"Last words: {one_line(last, MAX_WORDS)}"
    done = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in facts.counted.items() if number)
    if done:
        yield f"Done: {done}"
    yield from _list("Files", _files(ctx, session.id))
    failed = _texts(ctx, CommandRun.command_text, CommandRun, session.id, CommandRun.success.is_(False))
    yield from _list("Commands that failed", failed)
    yield from _list("Deployed", _texts(ctx, Deployment.description, Deployment, session.id))
    yield from _list("Decided", facts.decided)
    yield from _list("Left to do", facts.left)


def _list(name: str, lines: list[str]) -> Iterable[str]:
    if lines:
        yield f"{name}:"
        yield from (f"- {line}" for line in lines)


def _counts(ctx: ReadContext, session_id: uuid.UUID) -> dict[str, int]:
    def number(model: type[Any], *conditions: ColumnElement[bool]) -> int:
        counted = select(func.count()).select_from(model).where(model.session_id == session_id, *conditions)
        return ctx.session.scalar(counted) or 0

    return {
        "commands": number(CommandRun),
        "failed_commands": number(CommandRun, CommandRun.success.is_(False)),
        "file_changes": number(FileChange),
        "other_failures": number(OperationFailure),
        "deployments": number(Deployment),
        "decisions": number(DecisionLog),
    }


def _texts(
    ctx: ReadContext, column: Any, model: type[Any], session_id: uuid.UUID, *conditions: ColumnElement[bool]
) -> list[str]:
    """The last few texts of the session's rows of a noun, oldest first, each once."""
    found: Select[Any] = (
        select(column)
        .where(model.session_id == session_id, *conditions)
        .order_by(model.happened_at.desc(), model.ordinal.desc(), model.id.desc())
        .limit(4 * MAX_LINES)
    )
    texts = [one_line(bounded(text or "", 4 * MAX_LINE), MAX_LINE) for text in ctx.session.scalars(found)]
    return list(dict.fromkeys(text for text in texts if text))[:MAX_LINES][::-1]


def _files(ctx: ReadContext, session_id: uuid.UUID) -> list[str]:
    """The files that were changed last, with how often."""
    last = func.max(FileChange.happened_at)
    found = (
        select(FileChange.file_path, func.count().label("times"))
        .where(FileChange.session_id == session_id)
        .group_by(FileChange.file_path)
        .order_by(last.desc(), FileChange.file_path)
        .limit(MAX_FILES)
    )
    return [
        f"{row.file_path} ({row.times} times)" if row.times > 1 else row.file_path for row in ctx.session.execute(found)
    ]


def _word(ctx: ReadContext, session_id: uuid.UUID, role: Role, order: Any) -> str:
    found = select(MemoryWindow.text).where(
        MemoryWindow.session_id == session_id, MemoryWindow.role == role, MemoryWindow.part == 0
    )
    return ctx.session.scalars(found.order_by(order).limit(1)).first() or ""
