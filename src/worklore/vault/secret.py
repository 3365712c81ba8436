"""A secret in memory: it is shown where somebody asks for it by name, and nowhere by accident."""

import hmac
from typing import Final, NoReturn

from worklore.kernel.errors import InvalidError, limit

MAX_SECRET: Final = 32 * 1024
"""Bytes of UTF-8: a certificate with its chain fits, and what is sealed fits into 64 KiB on every database."""


class Secret:
    """A text that no log, message, JSON document or pickle shows. Python cannot wipe it from memory.

    Raises:
        InvalidError: it is empty, longer than 32 KiB, or no text that UTF-8 can hold.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a dictionary

    def __init__(self, value: str) -> None:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            # Without its cause, which holds the text.
            raise InvalidError("The secret holds characters that are no text.", code="secret-text") from None
        if not 0 < size <= MAX_SECRET:
            raise InvalidError(
                f"A secret has 1 to {MAX_SECRET} bytes; this one has {size}.",
                hint="Keep a large file elsewhere and seal the key that opens it.",
                code="secret-length",
                **limit("secret-bytes", MAX_SECRET, size),
            )
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return repr(self)

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")

    __getstate__ = __reduce_ex__  # type: ignore[assignment]
