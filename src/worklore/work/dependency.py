"""Which work item waits for which."""

import uuid
from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, or_, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.crud import load, visibility
from worklore.kernel.db import Base, Created
from worklore.kernel.errors import ConflictError, InvalidError, NotFoundError
from worklore.kernel.sequence import take
from worklore.kernel.types import Line
from worklore.kernel.wire import WireModel
from worklore.work.graph import reaches
from worklore.work.work_item import WORK_ITEMS, WorkItem


class DependencyType(StrEnum):
    """``blocks``: the target waits for the source. ``depends_on``: the source waits for the target."""

    blocks = "blocks"
    depends_on = "depends_on"


class WorkItemDependency(Created, Base):
    """One work item waits for another."""

    __tablename__ = "work_item_dependencies"
    __table_args__ = (
        CheckConstraint("source_id <> target_id", name="two_items"),
        Index(None, "source_id"),
        Index(None, "target_id"),
    )

    source_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"), primary_key=True)
    target_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"), primary_key=True)
    dependency_type: Mapped[DependencyType]
    created_by: Mapped[str | None] = mapped_column(Line(255))

    source: Mapped[WorkItem] = relationship(
        foreign_keys=[source_id], backref=backref("dependencies_out", viewonly=True), viewonly=True
    )
    target: Mapped[WorkItem] = relationship(
        foreign_keys=[target_id], backref=backref("dependencies_in", viewonly=True), viewonly=True
    )


class DependencyTarget(WireModel):
    """The other item."""

    target_id: uuid.UUID


class NewDependency(DependencyTarget):
    """The other item, and which of the two waits."""

    dependency_type: DependencyType


class Dependency(WireModel):
    """One dependency of an item, whichever side it is on."""

    source_id: uuid.UUID
    target_id: uuid.UUID
    dependency_type: DependencyType


class Dependencies(WireModel):
    """The dependencies of an item on others, and of others on it, that the caller may see."""

    dependencies: list[Dependency]


def dependencies(ctx: ReadContext, item: WorkItem) -> Dependencies:
    """List what an item waits for and what waits for it."""
    key = WorkItemDependency
    found = select(key).where(or_(key.source_id == item.id, key.target_id == item.id))
    seen = visibility(WORK_ITEMS, ctx.principal)
    if seen is not None:
        items = select(WorkItem.id).where(seen)
        found = found.where(key.source_id.in_(items), key.target_id.in_(items))
    return Dependencies(
        dependencies=[
            Dependency(source_id=link.source_id, target_id=link.target_id, dependency_type=link.dependency_type)
            for link in ctx.session.scalars(found.order_by(key.source_id, key.target_id))
        ]
    )


def add_dependency(ctx: Context, item: WorkItem, body: NewDependency) -> Dependencies:
    """Let an item wait for another, or another for it. One it has already stays; a circle of waiting is refused."""
    take(ctx, "work_item_dependencies", 1)  # one writer at a time: two edges, each harmless alone, can close a cycle
    target = _visible(ctx, body.target_id)
    held = ctx.session.get(WorkItemDependency, (item.id, target.id))
    if held is not None and held.dependency_type is not body.dependency_type:
        raise ConflictError(
            f"The item has the dependency {held.dependency_type} on {target.id} already.", hint="Remove that first."
        )
    if held is None:
        _refuse_cycle(ctx, item.id, target.id, body.dependency_type)
        link = WorkItemDependency(
            source_id=item.id,
            target_id=target.id,
            dependency_type=body.dependency_type,
            created_by=ctx.principal.actor,
        )
        one_client(ctx, link, {})
        ctx.session.add(link)
        ctx.session.flush()
    return dependencies(ctx, item)


def remove_dependency(ctx: Context, item: WorkItem, body: DependencyTarget) -> Dependencies:
    """Let an item no longer depend on another, nor block it. One it does not have is passed over."""
    link = ctx.session.get(WorkItemDependency, (item.id, body.target_id))
    if link is not None:
        ctx.session.delete(link)
        ctx.session.flush()
    return dependencies(ctx, item)


def _visible(ctx: Context, key: uuid.UUID) -> WorkItem:
    try:
        found: WorkItem = load(ctx, WORK_ITEMS, key)
    except NotFoundError as error:
        raise InvalidError(f"target_id ({key}) names no work item that you can see.", field="target_id") from error
    return found


def _refuse_cycle(ctx: Context, source: uuid.UUID, target: uuid.UUID, kind: DependencyType) -> None:
    def awaited(items: frozenset[uuid.UUID]) -> Iterable[uuid.UUID]:
        key, ids = WorkItemDependency, sorted(items)
        needs = select(key.target_id).where(key.source_id.in_(ids), key.dependency_type == DependencyType.depends_on)
        needs_too = select(key.source_id).where(key.target_id.in_(ids), key.dependency_type == DependencyType.blocks)
        return [*ctx.session.scalars(needs), *ctx.session.scalars(needs_too)]

    waiting, first = (source, target) if kind is DependencyType.depends_on else (target, source)
    if reaches(first, waiting, awaited):
        raise InvalidError(
            f"target_id ({target}) with {kind} would let work items wait for each other in a circle.",
            field="target_id",
        )


DEPENDENCIES = Action(run=dependencies, name="dependencies", on="work-item", scope="work-item:read", risk=Risk.read)
ADD_DEPENDENCY = Action(
    run=add_dependency, name="add-dependency", on="work-item", scope="work-item:write", risk=Risk.write
)
REMOVE_DEPENDENCY = Action(
    run=remove_dependency, name="remove-dependency", on="work-item", scope="work-item:write", risk=Risk.write
)
