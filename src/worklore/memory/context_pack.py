"""A context pack: what is known of a client or a work item, in one text within a budget, for whoever starts on it."""

import uuid
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import or_, select

from worklore.clients.client import Client
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.wire import WireModel
from worklore.knowledge.solution import ProblemSolution
from worklore.memory import facts, tokens
from worklore.memory.decision import DecisionLog
from worklore.memory.facts import Fact
from worklore.memory.frame import CLOSING, OPENING
from worklore.memory.question import MAX_BUDGET, of_project
from worklore.memory.recall import search
from worklore.trail.deployment import Deployment
from worklore.work.pending_task import PendingTask
from worklore.work.project import Project
from worklore.work.session import WorkSession
from worklore.work.work_item import WorkItem

FRAME_TOKENS: Final = tokens.count(OPENING) + tokens.count(CLOSING) + 2
SAID_SHARE: Final = 0.4
"""Of the pack of a work item, what may be taken by what was said that bears on it."""


class PackAsked(WireModel):
    """How long a context pack may be."""

    budget: Annotated[int, Field(ge=100, le=MAX_BUDGET)] = 2000
    """Tokens, frame included."""


class ContextPack(WireModel):
    """What is known, ready to be put before an agent, and the names of what is in it."""

    text: str
    tokens: int
    names: list[str]


def pack_of_client(ctx: ReadContext, client: Client, body: PackAsked) -> ContextPack:
    """What is known of a client: open work, incidents, its environment, what was decided, solved, deployed of late."""
    return _packed(_of_client(ctx, client.id), body.budget)


def _of_client(ctx: ReadContext, client: uuid.UUID) -> Iterator[Fact]:
    yield from facts.incidents(ctx, client)
    yield from facts.open_work(ctx, facts.of_client(WorkItem, client))
    yield from facts.follow_ups(ctx, facts.of_client(PendingTask, client))
    yield from facts.known(ctx, client)
    yield from facts.decided(ctx, facts.of_client(DecisionLog, client))
    yield from facts.solved(ctx, facts.of_client(ProblemSolution, client))
    yield from facts.deployed(ctx, facts.of_client(Deployment, client))
    yield from facts.sessions(ctx, WorkSession.client_id == client)


def pack_of_work_item(ctx: ReadContext, item: WorkItem, body: PackAsked) -> ContextPack:
    """What is known of a work item: itself, its parts, what was done and solved for it, and what was said about it."""
    project = ctx.session.get(Project, item.project_id) if item.project_id else None
    found = None
    if project is not None:
        about = f"{item.title}\n{item.description or ''}"
        found = search(ctx, of_project(project), about, budget=int(body.budget * SAID_SHARE))
    said = found.packed(int(body.budget * SAID_SHARE)) if found else None
    made = _packed(_of_work_item(ctx, item), body.budget - (said.tokens if said else 0))
    if said is None or not said.text:
        return made
    shown = [each.excerpt.turn for each in said.shown]
    text = f"{made.text.removesuffix(CLOSING)}{said.text.removeprefix(OPENING)}" if made.text else said.text
    return ContextPack(text=text, tokens=tokens.count(text), names=list(dict.fromkeys([*made.names, *shown])))


def _of_work_item(ctx: ReadContext, item: WorkItem) -> Iterator[Fact]:
    yield from facts.itself(item)
    yield from facts.open_work(ctx, or_(WorkItem.parent_id == item.id, WorkItem.id == item.parent_id))
    yield from facts.follow_ups(ctx, PendingTask.work_item_id == item.id)
    yield from facts.solved(ctx, ProblemSolution.work_item_id == item.id)
    yield from facts.deployed(ctx, Deployment.work_item_id == item.id)
    worked = select(Deployment.session_id).where(Deployment.work_item_id == item.id)
    yield from facts.sessions(ctx, or_(WorkSession.id == item.session_id, WorkSession.id.in_(worked)))


def _packed(found: Iterator[Fact], budget: int) -> ContextPack:
    fitted, names = facts.fitting(found, budget - FRAME_TOKENS)
    if not names:
        return ContextPack(text="", tokens=0, names=[])
    text = f"{OPENING}{fitted.text}\n{CLOSING}"
    return ContextPack(text=text, tokens=tokens.count(text), names=list(names))


PACK_OF_CLIENT: Final = Action(
    run=pack_of_client, name="context-pack", on="client", scope="memory:read", risk=Risk.read
)
PACK_OF_WORK_ITEM: Final = Action(
    run=pack_of_work_item, name="context-pack", on="work-item", scope="memory:read", risk=Risk.read
)
