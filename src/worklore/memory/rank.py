"""Ranking the units of a scope for a question, by its words, by its meaning where there is a model, and by structure.

A question matches a unit by *any* of its words; words that are rare in the scope count most (BM25, after Robertson
and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009). What stands around a unit counts too:
the turns next to it and its whole session answer questions whose words are spread over a conversation. To these come
who said it, when, and how much room it takes.

Where there is no model, the units found best tell what else to look for: words that they say and the question does not
count a little as if it had (pseudo relevance feedback, after Lavrenko and Croft, "Relevance-Based Language Models",
2001).

Where an embedding model has read the units, what they mean counts in two steps. The likeness of whole units and the
words choose candidates; those are scored by late interaction (after Khattab and Zaharia, "ColBERT", 2020): each token
of the question looks for the token of the unit that is most like it, and rare words of the question count most.

Each signal is an array over the units in canonical order and the score is their weighted sum; `WEIGHTS` is the one
place that says by how much. Lexical signals are divided by the root mean square of the matches, so that one is "an
ordinary match" in a scope of a hundred units and of a hundred thousand, and the other weights read in the same unit.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from heapq import heapify, heappop, heappush
from math import log, log1p, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worklore.memory.analyse import STOP_WORDS, terms
from worklore.memory.dates import Interval, intervals
from worklore.memory.embed import Embedding, TokenVectors
from worklore.memory.index import K1, B, Bools, Floats, Index, Ints, Layout, Postings, Vectors, changes
from worklore.memory.only import Only
from worklore.memory.renewal import LOOKED_AT, asks_how_it_is, raised

ROLES: Final = frozenset(("user", "assistant"))
"""Author labels that are roles and nobody's name."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each signal adds to a unit's score, in ordinary lexical matches."""

    match: float = 1.0
    """The unit's own words."""
    covers: float = 2.0
    """It says all that the question does; much less than all counts next to nothing: see `COVERING`."""
    turn: float = 0.0
    """All words of its turn, where that was cut into several units."""
    next_to: float = 0.3
    """The turns just before and after it, each. A long turn stands by itself: see `_leaning`."""
    two_away: float = 0.2
    """The turns one further, each."""
    session: float = 1.0
    """Its whole session; for the session's second item half of it, for the third a third: showing an item uses it
    up."""
    feedback: float = 0.3
    """All of the above, for words that the best units say beside those of the question."""
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
    record: float = 0.5
    """It is a work record: what somebody found worth writing down."""
    age: float = -0.05
    """Per e-fold of the days by which it is older than the newest: of two that are alike, the newer."""
    superseded: float = -8.0
    """It is valid no more: what took its place comes before it."""
    late: float = 0.0
    """What its tokens mean, by late interaction, in standard deviations over the scope."""
    late_next: float = 0.0
    """The same of the turns just before and after it, each."""
    like: float = 0.0
    """What it means as a whole, in standard deviations over the scope."""
    like_next: float = 0.0
    """The same of the turns just before and after it, each."""
    like_session: float = 0.0
    """The same of the unit of its session that is most like the question, in standard deviations over the sessions."""


