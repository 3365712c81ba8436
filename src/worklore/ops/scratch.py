"""A database for the length of a task."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from worklore.kernel.db import database_url, server_engine
from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7

TEXT_AS_OURS: Final = "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
"""How a database of MariaDB tells text apart as the other two do."""


@contextmanager
def scratch(near: str) -> Generator[Database]:
    """A database of its own, gone at the end: a temporary file, or one beside the others on a server."""
    url = database_url(near)
    if url.get_backend_name() == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            database = Database(f"sqlite:///{folder}/scratch.db")
            try:
                yield database
            finally:
                database.close()
        return
    name = f"worklore_scratch_{uuid7().hex[-12:]}"
    create_database(url, name)
    try:
        database = Database(url.set(database=name))
        try:
            yield database
        finally:
            database.close()
    finally:
        drop_database(url, name)


def create_database(near: URL, name: str) -> None:
    """An empty database on the server of another, for text as ours is whatever the server's own default."""
    if near.get_backend_name() == "postgresql":
        on_server(near, f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
    else:
        on_server(near, f"CREATE DATABASE `{name}` {TEXT_AS_OURS}")


def drop_database(near: URL, name: str) -> None:
    """Remove a database that was made for a task, if it is there."""
    quote = '"' if near.get_backend_name() == "postgresql" else "`"
    on_server(near, f"DROP DATABASE IF EXISTS {quote}{name}{quote}")


def on_server(url: URL, *statements: str) -> None:
    """Statements about databases, each by itself.

    Raises:
        UnavailableError: the server does not let us.
    """
    engine = server_engine(url)
    try:
        with engine.connect() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            for statement in statements:
                connection.execute(text(statement))
    except DBAPIError as error:
        raise UnavailableError(
            "The server did not let a scratch database be made or removed.",
            hint="Give a user who may create databases, or use SQLite.",
        ) from error
    finally:
        engine.dispose()
