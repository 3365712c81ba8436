"""Databases whose change audit is chained, and the means to change it as whoever has their password could."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

from tests.conftest import unique
from tests.databases import Templates, drop_database
from worklore.clients.client import Client, ClientType
from worklore.identity.keys import HubKey, load_key
from worklore.kernel import types
from worklore.kernel.audit import CHAINS
from worklore.kernel.chain import Chains
from worklore.kernel.context import Context
from worklore.kernel.epoch import ensure_epoch
from worklore.kernel.transaction import Database
from worklore.ops import audit_chain, audit_witness
from worklore.ops.audit_chain import Checkpoint
from worklore.ops.audit_verify import Verdict, verify

BEGUN = 3
"""Entries that begin the audit: of what was in no chain, of touches and of requests without a witness."""


class Chained:
    """A database, its key, and the folder beside it."""

    def __init__(self, url: URL, folder: Path) -> None:
        self.folder = folder
        self.url = url
        self.file = folder / audit_chain.CHECKPOINT_FILE
        self.key: HubKey = load_key(folder / audit_chain.KEY_FILE, create=True)
        self.database = Database(url)
        self.database.write(ensure_epoch)
        self.chains: Chains | None = None
        self.unguarded: set[str] = set()
        self.old: list[uuid.UUID] = []

    def begin(self) -> None:
        self.chains = audit_chain.chained(self.database, self.key, self.folder)
        self.database.write(audit_witness.begin)

    def close(self) -> None:
        if self.chains is not None:
            self.database.provide(CHAINS, self.chains)
        self.database.close()

    def add(self, name: str = "") -> None:
        self.database.write(adding(name))

    def checkpoint(self) -> Checkpoint:
        made = audit_chain.make_checkpoint(self.database, self.key, self.file)
        assert made is not None
        return made

    def verify(self, connection: Connection | None = None, **options: Any) -> Verdict:
        kept = audit_chain.of_file(self.file) if self.file.exists() else []
        if connection is not None:
            return verify(connection, [self.key], kept, **options)
        with self.database.reading.connect() as reading:
            return verify(reading, [self.key], kept, **options)

    def another_chain(self) -> str:
        """As if another process wrote from here on; the name of its first chain."""
        chains = Chains(self.key.audit, self.key.key_id, unique("node"))
        link = chains.take()
        chains.give_back(link, None)
        self.database.provide(CHAINS, chains)
        return link.slot.chain

    def unguard(self, table: str = "audit_log") -> None:
        """Take off the triggers that let nobody change a table."""
        if table in self.unguarded:
            return
        self.unguarded.add(table)
        after = f" ON {table}" if self.database.dialect == "postgresql" else ""
        with self.database.writing.begin() as connection:
            for action in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER trigger_{table}_no_{action}{after}"))


def adding(name: str = "") -> Callable[[Context], None]:
    def work(ctx: Context) -> None:
        ctx.session.add(Client(name=name or unique("client"), type=ClientType.internal, notes='{"a": 1.50}  Größe '))

    return work


@contextmanager
def at(nanoseconds: int) -> Iterator[None]:
    """As if it were that time; ids that are made meanwhile hold up no later ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(types, "_last_tick", types.__dict__["_last_tick"])
        patch.setattr(time, "time_ns", lambda: nanoseconds)
        yield


@pytest.fixture(scope="session")
def everywhere(dialect: str, templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chained]:
    """On each database found: with three entries from before there were chains."""
    folder = tmp_path_factory.mktemp(f"audit-{dialect}")
    url = templates.copied(dialect, folder / "hub.db")
    made = Chained(url, folder)
    for _ in range(3):
        made.add()
    made.begin()
    yield made
    made.close()
    if dialect != "sqlite":
        drop_database(dialect, url.database or "")


@pytest.fixture
def unchained(templates: Templates, tmp_path: Path) -> Iterator[Chained]:
    """On SQLite, for one test alone, before there are chains."""
    made = Chained(templates.copied("sqlite", tmp_path / "hub.db"), tmp_path)
    yield made
    made.close()


@pytest.fixture
def chained(unchained: Chained) -> Chained:
    """On SQLite, for one test alone."""
    unchained.begin()
    return unchained
