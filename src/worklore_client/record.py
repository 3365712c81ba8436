"""One record of a transcript on its way out: what is sent, what is cut, what is not sent at all."""

import json
import re
from collections.abc import Sequence
from typing import Any, cast

from worklore_redact.engine import redact
from worklore_redact.values import member

NOT_CONVERSATION = frozenset({"progress", "file-history-snapshot", "queue-operation"})
TEXT_LIMIT = 262_144
"""Characters of one message's own words; longer ones lose their middle."""
FIELD_LIMIT = 16_384
"""Characters of any other string, such as a command: three quarters from its start, one from its end."""
OUTPUT_LIMIT = 2_048
"""Characters of what a tool printed, read or wrote, cut likewise: an error stands at the end."""

WHOLE_ARGUMENTS = frozenset({"command", "plan", "todos"})
"""What a tool is given that is needed beyond its beginning and end."""
RESULTS = frozenset(
    {"answers", "backgroundTaskId", "durationMs", "exitCode", "filePath", "interrupted", "newTodos", "output"}
    | {"questions", "returnCodeInterpretation", "shellId", "status", "stderr", "stdout", "task", "totalDurationMs"}
    | {"type"}
)
"""What is sent of what the agent's program noted about a result; the rest holds whole files."""
UNNEEDED = frozenset(
    {("message", "content", "thinking"), ("message", "content", "signature"), ("message", "content", "data")}
    | {("payload", name) for name in ("encrypted_content", "instructions", "base_instructions", "user_instructions")}
    | {("payload", "replacement_history"), ("payload", "dynamic_tools"), ("thinkingMetadata",)}
)
"""Members that stay here, by their place in a record: what a model thinks to itself, its standing instructions."""

_SHORTENED = " bytes left out]"
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
_BEFORE_VALUE = (":", ",", "[")
_FRAGMENT_TRIES = 100
"""Places where a record may begin behind a fragment that are tried: each can cost a walk to the line's end."""


class Malformed(ValueError):  # noqa: N818 - reads as the state it is
    """The record cannot be sent: it is nested too deeply."""


def records_in(line: bytes) -> tuple[list[dict[str, Any]], int]:
    """The objects on a line of a transcript, and how many fragments lie between them that are none.

    A line is one object, unless the agent was stopped while it wrote: then a fragment, or an object without its line
    break, stands before whatever was written next. Bytes that are not UTF-8 become U+FFFD; NaN and infinity null.
    """
    text = line.decode("utf-8", "replace").strip()
    found, at = _objects(text, 0)
    fragments = 0
    if at < len(text):
        fragments = 1
        found += _after_fragment(text, at)
    return found, fragments


def _objects(text: str, at: int) -> tuple[list[dict[str, Any]], int]:
    """The objects that follow each other in `text` from `at` on, and the place after the last of them."""
    found: list[dict[str, Any]] = []
    while at < len(text):
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        found.append(cast("dict[str, Any]", value))
        at = end
        while at < len(text) and text[at].isspace():
            at += 1
    return found, at


def _after_fragment(text: str, fragment: int) -> list[dict[str, Any]]:
    """The records that follow a torn one and reach, whole, to the line's end; none where that is not certain."""
    at = fragment
    for _ in range(_FRAGMENT_TRIES):
        at = text.find('{"', at + 1)
        if at < 0:
            break
        found, end = _objects(text, at)
        if not found:
            continue  # cut off by the same tear
        if end == len(text):
            # The torn one may have ended with an object of its own, right before the next record.
            own = 0 if _is_record(found[0], text[fragment:at].rstrip()[-1:]) else 1
            return [value for value in found[own:] if _is_record(value, "")]
        at = end - 1  # an object within the torn one, as is everything in it
    return []


def _is_record(value: dict[str, Any], before: str) -> bool:
    """True for a record, false for an object that the torn one held as its last value."""
    known = ("type", "uuid", "sessionId") if before in _BEFORE_VALUE else ("type",)
    return all(isinstance(value.get(name), str) for name in known)


def outgoing(record: dict[str, Any]) -> dict[str, Any] | None:
    """The record as it leaves this machine, None when it tells of no conversation and no work.

    Every record passes here before it is sent, and none goes another way: this is where secrets are taken out. NUL and
    lone surrogates, which databases refuse, become U+FFFD. Raises Malformed when it is nested too deeply.
    """
    if record.get("type") in NOT_CONVERSATION or _is_echo(record):
        return None
    try:
        return cast("dict[str, Any]", _sendable(record, ()))
    except RecursionError:
        raise Malformed from None


def _is_echo(record: dict[str, Any]) -> bool:
    """True for a line of Codex's rollouts that repeats another for its screen, or holds what the model thinks."""
    payload = record.get("payload")
    kind = cast("dict[str, Any]", payload).get("type") if isinstance(payload, dict) else None
    if record.get("type") == "event_msg":
        return kind != "token_count"
    return record.get("type") == "response_item" and kind == "reasoning"


def _sendable(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        # What is cut off first may leave half a secret that nothing recognises.
        return cut(redact(_storable(value)).text, _limit(path))
    if isinstance(value, list):
        return [_sendable(item, path) for item in cast("Sequence[Any]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        data = members.get("data")
        if members.get("type") == "base64" and isinstance(data, str):
            members = {**members, "data": f"[{len(data)} characters left out]"}
        if path == ("toolUseResult",):
            members = {key: item for key, item in members.items() if key in RESULTS}
        return {
            _name(key): _member(key, item, (*path, key))
            for key, item in members.items()
            if (*path, key) not in UNNEEDED
        }
    return value


def _limit(path: tuple[str, ...]) -> int:
    """How much of a text is sent, by its place in a record; items of lists are at the list's own."""
    if path in _WORDS:
        return TEXT_LIMIT
    if path[:3] == ("message", "content", "input"):
        return FIELD_LIMIT if path[3:4] and path[3] in WHOLE_ARGUMENTS else OUTPUT_LIMIT
    return (
        OUTPUT_LIMIT if path[:1] == ("toolUseResult",) or path[:3] == ("message", "content", "content") else FIELD_LIMIT
    )


_WORDS = frozenset(
    {("message", "content"), ("message", "content", "text")}
    | {("payload", "content", "text"), ("payload", "message"), ("payload", "arguments"), ("payload", "input")}
)


def _name(key: str) -> str:
    return redact(_UNSENDABLE.sub("\ufffd", key)).text


def _member(key: str, item: Any, path: tuple[str, ...]) -> Any:
    secret = member(key, item) if isinstance(item, str) else None
    return _sendable(item, path) if secret is None else secret.text


def _storable(text: str) -> str:
    """Text as databases take it; without the word that was cut in two where the line was too long to be held."""
    text = _UNSENDABLE.sub("\ufffd", text)
    if not text.endswith(_SHORTENED):
        return text
    begin = text.rfind("[")
    word = re.search(r"\S{0,512}$", text[max(0, begin - 512) : begin])
    return text[: begin - len(word[0])] + text[begin:] if word else text


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
                self._kept += f"[{self._dropped}{_SHORTENED}".encode()
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
