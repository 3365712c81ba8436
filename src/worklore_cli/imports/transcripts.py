"""The sessions that Claude Code has kept on this machine, sent as its hooks would have done.

It deletes a transcript some time after it was last written to, so the oldest go first. Where the hub is in each is the
hub's own knowledge: a run that was stopped goes on there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worklore_cli import capturing, nouns_hub
from worklore_cli.failure import Failure
from worklore_cli.imports.auto_memory import encoded, folder_of
from worklore_cli.imports.memory import Unread, files_below, folder_at
from worklore_cli.imports.sending import find_project
from worklore_cli.nouns_hub import Records
from worklore_client.adapters import BY_NAME
from worklore_client.flush import subagents_of
from worklore_client.wire import HubRefused

_SERVER_ERROR = 500
_STOPS = frozenset({401, 403, 408, 425, 429})
"""Answers that are about the machine or the hub, and not about one transcript."""


@dataclass(frozen=True)
class Wish:
    """What was asked for: sessions of one project only, or all; to see what would be sent, or to send it."""

    project: str | None
    dry_run: bool


@dataclass
class Done:
    """What became of the transcripts."""

    sessions: int = 0
    """Of which something was sent, or would be."""
    known: int = 0
    """Which the hub had whole."""
    others: int = 0
    """Of other projects than the one that is meant."""
    windows: int = 0
    duplicates: int = 0
    size: int = 0
    """Bytes of files that were sent, or would be."""
    unread: list[Unread] = field(default_factory=list[Unread])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {
            name: getattr(self, name) for name in ("sessions", "known", "others", "windows", "duplicates", "size")
        }
        return {**counts, "unread": [{"what": each.what, "why": each.why} for each in self.unread]}

    def lines(self, *, dry_run: bool) -> list[str]:
        """For people."""
        of_others = f", {self.others} of other projects" if self.others else ""
        if dry_run:
            first = f"{self.sessions} transcripts would be sent ({self.size:,} bytes)"
        else:
            first = f"{self.sessions} transcripts sent: {self.windows} memories stored, {self.duplicates} known already"
        unread = [f"  {each.what}: {each.why}" for each in self.unread]
        last = f"; {len(self.unread)} not read" if unread else ""
        return [f"{first}; {self.known} the hub had whole{of_others}{last}", *unread]


def files(source: Path | None, unread: list[Unread]) -> list[Path]:
    """The transcripts below the folder of Claude Code's projects, those first that will be deleted first.

    Files of sub-agents go with the session's own, or by themselves where that is gone. Failure without a folder.
    """
    if source is not None and source.is_file():
        return [source.absolute()]
    hint = "--from names the folder of Claude Code's projects, or one of them"
    top = folder_at(source or BY_NAME[capturing.CLAUDE].home() / "projects", hint)
    found: list[Path] = []
    for path in files_below(top, ".jsonl", unread):
        session = path.parent.parent.with_suffix(".jsonl") if path.parent.name == "subagents" else None
        if session is None or not session.is_file():
            found.append(path)
    return sorted(found, key=lambda path: (path.stat().st_mtime, str(path)))


def run(home: Path, source: Path | None, wish: Wish, done: Done, progress: Callable[[int, int], None]) -> None:
    """Send all that the hub lacks. `done` holds at any moment what has become of those that were looked at."""
    hub = nouns_hub.connected()
    sender = _Sender(hub, home, wish, done, _wanted(hub, home, wish))
    found = files(source, done.unread)
    for place, path in enumerate(found):
        progress(place, len(found))
        try:
            sender.take(path)
        except Failure as failure:
            done.unread.append(Unread(str(path), str(failure)))
        except OSError as error:
            done.unread.append(Unread(str(path), error.strerror or type(error).__name__))
        except HubRefused as refusal:
            if refusal.status in _STOPS or refusal.status >= _SERVER_ERROR:
                raise
            done.unread.append(Unread(str(path), str(refusal)))
    progress(len(found), len(found))


@dataclass
class _Sender:
    """Sends transcripts one by one, and knows which folders are of the project that is meant."""

    hub: Records
    home: Path
    wish: Wish
    done: Done
    wanted: str | None
    """The id of the project that is meant, if only one is."""
    _projects: dict[str, str] = field(default_factory=dict[str, str])

    def take(self, path: Path) -> None:
        """Send what the hub lacks of one transcript. Failure where it is none, or says no folder."""
        agent, session, cwd = capturing.about(path)
        folder = cwd or _folder_of(path)
        if not folder:
            raise Failure("it does not say in which folder it worked")
        if not self._is_meant(folder):
            self.done.others += 1
            return
        lacking = sum(_lacking(self.hub, agent, session, path))
        if lacking and not self.wish.dry_run:
            sent = capturing.capture(self.home, str(path), again=False, folder=Path(folder))
            lacking = lacking if sent.records else 0  # a line that is not written to its end yet
            self.done.windows += sent.windows
            self.done.duplicates += sent.duplicates
        self.done.known += not lacking
        self.done.sessions += bool(lacking)
        self.done.size += lacking

    def _is_meant(self, folder: str) -> bool:
        if self.wanted is None:
            return True
        if folder not in self._projects:
            found = find_project(self.hub, self.home, wanted=None, folder=folder, dry_run=True)
            self._projects[folder] = found.id
        return self._projects[folder] == self.wanted


def _wanted(hub: Records, home: Path, wish: Wish) -> str | None:
    return find_project(hub, home, wanted=wish.project, folder="", dry_run=True).id if wish.project else None


def _folder_of(path: Path) -> str:
    """What the name of the folder says in which a transcript lies."""
    project = path.parent.parent.parent if path.parent.name == "subagents" else path.parent
    return folder_of(project) if project.name.startswith(encoded("/")) else ""


def _lacking(hub: Records, agent: str, session: str, path: Path) -> Iterator[int]:
    """Bytes that the hub lacks of a session's file and of those of its sub-agents."""
    told = hub.get("capture", agent=agent, session=session, source=str(path))
    others: dict[str, Any] = told.get("others") or {}
    size, offset = path.stat().st_size, int(told["offset"])
    yield size - offset if size >= offset else size  # a shorter one was written anew
    for other in subagents_of(str(path)):
        yield max(0, other.stat().st_size - int(others.get(str(other), 0)))
