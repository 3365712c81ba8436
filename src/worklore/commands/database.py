"""``worklore db``: look at the database's schema and change it."""

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from typing import Any

from worklore.kernel.settings import Settings, load
from worklore.kernel.transaction import Database
from worklore.ops import audit_chain, backups, migrate
from worklore.ops.backup import BackupType
from worklore.ops.sealed_file import read_secret


def add(commands: Any) -> None:
    """What the command takes."""
    tasks = commands.add_parser("db", help="look at the database's schema, upgrade it, take it back").add_subparsers(
        required=True, metavar="TASK", dest="task"
    )
    upgrade = tasks.add_parser("upgrade", help="bring the schema up; backs a database with rows up first")
    upgrade.add_argument("--to", metavar="REVISION", help="the revision to stop at (the newest)")
    downgrade = tasks.add_parser("downgrade", help="take the schema back; backs a database with rows up first")
    downgrade.add_argument("to", metavar="REVISION", help="a revision, base for none at all, or -1 for one step down")
    downgrade.add_argument("--yes", action="store_true", help="also when rows or values are lost by it")
    for task in (upgrade, downgrade):
        task.add_argument("--no-backup", action="store_true", help="make no backup first")
    current = tasks.add_parser("current", help="say where the schema stands; exit code 1 when it is not up to date")
    check = tasks.add_parser(
        "check", help="compare the schema with the one this version makes; exit code 1 for a difference"
    )
    for task, work in ((upgrade, _upgrade), (downgrade, _downgrade), (current, _current), (check, _check)):
        task.add_argument("--json", action="store_true", help="print JSON and nothing else")
        task.set_defaults(run=partial(run, work=work))


def run(options: argparse.Namespace, *, work: Any) -> int:
    """Carry out the task on the database of the settings."""
    settings = load()
    database = Database(settings.url)
    try:
        code: int = work(database, settings, options)
    finally:
        database.close()
    return code


def _say(text: str) -> None:
    print(text)  # noqa: T201 - a command's answer


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress, beside the answer


def _upgrade(database: Database, settings: Settings, options: argparse.Namespace) -> int:
    change = migrate.upgrade(database, to=options.to, backup=_backup(database, settings, options), tell=_tell)
    return _changed(change, options)


def _downgrade(database: Database, settings: Settings, options: argparse.Namespace) -> int:
    lost = migrate.losses(database, options.to)
    if not options.yes:
        migrate.refuse_losses(lost)
    change = migrate.downgrade(database, options.to, backup=_backup(database, settings, options), tell=_tell)
    return _changed(change, options, lost)


def _backup(database: Database, settings: Settings, options: argparse.Namespace) -> migrate.Backup | None:
    if options.no_backup:
        return None
    secret = read_secret(settings.backup_key_file)
    migrate.reach(database)
    audit_chain.join(database, settings.data)
    return partial(backups.create, folder=settings.backups, type=BackupType.pre_migration, encrypt=secret)


def _changed(change: migrate.Change, options: argparse.Namespace, lost: list[str] | None = None) -> int:
    if options.json:
        facts = _facts(change.after) | {
            "before": change.before.current,
            "steps": [asdict(step) for step in change.steps],
            "backup": str(change.backup) if change.backup else None,
            "lost": lost or [],
        }
        _say(json.dumps(facts))
        return 0
    if change.backup:
        _say(f"The backup made first is {change.backup}.")
    for line in lost or []:
        _say(f"Lost with it: {line}.")
    _say(f"The schema is {change.after}." if change.steps else f"Nothing was to be done: the schema is {change.after}.")
    return 0


def _current(database: Database, _: Settings, options: argparse.Namespace) -> int:
    found = migrate.state(database)
    if options.json:
        _say(json.dumps(_facts(found)))
    else:
        _say(f"The schema is {found}.")
        for name in found.edited:
            _say(f"The file of revision {name} is not the one that was applied.")
    return 0 if found.is_current else 1


def _facts(found: migrate.SchemaState) -> dict[str, Any]:
    return {
        "current": found.current,
        "needed": found.needed,
        "is_current": found.is_current,
        "interrupted": asdict(found.interrupted) if found.interrupted else None,
        "edited": list(found.edited),
    }


def _check(database: Database, _: Settings, options: argparse.Namespace) -> int:
    found = migrate.check(database)
    if options.json:
        _say(json.dumps({"differences": found}))
    else:
        for line in found:
            _say(line)
        _say(f"{len(found)} differences." if found else "The schema is the one this version makes.")
    return 1 if found else 0
