"""`make fuzz`: a campaign over every operation on each database named, bounded by time; fails on any finding."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conftest import serve
from tests.databases import drop_database, make_database
from tests.fuzz.campaign import Findings, campaign
from worklore.kernel.db import database_url


def on(database: str, seconds: int, options: list[str]) -> Findings:
    """A campaign against a hub of its own."""
    with tempfile.TemporaryDirectory(prefix="worklore-fuzz-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        own = database_url(f"sqlite:///{folder / 'hub.db'}") if database == "sqlite" else make_database(database)
        try:
            for hub in serve(own, folder):
                return campaign(hub.url, hub.token(), folder / "report.json", *options, seconds=seconds)
        finally:
            if database != "sqlite":
                drop_database(database, own.database or "")
    raise AssertionError("a hub starts once")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("databases", nargs="+", choices=["sqlite", "mariadb", "postgresql"])
    parser.add_argument("--minutes", type=float, default=10)
    asked, options = parser.parse_known_args()
    wrong = 0
    for database in asked.databases:
        found = on(database, round(asked.minutes * 60), options)
        wrong += found.failures
        sys.stdout.write(found.output if found.failures else "")
        sys.stdout.write(f"{database}: {found.operations} operations, {found.cases} cases, {found.failures} failures\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
