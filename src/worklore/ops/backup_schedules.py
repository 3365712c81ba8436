"""Backups that make themselves: when a schedule says so, verified each time, and thinned out."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import select

from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.errors import HubError
from worklore.kernel.transaction import Database
from worklore.kernel.types import iso, utcnow
from worklore.ops.backup import BackupLog, BackupSchedule, BackupType, VerificationStatus, next_run
from worklore.ops.backup_note import Backup, described, note_of, own
from worklore.ops.backups import create, record
from worklore.ops.sealed_file import read_secret

JOB: Final = "make-backups"
JOB_SECONDS: Final = 60
PRE_MIGRATION_DAYS: Final = 30
"""A backup made before an upgrade is kept at least so long: the upgrade may turn out bad late."""

log = structlog.get_logger()


def make_due(database: Database, _: Mapping[str, Any], *, folder: Path, key_file: Path | None) -> None:
    """Make the backups whose time has come: one for each schedule, however many times were missed.

    Raises:
        HubError: the last one that failed; it is due again at the next run, and the others were made.
    """
    record(database, folder)
    with database.read(SYSTEM) as ctx:
        due = select(BackupSchedule).where(BackupSchedule.is_enabled, BackupSchedule.next_run_at <= ctx.now())
        schedules = list(ctx.session.scalars(due.order_by(BackupSchedule.next_run_at)))
    failure: HubError | None = None
    for schedule in schedules:
        try:
            _carry_out(database, schedule, folder, key_file)
        except HubError as error:
            log.exception("a scheduled backup failed", type=schedule.backup_type)
            failure = error
    if failure is not None:
        raise failure


def _carry_out(database: Database, schedule: BackupSchedule, folder: Path, key_file: Path | None) -> None:
    path = create(database, folder, type=schedule.backup_type, encrypt=read_secret(key_file), verify=True)
    backup = described(path)
    if backup.status is not VerificationStatus.passed:
        log.error("a backup did not verify", path=str(path), details=backup.details)

    def work(ctx: Context) -> None:
        row = ctx.session.get(BackupSchedule, schedule.id)
        if row is not None:
            row.last_run_at, row.last_backup_id = backup.started_at, backup.id
            row.next_run_at = next_run(row, ctx.now())

    database.write(work)
    thin_out(database, folder, schedule.backup_type, schedule.retention_count)


def thin_out(database: Database, folder: Path, type: BackupType, keep: int) -> list[Path]:  # noqa: A002 - the field's word
    """Delete the older backups of a type beyond ``keep``; which ones. The log keeps their rows and says so.

    Never the newest that has passed its verification, and none from before a migration that is younger than 30 days.
    """
    made = {path: each for path, each in own(database.url, folder).items() if each.backup_type is type}
    passed = [path for path, each in made.items() if each.status is VerificationStatus.passed]
    young = utcnow() - timedelta(days=PRE_MIGRATION_DAYS)
    old = {
        path: each
        for path, each in list(made.items())[keep:]
        if path not in passed[:1] and not (type is BackupType.pre_migration and each.started_at > young)
    }
    for path in old:
        path.unlink(missing_ok=True)
        note_of(path).unlink(missing_ok=True)
    if old:
        database.write(lambda ctx: _say_gone(ctx, list(old.values())))
        log.info("old backups deleted", type=type, files=[path.name for path in old])
    return list(old)


def _say_gone(ctx: Context, backups: list[Backup]) -> None:
    for backup in backups:
        row = ctx.session.get(BackupLog, backup.id)
        if row is not None:
            gone = {"file_deleted_at": iso(ctx.now()), "why": "newer ones of this type are kept"}
            row.verification_details = (row.verification_details or {}) | gone
