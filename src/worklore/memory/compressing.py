"""The compressors where the product needs them: contexts of sessions, snippets, the brief of a project's state."""

import hashlib
import uuid
from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import select

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.crud import load
from worklore.kernel.errors import InvalidError
from worklore.kernel.types import uuid7
from worklore.kernel.wire import Clean, WireModel
from worklore.memory import context, snippet, tokens
from worklore.memory.compress.conversation import Said, conversation
from worklore.memory.compress.decision import decision, decisions
from worklore.memory.compress.file_changes import FileStep, file_changes
from worklore.memory.compress.merge import Memory, merge
from worklore.memory.compress.project_state import State, project_state
from worklore.memory.compress.snippet import BUDGET as SNIPPET_BUDGET
from worklore.memory.compress.snippet import snippet as made_of
from worklore.memory.compress.tags import tags
from worklore.memory.context import ContextType, ConversationContext
from worklore.memory.decision import DecisionLog
from worklore.memory.frame import neutral
from worklore.memory.project_state import ProjectState
from worklore.memory.snippet import ContextSnippet, SnippetCategory
from worklore.memory.window import Kind, MemoryWindow
from worklore.trail.command import CommandRun
from worklore.trail.file_change import FileChange
from worklore.work.pending_task import PendingTask, PendingTaskStatus
from worklore.work.project import PROJECTS
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.tag import Tag
from worklore.work.tagging import TagSynonym

BUDGET: Final = 400
"""Tokens of a session's context unless another budget is given."""

TITLE: Final = 200
FILES_SHARE: Final = 4
"""One part in so many of a context's budget is for files and for commands that failed."""

MOST: Final = 10


class SessionAsked(WireModel):
    """A session to be summed up."""

    session_id: uuid.UUID
    budget: Annotated[int, Field(ge=50, le=4000)] = BUDGET
    """Tokens of the summary."""


class ContextMade(WireModel):
    """The context of a session, and what it saves."""

    id: uuid.UUID
    dense_summary: str
    tags: list[str]
    tokens_before: int
    tokens_after: int


