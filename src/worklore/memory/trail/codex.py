"""The records of Codex's rollouts (`rollout-*.jsonl`), as steps.

A line is `{"timestamp", "type", "payload"}`: `session_meta` and `turn_context` say where and with which model,
`response_item` holds what goes to and comes from the model (messages, calls, their outputs), `event_msg` what the
program told its user (of which the counts of tokens matter here), `compacted` a summary. Lines of older programs are
the items themselves. No line has an id of its own: it is told by session, time and content, a call by its `call_id`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from worklore.memory.frame import TAG, without_blocks
from worklore.memory.trail.step import (
    MAX_COMMAND,
    MAX_ITEMS,
    MAX_OPEN,
    MAX_OUTPUT,
    MAX_SUMMARY,
    MAX_TITLE,
    Act,
    Call,
    Done,
    Edit,
    Item,
    Outcome,
    Read,
    Summary,
    Usage,
    bounded,
    fields,
    items,
    number,
    one_line,
    storable,
    word,
)
from worklore.memory.transcript import Turn, moment

COMMANDS: Final = frozenset({"shell", "shell_command", "exec_command", "local_shell", "container.exec", "unified_exec"})
LIST: Final = "update_plan"
PATCH: Final = "apply_patch"
MAX_PATCH: Final = 200_000

_NOT_SAID: Final = (
    "<environment_context>",
    "<user_instructions>",
    "<permissions instructions>",
    "<turn_aborted>",
    "<skill>",
    "# AGENTS.md instructions",
    "<subagent_notification>",
)
"""How messages begin that the program writes in the user's name."""

_EXIT: Final = re.compile(r"^(?:Exit code:|Process exited with code) (-?\d{1,10})\s*$", re.MULTILINE)
_CUT_CODE: Final = re.compile(r'"exit_code"\s*:\s*(-?\d{1,10})')
_WALL: Final = re.compile(r"^Wall time: ([\d.]{1,15}) seconds?\s*$", re.MULTILINE)
_RUNNING: Final = re.compile(r"^Process running with session ID (\w{1,40})\s*$", re.MULTILINE)
_PATCHED: Final = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)$|^\*\*\* Move to: (.+)$", re.MULTILINE)
_KINDS: Final = {"Add": "created", "Update": "modified", "Delete": "deleted"}
_HEREDOC: Final = re.compile(r"\*\*\* Begin Patch\n.*?(?:\*\*\* End Patch|\Z)", re.DOTALL)
_ABORTED: Final = re.compile(r"\Aaborted(?: by user)?\b")


def read(records: Iterable[object], state: dict[str, Any], *, source: str = "") -> Read:
    """What some records tell; see `worklore.memory.trail.step.Reader`."""
    del source  # a sub-agent's rollout is a session of its own
    found = Read()
    fold = _Fold(found, state)
    for record in records:
        if members := fields(record):
            fold.take(members)
        else:
            found.dropped["malformed"] += 1
    return found


