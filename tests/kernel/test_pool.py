"""Connections that a server has closed are never handed out."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text
from sqlalchemy.engine import URL

from tests.databases import run_on_server
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.transaction import Database


def end_connections(url: URL) -> None:
    """Have the server end every connection to a database; SQLite has none to end."""
    match url.get_backend_name():
        case "postgresql":
            held = f"FROM pg_stat_activity WHERE datname = '{url.database}'"
            run_on_server("postgresql", f"SELECT pg_terminate_backend(pid) {held}")
        case "mariadb":
            held = f"FROM information_schema.PROCESSLIST WHERE DB = '{url.database}'"
            for (number,) in run_on_server("mariadb", f"SELECT ID {held}"):
                run_on_server("mariadb", f"KILL {number}")


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
