"""Work records as windows of memory, so that one question finds what was said and what was written down.

Whatever changes a record, through the API or by capture, is noticed as it is stored; at the end of the unit of work the
windows of what changed are brought up to date, in the same transaction and last of all, since other units wait for
their numbers. A record that capture read off a turn is in memory by that turn already.
"""

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import event, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.unitofwork import UOWTransaction

from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import CONTEXT, AuditedSession, client_of
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.jobs import may_end
from worklore.kernel.sequence import take
from worklore.kernel.transaction import Database
from worklore.knowledge.insight import EnvironmentalInsight
from worklore.knowledge.pattern import FailurePattern
from worklore.knowledge.solution import ProblemSolution
from worklore.memory import tokens
from worklore.memory.capture import store
from worklore.memory.changed import CHANGED, note_changed
from worklore.memory.context import ConversationContext
from worklore.memory.decision import DecisionLog
from worklore.memory.snippet import ContextSnippet
from worklore.memory.units import passages, unit_terms
from worklore.memory.window import SEQUENCE, Kind, MemoryWindow, Role, Trust
from worklore.trail.deployment import Deployment
from worklore.trail.failure import OperationFailure
from worklore.work.session import WorkSession
from worklore.work.work_item import WorkItem

FIRST_ORDINAL: Final = 10**9
"""Records of a session stand behind all its turns."""

SPOKEN: Final = frozenset({"plan", "answer"})
"""Decisions that capture reads off a tool call; all others it reads off a turn."""


def _lines(*parts: tuple[str, object]) -> str:
    """One line for each part that says something, behind its name."""
    said = [(name, str(value).strip()) for name, value in parts if value]
    return "\n".join(f"{name}: {text}" if name else text for name, text in said if text)


def _listed(values: Iterable[object] | None) -> str:
    return "; ".join(str(value) for value in values or ())


def _solution(record: ProblemSolution) -> str:
    return _lines(
        ("", record.problem_title),
        ("", record.problem_description),
        ("Symptom", record.symptom),
        ("Error", record.error_message),
        ("Cause", record.root_cause),
        ("Solution", record.solution_applied),
        ("Checked by", record.verification_method),
        ("Way back", record.rollback_plan),
    )


def _failure(record: OperationFailure) -> str:
    return _lines(
        ("Failed", record.operation_description),
        ("On", record.target_system),
        ("Error", f"{record.error_code or ''} {record.error_message}"),
        ("What helped", record.resolution_applied),
    )


def _pattern(record: FailurePattern) -> str:
    if not record.is_active:
        return ""
    return _lines(
        ("", record.pattern_signature),
        ("", record.failure_description),
        ("Error", record.error_pattern),
        ("Cause", record.root_cause),
        ("Do instead", record.recommended_solution),
    )


def _insight(record: EnvironmentalInsight) -> str:
    return _lines(("", record.insight_title), ("", record.insight_description))


def _decision(record: DecisionLog) -> str:
    if record.source_uuid is not None and record.decision_type not in SPOKEN:
        return ""
    return _lines(
        ("", record.decision_text),
        ("Because", record.rationale),
        ("Weighed", _listed(record.alternatives_considered)),
    )


def _work_item(record: WorkItem) -> str:
    if record.deleted_at is not None:
        return ""
    return _lines(
        ("", record.title),
        ("", record.description),
        ("Status", record.status.value),
        ("Systems", _listed(record.affected_systems)),
        ("Branch", record.branch_name),
    )


def _deployment(record: Deployment) -> str:
    return _lines(
        ("Deployed", f"{record.deployment_type or ''} {record.software_version or ''}"),
        ("", record.description),
        ("From", record.deployed_from),
        ("To", record.deployed_to),
        ("Way back", record.rollback_procedure),
    )


def _context(record: ConversationContext) -> str:
    if record.source_uuid is not None:
        return ""  # made of a session's turns, which are there
    return _lines(("", record.title), ("", record.dense_summary))


def _snippet(record: ContextSnippet) -> str:
    # What was remembered in a sentence is its own title.
    title = "" if record.dense_content.startswith(record.title) else record.title
    return _lines(("", title), ("", record.dense_content))


@dataclass(frozen=True, slots=True)
class Remembered:
    """How the records of a class are told; an empty text for one that is not."""

    kind: Kind
    model: type[Any]
    text: Callable[[Any], str]


REMEMBERED: Final = (
    Remembered(Kind.solution, ProblemSolution, _solution),
    Remembered(Kind.failure, OperationFailure, _failure),
    Remembered(Kind.pattern, FailurePattern, _pattern),
    Remembered(Kind.insight, EnvironmentalInsight, _insight),
    Remembered(Kind.decision, DecisionLog, _decision),
    Remembered(Kind.work_item, WorkItem, _work_item),
    Remembered(Kind.deployment, Deployment, _deployment),
    Remembered(Kind.context, ConversationContext, _context),
    Remembered(Kind.snippet, ContextSnippet, _snippet),
)

_OF_CLASS: Final = {each.model: each for each in REMEMBERED}


@event.listens_for(AuditedSession, "after_flush")
def _notice(session: Session, _: UOWTransaction) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    for record in (*session.new, *session.dirty, *session.deleted):
        if record.__class__ in _OF_CLASS:
            session.info.setdefault(CHANGED, {}).setdefault(record.__class__, set()).add(record.id)


