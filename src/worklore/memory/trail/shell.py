"""What a shell line runs: its programs with their arguments, through the wrappers that people put around them.

A reader for finding out what was done, not a shell: it follows quotes, operators, here-documents and comments of POSIX
shells and what PowerShell shares with them, leaves substitutions as they stand, and takes anything at all in time that
grows with the text's length.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MAX_TEXT: Final = 8_000
MAX_DEPTH: Final = 4
MAX_FOUND: Final = 60

OPERATORS: Final = frozenset({";", "&", "&&", "||", "|", "\n", "(", ")", "{", "}", "|&", ";;"})
KEYWORDS: Final = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "time", "{", "(", "exec"})
WRAPPERS: Final = {
    "sudo": frozenset("ugCDhpRrTt"),
    "doas": frozenset("uC"),
    "env": frozenset("uCS"),
    "nohup": frozenset[str](),
    "nice": frozenset("n"),
    "ionice": frozenset("cn"),
    "timeout": frozenset("ks"),
    "stdbuf": frozenset("ioe"),
    "command": frozenset[str](),
    "setsid": frozenset[str](),
    "xargs": frozenset("IndPLaEs"),
    "watch": frozenset("n"),
}
"""Programs that run another one, and those of their options, of one letter, that take a value."""

SHELLS: Final = frozenset({"bash", "sh", "zsh", "dash", "ksh", "ash", "fish"})
POWERSHELLS: Final = frozenset({"powershell", "pwsh"})
SSH_VALUES: Final = frozenset("BbcDEeFIiJLlmOoPpQRSWw")
"""Options of ssh that take a value."""

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*\+?=")
_DURATION: Final = re.compile(r"\d+(?:\.\d+)?[smhd]?")
_REDIRECT: Final = re.compile(r"\d*(?:>>?|<<<|<)&?\d*-?|&>>?")


@dataclass(frozen=True, slots=True)
class Invocation:
    """A program that is run.

    `program` is its name without folder and ending, in lower case; `host` is where it runs, empty for this machine.
    """

    program: str
    arguments: tuple[str, ...]
    host: str = ""

    def words(self) -> list[str]:
        """The arguments that are no options."""
        return [argument for argument in self.arguments if not argument.startswith("-")]

    def option(self, *names: str) -> str:
        """The value of the first of some options that is given: `-h x`, `--host x`, `--host=x`, `-hx`; else empty."""
        for place, argument in enumerate(self.arguments):
            name, equals, value = argument.partition("=")
            if name in names:
                if equals:
                    return value
                return self.arguments[place + 1] if place + 1 < len(self.arguments) else ""
            if len(argument) > 2 and argument[:2] in names and not argument.startswith("--"):  # noqa: PLR2004 - `-h` and its value
                return argument[2:]
        return ""

    def has(self, *names: str) -> bool:
        """True when one of some options is given."""
        return any(argument.partition("=")[0] in names for argument in self.arguments)


def invocations(text: str) -> list[Invocation]:
    """The programs that a line runs, in its order. What cannot be understood is left out."""
    return list(_found(text[:MAX_TEXT], "", 0))[:MAX_FOUND]


def _found(text: str, host: str, depth: int) -> Iterator[Invocation]:
    for words in _commands(text):
        yield from _unwrapped(words, host, depth)


def _unwrapped(words: Sequence[str], host: str, depth: int) -> Iterator[Invocation]:
    words = _program_first(words)
    if not words:
        return
    found = Invocation(_name(words[0]), tuple(words[1:]), host)
    yield found
    if depth >= MAX_DEPTH:
        return
    inner = ""
    if found.program in SHELLS:
        inner = _script(found.arguments)
    elif found.program in POWERSHELLS:
        inner = found.option("-Command", "-command", "-c", "-C")
    elif found.program == "ssh":
        host_of_it, inner = ssh_target(found.arguments)
        host = host_of_it or host
    elif found.program == "invoke-command":
        host = found.option("-ComputerName", "-HostName") or host
        inner = found.option("-ScriptBlock").strip("{} ")
    if inner:
        yield from _found(inner, host, depth + 1)


def _program_first(words: Sequence[str]) -> Sequence[str]:
    """The words from the program on that is really run."""
    while words:
        head = words[0]
        name = _name(head)
        if head in KEYWORDS or _ASSIGNMENT.match(head):
            words = words[1:]
        elif name in WRAPPERS:
            rest = _past_options(words[1:], WRAPPERS[name])
            if name == "timeout" and rest and _DURATION.fullmatch(rest[0]):
                rest = rest[1:]
            if not rest:
                return words
            words = rest
        else:
            return words
    return words


def _past_options(words: Sequence[str], valued: frozenset[str]) -> Sequence[str]:
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] != "-":
        word = words[place]
        place += 1
        if word == "--":
            break
        if not word.startswith("--") and len(word) == 2 and word[1] in valued:  # noqa: PLR2004 - `-u`, its value follows
            place += 1
    return words[place:]


def _script(arguments: Sequence[str]) -> str:
    """What stands behind `-c`, alone or among other letters as in `-lc`."""
    for place, argument in enumerate(arguments[:-1]):
        if argument.startswith("-") and not argument.startswith("--") and argument.endswith("c"):
            return arguments[place + 1]
    return ""


def ssh_target(arguments: Sequence[str]) -> tuple[str, str]:
    """The host an ssh goes to, without user and port, and the command it runs there; each may be empty."""
    rest = _past_options(arguments, SSH_VALUES)
    if not rest:
        return "", ""
    behind = _past_options(rest[1:], SSH_VALUES)
    return bare_host(rest[0]), " ".join(behind)


def bare_host(text: str) -> str:
    """`host` of `ssh://user@host:22/path`, `user@host`, `[2001:db8::1]:22`; empty for what names none."""
    text = text.partition("://")[2] or text
    text = text.split("/", 1)[0].rpartition("@")[2]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.strip().rstrip(".").lower()
    return text if HOST.fullmatch(text) else ""


HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.:-]{0,253}[a-z0-9_])?")


def _name(word: str) -> str:
    name = word.replace("\\", "/").rpartition("/")[2].lower()
    return name.removesuffix(".exe").removesuffix(".cmd")


def _commands(text: str) -> Iterator[list[str]]:
    words: list[str] = []
    skip = False
    for kind, value in _tokens(text):
        if kind == "operator":
            if words:
                yield words
            words, skip = [], False
        elif skip:
            skip = False
        elif kind == "redirect":
            skip = value.endswith((">", "<"))
        else:
            words.append(value)
    if words:
        yield words


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Words without their quotes, operators and redirections. Bodies of here-documents and comments are left out."""
    at, end = 0, len(text)
    waiting: list[str] = []
    while at < end:
        letter = text[at]
        if letter == "\n":
            at += 1
            for mark in waiting:
                at = _past_document(text, at, mark)
            waiting = []
            yield "operator", "\n"
        elif letter in " \t\r":
            at += 1
        elif letter == "#":
            at = _line_end(text, at)
        elif text.startswith("<<", at) and not text.startswith("<<<", at):
            mark, at = _word(text, at + 2 + (text[at + 2 : at + 3] == "-"), skip_space=True)
            if mark:
                waiting.append(mark)
        elif (found := _REDIRECT.match(text, at)) and found[0] and not found[0].isdigit():
            at = found.end()
            yield "redirect", found[0]
        elif letter in ";&|(){}" and not (letter == "{" and text[at + 1 : at + 2] not in " \n\t"):
            two = text[at : at + 2]
            value = two if two in OPERATORS else letter
            at += len(value)
            yield "operator", value
        else:
            value, at = _word(text, at)
            yield "word", value


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _past_document(text: str, at: int, mark: str) -> int:
    while at < len(text):
        stop = _line_end(text, at)
        line = text[at:stop]
        at = stop + 1
        if line.strip() == mark:
            break
    return min(at, len(text))


