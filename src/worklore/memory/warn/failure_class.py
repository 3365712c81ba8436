"""What sort of failure an error's text tells of, and the signature by which it is known again.

Rules are data: the first that fits a line decides. A signature has the program and its subcommand, what the error
itself names of the command's words, the class, and the line with numbers, paths, hosts, ids and times taken out. What
the error names stays in, or `cat /a` and `cat /b`, each refused once, would be one failure seen twice.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any, Final

from worklore.knowledge.insight import InsightCategory
from worklore.knowledge.pattern import PatternSeverity, PatternType
from worklore.memory.warn.command_line import SUBCOMMANDS, Call, calls
from worklore.memory.warn.rules import RULES, any_of, words

MAX_MESSAGE: Final = 8_000
MAX_LINE: Final = 300
MAX_SIGNATURE: Final = 500
NOT_FOUND: Final = 127
CUT_OFF: Final = 4


@dataclass(frozen=True, slots=True)
class FailureClass:
    """A sort of failure.

    `passes` is True for what may be over by itself (a service that is away), which says little about another host.
    `of_code` is True for what tells of the environment even when a test runner or a compiler says it.
    """

    name: str
    pattern: re.Pattern[str]
    type: PatternType
    category: InsightCategory
    severity: PatternSeverity
    cause: str
    passes: bool = False
    of_code: bool = False


def _read(data: Mapping[str, Any]) -> FailureClass:
    return FailureClass(
        name=data["name"],
        pattern=any_of(data["patterns"]),
        type=PatternType(data["type"]),
        category=InsightCategory(data["category"]),
        severity=PatternSeverity(data["severity"]),
        cause=data["cause"],
        passes=data.get("passes", False),
        of_code=data.get("of_code", False),
    )


CLASSES: Final = tuple(_read(data) for data in RULES["class"])
ANY: Final = any_of(pattern for data in RULES["class"] for pattern in data["patterns"])
OTHER: Final = FailureClass(
    name="other",
    pattern=re.compile(r"(?!)"),
    type=PatternType.configuration_error,
    category=InsightCategory.command_constraints,
    severity=PatternSeverity.minor,
    cause="Why is not known.",
    passes=True,
)
BY_NAME: Final = {rule.name: rule for rule in (*CLASSES, OTHER)}

CHECKERS: Final = re.compile(rf"(?:{any_of(RULES['checkers']).pattern})\Z")
QUIET: Final = words("quiet")
ASIDE: Final = words("aside")

_TIMES: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:[ t]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:z|[+-]\d\d:?\d\d)?)?"
    r"|(?<![\d.:])\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?\b"
)
_UUIDS: Final = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")
_URLS: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)]+")
_ADDRESSES: Final = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}\b")
_PATHS: Final = re.compile(
    r"\b[a-z]:\\[^\s'\"<>|:]*|\\\\[^\s'\"<>|]+|(?<![\w.])(?:~|\.{1,2})?(?:/[\w.@%+=-]+)+/?|(?<![\w.])~?/(?=[\s'\"]|\Z)"
)
_CODES: Final = re.compile(r"\b0x[0-9a-f]+\b")
_HEX: Final = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,}\b")
_NAMES: Final = re.compile(
    r"\b(?:[a-z0-9-]+\.)+(?:com|net|org|io|dev|local|lan|internal|corp|home|test|example|invalid|de|eu|uk|at|ch)\b"
)
_NUMBERS: Final = re.compile(r"\d+(?:[.,]\d+)*")
_SHORT_OPTION: Final = re.compile(r"option -- '?([\w-])'?|shorthand flag: '(\w)'|argument -(\w)\b", re.IGNORECASE)
_OF_THE_CARRIER: Final = re.compile(r"(?i)^(?:ssh|plink|kex_exchange\w*): |publickey|host key verification|port 22\b")
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@lru_cache(maxsize=4_096)
def line_of(message: str, exit_code: int | None = None) -> tuple[FailureClass, str]:
    """The class of an error's text, and the line that says it; of an unknown one its last line.

    Times and the like in the line are as they were written; at most `MAX_LINE` characters.
    """
    text = _ESCAPES.sub("", message)
    if len(text) > MAX_MESSAGE:
        text = text[: MAX_MESSAGE // 2] + "\n" + text[-MAX_MESSAGE // 2 :]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if ANY.search(line[:1_000])]
    for rule in CLASSES:
        for line in telling:
            if rule.pattern.search(line[:1_000]):
                return rule, line[:MAX_LINE]
    if exit_code == NOT_FOUND:
        return BY_NAME["command-missing"], (lines[-1] if lines else "command not found")[:MAX_LINE]
    lines = [line for line in lines if not re.fullmatch(r"(?i)(?:exit|error) (?:code|status):? \d+", line)]
    return OTHER, (lines[-1] if lines else "")[:MAX_LINE]


def normalised(line: str) -> str:
    """A line with what differs from one time to the next taken out."""
    text = line.lower()
    for pattern, mark in (
        (_URLS, "<url>"),
        (_TIMES, "<time>"),
        (_UUIDS, "<id>"),
        (_ADDRESSES, "<host>"),
        (_PATHS, "<path>"),
        (_NAMES, "<host>"),
    ):
        text = pattern.sub(mark, text)
    codes = _CODES.findall(text)  # they name the error
    text = _CODES.sub("\0", text)
    text = _HEX.sub("<id>", text)
    text = _NUMBERS.sub("#", text)
    for code in codes:
        text = text.replace("\0", code, 1)
    return " ".join(text.replace("\0", "").split())[:200]


def named_by(line: str, call: Call) -> tuple[str, ...]:
    """The words of a call that an error's line names, in their order: what the failure is about."""
    text = line.lower()
    found = [word for word in call.arguments if len(word) > 1 and not word.isdigit() and _stands_in(word.lower(), text)]
    found += [option for option in call.options if _stands_in(option.lower(), text)]
    for match in _SHORT_OPTION.finditer(line):
        letter = next(group for group in match.groups() if group)
        found += [option for option in call.options if option[1:2] != "-" and letter in option and option not in found]
    parameter = re.search(r"parameter name '([^']+)'", line)
    if parameter:
        found += [option for option in call.options if option.lower() == f"-{parameter[1].lower()}"]
    return tuple(dict.fromkeys(word.lower() for word in found))


