"""Sending transcripts on demand: those no hook has told of, and again those that the hub is to read by newer rules."""

import contextlib
import json
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from worklore_cli.connecting import connected
from worklore_cli.failure import Failure
from worklore_client.adapters import BY_NAME
from worklore_client.flush import CursorMoved, Run, send_transcript
from worklore_client.spool import FlushState, Note, flusher_lock

CLAUDE, CODEX = "claude-code", "codex"
LOCK_SECONDS = 30.0
HEAD_LINES = 200
"""Lines of a file that are looked at for its session and its folder."""

_ROLLOUT = re.compile(r"rollout-.*-(?P<session>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z")


@dataclass
class Sent:
    """A transcript that was sent; `windows` and `duplicates` as the hub counted them."""

    file: str
    session: str
    agent: str
    records: int
    windows: int
    duplicates: int


def capture(home: Path, wanted: str, *, again: bool, folder: Path | None) -> Sent:
    """Send one transcript, named by its file or its session.

    Raises Failure when there is no such transcript or another sender does not make way; HubError as the hub refuses.
    """
    path = find(wanted)
    config, hub = connected(home)
    agent, session, cwd = about(path)
    before = FlushState.load(home)
    note = Note(path, agent, "capture", session, str(path), str(folder or cwd or Path.cwd()))
    with _sending(home):
        state = FlushState()
        try:
            send_transcript(Run(home, config, hub, state), note, again=again)
        except CursorMoved:
            raise Failure(f"{path} is being sent by somebody else", "Try again in a moment") from None
        before.windows += state.windows
        before.duplicates += state.duplicates
        before.records += state.records
        before.malformed += state.malformed
        before.save(home)
    return Sent(path.name, session, agent, state.records, state.windows, state.duplicates)


@contextlib.contextmanager
def _sending(home: Path) -> Generator[None]:
    """Hold the flusher's lock, once whoever holds it lets go."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        with flusher_lock(home) as mine:
            if mine:
                yield
                return
        if time.monotonic() > end:
            raise Failure("the flusher is sending and does not come to an end", "See `worklore doctor`")
        time.sleep(0.1)


def find(wanted: str) -> Path:
    """The transcript of that path, or of the session of that id among those that agents keep on this machine."""
    path = Path(wanted).expanduser()
    if path.is_file():
        return path.absolute()
    if not re.fullmatch(r"[\w-]{1,200}", wanted):
        raise Failure(f"{wanted}: there is no such file", "Give a transcript's file, or the id of a session")
    found = [path for folder, pattern in _kept(wanted) for path in folder.glob(pattern)]
    if not found:
        places = ", ".join(str(folder) for folder, _ in _kept(wanted))
        raise Failure(f"no transcript of a session {wanted} below {places}", "Give the file's path")
    return max(found, key=lambda path: path.stat().st_mtime)


def _kept(session: str) -> Iterator[tuple[Path, str]]:
    yield BY_NAME[CLAUDE].home() / "projects", f"*/{session}.jsonl"
    yield BY_NAME[CODEX].home() / "sessions", f"*/*/*/rollout-*{session}.jsonl"


def about(path: Path) -> tuple[str, str, str]:
    """(agent, session, folder) of a transcript, by its name and its first lines; the folder may be empty.

    Raises Failure for a file that is none.
    """
    session = cwd = ""
    known = False
    agent = CODEX if path.name.startswith("rollout-") else CLAUDE
    with path.open("rb") as file:
        for line in islice(file, HEAD_LINES):
            record = _object(line)
            known = known or "type" in record
            payload = record.get("payload")
            told = cast("dict[str, Any]", payload) if isinstance(payload, dict) else record
            if record.get("type") == "session_meta":
                agent = CODEX
                session = session or _text(told, "id")
            session = session or _text(record, "sessionId")
            cwd = cwd or _text(told, "cwd")
            if session and cwd:
                break
    if not known:
        raise Failure(f"{path} is no transcript", "A transcript's lines are JSON objects, each with a type")
    rollout = _ROLLOUT.match(path.stem)
    if not session and path.stem.startswith("agent-"):
        session = path.parent.parent.name
    return agent, session or (rollout["session"] if rollout else path.stem), cwd


def _object(line: bytes) -> dict[str, Any]:
    try:
        value: Any = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""
