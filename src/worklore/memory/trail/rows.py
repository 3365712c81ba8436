"""From steps to rows of the record: which rows a call, an item of a list or a turn becomes, and their ids.

Pure. An id follows from the project, the record of the transcript, the kind of row and its place in the record, so that
reading a transcript again, with other rules even, finds the rows of before.
"""

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
from worklore.memory.trail.decisions import decisions, left_to_do
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
from worklore.trail.failure import OperationFailure
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
    made += [row for turn in read.turns for row in _of_turn(turn, read.ordinals.get(turn.uuid, 0), state, where)]
    made += [_of_summary(summary, where) for summary in read.summaries]
    return list({row.id: row for row in made}.values())


# --- calls


def _of_call(done: Done, lines: Mapping[str, Line], where: Whereabouts) -> Iterator[Row]:
    call, outcome = done.call, done.outcome
    if outcome.ok is False and failures.declined(outcome.output):
        return  # a person said no: nothing was done
    if call.act == Act.command:
        yield from _of_command(call, outcome, lines[call.text], where)
    elif outcome.ok is False:
        yield _failure(call, outcome, failures.operation_of_tool(call.tool), _about(call), "", where)
    elif call.act == Act.edit and not outcome.interrupted:
        for place, edit in enumerate(call.edits):
            yield _row(FileChange, "file", call, outcome, place, where, _changed(edit, made=outcome.made))
    elif call.act == Act.plan and call.text and outcome.ok:
        yield _decision(
            call.uuid, call.place, call.ordinal, _when(call, outcome, where), "plan", call.text, where, call
        )
    elif call.act == Act.question:
        for place, (asked, answer, others) in enumerate(outcome.answers):
            time = _when(call, outcome, where)
            key = call.place * MAX_OPEN + place
            yield _decision(
                call.uuid, key, call.ordinal, time, "answer", f"{asked} {answer}", where, call, alternatives=others
            )


def _of_command(call: Call, outcome: Outcome, line: Line, where: Whereabouts) -> Iterator[Row]:
    if not call.text.strip():
        return
    failed = outcome.ok is False
    sort = failures.category(outcome.output, outcome.exit_code) if failed else None
    asset = where.asset(line.hosts) or (None if line.host else where.asset([where.machine]))
    host = line.host or where.machine
    row = _row(
        CommandRun,
        "command",
        call,
        outcome,
        0,
        where,
        {
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
            "executed_at": moment(call.time) or _when(call, outcome, where),
        },
    )
    row.links["infrastructure_id"] = asset
    row.more["execution_order"] = call.ordinal
    yield row
    operation = failures.operation(line.found) if failed else None
    if operation is not None:
        target = (line.hosts or [host])[0]
        yield _failure(call, outcome, operation, one_line(call.text, 500), target, where)
    if outcome.ok:
        for place, shipment in enumerate(shipments(line.found)):
            shipped = _row(
                Deployment,
                "deployment",
                call,
                outcome,
                place,
                where,
                {
                    "deployment_type": shipment.kind,
                    "software_version": shipment.version or None,
                    "description": one_line(call.text, 1000),
                    "deployed_from": call.cwd[:500] or None,
                    "deployed_to": shipment.target or shipment.host[:500] or None,
                },
            )
            shipped.links["infrastructure_id"] = where.asset([shipment.host]) if shipment.host else asset
            yield shipped


def _failure(call: Call, outcome: Outcome, operation: Any, about: str, target: str, where: Whereabouts) -> Row:
    return _row(
        OperationFailure,
        "failure",
        call,
        outcome,
        0,
        where,
        {
            "operation_type": operation,
            "operation_description": about,
            "target_system": target[:255] or None,
            "error_message": failures.message(outcome.output) or "It failed without a word.",
            "error_code": failures.code(outcome.output),
            "failure_category": failures.category(outcome.output, outcome.exit_code),
        },
    )


def _about(call: Call) -> str:
    paths = ", ".join(edit.path for edit in call.edits[:5])
    return one_line(f"{call.tool} {paths or call.text}".strip(), 500)


