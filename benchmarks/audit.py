"""What the change audit costs: the same writes without it, with entries in no chain, and with chained ones, in turn.

Each unit makes one client and commits. Rounds are interleaved, and the ratios are the medians of the rounds' ratios, so
that what else the machine does strikes all three alike. At the end the chains are verified, which gives the entries a
second of ``worklore audit verify``.
"""

import argparse
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from worklore.clients.client import Client, ClientType
from worklore.identity.keys import load_key
from worklore.kernel.audit import CHAINS
from worklore.kernel.context import Context
from worklore.kernel.epoch import ensure_epoch
from worklore.kernel.transaction import Database
from worklore.ops import audit_chain, audit_witness, migrate
from worklore.ops.audit_verify import verify

WAYS = ("without", "unchained", "chained")


def add(ctx: Context) -> None:
    ctx.session.add(Client(name=str(uuid.uuid4()), type=ClientType.internal, notes="A line of notes."))


def seconds(database: Database, units: int, *, together: bool) -> float:
    """The time of one unit; ``together`` lets SQLite's writer group them, so that the disk counts for less."""
    began = time.perf_counter()
    if together:
        for future in [database.submit(add) for _ in range(units)]:
            future.result()
    else:
        for _ in range(units):
            database.write(add)
    return (time.perf_counter() - began) / units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database-url", help="an empty database of its own [SQLite in a temporary folder]")
    parser.add_argument("--units", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(options.database_url or f"sqlite:///{folder / 'hub.db'}")
        migrate.upgrade(database)
        database.write(ensure_epoch)
        key = load_key(folder / audit_chain.KEY_FILE, create=True)
        chains = audit_chain.chained(database, key, folder)
        database.write(audit_witness.begin)
        for together in (False, True):
            taken: dict[str, list[float]] = {way: [] for way in WAYS}
            for turn in range(options.rounds + 1):
                for way in WAYS if turn % 2 else reversed(WAYS):
                    Client.audited = way != "without"
                    database.provide(CHAINS, chains if way == "chained" else None)
                    figure = seconds(database, options.units, together=together)
                    if turn:  # the first warms up
                        taken[way].append(figure)
            print("in groups" if together else "one by one")
            for way in WAYS:
                ratio = statistics.median(one / other for one, other in zip(taken[way], taken["without"], strict=True))
                print(f"  {way:10} {statistics.median(taken[way]) * 1e6:8.0f} us a unit, {ratio:.2f} times")
        database.provide(CHAINS, chains)
        with database.reading.connect() as connection:
            found = verify(connection, [key])
        print(f"verify: {found.records:,} chained entries, {found.per_second:,} a second")
        database.close()


if __name__ == "__main__":
    main()
