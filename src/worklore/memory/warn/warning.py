"""Warnings before the act: which known failures a command repeats on a host, how sure that is, and what to do instead.

The look goes by the index of this process and is read again from the database under the caller's visibility. Nothing
is said where nothing bears on the command. No text of a warning can be pasted into a shell and destroy something.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import func, insert, select

from worklore.estate.infrastructure import INFRASTRUCTURE, Infrastructure
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.types import iso, uuid7
from worklore.kernel.wire import Clean, WireModel
from worklore.knowledge.insight import ENVIRONMENTAL_INSIGHTS, Confidence, EnvironmentalInsight
from worklore.knowledge.pattern import FAILURE_PATTERNS, FailurePattern
from worklore.memory import tokens
from worklore.memory.capture import ensure_session, session_of
from worklore.memory.frame import CLOSING, OPENING, neutral
from worklore.memory.injection import note
from worklore.memory.question import Question, named_project
from worklore.memory.redaction import told
from worklore.memory.warn.command_line import Call, calls, target
from worklore.memory.warn.destructive import unpasteable
from worklore.memory.warn.evidence import host_name, local_name
from worklore.memory.warn.judgement import LIKELY, PATTERN
from worklore.memory.warn.known import Known, known_failures
from worklore.memory.warn.learn import NOTHING_KNOWN
from worklore.memory.warn.told import CommandWarning
from worklore.work.identity import Folder
from worklore.work.project import Project

MOST: Final = 3
"""Warnings of one answer."""

CANDIDATES: Final = 50
BUDGET: Final = 400
"""Tokens of a warning's text, frame included."""

MAX_COMMAND: Final = 20_000
TEXT: Final = 300
HEADING: Final = "The command about to run repeats what is known to fail here:\n"
ASKED: Final = "asked"
"""The event of a warning that was asked for."""

ORDER: Final = {Confidence.confirmed: 0, Confidence.likely: 1, Confidence.suspected: 2}


class AboutToRun(WireModel):
    """A command that is about to be run."""

    command: Annotated[str, Field(min_length=1, max_length=MAX_COMMAND), Clean]
    shell: Annotated[str, Field(max_length=50), Clean] | None = None
    host: Annotated[str, Field(max_length=255), Clean] | None = None
    """Name, address or infrastructure id of the host it would run on; the caller's own machine where none is named."""
    project: Annotated[str, Field(max_length=255), Clean] | None = None
    """Id or slug of the caller's project."""
    identity: Folder | None = None
    """The folder whose project is meant, where none is named."""
    agent: Annotated[str, Field(min_length=1, max_length=100), Clean] | None = None
    session: Annotated[str, Field(min_length=1, max_length=200), Clean] | None = None
    """The agent's own id of its session: nothing is told twice in one, and the outcome is looked for in it."""


class Caution(WireModel):
    """One known failure that the command repeats."""

    id: uuid.UUID
    """Of the warning; its outcome is told to it."""
    pattern: uuid.UUID | None
    insight: uuid.UUID | None
    confidence: Confidence
    priority: int
    title: str
    error: str
    """What it said when it failed."""
    instead: str
    """What to do instead; empty where nothing is known."""
    count: int
    last_seen: str | None
    host: str
    why: str


class Cautions(WireModel):
    """What is known to fail of a command; empty where nothing bears on it."""

    warnings: list[Caution]
    text: str
    """The same, ready to be put before an agent."""
    tokens: int
    ms: float


