"""What the record holds for and against a pattern: each command or operation that failed, worked again, or helped.

A row is bound to the command or operation it was read from and is unique for it, so whatever is looked at twice counts
once; it goes with what it was read from.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.identity.machine import Machine
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base
from worklore.kernel.types import Line, uuid7
from worklore.memory.warn.command_line import Call, calls
from worklore.memory.warn.failure_class import (
    MAX_LINE,
    OTHER,
    Failure,
    FailureClass,
    failure_of,
    key_of,
    line_of,
    operation_failure_of,
)
from worklore.trail.command import CommandRun
from worklore.trail.failure import OperationFailure
from worklore.work.session import WorkSession

SOON: Final = timedelta(minutes=15)
FOLLOWING: Final = 10
"""A command that succeeds so soon, and among so many that follow, is taken for what helped."""

BATCH: Final = 400


class EvidenceKind(StrEnum):
    """What a command says about a pattern."""

    failed = "failed"
    worked = "worked"
    fixed = "fixed"


class PatternEvidence(Base):
    """A command or an operation that speaks for or against a failure pattern."""

    __tablename__ = "pattern_evidence"
    __table_args__ = (
        UniqueConstraint("command_id", "pattern_key", "kind"),
        UniqueConstraint("failure_id", "pattern_key", "kind"),
        CheckConstraint(
            "(CASE WHEN command_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN failure_id IS NULL THEN 0 ELSE 1 END) = 1",
            name="one_source",
        ),
        Index(None, "pattern_key", "kind"),
        Index(None, "session_id"),
        Index(None, "client_id"),
    )
    audited = False
    derived = True

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    pattern_key: Mapped[str] = mapped_column(Line(64), doc="SHA-256 of client, host and signature.")
    kind: Mapped[EvidenceKind]
    command_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("commands_run.id", ondelete="CASCADE"))
    failure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("operation_failures.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    host: Mapped[str] = mapped_column(Line(255), doc="Lower case; empty where none is known.")
    signature: Mapped[str] = mapped_column(Line(500))
    class_name: Mapped[str] = mapped_column(Line(50))
    line: Mapped[str] = mapped_column(Line(300), doc="The line of the error that says why.")
    seen_at: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class Ran:
    """A command as it is judged."""

    id: uuid.UUID
    text: str
    host: str
    failed: bool
    succeeded: bool
    message: str
    exit_code: int | None
    at: datetime

    @property
    def calls(self) -> tuple[Call, ...]:
        """What the command line calls."""
        return calls(self.text)


def host_name(text: str | None) -> str:
    """A host as it is compared."""
    return (text or "").strip().lower().rstrip(".")[:255]


def session_commands(ctx: ReadContext, session: WorkSession) -> list[Ran]:
    """The commands of a session in their order, each with the host it ran on, its machine's name where none is told."""
    local = local_name(ctx, session.machine_id)
    columns = (
        CommandRun.id,
        CommandRun.command_text,
        CommandRun.host,
        CommandRun.success,
        CommandRun.exit_code,
        CommandRun.error_message,
        CommandRun.output_summary,
        CommandRun.executed_at,
    )
    found = (
        select(*columns)
        .where(CommandRun.session_id == session.id)
        .order_by(CommandRun.executed_at, CommandRun.execution_order, CommandRun.id)
    )
    return [
        Ran(
            id=row.id,
            text=row.command_text,
            host=host_name(row.host) or local,
            failed=row.success is False or (row.success is None and row.exit_code not in {None, 0}),
            succeeded=row.success is True or (row.success is None and row.exit_code == 0),
            message="\n".join(part for part in (row.error_message, row.output_summary) if part),
            exit_code=row.exit_code,
            at=row.executed_at,
        )
        for row in ctx.session.execute(found)
    ]


def local_name(ctx: ReadContext, machine_id: uuid.UUID | None) -> str:
    """The host name of a machine; empty where it is not known."""
    if machine_id is None:
        return ""
    return host_name(ctx.session.scalar(select(Machine.hostname).where(Machine.id == machine_id)))


def failures(commands: Sequence[Ran], local: str) -> Iterator[tuple[int, Failure, str]]:
    """The failures worth learning: place among the commands, failure, and the host it happened on."""
    for place, command in enumerate(commands):
        if command.failed:
            failure = failure_of(command.text, command.message, command.exit_code)
            if failure is not None:
                yield place, failure, where(failure.call, command, local)


