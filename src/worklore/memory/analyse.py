"""From text to index terms: one function for what is stored and for what is asked.

The database engines' own analysers differ from each other, so none of them is used: a text becomes a list of terms
here, is stored as one space-joined column, and every index is built from that column.

- Unicode: compatibility forms are unified (NFKC), accents dropped, case folded; runs of Chinese, Japanese or Korean
  script, which know no spaces, become overlapping pairs of characters.
- Identifiers (`getUserName`, `snake_case`, `kebab-case`, `src/app/main.py`, `db-01.example.com`, `ERR_CONN_RESET`,
  `192.0.2.7`) count whole and in their parts, so that each way of writing a name finds the others and the exact name
  finds itself best.
- English stop words are dropped and the rest is stemmed (`worklore.memory.stem`).
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from worklore.memory.irregular import PLAIN
from worklore.memory.stem import stem

STOP_WORDS: Final = frozenset(
    """
    a about above after again against all am an and any are as at be because been before being below between both but
    by can could did do does doing don down during each few for from further had has have having he her here hers
    herself him himself his how i if in into is it its itself just let me more most my myself no nor not now of off on
    once only or other our ours ourselves out over own same shall she should so some such than that the their theirs
    them themselves then there these they this those through to too under until up upon us very was we were what when
    where which while who whom whose why will with would you your yours yourself yourselves also got get
    """.split(),  # noqa: SIM905 - a page of words reads better than a page of quotation marks
)
"""Words that say nothing about a text's subject."""

_MAX_TERM: Final = 64  # longer runs are digests, keys and encoded data: nobody asks for them by name

_CHUNK: Final = re.compile(r"[^\W_][\w.:/\\@'\u2019+#-]*", re.UNICODE)
_CONTRACTION: Final = re.compile(r"(?i)\b\w+n['\u2019]t\b|['\u2019](?:s|m|d|re|ve|ll)\b")
_PLAIN: Final = re.compile(r"[a-z]+\Z|[A-Z][a-z]+\Z")
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*\Z")
_SEPARATORS: Final = re.compile(r"[\W_]+", re.UNICODE)
_HUMPS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\WA-Za-z\d_]+", re.UNICODE)
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_CJK: Final = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿가-힯]+")


def terms(text: str) -> list[str]:
    """The index terms of a text, in its order and with repetitions; never contains an empty term or white space."""
    if not text.isascii():
        text = _fold(text)
    found: list[str] = []
    for chunk in _CHUNK.findall(_THOUSANDS.sub("", text)):
        found.extend(_chunk_terms(chunk))
    return found


def token_column(text: str) -> str:
    """`terms` as the space-joined column the database keeps; `column.split()` gives the terms back."""
    return " ".join(terms(text))


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    kept = "".join(character for character in decomposed if not unicodedata.combining(character))
    composed = unicodedata.normalize("NFKC", kept)
    return _CJK.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", composed)


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for start in range(len(run) - 1):
        yield run[start : start + 2]


@lru_cache(maxsize=1 << 16)
def _chunk_terms(chunk: str) -> tuple[str, ...]:
    """Terms of one run without white space: the whole and its parts where it is a compound, else the stemmed word."""
    if _PLAIN.match(chunk):
        return _word(chunk.lower())
    chunk = _CONTRACTION.sub("", chunk).strip(".:/\\@'\u2019+-_#")
    if _NUMBER.match(chunk):
        return (chunk,) if len(chunk) <= _MAX_TERM else ()
    pieces = [piece for piece in _SEPARATORS.split(chunk) if piece]
    parts = [hump for piece in pieces for hump in _HUMPS.findall(piece)]
    if len(parts) <= 1:
        return tuple(term for piece in pieces for term in _word(piece.casefold()))
    whole = chunk.casefold()
    named = [whole] if len(whole) <= _MAX_TERM else []
    if len(pieces) > 1:
        named += [term for piece in pieces if piece not in parts and len(piece) > 1 for term in _word(piece.casefold())]
    # Single letters and digits of a compound (`v1.2.3`, `x86`) say nothing on their own.
    return tuple(named) + tuple(term for part in parts if len(part) > 1 for term in _word(part.casefold()))


def _word(word: str) -> tuple[str, ...]:
    if word in STOP_WORDS or len(word) > _MAX_TERM:
        return ()
    return (stem(PLAIN.get(word, word)),)
