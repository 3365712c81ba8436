"""``worklore import``: take over what another program holds."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from worklore.commands.progress import shown
from worklore.kernel.settings import load
from worklore.kernel.transaction import Database
from worklore.ops import audit_chain, migrate
from worklore.ops.netbox.run import import_netbox
from worklore.resources import CATALOG


def add(commands: Any) -> None:
    """What the command takes."""
    command = commands.add_parser("import", help="take over what another program holds")
    command.add_argument("program", choices=["netbox"], help="clients, sites, hosts, networks and services of a NetBox")
    command.add_argument("file", type=Path, help="what manage.py dumpdata wrote")
    command.add_argument("--source", default="netbox", help="tells this NetBox from another one [netbox]")
    command.add_argument("--default-client", metavar="NAME", help="the client of what has no tenant; made if need be")
    command.add_argument("--dry-run", action="store_true", help="say what would be done; change nothing")
    command.add_argument("--json", action="store_true")
    command.add_argument("--database-url", help="import into this database (WORKLORE_DATABASE_URL)")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Import, and print the report; 1 when there were problems."""
    database = Database(options.database_url or load().url)
    try:
        migrate.upgrade(database)
        audit_chain.join(database, load().data)
        with shown("records", quiet=options.json) as told:
            report = import_netbox(
                database,
                CATALOG,
                options.file,
                source=options.source,
                default_client=options.default_client,
                dry_run=options.dry_run,
                progress=lambda done, total: told(done, total, ""),
            )
    except KeyboardInterrupt:
        hint = "What is there stays; run it again to complete it."
        print(f"worklore: stopped. {hint}", file=sys.stderr)  # noqa: T201 - a command's answer
        return 130
    finally:
        database.close()
    print(json.dumps(report.facts(), indent=2) if options.json else "\n".join(report.lines()))  # noqa: T201 - a command's answer
    return 1 if report.problems else 0
