"""Which hosts a command talks to, by the manners of the programs that people reach hosts with: rules as data."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from worklore.memory.trail.shell import Invocation, bare_host, ssh_target

OPTIONS: Final = {
    **dict.fromkeys(("psql", "pg_dump", "pg_restore", "pg_isready", "createdb", "dropdb"), ("-h", "--host")),
    **dict.fromkeys(("mysql", "mariadb", "mysqldump", "mariadb-dump", "mysqladmin"), ("-h", "--host")),
    **dict.fromkeys(("redis-cli", "valkey-cli"), ("-h",)),
    **dict.fromkeys(("mongosh", "mongodump", "mongorestore"), ("--host",)),
    **dict.fromkeys(("sqlcmd", "bcp"), ("-S",)),
    **dict.fromkeys(("ldapsearch", "ldapmodify"), ("-H", "-h")),
    "docker": ("-H", "--host"),
    "kubectl": ("-s", "--server"),
    "ansible-playbook": ("-l", "--limit"),
    **dict.fromkeys(
        ("invoke-command", "enter-pssession", "new-pssession", "get-service", "restart-computer", "test-connection"),
        ("-ComputerName", "-HostName", "-TargetName"),
    ),
    "test-netconnection": ("-ComputerName",),
}
"""Options whose value names a host, by program."""

FIRST_WORD: Final = frozenset(
    {
        "ping",
        "ping6",
        "traceroute",
        "tracert",
        "mtr",
        "nc",
        "ncat",
        "telnet",
        "nmap",
        "ssh-copy-id",
        "mstsc",
        "rdesktop",
    }
    | {"test-netconnection", "test-connection", "ssh-keyscan", "nslookup", "snmpwalk", "snmpget"}
)
"""Programs whose first word that is no option names a host."""

COPIERS: Final = frozenset({"scp", "rsync", "sftp", "rclone"})

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_REMOTE_PATH: Final = re.compile(r"(?:[^@/\s:]+@)?(?P<host>\[[^\]]+\]|[^:/\\\s@]{2,}):(?!\\)")
_UNC: Final = re.compile(r"(?:\\\\|//)(?P<host>[^\\/\s]+)[\\/]")


def targets(found: Invocation) -> list[str]:
    """The hosts that a program talks to, in lower case, each once, in the order in which they are named."""
    named: list[str] = []
    for way in _WAYS:
        named += way(found)
    return list(dict.fromkeys(host for host in named if host and host != "localhost"))


def _by_ssh(found: Invocation) -> Iterable[str]:
    if found.program in {"ssh", "mosh", "autossh"}:
        yield ssh_target(found.arguments)[0]


def _by_copying(found: Invocation) -> Iterable[str]:
    if found.program in COPIERS:
        for word in found.words():
            yield remote_host(word)


def _by_option(found: Invocation) -> Iterable[str]:
    names = OPTIONS.get(found.program)
    if names:
        for value in found.option(*names).split(","):
            yield bare_host(value.removeprefix("tcp:"))


def _by_first_word(found: Invocation) -> Iterable[str]:
    words = [word for word in found.words() if not word.isdigit()]  # `-c 3` comes before the host
    if found.program in FIRST_WORD and words:
        yield bare_host(words[0])


def _by_url(found: Invocation) -> Iterable[str]:
    for argument in found.arguments:
        for url in _URL.findall(argument):
            yield bare_host(url.split("?", 1)[0])


def _by_share(found: Invocation) -> Iterable[str]:
    for argument in found.arguments:
        if share := _UNC.match(argument):
            yield bare_host(share["host"])


_WAYS: Final[tuple[Callable[[Invocation], Iterable[str]], ...]] = (
    _by_ssh,
    _by_copying,
    _by_option,
    _by_first_word,
    _by_url,
    _by_share,
)


def remote_host(word: str) -> str:
    """The host of `user@host:path`; empty for a path of this machine, drive letters among them."""
    found = _REMOTE_PATH.match(word)
    return bare_host(found["host"]) if found and "://" not in word else ""
