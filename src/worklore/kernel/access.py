"""Who acts and what they may see: principals, scopes, and visibility as SQL.

A scope is ``noun:verb`` with the verbs ``read``, ``write``, ``delete`` and those of actions; ``noun:*``, ``*:verb`` and
``*`` stand for all. Visibility is a condition that every read of a resource gets; what it excludes does not exist for
the caller.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, false, select, true
from sqlalchemy.orm import InstrumentedAttribute

from worklore.kernel.errors import ForbiddenError


class PrincipalKind(StrEnum):
    """What sort of actor a principal is."""

    user = "user"
    machine = "machine"
    agent = "agent"
    system = "system"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated actor.

    Attributes:
        actor: the name written into the audit log; ``on_behalf_of`` names the person behind a machine or agent.
        scopes: what it may do.
        clients: ids of the clients it is limited to; None for no limit. Rows without a client are invisible to a
            limited principal.
        agent_id: the agent that acts, for the user ``user_id``, by the grant ``task_grant_id``.
        sees_secrets: that secrets may be shown to it, if its scopes allow it too. A machine's token is held by every
            program that runs there, agents among them, so its scopes alone do not say that somebody may look.
        signed_in: that a person has signed in; False for every token that was made for a machine or a program.
    """

    kind: PrincipalKind
    actor: str
    scopes: frozenset[str]
    user_id: uuid.UUID | None = None
    machine_id: uuid.UUID | None = None
    clients: frozenset[uuid.UUID] | None = None
    on_behalf_of: str | None = None
    agent_id: uuid.UUID | None = None
    task_grant_id: uuid.UUID | None = None
    sees_secrets: bool = False
    signed_in: bool = False
    _granted: dict[str, bool] = field(default_factory=dict[str, bool], compare=False, repr=False)

    @property
    def identity(self) -> str:
        """What tells this actor from all others; names may be shared, as host names are."""
        return f"{self.kind}:{self.user_id or self.actor}:{self.agent_id or self.machine_id or ''}"

    def may(self, scope: str) -> bool:
        """True when the scope is granted, directly or by a wildcard."""
        known = self._granted.get(scope)
        if known is None:
            noun, _, verb = scope.partition(":")
            known = self._granted[scope] = bool({scope, f"{noun}:*", f"*:{verb}", "*"} & self.scopes)
        return known

    def require(self, scope: str) -> None:
        """Raise ``ForbiddenError`` unless the scope is granted."""
        if not self.may(scope):
            raise ForbiddenError(
                f"This needs the scope {scope}.", hint="Use a token that has it.", code="scope-missing", scope=scope
            )


SYSTEM = Principal(PrincipalKind.system, "system", frozenset({"*"}))
"""The hub itself: migrations, jobs, start-up."""

Visibility = Callable[[Principal], ColumnElement[bool]]
"""The rows a principal may see, as a condition on the table."""


def everyone(_: Principal) -> ColumnElement[bool]:
    """Every signed-in principal sees every row: shared vocabulary."""
    return true()


def installation(principal: Principal) -> ColumnElement[bool]:
    """Rows of the installation: hidden from principals limited to clients."""
    return true() if principal.clients is None else false()


def by_client(column: InstrumentedAttribute[Any]) -> Visibility:
    """Rows whose client the principal may see."""

    def visible(principal: Principal) -> ColumnElement[bool]:
        return true() if principal.clients is None else column.in_(sorted(principal.clients))

    return visible


def through(column: InstrumentedAttribute[Any], parent: type[Any], parent_visible: Visibility) -> Visibility:
    """Rows whose parent, named by a foreign key, the principal may see."""

    def visible(principal: Principal) -> ColumnElement[bool]:
        if principal.clients is None:
            return true()
        table: Table = parent.__table__
        return column.in_(select(table.c.id).where(parent_visible(principal)))

    return visible


def both(one: Visibility, other: Visibility) -> Visibility:
    """Rows that two conditions admit."""

    def visible(principal: Principal) -> ColumnElement[bool]:
        return and_(one(principal), other(principal))

    return visible


def any_of(choices: Iterable[Visibility]) -> Visibility:
    """Rows that one of several conditions admits."""
    conditions = tuple(choices)

    def visible(principal: Principal) -> ColumnElement[bool]:
        if principal.clients is None:
            return true()
        first, *rest = (condition(principal) for condition in conditions)
        for condition in rest:
            first |= condition
        return first

    return visible
