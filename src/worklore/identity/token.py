"""Tokens: API tokens of machines and programs, one-time set-up codes, and signed access tokens of people.

An API token is a prefix, 32 random bytes and a checksum; the database holds a keyed hash of it and it is shown once.
An access token is a JWT (RFC 7519, profile RFC 9068) signed with Ed25519 that names its user and the user's generation
number; whoever is disabled or changes role gets a new generation, and old tokens end within ``CACHE_SECONDS``.
"""

import base64
import hashlib
import hmac
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
from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.identity.keys import HubKey
from worklore.identity.machine import Machine
from worklore.identity.user import SCOPES, User, UserClient
from worklore.kernel.access import Principal, PrincipalKind, installation
from worklore.kernel.context import ReadContext
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import UnauthenticatedError
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import Line, utcnow, uuid7

PREFIX: Final = "wl_"
ISSUER: Final = "worklore"
AUDIENCE: Final = "worklore-hub"
CACHE_SECONDS: Final = 5.0
CACHE_SIZE: Final = 4096


class TokenKind(StrEnum):
    """Who holds an API token."""

    machine = "machine"
    agent = "agent"
    user = "user"


class ApiToken(Created, Record):
    """A long-lived token of a machine or program; the token itself is shown once and never stored."""

    __tablename__ = "api_tokens"
    __table_args__ = (Index(None, "user_id"), Index(None, "machine_id"))

    kind: Mapped[TokenKind]
    token_hash: Mapped[str] = mapped_column(Line(64), unique=True, info={"sealed": True})
    hint: Mapped[str] = mapped_column(Line(20), doc="The token's first characters, to tell it from others.")
    scopes: Mapped[list[str]]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("machines.id", ondelete="CASCADE"))
    generation: Mapped[int]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class SetupCode(Created, Record):
    """A one-time code that connects a machine on behalf of a user; stored as a keyed hash."""

    __tablename__ = "setup_codes"
    __table_args__ = (Index(None, "user_id"),)

    code_hash: Mapped[str] = mapped_column(Line(64), unique=True, info={"sealed": True})
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


API_TOKENS = Resource(
    model=ApiToken,
    name="api-token",
    plural="api-tokens",
    visible=installation,
    filters=(ApiToken.user_id, ApiToken.machine_id, ApiToken.kind, ApiToken.expires_at, ApiToken.revoked_at),
    columns=(ApiToken.hint, ApiToken.kind, ApiToken.user_id, ApiToken.expires_at),
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


def keyed_hash(key: HubKey, text: str) -> str:
    """What the database holds instead of a token or code."""
    return hmac.new(key.pepper, text.encode(), hashlib.sha256).hexdigest()


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


def access_token(key: HubKey, user: User, life: timedelta) -> str:
    """A signed access token of a user."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(user.id), "gen": user.generation, "iat": now, "nbf": now}
    claims |= {"exp": now + int(life.total_seconds()), "jti": str(uuid7())}
    return jwt.encode(claims, key.signing, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": key.key_id})


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    recheck_at: float
    expires_at: float


class Authenticator:
    """From a bearer token to a principal. What it has found it keeps for ``CACHE_SECONDS``."""

    def __init__(self, key: HubKey) -> None:
        self.key = key
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def cached(self, token: str) -> Principal | None:
        """The principal when the token was checked within the last seconds; never touches the database."""
        known = self._known.get(token)
        now = time.time()
        return known.principal if known and now < known.recheck_at and now < known.expires_at else None

    def authenticate(self, ctx: ReadContext, token: str) -> Principal:
        """The principal behind a token.

        Raises:
            UnauthenticatedError: the token is malformed, unknown, expired, revoked, or of an older generation.
        """
        known = self._api_token(ctx, token) if token.startswith(PREFIX) else self._access_token(ctx, token)
        with self._lock:
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            self._known[token] = known
        return known.principal

    def forget(self) -> None:
        """Check every token anew: rights have changed on this node."""
        with self._lock:
            self._known.clear()

    def _api_token(self, ctx: ReadContext, token: str) -> _Known:
        if not well_formed(token):
            raise _invalid("The token is damaged.")
        found = ctx.session.execute(
            select(ApiToken, User).join(User).where(ApiToken.token_hash == keyed_hash(self.key, token))
        ).one_or_none()
        if found is None:
            raise _invalid("The token is unknown.")
        row, user = found
        if row.revoked_at is not None or row.generation != user.generation:
            raise _invalid("The token was revoked.")
        kind = PrincipalKind(row.kind.value)
        machine = ctx.session.get(Machine, row.machine_id) if row.machine_id else None
        if machine is not None and not machine.is_active:
            raise _invalid("The machine was retired.")
        scopes = frozenset(row.scopes) if row.scopes else SCOPES[user.role]
        actor = f"machine:{machine.hostname}" if machine else f"token:{row.hint}"
        return self._fresh(
            ctx,
            user,
            kind=kind,
            actor=actor,
            scopes=scopes,
            expires_at=row.expires_at.timestamp(),
            machine_id=row.machine_id,
        )

    def _access_token(self, ctx: ReadContext, token: str) -> _Known:
        try:
            head = jwt.get_unverified_header(token)
            if head.get("typ") != "at+jwt" or head.get("kid") != self.key.key_id:
                raise _invalid("The token was not made here.")
            claims: dict[str, Any] = jwt.decode(
                token,
                self.key.verifying,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "nbf", "sub", "gen"]},
            )
            subject = uuid.UUID(claims["sub"])
        except jwt.ExpiredSignatureError as error:
            raise _expired() from error
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise _invalid("The token cannot be read.") from error
        user = ctx.session.get(User, subject)
        if user is None or user.generation != claims["gen"]:
            raise _invalid("The token was revoked.")
        return self._fresh(
            ctx,
            user,
            kind=PrincipalKind.user,
            actor=user.email,
            scopes=SCOPES[user.role],
            expires_at=float(claims["exp"]),
            machine_id=None,
        )

    def _fresh(
        self,
        ctx: ReadContext,
        user: User,
        *,
        kind: PrincipalKind,
        actor: str,
        scopes: frozenset[str],
        expires_at: float,
        machine_id: uuid.UUID | None,
    ) -> _Known:
        if not user.is_active:
            raise _invalid("The user was disabled.")
        now = time.time()
        if expires_at <= now:
            raise _expired()
        clients = ctx.session.scalars(select(UserClient.client_id).where(UserClient.user_id == user.id)).all()
        principal = Principal(
            kind,
            actor,
            scopes,
            user_id=user.id,
            machine_id=machine_id,
            clients=frozenset(clients) or None,
            on_behalf_of=None if actor == user.email else user.email,
        )
        return _Known(principal, now + CACHE_SECONDS, expires_at)


def _invalid(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(why, hint="Sign in again, or connect the machine with a new set-up code.")


def _expired() -> UnauthenticatedError:
    return UnauthenticatedError(
        "The token has expired.", hint="Sign in again, or connect the machine with a new code.", code="token-expired"
    )
