"""How relevant a memory is by itself, from 0 to 10, worked out when it is read: importance, use, and gentle decay."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

MOST: Final = 10.0
BY_IMPORTANCE: Final = 6.0
BY_USE: Final = 4.0
USES: Final = 5.0
"""Uses after which two thirds of what use can give are reached."""

HALF_LIFE: Final = timedelta(days=180)
KEPT: Final = 0.5
"""Age takes no more than half."""

IMPORTANCE: Final = 10


@dataclass(frozen=True, slots=True)
class Score:
    """A score and its parts, whose sum it is: what importance and use give, and what age takes."""

    importance: float
    use: float
    age: float

    @property
    def total(self) -> float:
        """From 0 to 10."""
        return round(min(MOST, max(0.0, self.importance + self.use + self.age)), 4)


def score(*, importance: int, uses: int, last_used: datetime, now: datetime) -> Score:
    """The score of a memory.

    Args:
        importance: 1 to 10.
        uses: how often it was told or looked up.
        last_used: when that was last, or when it was made.
        now: the moment it is read; a clock that stands before `last_used` makes it new.
    """
    weighty = BY_IMPORTANCE * min(IMPORTANCE, max(0, importance)) / IMPORTANCE
    used = BY_USE * (1 - math.exp(-max(0, uses) / USES))
    age = max(timedelta(), now - last_used)
    left = KEPT + (1 - KEPT) * 0.5 ** (age / HALF_LIFE)
    return Score(weighty, used, (weighty + used) * (left - 1))
