"""The flusher: sends what transcripts have grown by and the operations that wait, and renews what is kept of the hub's.

Started detached by the hooks, one at a time per client home; it ends when there is nothing left to send or the hub does
not take it.

The hub's cursor is the truth and moves in the transaction that stores the rows, so this side keeps none: killed at any
moment, it asks the hub where to go on.
"""

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from worklore_client import cache, checkpoints, operations
from worklore_client import config as configuration
from worklore_client.events import log, mark
from worklore_client.identity import identity
from worklore_client.spool import (
    FlushState,
    Note,
    NoteUnreadable,
    flusher_lock,
    note_files,
    read_note,
    sweep_parts,
    wanted_folders,
)
from worklore_client.syncing import Round, sync_round
from worklore_client.transcript import Portion, portions, tail_digest, unchanged_before
from worklore_client.wire import Hub, HubError, HubRefused, HubUnreachable

HUB_SECONDS = 30.0
"""How long the hub may take over one step of an answer: nobody waits for the flusher."""
CURSOR_MOVES = 5
"""How often another sender may move the cursor under one transcript before it is left for the next run."""
_CONTENT_REFUSED = frozenset({400, 413, 422})
_NO_TOKEN = 401
_UNAUTHORISED = frozenset({_NO_TOKEN, 403})
_CURSOR_MISMATCH = "cursor-mismatch"
_TRY_LATER = frozenset({408, 425, 429})
_SERVER_ERROR = 500


class CursorMoved(Exception):  # noqa: N818 - reads as the state it is
    """The hub's cursor is elsewhere than the portion starts."""


@dataclass
class Run:
    """One holding of the lock: the hub, what was already tried and what has been sent."""

    home: Path
    config: configuration.Config
    hub: Hub
    state: FlushState
    tried: set[str] = field(default_factory=set[str])
    sent: dict[tuple[str, str, str], Note] = field(default_factory=dict[tuple[str, str, str], Note])
    folders: list[str] = field(default_factory=list[str])
    """Those of projects in which something was done, the latest last."""


def flush(
    home: Path, *, patient: bool = True, folders: Sequence[str] = (), report: Callable[[Round], None] | None = None
) -> bool:
    """Drain the spool of `home`; True when nothing is left in it.

    What is kept of the projects of `folders` is renewed, and of those in which something was done. `report` is told
    what came of each round. `patient` waits out the pause that earlier failures have set (at most ``retry_s``) and
    lingers for the last lines of a transcript, which the agent may write after its hook.
    """
    seen: set[str] = set()
    while True:
        with flusher_lock(home) as mine:
            if not mine:
                return False
            before = _config_bytes(home)
            alive = _drain(home, seen, _Wish(patient, folders, report))
        if not alive and _config_bytes(home) != before:
            # Connected anew while this one still tried, or paused, with the old token: that starts no other flusher.
            seen.clear()
            continue
        # A hook may have left a note after the last look and found the lock taken: look again now that it is free.
        left = {path.name for path in note_files(home)}
        written = operations.waiting(home)
        if not alive or not (left - seen or written):
            return not left and not written
        folders = ()


def _config_bytes(home: Path) -> bytes:
    try:
        return (home / "config").read_bytes()
    except FileNotFoundError:
        return b""


@dataclass(frozen=True)
class _Wish:
    """How to drain: see `flush`."""

    patient: bool
    folders: Sequence[str]
    report: Callable[[Round], None] | None


def _drain(home: Path, seen: set[str], wish: _Wish) -> bool:
    """Send everything the spool names; False when the hub does not take it."""
    sweep_parts(home)
    try:
        config = configuration.load(home)
        hub = Hub(config.hub, config.token, timeout=HUB_SECONDS, ca_file=config.options.get("ca_file", ""), home=home)
    except (configuration.NotConnected, HubError) as error:
        log(str(home), "flush", "not-connected" if isinstance(error, configuration.NotConnected) else "bad-address")
        return False
    run = Run(home, config, hub, FlushState.load(home), seen)
    longest = float(config.number("retry_s", 60))
    if wish.patient:
        time.sleep(min(longest, max(0.0, run.state.retry_at - time.time())))
    try:
        _send_all(run, linger=config.number("linger_ms", 1000) / 1000 if wish.patient else 0.0)
        _sync(run, wish)
    except HubError as error:
        code = _code(error)
        log(str(home), "flush", code)
        if isinstance(error, HubRefused) and error.status == _NO_TOKEN and cache.forget(home):
            log(str(home), "flush", "cache-forgotten")
        run.state.failed(code, longest)
        return False
    finally:
        run.state.save(home)
    return True


