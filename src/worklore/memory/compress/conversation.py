"""A conversation as its most telling sentences, verbatim and in their order, within a budget of tokens.

Sentences are chosen greedily by how much they add for what they cost. What a sentence adds is the rarity of its terms
within the conversation, each term counting less the more often it is covered already: a submodular cover (Lin and
Bilmes, "A Class of Submodular Functions for Document Summarization", ACL 2011), so that one subject does not crowd out
the others. Sentences that state something (numbers, names, decisions, errors, causes) count more, questions and small
talk less.
"""

import heapq
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from worklore.memory import tokens
from worklore.memory.analyse import terms

COST_POWER: Final = 0.5
"""What a sentence adds is held against its tokens to this power: 1 would prefer scraps, 0 the longest."""

COVERED: Final = 0.5
"""A term that is covered once more counts so much of what it counted before."""

STATES: Final = 1.35
DECIDES: Final = 1.5
ASKS: Final = 0.55
CHATS: Final = 0.3
ASKER: Final = 2.0
"""What the person says to an agent counts so much more: it is what the work is about."""

ENDS: Final = ((0.1, 1.3), (0.9, 2.5))
"""What is said before the one share of an agent's session, or after the other, counts so much more: the request, and
what became of it."""

AGENT: Final = "assistant"
PERSON: Final = "user"
OMITTED: Final = " […] "
LINE: Final = 600
"""Characters after which a run without an end is cut all the same."""

_END: Final = re.compile(r"(?<=[.!?…])[\"')\]]*\s+(?=\S)|\n+")
_DECIDES: Final = re.compile(
    r"(?i)\b(?:decid\w+|we(?:'ll| will) (?:use|go|keep|take)|instead of|because|root cause|turned out|caused by"
    r"|fixed by|solved|works now|the fix|must not|never again|agreed|chose|error|fail(?:s|ed|ure)|blocked|deadline)\b"
)
_STATES: Final = re.compile(r"\d|(?<=[a-z,;] )[A-Z][a-z]+|[a-z]+[._/-][a-z]+|`[^`]+`")
_CHATS: Final = re.compile(
    r"(?i)\W*(?:hi|hey|hello|thanks?|thank you|wow|great|awesome|cool|nice|yeah|yes|no|ok(?:ay)?|sure"
    r"|sounds good|got it|bye|take care|good (?:morning|luck|job)|perfect|absolutely|totally|of course|you're welcome"
    r"|let me know)\b[^.!?]{0,25}[.!?]*\s*\Z"
)


@dataclass(frozen=True, slots=True)
class Said:
    """One turn: who speaks, and what."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class Compressed:
    """A shorter text, with the tokens of what it was made from and its own."""

    text: str
    tokens_before: int
    tokens_after: int


@dataclass(frozen=True, slots=True)
class _Sentence:
    turn: int
    place: int
    text: str
    words: frozenset[str]
    cost: int
    weight: float


def sentences(text: str) -> list[str]:
    """The sentences of a text, or its lines where it has none; together they hold every visible character of it."""
    found: list[str] = []
    for piece in _END.split(text):
        stripped = piece.strip()
        found += [stripped[start : start + LINE] for start in range(0, len(stripped), LINE)]
    return found


def conversation(turns: Sequence[Said], budget: int) -> Compressed:
    """Compress a conversation to at most `budget` tokens; one that fits stays as it is."""
    whole = _rendered(turns, [[turn.text] for turn in turns])
    before = tokens.count(whole)
    if before <= budget:
        return Compressed(whole, before, before)
    pool = list(_pool(turns))
    chosen = _chosen(pool, budget)
    while chosen:
        text = _put_together(turns, chosen)
        after = tokens.count(text)
        if after <= budget:
            return Compressed(text, before, after)
        # Names and marks of omission come on top of the sentences: the last choices make room for them.
        excess = after - budget
        while chosen and excess > 0:
            excess -= chosen.pop().cost
    return Compressed("", before, 0)


def _pool(turns: Sequence[Said]) -> Iterator[_Sentence]:
    asked = False
    of_agent = any(turn.author == AGENT for turn in turns)
    for number, turn in enumerate(turns):
        standing = _standing(turn, number / len(turns)) if of_agent else 1.0
        for place, text in enumerate(sentences(turn.text)):
            words = frozenset(terms(text))
            if words:
                weight = standing * _weight(text) * (1.15 if asked and place == 0 else 1.0)
                yield _Sentence(number, place, text, words, tokens.count(text), weight)
        asked = "?" in turn.text[-200:]


def _standing(turn: Said, at: float) -> float:
    """The weight of a turn in an agent's session by who speaks and when."""
    (begun, first), (ending, last) = ENDS
    place = first if at < begun else last if at >= ending else 1.0
    return place * (ASKER if turn.author == PERSON else 1.0)


def _weight(text: str) -> float:
    if _CHATS.match(text):
        return CHATS
    weight = STATES if _STATES.search(text) else 1.0
    weight *= DECIDES if _DECIDES.search(text) else 1.0
    return weight * (ASKS if text.rstrip("\"')*_ ").endswith("?") else 1.0)


def _chosen(pool: Sequence[_Sentence], budget: int) -> list[_Sentence]:
    """Sentences in the order they were chosen. Lazy greedy: what a sentence adds only ever shrinks."""
    counts = Counter(word for sentence in pool for word in sentence.words)
    rarity = {word: math.log(1 + len(pool) / count) for word, count in counts.items()}
    covered: Counter[str] = Counter()

    def adds(sentence: _Sentence) -> float:
        gain = sum(rarity[word] * math.pow(COVERED, covered[word]) for word in sentence.words)
        return sentence.weight * gain / math.pow(sentence.cost, COST_POWER)

    waiting = [(-adds(sentence), place) for place, sentence in enumerate(pool)]
    heapq.heapify(waiting)
    chosen: list[_Sentence] = []
    left = budget
    while waiting:
        _, place = heapq.heappop(waiting)
        sentence = pool[place]
        if sentence.cost > left:
            continue
        now = -adds(sentence)
        if waiting and now > waiting[0][0]:
            heapq.heappush(waiting, (now, place))
            continue
        chosen.append(sentence)
        covered.update(sentence.words)
        left -= sentence.cost
    return chosen


def _put_together(turns: Sequence[Said], chosen: Sequence[_Sentence]) -> str:
    kept: list[list[str]] = [[] for _ in turns]
    ordered = sorted(chosen, key=lambda sentence: (sentence.turn, sentence.place))
    for turn, group in groupby(ordered, key=lambda sentence: sentence.turn):
        last = -1
        for sentence in group:
            if sentence.place > last + 1 and kept[turn]:
                kept[turn].append(OMITTED.strip())
            kept[turn].append(sentence.text)
            last = sentence.place
    return _rendered(turns, kept)


def _rendered(turns: Sequence[Said], kept: Sequence[Sequence[str]]) -> str:
    """A line for each turn of which something is kept; a speaker who goes on is not named again."""
    lines: list[str] = []
    former = ""
    for turn, pieces in zip(turns, kept, strict=True):
        if pieces:
            lines.append((f"{turn.author}: " if turn.author != former and turn.author else "") + " ".join(pieces))
            former = turn.author
    return "\n".join(lines)
