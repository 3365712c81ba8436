"""The servers every test may run on, and databases of the tests' own: empty ones, and copies of one with the schema.

To make the schema from its revisions takes seconds, and on MariaDB half a minute, so a run makes it once on each
database and copies it wherever it is not the revisions that are tested.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from worklore.kernel.db import database_url as understood
from worklore.kernel.transaction import Database
from worklore.ops import migrate

SERVERS = {
    "mariadb": ("WORKLORE_TEST_MARIADB_URL", "mariadb://root@127.0.0.1:3306/"),
    "postgresql": ("WORKLORE_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
}
ALL = ("sqlite", *SERVERS)
PREFIX = "worklore_test_"
NO_SUCH_THREAD = 1094  # of MariaDB


# --- servers --------------------------------------------------------------------------------------------------------


def server_url(name: str) -> URL:
    variable, default = SERVERS[name]
    return understood(os.environ.get(variable) or default)


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    """A connection outside a transaction."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    with engine.connect() as connection:
        yield connection


def run_on_server(name: str, *statements: str) -> list[Any]:
    """Statements outside a transaction, on the server's own database; the rows of the last."""
    rows: list[Any] = []
    with connected(server_url(name)) as connection:
        for statement in statements:
            result = connection.execute(text(statement))
            rows = list(result) if result.returns_rows else []
    return rows


def why_absent(name: str) -> str | None:
    """None for a server that answers, otherwise the reason why it cannot be used."""
    try:
        run_on_server(name, "SELECT 1")
    except SQLAlchemyError as error:
        return str(getattr(error, "orig", error)).strip().splitlines()[0]
    return None


# --- empty databases ------------------------------------------------------------------------------------------------


def make_database(name: str, template: str = "template0") -> URL:
    """A new database on a server; its name tells which process made it.

    On PostgreSQL it is a copy of a template, which is empty unless told otherwise.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return _made(name, f"{PREFIX}{os.getpid()}_{worker}_{secrets.token_hex(3)}", template)


def _made(name: str, database: str, template: str = "template0") -> URL:
    if name == "postgresql":
        run_on_server(
            name,
            f"CREATE DATABASE {database} TEMPLATE {template} ENCODING 'UTF8'",
            f"ALTER DATABASE {database} SET synchronous_commit = off",  # no test cuts the power
        )
    else:
        run_on_server(name, f"CREATE DATABASE {database}")
    return server_url(name).set(database=database)


def drop_database(name: str, database: str) -> None:
    force = " WITH (FORCE)" if name == "postgresql" else ""
    run_on_server(name, f"DROP DATABASE IF EXISTS {database}{force}")


def end_connections(url: URL) -> None:
    """Have the server end every connection to a database; SQLite has none to end."""
    match url.get_backend_name():
        case "postgresql":
            held = f"FROM pg_stat_activity WHERE datname = '{url.database}'"
            run_on_server("postgresql", f"SELECT pg_terminate_backend(pid) {held}")
        case "mariadb":
            held = f"FROM information_schema.PROCESSLIST WHERE DB = '{url.database}'"
            for (number,) in run_on_server("mariadb", f"SELECT ID {held}"):
                try:
                    run_on_server("mariadb", f"KILL {number}")
                except OperationalError as error:
                    if error.orig is None or error.orig.args[0] != NO_SUCH_THREAD:  # it ended by itself meanwhile
                        raise


def drop_leftovers(name: str) -> None:
    """Databases of test runs on this machine that were killed."""
    if server_url(name).host not in {None, "127.0.0.1", "localhost", "::1"}:
        return
    listing = "SELECT datname FROM pg_database" if name == "postgresql" else "SHOW DATABASES"
    for (database,) in run_on_server(name, listing):
        if database.startswith(PREFIX) and not Path(f"/proc/{database.split('_')[2]}").exists():
            drop_database(name, database)


# --- databases with the schema --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Templates:
    """A database of each kind with the schema and nothing else, made when a process of the run first asks for a copy.

    Attributes:
        folder: where all processes of the run find them.
        run: the process that began the run, which drops them at its end.
    """

    folder: Path
    run: int

    def copied(self, name: str, file: Path) -> URL:
        """A new database with the schema; on SQLite it is the file."""
        template = self._template(name)
        if name == "sqlite":
            shutil.copy(template, file)
            return understood(f"sqlite:///{file}")
        if name == "postgresql":
            return make_database(name, template)
        url = make_database(name)
        with connected(server_url(name).set(database=template)) as connection:
            statements = list(_statements_of(connection, template))
        with connected(url) as connection:
            for statement in statements:
                connection.execute(text(statement.replace(":", r"\:")))
        return url

    def drop(self) -> None:
        """Remove what was made."""
        for name in SERVERS:
            if self._mark(name).exists():
                drop_database(name, self._name)
        shutil.rmtree(self.folder)

    def _mark(self, name: str) -> Path:
        return self.folder / f"{name}.made"

    def _template(self, name: str) -> str:
        """The file or the database that is copied."""
        mark = self._mark(name)
        with mark.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not mark.exists():
                with closing(Database(self._empty(name))) as database:
                    migrate.upgrade(database)
                mark.touch()
        return str(self._file) if name == "sqlite" else self._name

    def _empty(self, name: str) -> URL:
        if name == "sqlite":
            return understood(f"sqlite:///{self._file}")
        drop_database(name, self._name)  # of a process that was killed over it
        return _made(name, self._name)

    @property
    def _file(self) -> Path:
        return self.folder / "template.db"

    @property
    def _name(self) -> str:
        return f"{PREFIX}{self.run}_template"


def _statements_of(connection: Connection, template: str) -> Iterator[str]:
    """What makes an empty database of MariaDB a copy of another."""

    def asked(statement: str) -> list[Any]:
        return list(connection.execute(text(statement)))

    tables = [name for (name,) in asked("SHOW TABLES")]
    yield "SET foreign_key_checks = 0"
    for name in tables:
        yield asked(f"SHOW CREATE TABLE `{name}`")[0][1]
        yield f"INSERT INTO `{name}` SELECT * FROM `{template}`.`{name}`"
    for name, *_ in asked("SHOW TRIGGERS"):
        yield asked(f"SHOW CREATE TRIGGER `{name}`")[0][2]
