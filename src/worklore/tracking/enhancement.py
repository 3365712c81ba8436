"""Enhancements that are planned for later."""

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.tracking.authorship import sign_created
from worklore.tracking.shapes import only
from worklore.work.bounds import within
from worklore.work.project import PROJECTS, Project


class EnhancementStatus(StrEnum):
    """Where an enhancement stands."""

    planned = "planned"
    approved = "approved"
    implementing = "implementing"
    completed = "completed"


class FutureEnhancement(Stamped, Record):
    """An enhancement of a project that is planned for later, and what it waits for."""

    __tablename__ = "future_enhancements"
    __table_args__ = (
        CheckConstraint("priority BETWEEN 1 AND 5", name="priority"),
        CheckConstraint(
            "LENGTH(target_quarter) = 7 AND SUBSTR(target_quarter, 5, 2) = '-Q' "
            f"AND SUBSTR(target_quarter, 7, 1) IN ('1', '2', '3', '4') "
            f"AND {only('SUBSTR(target_quarter, 1, 4)', '0123456789')}",
            name="target_quarter",
        ),
        *(Index(None, name) for name in ("project_id", "priority", "status", "target_quarter")),
    )

    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(Line(200))
    description: Mapped[str]
    priority: Mapped[int | None] = mapped_column(doc="1 to 5; 1 comes first.")
    status: Mapped[EnhancementStatus] = column(default=EnhancementStatus.planned)
    target_quarter: Mapped[str | None] = mapped_column(
        Line(7), info={"form": "quarter"}, doc="The quarter it is planned for, as 2027-Q1."
    )
    requires_constitutional_principles: Mapped[list[str]] = column(default=[])
    depends_on: Mapped[list[str] | None] = mapped_column(doc="Ids of the enhancements that come before this one.")
    created_by: Mapped[str | None] = mapped_column(Line(255))

    project: Mapped[Project | None] = relationship(backref=backref("future_enhancements", viewonly=True), viewonly=True)


def check(ctx: Context, enhancement: FutureEnhancement, _: Mapping[str, Any]) -> None:
    """Its priority is in range; what it depends on exists, in its project, and does not depend on it."""
    within(enhancement, "priority", 1, 5)
    _check_dependencies(ctx, enhancement)
    sign_created(ctx, enhancement)


def _check_dependencies(ctx: Context, enhancement: FutureEnhancement) -> None:
    open_ends = list(enhancement.depends_on or ())
    direct, seen = set(open_ends), set[str]()
    while open_ends:
        text = open_ends.pop()
        if text in seen:
            continue
        seen.add(text)
        if text == str(enhancement.id):
            raise InvalidError("depends_on leads back to this enhancement.", field="depends_on")
        found = ctx.session.get(FutureEnhancement, _id(text))
        if found is not None and found.project_id == enhancement.project_id:
            open_ends += found.depends_on or ()
        elif text in direct:
            raise InvalidError(f"depends_on: {text} names no enhancement of this project.", field="depends_on")


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise InvalidError(f"depends_on: {text[:50]} is no id of an enhancement.", field="depends_on") from error


ENHANCEMENTS = Resource(
    model=FutureEnhancement,
    name="enhancement",
    plural="future-enhancements",
    visible=through(FutureEnhancement.project_id, Project, PROJECTS.visible),
    filters=(
        FutureEnhancement.project_id,
        FutureEnhancement.priority,
        FutureEnhancement.status,
        FutureEnhancement.target_quarter,
        FutureEnhancement.created_by,
    ),
    search=(FutureEnhancement.title, FutureEnhancement.description),
    columns=(
        FutureEnhancement.title,
        FutureEnhancement.priority,
        FutureEnhancement.status,
        FutureEnhancement.target_quarter,
    ),
    server_set=(FutureEnhancement.created_by,),
    check=check,
)
