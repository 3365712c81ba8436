"""Contexts, snippets and decisions as people ask for them: by tag, the most relevant, the latest."""

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, Field
from sqlalchemy import ColumnElement, select

from worklore.kernel.access import any_of, through
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.crud import Page, list_, load
from worklore.kernel.query import Ask
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.wire import Clean, WireModel
from worklore.memory.context import CONTEXTS, ConversationContext
from worklore.memory.context_tag import ContextTag, normalised_tag
from worklore.memory.decision import DECISIONS, DecisionLog
from worklore.memory.index import Index
from worklore.memory.rank import rank
from worklore.memory.snippet import SNIPPETS, ContextSnippet
from worklore.memory.units import entry
from worklore.memory.window import Role
from worklore.work.project import PROJECTS

CONTEXT_TAGS = Resource(
    model=ContextTag,
    name="context-tag",
    plural="context-tags",
    visible=any_of(
        (
            through(ContextTag.context_id, ConversationContext, CONTEXTS.visible),
            through(ContextTag.snippet_id, ContextSnippet, SNIPPETS.visible),
            through(ContextTag.decision_id, DecisionLog, DECISIONS.visible),
        )
    ),
    filters=(ContextTag.context_id, ContextTag.snippet_id, ContextTag.decision_id, ContextTag.tag),
    columns=(ContextTag.tag, ContextTag.context_id, ContextTag.snippet_id, ContextTag.decision_id),
    verbs=READ_ONLY,
)


def _split(value: object) -> object:
    return [tag for part in value.split(",") if (tag := normalised_tag(part))] if isinstance(value, str) else value


Tags = Annotated[list[Annotated[str, Clean]], BeforeValidator(_split), Field(min_length=1, max_length=50)]
"""Tags in a parameter: separated by commas, compared in normal form."""

Score = Annotated[float, Field(ge=0, le=10)]


class Tagged(WireModel):
    """Tags, of which a record has at least one."""

    tags: Tags = Field(description="Comma-separated; a record with any of them is found.")


class Relevant(WireModel):
    """How relevant at least, and to what."""

    min_relevance_score: Score = Field(default=0, description="From 0 to 10, as the record says of itself.")
    question: Annotated[str, Clean] | None = Field(
        default=None,
        max_length=20_000,
        description="What the records are to bear on: those that do come in recall's order, by `offset` and `limit`.",
    )


class Recollected(Relevant):
    """Which contexts."""

    project_id: uuid.UUID | None = Field(default=None, description="Of this project only.")
    tags: Tags | None = Field(default=None, description="Comma-separated; a context with any of them is found.")


def snippets_by_tags(ctx: ReadContext, body: Tagged, ask: Ask) -> Page:
    """Snippets that have at least one of the tags."""
    tagged = select(ContextTag.snippet_id).where(ContextTag.tag.in_(body.tags))
    return list_(ctx, SNIPPETS, ask, ContextSnippet.id.in_(tagged))


def top_snippets(ctx: ReadContext, body: Relevant, ask: Ask) -> Page:
    """The most relevant snippets first, by themselves or to a question."""
    only = ContextSnippet.relevance_score >= body.min_relevance_score
    return _found(ctx, SNIPPETS, ask, only, body.question)


def contexts_recalled(ctx: ReadContext, body: Recollected, ask: Ask) -> Page:
    """The most relevant contexts first: of a project, with one of some tags, or of all."""
    only = ConversationContext.relevance_score >= body.min_relevance_score
    if body.project_id is not None:
        only &= ConversationContext.project_id == load(ctx, PROJECTS, body.project_id).id
    if body.tags is not None:
        only &= ConversationContext.id.in_(select(ContextTag.context_id).where(ContextTag.tag.in_(body.tags)))
    return _found(ctx, CONTEXTS, ask, only, body.question)


CANDIDATES: Final = 2_000
"""Records that are compared with a question, the newest."""


def _found(ctx: ReadContext, resource: Resource, ask: Ask, only: ColumnElement[bool], question: str | None) -> Page:
    """Records that are ``only`` so: in the list's order, or those that bear on a question in recall's."""
    if question is None:
        return list_(ctx, resource, ask, only)
    newest = replace(ask, sort=(("created_at", True), ("id", True)), after=None, offset=0, total=False, since=None)
    told = tuple(column.key for column in resource.search)
    candidates = list_(ctx, resource, replace(newest, limit=CANDIDATES, fields=("id", "created_at", *told)), only)
    index = Index(
        entry(
            "\n".join(row[name] or "" for name in told),
            id=str(row["id"]),
            session=str(row["id"]),
            ordinal=0,
            part=0,
            time=_moment(row["created_at"]).timestamp(),
            author="",
            role=Role.record.value,
        )
        for row in candidates.items
    )
    best = [hit.id for hit in rank(index, question, now=ctx.now(), limit=CANDIDATES)]
    wanted = best[ask.offset : ask.offset + ask.limit]
    keys = resource.table.c.id.in_([uuid.UUID(key) for key in wanted])
    shown = list_(ctx, resource, replace(newest, fields=tuple(dict.fromkeys((*ask.fields, "id")))), keys).items
    of_id = {str(item["id"]): {name: item[name] for name in ask.fields} for item in shown}
    return Page([of_id[key] for key in wanted], None, len(best) if ask.total else None, None)


def _moment(value: datetime | str) -> datetime:
    """A time of a list's row, which some databases give in wire form."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def decisions_by_tags(ctx: ReadContext, body: Tagged, ask: Ask) -> Page:
    """Decisions that have at least one of the tags, the latest first."""
    tagged = select(ContextTag.decision_id).where(ContextTag.tag.in_(body.tags))
    return list_(ctx, DECISIONS, ask, DecisionLog.id.in_(tagged))


def recent_decisions(ctx: ReadContext, ask: Ask) -> Page:
    """Decisions, the latest first."""
    return list_(ctx, DECISIONS, ask)


MOST_RELEVANT: Final = "-relevance_score,-importance"
LATEST: Final = "-created_at"

SNIPPETS_BY_TAGS = Action(
    run=snippets_by_tags, name="by-tags", on="snippet", scope="snippet:read", risk=Risk.read, finds=MOST_RELEVANT
)
TOP_SNIPPETS = Action(
    run=top_snippets, name="top-relevant", on="snippet", scope="snippet:read", risk=Risk.read, finds=MOST_RELEVANT
)
RECALL_CONTEXTS = Action(
    run=contexts_recalled, name="recall", on="context", scope="context:read", risk=Risk.read, finds=MOST_RELEVANT
)
DECISIONS_BY_TAGS = Action(
    run=decisions_by_tags, name="by-tags", on="decision", scope="decision:read", risk=Risk.read, finds=LATEST
)
RECENT_DECISIONS = Action(
    run=recent_decisions, name="recent", on="decision", scope="decision:read", risk=Risk.read, finds=LATEST
)