def _stands_in(word: str, text: str) -> bool:
    at = text.find(word)
    while at >= 0:
        before, behind = text[at - 1 : at], text[at + len(word) : at + len(word) + 1]
        if not (before.isalnum() or before in {"-", "_", "/"}) and not (behind.isalnum() or behind in {"-", "_"}):
            return True
        at = text.find(word, at + 1)
    return False


def failing(made: Sequence[Call], rule: FailureClass, line: str) -> Call | None:
    """Which of a command line's calls failed; None where that cannot be told."""
    carriers = [call for call in made if call.carries]
    if carriers and _OF_THE_CARRIER.search(line):
        return carriers[0]
    inner = [call for call in made if not call.carries]
    weighty = [call for call in inner if call.program not in ASIDE] or inner
    if rule.name == "command-missing":
        return next((call for call in weighty if _stands_in(call.program, line.lower())), None)
    if len(weighty) == 1:
        return weighty[0]
    named = [call for call in weighty if _stands_in(call.program, line.lower())]
    if not named:
        named = [call for call in weighty if named_by(line, call)]
    return named[0] if len({(call.head, call.words) for call in named}) == 1 else None


def is_worth_learning(call: Call, rule: FailureClass, line: str) -> bool:
    """False for a failure that says nothing about the environment."""
    if CHECKERS.match(call.head) or CHECKERS.match(call.program):
        return rule.of_code
    if rule is OTHER:
        return bool(line) and call.program not in QUIET
    return True


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a call repeats a failure: the head is the same, or the program where that is missing, and so are words.

    `failed` are all words of the call that failed. Where rights were lacking, a call with more of them is another one.
    """

    head: str
    words: frozenset[str] = frozenset()
    least: int = 0
    program_alone: bool = False
    failed: frozenset[str] = frozenset()
    elevated: bool = False
    of_rights: bool = False

    @property
    def key(self) -> str:
        """What a call is looked up by: its program for one that is missing, else its head."""
        return f"{self.head} *" if self.program_alone else self.head

    def fits(self, call: Call) -> bool:
        """True when a call would do what failed."""
        if call.carries or (self.of_rights and call.elevated and not self.elevated):
            return self.head == call.head == "ssh" and bool(self.words & call.words)
        if self.program_alone:
            return call.program == self.head
        return call.head == self.head and len(self.words & call.words) >= self.least


RIGHTS: Final = frozenset({"permission", "authentication", "read-only"})


def trigger(call: Call, rule: FailureClass, line: str) -> Trigger:
    """When another call repeats this failure.

    What the error names must be in it; where it names nothing, a program with subcommands must be told to do the same
    to one of the same things, and another program must have at least half of the words.
    """
    about: Any = {"failed": call.words, "elevated": call.elevated, "of_rights": rule.name in RIGHTS}
    if rule.name == "command-missing":
        return Trigger(call.program, program_alone=True, **about)
    named = named_by(line, call)
    if named:
        return Trigger(call.head, frozenset(named), 1, **about)
    things = frozenset(word.lower() for word in call.arguments)
    if rule is OTHER or not things:
        return Trigger(call.head, call.words, len(call.words), **about)
    return Trigger(call.head, things, 1 if call.program in SUBCOMMANDS else ceil(len(things) / 2), **about)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as it is known again."""

    signature: str
    call: Call
    rule: FailureClass
    line: str
    trigger: Trigger


def failure_of(command: str, message: str, exit_code: int | None = None) -> Failure | None:
    """What a command's failure is known by; None for one that says nothing about the environment."""
    rule, line = line_of(message, exit_code)
    call = failing(calls(command), rule, line)
    if call is None or not is_worth_learning(call, rule, line):
        return None
    wanted = trigger(call, rule, line)
    about = [call.head if not wanted.program_alone else call.program, *sorted(wanted.words)]
    signature = f"{' '.join(about)[:200]} | {rule.name} | {normalised(line)}"
    return Failure(signature[:MAX_SIGNATURE], call, rule, line, wanted)


def operation_failure_of(kind: str, target: str, message: str, code: str | None) -> str:
    """The signature of an operation that failed and was no command: its kind, its target, the line that says why."""
    rule, line = line_of(message)
    return f"{kind} {code or ''} | {rule.name} | {normalised(line or target)}"[:MAX_SIGNATURE]


def key_of(client: uuid.UUID | None, host: str, signature: str) -> str:
    """What tells one client's failure on one host from all others: 64 hexadecimal digits."""
    return hashlib.sha256(f"{client or ''}\n{host}\n{signature}".encode()).hexdigest()


def pattern_id(key: str) -> uuid.UUID:
    """The id of the pattern that is learned from a key: a UUIDv5 (RFC 9562), the same wherever it is learned.

    MariaDB takes no UUIDv8 that it cannot tell from one of another version.
    """
    return uuid.uuid5(uuid.NAMESPACE_OID, f"failure pattern {key}")
