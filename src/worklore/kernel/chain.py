"""What makes the change audit tamper-evident: chains of entries, each sealed over itself and the one before.

A chain has one writer at a time, so a chain never forks and nobody waits for another's commit. A process that writes
has a name of its own and as many chains as it has transactions at once: a transaction takes a free one with its first
entry and gives it back at its end. Two unique indexes see to it that a fork would be an error, not a silent fact.

The code is HMAC-SHA256 over the fields as they were handed to the database, each with its length before it; never over
what a database has made of them.
"""

import hashlib
import hmac
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, NamedTuple

from worklore.kernel.types import dumps, wire_value

START: Final = "0" * 64
"""What stands where the first entry of a chain would have the code of the one before."""

FIELDS: Final = (
    "chain",
    "seq",
    "prev_mac",
    "id",
    "at",
    "actor",
    "on_behalf_of",
    "action",
    "table_name",
    "record_id",
    "client_id",
    "changed",
    "message",
    "request_id",
    "outcome",
)
"""What the code covers, in this order; ``changed`` as the text that is stored."""

_LENGTH: Final = Struct(">I").pack
_NOTHING: Final = b"\xff\xff\xff\xff"
_FORMAT: Final = b"worklore audit/v1"
_WITNESSED: Final = b"worklore witness/v1"


class HeadMovedError(RuntimeError):
    """Somebody else has appended to this chain; the unit of work succeeds when it runs again."""


class Head(NamedTuple):
    """The last entry of a chain: its number, from 1, and its code."""

    seq: int
    mac: str


NEW: Final = Head(0, START)


@dataclass(slots=True)
class Slot:
    """A chain of this process; ``head`` is None while it has to be read from the database."""

    chain: str
    head: Head | None = None


@dataclass(slots=True)
class Link:
    """A chain in the hands of one transaction. A rollback, of a savepoint too, makes its head unknown."""

    slot: Slot
    head: Head | None


def packed(values: Mapping[str, Any]) -> bytes:
    """The fields of an entry as one text, from which no other entry's fields make the same."""
    return _joined(_FORMAT, (values[name] for name in FIELDS))


def _joined(begin: bytes, values: Iterable[Any]) -> bytes:
    parts: list[bytes] = [begin]
    for value in values:
        if value is None:
            parts.append(_NOTHING)
            continue
        if isinstance(value, bytes):
            data = value
        elif isinstance(value, uuid.UUID):
            data = value.bytes
        else:
            data = (value if isinstance(value, str) else str(value)).encode()
        parts += (_LENGTH(len(data)), data)
    return b"".join(parts)


def digest(table: str, values: Mapping[str, Any]) -> str:
    """SHA-256 of a row, 64 hexadecimal digits: what a chain's entry says of a row that it witnesses.

    Columns without a value do not count, so that a column which is added later changes no digest. JSON counts as the
    text that is stored, an enumeration by its value and a time as its text in UTC to the microsecond.
    """
    told: list[Any] = [table]
    for name in sorted(values):
        if (value := values[name]) is not None:
            told += (name, dumps(value) if isinstance(value, dict | list) else _plain(value))
    return hashlib.sha256(_joined(_WITNESSED, told)).hexdigest()


def _plain(value: Any) -> Any:
    return value if isinstance(value, uuid.UUID | bytes) else wire_value(value)


def seal(key: bytes, values: Mapping[str, Any]) -> str:
    """The code of an entry, 64 hexadecimal digits."""
    return hmac.digest(key, packed(values), "sha256").hex()


def key_of(chain: str) -> str:
    """The name of the key that a chain was sealed with: the last part of the chain's name."""
    return chain.rpartition(".")[2]


class Chains:
    """The chains of one process.

    Attributes:
        appended: entries that were appended so far, those of units that failed included.
        release: lets another process have the node's name.
    """

    def __init__(self, key: bytes, key_id: str, node: str, release: Callable[[], None] = lambda: None) -> None:
        self.key = key
        self.appended = 0
        self.release = release
        self._name = f"{node}.{{}}.{key_id}"
        self._slots: list[Slot] = []
        self._free: list[Slot] = []
        self._lock = threading.Lock()

    def take(self) -> Link:
        """A chain that nobody else has; its head counts as unknown until :meth:`give_back` is told the new one."""
        with self._lock:
            if not self._free:
                self._free.append(Slot(self._name.format(len(self._slots))))
                self._slots += self._free
            slot = self._free.pop()
        link = Link(slot, slot.head)
        slot.head = None
        return link

    def give_back(self, link: Link, head: Head | None) -> None:
        """Let the next have a chain. ``head`` is None unless what was appended is known to be committed."""
        link.slot.head = head
        with self._lock:
            self._free.append(link.slot)

    def forget(self) -> None:
        """Read every head from the database again: a commit of several units has failed."""
        with self._lock:
            for slot in self._slots:
                slot.head = None

    def append(self, link: Link, head: Head, entries: list[dict[str, Any]], texts: list[str]) -> None:
        """Add chain, number and codes to entries; ``texts`` are their ``changed`` as stored."""
        seq, mac = head
        for entry, text in zip(entries, texts, strict=True):
            seq += 1
            entry |= {"chain": link.slot.chain, "seq": seq, "prev_mac": mac}
            mac = entry["mac"] = seal(self.key, entry | {"changed": text})
        link.head = Head(seq, mac)
        self.appended += len(entries)
