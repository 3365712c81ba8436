"""The clients that users and agents are limited to."""

import uuid
from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import select

from worklore.identity.agent import AGENTS, AgentClient
from worklore.identity.user import USERS, UserClient
from worklore.kernel import crud
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.wire import WireModel

Link = type[UserClient] | type[AgentClient]
LINKS: Final[tuple[tuple[Resource, Link, str], ...]] = (
    (USERS, UserClient, "user_id"),
    (AGENTS, AgentClient, "agent_id"),
)


class Limits(WireModel):
    """The clients that somebody sees: those named, none for an empty list, all for null."""

    clients: Annotated[list[uuid.UUID], Field(max_length=1000)] | None


def set_limits(ctx: Context, resource: Resource, key: uuid.UUID, limits: Limits) -> Limits:
    """Limit a user or an agent to clients, or lift the limit. Their tokens end where this changes what they see.

    Raises:
        NotFoundError: there is no such user or agent.
        InvalidError: a client does not exist.
    """
    record = crud.load(ctx, resource, key)
    link, name = next((link, name) for of, link, name in LINKS if of is resource)
    wanted = set(limits.clients or ())
    clients = Base.metadata.tables["clients"]
    unknown = wanted - set(ctx.session.scalars(select(clients.c.id).where(clients.c.id.in_(sorted(wanted)))))
    if unknown:
        raise InvalidError(f"clients: there is no client {min(unknown)}.", field="clients")
    found: Iterable[Any] = ctx.session.scalars(select(link).where(getattr(link, name) == record.id))
    rows: dict[uuid.UUID, Any] = {row.client_id: row for row in found}
    former = {} if record.is_limited == (limits.clients is not None) else {"is_limited": record.is_limited}
    record.is_limited = limits.clients is not None
    if former or wanted != rows.keys():
        # The rule of the noun: it sees to who may do this, and that tokens end.
        check = resource.check
        assert check is not None  # noqa: S101 - users and agents have one
        check(ctx, record, former or {"is_limited": record.is_limited})
    for client in rows.keys() - wanted:
        ctx.session.delete(rows[client])
    ctx.session.add_all([link(**{name: record.id, "client_id": client}) for client in sorted(wanted - rows.keys())])
    return Limits(clients=sorted(wanted) if record.is_limited else None)
