"""Compressed memory of a conversation, a session or a state of affairs."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklore.clients.ownership import one_client
from worklore.kernel.access import any_of, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.memory.context_tag import keep_tags
from worklore.work.bounds import within
from worklore.work.project import PROJECTS, Project
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.traced import Traced, traced


class ContextType(StrEnum):
    """What a context sums up."""

    session_summary = "session_summary"
    project_state = "project_state"
    general_context = "general_context"
    technical_decision = "technical_decision"


class ConversationContext(Traced, Stamped, Record):
    """Compressed memory of a conversation, a session or a state of affairs."""

    __tablename__ = "conversation_contexts"
    __table_args__ = (
        UniqueConstraint("project_id", "content_hash"),
        CheckConstraint("relevance_score BETWEEN 0 AND 10", name="relevance_score"),
        *(Index(None, name) for name in ("session_id", "project_id", "machine_id", "context_type", "relevance_score")),
    )

    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("machines.id", ondelete="SET NULL"))
    context_type: Mapped[ContextType]
    title: Mapped[str] = mapped_column(Line(200))
    dense_summary: Mapped[str | None]
    key_decisions: Mapped[list[Any] | None]
    current_state: Mapped[dict[str, Any] | None]
    tags: Mapped[list[str] | None]
    relevance_score: Mapped[float] = column(default=1.0)
    importance: Mapped[int] = column(default=5)
    usage_count: Mapped[int] = column(default=0)
    last_used_at: Mapped[datetime | None]
    tokens_before: Mapped[int | None]
    tokens_after: Mapped[int | None]
    content_hash: Mapped[str | None] = mapped_column(Line(64))


def check(ctx: Context, context: ConversationContext, before: Mapping[str, Any]) -> None:
    """Session and project belong to one client; the score stays in range; tags can be looked up."""
    one_client(ctx, context, before)
    within(context, "relevance_score", 0, 10)
    keep_tags(ctx, context, before)


CONTEXTS = Resource(
    model=ConversationContext,
    name="context",
    plural="conversation-contexts",
    visible=any_of(
        (
            through(ConversationContext.project_id, Project, PROJECTS.visible),
            through(ConversationContext.session_id, WorkSession, SESSIONS.visible),
        )
    ),
    filters=(
        ConversationContext.session_id,
        ConversationContext.project_id,
        ConversationContext.machine_id,
        ConversationContext.context_type,
        ConversationContext.relevance_score,
        ConversationContext.importance,
        ConversationContext.source_uuid,
    ),
    search=(ConversationContext.title, ConversationContext.dense_summary),
    columns=(ConversationContext.title, ConversationContext.context_type, ConversationContext.relevance_score),
    by=(("project", ConversationContext.project_id), ("session", ConversationContext.session_id)),
    server_set=(ConversationContext.usage_count, ConversationContext.last_used_at, *traced(ConversationContext)),
    hidden=(ConversationContext.captured_digest,),
    check=check,
)
