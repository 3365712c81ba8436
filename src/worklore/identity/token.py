"""Tokens: API tokens of machines and programs, one-time set-up codes, and signed access tokens of people.

An API token is a prefix, 32 random bytes and a checksum; the database holds a keyed hash of it and it is shown once.
An access token is a JWT (RFC 7519, profile RFC 9068) signed with Ed25519 that names its user and the user's generation
number; whoever is disabled or changes role gets a new generation, and old tokens end within ``CACHE_SECONDS``.
"""

import base64
import secrets
import threading
import time
import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import jwt
from sqlalchemy import ForeignKey, Index, event, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from worklore.identity.agent import LONGEST_GRANT, REVEAL, Agent, AgentClient, TaskGrant
from worklore.identity.containment import within
from worklore.identity.keys import HubKey, keyed_hash
from worklore.identity.machine import Machine
from worklore.identity.refresh import RefreshFamily
from worklore.identity.roles import SCOPES, Role, common
from worklore.identity.second_factor import enrolled
from worklore.identity.user import User, UserClient
from worklore.kernel.access import Principal, PrincipalKind, installation
from worklore.kernel.audit import AuditedSession
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base, Created, Record
from worklore.kernel.errors import UnauthenticatedError
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import Line, column, utcnow, uuid7

PREFIX: Final = "wl_"
ISSUER: Final = "worklore"
AUDIENCE: Final = "worklore-hub"
CACHE_SECONDS: Final = 5.0
CACHE_SIZE: Final = 4096
CLOCKS_APART: Final = 30
"""Seconds that the clocks of two nodes may differ before one takes the other's new tokens for not valid yet."""
PASSWORD: Final = "pwd"  # noqa: S105 - how RFC 8176 calls a way of signing in
ONE_TIME_CODE: Final = "otp"
LONGEST: Final = 4096
"""Characters of a token; ours have a few hundred."""

FOREIGN_KEYS: Final = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})
"""Members of a head that would have us look for a key elsewhere, or that we would have to understand."""


class TokenKind(StrEnum):
    """Who holds an API token."""

    machine = "machine"
    agent = "agent"
    user = "user"


class ApiToken(Created, Record):
    """A long-lived token of a machine or program; the token itself is shown once and never stored."""

    __tablename__ = "api_tokens"
    __table_args__ = tuple(Index(None, name) for name in ("user_id", "machine_id", "agent_id", "task_grant_id"))

    kind: Mapped[TokenKind]
    name: Mapped[str | None] = mapped_column(Line(100), doc="What it is for, as whoever made it has said.")
    token_hash: Mapped[str] = mapped_column(Line(64), unique=True, info={"sealed": True})
    hint: Mapped[str] = mapped_column(Line(20), doc="The token's first characters, to tell it from others.")
    scopes: Mapped[list[str]] = mapped_column(doc="Empty for all that its user may do.")
    is_limited: Mapped[bool] = column(default=False, doc="Sees but the clients named for it that its user sees.")
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("machines.id", ondelete="CASCADE"))
    agent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    task_grant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("task_grants.id", ondelete="CASCADE"))
    generation: Mapped[int]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None] = mapped_column(doc="Written once a minute.")
    last_used_ip: Mapped[str | None] = mapped_column(Line(45), info={"form": "ip"})


class ApiTokenClient(Base):
    """A client that a limited token sees, if its user does."""

    __tablename__ = "api_token_clients"
    __table_args__ = (Index(None, "client_id"),)

    token_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True)


class SetupCode(Created, Record):
    """A one-time code that connects a machine on behalf of a user, or invites one; stored as a keyed hash."""

    __tablename__ = "setup_codes"
    __table_args__ = (Index(None, "user_id"),)

    code_hash: Mapped[str] = mapped_column(Line(64), unique=True, info={"sealed": True})
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"))
    is_invitation: Mapped[bool] = column(default=False, doc="Sets a first password, and connects no machine.")
    sets_password: Mapped[bool] = column(default=False, doc="A person asked for it: it may set a first password.")
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