def _sync(run: Run, wish: _Wish) -> None:
    """Send the operations that wait, and renew what is kept of the projects in which something was done."""
    worked_in = [] if cache.is_fresh(run.home) else [*reversed(run.folders)]
    folders = [*worked_in, *wanted_folders(run.home), *wish.folders]
    if not folders and not operations.waiting(run.home):
        return
    done = sync_round(run.config, run.hub, folders, lambda checkpoint: _remember(run, checkpoint))
    run.state.succeeded()
    if wish.report is not None:
        wish.report(done)


def _code(error: HubError) -> str:
    if not isinstance(error, HubRefused):
        return "hub-unreachable"
    return _told(error) if error.status in _UNAUTHORISED else f"hub-{error.status}"


def _told(refusal: HubRefused) -> str:
    """The hub's code as one word for the log, whatever answered."""
    return "".join(letter for letter in refusal.code if letter.isascii() and (letter.isalnum() or letter == "-"))[:60]


def _send_all(run: Run, linger: float) -> None:
    while True:
        for notes in _grouped(run):
            _send_group(run, notes)
        if not run.sent or not linger:
            return
        # The agent writes its transcript at its own pace: what came in after the hook is taken along.
        time.sleep(linger)
        late, run.sent = run.sent, {}
        for note in late.values():
            _send_late(run, note)
        if not any(path.name not in run.tried for path in note_files(run.home)):
            return


def _send_late(run: Run, note: Note) -> None:
    try:
        send_transcript(run, note)
    except FileNotFoundError:
        log(str(run.home), "flush", "transcript-gone")
    except OSError as error:
        log(str(run.home), "flush", f"file-{errno.errorcode.get(error.errno or 0, 'unreadable')}")


def _grouped(run: Run) -> list[list[Note]]:
    """The notes not yet tried, those of one transcript together, oldest first."""
    groups: dict[tuple[str, str, str], list[Note]] = {}
    for path in note_files(run.home):
        if path.name in run.tried:
            continue
        run.tried.add(path.name)
        try:
            note = read_note(path)
        except NoteUnreadable:
            log(str(run.home), "flush", "note-unreadable")
            path.unlink(missing_ok=True)
        else:
            groups.setdefault(note.key, []).append(note)
    return list(groups.values())


def _send_group(run: Run, notes: list[Note]) -> None:
    """Send one transcript and drop its notes. Of those that stay, the newest says all that the older ones say."""
    *older, newest = notes
    for note in older:
        note.path.unlink(missing_ok=True)
    try:
        send_transcript(run, newest)
    except FileNotFoundError:
        log(str(run.home), "flush", "transcript-gone")
    except OSError as error:
        log(str(run.home), "flush", f"file-{errno.errorcode.get(error.errno or 0, 'unreadable')}")
        return
    except CursorMoved:
        log(str(run.home), "flush", "cursor-mismatch")
        return
    except HubRefused as refusal:
        if refusal.status in _UNAUTHORISED | _TRY_LATER or refusal.status >= _SERVER_ERROR:
            raise
        log(str(run.home), "flush", _told(refusal))  # this transcript alone: the others may still go
        return
    else:
        run.sent[newest.key] = newest
        run.folders.append(newest.folder)
        run.state.succeeded()
        mark(str(run.home), newest.agent, "capture")
    newest.path.unlink(missing_ok=True)


def send_transcript(run: Run, note: Note, *, again: bool = False) -> None:
    """Send the whole lines after the hub's cursor, of the session's file and of those of its sub-agents.

    `again` sends everything from the start, so that the hub reads it by the rules it has today.

    Raises OSError when the file cannot be read, HubError when the hub cannot be had or refuses, CursorMoved when it
    keeps contradicting itself.
    """
    parts = _send_file(run, note, again=again)
    for path in subagents_of(note.transcript):
        try:
            if again or path.stat().st_size > parts.get(str(path), 0):
                _send_file(run, replace(note, transcript=str(path)), again=again)
        except OSError as error:
            log(str(run.home), "flush", f"file-{errno.errorcode.get(error.errno or 0, 'unreadable')}")