WEIGHTS: Final = Weights()
"""Where there is no model, or it has not read the scope yet."""
MEANING_WEIGHTS: Final = Weights(
    match=0.4,
    covers=0.5,
    turn=0.4,
    session=0.6,
    feedback=0.0,
    length=0.25,
    asks=-0.8,
    late=1.0,
    late_next=0.25,
    like=0.4,
    like_next=0.1,
    like_session=0.4,
)
"""Where there is one: most of what the unit's own words say, late interaction says better."""
COVERING: Final = 6
"""The power to which the share of the question's words that a unit says is taken, each word by how rare it is."""
FEEDBACK_UNITS: Final = 10
FEEDBACK_TERMS: Final = 15
"""Words are taken from so many of the best units, the so many that tell most."""
LATE_CANDIDATES: Final = 100
"""Units that late interaction scores, and the turns around them."""
LATE_SAMPLE: Final = 64
"""Units by which it is known what late interaction gives any unit of the scope."""
HALF_RELEVANT: Final = 6.0
"""The score of what is half relevant: an ordinary match, in a session that bears on the question."""
RANKED: Final = 20_000
"""Units up to which every signal is asked of all that have to do with the question."""
PROMISING: Final = 4_000
"""Units of more that are ranked, the turns around them aside."""
LIKE_ENOUGH: Final = 0.3
"""Likeness from which a unit that shares no word with the question has to do with it."""
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
_BESIDE: Final = 0.95
_AFTERWARDS: Final = 14 * 86400.0  # seconds in which people tell of a day
_ASKS_WHEN: Final = re.compile(r"(?i)^\W*(?:\w+\W+){0,2}when\b|\b(?:what|which) (?:date|day|month|year|time)\b")
_REASONS: Final = {
    "match": "words",
    "next_to": "turns around it",
    "session": "session",
    "author": "author named",
    "date": "date named",
    "late": "meaning",
    "user": "said by the user",
    "tells_time": "tells a time",
    "record": "work record",
    "newer": "said anew",
}
_WITH: Final = {
    "next_to": ("two_away", "late_next", "like_next"),
    "session": ("like_session",),
    "match": ("covers", "feedback"),
    "late": ("like",),
}
"""Signals that are told together."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """A question as the model reads it.

    `tokens` reads the token vectors of units by their ids; units that have none are left out of its answer.
    """

    question: Embedding
    tokens: Callable[[Sequence[str]], Mapping[str, TokenVectors]]


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
    def relevance(self) -> float:
        """The score as a number from 0 to 10 that grows with it: half of that at `HALF_RELEVANT`."""
        return 10 * self.score / (self.score + HALF_RELEVANT) if self.score > 0 else 0.0

    @property
    def parts(self) -> dict[str, float]:
        """What each signal that is not nothing adds to the relevance; together they are it."""
        scale = self.relevance / self.score if self.score > 0 else 0.0
        return {name: value * scale for name, value in self.signals.items() if value * scale != 0}

    @property
    def why(self) -> tuple[str, ...]:
        """Names of the signals that spoke for it, the strongest first."""
        grouped = {name: sum(self.signals.get(part, 0.0) for part in (name, *_WITH.get(name, ()))) for name in _REASONS}
        strongest = sorted(grouped, key=lambda name: -grouped[name])
        return tuple(_REASONS[name] for name in strongest if grouped[name] >= _WORTH_TELLING)


_WORTH_TELLING: Final = 0.3


def is_name(author: str) -> bool:
    """True for an author label that names somebody, false for a bare role and for none."""
    return bool(author) and author not in ROLES


def rank(
    index: Index,
    question: str,
    *,
    now: datetime,
    meaning: Meaning | None = None,
    only: Only | None = None,
    weights: Weights | None = None,
    limit: int = 200,
) -> list[Hit]:
    """The `limit` best units for a question, best first; empty when nothing in the scope has to do with it.

    Equal contents give equal answers, in whatever order they came into the index.

    Args:
        index: the units of one scope.
        question: what is asked, as it was typed.
        now: the time of asking, with its time zone, for dates such as "yesterday".
        meaning: the question as the embedding model reads it; None where there is no model.
        only: which units are ranked; all without it.
        weights: what each signal counts, if not what is measured to be best.
        limit: most hits to return.
    """
    layout = index.layout()
    if not layout.units or limit <= 0:
        return []
    meant = _Meant(*index.similarities(meaning.question.pooled)) if meaning else None
    meant = meant if meant is not None and meant.has.any() else None
    factors = asdict(weights or (MEANING_WEIGHTS if meant else WEIGHTS))
    telling = _telling(index, question)
    lexical = _lexical(layout, ((held, 1.0) for held in telling))
    bearing = _Bearing(layout, lexical, _date_match(layout, question, now), meant)
    places = _places(bearing, factors, only.mask(index, layout) if only is not None else None)
    signals = _signals(index, layout, question, bearing=bearing, places=places)
    signals["covers"] = _covered(layout, telling, places) ** COVERING
    signals |= _standing(index, layout, places, now)
    if meant is not None:
        signals |= _likeness(meant, layout, places)
    weighted = {name: factors[name] * values for name, values in signals.items()}
    scores = _sum(weighted, len(places))
    if factors["feedback"]:
        weighted["feedback"] = _feedback(index, layout, question, factors, places=places, scores=scores)
        scores += weighted["feedback"]
    if meaning is not None and meant is not None:
        near = places[_top(scores, np.arange(len(places)), LATE_CANDIDATES)]
        late = _late(index, layout, question, meaning, (*_late_positions(near, meant, layout), places))
        late = {name: factors[name] * values for name, values in late.items()}
        scores += _sum(late, len(places))
        weighted |= late
    best = _top(scores, np.arange(len(places)), 4 * limit)
    if asks_how_it_is(question):
        newer = np.zeros(len(places))
        newer[best[:LOOKED_AT]] = raised(layout, telling, places[best[:LOOKED_AT]], scores[best[:LOOKED_AT]])
        weighted["newer"], scores = newer, scores + newer
        best = best[np.argsort(-scores[best], kind="stable")]
    session_share = np.maximum(weighted["session"], 0.0)
    hits: list[Hit] = []
    for place, score in _spread(best, scores, session_share, layout=layout, places=places, limit=limit):
        added = {name: float(values[place]) for name, values in weighted.items()}
        added["session"] += score - float(scores[place])
        position = int(places[place])
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


def _sum(weighted: Mapping[str, Floats], size: int) -> Floats:
    scores = np.zeros(size)
    for values in weighted.values():
        scores += values
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class _Lexical:
    """BM25 of the units, of the turns and of the sessions, each scaled."""

    unit: Floats
    turn: Floats
    session: Floats


@dataclass(frozen=True, eq=False)
class _Meant:
    """How like the question each unit is, and which units are known to be like anything."""

    like: Vectors
    has: Bools

    @cached_property
    def everywhere(self) -> bool:
        """Whether that is known of all units."""
        return bool(self.has.all())

    @cached_property
    def usual(self) -> tuple[float, float]:
        """Mean and standard deviation over the scope."""
        known = self.like if self.everywhere else self.like[self.has]
        return float(known.mean(dtype=np.float64)), float(known.std(dtype=np.float64)) or 1.0

    def standard(self, positions: Ints | slice) -> Floats:
        """By how many standard deviations units are liker than usual; nothing for one that has no vector."""
        usual, spread = self.usual
        standard: Floats = (self.like[positions].astype(np.float64) - usual) / spread
        return standard if self.everywhere else np.where(self.has[positions], standard, 0.0)

    def best_of_sessions(self, layout: Layout) -> Floats:
        """For each session how like its likest unit is; -1 where none has a vector."""
        known = self.like if self.everywhere else np.where(self.has, self.like, -1.0)
        best: Floats = np.maximum.reduceat(known, layout.session_start).astype(np.float64)
        return best


@dataclass(frozen=True, slots=True, eq=False)
class _Bearing:
    """What of a scope may bear on a question: by its words, by a date where one is named, by meaning."""

    layout: Layout
    lexical: _Lexical
    date: Floats | None
    meant: _Meant | None

    def related(self, positions: Ints) -> Bools:
        """Which units have to do with the question at all."""
        related: Bools = self.lexical.session[self.layout.unit_session[positions]] > 0
        if self.date is not None:
            related |= self.date[positions] > 0
        if self.meant is not None:
            related |= self.meant.has[positions] & (self.meant.like[positions] >= LIKE_ENOUGH)
        return related

    def promise(self, factors: Mapping[str, float], positions: Ints | slice) -> Floats:
        """What units promise by their own words, date and meaning."""
        promise: Floats = self.lexical.unit[positions] + self.lexical.turn[self.layout.unit_turn[positions]]
        if self.date is not None:
            promise += factors["date"] * self.date[positions]
        if self.meant is not None:
            promise += self.meant.standard(positions)
        return promise


def _places(bearing: _Bearing, factors: Mapping[str, float], may: Bools | None) -> Ints:
    """The positions that are ranked: those that may be and have to do with the question.

    Of very many, those whose own words and meaning promise most, with the turns around them: what else there is to say
    of a unit adds little to one that promises little.
    """
    layout = bearing.layout
    places: Ints = np.arange(layout.units) if may is None else np.flatnonzero(may)
    if len(places) > RANKED:
        promise = bearing.promise(factors, slice(None) if may is None else places)
        floor = np.partition(promise, len(promise) - PROMISING)[len(promise) - PROMISING]
        places = _with_turns_around(places[promise >= floor], layout)
        places = places if may is None else places[may[places]]
    return places[bearing.related(places)]


def _with_turns_around(positions: Ints, layout: Layout) -> Ints:
    """The positions of all units of some units' turns and of the turns beside those, ascending."""
    near = np.zeros(layout.turns + 2, np.bool_)
    turns = layout.unit_turn[positions] + 1
    near[turns - 1] = near[turns] = near[turns + 1] = True
    return _units_of(np.flatnonzero(near[1:-1]), layout)


