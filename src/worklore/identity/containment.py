"""Holding back what is done with secrets while whoever asks may be under the influence of something they have read.

Which session has read what lies above this layer: the composition root provides the guard, and who opens secrets asks
it first. Without one nothing is opened.
"""

import uuid
from dataclasses import replace
from enum import StrEnum
from typing import Final, Protocol

from worklore.kernel.access import Principal
from worklore.kernel.context import ReadContext
from worklore.kernel.errors import UnavailableError

GUARD: Final = "containment"
"""The name under which the guard is provided."""

WALL: Final = "containment wall"
"""The name under which is provided what a tainted agent still sees."""


class Deed(StrEnum):
    """What is held back: showing a secret, using one, sharing one, and looking at another client's record."""

    reveal = "reveal"
    use = "use"
    share = "share"
    cross_client = "cross-client"


class Guard(Protocol):
    """Says whether a deed may be done now."""

    def __call__(self, ctx: ReadContext, deed: Deed, record: uuid.UUID | None) -> None:
        """Return when it may.

        Raises:
            ForbiddenError: ``session-tainted``.
        """
        ...


def require_untainted(ctx: ReadContext, deed: Deed, record: uuid.UUID | None = None) -> None:
    """Refuse a deed on a record to whoever has read what nobody vouches for, unless a person has approved it.

    Raises:
        ForbiddenError: ``session-tainted``.
        UnavailableError: nobody provided a guard; nothing is opened unguarded.
    """
    guard: Guard | None = ctx.session.info.get(GUARD)
    if guard is None:
        raise UnavailableError("The hub was put together without a guard of its secrets.", hint="Start it anew.")
    guard(ctx, deed, record)


class Wall(Protocol):
    """Says which clients a tainted agent still sees."""

    def __call__(self, ctx: ReadContext, agent: Principal) -> frozenset[uuid.UUID] | None:
        """Ids of clients; None for no further limit."""
        ...


def within(ctx: ReadContext, agent: Principal) -> Principal:
    """An agent as it may look around now: while it is tainted, it sees no client but those of its tainted sessions."""
    wall: Wall | None = ctx.session.info.get(WALL)
    left = wall(ctx, agent) if wall is not None else None
    if left is None:
        return agent
    return replace(agent, clients=left if agent.clients is None else left & agent.clients)