def subagents_of(transcript: str) -> list[Path]:
    """The files that hold what a session's sub-agents did, in the order of their names."""
    return sorted((Path(transcript).with_suffix("") / "subagents").glob("agent-*.jsonl"))


def _send_file(run: Run, note: Note, *, again: bool) -> dict[str, int]:
    """Send one file; how far the hub has the session's other files."""
    with Path(note.transcript).open("rb") as file:
        about = identity(note.folder, run.home / "roots.json")
        for turn in range(CURSOR_MOVES):
            cursor = run.hub.get("capture", agent=note.agent, session=note.session, source=note.transcript)
            _remember(run, cursor.get("checkpoint"))
            offset, digest = _cursor(cursor)
            anew = (again and turn == 0) or not unchanged_before(file, offset, digest)
            try:
                for portion in portions(file, 0 if anew else offset):
                    _post(run, note, about, file, portion)
            except CursorMoved:
                continue
            return _parts(cursor)
    raise CursorMoved


def _parts(answer: dict[str, Any]) -> dict[str, int]:
    """How far the hub has each other file of the session; a hub that does not say has none."""
    told = answer.get("others")
    found = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    return {source: offset for source, offset in found.items() if isinstance(offset, int)}


def _remember(run: Run, checkpoint: object) -> None:
    """Keep the checkpoint of the hub's audit that came along. What is wrong with it holds up no transcript."""

    def borne_out(heads: dict[str, Any]) -> bool:
        return not run.hub.post("audit/checkpoint/compare", {"heads": heads})["gone"]

    try:
        code = checkpoints.keep(run.home, run.config.hub, checkpoint, borne_out)
    except OSError as error:
        code = f"checkpoint-{errno.errorcode.get(error.errno or 0, 'unwritable')}"
    except HubError as error:
        code = f"checkpoint-{_code(error)}"
    except KeyError:
        code = "checkpoint-unanswered"
    if code is not None:
        log(str(run.home), "flush", code)


def _cursor(answer: dict[str, Any]) -> tuple[int, str | None]:
    offset, digest = answer.get("offset"), answer.get("tail_digest")
    if not isinstance(offset, int) or offset < 0 or not (digest is None or isinstance(digest, str)):
        raise HubUnreachable("what answers is no hub (it gave no cursor)")
    return offset, digest


def _post(run: Run, note: Note, about: dict[str, Any], file: BinaryIO, portion: Portion) -> None:
    """Send one portion.

    Content the hub refuses is narrowed down to the one line, which is then left out and logged: a single poisoned
    record must not keep everything after it on this machine.
    """
    try:
        _post_once(run, note, about, file, portion)
    except HubRefused as refusal:
        if refusal.code == _CURSOR_MISMATCH:
            raise CursorMoved from None
        if refusal.status not in _CONTENT_REFUSED or not portion.records:
            raise
        if len(portion.lines) > 1:
            for half in portion.halves():
                _post(run, note, about, file, half)
        else:
            log(str(run.home), "flush", "record-refused")
            only = portion.lines[0]
            _post_once(run, note, about, file, Portion(portion.start, [type(only)(only.end, skipped=1)]))


def _post_once(run: Run, note: Note, about: dict[str, Any], file: BinaryIO, portion: Portion) -> None:
    records = portion.records
    body = {
        "agent": note.agent,
        "session": note.session,
        "source": note.transcript,
        "from": portion.start,
        "to": portion.end,
        "tail_digest": tail_digest(file, portion.end),
        "records": records,
        "skipped": portion.skipped,
        "malformed": portion.malformed,
        "identity": about,
        "event": note.event,
    }
    answer = run.hub.post("capture", body)
    if answer.get("offset") != portion.end:
        raise HubUnreachable("what answers is no hub (it did not confirm what it was sent)")
    run.state.windows += int(answer.get("windows", 0))
    run.state.duplicates += int(answer.get("duplicates", 0))
    run.state.records += len(records)
    run.state.malformed += portion.malformed