def _units_of(turns: Ints, layout: Layout) -> Ints:
    """The positions of all units of some turns, ascending."""
    ends = np.append(layout.turn_start[1:], layout.units)[turns]
    starts = layout.turn_start[turns]
    sizes = ends - starts
    offsets = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    units: Ints = np.repeat(starts, sizes) + offsets
    return units


def _likeness(meant: _Meant, layout: Layout, places: Ints) -> dict[str, Floats]:
    """The signals of whole units' vectors; nothing for a unit that has none yet."""
    best = meant.best_of_sessions(layout)
    sessions = np.where(best > -1.0, _standard(best, best[best > -1.0]), 0.0)
    return {
        "like": meant.standard(places),
        "like_next": _beside(meant.standard, layout, places),
        "like_session": sessions[layout.unit_session[places]],
    }


def _standard(values: Floats, among: Floats) -> Floats:
    """Values in standard deviations from the mean of some."""
    spread = float(among.std())
    standard: Floats = (values - float(among.mean())) / spread if spread > 0 else np.zeros_like(values)
    return standard


def _late_positions(best: Ints, meant: _Meant, layout: Layout) -> tuple[Ints, Ints]:
    """Candidates with the turns around them, and a sample of the scope; of units that have vectors."""
    near = _with_turns_around(best, layout)
    every = np.arange(layout.units) if meant.everywhere else np.flatnonzero(meant.has)
    return near[meant.has[near]], every[np.linspace(0, len(every) - 1, min(LATE_SAMPLE, len(every))).astype(np.int64)]


