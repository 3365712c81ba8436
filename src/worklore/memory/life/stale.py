"""Memories that name a file or a commit which was touched later: they may be out of date, and the record says so.

Worked out when somebody looks, from the rows of the record as they are then: nothing is stored that could itself be
out of date, and an edit that comes to light late counts at once.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, or_, select

from worklore.kernel.context import ReadContext
from worklore.memory.life.cited import Cited, cited, last_parts, same_commit, same_file
from worklore.trail.command import CommandRun
from worklore.trail.file_change import FileChange
from worklore.work.session import WorkSession

SOON: Final = timedelta(minutes=1)
"""A change so soon after the words is the one they speak of."""

NAMES: Final = 200
"""Names of files that one look asks the record about."""


@dataclass(frozen=True, slots=True)
class Touched:
    """That a file was changed: its path, when, by which session, and how."""

    path: str
    at: datetime
    session: uuid.UUID | None
    how: str = "modified"


def reason_of(named: Cited, said_at: datetime, session: uuid.UUID | None, touched: Iterable[Touched]) -> str | None:
    """Why what was said then may be out of date; None where nothing says so. Pure.

    A change in the session that speaks counts when it is not what the words are about: later than ``SOON``.
    """
    later = [each for each in touched if each.at > (said_at + SOON if each.session == session else said_at)]
    for each in sorted(later, key=lambda one: one.at, reverse=True):
        for path in named.paths:
            if same_file(path, each.path):
                return f"{path} was {each.how} on {each.at:%Y-%m-%d}"
        for commit in named.commits:
            if same_commit(commit, each.path):
                return f"commit {commit[:12]} was {each.how} on {each.at:%Y-%m-%d}"
    return None


def stale(ctx: ReadContext, windows: Sequence[Any]) -> dict[uuid.UUID, str]:
    """Which of some windows may be out of date, and why.

    Args:
        ctx: of whoever asks; what changed in sessions of the windows' own projects counts.
        windows: windows, or rows with their id, text, said_at, session_id and project_id.
    """
    named = {window.id: cited(window.text) for window in windows}
    changed = _changes(ctx, windows, named)
    reverted = _reverts(ctx, windows, named)
    found: dict[uuid.UUID, str] = {}
    for window in windows:
        if not (named[window.id].paths or named[window.id].commits):
            continue
        touched = [*changed.get(window.project_id, ()), *reverted.get(window.project_id, ())]
        reason = reason_of(named[window.id], window.said_at, window.session_id, touched)
        if reason is not None:
            found[window.id] = reason
    return found


def _changes(
    ctx: ReadContext, windows: Sequence[Any], named: Mapping[uuid.UUID, Cited]
) -> dict[uuid.UUID | None, list[Touched]]:
    """Changes of files whose names the windows use, since the first of them, by project."""
    names = sorted(last_parts(path for each in named.values() for path in each.paths))[:NAMES]
    if not names:
        return {}
    since = min(window.said_at for window in windows)
    projects = {window.project_id for window in windows if window.project_id is not None}
    at = func.coalesce(FileChange.happened_at, FileChange.created_at)
    ends = [FileChange.file_path == name for name in names]
    ends += [FileChange.file_path.endswith(f"{slash}{name}", autoescape=True) for name in names for slash in "/\\"]
    rows = (
        select(WorkSession.project_id, FileChange.file_path, FileChange.change_type, FileChange.session_id, at)
        .join(WorkSession, WorkSession.id == FileChange.session_id)
        .where(WorkSession.project_id.in_(sorted(projects)), at > since, or_(*ends))
    )
    found: dict[uuid.UUID | None, list[Touched]] = {}
    for project, path, kind, session, moment in ctx.session.execute(rows):
        found.setdefault(project, []).append(Touched(path, moment, session, str(kind)))
    return found


def _reverts(
    ctx: ReadContext, windows: Sequence[Any], named: Mapping[uuid.UUID, Cited]
) -> dict[uuid.UUID | None, list[Touched]]:
    """Commits that the windows name and a later command has reverted, by project."""
    commits = sorted({commit for each in named.values() for commit in each.commits})[:NAMES]
    if not commits:
        return {}
    since = min(window.said_at for window in windows)
    projects = {window.project_id for window in windows if window.project_id is not None}
    rows = (
        select(WorkSession.project_id, CommandRun.command_text, CommandRun.session_id, CommandRun.executed_at)
        .join(WorkSession, WorkSession.id == CommandRun.session_id)
        .where(
            WorkSession.project_id.in_(sorted(projects)),
            CommandRun.executed_at > since,
            CommandRun.command_text.contains("git revert"),
            CommandRun.success.is_not(False),
        )
    )
    found: dict[uuid.UUID | None, list[Touched]] = {}
    for project, text, session, moment in ctx.session.execute(rows):
        for commit in _reverted(text):
            found.setdefault(project, []).append(Touched(commit, moment, session, "reverted"))
    return found


def _reverted(command: str) -> Iterator[str]:
    _, _, rest = command.partition("git revert")
    yield from cited(rest).commits
