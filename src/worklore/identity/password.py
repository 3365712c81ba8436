"""Passwords: what one may be, and its Argon2id hash.

A password is normalised (NFKC) before it is hashed, so that it is the same on keyboards and systems that write a letter
in different ways. Hashes from before that was so are compared with the text as it was typed.
"""

import secrets
import unicodedata
from typing import Annotated, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import AfterValidator, Field, SecretStr

from worklore.identity.hashing import aside
from worklore.kernel.errors import InvalidError

SHORTEST: Final = 12
LONGEST: Final = 128
PART: Final = 4
"""Characters from which on the name in an address counts as a part of it that a password may not hold."""

ROWS: Final = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm")
"""What people run their fingers along."""

# OWASP's minimum for Argon2id.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODY: Final = _HASHER.hash(secrets.token_hex(16))


def _encodable(password: SecretStr) -> SecretStr:
    """Refuse what has no bytes to hash."""
    try:
        password.get_secret_value().encode()
    except UnicodeEncodeError:
        # Not chained: the cause holds the password.
        raise ValueError("text may not contain lone surrogates") from None
    return password


Password = Annotated[SecretStr, Field(max_length=LONGEST), AfterValidator(_encodable)]
Chosen = Annotated[Password, Field(min_length=SHORTEST)]
"""A new password; :func:`require_good` says what else it must be."""


def normalised(password: str) -> str:
    """The password in Unicode's form NFKC."""
    return unicodedata.normalize("NFKC", password)


def hash_password(password: str) -> str:
    """An Argon2id hash of the normalised password."""
    return aside(_HASHER.hash, normalised(password))


def verify_password(stored: str | None, password: str) -> bool:
    """Compare a password; takes as long for a user who does not exist."""
    return any(_matches(stored or _NOBODY, text) for text in _forms(password)) and stored is not None


def is_outdated(stored: str, password: str) -> bool:
    """True for a hash of weaker parameters, or of a password that was not normalised; it is to be made anew."""
    return _HASHER.check_needs_rehash(stored) or (
        normalised(password) != password and not _matches(stored, normalised(password))
    )


def _forms(password: str) -> list[str]:
    return list(dict.fromkeys([normalised(password), password]))


def _matches(stored: str, password: str) -> bool:
    try:
        return aside(_HASHER.verify, stored, password)
    except (VerificationError, InvalidHashError):
        return False


def require_good(password: SecretStr, email: str) -> None:
    """See that a new password is hard to guess: long enough, without the person's address, and no mere pattern.

    Raises:
        InvalidError: it is not; the password itself is not repeated.
    """
    typed = password.get_secret_value()
    text = normalised(typed)
    folded, address = text.casefold(), email.strip().casefold()
    name = address.partition("@")[0]
    if min(len(text), len(typed)) < SHORTEST:
        raise _refused(f"a password has at least {SHORTEST} characters", "Take several words.")
    if address in folded or (len(name) >= PART and name in folded):
        raise _refused(
            "a password does not hold the address it belongs to", "Take words that have nothing to do with you."
        )
    if _is_pattern(folded):
        raise _refused("a password is more than one pattern that goes on and on", "Take several words.")


def _is_pattern(text: str) -> bool:
    """A short text over and over, or a part of a row of keys, of digits or of the alphabet."""
    period = next(size for size in range(1, len(text) + 1) if text.startswith(text[size:]))
    if period < SHORTEST and period <= len(text) // 2:
        return True
    several = (row * (len(text) // len(row) + 2) for row in ROWS)
    return any(text in row or text in row[::-1] for row in several)


def _refused(rule: str, hint: str) -> InvalidError:
    return InvalidError(f"password: {rule}.", hint=hint, field="password", rule=rule)
