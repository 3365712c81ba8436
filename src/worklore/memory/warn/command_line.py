"""What a command line calls: which programs, with which words, on which host.

Commands come from agents and people, of every shell, sometimes cut short. This reads them well enough to tell one
call from another; it never fails and never runs anything. What it cannot take apart (loops, functions, here-documents)
gives words that match nothing, so that in doubt nothing is learned and nothing is said.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from worklore.memory.warn.rules import words, words_by

MAX_TEXT: Final = 4_000
MAX_DEPTH: Final = 4
MAX_CALLS: Final = 40

SUBCOMMANDS: Final[Mapping[str, int]] = (
    dict.fromkeys(words("subcommands"), 1)
    | dict.fromkeys(words("subcommands_of_two"), 2)
    | dict.fromkeys(words("subcommands_of_three"), 3)
)
"""Programs whose first words say what is to be done, and how many words that takes."""

NESTED: Final = words_by("nested")
WITH_VALUE: Final = words_by("with_value")

WRAPPERS: Final = frozenset(
    {
        "sudo",
        "doas",
        "gsudo",
        "env",
        "nohup",
        "time",
        "timeout",
        "nice",
        "exec",
        "command",
        "builtin",
        "stdbuf",
        "setsid",
        "sshpass",
    }
)
ELEVATING: Final = frozenset({"sudo", "doas", "gsudo"})
SHELLS: Final = frozenset({"bash", "sh", "zsh", "dash", "ash", "ksh"})
PYTHONS: Final = re.compile(r"(?:python|py)[\d.]*\Z")
REMOTE: Final = frozenset({"ssh", "plink"})

_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\r]+)
  | (?P<break>\|\||&&|[;|\n]|(?<![<>&])&(?![>&\d]))
  | (?P<redirect>\d?(?:<<<?-?|>>?|<)&?[ \t]*(?:\d|-)?)
  | (?P<comment>(?<![^\s;|&])\#[^\n]*)
  | (?P<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s;|&<>"'\\]|\\|["'])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_HEREDOC: Final = re.compile(r"<<-?[ \t]*(['\"]?)(\w+)\1[^\n]*\n.*?(?:\n[ \t]*\2[ \t]*(?=\n|\Z)|\Z)", re.DOTALL)
_QUOTED: Final = re.compile(r"'([^']*)'|\"((?:\\.|[^\"\\])*)\"|\\([\s\"'$`\\;|&<>()#])", re.DOTALL)
_CONTROL: Final = frozenset({"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "esac"})
_HEADINGS: Final = frozenset({"for", "case", "select", "function"})
_EDGES: Final = "(){}!`"
_SCRIPT_BLOCK: Final = re.compile(r"\{(.*)\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """One program that a command line calls.

    `head` is the program with the words that say what is to be done, `apt-get install`; `words` are the rest: what it
    is done to, and the names of options. All are in lower case but for `arguments`, which are as they were written.
    `host` is where it runs, empty for the machine the command line is typed on. `carries` is True for an `ssh` that
    hands a command on, which stands before the calls it hands on. `elevated` is True behind `sudo` and its like.
    """

    program: str
    head: str
    arguments: tuple[str, ...]
    options: tuple[str, ...]
    host: str = ""
    carries: bool = False
    elevated: bool = False

    words: frozenset[str] = field(init=False, repr=False, compare=False)
    """Arguments and options in lower case."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", frozenset(word.lower() for word in (*self.arguments, *self.options)))


@lru_cache(maxsize=4_096)
def calls(text: str) -> tuple[Call, ...]:
    """The calls of a command line in their order, those inside `ssh HOST ...` and `bash -c ...` in place of these."""
    return tuple(_calls(text[:MAX_TEXT], "", 0))[:MAX_CALLS]


def _calls(text: str, host: str, depth: int) -> Iterator[Call]:
    text = _HEREDOC.sub("\n", text) if "<<" in text else text
    for raw in _commands(text):
        yield from _call(raw, host, depth)


def _commands(text: str) -> Iterator[list[str]]:
    found: list[str] = []
    skip = False
    for match in _TOKEN.finditer(text):
        match match.lastgroup:
            case "break":
                if found:
                    yield found
                found, skip = [], False
            case "redirect":
                skip = not match[0].rstrip(" \t")[-1:].isdigit() and not match[0].rstrip().endswith("-")
            case "word":
                if not skip:
                    found.append(match[0])
                skip = False
            case _:
                pass
    if found:
        yield found


def _bare(word: str) -> str:
    """A word without its quoting."""
    if not any(mark in word for mark in "'\"\\"):
        return word
    return _QUOTED.sub(lambda found: next((group for group in found.groups() if group is not None), ""), word)


