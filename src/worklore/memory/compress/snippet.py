"""A snippet from a text: a title, the dense part, what sort of thing it is, its tags, and how weighty it starts."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from worklore.memory.compress.conversation import Said, conversation, sentences
from worklore.memory.compress.tags import tags

TITLE: Final = 120
BUDGET: Final = 160
"""Tokens of a snippet unless another budget is given."""

CATEGORIES: Final = (
    ("decision", re.compile(r"(?i)\b(?:decided|decision|we(?:'ll| will) use|agreed|chose|instead of)\b")),
    ("blocker", re.compile(r"(?i)\b(?:blocked|blocker|waiting (?:for|on)|cannot (?:continue|proceed)|stuck)\b")),
    ("lesson", re.compile(r"(?i)\b(?:learned|lesson|turned out|root cause|never again|the fix|caused by|next time)\b")),
    ("pattern", re.compile(r"(?i)\b(?:always|every time|whenever|usually|pattern|convention)\b")),
)
STATE: Final = "state"
STARTING: Final = {"decision": 7, "blocker": 7, "lesson": 6, "pattern": 5, STATE: 4}
"""Importance that a category starts with, of 10."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A small reusable fact."""

    title: str
    content: str
    category: str
    tags: tuple[str, ...]
    importance: int
    tokens_before: int
    tokens_after: int


def snippet(
    text: str, *, budget: int = BUDGET, synonyms: Mapping[str, str] | None = None, known: Collection[str] = ()
) -> Snippet:
    """Make a snippet of a text within a budget of tokens."""
    made = conversation([Said("", text)], budget)
    category = next((name for name, pattern in CATEGORIES if pattern.search(text)), STATE)
    first = next(iter(sentences(made.text or text)), "")
    title = first if len(first) <= TITLE else first[: TITLE - 1].rsplit(" ", 1)[0] + "…"
    found = tuple(tags(text, synonyms=synonyms, known=known))
    return Snippet(title, made.text, category, found, STARTING[category], made.tokens_before, made.tokens_after)
