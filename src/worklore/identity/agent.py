"""Agents as principals of their own, and the grants they work by.

An agent may do what its owner may, what its role may, and what the grant of its task says: the intersection of the
three. The tables of clients and tasks lie above this layer, so they are named and not imported.
"""

import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.identity.machine import Machine
from worklore.identity.roles import FOR_PEOPLE, Role
from worklore.identity.user import User
from worklore.kernel.access import by_client, installation
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Record, Stamped
from worklore.kernel.errors import ForbiddenError, InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column, utcnow

GRANT_LIFE: Final = timedelta(minutes=15)
LONGEST_GRANT: Final = timedelta(hours=24)
SCOPE: Final = re.compile(r"(\*|[a-z][a-z0-9-]*):(\*|[a-z][a-z0-9-]*)")

REVEAL: Final = "credential:reveal"
"""The scope by which a grant lets an agent see secrets: by its name, never by a wildcard."""


def _nobody() -> uuid.UUID:
    """Says that the field need not be sent; :func:`check_agent` fills it."""
    raise InvalidError("owner_id: an agent has an owner.", field="owner_id")


class Agent(Stamped, Record):
    """An agent that acts under its own name, on behalf of its owner and with no more rights than the owner has."""

    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("owner_id", "name"),
        *(Index(None, name) for name in ("owner_id", "machine_id", "is_active")),
    )

    owner_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("api_users.id", ondelete="CASCADE"), default=_nobody, doc="The caller unless another is named."
    )
    machine_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("machines.id", ondelete="SET NULL"), doc="The one machine it runs on; any when empty."
    )
    name: Mapped[str] = mapped_column(Line(100))
    agent_client: Mapped[str | None] = mapped_column(Line(100), doc="The connecting program, such as claude-code.")
    role: Mapped[Role] = column(default=Role.read_only, info={"example": "technician"})
    generation: Mapped[int] = column(default=1, doc="Moves on when rights change: old tokens end.")
    is_active: Mapped[bool] = column(default=True)
    is_limited: Mapped[bool] = column(default=False, doc="Sees but the clients named for it that its owner sees.")
    last_seen: Mapped[datetime | None]
    notes: Mapped[str | None]

    owner: Mapped[User] = relationship(backref=backref("agents", viewonly=True), viewonly=True)
    machine: Mapped[Machine | None] = relationship(backref=backref("agents", viewonly=True), viewonly=True)


class AgentClient(Base):
    """A client that a limited agent sees, if its owner does."""

    __tablename__ = "agent_clients"
    __table_args__ = (Index(None, "client_id"),)

    agent_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True)

    agent: Mapped[Agent] = relationship(backref=backref("agent_clients", viewonly=True), viewonly=True)


class TaskGrant(Stamped, Record):
    """What an agent may do for a task, and until when."""

    __tablename__ = "task_grants"
    __table_args__ = tuple(Index(None, name) for name in ("agent_id", "task_id", "client_id", "expires_at"))

    agent_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    task_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    scopes: Mapped[list[str]] = mapped_column(info={"example": ["work-item:read", "command:*"]})
    reason: Mapped[str | None]
    granted_by: Mapped[str | None] = mapped_column(Line(255))
    expires_at: Mapped[datetime] = mapped_column(default=lambda: utcnow() + GRANT_LIFE)
    revoked_at: Mapped[datetime | None]

    agent: Mapped[Agent] = relationship(backref=backref("task_grants", viewonly=True), viewonly=True)


def check_agent(ctx: Context, agent: Agent, before: Mapping[str, Any]) -> None:
    """No agent administers, and none is made in another's name; whoever loses rights loses tokens."""
    if agent.owner_id is None and ctx.principal.user_id is not None:  # pyright: ignore[reportUnnecessaryComparison] - a new record has no defaults yet
        agent.owner_id = ctx.principal.user_id
    if agent.role in FOR_PEOPLE:
        raise InvalidError(f"role ({agent.role}) is for people; an agent is technician at most.", field="role")
    _own(ctx, agent.owner_id)
    _own(ctx, before.get("owner_id", agent.owner_id))
    if {"role", "is_active", "is_limited", "owner_id", "machine_id"} & before.keys():
        agent.generation += 1


def _own(ctx: Context, owner_id: uuid.UUID) -> None:
    """Only its owner, or who looks after people, decides about an agent."""
    own = ctx.principal.user_id == owner_id and ctx.principal.agent_id is None
    if not own and not ctx.principal.may("user:write"):
        raise ForbiddenError("The agent is not yours.", hint="Ask its owner, or an administrator.", code="not-yours")


def check_grant(ctx: Context, grant: TaskGrant, before: Mapping[str, Any]) -> None:
    """A grant names scopes, ends within a day, and once revoked or ended is not given again."""
    agent = ctx.session.get(Agent, grant.agent_id)
    if agent is not None:
        _own(ctx, agent.owner_id)
    for scope in grant.scopes:
        if not SCOPE.fullmatch(scope):
            raise InvalidError(f"scopes: {scope[:50]} is no scope; one is written noun:verb.", field="scopes")
    if not grant.scopes:
        raise InvalidError("scopes: a grant names at least one.", field="scopes")
    if not before and REVEAL in grant.scopes and not ctx.principal.sees_secrets:
        raise ForbiddenError(
            "Secrets may be shown to an agent by whom they may be shown to.",
            hint="Sign in, with your second factor, and give the grant as a person.",
            code="person-needed",
        )
    if "revoked_at" in before and before["revoked_at"] is not None:
        raise InvalidError("revoked_at stays: give a new grant.", field="revoked_at")
    if not before or "expires_at" in before:
        _check_life(ctx, grant, before)
    if grant.granted_by is None:
        grant.granted_by = ctx.principal.actor


def _check_life(ctx: Context, grant: TaskGrant, before: Mapping[str, Any]) -> None:
    now = ctx.now()
    if before and before["expires_at"] <= now:
        raise InvalidError("expires_at has passed: give a new grant.", field="expires_at")
    if grant.expires_at is not None and not now < grant.expires_at <= now + LONGEST_GRANT:  # pyright: ignore[reportUnnecessaryComparison] - a new record has no defaults yet
        raise InvalidError(
            f"expires_at ({grant.expires_at.isoformat()}) must lie within the next 24 hours.", field="expires_at"
        )


AGENTS = Resource(
    model=Agent,
    name="agent",
    plural="agents",
    visible=installation,
    filters=(
        Agent.owner_id,
        Agent.machine_id,
        Agent.name,
        Agent.agent_client,
        Agent.role,
        Agent.is_active,
        Agent.is_limited,
        Agent.last_seen,
    ),
    search=(Agent.name, Agent.notes),
    columns=(Agent.name, Agent.owner_id, Agent.role, Agent.is_active, Agent.last_seen),
    server_set=(Agent.generation, Agent.last_seen),
    check=check_agent,
)

TASK_GRANTS = Resource(
    model=TaskGrant,
    name="task-grant",
    plural="task-grants",
    visible=by_client(TaskGrant.client_id),
    filters=(
        TaskGrant.agent_id,
        TaskGrant.task_id,
        TaskGrant.client_id,
        TaskGrant.granted_by,
        TaskGrant.expires_at,
        TaskGrant.revoked_at,
    ),
    columns=(TaskGrant.agent_id, TaskGrant.task_id, TaskGrant.scopes, TaskGrant.expires_at),
    server_set=(TaskGrant.granted_by,),
    fixed=(TaskGrant.agent_id, TaskGrant.task_id, TaskGrant.client_id, TaskGrant.scopes),
    check=check_grant,
)
