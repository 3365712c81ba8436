r"""A file that tells by itself what it is, and whether it is whole: a readable head, then a body in sealed parts.

::

    worklore-backup\n
    {"format": 1, ...}\n        the head: one line of JSON, readable without a key
    part part part ... part     1 MiB each, the last one shorter or equal, each followed by 16 bytes

The 16 bytes after a part prove its content, its place, that it is the last one or not, and the head. With a key they
are the tag of AES-256-GCM and the part is ciphertext; without one they are the start of a SHA-256, which proves damage
and proves nothing against somebody who writes a whole new file. The nonce of a part is its number and whether it is the
last, as in age: the key is new for each file, since scrypt derives it with a salt of the file's own.
"""

import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from worklore.kernel.errors import UnavailableError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAGIC: Final = b"worklore-backup\n"
FORMAT: Final = 1
PART: Final = 1 << 20
TAG: Final = 16
MAX_HEAD: Final = 1 << 16

COST: Final = 1 << 17
"""Scrypt's n: with r=8 it fills 128 MiB for a third of a second."""
MAX_COST: Final = 1 << 20
"""A head that asks for more is not ours, and is not obeyed."""
BLOCK: Final = 8
KEY: Final = 32
SHORTEST: Final = 12

Seal = Callable[[bytes, bytes], bytes]
"""From a nonce and a part to what stands in the file, or back."""


def damaged(path: Path, why: str) -> UnavailableError:
    """The file is not what was written."""
    return UnavailableError(
        f"{path} is damaged: {why}.", hint="Take another copy of it, or an older backup.", code="backup-damaged"
    )


# --- keys -----------------------------------------------------------------------------------------------------------


def read_secret(path: Path | None) -> bytes | None:
    """The passphrase in a file, or in what a command prints when the path is that of a pipe; None without a file.

    Raises:
        UnavailableError: it cannot be read, is too short, or others may read it.
    """
    if path is None:
        return None
    try:
        about = path.stat()
        if os.name == "posix" and stat.S_ISREG(about.st_mode) and about.st_mode & 0o077:
            raise UnavailableError(f"Others may read {path}.", hint="Make it yours alone (mode 600).", code="key-open")
        secret = path.read_bytes().strip()
    except OSError as error:
        _unreadable(path, error)
    if len(secret) < SHORTEST:
        raise UnavailableError(
            f"The passphrase is shorter than {SHORTEST} characters.",
            hint="Make a longer one, for instance with: openssl rand -base64 24",
            code="passphrase-short",
        )
    return secret


@dataclass(frozen=True, slots=True)
class _Key:
    """What a passphrase becomes with the salt of one file."""

    seal: bytes
    proof: str
    """Stands in the head and tells a wrong passphrase from a damaged file."""


def _derive(secret: bytes, salt: bytes, cost: int) -> _Key:
    made = Scrypt(salt=salt, length=2 * KEY, n=cost, r=BLOCK, p=1).derive(secret)
    return _Key(made[:KEY], hashlib.sha256(made[KEY:]).hexdigest()[:32])


def _new_key(secret: bytes) -> tuple[_Key, dict[str, Any]]:
    salt = secrets.token_bytes(16)
    key = _derive(secret, salt, COST)
    return key, {"cipher": "AES-256-GCM", "kdf": "scrypt", "n": COST, "salt": salt.hex(), "proof": key.proof}


def _known_key(path: Path, encryption: Mapping[str, Any], secret: bytes | None) -> _Key:
    if secret is None:
        raise UnavailableError(
            f"{path} is encrypted.", hint="Give its passphrase, or WORKLORE_BACKUP_KEY_FILE.", code="backup-encrypted"
        )
    try:
        salt, cost = bytes.fromhex(encryption["salt"]), int(encryption["n"])
        usable = (encryption["cipher"], encryption["kdf"]) == ("AES-256-GCM", "scrypt") and 1 < cost <= MAX_COST
        key = _derive(secret, salt, cost) if usable else None
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, "what it says about its encryption cannot be read") from error
    if key is None:
        raise damaged(path, "it asks for an encryption that this version does not know")
    if not secrets.compare_digest(key.proof, str(encryption.get("proof"))):
        raise UnavailableError(
            f"The passphrase does not open {path}.", hint="Give the one it was made with.", code="backup-passphrase"
        )
    return key


