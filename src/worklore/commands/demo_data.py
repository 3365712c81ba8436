"""``worklore demo-data``: fill a database with a made-up service provider."""

import argparse
import json
import sys
from typing import Any

from worklore.commands.progress import shown
from worklore.kernel.settings import load as settings
from worklore.kernel.transaction import Database
from worklore.ops import audit_chain, migrate
from worklore.ops.demo.load import Loaded, load
from worklore.ops.demo.profile import PROFILES


def add(commands: Any) -> None:
    """What the command takes."""
    command = commands.add_parser("demo-data", help="fill a database with a made-up service provider")
    command.add_argument("--profile", choices=list(PROFILES), default="small", help="5, 50 or 500 clients [small]")
    command.add_argument("--seed", type=int, default=1, help="the same seed makes the same rows [1]")
    command.add_argument("--database-url", help="fill this database (WORKLORE_DATABASE_URL)")
    command.add_argument("--add", action="store_true", help="though it holds clients; finishes a load that was cut off")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the data up, store it, and say what there is."""
    profile = PROFILES[options.profile]
    database = Database(options.database_url or settings().url)
    try:
        migrate.upgrade(database)
        audit_chain.join(database, settings().data)
        with shown("clients", quiet=options.json) as told:

            def progress(done: int, loaded: Loaded) -> None:
                told(done, profile.clients, f"{loaded.rows.total():,} rows, {loaded.seconds:.0f} s")

            loaded = load(database, profile, options.seed, add=options.add, progress=progress)
    except KeyboardInterrupt:
        hint = "Each client that is there is complete; run it again with --add to load the others."
        print(f"worklore: stopped. {hint}", file=sys.stderr)  # noqa: T201 - a command's answer
        return 130
    finally:
        database.close()
    print(json.dumps(_facts(loaded)) if options.json else _said(loaded))  # noqa: T201 - a command's answer
    return 0


def _facts(loaded: Loaded) -> dict[str, Any]:
    return {
        "clients": loaded.clients,
        "present": loaded.present,
        "rows": loaded.rows.total(),
        "changes": loaded.changes,
        "seconds": round(loaded.seconds, 1),
        "tables": dict(loaded.rows),
    }


def _said(loaded: Loaded) -> str:
    before = f" {loaded.present} were there already." if loaded.present else ""
    return (
        f"{loaded.clients} clients with {loaded.rows.total():,} rows, {loaded.changes:,} of them changes, "
        f"in {loaded.seconds:.0f} s.{before}"
    )