def _late(
    index: Index, layout: Layout, question: str, meaning: Meaning, wanted: tuple[Ints, Ints, Ints]
) -> dict[str, Floats]:
    """The signals of late interaction: asked of candidates and of a sample, told of the positions that are ranked."""
    near, sample, places = wanted
    asked = meaning.question.tokens.astype(np.float32)
    counts = _token_weights(index, layout, question, meaning.question)
    asked_of = np.unique(np.concatenate((near, sample)))
    names = [index.identifier(position) for position in asked_of]
    held = meaning.tokens(names)
    found = np.full(len(asked_of), np.nan)
    read = [(place, held[name]) for place, name in enumerate(names) if name in held and len(held[name])]
    if read and len(asked):
        starts = np.cumsum([0, *(len(vectors) for _, vectors in read[:-1])])
        every = np.concatenate([vectors for _, vectors in read]).astype(np.float32)
        nearest = np.maximum.reduceat(asked @ every.T, starts, axis=1)
        found[[place for place, _ in read]] = counts @ nearest / 127**2
    usual = found[np.searchsorted(asked_of, sample)]
    usual = usual[~np.isnan(usual)]
    if not len(usual):
        return {"late": np.zeros(len(places)), "late_next": np.zeros(len(places))}
    # Where late interaction was not asked, a unit counts as the usual one.
    known = np.nan_to_num(_standard(found, usual), nan=0.0)

    def own(positions: Ints) -> Floats:
        at = np.minimum(np.searchsorted(asked_of, positions), len(asked_of) - 1)
        return np.where(asked_of[at] == positions, known[at], 0.0)

    return {
        "late": own(places),
        "late_next": _beside(own, layout, places),
    }


