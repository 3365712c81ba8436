"""The spool of operations: writes that wait for the hub, in their order, one file each.

``<home>/spool/000000000017.op`` is a request as it will be sent: method, path, body, key and the version that was read.
Secrets are taken out before it is written, and it is on the disk before its writer goes on. The hub has it when it is
``.done``, and keeps its key, so that it may be offered again after a restore; what the hub refused is a ``.conflict``,
with what it said, until somebody has decided. The numbers are the order; nothing is ever overwritten.
"""

import contextlib
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from worklore_client.config import PRIVATE_FOLDER, replace_file
from worklore_client.events import log
from worklore_redact.values import redact_json

MOST = 10_000
"""Operations that may wait."""

MOST_BYTES = 1_048_576
"""Of one operation."""

MOST_DONE = 5_000
KEPT_SECONDS = 6 * 86_400.0
"""How long what the hub has taken is kept: a day less than the hub knows its key."""

WAITING, DONE, CONFLICT, TORN, DROPPED = ".op", ".done", ".conflict", ".torn", ".dropped"
_NAME = 12
_PART_SECONDS = 60.0


class SpoolFull(Exception):  # noqa: N818 - reads as the state it is
    """No more operations are taken on this machine before the hub has had some."""


@dataclass(frozen=True)
class Operation:
    """A write. `path` is below /api/v1; `if_match` is the version that was read, None for a new record.

    `{op:KEY}` in path or body stands for the id of the record that the operation of that key made. `about` says for
    people what it does, `folder` for which project's folder.
    """

    method: str
    path: str
    body: Any
    about: str = ""
    folder: str = ""
    if_match: int | None = None
    key: str = field(default_factory=lambda: f"op-{uuid.uuid4()}")
    made_at: float = field(default_factory=time.time)
    message: str = ""
    """Why; kept in the hub's audit."""


@dataclass(frozen=True)
class Spooled:
    """An operation in its file; `number` is its place in the order. `outcome` is what the hub said to it."""

    path: Path
    operation: Operation
    outcome: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def current(self) -> dict[str, Any] | None:
        """The record as it stood on the hub when that refused the operation; None where it did not say."""
        found = self.outcome.get("current")
        return cast("dict[str, Any]", found) if isinstance(found, dict) else None

    @property
    def number(self) -> int:
        """Its place."""
        return int(self.path.stem)


def add(home: Path, operation: Operation) -> Spooled:
    """Keep an operation, without secrets, behind all others.

    Raises SpoolFull, ValueError for one that is too large, OSError when it cannot be written: then nothing is left.
    """
    folder = home / "spool"
    folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    clean = replace(
        operation,
        body=redact_json(operation.body, Counter[str]()),
        about=redact_json(operation.about, Counter[str]()),
        message=redact_json(operation.message, Counter[str]()),
    )
    content = json.dumps(asdict(clean), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    if len(content) > MOST_BYTES:
        raise ValueError(f"an operation has {len(content)} bytes, at most {MOST_BYTES} are kept")
    names = os.listdir(folder)  # noqa: PTH208 - twice as fast with thousands of names
    if sum(name.endswith(WAITING) for name in names) >= MOST:
        raise SpoolFull(f"{MOST} operations wait in {folder} already")
    part = folder / f".{clean.key}.part"
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path = _linked(folder, part, max(_all_numbers(names), default=0) + 1)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(folder)
    return Spooled(path, clean)


def _linked(folder: Path, part: Path, number: int) -> Path:
    """Give the file a number. Whoever else takes it first makes this one try the number after."""
    while True:
        path = folder / f"{number:0{_NAME}d}{WAITING}"
        try:
            os.link(part, path)
        except FileExistsError:
            number += 1
        else:
            return path


def _all_numbers(names: Iterable[str]) -> Iterator[int]:
    for name in names:
        if name[:_NAME].isdigit() and name[_NAME : _NAME + 1] == ".":
            yield int(name[:_NAME])


def _numbers(home: Path, state: str) -> list[Path]:
    """The files in a state, in order."""
    return sorted(path for path in (home / "spool").glob(f"*{state}") if path.stem.isdigit())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # a folder cannot be opened there, and needs no flush
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def waiting(home: Path) -> list[Path]:
    """The files of the operations that wait, in order."""
    return _numbers(home, WAITING)


def read(home: Path, path: Path) -> Spooled | None:
    """An operation; None when it is gone, or torn: then it is set aside, for people to look at."""
    try:
        raw: Any = json.loads(path.read_bytes().decode("utf-8", "replace"))
        return _understood(path, raw)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        log(str(home), "sync", "operation-torn")
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_suffix(TORN))
        return None