def name_of(word: str) -> str:
    """A program's own name: no folder, no `.exe`, lower case."""
    last = re.split(r"[/\\]", word.strip("\"'"))[-1].lower()
    return last.removesuffix(".exe").removesuffix(".cmd").removesuffix(".bat")


def _call(raw: list[str], host: str, depth: int) -> Iterator[Call]:
    given = _without_edges([bare for word in raw if (bare := _bare(word)) != ""])
    if not given or given[0] in _HEADINGS:
        return
    program, rest = name_of(given[0].strip(_EDGES)), given[1:]
    if program in WRAPPERS:
        rest = _after_options(program, rest)
        for call in _call(rest[1:] if program == "timeout" else rest, host, depth):
            yield replace(call, elevated=True) if program in ELEVATING else call
        return
    inner = HANDING_ON[program](rest) if program in HANDING_ON and depth < MAX_DEPTH else None
    if inner is not None:
        text, there = inner
        if program in REMOTE:
            yield Call(program, program, (there,), (), host, carries=True)
        yield from _calls(text, there or host, depth + 1)
        return
    if PYTHONS.match(program) and "-m" in rest[:-1][:3]:
        place = rest.index("-m") + 1
        program, rest = name_of(rest[place]), rest[place + 1 :]
    if program:
        yield _made(program, rest, host)


def _without_edges(words: list[str]) -> list[str]:
    """The words from the program on: no assignments, no words of the shell's own before it."""
    at = 0
    while at < len(words) and (words[at] in _CONTROL or _ASSIGNMENT.match(words[at]) or not words[at].strip(_EDGES)):
        at += 1
    return words[at:]


def _after_options(program: str, words: list[str]) -> list[str]:
    """The words behind a program's own options."""
    valued = WITH_VALUE.get(program, frozenset())
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in valued else 1
    return words[at:]


_Inner = tuple[str, str] | None
"""The command line that a call hands on, and the host it is for; None where it hands on none."""


def _by_ssh(rest: list[str]) -> _Inner:
    behind = _after_options("ssh", rest)
    return (" ".join(behind[1:]), target(behind[0])) if len(behind) > 1 else None


def _by_shell(rest: list[str]) -> _Inner:
    given = (rest[at + 1] for at, word in enumerate(rest[:-1]) if word.startswith("-") and word.endswith("c"))
    text = next(given, None)
    return None if text is None else (text, "")


def _by_powershell(rest: list[str]) -> _Inner:
    place = next((at for at, word in enumerate(rest[:-1]) if word.lower() in {"-command", "-c"}), None)
    return None if place is None else (" ".join(rest[place + 1 :]), "")


def _by_cmd(rest: list[str]) -> _Inner:
    return (" ".join(rest[1:]), "") if rest and rest[0].lower() in {"/c", "/k"} else None


def _by_invoke_command(rest: list[str]) -> _Inner:
    block = _SCRIPT_BLOCK.search(" ".join(rest))
    named = next((rest[at + 1] for at, word in enumerate(rest[:-1]) if word.lower() in {"-computername", "-cn"}), None)
    return (block[1], target(named)) if block and named else None


HANDING_ON: Final[Mapping[str, Callable[[list[str]], _Inner]]] = {
    "cmd": _by_cmd,
    "icm": _by_invoke_command,
    "invoke-command": _by_invoke_command,
    "plink": _by_ssh,
    "powershell": _by_powershell,
    "pwsh": _by_powershell,
    "ssh": _by_ssh,
    **dict.fromkeys(SHELLS, _by_shell),
}
"""Programs that run a command line which they are given."""


def target(word: str) -> str:
    """The host that `user@host`, `ssh://user@host:22` or `host` names, in lower case."""
    host = word.rpartition("@")[2].removeprefix("ssh://").split("/")[0].lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _made(program: str, rest: list[str], host: str) -> Call:
    head, words = [program], rest
    wanted = SUBCOMMANDS.get(program, 0)
    if wanted:
        words = _after_options(program, words)
        while words and len(head) <= wanted and not words[0].startswith("-"):
            head.append(words[0].lower())
            words = words[1:]
            if len(head) == 2 and head[1] in NESTED.get(program, ()):  # noqa: PLR2004 - the program and its first word
                wanted, words = 2, _after_options(head[1], words)
    # A pipe's or a block's remains cling to the last word: `Get-Foo)`.
    plain = [word.strip("`").rstrip(")}") for word in words]
    arguments = tuple(word for word in plain if word and not word.startswith("-"))
    options = tuple(word.partition("=")[0] for word in plain if word.startswith("-") and word.strip("-"))
    return Call(program, " ".join(head)[:200], arguments[:50], options[:50], host)
