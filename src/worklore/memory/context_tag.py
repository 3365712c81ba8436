"""Normalised tags of contexts and snippets, so that recall by tag is an index look-up."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import any_of, through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line
from worklore.memory.context import CONTEXTS, ConversationContext
from worklore.memory.snippet import SNIPPETS, ContextSnippet


class ContextTag(Created, Record):
    """A normalised tag of a context or of a snippet."""

    __tablename__ = "context_tags"
    __table_args__ = (
        UniqueConstraint("context_id", "tag"),
        UniqueConstraint("snippet_id", "tag"),
        CheckConstraint("(context_id IS NULL) <> (snippet_id IS NULL)", name="one_bearer"),
        Index(None, "tag"),
    )

    context_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("conversation_contexts.id", ondelete="CASCADE"))
    snippet_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("context_snippets.id", ondelete="CASCADE"))
    tag: Mapped[str] = mapped_column(Line(100), doc="Lower case, single spaces; kept so by the server.")

    context: Mapped[ConversationContext | None] = relationship(
        backref=backref("normalised_tags", viewonly=True), viewonly=True
    )
    snippet: Mapped[ContextSnippet | None] = relationship(
        backref=backref("normalised_tags", viewonly=True), viewonly=True
    )


def normalised_tag(text: str) -> str:
    """A tag as it is compared: lower case, runs of white space as one space, none at the ends."""
    return " ".join(text.lower().split())


def check(_: Context, tag: ContextTag, __: Mapping[str, Any]) -> None:
    """A tag stands on exactly one context or snippet, in normal form."""
    if (tag.context_id is None) == (tag.snippet_id is None):
        raise InvalidError("Exactly one of context_id and snippet_id is set.", field="context_id")
    normal = normalised_tag(tag.tag)
    if not normal or len(normal) > 100:  # noqa: PLR2004 - the column's length; lower case can be longer
        raise InvalidError(f"tag has {len(normal)} characters; it has 1 to 100.", field="tag")
    if normal != tag.tag:
        tag.tag = normal


CONTEXT_TAGS = Resource(
    model=ContextTag,
    name="context-tag",
    plural="context-tags",
    visible=any_of(
        (
            through(ContextTag.context_id, ConversationContext, CONTEXTS.visible),
            through(ContextTag.snippet_id, ContextSnippet, SNIPPETS.visible),
        )
    ),
    filters=(ContextTag.context_id, ContextTag.snippet_id, ContextTag.tag),
    columns=(ContextTag.tag, ContextTag.context_id, ContextTag.snippet_id),
    fixed=(ContextTag.context_id, ContextTag.snippet_id),
    check=check,
)