def _seals(head: bytes, key: _Key | None) -> tuple[Seal, Seal]:
    """How parts are sealed and opened; opening raises InvalidTag."""
    bound = hashlib.sha256(head).digest()
    if key is not None:
        cipher = AESGCM(key.seal)
        return lambda nonce, part: cipher.encrypt(nonce, part, bound), lambda nonce, part: cipher.decrypt(
            nonce, part, bound
        )

    def seal(nonce: bytes, part: bytes) -> bytes:
        return part + hashlib.sha256(bound + nonce + part).digest()[:TAG]

    def opened(nonce: bytes, part: bytes) -> bytes:
        if seal(nonce, part[:-TAG]) != part:
            raise InvalidTag
        return part[:-TAG]

    return seal, opened


def _nonce(place: int, *, last: bool) -> bytes:
    return place.to_bytes(11, "big") + bytes([last])


# --- writing --------------------------------------------------------------------------------------------------------


class SealedWriter(io.RawIOBase):
    """Writes a new file, 0600. It is whole after :meth:`close` only; a part that is full is on its way to the disk."""

    def __init__(self, path: Path, facts: Mapping[str, Any], secret: bytes | None) -> None:
        key, encryption = _new_key(secret) if secret is not None else (None, None)
        head = json.dumps({"format": FORMAT, **facts, "encryption": encryption}).encode() + b"\n"
        self._seal, _ = _seals(head, key)
        self._waiting = bytearray()
        self._place = 0
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._file.write(MAGIC + head)

    def writable(self) -> bool:
        """It is for writing alone."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take data in; parts that are full go to the file."""
        view = memoryview(data)
        self._waiting += view
        while len(self._waiting) > PART:  # a full part waits until it is known not to be the last
            self._put(bytes(self._waiting[:PART]), last=False)
            del self._waiting[:PART]
        return view.nbytes

    def finish(self) -> None:
        """Seal the last part and see it on the disk."""
        self._put(bytes(self._waiting), last=True)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file, finished or not."""
        self._file.close()
        super().close()

    def _put(self, part: bytes, *, last: bool) -> None:
        self._file.write(self._seal(_nonce(self._place, last=last), part))
        self._place += 1


# --- reading --------------------------------------------------------------------------------------------------------


def read_head(path: Path) -> dict[str, Any]:
    """What a file says about itself; nothing of it is proven yet.

    Raises:
        UnavailableError: it cannot be read, is no backup of ours, or is of a newer format.
    """
    try:
        with path.open("rb") as file:
            return _head(path, file)[0]
    except OSError as error:
        _unreadable(path, error)


def _unreadable(path: Path, error: OSError) -> NoReturn:
    raise UnavailableError(
        f"{path} cannot be read: {error.strerror or error}.",
        hint="Name a file that is there and that you may read.",
        code="no-backup",
    ) from error


def _head(path: Path, file: io.BufferedReader) -> tuple[dict[str, Any], bytes]:
    if file.read(len(MAGIC)) != MAGIC:
        raise UnavailableError(f"{path} is no backup of this product.", hint="Name a backup file.", code="no-backup")
    line = file.readline(MAX_HEAD)
    try:
        head: Any = json.loads(line)
        kind = head["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, "its first lines cannot be read") from error
    if kind != FORMAT:
        raise UnavailableError(
            f"{path} was written in format {kind}; this version reads {FORMAT}.",
            hint="Use the version that wrote it, or a newer one.",
            code="backup-newer",
        )
    return head, line


class SealedReader(io.RawIOBase):
    """Reads a file, part by part, each proven before a byte of it is given out.

    Raises:
        UnavailableError: it is no backup, is damaged, cut off or changed, or the passphrase does not fit.
    """

    def __init__(self, path: Path, secret: bytes | None) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            _unreadable(path, error)
        try:
            self.head, line = _head(path, self._file)
            encryption = self.head.get("encryption")
            key = _known_key(path, encryption, secret) if encryption else None
        except BaseException:
            self._file.close()
            raise
        _, self._open = _seals(line, key)
        self._place = 0
        self._next = self._file.read(PART + TAG)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """It is for reading alone."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill a buffer; 0 at the end of the last part."""
        if not self._left and (self._next or not self._place):
            self._left = memoryview(self._part())
        view = memoryview(buffer).cast("B")
        taken = min(len(view), len(self._left))
        view[:taken] = self._left[:taken]
        self._left = self._left[taken:]
        return taken

    def _part(self) -> bytes:
        part, self._next = self._next, self._file.read(PART + TAG)
        try:
            opened = self._open(_nonce(self._place, last=not self._next), part)
        except (InvalidTag, ValueError) as error:
            raise damaged(self._path, f"part {self._place + 1} was changed, or the file is cut off there") from error
        self._place += 1
        return opened

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()
