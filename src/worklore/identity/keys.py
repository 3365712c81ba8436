"""The hub's key: 32 random bytes in a file of its owner, from which the keys of tokens are derived (HKDF-SHA256)."""

import base64
import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from worklore.kernel.context import ReadContext
from worklore.kernel.errors import UnavailableError

LENGTH: Final = 32
HUB_KEY: Final = "hub-key"
"""Where a session holds the key of its hub."""


class HubKey:
    """The derived keys.

    Attributes:
        signing: signs access tokens (Ed25519); ``verifying`` is its public half, ``key_id`` its name in a token's head.
        pepper: keys the hashes of API tokens and set-up codes, so that a stolen database alone proves nothing.
        second_factor: seals the seeds of one-time codes.
        audit: keys the codes of the change audit's chains.
        witness: signs checkpoints of these chains (Ed25519).
        sharing: keys the hashes of links that show a secret, and of their passphrases.
    """

    def __init__(self, secret: bytes) -> None:
        self.signing: Ed25519PrivateKey = Ed25519PrivateKey.from_private_bytes(_derive(secret, b"access-token/v1"))
        self.verifying: Ed25519PublicKey = self.signing.public_key()
        self.key_id = base64.urlsafe_b64encode(self.verifying.public_bytes_raw()[:9]).decode()
        self.pepper = _derive(secret, b"token-pepper/v1")
        self.second_factor = _derive(secret, b"second-factor/v1")
        self.audit = _derive(secret, b"audit-chain/v1")
        self.sharing = _derive(secret, b"share-link/v1")
        self.witness = Ed25519PrivateKey.from_private_bytes(_derive(secret, b"audit-checkpoint/v1"))


def _derive(secret: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=LENGTH, salt=None, info=label).derive(secret)


def keyed_hash(key: HubKey, text: str) -> str:
    """What the database holds instead of a token or code."""
    return hmac.new(key.pepper, text.encode(), hashlib.sha256).hexdigest()


def key_of(ctx: ReadContext) -> HubKey:
    """The key of the hub that a unit of work belongs to.

    Raises:
        UnavailableError: this process has none.
    """
    key: HubKey | None = ctx.session.info.get(HUB_KEY)
    if key is None:
        raise UnavailableError("This command has no key of the hub.", hint="Ask the hub.", code="key-missing")
    return key


def load_key(path: Path, *, create: bool) -> HubKey:
    """The key in a file; a new one when ``create`` and there is none.

    Raises:
        UnavailableError: the file is missing, is not 32 bytes in base64, or others may read it.
    """
    if not path.exists():
        if not create:
            raise UnavailableError(
                f"The hub's key {path} is missing, and the database already has tokens made with it.",
                hint="Put the file back from your backup.",
                code="key-missing",
            )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(LENGTH)) + b"\n")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UnavailableError(f"Others may read the hub's key {path}.", hint="Make it yours alone (mode 600).")
    try:
        secret = base64.b64decode(path.read_bytes().strip(), validate=True)
    except ValueError:
        secret = b""
    if len(secret) != LENGTH:
        raise UnavailableError(f"{path} does not hold {LENGTH} bytes in base64.", hint="Put the right file back.")
    return HubKey(secret)
