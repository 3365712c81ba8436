"""The derived in-process index of one scope (a project's memory).

The database holds the truth; this holds what ranking needs and can be rebuilt from it at any time. Added entries are
found by the next question. Entries are kept in slots in the order they came, and every score is computed in
*canonical order* (session by start time, then ordinal, then part), so that the answer depends on what is stored and
never on how it arrived.

Postings are numpy arrays by term in one consolidated segment, with a small dictionary tail for what came since; the
tail is merged when it has grown to an eighth of the segment, so adding one entry costs about the same however large
the index is. Many entries at once are counted by numpy, and merged before the next question.

Not thread-safe: the owner serialises writing, and reading while writing.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Numbers = NDArray[np.int32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Vectors = NDArray[np.float32]

K1: Final = 1.2
B: Final = 0.75
_SMALL_TAIL: Final = 1024  # entries; below this a merge is not worth its while
_MAX_COUNT: Final = 65_535  # occurrences in one unit: the counts are kept in 16 bits
_MAX_ASKED: Final = 4_000_000  # postings held in order since they were asked for: some 64 MB
_MANY: Final = 256  # entries from which counting them together is faster


@dataclass(frozen=True, slots=True)
class Entry:
    """One unit as the index needs it.

    `ordinal` is the turn's position in its session and `part` the passage's in its turn: units with equal session and
    ordinal are one turn. Times are in seconds since the epoch. `role` is `user`, `assistant`, `record` for a work
    record, or empty where people talk to each other. `machine`, `asset` and `record` are ids; empty where there is
    none. A unit says what holds from `valid_from` up to `valid_to`.
    """

    id: str
    session: str
    ordinal: int
    part: int
    time: float
    author: str
    role: str
    terms: Sequence[str]
    asks: bool = False
    tells_time: bool = False
    tells_change: bool = False
    kind: str = "turn"
    record: str = ""
    machine: str = ""
    asset: str = ""
    trust: int = 0
    valid_from: float = -inf
    valid_to: float = inf


class Postings(NamedTuple):
    """Where a term occurs: positions in canonical order, ascending, and how often."""

    positions: Ints
    counts: Ints


class _Run(NamedTuple):
    """Postings of entries that came together, in the order of terms, then of slots."""

    terms: NDArray[np.int32]
    slots: NDArray[np.int32]
    counts: NDArray[np.uint16]


class _Segment(NamedTuple):
    """Postings of all terms, those of term `t` at `bounds[t]:bounds[t + 1]`."""

    bounds: Ints
    slots: NDArray[np.int32]
    counts: NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The entries in canonical order; arrays are one value per unit, per turn or per session as named.

    A turn's units lie together, as do a session's turns: `turn_start` and `session_start` hold where each begins.
    Kinds, sessions (`unit_group`), records, machines and assets are numbers of names: see `Index.numbers`. The
    logarithms, of one more than a unit's terms and of at least one term of its turn, are one value per unit.
    """

    slots: Ints
    position_of_slot: Ints
    unit_turn: Ints
    unit_session: Ints
    unit_author: Ints
    unit_time: Floats
    unit_length: Floats
    unit_user: Bools
    unit_assistant: Bools
    unit_asks: Bools
    unit_tells_time: Bools
    unit_tells_change: Bools
    unit_kind: Numbers
    unit_group: Numbers
    unit_record: Numbers
    unit_machine: Numbers
    unit_asset: Numbers
    unit_trust: NDArray[np.int8]
    unit_valid_from: Floats
    unit_valid_to: Floats
    turn_start: Ints
    turn_session: Ints
    turn_length: Floats
    log_unit_length: Floats
    log_turn_length: Floats
    session_start: Ints
    session_length: Floats
    middle_time: float
    """The time before which half of the units are."""
    newest_time: float
    usual_lengths: tuple[float, float, float]
    """The mean terms of a unit, of a turn and of a session, at least one."""

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(self.slots)

    @property
    def turns(self) -> int:
        """How many turns they are from."""
        return len(self.turn_start)

    @property
    def sessions(self) -> int:
        """How many sessions those are from."""
        return len(self.session_start)


