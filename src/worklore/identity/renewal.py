"""Renewal of sign-ins: opaque refresh tokens that are used once, and what ends a sign-in.

A token's first use makes its successor. A client whose answer was lost, or which asks several times at once, may use
the same token again for ``GRACE``, and each time gets a further live one. A use after that is a sign that two hold the
token: it ends the family, and with it every access token of that sign-in.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update

from worklore.identity.keys import HubKey, keyed_hash
from worklore.identity.refresh import RefreshFamily, RefreshToken
from worklore.identity.token import access_token, new_token
from worklore.identity.user import User
from worklore.kernel.audit import record_event, unaudited
from worklore.kernel.context import Context
from worklore.kernel.errors import UnauthenticatedError
from worklore.kernel.types import uuid7
from worklore.kernel.wire import WireModel

GRACE: Final = timedelta(seconds=120)
IDLE: Final = timedelta(days=7)
LIFE: Final = timedelta(days=30)
MAX_AGENT: Final = 300
"""Characters kept of what a program says it is."""


class AccessGranted(WireModel):
    """A signed access token, and the refresh token that gets the next one; each is shown this once.

    ``device`` tells a later sign-in that this device has signed in before: it is let in where failures of others have
    locked the account.
    """

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int
    refresh_token: str
    refresh_expires_at: datetime
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a sign-in comes from."""

    address: str | None = None
    program: str | None = None


def begin(
    ctx: Context, key: HubKey, user: User, life: timedelta, caller: Caller, *, second_factor: bool = False
) -> AccessGranted:
    """A new family with its first token. ``life`` is that of the access token."""
    now = ctx.now()
    family = RefreshFamily(
        id=uuid7(),
        user_id=user.id,
        generation=user.generation,
        second_factor=second_factor,
        ip_address=caller.address,
        user_agent=caller.program[:MAX_AGENT] if caller.program else None,
        last_used_at=now,
        idle_expires_at=now + IDLE,
        expires_at=now + LIFE,
    )
    ctx.session.add(family)
    ctx.session.flush()
    return _grant(ctx, key, user, family, life)


def _grant(ctx: Context, key: HubKey, user: User, family: RefreshFamily, life: timedelta) -> AccessGranted:
    token = new_token()
    ctx.session.add(RefreshToken(id=uuid7(), family_id=family.id, token_hash=keyed_hash(key, token)))
    return AccessGranted(
        access_token=access_token(key, user, life, family.id, second_factor=family.second_factor),
        expires_in=int(life.total_seconds()),
        refresh_token=token,
        refresh_expires_at=min(family.expires_at, ctx.now() + IDLE),
    )


def renew(ctx: Context, key: HubKey, token: str, life: timedelta) -> AccessGranted | None:
    """Use a refresh token. None when it is refused: that a family ended must be committed, so it is no exception."""
    found = ctx.session.execute(
        select(RefreshToken, RefreshFamily)
        .join(RefreshFamily)
        .where(RefreshToken.token_hash == keyed_hash(key, token))
        .with_for_update()
    ).one_or_none()
    if found is None:
        return None
    row, family = found
    now = ctx.now()
    if row.used_at is not None and now > row.used_at + GRACE:
        end(ctx, family, "a refresh token was used again")
        return None
    user = ctx.session.get_one(User, family.user_id)
    if not user.is_active or user.generation != family.generation:
        end(ctx, family, "the user's rights have changed")
    if family.revoked_at is not None or now >= min(family.expires_at, family.idle_expires_at):
        return None
    first = update(RefreshToken).where(RefreshToken.id == row.id, RefreshToken.used_at.is_(None)).values(used_at=now)
    used = update(RefreshFamily).where(RefreshFamily.id == family.id)
    used = used.values(rotations=RefreshFamily.rotations + 1, last_used_at=now, idle_expires_at=now + IDLE)
    for statement in (first, used):
        quiet = unaudited(statement, "the sign-in is on record; its use is no change of rights")
        ctx.session.execute(quiet.execution_options(synchronize_session=False))
    return _grant(ctx, key, user, family, life)


def end(ctx: Context, family: RefreshFamily, reason: str) -> None:
    """End a sign-in: its refresh tokens at once, its access tokens within seconds."""
    if family.revoked_at is None:
        family.revoked_at, family.revoked_reason = ctx.now(), reason
        record_event(ctx, "end-sign-in", "refresh_families", family.id, {"reason": reason}, outcome="done")


def sign_out(ctx: Context, key: HubKey, token: str) -> None:
    """End the sign-in of a refresh token; an unknown one has nothing to end."""
    hashed = RefreshToken.token_hash == keyed_hash(key, token)
    family = ctx.session.scalars(select(RefreshFamily).join(RefreshToken).where(hashed)).one_or_none()
    if family is not None:
        end(ctx, family, "signed out")


def families_of(ctx: Context, user_id: uuid.UUID) -> list[RefreshFamily]:
    """The sign-ins of a user that have not ended."""
    live = select(RefreshFamily).where(RefreshFamily.user_id == user_id, RefreshFamily.revoked_at.is_(None))
    return list(ctx.session.scalars(live))


def refused_renewal() -> UnauthenticatedError:
    """The one answer to an unknown, used, expired or revoked refresh token."""
    return UnauthenticatedError("This sign-in has ended.", hint="Sign in again.", code="sign-in-ended")
