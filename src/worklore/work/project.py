"""A piece of client or internal work that lasts longer than a session."""

import re
import uuid
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.kernel.access import by_client
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column


class ProjectStatus(StrEnum):
    """Where a project stands."""

    pending = "pending"
    working = "working"
    blocked = "blocked"
    critical = "critical"
    deferred = "deferred"
    complete = "complete"


class Priority(StrEnum):
    """How urgent something is."""

    critical = "critical"
    high = "high"
    medium = "medium"
    low = "low"


class Project(Stamped, Record):
    """A piece of client or internal work that lasts longer than a session."""

    __tablename__ = "projects"
    __table_args__ = (Index(None, "client_id"), Index(None, "status"), Index(None, "priority"), Index(None, "name"))

    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Line(255))
    slug: Mapped[str | None] = mapped_column(Line(255), unique=True)
    category: Mapped[str | None] = mapped_column(Line(50))
    status: Mapped[ProjectStatus] = column(default=ProjectStatus.working)
    priority: Mapped[Priority | None] = column(default=Priority.medium)
    description: Mapped[str | None]
    started_date: Mapped[date | None]
    target_completion_date: Mapped[date | None]
    completed_date: Mapped[date | None]
    estimated_hours: Mapped[Decimal | None]
    actual_hours: Mapped[Decimal | None]
    gitea_repo_url: Mapped[str | None] = mapped_column(Line(500))
    notes: Mapped[str | None]

    client: Mapped[Client] = relationship(backref=backref("projects", viewonly=True), viewonly=True)


def slug_of(name: str) -> str:
    """A name as it stands in addresses: lower case, words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"


def check(_: Context, project: Project, __: Mapping[str, Any]) -> None:
    """Dates are in order; hours are not negative."""
    for earlier, later in (("started_date", "completed_date"), ("started_date", "target_completion_date")):
        start, end = getattr(project, earlier), getattr(project, later)
        if start and end and end < start:
            raise InvalidError(f"{later} lies before {earlier}.", field=later)
    for name in ("estimated_hours", "actual_hours"):
        if (getattr(project, name) or 0) < 0:
            raise InvalidError(f"{name} cannot be negative.", field=name)


PROJECTS = Resource(
    model=Project,
    name="project",
    plural="projects",
    visible=by_client(Project.client_id),
    filters=(Project.client_id, Project.name, Project.slug, Project.status, Project.priority, Project.category),
    search=(Project.name, Project.description, Project.notes),
    columns=(Project.name, Project.status, Project.priority, Project.client_id),
    check=check,
)