def _understood(path: Path, raw: Any) -> Spooled:
    if not isinstance(raw, dict):
        raise TypeError(path.name)
    members = cast("dict[str, Any]", raw)
    outcome = members.pop("outcome", {})
    texts = all(isinstance(members.get(name), str) and members[name] for name in ("method", "path", "key"))
    if not texts or not isinstance(outcome, dict) or not isinstance(members.get("if_match"), int | None):
        raise ValueError(path.name)
    return Spooled(path, Operation(**members), cast("dict[str, Any]", outcome))


def settled(spooled: Spooled, outcome: Mapping[str, Any], *, conflict: bool) -> Path:
    """Write down what the hub said, and take the operation out of those that wait.

    Killed between the two, it waits still, and the hub knows its key.
    """
    content = {**asdict(spooled.operation), "outcome": {**outcome, "settled_at": time.time()}}
    path = spooled.path.with_suffix(CONFLICT if conflict else DONE)
    replace_file(path, json.dumps(content, ensure_ascii=False).encode("utf-8", "replace") + b"\n", 0o600)
    spooled.path.unlink(missing_ok=True)
    return path


def done(home: Path) -> list[Spooled]:
    """What the hub has taken lately, in order."""
    return _read_all(home, DONE)


def conflicts(home: Path) -> list[Spooled]:
    """What the hub has refused and nobody has decided about, in order."""
    return _read_all(home, CONFLICT)


def torn(home: Path) -> list[Path]:
    """Operations that could not be read."""
    return _numbers(home, TORN)


def _read_all(home: Path, state: str) -> list[Spooled]:
    return [found for path in _numbers(home, state) if (found := read(home, path)) is not None]


def answer_of(home: Path, key: str) -> str | None:
    """The id of the record that an operation made, by the operation's key; None while it is not known."""
    for path in reversed(_numbers(home, DONE)):
        found = read(home, path)
        if found is not None and found.operation.key == key:
            made = found.outcome.get("id")
            return str(made) if made else None
    return None


def offer_again(home: Path, since_epoch: str) -> int:
    """Let what the hub took in its former life wait again, with the same keys; how many. `since_epoch` is the new one.

    What was in the backup is known there by its key, what was not takes effect anew.
    """
    count = 0
    for spooled in done(home):
        if spooled.outcome.get("epoch") == since_epoch:
            continue
        content = json.dumps(asdict(spooled.operation), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        replace_file(spooled.path.with_suffix(WAITING), content, 0o600)
        spooled.path.unlink(missing_ok=True)
        count += 1
    return count


def drop(spooled: Spooled) -> Path:
    """Give a conflict up: it is kept apart, for people."""
    return spooled.path.replace(spooled.path.with_suffix(DROPPED))


def tidy(home: Path) -> None:
    """Remove what killed writers have left, and what the hub has had for long."""
    now = time.time()
    for part in (home / "spool").glob(".op-*.part"):
        with contextlib.suppress(FileNotFoundError):
            if now - part.stat().st_mtime > _PART_SECONDS:
                part.unlink()
    kept = _numbers(home, DONE)
    for place, path in enumerate(reversed(kept)):
        with contextlib.suppress(FileNotFoundError):
            if place >= MOST_DONE or now - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
