"""What a hook does at each event of the agent's session, in hardly more modules than an interpreter starts with.

Nothing here may import json, re, os or anything else that costs milliseconds (`ssl` apart, and that only for an https
hub): the time is spent at every prompt of every session. A test holds the list of modules.

A hook never disturbs the agent: whatever happens it exits 0, prints either the hub's whole answer or nothing, and
leaves one line in ``hook.log`` with time, event and a code. Neither prompt, answer nor token is ever written down.
"""

import sys
import time

TYPE_CHECKING = False  # as in typing, whose import would cost more than the hook
if TYPE_CHECKING:
    # To the checkers it is os, of which posix and nt are the built-in parts (importing os takes 1.5 ms).
    import os

    system = os
    VARIABLES: dict[bytes, bytes]
elif sys.platform == "win32":
    import nt as system

    VARIABLES = {key.encode(): value.encode("utf-8", "replace") for key, value in system.environ.items()}
else:
    import posix as system

    VARIABLES = system.environ

BEGUN = time.monotonic()
"""When the hook started: its limit counts from here."""

SEPARATOR = "\\" if sys.platform == "win32" else "/"

ASKING = ("SessionStart", "UserPromptSubmit", "PreToolUse")
NOTING = ("Stop", "SubagentStop", "PreCompact", "PostCompact", "SessionEnd")
TRAILING = ("PostToolUse", "PostToolUseFailure")
"""After a tool: noted at most every `TRAIL_SECONDS`, since all that was done since is read from the transcript then."""
KEEPING = ("Said",)
"""What an agent without a transcript of use says in the event itself: taken over by a process of its own."""

TRAIL_SECONDS = 15
SWITCH = "WORKLORE_HOOKS"
"""Environment variable: ``off`` silences every hook, as in the commands the flusher itself starts."""

LOG_LIMIT = 262_144
_QUOTE, _BACKSLASH = 0x22, 0x5C
_HIGH, _LOW = range(0xD800, 0xDC00), range(0xDC00, 0xE000)
"""The two halves of a surrogate pair."""
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_TRANSCRIPT, _EVENT_NAME = "transcript_path", "hook_event_name"
_NAMES = "session_id," + _TRANSCRIPT + ",{event},"
"""What the members that matter are called, unless the command line says otherwise: see `run`."""


