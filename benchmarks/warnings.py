"""How fast a command is answered with what is known to fail of it, at 10,000 patterns, beside a bare look-up.

A hub of its own holds the patterns of 200 clients. Commands that repeat a known failure and commands that repeat none
are asked in turn over the function that the hooks and the API use, within a read of the database, as the hub does.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from worklore.clients.client import Client, ClientType
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.sequence import take
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow, uuid7
from worklore.knowledge.learned import SEQUENCE
from worklore.knowledge.pattern import FailurePattern, PatternType
from worklore.memory.warn.failure_class import key_of
from worklore.memory.warn.known import known_failures
from worklore.memory.warn.warning import Situation, look
from worklore.ops import migrate

GOAL = 10.0
CLIENTS = 200
HEADS = (
    ("systemctl restart {0}", "Failed to restart {0}.service: Access denied"),
    ("apt-get install {0}", "E: Unable to locate package {0}"),
    ("tar --{0} -xf a.tar", "tar: unrecognized option '--{0}'"),
    ("curl http://{0}.example.com/", "curl: (6) Could not resolve host: {0}.example.com"),
    ("docker compose up {0}", "no such service: {0}: not found"),
    ("Get-{0} -Foo x", "A parameter cannot be found that matches parameter name 'Foo'."),
)


def fill(ctx: Context, patterns: int) -> list[Any]:
    """Clients with patterns; the ids of the clients."""
    clients = [uuid7() for _ in range(CLIENTS)]
    shared = {"created_at": utcnow(), "updated_at": utcnow(), "version": 1}
    connection = ctx.session.connection()
    connection.execute(
        insert(Client), [shared | {"id": key, "name": f"c {key}", "type": ClientType.msp_client} for key in clients]
    )
    numbers = take(ctx, SEQUENCE, patterns)
    rows = []
    for place in range(patterns):
        client, host = clients[place % CLIENTS], f"srv-{place % 7}.example.com"
        command, error = (text.format(f"unit{place // CLIENTS}") for text in HEADS[place % len(HEADS)])
        signature = f"{command} | {error}"
        rows.append(
            shared
            | {
                "id": uuid7(),
                "client_id": client,
                "pattern_type": PatternType.command_compatibility,
                "pattern_signature": signature,
                "error_pattern": error,
                "affected_systems": [host],
                "triggering_commands": [command],
                "failure_description": signature,
                "root_cause": "known",
                "recommended_solution": "Do something else.",
                "occurrence_count": 3,
                "is_active": True,
                "added_to_insights": False,
                "first_seen": utcnow(),
                "last_seen": utcnow(),
                "learned_key": key_of(client, host, signature),
                "seq": numbers[place],
            }
        )
    for start in range(0, patterns, 500):
        connection.execute(insert(FailurePattern), rows[start : start + 500])
    return clients


def run(*, patterns: int = 10_000, rounds: int = 1_000) -> dict[str, Any]:
    """The figures: milliseconds with a match, without one, of a bare look-up, and of reading the index in."""
    chance = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="worklore-bench-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'hub.db'}")
        try:
            migrate.upgrade(database)
            clients = database.write(partial(fill, patterns=patterns))
            with database.read(SYSTEM) as ctx:
                begun = time.perf_counter()
                known_failures(ctx).catch_up(ctx)
                read_in = time.perf_counter() - begun
            times: dict[str, list[float]] = {"with a match": [], "without": [], "bare": []}
            matched = 0
            for number in range(rounds):
                place = chance.randrange(patterns)
                command = HEADS[place % len(HEADS)][0].format(f"unit{place // CLIENTS}")
                client = frozenset({clients[place % CLIENTS]})
                host = f"srv-{place % 7}.example.com"
                for name, asked in (("with a match", command), ("without", f"git log -n {number} && ls -la")):
                    begun = time.perf_counter()
                    with database.read(SYSTEM) as ctx:
                        found = look(ctx, Situation(f"cd /srv/{number} && {asked}", host, "", client))
                    times[name].append((time.perf_counter() - begun) * 1000)
                    matched += bool(found)
                begun = time.perf_counter()
                with database.read(SYSTEM) as ctx:
                    ctx.session.execute(
                        select(FailurePattern.id).where(FailurePattern.client_id.in_(client)).limit(1)
                    ).all()
                times["bare"].append((time.perf_counter() - begun) * 1000)
        finally:
            database.close()
    results = {
        name: {"p50": round(statistics.median(each), 3), "p95": round(sorted(each)[int(len(each) * 0.95)], 3)}
        for name, each in times.items()
    }
    holds = matched == rounds and results["with a match"]["p95"] < GOAL
    return {
        "patterns": patterns,
        "rounds": rounds,
        "goal_ms": GOAL,
        "holds": holds,
        "read_in_ms": round(read_in * 1000),
        "results": results,
    }


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{figures['patterns']} patterns, read in within {figures['read_in_ms']} ms",
        f"{'command':16}{'p50 ms':>9}{'p95':>9}",
    ]
    lines += [f"{name:16}{one['p50']:>9.3f}{one['p95']:>9.3f}" for name, one in figures["results"].items()]
    lines.append(f"goal: p95 below {figures['goal_ms']:g} ms; {'held' if figures['holds'] else 'NOT held'}")
    return "\n".join(lines)


def main() -> None:
    """Run it alone: `python -m benchmarks.warnings`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patterns", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = run(patterns=arguments.patterns)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
