"""``worklore memory sweep`` and ``reindex``: today's rules over what was stored, and what is derived from it anew."""

import argparse
import json
from typing import Any
from uuid import UUID

from worklore.app import build
from worklore.commands import progress
from worklore.kernel.settings import load
from worklore.memory.redaction import version
from worklore.memory.reindex import Reindexed, reindex
from worklore.memory.sweep import Swept, sweep


def add(commands: Any) -> None:
    """What the command takes."""
    memory = commands.add_parser("memory", help="take secrets out of what is stored; make anew what recall goes by")
    tasks = memory.add_subparsers(required=True, metavar="TASK")
    task = tasks.add_parser(
        "sweep",
        help="take out of stored texts the secrets that today's rules find; goes on where it was stopped",
        description="A hub does this by itself after an upgrade. On SQLite the hub must not run; elsewhere it may.",
    )
    task.add_argument("--dry-run", action="store_true", help="say what would be taken out; change nothing")
    task.add_argument(
        "--again", action="store_true", help="from the beginning, though these rules went over it already"
    )
    task.add_argument("--json", action="store_true", help="print JSON and nothing else")
    task.set_defaults(run=_sweep)
    task = tasks.add_parser(
        "reindex",
        help="make anew what recall goes by: terms, windows of work records and, if asked, vectors",
        description="Needed only after a damage or when told so: a hub reads its index from the database by itself. "
        "On SQLite the hub must not run; elsewhere it may.",
    )
    task.add_argument("--vectors", action="store_true", help="make all vectors anew too, which takes longest")
    task.add_argument("--after", type=UUID, metavar="ID", help="go on where an interrupted run says it was")
    task.add_argument("--json", action="store_true", help="print JSON and nothing else")
    task.set_defaults(run=_reindex)


def _sweep(options: argparse.Namespace) -> int:
    hub = build(load())
    try:
        with progress.shown("rows", quiet=options.json) as told:
            swept = sweep(hub.database, dry_run=options.dry_run, again=options.again, tell=told)
    finally:
        hub.close()
    facts = {
        "rules": version(),
        "dry_run": options.dry_run,
        "looked_at": swept.looked_at,
        "changed": dict(swept.changed),
        "found": dict(swept.found.most_common()),
    }
    _say(json.dumps(facts, indent=2) if options.json else "\n".join(_told(swept, dry_run=options.dry_run)))
    return 0


def _reindex(options: argparse.Namespace) -> int:
    hub, done = build(load()), Reindexed()
    try:
        with progress.shown("windows", quiet=options.json) as told:
            reindex(hub.database, after=options.after, vectors=options.vectors, tell=told, done=done)
    except KeyboardInterrupt:
        _say(f"Stopped. Go on with: worklore memory reindex --after {done.last}" if done.last else "Stopped.")
        return 130
    finally:
        hub.close()
    facts = {"looked_at": done.looked_at, "changed": done.changed}
    _say(json.dumps(facts) if options.json else f"{done.looked_at:,} windows looked at, {done.changed:,} changed.")
    return 0


def _told(swept: Swept, *, dry_run: bool) -> list[str]:
    would = "would change" if dry_run else "changed"
    if not swept.looked_at:
        return [f"Everything was swept by the rules of this hub ({version()}) already; --again sweeps once more."]
    lines = [f"{swept.looked_at:,} rows looked at, {swept.changed.total():,} {would}."]
    lines += [f"{count:>8,} {table}" for table, count in swept.changed.most_common()]
    if swept.found:
        lines.append("Found, by rule:")
        lines += [f"{count:>8,} {rule}" for rule, count in swept.found.most_common()]
    return lines


def _say(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer
