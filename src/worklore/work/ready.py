"""Ready work: what can be begun now, and of the rest what it waits for.

An item is ready when it is pending or active, nobody holds it, nothing it depends on is unfinished, its gates are
open, all of its parts are done, and no ancestor is held up. A dependency on work that was cancelled or put away holds
nobody up.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, or_, select, union_all
from sqlalchemy.orm import aliased

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.crud import visibility
from worklore.kernel.types import iso
from worklore.kernel.wire import WireModel
from worklore.work.dependency import DependencyType, WorkItemDependency
from worklore.work.gate import Gate, GateKind, GateState
from worklore.work.project import Priority
from worklore.work.work_item import WORK_ITEMS, ItemType, WorkItem, WorkItemStatus

OPEN: Final = (WorkItemStatus.pending, WorkItemStatus.active)
ENDED: Final = (WorkItemStatus.completed, WorkItemStatus.cancelled)
UNFINISHED: Final = tuple(status for status in WorkItemStatus if status not in ENDED)
MOST: Final = 100
EXPLAINED: Final = 10
"""Obstacles of an item that are told."""


class Obstacle(WireModel):
    """One thing that keeps a work item from being begun."""

    kind: Literal["status", "put-away", "claim", "dependency", "gate", "part", "ancestor"]
    text: str
    record: uuid.UUID | None = None
    """The work item or gate that is waited for."""


class ReadyWanted(WireModel):
    """Which work is asked for."""

    project_id: uuid.UUID | None = None
    item_type: ItemType | None = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = 20
    explain: bool = False
    """Tell what else is open there, too, and what each of it waits for."""


class ReadyItem(WireModel):
    """A work item that can be begun."""

    id: uuid.UUID
    title: str
    item_type: ItemType
    priority: Priority | None
    status: WorkItemStatus
    project_id: uuid.UUID | None
    parent_id: uuid.UUID | None
    version: int


class WaitingItem(ReadyItem):
    """A work item that is open and cannot be begun, and why."""

    obstacles: list[Obstacle]


class Ready(WireModel):
    """Ready work, the most urgent and then the oldest first; what waits, where that was asked for."""

    ready: list[ReadyItem]
    waiting: list[WaitingItem] = Field(default_factory=list[WaitingItem])


def ready_work(ctx: ReadContext, body: ReadyWanted) -> Ready:
    """Find work that can be begun now, and on request what the rest waits for."""
    asked: list[ColumnElement[bool]] = [WorkItem.status.in_(OPEN), WorkItem.deleted_at.is_(None)]
    asked += [condition for condition in (visibility(WORK_ITEMS, ctx.principal),) if condition is not None]
    if body.project_id is not None:
        asked.append(WorkItem.project_id == body.project_id)
    if body.item_type is not None:
        asked.append(WorkItem.item_type == body.item_type)
    ready = _is_ready(ctx)
    found = Ready(ready=[ReadyItem(**_shown(item)) for item in ctx.session.scalars(_first(asked, ready, body.limit))])
    if body.explain:
        for item in ctx.session.scalars(_first(asked, ~ready, body.limit)).all():
            found.waiting.append(WaitingItem(**_shown(item), obstacles=obstacles(ctx, item)))
    return found


def _first(asked: Sequence[ColumnElement[bool]], so: ColumnElement[bool], limit: int) -> Select[WorkItem]:
    # What nobody has called urgent or not stands between what is of medium and of low priority.
    urgency = case({each.value: place for place, each in enumerate(Priority)}, value=WorkItem.priority, else_=2.5)
    order = (urgency, WorkItem.item_order.is_(None), WorkItem.item_order, WorkItem.created_at, WorkItem.id)
    return select(WorkItem).where(*asked, so).order_by(*order).limit(limit)


def _shown(item: WorkItem) -> Mapping[str, Any]:
    return {name: getattr(item, name) for name in ReadyItem.model_fields}


def _is_ready(ctx: ReadContext) -> ColumnElement[bool]:
    """The condition on open items. What holds an item up itself is looked for once, and then what hangs below it."""
    now = ctx.now()
    opened = _opened(ctx, now)
    up = aliased(WorkItem)
    own = union_all(
        select(up.id).where(or_(up.status.notin_([*OPEN, WorkItemStatus.completed]), up.deleted_at.is_not(None))),
        *_waiting_for_others(),
        select(Gate.work_item_id).where(Gate.work_item_id.is_not(None), _closed(opened)),
    ).cte("held_up")
    stuck = select(own.c[0].label("id")).cte("stuck", recursive=True)
    below = aliased(WorkItem)
    stuck = stuck.union(select(below.id).join(stuck, below.parent_id == stuck.c.id))
    part = aliased(WorkItem)
    return and_(
        or_(WorkItem.lease_expires_at.is_(None), WorkItem.lease_expires_at <= now),
        WorkItem.id.not_in(select(stuck.c.id)),
        ~exists().where(part.parent_id == WorkItem.id, part.deleted_at.is_(None), part.status.in_(UNFINISHED)),
    )


def _waiting_for_others() -> Iterable[Select[uuid.UUID]]:
    key = WorkItemDependency
    for kind, waits, awaited in (
        (DependencyType.depends_on, key.source_id, key.target_id),
        (DependencyType.blocks, key.target_id, key.source_id),
    ):
        other = aliased(WorkItem)
        yield (
            select(waits)
            .join(other, other.id == awaited)
            .where(key.dependency_type == kind, other.deleted_at.is_(None), other.status.in_(UNFINISHED))
        )


def _opened(ctx: ReadContext, now: datetime) -> list[uuid.UUID]:
    """Gates whose time has come and that nobody has marked so; what they say is not for SQL to read."""
    timed = select(Gate).where(Gate.kind == GateKind.time, Gate.state == GateState.waiting)
    return [gate.id for gate in ctx.session.scalars(timed.where(Gate.work_item_id.is_not(None))) if _is_over(gate, now)]


def _is_over(gate: Gate, now: datetime) -> bool:
    return datetime.fromisoformat((gate.condition or {})["at"]) <= now


def _closed(opened: Sequence[uuid.UUID]) -> ColumnElement[bool]:
    return and_(Gate.state != GateState.passed, Gate.id.not_in(opened) if opened else literal(value=True))


# --- why one item is not ready --------------------------------------------------------------------------------------


def obstacles(ctx: ReadContext, item: WorkItem) -> list[Obstacle]:
    """What keeps an item from being begun; nothing for one that is ready."""
    now = ctx.now()
    found = [*_own(ctx, item, now)]
    if item.status is WorkItemStatus.completed:
        found.append(Obstacle(kind="status", text="it is completed"))
    if (held := holder(item, now)) is not None:
        found.append(Obstacle(kind="claim", text=f"claimed by {held[0]} until {iso(held[1])}"))
    parts = select(func.count()).where(
        WorkItem.parent_id == item.id, WorkItem.deleted_at.is_(None), WorkItem.status.in_(UNFINISHED)
    )
    if unfinished := ctx.session.scalar(parts):
        found.append(Obstacle(kind="part", text=f"{unfinished} of its parts are unfinished"))
    for key in (uuid.UUID(part) for part in item.path.split("/") if part):
        ancestor = ctx.session.get(WorkItem, key)
        if ancestor is not None and (held_up := next(iter(_own(ctx, ancestor, now)), None)):
            text = f"what it is a part of is held up: {held_up.text}"
            found.append(Obstacle(kind="ancestor", text=text, record=ancestor.id))
    return found[:EXPLAINED]


def holder(item: WorkItem, now: datetime) -> tuple[str, datetime] | None:
    """Who holds a work item, and until when; None when its lease is over or there never was one."""
    owner, until = item.lease_owner, item.lease_expires_at
    return (owner, until) if owner is not None and until is not None and until > now else None


def waits_for(found: Sequence[Obstacle]) -> str:
    """Obstacles as a part of a sentence."""
    return "; ".join(obstacle.text for obstacle in found)


def _own(ctx: ReadContext, item: WorkItem, now: datetime) -> Iterable[Obstacle]:
    """What holds up an item and all of its parts."""
    if item.deleted_at is not None:
        yield Obstacle(kind="put-away", text="it was put away")
    if item.status not in {*OPEN, WorkItemStatus.completed}:
        yield Obstacle(kind="status", text=f"it is {item.status}")
    for other in _awaited(ctx, item):
        yield Obstacle(kind="dependency", text=f"waits for {_named(ctx, other)}", record=other.id)
    for gate in ctx.session.scalars(select(Gate).where(Gate.work_item_id == item.id, Gate.state != GateState.passed)):
        if gate.kind is GateKind.time and gate.state is GateState.waiting:
            if _is_over(gate, now):
                continue
            text = f"waits until {(gate.condition or {})['at']}"
        else:
            text = f"the {gate.kind} was refused" if gate.state is GateState.refused else f"waits for a {gate.kind}"
        yield Obstacle(kind="gate", text=text, record=gate.id)


def _awaited(ctx: ReadContext, item: WorkItem) -> Sequence[WorkItem]:
    key = WorkItemDependency
    needs = select(key.target_id).where(key.source_id == item.id, key.dependency_type == DependencyType.depends_on)
    needs_too = select(key.source_id).where(key.target_id == item.id, key.dependency_type == DependencyType.blocks)
    unfinished = (WorkItem.deleted_at.is_(None), WorkItem.status.in_(UNFINISHED))
    awaited = select(WorkItem).where(or_(WorkItem.id.in_(needs), WorkItem.id.in_(needs_too)), *unfinished)
    return ctx.session.scalars(awaited.order_by(WorkItem.id)).all()


def _named(ctx: ReadContext, other: WorkItem) -> str:
    seen = visibility(WORK_ITEMS, ctx.principal)
    if seen is not None and ctx.session.scalar(select(WorkItem.id).where(WorkItem.id == other.id, seen)) is None:
        return "a work item that you cannot see"
    return f"“{other.title}”, which is {other.status}"


READY_WORK = Action(run=ready_work, name="ready-work", scope="work-item:read", risk=Risk.read)
