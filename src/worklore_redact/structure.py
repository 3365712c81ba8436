"""Secrets that are known by where they begin and end rather than by their form: keys, private parts, our own blocks."""

import re
from collections.abc import Iterator
from typing import Final

from worklore_redact.fold import Folded
from worklore_redact.found import Cut, Find

KEY_CUT: Final = "private-key-cut"
OWN_TAG: Final = "worklore-memory"

_BEGIN: Final = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_END: Final = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_MATERIAL: Final = re.compile(r"(?:[\s\"',+\\]|\\[rnt]|[A-Za-z-]{3,20}: [^\n]{1,100}\n){0,12}[A-Za-z0-9+/=]{24}")
"""What follows the first line where a key really stands: its headers, and letters of base64."""


def blocks(folded: Folded) -> Iterator[Find]:
    """Private keys, private parts and our own blocks.

    Raises:
        Cut: a private key has no end.
    """
    text, small = folded.text, folded.small
    if "-----begin" in small:
        yield from _keys(text)
    if "private" in small and "<" in small:
        yield from _private(small)
    if OWN_TAG in small:
        yield from _own(small)


def _keys(text: str) -> Iterator[Find]:
    at = 0
    while (begin := _BEGIN.search(text, at)) is not None:
        at = begin.end()
        if _MATERIAL.match(text, at) is None:
            continue  # somebody writes about keys
        end = _END.search(text, at)
        if end is None:
            raise Cut(KEY_CUT)
        yield Find(begin.start(), end.end(), "private-key")
        at = end.end()


_PRIVATE: Final = re.compile(r"<\s{0,3}(/?)\s{0,3}private\s{0,3}>")


def _private(small: str) -> Iterator[Find]:
    """What stands between private tags, which may be nested. One that is never closed reaches to the end."""
    depth = begin = 0
    for tag in _PRIVATE.finditer(small):
        if not tag[1]:
            if depth == 0:
                if small[tag.start() - 1 : tag.start()] == "`" and small[tag.end() : tag.end() + 1] == "`":
                    continue  # somebody writes about the tag
                begin = tag.start()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                yield Find(begin, tag.end(), "private")
    if depth:
        yield Find(begin, len(small), "private")


def _own(small: str) -> Iterator[Find]:
    """The blocks that memory has put into an agent's context; an opening that is never closed is only a word."""
    opening, closing = f"<{OWN_TAG}>", f"</{OWN_TAG}>"
    at = 0
    while (start := small.find(opening, at)) >= 0:
        end = small.find(closing, start)
        if end < 0:
            return
        at = end + len(closing)
        yield Find(start, at, "own-memory")
