"""What a client's sessions left behind: work, commands, changes, failures, time, tickets and what was said."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from worklore.integrations.ticket_link import LinkType, TicketLink, TicketSystem
from worklore.ops.demo.estate import Estate
from worklore.ops.demo.projects import Undertaking, told
from worklore.ops.demo.provider import Provider, Technician
from worklore.ops.demo.rows import UNTIL, Row, Rows
from worklore.ops.demo.scenarios import SCENARIOS, Scenario
from worklore.ops.demo.talk import converse
from worklore.trail.command import CommandRun
from worklore.trail.database_change import DatabaseChange
from worklore.trail.deployment import Deployment
from worklore.trail.failure import OperationFailure
from worklore.trail.file_change import FileChange
from worklore.trail.infrastructure_change import InfrastructureChange
from worklore.work.billable_time import BillableTime, amount
from worklore.work.project import Priority
from worklore.work.session import ConnectionType, SessionStatus, WorkSession
from worklore.work.tag import SessionTag
from worklore.work.tagging import WorkItemTag
from worklore.work.work_item import ItemType, WorkItem, WorkItemStatus

WORKDAY: Final = (time(8), 9 * 60)
"""When work begins, and the minutes in which a session may begin."""

QUARTER: Final = 15
"""Minutes to invoice come in quarters of an hour."""

FAILS: Final = 0.35
"""How often the command that is known to fail is tried."""

COMES_BACK: Final = 0.25
"""How often a session is about something that has failed on that host before."""


@dataclass(slots=True)
class Seen:
    """A failure on a host, once or again: its commands, and the first session and item that solved it."""

    scenario: Scenario
    host: Row
    commands: list[Row] = field(default_factory=list[Row])
    solved_in: Row | None = None
    item: Row | None = None
    names: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class History:
    """What a client's sessions have come to so far."""

    rows: Rows
    shared: Provider
    made: Estate
    seen: dict[tuple[uuid.UUID, str], Seen] = field(default_factory=dict[tuple[uuid.UUID, str], Seen])
    windows: list[Row] = field(default_factory=list[Row])
    invoices: int = 0


@dataclass(frozen=True, slots=True)
class Sitting:
    """One session while it is being told."""

    session: Row
    item: Row
    host: Row
    scenario: Scenario
    names: dict[str, Any]
    technician: Technician


def sessions(history: History, undertakings: list[Undertaking]) -> None:
    """Tell every session of a client, in the order of their times."""
    rows, made, chance = history.rows, history.made, history.rows.chance
    count = round(history.shared.profile.sessions * made.weight)
    team = chance.sample(history.shared.technicians, k=min(3, len(history.shared.technicians)))
    rate = Decimal(chance.randrange(19, 33) * 5)
    for starts in sorted(_moments(chance, made, count)):
        open_now = [one for one in undertakings[1:] if one.open_at(starts)]
        undertaking = chance.choice(open_now) if open_now and rows.likely(0.3) else undertakings[0]
        sitting = _sit(history, undertaking, chance.choice(team), starts)
        undertaking.last_session = sitting.session
        _trail(history, sitting)
        _bill(history, sitting, rate)
        if sitting.session["agent_client"]:
            history.windows += converse(rows, sitting.session, sitting.scenario.talk, sitting.names, sitting.technician)


def _moments(chance: random.Random, made: Estate, count: int) -> Iterator[datetime]:
    """Beginnings within working hours, Monday to Friday."""
    first = made.since.date() + timedelta(days=1)
    days = (UNTIL.date() - first).days - 1
    begins, minutes = WORKDAY
    while count:
        day = first + timedelta(days=chance.randrange(days))
        if day.weekday() < 5:  # noqa: PLR2004 - Monday to Friday
            yield datetime.combine(day, begins, UNTIL.tzinfo) + timedelta(minutes=chance.randrange(minutes))
            count -= 1


def _scene(history: History) -> tuple[Scenario, Row]:
    """A story, and a host of the client it happens on: what failed there before, or something new."""
    if history.seen and history.rows.likely(COMES_BACK):
        again = history.rows.chance.choice(list(history.seen.values()))
        return again.scenario, again.host
    while True:  # some host of each client fits a story
        scenario = history.rows.chance.choice(SCENARIOS)
        hosts = history.made.with_role(scenario.roles)
        if hosts:
            return scenario, history.rows.chance.choice(hosts).row


