"""What an agent is told without asking: a brief when its session starts, and what bears on a prompt.

Both are data in one known tag, dated and attributed, and say nothing twice in a session. A prompt that nothing in
memory bears on is answered with nothing.
"""

import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

from sqlalchemy import select

from worklore.kernel.context import Context, ReadContext
from worklore.memory import facts, redaction, tokens
from worklore.memory.analyse import terms
from worklore.memory.capture import ensure_session, session_of
from worklore.memory.decision import DecisionLog
from worklore.memory.frame import CLOSING, OPENING
from worklore.memory.injection import note, told
from worklore.memory.pack import Excerpt, Packed
from worklore.memory.question import of_project
from worklore.memory.rank import Hit
from worklore.memory.recall import fitting, read_excerpts, search
from worklore.memory.warn.evidence import local_name
from worklore.memory.window import MemoryWindow, Role
from worklore.work.pending_task import PendingTask
from worklore.work.project import Project
from worklore.work.session import WorkSession
from worklore.work.work_item import WorkItem

START_BUDGET: Final = 1200
FACTS_BUDGET: Final = 600
"""Tokens of a brief that may tell where the project stands; the rest tells of the last sessions."""

PROMPT_BUDGET: Final = 700
MAX_CHARACTERS: Final = 9_500
"""Agents move longer texts to a file and show a preview: stay below their 10,000."""

CHECK_SESSION: Final = "worklore-check"
"""The session a client names when it proves its hooks: it is answered as any other and leaves nothing behind."""

SESSIONS_TOLD: Final = 4
SHARED_TERMS: Final = 2
"""A turn bears on a prompt when they share so many terms, or the prompt's only ones."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class Telling:
    """The turns that one session is being told by this process, until the note of them has committed or failed.

    Hold ``lock`` from before the database is looked at until the choice is in ``turns``: what another answer chose
    meanwhile is then in the one or in the other.
    """

    turns: set[str] = field(default_factory=set[str])
    lock: threading.Lock = field(default_factory=threading.Lock)


_FINDING: Final = threading.Lock()


def telling(ctx: ReadContext, agent: str, key: str) -> Telling:
    """What a session is being told. It lasts as long as somebody holds it: keep it until the note is written."""
    if key == CHECK_SESSION:
        return Telling()
    with _FINDING:
        under_way: WeakValueDictionary[Any, Telling] = ctx.derived.setdefault("telling", WeakValueDictionary())
        found = under_way.get((agent, key))
        if found is None:
            found = under_way[agent, key] = Telling()
        return found


@dataclass(frozen=True, slots=True)
class Asker:
    """The agent's session that is to be told something: the agent, its own id of the session, and the project."""

    agent: str
    key: str
    project: Project
    being_told: frozenset[str] = frozenset()

    def said_or_told(self, ctx: ReadContext) -> tuple[uuid.UUID | None, set[str]]:
        """The session's id, if the hub knows it yet, and the turns it was told or is being told."""
        session = session_of(ctx, self.agent, self.key)
        return (session.id, told(ctx, session.id) | self.being_told) if session else (None, set(self.being_told))


@dataclass(frozen=True, slots=True)
class Told:
    """A text for an agent, empty when there is nothing to say, and why each turn is in it."""

    text: str = ""
    tokens: int = 0
    why: Mapping[str, str] = field(default_factory=dict[str, str])


def _told(packed: Packed, why: Mapping[str, str]) -> Told:
    return Told(packed.text, packed.tokens, {item.excerpt.turn: why[item.excerpt.turn] for item in packed.shown})


def write_down(ctx: Context, asker: Asker, event: str, what: Told) -> None:
    """Remember what a session was told, so that it is not told again."""
    if asker.key == CHECK_SESSION:
        return
    session = ensure_session(ctx, asker.agent, asker.key, asker.project)
    note(ctx, session.id, event, what.why, what.tokens)


def brief(ctx: ReadContext, asker: Asker) -> Told:
    """Where a project stands and where its last sessions were left: their requests and last words, the newest first."""
    own, known = asker.said_or_told(ctx)
    said, names = facts.fitting((fact for fact in _facts(ctx, asker, own) if fact.name not in known), FACTS_BUDGET)
    hits = [Hit(str(key), 0, 0, 0, 0.0, {}) for key in _closing_windows(ctx, asker.project, own)]
    read = read_excerpts(ctx, of_project(asker.project), hits)
    excerpts = [each.excerpt for each in read if each.excerpt.turn not in known]
    packed = _short(excerpts, START_BUDGET - said.tokens, MAX_CHARACTERS - len(said.text))
    recent = dict.fromkeys((item.excerpt.turn for item in packed.shown), "recent work")
    if not names:
        return Told(packed.text, packed.tokens, recent)
    text = f"{OPENING}{said.text}\n{packed.text.removeprefix(OPENING) or CLOSING}"
    return Told(text, tokens.count(text), names | recent)


def _facts(ctx: ReadContext, asker: Asker, own: uuid.UUID | None) -> Iterator[facts.Fact]:
    project = asker.project
    yield from facts.state(ctx, project.id)
    yield from facts.left_behind(ctx, project.id, own)
    yield from facts.failing(ctx, project.client_id, local_name(ctx, ctx.principal.machine_id))
    yield from facts.open_work(ctx, WorkItem.project_id == project.id)
    yield from facts.follow_ups(ctx, PendingTask.project_id == project.id)
    yield from facts.decided(ctx, DecisionLog.project_id == project.id)


def _short(excerpts: list[Excerpt], budget: int, characters: int = MAX_CHARACTERS) -> Packed:
    """What fits the budget and the agents' limit on characters, which code and tables reach before the budget."""
    packed = fitting(excerpts, budget)
    while len(packed.text) > characters:
        budget -= budget // 4
        packed = fitting(excerpts, budget)
    return packed


def _closing_windows(ctx: ReadContext, project: Project, own: uuid.UUID | None) -> Iterator[uuid.UUID]:
    """For each of the last sessions: what was said last, what was asked first, what was asked last."""
    recent = (
        select(WorkSession.id)
        .where(WorkSession.project_id == project.id, WorkSession.id != own, WorkSession.last_turn_at.is_not(None))
        .order_by(WorkSession.last_turn_at.desc(), WorkSession.id.desc())
        .limit(SESSIONS_TOLD)
    )
    for session in ctx.session.scalars(recent).all():
        said = select(MemoryWindow.id).where(MemoryWindow.session_id == session, MemoryWindow.part == 0).limit(1)
        asked = said.where(MemoryWindow.role == Role.user)
        answered = said.where(MemoryWindow.role == Role.assistant)
        last = MemoryWindow.ordinal.desc()
        for choice in (answered.order_by(last), asked.order_by(MemoryWindow.ordinal), asked.order_by(last)):
            yield from ctx.session.scalars(choice).all()


def bearing(ctx: ReadContext, asker: Asker, prompt: str) -> Told:
    """What memory has to say to a prompt, but for what this session has said or was told."""
    own, known = asker.said_or_told(ctx)
    prompt = redaction.asked(ctx, prompt)
    asked = frozenset(terms(prompt))
    if not asked:
        return Told()

    def bears(excerpt: Excerpt) -> bool:
        fresh = excerpt.turn not in known and excerpt.session != str(own)
        return fresh and len(asked & excerpt.terms) >= min(SHARED_TERMS, len(asked))

    found = search(ctx, of_project(asker.project), prompt, budget=PROMPT_BUDGET, keep=bears)
    reasons = {turn: ", ".join(hit.why) for turn, hit in found.hits.items()}
    packed = _short(found.excerpts, PROMPT_BUDGET)
    doubts = found.doubts(ctx, packed)
    return _told(_short(found.doubted(doubts).excerpts, PROMPT_BUDGET) if doubts else packed, reasons)
