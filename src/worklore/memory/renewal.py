"""What was said anew: where a question asks how things are, the later of two statements comes before the earlier.

People tell of a change without saying all over what it changes: "it is 250 ms now" shares fewer words with the question
than what it takes the place of. So a unit that tells of a change is raised to just above the best earlier unit of the
same speaker that answers the same words of the question, if it is relevant by itself.
"""

import re
from collections.abc import Sequence
from math import log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worklore.memory.index import Bools, Floats, Ints, Layout, Postings

LOOKED_AT: Final = 20
"""The best units: what is not among them is raised by nothing."""
SHARED: Final = 0.25
"""Of what the earlier one says to the question, the least that the later one says too."""
ABOUT_IT: Final = 0.4
"""Of the question's words by weight, the least that the earlier one says."""
RELEVANT: Final = 0.4
"""Of the earlier one's score, the least that the later one has by itself."""
STEP: Final = 0.001

_CHANGE: Final = re.compile(
    r"(?i)\b(?:now|new|newly|no longer|not any ?more|instead|recent(?:ly)?|updat\w+|chang\w+|increas\w+|decreas\w+"
    r"|reduc\w+|rais\w+|lower(?:ed|ing)|extend\w+|shorten\w+|adjust\w+|improv\w+|grown?|grew|growth|reach(?:ed|es)"
    r"|mov(?:ed|ing)|switch\w*|replac\w+|reschedul\w+|postpon\w+|delay\w*|shift\w+|revis\w+|correct(?:ed|ion)"
    r"|upgrad\w+|(?:down|up) (?:to|from)|from \S+ to)\b"
)
_ASKS_HOW_IT_IS: Final = re.compile(
    r"(?i)^\W*(?:how (?:many|much|often|old|big|long (?:does|do|is|are))|what(?:'s| is| are)|which"
    r"|what \w+ (?:is|are|should|do|does))\b"
)
_ASKS_HOW_IT_WAS: Final = re.compile(
    r"(?i)\b(?:when|did|was|were|first|originally|initially|before|had|used to|history|how long ago"
    r"|last (?:year|month|week))\b"
)


def tells_change(text: str) -> bool:
    """True for a text in which something is said to be other than before."""
    return _CHANGE.search(text) is not None


def asks_how_it_is(question: str) -> bool:
    """True for a question about a present state; false for one about the past, and for any other."""
    return _ASKS_HOW_IT_IS.search(question) is not None and _ASKS_HOW_IT_WAS.search(question) is None


def raised(layout: Layout, telling: Sequence[Postings], positions: Ints, scores: Floats) -> Floats:
    """By how much each of the best units is raised, being a later statement than another of them.

    Args:
        layout: of the index.
        telling: postings of the question's terms.
        positions: of the units, in the layout.
        scores: of the units.
    """
    if not telling or len(positions) < 2:  # noqa: PLR2004 - an earlier one and a later one
        return np.zeros(len(positions))
    says = np.array([np.isin(positions, held.positions) for held in telling]).T
    weights = np.array([_rarity(layout.units, len(held.positions)) for held in telling])
    told, shared = says @ weights, (says * weights) @ says.T
    earlier = (
        _is_later(layout, positions)
        & layout.unit_tells_change[positions][None, :]
        & (layout.unit_author[positions][None, :] == layout.unit_author[positions][:, None])
        & ~layout.unit_assistant[positions][None, :]
        & (shared >= SHARED * told[:, None])
        & (scores[None, :] >= RELEVANT * scores[:, None])
        & (told[:, None] >= ABOUT_IT * weights.sum())
    )
    best = np.where(earlier, scores[:, None], -np.inf).max(axis=0)
    raise_: Floats = np.maximum(best + STEP - scores, 0.0)
    return raise_


def _rarity(units: int, containing: int) -> float:
    return log1p((units - containing + 0.5) / (containing + 0.5))


def _is_later(layout: Layout, positions: Ints) -> Bools:
    """For each pair of units whether the second was said after the first, in another turn."""
    times, sessions = layout.unit_time[positions], layout.unit_session[positions]
    turns: NDArray[np.int64] = layout.unit_turn[positions]
    follows = (sessions[None, :] == sessions[:, None]) & (positions[None, :] > positions[:, None])
    later: Bools = ((times[None, :] > times[:, None]) | follows) & (turns[None, :] != turns[:, None])
    return later
