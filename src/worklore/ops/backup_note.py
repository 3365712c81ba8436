"""What is known of a backup: by the head of its file, and by the note that lies beside it."""

import json
import os
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import BaseModel
from sqlalchemy.engine import URL

from worklore.kernel.errors import UnavailableError
from worklore.ops.backup import BackupType, VerificationStatus
from worklore.ops.dump import sqlite_file
from worklore.ops.sealed_file import damaged, read_head

SUFFIX: Final = ".backup"

log = structlog.get_logger()


class Backup(BaseModel):
    """A backup, as its note says."""

    id: uuid.UUID
    backup_type: BackupType
    method: str
    database_schema: str
    epoch: uuid.UUID | None = None
    """The restore epoch; None in a database that is older than such epochs."""
    database_host: str | None
    database_name: str | None
    product: str
    encrypted: bool
    started_at: datetime
    completed_at: datetime
    size_bytes: int
    sha256: str | None
    """Of the whole file; None when the note is lost."""
    status: VerificationStatus = VerificationStatus.not_verified
    details: dict[str, Any] | None = None


def name_of(url: URL) -> str:
    """What a backup calls the database at a URL: its name, or the end of its file's path."""
    return (str(sqlite_file(url)) if url.get_backend_name() == "sqlite" else url.database or "")[-100:]


def write_note(path: Path, backup: Backup) -> None:
    """Write the note of a backup, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.json")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(backup.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(note_of(path))


def note_of(path: Path) -> Path:
    """Where the note of a backup lies."""
    return path.with_name(f"{path.name}.json")


def described(path: Path) -> Backup:
    """What is known of a backup: by its note, or by its head alone.

    Raises:
        UnavailableError: it is no backup.
    """
    head = read_head(path)
    said = {"sha256": None, "completed_at": head.get("started_at"), "encrypted": bool(head.get("encryption"))}
    try:
        noted = json.loads(note_of(path).read_bytes())
        if noted["id"] == head.get("id"):
            said |= noted
    except (OSError, ValueError, KeyError, TypeError):
        log.debug("a backup has no note", path=str(path))
    # The head, which is proven with the file, before the note, which nothing proves.
    said |= {name: value for name, value in head.items() if name in Backup.model_fields}
    try:
        return Backup.model_validate(said | {"size_bytes": path.stat().st_size})
    except ValueError as error:
        raise damaged(path, "its first lines are not those of a backup") from error


def found(folder: Path) -> dict[Path, Backup]:
    """The backups in a folder, newest first. What only looks like one is left out, and logged."""
    seen: dict[Path, Backup] = {}
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            seen[path] = described(path)
        except UnavailableError as error:
            log.warning("not a backup", path=str(path), why=error.detail)
    return dict(sorted(seen.items(), key=lambda item: item[1].started_at, reverse=True))


def own(url: URL, folder: Path) -> dict[Path, Backup]:
    """The backups of one database in a folder, newest first; other databases may keep theirs there too."""
    here = (url.host, name_of(url))
    return {path: each for path, each in found(folder).items() if (each.database_host, each.database_name) == here}
