"""A hub as a process that logs all it can, who calls it, and every place where something may have been left."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from pyotp import TOTP
from sqlalchemy import Update, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tests.canaries.planted import Finder, Planter
from tests.client.commands import Technician
from tests.conftest import NO_TLS
from tests.databases import end_connections
from worklore.ops.backups import opened
from worklore.ops.sealed_file import read_head
from worklore_client.config import Config, save

KEYS = ("keyring", "hub.key", "passphrase")
"""Files that hold what opens secrets, and that nobody but the hub reads."""

PIECE = 16 * 1024 * 1024
OVERLAP = 4096


@dataclass
class Rig:
    """A hub on a database of its own, started by :meth:`start`; :meth:`ask` remembers what it said."""

    folder: Path
    database: URL
    plant: Planter = field(default_factory=Planter)
    finder: Finder = field(init=False)
    url: str = ""
    token: str = ""
    """Of the machine."""

    person: str = ""
    """The access token of somebody who has signed in."""

    kept: dict[str, Any] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.finder = Finder(self.plant.mark)
        self._client = httpx2.Client(trust_env=False, timeout=60, verify=NO_TLS)
        self.data, self.home = self.folder / "data", self.folder / "home"
        self.home.mkdir(parents=True)
        if self.database.password:
            self.finder.know("the database's password", str(self.database.password))

    @property
    def dialect(self) -> str:
        return self.database.get_backend_name()

    def environment(self, **more: str) -> dict[str, str]:
        """Nothing of whoever runs this but the path, and a home of its own."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("WORKLORE_", "XDG_", "CLAUDE_"))}
        url = self.database.render_as_string(hide_password=False)
        own = {"HOME": str(self.home), "WORKLORE_HOME": str(self.home / "worklore"), "WORKLORE_DATA": str(self.data)}
        own |= {"WORKLORE_CONFIG": str(self.folder / "none.env"), "WORKLORE_DATABASE_URL": url, "NO_COLOR": "1"}
        return {**kept, **own, "WORKLORE_LOG_LEVEL": "debug", "PYTHONFAULTHANDLER": "1", **more}

    # --- the hub's process ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the hub and, the first time, connect a machine."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "worklore", "serve", "--port", "0", "--ready-file", str(ready)]
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment(), cwd=self.folder
            )
        end = time.monotonic() + 90
        while not ready.exists():
            assert self._process.poll() is None, (self.folder / "output").read_text()
            assert time.monotonic() < end, "the hub did not start in time"
            time.sleep(0.02)
        told = json.loads(ready.read_text())
        self.url = told["url"]
        if told["setup_code"]:
            self._connect(told["setup_code"])

    def _connect(self, code: str) -> None:
        self.finder.know("the set-up code", code, code.replace("-", ""))
        machine = {"hostname": "bench-01", "machine_fingerprint": "0123456789abcdef"}
        password = self.plant()
        body = {"code": code, "machine": machine, "password": password}
        answer = self._client.post(f"{self.url}/api/v1/auth/setup", json=body)
        assert answer.status_code == 201, answer.text
        self.token = answer.json()["token"]
        self.finder.know("the machine's token", self.token)
        self._enrol({"email": answer.json()["user"]["email"], "password": password})
        for name in KEYS[:2]:
            parts = (self.data / name).read_text().replace(":", " ").split()
            self.finder.know(f"a key of {name}", *[part for part in parts if len(part) > 40])

    def _enrol(self, person: dict[str, str]) -> None:
        """A second factor, without which secrets are shown to nobody."""
        self._sign_in(person)
        asked = {"password": person["password"]}
        told = {"token": self.person, "shows": True}
        seed = self.api("POST", "/auth/second-factor/enrol", 200, json=asked, **told).json()["secret"]
        self.finder.know("the seed of a second factor", seed)
        code = {"code": TOTP(seed).now()}
        codes = self.api("POST", "/auth/second-factor/confirm", 200, json=code, **told).json()["recovery_codes"]
        for each in codes:
            self.finder.know("a recovery code", each, each.replace("-", ""))
        self._sign_in(person | {"code": codes[0]})
        self.kept |= person | {"codes": codes[1:]}

    def _sign_in(self, person: dict[str, str]) -> None:
        given = self._client.post(f"{self.url}/api/v1/auth/sign-in", json=person)
        assert given.status_code == 200, given.text
        told = given.json()
        self.person = told["access_token"]
        self.kept["refresh"] = told["refresh_token"]
        self.finder.know("an access token", self.person, self.person.rpartition(".")[2])
        self.finder.know("a refresh token", told["refresh_token"])

    def end(self, number: signal.Signals) -> int:
        """Send the hub a signal, and wait for its end."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)

    def stop(self) -> None:
        """Whatever its state, let nothing run on."""
        self._client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    # --- those who call it ------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        *statuses: int,
        token: str | None = "",
        headers: Mapping[str, str | bytes] | None = None,
        shows: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """Ask as the machine, as whom ``token`` says or as nobody (None). Only what ``shows`` a secret may hold one."""
        bearer = self.token if token == "" else token
        head: dict[str, Any] = {"authorization": f"Bearer {bearer}"} if bearer else {}
        answer = self._client.request(method, f"{self.url}{path}", headers={**head, **(headers or {})}, **options)
        assert not statuses or answer.status_code in statuses, (method, path.partition("?")[0], answer.status_code)
        self.statuses.append(answer.status_code)
        said = "\n".join(f"{name}: {value}" for name, value in answer.headers.multi_items()).encode()
        place = f"answer to {method} {len(self.statuses)} ({answer.status_code})"
        self.finder.search(place, said if shows else said + b"\n\n" + answer.content)
        return answer

    def api(self, method: str, path: str, *statuses: int, **options: Any) -> httpx2.Response:
        """The same, below `/api/v1`."""
        return self.ask(method, f"/api/v1{path}", *statuses, **options)

    def connect(self) -> None:
        """Let the command line of this machine know the hub, as `worklore connect` does."""
        save(Config(self.home / "worklore", self.url, self.token, {}))

    def command(self, *arguments: str, stdin: str = "", status: int = 0) -> str:
        """A command of the command line, in this process; what it printed is searched."""
        said = Technician(None, self.home / "worklore", self._client)(*arguments, stdin=stdin, status=status)
        self.finder.search(f"output of worklore {' '.join(arguments[:2])}", f"{said.out}\n{said.err}".encode())
        return said.out

    def hub_command(self, *arguments: str, **more: str) -> None:
        """A command of the hub, as a process of its own; what it printed is searched."""
        command = [sys.executable, "-m", "worklore", *arguments]
        ran = subprocess.run(
            command, capture_output=True, check=False, env=self.environment(**more), cwd=self.home, timeout=120
        )
        assert ran.returncode == 0, (arguments[:2], ran.returncode, ran.stderr.decode()[-300:])
        self.finder.search(f"output of worklore {' '.join(arguments[:2])}", ran.stdout + b"\n" + ran.stderr)

    # --- its database -----------------------------------------------------------------------------------------------

    def sql(self, *statements: str | Update) -> None:
        """Statements past the hub."""
        engine = create_engine(self.database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement) if isinstance(statement, str) else statement)

    def hang_up(self) -> None:
        """Have the server end every connection of the hub."""
        end_connections(self.database)

    def dump(self) -> Iterator[bytes]:
        """The whole database as text, bytes as hexadecimal digits."""
        if self.dialect == "sqlite":
            with closing(sqlite3.connect(str(self.database.database))) as connection:
                yield "\n".join(connection.iterdump()).encode()
            return
        url = self.database
        where = [f"--host={url.host or '127.0.0.1'}", *([f"--port={url.port}"] if url.port else [])]
        secret = str(url.password or "")
        if self.dialect == "postgresql":
            command = ["pg_dump", *where, f"--username={url.username}", "--no-password", str(url.database)]
        else:
            command = ["mariadb-dump", *where, f"--user={url.username}", "--hex-blob", str(url.database)]
        environment = {**os.environ, "PGPASSWORD": secret, "MYSQL_PWD": secret}
        yield subprocess.run(command, check=True, capture_output=True, env=environment).stdout

    # --- what is left -----------------------------------------------------------------------------------------------

    def search_everything(self) -> None:
        """Every file of the hub and of the client, its output, and the database as its own tools see it."""
        self.finder.search("output of the hub", (self.folder / "output").read_bytes(), but=[CODE, f"{CODE} 1"])
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name not in {*KEYS, "output", "ready"}:
                own = ["the machine's token"] if path.parent == self.home / "worklore" else []
                self.finder.search(str(path.relative_to(self.folder)), pieces(path), but=own)
        self.finder.search(f"dump of {self.dialect}", self.dump())


CODE = "the set-up code"


def pieces(path: Path) -> Iterator[bytes]:
    """The content of a file, in pieces that overlap; that of a backup unpacked as well, unless it is encrypted."""
    tail = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield tail + piece
            tail = piece[-OVERLAP:]
    if path.suffix == ".backup" and read_head(path).get("encryption") is None:
        with opened(path, None) as stream:
            yield from iter(lambda: stream.read(PIECE), b"")
