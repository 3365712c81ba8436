"""Labels on sessions, work items and infrastructure, and other words for a label."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, func, select, update
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship
from sqlalchemy.sql.elements import NamedColumn

from worklore.estate.infrastructure import Infrastructure
from worklore.kernel.access import everyone
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Record
from worklore.kernel.errors import ConflictError, InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line
from worklore.kernel.wire import WireModel
from worklore.work.session import WorkSession
from worklore.work.tag import SessionTag, Tag, TagNames
from worklore.work.work_item import WorkItem

MAX_NAME: Final = 100


class WorkItemTag(Base):
    """A label on a work item."""

    __tablename__ = "work_item_tags"
    __table_args__ = (Index(None, "work_item_id"), Index(None, "tag_id"))

    work_item_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True)

    work_item: Mapped[WorkItem] = relationship(backref=backref("tag_links", viewonly=True), viewonly=True)
    tag: Mapped[Tag] = relationship(backref=backref("work_item_links", viewonly=True), viewonly=True)


class InfrastructureTag(Base):
    """A label on an asset."""

    __tablename__ = "infrastructure_tags"
    __table_args__ = (Index(None, "infrastructure_id"), Index(None, "tag_id"))

    infrastructure_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("infrastructure.id", ondelete="CASCADE"), primary_key=True
    )
    tag_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True)

    infrastructure: Mapped[Infrastructure] = relationship(backref=backref("tag_links", viewonly=True), viewonly=True)
    tag: Mapped[Tag] = relationship(backref=backref("infrastructure_links", viewonly=True), viewonly=True)


class TagSynonym(Record):
    """Another word for a label: whoever uses it gets the label."""

    __tablename__ = "tag_synonyms"
    __table_args__ = (Index(None, "tag_id"),)

    tag_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"))
    synonym: Mapped[str] = mapped_column(Line(MAX_NAME), unique=True)

    tag: Mapped[Tag] = relationship(backref=backref("synonyms", viewonly=True), viewonly=True)


LINKS: Final[tuple[type[Base], ...]] = (SessionTag, WorkItemTag, InfrastructureTag)


def tag_name(text: str) -> str:
    """A label as it is kept: lower case, no blanks around it, at most 100 characters."""
    return text.strip().lower()[:MAX_NAME].rstrip()


def check_synonym(ctx: Context, synonym: TagSynonym, _: Mapping[str, Any]) -> None:
    """A synonym is kept like a label, and is none itself."""
    synonym.synonym = tag_name(synonym.synonym)
    if not synonym.synonym:
        raise InvalidError("synonym cannot be empty.", field="synonym")
    if ctx.session.scalars(select(Tag.id).where(Tag.name == synonym.synonym)).first() is not None:
        raise ConflictError(f"synonym ({synonym.synonym}) is a tag itself.", field="synonym")


TAG_SYNONYMS = Resource(
    model=TagSynonym,
    name="tag-synonym",
    plural="tag-synonyms",
    visible=everyone,
    filters=(TagSynonym.tag_id, TagSynonym.synonym),
    search=(TagSynonym.synonym,),
    columns=(TagSynonym.synonym, TagSynonym.tag_id),
    check=check_synonym,
)


class Labels(WireModel):
    """The labels a record has now, in alphabetical order."""

    names: list[str]


def _names(body: TagNames) -> list[str]:
    return [name for name in dict.fromkeys(tag_name(name) for name in body.names) if name]


def _find(ctx: Context, name: str) -> Tag | None:
    """The tag of this name, or the one it is a synonym of."""
    named = ctx.session.scalars(select(Tag).where(Tag.name == name)).one_or_none()
    return named or ctx.session.scalars(select(Tag).join(TagSynonym).where(TagSynonym.synonym == name)).one_or_none()


def _owner(link: type[Base]) -> NamedColumn[Any]:
    """The column of a link that names what is labelled."""
    return next(column for column in link.__table__.primary_key if column.name != "tag_id")


def _labels(ctx: Context, link: type[Base], record: Record) -> Labels:
    tag_ids = select(link.__table__.c.tag_id).where(_owner(link) == record.id)
    return Labels(names=list(ctx.session.scalars(select(Tag.name).where(Tag.id.in_(tag_ids)).order_by(Tag.name))))


def _recount(ctx: Context, tags: Iterable[uuid.UUID]) -> None:
    counts = [
        select(func.count()).where(link.__table__.c.tag_id == Tag.id).correlate(Tag).scalar_subquery() for link in LINKS
    ]
    recount = update(Tag).where(Tag.id.in_(sorted(tags))).values(usage_count=counts[0] + counts[1] + counts[2])
    ctx.session.execute(
        unaudited(recount, "a count derived from audited rows").execution_options(synchronize_session=False)
    )


def _tag(ctx: Context, link: type[Base], record: Record, body: TagNames) -> Labels:
    names = _names(body)
    if not names:
        raise InvalidError("names holds no label but blanks.", field="names")
    tags: set[uuid.UUID] = set()
    for name in names:
        tag = _find(ctx, name)
        if tag is None:
            tag = Tag(name=name)
            ctx.session.add(tag)
            ctx.session.flush()
        key = {_owner(link).name: record.id, "tag_id": tag.id}
        if tag.id not in tags and ctx.session.get(link, key) is None:
            ctx.session.add(link(**key))
        tags.add(tag.id)
    ctx.session.flush()
    _recount(ctx, tags)
    return _labels(ctx, link, record)


def _untag(ctx: Context, link: type[Base], record: Record, body: TagNames) -> Labels:
    tags = {tag.id for tag in (_find(ctx, name) for name in _names(body)) if tag is not None}
    for tag_id in tags:
        held = ctx.session.get(link, {_owner(link).name: record.id, "tag_id": tag_id})
        if held is not None:
            ctx.session.delete(held)
    ctx.session.flush()
    _recount(ctx, tags)
    return _labels(ctx, link, record)


def tag_session(ctx: Context, session: WorkSession, body: TagNames) -> Labels:
    """Label a session. Labels that do not exist yet are made; those it has already stay."""
    return _tag(ctx, SessionTag, session, body)


def untag_session(ctx: Context, session: WorkSession, body: TagNames) -> Labels:
    """Take labels off a session. Those it does not have are passed over."""
    return _untag(ctx, SessionTag, session, body)


def tag_work_item(ctx: Context, item: WorkItem, body: TagNames) -> Labels:
    """Label a work item. Labels that do not exist yet are made; those it has already stay."""
    return _tag(ctx, WorkItemTag, item, body)


def untag_work_item(ctx: Context, item: WorkItem, body: TagNames) -> Labels:
    """Take labels off a work item. Those it does not have are passed over."""
    return _untag(ctx, WorkItemTag, item, body)


def tag_infrastructure(ctx: Context, asset: Infrastructure, body: TagNames) -> Labels:
    """Label an asset. Labels that do not exist yet are made; those it has already stay."""
    return _tag(ctx, InfrastructureTag, asset, body)


def untag_infrastructure(ctx: Context, asset: Infrastructure, body: TagNames) -> Labels:
    """Take labels off an asset. Those it does not have are passed over."""
    return _untag(ctx, InfrastructureTag, asset, body)


TAG_SESSION = Action(run=tag_session, name="tag", on="session", scope="session:write", risk=Risk.write)
UNTAG_SESSION = Action(run=untag_session, name="untag", on="session", scope="session:write", risk=Risk.write)
TAG_WORK_ITEM = Action(run=tag_work_item, name="tag", on="work-item", scope="work-item:write", risk=Risk.write)
UNTAG_WORK_ITEM = Action(run=untag_work_item, name="untag", on="work-item", scope="work-item:write", risk=Risk.write)
TAG_INFRASTRUCTURE = Action(
    run=tag_infrastructure, name="tag", on="infrastructure", scope="infrastructure:write", risk=Risk.write
)
UNTAG_INFRASTRUCTURE = Action(
    run=untag_infrastructure, name="untag", on="infrastructure", scope="infrastructure:write", risk=Risk.write
)
