"""Tokens of programs: made by a person who has signed in, for less than what that person may do, and not for ever."""

import uuid
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import Field, StringConstraints
from sqlalchemy import select

from worklore.identity.agent import REVEAL, SCOPE
from worklore.identity.keys import key_of
from worklore.identity.roles import common
from worklore.identity.sign_in import require_person
from worklore.identity.token import API_TOKENS, ApiToken, ApiTokenClient, TokenKind, issue
from worklore.identity.user import User
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.crud import missing
from worklore.kernel.db import Base
from worklore.kernel.errors import ForbiddenError, InvalidError
from worklore.kernel.wire import Clean, WireModel

DAYS: Final = 90
MOST_DAYS: Final = 365
MOST_SCOPES: Final = 200
EVERYTHING: Final = "*"


class NewToken(WireModel):
    """A token for a program: what it is for, what it may do, and for how long."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), Clean]
    scopes: Annotated[list[str], Field(min_length=1, max_length=MOST_SCOPES)]
    """Such as client:read or work-item:*; none that you do not have."""
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = DAYS
    clients: Annotated[list[uuid.UUID], Field(max_length=1000)] | None = None
    """The clients it sees, of those that you see; all of those when none is named."""


class IssuedToken(WireModel):
    """The token, shown this once, and what it may do."""

    id: uuid.UUID
    name: str
    token: str
    scopes: list[str]
    clients: list[uuid.UUID] | None
    expires_at: datetime


class RevokedToken(WireModel):
    """A token that ended before its time."""

    id: uuid.UUID
    name: str | None
    hint: str


def issue_token(ctx: Context, body: NewToken) -> IssuedToken:
    """Make a token for a program, shown this once. Only a person who has signed in may."""
    require_person(ctx.principal)
    scopes = _granted(ctx, body.scopes)
    clients = _seen(ctx, body.clients)
    user = ctx.session.get_one(User, ctx.principal.user_id)
    life = timedelta(days=body.days)
    token, row = issue(key_of(ctx), user, kind=TokenKind.user, scopes=scopes, life=life)
    row.name, row.is_limited = body.name, clients is not None
    ctx.session.add(row)
    ctx.session.flush()
    ctx.session.add_all([ApiTokenClient(token_id=row.id, client_id=client) for client in clients or ()])
    return IssuedToken(
        id=row.id, name=body.name, token=token, scopes=scopes, clients=clients, expires_at=row.expires_at
    )


def _granted(ctx: Context, scopes: list[str]) -> list[str]:
    """The scopes in order, each of which the caller has."""
    wanted = sorted({EVERYTHING if scope == "*:*" else scope for scope in scopes})
    for scope in wanted:
        if scope != EVERYTHING and not SCOPE.fullmatch(scope):
            raise InvalidError(f"scopes: {scope[:50]} is no scope; one is written noun:verb.", field="scopes")
        if scope not in common([scope], ctx.principal.scopes):
            raise ForbiddenError(
                f"You do not have the scope {scope}.", hint="Leave it out.", code="more-than-own", scope=scope
            )
    if common(wanted, [REVEAL]) and not ctx.principal.sees_secrets:
        raise ForbiddenError(
            f"With these scopes the token reveals secrets ({REVEAL}), which you may not see yourself at the moment.",
            hint="Sign in with a second factor, or name fewer scopes.",
            code="person-needed",
        )
    return wanted


def _seen(ctx: Context, clients: list[uuid.UUID] | None) -> list[uuid.UUID] | None:
    """The clients in order, each of which the caller sees."""
    if clients is None:
        return None
    wanted = sorted(set(clients))
    table = Base.metadata.tables["clients"]
    seen = set(ctx.session.scalars(select(table.c.id).where(table.c.id.in_(wanted))))
    if ctx.principal.clients is not None:
        seen &= ctx.principal.clients
    unknown = [client for client in wanted if client not in seen]
    if unknown:
        raise InvalidError(f"clients: there is no client {unknown[0]}.", field="clients")
    return wanted


def revoke_token(ctx: Context, token: ApiToken) -> RevokedToken:
    """End a token of your own; it stays in the list for a while. Who may delete tokens ends anybody's."""
    if token.user_id != ctx.principal.user_id and not ctx.principal.may("api-token:delete"):
        raise missing(API_TOKENS, token.id)
    if token.revoked_at is None:
        token.revoked_at = ctx.now()
    return RevokedToken(id=token.id, name=token.name, hint=token.hint)


ISSUE_TOKEN: Final = Action(
    run=issue_token, name="issue", path="api-tokens/issue", scope="api-token:write", risk=Risk.secret
)
REVOKE_TOKEN: Final = Action(
    run=revoke_token, name="revoke", on="api-token", scope="api-token:write", risk=Risk.destructive
)
