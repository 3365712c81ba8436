"""The form of everything sealed: a key of its own for each value, derived from the key that the header names.

::

    "WLV" | format 1 | length of the key id | key id | generation (4) | salt (32) | nonce (12) | commitment (32)
    ciphertext | tag (16)

HKDF-SHA256 of the named key, the salt and the purpose gives 64 bytes: the AES-256-GCM key, and the commitment, which
says that it is this key and no other, since GCM alone lets a ciphertext be made that two keys open. The associated
data is the purpose, the header and whatever the value is bound to, each part with its length before it, so that no two
places look alike.
"""

import hmac
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC: Final = b"WLV"
FORMAT: Final = 1
KEY: Final = 32
SALT: Final = 32
NONCE: Final = 12
COMMITMENT: Final = 32
TAG: Final = 16
MAX_KEY_ID: Final = 64

_START: Final = MAGIC + bytes([FORMAT])
_GENERATION: Final = struct.Struct(">I")
_REST: Final = SALT + NONCE + COMMITMENT


class DamagedError(Exception):
    """It is no envelope, was changed, belongs elsewhere, or was sealed with another key; it is not told which."""


@dataclass(frozen=True, slots=True)
class Label:
    """What an envelope says of the key that opens it."""

    key_id: bytes
    generation: int = 0

    def header(self) -> bytes:
        """The first bytes of the envelope."""
        return _START + bytes([len(self.key_id)]) + self.key_id + _GENERATION.pack(self.generation)


def seal(key: bytes, label: Label, purpose: str, value: bytes, bound: Sequence[bytes]) -> bytes:
    """A value, sealed for a purpose and bound to where it stands; no two results are alike."""
    salt, nonce = os.urandom(SALT), os.urandom(NONCE)
    own, commitment = _derive(key, salt, purpose)
    header = label.header()
    return header + salt + nonce + commitment + AESGCM(own).encrypt(nonce, value, _associated(purpose, header, bound))


def read_label(sealed: bytes) -> Label:
    """Which key an envelope says it was sealed with; nothing of it is proven yet.

    Raises:
        DamagedError: it is no envelope of a known format.
    """
    return _parse(sealed)[0]


def unseal(key: bytes, purpose: str, sealed: bytes, bound: Sequence[bytes]) -> bytes:
    """The value in an envelope.

    Raises:
        DamagedError: it does not open with this key, for this purpose, in this place.
    """
    label, start = _parse(sealed)
    salt, nonce, commitment = (
        sealed[start : start + SALT],
        sealed[start + SALT : start + SALT + NONCE],
        sealed[start + SALT + NONCE : start + _REST],
    )
    own, expected = _derive(key, salt, purpose)
    if not hmac.compare_digest(commitment, expected):
        raise DamagedError
    try:
        return AESGCM(own).decrypt(nonce, sealed[start + _REST :], _associated(purpose, label.header(), bound))
    except InvalidTag as error:
        raise DamagedError from error


def derive(key: bytes, label: str, *parts: bytes) -> bytes:
    """A key for one use, from a key for many."""
    return HKDF(
        algorithm=SHA256(), length=KEY, salt=None, info=lengths(f"worklore/{label}/v1".encode(), *parts)
    ).derive(key)


def lengths(*parts: bytes) -> bytes:
    """Parts one after the other, each with its length before it: different parts never give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _parse(sealed: bytes) -> tuple[Label, int]:
    """The label, and where the salt begins."""
    if sealed[: len(_START)] != _START or len(sealed) <= len(_START):
        raise DamagedError
    size = sealed[len(_START)]
    after_id = len(_START) + 1 + size
    start = after_id + _GENERATION.size
    if not 0 < size <= MAX_KEY_ID or len(sealed) < start + _REST + TAG:
        raise DamagedError
    return Label(sealed[len(_START) + 1 : after_id], _GENERATION.unpack(sealed[after_id:start])[0]), start


def _derive(key: bytes, salt: bytes, purpose: str) -> tuple[bytes, bytes]:
    info = f"worklore/{purpose}/v{FORMAT}".encode()
    made = HKDF(algorithm=SHA256(), length=KEY + COMMITMENT, salt=salt, info=info).derive(key)
    return made[:KEY], made[KEY:]


def _associated(purpose: str, header: bytes, bound: Sequence[bytes]) -> bytes:
    return lengths(purpose.encode(), header, *bound)