class _Fold:
    """One reading: what was found so far, and the state that goes on to the next."""

    def __init__(self, found: Read, state: dict[str, Any]) -> None:
        self._found = found
        self._state = state
        self._open: dict[str, Any] = state.setdefault("open", {})
        self._running: dict[str, Any] = state.setdefault("background", {})
        self._items: dict[str, Any] = state.setdefault("items", {})
        self._seen: set[str] = set()

    def take(self, record: Mapping[str, Any]) -> None:
        """Take in the next line."""
        self._state["ordinal"] = ordinal = int(self._state.get("ordinal", 0)) + 1
        time = word(record, "timestamp")[:40]
        wrapped = "payload" in record
        payload = fields(record.get("payload")) if wrapped else record
        line = word(record, "type")
        # Older lines are items or, the first of a file, what the session is.
        kind = line if wrapped else "response_item" if "type" in record else "session_meta"
        uuid = self._uuid(time, payload)
        if uuid in self._seen:
            self._found.dropped["repeated"] += 1
            return
        self._seen.add(uuid)
        self._found.ordinals[uuid] = ordinal
        match kind:
            case "session_meta":
                self._state["session"] = word(payload, "id")[:100] or self._state.get("session", "")
                self._place(payload)
            case "turn_context":
                self._place(payload)
                self._state["model"] = word(payload, "model")[:100] or self._state.get("model", "")
            case "response_item":
                self._item_of(payload, uuid, ordinal, time)
            case "event_msg":
                self._event(payload, time)
            case "compacted":
                if text := word(payload, "message"):
                    self._found.summaries.append(Summary(uuid, ordinal, bounded(text, MAX_SUMMARY), moment(time)))
            case _:
                self._found.dropped["other type"] += 1

    def _uuid(self, time: str, payload: Mapping[str, Any]) -> str:
        said = json.dumps(payload, sort_keys=True, default=str)
        named = "\x00".join((str(self._state.get("session", "")), time, said))
        return hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()[:32]

    def _place(self, payload: Mapping[str, Any]) -> None:
        branch = word(fields(payload.get("git")), "branch")[:255]
        for name, value in (("cwd", word(payload, "cwd")[:1000]), ("branch", branch)):
            if value:
                self._state[name] = value

    def _item_of(self, payload: Mapping[str, Any], uuid: str, ordinal: int, time: str) -> None:
        match word(payload, "type"):
            case "message":
                self._said(payload, uuid, time)
            case "function_call":
                self._call(payload, _arguments(payload), uuid, ordinal, time)
            case "local_shell_call":
                self._call({**payload, "name": "local_shell"}, fields(payload.get("action")), uuid, ordinal, time)
            case "custom_tool_call":
                self._call(payload, {"input": payload.get("input")}, uuid, ordinal, time)
            case "function_call_output" | "custom_tool_call_output":
                self._result(payload, time)
            case _:
                self._found.dropped["no text"] += 1

    def _said(self, payload: Mapping[str, Any], uuid: str, time: str) -> None:
        role = word(payload, "role")
        texts = [word(fields(held), "text") for held in items(payload.get("content"))]
        text = without_blocks("\n\n".join(filter(None, texts)), TAG).strip("\r\n\t ")
        if role not in {"user", "assistant"} or not text or (role == "user" and text.startswith(_NOT_SAID)):
            self._found.dropped["no text"] += 1
            return
        self._found.turns.append(
            Turn(
                uuid=uuid,
                role=role,
                text=text,
                time=moment(time),
                session=str(self._state.get("session", "")),
                cwd=str(self._state.get("cwd", "")),
                git_branch=str(self._state.get("branch", "")),
            )
        )

    # --- calls

    def _call(self, payload: Mapping[str, Any], given: Mapping[str, Any], uuid: str, ordinal: int, time: str) -> None:
        tool = word(payload, "name")[:100]
        key = word(payload, "call_id")[:200] or word(payload, "id")[:200] or uuid
        act, text, shell, edits = _act(tool, given)
        call = Call(
            id=key,
            uuid=key[:100],  # a fork of the session repeats it, at another time
            place=0,
            ordinal=ordinal,
            act=act,
            tool=tool,
            text=text,
            shell=shell,
            edits=edits,
            time=time,
            cwd=(word(given, "workdir") or word(given, "working_directory"))[:1000] or str(self._state.get("cwd", "")),
            branch=str(self._state.get("branch", "")),
        )
        if tool == LIST:
            self._list(call, given)
        self._wait(self._open, key, call)

    @staticmethod
    def _wait(waiting: dict[str, Any], key: str, call: Call) -> None:
        waiting[key] = call.as_json()
        while len(waiting) > MAX_OPEN:
            del waiting[next(iter(waiting))]

    def _list(self, call: Call, given: Mapping[str, Any]) -> None:
        """The plan as it is now; steps that it no longer has were dropped, unless they were done."""
        now: dict[str, str] = {}
        for step in items(given.get("plan"))[:MAX_ITEMS]:
            title, status = one_line(word(fields(step), "step"), MAX_TITLE), word(fields(step), "status")
            if title and status in {"pending", "in_progress", "completed"}:
                now.setdefault(title, status)
        for title in list(self._items):
            if title not in now:
                self._status(call, 0, title, "cancelled")
                del self._items[title]
        for place, (title, status) in enumerate(now.items()):
            self._status(call, place, title, status)

    def _status(self, call: Call, place: int, title: str, status: str) -> None:
        known: dict[str, Any] | None = self._items.get(title)
        if known is None:
            if status in {"completed", "cancelled"}:
                return  # it never was open
            known = {"uuid": call.uuid, "place": place, "ordinal": call.ordinal, "status": ""}
            self._items[title] = known
            while len(self._items) > MAX_ITEMS:
                del self._items[next(iter(self._items))]
        if known["status"] in {status, "completed"}:
            return
        known["status"] = status
        self._found.items.append(
            Item(known["uuid"], known["place"], known["ordinal"], title, status, moment(call.time))
        )

    # --- results

    def _result(self, payload: Mapping[str, Any], time: str) -> None:
        waiting = self._open.pop(word(payload, "call_id")[:200], None)
        if waiting is None:
            return
        call, outcome = Call.of_json(waiting), _outcome(payload, time)
        if call.tool == "write_stdin":
            earlier = self._running.get(call.text)
            if earlier is None or outcome.exit_code is None:
                return
            del self._running[call.text]
            call = Call.of_json(earlier)
        elif outcome.background:
            self._wait(self._running, outcome.background, call)
        self._found.done.append(Done(call, outcome))

    def _event(self, payload: Mapping[str, Any], time: str) -> None:
        if word(payload, "type") != "token_count":
            return
        told = fields(payload.get("info"))
        last, total = fields(told.get("last_token_usage")), fields(told.get("total_token_usage"))
        model = str(self._state.get("model", ""))
        if not last or not model:
            return
        whole, cached = number(last, "input_tokens") or 0, number(last, "cached_input_tokens") or 0
        # The same count is told more than once: what it adds up to tells one message from the next.
        key = f"{self._state.get('session', '')} {number(total, 'total_tokens')} {number(total, 'output_tokens')}"
        self._found.usage.append(
            Usage(
                key=key,
                model=model,
                time=moment(time),
                input=max(0, whole - cached),
                output=number(last, "output_tokens") or 0,
                cache_read=min(cached, whole),
            )
        )


