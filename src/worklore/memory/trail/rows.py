"""From steps to rows of the record: which rows a call, an item of a list or a turn becomes, and their ids.

Pure. An id follows from the project, the record of the transcript, the kind of row and its place in the record, so that
reading a transcript again, with other rules even, finds the rows of before.
"""

import hashlib
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from worklore.memory.context import ContextType, ConversationContext
from worklore.memory.decision import DecisionLog
from worklore.memory.tokens import count
from worklore.memory.trail import failures
from worklore.memory.trail.decisions import Decision, decisions, left_to_do
from worklore.memory.trail.deployments import shipments
from worklore.memory.trail.hosts import targets
from worklore.memory.trail.shell import Invocation, invocations
from worklore.memory.trail.step import (
    MAX_OPEN,
    MAX_OUTPUT,
    Act,
    Call,
    Done,
    Edit,
    Item,
    Outcome,
    Read,
    Summary,
    bounded,
    one_line,
)
from worklore.memory.transcript import Turn, moment
from worklore.trail.command import CommandRun
from worklore.trail.deployment import Deployment
from worklore.trail.failure import OperationFailure, OperationType
from worklore.trail.file_change import FileChange
from worklore.work.pending_task import PendingTask, PendingTaskStatus

MAX_DECISION: Final = 2_000
MAX_HOSTS: Final = 40


@dataclass(slots=True)
class Row:
    """A row of the record. `content` is what the rules say, `links` what it is tied to as far as that is known."""

    model: type[Any]
    id: uuid.UUID
    content: dict[str, Any]
    source: str
    ordinal: int
    time: datetime
    subagent: str = ""
    links: dict[str, Any] = field(default_factory=dict[str, Any])
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    """What is set when the row is made and never again."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Whose transcript it is, and how names become records. `machine` is the host name of the machine it is from."""

    project: uuid.UUID
    session: uuid.UUID
    client: uuid.UUID | None
    now: datetime
    machine: str = ""
    asset: Callable[[Sequence[str]], uuid.UUID | None] = lambda _: None
    item_of_branch: Callable[[str], uuid.UUID | None] = lambda _: None
    named_items: tuple[tuple[int, uuid.UUID | None], ...] = ()
    """Work items that a person named, each with the ordinal from which on."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line as it was understood: its programs, and the hosts that they run on or talk to."""

    found: list[Invocation]
    host: str
    hosts: list[str]


def trail_id(project: uuid.UUID, source: str, kind: str, place: int) -> uuid.UUID:
    """The id of a row: a UUIDv5 (RFC 9562) in the project's name space."""
    return uuid.uuid5(project, f"{source}\n{kind}\n{place}")


def understood(text: str) -> Line:
    """What a command line runs, and where."""
    found = invocations(text)
    remote = next((invocation.host for invocation in found if invocation.host), "")
    talked_to = dict.fromkeys(host for invocation in found for host in targets(invocation))
    return Line(found, remote, list(talked_to)[:MAX_HOSTS])


def lines_of(read: Read) -> dict[str, Line]:
    """The command lines of some steps, by their text."""
    return {done.call.text: understood(done.call.text) for done in read.done if done.call.act == Act.command}


def rows_of(read: Read, lines: Mapping[str, Line], state: dict[str, Any], where: Whereabouts) -> list[Row]:
    """The rows of some steps; of those with the same id only the last is there. `state` is the reader's."""
    made = [row for done in read.done for row in _of_call(done, lines, where)]
    made += [_of_item(item, where) for item in read.items]
    for turn in read.turns:
        ordinal = read.ordinals.get(turn.uuid, 0)
        if turn.uuid in read.forgotten:
            _unsay(turn, ordinal, state)
        else:
            made += _of_turn(turn, ordinal, state, where)
    made += [_of_summary(summary, where) for summary in read.summaries]
    return list({row.id: row for row in made}.values())


# --- calls


