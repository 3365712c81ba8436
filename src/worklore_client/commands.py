"""Which known failures a command repeats, told on this machine while the hub does not answer.

Coarser than the hub's own look: in doubt nothing is said.
"""

import sys

from worklore_client.events import environment, system

TYPE_CHECKING = False  # as in `events`
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

LONGEST = 20_000
_WRAPPERS = frozenset(("sudo", "doas", "env", "nohup", "time", "nice", "exec", "command", "stdbuf", "setsid"))
_ELEVATING = frozenset(("sudo", "doas"))
_SSH_VALUED = frozenset(("-p", "-i", "-l", "-o", "-F", "-J", "-L", "-R", "-D", "-b", "-c", "-E", "-m", "-W"))
_QUOTES = "'\"`(){}"


def repeated(command: str, failures: "Iterable[Any]") -> "Iterator[tuple[str, str]]":
    """(id, line) of the known failures that a command line repeats here or on the host it goes to by ssh."""
    calls = list(_calls(command[:LONGEST].lower(), local_name(), 0))
    for key, hosts, head, program_alone, words, least, rights, line in failures:
        named = [host for host in hosts.split("\n") if host]
        for host, elevated, given in calls:
            if named and not any(same_host(one, host) for one in named):
                continue
            if rights and elevated:
                continue
            if _fits(given, head, bool(program_alone), words.split("\n") if words else [], least):
                yield str(key), str(line)
                break


def _fits(given: "list[str]", head: str, program_alone: bool, words: "list[str]", least: int) -> bool:
    wanted = head.split()
    if program_alone or not wanted:
        return given[:1] == wanted[:1] != []
    plain = [given[0], *[word for word in given[1:] if not word.startswith("-")]]
    if plain[: len(wanted)] != wanted:
        return False
    rest = given[1:]
    return sum(word in rest for word in words) >= least


def _calls(text: str, host: str, depth: int) -> "Iterator[tuple[str, bool, list[str]]]":
    """(host, elevated, program and its words) of each call of a command line, in lower case."""
    for mark in ("&&", "||", ";", "|", "\n", "&"):
        text = text.replace(mark, "\0")
    for part in text.split("\0"):
        words = [word.strip(_QUOTES) for word in part.split()]
        words = [word for word in words if word]
        elevated = False
        while words and (words[0] in _WRAPPERS or ("=" in words[0] and not words[0].startswith("-"))):
            elevated = elevated or words[0] in _ELEVATING
            words = words[1:]
            while words and elevated and words[0].startswith("-"):
                words = words[1:]
        if not words:
            continue
        words[0] = words[0].replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
        if words[0] == "ssh" and depth == 0:
            there, rest = _handed_on(words[1:])
            if there and rest:
                yield from _calls(" ".join(rest), there, 1)
                continue
        yield host, elevated, words


def _handed_on(words: "list[str]") -> "tuple[str, list[str]]":
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _SSH_VALUED else 1
    if at >= len(words):
        return "", []
    return words[at].rpartition("@")[2], words[at + 1 :]


def local_name() -> str:
    """This machine's host name, in lower case."""
    return (environment("COMPUTERNAME") if sys.platform == "win32" else system.uname().nodename).lower()


def same_host(one: str, other: str) -> bool:
    """True for equal names, and for a short name and a full one that begins with it."""
    if one == other:
        return bool(one)
    if not one or not other or one.replace(".", "").isdigit() or other.replace(".", "").isdigit():
        return False
    return ("." in one) != ("." in other) and one.partition(".")[0] == other.partition(".")[0]
