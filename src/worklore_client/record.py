"""One record of a transcript on its way out: what is sent, what is cut, what is not sent at all."""

import json
import re
from collections.abc import Sequence
from typing import Any, cast

NOT_CONVERSATION = frozenset({"progress", "file-history-snapshot", "queue-operation"})
TEXT_LIMIT = 262_144
"""Characters of one message's own words; longer ones lose their middle."""
FIELD_LIMIT = 16_384
"""Characters of any other string (a tool's output, a file's content): three quarters from its start, one from its end,
for an error stands at the end."""

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


class Malformed(ValueError):  # noqa: N818 - reads as the state it is
    """The line is no record: not JSON, or not an object."""


def parse(line: bytes) -> dict[str, Any]:
    """A line of a transcript as an object. Bytes that are not UTF-8 become U+FFFD; NaN and infinity become null."""
    try:
        value: Any = json.loads(line.decode("utf-8", "replace"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise Malformed from None
    if not isinstance(value, dict):
        raise Malformed
    return cast("dict[str, Any]", value)


def outgoing(record: dict[str, Any]) -> dict[str, Any] | None:
    """The record as it leaves this machine, None when it carries no conversation.

    Every record passes here before it is sent, and none goes another way: this is where secrets are to be taken out.
    NUL and lone surrogates, which databases refuse, become U+FFFD. Raises Malformed when it is nested too deeply.
    """
    if record.get("type") in NOT_CONVERSATION:
        return None
    try:
        return cast("dict[str, Any]", _sendable(record, ()))
    except RecursionError:
        raise Malformed from None


def _sendable(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return cut(_UNSENDABLE.sub("\ufffd", value), TEXT_LIMIT if _is_message_text(path) else FIELD_LIMIT)
    if isinstance(value, list):
        return [_sendable(item, path) for item in cast("Sequence[Any]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        data = members.get("data")
        if members.get("type") == "base64" and isinstance(data, str):
            members = {**members, "data": f"[{len(data)} characters left out]"}
        return {_UNSENDABLE.sub("\ufffd", key): _sendable(item, (*path, key)) for key, item in members.items()}
    return value


def _is_message_text(path: tuple[str, ...]) -> bool:
    return path in {("message", "content"), ("message", "content", "text")}


def cut(text: str, limit: int) -> str:
    """`text` with its middle left out where it is longer than `limit`, and a mark that says how much."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    head = limit - tail
    return f"{text[:head]}\n[{len(text) - limit} characters left out]\n{text[-tail:]}"


class LineCutter:
    """Shortens a line that is too long to be held, as it streams by: of each JSON string only the first bytes stay.

    Feed it the line's pieces in order; `line` is then JSON again with a mark in each string that was cut, or None when
    even so the line is longer than `limit`. Memory stays within `limit` and one piece.
    """

    def __init__(self, limit: int, string_limit: int = FIELD_LIMIT) -> None:
        self._limit = limit
        self._string_limit = string_limit
        self._kept = bytearray()
        self._room = 0
        self._dropped = 0
        self._in_string = self._escaped = self._overflow = False

    @property
    def line(self) -> bytes | None:
        """The shortened line."""
        return None if self._overflow else bytes(self._kept)

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the line."""
        at = 0
        while at < len(piece) and not self._overflow:
            if self._in_string:
                at = self._string(piece, at)
            else:
                quote = piece.find(b'"', at)
                end = len(piece) if quote < 0 else quote + 1
                self._kept += piece[at:end]
                at = end
                if quote >= 0:
                    self._in_string, self._room, self._dropped = True, self._string_limit, 0
            self._overflow = len(self._kept) > self._limit

    def _string(self, piece: bytes, at: int) -> int:
        if self._escaped:
            self._escaped = False
            self._keep(piece[at : at + 1])
            return at + 1
        if self._room:
            found = _QUOTE_OR_ESCAPE.search(piece, at)
            end = found.start() if found else len(piece)
            self._keep(piece[at:end])
        else:  # nothing more is kept of this string: to its end in one step
            end = _REST_OF_STRING.match(piece, at).end()  # type: ignore[union-attr] # it matches anything
            self._dropped += end - at
        if end == len(piece):
            return end
        if piece[end] == ord('"'):
            if self._dropped:
                self._kept += f"[{self._dropped} bytes left out]".encode()
            self._kept += b'"'
            self._in_string = False
        else:
            if self._room < _LONGEST_ESCAPE:  # an escape is kept whole or not at all
                self._room = 0
            self._keep(b"\\")
            self._escaped = True
        return end + 1

    def _keep(self, part: bytes) -> None:
        self._kept += part[: self._room]
        kept = min(len(part), self._room)
        self._room -= kept
        self._dropped += len(part) - kept


_QUOTE_OR_ESCAPE = re.compile(rb'["\\]')
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_LONGEST_ESCAPE = len(b"\\u0000")