API_TOKENS = Resource(
    model=ApiToken,
    name="api-token",
    plural="api-tokens",
    visible=installation,
    filters=(
        ApiToken.user_id,
        ApiToken.machine_id,
        ApiToken.agent_id,
        ApiToken.task_grant_id,
        ApiToken.kind,
        ApiToken.name,
        ApiToken.expires_at,
        ApiToken.revoked_at,
        ApiToken.last_used_at,
    ),
    columns=(ApiToken.hint, ApiToken.name, ApiToken.kind, ApiToken.user_id, ApiToken.expires_at, ApiToken.last_used_at),
    hidden=(ApiToken.token_hash,),
    verbs=frozenset({Verb.list, Verb.get, Verb.delete}),
)


def new_token() -> str:
    """``wl_`` + 43 characters + a checksum of six, so that scanners recognise it and a mistyped one is told apart."""
    body = secrets.token_urlsafe(32)
    return f"{PREFIX}{body}{_checksum(body)}"


def _checksum(body: str) -> str:
    return base64.urlsafe_b64encode(zlib.crc32(body.encode()).to_bytes(4, "big")).decode()[:6]


def well_formed(token: str) -> bool:
    """True when the checksum fits; says nothing of validity."""
    body = token.removeprefix(PREFIX)
    return token.startswith(PREFIX) and token.isascii() and _checksum(body[:-6]) == body[-6:]


# --- what has changed -----------------------------------------------------------------------------------------------

RIGHTS: Final = (User, UserClient, Agent, AgentClient, TaskGrant, Machine, ApiToken, ApiTokenClient, RefreshFamily)
"""What a principal is made of."""

CHANGED: Final = "rights-changed"


@event.listens_for(AuditedSession, "after_flush")
def _note_changes(session: Session, _: object) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    if any(isinstance(record, RIGHTS) for record in (*session.dirty, *session.deleted)):
        session.info[CHANGED] = True


def rights_changed(ctx: Context) -> bool:
    """True when the unit of work has changed or deleted what a principal is made of: what is remembered is old."""
    ctx.session.flush()
    return CHANGED in ctx.info


# --- making tokens --------------------------------------------------------------------------------------------------


def issue(
    key: HubKey, user: User, *, kind: TokenKind, scopes: list[str], life: timedelta, machine: Machine | None = None
) -> tuple[str, ApiToken]:
    """A new token and its row. The caller adds the row and shows the token once."""
    token = new_token()
    row = ApiToken(
        id=uuid7(),
        kind=kind,
        token_hash=keyed_hash(key, token),
        hint=token[: len(PREFIX) + 4],
        scopes=scopes,
        user_id=user.id,
        machine_id=machine.id if machine else None,
        generation=user.generation,
        expires_at=utcnow() + life,
    )
    return token, row


def issue_for_grant(key: HubKey, agent: Agent, grant: TaskGrant) -> tuple[str, ApiToken]:
    """A token of an agent for one grant: it ends with the grant, also with one that is renewed, and within a day."""
    token, row = issue(key, agent.owner, kind=TokenKind.agent, scopes=[], life=LONGEST_GRANT)
    row.agent_id, row.task_grant_id = agent.id, grant.id
    row.generation = _generation(agent.owner, agent)
    return token, row


def _generation(user: User, agent: Agent) -> int:
    """Moves on when that of one of the two does, as neither goes back."""
    return user.generation + agent.generation


