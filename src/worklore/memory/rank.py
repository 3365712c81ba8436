"""Ranking the units of a scope for a question, from lexical and structural signals alone.

A question matches a unit by *any* of its words; words that are rare in the scope count most (BM25, after Robertson
and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009). What stands around a unit counts too:
the turns next to it and its whole session answer questions whose words are spread over a conversation. To these come
who said it, when, and how much room it takes.

Each signal is an array over the units in canonical order and the score is their weighted sum; `WEIGHTS` is the one
place that says by how much. Lexical signals are divided by the root mean square of the matches, so that one is "an
ordinary match" in a scope of a hundred units and of a hundred thousand, and the other weights read in the same unit.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush
from math import log, log1p, sqrt
from typing import Final

import numpy as np

from worklore.memory.analyse import STOP_WORDS, terms
from worklore.memory.dates import Interval, intervals
from worklore.memory.index import K1, B, Bools, Floats, Index, Ints, Layout, Postings, changes

ROLES: Final = frozenset(("user", "assistant"))
"""Author labels that are roles and nobody's name."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each signal adds to a unit's score, in ordinary lexical matches."""

    match: float = 1.0
    """The unit's own words."""
    next_to: float = 0.3
    """The turns just before and after it, each."""
    two_away: float = 0.2
    """The turns one further, each."""
    session: float = 1.0
    """Its whole session; for the session's second item half of it, for the third a third: showing an item uses it
    up."""
    author: float = 3.0
    """Said by the one person the question names."""
    date: float = 4.0
    """Said on a date the question names, or told of it in the two weeks after."""
    length: float = 0.3
    """Per e-fold of the unit's terms: BM25 favours very short units more than their content deserves."""
    room: float = -0.7
    """Per e-fold of its turn's terms above `SHORT_TURN`: what takes much room of a budget must be worth it."""
    asks: float = -1.0
    """It holds a question, in talk between people: the answer is rarely in it."""
    user: float = 1.5
    """Said by the person in a session with an agent: what was wanted, decided and stated, not what was generated from
    it."""
    tells_time: float = 1.2
    """It tells a time, where the question asks for one."""


WEIGHTS: Final = Weights()
SHORT_TURN: Final = 25  # terms
_ACCOUNTS: Final = frozenset((
    "admin", "administrator", "agent", "assistant", "backup", "claude", "demo", "dev", "guest", "info", "it",
    "office", "operator", "root", "service", "support", "system", "team", "test", "user",
))  # fmt: skip
"""What accounts are called by, and nobody is: in a question such a word is about the thing."""
_ALSO_WORDS: Final = frozenset((
    "art", "bill", "chase", "chip", "dean", "dot", "drew", "frank", "gene", "grace", "grant", "guy", "hope", "jack",
    "joy", "lance", "mark", "max", "may", "miles", "page", "pat", "pierce", "ray", "rich", "rob", "rose", "sue",
))  # fmt: skip
"""Names that are ordinary words too: names only when written as one, as stop words ("Will") are."""
_TERMS_READ: Final = 256
_TERMS_COUNTED: Final = 64
_EARLY: Final = 12 * 3600.0  # seconds: time zones blur the edges of a day
_AFTERWARDS: Final = 14 * 86400.0  # seconds in which people tell of a day
_ASKS_WHEN: Final = re.compile(r"(?i)^\W*(?:\w+\W+){0,2}when\b|\b(?:what|which) (?:date|day|month|year|time)\b")
_REASONS: Final = {
    "match": "words",
    "next_to": "turns around it",
    "session": "session",
    "author": "author named",
    "date": "date named",
    "user": "said by the user",
    "tells_time": "tells a time",
}


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked unit: id, positions in the index's canonical order, score, and what each signal added to the score."""

    id: str
    position: int
    turn: int
    session: int
    score: float
    signals: dict[str, float]

    @property
    def why(self) -> tuple[str, ...]:
        """Names of the signals that spoke for it, the strongest first."""
        grouped = {
            name: self.signals[name] + (self.signals["two_away"] if name == "next_to" else 0.0) for name in _REASONS
        }
        strongest = sorted(grouped, key=lambda name: -grouped[name])
        return tuple(_REASONS[name] for name in strongest if grouped[name] >= _WORTH_TELLING)


_WORTH_TELLING: Final = 0.3


