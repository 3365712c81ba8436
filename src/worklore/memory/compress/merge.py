"""Memories that say nearly the same become one: the newest wording, all sources, all tags, the greatest importance."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from worklore.memory.analyse import terms

NEARLY: Final = 0.8
"""Jaccard similarity of two texts' terms from which they say the same."""

FEW: Final = 4
"""Texts of fewer terms are the same only when all of them are."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A text with where it is from, when it was said, its tags and its importance."""

    text: str
    sources: tuple[str, ...]
    time: datetime
    tags: tuple[str, ...] = ()
    importance: int = 5


def merge(memories: Sequence[Memory]) -> list[Memory]:
    """Merge near duplicates, newest first; each source stays with exactly one of the results."""
    kept: list[Memory] = []
    words: list[frozenset[str]] = []
    holders: dict[str, list[int]] = defaultdict(list)
    for memory in sorted(memories, key=lambda one: (one.time, one.text, one.sources), reverse=True):
        mine = frozenset(terms(memory.text)) or frozenset({memory.text.strip()})
        shared: dict[int, int] = defaultdict(int)
        for word in mine:
            for place in holders[word]:
                shared[place] += 1
        same = next((place for place in sorted(shared) if _same(mine, words[place], shared[place])), None)
        if same is None:
            for word in mine:
                holders[word].append(len(kept))
            kept.append(_joined(memory, memory))
            words.append(mine)
        else:
            kept[same] = _joined(kept[same], memory)
    return kept


def _same(one: frozenset[str], other: frozenset[str], shared: int) -> bool:
    if min(len(one), len(other)) < FEW:
        return one == other
    return shared >= NEARLY * (len(one) + len(other) - shared)


def _joined(newer: Memory, older: Memory) -> Memory:
    return Memory(
        text=newer.text,
        sources=tuple(dict.fromkeys((*newer.sources, *older.sources))),
        time=newer.time,
        tags=tuple(sorted({*newer.tags, *older.tags})),
        importance=max(newer.importance, older.importance),
    )
