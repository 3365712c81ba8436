"""The records of Claude Code's transcripts, as steps.

A call stands in an assistant's record and its result in a later user's record that names it; a message is written as
several records with one message id, each with the tokens known by then; what a sub-agent does stands in a file of its
own (older programs: in the same file), each record marked as a side chain.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from worklore.memory.frame import block
from worklore.memory.trail.failures import unwrapped
from worklore.memory.trail.step import (
    MAX_COMMAND,
    MAX_ITEMS,
    MAX_OPEN,
    MAX_OUTPUT,
    MAX_PLAN,
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
    lines_of,
    number,
    one_line,
    size_of,
    storable,
    word,
)
from worklore.memory.transcript import moment
from worklore.memory.transcript import read as read_turns

SHELLS: Final = {"Bash": "bash", "PowerShell": "powershell"}
EDITORS: Final = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})
ANSWERS: Final = frozenset({"BashOutput", "TaskOutput"})
TYPED: Final = "!"
"""What a command that a person typed is called while it waits for its output."""

ITEM_STATES: Final = frozenset({"pending", "in_progress", "completed"})


def read(records: Iterable[object], state: dict[str, Any], *, source: str = "") -> Read:
    """What some records tell; see `worklore.memory.trail.step.Reader`."""
    given = list(records)
    reading = read_turns(given)
    found = Read(turns=reading.turns, dropped=reading.dropped)
    fold = _Fold(found, state, _subagent_of(source))
    for record in given:
        fold.take(fields(record))
    return found


def _subagent_of(source: str) -> str:
    """The sub-agent whose file this is, after its name (`agent-x.jsonl`); empty for a session's own file."""
    name = PurePosixPath(source.replace("\\", "/"))
    return name.stem.removeprefix("agent-")[:100] if name.stem.startswith("agent-") else ""