def _sit(history: History, undertaking: Undertaking, technician: Technician, starts: datetime) -> Sitting:
    rows, made, chance = history.rows, history.made, history.rows.chance
    scenario, host = _scene(history)
    ends = starts + timedelta(minutes=chance.randrange(15, 120), seconds=chance.randrange(60))
    by_agent = rows.likely(0.45)
    billable = rows.likely(0.8)
    minutes = int((ends - starts).total_seconds()) // 60
    session = rows.add(
        WorkSession,
        starts,
        client_id=made.client["id"],
        project_id=undertaking.row["id"],
        machine_id=technician.machine_id,
        user_id=technician.user_id,
        session_title=f"{scenario.title} ({host['hostname']})",
        status=SessionStatus.completed,
        session_date=starts.date(),
        start_time=starts,
        end_time=ends,
        duration_minutes=minutes,
        is_billable=billable,
        billable_hours=(Decimal(minutes) / 60).quantize(Decimal("0.01")) if billable else None,
        technician=technician.name,
        summary=scenario.solution,
        agent_client="claude-code" if by_agent else None,
        external_key=str(rows.key(starts)) if by_agent else None,
        connection_type=ConnectionType.hook if by_agent else ConnectionType.cli,
        is_active=False,
        last_heartbeat=ends,
        last_turn_at=ends if by_agent else None,
        updated_at=ends,
        git_branch="main" if by_agent else None,
    )
    item = rows.add(
        WorkItem,
        starts,
        session_id=session["id"],
        project_id=undertaking.row["id"],
        item_type=ItemType.task,
        category=scenario.category,
        title=scenario.title,
        description=scenario.cause,
        status=WorkItemStatus.completed,
        priority=chance.choice(list(Priority)),
        is_billable=billable,
        actual_minutes=minutes,
        affected_systems=[host["hostname"]],
        technologies_used=[host["os"]],
        completed_at=ends,
        updated_at=ends,
        created_by=technician.email,
        updated_by=technician.email,
    )
    for label in scenario.tags:
        tag = history.shared.tags[label]
        rows.add(SessionTag, starts, session_id=session["id"], tag_id=tag)
        rows.add(WorkItemTag, starts, work_item_id=item["id"], tag_id=tag)
    return Sitting(session, item, host, scenario, made.names(chance, host), technician)


def _trail(history: History, sitting: Sitting) -> None:
    """Commands in their order, what failed among them, and what they changed."""
    chance, scenario = history.rows.chance, sitting.scenario
    steps = chance.sample(scenario.steps, k=chance.randrange(2, len(scenario.steps) + 1))
    steps.sort(key=scenario.steps.index)
    script = [(step, 0) for step in steps * chance.choices((1, 2), (3, 2))[0]]
    fails = history.rows.likely(FAILS)
    if fails:
        script[1:1] = [(scenario.failing, scenario.exit_code), (scenario.cure, 0)]
    elif history.rows.likely(0.6):
        script.insert(1, (scenario.cure, 0))
    starts, ends = sitting.session["start_time"], sitting.session["end_time"]
    step = (ends - starts) / (len(script) + 1)
    for order, tried in enumerate(script, 1):
        command = _command(history, sitting, starts + step * order, order, tried)
        if command["exit_code"]:
            _fail(history, sitting, command, starts + step * (order + 1))
    _changes(history, sitting, ends)


def _command(history: History, sitting: Sitting, at: datetime, order: int, tried: tuple[str, int]) -> Row:
    text, code = tried
    scenario, names = sitting.scenario, sitting.names
    return history.rows.add(
        CommandRun,
        at,
        work_item_id=sitting.item["id"],
        session_id=sitting.session["id"],
        command_text=told(names, text),
        host=sitting.host["hostname"],
        shell_type=sitting.host["shell_type"],
        success=code == 0,
        exit_code=code,
        error_message=told(names, scenario.error) if code else None,
        failure_category=scenario.pattern.value if code else None,
        resolution=scenario.solution if code else None,
        resolved=code != 0,
        execution_order=order,
        executed_at=at,
    )


def _fail(history: History, sitting: Sitting, command: Row, solved_at: datetime) -> None:
    scenario, names = sitting.scenario, sitting.names
    history.rows.add(
        OperationFailure,
        command["executed_at"],
        session_id=sitting.session["id"],
        work_item_id=sitting.item["id"],
        operation_type=scenario.operation,
        operation_description=f"{scenario.title}: {told(names, scenario.failing)}",
        target_system=sitting.host["hostname"],
        error_message=told(names, scenario.error),
        error_code=str(scenario.exit_code),
        failure_category=scenario.pattern.value,
        resolution_applied=scenario.solution,
        resolved=True,
        resolved_at=solved_at,
        environment_snapshot={"os": sitting.host["os"], "os_version": sitting.host["os_version"]},
    )
    key = (sitting.host["id"], scenario.key)
    seen = history.seen.setdefault(key, Seen(scenario, sitting.host))
    seen.commands.append(command)
    if seen.solved_in is None:
        seen.solved_in, seen.item, seen.names = sitting.session, sitting.item, names


