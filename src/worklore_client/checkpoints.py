"""What this machine remembers of the hub's audit, and the alarm when the hub does not go on from there.

A checkpoint says where every chain of the audit stands, signed. Whoever changes the hub's database can make it look as
if some entries had never been; they cannot reach what is remembered here. ``checkpoints.jsonl`` holds the checkpoints
as the hub gave them, the newest last; ``worklore audit verify --checkpoint`` reads it. One that contradicts them is
never added: it goes into ``checkpoint-alarm.json`` with the one it contradicts, and stays there until somebody has
looked at it and moved that file away.
"""

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from worklore_client.config import replace_file, write_private
from worklore_client.ed25519 import valid

KEPT = "checkpoints.jsonl"
ALARM = "checkpoint-alarm.json"
MOST = 1_000
"""Checkpoints that are kept."""

WHY = {
    "checkpoint-forged": "it sent a checkpoint that is not signed as it says",
    "checkpoint-other-key": "its checkpoints are signed with another key",
    "checkpoint-not-extended": "entries of its audit that were there are gone, or are others now",
    "checkpoint-former-life": "it is back in a life from before a restore",
}
"""What an alarm says, by its code."""

_TEXTS = ("id", "epoch", "root", "key_id", "signature", "public_key")
_NUMBERS = ("at", "records")

Told = dict[str, Any]
Borne = Callable[[dict[str, Any]], bool]
"""Asks the hub whether it still has the entries that a checkpoint's heads name."""


@dataclass(frozen=True)
class Alarm:
    """The hub has contradicted what is remembered here. `since` in seconds since 1970; `code` is a key of WHY."""

    since: float
    code: str


def keep(home: Path, hub: str, told: object, borne_out: Borne) -> str | None:
    """Remember a checkpoint that `hub` gave. The code of what is wrong with it, None when nothing is.

    That numbers have grown does not show that what was there before is there still: `borne_out` asks the hub, once for
    each new checkpoint. Only the flusher calls this, while it holds its lock. OSError when nothing can be written;
    what `borne_out` raises is passed on, and then nothing is kept.
    """
    checkpoint = _understood(told)
    if checkpoint is None:
        return None if told is None else "checkpoint-unreadable"
    kept = [each for each in remembered(home) if each.get("hub") == hub]
    code = _wrong(kept, checkpoint, borne_out)
    if code is not None:
        _alarm(home, hub, code, kept[-1] if kept else None, checkpoint)
    elif not kept or _is_news(kept[-1], checkpoint):
        _append(home, {**checkpoint, "hub": hub})
    return code


def remembered(home: Path) -> list[Told]:
    """The checkpoints that are kept, the newest last; what a crash has left half written is passed over."""
    try:
        lines = (home / KEPT).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [known for line in lines if (known := _read(line)) is not None]


def alarm(home: Path) -> Alarm | None:
    """The alarm that nobody has dealt with yet. A file that cannot be read is one too."""
    try:
        raw: Any = json.loads((home / ALARM).read_bytes())
        return Alarm(float(raw["since"]), str(raw["code"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Alarm((home / ALARM).stat().st_mtime, "checkpoint-forged")


def restored_at(home: Path, hub: str) -> float | None:
    """When `hub` first told of its present life, in seconds since 1970; None while that is the first one known."""
    lives: list[tuple[str, float]] = []
    for each in remembered(home):
        if each.get("hub") == hub and (not lives or lives[-1][0] != each["epoch"]):
            lives.append((each["epoch"], each["at"] / 1e6))
    return lives[-1][1] if len(lives) > 1 else None


# --- one against the other


def _wrong(kept: list[Told], told: Told, borne_out: Borne) -> str | None:
    if not _is_signed(told):
        return "checkpoint-forged"
    if not kept:
        return None
    last = kept[-1]
    if (told["key_id"], told["public_key"]) != (last["key_id"], last["public_key"]):
        return "checkpoint-other-key"
    if told["epoch"] != last["epoch"]:
        return "checkpoint-former-life" if any(told["epoch"] == each["epoch"] for each in kept) else None
    if told["id"] == last["id"] or borne_out(last["heads"]):
        return None
    return "checkpoint-not-extended"


def _is_news(last: Told, told: Told) -> bool:
    """False for one that tells no more, and for an older one, which another process of the hub may still have."""
    return bool(told["epoch"] != last["epoch"] or (told["heads"] != last["heads"] and _extends(last, told)))


def _extends(earlier: Told, later: Told) -> bool:
    """Every chain is there still, no shorter, and where it has not grown its last entry is the same."""
    for chain, (number, code) in earlier["heads"].items():
        now = later["heads"].get(chain)
        if now is None or now[0] < number or (now[0] == number and now[1] != code):
            return False
    return True


def _is_signed(told: Told) -> bool:
    heads = told["heads"]
    if told["root"] != _root(heads) or told["records"] != sum(number for number, _ in heads.values()):
        return False
    signed = ("worklore checkpoint/v1", *(told[name] for name in ("id", "at", "epoch", "records", "root", "key_id")))
    try:
        key, signature = bytes.fromhex(told["public_key"]), bytes.fromhex(told["signature"])
    except ValueError:
        return False
    return valid(key, _joined(signed), signature)


def _root(heads: Mapping[str, Any]) -> str:
    return hashlib.sha256(_joined([part for chain in sorted(heads) for part in (chain, *heads[chain])])).hexdigest()


def _joined(parts: Any) -> bytes:
    """Each part as text, with its length before it."""
    return b"".join(struct.pack(">I", len(data)) + data for data in (str(part).encode() for part in parts))


def _understood(told: object) -> Told | None:
    """The members of a checkpoint; None for what is none."""
    if not isinstance(told, dict):
        return None
    members = cast("Told", told)
    heads: Any = members.get("heads")
    texts = all(isinstance(members.get(name), str) for name in _TEXTS)
    numbers = all(isinstance(members.get(name), int) for name in _NUMBERS)
    if not texts or not numbers or not isinstance(heads, dict):
        return None
    for head in cast("dict[str, Any]", heads).values():
        match head:
            case [int(), str()]:
                continue
            case _:
                return None
    return {name: members[name] for name in (*_TEXTS, *_NUMBERS, "heads")}


def _read(line: bytes) -> Told | None:
    try:
        raw: Any = json.loads(line)
    except ValueError:
        return None
    known = _understood(raw)
    return None if known is None else {**known, "hub": raw.get("hub")}


# --- files


def _append(home: Path, checkpoint: Told) -> None:
    """Add a line, forced to the disk; the oldest go when there are too many."""
    path, line = home / KEPT, json.dumps(checkpoint).encode() + b"\n"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    if len(lines) >= MOST:
        replace_file(path, b"".join([*lines[1 - MOST :], line]), 0o600)
        return
    torn = b"\n" if lines and not lines[-1].endswith(b"\n") else b""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
        file.write(torn + line)
        file.flush()
        os.fsync(file.fileno())


def _alarm(home: Path, hub: str, code: str, kept: Told | None, seen: Told) -> None:
    """Write the first alarm down; later ones say no more."""
    if not (home / ALARM).exists():
        found = {"since": time.time(), "code": code, "hub": hub, "kept": kept, "seen": seen}
        write_private(home / ALARM, json.dumps(found) + "\n")
