"""Telling commands that destroy something, so that no text of ours ever holds one that could be pasted."""

import re
from typing import Final

from worklore.memory.warn.rules import RULES, any_of

_DESTRUCTIVE: Final = any_of(RULES["destructive"], re.MULTILINE)

UNSAID: Final = "(a destructive command, left out here: look at the record)"


def is_destructive(text: str) -> bool:
    """True for a text that, pasted into a shell, may destroy something. In doubt it is."""
    return _DESTRUCTIVE.search(text) is not None


def unpasteable(text: str) -> str:
    """The text with each line left out that may destroy something when it is pasted."""
    if not is_destructive(text):
        return text
    kept = [UNSAID if is_destructive(line) else line for line in text.splitlines()]
    left = "\n".join(kept)
    return UNSAID if is_destructive(left) else left  # one that spans lines takes all with it