def access_token(
    key: HubKey, user: User, life: timedelta, family: uuid.UUID | None = None, *, second_factor: bool = False
) -> str:
    """A signed access token of a user; it ends with the family of refresh tokens it was given with."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(user.id), "gen": user.generation, "iat": now, "nbf": now}
    claims |= {"exp": now + int(life.total_seconds()), "jti": str(uuid7())}
    claims |= {"amr": [PASSWORD, *([ONE_TIME_CODE] if second_factor else [])]}  # RFC 8176
    claims |= {"sid": str(family)} if family else {}
    return jwt.encode(claims, key.signing, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": key.key_id})


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    recheck_at: float
    expires_at: float


class Authenticator:
    """From a bearer token to a principal. What it has found it keeps for ``CACHE_SECONDS``.

    Args:
        key: the hub's.
        all_need_second_factor: secrets are shown to nobody who signed in without one; else who has none needs none.
    """

    def __init__(self, key: HubKey, *, all_need_second_factor: bool = True) -> None:
        self.key = key
        self._all_need_second_factor = all_need_second_factor
        self._used: dict[uuid.UUID, tuple[datetime, str | None]] = {}
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def cached(self, token: str) -> Principal | None:
        """The principal when the token was checked within the last seconds; never touches the database."""
        known = self._known.get(token)
        fresh = known is not None and time.monotonic() < known.recheck_at and time.time() < known.expires_at
        return known.principal if known is not None and fresh else None

    def authenticate(self, ctx: ReadContext, token: str, address: str | None = None) -> Principal:
        """The principal behind a token, used from an address.

        Raises:
            UnauthenticatedError: the token is malformed, unknown, expired, revoked, or of an older generation.
        """
        if len(token) > LONGEST:
            raise _invalid("The token is too long to be one.")
        known = self._api_token(ctx, token, address) if token.startswith(PREFIX) else self._access_token(ctx, token)
        with self._lock:
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            self._known[token] = known
        return known.principal

    def forget(self) -> None:
        """Check every token anew: rights have changed on this node."""
        with self._lock:
            self._known.clear()

    def take_used(self) -> dict[uuid.UUID, tuple[datetime, str | None]]:
        """When and from where API tokens were used since this was last asked, by their ids."""
        with self._lock:
            used, self._used = self._used, {}
        return used

    def _api_token(self, ctx: ReadContext, token: str, address: str | None) -> _Known:
        if not well_formed(token):
            raise _invalid("The token is damaged.")
        found = ctx.session.execute(
            select(ApiToken, User).join(User).where(ApiToken.token_hash == keyed_hash(self.key, token))
        ).one_or_none()
        if found is None:
            raise _invalid("The token is unknown.")
        row, user = found
        known = self._agent(ctx, row, user) if row.agent_id is not None else self._of_user(ctx, row, user)
        with self._lock:
            self._used[row.id] = (utcnow(), address)
        return known

    def _of_user(self, ctx: ReadContext, row: ApiToken, user: User) -> _Known:
        if row.revoked_at is not None or row.generation != user.generation:
            raise _invalid("The token was revoked.")
        machine = ctx.session.get(Machine, row.machine_id) if row.machine_id else None
        if machine is not None and not machine.is_active:
            raise _invalid("The machine was retired.")
        actor = f"machine:{machine.hostname}" if machine else f"token:{row.hint}"
        clients = _clients(ctx, user)
        if row.is_limited:
            named = select(ApiTokenClient.client_id).where(ApiTokenClient.token_id == row.id)
            clients = _both(clients, frozenset(ctx.session.scalars(named)))
        principal = Principal(
            PrincipalKind(row.kind.value),
            actor,
            common(row.scopes, SCOPES[user.role]) if row.scopes else SCOPES[user.role],
            user_id=user.id,
            machine_id=row.machine_id,
            clients=clients,
            on_behalf_of=user.email,
            # Whoever made it has said what it is for.
            sees_secrets=row.kind is TokenKind.user and bool(row.scopes),
        )
        return _known(user, principal, row.expires_at.timestamp())

    def _agent(self, ctx: ReadContext, row: ApiToken, user: User) -> _Known:
        """What the owner may do, and the agent's role, and its grant."""
        agent, grant = ctx.session.get(Agent, row.agent_id), ctx.session.get(TaskGrant, row.task_grant_id)
        if agent is None or grant is None or row.revoked_at is not None or row.generation != _generation(user, agent):
            raise _invalid("The token was revoked.")
        if not agent.is_active:
            raise _invalid("The agent was disabled.")
        if grant.revoked_at is not None:
            raise _invalid("The grant of this task was revoked.")
        machine = ctx.session.get(Machine, agent.machine_id) if agent.machine_id else None
        if machine is not None and not machine.is_active:
            raise _invalid("The agent's machine was retired.")
        clients = _clients(ctx, user)
        if agent.is_limited:
            named = select(AgentClient.client_id).where(AgentClient.agent_id == agent.id)
            clients = _both(clients, frozenset(ctx.session.scalars(named)))
        if grant.client_id is not None:
            clients = _both(clients, frozenset({grant.client_id}))
        principal = Principal(
            PrincipalKind.agent,
            f"agent:{agent.name}",
            common(common(SCOPES[user.role], SCOPES[agent.role]), grant.scopes),
            user_id=user.id,
            machine_id=agent.machine_id,
            clients=clients,
            on_behalf_of=user.email,
            agent_id=agent.id,
            task_grant_id=grant.id,
            sees_secrets=REVEAL in grant.scopes,
        )
        return _known(user, within(ctx, principal), min(row.expires_at, grant.expires_at).timestamp())

    def _access_token(self, ctx: ReadContext, token: str) -> _Known:
        try:
            head = jwt.get_unverified_header(token)
            if head.get("typ") != "at+jwt" or head.get("kid") != self.key.key_id or FOREIGN_KEYS & head.keys():
                raise _invalid("The token was not made here.")
            claims: dict[str, Any] = jwt.decode(
                token,
                self.key.verifying,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=CLOCKS_APART,
                options={"require": ["exp", "iat", "nbf", "sub", "gen"]},
            )
            subject = uuid.UUID(claims["sub"])
            session = uuid.UUID(claims["sid"]) if "sid" in claims else None
            given = ONE_TIME_CODE in claims.get("amr", ())
        except jwt.ExpiredSignatureError as error:
            raise _expired() from error
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise _invalid("The token cannot be read.") from error
        user = ctx.session.get(User, subject)
        if user is None or user.generation != claims["gen"]:
            raise _invalid("The token was revoked.")
        if session is not None:
            family = ctx.session.get(RefreshFamily, session)
            if family is None or family.revoked_at is not None:
                raise _invalid("The sign-in of this token was ended.")
        principal = Principal(
            PrincipalKind.user,
            user.email,
            SCOPES[user.role],
            user_id=user.id,
            clients=_clients(ctx, user),
            sees_secrets=self._has_proven(ctx, user, given=given),
            signed_in=True,
        )
        return _known(user, principal, float(claims["exp"]))

    def _has_proven(self, ctx: ReadContext, user: User, *, given: bool) -> bool:
        """Whether a second factor was given by whom it is asked for; one that was removed since counts no more."""
        factor = enrolled(ctx, user.id)
        return given if factor is not None else not self._all_need_second_factor


def _known(user: User, principal: Principal, expires_at: float) -> _Known:
    if not user.is_active:
        raise _invalid("The user was disabled.")
    if expires_at <= time.time():
        raise _expired()
    # By a clock that nobody sets: what is remembered must not last an hour because that of the wall went back.
    return _Known(principal, time.monotonic() + CACHE_SECONDS, expires_at)


def _clients(ctx: ReadContext, user: User) -> frozenset[uuid.UUID] | None:
    """The clients a user is limited to; None for no limit."""
    if not user.is_limited and user.role is not Role.client_portal:
        return None
    return frozenset(ctx.session.scalars(select(UserClient.client_id).where(UserClient.user_id == user.id)))


def _both(clients: frozenset[uuid.UUID] | None, named: frozenset[uuid.UUID]) -> frozenset[uuid.UUID]:
    return named if clients is None else clients & named


def _invalid(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(why, hint="Sign in again, or connect the machine with a new set-up code.")


def _expired() -> UnauthenticatedError:
    return UnauthenticatedError(
        "The token has expired.", hint="Sign in again, or connect the machine with a new code.", code="token-expired"
    )