class Silent(Exception):  # noqa: N818 - not an error to the agent: the hook ends quietly with this code in its log
    """The hook gives up; `code` is what its log says and holds nothing of the event's content."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# --- the event as JSON


def members(raw: bytes) -> dict[str, bytes]:
    """The top-level members of a JSON object as raw slices; values are skipped over, not interpreted.

    Raises ValueError when `raw` is not an object or is torn. It is a scanner, not a validator: what it lets through
    is parsed again by whoever uses the content.
    """
    at = _past_space(raw, 0)
    if raw[at : at + 1] != b"{":
        raise ValueError
    found: dict[str, bytes] = {}
    at = _past_space(raw, at + 1)
    if raw[at : at + 1] == b"}":
        return _complete(found, raw, at)
    while True:
        if raw[at : at + 1] != b'"':
            raise ValueError
        end = _string_end(raw, at)
        name = raw[at + 1 : end - 1].decode()
        at = _past_space(raw, end)
        if raw[at : at + 1] != b":":
            raise ValueError
        at = _past_space(raw, at + 1)
        end = _value_end(raw, at)
        found[name] = raw[at:end]
        at = _past_space(raw, end)
        if raw[at : at + 1] == b"}":
            return _complete(found, raw, at)
        if raw[at : at + 1] != b",":
            raise ValueError
        at = _past_space(raw, at + 1)


def _complete(found: dict[str, bytes], raw: bytes, brace: int) -> dict[str, bytes]:
    if _past_space(raw, brace + 1) != len(raw):
        raise ValueError
    return found


def _past_space(raw: bytes, at: int) -> int:
    while at < len(raw) and raw[at] in b" \t\r\n":
        at += 1
    return at


def _string_end(raw: bytes, at: int) -> int:
    """The index after the string that opens at `at`. ValueError if it does not close."""
    at += 1
    while True:
        quote = raw.index(b'"', at)
        first = quote
        while raw[first - 1] == _BACKSLASH:
            first -= 1
        if (quote - first) % 2 == 0:
            return quote + 1
        at = quote + 1


def _value_end(raw: bytes, at: int) -> int:
    depth, start = 0, at
    while at < len(raw):
        byte = raw[at]
        if byte == _QUOTE:
            at = _string_end(raw, at)
        elif byte in b"{[":
            depth, at = depth + 1, at + 1
        elif byte in b"]}" and depth:
            depth, at = depth - 1, at + 1
        elif depth:
            at += 1
        else:  # a number or a literal runs up to what follows it
            while at < len(raw) and raw[at] not in b",]} \t\r\n":
                at += 1
        if depth == 0:
            if at == start or raw[start] not in b'"{[-0123456789tfn':
                break
            return at
    raise ValueError


def text_of(raw: bytes) -> str:
    """A JSON string's text, "" for anything that is none. Half a surrogate pair, which no path holds, is U+FFFD."""
    if raw[:1] != b'"':
        return ""
    text, *parts = raw[1:-1].decode("utf-8", "replace").split("\\")
    high = 0
    while parts:
        part = parts.pop(0)
        if part == "" and parts:  # two backslashes in a row
            text += "\\" + parts.pop(0)
        elif part[:1] == "u":
            try:
                code = int(part[1:5], 16)
            except ValueError:
                return ""
            if high and code in _LOW:
                text, code = text[:-1], 0x10000 + (high - _HIGH.start) * len(_LOW) + code - _LOW.start
            high = code if code in _HIGH and not part[5:] else 0
            text += ("\ufffd" if code in _HIGH or code in _LOW else chr(code)) + part[5:]
        else:
            text += _ESCAPED.get(part[:1], part[:1]) + part[1:]
        high = high if part[:1] == "u" else 0
    return text


def quoted(text: str) -> bytes:
    """`text` as a JSON string (control characters, which no path of ours holds, are dropped)."""
    kept = "".join(character for character in text if character >= " ")
    return b'"' + kept.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8", "replace") + b'"'


# --- files


def environment(name: str) -> str:
    """An environment variable's text, "" when it is not set."""
    return VARIABLES.get(name.encode(), b"").decode("utf-8", "surrogateescape")


