"""What failures taught: solutions, patterns and insights that agree with them; incidents and follow-ups."""

from collections import Counter
from datetime import datetime, time, timedelta
from typing import Final

from worklore.knowledge.example import EnvironmentalExample, ExampleType
from worklore.knowledge.insight import Confidence, EnvironmentalInsight
from worklore.knowledge.metric import LearningMetric
from worklore.knowledge.pattern import FailurePattern, PatternSeverity
from worklore.knowledge.solution import ProblemSolution
from worklore.ops.demo.projects import told
from worklore.ops.demo.rows import UNTIL, Row
from worklore.ops.demo.scenarios import FOLLOW_UPS, INCIDENTS
from worklore.ops.demo.sessions import History, Seen
from worklore.trail.incident import IncidentStatus, IncidentType, SecurityIncident
from worklore.work.pending_task import PendingTask, PendingTaskStatus
from worklore.work.project import Priority

PATTERN: Final = 2
"""So many failures of a kind on a host are a pattern."""

INSIGHT: Final = 3
"""So many are an insight."""

CERTAIN: Final = 5


def lessons(history: History) -> None:
    """Everything that a client's failures came to."""
    for seen in history.seen.values():
        _solution(history, seen)
        if len(seen.commands) >= PATTERN:
            pattern = _pattern(history, seen)
            if len(seen.commands) >= INSIGHT:
                _insight(history, seen, pattern)
    _metrics(history)
    _incidents(history)
    _follow_ups(history)


def _metrics(history: History) -> None:
    """For each month the failures that were known by then and happened all the same."""
    repeated = Counter(
        (command["executed_at"].replace(day=28) + timedelta(days=4)).date().replace(day=1) - timedelta(days=1)
        for seen in history.seen.values()
        for command in seen.commands[PATTERN:]
    )
    for day, count in sorted(repeated.items()):
        history.rows.add(
            LearningMetric,
            datetime.combine(day, time(23), UNTIL.tzinfo),
            metric_date=day,
            metric_name="known_failures_repeated",
            metric_value=float(count),
            client_id=history.made.client["id"],
        )


def _solution(history: History, seen: Seen) -> None:
    scenario, names = seen.scenario, seen.names
    if seen.solved_in is None or seen.item is None:
        raise AssertionError("a failure is seen in a session")
    history.rows.add(
        ProblemSolution,
        seen.solved_in["end_time"],
        work_item_id=seen.item["id"],
        session_id=seen.solved_in["id"],
        client_id=history.made.client["id"],
        problem_title=f"{scenario.title} ({seen.host['hostname']})",
        problem_description=f"{told(names, scenario.failing)} fails on {seen.host['hostname']}.",
        symptom=scenario.title,
        error_message=told(names, scenario.error),
        investigation_steps=[told(names, step) for step in scenario.steps[:3]],
        root_cause=scenario.cause,
        solution_applied=scenario.solution,
        verification_method=told(names, scenario.steps[-1]),
        recurrence_count=len(seen.commands),
    )


def _pattern(history: History, seen: Seen) -> Row:
    scenario, times = seen.scenario, [command["executed_at"] for command in seen.commands]
    return history.rows.add(
        FailurePattern,
        times[PATTERN - 1],
        infrastructure_id=seen.host["id"],
        client_id=history.made.client["id"],
        pattern_type=scenario.pattern,
        pattern_signature=f"{scenario.key} on {seen.host['hostname']}",
        error_pattern=scenario.error.partition(":")[0],
        affected_systems=[seen.host["hostname"]],
        triggering_commands=list(dict.fromkeys(command["command_text"] for command in seen.commands)),
        triggering_operations=[scenario.operation.value],
        failure_description=f"{scenario.title}: {told(seen.names, scenario.error)}",
        root_cause=scenario.cause,
        recommended_solution=f"{scenario.solution} {told(seen.names, scenario.cure)}",
        alternative_approaches=[scenario.solution],
        occurrence_count=len(times),
        severity=PatternSeverity.major if len(times) >= CERTAIN else PatternSeverity.minor,
        added_to_insights=len(times) >= INSIGHT,
        first_seen=times[0],
        last_seen=times[-1],
        updated_at=times[-1],
    )


def _insight(history: History, seen: Seen, pattern: Row) -> None:
    scenario, names, at = seen.scenario, seen.names, seen.commands[INSIGHT - 1]["executed_at"]
    fails, works = told(names, scenario.failing), told(names, scenario.cure)
    insight = history.rows.add(
        EnvironmentalInsight,
        at,
        client_id=history.made.client["id"],
        infrastructure_id=seen.host["id"],
        insight_category=scenario.insight,
        insight_title=f"{seen.host['hostname']}: {scenario.title.lower()}",
        insight_description=f"{scenario.cause} {scenario.solution}",
        examples=[fails, works],
        source_pattern_id=pattern["id"],
        confidence_level=Confidence.confirmed if len(seen.commands) >= CERTAIN else Confidence.likely,
        priority=min(10, 4 + len(seen.commands)),
        last_verified=pattern["last_seen"],
    )
    for kind, command, actual in (
        (ExampleType.fails, fails, told(names, scenario.error)),
        (ExampleType.works, works, "ends with 0"),
    ):
        history.rows.add(
            EnvironmentalExample,
            at,
            insight_id=insight["id"],
            example_type=kind,
            command_text=command,
            expected="ends with 0",
            actual=actual,
        )


def _incidents(history: History) -> None:
    rows, made, chance = history.rows, history.made, history.rows.chance
    for _ in range(chance.choices((0, 1, 2), (5, 3, 1))[0]):
        kind, severity, description, findings, remedy = chance.choice(INCIDENTS)
        host = chance.choice(made.hosts).row
        names = made.names(chance, host)
        happened = made.since + (UNTIL - made.since) * chance.uniform(0.02, 0.98)
        resolved = happened + timedelta(hours=chance.randrange(5, 200))
        done = resolved < UNTIL
        rows.add(
            SecurityIncident,
            happened,
            client_id=made.client["id"],
            infrastructure_id=host["id"],
            incident_type=IncidentType(kind),
            incident_date=happened,
            severity=Priority(severity),
            description=told(names, description),
            findings=told(names, findings),
            remediation_steps=told(names, remedy) if done else None,
            status=IncidentStatus.resolved if done else IncidentStatus.contained,
            resolved_at=resolved if done else None,
            updated_at=resolved if done else happened,
        )


def _follow_ups(history: History) -> None:
    rows, made, chance = history.rows, history.made, history.rows.chance
    for text in chance.sample(FOLLOW_UPS, k=chance.randrange(2, len(FOLLOW_UPS))):
        host = chance.choice(made.hosts).row
        noted = made.since + (UNTIL - made.since) * chance.uniform(0.3, 0.99)
        finished = noted + timedelta(days=chance.randrange(3, 120))
        done = finished < UNTIL
        status = PendingTaskStatus.completed if done else chance.choice(
            (PendingTaskStatus.pending, PendingTaskStatus.in_progress, PendingTaskStatus.blocked)
        )  # fmt: skip
        rows.add(
            PendingTask,
            noted,
            client_id=made.client["id"],
            title=told(made.names(chance, host), text),
            priority=chance.choice(list(Priority)),
            blocked_by="The client's answer" if status is PendingTaskStatus.blocked else None,
            assigned_to=chance.choice(history.shared.technicians).email,
            due_date=(noted + timedelta(days=30)).date(),
            status=status,
            completed_at=finished if done else None,
            updated_at=finished if done else noted,
        )