def _token_weights(index: Index, layout: Layout, question: str, read: Embedding) -> NDArray[np.float32]:
    """What each token of a question counts: as much as its word is rare in the scope, in all one."""
    counts = np.zeros(len(read.tokens), np.float32)
    words = re.finditer(r"\S+", question)
    word, rarity = next(words, None), 0.0
    weighed: re.Match[str] | None = None
    for place, (start, end) in enumerate(read.spans):  # both in the order of the question
        while word is not None and word.end() <= start:
            word = next(words, None)
        if word is None or word.start() > start or end > word.end() or not any(map(str.isalnum, question[start:end])):
            continue
        if weighed is not word:
            weighed, rarity = word, _rarity_of_word(index, layout, word[0])
        counts[place] = rarity
    total = float(counts.sum())
    return counts / total if total > 0 else np.full(len(counts), 1 / max(len(counts), 1), np.float32)


def _rarity_of_word(index: Index, layout: Layout, word: str) -> float:
    """That of the middle one of its known terms; 0 where none is known."""
    known = sorted(len(index.postings(term).positions) for term in terms(word))
    return _rarity(layout.units, known[len(known) // 2]) if known else 0.0


def _top(scores: Floats, candidates: Ints, count: int) -> Ints:
    """The `count` best candidates, best first, canonical order among equals; all that tie with the last are kept."""
    held = scores[candidates]
    if len(held) > count:
        floor = np.partition(held, len(held) - count)[len(held) - count]
        candidates = candidates[held >= floor]
    return candidates[np.argsort(-scores[candidates], kind="stable")]


def _spread(
    best: Ints, scores: Floats, session_share: Floats, *, layout: Layout, places: Ints, limit: int
) -> list[tuple[int, float]]:
    """Candidates in their final order: a session's share in the score shrinks with each of its turns already taken.

    Candidates are places in `places`, as the scores are by those.
    """
    sessions, of_turn = layout.unit_session[places], layout.unit_turn[places]
    waiting: dict[int, list[int]] = {}
    for place in best[::-1].tolist():
        waiting.setdefault(int(sessions[place]), []).append(place)
    taken: dict[int, set[int]] = {session: set() for session in waiting}

    def next_of(session: int) -> tuple[float, int]:
        place = waiting[session][-1]
        turns = taken[session]
        share = float(session_share[place])
        # A further passage of a turn already taken is no new turn.
        count = len(turns) - (int(of_turn[place]) in turns)
        return -(float(scores[place]) - share + share / (1 + count)), place

    heap = [(*next_of(session), session) for session in waiting]
    heapify(heap)
    chosen: list[tuple[int, float]] = []
    while heap and len(chosen) < limit:
        negative, place, session = heappop(heap)
        chosen.append((place, -negative))
        waiting[session].pop()
        taken[session].add(int(of_turn[place]))
        if waiting[session]:
            heappush(heap, (*next_of(session), session))
    return chosen


def _signals(index: Index, layout: Layout, question: str, *, bearing: _Bearing, places: Ints) -> dict[str, Floats]:
    """The signals of words and of structure by their names in `Weights`, one value for each place."""
    people = ~layout.unit_user[places] & ~layout.unit_assistant[places]
    asks_when = _ASKS_WHEN.search(question) is not None
    return _words(bearing.lexical, layout, places) | {
        "author": _author_match(index.authors, layout, question, places),
        "date": np.zeros(len(places)) if bearing.date is None else bearing.date[places],
        "length": layout.log_unit_length[places],
        "room": np.maximum(layout.log_turn_length[places] - log(SHORT_TURN), 0.0),
        "asks": (layout.unit_asks[places] & people).astype(np.float64),
        "user": layout.unit_user[places].astype(np.float64),
        "tells_time": (layout.unit_tells_time[places] & asks_when).astype(np.float64),
    }


def _words(lexical: _Lexical, layout: Layout, places: Ints) -> dict[str, Floats]:
    """The signals of words: a unit's own, its turn's, its neighbours' and its session's."""
    turns = layout.unit_turn[places]
    leaning = _leaning(layout, turns)
    return {
        "match": lexical.unit[places],
        "turn": np.where(_is_cut(layout, turns), lexical.turn[turns], 0.0),
        "next_to": leaning * _around(lexical.turn, layout, turns, 1),
        "two_away": leaning * _around(lexical.turn, layout, turns, 2),
        "session": lexical.session[layout.unit_session[places]],
    }


def _standing(index: Index, layout: Layout, places: Ints, now: datetime) -> dict[str, Floats]:
    """The signals of what a unit is, whatever is asked."""
    [turn] = index.numbers("kind", ["turn"]) or [-1]
    days = (layout.newest_time - layout.unit_time[places]) / 86_400
    return {
        "age": np.log1p(days),
        "record": (layout.unit_kind[places] != turn).astype(np.float64),
        "superseded": (layout.unit_valid_to[places] <= now.timestamp()).astype(np.float64),
    }


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


def _lexical(layout: Layout, asked: Iterable[tuple[Postings, float]]) -> _Lexical:
    """BM25 of the units, of the turns and of the sessions, each a collection of documents of its own.

    ``asked`` are the postings of terms, and what each counts.
    """
    unit, turn, session = np.zeros(layout.units), np.zeros(layout.turns), np.zeros(layout.sessions)
    of_unit, of_turn, of_session = layout.usual_lengths
    groups_of = [(session, layout.unit_session, layout.session_length, of_session)]
    if layout.turns < layout.units:
        groups_of.append((turn, layout.unit_turn, layout.turn_length, of_turn))
    for (positions, counts), weight in asked:
        unit[positions] += weight * _bm25(counts, layout.unit_length, positions, of_unit)
        for scores, group, lengths, usual in groups_of:
            # Positions ascend and groups lie together, so a group's occurrences are one run.
            groups = group[positions]
            begins = np.flatnonzero(changes(groups))
            places = groups[begins]
            scores[places] += weight * _bm25(np.add.reduceat(counts, begins), lengths, places, usual)
    scaled = _scaled(unit)
    # Where each turn is one unit, what is said of units is said of turns.
    return _Lexical(scaled, _scaled(turn) if layout.turns < layout.units else scaled, _scaled(session))


def _covered(layout: Layout, telling: Iterable[Postings], places: Ints) -> Floats:
    """The share of the question's words that places say, each by how rare it is."""
    covered, whole = np.zeros(layout.units), 0.0
    for held in telling:
        rarity = _rarity(layout.units, len(held.positions))
        covered[held.positions] += rarity
        whole += rarity
    return covered[places] / whole if whole else covered[places]


def _feedback(
    index: Index, layout: Layout, question: str, factors: Mapping[str, float], *, places: Ints, scores: Floats
) -> Floats:
    """The signals of words for what the best places say beside the question's words, each as much as it tells."""
    own, told = set(terms(question)), defaultdict[str, float](float)
    for place in _top(scores, np.arange(len(places)), FEEDBACK_UNITS)[:FEEDBACK_UNITS]:
        position, score = int(places[place]), max(float(scores[place]), 0.0)
        for term in set(index.said(position)) - own:
            told[term] += score / (layout.unit_length[position] + _FEEDBACK_LENGTH)
    for term in told:
        told[term] *= _rarity(layout.units, len(index.postings(term).positions))
    best = sorted(told, key=lambda term: (-told[term], term))[:FEEDBACK_TERMS]
    most = told[best[0]] if best else 0.0
    if not most:
        return np.zeros(len(places))
    words = _lexical(layout, [(index.postings(term), told[term] / most) for term in best])
    signals = _words(words, layout, places)
    return factors["feedback"] * _sum({name: factors[name] * values for name, values in signals.items()}, len(places))


_FEEDBACK_LENGTH: Final = 10.0  # terms: of very short units each word would tell too much


def _rarity(total: int, containing: int) -> float:
    return log1p((total - containing + 0.5) / (containing + 0.5))


def _bm25(counts: Ints, lengths: Floats, places: Ints, usual: float) -> Floats:
    """One term's BM25 at `places`, where it occurs `counts` times, among documents of the given and usual lengths."""
    score: Floats = (
        _rarity(len(lengths), len(places)) * counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths[places] / usual))
    )
    return score


