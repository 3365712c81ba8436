"""Decisions in a text, with reason and alternative, and a decision as one dense line."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from worklore.memory.compress.conversation import sentences

MAX_TEXT: Final = 300

_DECIDED: Final = re.compile(
    r"(?i)\b(?:(?:we|i|they)(?:'ve| have)? (?:decided|agreed|chose|settled)(?: (?:to|on|that|for))?"
    r"|(?:we|i)(?:'ll| will| are going to) (?:use|go with|keep|switch to|move to|stay with|drop|replace)"
    r"|(?:the )?decision(?: is|:| was)|(?:let's|let us) (?:use|go with|keep|switch to|stay with))\b"
)
_REASON: Final = re.compile(r"(?i)\b(?:because|since|so that|as it|due to|the reason is)\b\s*(.+)")
_ALTERNATIVE: Final = re.compile(r"(?i)\b(?:instead of|rather than|over|not)\s+([\w./@+-]+(?:\s[\w./@+-]+){0,3})")
_WIDE: Final = re.compile(
    r"(?i)\b(?:production|all (?:clients|customers|servers|sites)|security|migrat\w+|breaking|data loss|contract)\b"
)
_NARROW: Final = re.compile(r"(?i)\b(?:rename|typo|comment|formatting|wording|log message|for now)\b")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, why, instead of what, and how far it reaches: low, medium or high."""

    text: str
    rationale: str = ""
    alternatives: tuple[str, ...] = ()
    impact: str = "medium"


def decisions(text: str) -> Iterator[Decision]:
    """The decisions that a text states, not those it asks about or merely thinks over."""
    for sentence in sentences(text):
        decided = _DECIDED.search(sentence)
        if (
            decided is None
            or sentence.rstrip().endswith("?")
            or re.search(r"(?i)\b(?:if|should|could|might) we\b", sentence)
        ):
            continue
        reason = _REASON.search(sentence, decided.end())
        stated = sentence[: reason.start()] if reason else sentence
        other = _ALTERNATIVE.search(stated, decided.end())
        yield Decision(
            text=stated.strip(" ,;:.")[:MAX_TEXT],
            rationale=reason[1].strip(" .")[:MAX_TEXT] if reason else "",
            alternatives=(other[1].strip(" .,"),) if other else (),
            impact="high" if _WIDE.search(sentence) else "low" if _NARROW.search(sentence) else "medium",
        )


def decision(text: str, rationale: str | None, alternatives: Iterable[object] | None, impact: str) -> str:
    """A decision as one line: what, why, instead of what; its impact where that is out of the ordinary."""
    parts = [_short(text)]
    if rationale and rationale.strip():
        parts.append(f"because {_short(rationale)}")
    others = [str(one) for one in alternatives or () if isinstance(one, str) and one.strip()]
    if others:
        parts.append(f"not {_short(', '.join(others), 120)}")
    mark = f"[{impact}] " if impact not in {"medium", ""} else ""
    return mark + "; ".join(parts)


def _short(text: str, most: int = MAX_TEXT) -> str:
    flat = " ".join(text.split()).rstrip(" .;")
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"
