"""One row of settings and standing for each project."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Record
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column, utcnow
from worklore.tracking.authorship import sign_updated
from worklore.tracking.shapes import commit_rule
from worklore.work.bounds import within
from worklore.work.project import PROJECTS, Project
from worklore.work.work_item import ItemType, WorkItem


class ActiveContext(StrEnum):
    """What sort of work a project is in."""

    feature = "feature"
    maintenance = "maintenance"
    research = "research"


class ProjectConfiguration(Record):
    """What a project is at: its current session, branch, commit and token budget; one row per project."""

    __tablename__ = "project_configuration"
    __table_args__ = (
        CheckConstraint("default_token_budget BETWEEN 1000 AND 1000000", name="default_token_budget"),
        CheckConstraint(commit_rule("git_head_commit"), name="git_head_commit"),
        Index(None, "current_session_id"),
    )

    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), unique=True)
    active_context_type: Mapped[ActiveContext | None]
    current_session_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("work_items.id", ondelete="SET NULL"), doc="A work item of type session."
    )
    git_branch: Mapped[str | None] = mapped_column(Line(255))
    git_head_commit: Mapped[str | None] = mapped_column(Line(40), info={"form": "commit"})
    default_token_budget: Mapped[int] = column(default=200_000)
    database_healthy: Mapped[bool] = column(default=True)
    last_health_check_at: Mapped[datetime | None]
    updated_by: Mapped[str | None] = mapped_column(Line(255))
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow, sort_order=91)

    project: Mapped[Project] = relationship(
        backref=backref("configuration", uselist=False, viewonly=True), viewonly=True
    )
    current_session: Mapped[WorkItem | None] = relationship(
        backref=backref("project_configurations", viewonly=True), viewonly=True
    )


def check(ctx: Context, configuration: ProjectConfiguration, before: Mapping[str, Any]) -> None:
    """The budget is in range; the current session is a work item of that type, in this project."""
    within(configuration, "default_token_budget", 1_000, 1_000_000)
    key = configuration.current_session_id
    item = ctx.session.get(WorkItem, key) if key else None
    if item is not None and (item.item_type is not ItemType.session or item.project_id != configuration.project_id):
        raise InvalidError(
            f"current_session_id ({key}) must name a work item of type session in this project.",
            field="current_session_id",
        )
    sign_updated(ctx, configuration, before)


PROJECT_CONFIGURATIONS = Resource(
    model=ProjectConfiguration,
    name="project-configuration",
    plural="project-configuration",
    visible=through(ProjectConfiguration.project_id, Project, PROJECTS.visible),
    filters=(
        ProjectConfiguration.project_id,
        ProjectConfiguration.active_context_type,
        ProjectConfiguration.current_session_id,
        ProjectConfiguration.git_branch,
        ProjectConfiguration.database_healthy,
        ProjectConfiguration.last_health_check_at,
    ),
    columns=(
        ProjectConfiguration.project_id,
        ProjectConfiguration.active_context_type,
        ProjectConfiguration.git_branch,
        ProjectConfiguration.database_healthy,
    ),
    by=(("project", ProjectConfiguration.project_id),),
    server_set=(ProjectConfiguration.updated_by,),
    fixed=(ProjectConfiguration.project_id,),
    check=check,
)
