"""Backups of the hub's database: each one file that says what it is, proves that it is whole, and can be restored.

A file holds the database as its own tool writes it, compressed, and at the end a *manifest*: how many rows each table
had and their digest, read in the same moment as the dump. Beside it lies a note (``.json``) with how the making went
and whether it was verified. The note becomes the row in ``backup_log`` as soon as the database can take it: beside a
running SQLite hub that is the hub's to do, and a database of an older schema takes it after its upgrade.
"""

import gzip
import hashlib
import io
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import structlog
from pydantic import BaseModel
from sqlalchemy import Connection, Text, column, inspect, select, table
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.errors import UnavailableError
from worklore.kernel.filelock import FileLock
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow, uuid7
from worklore.ops import migrate
from worklore.ops.backup import BackupLog, BackupType, VerificationStatus
from worklore.ops.backup_note import SUFFIX, Backup, described, name_of, own, write_note
from worklore.ops.digest import Facts
from worklore.ops.dump import METHODS, dump, file_damage, file_facts, load, looking, server_facts, sqlite_file
from worklore.ops.scratch import scratch
from worklore.ops.sealed_file import PART, SealedReader, SealedWriter, damaged

UNFINISHED: Final = ".unfinished"
LEVEL: Final = 6
MAX_FRAME: Final = 1 << 24
FAILURES: Final = {"backup-damaged", "tool-failed"}
"""What shows that a backup is bad, rather than that it could not be tried."""
_LENGTH: Final = struct.Struct(">I")

Told = Callable[[str, int], object]
"""Hears what is being done, and how many bytes of it are done."""

log = structlog.get_logger()


def unheard(_: str, __: int) -> None:
    """Nobody listens."""


class Manifest(BaseModel):
    """What a database held when it was backed up."""

    tables: Facts

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(each.rows for each in self.tables.values())


# --- making ---------------------------------------------------------------------------------------------------------


def create(  # noqa: D417 - the types say the rest
    database: Database,
    folder: Path,
    *,
    type: BackupType,  # noqa: A002 - the field's word
    encrypt: bytes | None = None,
    verify: bool = False,
    told: Told = unheard,
) -> Path:
    """Back a database up into a folder, log it, and give the file's path.

    Args:
        encrypt: the passphrase; None leaves the file readable.
        verify: restore it into a scratch database and compare; how that ended is in the log.

    Raises:
        UnavailableError: there is nothing to back up, no room, a tool is missing; no file stays behind.
    """
    path = make(database.url, folder, type=type, encrypt=encrypt, told=told)
    if verify:
        check(path, database.url, encrypt, told=told)
    record(database, folder)
    return path


def make(
    url: URL,
    folder: Path,
    *,
    type: BackupType,  # noqa: A002 - the field's word
    encrypt: bytes | None = None,
    told: Told = unheard,
) -> Path:
    """As :func:`create` without a row in the log: also beside a hub that has its SQLite file open."""
    facts = _about(url, type)
    path = folder / f"worklore-{type}-{facts['started_at']:%Y%m%dT%H%M%SZ}-{facts['id'].hex[-6:]}{SUFFIX}"
    head = {name: str(value) if value is not None else None for name, value in facts.items()}
    with _writing_into(folder), workspace(folder) as unfinished:
        file = unfinished / path.name
        # A readable copy of a SQLite file is never laid where backups are kept.
        with workspace(sqlite_file(url).parent if url.get_backend_name() == "sqlite" else folder) as work:
            _write(url, work, SealedWriter(file, head, encrypt), told)
        made = Backup.model_validate(
            head
            | {"encrypted": encrypt is not None, "completed_at": utcnow()}
            | {"size_bytes": file.stat().st_size, "sha256": sha256_of(file)}
        )
        write_note(path, made)
        file.replace(path)
        sync(folder)
    log.info("backup made", path=str(path), bytes=made.size_bytes)
    return path


