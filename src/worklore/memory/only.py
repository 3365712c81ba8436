"""What of a scope a question is about: when it was said, on which machine, of which kind, how trusted, as of when."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worklore.memory.dates import Interval
from worklore.memory.index import Bools, Index, Layout


@dataclass(frozen=True, slots=True)
class Only:
    """Which units may be ranked. None says nothing about its matter; an empty set lets no unit through.

    Attributes:
        within: said from its start up to its end.
        kinds: kinds of window, by name.
        sessions: ids of sessions.
        places: ids of machines and assets: said there, or about it.
        tagged: ids of sessions and of work records: a unit of one of them.
        trust: at least this level.
        as_of: seconds since the epoch: said by then, and valid then.
    """

    within: Interval | None = None
    kinds: frozenset[str] | None = None
    sessions: frozenset[str] | None = None
    places: frozenset[str] | None = None
    tagged: frozenset[str] | None = None
    trust: int = 0
    as_of: float | None = None

    def mask(self, index: Index, layout: Layout) -> Bools:
        """For each unit in canonical order whether it may be ranked."""
        may = np.ones(layout.units, np.bool_)
        if self.within is not None:
            start, end = self.within.start.timestamp(), self.within.end.timestamp()
            may &= (layout.unit_time >= start) & (layout.unit_time < end)
        if self.as_of is not None:
            may &= layout.unit_time <= self.as_of
            may &= (layout.unit_valid_from <= self.as_of) & (layout.unit_valid_to > self.as_of)
        if self.trust:
            may &= layout.unit_trust >= self.trust
        if self.kinds is not None:
            may &= _is_one_of(layout.unit_kind, index.numbers("kind", self.kinds))
        if self.sessions is not None:
            may &= _is_one_of(layout.unit_group, index.numbers("session", self.sessions))
        if self.places is not None:
            names = index.numbers("place", self.places)
            may &= _is_one_of(layout.unit_machine, names) | _is_one_of(layout.unit_asset, names)
        if self.tagged is not None:
            may &= _is_one_of(layout.unit_group, index.numbers("session", self.tagged)) | _is_one_of(
                layout.unit_record, index.numbers("record", self.tagged)
            )
        return may


def _is_one_of(values: NDArray[np.int32], wanted: list[int]) -> Bools:
    return np.isin(values, np.asarray(wanted, np.int32))