@dataclass(frozen=True, slots=True)
class _Deed:
    """A call, how it ended, and where: what its rows are made of."""

    call: Call
    outcome: Outcome
    where: Whereabouts

    @property
    def time(self) -> datetime:
        return self.outcome.time or moment(self.call.time) or self.where.now

    @property
    def work_item(self) -> uuid.UUID | None:
        call, where = self.call, self.where
        named = bisect_right([ordinal for ordinal, _ in where.named_items], call.ordinal) - 1
        by_branch = where.item_of_branch(call.branch) if call.branch else None
        return by_branch or (where.named_items[named][1] if named >= 0 else None)

    def row(self, model: type[Any], kind: str, place: int, content: dict[str, Any]) -> Row:
        call, where = self.call, self.where
        return Row(
            model,
            trail_id(where.project, call.uuid, kind, call.place * MAX_OPEN + place),
            content,
            source=call.uuid,
            ordinal=call.ordinal,
            time=self.time,
            subagent=call.subagent,
            links={"work_item_id": self.work_item},
            more={"session_id": where.session},
        )

    def failure(self, operation: OperationType, about: str, target: str = "") -> Row:
        output, code = self.outcome.output, self.outcome.exit_code
        content = {
            "operation_type": operation,
            "operation_description": about,
            "target_system": target[:255] or None,
            "error_message": failures.message(output) or "It failed without a word.",
            "error_code": failures.code(output),
            "failure_category": failures.category(output, code),
        }
        return self.row(OperationFailure, "failure", 0, content)

    def decision(self, kind: str, place: int, text: str, alternatives: Iterable[str] = ()) -> Row:
        call, where = self.call, self.where
        stated = Decision(kind, text, "", tuple(alternatives))
        at = _Place(call.uuid, call.place * MAX_OPEN + place, call.ordinal)
        return _decided(stated, at, self.time, where, subagent=call.subagent)


def _of_call(done: Done, lines: Mapping[str, Line], where: Whereabouts) -> Iterator[Row]:
    call, outcome = done.call, done.outcome
    if outcome.ok is False and failures.declined(outcome.output):
        return  # a person said no: nothing was done
    deed = _Deed(call, outcome, where)
    if call.act == Act.command:
        yield from _of_command(deed, lines[call.text])
    elif outcome.ok is False:
        yield deed.failure(failures.operation_of_tool(call.tool), _about(call))
    elif call.act == Act.edit and not outcome.interrupted:
        for place, edit in enumerate(call.edits):
            yield deed.row(FileChange, "file", place, _changed(edit, made=outcome.made))
    elif call.act == Act.plan and call.text and outcome.ok:
        yield deed.decision("plan", 0, call.text)
    elif call.act == Act.question:
        for place, (asked, answer, others) in enumerate(outcome.answers):
            yield deed.decision("answer", place, f"{asked} {answer}", others)


def _of_command(deed: _Deed, line: Line) -> Iterator[Row]:
    call, outcome, where = deed.call, deed.outcome, deed.where
    if not call.text.strip():
        return
    failed = outcome.ok is False
    sort = failures.category(outcome.output, outcome.exit_code) if failed else None
    asset = where.asset(line.hosts) or (None if line.host else where.asset([where.machine]))
    host = line.host or where.machine
    content = {
        "command_text": call.text,
        "host": host[:255] or None,
        "shell_type": call.shell or None,
        "working_directory": call.cwd or None,
        "success": outcome.ok,
        "output_summary": bounded(outcome.output.strip(), MAX_OUTPUT) or None,
        "exit_code": outcome.exit_code,
        "duration_ms": outcome.duration_ms,
        "error_message": failures.message(outcome.output) or None if failed else None,
        "failure_category": "interrupted" if outcome.interrupted else sort,
        "executed_at": moment(call.time) or deed.time,
    }
    row = deed.row(CommandRun, "command", 0, content)
    row.links["infrastructure_id"] = asset
    row.more["execution_order"] = call.ordinal
    yield row
    operation = failures.operation(line.found) if failed else None
    if operation is not None:
        yield deed.failure(operation, one_line(call.text, 500), (line.hosts or [host])[0])
    if outcome.ok:
        yield from _shipped(deed, line, asset)


def _shipped(deed: _Deed, line: Line, asset: uuid.UUID | None) -> Iterator[Row]:
    for place, shipment in enumerate(shipments(line.found)):
        content = {
            "deployment_type": shipment.kind,
            "software_version": shipment.version or None,
            "description": one_line(deed.call.text, 1000),
            "deployed_from": deed.call.cwd[:500] or None,
            "deployed_to": shipment.target or shipment.host[:500] or None,
        }
        row = deed.row(Deployment, "deployment", place, content)
        row.links["infrastructure_id"] = deed.where.asset([shipment.host]) if shipment.host else asset
        yield row


def _about(call: Call) -> str:
    paths = ", ".join(edit.path for edit in call.edits[:5])
    return one_line(f"{call.tool} {paths or call.text}".strip(), 500)