class _Fold:
    """One reading: what was found so far, and the state that goes on to the next."""

    def __init__(self, found: Read, state: dict[str, Any], subagent: str) -> None:
        self._found = found
        self._state = state
        self._subagent = subagent
        self._open: dict[str, Any] = state.setdefault("open", {})
        self._background: dict[str, Any] = state.setdefault("background", {})
        self._items: dict[str, Any] = state.setdefault("items", {})
        self._seen: set[str] = set()

    def take(self, record: Mapping[str, Any]) -> None:
        """Take in the next record."""
        self._state["ordinal"] = ordinal = int(self._state.get("ordinal", 0)) + 1
        uuid, kind = _uuid(record), word(record, "type")
        if uuid in self._seen:
            return
        self._seen.add(uuid)
        self._found.ordinals[uuid] = ordinal
        if kind == "system" and record.get("subtype") == "compact_boundary":
            self._state["before"] = number(fields(record.get("compactMetadata")), "preTokens")
        if record.get("isMeta") or record.get("isApiErrorMessage"):
            return
        if record.get("isCompactSummary"):
            self._summary(record, uuid, ordinal)
            return
        message = fields(record.get("message"))
        if kind == "assistant":
            self._use(record, message, uuid)
            for place, held in enumerate(items(message.get("content"))):
                if fields(held).get("type") == "tool_use":
                    self._call(record, fields(held), uuid, place, ordinal)
        elif kind == "user":
            self._answers(record, message, uuid, ordinal)

    def _agent(self, record: Mapping[str, Any]) -> str:
        if self._subagent:
            return self._subagent
        return (word(record, "agentId") or "sidechain")[:100] if record.get("isSidechain") else ""

    def _summary(self, record: Mapping[str, Any], uuid: str, ordinal: int) -> None:
        text = storable("\n\n".join(_texts(fields(record.get("message")).get("content"))))
        if text and not self._agent(record):
            self._found.summaries.append(
                Summary(
                    uuid,
                    ordinal,
                    bounded(text, MAX_SUMMARY),
                    moment(record.get("timestamp")),
                    self._state.pop("before", None),
                )
            )

    def _use(self, record: Mapping[str, Any], message: Mapping[str, Any], uuid: str) -> None:
        used, model = fields(message.get("usage")), word(message, "model")
        if not used or not model or model.startswith("<"):
            return
        kept_long = number(fields(used.get("cache_creation")), "ephemeral_1h_input_tokens") or 0
        written = max(number(used, "cache_creation_input_tokens") or 0, kept_long)
        self._found.usage.append(
            Usage(
                key=f"{word(message, 'id') or uuid} {word(record, 'requestId')}",
                model=model[:100],
                time=moment(record.get("timestamp")),
                subagent=self._agent(record),
                input=number(used, "input_tokens") or 0,
                output=number(used, "output_tokens") or 0,
                cache_read=number(used, "cache_read_input_tokens") or 0,
                cache_write=written,
                cache_write_long=kept_long,
            )
        )

    # --- calls

    def _call(self, record: Mapping[str, Any], held: Mapping[str, Any], uuid: str, place: int, ordinal: int) -> None:
        tool, given = word(held, "name")[:100], fields(held.get("input"))
        key = word(held, "id")[:200] or f"{uuid} {place}"
        act, text, edits = _act(tool, given)
        call = Call(
            id=key,
            uuid=uuid,
            place=place,
            ordinal=ordinal,
            act=act,
            tool=tool,
            text=text,
            shell=SHELLS.get(tool, ""),
            edits=edits,
            time=word(record, "timestamp")[:40],
            cwd=word(record, "cwd")[:1000],
            branch=word(record, "gitBranch")[:255],
            subagent=self._agent(record),
        )
        if tool == "TodoWrite":
            self._list(call, given)
        self._wait(self._open, key, call.as_json())

    @staticmethod
    def _wait(waiting: dict[str, Any], key: str, call: dict[str, Any]) -> None:
        waiting[key] = call
        while len(waiting) > MAX_OPEN:
            del waiting[next(iter(waiting))]

    def _list(self, call: Call, given: Mapping[str, Any]) -> None:
        """The list as it is now; items that it no longer has were dropped, unless they were done."""
        now: dict[str, str] = {}
        for listed in items(given.get("todos"))[:MAX_ITEMS]:
            title, status = one_line(word(fields(listed), "content"), MAX_TITLE), word(fields(listed), "status")
            if title and status in ITEM_STATES:
                now.setdefault(title, status)
        for place, (title, status) in enumerate(now.items()):
            self._item(call, place, title, status)
        for title in list(self._items):
            known = self._items[title]
            if title not in now and known.get("list") and known.get("agent", "") == call.subagent:
                self._item(call, 0, title, "cancelled")
                del self._items[title]

    def _item(self, call: Call, place: int, title: str, status: str, *, key: str = "", listed: bool = True) -> None:
        name = key or title
        known: dict[str, Any] | None = self._items.get(name)
        if known is None:
            if status in {"completed", "cancelled"}:
                return  # it never was open
            known = {"uuid": call.uuid, "place": place, "ordinal": call.ordinal, "title": title, "status": ""}
            known |= {"list": True} if listed else {}
            known |= {"agent": call.subagent} if call.subagent else {}
            self._items[name] = known
            while len(self._items) > MAX_ITEMS:
                del self._items[next(iter(self._items))]
        if known["status"] in {status, "completed"}:
            return
        known["status"] = status
        self._found.items.append(
            Item(
                uuid=known["uuid"],
                place=known["place"],
                ordinal=known["ordinal"],
                title=known["title"],
                status=status,
                time=moment(call.time),
                subagent=call.subagent,
            )
        )

    # --- results

    def _answers(self, record: Mapping[str, Any], message: Mapping[str, Any], uuid: str, ordinal: int) -> None:
        content = message.get("content")
        blocks = [fields(held) for held in items(content)]
        results = [held for held in blocks if held.get("type") == "tool_result"]
        for held in results:
            # What the program tells beside the blocks is of one call.
            beside = record.get("toolUseResult") if len(results) == 1 else None
            waiting = self._open.pop(word(held, "tool_use_id")[:200], None)
            if waiting is not None:
                self._end(Call.of_json(waiting), held, beside, record)
        if not results:
            self._typed(record, "\n".join(_texts(content)), uuid, ordinal)

    def _end(self, call: Call, held: Mapping[str, Any], beside: object, record: Mapping[str, Any]) -> None:
        told = fields(beside)
        output = storable("\n".join(_texts(held.get("content"))))
        outcome = _outcome(output, told, failed=held.get("is_error") is True, record=record)
        if call.tool in ANSWERS:
            self._ended_in_background(call, outcome, told)
            return
        if outcome.background:
            self._wait(self._background, outcome.background, call.as_json())
        if call.tool == "TaskCreate":
            self._created(call, told)
        elif call.tool == "TaskUpdate":
            self._updated(call)
        self._found.done.append(Done(call, outcome))

    def _ended_in_background(self, asked: Call, outcome: Outcome, told: Mapping[str, Any]) -> None:
        """The output of a command that runs in the background: once it tells how that ended, the command did."""
        inner = fields(told.get("task")) or told
        shell = word(inner, "shellId") or word(inner, "task_id") or asked.text
        exit_code = _exit_code(inner)
        if exit_code is None or shell not in self._background:
            return
        call = Call.of_json(self._background.pop(shell))
        output = storable(word(inner, "stdout") + word(inner, "stderr")) or word(inner, "output") or outcome.output
        self._found.done.append(
            Done(
                call,
                Outcome(exit_code == 0, bounded(output, MAX_OUTPUT), exit_code, time=outcome.time),
            )
        )

    def _created(self, call: Call, told: Mapping[str, Any]) -> None:
        key = word(fields(told.get("task")), "id")[:50]
        if key and call.text:
            self._item(call, call.place, call.text, "pending", key=f"#{key}", listed=False)

    def _updated(self, call: Call) -> None:
        key, _, status = call.text.partition(" ")
        status = "cancelled" if status == "deleted" else status
        if f"#{key}" in self._items and status in {*ITEM_STATES, "cancelled"}:
            self._item(call, call.place, "", status, key=f"#{key}", listed=False)

    def _typed(self, record: Mapping[str, Any], text: str, uuid: str, ordinal: int) -> None:
        """A command that a person typed behind `!`, and, in the next record, what it printed."""
        if command := block(text, "bash-input"):
            call = Call(  # noqa: S604 - the name of a shell; nothing is run
                id=TYPED,
                uuid=uuid,
                place=0,
                ordinal=ordinal,
                act=Act.command,
                tool=TYPED,
                text=bounded(storable(command), MAX_COMMAND),
                shell="bash",
                time=word(record, "timestamp")[:40],
                cwd=word(record, "cwd")[:1000],
                branch=word(record, "gitBranch")[:255],
            )
            self._wait(self._open, TYPED, call.as_json())
        elif TYPED in self._open and ("<bash-stdout>" in text or "<bash-stderr>" in text):
            printed = "\n".join(filter(None, (block(text, "bash-stdout"), block(text, "bash-stderr"))))
            outcome = Outcome(None, bounded(storable(printed), MAX_OUTPUT), time=moment(record.get("timestamp")))
            self._found.done.append(Done(Call.of_json(self._open.pop(TYPED)), outcome))