def _scaled(scores: Floats) -> Floats:
    matched = np.count_nonzero(scores)
    return scores / sqrt(float(scores @ scores) / matched) if matched else scores


def _around(scores: Floats, layout: Layout, turns: Ints, distance: int) -> Floats:
    """For each of some turns the sum of the scores `distance` turns before and after it in its session."""
    around = np.zeros(len(turns))
    for step in (-distance, distance):
        other = turns + step
        there = (other >= 0) & (other < layout.turns)
        there[there] = layout.turn_session[other[there]] == layout.turn_session[turns[there]]
        around[there] += scores[other[there]]
    return around


def _leaning(layout: Layout, turns: Ints) -> Floats:
    """How much turns lean on those around them, from 0 to 1: what says little by itself means something there."""
    leaning: Floats = np.sqrt(np.minimum(1.0, SHORT_TURN / np.maximum(layout.turn_length[turns], 1.0)))
    return leaning


def _is_cut(layout: Layout, turns: Ints) -> Bools:
    """Which of some turns were cut into several units."""
    cut: Bools = np.append(layout.turn_start[1:], layout.units)[turns] - layout.turn_start[turns] > 1
    return cut


def _beside(own: Callable[[Ints], Floats], layout: Layout, places: Ints) -> Floats:
    """For places the best scores of the turns before and after their own, as far as those lean on them.

    ``own`` tells the scores of units.
    """
    units, turns = _with_turns_around(places, layout), layout.unit_turn[places]
    of_turn = layout.unit_turn[units]
    starts = np.flatnonzero(changes(of_turn))
    best = np.zeros(layout.turns)
    best[of_turn[starts]] = np.maximum.reduceat(own(units), starts) if len(units) else 0.0
    beside: Floats = _leaning(layout, turns) * _around(best, layout, turns, 1)
    return beside


