"""A lock file beside a SQLite database: one process at a time owns the file."""

import os
import sys
from pathlib import Path
from typing import IO

from worklore.kernel.errors import UnavailableError

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: IO[str]) -> None:
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: IO[str]) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """Held from construction to :meth:`release`; the operating system lets go of it when the process dies.

    Raises:
        UnavailableError: another process holds it; the text says which.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._handle = self.path.open("a+", encoding="ascii")
        self.path.chmod(0o600)
        try:
            _lock(self._handle)
        except OSError as error:
            self._handle.seek(0)
            holder = self._handle.read().strip() or "unknown"
            self._handle.close()
            raise UnavailableError(
                f"Another hub (process {holder}) has the database file {database} open.",
                hint="Stop that hub first, or give this one another file with WORKLORE_DATABASE_URL.",
                code="database-in-use",
            ) from error
        self._handle.truncate(0)
        self._handle.write(str(os.getpid()))
        self._handle.flush()

    def release(self) -> None:
        """Let the next process in."""
        self._handle.close()
