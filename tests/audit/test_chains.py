"""Chains under way: many writers, what fails, and checkpoints."""

import os
import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from sqlalchemy import func, select

from tests.audit.conftest import BEGUN, Chained, adding
from worklore.clients.client import Client, ClientType
from worklore.kernel.audit import CHAINS, AuditEntry
from worklore.kernel.chain import Chains, HeadMovedError
from worklore.kernel.context import Context
from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database, Operation
from worklore.ops.audit_chain import Extension, extends, newest
from worklore.ops.audit_verify import State

WRITERS = 12
EACH = int(os.environ.get("WORKLORE_AUDIT_EACH", "25"))
DRY = Operation(dry_run=True)


class Meant(Exception):  # noqa: N818 - no error
    """Ends a unit of work on purpose."""


HOT = [uuid.uuid4() for _ in range(3)]


def prepare(ctx: Context) -> None:
    ctx.session.add_all([Client(id=key, name=str(key), type=ClientType.internal) for key in HOT])


def touch(ctx: Context) -> None:
    """In any order: on the servers some of these deadlock or meet a newer version, and run again."""
    for key in random.sample(HOT, 2):
        ctx.session.get_one(Client, key).notes = str(random.random())
        ctx.session.flush()


def fail(ctx: Context) -> None:
    adding()(ctx)
    ctx.session.flush()
    raise Meant


def save(ctx: Context) -> None:
    """Two entries that stay, and one between them that does not."""
    adding()(ctx)
    with suppress(Meant), ctx.session.begin_nested():
        fail(ctx)
    adding()(ctx)


UNITS = ((fail, 0), (save, 2), (touch, 2), (adding(), 1), (adding(), 1))
"""What a writer does, and the entries that it leaves."""


def write(database: Database) -> int:
    kept = 0
    for _ in range(EACH):
        if random.random() < 0.1:
            database.write(adding(), DRY)
            continue
        work, entries = random.choice(UNITS)
        with suppress(Meant, UnavailableError):
            database.write(work)
            kept += entries
    return kept


def test_twelve_writers_leave_no_gap_and_no_fork(everywhere: Chained) -> None:
    chained = everywhere
    database = chained.database
    chained.another_chain()
    before = chained.verify()
    database.write(prepare)
    with ThreadPoolExecutor(WRITERS) as pool:
        kept = list(pool.map(write, [database] * WRITERS))
    verdict = chained.verify()
    assert (verdict.state, verdict.breaks, verdict.missing) == (State.intact, [], [])
    assert verdict.records - before.records == sum(kept) + len(HOT)
    assert 1 <= verdict.chains - before.chains <= (1 if database.is_sqlite else WRITERS)


def test_two_processes_under_one_name_do_not_fork(chained: Chained) -> None:
    """A data folder that was copied: the second finds the head moved, and goes on from there."""
    one = chained.database.provided(CHAINS)
    assert isinstance(one, Chains)
    chained.add()
    other = Chains(chained.key.audit, chained.key.key_id, one.take().slot.chain.split(".")[0])
    for turn in range(4):
        chained.database.provide(CHAINS, other if turn % 2 else one)
        chained.add()
    verdict = chained.verify()
    assert (verdict.state, verdict.records) == (State.intact, BEGUN + 5)


def test_a_head_that_has_moved_is_no_fault_of_the_caller(chained: Chained) -> None:
    chains = chained.database.provided(CHAINS)
    assert isinstance(chains, Chains)
    chained.add()
    link = chains.take()
    chains.give_back(link, link.head._replace(seq=link.head.seq - 1) if link.head else None)
    tried = []

    def work(ctx: Context) -> None:
        tried.append(threading.get_ident())
        try:
            adding()(ctx)
            ctx.session.flush()
        except HeadMovedError:
            assert len(tried) == 1
            raise

    chained.database.write(work)
    assert len(tried) == 2
    assert chained.verify().state is State.intact


def test_from_the_middle(chained: Chained) -> None:
    for _ in range(4):
        chained.add()
    verdict = chained.verify(first=BEGUN + 3)
    assert (verdict.state, verdict.records) == (State.intact, 2)


def test_checkpoints_extend_one_another(chained: Chained) -> None:
    chained.add()
    one = chained.checkpoint()
    with chained.database.reading.connect() as connection:
        assert newest(connection) == one
        stored = connection.scalar(select(func.count()).select_from(AuditEntry))
    assert one.records == stored == BEGUN + 1
    assert one.flaw(chained.key.witness.public_key()) is None
    chained.another_chain()
    chained.add()
    two = chained.checkpoint()
    assert extends(one, one) is Extension.same
    assert extends(one, two) is Extension.extended
    assert extends(two, one) is Extension.broken
    (chain,) = one.heads
    assert extends(one, two.model_copy(update={"heads": {chain: (2, "0" * 64)}})) is Extension.broken
    assert extends(one, two.model_copy(update={"epoch": uuid.uuid4()})) is Extension.restored
    for changed in ({"at": 1}, {"records": 1}, {"heads": {chain: (2, "0" * 64)}}, {"signature": "00"}, {"root": "0"}):
        assert two.model_copy(update=changed).flaw(chained.key.witness.public_key()), changed
