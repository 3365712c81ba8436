"""How the status of a task may move. Pure: a table of allowed pairs."""

from enum import StrEnum
from typing import Final


class TaskStatus(StrEnum):
    """Where a task stands. ``in_progress`` is understood too, and means ``running``."""

    pending = "pending"
    running = "running"
    blocked = "blocked"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"

    @classmethod
    def _missing_(cls, value: object) -> "TaskStatus | None":
        return cls.running if value == "in_progress" else None


OPEN: Final = frozenset({TaskStatus.pending, TaskStatus.running, TaskStatus.blocked})
ENDED: Final = frozenset(TaskStatus) - OPEN

ALLOWED: Final = frozenset(
    {
        (TaskStatus.pending, TaskStatus.running),
        (TaskStatus.running, TaskStatus.completed),
        (TaskStatus.running, TaskStatus.failed),
        (TaskStatus.running, TaskStatus.pending),  # another attempt
        (TaskStatus.pending, TaskStatus.blocked),
        (TaskStatus.running, TaskStatus.blocked),
        (TaskStatus.blocked, TaskStatus.pending),
        (TaskStatus.pending, TaskStatus.cancelled),
        (TaskStatus.running, TaskStatus.cancelled),
        (TaskStatus.blocked, TaskStatus.cancelled),
    }
)
"""From a status to the next one. Ended tasks stay ended."""


def may_move(former: TaskStatus, status: TaskStatus) -> bool:
    """True when a task may go from one status to the other, or stays where it is."""
    return former is status or (former, status) in ALLOWED


def next_statuses(status: TaskStatus) -> list[TaskStatus]:
    """Where a task may go from a status, in the order of the statuses."""
    return [candidate for candidate in TaskStatus if (status, candidate) in ALLOWED]
