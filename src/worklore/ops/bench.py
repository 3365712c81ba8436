"""Measuring recall over the real path, in a scratch database that is gone afterwards."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from worklore.kernel.db import database_url, server_engine
from worklore.kernel.errors import InvalidError, UnavailableError
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.memory.bench import DatasetError, run
from worklore.memory.measure import StoredCorpus
from worklore.memory.peers import Fts5, Grep
from worklore.ops import migrate


def bench_recall(folder: Path, url: str) -> dict[str, Any]:
    """The figures of a data set, measured in a scratch database beside the one at ``url``, which stays untouched.

    Raises:
        InvalidError: the folder is no data set.
        UnavailableError: the server lets this user make no database.
    """
    with scratch(url) as database:
        migrate.upgrade(database)
        try:
            measured = run(folder, StoredCorpus(database), peers={"fts5": Fts5(), "grep": Grep()})
        except DatasetError as error:
            raise InvalidError(
                f"{error}.", hint="Name a folder with meta.json, documents.jsonl, queries.jsonl."
            ) from error
        return measured | {"database": database.dialect}


@contextmanager
def scratch(near: str) -> Generator[Database]:
    """A database of its own, gone at the end: a temporary file, or one beside the others on a server."""
    url = database_url(near)
    if url.get_backend_name() == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            database = Database(f"sqlite:///{folder}/bench.db")
            try:
                yield database
            finally:
                database.close()
        return
    name = f"worklore_bench_{uuid7().hex[-12:]}"
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
            hint="Give a user who may create databases, or measure on SQLite.",
        ) from error
    finally:
        engine.dispose()