def _uuid(record: Mapping[str, Any]) -> str:
    """The record's own, or a digest of all it says."""
    own = word(record, "uuid")
    if own:
        return own[:100]
    said = repr(sorted(record.items(), key=lambda member: member[0]))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]


def _texts(content: object) -> list[str]:
    """The texts of a message or a result; an image is told as one."""
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    for held in items(content):
        if isinstance(held, str):
            found.append(held)
        elif fields(held).get("type") == "text":
            found.append(word(fields(held), "text"))
        elif fields(held).get("type") == "image":
            found.append("[image]")
    return found


def _act(tool: str, given: Mapping[str, Any]) -> tuple[str, str, tuple[Edit, ...]]:
    """What sort of call it is, what it is about, and the files it changes."""
    if tool in SHELLS:
        return Act.command, bounded(word(given, "command"), MAX_COMMAND), ()
    if tool in EDITORS:
        return Act.edit, "", _edits(tool, given)
    if tool == "ExitPlanMode":
        return Act.plan, bounded(word(given, "plan"), MAX_PLAN), ()
    if tool == "AskUserQuestion":
        return Act.question, "", ()
    if tool in ANSWERS:
        return Act.other, word(given, "bash_id") or word(given, "shell_id") or word(given, "task_id"), ()
    if tool == "TaskCreate":
        return Act.list, one_line(word(given, "subject"), MAX_TITLE), ()
    if tool == "TaskUpdate":
        return Act.list, f"{word(given, 'taskId')[:50]} {word(given, 'status')[:20]}", ()
    about = ("file_path", "path", "url", "query", "pattern", "description", "notebook_path", "skill")
    return Act.other, one_line(next(filter(None, (word(given, name) for name in about)), "")), ()


