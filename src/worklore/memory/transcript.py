"""From the records of a Claude Code transcript to turns: what a person and the agent said to each other.

Left out: tool calls and their results (which `worklore.memory.trail` reads), thinking, what the agent's program adds
for itself (meta records, reminders, caveats, the output of local commands), other conversations (sidechains), summaries
of what was captured already, and what memory itself injected.

The agent writes one message as several records with a common message id, one for each block. **Each record with text
is a turn of its own**, by its own uuid: records come in chunks, the blocks of one message may come in different ones,
and a turn that was stored must never change afterwards. `Turn.message` tells which belong together; as they are
adjacent, ranking sees them side by side anyway.

Every field can be missing or of another type; nothing in a record raises. Text is stored on three databases, some of
which refuse NUL and all of which refuse lone surrogates: both become U+FFFD and are counted.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, cast

from worklore.memory.frame import TAG, block, without_blocks

_ROLES: Final = ("user", "assistant")
_DROPPED_BY_FLAG: Final = (
    "isSidechain",
    "isMeta",
    "isCompactSummary",
    "isVisibleInTranscriptOnly",
    "isApiErrorMessage",
)
_SYNTHETIC_MODEL: Final = "<synthetic>"  # what the program writes in the assistant's name, such as usage limits
_INSERTED: Final = ("system-reminder", "local-command-caveat", "ide_opened_file", "ide_selection", "task-notification")
_COMMAND_OUTPUT: Final = ("local-command-stdout", "local-command-stderr", "bash-stdout", "bash-stderr")
_COMMAND: Final = re.compile(r"\s*<(?:command|local-command|bash)-[a-z]+>")
_INTERRUPTED: Final = re.compile(r"^\[Request interrupted by user[^\]\n]*\]\s*", re.MULTILINE)
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"

MAX_UUID: Final = 100
FIRST_YEAR: Final = 1000
"""MariaDB's times begin here."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One record's text.

    `uuid` is the record's own, or, where it has none, a digest of what it says. `role` is `user` or `assistant`.
    `time` is in UTC, None where the record has none that can be read. `message` is the agent's id of the message the
    text is part of; it and the rest are empty where the record does not say.
    """

    uuid: str
    role: str
    text: str
    time: datetime | None
    session: str = ""
    message: str = ""
    cwd: str = ""
    git_branch: str = ""


@dataclass(slots=True)
class Reading:
    """The turns of some records in their order, and what became of the others.

    `dropped` counts the records that are no turn by reason; `replaced` counts the characters that could not be stored.
    """

    turns: list[Turn] = field(default_factory=list[Turn])
    dropped: Counter[str] = field(default_factory=Counter[str])
    replaced: int = 0


def read(records: Iterable[object]) -> Reading:
    """Turns of parsed transcript records, each uuid once.

    A file read in chunks gives the same turns as the file read at once, save for a uuid that is repeated in a later
    chunk: who stores them keeps the first.
    """
    reading = Reading()
    seen: set[str] = set()
    for record in records:
        outcome = _read_one(record)
        if isinstance(outcome, str):
            reading.dropped[outcome] += 1
            continue
        turn, replaced = outcome
        if turn.uuid in seen:
            reading.dropped["repeated"] += 1
            continue
        seen.add(turn.uuid)
        reading.turns.append(turn)
        reading.replaced += replaced
    return reading


def turns(records: Iterable[object]) -> list[Turn]:
    """The turns of parsed transcript records; `read` tells what became of the others too."""
    return read(records).turns


def _read_one(record: object) -> tuple[Turn, int] | str:
    """The turn of a record and how many characters were replaced, or the reason why it is none."""
    if not isinstance(record, Mapping):
        return "malformed"
    fields = cast("Mapping[object, object]", record)
    role = _word(fields, "type")
    if role not in _ROLES:
        return "other type"
    for flag in _DROPPED_BY_FLAG:
        if fields.get(flag):
            return flag
    message = fields.get("message")
    if not isinstance(message, Mapping):
        return "malformed"
    said = cast("Mapping[object, object]", message)
    if said.get("model") == _SYNTHETIC_MODEL:
        return "synthetic"
    raw = "\n\n".join(_texts(said.get("content")))
    text, replaced = _storable(_cleaned(raw, role))
    if not text:
        return "no text"
    return _turn(fields, said, role, text), replaced


def _turn(fields: Mapping[object, object], said: Mapping[object, object], role: str, text: str) -> Turn:
    session, time = _word(fields, "sessionId"), moment(fields.get("timestamp"))
    digest = hashlib.sha256("\x00".join((session, str(time), role, text)).encode())
    return Turn(
        uuid=_word(fields, "uuid")[:MAX_UUID] or digest.hexdigest()[:32],
        session=session,
        role=role,
        time=time,
        text=text,
        message=_word(said, "id") if role == "assistant" else "",
        cwd=_word(fields, "cwd"),
        git_branch=_word(fields, "gitBranch"),
    )


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for block in cast("list[object]", content):
            if isinstance(block, Mapping):
                held = cast("Mapping[object, object]", block)
                text = held.get("text")
                if held.get("type") == "text" and isinstance(text, str):
                    yield text


def _cleaned(text: str, role: str) -> str:
    text = without_blocks(text, TAG)
    if role == "user":
        for tag in _INSERTED:
            text = without_blocks(text, tag)
        if _COMMAND.match(text):
            text = _command(text)
        text = _INTERRUPTED.sub("", text)
    return text.strip("\r\n\t ")


def _command(text: str) -> str:
    """What a person typed of a command's record: `/name arguments`, or the shell input; nothing for a bare command."""
    name, arguments, typed = (block(text, tag) for tag in ("command-name", "command-args", "bash-input"))
    if arguments:
        return f"{name} {arguments}".strip()
    if typed:
        return f"! {typed}"
    if name:
        return ""
    for tag in _COMMAND_OUTPUT:
        text = without_blocks(text, tag)
    return text


def _storable(text: str) -> tuple[str, int]:
    return _UNSTORABLE.subn(_REPLACEMENT, text)


def _word(fields: Mapping[object, object], name: str) -> str:
    value = fields.get(name)
    return _storable(value)[0] if isinstance(value, str) else ""


def moment(value: object) -> datetime | None:
    """A time in UTC; one without a zone is taken as UTC, which is what agents write. None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return time if time.year >= FIRST_YEAR else None
