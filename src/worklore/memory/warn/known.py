"""What this process knows of failures, by the commands that cause them: derived from the database, dropped at will.

Patterns and examples take a number at every change, in the order of commits; the index reads what has a higher one
before each answer, by a connection of its own that sees what is committed and nothing else: what a unit of work has
written may yet be undone, and its number be given again. What is found is read again from the database under the
caller's visibility, so a stale index can cost a look but never show what is gone, hidden or switched off.
"""

import threading
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, select

from worklore.kernel.context import READING, ReadContext
from worklore.kernel.sequence import Sequence
from worklore.knowledge.example import EnvironmentalExample, ExampleType
from worklore.knowledge.insight import EnvironmentalInsight
from worklore.knowledge.learned import SEQUENCE
from worklore.knowledge.pattern import FailurePattern
from worklore.memory.warn.command_line import Call, calls, target
from worklore.memory.warn.evidence import host_name
from worklore.memory.warn.failure_class import MAX_LINE, Trigger, failing, line_of, trigger

UNREAD: Final = -1
_NEWEST: Final = select(Sequence.value).where(Sequence.name == SEQUENCE)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A failure pattern, or an insight with an example that fails, as the index holds it.

    `hosts` are names in lower case; empty where it holds for the client as a whole.
    """

    id: uuid.UUID
    is_pattern: bool
    client: uuid.UUID | None
    infrastructure: uuid.UUID | None
    hosts: frozenset[str]
    signature: str
    learned_key: str | None
    triggers: tuple[Trigger, ...]
    remedies: tuple[Call, ...] = ()
    passes: bool = False

    def fits(self, call: Call) -> bool:
        """True for a call that would fail so, and is not itself what is known to help."""
        return any(wanted.fits(call) and not self._helps(call, wanted) for wanted in self.triggers)

    def _helps(self, call: Call, wanted: Trigger) -> bool:
        """True for a call with all that a remedy has beyond what failed."""
        for remedy in self.remedies:
            added = remedy.words - wanted.failed
            raised = remedy.elevated and not wanted.elevated
            differs = remedy.head == call.head and (added or raised)
            if differs and added <= call.words and (call.elevated or not raised):
                return True
        return False

    def is_on(self, names: Collection[str]) -> bool:
        """True where it is bound to a host of one of some names."""
        return any(same_host(mine, yours) for mine in self.hosts for yours in names)

    @property
    def is_local(self) -> bool:
        """True where it is bound to a host."""
        return bool(self.hosts) or self.infrastructure is not None


def same_host(one: str, other: str) -> bool:
    """True for equal names, and for a short name and a full one that begins with it."""
    if not one or not other:
        return False
    if one == other:
        return True
    if one.replace(".", "").isdigit() or other.replace(".", "").isdigit() or ("." in one) == ("." in other):
        return False
    return one.partition(".")[0] == other.partition(".")[0]


def triggers_of(commands: Iterable[object], error: str | None) -> tuple[Trigger, ...]:
    """When a command repeats one of those that failed with an error."""
    found: dict[Trigger, None] = {}
    for command in commands:
        if isinstance(command, str) and command.strip():
            rule, line = line_of((error or "")[: MAX_LINE * 4])
            made = calls(command)
            call = failing(made, rule, line) or (made[-1] if made else None)
            if call is not None:
                found.setdefault(trigger(call, rule, line))
    return tuple(found)


def remedies_of(approaches: Iterable[object]) -> tuple[Call, ...]:
    """The calls among what is known to help; prose gives calls that nothing is compared with."""
    return tuple(call for text in approaches if isinstance(text, str) for call in calls(text))


class KnownFailures:
    """The index of one database in this process."""

    def __init__(self) -> None:
        self._seq = UNREAD
        self._lock = threading.Lock()
        self._held: dict[uuid.UUID, Known] = {}
        self._by_key: dict[str, dict[uuid.UUID | None, dict[uuid.UUID, None]]] = {}

    def __len__(self) -> int:
        """Patterns and insights held."""
        return len(self._held)

    def matching(
        self, ctx: ReadContext, made: Iterable[Call], clients: Collection[uuid.UUID] | None
    ) -> list[tuple[Call, list[Known]]]:
        """What is known of some calls, each once, of some clients and of the installation; of all where None are named.

        Calls of which nothing is known are left out.
        """
        with self._lock:
            self._catch_up(ctx)
            found = [(call, [self._held[key] for key in self._named(call, clients)]) for call in dict.fromkeys(made)]
        fitting = ((call, [known for known in dict.fromkeys(held) if known.fits(call)]) for call, held in found)
        return [(call, held) for call, held in fitting if held]

    def _named(self, call: Call, clients: Collection[uuid.UUID] | None) -> Iterator[uuid.UUID]:
        for name in (call.head, f"{call.program} *"):
            by_client = self._by_key.get(name, {})
            for client in by_client if clients is None else {*clients, None}:
                yield from by_client.get(client, ())

    def of(self, ctx: ReadContext, client: uuid.UUID | None) -> list[Known]:
        """What is known of a client, and of the installation."""
        with self._lock:
            self._catch_up(ctx)
            return [known for known in self._held.values() if known.client in (client, None)]

    def repeats(self, ctx: ReadContext, key: uuid.UUID, made: Iterable[Call]) -> bool:
        """True when one of some calls repeats the known failure of an id."""
        with self._lock:
            self._catch_up(ctx)
            known = self._held.get(key)
        return known is not None and any(known.fits(call) for call in made)

    def catch_up(self, ctx: ReadContext) -> None:
        """Read what is new, so that the next look finds it read."""
        with self._lock:
            self._catch_up(ctx)

    def _catch_up(self, ctx: ReadContext) -> None:
        engine: Engine = ctx.session.info[READING]
        with engine.connect() as connection:
            newest = connection.scalar(_NEWEST) or 0
            if newest <= self._seq:
                return
            for known in (*self._patterns(connection), *self._examples(connection)):
                self._put(known)
        self._seq = newest

    def _put(self, known: Known) -> None:
        former = self._held.pop(known.id, None)
        for wanted in former.triggers if former else ():
            self._ids(wanted.key, former.client if former else None).pop(known.id, None)
        if known.triggers:
            self._held[known.id] = known
            for wanted in known.triggers:
                self._ids(wanted.key, known.client)[known.id] = None

    def _ids(self, key: str, client: uuid.UUID | None) -> dict[uuid.UUID, None]:
        return self._by_key.setdefault(key, {}).setdefault(client, {})

    def _patterns(self, connection: Connection) -> Iterator[Known]:
        columns = (
            FailurePattern.id,
            FailurePattern.client_id,
            FailurePattern.infrastructure_id,
            FailurePattern.affected_systems,
            FailurePattern.triggering_commands,
            FailurePattern.error_pattern,
            FailurePattern.pattern_signature,
            FailurePattern.learned_key,
            FailurePattern.alternative_approaches,
        )
        newer = select(*columns).where(FailurePattern.seq > self._seq)
        for row in connection.execute(newer):
            yield Known(
                id=row.id,
                is_pattern=True,
                client=row.client_id,
                infrastructure=row.infrastructure_id,
                hosts=_hosts(row.affected_systems),
                signature=row.pattern_signature,
                learned_key=row.learned_key,
                triggers=triggers_of(row.triggering_commands or (), row.error_pattern),
                remedies=remedies_of(row.alternative_approaches or ()),
                passes=line_of(row.error_pattern or "")[0].passes,
            )

    def _examples(self, connection: Connection) -> Iterator[Known]:
        """Insights that no pattern stands behind, by those of their examples that fail."""
        newer = (
            select(
                EnvironmentalInsight.id,
                EnvironmentalInsight.client_id,
                EnvironmentalInsight.infrastructure_id,
                EnvironmentalInsight.insight_title,
                EnvironmentalExample.command_text,
                EnvironmentalExample.actual,
            )
            .join(EnvironmentalExample, EnvironmentalExample.insight_id == EnvironmentalInsight.id)
            .where(
                EnvironmentalInsight.source_pattern_id.is_(None),
                EnvironmentalExample.example_type == ExampleType.fails,
                EnvironmentalInsight.id.in_(
                    select(EnvironmentalExample.insight_id).where(EnvironmentalExample.seq > self._seq)
                ),
            )
            .order_by(EnvironmentalInsight.id)
        )
        found: dict[uuid.UUID, tuple[Any, dict[Trigger, None]]] = {}
        for row in connection.execute(newer):
            _, wanted = found.setdefault(row.id, (row, {}))
            wanted.update(dict.fromkeys(triggers_of((row.command_text,), row.actual)))
        for row, wanted in found.values():
            yield Known(
                id=row.id,
                is_pattern=False,
                client=row.client_id,
                infrastructure=row.infrastructure_id,
                hosts=frozenset(),
                signature=row.insight_title,
                learned_key=None,
                triggers=tuple(wanted),
            )


def _hosts(systems: list[Any] | None) -> frozenset[str]:
    names = systems or ()
    return frozenset(target(host_name(name)) for name in names if isinstance(name, str) and name.strip())


def known_failures(ctx: ReadContext) -> KnownFailures:
    """This process's index of the context's database."""
    found: KnownFailures = ctx.derived.setdefault("known failures", KnownFailures())
    return found
