"""Packing ranked passages into a token budget.

The text that goes into an agent's context is one known tag around one line that says what this is, then the chosen
turns in the order of time, under a heading for each day and machine. The budget counts everything, tag and headings
included, by `worklore.memory.tokens`, and is never exceeded.

Choice is greedy in rank order. What does not fit is passed over, up to a bound, so that the room is really used; what
repeats a chosen text nearly word for word is left out. A turn whose whole text takes a modest share of the budget is
shown whole, a longer one by its matching passages: half an answer misleads, and a single long one would crowd out all
others. The turns around a chosen one are not added: their scores are in its rank already, and their text costs more
room than it brings evidence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Final

from worklore.memory.frame import CLOSING, OPENING, neutral
from worklore.memory.tokens import NAME, count, count_within

GAP: Final = " […] "
WHOLE_SHARE: Final = 0.25
"""A turn that takes at most this share of the budget is shown whole."""
MAX_PASSED_OVER: Final = 40
NEAR_DUPLICATE: Final = 0.9
"""Jaccard similarity of two texts' terms from which the lower-ranked one is left out."""
_MIN_TERMS_TO_COMPARE: Final = 5


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A ranked passage together with the turn it is from.

    `parts` are the texts of all the turn's passages in order, `part` says which of them matched. `terms` are the
    passage's index terms, by which near duplicates are told; without them it is never taken for one.
    """

    turn: str
    part: int
    parts: tuple[str, ...]
    session: str
    ordinal: int
    time: datetime
    author: str
    machine: str = ""
    terms: frozenset[str] = frozenset()


@dataclass(slots=True)
class Shown:
    """One turn in the packed text and the numbers of the parts that are shown."""

    excerpt: Excerpt
    parts: set[int]

    @property
    def whole(self) -> bool:
        """True when nothing of the turn is left out."""
        return len(self.parts) == len(self.excerpt.parts)

    @property
    def text(self) -> str:
        """The shown parts in order, with a mark where something is left out."""
        pieces: list[str] = []
        for part, text in enumerate(self.excerpt.parts):
            if part in self.parts:
                pieces.append(text)
            elif not pieces or pieces[-1] is not GAP:
                pieces.append(GAP)
        return neutral("".join(pieces))


@dataclass(frozen=True, slots=True)
class Packed:
    """The text to inject, its tokens by `tokenizer`, and the turns in it by rank. All empty when nothing fits."""

    text: str = ""
    tokens: int = 0
    shown: Sequence[Shown] = field(default=())
    tokenizer: str = NAME


def pack(
    ranked: Iterable[Excerpt],
    budget: int,
    *,
    whole_share: float = WHOLE_SHARE,
    max_passed_over: int = MAX_PASSED_OVER,
) -> Packed:
    """Choose from ranked passages, best first, what fits into `budget` tokens."""
    choice = _Choice(budget, whole_share)
    for excerpt in ranked:
        choice.offer(excerpt)
        if choice.passed_over > max_passed_over:
            break
    return choice.packed()


class _Choice:
    """The turns chosen so far and what they cost.

    Costs are summed line by line. Tokens of lines joined can only differ from that sum by merges across a line end,
    so the whole text is counted once more at the end and the lowest-ranked turn leaves while it is over.
    """

    def __init__(self, budget: int, whole_share: float) -> None:
        self.budget = budget
        self.whole_limit = int(budget * whole_share)
        self.used = count(OPENING) + count(CLOSING)
        self.passed_over = 0
        self.shown: dict[str, Shown] = {}
        self.costs: dict[str, int] = {}
        self.headings: set[str] = set()
        self.terms_by_size: dict[int, list[frozenset[str]]] = {}

    def offer(self, excerpt: Excerpt) -> None:
        held = self.shown.get(excerpt.turn)
        if held is not None:
            if excerpt.part not in held.parts and not self._take(Shown(held.excerpt, held.parts | {excerpt.part})):
                self.passed_over += 1
            return
        if self._repeats(excerpt.terms):
            return
        every = Shown(excerpt, set(range(len(excerpt.parts))))
        if (
            self._take(every, limit=self.whole_limit)
            or (len(excerpt.parts) > 1 and self._take(Shown(excerpt, {excerpt.part})))
            or self._take(every)
        ):
            self.terms_by_size.setdefault(len(excerpt.terms), []).append(excerpt.terms)
        else:
            self.passed_over += 1

    def _repeats(self, terms: frozenset[str]) -> bool:
        """True when a chosen text has nearly the same terms; only one of nearly the same size can."""
        size = len(terms)
        if size < _MIN_TERMS_TO_COMPARE:
            return False
        nearly = range(ceil(size * NEAR_DUPLICATE), int(size / NEAR_DUPLICATE) + 1)
        chosen = (seen for length in nearly for seen in self.terms_by_size.get(length, ()))
        return any(len(terms & seen) >= NEAR_DUPLICATE * len(terms | seen) for seen in chosen)

    def _take(self, shown: Shown, limit: int | None = None) -> bool:
        """Take a turn, or more of one already taken, if its line is within `limit` and all of it within the budget."""
        turn, heading = shown.excerpt.turn, _heading(shown.excerpt)
        held = self.costs.get(turn, 0)
        room = self.budget - self.used + held - (0 if heading in self.headings else count(heading))
        cost = count_within(_line(shown), room if limit is None else min(room, limit))
        if cost is None:
            return False
        self.used = self.budget - room + cost
        self.costs[turn] = cost
        self.headings.add(heading)
        self.shown[turn] = shown
        return True

    def packed(self) -> Packed:
        shown = list(self.shown.values())
        while shown:
            text = render(shown)
            total = count(text)
            if total <= self.budget:
                return Packed(text, total, shown)
            shown.pop()
        return Packed()


def render(shown: Iterable[Shown]) -> str:
    """The text to inject: a heading for each day and machine, in the order of time, its turns session by session."""
    groups: dict[str, list[Shown]] = {}
    begins: dict[tuple[str, str], datetime] = {}
    for turn in shown:
        heading, time = _heading(turn.excerpt), turn.excerpt.time
        groups.setdefault(heading, []).append(turn)
        for key in ((heading, ""), (heading, turn.excerpt.session)):
            begins[key] = min(time, begins.get(key, time))
    lines = [OPENING]
    for heading in sorted(groups, key=lambda heading: (begins[heading, ""], heading)):
        lines.append(heading)
        turns = groups[heading]
        turns.sort(
            key=lambda turn: (
                begins[_heading(turn.excerpt), turn.excerpt.session],
                turn.excerpt.session,
                turn.excerpt.ordinal,
            ),
        )
        lines.extend(_line(turn) for turn in turns)
    lines.append(CLOSING)
    return "".join(lines)


def _heading(excerpt: Excerpt) -> str:
    day = excerpt.time.astimezone(UTC).date().isoformat()
    return f"# {day} {neutral(excerpt.machine)}".rstrip() + "\n"


def _line(shown: Shown) -> str:
    text = shown.text
    return f"{neutral(shown.excerpt.author)}: {text}" + ("" if text.endswith("\n") else "\n")
