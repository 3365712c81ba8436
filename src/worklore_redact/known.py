"""Many known secrets, looked for in texts, by one that does not hold them.

Of each form that a secret is looked for in, a matcher holds Python's keyed hash of its first eight characters and a
keyed digest of the whole, by a key that it made and that is written nowhere. A text is read once: where the eight
characters at a place have a hash that is known, the digests of the lengths in question decide.

Only a secret that is long and rare enough is looked for: it would else be found in ordinary words. :func:`tellable` is
the rule.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from worklore_redact.exact import forms
from worklore_redact.fold import fold

PREFIX: Final = 8
"""Characters by which a form is first recognised, and of the shortest secret that is looked for."""

DIFFERENT: Final = 5
LETTERS_ONLY: Final = 12
DIGITS_ONLY: Final = 12
LONG: Final = 512
PIECE: Final = 64
"""A form longer than ``LONG`` is looked for piece by piece, so that a look costs the same however long secrets are."""

Form = tuple[int, int, bytes]
"""Hash of the first characters, length, digest."""


def tellable(secret: str) -> bool:
    """Whether a secret can be told from ordinary text.

    It has at least eight characters, five of them different. One of letters alone has at least twelve, or it may be a
    word; one of digits alone at least twelve, or it may be a date or a number of anything.
    """
    text = secret.strip()
    if len(text) < PREFIX or len(set(text)) < DIFFERENT:
        return False
    if text.isalpha():
        return len(text) >= LETTERS_ONLY
    return not text.isdigit() or len(text) >= DIGITS_ONLY


class Matcher:
    """Looks for secrets in texts."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._index: Mapping[int, Mapping[int, frozenset[bytes]]] = {}
        self.clean: dict[str, None] = {}
        """Short texts of late without any of these secrets and without what the rules find: for the caller to keep."""

    def forms(self, secret: str) -> tuple[Form, ...]:
        """What is kept of a secret; nothing of one that cannot be told from ordinary text."""
        return tuple(set(self._forms(secret)))

    def look_for(self, secrets: Iterable[tuple[Form, ...]]) -> None:
        """Look for these from now on, and for no others."""
        self._index = _index(secrets)
        self.clean = {}

    def take_out(self, text: str, mark: str) -> tuple[str, int]:
        """The text with a mark in place of each secret that it holds, and how many these were."""
        index = self._index
        if not index or len(text) < PREFIX:
            return text, 0
        folded = fold(text)
        kept: list[str] = []
        count = done = 0
        for start, end in self._found(folded.text, index):
            first, last = folded.original(start, end)
            if first > done or not kept:
                count += 1
                kept += (text[done:first], mark)
            done = max(done, last)
        return ("".join([*kept, text[done:]]), count) if kept else (text, 0)

    def _found(self, text: str, index: Mapping[int, Mapping[int, frozenset[bytes]]]) -> Iterator[tuple[int, int]]:
        places = [at for at in range(len(text) - PREFIX + 1) if hash(text[at : at + PREFIX]) in index]
        for at in places:  # of those that overlap each counts: pieces of a long secret do
            for length, digests in index[hash(text[at : at + PREFIX])].items():
                if at + length <= len(text) and self._digest(text[at : at + length]) in digests:
                    yield at, at + length
                    break

    def _forms(self, secret: str) -> Iterator[Form]:
        for text in {secret, fold(secret).text, *_within(secret)}:
            if not tellable(text):
                continue
            for form in forms(text):
                try:
                    written = form.decode()
                except UnicodeDecodeError:
                    continue  # UTF-16 is no text
                if len(written) >= PREFIX and "\0" not in written:
                    for piece in _pieces(written):
                        yield hash(piece[:PREFIX]), len(piece), self._digest(piece)

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()


def _within(secret: str) -> Iterator[str]:
    """The password within a connection string."""
    try:
        password = urlsplit(secret).password if "://" in secret[:40] else None
    except ValueError:
        password = None
    if password:
        yield password
    found = re.search(r"(?:password|pwd)=([^;\s]{1,200})", secret[:4000], re.IGNORECASE)
    if found:
        yield found[1]


def _pieces(form: str) -> Iterator[str]:
    if len(form) <= LONG:
        yield form
        return
    for at in range(0, len(form) - PIECE, PIECE):
        yield form[at : at + PIECE]
    yield form[-PIECE:]


def _index(records: Iterable[tuple[Form, ...]]) -> Mapping[int, Mapping[int, frozenset[bytes]]]:
    """The forms by the hash of their beginning, then by length, the longest first."""
    grouped: dict[int, dict[int, set[bytes]]] = {}
    for entries in records:
        for beginning, length, digest in entries:
            grouped.setdefault(beginning, {}).setdefault(length, set()).add(digest)
    return {
        beginning: {length: frozenset(lengths[length]) for length in sorted(lengths, reverse=True)}
        for beginning, lengths in grouped.items()
    }
