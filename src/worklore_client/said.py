"""What agents without a transcript of use say in their events: kept as a transcript of our own, without secrets.

The hook hands its standard input to this process, which starts detached, so that the agent waits for no parsing and
nothing lies on disk unredacted. The records are written as Claude Code writes them, and go the way of any transcript:
a note, the flusher, the hub's cursor. So what is said off line is sent later, and nothing twice.
"""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from worklore_client.config import PRIVATE_FOLDER
from worklore_client.events import folder_of, log, members, note_growth, quoted
from worklore_client.record import Malformed, outgoing
from worklore_client.spool import note_files, read_note

EVENT = "Said"
INPUT_LIMIT = 16 * 1024 * 1024
KEPT_SECONDS = 30 * 86_400.0
"""A transcript that nobody has added to for so long goes, unless a note still waits for it to be sent."""
SHELL_TOOLS = frozenset({"run_shell_command", "bash", "powershell"})
SHOWN_MILLISECONDS = 100_000_000_000
"""A time above this is in milliseconds, below it in seconds."""


def keep(home: Path, agent: str, session_name: str) -> bool:
    """Keep what the event on standard input says; True when there was something, and a note is left about it."""
    raw = sys.stdin.buffer.read(INPUT_LIMIT)
    try:
        given: Any = json.loads(raw.decode("utf-8", "replace"))
        folder = folder_of(agent, members(raw))
    except (ValueError, RecursionError):
        log(str(home), EVENT, "not-json")
        return False
    event = cast("dict[str, Any]", given)
    session = event.get(session_name)
    if not isinstance(session, str) or not session:
        log(str(home), EVENT, f"missing-{session_name}"[:60])
        return False
    lines: list[bytes] = []
    for record in records(event, session, folder):
        try:
            kept = outgoing(record)
        except Malformed:
            log(str(home), EVENT, "record-malformed")
        else:
            lines += [] if kept is None else [json.dumps(kept, ensure_ascii=False).encode() + b"\n"]
    if not lines:
        return False
    path = transcript_path(home, agent, session)
    _append(path, b"".join(lines))
    _sweep(home)
    about = {"session_id": quoted(session), "transcript_path": quoted(str(path))}
    note_growth(str(home), agent, EVENT, about, folder)
    return True


def transcript_path(home: Path, agent: str, session: str) -> Path:
    """Where what a session says is kept."""
    digest = hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()[:8]
    return home / "transcripts" / agent / f"{re.sub(r'[^A-Za-z0-9.-]', '_', session)[:80]}-{digest}.jsonl"


def _append(path: Path, content: bytes) -> None:
    """Add whole lines by one write, since several of one session may end at once."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        left = content
        while left:
            left = left[os.write(handle, left) :]
    finally:
        os.close(handle)


def _sweep(home: Path) -> None:
    old = time.time() - KEPT_SECONDS
    gone = [path for path in (home / "transcripts").glob("*/*.jsonl") if path.stat().st_mtime < old]
    if gone:
        waiting = {read_note(note).transcript for note in note_files(home)}
        for path in gone:
            if str(path) not in waiting:
                path.unlink(missing_ok=True)


# --- from an event to records --------------------------------------------------------------------------------------


def records(event: dict[str, Any], session: str, folder: str) -> Iterator[dict[str, Any]]:
    """The records of what an event says, in their order; none for an event that says nothing."""
    turn = next((event[name] for name in ("generation_id", "turn_id", "timestamp") if name in event), time.time_ns())
    moment = _time(event.get("timestamp"))

    def record(role: str, content: Any, when: str, *key: object, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256("\0".join(str(part) for part in (session, role, *key)).encode("utf-8", "replace"))
        said = {"role": role, "content": content}
        about = {"sessionId": session, "timestamp": when, "cwd": folder, "message": said}
        return {"type": role, "uuid": digest.hexdigest()[:32], **about, **more}

    for role, text, when, key in _words(event, turn, moment):
        yield record(role, text if role == "user" else [{"type": "text", "text": text}], when, key)
    ran = _command(event)
    if ran is not None:
        command, output, failed = ran
        call = str(event.get("tool_use_id") or f"{turn}-{hashlib.sha256(command.encode()).hexdigest()[:8]}")
        used = {"type": "tool_use", "id": call, "name": "Bash", "input": {"command": command}}
        result = {"type": "tool_result", "tool_use_id": call, "content": output, "is_error": failed}
        yield record("assistant", [used], moment, call)
        beside = {} if failed else {"toolUseResult": {"stdout": output, "stderr": ""}}
        yield record("user", [result], moment, call, **beside)


def _words(event: dict[str, Any], turn: object, moment: str) -> Iterator[tuple[str, str, str, str]]:
    """(role, text, time, what tells it from others) of what a person and the agent said."""
    listed: Any = event.get("messages")
    for message in cast("Sequence[Any]", listed) if isinstance(listed, list) else ():
        told = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        role, text = told.get("role"), told.get("text")
        if role in ("user", "assistant") and isinstance(text, str) and text.strip():
            yield str(role), text, _time(told.get("time")), str(told.get("id") or text)
    for role, name in (("user", "prompt"), ("assistant", "prompt_response"), ("assistant", "text")):
        text = event.get(name)
        if isinstance(text, str) and text.strip():
            yield role, text, moment, f"{turn}\0{text}"


def _command(event: dict[str, Any]) -> tuple[str, str, bool] | None:
    """(command, output, failed) of a shell command that was run; None for an event that tells of none."""
    if isinstance(event.get("command"), str):
        code = event.get("exit_code")
        return event["command"], _printed(event.get("output")), isinstance(code, int) and code != 0
    if str(event.get("tool_name") or event.get("toolName")) not in SHELL_TOOLS:
        return None
    given: Any = event.get("tool_input", event.get("toolArgs"))
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return None
    command: Any = cast("dict[str, Any]", given).get("command") if isinstance(given, dict) else None
    if not isinstance(command, str):
        return None
    answer: Any = event.get("tool_response", event.get("toolResult"))
    told = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    printed = next((told[name] for name in ("returnDisplay", "llmContent", "textResultForLlm") if name in told), "")
    failed = bool(told.get("error")) or told.get("resultType", "success") != "success"
    return command, _printed(printed), failed


def _printed(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value else ""


def _time(value: object) -> str:
    """A time as records have it; now for what is none."""
    now = datetime.now(UTC)
    try:
        if isinstance(value, str):
            now = datetime.fromisoformat(value).astimezone(UTC)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            now = datetime.fromtimestamp(value / 1000 if value > SHOWN_MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass  # no time at all: the present is nearest
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
