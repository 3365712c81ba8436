"""The vault keys that a process is given from outside: by a file, by the environment, or by a command's output.

Each has the same form: entries ``id:key``, one after the other, the key being 32 bytes in base64. A line that begins
with ``#`` is a comment. What a key may be used for stands in the database, where all nodes read the same.
"""

import base64
import binascii
import os
import re
import secrets
import shlex
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worklore.kernel.envelope import KEY, derive
from worklore.kernel.errors import ConflictError, NotFoundError, UnavailableError

COMMAND_SECONDS: Final = 30
ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
HEAD: Final = """\
# The keys of the vault. Without them the secrets in the database cannot be read by anybody: keep a copy elsewhere
# (worklore keys export-kit). One key a line, id:key, 32 bytes in base64.
"""


@dataclass(frozen=True, slots=True)
class VaultKeyBytes:
    """A key-encryption key: its id and its 32 bytes, which no message shows."""

    id: str
    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Tells this key from all others and reveals nothing of it."""
        return derive(self.secret, "fingerprint").hex()[:32]

    def line(self) -> str:
        """The entry in a keyring: the key itself."""
        return f"{self.id}:{base64.b64encode(self.secret).decode()}"


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys a process was given.

    Attributes:
        source: where they come from, in words.
        file: the file they stand in; None when they come from the environment or a command.
        empty_because: why there are none, when a source failed to give any.
    """

    keys: Mapping[str, VaultKeyBytes]
    source: str
    file: Path | None = None
    empty_because: str | None = None

    def get(self, key_id: str) -> VaultKeyBytes | None:
        """The key of an id, when it was given."""
        return self.keys.get(key_id)

    def require(self, key_id: str) -> VaultKeyBytes:
        """The key of an id.

        Raises:
            NotFoundError: it was not given.
        """
        key = self.get(key_id)
        if key is None:
            raise NotFoundError(
                f"{self.source} holds no key {key_id}.",
                hint="List them with worklore keys status.",
                code="vault-key-unknown",
            )
        return key

    def __iter__(self) -> Iterator[VaultKeyBytes]:
        return iter(self.keys.values())

    def __len__(self) -> int:
        return len(self.keys)


def new_key() -> VaultKeyBytes:
    """A random key with a random id."""
    return VaultKeyBytes(f"key-{secrets.token_hex(4)}", secrets.token_bytes(KEY))


def parse(text: str, source: str) -> dict[str, VaultKeyBytes]:
    """The keys in a text, by id.

    Raises:
        UnavailableError: an entry is not ``id:key``, or an id or a key stands there twice. The text is never repeated.
    """
    keys: dict[str, VaultKeyBytes] = {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for number, entry in enumerate(" ".join(lines).split(), 1):
        key_id, _, encoded = entry.partition(":")
        try:
            secret = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if not ID.fullmatch(key_id) or len(secret) != KEY:
            raise UnavailableError(
                f"Entry {number} of {source} is no vault key: it must be id:key, the id of small letters, digits and "
                f"hyphens (32 at most), the key exactly {KEY} bytes in base64 (44 characters).",
                hint="Make one with: worklore keys generate",
                code="vault-key-form",
            )
        if key_id in keys or any(secret == known.secret for known in keys.values()):
            raise UnavailableError(
                f"Entry {number} of {source} stands there twice, by its id or by its key.",
                hint="Leave each key in once.",
                code="vault-key-form",
            )
        keys[key_id] = VaultKeyBytes(key_id, secret)
    return keys


def load_keyring(default: Path, *, file: Path | None, keys: str | None, command: str | None) -> Keyring:
    """The keyring of the one source that is set; the default file when none is. One never stands in for another.

    Raises:
        UnavailableError: several sources are set, the file can be read by others, or an entry is no key.
    """
    given = [name for name, value in (("KEYRING", file), ("KEYS", keys), ("KEY_COMMAND", command)) if value is not None]
    if len(given) > 1:
        raise UnavailableError(
            f"{' and '.join(f'WORKLORE_VAULT_{name}' for name in given)} are set together.",
            hint="Set the one that holds the vault's keys.",
            code="vault-key-sources",
        )
    if keys is not None:
        return Keyring(parse(keys, "WORKLORE_VAULT_KEYS"), "WORKLORE_VAULT_KEYS")
    if command is not None:
        return _of_command(command)
    path = (file or default).expanduser()
    return Keyring(parse(_read(path), str(path)), str(path), file=path)


def _read(path: Path) -> str:
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UnavailableError(f"Others may read {path}.", hint="Make it yours alone (mode 600).", code="key-open")
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise UnavailableError(
            f"{path} is no keyring: it is no text.", hint="Put the right file back.", code="vault-key-form"
        ) from None
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read: {error.strerror or error}.",
            hint="Let the hub's user read it.",
            code="vault-key-file",
        ) from error


def _of_command(command: str) -> Keyring:
    """What a command prints; a command that fails leaves the vault sealed, and says why on the hub's own stderr."""
    source = "the output of WORKLORE_VAULT_KEY_COMMAND"
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            shlex.split(command), stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, ValueError) as error:
        return Keyring({}, source, empty_because=f"the command could not be run ({type(error).__name__})")
    except subprocess.TimeoutExpired:
        return Keyring({}, source, empty_because=f"the command gave no answer in {COMMAND_SECONDS} seconds")
    if done.returncode != 0:
        return Keyring({}, source, empty_because=f"the command ended with exit code {done.returncode}")
    return Keyring(parse(done.stdout.decode("ascii", "replace"), source), source)


def write_keyring(path: Path, keys: Iterable[VaultKeyBytes]) -> None:
    """A new keyring, 0600 and on the disk before this returns.

    Raises:
        ConflictError: there is a file already; a keyring is never written over.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConflictError(
            f"{path} exists already.", hint="Name another file, or move that one aside.", code="keyring-exists"
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Let the hub's user write there.",
            code="vault-key-file",
        ) from error
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(HEAD + "".join(f"{key.line()}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)


def add_to_keyring(path: Path, keys: Iterable[VaultKeyBytes]) -> None:
    """Write a keyring anew with further keys; at every moment the file is the old one or the new one, whole."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    present = list(parse(_read(path), str(path)).values())
    write_keyring(beside, [*present, *keys])
    beside.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """See a name in a folder on the disk."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