_Columns = dict[str, NDArray[Any]]
_COLUMNS: Final = {
    "session": np.int32,
    "ordinal": np.int64,
    "part": np.int32,
    "time": np.float64,
    "author": np.int32,
    "length": np.int32,
    "said": np.int64,
    "user": np.bool_,
    "assistant": np.bool_,
    "asks": np.bool_,
    "tells_time": np.bool_,
    "tells_change": np.bool_,
    "kind": np.int32,
    "record": np.int32,
    "machine": np.int32,
    "asset": np.int32,
    "trust": np.int8,
    "valid_from": np.float64,
    "valid_to": np.float64,
    "alive": np.bool_,
    "embedded": np.bool_,
}


class Index:
    """Entries of one scope, by id. Adding an id again replaces its entry."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._slot_of: dict[str, int] = {}
        self._ids: list[str] = []
        self._terms: dict[str, int] = {}
        self._sessions: dict[str, int] = {}
        self._authors: dict[str, int] = {}
        self._kinds: dict[str, int] = {}
        self._records: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._columns: _Columns = {name: np.zeros(_SMALL_TAIL, kind) for name, kind in _COLUMNS.items()}
        self._vectors: Vectors = np.empty((0, 0), np.float32)
        self._spelled: list[str] = []
        self._said = array("i")
        self._segment = _Segment(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.uint16))
        self._consolidated = 0
        self._tail: dict[int, tuple[array[int], array[int]]] = {}
        self._runs: list[_Run] = []
        self._asked: dict[int, Postings] = {}
        self._asked_size = 0
        self._layout: Layout | None = None
        self.add(entries)

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._slot_of

    @property
    def authors(self) -> Sequence[str]:
        """Author labels by their number in `Layout.unit_author`."""
        return tuple(self._authors)

    def numbers(self, what: str, names: Iterable[str]) -> list[int]:
        """The numbers of names: of a `kind`, a `session`, a `record` or a `place` (a machine, an asset).

        Unknown names have none.
        """
        known = {"kind": self._kinds, "session": self._sessions, "record": self._records, "place": self._places}[what]
        return [known[name] for name in names if name in known]

    @property
    def embedded(self) -> int:
        """How many of the entries have a vector."""
        size = len(self._ids)
        return int(np.count_nonzero(self._columns["embedded"][:size] & self._columns["alive"][:size]))

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries, or replace those whose id is known."""
        added = list({entry.id: entry for entry in entries}.values())
        for entry in added:
            self._discard(entry.id)
        first = len(self._ids)
        self._describe(added)
        self._layout = None
        if len(added) >= _MANY:
            self._runs.append(self._counted(added, first))
            return
        for slot, entry in enumerate(added, first):
            self._post(entry, slot)
        if not self._runs and len(self._ids) - self._consolidated > max(_SMALL_TAIL, self._consolidated // 8):
            self._consolidate()

    def embed(self, vectors: Mapping[str, Vectors]) -> None:
        """Give units their vectors, all of one size and of unit length; ids that are not here are passed over."""
        for identifier, vector in vectors.items():
            if self._vectors.shape[1] != len(vector):
                self._vectors = np.zeros((len(self._columns["alive"]), len(vector)), np.float32)
            slot = self._slot_of.get(identifier)
            if slot is not None:
                self._vectors[slot] = vector
                self._columns["embedded"][slot] = True

    def similarities(self, vector: Vectors) -> tuple[Vectors, Bools]:
        """For each unit in canonical order how like a vector its own is, from -1 to 1, and whether it has one."""
        slots = self.layout().slots
        has = self._columns["embedded"][slots].astype(np.bool_)
        if self._vectors.shape[1] != len(vector):
            return np.zeros(len(slots), np.float32), np.zeros(len(slots), np.bool_)
        like: Vectors = self._vectors[: len(self._ids)] @ vector
        return like[slots], has

    def remove(self, identifiers: Iterable[str]) -> None:
        """Forget entries; unknown ids are no error, since forgetting may be told twice."""
        for identifier in identifiers:
            self._discard(identifier)
        self._layout = None

    def identifier(self, position: int) -> str:
        """The id of the entry at a position in canonical order."""
        return self._ids[int(self.layout().slots[position])]

    def layout(self) -> Layout:
        """The canonical order of the present entries; computed anew after a change."""
        if self._layout is None:
            if self._runs or len(self._ids) > 2 * len(self._slot_of) + _SMALL_TAIL:
                self._consolidate()
            self._layout = self._arrange()
            self._asked, self._asked_size = {}, 0
        return self._layout

    def said(self, position: int) -> list[str]:
        """The terms of the entry at a position in canonical order, with repetitions."""
        slot = int(self.layout().slots[position])
        start = int(self._columns["said"][slot])
        return [self._spelled[number] for number in self._said[start : start + int(self._columns["length"][slot])]]

    def postings(self, term: str) -> Postings:
        """Where a term occurs among the present entries; empty arrays for a term nobody used."""
        number = self._terms.get(term)
        layout = self.layout()
        if number is None:
            return Postings(np.empty(0, np.int64), np.empty(0, np.int64))
        known = self._asked.get(number)
        if known is not None:
            return known
        slots, counts = self._raw_postings(number)
        positions = layout.position_of_slot[slots]
        present = positions >= 0
        found = _in_order(positions[present], counts[present].astype(np.int64), layout.units)
        if self._asked_size > _MAX_ASKED:
            self._asked, self._asked_size = {}, 0
        self._asked[number] = found
        self._asked_size += len(found.positions)
        return found

    def _raw_postings(self, number: int) -> tuple[Ints, NDArray[np.uint16]]:
        segment = self._segment
        start, end = (
            (segment.bounds[number], segment.bounds[number + 1]) if number + 1 < len(segment.bounds) else (0, 0)
        )
        slots, counts = segment.slots[start:end].astype(np.int64), segment.counts[start:end]
        tail = self._tail.get(number)
        if tail is None:
            return slots, counts
        # Copied at once: an array cannot grow while a view of it is held.
        return (
            np.concatenate((slots, np.frombuffer(tail[0], np.int32).astype(np.int64))),
            np.concatenate((counts, np.frombuffer(tail[1], np.uint16))),
        )

    def _discard(self, identifier: str) -> None:
        slot = self._slot_of.pop(identifier, None)
        if slot is not None:
            self._columns["alive"][slot] = False

    def _describe(self, added: Sequence[Entry]) -> None:
        """Give entries their slots, and keep all of them but their terms."""
        first, size = len(self._ids), len(self._ids) + len(added)
        while size > len(self._columns["alive"]):
            self._columns = {name: np.concatenate((held, np.zeros_like(held))) for name, held in self._columns.items()}
            self._vectors = np.concatenate((self._vectors, np.zeros_like(self._vectors)))
        self._ids += [entry.id for entry in added]
        self._slot_of.update((entry.id, slot) for slot, entry in enumerate(added, first))
        values: dict[str, Sequence[Any] | Ints] = {
            "session": [_number(self._sessions, entry.session) for entry in added],
            "ordinal": [entry.ordinal for entry in added],
            "part": [entry.part for entry in added],
            "time": [entry.time for entry in added],
            "author": [_number(self._authors, entry.author) for entry in added],
            "length": [len(entry.terms) for entry in added],
            "said": self._keep(added),
            "user": [entry.role == "user" for entry in added],
            "assistant": [entry.role == "assistant" for entry in added],
            "asks": [entry.asks for entry in added],
            "tells_time": [entry.tells_time for entry in added],
            "tells_change": [entry.tells_change for entry in added],
            "kind": [_number(self._kinds, entry.kind) for entry in added],
            "record": [_number(self._records, entry.record) if entry.record else -1 for entry in added],
            "machine": [_number(self._places, entry.machine) if entry.machine else -1 for entry in added],
            "asset": [_number(self._places, entry.asset) if entry.asset else -1 for entry in added],
            "trust": [entry.trust for entry in added],
            "valid_from": [entry.valid_from for entry in added],
            "valid_to": [entry.valid_to for entry in added],
            "alive": [True] * len(added),
            "embedded": [False] * len(added),
        }
        for name, column in values.items():
            self._columns[name][first:size] = column

    def _keep(self, added: Sequence[Entry]) -> Ints:
        """Keep the terms of entries by their numbers; where those of each begin."""
        starts = len(self._said) + np.cumsum([0, *(len(entry.terms) for entry in added)])
        for entry in added:
            for term in entry.terms:
                if term not in self._terms:
                    self._terms[term] = len(self._spelled)
                    self._spelled.append(term)
            self._said.extend(map(self._terms.__getitem__, entry.terms))
        return starts[:-1]

    def _post(self, entry: Entry, slot: int) -> None:
        for term, count in Counter(entry.terms).items():
            number = self._terms[term]
            held = self._tail.get(number)
            if held is None:
                held = self._tail[number] = (array("i"), array("H"))
            held[0].append(slot)
            held[1].append(min(count, _MAX_COUNT))

    def _counted(self, added: Sequence[Entry], first: int) -> _Run:
        start = int(self._columns["said"][first])
        # Copied: an array cannot grow while a view of it is held.
        numbers = np.frombuffer(self._said, np.int32)[start:].astype(np.int64)
        slots = np.repeat(np.arange(first, first + len(added)), [len(entry.terms) for entry in added])
        keys, counts = np.unique(numbers << 32 | slots, return_counts=True)
        return _Run(
            (keys >> 32).astype(np.int32),
            (keys & 0xFFFFFFFF).astype(np.int32),
            np.minimum(counts, _MAX_COUNT).astype(np.uint16),
        )

    def _consolidate(self) -> None:
        """Merge the tail into the segment and give the slots of removed entries back."""
        size = len(self._ids)
        alive = self._columns["alive"][:size].astype(np.bool_)
        renumbered = np.cumsum(alive) - 1
        numbers = np.fromiter(self._tail.keys(), np.int64, len(self._tail))
        sizes = np.fromiter((len(held) for held, _ in self._tail.values()), np.int64, len(self._tail))
        segment = self._segment
        terms = np.concatenate(
            (
                np.repeat(np.arange(len(segment.bounds) - 1, dtype=np.int32), np.diff(segment.bounds)),
                np.repeat(numbers.astype(np.int32), sizes),
                *(run.terms for run in self._runs),
            )
        )
        slots = np.concatenate(
            [
                segment.slots,
                *(np.frombuffer(held, np.int32) for held, _ in self._tail.values()),
                *(run.slots for run in self._runs),
            ]
        )
        counts = np.concatenate(
            [
                segment.counts,
                *(np.frombuffer(held, np.uint16) for _, held in self._tail.values()),
                *(run.counts for run in self._runs),
            ]
        )
        kept = np.flatnonzero(alive[slots])
        order = kept[np.argsort(terms[kept], kind="stable")]
        bounds = np.zeros(len(self._terms) + 1, np.int64)
        np.cumsum(np.bincount(terms[order], minlength=len(self._terms)), out=bounds[1:])
        self._segment = _Segment(bounds, renumbered[slots[order]].astype(np.int32), counts[order])
        self._tail, self._runs = {}, []
        self._keep_alone(alive)
        self._ids = [identifier for identifier, present in zip(self._ids, alive, strict=True) if present]
        self._slot_of = {identifier: slot for slot, identifier in enumerate(self._ids)}
        capacity = max(_SMALL_TAIL, 2 * len(self._ids))
        self._columns = {
            name: np.concatenate((held[:size][alive], np.zeros(capacity - len(self._ids), held.dtype)))
            for name, held in self._columns.items()
        }
        if self._vectors.shape[1]:
            self._vectors = np.concatenate(
                (self._vectors[:size][alive], np.zeros((capacity - len(self._ids), self._vectors.shape[1]), np.float32))
            )
        self._consolidated = len(self._ids)
        self._layout = None

    def _keep_alone(self, alive: Bools) -> None:
        """Of the terms kept, those of present entries, in the order of slots."""
        if alive.all():
            return
        starts, lengths = (self._columns[name][: len(alive)][alive] for name in ("said", "length"))
        begins = np.cumsum(lengths) - lengths
        places = np.repeat(starts - begins, lengths) + np.arange(int(lengths.sum()))
        self._said = array("i", np.frombuffer(self._said, np.int32)[places].tobytes())
        self._columns["said"][: len(alive)][alive] = begins

    def _arrange(self) -> Layout:
        size = len(self._ids)
        slots = np.flatnonzero(self._columns["alive"][:size])
        column = {name: held[:size][slots] for name, held in self._columns.items()}
        rank = self._session_ranks(column["session"], column["time"])[column["session"]]
        order = np.lexsort((column["part"], column["ordinal"], rank))
        slots, rank = slots[order], rank[order]
        column = {name: held[order] for name, held in column.items()}
        position_of_slot = np.full(size, -1, np.int64)
        position_of_slot[slots] = np.arange(len(slots))

        opens_session = changes(rank)
        opens_turn = opens_session | changes(column["ordinal"])
        session_start, turn_start = np.flatnonzero(opens_session), np.flatnonzero(opens_turn)
        unit_session, unit_turn = np.cumsum(opens_session) - 1, np.cumsum(opens_turn) - 1
        length = column["length"].astype(np.float64)
        turn_length = np.bincount(unit_turn, length, len(turn_start)).astype(np.float64)
        session_length = np.bincount(unit_session, length, len(session_start)).astype(np.float64)
        return Layout(
            slots=slots,
            position_of_slot=position_of_slot,
            unit_turn=unit_turn,
            unit_session=unit_session,
            unit_author=column["author"].astype(np.int64),
            unit_time=column["time"].astype(np.float64),
            unit_length=length,
            unit_user=column["user"].astype(np.bool_),
            unit_assistant=column["assistant"].astype(np.bool_),
            unit_asks=column["asks"].astype(np.bool_),
            unit_tells_time=column["tells_time"].astype(np.bool_),
            unit_tells_change=column["tells_change"].astype(np.bool_),
            unit_kind=column["kind"],
            unit_group=column["session"],
            unit_record=column["record"],
            unit_machine=column["machine"],
            unit_asset=column["asset"],
            unit_trust=column["trust"],
            unit_valid_from=column["valid_from"],
            unit_valid_to=column["valid_to"],
            turn_start=turn_start,
            turn_session=unit_session[turn_start],
            turn_length=turn_length,
            log_unit_length=np.log1p(length),
            log_turn_length=np.log(np.maximum(turn_length, 1.0))[unit_turn],
            session_start=session_start,
            session_length=session_length,
            newest_time=float(column["time"].max()) if len(slots) else 0.0,
            usual_lengths=(_usual(length), _usual(turn_length), _usual(session_length)),
            middle_time=float(np.partition(column["time"], len(slots) // 2)[len(slots) // 2]) if len(slots) else 0.0,
        )

    def _session_ranks(self, session: NDArray[Any], time: NDArray[Any]) -> Ints:
        """For each session number its place in order of start, then of name; absent sessions come last."""
        start = np.full(len(self._sessions), np.inf)
        np.minimum.at(start, session, time)
        names = sorted(range(len(self._sessions)), key=list(self._sessions).__getitem__)
        by_name = np.asarray(names, np.int64)
        ranks = np.empty(len(start), np.int64)
        ranks[by_name[np.argsort(start[by_name], kind="stable")]] = np.arange(len(start))
        return ranks


def _usual(lengths: Floats) -> float:
    return max(float(lengths.mean()), 1.0) if len(lengths) else 1.0


def _in_order(positions: Ints, counts: Ints, units: int) -> Postings:
    """Postings by ascending position. Of a frequent term a pass over all units is faster than sorting."""
    if len(positions) * _FREQUENT > units:
        held = np.zeros(units, np.int64)
        held[positions] = counts
        ordered = np.flatnonzero(held)
        return Postings(ordered, held[ordered])
    order = np.argsort(positions, kind="stable")
    return Postings(positions[order], counts[order])


_FREQUENT: Final = 32


def _number(numbers: dict[str, int], name: str) -> int:
    """The number of a name, a new one if it has none."""
    return numbers.setdefault(name, len(numbers))


def changes(values: NDArray[Any]) -> Bools:
    """True where a value differs from the one before it, and at the first."""
    changed = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed
