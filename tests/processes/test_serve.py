"""The hub as an operator meets it: a process that is killed, doubled, badly set up, and stopped."""

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from worklore.app import build
from worklore.kernel.errors import UnavailableError
from worklore.kernel.settings import Settings
from worklore.kernel.transaction import Database
from worklore.ops import migrate

START_SECONDS = 60.0
KILLS = 2
WRITERS = 4


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Without anything of the hub of whoever runs this."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WORKLORE_", "XDG_"))}
    return {**kept, "HOME": str(folder), "WORKLORE_CONFIG": str(folder / "none.env"), **more}


class Process:
    """`python -m worklore serve` on a folder."""

    def __init__(self, folder: Path, *options: str, **more: str) -> None:
        self.folder = folder
        self._ready = folder.parent / f"{folder.name}.ready"
        self._ready.unlink(missing_ok=True)
        self._output = folder.parent / f"{folder.name}.out"
        command = [sys.executable, "-m", "worklore", "serve", "--port", "0", "--data", str(folder)]
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(self._ready), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(folder.parent, **more),
            )

    def ready(self) -> dict[str, Any]:
        """Address, process id and set-up code, once it serves."""
        end = time.monotonic() + START_SECONDS
        while not self._ready.exists():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < end, "the hub did not start in time"
            time.sleep(0.02)
        told: dict[str, Any] = json.loads(self._ready.read_text())
        assert self._ready.stat().st_mode & 0o077 == 0, "it may hold a set-up code"
        assert told["pid"] == self.process.pid
        return told

    def output(self) -> str:
        """All that processes on this folder have printed."""
        return self._output.read_text()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts hubs, and ends those that still run."""
    started: list[Process] = []

    def begin(*options: str, folder: Path | None = None, **more: str) -> Process:
        started.append(Process(folder or tmp_path / "data", *options, **more))
        return started[-1]

    yield begin
    for hub in started:
        if hub.process.poll() is None:
            hub.process.kill()
            hub.process.wait()


def refusal(folder: Path, *options: str, **more: str) -> str:
    """The one line of a hub that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "worklore", "serve", "--port", "0", "--data", str(folder), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
        env=environment(folder.parent, **more),
    )
    assert (done.returncode, done.stdout) == (2, ""), done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("worklore: ")
    return lines[0]


def connect(told: dict[str, Any]) -> httpx2.Client:
    """A machine's client of a hub that has just been set up."""
    machine = {"hostname": "bench-01", "machine_fingerprint": "0123456789abcdef"}
    with httpx2.Client(base_url=told["url"], trust_env=False, timeout=30) as anonymous:
        made = anonymous.post("/api/v1/auth/setup", json={"code": told["setup_code"], "machine": machine})
    assert made.status_code == 201, made.text
    return client(told["url"], made.json()["token"])


def client(url: str, token: str) -> httpx2.Client:
    head = {"authorization": f"Bearer {token}"}
    return httpx2.Client(base_url=f"{url}/api/v1", headers=head, trust_env=False, timeout=30)


def token_of(machine: httpx2.Client) -> str:
    return machine.headers["authorization"].removeprefix("Bearer ")


# --- killed ---------------------------------------------------------------------------------------------------------


class Writer(threading.Thread):
    """Makes clients, each under a key, until the hub is gone; remembers what was acknowledged and what was not."""

    def __init__(self, place: int, round_: int, url: str, token: str, enough: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self._prefix = f"client-{round_}-{place}"
        self._hub = client(url, token)
        self._enough = enough
        self.done: dict[str, str] = {}
        self.open: str | None = None
        self.wrong: list[str] = []

    def run(self) -> None:
        with self._hub:
            for number in range(100_000):
                self.open = f"{self._prefix}-{number}"
                try:
                    answer = create(self._hub, self.open)
                except httpx2.TransportError:
                    return
                if answer.status_code != 201:
                    self.wrong.append(answer.text)
                    return
                self.done[self.open] = answer.json()["id"]
                self._enough.release()


def create(hub: httpx2.Client, name: str) -> httpx2.Response:
    return hub.post("/clients", json={"name": name, "type": "msp_client"}, headers={"idempotency-key": f"key-{name}"})


def test_what_was_acknowledged_survives_kills_and_no_repeat_doubles_it(start: Start, tmp_path: Path) -> None:
    hub = start()
    told = hub.ready()
    token = token_of(connect(told))
    acknowledged: dict[str, str] = {}
    doubtful: list[str] = []
    for round_ in range(KILLS):
        enough = threading.Semaphore(0)
        writers = [Writer(place, round_, told["url"], token, enough) for place in range(WRITERS)]
        for writer in writers:
            writer.start()
        for _ in range(30 + 7 * round_):
            assert enough.acquire(timeout=30)
        hub.end(signal.SIGKILL)
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive()
            assert writer.wrong == []
            acknowledged |= writer.done
            doubtful += [writer.open] if writer.open and writer.open not in writer.done else []
        hub = start()
        told = hub.ready()
    assert len(acknowledged) >= KILLS * 30
    with client(told["url"], token) as after:
        for name, key in acknowledged.items():
            again = create(after, name)
            assert (again.status_code, again.json()["id"]) == (201, key)
            assert again.headers["idempotency-replayed"] == "true"
        for name in doubtful:
            first, second = create(after, name), create(after, name)
            assert (first.status_code, second.status_code) == (201, 201)
            assert first.json()["id"] == second.json()["id"]
    assert hub.end(signal.SIGTERM) == 0
    with closing(sqlite3.connect(tmp_path / "data" / "worklore.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = [name for (name,) in database.execute("SELECT name FROM clients")]
        audited = database.execute("SELECT count(*) FROM audit_log WHERE table_name = 'clients'").fetchone()[0]
    assert sorted(names) == sorted([*acknowledged, *doubtful])
    assert audited == len(names), "no row without its entry, no entry without its row"


# --- stopped and started again --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hub that was set up and then asked to stop."""
    folder = tmp_path_factory.mktemp("stopped") / "data"
    hub = Process(folder)
    try:
        connect(hub.ready()).close()
        assert hub.end(signal.SIGTERM) == 0
    finally:
        hub.process.kill()
    assert "Traceback" not in hub.output()
    return folder


@pytest.fixture
def data(stopped: Path, tmp_path: Path) -> Path:
    """A copy of `stopped` to spoil."""
    return Path(shutil.copytree(stopped, tmp_path / "data"))


def test_asked_to_stop_it_leaves_nothing_open(stopped: Path) -> None:
    left = {path.name for path in stopped.iterdir()}
    chain = {"audit-checkpoints.jsonl", "audit-node-1", "audit-node-1.lock"}
    assert left == {"worklore.db", "worklore.db.lock", "worklore.db.ballast", "hub.key", "keyring", "api-audit"} | chain
    assert all((stopped / name).stat().st_mode & 0o077 == 0 for name in left)


def test_a_set_up_code_is_printed_until_somebody_has_connected(start: Start) -> None:
    hub = start()
    first = hub.ready()["setup_code"]
    assert hub.output().count(first) == 2, "on its own, and in the command to type"
    assert hub.end(signal.SIGINT) == 0
    hub = start()
    told = hub.ready()
    assert told["setup_code"] not in {first, None}
    connect(told).close()
    hub.end(signal.SIGTERM)
    before = hub.output()
    again = start()
    assert again.ready()["setup_code"] is None
    printed = again.output().removeprefix(before)
    assert "Set-up code" not in printed
    assert "worklore code" in printed


def test_a_hub_that_is_aborted_dumps_no_core(start: Start) -> None:
    """Its memory holds keys and secrets, whatever limit it was started with."""
    hub = start()
    hub.ready()
    assert resource.prlimit(hub.process.pid, resource.RLIMIT_CORE) == (0, 0)


# --- refused --------------------------------------------------------------------------------------------------------


def test_a_second_hub_on_the_same_file_is_refused(start: Start, tmp_path: Path) -> None:
    told = start().ready()
    line = refusal(tmp_path / "data")
    assert str(told["pid"]) in line
    assert str(tmp_path / "data" / "worklore.db") in line
    assert httpx2.get(f"{told['url']}/readyz", trust_env=False).status_code == 200, "the first goes on"


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refusal(tmp_path / "data", "--port", port)
    assert port in line
    assert "--port" in line
    assert not (tmp_path / "data").exists(), "nothing is made before it is known that it can serve"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert str(tmp_path / "file" / "data") in refusal(tmp_path / "file" / "data", HOME=str(tmp_path))


def test_settings_that_others_may_read_or_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    settings = tmp_path / "hub.env"
    settings.write_text("WORKLORE_TOKEN_DAYS=0\n")
    settings.chmod(0o604)
    assert "hub.env" in refusal(tmp_path / "data", WORKLORE_CONFIG=str(settings))
    settings.chmod(0o600)
    assert "WORKLORE_TOKEN_DAYS" in refusal(tmp_path / "data", WORKLORE_CONFIG=str(settings))


def test_a_database_of_a_newer_version_is_left_alone(data: Path) -> None:
    with closing(sqlite3.connect(data / "worklore.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    line = refusal(data)
    assert "newer version" in line
    assert "9999" in line
    with closing(sqlite3.connect(data / "worklore.db")) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


def test_a_database_of_an_older_version_is_upgraded_only_when_that_is_asked_for(data: Path, start: Start) -> None:
    database = Database(f"sqlite:///{data / 'worklore.db'}")
    migrate.downgrade(database, "-1")
    older = migrate.state(database)
    database.close()
    line = refusal(data)
    assert f"at {older.current}, this version needs {older.needed}" in line
    assert "worklore db upgrade" in line
    assert start("--upgrade", folder=data).ready()["setup_code"] is None, "it is the same hub as before"
    assert len(list((data / "backups").glob("*.backup"))) == 1


def unusable(folder: Path, url: str | None = None) -> str:
    """Why a hub cannot be put together there: what its one line would say."""
    with pytest.raises(UnavailableError) as refused:
        build(Settings(data=folder, database_url=url))
    told = f"{refused.value.detail} {refused.value.hint}"
    assert "\n" not in told
    return told


def test_a_key_that_is_missing_open_or_spoilt_is_refused_and_never_replaced(data: Path) -> None:
    key = data / "hub.key"
    right = key.read_bytes()
    key.chmod(0o640)
    assert "Others may read" in unusable(data)
    key.chmod(0o600)
    for content in (b"", b"short", b"\xff" * 44, right[:-8]):
        key.write_bytes(content)
        assert str(key) in unusable(data)
        assert key.read_bytes() == content
    key.unlink()
    assert "backup" in unusable(data)
    assert not key.exists()


@pytest.mark.parametrize("url", ["nonsense", "oracle://example.com/x", "sqlite://", "sqlite:////missing/folder/hub.db"])
def test_a_database_that_cannot_be_is_refused(tmp_path: Path, url: str) -> None:
    unusable(tmp_path / "data", url)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"this is not a database " * 100)
    assert str(file) in unusable(tmp_path / "data", f"sqlite:///{file}")
    assert file.read_bytes() == b"this is not a database " * 100


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path, kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        told = unusable(tmp_path / "data", f"{kind}://hub:planted-secret@127.0.0.1:{port}/hub")
    assert f"127.0.0.1:{port}" in told
    assert "planted-secret" not in told
