"""A second factor of people: one-time codes of an authenticator app (TOTP, RFC 6238), and codes for when it is lost.

The seed is sealed with a key of the hub's and bound to its user, so a row that is moved to another user opens nothing.
A code is good for its half minute, the one before and the one after, and once: the step it is of is kept.
"""

import hmac
import secrets
import uuid
from datetime import datetime
from typing import Final

from pyotp import random_base32
from pyotp.totp import TOTP
from sqlalchemy import BigInteger, ForeignKey, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.identity.keys import HubKey, keyed_hash
from worklore.identity.user import User
from worklore.kernel import envelope
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Record, Stamped
from worklore.kernel.envelope import DamagedError, Label
from worklore.kernel.errors import ConflictError, InvalidError, UnauthenticatedError, UnavailableError
from worklore.kernel.types import column, uuid7
from worklore.kernel.wire import WireModel

STEP_SECONDS: Final = 30
TOLERANCE: Final = 1
"""Steps that the clock of a telephone may be off."""

DIGITS: Final = 6
RECOVERY_CODES: Final = 10
RECOVERY_LENGTH: Final = 10
ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Of codes that people copy: without letters and digits that look alike."""

ISSUER: Final = "Worklore"
PURPOSE: Final = "second-factor"


class SecondFactor(Stamped, Record):
    """The second factor of a person: it counts once it is confirmed by a first code."""

    __tablename__ = "second_factors"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"), unique=True)
    seed_encrypted: Mapped[bytes] = mapped_column(info={"sealed": True}, doc="Sealed with the hub's key.")
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None] = mapped_column(BigInteger, doc="The half minute whose code was used last.")
    recovery_hashes: Mapped[list[str]] = column(default=[], info={"sealed": True}, doc="Keyed; each works once.")

    user: Mapped[User] = relationship(backref=backref("second_factor", viewonly=True), viewonly=True)


class Enrolment(WireModel):
    """The seed of an authenticator app, shown this once: as text to type, and as a URI for a QR code."""

    secret: str
    uri: str


class RecoveryCodes(WireModel):
    """Codes for the day the telephone is lost, shown this once; each works once."""

    recovery_codes: list[str]


def enrolled(ctx: ReadContext, user_id: uuid.UUID) -> SecondFactor | None:
    """The second factor of a user; None where there is none, or one that is not confirmed."""
    found = _of(ctx, user_id)
    return found if found is not None and found.confirmed_at is not None else None


def enrol(ctx: Context, key: HubKey, user: User) -> Enrolment:
    """A new seed, which counts from when :func:`confirm` has seen a code of it.

    Raises:
        ConflictError: the user has a second factor.
    """
    factor = _of(ctx, user.id)
    if factor is not None and factor.confirmed_at is not None:
        raise ConflictError("There is a second factor already.", hint="Remove it first.", code="second-factor-enrolled")
    seed = random_base32()
    sealed = envelope.seal(key.second_factor, Label(key.key_id.encode()), PURPOSE, seed.encode(), (user.id.bytes,))
    if factor is None:
        ctx.session.add(SecondFactor(id=uuid7(), user_id=user.id, seed_encrypted=sealed))
    else:
        factor.seed_encrypted = sealed
    return Enrolment(secret=seed, uri=TOTP(seed).provisioning_uri(name=user.email, issuer_name=ISSUER))


def confirm(ctx: Context, key: HubKey, user_id: uuid.UUID, code: str) -> RecoveryCodes:
    """Let a second factor count, since the app shows its codes.

    Raises:
        ConflictError: none was begun, or it counts already.
        InvalidError: it is no code of this moment.
    """
    factor = _of(ctx, user_id)
    if factor is None or factor.confirmed_at is not None:
        raise absent()
    step = _step(_seed(key, factor), _plain(code), ctx.now(), factor.last_step)
    if step is None:
        hint = "Type what the app shows now. Are the clocks of the telephone and the hub right?"
        raise InvalidError("code: it is no code of this moment.", hint=hint, field="code")
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(RECOVERY_LENGTH)) for _ in range(RECOVERY_CODES)]
    factor.confirmed_at, factor.last_step = ctx.now(), step
    factor.recovery_hashes = [_recovery_hash(key, user_id, each) for each in codes]
    half = RECOVERY_LENGTH // 2
    return RecoveryCodes(recovery_codes=[f"{each[:half]}-{each[half:]}" for each in codes])


def accept(ctx: Context, key: HubKey, factor: SecondFactor, code: str) -> bool:
    """Use a code up, of the app or a recovery code; False for one that is wrong or was used."""
    plain = _plain(code)
    if len(plain) == DIGITS and plain.isdecimal():
        step = _step(_seed(key, factor), plain, ctx.now(), factor.last_step)
        if step is not None:
            factor.last_step = step
        return step is not None
    hashed = _recovery_hash(key, factor.user_id, plain)
    left = [each for each in factor.recovery_hashes if not hmac.compare_digest(each, hashed)]
    used = len(left) < len(factor.recovery_hashes)
    if used:
        factor.recovery_hashes = left
    return used


def remove(ctx: Context, user_id: uuid.UUID) -> None:
    """Do without a second factor from now on, if there is one."""
    factor = _of(ctx, user_id)
    if factor is not None:
        ctx.session.delete(factor)


def needed() -> UnauthenticatedError:
    """The answer to a right password without a code."""
    return UnauthenticatedError(
        "A code is needed too.", hint="Send `code`, as the app shows it.", code="second-factor-needed"
    )


def refused() -> UnauthenticatedError:
    """The answer to a right password with a code that is wrong or was used."""
    return UnauthenticatedError(
        "The code is wrong, or was used.", hint="Wait for the next one.", code="second-factor-refused"
    )


def absent() -> ConflictError:
    """The answer where there is no second factor to confirm or remove."""
    return ConflictError(
        "There is no second factor to which this could be done.", hint="Enrol one.", code="second-factor-absent"
    )


def _of(ctx: ReadContext, user_id: uuid.UUID) -> SecondFactor | None:
    return ctx.session.scalars(select(SecondFactor).where(SecondFactor.user_id == user_id)).one_or_none()


def _seed(key: HubKey, factor: SecondFactor) -> str:
    try:
        return envelope.unseal(key.second_factor, PURPOSE, factor.seed_encrypted, (factor.user_id.bytes,)).decode()
    except DamagedError as error:
        raise UnavailableError(
            "The second factor does not open: it was changed, or sealed with another key.",
            hint="`worklore hub user-reset` on the hub's machine takes it away.",
            code="second-factor-unreadable",
        ) from error


def _step(seed: str, code: str, now: datetime, last: int | None) -> int | None:
    """The step of time that a code is of, later than the last one used; None when it is of none."""
    present, made = int(now.timestamp()) // STEP_SECONDS, TOTP(seed)
    steps = range(present - TOLERANCE, present + TOLERANCE + 1)
    found = [step for step in steps if hmac.compare_digest(made.generate_otp(step).encode(), code.encode())]
    return next((step for step in found if last is None or step > last), None)


def _plain(code: str) -> str:
    return code.replace("-", "").replace(" ", "").upper()


def _recovery_hash(key: HubKey, user_id: uuid.UUID, code: str) -> str:
    return keyed_hash(key, f"recovery:{user_id}:{code}")