def _changed(edit: Edit, *, made: bool) -> dict[str, Any]:
    kind = ("created" if made else "modified") if edit.kind == "written" else edit.kind
    added = f"+{edit.added}" if edit.added is not None else ""
    removed = f"-{edit.removed}" if edit.removed is not None else ""
    lines = " ".join(filter(None, (added, removed)))
    return {
        "file_path": edit.path,
        "change_type": kind,
        "size_bytes": edit.size,
        "description": f"{lines} lines" if lines else None,
    }


# --- turns and lists


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something was said first."""

    source: str
    place: int
    ordinal: int


def _of_turn(turn: Turn, ordinal: int, state: dict[str, Any], where: Whereabouts) -> Iterator[Row]:
    time = turn.time or where.now
    for place, stated in enumerate(decisions(turn.text)):
        yield _decided(stated, _Place(turn.uuid, place, ordinal), time, where)
    if turn.role == "assistant":
        yield from _left(turn, ordinal, state, where)


def _left(turn: Turn, ordinal: int, state: dict[str, Any], where: Whereabouts) -> Iterator[Row]:
    """A list of what is left; what an earlier list had and this one has not is left no more."""
    titles = left_to_do(turn.text)
    if not titles:
        return
    time = turn.time or where.now
    former: dict[str, Any] = state.get("left", {})
    now = {title: _first_said(title, place, turn, ordinal, state) for place, title in enumerate(titles)}
    state["left"] = now
    state.pop("unsaid", None)
    for title, first in (former | now).items():
        status = PendingTaskStatus.pending if title in now else PendingTaskStatus.cancelled
        yield _task("left", _Place(*first), Item("", 0, 0, title, status, time), where)


def _unsay(turn: Turn, ordinal: int, state: dict[str, Any]) -> None:
    """A list in a turn that somebody has deleted gives no rows, but what a later list says again is the same task.

    Of what was deleted only digests are kept.
    """
    titles = left_to_do(turn.text) if turn.role == "assistant" else []
    if titles:
        places = {_digest(title): _first_said(title, place, turn, ordinal, state) for place, title in enumerate(titles)}
        state["unsaid"] = places
        state.pop("left", None)


def _first_said(title: str, place: int, turn: Turn, ordinal: int, state: Mapping[str, Any]) -> Any:
    """Where what is left was said first, in lists of which each has it: turn, place and ordinal."""
    said, unsaid = state.get("left", {}), state.get("unsaid", {})
    return said.get(title) or unsaid.get(_digest(title)) or [turn.uuid, place, ordinal]


def _digest(title: str) -> str:
    return hashlib.sha256(title.encode()).hexdigest()


def _of_item(item: Item, where: Whereabouts) -> Row:
    return _task("item", _Place(item.uuid, item.place, item.ordinal), item, where)


def _task(kind: str, first: _Place, item: Item, where: Whereabouts) -> Row:
    status, time = PendingTaskStatus(item.status), item.time or where.now
    return Row(
        PendingTask,
        trail_id(where.project, first.source, kind, first.place),
        {
            "title": item.title[:500],
            "status": status,
            "completed_at": time if status is PendingTaskStatus.completed else None,
        },
        source=first.source,
        ordinal=first.ordinal,
        time=time,
        subagent=item.subagent,
        more={"session_id": where.session, "project_id": where.project, "client_id": where.client},
    )


def _decided(stated: Decision, at: _Place, time: datetime, where: Whereabouts, *, subagent: str = "") -> Row:
    return Row(
        DecisionLog,
        trail_id(where.project, at.source, f"decision {stated.kind}", at.place),
        {
            "decision_type": stated.kind,
            "decision_text": bounded(stated.text, MAX_DECISION),
            "rationale": stated.rationale or None,
            "alternatives_considered": list(stated.alternatives) or None,
        },
        source=at.source,
        ordinal=at.ordinal,
        time=time,
        subagent=subagent,
        more={"session_id": where.session, "project_id": where.project},
    )


def _of_summary(summary: Summary, where: Whereabouts) -> Row:
    return Row(
        ConversationContext,
        trail_id(where.project, summary.uuid, "summary", 0),
        {
            "title": "What the agent kept when its context was cut",
            "dense_summary": summary.text,
            "tokens_before": summary.tokens_before,
            "tokens_after": count(summary.text),
        },
        source=summary.uuid,
        ordinal=summary.ordinal,
        time=summary.time or where.now,
        more={
            "session_id": where.session,
            "project_id": where.project,
            "context_type": ContextType.general_context,
        },
    )