def _author_match(authors: Sequence[str], layout: Layout, question: str, places: Ints) -> Floats:
    """One for the units of the only person the question names; naming two tells nothing about who is meant."""
    ordinary = STOP_WORDS | _ALSO_WORDS
    words = {word.casefold() for word in re.findall(r"\w+", question) if word[0].isupper() or word not in ordinary}
    named = [number for number, author in enumerate(authors) if is_name(author) and _first_name(author) in words]
    if len(named) != 1:
        return np.zeros(len(places))
    match: Floats = (layout.unit_author[places] == named[0]).astype(np.float64)
    return match


def _first_name(author: str) -> str:
    """The part of an author label that people say: the first word of a name, or of a mail address."""
    first = re.search(r"[^\W_]+", author)
    name = first[0].casefold() if first else ""
    return "" if name in _ACCOUNTS else name


def _date_match(layout: Layout, question: str, now: datetime) -> Floats | None:
    """One for units said within a named interval, falling from a half to nothing over the two weeks after it.

    The less of the scope lies outside, the less a match tells: it is scaled by the share of units that do not match.
    None where no date is named.
    """
    named = _named_intervals(question, now, layout.middle_time)
    if not named:
        return None
    time, match = layout.unit_time, np.zeros(layout.units)
    for interval in named:
        start, end = interval.start.timestamp(), interval.end.timestamp()
        within = (time >= start) & (time < end)
        beside = (time >= start - _EARLY) & (time < end + 2 * _EARLY)
        late = np.where((time >= end) & (time < end + _AFTERWARDS), 0.5 * (1 - (time - end) / _AFTERWARDS), 0.0)
        match = np.maximum(match, np.where(within, 1.0, np.where(beside, _BESIDE, late)))
    scaled: Floats = match * (1 - float(match.mean()))
    return scaled


def _named_intervals(question: str, now: datetime, middle: float) -> list[Interval]:
    """The question's dates; one without a year is of the year that most of the scope is from."""
    return intervals(question, now=now, default_year=datetime.fromtimestamp(middle, UTC).year)
