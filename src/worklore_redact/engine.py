"""Finds secrets in a text by rules, and says what is left of the text without them.

The time a text takes is bounded twice. Patterns are tried at their anchors alone and repeat nothing without a bound, so
it grows with the text's length; and it is measured as processor time of the thread, so that a text which takes too long
all the same is withheld, while one on a busy machine is not.
"""

import re
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from worklore_redact.fold import Folded, fold
from worklore_redact.found import Cut, Find
from worklore_redact.rules import ALWAYS, Rule, rules
from worklore_redact.structure import blocks

TOO_LONG: Final = "time"

BASE_SECONDS: Final = 0.25
SECONDS_PER_CHARACTER: Final = 20e-6
"""What a text may cost: a quarter of a second and 20 ms for each 1,000 characters. Rules need a hundredth of that."""

ROUNDS: Final = 6
"""How often a text is gone over until nothing is found in it: what one round takes out may bring two ends together."""

SHORTEST: Final = 6
"""Characters of a text that can hold a secret and what tells it."""

LOOKS_PER_CLOCK: Final = 256
MARK: Final = re.compile(r"\[redacted:[a-z0-9-]{1,40}\]|\[quarantined:[a-z-]{1,40}\]")
_BARRIER: Final = "\x1c"
"""Stands for each character of a mark while rules look: white space to a pattern, and nothing that one runs across."""


class State(StrEnum):
    """What became of a text."""

    clean = "clean"
    redacted = "redacted"
    quarantined = "quarantined"


@dataclass(frozen=True, slots=True)
class Redaction:
    """A text without its secrets.

    ``found`` counts by rule. A text that cannot be judged is ``quarantined``: only a mark is left, which says why.
    ``finds`` are the places in the text as it was, of the first round.
    """

    text: str
    state: State = State.clean
    found: Mapping[str, int] = field(default_factory=dict[str, int])
    finds: tuple[Find, ...] = ()


def mark(name: str) -> str:
    """What stands where a secret was."""
    return f"[redacted:{name}]" if name not in LEFT_OUT else ""


LEFT_OUT: Final = frozenset({"own-memory"})
"""What is taken out without a mark: what memory itself put into a text would else leave a trace that it remembers."""


CLEAN: Final[dict[str, None]] = {}
"""Short texts without a secret that were seen of late: names of members, paths and versions stand in every record."""

_PLAIN: Final = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?"
)
"""An id or a time and nothing beside: every record has some, each another, and no rule finds a secret in one alone."""

SHORT: Final = 100
REMEMBERED: Final = 20_000


def remember(clean: dict[str, None], text: str) -> None:
    """Add a text to those known to be clean, if it is short."""
    if len(text) <= SHORT:
        if len(clean) >= REMEMBERED:
            clean.clear()
        clean[text] = None


def redact(text: str) -> Redaction:
    """The text without the secrets that the rules find. Redacting what this gives changes nothing."""
    if len(text) < SHORTEST or text in CLEAN or _PLAIN.fullmatch(text):
        return Redaction(text)
    clock = Clock(len(text))
    found: Counter[str] = Counter()
    first: tuple[Find, ...] = ()
    clean = text
    try:
        for turn in range(ROUNDS):
            finds = _finds(clean, clock)
            if not finds:
                if not found:
                    remember(CLEAN, text)
                return Redaction(clean, State.redacted if found else State.clean, dict(found), first)
            first = first if turn else tuple(finds)
            found.update(find.name for find in finds)
            clean = without(clean, finds)
    except Cut as cut:
        reason = cut.reason
    else:
        reason = "unsettled"
    return Redaction(f"[quarantined:{reason}]", State.quarantined, {reason: 1}, first)


def without(text: str, finds: Iterable[Find]) -> str:
    """The text with a mark in place of each find; these are in order and apart."""
    kept: list[str] = []
    at = 0
    for find in finds:
        kept += (text[at : find.start], mark(find.name))
        at = find.end
    kept.append(text[at:])
    return "".join(kept)


class Clock:
    """How long a text may still take, in this thread's processor time."""

    def __init__(self, length: int) -> None:
        self._allowed = BASE_SECONDS + SECONDS_PER_CHARACTER * length
        self._until: float | None = None
        self._looks = 0

    def look(self) -> None:
        """Count one try of a pattern.

        Raises:
            Cut: the time is over.
        """
        self._looks += 1
        if self._looks % LOOKS_PER_CLOCK:
            return
        # Read first where it is looked at first: most texts are done before.
        now = time.thread_time()
        if self._until is None:
            self._until = now + self._allowed
        elif now > self._until:
            raise Cut(TOO_LONG)


