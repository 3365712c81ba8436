"""The form of a text in which secrets are looked for, and the way back to the text as it was.

A secret that was pasted from a mail or a web page may hold full-width letters, zero-width characters, marks of the
direction of writing or a terminal's colours. Rules see none of them: the text is brought to Unicode's compatibility
form (NFKC, character by character) without the characters that nobody sees. What a rule finds is a stretch of that
form; the stretch of the original it stands for is what is taken out, and all else stays as it was.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_COLOUR: Final = re.compile("\x1b\\[[0-9;:?]*[A-Za-z]|\x1b\\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\\\)")
"""ECMA-48's control sequences, and the titles and links that terminals take the same way."""

_UNSEEN: Final = frozenset({*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0})
"""What shows as nothing though Unicode does not call it a format character: variation selectors, fillers, a joiner."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as rules see it: ``text``, the same in small letters, and where each character stands in the original."""

    text: str
    small: str
    places: Sequence[int] | None
    """Of each character the index in the original; None when the two run in step."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the original that a stretch of the form stands for."""
        if self.places is None or start >= end:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def fold(text: str) -> Folded:
    """The form of a text in which secrets are looked for."""
    if text.isascii() and "\x1b" not in text:
        return Folded(text, text.lower(), None)
    others = {letter: _folded(letter) for letter in set(text) if letter > "\x7f"}
    changed = {letter: form for letter, form in others.items() if form != letter}
    if "\x1b" not in text and all(len(form) == 1 for form in changed.values()):
        same = text.translate({ord(letter): form for letter, form in changed.items()}) if changed else text
        return Folded(same, _small(same), None)
    return _with_places(text, changed)


def _with_places(text: str, changed: dict[str, str]) -> Folded:
    letters: list[str] = []
    places: list[int] = []
    gone = [found.span() for found in _COLOUR.finditer(text)] if "\x1b" in text else []
    gone.append((len(text), len(text)))
    at = 0
    for start, end in gone:
        for place in range(at, start):
            form = changed.get(text[place], text[place])
            letters.append(form)
            places.extend([place] * len(form))
        at = end
    form = "".join(letters)
    return Folded(form, _small(form), places)


def _folded(letter: str) -> str:
    if unicodedata.category(letter) == "Cf" or ord(letter) in _UNSEEN:
        return ""
    return unicodedata.normalize("NFKC", letter)


def _small(text: str) -> str:
    """In small letters, of the same length: one capital letter has a small form of two characters."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
