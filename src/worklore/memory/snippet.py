"""Small reusable facts, decisions, patterns and lessons."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.memory.context_tag import keep_tags
from worklore.work.bounds import within
from worklore.work.project import PROJECTS, Project


class SnippetCategory(StrEnum):
    """What a snippet holds."""

    decision = "decision"
    pattern = "pattern"
    lesson = "lesson"
    blocker = "blocker"
    state = "state"


class ContextSnippet(Stamped, Record):
    """A small reusable fact, decision, pattern or lesson."""

    __tablename__ = "context_snippets"
    __table_args__ = (
        CheckConstraint("relevance_score BETWEEN 0 AND 10", name="relevance_score"),
        Index(None, "project_id", "program"),
        *(Index(None, name) for name in ("client_id", "category", "relevance_score", "usage_count")),
    )

    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="SET NULL"))
    category: Mapped[SnippetCategory]
    title: Mapped[str] = mapped_column(Line(200))
    dense_content: Mapped[str]
    structured_data: Mapped[dict[str, Any] | None]
    tags: Mapped[list[str] | None]
    relevance_score: Mapped[float] = column(default=1.0)
    importance: Mapped[int] = column(default=5)
    usage_count: Mapped[int] = column(default=0)
    last_used_at: Mapped[datetime | None]
    program: Mapped[str | None] = mapped_column(
        Line(50), doc="The program whose memory this was; empty for what was written down here."
    )
    source: Mapped[str | None] = mapped_column(doc="The file it was imported from.")
    source_key: Mapped[str | None] = mapped_column(Line(500), doc="What it is called there.")
    source_digest: Mapped[str | None] = mapped_column(
        Line(64), doc="SHA-256 of what was sent last: by it the next import tells what has changed."
    )
    happened_at: Mapped[datetime | None] = mapped_column(doc="When it was written there.")
    captured_digest: Mapped[str | None] = mapped_column(
        Line(64), doc="SHA-256 of what the import wrote: it leaves alone what somebody has changed since."
    )

    project: Mapped[Project | None] = relationship(backref=backref("context_snippets", viewonly=True), viewonly=True)
    client: Mapped[Client | None] = relationship(backref=backref("context_snippets", viewonly=True), viewonly=True)


def check(ctx: Context, snippet: ContextSnippet, before: Mapping[str, Any]) -> None:
    """A snippet of a project belongs to the project's client; its score stays in range; its tags can be looked up."""
    one_client(ctx, snippet, before)
    within(snippet, "relevance_score", 0, 10)
    keep_tags(ctx, snippet, before)


SNIPPETS = Resource(
    model=ContextSnippet,
    name="snippet",
    plural="context-snippets",
    visible=any_of(
        (by_client(ContextSnippet.client_id), through(ContextSnippet.project_id, Project, PROJECTS.visible))
    ),
    filters=(
        ContextSnippet.project_id,
        ContextSnippet.client_id,
        ContextSnippet.category,
        ContextSnippet.relevance_score,
        ContextSnippet.importance,
        ContextSnippet.usage_count,
        ContextSnippet.last_used_at,
        ContextSnippet.program,
        ContextSnippet.source_key,
        ContextSnippet.happened_at,
    ),
    search=(ContextSnippet.title, ContextSnippet.dense_content),
    columns=(ContextSnippet.title, ContextSnippet.category, ContextSnippet.relevance_score, ContextSnippet.usage_count),
    by=(("project", ContextSnippet.project_id), ("client", ContextSnippet.client_id)),
    server_set=(
        ContextSnippet.usage_count,
        ContextSnippet.last_used_at,
        ContextSnippet.program,
        ContextSnippet.source,
        ContextSnippet.source_key,
        ContextSnippet.source_digest,
        ContextSnippet.happened_at,
        ContextSnippet.captured_digest,
    ),
    hidden=(ContextSnippet.captured_digest,),
    check=check,
)
