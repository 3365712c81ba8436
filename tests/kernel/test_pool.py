"""Connections that a server has closed are never handed out."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text
from sqlalchemy.engine import URL

from tests.databases import end_connections
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.transaction import Database


def ask(ctx: ReadContext) -> int:
    return ctx.session.connection().execute(text("SELECT 1")).scalar_one()


def work(ctx: Context) -> int:
    return ask(ctx)


def test_what_the_server_closed_is_replaced_unnoticed(database_url: URL) -> None:
    database = Database(database_url)
    try:
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(lambda _: database.write(work), range(12))) == [1] * 12
        end_connections(database_url)
        assert database.write(work) == 1
        with database.read(SYSTEM) as ctx:
            assert ask(ctx) == 1
        assert database.glance(ask, SYSTEM) == 1
        end_connections(database_url)
        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(lambda _: database.write(work), range(12))) == [1] * 12
    finally:
        database.close()