def read_text(path: str, limit: int = 1_048_576) -> str | None:
    """A small text file's content, None when it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs more than the whole hook
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return None


def log(home: str, event: str, code: str) -> None:
    """One line for `worklore doctor`; the file is turned over to ``hook.log.1`` at 256 KiB."""
    if not home:
        return  # started without its arguments: there is no log, and certainly none in the file system's root
    path = home + SEPARATOR + "hook.log"
    line = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) + " " + event + " " + code + "\n"
    try:
        handle = system.open(path, system.O_WRONLY | system.O_APPEND | system.O_CREAT, 0o600)
        try:
            system.write(handle, line.encode("ascii", "replace"))
            full = system.fstat(handle).st_size > LOG_LIMIT
        finally:
            system.close(handle)
        if full:
            system.replace(path, path + ".1")
    except OSError:
        # Nowhere is left to say so, and the agent must not be disturbed.
        return


# --- the events


def note_growth(home: str, agent: str, event: str, found: dict[str, bytes], folder: str) -> None:
    """Leave a note that a transcript has grown. No content: the transcript itself is read by the flusher.

    `found` holds ``session_id`` and ``transcript_path``, each as a JSON string.

    Each note is a file of its own, renamed into place whole, so that any number of hooks can write at once and a
    killed one leaves nothing half read.
    """
    spool = home + SEPARATOR + "spool"
    try:
        system.mkdir(spool, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise Silent("not-connected") from None
    name = f"{spool}{SEPARATOR}{time.time_ns():020d}-{system.getpid()}"
    fields = [b'"agent":' + quoted(agent), b'"event":' + quoted(event), b'"folder":' + quoted(folder)]
    fields += [quoted(key) + b":" + found[key] for key in ("session_id", _TRANSCRIPT)]
    handle = system.open(name + ".part", system.O_WRONLY | system.O_CREAT | system.O_EXCL, 0o600)
    try:
        system.write(handle, b"{" + b",".join(fields) + b"}\n")
    finally:
        system.close(handle)
    system.replace(name + ".part", name + ".note")


def noted_lately(home: str, session: bytes) -> bool:
    """True when a tool's end was noted within `TRAIL_SECONDS` for this session; else it counts as noted now.

    A session is told by one of 251 files, so that they stay as many; two that share one take turns.
    """
    path = home + SEPARATOR + "locks" + SEPARATOR + "trail-" + str(int.from_bytes(session, "big") % 251)
    try:
        if 0 <= time.time() - system.stat(path).st_mtime < TRAIL_SECONDS:
            return True
        system.utime(path)
    except FileNotFoundError:
        try:
            system.close(system.open(path, system.O_WRONLY | system.O_CREAT, 0o600))
        except FileNotFoundError:
            raise Silent("not-connected") from None
    return False


def mark(home: str, agent: str, what: str) -> None:
    """Remember by a file's time when `what` last went well for an agent: `worklore doctor` tells of it."""
    path = home + SEPARATOR + "last" + SEPARATOR + agent + "." + what
    try:
        system.close(system.open(path, system.O_WRONLY | system.O_CREAT, 0o600))
        system.utime(path)
    except OSError:
        return  # connecting makes the folder; without it, or where it is read-only, nothing is remembered


def waiting(home: str) -> bool:
    """True when the spool holds something for the flusher: notes, operations, wishes for what is kept here."""
    try:
        return any(name.endswith((".note", ".op", "refresh")) for name in system.listdir(home + SEPARATOR + "spool"))
    except FileNotFoundError:
        return False


def start_flusher(home: str) -> None:
    """Start ``python <this package> HOME flush`` in a session of its own, holding none of the agent's pipes.

    One that runs already looks for notes once more when it has let go of its lock, and so finds what was left before.
    """
    if sys.platform == "win32":
        start_detached(home, ["flush"])  # nobody looks: a second one ends by itself
        return
    import fcntl  # noqa: PLC0415 - half a millisecond, for the events that would start a process

    try:
        lock = system.open(home + SEPARATOR + "locks" + SEPARATOR + "flush", system.O_RDWR | system.O_CREAT, 0o600)
    except OSError:
        start_detached(home, ["flush"])  # which says in the log what keeps it
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The new process holds it from its first moment on, while its interpreter still starts: see `__main__`.
        system.set_inheritable(lock, True)
        start_detached(home, ["flush"])
    except BlockingIOError:
        pass  # one runs
    finally:
        system.close(lock)


def start_detached(home: str, action: "list[str]", *, with_stdin: bool = False) -> None:
    """Start ``python <this package> HOME`` with an action, detached; it holds our standard input where it is to."""
    package = __file__.rpartition(SEPARATOR)[0]
    command = [sys.executable, "-I", "-S", package, home, *action]
    if sys.platform == "win32":
        import subprocess  # noqa: PLC0415 - Windows has no cheaper way to detach

        null, flags = subprocess.DEVNULL, subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        given = None if with_stdin else null
        subprocess.Popen(command, stdin=given, stdout=null, stderr=null, creationflags=flags)  # noqa: S603 - our own code
    else:
        closed = (1, 2) if with_stdin else (0, 1, 2)
        null = [(system.POSIX_SPAWN_OPEN, handle, "/dev/null", system.O_RDWR, 0) for handle in closed]
        system.posix_spawn(sys.executable, command, VARIABLES, file_actions=null, setsid=True)


