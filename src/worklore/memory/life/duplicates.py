"""Memories that say nearly the same. Pure.

Two texts are near duplicates when most of the distinct terms of both are shared (Jaccard) and they agree in every
number and in what they deny: "port 443" and "port 8443" share nearly all their terms and say different things.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final

from worklore.memory.analyse import terms

THRESHOLD: Final = 0.85
FEWEST: Final = 5
"""Distinct terms below which two texts are no duplicates unless they are the same."""

_NUMBER: Final = re.compile(r"\d+(?:[.:/-]\d+)*")
_DENIAL: Final = re.compile(
    r"\b(?:no|not|never|none|without|cannot|neither|nor|nicht|kein\w*|ohne|nie)\b|n['\u2019]t\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Saying:
    """A text that is compared: its distinct terms, its numbers, what it denies."""

    terms: frozenset[str]
    numbers: tuple[str, ...]
    denials: int

    @classmethod
    def of(cls, text: str) -> "Saying":
        """What of a text is compared."""
        return cls(frozenset(terms(text)), tuple(sorted(_NUMBER.findall(text))), len(_DENIAL.findall(text)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """The part of all terms that both share, 0 to 1; 1 for two without any."""
    whole = len(one | other)
    return len(one & other) / whole if whole else 1.0


def alike(one: Saying, other: Saying, threshold: float = THRESHOLD) -> bool:
    """True for two that say nearly the same."""
    if (one.numbers, one.denials) != (other.numbers, other.denials):
        return False
    if min(len(one.terms), len(other.terms)) < FEWEST:
        return one.terms == other.terms
    return jaccard(one.terms, other.terms) >= threshold


def pairs(sayings: Sequence[Saying], threshold: float = THRESHOLD) -> Iterator[tuple[int, int]]:
    """The places of each two that say nearly the same, the lower first.

    Two that share so much share one of their rarest terms, so only those are looked up: every pair is found, and few
    that are none are compared.
    """
    often = Counter(term for saying in sayings for term in saying.terms)
    held: defaultdict[str, list[int]] = defaultdict(list)
    for place, saying in enumerate(sayings):
        rare = sorted(saying.terms, key=lambda term: (often[term], term))
        prefix = rare[: len(rare) - ceil(threshold * len(rare)) + 1] if rare else [""]
        candidates = {other for term in prefix for other in held[term]}
        yield from ((other, place) for other in sorted(candidates) if alike(sayings[other], saying, threshold))
        for term in prefix:
            held[term].append(place)


@dataclass(frozen=True, slots=True)
class Kept:
    """By what the one of several is chosen that is kept: trust first, then the time it was said."""

    trust: int
    said_at: datetime
    name: str


def merges(
    sayings: Mapping[str, Saying], ranks: Mapping[str, Kept], threshold: float = THRESHOLD
) -> dict[str, list[str]]:
    """Keepers, each with those it stands for. Each of these is like its keeper itself, not like some other in between.

    Args:
        sayings: what is compared, by name.
        ranks: by what the keeper is chosen.
        threshold: how much must be shared.
    """
    names = sorted(sayings, key=lambda name: (ranks[name].trust, ranks[name].said_at, name), reverse=True)
    like: defaultdict[int, list[int]] = defaultdict(list)
    for first, second in pairs([sayings[name] for name in names], threshold):
        like[first].append(second)
    return {names[keeper]: [names[other] for other in others] for keeper, others in _chosen(like, len(names))}


def _chosen(like: Mapping[int, Sequence[int]], count: int) -> Iterable[tuple[int, list[int]]]:
    taken: set[int] = set()
    for place in range(count):
        if place in taken:
            continue
        others = [other for other in sorted(like.get(place, ())) if other not in taken]
        taken.update(others)
        if others:
            yield place, others