def compress_session(ctx: Context, body: SessionAsked) -> ContextMade:
    """Sum a session up as its context: its most telling sentences, what failed, the files it changed, its decisions."""
    session: WorkSession = load(ctx, SESSIONS, body.session_id)
    turns = _turns(ctx, session)
    if not turns:
        raise InvalidError(
            "Nothing was said in this session that memory holds.",
            hint="Capture its transcript first.",
            field="session_id",
        )
    extra = _trail(ctx, session, body.budget // FILES_SHARE)
    made = conversation(turns, body.budget - tokens.count(extra) - 1)
    summary = neutral("\n".join(part for part in (made.text, extra) if part))
    whole = "\n".join(turn.text for turn in turns)
    # What people wrote of the session, and what capture did, stays as it is.
    source = f"{session.id} compressed"
    found = ctx.session.scalars(
        select(ConversationContext).where(
            ConversationContext.session_id == session.id, ConversationContext.source_uuid == source
        )
    ).first()
    kept = found or ConversationContext(
        id=uuid7(),
        session_id=session.id,
        project_id=session.project_id,
        machine_id=session.machine_id,
        source_uuid=source,
    )
    kept.context_type = ContextType.session_summary
    kept.title = session.session_title[:TITLE]
    kept.dense_summary = summary
    kept.key_decisions = [one.text for one in decisions(whole)][:MOST]
    labels, size = tags(whole, synonyms=_synonyms(ctx), known=_labels(ctx)), tokens.count(summary)
    kept.tags = labels
    kept.tokens_before, kept.tokens_after = made.tokens_before, size
    kept.content_hash = hashlib.sha256(f"{session.id}\n{whole}".encode()).hexdigest()
    context.check(ctx, kept, {"tags": None} if found else {})
    ctx.session.add(kept)
    ctx.session.flush()
    return ContextMade(
        id=kept.id,
        dense_summary=summary,
        tags=labels,
        tokens_before=made.tokens_before,
        tokens_after=size,
    )


COMPRESS_SESSION: Final = Action(
    run=compress_session, name="compress", path="conversation-contexts/compress", scope="context:write", risk=Risk.write
)


class SnippetAsked(WireModel):
    """A text to be kept as a snippet."""

    text: Annotated[str, Field(min_length=1, max_length=100_000), Clean]
    project_id: uuid.UUID | None = None
    category: SnippetCategory | None = None
    """What it is; told from the text where it is not given."""
    budget: Annotated[int, Field(ge=20, le=1000)] = SNIPPET_BUDGET
    """Tokens of the snippet."""


class SnippetMade(WireModel):
    """The snippet, and what it saves."""

    id: uuid.UUID
    title: str
    dense_content: str
    category: SnippetCategory
    tags: list[str]
    importance: int
    tokens_before: int
    tokens_after: int


def make_snippet(ctx: Context, body: SnippetAsked) -> SnippetMade:
    """Keep the dense part of a text as a snippet, with a title, tags and a starting importance worked out from it."""
    project = load(ctx, PROJECTS, body.project_id) if body.project_id else None
    made = made_of(body.text, budget=body.budget, synonyms=_synonyms(ctx), known=_labels(ctx))
    if not made.content:
        raise InvalidError("There is nothing in this text to keep.", field="text")
    kept = ContextSnippet(
        id=uuid7(),
        project_id=project.id if project else None,
        category=body.category or SnippetCategory(made.category),
        title=made.title[:TITLE],
        dense_content=made.content,
        tags=list(made.tags),
        importance=made.importance,
    )
    snippet.check(ctx, kept, {})
    ctx.session.add(kept)
    ctx.session.flush()
    return SnippetMade(
        id=kept.id,
        title=kept.title,
        dense_content=kept.dense_content,
        category=kept.category,
        tags=list(made.tags),
        importance=made.importance,
        tokens_before=made.tokens_before,
        tokens_after=made.tokens_after,
    )


MAKE_SNIPPET: Final = Action(
    run=make_snippet, name="make", path="context-snippets/make", scope="snippet:write", risk=Risk.write
)


class BriefAsked(WireModel):
    """How long a brief may be."""

    budget: Annotated[int, Field(ge=50, le=4000)] = BUDGET
    """Tokens."""


class StateBrief(WireModel):
    """A project's state within a budget."""

    text: str
    tokens: int


def state_brief(ctx: ReadContext, state: ProjectState, body: BriefAsked) -> StateBrief:
    """A project's state within a budget of tokens: where it stands, what blocks it, what is next, what was decided."""
    logged = select(DecisionLog).where(DecisionLog.project_id == state.project_id)
    rows = ctx.session.scalars(logged.order_by(DecisionLog.created_at.desc(), DecisionLog.id.desc()).limit(5 * MOST))
    lines = [
        Memory(
            decision(row.decision_text, row.rationale, row.alternatives_considered, row.impact),
            (str(row.id),),
            row.created_at,
        )
        for row in rows
    ]
    waiting = select(PendingTask.title).where(
        PendingTask.project_id == state.project_id, PendingTask.status != PendingTaskStatus.completed
    )
    fitted = project_state(
        State(
            phase=state.current_phase or "",
            progress=state.progress_percentage,
            summary=state.context_summary or "",
            blockers=state.blockers or (),
            next_actions=state.next_actions or (),
            decisions=[one.text for one in merge(lines)] or [str(one) for one in state.important_decisions or ()],
            open_tasks=list(ctx.session.scalars(waiting.order_by(PendingTask.created_at.desc()).limit(MOST))),
            files=state.key_files or (),
        ),
        body.budget,
    )
    return StateBrief(text=neutral(fitted.text), tokens=fitted.tokens)


STATE_BRIEF: Final = Action(
    run=state_brief, name="brief", on="project-state", scope="project-state:read", risk=Risk.read
)


def _turns(ctx: ReadContext, session: WorkSession) -> list[Said]:
    """What was said in a session, turn by turn; passages of a turn are put together again."""
    said = select(MemoryWindow.source_uuid, MemoryWindow.role, MemoryWindow.text).where(
        MemoryWindow.session_id == session.id, MemoryWindow.kind == Kind.turn
    )
    turns: dict[str, tuple[str, list[str]]] = {}
    for row in ctx.session.execute(said.order_by(MemoryWindow.ordinal, MemoryWindow.part)):
        turns.setdefault(row.source_uuid, (row.role.value, []))[1].append(row.text)
    return [Said(role, "".join(parts)) for role, parts in turns.values()]


def _trail(ctx: ReadContext, session: WorkSession, budget: int) -> str:
    """What failed in a session and the files it changed, as far as a budget goes."""
    failed = select(CommandRun.command_text, CommandRun.error_message).where(
        CommandRun.session_id == session.id, CommandRun.success.is_(False)
    )
    lines = [
        f"Failed: {_first_line(row.command_text)}: {_first_line(row.error_message or '')}".rstrip(": ")
        for row in ctx.session.execute(failed.order_by(CommandRun.executed_at).limit(5 * MOST))
    ]
    changed = select(FileChange.file_path, FileChange.change_type).where(FileChange.session_id == session.id)
    steps = (FileStep(row.file_path, row.change_type) for row in ctx.session.execute(changed.order_by(FileChange.id)))
    files = file_changes(steps)
    if files.text:
        lines += [f"Files, {files.steps} changes of {files.files}:", *files.text.split("\n")]
    return _within(dict.fromkeys(lines), budget)


def _within(lines: Iterable[str], budget: int) -> str:
    kept = ""
    for line in lines:
        longer = f"{kept}\n{line}".strip()
        if tokens.count_within(longer, budget) is None:
            break
        kept = longer
    return kept


def _first_line(text: str, most: int = 120) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= most else line[: most - 1] + "…"


def _labels(ctx: ReadContext) -> list[str]:
    return list(ctx.session.scalars(select(Tag.name)))


def _synonyms(ctx: ReadContext) -> dict[str, str]:
    named = select(TagSynonym.synonym, Tag.name).join(Tag, Tag.id == TagSynonym.tag_id)
    return {row.synonym: row.name for row in ctx.session.execute(named)}