def _arguments(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call, which are JSON in a text; nothing for what is none."""
    try:
        return fields(json.loads(word(payload, "arguments")))
    except (ValueError, RecursionError):
        return {}


def _act(tool: str, given: Mapping[str, Any]) -> tuple[str, str, str, tuple[Edit, ...]]:
    """What sort of call it is, what it is about, its shell, and the files it changes."""
    if tool == PATCH:
        return Act.edit, "", "", _edits(word(given, "input") or word(given, "patch"))
    if tool in COMMANDS:
        text, shell = _command(given)
        if "*** Begin Patch" in text and (patch := _HEREDOC.search(text)):
            return Act.edit, "", "", _edits(patch[0])
        return Act.command, bounded(text, MAX_COMMAND), shell, ()
    if tool == LIST:
        return Act.list, "", "", ()
    if tool == "write_stdin":
        session = given.get("session_id")
        return Act.other, str(session)[:40] if isinstance(session, str | int) else "", "", ()
    about = ("path", "file_path", "query", "url")
    return Act.other, one_line(next(filter(None, (word(given, name) for name in about)), "")), "", ()


def _command(given: Mapping[str, Any]) -> tuple[str, str]:
    """The line and its shell; `["bash", "-lc", "line"]` is the line in bash."""
    given_line = given.get("command") if "command" in given else given.get("cmd")
    if isinstance(given_line, str):
        return storable(given_line), (word(given, "shell").rpartition("/")[2] or "bash")[:50]
    words = [storable(held) for held in items(given_line) if isinstance(held, str)]
    if len(words) == 3 and words[1] in {"-lc", "-c", "-Command", "-NoProfile"}:  # noqa: PLR2004 - shell, option, line
        return words[2], words[0].replace("\\", "/").rpartition("/")[2].removesuffix(".exe")[:50]
    return " ".join(f'"{held}"' if " " in held else held for held in words), ""


def _edits(patch: str) -> tuple[Edit, ...]:
    """The files that a patch in the agent's own form changes, with the lines it adds and takes away."""
    patch = patch[:MAX_PATCH]
    marks = list(_PATCHED.finditer(patch))
    found: list[Edit] = []
    for place, mark in enumerate(marks):
        if mark[3]:
            if found:
                found[-1] = Edit(mark[3].strip()[:1000], "moved", found[-1].size, found[-1].added, found[-1].removed)
            continue
        stop = next((later.start() for later in marks[place + 1 :] if not later[3]), len(patch))
        lines = patch[mark.end() : stop].splitlines()
        added = [line[1:] for line in lines if line.startswith("+")]
        removed = sum(line.startswith("-") for line in lines)
        size = sum(len(line.encode("utf-8", "replace")) + 1 for line in added)
        found.append(Edit(mark[2].strip()[:1000], _KINDS[mark[1]], size, len(added), removed))
    return tuple(found[:50])


def _outcome(payload: Mapping[str, Any], time: str) -> Outcome:
    given = payload.get("output")
    output, exit_code, duration, success = "", None, None, None
    if isinstance(given, str):
        output = storable(given)
        try:
            inner = fields(json.loads(output) if output.startswith("{") else None)
        except (ValueError, RecursionError):
            inner = fields(None)
        if not inner and output.startswith("{") and (ended := _CUT_CODE.search(output)):
            exit_code = _code(int(ended[1]))  # the client has cut it in the middle: it is JSON no more
        if "output" in inner:
            told = fields(inner.get("metadata"))
            output, exit_code, duration = (
                word(inner, "output"),
                _code(told.get("exit_code")),
                told.get("duration_seconds"),
            )
    else:
        held = fields(given)
        output = word(held, "content") or "\n".join(word(fields(part), "text") for part in items(given))
        success = held.get("success") if isinstance(held.get("success"), bool) else None
    head, _, rest = output.partition("Output:\n")
    if exit_code is None and (ended := _EXIT.search(head)):
        exit_code = _code(int(ended[1]))
    if duration is None and (took := _WALL.search(head)):
        duration = took[1]
    running = _RUNNING.search(head)
    if (exit_code is not None or running) and rest and len(head) < 400:  # noqa: PLR2004 - the program's own lines are few
        output = rest
    interrupted = bool(_ABORTED.match(output))
    ok = success if exit_code is None else exit_code == 0
    if interrupted or running:
        ok = None
    elif ok is None and exit_code is None:
        ok = not output.startswith(("Error", "error", "failed", "apply_patch verification failed", "execution error"))
    return Outcome(
        ok=ok,
        output=bounded(output, MAX_OUTPUT),
        exit_code=exit_code,
        interrupted=interrupted,
        background=running[1] if running else "",
        duration_ms=_milliseconds(duration),
        time=moment(time),
    )


def _code(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < 2**32 else None


def _milliseconds(seconds: object) -> int | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | str):
        return None
    try:
        taken = float(seconds)
    except (ValueError, OverflowError):
        return None
    return round(taken * 1000) if 0 <= taken < 1e9 else None  # noqa: PLR2004 - thirty years