def _changed(edit: Edit, *, made: bool) -> dict[str, Any]:
    kind = ("created" if made else "modified") if edit.kind == "written" else edit.kind
    counted = [
        f"+{edit.added}" if edit.added is not None else "",
        f"-{edit.removed}" if edit.removed is not None else "",
    ]
    lines = " ".join(filter(None, counted))
    return {
        "file_path": edit.path,
        "change_type": kind,
        "size_bytes": edit.size,
        "description": f"{lines} lines" if lines else None,
    }


def _row(
    model: type[Any], kind: str, call: Call, outcome: Outcome, place: int, where: Whereabouts, content: dict[str, Any]
) -> Row:
    return Row(
        model,
        trail_id(where.project, call.uuid, kind, call.place * MAX_OPEN + place),
        content,
        call.uuid,
        call.ordinal,
        _when(call, outcome, where),
        call.subagent,
        {"work_item_id": _work_item(call, where)},
        {"session_id": where.session},
    )


def _when(call: Call, outcome: Outcome, where: Whereabouts) -> datetime:
    return outcome.time or moment(call.time) or where.now


def _work_item(call: Call, where: Whereabouts) -> uuid.UUID | None:
    named = bisect_right([ordinal for ordinal, _ in where.named_items], call.ordinal) - 1
    by_branch = where.item_of_branch(call.branch) if call.branch else None
    return by_branch or (where.named_items[named][1] if named >= 0 else None)


# --- turns and lists


def _of_turn(turn: Turn, ordinal: int, state: dict[str, Any], where: Whereabouts) -> Iterator[Row]:
    time = turn.time or where.now
    for place, stated in enumerate(decisions(turn.text)):
        yield _decision(
            turn.uuid,
            place,
            ordinal,
            time,
            stated.kind,
            stated.text,
            where,
            rationale=stated.rationale,
            alternatives=stated.alternatives,
        )
    if turn.role == "assistant":
        yield from _left(turn, ordinal, time, state, where)


def _left(turn: Turn, ordinal: int, time: datetime, state: dict[str, Any], where: Whereabouts) -> Iterator[Row]:
    """A list of what is left; what an earlier list had and this one has not is left no more."""
    titles = left_to_do(turn.text)
    if not titles:
        return
    former: dict[str, Any] = state.get("left", {})
    now = {
        title: former.get(title) or {"uuid": turn.uuid, "place": place, "ordinal": ordinal}
        for place, title in enumerate(titles)
    }
    state["left"] = now
    for title, first in former.items():
        if title not in now:
            yield _task(first, "left", title, PendingTaskStatus.cancelled, time, "", where)
    for title, first in now.items():
        yield _task(first, "left", title, PendingTaskStatus.pending, time, "", where)


def _of_item(item: Item, where: Whereabouts) -> Row:
    first = {"uuid": item.uuid, "place": item.place, "ordinal": item.ordinal}
    status = PendingTaskStatus(item.status)
    return _task(first, "item", item.title, status, item.time or where.now, item.subagent, where)


def _task(
    first: Mapping[str, Any],
    kind: str,
    title: str,
    status: PendingTaskStatus,
    time: datetime,
    subagent: str,
    where: Whereabouts,
) -> Row:
    return Row(
        PendingTask,
        trail_id(where.project, first["uuid"], kind, first["place"]),
        {
            "title": title[:500],
            "status": status,
            "completed_at": time if status is PendingTaskStatus.completed else None,
        },
        first["uuid"],
        first["ordinal"],
        time,
        subagent,
        {},
        {"session_id": where.session, "project_id": where.project, "client_id": where.client},
    )


def _decision(
    source: str,
    place: int,
    ordinal: int,
    time: datetime,
    kind: str,
    text: str,
    where: Whereabouts,
    call: Call | None = None,
    *,
    rationale: str = "",
    alternatives: Iterable[str] = (),
) -> Row:
    return Row(
        DecisionLog,
        trail_id(where.project, source, f"decision {kind}", place),
        {
            "decision_type": kind,
            "decision_text": bounded(text, MAX_DECISION),
            "rationale": rationale or None,
            "alternatives_considered": list(alternatives) or None,
        },
        source,
        ordinal,
        time,
        call.subagent if call else "",
        {},
        {"session_id": where.session, "project_id": where.project},
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
        summary.uuid,
        summary.ordinal,
        summary.time or where.now,
        "",
        {},
        {
            "session_id": where.session,
            "project_id": where.project,
            "context_type": ContextType.general_context,
        },
    )
