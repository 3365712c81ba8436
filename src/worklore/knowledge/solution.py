"""Symptom, cause, cure: problems that were solved."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.bounds import within
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.work_item import WorkItem


class ProblemSolution(Created, Record):
    """A problem that was solved: its symptom, its cause and its cure."""

    __tablename__ = "problem_solutions"
    __table_args__ = tuple(Index(None, name) for name in ("work_item_id", "session_id", "client_id"))

    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="SET NULL"))
    problem_title: Mapped[str | None] = mapped_column(Line(500))
    problem_description: Mapped[str]
    symptom: Mapped[str | None]
    error_message: Mapped[str | None]
    investigation_steps: Mapped[list[Any] | None]
    root_cause: Mapped[str | None]
    solution_applied: Mapped[str]
    verification_method: Mapped[str | None]
    rollback_plan: Mapped[str | None]
    recurrence_count: Mapped[int] = column(
        default=1, doc="How often the problem has been met, the first time included."
    )

    work_item: Mapped[WorkItem | None] = relationship(
        backref=backref("problem_solutions", viewonly=True), viewonly=True
    )
    session: Mapped[WorkSession] = relationship(backref=backref("problem_solutions", viewonly=True), viewonly=True)
    client: Mapped[Client | None] = relationship(backref=backref("problem_solutions", viewonly=True), viewonly=True)


def check(ctx: Context, solution: ProblemSolution, before: Mapping[str, Any]) -> None:
    """A solution belongs to the client of its session; what was met was met at least once."""
    one_client(ctx, solution, before)
    within(solution, "recurrence_count", 1)


PROBLEM_SOLUTIONS = Resource(
    model=ProblemSolution,
    name="problem-solution",
    plural="problem-solutions",
    visible=any_of(
        (by_client(ProblemSolution.client_id), through(ProblemSolution.session_id, WorkSession, SESSIONS.visible))
    ),
    filters=(
        ProblemSolution.work_item_id,
        ProblemSolution.session_id,
        ProblemSolution.client_id,
        ProblemSolution.recurrence_count,
        ProblemSolution.created_at,
    ),
    search=(
        ProblemSolution.problem_title,
        ProblemSolution.problem_description,
        ProblemSolution.symptom,
        ProblemSolution.error_message,
        ProblemSolution.root_cause,
        ProblemSolution.solution_applied,
    ),
    columns=(ProblemSolution.problem_title, ProblemSolution.client_id, ProblemSolution.recurrence_count),
    check=check,
)
