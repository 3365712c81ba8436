"""What is asked of memory: the question, whose windows are meant, and which of them."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field
from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from worklore.clients.client import CLIENTS, Client
from worklore.estate.infrastructure import INFRASTRUCTURE, Infrastructure
from worklore.identity.machine import Machine
from worklore.kernel.context import ReadContext
from worklore.kernel.errors import InvalidError, NotFoundError
from worklore.kernel.resource import Resource
from worklore.kernel.wire import Clean, WireModel
from worklore.memory.context_tag import BEARERS, ContextTag, normalised_tag
from worklore.memory.dates import Interval
from worklore.memory.only import Only
from worklore.memory.recollection import Scope
from worklore.memory.window import Kind, Trust
from worklore.work.identity import Folder, find_project
from worklore.work.project import PROJECTS, Project
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.tag import SessionTag, Tag
from worklore.work.tagging import InfrastructureTag, TagSynonym, WorkItemTag

MAX_BUDGET: Final = 100_000
EARLIEST: Final = datetime(1, 1, 2, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)

Name = Annotated[str, Field(max_length=255), Clean]


class Question(WireModel):
    """A question to memory."""

    question: Annotated[str, Field(min_length=1, max_length=20_000), Clean]
    project: Name | None = None
    """Id or slug of the project."""
    client: Name | None = None
    """Id or name of a client: all its projects are asked, where none is named."""
    identity: Folder | None = None
    """The folder whose project is meant, where neither is named."""
    session: Name | None = None
    """Only what was said in this session: its id, or the agent's own."""
    host: Name | None = None
    """Only what was said on this machine or is about this asset: its id or host name."""
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=len(Kind))] | None = None
    """Only turns, or work records of these kinds."""
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=100), Clean]], Field(max_length=50)] | None = (
        None
    )
    """Only of sessions and records with any of these tags, or what is another word for it."""
    budget: Annotated[int, Field(ge=50, le=MAX_BUDGET)] = 1000
    """Tokens of the answer, frame and dates included."""
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    """At most so many items."""
    since: datetime | None = None
    """Only what was said at or after this time."""
    until: datetime | None = None
    """Only what was said before this time."""
    as_of: datetime | None = None
    """Only what had been said by this time and was valid then."""
    trust_min: Trust | None = None
    """Only what can be relied on at least so far."""


def scope_of(ctx: ReadContext, body: Question) -> Scope:
    """Whose windows a question is compared with.

    Raises:
        NotFoundError: nothing is named, or the caller sees none by that name.
        InvalidError: the project is not the client's.
    """
    if body.client is not None and body.project is None:
        return Scope(None, _named(ctx, CLIENTS, Client, Client.name, body.client).id)
    project = named_project(ctx, body)
    if body.client is not None and _named(ctx, CLIENTS, Client, Client.name, body.client).id != project.client_id:
        raise InvalidError("The project belongs to another client.", field="client")
    return of_project(project)


def of_project(project: Project) -> Scope:
    """The windows of a project, with what somebody has written down for its whole client."""
    return Scope(project.id, project.client_id)


def named_project(ctx: ReadContext, body: Question) -> Project:
    """The project a question is about.

    Raises:
        NotFoundError: none is named, or the caller sees none by that name.
    """
    if body.project is not None:
        return _named(ctx, PROJECTS, Project, Project.slug, body.project)
    project = find_project(ctx, body.identity) if body.identity else None
    if project is None:
        raise NotFoundError(
            "This folder belongs to no known project.",
            hint="List /api/v1/projects to find it, or name one.",
            code="project-unknown",
        )
    return project


Named = TypeVar("Named", Client, Project, WorkSession)


def _named(
    ctx: ReadContext, resource: Resource, model: type[Named], column: InstrumentedAttribute[Any], name: str
) -> Named:
    """A record by its id or its name, if the caller may see it."""
    key = _key(name)
    found = select(model).where(column == name) if key is None else select(model).where(resource.table.c.id == key)
    if ctx.principal.clients is not None:
        found = found.where(resource.visible(ctx.principal))
    record = ctx.session.scalars(found.limit(1)).one_or_none()
    if record is None:
        raise NotFoundError(
            f"There is no {resource.name} {name}.",
            hint=f"List /api/v1/{resource.plural} to find it.",
            code=f"{resource.name}-unknown",
        )
    return record


def _key(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def only_of(ctx: ReadContext, body: Question) -> Only | None:
    """Which windows of the scope may be told; None for all.

    Raises:
        InvalidError: the time ends before it begins.
        NotFoundError: the caller sees no such session.
    """
    only = Only(
        within=_within(body),
        kinds=frozenset(kind.value for kind in body.kinds) if body.kinds is not None else None,
        sessions=_sessions(ctx, body.session) if body.session is not None else None,
        places=_places(ctx, body.host) if body.host is not None else None,
        tagged=_tagged(ctx, body.tags) if body.tags else None,
        trust=body.trust_min.level if body.trust_min else 0,
        as_of=_in_utc(body.as_of).timestamp() if body.as_of else None,
    )
    return None if only == Only() else only


def _within(body: Question) -> Interval | None:
    if body.since is None and body.until is None:
        return None
    start, end = (_in_utc(body.since or EARLIEST), _in_utc(body.until or LATEST))
    if end < start:
        raise InvalidError("The time ends before it begins.", hint="Give `until` a later time than `since`.")
    return Interval(start, end)


def _in_utc(time: datetime) -> datetime:
    return min(max(time if time.tzinfo else time.replace(tzinfo=UTC), EARLIEST), LATEST)


def _sessions(ctx: ReadContext, name: str) -> frozenset[str]:
    return frozenset({str(_named(ctx, SESSIONS, WorkSession, WorkSession.external_key, name).id)})


def _places(ctx: ReadContext, name: str) -> frozenset[str]:
    """The machines and the assets of a name; of assets those that the caller may see."""
    key, low = _key(name), name.lower()
    machines = select(Machine.id).where(
        Machine.id == key if key else or_(func.lower(Machine.hostname) == low, func.lower(Machine.friendly_name) == low)
    )
    assets = select(Infrastructure.id).where(
        Infrastructure.id == key if key else func.lower(Infrastructure.hostname) == low
    )
    if ctx.principal.clients is not None:
        assets = assets.where(INFRASTRUCTURE.visible(ctx.principal))
    return frozenset(str(found) for wanted in (machines, assets) for found in ctx.session.scalars(wanted))


def _tagged(ctx: ReadContext, tags: Iterable[str]) -> frozenset[str]:
    """The sessions and the work records that carry any of some tags."""
    names = {normalised_tag(tag) for tag in tags}
    known = select(Tag.id).where(func.lower(Tag.name).in_(names))
    meant = select(TagSynonym.tag_id).where(func.lower(TagSynonym.synonym).in_(names))
    ids = sorted({*ctx.session.scalars(known), *ctx.session.scalars(meant)})
    names |= {normalised_tag(name) for name in ctx.session.scalars(select(Tag.name).where(Tag.id.in_(ids)))}
    wanted: list[Select[Any]] = [
        *(select(ContextTag.__table__.c[column]).where(ContextTag.tag.in_(names)) for column in BEARERS.values()),
        select(SessionTag.session_id).where(SessionTag.tag_id.in_(ids)),
        select(WorkItemTag.work_item_id).where(WorkItemTag.tag_id.in_(ids)),
        select(InfrastructureTag.infrastructure_id).where(InfrastructureTag.tag_id.in_(ids)),
    ]
    return frozenset(str(found) for each in wanted for found in ctx.session.scalars(each) if found is not None)