def _about(url: URL, type: BackupType) -> dict[str, Any]:  # noqa: A002 - the field's word
    with looking(url) as connection:
        schema = _newest(connection, "alembic_version", "version_num")
        epoch = _newest(connection, "restore_epochs", "id")
    if schema is None:
        raise UnavailableError(
            f"The database {url.render_as_string()} holds nothing of this product.",
            hint="Name the hub's database with WORKLORE_DATABASE_URL.",
            code="nothing-to-back-up",
        )
    return {
        "id": uuid7(),
        "backup_type": type,
        "method": METHODS[url.get_backend_name()],
        "database_schema": schema,
        "epoch": epoch,
        "database_host": url.host,
        "database_name": name_of(url),
        "product": version("worklore"),
        "started_at": utcnow(),
    }


def _newest(connection: Connection, name: str, field: str) -> Any:
    """A field of a table's newest row; None where there is none. The schema may be an older one."""
    if not inspect(connection).has_table(name):
        return None
    wanted = column(field, Text())
    return connection.execute(select(wanted).select_from(table(name)).order_by(wanted.desc())).scalar()


def _write(url: URL, work: Path, sealed: SealedWriter, told: Told) -> None:
    with closing(sealed), gzip.GzipFile(fileobj=cast("BinaryIO", sealed), mode="wb", compresslevel=LEVEL) as packed:
        done = 0

        def sink(piece: bytes) -> None:
            nonlocal done
            packed.write(_LENGTH.pack(len(piece)) + piece)
            done += len(piece)
            told("copying", done)

        told("reading", 0)
        manifest = Manifest(tables=dump(url, work, sink))
        packed.write(_LENGTH.pack(0) + manifest.model_dump_json().encode())
        packed.close()
        sealed.finish()


@contextmanager
def _writing_into(folder: Path) -> Generator[None]:
    """What goes wrong with a disk or a database becomes an error that says what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UnavailableError(
            f"The backup could not be written into {folder}: {why}.",
            hint="Make room or let the hub write there, or name another folder with WORKLORE_BACKUP_FOLDER.",
            code="backup-folder",
        ) from error
    except DBAPIError as error:
        raise UnavailableError(
            f"The database could not be read to its end: {error.orig}.", hint="Try again.", code="database-lost"
        ) from error


@contextmanager
def workspace(parent: Path) -> Generator[Path]:
    """A folder of its own inside another. What runs that were killed have left there is swept away first."""
    for lock in parent.glob(f".*{UNFINISHED}.lock"):
        try:
            held = FileLock(lock.with_suffix(""))
        except UnavailableError:
            continue  # its run is alive
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink(missing_ok=True)
        held.release()
    path = parent / f".{uuid7().hex[-12:]}{UNFINISHED}"
    held = FileLock(path)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        held.release()
        held.path.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """See a new name on the disk; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the log ----------------------------------------------------------------------------------------------------------


def record(database: Database, folder: Path) -> None:
    """Bring the log up to what lies in a folder. A database of another schema is left alone until it is upgraded."""
    if not migrate.state(database).is_current:
        return
    backups = own(database.url, folder)
    known = select(BackupLog.id, BackupLog.verification_status)
    with database.read(SYSTEM) as reading:
        logged = {(key, status) for key, status in reading.session.execute(known)}
    news = {path: each for path, each in backups.items() if (each.id, each.status) not in logged}

    def work(ctx: Context) -> None:
        for path, backup in reversed(news.items()):
            row = ctx.session.get(BackupLog, backup.id)
            if row is None:
                ctx.session.add(_row(path, backup))
            else:
                row.verification_status, row.verification_details = backup.status, backup.details

    if news:
        database.write(work)


def _row(path: Path, backup: Backup) -> BackupLog:
    return BackupLog(
        id=backup.id,
        backup_type=backup.backup_type,
        file_path=str(path.absolute()),
        file_size_bytes=backup.size_bytes,
        checksum_sha256=backup.sha256,
        backup_started_at=backup.started_at,
        backup_completed_at=backup.completed_at,
        duration_seconds=int((backup.completed_at - backup.started_at).total_seconds()),
        verification_status=backup.status,
        verification_details=backup.details,
        database_host=backup.database_host,
        database_name=backup.database_name,
        backup_method=backup.method,
    )


