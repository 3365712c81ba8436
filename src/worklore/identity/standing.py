"""Shutting people, agents and machines out, letting them in again, and changing roles: verbs for people's use.

The rules are those of the nouns, so a change that :func:`worklore.identity.user.check` refuses is refused here too.
"""

import uuid
from typing import Any, Final

from sqlalchemy import or_, select

from worklore.identity.agent import AGENTS, Agent
from worklore.identity.machine import Machine
from worklore.identity.refresh import RefreshFamily
from worklore.identity.renewal import end, families_of
from worklore.identity.roles import Role
from worklore.identity.token import ApiToken
from worklore.identity.user import USERS, User, require_rank
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.resource import Resource
from worklore.kernel.wire import WireModel


class NewRole(WireModel):
    """The role from now on."""

    role: Role


class UserStanding(WireModel):
    """Whether a person may act, and as what."""

    id: uuid.UUID
    email: str
    role: Role
    is_active: bool


class AgentStanding(WireModel):
    """Whether an agent may act, and as what."""

    id: uuid.UUID
    name: str
    role: Role
    is_active: bool


class MachineStanding(WireModel):
    """Whether a machine may connect."""

    id: uuid.UUID
    hostname: str
    is_active: bool


class SignedOut(WireModel):
    """A person whose sign-ins have ended, and how many there were."""

    id: uuid.UUID
    email: str
    ended: int


# --- people ---------------------------------------------------------------------------------------------------------


def disable_user(ctx: Context, user: User) -> UserStanding:
    """Shut a person out: tokens, sign-ins and agents of theirs end within seconds."""
    return _of_user(_change(ctx, USERS, user, is_active=False))


def enable_user(ctx: Context, user: User) -> UserStanding:
    """Let a person sign in again. Tokens from before do not work again."""
    return _of_user(_change(ctx, USERS, user, is_active=True))


def change_user_role(ctx: Context, user: User, body: NewRole) -> UserStanding:
    """Give a person another role; their tokens end."""
    return _of_user(_change(ctx, USERS, user, role=body.role))


def sign_out_user(ctx: Context, user: User) -> SignedOut:
    """End every sign-in of a person, as after the loss of a device. Tokens of machines and programs stay."""
    require_rank(ctx, {user.role})
    families = families_of(ctx, user.id)
    for family in families:
        end(ctx, family, "signed out by somebody else")
    return SignedOut(id=user.id, email=user.email, ended=len(families))


def _of_user(user: User) -> UserStanding:
    return UserStanding(id=user.id, email=user.email, role=user.role, is_active=user.is_active)


# --- agents ---------------------------------------------------------------------------------------------------------


def disable_agent(ctx: Context, agent: Agent) -> AgentStanding:
    """Stop an agent: its tokens end within seconds, in the middle of a run too."""
    return _of_agent(_change(ctx, AGENTS, agent, is_active=False))


def enable_agent(ctx: Context, agent: Agent) -> AgentStanding:
    """Let an agent work again, by new tokens."""
    return _of_agent(_change(ctx, AGENTS, agent, is_active=True))


def change_agent_role(ctx: Context, agent: Agent, body: NewRole) -> AgentStanding:
    """Give an agent another role; its tokens end."""
    return _of_agent(_change(ctx, AGENTS, agent, role=body.role))


def _of_agent(agent: Agent) -> AgentStanding:
    return AgentStanding(id=agent.id, name=agent.name, role=agent.role, is_active=agent.is_active)


# --- machines -------------------------------------------------------------------------------------------------------


def disable_machine(ctx: Context, machine: Machine) -> MachineStanding:
    """Retire a machine, as after its loss: its tokens, those of its agents and its sign-ins end within seconds."""
    if machine.id == ctx.principal.machine_id:
        raise ConflictError(
            "This is the machine that you are working on: you would shut yourself out.",
            hint="Do it from another one.",
            code="own-machine",
        )
    machine.is_active = False
    theirs = or_(
        ApiToken.machine_id == machine.id,
        ApiToken.agent_id.in_(select(Agent.id).where(Agent.machine_id == machine.id)),
    )
    for token in ctx.session.scalars(select(ApiToken).where(theirs, ApiToken.revoked_at.is_(None))):
        token.revoked_at = ctx.now()
    sign_ins = select(RefreshFamily).where(RefreshFamily.machine_id == machine.id, RefreshFamily.revoked_at.is_(None))
    for family in ctx.session.scalars(sign_ins):
        end(ctx, family, "the machine was retired")
    return _of_machine(machine)


def enable_machine(_: Context, machine: Machine) -> MachineStanding:
    """Let a machine connect again. It needs a new code: tokens from before do not work again."""
    machine.is_active = True
    return _of_machine(machine)


def _of_machine(machine: Machine) -> MachineStanding:
    return MachineStanding(id=machine.id, hostname=machine.hostname, is_active=machine.is_active)


def _change(ctx: Context, resource: Resource, record: Any, **values: Any) -> Any:
    """Set what differs, by the rule of the noun."""
    former = {name: getattr(record, name) for name, value in values.items() if getattr(record, name) != value}
    for name in former:
        setattr(record, name, values[name])
    if former and resource.check is not None:
        with ctx.session.no_autoflush:
            resource.check(ctx, record, former)
    return record


STANDING: Final = (
    Action(run=disable_user, name="disable", on="user", scope="user:write", risk=Risk.destructive),
    Action(run=enable_user, name="enable", on="user", scope="user:write", risk=Risk.write),
    Action(run=change_user_role, name="role", on="user", scope="user:write", risk=Risk.write),
    Action(run=sign_out_user, name="sign-out", on="user", scope="user:write", risk=Risk.write),
    Action(run=disable_agent, name="disable", on="agent", scope="agent:write", risk=Risk.destructive),
    Action(run=enable_agent, name="enable", on="agent", scope="agent:write", risk=Risk.write),
    Action(run=change_agent_role, name="role", on="agent", scope="agent:write", risk=Risk.write),
    Action(run=disable_machine, name="disable", on="machine", scope="machine:write", risk=Risk.destructive),
    Action(run=enable_machine, name="enable", on="machine", scope="machine:write", risk=Risk.write),
)
