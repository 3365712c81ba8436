"""Learning from what a session ran: evidence first, then the pattern and the insight that the evidence comes to.

Everything is worked out anew from the evidence of a key, so it does not matter in which order sessions are looked at or
how often. What people have set is theirs and stays.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import func, select

from worklore.estate.infrastructure import Infrastructure
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import Tombstone
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.jobs import may_end
from worklore.kernel.sequence import take
from worklore.kernel.transaction import Database, Operation
from worklore.kernel.types import uuid7
from worklore.knowledge.example import EnvironmentalExample, ExampleType
from worklore.knowledge.insight import Confidence, EnvironmentalInsight
from worklore.knowledge.learned import SEQUENCE, learn
from worklore.knowledge.pattern import FailurePattern
from worklore.knowledge.solution import ProblemSolution
from worklore.memory.used import note_usage, usage_of
from worklore.memory.warn.destructive import is_destructive
from worklore.memory.warn.evidence import (
    EvidenceKind,
    PatternEvidence,
    Ran,
    add_evidence,
    evidence_of,
    local_name,
    session_commands,
    where,
)
from worklore.memory.warn.failure_class import OTHER, FailureClass, line_of, normalised, pattern_id
from worklore.memory.warn.judgement import Judgement, Sign, judge, priority, rule_of
from worklore.memory.warn.known import known_failures
from worklore.memory.warn.outcome import derive, keep_outcome, wrong_since
from worklore.trail.command import CommandRun
from worklore.trail.failure import OperationFailure
from worklore.work.news import News, take_away, waiting
from worklore.work.session import WorkSession

SESSIONS: Final = 100
"""Sessions that one run of the job looks at."""

TEXT: Final = 1_000
"""Characters of a solution that a pattern takes over."""

SOLUTIONS: Final = 300
NOTHING_KNOWN: Final = "Nothing is known to help yet."
OPERATION: Final = Operation(message="learned from the record")


def study_news(database: Database, _: Mapping[str, Any]) -> None:
    """Learn from the sessions in which something new was recorded. A background job."""
    with database.read(SYSTEM) as reading:
        found = waiting(reading, SESSIONS)
    for news in found:
        study(database, news)
        may_end()


def study(database: Database, news: News) -> None:
    """Learn what one session says: failures and what helped, whether warnings were heeded and memories used."""
    with database.read(SYSTEM) as ctx:
        session = ctx.session.get(WorkSession, news.session_id)
        if session is None:
            return  # it went meanwhile, and its news with it
        commands = session_commands(ctx, session)
        rows = evidence_of(ctx, session)
        rows += _working(ctx, session, commands, rows)
        outcomes = derive(ctx, session, commands)
        used = usage_of(ctx, session)

    def keep(ctx: Context) -> None:
        for key in sorted(add_evidence(ctx, news.session_id, rows)):
            relearn(ctx, key)
        for warning, outcome in outcomes.items():
            keep_outcome(ctx, warning, outcome)
        note_usage(ctx, used)
        take_away(ctx, news)

    database.write(keep, OPERATION)


def _working(
    ctx: ReadContext, session: WorkSession, commands: Sequence[Ran], rows: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Evidence that what is known to fail worked, but for what was a remedy of just that."""
    local = local_name(ctx, session.machine_id)
    helped = {(row["command_id"], row["pattern_key"]) for row in rows if row["kind"] is EvidenceKind.fixed}
    known = known_failures(ctx)
    own = [session.client_id] if session.client_id else []
    seen: set[tuple[uuid.UUID, str]] = set(helped)
    for command in commands:
        if not command.succeeded:
            continue
        for call, held_of in known.matching(ctx, command.calls, own):
            host = where(call, command, local)
            for match in held_of:
                key = match.learned_key
                mine = match.client == session.client_id and (host in match.hosts or not match.hosts)
                if key is None or not mine or (command.id, key) in seen:
                    continue
                seen.add((command.id, key))
                yield {
                    "pattern_key": key,
                    "kind": EvidenceKind.worked,
                    "command_id": command.id,
                    "failure_id": None,
                    "session_id": session.id,
                    "client_id": session.client_id,
                    "host": host,
                    "signature": match.signature,
                    "class_name": OTHER.name,
                    "line": "",
                    "seen_at": command.at,
                }


def pattern_of(ctx: Context, key: str) -> FailurePattern | None:
    """The pattern that was learned from a key, if there is one."""
    return ctx.session.scalars(select(FailurePattern).where(FailurePattern.learned_key == key)).one_or_none()


