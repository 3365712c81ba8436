"""The mapped base classes, and engines for three dialects set up alike.

SQLite is opened in WAL mode with ``synchronous=FULL`` and foreign keys on; a hub holds a lock file beside the database
so that a second hub on the same file is refused. Server databases get time-outs on connect and read, since a node
that accepts a connection and never answers would hold a thread for good.
"""

import os
import select
import sqlite3
import uuid
from datetime import datetime
from typing import Any, ClassVar, Final

import orjson
from sqlalchemy import Engine, Integer, MetaData, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import QueuePool

from worklore.kernel.errors import UnavailableError
from worklore.kernel.types import ANNOTATIONS, dumps, utcnow, uuid7

POOL_SIZE: Final = 20
MAX_OVERFLOW: Final = 10
CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 60
BUSY_MILLISECONDS: Final = 5_000

LOCK_NOT_AVAILABLE: Final = "55P03"
"""PostgreSQL's word for a lock that was waited for as long as we wait."""

# Error numbers of MariaDB.
RECORD_CHANGED: Final = 1020
LOCK_WAIT_TIMEOUT: Final = 1205
DEADLOCK: Final = 1213
CHECK_FAILED: Final = 4025
WRONG_STATEMENT: Final = frozenset({1052, 1054, 1064, 1109, 1146, 1305})

IN_TRANSACTION: Final = 1
"""The bit of a MySQL server's status that says so (SERVER_STATUS_IN_TRANS)."""