def folder_of(agent: str, found: dict[str, bytes]) -> str:
    """The folder that the agent works in. Claude Code's variable says more than the event, to its own hooks alone."""
    told = environment("CLAUDE_PROJECT_DIR") if agent == "claude-code" else ""
    told = told or text_of(found.get("cwd", b""))
    roots = found.get("workspace_roots", b"")[1:].lstrip()
    if not told and roots[:1] == b'"':
        told = text_of(roots[: _string_end(roots, 0)])
    return told or system.getcwd()


def run(home: str, agent: str, event: str, names: str) -> None:
    """One event from stdin to its end. Raises Silent for everything that is foreseen to go wrong.

    `names` tells what the agent calls the members that matter: session, transcript, the event itself, "" where it says
    none, and the answer, "" where that stands beside the event's name.
    """
    if environment(SWITCH) == "off" or not home:
        return
    if event in KEEPING:
        start_detached(home, ["said", agent, names.partition(",")[0]], with_stdin=True)
        return
    if event not in ASKING and event not in NOTING and event not in TRAILING:
        raise Silent("unknown-event")
    raw = sys.stdin.buffer.read()
    try:
        found = members(raw)
    except ValueError:
        raise Silent("not-json") from None
    session, transcript, own_name, _ = names.split(",")
    if found.get(session, b"")[:1] != b'"' or found[session] == b'""':
        raise Silent("missing-" + session)
    if own_name and _EVENT_NAME not in found:
        raise Silent("missing-" + _EVENT_NAME)
    if own_name and text_of(found[_EVENT_NAME]) != own_name:
        raise Silent("wrong-event")
    if event in ASKING:
        ask_hub(home, agent, event, raw, folder_of(agent, found), names=names)
    else:
        about = {"session_id": found[session], _TRANSCRIPT: found.get(transcript, b"")}
        note_event(home, agent, event, about, folder_of(agent, found))


def note_event(home: str, agent: str, event: str, about: dict[str, bytes], folder: str) -> None:
    """Note that the transcript has grown, and have it sent. `about` is what `note_growth` finds."""
    if about[_TRANSCRIPT] == b"null":
        return  # a session that the agent keeps no transcript of
    if about[_TRANSCRIPT][:1] != b'"' or about[_TRANSCRIPT] == b'""':
        raise Silent("missing-" + _TRANSCRIPT)
    if event in TRAILING and noted_lately(home, about["session_id"]):
        return
    note_growth(home, agent, event, about, folder)
    start_flusher(home)


def worded(names: str, text: bytes) -> bytes:
    """What to print to tell the agent `text`, a JSON string, where the hub has not worded it; `names` as for `run`."""
    _, _, own_name, answer = names.split(",")
    if answer:
        return b"{" + quoted(answer) + b":" + text + b"}"
    return b'{"hookSpecificOutput":{"hookEventName":' + quoted(own_name) + b',"additionalContext":' + text + b"}}"


def ask_hub(home: str, agent: str, event: str, raw: bytes, folder: str, *, names: str) -> None:
    """Print what the hub has to say to the event; `names` as for `run`."""
    from worklore_client.ask import prompt_memory  # noqa: PLC0415 - a note needs neither sockets nor the project

    try:
        if prompt_memory(home, agent, event, raw, folder, names=names):
            mark(home, agent, "recall")
    finally:
        if event == "SessionStart" and waiting(home):
            start_flusher(home)


def main(arguments: list[str]) -> None:
    """Run the hook and leave the process with 0, whatever happened."""
    home, agent, event, names = (*arguments[1:5], "", "", "", "")[:4]
    try:
        run(home, agent, event, names or _NAMES.format(event=event))
    except Silent as end:
        log(home, event[:40], end.code)
    except Exception as error:  # noqa: BLE001 - the agent must never be disturbed; the kind of error is in the log
        log(home, event[:40], "internal-" + type(error).__name__)
    # Leaving this way skips the interpreter's own clearing up, which the agent would wait for.
    system._exit(0)  # noqa: SLF001 - the documented name of the function