# --- reading and proving --------------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path, secret: bytes | None) -> Generator[BinaryIO]:
    """The frames and the manifest of a backup, decrypted and unpacked; each byte is proven before it is given."""
    with closing(SealedReader(path, secret)) as sealed:
        try:
            yield cast("BinaryIO", gzip.GzipFile(fileobj=io.BufferedReader(sealed, PART)))
        except (gzip.BadGzipFile, EOFError, struct.error, ValueError) as error:
            raise damaged(path, "what is in it cannot be unpacked") from error


def frames(stream: BinaryIO, told: Told = unheard) -> Generator[bytes]:
    """The dump in a backup, piece by piece; the manifest comes after it."""
    done = 0
    while size := _LENGTH.unpack(stream.read(_LENGTH.size))[0]:
        if size > MAX_FRAME or len(piece := stream.read(size)) != size:
            raise EOFError
        done += size
        told("loading", done)
        yield piece


def manifest(path: Path, secret: bytes | None) -> Manifest:
    """What a backup holds, after every byte of the file was proven.

    Raises:
        UnavailableError: it is no backup, is damaged, or the passphrase does not fit.
    """
    with opened(path, secret) as stream:
        for _ in frames(stream):
            pass
        return Manifest.model_validate_json(stream.read())


def differences(held: Facts, wanted: Facts) -> list[str]:
    """What tells two databases apart, a line for each table; nothing when they are equal."""
    lines: list[str] = []
    for name in sorted(held.keys() | wanted.keys()):
        here, there = held.get(name), wanted.get(name)
        if here is None or there is None:
            lines.append(f"{name} is {'missing' if here is None else 'there and was not'}")
        elif here.rows != there.rows:
            lines.append(f"{name} has {here.rows} rows instead of {there.rows}")
        elif here != there:
            lines.append(f"{name} holds other values")
    return lines


def fill(path: Path, secret: bytes | None, url: URL, told: Told = unheard) -> list[str]:
    """Restore a backup into an empty database; what is then wrong with it, nothing when it equals the original.

    Raises:
        UnavailableError: the backup is damaged, or the database did not take it.
    """
    with opened(path, secret) as stream:
        load(url, frames(stream, told))
        wanted = Manifest.model_validate_json(stream.read()).tables
    told("comparing", 0)
    if url.get_backend_name() == "sqlite":
        file = sqlite_file(url)
        return file_damage(file) or differences(file_facts(file), wanted)
    return differences(server_facts(url), wanted)


def check(path: Path, near: URL, secret: bytes | None, *, told: Told = unheard) -> Backup:
    """Restore a backup into a scratch database near another, compare, and note how it ended.

    ``passed`` says that the file is as it was written, that the database's own tool could restore it just now, and that
    every table then held the rows it held at the moment of the backup. ``failed`` has what was found in its details.

    Raises:
        UnavailableError: it could not be tried: no backup, another dialect, a wrong passphrase, no scratch database.
    """
    backup = described(path)
    if METHODS[near.get_backend_name()] != backup.method:
        raise UnavailableError(
            f"{path} was made by {backup.method}, and the database given is {near.get_backend_name()}.",
            hint="Name a server of the same kind with --database-url.",
            code="backup-dialect",
        )
    SealedReader(path, secret).close()  # a wrong passphrase is no failed verification
    with scratch(near.render_as_string(hide_password=False)) as database:
        try:
            wrong = fill(path, secret, database.url, told)
        except UnavailableError as error:
            if error.code not in FAILURES:
                raise
            wrong = [error.detail]
    if backup.sha256 not in {None, sha256_of(path)}:
        wrong.append("the file's SHA-256 is not the one noted when it was made")
    status = VerificationStatus.failed if wrong else VerificationStatus.passed
    details: dict[str, Any] = {"checked_at": utcnow().isoformat(), "product": version("worklore")}
    details |= {"differences": wrong} if wrong else _counts(manifest(path, secret))
    checked = backup.model_copy(update={"status": status, "details": details})
    write_note(path, checked)
    return checked


def _counts(held: Manifest) -> dict[str, int]:
    return {"tables": len(held.tables), "rows": held.rows}