SqliteValue = str | bytes | int | float | None

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every mapped class.

    ``audited`` is False for tables that are the record themselves or derived from one; ``derived`` is True for rows
    that the hub makes from another record, and that go with it unasked. ``witnessed`` is True for a record that is only
    ever added to: each of its rows is bound to an entry of the change audit by ``prev_hmac`` and ``row_hmac``.
    """

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = ANNOTATIONS
    audited: ClassVar[bool] = True
    derived: ClassVar[bool] = False
    witnessed: ClassVar[bool] = False

    @property
    def is_derived(self) -> bool:
        """True for a row that the hub makes from another record: of a table of such rows, or of one that holds some."""
        return self.derived


class Record(Base):
    """A row with an id made before insert and a version that every update checks and moves on."""

    __abstract__ = True

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-20)
    version: Mapped[int] = mapped_column(Integer, default=1, server_default="1", sort_order=80)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # SQLAlchemy reads the mapper arguments of each class by itself: UPDATE ... WHERE id = ? AND version = ?
        if "__mapper_args__" not in cls.__dict__ and not cls.__dict__.get("__abstract__", False):
            cls.__mapper_args__ = {"version_id_col": cls.version}
        super().__init_subclass__(**kwargs)


class Created:
    """Adds ``created_at``."""

    created_at: Mapped[datetime] = mapped_column(default=utcnow, sort_order=90)


class Stamped(Created):
    """Adds ``created_at`` and ``updated_at``."""

    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow, sort_order=91)


# --- engines --------------------------------------------------------------------------------------------------------

DRIVERS: Final = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mariadb+pymysql",
    "sqlite": "sqlite",
}


def database_url(text: str) -> URL:
    """The URL with the driver we test: ``mariadb://`` and ``postgresql://`` need no driver named.

    Raises:
        UnavailableError: the URL cannot be read, or names a database that is not supported.
    """
    try:
        url = make_url(text)
    except Exception as error:
        raise UnavailableError(
            "The database URL cannot be read.",
            hint="Set WORKLORE_DATABASE_URL to sqlite:///path, mariadb://user@host/name or postgresql://user@host/name.",
        ) from error
    family = url.get_backend_name()
    if family not in DRIVERS:
        raise UnavailableError(f"{family} is not a supported database.", hint="Use SQLite, MariaDB or PostgreSQL.")
    return url.set(drivername=DRIVERS[family])


def server_engine(url: URL, *, autocommit: bool = False, read_seconds: int | None = READ_SECONDS) -> Engine:
    """An engine for MariaDB or PostgreSQL: READ COMMITTED, time-outs on connect and read.

    With ``autocommit`` each statement is a transaction of its own: no BEGIN and no ROLLBACK around it. With
    ``read_seconds`` None a statement may take as long as it takes; locks are still not waited for longer.

    A pooled connection is looked at before use rather than pinged: a server that has closed it has sent something, and
    an idle connection on which something has arrived is thrown away. That costs no round trip.
    """
    if url.get_backend_name() == "postgresql":
        arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "options": "-c timezone=UTC "
            f"-c statement_timeout={read_seconds or 0}s -c lock_timeout={READ_SECONDS // 4}s",
            "keepalives_idle": 30,
            "tcp_user_timeout": READ_SECONDS * 1000,
        }
    else:
        arguments = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": read_seconds,
            "write_timeout": READ_SECONDS,
            "charset": "utf8mb4",
            "init_command": "SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = 15, "
            "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE'",
        }
    engine = create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
        pool_recycle=1800,
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
        pool_reset_on_return="rollback" if url.get_backend_name() == "postgresql" and not autocommit else None,
        connect_args=arguments,
        hide_parameters=True,
        json_serializer=dumps,
        json_deserializer=orjson.loads,
    )
    event.listen(engine, "checkout", _refuse_closed)
    if not autocommit and url.get_backend_name() != "postgresql":
        event.listen(engine, "reset", _roll_back)
    return engine


def _roll_back(connection: Any, _record: object, _state: object) -> None:
    # A connection that SQLAlchemy closes has no transaction any more. PyMySQL would ask the server all the same, one
    # more round trip for each commit; psycopg knows by itself.
    if connection.server_status & IN_TRANSACTION:
        connection.rollback()


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    try:
        # psycopg tells its socket's number itself, PyMySQL keeps the socket.
        number = connection.fileno() if hasattr(connection, "fileno") else connection._sock.fileno()  # noqa: SLF001 - it has no other way
        closed = _arrived(number)
    except Exception as error:  # each driver has an error of its own for a connection without a socket
        raise DisconnectionError("the connection is closed") from error
    if closed:
        raise DisconnectionError("the server has closed the connection")


if hasattr(select, "poll"):

    def _arrived(number: int) -> bool:
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))
else:  # Windows, whose select knows no limit on a socket's number

    def _arrived(number: int) -> bool:
        return bool(select.select([number], [], [], 0)[0])


def sqlite_engine(path: str, *, writing: bool, autocommit: bool = False) -> Engine:
    """An engine on a SQLite file: one connection that writes, or several that only read.

    With ``autocommit`` each statement reads the state of its own moment, and no BEGIN and ROLLBACK surround it.
    """
    if writing:
        # SQLite gives its journal files the mode of the database file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        connection.create_function("lower", 1, _lower, deterministic=True)
        pragmas = ["foreign_keys=ON", f"busy_timeout={BUSY_MILLISECONDS}", "temp_store=MEMORY", "cache_size=-16000"]
        if writing:
            pragmas += ["journal_mode=WAL", "synchronous=FULL"]
        else:
            pragmas += ["query_only=ON", "wal_autocheckpoint=0"]
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=1 if writing else POOL_SIZE,
        max_overflow=0 if writing else MAX_OVERFLOW,
        pool_reset_on_return=None if autocommit else "rollback",
        hide_parameters=True,
        json_serializer=dumps,
        json_deserializer=orjson.loads,
    )

    if not autocommit:

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:  # pyright: ignore[reportUnusedFunction] - the engine calls it
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _lower(value: SqliteValue) -> SqliteValue:
    # SQLite folds ASCII only; search must find "Größe" by "grösse" as the server databases do.
    return value.lower() if isinstance(value, str) else value


def is_transient(error: BaseException) -> bool:
    """True when the same unit of work may succeed if it runs again from its start."""
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    if getattr(cause, "sqlstate", None) in {"40001", "40P01", LOCK_NOT_AVAILABLE}:
        return True
    if isinstance(cause, sqlite3.OperationalError):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    number = cause.args[0] if cause and cause.args else None
    return number in {DEADLOCK, LOCK_WAIT_TIMEOUT, RECORD_CHANGED}


def is_away(error: DBAPIError) -> bool:
    """True when the database does not answer or cannot work now; False when it found a fault in a statement of ours."""
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_ERROR
    return not (cause and cause.args and cause.args[0] in WRONG_STATEMENT)


def is_full(error: BaseException) -> bool:
    """True when SQLite found no room on the disk; the transaction is undone."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def is_check_violation(error: DBAPIError) -> bool:
    """True for a refused CHECK constraint; MariaDB raises it as an operational error, 4025."""
    cause = error.orig
    return (
        getattr(cause, "sqlstate", None) == "23514"
        or bool(cause and cause.args and cause.args[0] == CHECK_FAILED)
        or "CHECK constraint failed" in str(cause)
    )
