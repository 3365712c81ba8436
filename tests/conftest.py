"""The databases every test may run on, and a real hub on each of them.

SQLite is always there. PostgreSQL and MariaDB are looked for at `WORKLORE_TEST_POSTGRES_URL` and
`WORKLORE_TEST_MARIADB_URL`, loopback by default. A test that asks for `hub`, `database`, `api` or `database_url` runs
once on each database found. Within a worker process all tests share one hub for each database, so rows accumulate:
tests give their records names of their own and look only at those.
"""

import os
import ssl
import sys
import tempfile
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
from sqlalchemy.engine import URL

from tests.databases import ALL, SERVERS, Templates, drop_database, drop_leftovers, make_database, why_absent
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

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Unused, for hubs under test speak plain HTTP; made once, since a client that makes its own takes 40 ms for it."""

# How long an example takes says how busy the machine is.
settings.register_profile("worklore", deadline=None)
settings.load_profile("worklore")

# The many processes that tests start find what the first has compiled, as they do where the hub is installed; and so
# does the next run, of the tests themselves.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def memory() -> str | None:
    """A folder in memory with room, where files may be run. No test cuts the power, so none need wait for a disk."""
    folder = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own there
    if not os.access(folder, os.W_OK):
        return None
    found = os.statvfs(folder)
    return None if found.f_flag & os.ST_NOEXEC or found.f_bavail * found.f_frsize < ROOM else str(folder)


ROOM = 4 << 30
if "TMPDIR" not in os.environ and (found := memory()) is not None:
    os.environ["TMPDIR"] = tempfile.tempdir = found


# --- which databases there are --------------------------------------------------------------------------------------


ABSENT = pytest.StashKey[dict[str, str]]()
TEMPLATES = pytest.StashKey[Templates]()


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
        config.stash[TEMPLATES] = Templates(Path(given["templates"]), given["run"])
        return
    absent = {name: reason for name in SERVERS if (reason := why_absent(name)) is not None}
    config.stash[ABSENT] = absent
    required = [name.strip() for name in os.environ.get("WORKLORE_REQUIRE_DATABASES", "").split(",") if name.strip()]
    for name in required:
        if name not in ALL:
            raise pytest.UsageError(f"WORKLORE_REQUIRE_DATABASES names {name}; there are {', '.join(ALL)}.")
        if name in absent:
            raise pytest.UsageError(f"{name} is required and does not answer ({SERVERS[name][0]}): {absent[name]}")
    config.stash[TEMPLATES] = Templates(Path(tempfile.mkdtemp(prefix="worklore-templates-")), os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and TEMPLATES in config.stash:
        config.stash[TEMPLATES].drop()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The workers of xdist are told what was found, so that all collect the same tests."""
    templates = node.config.stash[TEMPLATES]
    node.workerinput.update(absent=node.config.stash[ABSENT], templates=str(templates.folder), run=templates.run)


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


@pytest.fixture(scope="session")
def templates(pytestconfig: pytest.Config) -> Templates:
    """Where databases with the schema are copied from."""
    return pytestconfig.stash[TEMPLATES]


@pytest.fixture
def schema_url(dialect: str, templates: Templates, tmp_path: Path) -> Iterator[URL]:
    """A database with the schema and nothing else for one test alone."""
    url = templates.copied(dialect, tmp_path / "schema.db")
    yield url
    if dialect != "sqlite":
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
def hubs(templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], TestHub]]:
    """The hub of this process on a database by name, started when first asked for."""
    running: dict[str, tuple[Iterator[TestHub], TestHub, URL]] = {}

    def get(name: str) -> TestHub:
        if name not in running:
            folder = tmp_path_factory.mktemp(name)
            if name != "sqlite":
                drop_leftovers(name)
            url = templates.copied(name, folder / "hub.db")
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
