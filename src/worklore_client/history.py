"""What the project's own git history says, for when neither the hub nor this machine's cache answers.

Commit messages, their trailers (``Worklore-Decision:``, ``Worklore-Work-Item:``, ``Worklore-Vendor:``,
``Worklore-Configuration:``, ``Worklore-Warning:``) and notes under ``refs/notes/worklore``, which may hold the same
lines. Git gets five seconds.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from worklore_client.events import SWITCH
from worklore_client.project import find_project
from worklore_client.words import bearing
from worklore_redact.engine import redact

GIT_SECONDS = 5.0
MOST_COMMITS = 1_000
LATEST = 10
KINDS = {
    "worklore-decision": "decision",
    "worklore-work-item": "work-item",
    "worklore-vendor": "vendor",
    "worklore-configuration": "configuration",
    "worklore-warning": "warning",
}
"""By trailer, in lower case: what it tells of."""

_FORMAT = "--format=%x1e%h%x1f%aI%x1f%an%x1f%B%x1f%N"


class NoHistory(Exception):  # noqa: N818 - reads as the state it is
    """There is no git history to read here, and why."""


@dataclass(frozen=True)
class Line:
    """A commit's message, or one of its trailers. `said_at` is ISO 8601."""

    kind: str
    commit: str
    said_at: str
    author: str
    text: str

    def shown(self) -> str:
        """It as one line."""
        return f"- {self.said_at[:10]}, {self.author} in {self.commit}: {' '.join(self.text.split())[:500]}"


def read(folder: str) -> list[Line]:
    """All that the latest commits say, the newest first. Raises NoHistory."""
    root = find_project(folder)[0]
    if not (Path(root) / ".git").exists():
        raise NoHistory("this folder is under no version control")
    settings = ["-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "core.hooksPath=/dev/null"]
    command = ["git", *settings, "-C", root, "log", f"-n{MOST_COMMITS}", "--no-color", "--notes=worklore", _FORMAT]
    environment = {**os.environ, SWITCH: "off", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    environment |= {"GIT_NO_LAZY_FETCH": "1", "GIT_PAGER": "cat"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments; the folder is data to git, not an option
            command, capture_output=True, check=False, timeout=GIT_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        raise NoHistory(f"git took longer than {GIT_SECONDS:g} seconds") from None
    except OSError as error:
        raise NoHistory(f"git cannot be run ({error.strerror or type(error).__name__})") from None
    if done.returncode:
        raise NoHistory("there are no commits yet")
    found: list[Line] = []
    for each in done.stdout.decode("utf-8", "replace").split("\x1e")[1:]:
        found += _lines(each)
    return found


def _lines(told: str) -> list[Line]:
    commit, said_at, author, message, notes = (*told.split("\x1f"), "", "", "", "", "")[:5]
    found = [Line("commit", commit, said_at, author, redact(message.strip()).text)]
    for line in f"{message}\n{notes}".splitlines():
        name, colon, text = line.partition(":")
        kind = KINDS.get(name.strip().lower())
        if colon and kind and text.strip():
            found.append(Line(kind, commit, said_at, author, redact(text.strip()).text))
    if notes.strip() and not any(f"{name}:" in notes.lower() for name in KINDS):
        found.append(Line("note", commit, said_at, author, redact(notes.strip()).text))
    return found


def best(lines: list[Line], question: str, most: int = 10) -> list[Line]:
    """The lines that share the most words with a question, at least two of them or all there are."""
    chosen: dict[str, Line] = {}
    for line in (lines[at] for at in bearing([each.text for each in lines], question)[:most]):
        chosen.setdefault(line.commit, line)  # a trailer repeats what its commit says
    return list(chosen.values())
