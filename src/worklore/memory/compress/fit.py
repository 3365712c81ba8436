"""Dated, attributed items as one text within a budget of tokens: the best first, the last one cut between sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worklore.memory import tokens
from worklore.memory.compress.conversation import sentences

CUT: Final = " …"
SCRAP: Final = 12
"""Tokens below which it is not worth beginning an item."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to be told: under which heading, its text, its score."""

    heading: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """The text, its tokens, and the places of the items that are in it, whole or cut."""

    text: str = ""
    tokens: int = 0
    shown: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()


def fit(entries: Sequence[Entry], budget: int) -> Fitted:
    """Put the best entries together under their headings, in the order given; never more than `budget` tokens."""
    kept: dict[int, str] = {}
    cut: list[int] = []
    ranked = sorted(range(len(entries)), key=lambda place: (-entries[place].score, place))
    for place in ranked:
        text = " ".join(entries[place].text.split())
        if not text:
            continue
        if _size(entries, {**kept, place: text}) <= budget:
            kept[place] = text
            continue
        shorter = _begun(entries, kept, place, budget)
        if shorter:
            kept[place] = shorter
            cut.append(place)
    return (
        Fitted(_text(entries, kept), _size(entries, kept), tuple(sorted(kept)), tuple(sorted(cut)))
        if kept
        else Fitted()
    )


def _begun(entries: Sequence[Entry], kept: dict[int, str], place: int, budget: int) -> str:
    """As many of an entry's first sentences as fit; empty where hardly any do."""
    text = ""
    for sentence in sentences(entries[place].text):
        longer = f"{text} {sentence}".strip()
        if _size(entries, {**kept, place: longer + CUT}) > budget:
            break
        text = longer
    return text + CUT if tokens.count(text) >= SCRAP else ""


def _size(entries: Sequence[Entry], kept: dict[int, str]) -> int:
    return tokens.count(_text(entries, kept))


def _text(entries: Sequence[Entry], kept: dict[int, str]) -> str:
    lines: list[str] = []
    for heading in dict.fromkeys(entry.heading for place, entry in enumerate(entries) if place in kept):
        lines += [f"## {heading}"] if heading else []
        lines += [f"- {kept[place]}" for place in sorted(kept) if entries[place].heading == heading]
    return "\n".join(lines)
