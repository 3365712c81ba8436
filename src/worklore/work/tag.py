"""The vocabulary of labels, and the labels of sessions."""

import uuid

from pydantic import Field
from sqlalchemy import ForeignKey, Index, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import everyone
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.kernel.wire import CleanStr, WireModel
from worklore.work.session import WorkSession


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


class SessionTags(WireModel):
    """The labels a session has now, in alphabetical order."""

    names: list[str]


def _labels(ctx: Context, session: WorkSession) -> SessionTags:
    found = select(Tag.name).join(SessionTag).where(SessionTag.session_id == session.id).order_by(Tag.name)
    return SessionTags(names=list(ctx.session.scalars(found)))


def _recount(ctx: Context, tags: list[uuid.UUID]) -> None:
    used = select(func.count()).where(SessionTag.tag_id == Tag.id).scalar_subquery()
    recount = update(Tag).where(Tag.id.in_(tags)).values(usage_count=used)
    ctx.session.execute(
        unaudited(recount, "a count derived from audited rows").execution_options(synchronize_session=False)
    )


def tag_session(ctx: Context, session: WorkSession, body: TagNames) -> SessionTags:
    """Label a session. Labels that do not exist yet are made; those it has already stay."""
    tags: list[uuid.UUID] = []
    for name in dict.fromkeys(name.strip().lower()[:100] for name in body.names):
        tag = ctx.session.scalars(select(Tag).where(Tag.name == name)).one_or_none()
        if tag is None:
            tag = Tag(name=name)
            ctx.session.add(tag)
            ctx.session.flush()
        tags.append(tag.id)
        if ctx.session.get(SessionTag, (session.id, tag.id)) is None:
            ctx.session.add(SessionTag(session_id=session.id, tag_id=tag.id))
    ctx.session.flush()
    _recount(ctx, tags)
    return _labels(ctx, session)


def untag_session(ctx: Context, session: WorkSession, body: TagNames) -> SessionTags:
    """Take labels off a session. Those it does not have are passed over."""
    names = {name.strip().lower() for name in body.names}
    found = select(SessionTag).join(Tag).where(SessionTag.session_id == session.id, Tag.name.in_(sorted(names)))
    links = list(ctx.session.scalars(found))
    tags = [link.tag_id for link in links]
    for link in links:
        ctx.session.delete(link)
    ctx.session.flush()
    _recount(ctx, tags)
    return _labels(ctx, session)


TAG_SESSION = Action(run=tag_session, name="tag", on="session", scope="session:write", risk=Risk.write)
UNTAG_SESSION = Action(run=untag_session, name="untag", on="session", scope="session:write", risk=Risk.write)