def is_name(author: str) -> bool:
    """True for an author label that names somebody, false for a bare role and for none."""
    return bool(author) and author not in ROLES


def rank(index: Index, question: str, *, now: datetime, weights: Weights = WEIGHTS, limit: int = 200) -> list[Hit]:
    """The `limit` best units for a question, best first; empty when no word and no date of it is known to the scope.

    Equal contents give equal answers, in whatever order they came into the index.

    Args:
        index: the units of one scope.
        question: what is asked, as it was typed.
        now: the time of asking, with its time zone, for dates such as "yesterday".
        weights: what each signal counts.
        limit: most hits to return.
    """
    layout = index.layout()
    if not layout.units or limit <= 0:
        return []
    signals, related = _signals(index, layout, question, now)
    factors = asdict(weights)
    weighted = {name: factors[name] * values for name, values in signals.items()}
    scores = np.zeros(layout.units)
    for values in weighted.values():
        scores += values
    candidates = np.flatnonzero(related)
    best = _top(scores, candidates, 4 * limit)
    chosen = _spread(best, scores, np.maximum(weighted["session"], 0.0), layout, limit)
    hits: list[Hit] = []
    for position, score in chosen:
        added = {name: float(values[position]) for name, values in weighted.items()}
        added["session"] += score - float(scores[position])
        hits.append(
            Hit(
                id=index.identifier(position),
                position=position,
                turn=int(layout.unit_turn[position]),
                session=int(layout.unit_session[position]),
                score=score,
                signals=added,
            ),
        )
    return hits


def _top(scores: Floats, candidates: Ints, count: int) -> Ints:
    """The `count` best candidates, best first, canonical order among equals; all that tie with the last are kept."""
    held = scores[candidates]
    if len(held) > count:
        floor = np.partition(held, len(held) - count)[len(held) - count]
        candidates = candidates[held >= floor]
    return candidates[np.argsort(-scores[candidates], kind="stable")]


def _spread(best: Ints, scores: Floats, session_share: Floats, layout: Layout, limit: int) -> list[tuple[int, float]]:
    """Candidates in their final order: a session's share in the score shrinks with each of its turns already taken."""
    waiting: dict[int, list[int]] = {}
    for position in best[::-1].tolist():
        waiting.setdefault(int(layout.unit_session[position]), []).append(position)
    taken: dict[int, set[int]] = {session: set() for session in waiting}

    def next_of(session: int) -> tuple[float, int]:
        position = waiting[session][-1]
        turns = taken[session]
        share = float(session_share[position])
        # A further passage of a turn already taken is no new turn.
        count = len(turns) - (int(layout.unit_turn[position]) in turns)
        return -(float(scores[position]) - share + share / (1 + count)), position

    heap = [(*next_of(session), session) for session in waiting]
    heapify(heap)
    chosen: list[tuple[int, float]] = []
    while heap and len(chosen) < limit:
        negative, position, session = heappop(heap)
        chosen.append((position, -negative))
        waiting[session].pop()
        taken[session].add(int(layout.unit_turn[position]))
        if waiting[session]:
            heappush(heap, (*next_of(session), session))
    return chosen


def _signals(index: Index, layout: Layout, question: str, now: datetime) -> tuple[dict[str, Floats], Bools]:
    """Every signal by its name in `Weights`, and which units the question has to do with at all."""
    unit, turn, session = _lexical(index, layout, question)
    turn_scale = _scaled(turn)
    date = _date_match(layout, question, now)
    signals: dict[str, Floats] = {
        "match": _scaled(unit),
        "next_to": _around(turn_scale, layout, 1)[layout.unit_turn],
        "two_away": _around(turn_scale, layout, 2)[layout.unit_turn],
        "session": _scaled(session)[layout.unit_session],
        "author": _author_match(index.authors, layout, question),
        "date": date,
        "length": layout.log_unit_length,
        "room": np.maximum(layout.log_turn_length - log(SHORT_TURN), 0.0),
        "asks": (layout.unit_asks & ~layout.unit_user & ~layout.unit_assistant).astype(np.float64),
        "user": layout.unit_user.astype(np.float64),
        "tells_time": (layout.unit_tells_time & (_ASKS_WHEN.search(question) is not None)).astype(np.float64),
    }
    return signals, (session[layout.unit_session] > 0) | (date > 0)