def _changes(history: History, sitting: Sitting, at: datetime) -> None:
    rows, chance, scenario, names = history.rows, history.rows.chance, sitting.scenario, sitting.names
    done_for: dict[str, Any] = {"work_item_id": sitting.item["id"], "session_id": sitting.session["id"]}
    for path in scenario.files * chance.choices((1, 2), (2, 1))[0]:
        kind = chance.choices(("modified", "created", "deleted"), (8, 2, 1))[0]
        rows.add(
            FileChange,
            at,
            **done_for,
            file_path=told(names, path),
            change_type=kind,
            backup_path=f"{told(names, path)}.orig" if kind == "modified" else None,
            size_bytes=chance.randrange(200, 60_000),
        )
    if rows.likely(0.7):
        kind, before, after = scenario.change
        rows.add(
            InfrastructureChange,
            at,
            **done_for,
            infrastructure_id=sitting.host["id"],
            change_type=told(names, kind)[:50],
            target_system=sitting.host["hostname"],
            before_state=told(names, before),
            after_state=told(names, after),
            rollback_procedure=f"Put the former state back: {told(names, before)}.",
            verification_performed=True,
            verification_notes=scenario.solution,
        )
    if scenario.sql is not None:
        database, statement = scenario.sql
        rows.add(
            DatabaseChange,
            at,
            **done_for,
            infrastructure_id=sitting.host["id"],
            database_name=database,
            change_type="configuration",
            sql_executed=statement,
            rows_affected=0,
            backup_taken=True,
            backup_location=f"/srv/backup/{database}-{at:%Y%m%d}.dump",
            rollback_sql="ALTER TABLE ledger RESET (autovacuum_vacuum_scale_factor)",
        )
    if "patching" in scenario.tags or rows.likely(0.04):
        _deploy(history, sitting, at)


def _deploy(history: History, sitting: Sitting, at: datetime) -> None:
    chance = history.rows.chance
    service = next((one for one in history.made.services if one["infrastructure_id"] == sitting.host["id"]), None)
    history.rows.add(
        Deployment,
        at,
        work_item_id=sitting.item["id"],
        session_id=sitting.session["id"],
        infrastructure_id=sitting.host["id"],
        service_id=service["id"] if service else None,
        deployment_type="update",
        software_version=f"{at.year}.{at.month}.{chance.randrange(9)}",
        description=f"Updates of {at:%B %Y}",
        deployed_from="https://packages.example.com/stable",
        deployed_to=sitting.host["hostname"],
        rollback_available=True,
        rollback_procedure="Boot the snapshot that was taken before.",
    )


def _bill(history: History, sitting: Sitting, rate: Decimal) -> None:
    rows, chance, session = history.rows, history.rows.chance, sitting.session
    if session["is_billable"]:
        starts, ends = session["start_time"], session["end_time"]
        seconds = int((ends - starts).total_seconds())
        minutes = -(-seconds // (60 * QUARTER)) * QUARTER
        invoiced = (starts.replace(day=1, hour=9, minute=0, second=0) + timedelta(days=34)).replace(day=3)
        number = f"INV-{starts:%Y-%m}-{str(history.made.client['id'])[-6:]}"
        rows.add(
            BillableTime,
            ends,
            work_item_id=sitting.item["id"],
            session_id=session["id"],
            client_id=session["client_id"],
            start_time=starts,
            end_time=ends,
            duration_minutes=minutes,
            duration_seconds=seconds,
            billed_seconds=minutes * 60,
            hourly_rate=rate,
            total_amount=amount(minutes, rate),
            description=sitting.scenario.title,
            category=sitting.scenario.category.value,
            invoiced_at=invoiced if invoiced < UNTIL else None,
            invoice_id=number if invoiced < UNTIL else None,
        )
    if rows.likely(0.4):
        number = str(10_000 + chance.randrange(80_000))
        rows.add(
            TicketLink,
            session["start_time"],
            session_id=session["id"],
            client_id=session["client_id"],
            integration_type=TicketSystem.syncro,
            ticket_id=number,
            ticket_number=f"T-{number}",
            ticket_subject=sitting.scenario.title,
            ticket_url=f"https://tickets.example.com/{number}",
            ticket_status="Resolved",
            link_type=LinkType.resolves,
        )
