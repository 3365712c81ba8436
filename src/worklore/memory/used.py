"""Whether what a session was told was of use to it: its rare words come up in what the session said and did afterwards.

Words that everybody uses say nothing, and words that stood before the session already are not owed to what it was told.
What is left of an item are the few words that are its own: names, paths, error codes.
"""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import or_, select, update

from worklore.kernel.context import Context, ReadContext
from worklore.memory.analyse import terms
from worklore.memory.injection import Injection
from worklore.memory.window import Kind, MemoryWindow, Role
from worklore.trail.command import CommandRun
from worklore.trail.file_change import FileChange
from worklore.work.session import WorkSession

RAREST: Final = 20
"""So many of an item's words are looked for."""

COMMON: Final = 0.02
"""A word in more than this share of a project's passages says nothing."""

NEEDED: Final = 2
"""So many of them come up again, or one that is a name by its form."""

NAME_LENGTH: Final = 6
SAMPLE: Final = 2_000
"""The latest passages of a project, by which words are told to be rare."""

CLOCKS: Final = timedelta(seconds=2)
"""How far the clocks of a machine and the hub may differ before what was said is taken for the other side of a note."""


def rarities(passages: Iterable[Collection[str]]) -> dict[str, float]:
    """The share of passages that each word stands in."""
    counts: Counter[str] = Counter()
    size = 0
    for words in passages:
        counts.update(set(words))
        size += 1
    return {word: count / size for word, count in counts.items()}


def own_words(item: Iterable[str], before: Collection[str], shares: Mapping[str, float], size: int) -> list[str]:
    """The words that are an item's own, the rarest first.

    Args:
        item: its terms.
        before: terms the session had said before it was told.
        shares: of each word, the share of the project's passages that it stands in.
        size: passages those shares are of; where they are few, a word in one of them is still rare.
    """
    limit = max(COMMON, 2 / size) if size else 1.0
    rare = {word for word in item if len(word) > 1 and word not in before and shares.get(word, 0.0) <= limit}
    return sorted(rare, key=lambda word: (shares.get(word, 0.0), -len(word), word))[:RAREST]


def used(item: Iterable[str], later: Collection[str]) -> bool:
    """True when enough of an item's own words come up later: two, or one that is a name or a path by its form."""
    found = [word for word in item if word in later]
    return len(found) >= NEEDED or any(_is_name(word) for word in found)


def _is_name(word: str) -> bool:
    return len(word) >= NAME_LENGTH and any(mark in "._/-:\\@0123456789" for mark in word)


def usage_of(ctx: ReadContext, session: WorkSession) -> dict[uuid.UUID, bool]:
    """Of the memories that a session was told, whether they were used since; those known to be so are left out."""
    told = select(Injection.id, Injection.source_uuid, Injection.created_at, Injection.used).where(
        Injection.session_id == session.id, Injection.used.is_not(True), Injection.source_uuid.not_like("warning:%")
    )
    rows = ctx.session.execute(told).all()
    if not rows or session.project_id is None:
        return {}
    said = list(_said(ctx, session))
    items = _items(ctx, session.project_id, {row.source_uuid for row in rows})
    sample = select(MemoryWindow.tokens).where(MemoryWindow.project_id == session.project_id)
    passages = [text.split() for text in ctx.session.scalars(sample.order_by(MemoryWindow.seq.desc()).limit(SAMPLE))]
    shares = rarities(passages)
    found: dict[uuid.UUID, bool] = {}
    for row in rows:
        before = {word for at, by_agent, words in said if at <= row.created_at + _grace(by_agent) for word in words}
        later = {word for at, by_agent, words in said if by_agent and at > row.created_at - CLOCKS for word in words}
        if row.source_uuid in items and later:
            is_used = used(own_words(items[row.source_uuid], before, shares, len(passages)), later)
            if is_used is not row.used:
                found[row.id] = is_used
    return found


def _grace(by_agent: bool) -> timedelta:
    return -CLOCKS if by_agent else CLOCKS


def _said(ctx: ReadContext, session: WorkSession) -> Iterator[tuple[datetime, bool, list[str]]]:
    """What a session said and did: when, whether by the agent, its terms."""
    windows = select(MemoryWindow.said_at, MemoryWindow.role, MemoryWindow.tokens)
    of_session = windows.where(MemoryWindow.session_id == session.id, MemoryWindow.kind == Kind.turn)
    for said_at, role, words in ctx.session.execute(of_session):
        yield said_at, role is Role.assistant, words.split()
    ran = select(CommandRun.executed_at, CommandRun.command_text).where(CommandRun.session_id == session.id)
    for ran_at, command in ctx.session.execute(ran):
        yield ran_at, True, terms(command)
    changed = select(FileChange.created_at, FileChange.file_path).where(FileChange.session_id == session.id)
    for changed_at, path in ctx.session.execute(changed):
        yield changed_at, True, terms(path)


def _items(ctx: ReadContext, project: uuid.UUID, turns: Collection[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    shown = select(MemoryWindow.source_uuid, MemoryWindow.tokens).where(
        or_(MemoryWindow.project_id == project, MemoryWindow.project_id.is_(None)),
        MemoryWindow.source_uuid.in_(sorted(turns)),
    )
    for row in ctx.session.execute(shown):
        found.setdefault(row.source_uuid, set()).update(row.tokens.split())
    return found


def note_usage(ctx: Context, found: Mapping[uuid.UUID, bool]) -> None:
    """Write down which memories were used."""
    table: Any = Injection.__table__
    for key, is_used in found.items():
        ctx.session.connection().execute(update(table).where(table.c.id == key).values(used=is_used))