def where(call: Call, command: Ran, local: str) -> str:
    """The host a call ran on: the one it was sent to; of an `ssh` that got nowhere the one it was typed on."""
    return call.host or (local if call.program == "ssh" and local else command.host)


def remedy(commands: Sequence[Ran], place: int, failure: Failure) -> Ran | None:
    """The command that did what had failed: of the same program, or with most of the words, soon after, on that host.

    None where the very same command worked afterwards: it needs no other one.
    """
    failed = commands[place]
    for later in commands[place + 1 : place + 1 + FOLLOWING]:
        if later.at - failed.at > SOON:
            return None
        if later.succeeded and later.text.strip() == failed.text.strip():
            return None
        if later.succeeded and any(_does_the_same(call, failure) for call in later.calls):
            return later
    return None


def _does_the_same(call: Call, failure: Failure) -> bool:
    if call.host != failure.call.host or call.carries:
        return False
    shared = len({word.lower() for word in call.arguments} & {word.lower() for word in failure.call.arguments})
    wanted = len(set(failure.call.arguments))
    if call.program == failure.call.program:
        # The same program told to do something else altogether is no remedy.
        return call.head == failure.call.head and (not wanted or shared * 2 >= wanted)
    return wanted > 0 and shared * 2 > wanted


def evidence_of(ctx: ReadContext, session: WorkSession) -> list[dict[str, Any]]:
    """Rows of evidence for the failures of a session and for what helped against them."""
    commands = session_commands(ctx, session)
    local = local_name(ctx, session.machine_id)
    rows: list[dict[str, Any]] = []
    for place, failure, host in failures(commands, local):
        row = _row(session, host, failure.signature, failure.rule, failure.line)
        rows.append(
            row | {"kind": EvidenceKind.failed, "command_id": commands[place].id, "seen_at": commands[place].at}
        )
        helped = remedy(commands, place, failure)
        if helped is not None:
            rows.append(row | {"kind": EvidenceKind.fixed, "command_id": helped.id, "seen_at": helped.at})
    return rows + list(_operations(ctx, session))


def _operations(ctx: ReadContext, session: WorkSession) -> Iterator[dict[str, Any]]:
    found = select(OperationFailure).where(OperationFailure.session_id == session.id)
    for failed in ctx.session.scalars(found.order_by(OperationFailure.created_at)):
        rule, line = line_of(failed.error_message)
        if rule is OTHER:
            continue
        target = failed.target_system or ""
        signature = operation_failure_of(failed.operation_type, target, failed.error_message, failed.error_code)
        row = _row(session, host_name(target), signature, rule, line)
        yield row | {"kind": EvidenceKind.failed, "failure_id": failed.id, "seen_at": failed.created_at}


def _row(session: WorkSession, host: str, signature: str, rule: FailureClass, line: str) -> dict[str, Any]:
    return {
        "pattern_key": key_of(session.client_id, host, signature),
        "command_id": None,
        "failure_id": None,
        "session_id": session.id,
        "client_id": session.client_id,
        "host": host,
        "signature": signature,
        "class_name": rule.name,
        "line": line[:MAX_LINE],
    }


def add_evidence(ctx: Context, session_id: uuid.UUID, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Store what is not stored yet, and drop what the session does not say any more; the keys that have changed."""
    held = select(
        PatternEvidence.id,
        PatternEvidence.command_id,
        PatternEvidence.failure_id,
        PatternEvidence.pattern_key,
        PatternEvidence.kind,
    ).where(PatternEvidence.session_id == session_id)
    known = {(row.command_id, row.failure_id, row.pattern_key, row.kind): row for row in ctx.session.execute(held)}
    wanted = {(row["command_id"], row["failure_id"], row["pattern_key"], row["kind"]): row for row in rows}
    fresh = [wanted[name] | {"id": uuid7()} for name in wanted if name not in known]
    connection = ctx.session.connection()
    for start in range(0, len(fresh), BATCH):
        connection.execute(insert(PatternEvidence), fresh[start : start + BATCH])
    stale = [row for name, row in known.items() if name not in wanted]
    table: Any = PatternEvidence.__table__
    for start in range(0, len(stale), BATCH):
        connection.execute(table.delete().where(table.c.id.in_([row.id for row in stale[start : start + BATCH]])))
    return {str(row["pattern_key"]) for row in fresh} | {row.pattern_key for row in stale}
