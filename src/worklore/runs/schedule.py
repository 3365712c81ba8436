"""What is to run at set times."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column


class Schedule(Stamped, Record):
    """Something that runs at set times: what, when, and when it ran last."""

    __tablename__ = "schedules"
    __table_args__ = (Index(None, "next_run_at"),)

    name: Mapped[str] = mapped_column(Line(200), unique=True)
    cron_expression: Mapped[str] = mapped_column(Line(100), info={"form": "cron"}, doc="Five fields, read in UTC.")
    kind: Mapped[str] = mapped_column(Line(100), doc="The kind of job that is queued.")
    payload: Mapped[dict[str, Any]] = column(default={})
    is_enabled: Mapped[bool] = column(default=True)
    next_run_at: Mapped[datetime | None]
    last_run_at: Mapped[datetime | None]


SCHEDULES = Resource(
    model=Schedule,
    name="schedule",
    plural="schedules",
    visible=installation,
    filters=(Schedule.name, Schedule.kind, Schedule.is_enabled, Schedule.next_run_at, Schedule.last_run_at),
    search=(Schedule.name,),
    columns=(Schedule.name, Schedule.cron_expression, Schedule.kind, Schedule.is_enabled, Schedule.next_run_at),
    server_set=(Schedule.next_run_at, Schedule.last_run_at),
)
