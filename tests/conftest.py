"""The databases every test may run on, and a real hub on each of them.

SQLite is always there. PostgreSQL and MariaDB are looked for at `WORKLORE_TEST_POSTGRES_URL` and
`WORKLORE_TEST_MARIADB_URL`, loopback by default. A test that asks for `hub`, `database`, `api` or `database_url` runs
once on each database found. Within a worker process all tests share one hub for each database, so rows accumulate:
tests give their records names of their own and look only at those.
"""

import os
import secrets
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import uvicorn
from hypothesis import settings
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from tests.inprocess import InProcess
from worklore.app import Hub, build
from worklore.identity.machine import Machine
from worklore.identity.roles import Role
from worklore.identity.token import TokenKind, issue
from worklore.identity.user import User, UserClient
from worklore.kernel.context import Context
from worklore.kernel.db import database_url as understood
from worklore.kernel.settings import Settings
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7

SERVERS = {
    "mariadb": ("WORKLORE_TEST_MARIADB_URL", "mariadb://root@127.0.0.1:3306/"),
    "postgresql": ("WORKLORE_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
}
ALL = ("sqlite", *SERVERS)
PREFIX = "worklore_test_"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Unused, for hubs under test speak plain HTTP; made once, since a client that makes its own takes 40 ms for it."""

# How long an example takes says how busy the machine is.
settings.register_profile("worklore", deadline=None)
settings.load_profile("worklore")

# The many processes that tests start find what the first has compiled, as they do where the hub is installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# --- which databases there are --------------------------------------------------------------------------------------


def server_url(name: str) -> URL:
    variable, default = SERVERS[name]
    return understood(os.environ.get(variable) or default)


def run_on_server(name: str, *statements: str) -> list[Any]:
    """Statements outside a transaction, on the server's own database; the rows of the last."""
    engine = create_engine(
        server_url(name), poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3}
    )
    rows: list[Any] = []
    with engine.connect() as connection:
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


ABSENT = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
    given = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[ABSENT] = given["absent"]
        return
    absent = {name: reason for name in SERVERS if (reason := why_absent(name)) is not None}
    config.stash[ABSENT] = absent
    required = [name.strip() for name in os.environ.get("WORKLORE_REQUIRE_DATABASES", "").split(",") if name.strip()]
    for name in required:
        if name not in ALL:
            raise pytest.UsageError(f"WORKLORE_REQUIRE_DATABASES names {name}; there are {', '.join(ALL)}.")
        if name in absent:
            raise pytest.UsageError(f"{name} is required and does not answer ({SERVERS[name][0]}): {absent[name]}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The workers of xdist are told what was found, so that all collect the same tests."""
    node.workerinput["absent"] = node.config.stash[ABSENT]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dialect" in metafunc.fixturenames:
        absent = metafunc.config.stash[ABSENT]
        metafunc.parametrize("dialect", [name for name in ALL if name not in absent], scope="session")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    absent = config.stash[ABSENT]
    terminalreporter.section("databases")
    terminalreporter.write_line(f"tested on: {', '.join(name for name in ALL if name not in absent)}")
    for name, reason in absent.items():
        terminalreporter.write_line(f"NOT TESTED on {name}: {reason}", red=True, bold=True)
        terminalreporter.write_line(
            f"    Start a {name} server on loopback, or name one in {SERVERS[name][0]} whose user may create databases."
        )


# --- databases of this process --------------------------------------------------------------------------------------


def make_database(name: str) -> URL:
    """A new, empty database on a server; its name tells which process made it."""
    database = f"{PREFIX}{os.getpid()}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{secrets.token_hex(3)}"
    extra = " TEMPLATE template0 ENCODING 'UTF8'" if name == "postgresql" else ""
    run_on_server(name, f"CREATE DATABASE {database}{extra}")
    return server_url(name).set(database=database)


def drop_database(name: str, database: str) -> None:
    force = " WITH (FORCE)" if name == "postgresql" else ""
    run_on_server(name, f"DROP DATABASE IF EXISTS {database}{force}")


def drop_leftovers(name: str) -> None:
    """Databases of test runs on this machine that were killed."""
    if server_url(name).host not in {None, "127.0.0.1", "localhost", "::1"}:
        return
    listing = "SELECT datname FROM pg_database" if name == "postgresql" else "SHOW DATABASES"
    for (database,) in run_on_server(name, listing):
        if database.startswith(PREFIX) and not Path(f"/proc/{database.split('_')[2]}").exists():
            drop_database(name, database)


@pytest.fixture
def database_url(dialect: str, tmp_path: Path) -> Iterator[URL]:
    """An empty database for one test alone."""
    if dialect == "sqlite":
        yield understood(f"sqlite:///{tmp_path / 'own.db'}")
        return
    url = make_database(dialect)
    try:
        yield url
    finally:
        drop_database(dialect, url.database or "")


# --- hubs -----------------------------------------------------------------------------------------------------------


def unique(word: str = "x") -> str:
    """A name no other test has."""
    return f"{word}-{uuid.uuid4().hex[:12]}"


@dataclass
class TestHub:
    """A hub on one database behind a real socket, and whoever may talk to it."""

    __test__ = False

    hub: Hub
    url: str
    dialect: str
    in_process: InProcess
    _clients: list[httpx2.Client] = field(default_factory=list)
    _owner: str | None = None

    @property
    def database(self) -> Database:
        return self.hub.database

    def client(self, token: str | None = None, **options: Any) -> httpx2.Client:
        """An HTTP client below `/api/v1`, with a bearer token if one is given."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        made = httpx2.Client(
            base_url=f"{self.url}/api/v1", headers=headers, timeout=60, trust_env=False, verify=NO_TLS, **options
        )
        self._clients.append(made)
        return made

    def token(
        self,
        role: Role = Role.owner,
        *,
        kind: TokenKind = TokenKind.user,
        clients: Sequence[uuid.UUID | str] = (),
        scopes: Sequence[str] = (),
        life: timedelta = timedelta(days=1),
        email: str | None = None,
        host: str | None = None,
    ) -> str:
        """A token of a new user with a role, limited to clients if some are given."""
        key = self.hub.gateway.authenticator.key

        def work(ctx: Context) -> str:
            user = User(
                id=uuid7(),
                email=email or f"{unique('user')}@example.com",
                name="Somebody",
                role=role,
                is_limited=bool(clients),
            )
            on_machine = host is not None or kind is TokenKind.machine
            machine = Machine(id=uuid7(), hostname=host or unique("host")) if on_machine else None
            ctx.session.add_all([user, *([machine] if machine else [])])
            ctx.session.flush()
            for client in clients:
                ctx.session.add(UserClient(user_id=user.id, client_id=uuid.UUID(str(client))))
            token, row = issue(key, user, kind=kind, scopes=list(scopes), life=life, machine=machine)
            ctx.session.add(row)
            return token

        return self.database.write(work)

    def owner(self) -> httpx2.Client:
        """A client with the token of a person who may do everything, and has said so: secrets are shown to it."""
        if self._owner is None:
            self._owner = self.token(scopes=["*"])
        return self.client(self._owner)

    def close(self) -> None:
        for client in self._clients:
            client.close()


def serve(url: URL, folder: Path) -> Iterator[TestHub]:
    """A hub on a database, served by uvicorn in a thread on a free port. Its background jobs do not run."""
    hub = build(Settings(data=folder, database_url=url.render_as_string(hide_password=False)))
    server = uvicorn.Server(
        uvicorn.Config(hub.app, host="127.0.0.1", port=0, lifespan="off", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, name="uvicorn", daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "uvicorn did not start"
        assert time.monotonic() < deadline, "uvicorn did not start in time"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    in_process = InProcess(hub.app, server.servers[0].get_loop())
    served = TestHub(hub, f"http://127.0.0.1:{port}", hub.database.dialect, in_process)
    try:
        yield served
    finally:
        served.close()
        server.should_exit = True
        thread.join()
        hub.close()


@pytest.fixture(scope="session")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], TestHub]]:
    """The hub of this process on a database by name, started when first asked for."""
    running: dict[str, tuple[Iterator[TestHub], TestHub, URL]] = {}

    def get(name: str) -> TestHub:
        if name not in running:
            folder = tmp_path_factory.mktemp(name)
            if name != "sqlite":
                drop_leftovers(name)
            url = understood(f"sqlite:///{folder / 'hub.db'}") if name == "sqlite" else make_database(name)
            life = serve(url, folder)
            running[name] = (life, next(life), url)
        return running[name][1]

    yield get
    for name, (life, _, url) in running.items():
        for _ in life:
            raise AssertionError("a hub starts once")
        if name != "sqlite":
            drop_database(name, url.database or "")


@pytest.fixture(scope="session")
def hub(dialect: str, hubs: Callable[[str], TestHub]) -> TestHub:
    """A hub on each database found."""
    return hubs(dialect)


@pytest.fixture(scope="session")
def database(hub: TestHub) -> Database:
    """The database of `hub`."""
    return hub.database


@pytest.fixture(scope="session")
def api(hub: TestHub) -> httpx2.Client:
    """A client of `hub` with an owner's token."""
    return hub.owner()


@pytest.fixture(scope="session")
def machine_api(hub: TestHub) -> httpx2.Client:
    """A client of `hub` with a machine's token of an owner."""
    return hub.client(hub.token(kind=TokenKind.machine))


@pytest.fixture(scope="session")
def sqlite_hub(hubs: Callable[[str], TestHub]) -> TestHub:
    """The hub on SQLite alone, for what no database can change."""
    return hubs("sqlite")


@pytest.fixture(scope="session")
def every_hub(pytestconfig: pytest.Config, hubs: Callable[[str], TestHub]) -> dict[str, TestHub]:
    """All hubs at once, for what must be equal on them."""
    return {name: hubs(name) for name in ALL if name not in pytestconfig.stash[ABSENT]}