def relearn(ctx: Context, key: str) -> FailurePattern | None:
    """Let the pattern of a key, and its insight, be what the evidence comes to."""
    signs, newest = _signs(ctx, key)
    pattern = pattern_of(ctx, key)
    if newest is None:
        if pattern is not None:
            unlearn(ctx, pattern)
        return None
    solution = _solution(ctx, newest)
    wrong = wrong_since(ctx, pattern.id if pattern else pattern_id(key), newest.seen_at)
    judged = judge(signs, newest.class_name, has_solution=solution is not None, wrong=wrong)
    if judged is None:
        failed = sum(sign.kind is EvidenceKind.failed for sign in signs)
        if pattern is not None:
            learn(pattern, is_active=False, occurrence_count=failed)
        return pattern
    if pattern is None:
        if _was_deleted(ctx, pattern_id(key)):
            return None
        pattern = FailurePattern(
            id=pattern_id(key), learned_key=key, client_id=newest.client_id, pattern_signature=newest.signature
        )
        pattern.infrastructure_id = _asset(ctx, newest.client_id, newest.host)
    rule = rule_of(newest.class_name)
    learn(pattern, **_pattern_values(newest, judged, rule, solution))
    ctx.session.add(pattern)
    ctx.session.flush()
    _insight(ctx, pattern, judged, rule, newest)
    ctx.session.flush()
    return pattern


def _signs(ctx: ReadContext, key: str) -> tuple[list[Sign], PatternEvidence | None]:
    """All evidence of a key, and the newest failure among it."""
    found = (
        select(PatternEvidence, CommandRun.command_text, OperationFailure.operation_description)
        .outerjoin(CommandRun, CommandRun.id == PatternEvidence.command_id)
        .outerjoin(OperationFailure, OperationFailure.id == PatternEvidence.failure_id)
        .where(PatternEvidence.pattern_key == key)
        .order_by(PatternEvidence.seen_at, PatternEvidence.id)
    )
    signs: list[Sign] = []
    newest: PatternEvidence | None = None
    for evidence, command, described in ctx.session.execute(found):
        signs.append(Sign(evidence.kind, evidence.seen_at, str(evidence.session_id), command or described or ""))
        newest = evidence if evidence.kind is EvidenceKind.failed else newest
    return signs, newest


def _was_deleted(ctx: ReadContext, key: uuid.UUID) -> bool:
    found = select(Tombstone.id).where(Tombstone.record_id == key, Tombstone.table_name == FailurePattern.__tablename__)
    return ctx.session.scalars(found.limit(1)).first() is not None


def unlearn(ctx: Context, pattern: FailurePattern) -> None:
    """Nothing bears the pattern out any more: what it was drawn from is gone."""
    for insight in ctx.session.scalars(
        select(EnvironmentalInsight).where(EnvironmentalInsight.source_pattern_id == pattern.id)
    ).all():
        for example in ctx.session.scalars(
            select(EnvironmentalExample).where(EnvironmentalExample.insight_id == insight.id)
        ).all():
            ctx.session.delete(example)
        ctx.session.flush()
        ctx.session.delete(insight)
    ctx.session.flush()
    ctx.session.delete(pattern)
    ctx.session.flush()


def _asset(ctx: ReadContext, client: uuid.UUID | None, host: str) -> uuid.UUID | None:
    """The client's one asset of that name or address."""
    if client is None or not host:
        return None
    named = select(Infrastructure.id).where(
        Infrastructure.client_id == client,
        (func.lower(Infrastructure.hostname) == host) | (Infrastructure.ip_address == host),
    )
    found = ctx.session.scalars(named.limit(2)).all()
    return found[0] if len(found) == 1 else None


def _solution(ctx: ReadContext, newest: PatternEvidence) -> ProblemSolution | None:
    """The client's latest solution of a problem whose error reads the same."""
    wanted = normalised(newest.line)
    if newest.client_id is None or not wanted:
        return None
    recent = (
        select(ProblemSolution)
        .where(ProblemSolution.client_id == newest.client_id, ProblemSolution.error_message.is_not(None))
        .order_by(ProblemSolution.created_at.desc(), ProblemSolution.id.desc())
        .limit(SOLUTIONS)
    )
    for solution in ctx.session.scalars(recent):
        if normalised(line_of(solution.error_message or "")[1]) == wanted:
            return solution
    return None


def _pattern_values(
    newest: PatternEvidence, judged: Judgement, rule: FailureClass, solution: ProblemSolution | None
) -> dict[str, Any]:
    place = f" on {newest.host}" if newest.host else ""
    what = newest.signature.partition(" | ")[0]
    cause = solution.root_cause if solution and solution.root_cause else rule.cause
    if solution is not None:
        advice = solution.solution_applied[:TEXT]
    elif judged.fix and not is_destructive(judged.fix):
        advice = f"This worked instead: {judged.fix[:TEXT]}"
    elif judged.fix:
        advice = "A destructive command was run instead; it is in the record."
    else:
        advice = NOTHING_KNOWN
    return {
        "pattern_type": rule.type,
        "severity": rule.severity,
        "error_pattern": newest.line,
        "affected_systems": [newest.host] if newest.host else [],
        "triggering_commands": list(judged.commands),
        "failure_description": f"{what} fails{place}: {newest.line}"[:TEXT],
        "root_cause": cause[:TEXT],
        "recommended_solution": advice,
        "alternative_approaches": [text for text in (judged.fix, *judged.other_fixes) if text],
        "occurrence_count": judged.count,
        "first_seen": judged.first_seen,
        "last_seen": judged.last_seen,
        "is_active": judged.confidence is not None,
    }


