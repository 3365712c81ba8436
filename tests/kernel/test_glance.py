import uuid
from collections.abc import Callable
from typing import Any

from psycopg.pq import TransactionStatus
from sqlalchemy import select

from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.transaction import Database
from worklore.work.tag import Tag


def names(ctx: ReadContext) -> set[str]:
    return set(ctx.session.scalars(select(Tag.name)))


def add_tag(database: Database) -> str:
    name = f"glance-{uuid.uuid4().hex}"

    def work(ctx: Context) -> None:
        ctx.session.add(Tag(name=name, category="technology"))

    database.write(work)
    return name


def test_a_glance_sees_what_was_just_committed(database: Database) -> None:
    for _ in range(5):
        assert add_tag(database) in database.glance(names, SYSTEM)


def test_a_glance_outlives_a_connection_that_died_in_the_pool(database: Database) -> None:
    name = add_tag(database)
    pooled = database.glancing.raw_connection()
    driver_connection = pooled.driver_connection
    pooled.close()
    assert driver_connection is not None
    driver_connection.close()  # behind the pool's back, as a server that restarts does
    assert name in database.glance(names, SYSTEM)


IN_TRANSACTION: dict[str, Callable[[Any], bool]] = {
    "sqlite": lambda connection: connection.in_transaction,
    "mariadb": lambda connection: not connection.get_autocommit(),
    "postgresql": lambda connection: connection.info.transaction_status != TransactionStatus.IDLE,
}


def in_transaction(ctx: ReadContext) -> bool:
    names(ctx)
    connection = ctx.session.connection()
    return IN_TRANSACTION[connection.dialect.name](connection.connection.driver_connection)


def test_a_glance_opens_no_transaction_as_a_read_does(database: Database) -> None:
    assert database.glance(in_transaction, SYSTEM) is False
    with database.read(SYSTEM) as ctx:
        assert in_transaction(ctx) is True
