"""The client's home folder and its ``config`` file, readable to its owner alone."""

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

PRIVATE_FOLDER = 0o700
DEFAULT_HOME = ".worklore"


class NotConnected(Exception):  # noqa: N818 - reads as the state it is
    """This machine has no hub or no token yet."""


class HomeUnknown(Exception):  # noqa: N818 - reads as the state it is
    """The system names no folder for this user."""


@dataclass(frozen=True)
class Config:
    """What connects this machine to its hub. The token never shows in a repr.

    `options` holds the other keys of the file: ``ca_file`` (certificate authority of an internal hub), ``prompt_ms``
    and ``start_ms`` (what a hook may spend), ``linger_ms`` (how long the flusher waits for a transcript's last lines)
    and ``retry_s`` (longest wait after a hub that did not answer).
    """

    home: Path
    hub: str
    token: str = field(repr=False)
    options: dict[str, str]

    def number(self, name: str, default: int) -> int:
        """A whole number of the options; `default` where it is absent or no number."""
        value = self.options.get(name, "")
        return int(value) if value.isdecimal() else default


def user_home() -> Path:
    """The user's folder. HomeUnknown where neither the environment nor the system names one."""
    try:
        return Path.home()
    except RuntimeError:
        raise HomeUnknown(
            "this user has no home folder: neither HOME nor the system's list of users names one"
        ) from None


def client_home() -> Path:
    """``WORKLORE_HOME``, else ``.worklore`` in the user's folder; absolute."""
    chosen = os.environ.get("WORKLORE_HOME")
    return Path(chosen).absolute() if chosen else user_home() / DEFAULT_HOME


def load(home: Path) -> Config:
    """Read the file. NotConnected when there is none, or no hub or token in it."""
    try:
        text = (home / "config").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise NotConnected(f"no configuration at {home / 'config'}") from None
    values = {
        key.strip(): value.strip()
        for key, equals, value in (line.partition("=") for line in text.split("\n") if not line.startswith("#"))
        if equals
    }
    hub, token = values.pop("hub", ""), values.pop("token", "")
    if not hub or not token:
        raise NotConnected(f"{home / 'config'} names no hub or holds no token")
    return Config(home, hub, token, values)


def save(config: Config) -> None:
    """Write the file and the folders of the home, all for the owner alone."""
    prepare_home(config.home)
    values = {"hub": config.hub, "token": config.token, **config.options}
    if any("\n" in value or "\r" in value for value in values.values()):
        raise ValueError("a value of the configuration holds a line break")
    write_private(config.home / "config", "".join(f"{key}={value}\n" for key, value in values.items() if value))


def prepare_home(home: Path) -> None:
    """Make the home and its folders with owner-only rights, also where they were wider."""
    for folder in (home, home / "spool", home / "locks", home / "last"):
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        folder.chmod(PRIVATE_FOLDER)


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, mode 0600: a reader sees the old file or the new one, never a part."""
    replace_file(path, text.encode("utf-8"), 0o600)


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Replace the file at `path` in one step, flushed to the disk before it takes the old one's name."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
