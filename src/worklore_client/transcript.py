"""Reading a growing transcript file: whole lines from an offset, in portions of bounded size."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from worklore_client.record import LineCutter, Malformed, outgoing, records_in

PORTION_BYTES = 1_048_576
PORTION_LINES = 1_000
LINE_LIMIT = 4_194_304
"""Bytes of a line that are held at once; a longer one is shortened while it is read."""
TAIL_BYTES = 4_096


@dataclass(frozen=True)
class Line:
    """A whole line: `end` is the byte offset after it, `records` what to send of it.

    That is one record, or none, or several where the agent was stopped while it wrote. `skipped` counts what was left
    out because it carries no conversation or is too long even when cut, `malformed` what is no record.
    """

    end: int
    records: tuple[dict[str, Any], ...] = ()
    skipped: int = 0
    malformed: int = 0


@dataclass(frozen=True)
class Portion:
    """Consecutive lines of a file from byte `start` on."""

    start: int
    lines: list[Line] = field(default_factory=list[Line])

    @property
    def end(self) -> int:
        """The byte offset after the last line, `start` when there is none."""
        return self.lines[-1].end if self.lines else self.start

    @property
    def records(self) -> list[dict[str, Any]]:
        """What is to be sent, in file order."""
        return [record for line in self.lines for record in line.records]

    @property
    def malformed(self) -> int:
        """How much in the lines is no record."""
        return sum(line.malformed for line in self.lines)

    @property
    def skipped(self) -> int:
        """What was left out because it carries no conversation or is too long even when cut."""
        return sum(line.skipped for line in self.lines)

    def halves(self) -> "tuple[Portion, Portion]":
        """The same lines in two portions."""
        middle = len(self.lines) // 2
        first = Portion(self.start, self.lines[:middle])
        return first, Portion(first.end, self.lines[middle:])


def portions(file: BinaryIO, start: int) -> Iterator[Portion]:
    """All whole lines from byte `start` to the end of the file; a half line at the end waits for the next time."""
    while True:
        file.seek(start)
        portion = Portion(start)
        while portion.end - start < PORTION_BYTES and len(portion.lines) < PORTION_LINES:
            line = _next_line(file, portion.end)
            if line is None:
                break
            portion.lines.append(line)
        if not portion.lines:
            return
        yield portion
        start = portion.end


def _next_line(file: BinaryIO, start: int) -> Line | None:
    line = file.readline(LINE_LIMIT)
    end = start + len(line)
    if not line.endswith(b"\n"):
        if len(line) < LINE_LIMIT:
            return None
        cutter = LineCutter(LINE_LIMIT)
        while not line.endswith(b"\n"):
            cutter.feed(line)
            line = file.readline(65_536)
            if not line:
                return None
            end += len(line)
        cutter.feed(line)
        if cutter.line is None:
            return Line(end, skipped=1)
        line = cutter.line
    return _line(line, end)


def _line(line: bytes, end: int) -> Line:
    found, malformed = records_in(line)
    if not found and not malformed:
        return Line(end, skipped=1)  # an empty line
    sent: list[dict[str, Any]] = []
    skipped = 0
    for record in found:
        try:
            kept = outgoing(record)
        except Malformed:
            malformed += 1
        else:
            sent += [] if kept is None else [kept]
            skipped += kept is None
    return Line(end, tuple(sent), skipped, malformed)


def tail_digest(file: BinaryIO, offset: int) -> str:
    """SHA-256, in hex, of the up to 4096 bytes before `offset`."""
    start = max(0, offset - TAIL_BYTES)
    file.seek(start)
    return hashlib.sha256(file.read(offset - start)).hexdigest()


def unchanged_before(file: BinaryIO, offset: int, digest: str | None) -> bool:
    """True when the file still holds, right before `offset`, the bytes that `digest` was made of."""
    file.seek(0, 2)
    return file.tell() >= offset and (offset == 0 or digest is None or tail_digest(file, offset) == digest)