@event.listens_for(AuditedSession, "before_commit")
def _bring_up_to_date(session: Session) -> None:  # pyright: ignore[reportUnusedFunction] - called by sessions
    if session.in_nested_transaction():
        return
    ctx: Context = session.info[CONTEXT]
    session.flush()
    changed: dict[type[Any], set[uuid.UUID]] = session.info.pop(CHANGED, {})
    if not changed:
        return
    rows = [
        row for told in REMEMBERED if told.model in changed for row in _windows(ctx, told, sorted(changed[told.model]))
    ]
    # The changes of what there was come first: the numbers are taken last of all.
    session.flush()
    for client in dict.fromkeys(row["client_id"] for row in rows):
        store(ctx, [row for row in rows if row["client_id"] == client], client_id=client)


def _windows(ctx: Context, told: Remembered, ids: Sequence[uuid.UUID]) -> Iterator[dict[str, Any]]:
    """The windows that some records lack. Those they have no more, or that say something else, are taken away."""
    found = {record.id: record for record in ctx.session.scalars(select(told.model).where(told.model.id.in_(ids)))}
    theirs = {getattr(record, "session_id", None) for record in found.values()} - {None}
    # Held until the last record is told: the database session itself lets go of what nobody holds, and would ask anew.
    sessions: dict[uuid.UUID | None, WorkSession] = {
        one.id: one for one in ctx.session.scalars(select(WorkSession).where(WorkSession.id.in_(theirs)))
    }
    held: dict[uuid.UUID | None, dict[int, MemoryWindow]] = {}
    for window in ctx.session.scalars(select(MemoryWindow).where(MemoryWindow.record_id.in_(ids))):
        held.setdefault(window.record_id, {})[window.part] = window
    for key in ids:
        record, there = found.get(key), held.get(key, {})
        session = sessions.get(getattr(record, "session_id", None))
        wanted = {row["part"]: row for row in _rows(ctx, told, record, session)} if record is not None else {}
        for part, window in there.items():
            row = wanted.pop(part, None)
            if row is None:
                ctx.session.delete(window)
            elif any(getattr(window, name) != row[name] for name in _TOLD):
                for name in _TOLD:
                    setattr(window, name, row[name])
                [window.seq] = take(ctx, SEQUENCE, 1)
        yield from wanted.values()


_TOLD: Final = (
    "text",
    "tokens",
    "token_count",
    "parts",
    "author",
    "session_id",
    "project_id",
    "client_id",
    "machine_id",
    "infrastructure_id",
    "said_at",
)
"""What a window has of its record."""


def _rows(ctx: Context, told: Remembered, record: Any, session: WorkSession | None) -> Iterator[dict[str, Any]]:
    session_id: uuid.UUID | None = getattr(record, "session_id", None)
    author = _imported_from(record) or getattr(record, "created_by", None) or (session and session.technician) or ""
    shared = {
        "kind": told.kind,
        "record_id": record.id,
        "session_id": session_id,
        "project_id": getattr(record, "project_id", None) or (session.project_id if session else None),
        "client_id": client_of(ctx.session, record),
        "machine_id": getattr(record, "machine_id", None) or (session.machine_id if session else None),
        "infrastructure_id": getattr(record, "infrastructure_id", None),
        "source_uuid": f"{told.kind.value} {record.id}",
        "ordinal": FIRST_ORDINAL + record.id.int % FIRST_ORDINAL,
        "role": Role.record,
        "author": author,
        "said_at": getattr(record, "happened_at", None) or record.created_at,
        "trust": _trust(record).value,
        "version": 1,
    }
    if shared["project_id"] is None and shared["client_id"] is None:
        return  # nobody's: what is told to whom is told by a label, never by the lack of one
    for passage in passages(told.text(record)):
        yield shared | {
            "id": uuid.uuid5(record.id, f"window\n{passage.part}"),
            "part": passage.part,
            "parts": passage.parts,
            "text": passage.text,
            "tokens": " ".join(unit_terms(passage.text, author=author, role=Role.record)),
            "token_count": tokens.count(passage.text),
            "created_at": ctx.now(),
        }


def _imported_from(record: Any) -> str:
    """The program and the file of a snippet that was imported."""
    if not isinstance(record, ContextSnippet) or record.program is None:
        return ""
    file = re.split(r"[\\/]", record.source or "")[-1]
    return f"{record.program}, {file}"[:255]


def _trust(record: Any) -> Trust:
    """What another program kept, nobody here vouches for; what the hub read or learned by itself, nobody has said."""
    if _imported_from(record):
        return Trust.untrusted
    derived = getattr(record, "source_uuid", None) or getattr(record, "learned_key", None)
    return Trust.transcript if derived else Trust.stated


JOB: Final = "index-records"
JOB_SECONDS: Final = 86_400
BATCH: Final = 200


def index_records(database: Database, _: Mapping[str, Any]) -> None:
    """Bring into memory the records that were written before memory held any, or past the hub."""
    for told in REMEMBERED:
        last: uuid.UUID | None = None
        while True:
            with database.read(SYSTEM) as ctx:
                ids = _missing(ctx, told, last)
            if not ids:
                break
            database.write(partial(note_changed, model=told.model, ids=ids))
            last = ids[-1]
            may_end()


def _missing(ctx: ReadContext, told: Remembered, after: uuid.UUID | None) -> Sequence[uuid.UUID]:
    held = select(MemoryWindow.id).where(MemoryWindow.record_id == told.model.id)
    missing = select(told.model.id).where(~held.exists()).order_by(told.model.id).limit(BATCH)
    return ctx.session.scalars(missing if after is None else missing.where(told.model.id > after)).all()