def _insight(
    ctx: Context, pattern: FailurePattern, judged: Judgement, rule: FailureClass, newest: PatternEvidence
) -> None:
    """The insight that a pattern is; made once, so that one that somebody deleted does not come back."""
    found = select(EnvironmentalInsight).where(EnvironmentalInsight.source_pattern_id == pattern.id)
    insight = ctx.session.scalars(found.limit(1)).first()
    if insight is None:
        if pattern.added_to_insights:
            return
        insight = EnvironmentalInsight(
            id=uuid7(),
            client_id=pattern.client_id,
            infrastructure_id=pattern.infrastructure_id,
            source_pattern_id=pattern.id,
        )
        learn(pattern, added_to_insights=True)
    place = f" on {newest.host}" if newest.host else ""
    since = f" It has worked {judged.worked_since} times since." if judged.worked_since else ""
    learn(
        insight,
        insight_category=rule.category,
        insight_title=f"{newest.signature.partition(' | ')[0]}{place}: {rule.cause}"[:500],
        insight_description=f"{_how_often(judged)}: {newest.line}.{since}",
        confidence_level=judged.confidence or Confidence.suspected,
        priority=priority(judged, rule),
        last_verified=judged.last_seen,
    )
    ctx.session.add(insight)
    ctx.session.flush()
    _examples(ctx, insight, judged, newest)


def _how_often(judged: Judgement) -> str:
    return f"Failed {judged.count} times in {judged.sessions} sessions, last {judged.last_seen:%Y-%m-%d}"


def _examples(ctx: Context, insight: EnvironmentalInsight, judged: Judgement, newest: PatternEvidence) -> None:
    stored = select(EnvironmentalExample.example_type, EnvironmentalExample.command_text)
    found = ctx.session.execute(stored.where(EnvironmentalExample.insight_id == insight.id))
    held = {(row.example_type, row.command_text) for row in found}
    wanted: list[tuple[ExampleType, str, str | None]] = [
        (ExampleType.fails, text, newest.line) for text in judged.commands[:1]
    ]
    wanted += [(ExampleType.works, text, None) for text in (judged.fix,) if text]
    for kind, text, actual in wanted:
        if (kind, text) not in held and sum(known is kind for known, _ in held) < EXAMPLES:
            made = EnvironmentalExample(
                id=uuid7(), insight_id=insight.id, example_type=kind, command_text=text, actual=actual
            )
            ctx.session.add(made)


EXAMPLES: Final = 3
"""Examples of a kind that an insight gets by itself."""


def tidy(database: Database, _: Mapping[str, Any]) -> None:
    """Mend what other ways left behind: patterns whose evidence has gone, rows without a number. A background job."""
    with database.read(SYSTEM) as ctx:
        counted = (
            select(PatternEvidence.pattern_key, func.count().label("failures"))
            .where(PatternEvidence.kind == EvidenceKind.failed)
            .group_by(PatternEvidence.pattern_key)
            .subquery()
        )
        differing = (
            select(FailurePattern.learned_key)
            .outerjoin(counted, counted.c.pattern_key == FailurePattern.learned_key)
            .where(
                FailurePattern.learned_key.is_not(None),
                func.coalesce(counted.c.failures, 0) != FailurePattern.occurrence_count,
            )
        )
        keys = [key for key in ctx.session.scalars(differing) if key is not None]
        unnumbered = {
            model: list(ctx.session.scalars(select(model.id).where(model.seq == 0)))
            for model in (FailurePattern, EnvironmentalExample)
        }
    for key in keys:
        database.write(partial(relearn, key=key), OPERATION)
        may_end()
    for model, ids in unnumbered.items():
        for start in range(0, len(ids), SESSIONS):
            database.write(partial(_number, model=model, ids=ids[start : start + SESSIONS]), OPERATION)


def _number(ctx: Context, model: type[FailurePattern | EnvironmentalExample], ids: Sequence[uuid.UUID]) -> None:
    table: Any = model.__table__
    for key, seq in zip(ids, take(ctx, SEQUENCE, len(ids)), strict=True):
        ctx.session.connection().execute(table.update().where(table.c.id == key, table.c.seq == 0).values(seq=seq))
