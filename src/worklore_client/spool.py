"""The spool of notes that the hooks leave, the flusher's lock, and what the flusher remembers of its last run."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from worklore_client.config import write_private

PART_SECONDS = 60.0
"""Age after which a note that was never renamed into place is the leaving of a killed hook."""


TOLD_SECONDS = 7 * 86_400.0


class NoteUnreadable(ValueError):  # noqa: N818 - reads as the state it is
    """The file is no note."""


@dataclass(frozen=True)
class Note:
    """A transcript has grown. `path` is the note's own file; `folder` the project's or working folder."""

    path: Path
    agent: str
    event: str
    session: str
    transcript: str
    folder: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What notes about the same transcript have in common."""
        return self.agent, self.session, self.transcript


def note_files(home: Path) -> list[Path]:
    """The notes that wait, oldest first."""
    return sorted((home / "spool").glob("*.note"))


def read_note(path: Path) -> Note:
    """Parse one note. NoteUnreadable when it is none, FileNotFoundError when somebody has dealt with it."""
    try:
        raw: Any = json.loads(path.read_bytes().decode("utf-8", "replace"))
    except ValueError:
        raise NoteUnreadable from None
    if not isinstance(raw, dict):
        raise NoteUnreadable
    members = cast("dict[str, Any]", raw)
    values = [members.get(name) for name in ("agent", "event", "session_id", "transcript_path", "folder")]
    if not all(isinstance(value, str) and value and "\x00" not in value for value in values):
        raise NoteUnreadable
    return Note(path, *cast("list[str]", values))


def wanted_folders(home: Path) -> list[str]:
    """The folders whose projects hooks want renewed, the latest first. This takes them away."""
    path = home / "spool" / "refresh"
    taken = path.with_name("refresh.taken")
    try:
        path.replace(taken)
        lines = taken.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []  # none is wanted, or nothing can be written: then nothing is renewed either
    taken.unlink(missing_ok=True)
    return [line for line in dict.fromkeys(reversed(lines)) if line and "\x00" not in line]


def tidy_told(home: Path) -> None:
    """Remove what is remembered of sessions that nobody has asked in for a week."""
    for path in (home / "told").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > TOLD_SECONDS:
                path.unlink()


def sweep_parts(home: Path) -> None:
    """Remove what hooks killed in the middle of a note have left."""
    for part in (home / "spool").glob("*.part"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > PART_SECONDS:
                part.unlink()


def flusher_lock(home: Path) -> contextlib.AbstractContextManager[bool]:
    """True while this process is the one flusher of the home, False when another is. Freed by the system on a crash.

    FileNotFoundError when there is no home: it is not for the flusher to make one again that somebody has removed.
    """
    return held_lock(home, "flush")


@contextlib.contextmanager
def held_lock(home: Path, name: str, seconds: float = 0.0) -> Generator[bool]:
    """True while this process alone holds the lock of a name, False when another still does after `seconds`.

    Freed by the system on a crash. FileNotFoundError when there is no home.
    """
    path = home / "locks" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = time.monotonic() + seconds
        while not (mine := _try_lock(handle)) and time.monotonic() < end:
            time.sleep(0.01)
        yield mine
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - there is none elsewhere

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - there is none on Windows

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@dataclass
class FlushState:
    """``flush.json``: the last run and the sums of all runs. Times are seconds since 1970, 0 for never."""

    last_success: float = 0.0
    last_failure: float = 0.0
    last_error: str = ""
    failures: int = 0
    retry_at: float = 0.0
    windows: int = 0
    duplicates: int = 0
    records: int = 0
    malformed: int = 0

    @classmethod
    def load(cls, home: Path) -> "FlushState":
        """The remembered state, a fresh one where there is none."""
        try:
            raw: Any = json.loads((home / "flush.json").read_text(encoding="utf-8"))
            values = {name: type(default)(raw[name]) for name, default in asdict(cls()).items() if name in raw}
        except (OSError, ValueError, TypeError):
            return cls()
        return cls(**values)

    def save(self, home: Path) -> None:
        """Remember it."""
        write_private(home / "flush.json", json.dumps(asdict(self)) + "\n")

    def failed(self, code: str, longest_wait: float) -> None:
        """Note a hub that did not take what it was offered: the wait doubles from a second up to `longest_wait`."""
        self.failures += 1
        self.last_failure = time.time()
        self.last_error = code
        self.retry_at = self.last_failure + min(longest_wait, 2.0 ** min(self.failures - 1, 16))

    def succeeded(self) -> None:
        """Note that the hub takes things again."""
        self.last_success = time.time()
        self.failures, self.retry_at, self.last_error = 0, 0.0, ""
