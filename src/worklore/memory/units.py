"""Cutting a turn into units, the pieces that are indexed and found, and describing a unit to the index.

A short turn is one unit. A long one becomes passages of at most about `PASSAGE_TOKENS` tokens that end where its
author ended something: before a heading or a code fence, at a blank line, a line end, a sentence, and only as a last
resort between words. Nothing is lost or
changed: the parts put together are the turn.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final, TypedDict, Unpack

from worklore.memory import tokens
from worklore.memory.analyse import terms
from worklore.memory.index import Entry
from worklore.memory.renewal import tells_change

PASSAGE_TOKENS: Final = 120
WHOLE_TOKENS: Final = 160
"""A turn of up to this many tokens stays whole: cutting a third off a short message costs more sense than it saves
room."""

_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_PARAGRAPH: Final = re.compile(r"(?<=\n)(?:[ \t]*\n)+")
_LINE: Final = re.compile(r"(?<=\n)")
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+")
_WORD: Final = re.compile(r"(?<=\s)(?=\S)")
_TELLS_TIME: Final = re.compile(
    r"(?i)\b(?:yesterday|today|tonight|tomorrow|last|next|ago|since|recently|weekend|(?:day|week|month|year)s?|20\d\d)\b",
)
_MAX_CHARACTERS: Final = 400  # of one unbroken run (encoded data, minified code), where no bound above applies


@dataclass(frozen=True, slots=True)
class Passage:
    """One piece of a turn: `part` counts from 0 to `parts` - 1; the texts of all parts joined are the turn's."""

    part: int
    parts: int
    text: str


def passages(text: str, *, limit: int = PASSAGE_TOKENS, whole: int = WHOLE_TOKENS) -> list[Passage]:
    """Cut a turn's text; text without a visible character gives no passage.

    Args:
        text: the turn as it was said.
        limit: most tokens of a passage of a long turn, exceeded only where nothing can be cut.
        whole: most tokens of a turn that is left uncut.
    """
    if not text.strip():
        return []
    # A token covers at least one byte, so a short text need not be counted.
    if len(text) * 4 <= whole or tokens.count_within(text, whole) is not None:
        return [Passage(0, 1, text)]
    pieces = list(_gather(_split(text, limit, _BOUNDS), limit))
    return [Passage(part, len(pieces), piece) for part, piece in enumerate(pieces)]


def _blocks(text: str) -> Iterator[str]:
    """Code fences as blocks of their own, the text between them by paragraphs."""
    cuts = [match.start() for match in _FENCE.finditer(text)]
    edges = [0, *cuts, len(text)]
    for number, (start, end) in enumerate(pairwise(edges)):
        block = text[start:end]
        if number % 2:  # an opening fence up to its closing one, whose own line follows
            yield block
        else:
            yield from _cut(_PARAGRAPH, block)


def _cut(bound: re.Pattern[str], text: str) -> Iterator[str]:
    """The text cut after each match of a bound; the matched white space stays with what precedes it."""
    start = 0
    for match in bound.finditer(text):
        if match.end() > start:
            yield text[start : match.end()]
            start = match.end()
    if start < len(text):
        yield text[start:]


def _runs(text: str) -> Iterator[str]:
    for start in range(0, len(text), _MAX_CHARACTERS):
        yield text[start : start + _MAX_CHARACTERS]


_Bound = Callable[[str], Iterator[str]]

_BOUNDS: Final[tuple[_Bound, ...]] = (
    _blocks,
    partial(_cut, _LINE),
    partial(_cut, _SENTENCE),
    partial(_cut, _WORD),
    _runs,
)


def _split(text: str, limit: int, bounds: Sequence[_Bound]) -> Iterator[tuple[str, int]]:
    """Pieces with their token counts, each cut by the coarsest bound that makes it fit."""
    for piece in bounds[0](text):
        size = tokens.count_within(piece, limit) if len(bounds) > 1 else tokens.count(piece)
        if size is not None:
            yield piece, size
        else:
            yield from _split(piece, limit, bounds[1:])


def _gather(pieces: Iterator[tuple[str, int]], limit: int) -> Iterator[str]:
    """Put neighbours together again as long as they fit; a piece without a visible character never stands alone."""
    held, held_size = "", 0
    for piece, size in pieces:
        if held and held_size + size > limit and piece.strip() and held.strip():
            yield held
            held, held_size = "", 0
        held += piece
        held_size += size
    if held:
        yield held


class More(TypedDict, total=False):
    """What a unit of a hub has and one of a plain conversation has not. Fields as in `Entry`."""

    kind: str
    record: str
    machine: str
    asset: str
    trust: int
    valid_from: float
    valid_to: float


def unit_terms(text: str, *, author: str, role: str) -> list[str]:
    """The index terms of a unit: its text, after its author's name where people talk to each other.

    In an agent's session every second turn is by the same person, whose name would only lengthen the turn.
    """
    return terms(text) if role else [*terms(author), *terms(text)]


def entry(
    text: str,
    *,
    id: str,  # noqa: A002 - the field's name
    session: str,
    ordinal: int,
    part: int,
    time: float,
    author: str,
    role: str,
    indexed: Sequence[str] | None = None,
    **more: Unpack[More],
) -> Entry:
    """A unit as the index takes it; `indexed` are its terms where they are stored already. Fields as in `Entry`."""
    return Entry(
        id=id,
        session=session,
        ordinal=ordinal,
        part=part,
        time=time,
        author=author,
        role=role,
        terms=unit_terms(text, author=author, role=role) if indexed is None else indexed,
        asks="?" in text and role != "record",
        tells_time=_TELLS_TIME.search(text) is not None,
        # What an agent says takes nothing's place.
        tells_change=role != "assistant" and tells_change(text),
        **more,
    )