def _finds(text: str, clock: Clock) -> list[Find]:
    """What the rules find in a text, in order and apart from each other."""
    folded = fold(text)
    marks = list(MARK.finditer(folded.text)) if "[redacted:" in folded.text or "[quarantined:" in folded.text else []
    if marks:
        folded = _behind_barriers(folded, marks)
    found = [*blocks(folded), *_by_rules(folded, clock)]
    if not found:
        return []
    merged = _apart(found)
    return [Find(*folded.original(find.start, find.end), find.name) for find in merged]


def _behind_barriers(folded: Folded, marks: Iterable["re.Match[str]"]) -> Folded:
    text, small = folded.text, folded.small
    for found in marks:
        wall = _BARRIER * (found.end() - found.start())
        text = text[: found.start()] + wall + text[found.end() :]
        small = small[: found.start()] + wall + small[found.end() :]
    return Folded(text, small, folded.places)


def _by_rules(folded: Folded, clock: Clock) -> Iterator[Find]:
    small = folded.small
    by_gram = rules().by_gram
    # Of two sets the smaller is gone through: a text of a kilobyte has as many grams as all anchors together.
    present = rules().grams & {ALWAYS, *zip(small, small[1:], small[2:], strict=False)}
    for anchor, known in (entry for gram in sorted(present) for entry in by_gram[gram]):
        at = small.find(anchor)
        while at >= 0:
            clock.look()
            for rule in known:
                yield from _tried(rule, folded.text, at, len(anchor))
            at = small.find(anchor, at + 1)
    for rule in rules().scans:
        for found in rule.pattern.finditer(folded.text):
            clock.look()
            yield from _checked(rule, folded.text, found.start(), *found.span())


def _tried(rule: Rule, text: str, at: int, length: int) -> Iterator[Find]:
    """What a rule finds at one anchor."""
    if rule.written is None:
        end = len(text[max(0, at - WORD) : at].rstrip(" \t"))
        stretch = text[max(0, at - WORD) : at][:end]
        word = re.split(r"[\s]", stretch)[-1]
        if word:
            last = max(0, at - WORD) + end
            yield from _checked(rule, text, last - len(word), last - len(word), last)
        return
    if rule.whole and text[at - 1 : at].isalpha():
        return
    found = rule.pattern.match(text, at + length if rule.after else at)
    if found is None:
        return
    groups = rule.pattern.groups
    for group in range(1, groups + 1) if groups else (0,):
        start, end = found.span(group)
        if rule.back is not None:
            start = _further_back(rule.back, text, start)
            if at - start < rule.least:
                continue
        if start >= 0:
            yield from _checked(rule, text, at, start, end)


WORD: Final = 120
"""Characters at most before an anchor that belong to the secret."""


def _further_back(kind: "re.Pattern[str]", text: str, start: int) -> int:
    """Where the stretch of characters of a kind begins that ends at ``start``."""
    first = max(0, start - WORD)
    while start > first and kind.match(text, start - 1):
        start -= 1
    return start


def _checked(rule: Rule, text: str, at: int, start: int, end: int) -> Iterator[Find]:
    if rule.check is not None:
        kept = rule.check(text, at, start, end)
        if kept is None:
            return
        start, end = kept
    if any(letter.isalnum() for letter in text[start:end]):  # else it is a mark, or nothing
        yield Find(start, end, rule.name)


def _apart(found: list[Find]) -> list[Find]:
    """Finds in order, those that touch the same characters made one, by the name of the longest of them."""
    found.sort(key=lambda find: (find.start, -find.end, find.name in GENERAL, find.name))
    merged: list[Find] = []
    longest = 0
    for find in found:
        length = find.end - find.start
        if merged and find.start < merged[-1].end:
            last = merged[-1]
            name = find.name if length > longest else last.name
            longest = max(longest, length)
            merged[-1] = Find(last.start, max(last.end, find.end), name)
        else:
            merged.append(find)
            longest = length
    return merged


GENERAL: Final = frozenset({"password", "secret", "url-token"})
"""Rules that know a secret by the word beside it: one that knows it by its form names it better."""


def lines_of(text: str, finds: Iterable[Find]) -> list[int]:
    """The number of the line, from 1, in which each find begins."""
    starts = [0, *(place.end() for place in re.finditer("\n", text))]
    return [bisect_right(starts, find.start) for find in finds]
