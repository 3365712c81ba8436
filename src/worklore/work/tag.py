"""The vocabulary of labels, and the labels of sessions."""

import uuid

from pydantic import Field
from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import everyone
from worklore.kernel.db import Base, Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.kernel.wire import CleanStr, WireModel


class Tag(Created, Record):
    """A label that sessions and other records carry."""

    __tablename__ = "tags"
    __table_args__ = (Index(None, "category"), Index(None, "usage_count"))

    name: Mapped[str] = mapped_column(Line(100), unique=True)
    category: Mapped[str | None] = mapped_column(Line(50))
    description: Mapped[str | None]
    usage_count: Mapped[int] = column(default=0)


class SessionTag(Base):
    """A label on a session."""

    __tablename__ = "session_tags"
    __table_args__ = (Index(None, "session_id"), Index(None, "tag_id"))

    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True)


TAGS = Resource(
    model=Tag,
    name="tag",
    plural="tags",
    visible=everyone,
    filters=(Tag.name, Tag.category, Tag.usage_count),
    search=(Tag.name, Tag.description),
    columns=(Tag.name, Tag.category, Tag.usage_count),
    server_set=(Tag.usage_count,),
)


class TagNames(WireModel):
    """Labels by name."""

    names: list[CleanStr] = Field(min_length=1, max_length=50)