def _word(text: str, at: int, *, skip_space: bool = False) -> tuple[str, int]:
    """A word and the place behind it; always gets on by one letter at least."""
    if skip_space:
        while at < len(text) and text[at] in " \t":
            at += 1
    start, kept = at, list[str]()
    if text.startswith("\\\\", at):  # a share on another host, as Windows writes it
        kept.append("\\\\")
        at += 2
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            kept.append(_escaped(text[at : at + 2]))
            at += 2
        elif letter == "'":
            stop = text.find("'", at + 1)
            stop = len(text) if stop < 0 else stop
            kept.append(text[at + 1 : stop])
            at = stop + 1
        elif letter == '"':
            inner, at = _quoted(text, at + 1)
            kept.append(inner)
        elif text.startswith("$(", at):
            stop = _past_parenthesis(text, at + 2)
            kept.append(text[at:stop])
            at = stop
        elif letter in " \t\r\n;&|()<>":
            break
        else:
            kept.append(letter)
            at += 1
    return "".join(kept), max(at, start + 1)


def _escaped(pair: str) -> str:
    """What a backslash and what follows it stand for: a path of Windows keeps its backslashes."""
    following = pair[1:]
    if following == "\n":
        return ""
    return pair if following.isalnum() else following


def _quoted(text: str, at: int) -> tuple[str, int]:
    kept: list[str] = []
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and text[at + 1 : at + 2] in {'"', "\\", "$", "`", "\n"}:
            at += 1
        kept.append(text[at : at + 1])
        at += 1
    return "".join(kept), at + 1


def _past_parenthesis(text: str, at: int) -> int:
    depth = 1
    while at < len(text) and depth:
        depth += (text[at] == "(") - (text[at] == ")")
        at += 1
    return at
