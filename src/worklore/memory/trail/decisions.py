"""Decisions that somebody put into words, and lists of what is left to do.

The rules would rather miss one than make one up.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worklore.memory.trail.step import MAX_TITLE, one_line

MAX_TEXT: Final = 30_000
MAX_DECISIONS: Final = 5
MAX_LEFT: Final = 12
"""Decisions and items of a list that are taken from one turn."""

MAX_SENTENCE: Final = 600


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, why, and what else was weighed; the last two as far as they are said."""

    kind: str
    text: str
    rationale: str = ""
    alternatives: tuple[str, ...] = ()


_FENCED: Final = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_QUOTED: Final = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:\.(?=\w)[^.!?\n]*)*[.!?]?")

_DECIDED: Final = re.compile(
    r"(?i)\b(?:we|i)(?:'ve| have| had)?(?: both| all| now| therefore| then)?"
    r" (?:decided|agreed) (?:to|on|against|that|not to)\b"
    r"|^\W*(?:\*\*)?(?:final )?decision(?: made)?(?:\*\*)?\s?:(?:\*\*)?\s*\S"
    r"|\b(?:the|our) (?:final )?decision (?:is|was) (?:to|that|against)\b"
    r"|\bit (?:was|has been) decided (?:to|that)\b"
)
_CHOSEN: Final = re.compile(
    r"(?i)(?:\b(?:we|i)(?:'ll| will|'re going to| are going to|'m going to| am going to| should always)|\blet'?s)"
    r" (?:just |now |instead |then )*(?:use|go with|switch to|stick with|keep|stay with|move to|adopt)\b"
    r".{1,200}?\b(?:instead of|rather than|in favou?r of|and not|over)\b"
    r"|\b(?:we|i)(?:'ve| have)? (?:chose|chosen|opted for|picked|settled on|went with|switched to|moved to)\b"
    r".{1,200}?\b(?:instead of|rather than|over|because|since)\b"
)
_DOUBT: Final = re.compile(
    r"(?i)\?\s*$|^\W*(?:if|when|once|unless|should|could|would|whether|what if|do you|did)\b"
    r"|\b(?:not|n't|never|haven't|yet to|until|if|whether|once) (?:we |i |you |they |been )?(?:have |has )?"
    r"(?:decided|chosen|agreed)\b"
    r"|\b(?:might|may|could|maybe|perhaps|for example|e\.g\.|for instance)\b"
)
_BECAUSE: Final = re.compile(r"(?i)\b(?:because|since|so that|due to|given that|as it|as they|as this|as the)\b\s*(.+)")
_INSTEAD: Final = re.compile(
    r"(?i)\b(?:instead of|rather than|over)\s+(.{2,120}?)"
    r"(?=\s+(?:because|since|so that|due to|given that|as it|as the|to)\b|[,;:.!]|$)"
)

_HEADING: Final = re.compile(
    r"(?i)^[ \t]*(?:#{1,6}[ \t]*|\*\*|__)?(?:[^\w\n]{0,3})?"
    r"(?:next steps?|remaining(?: (?:work|tasks|items|steps|todos?))?|to[- ]?dos?|follow[- ]?ups?"
    r"|still (?:open|to do|missing)"
    r"|what(?:'s| is) (?:left|still missing|next)|left to do|open (?:items|points|tasks)"
    r"|not (?:yet )?done(?: yet)?)"
    r"(?:[ \t]*\([^)\n]{0,40}\))?(?:\*\*|__)?[ \t]*:?(?:\*\*|__)?[ \t]*$"
)
_BULLET: Final = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,2}[.)])[ \t]+(?:\[(?P<box>[ xX])\][ \t]*)?(?P<text>\S.*)$")
_INLINE: Final = re.compile(
    r"(?im)^[ \t]*(?:[-*+•][ \t]+)?(?:\*\*)?(?:TODO|FOLLOW-?UP|REMAINING)(?:\*\*)?[ \t]*:(?:\*\*)?[ \t]*"
    r"(?P<text>\S.{3,})$"
)
_EMPHASIS: Final = re.compile(r"\*\*|__|`")


def prose(text: str) -> str:
    """A turn's own words: without code blocks and quotations."""
    return _QUOTED.sub("", _FENCED.sub("\n", text[:MAX_TEXT]))


def decisions(text: str) -> list[Decision]:
    """The decisions that a turn states, in its order."""
    return list(_decisions(text))[:MAX_DECISIONS]


def _decisions(text: str) -> Iterator[Decision]:
    low = text[:MAX_TEXT].lower()
    if not any(word in low for word in _TELLING):
        return
    for found in _SENTENCE.finditer(prose(text)):
        sentence = found[0].strip()
        if not 12 <= len(sentence) <= MAX_SENTENCE or _DOUBT.search(sentence):  # noqa: PLR2004 - fewer letters state nothing
            continue
        if _DECIDED.search(sentence) or _CHOSEN.search(sentence):
            plain = one_line(_EMPHASIS.sub("", sentence), MAX_SENTENCE).lstrip("-*+•# ")
            because = _BECAUSE.search(plain)
            instead = _INSTEAD.search(plain[: because.start()].rstrip() if because else plain)
            yield Decision(
                "stated",
                plain,
                because[1].rstrip(".! ") if because else "",
                (instead[1].strip(),) if instead else (),
            )


_TELLING: Final = (
    *("decision", "decided", "agreed", "instead of", "rather than", "in favo", " chose", " opted", " picked"),
    *(" settled", " went with", " switched to", " moved to", " over ", " and not "),
)
"""Without one of these there is no decision: most turns are passed by at the speed of looking for words."""

_LEFT: Final = ("next step", "remaining", "to-do", "todo", "to do", "follow", "still ", "left", "open ", "what", "done")


def left_to_do(text: str) -> list[str]:
    """The items below a heading such as "Next steps" and behind TODO, but for those with a ticked box."""
    low = text[:MAX_TEXT].lower()
    if not any(word in low for word in _LEFT):
        return []
    plain = prose(text)
    found: list[str] = [match["text"] for match in _INLINE.finditer(plain)] if ":" in plain else []
    below = False
    for line in plain.splitlines():
        bullet = _BULLET.match(line)
        if bullet and below:
            if (bullet["box"] or " ") == " ":
                found.append(bullet["text"])
        elif _HEADING.match(line):
            below = True
        elif line.strip() and not line.startswith((" ", "\t")):
            below = False
    tidy = (one_line(_EMPHASIS.sub("", item), MAX_TITLE).rstrip(".:; ") for item in found)
    return list(dict.fromkeys(item for item in tidy if len(item) > 3))[:MAX_LEFT]  # noqa: PLR2004 - a word at least
