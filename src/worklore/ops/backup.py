"""Backups of the hub's own database, and when they are made."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from cronsim import CronSim
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.rules import in_order
from worklore.kernel.access import installation
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.bounds import within


class BackupType(StrEnum):
    """Why a backup was made."""

    daily = "daily"
    weekly = "weekly"
    monthly = "monthly"
    manual = "manual"
    pre_migration = "pre-migration"


class VerificationStatus(StrEnum):
    """Whether a backup was restored into a scratch database and found equal."""

    passed = "passed"
    failed = "failed"
    not_verified = "not_verified"


class BackupLog(Created, Record):
    """A backup of the hub's own database: where it is, how large, and whether it was verified."""

    __tablename__ = "backup_log"
    __table_args__ = tuple(Index(None, name) for name in ("backup_type", "backup_completed_at", "verification_status"))

    backup_type: Mapped[BackupType]
    file_path: Mapped[str] = mapped_column(Line(500))
    file_size_bytes: Mapped[int] = mapped_column(BigInteger)
    checksum_sha256: Mapped[str | None] = mapped_column(Line(64))
    backup_started_at: Mapped[datetime]
    backup_completed_at: Mapped[datetime]
    duration_seconds: Mapped[int | None] = mapped_column(doc="Whole seconds from start to end; worked out by the hub.")
    verification_status: Mapped[VerificationStatus | None] = column(default=VerificationStatus.not_verified)
    verification_details: Mapped[dict[str, Any] | None]
    database_host: Mapped[str | None] = mapped_column(Line(255))
    database_name: Mapped[str | None] = mapped_column(Line(100))
    backup_method: Mapped[str] = column(Line(50), default="mysqldump")


class BackupSchedule(Stamped, Record):
    """When backups of a type are made, and how many are kept."""

    __tablename__ = "backup_schedules"
    __table_args__ = (
        CheckConstraint("retention_count >= 1", name="retention_count"),
        Index(None, "next_run_at"),
        Index(None, "last_backup_id"),
    )

    backup_type: Mapped[BackupType]
    cron_expression: Mapped[str] = mapped_column(Line(100), info={"form": "cron"}, doc="Five fields, read in UTC.")
    retention_count: Mapped[int] = column(default=7)
    is_enabled: Mapped[bool] = column(default=True)
    last_run_at: Mapped[datetime | None]
    next_run_at: Mapped[datetime | None]
    last_backup_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("backup_log.id", ondelete="SET NULL"))

    last_backup: Mapped[BackupLog | None] = relationship(
        backref=backref("backup_schedules", viewonly=True), viewonly=True
    )


def check(_: Context, backup: BackupLog, __: Mapping[str, Any]) -> None:
    """Start and end are in order; the duration follows from them."""
    in_order(backup, "backup_started_at", "backup_completed_at")
    within(backup, "file_size_bytes", 0)
    backup.duration_seconds = int((backup.backup_completed_at - backup.backup_started_at).total_seconds())


def check_schedule(ctx: Context, schedule: BackupSchedule, former: Mapping[str, Any]) -> None:
    """At least one backup is kept; when the next one is due follows from the expression."""
    within(schedule, "retention_count", 1)
    if schedule.next_run_at is None or {"cron_expression", "is_enabled"} & former.keys():
        schedule.next_run_at = next_run(schedule, ctx.now())


def next_run(schedule: BackupSchedule, after: datetime) -> datetime | None:
    """When a schedule is due next; None for one that is switched off."""
    # A new one that does not say is switched on: the column's default comes with the flush.
    off = schedule.is_enabled is False
    return None if off else next(CronSim(schedule.cron_expression, after))


BACKUPS = Resource(
    model=BackupLog,
    name="backup-log-entry",
    plural="backup-log",
    visible=installation,
    filters=(
        BackupLog.backup_type,
        BackupLog.backup_started_at,
        BackupLog.backup_completed_at,
        BackupLog.verification_status,
        BackupLog.backup_method,
        BackupLog.file_size_bytes,
        BackupLog.duration_seconds,
        BackupLog.database_name,
    ),
    search=(BackupLog.file_path,),
    columns=(
        BackupLog.backup_type,
        BackupLog.backup_completed_at,
        BackupLog.file_size_bytes,
        BackupLog.verification_status,
    ),
    server_set=(BackupLog.duration_seconds,),
    check=check,
)

BACKUP_SCHEDULES = Resource(
    model=BackupSchedule,
    name="backup-schedule",
    plural="backup-schedules",
    visible=installation,
    filters=(
        BackupSchedule.backup_type,
        BackupSchedule.is_enabled,
        BackupSchedule.last_run_at,
        BackupSchedule.next_run_at,
        BackupSchedule.last_backup_id,
    ),
    columns=(
        BackupSchedule.backup_type,
        BackupSchedule.cron_expression,
        BackupSchedule.retention_count,
        BackupSchedule.is_enabled,
        BackupSchedule.next_run_at,
    ),
    server_set=(BackupSchedule.last_run_at, BackupSchedule.next_run_at, BackupSchedule.last_backup_id),
    check=check_schedule,
)
