"""What a transcript tells, whichever agent wrote it: what was said, what was done and how it ended, what it cost.

A reader of an agent's records is a function of the records and of a *state*: what it must remember of the records
before. The state is plain JSON of bounded size, is stored with the cursor and handed to whoever reads on, so that a
file gives the same steps however it is cut into pieces.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol, cast

from worklore.memory.transcript import Turn

MAX_COMMAND: Final = 4_000
MAX_OUTPUT: Final = 2_000
MAX_ERROR: Final = 1_000
MAX_PLAN: Final = 8_000
MAX_SUMMARY: Final = 20_000
MAX_TITLE: Final = 300
"""Characters that are kept of a command, its output, an error, a plan, a program's summary, and an item of a list."""

MAX_OPEN: Final = 64
MAX_ITEMS: Final = 100
"""Calls that wait for their result, and items of lists, that a state holds; the oldest go first."""

MAX_NUMBER: Final = 2**53

_CUT: Final = re.compile(r"\n?\[(\d{1,15}) (?:characters|bytes) left out\]\n?")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class Act(StrEnum):
    """What sort of thing a tool does."""

    command = "command"
    edit = "edit"
    plan = "plan"
    question = "question"
    list = "list"
    other = "other"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one file. `size` is what was written, in bytes; None for what it does not say of itself."""

    path: str
    kind: str
    size: int | None = None
    added: int | None = None
    removed: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool.

    `uuid` and `place` say where it stands: its record, and which block of that; `ordinal` is the record's number in the
    transcript. `text` is the command, the plan, or what the call was about; `shell` names a command's shell.
    """

    id: str = ""
    uuid: str = ""
    place: int = 0
    ordinal: int = 0
    act: str = Act.other
    tool: str = ""
    text: str = ""
    shell: str = ""
    edits: tuple[Edit, ...] = ()
    time: str = ""
    cwd: str = ""
    branch: str = ""
    subagent: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the state: without what is empty."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "edits"}
        edits = [{name: getattr(edit, name) for name in Edit.__slots__} for edit in self.edits]
        return {name: value for name, value in (plain | {"edits": edits}).items() if value not in ("", [])}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Call":
        """What `as_json` gave, of another release even: what this one does not know is left out."""
        known: dict[str, Any] = {name: value[name] for name in cls.__slots__ if name in value}
        known["edits"] = tuple(Edit(**edit) for edit in value.get("edits", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended.

    `ok` is None where nobody can tell: interrupted, or still running in the background. `made` is True when the file
    that was written had not been there.
    """

    ok: bool | None
    output: str = ""
    exit_code: int | None = None
    interrupted: bool = False
    background: str = ""
    duration_ms: int | None = None
    time: datetime | None = None
    made: bool = False
    answers: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Questions that a person answered: question, answer, what else there was to choose."""


@dataclass(frozen=True, slots=True)
class Done:
    """A call and how it ended."""

    call: Call
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Item:
    """An item of an agent's list of things to do. `uuid` and `place` are where it was first seen."""

    uuid: str
    place: int
    ordinal: int
    title: str
    status: str
    time: datetime | None
    subagent: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one message of a model cost, in tokens. `cache_write` includes `cache_write_long`, which is kept an hour."""

    key: str
    model: str
    time: datetime | None
    subagent: str = ""
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_long: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What the agent's program wrote when it cut its context down."""

    uuid: str
    ordinal: int
    text: str
    time: datetime | None
    tokens_before: int | None = None


@dataclass(slots=True)
class Read:
    """What some records told, each kind in their order."""

    turns: list[Turn] = field(default_factory=list[Turn])
    forgotten: set[str] = field(default_factory=set[str])
    """The turns that somebody has deleted."""
    ordinals: dict[str, int] = field(default_factory=dict[str, int])
    done: list[Done] = field(default_factory=list[Done])
    items: list[Item] = field(default_factory=list[Item])
    usage: list[Usage] = field(default_factory=list[Usage])
    summaries: list[Summary] = field(default_factory=list[Summary])
    dropped: Counter[str] = field(default_factory=Counter[str])


class Reader(Protocol):
    """Reads the records of one agent."""

    def __call__(self, records: Iterable[object], state: dict[str, Any], *, source: str) -> Read:
        """What the records tell. Nothing in a record raises. `state` is changed in place; empty at a file's start."""
        ...


# --- reading JSON of which nothing is certain -----------------------------------------------------------------------


def fields(value: object) -> Mapping[str, Any]:
    """The members of an object; none for anything else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The items of an array; none for anything else."""
    found: list[Any] = value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType] - anything
    return found


def word(members: Mapping[str, Any], name: str) -> str:
    """A text member that every database can keep; empty for anything else."""
    value = members.get(name)
    return storable(value) if isinstance(value, str) else ""


def number(members: Mapping[str, Any], name: str) -> int | None:
    """A whole number that is not negative; None for anything else."""
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < MAX_NUMBER else None


def storable(text: str) -> str:
    """The text without NUL and lone surrogates, which become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def bounded(text: str, limit: int) -> str:
    """The text's beginning and end where it is longer than `limit` characters: an error stands at the end."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail]}\n[{len(text) - limit} characters left out]\n{text[-tail:]}"


def one_line(text: str, limit: int = MAX_TITLE) -> str:
    """The text on one line, cut at the end where it is longer than `limit` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def size_of(text: str) -> int:
    """Bytes of a text, and of what the client left out of it as far as its mark says so."""
    left_out = [int(found) for found in _CUT.findall(text)]
    return len(_CUT.sub("", text).encode()) + min(sum(left_out), MAX_NUMBER)


def lines_of(text: str) -> int | None:
    """Lines of a text; None for one that the client has cut."""
    if _CUT.search(text):
        return None
    return text.count("\n") + (bool(text) and not text.endswith("\n"))