@dataclass(frozen=True, slots=True)
class Situation:
    """Who is about to run what, and where.

    `clients` are those whose failures may be told; None for all that the caller sees. `known` are the patterns and
    insights that the session was warned of.
    """

    command: str
    host: str
    local: str
    clients: frozenset[uuid.UUID] | None
    client: uuid.UUID | None = None
    known: frozenset[uuid.UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Match:
    """A known failure that a call repeats, and the hosts it is known from where it is not known from this one."""

    known: Known
    call: Call
    host: str
    elsewhere: tuple[str, ...] = ()


def warn(ctx: Context, body: AboutToRun) -> Cautions:
    """Which known failures a command would repeat on a host, how sure that is, and what to do instead."""
    begun = time.perf_counter()
    about = Question(question=body.command, project=body.project, identity=body.identity)
    project = named_project(ctx, about) if body.project is not None or body.identity is not None else None
    session = session_of(ctx, body.agent, body.session) if body.agent and body.session else None
    situation = Situation(
        command=body.command,
        host=body.host or "",
        local=local_name(ctx, ctx.principal.machine_id),
        clients=frozenset({project.client_id}) if project and project.client_id else None,
        client=project.client_id if project else None,
        known=warned(ctx, session.id) if session else frozenset(),
    )
    found = look(ctx, situation)
    text, size = rendered(found)
    if found:
        if session is None and body.agent and body.session and project is not None:
            session = ensure_session(ctx, body.agent, body.session, project)
        log = Log(ASKED, session.id if session else None, situation.client, ctx.now())
        write_down_warnings(ctx, log, found, size)
    return Cautions(warnings=found, text=text, tokens=size, ms=round((time.perf_counter() - begun) * 1000, 2))


WARN: Final = Action(run=warn, name="warn", path="warnings", scope="memory:read", risk=Risk.write)


# --- looking --------------------------------------------------------------------------------------------------------


def look(ctx: ReadContext, situation: Situation) -> list[Caution]:
    """The warnings for a command, the surest and weightiest first."""
    found: list[Match] = []
    for call, held in known_failures(ctx).matching(ctx, calls(situation.command), situation.clients):
        fresh = [known for known in held if known.id not in situation.known]
        if fresh:
            found += _there(ctx, situation, call, fresh)
    return _cautions(ctx, found[:CANDIDATES]) if found else []


def _there(ctx: ReadContext, situation: Situation, call: Call, matching: Sequence[Known]) -> list[Match]:
    """Those of the known failures that hold where the call would run."""
    asked = call.host or situation.host
    name = target(host_name(asked or situation.local))
    names, assets = {situation.local if name in _LOCAL else name}, set[uuid.UUID]()
    if not all(known.is_on(names) for known in matching):
        # By another name, perhaps: it is looked up only where the one that was given does not tell.
        names, assets = _place(ctx, situation, name, names)
    here: list[Match] = []
    elsewhere: dict[str, list[Known]] = defaultdict(list)
    for known in matching:
        if known.infrastructure in assets or known.is_on(names):
            here.append(Match(known, call, asked or situation.local))
        elif not known.is_local:
            if situation.clients is not None or known.client is None:
                here.append(Match(known, call, asked or situation.local))
        elif situation.clients is not None:
            elsewhere[known.signature].append(known)
    mine = {match.known.signature for match in here}
    for signature, several in elsewhere.items():
        hosts = sorted({name for known in several for name in known.hosts})
        # What fails alike on several hosts of a client fails on its others too, unless it merely was away.
        if signature not in mine and len(hosts) >= PATTERN and not any(known.passes for known in several):
            here.append(Match(several[-1], call, asked or situation.local, tuple(hosts)))
    return here


_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1", "."})


def _place(ctx: ReadContext, situation: Situation, name: str, names: set[str]) -> tuple[set[str], set[uuid.UUID]]:
    """The names of a host and the assets it may be, among those that the caller sees."""
    if not name:
        return names, set()
    try:
        wanted = Infrastructure.id == uuid.UUID(name)
    except ValueError:
        wanted = (func.lower(Infrastructure.hostname) == name) | (Infrastructure.ip_address == name)
    found = select(Infrastructure.id, Infrastructure.hostname, Infrastructure.ip_address).where(
        wanted, INFRASTRUCTURE.visible(ctx.principal)
    )
    if situation.clients is not None:
        found = found.where(Infrastructure.client_id.in_(sorted(situation.clients)))
    rows = ctx.session.execute(found.limit(CANDIDATES)).all()
    others = {host_name(text) for row in rows for text in (row.hostname, row.ip_address)} - {""}
    return names | others, {row.id for row in rows}


def _cautions(ctx: ReadContext, found: Sequence[Match]) -> list[Caution]:
    matches = {match.known.id: match for match in reversed(found)}
    return [caution for _, caution in cautions_of(ctx, matches)[:MOST]]


def cautions_of(ctx: ReadContext, matches: Mapping[uuid.UUID, Match]) -> list[tuple[uuid.UUID, Caution]]:
    """The warnings of known failures by their ids, the surest and weightiest first, as far as the caller sees them."""
    there = {
        **_patterns(ctx, [key for key, match in matches.items() if match.known.is_pattern]),
        **_insights(ctx, [key for key, match in matches.items() if not match.known.is_pattern]),
    }
    # What is not there is gone, hidden or switched off since the index read it.
    made = [(key, _caution(match, *there[key])) for key, match in matches.items() if key in there]
    made.sort(key=lambda item: (ORDER[item[1].confidence], -item[1].priority, -item[1].count))
    return made


_Read = tuple[FailurePattern | None, EnvironmentalInsight | None]


def _patterns(ctx: ReadContext, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, _Read]:
    """Active patterns that the caller sees, each with its insight."""
    if not ids:
        return {}
    joined = (EnvironmentalInsight.source_pattern_id == FailurePattern.id) & ENVIRONMENTAL_INSIGHTS.visible(
        ctx.principal
    )
    found = (
        select(FailurePattern, EnvironmentalInsight)
        .outerjoin(EnvironmentalInsight, joined)
        .where(FailurePattern.id.in_(ids), FailurePattern.is_active, FAILURE_PATTERNS.visible(ctx.principal))
        .order_by(EnvironmentalInsight.id)
    )
    return {row[0].id: (row[0], row[1]) for row in ctx.session.execute(found)}


def _insights(ctx: ReadContext, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, _Read]:
    if not ids:
        return {}
    found = select(EnvironmentalInsight).where(
        EnvironmentalInsight.id.in_(ids), ENVIRONMENTAL_INSIGHTS.visible(ctx.principal)
    )
    return {insight.id: (None, insight) for insight in ctx.session.scalars(found)}


def _caution(match: Match, pattern: FailurePattern | None, insight: EnvironmentalInsight | None) -> Caution:
    if insight is not None:
        confidence, weight = insight.confidence_level, insight.priority
    else:
        count = pattern.occurrence_count if pattern else 0
        confidence, weight = (Confidence.likely if count >= LIKELY else Confidence.suspected), 5
    if match.elsewhere:
        confidence = Confidence.suspected
    count = pattern.occurrence_count if pattern else 0
    last = pattern.last_seen if pattern else insight.last_verified if insight else None
    advice = pattern.recommended_solution if pattern else insight.insight_description if insight else ""
    title = insight.insight_title if insight else pattern.failure_description if pattern else ""
    return Caution(
        id=uuid7(),
        pattern=pattern.id if pattern else None,
        insight=insight.id if insight else None,
        confidence=confidence,
        priority=weight,
        title=_safe(title),
        error=_safe(pattern.error_pattern or "") if pattern else "",
        instead="" if advice == NOTHING_KNOWN else _safe(advice, 2 * TEXT),
        count=count,
        last_seen=iso(last) if last else None,
        host=match.host,
        why=_why(match, count, last),
    )


def _why(match: Match, count: int, last: datetime | None) -> str:
    head = _safe(match.call.head)
    if match.elsewhere:
        return f"{head} failed so on {', '.join(match.elsewhere[:3])}; not tried on {match.host or 'this host'} yet"
    times = f" {count} times" if count else ""
    when = f", last on {last:%Y-%m-%d}" if last else ""
    return f"{head} failed{times}{f' on {match.host}' if match.host else ''}{when}"


def _safe(text: str, most: int = TEXT) -> str:
    """A text as it may stand in a warning: one bounded line, no secret, no tag of ours, nothing to be pasted."""
    kept = " ".join(unpasteable(told(text)).split())
    return neutral(kept if len(kept) <= most else kept[: most - 1] + "…")


def rendered(found: Sequence[Caution]) -> tuple[str, int]:
    """The warnings as a text for an agent and its tokens; the least sure are left out where they do not fit."""
    kept = list(found)
    while kept:
        text = OPENING + HEADING + "".join(told_line(caution) for caution in kept) + CLOSING
        size = tokens.count(text)
        if size <= BUDGET:
            return text, size
        kept.pop()
    return "", 0


def told_line(caution: Caution) -> str:
    """A warning as one line for an agent."""
    said = f' It said: "{caution.error}"' if caution.error else f" {caution.title}"
    instead = f" Instead: {caution.instead}" if caution.instead else ""
    return f"- ({caution.confidence}) {caution.why}.{said}{instead}\n"


# --- what was said --------------------------------------------------------------------------------------------------


def warned(ctx: ReadContext, session_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """The patterns and insights that a session was warned of."""
    found = select(CommandWarning.pattern_id, CommandWarning.insight_id).where(CommandWarning.session_id == session_id)
    return frozenset(key for row in ctx.session.execute(found) for key in row if key is not None)


@dataclass(frozen=True, slots=True)
class Log:
    """On what occasion warnings were given, in which session, to whose work, and when by the clock of the asker."""

    event: str
    session_id: uuid.UUID | None
    client_id: uuid.UUID | None
    told_at: datetime


def write_down_warnings(ctx: Context, log: Log, found: Sequence[Caution], size: int) -> None:
    """Remember what was warned of, so that it is not said again and its outcome can be looked for."""
    rows: list[Mapping[str, Any]] = [
        {
            "id": caution.id,
            "session_id": log.session_id,
            "client_id": log.client_id,
            "pattern_id": caution.pattern,
            "insight_id": caution.insight,
            "event": log.event,
            "host": caution.host[:255],
            "confidence": caution.confidence,
            "told_at": log.told_at,
            "created_at": ctx.now(),
        }
        for caution in found
    ]
    if rows:
        ctx.session.connection().execute(insert(CommandWarning), rows)
        if log.session_id is not None:
            note(ctx, log.session_id, log.event, {f"warning:{one.id}": one.why for one in found}, size)


@dataclass(frozen=True, slots=True)
class Warned:
    """What an agent is told before a command: the text, its tokens, and the warnings in it."""

    text: str = ""
    tokens: int = 0
    found: Sequence[Caution] = field(default=())

    @property
    def names(self) -> frozenset[str]:
        """What each warning is of, as it is noted while the answer is under way."""
        return frozenset(f"known:{one.pattern or one.insight}" for one in self.found)


def before_running(
    ctx: ReadContext, project: Project, command: str, *, session_id: uuid.UUID | None, being_told: frozenset[str]
) -> Warned:
    """What an agent should know before it runs a command on its own machine, or by ssh on another."""
    known = warned(ctx, session_id) if session_id else frozenset[uuid.UUID]()
    known |= {uuid.UUID(name.removeprefix("known:")) for name in being_told if name.startswith("known:")}
    found = look(
        ctx,
        Situation(
            command=command[:MAX_COMMAND],
            host="",
            local=local_name(ctx, ctx.principal.machine_id),
            clients=frozenset({project.client_id}) if project.client_id else None,
            client=project.client_id,
            known=known,
        ),
    )
    text, size = rendered(found)
    return Warned(text, size, found) if text else Warned()