def _edits(tool: str, given: Mapping[str, Any]) -> tuple[Edit, ...]:
    path = (word(given, "file_path") or word(given, "notebook_path"))[:1000]
    if not path:
        return ()
    if tool == "Write":
        content = word(given, "content")
        return (Edit(path, "written", size_of(content), lines_of(content), None),)
    if tool == "NotebookEdit":
        source = word(given, "new_source")
        return (Edit(path, "deleted_cell" if given.get("edit_mode") == "delete" else "modified", size_of(source)),)
    changes = [fields(change) for change in items(given.get("edits"))] if tool == "MultiEdit" else [given]
    old, new = ([word(change, name) for change in changes] for name in ("old_string", "new_string"))
    return (Edit(path, "modified", sum(map(size_of, new)), _sum(map(lines_of, new)), _sum(map(lines_of, old))),)


def _sum(counted: Iterable[int | None]) -> int | None:
    known = list(counted)
    return None if any(count is None for count in known) else sum(count or 0 for count in known)


def _exit_code(told: Mapping[str, Any]) -> int | None:
    for name in ("exitCode", "exit_code"):
        value = told.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**32:
            return value
    return None


def _outcome(output: str, told: Mapping[str, Any], *, failed: bool, record: Mapping[str, Any]) -> Outcome:
    plain = unwrapped(output)
    background = word(told, "backgroundTaskId")[:100]
    interrupted = told.get("interrupted") is True or "[Request interrupted by user" in plain[:200]
    exit_code = _exit_code(told)
    head, _, rest = plain.partition("\n")
    if failed and exit_code is None and head.startswith("Exit code ") and head[10:].strip().isdigit():
        exit_code, plain = min(int(head[10:].strip()[:10]), 2**32 - 1), rest
    ok = None if background or interrupted else not failed
    if ok and exit_code is None and "stdout" in told and not word(told, "returnCodeInterpretation"):
        exit_code = 0  # the program marks every other end as an error
    asked = tuple(
        (one_line(storable(question)), one_line(storable(answer)), _choices(told, question, answer))
        for question, answer in list(fields(told.get("answers")).items())[:10]
        if isinstance(answer, str) and answer.strip()
    )
    return Outcome(
        ok=ok,
        output=bounded(plain, MAX_OUTPUT),
        exit_code=exit_code,
        interrupted=interrupted,
        background=background,
        duration_ms=number(told, "durationMs") if "durationMs" in told else number(told, "totalDurationMs"),
        time=moment(record.get("timestamp")),
        made=told.get("type") == "create",
        answers=asked,
    )


def _choices(told: Mapping[str, Any], question: str, answer: str) -> tuple[str, ...]:
    for asked in items(told.get("questions")):
        if fields(asked).get("question") == question:
            labels = [word(fields(option), "label") for option in items(fields(asked).get("options"))]
            return tuple(one_line(label) for label in labels[:10] if label and label != answer)
    return ()
