"""``worklore db``: look at or upgrade the database's schema."""

import argparse
import json
from typing import Any

from worklore.kernel.settings import load
from worklore.kernel.transaction import Database
from worklore.ops import migrate


def add(commands: Any) -> None:
    """What the command takes."""
    database = commands.add_parser("db", help="look at or upgrade the database's schema")
    database.add_argument("task", choices=["current", "upgrade"])
    database.add_argument("--json", action="store_true")
    database.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Carry out the task and say where the schema stands."""
    database = Database(load().url)
    try:
        backup = migrate.upgrade(database) if options.task == "upgrade" else None
        found = migrate.state(database)
    finally:
        database.close()
    facts = {"current": found.current, "needed": found.needed, "backup": str(backup) if backup else None}
    standing = "up to date" if found.is_current else f"at {found.current}, this version needs {found.needed}"
    print(json.dumps(facts) if options.json else f"The schema is {standing}.")  # noqa: T201 - a command's answer
    return 0 if found.is_current else 1