def _telling(index: Index, question: str) -> list[Postings]:
    """Postings of the question's terms, each once, the rarest first.

    A prompt can be a pasted log: of very many terms its beginning and its end are read, and of those the rarest count.
    """
    distinct = list(dict.fromkeys(terms(question)))
    if len(distinct) > _TERMS_READ:
        distinct = distinct[: 3 * _TERMS_READ // 4] + distinct[-(_TERMS_READ // 4) :]
    found = [(len(held.positions), term, held) for term in distinct if len((held := index.postings(term)).positions)]
    found.sort(key=lambda row: row[:2])
    return [held for _, _, held in found[:_TERMS_COUNTED]]


def _lexical(index: Index, layout: Layout, question: str) -> tuple[Floats, Floats, Floats]:
    """BM25 of the units, of the turns and of the sessions, each a collection of documents of its own."""
    unit, turn, session = np.zeros(layout.units), np.zeros(layout.turns), np.zeros(layout.sessions)
    for positions, counts in _telling(index, question):
        unit[positions] += _bm25(counts, layout.unit_length, positions)
        for scores, group, lengths in (
            (turn, layout.unit_turn, layout.turn_length),
            (session, layout.unit_session, layout.session_length),
        ):
            # Positions ascend and groups lie together, so a group's occurrences are one run.
            groups = group[positions]
            begins = np.flatnonzero(changes(groups))
            places = groups[begins]
            scores[places] += _bm25(np.add.reduceat(counts, begins), lengths, places)
    return unit, turn, session


def _bm25(counts: Ints, lengths: Floats, places: Ints) -> Floats:
    """One term's BM25 at `places`, where it occurs `counts` times, among documents of the given lengths."""
    total, containing = len(lengths), len(places)
    rarity = log1p((total - containing + 0.5) / (containing + 0.5))
    average = max(float(lengths.mean()), 1.0)
    score: Floats = rarity * counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths[places] / average))
    return score


def _scaled(scores: Floats) -> Floats:
    matched = scores[scores > 0]
    return scores / sqrt(float(np.mean(matched**2))) if len(matched) else scores


def _around(scores: Floats, layout: Layout, distance: int) -> Floats:
    """For each turn the sum of the scores `distance` turns before and after it in its session."""
    around = np.zeros_like(scores)
    same = layout.turn_session[distance:] == layout.turn_session[:-distance]
    around[distance:] += scores[:-distance] * same
    around[:-distance] += scores[distance:] * same
    return around


def _author_match(authors: Sequence[str], layout: Layout, question: str) -> Floats:
    """One for the units of the only person the question names; naming two tells nothing about who is meant."""
    ordinary = STOP_WORDS | _ALSO_WORDS
    words = {word.casefold() for word in re.findall(r"\w+", question) if word[0].isupper() or word not in ordinary}
    named = [number for number, author in enumerate(authors) if is_name(author) and _first_name(author) in words]
    if len(named) != 1:
        return np.zeros(layout.units)
    match: Floats = (layout.unit_author == named[0]).astype(np.float64)
    return match


def _first_name(author: str) -> str:
    """The part of an author label that people say: the first word of a name, or of a mail address."""
    first = re.search(r"[^\W_]+", author)
    name = first[0].casefold() if first else ""
    return "" if name in _ACCOUNTS else name


def _date_match(layout: Layout, question: str, now: datetime) -> Floats:
    """One for units said within a named interval, falling from a half to nothing over the two weeks after it.

    The less of the scope lies outside, the less a match tells: it is scaled by the share of units that do not match.
    """
    time = layout.unit_time
    middle = float(np.sort(time)[len(time) // 2])
    match = np.zeros(layout.units)
    for interval in _named_intervals(question, now, middle):
        start, end = interval.start.timestamp(), interval.end.timestamp()
        within = (time >= start - _EARLY) & (time < end + 2 * _EARLY)
        late = np.where((time >= end) & (time < end + _AFTERWARDS), 0.5 * (1 - (time - end) / _AFTERWARDS), 0.0)
        match = np.maximum(match, np.where(within, 1.0, late))
    scaled: Floats = match * (1 - float(match.mean()))
    return scaled


def _named_intervals(question: str, now: datetime, middle: float) -> list[Interval]:
    """The question's dates; one without a year is of the year that most of the scope is from."""
    return intervals(question, now=now, default_year=datetime.fromtimestamp(middle, UTC).year)
