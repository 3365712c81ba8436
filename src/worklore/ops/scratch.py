"""A database for the length of a task."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from worklore.kernel.db import database_url, server_engine
from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7


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
    _on_server(url, f"CREATE DATABASE {name}")
    try:
        database = Database(url.set(database=name))
        try:
            yield database
        finally:
            database.close()
    finally:
        _on_server(url, f"DROP DATABASE {name}")


def _on_server(url: URL, statement: str) -> None:
    engine = server_engine(url)
    try:
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))
    except DBAPIError as error:
        raise UnavailableError(
            "The server did not let a scratch database be made or removed.",
            hint="Give a user who may create databases, or use SQLite.",
        ) from error
    finally:
        engine.dispose()
