"""A file that is there to be given up: when the disk is full, its room lets the hub say so and audit who signs in."""

import errno
import os
import shutil
import threading
from pathlib import Path

import structlog

log = structlog.get_logger()


class Ballast:
    """A reserve on the disk, made when there is room for it twice over.

    Attributes:
        is_given: True from when the disk was full until there was room to make the reserve again.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.is_given = False
        self._gate = threading.Lock()

    def give(self) -> bool:
        """Give the room up; False when it was given up before, or never there."""
        with self._gate:
            self.is_given = True
            try:
                self.path.unlink()
            except FileNotFoundError:
                return False
        log.error("the disk is full: the reserve is given up and changes are refused", file=str(self.path))
        return True

    def renew(self) -> bool:
        """Make the reserve where it is missing, if there is room; True when it is there."""
        with self._gate:
            if self.path.exists() and self.path.stat().st_size == self.size:
                return True
            if shutil.disk_usage(self.path.parent).free < 2 * self.size:
                return False
            try:
                self._make()
            except OSError as error:
                self.path.unlink(missing_ok=True)
                if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                    log.warning("the reserve on the disk cannot be made", file=str(self.path), error=str(error))
                return False
            given, self.is_given = self.is_given, False
        if given:
            log.warning("the disk has room again: the reserve is back, changes are taken", file=str(self.path))
        return True

    def _make(self) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, self.size)
            else:  # Windows, where a file that is written takes its room
                os.write(handle, bytes(self.size))
        finally:
            os.close(handle)
