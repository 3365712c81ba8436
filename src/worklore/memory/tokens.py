"""Counting tokens with one named tokenizer that needs no network.

Budgets and reported figures use `cl100k_base`; another model's own tokenizer gives a few percent more or less.
"""

from functools import cache
from importlib import import_module
from typing import Final, Protocol

NAME: Final = "cl100k_base"


class _Encoding(Protocol):
    def count(self, text: str) -> int: ...

    def count_till_limit(self, text: str, limit: int) -> int | None: ...


@cache
def _encoding() -> _Encoding:
    # The extension module carries no types, so it is imported as data with the two methods used here.
    encoding: _Encoding = import_module("rs_bpe.bpe").openai.cl100k_base()
    return encoding


def count(text: str) -> int:
    """Tokens of a text; lone surrogates, which no tokenizer takes, count as the U+FFFD they are stored as."""
    try:
        return _encoding().count(text)
    except UnicodeEncodeError:
        return _encoding().count(_encodable(text))


def count_within(text: str, limit: int) -> int | None:
    """Tokens of a text, or None where they are more than `limit`; stops counting there, so a long text costs little."""
    if limit < 0:
        return None
    try:
        return _encoding().count_till_limit(text, limit)
    except UnicodeEncodeError:
        return _encoding().count_till_limit(_encodable(text), limit)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
