"""Normalised tags of contexts, snippets and decisions, so that recall by tag is an index look-up."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import InvalidError
from worklore.kernel.types import Line

if TYPE_CHECKING:
    from worklore.memory.context import ConversationContext
    from worklore.memory.decision import DecisionLog
    from worklore.memory.snippet import ContextSnippet

    _Bearer = ConversationContext | ContextSnippet | DecisionLog

MAX_TAG: Final = 100
BEARERS: Final = {
    "conversation_contexts": "context_id",
    "context_snippets": "snippet_id",
    "decision_logs": "decision_id",
}
"""The column that names a record with tags, by its table."""


class ContextTag(Created, Record):
    """A normalised tag of a context, a snippet or a decision; the hub keeps it from the record's own tags."""

    __tablename__ = "context_tags"
    __table_args__ = (
        UniqueConstraint("context_id", "tag"),
        UniqueConstraint("snippet_id", "tag"),
        UniqueConstraint("decision_id", "tag"),
        CheckConstraint(
            " + ".join(f"(CASE WHEN {name} IS NULL THEN 0 ELSE 1 END)" for name in BEARERS.values()) + " = 1",
            name="one_bearer",
        ),
        Index(None, "tag"),
    )
    audited = False
    derived = True

    context_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("conversation_contexts.id", ondelete="CASCADE"))
    snippet_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("context_snippets.id", ondelete="CASCADE"))
    decision_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("decision_logs.id", ondelete="CASCADE"))
    tag: Mapped[str] = mapped_column(Line(MAX_TAG), doc="Lower case, single spaces.")

    context: Mapped["ConversationContext | None"] = relationship()
    snippet: Mapped["ContextSnippet | None"] = relationship()
    decision: Mapped["DecisionLog | None"] = relationship()


def normalised_tag(text: str) -> str:
    """A tag as it is compared: lower case, runs of white space as one space, none at the ends."""
    return " ".join(text.lower().split())


def keep_tags(
    ctx: Context, record: "ConversationContext | ContextSnippet | DecisionLog", before: Mapping[str, Any]
) -> None:
    """Let the normalised tags be those of a record that is about to be stored.

    Raises:
        InvalidError: a tag is empty or too long.
    """
    if before and "tags" not in before:
        return
    wanted = {normalised_tag(tag) for tag in record.tags or ()}
    if any(not 0 < len(tag) <= MAX_TAG for tag in wanted):
        raise InvalidError(f"A tag has 1 to {MAX_TAG} characters.", field="tags")
    bearer = BEARERS[record.__tablename__]
    stored = select(ContextTag).where(ContextTag.__table__.c[bearer] == record.id)
    # A new record may have no id yet; it has no tags either.
    kept = {tag.tag: tag for tag in ctx.session.scalars(stored)} if record.id else {}
    for text in kept.keys() - wanted:
        ctx.session.delete(kept[text])
    for text in sorted(wanted - kept.keys()):
        ctx.session.add(ContextTag(**{bearer.removesuffix("_id"): record, "tag": text}))
