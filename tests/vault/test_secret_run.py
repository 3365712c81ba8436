"""`worklore secret run`, as the real thing: the program has the secret, nobody else sees it, and both end together."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from tests.client.commands import Technician
from tests.client.commands import technician as machine_of
from tests.client.conftest import waited
from tests.conftest import TestHub
from tests.surfaces.test_secrets import Watched, watched  # noqa: F401 - a fixture is asked for by its name
from tests.vault.agents import new_agent, technician
from tests.vault.conftest import make_client
from tests.vault.test_broker import echoing
from tests.vault.test_credentials import ask, stored, touches
from worklore.kernel.db import Base
from worklore_cli import secret as running
from worklore_client.config import Config, save

PYTHON = [sys.executable, "-c"]
FORMS = """
import base64, json, os, sys, urllib.parse
secret = os.environ["PASSWORD"]
for form in (secret, base64.b64encode(b"x" + secret.encode()).decode(), urllib.parse.quote(secret, safe=""),
             json.dumps(secret), secret.encode().hex()):
    print("out", form)
    print("err", form, file=sys.stderr)
sys.stdout.write(secret[:9]); sys.stdout.flush(); sys.stdout.write(secret[9:])
sys.exit(3)
"""
WAITS = """
import os, signal, sys, time
def told(number, _):
    open(sys.argv[1], "a").write(f"{number}\\n")
    sys.exit(7)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, told)
print("ready", flush=True)
time.sleep(60)
"""
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""


@pytest.fixture
def planted() -> str:
    return f"planted/{uuid.uuid4().hex}+ß&"


@pytest.fixture
def on(tmp_path: Path) -> Callable[[TestHub], Technician]:
    return lambda hub: machine_of(hub, tmp_path / "home")


@pytest.fixture
def sqlite_key(sqlite_hub: TestHub, planted: str) -> str:
    return str(
        stored(sqlite_hub.owner(), make_client(sqlite_hub.database), password=planted, token="other-token")["id"]
    )


def arguments(key: str, *command: str, options: tuple[str, ...] = ()) -> list[str]:
    return ["secret", "run", "--credential", key, *options, "--", *command]


def started(typed: Technician, *command: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "WORKLORE_HOME": str(typed.home), "NO_COLOR": "1"}
    line = [sys.executable, "-m", "worklore_cli", *command]
    return subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


def gone(*ids: int) -> bool:
    return not any(Path(f"/proc/{number}/stat").exists() and alive(number) for number in ids)


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_has_the_secret_and_its_output_has_not(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    typed, planted = machine_of(hub, tmp_path / "home"), f"planted/{uuid.uuid4().hex}+ß&"
    key = stored(api, client_id, password=planted)["id"]
    run = typed.process(*arguments(key, *PYTHON, FORMS, options=("--purpose", "look at forms")))
    assert run.returncode == 3, run.stderr
    assert run.stdout.decode().splitlines()[0] == "out ***"
    assert run.stdout.endswith(b"***")
    assert run.stderr.decode().splitlines()[0] == "err ***"
    for output in (run.stdout, run.stderr):
        assert b"***" in output
        for form in (planted, planted.encode().hex(), json.dumps(planted)[1:-1], planted[:12]):
            assert form.encode() not in output
    lease = api.get("/credential-leases", params={"credential_id": key}).json()["items"][0]
    assert (lease["use_count"], lease["purpose"], bool(lease["released_at"])) == (1, "look at forms", True)
    assert [row["action"] for row in touches(api, key)] == ["create", "use"]
    hub.hub.requests.move()
    with hub.database.reading.connect() as connection:
        for table in Base.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                assert planted not in repr(row), table.description
    for path in [*typed.home.rglob("*"), *(hub.hub.settings.data.rglob("*") if hub.database.is_sqlite else ())]:
        assert not path.is_file() or planted.encode() not in path.read_bytes(), path.name
    told = capfd.readouterr()
    assert planted not in told.out + told.err


def test_a_hub_that_logs_all_it_can_says_nothing_of_a_secret(watched: Watched, tmp_path: Path) -> None:  # noqa: F811 - as above
    planted = f"planted-{uuid.uuid4().hex}"
    machine = {"hostname": "bench-01", "machine_fingerprint": "0123456789abcdef"}
    setup = {"code": watched.told["setup_code"], "machine": machine}
    token = watched.ask("POST", "/api/v1/auth/setup", json=setup).json()["token"]
    save(Config(tmp_path / "home", watched.told["url"], token, {}))
    with echoing() as echo:
        sent = {"credential_type": "api_key", "service_name": "Portal", "token": planted, "password": planted}
        made = watched.ask("POST", "/api/v1/credentials/store", token, json=sent | {"external_url": echo.url})
        key = made.json()["id"]
        environment = {**os.environ, "WORKLORE_HOME": str(tmp_path / "home")}
        line = [sys.executable, "-m", "worklore_cli", *arguments(key, *PYTHON, FORMS)]
        run = subprocess.run(line, env=environment, capture_output=True, check=False)
        asked = {"purpose": "read the queue"}
        lease = watched.ask("POST", f"/api/v1/credentials/{key}/lease", token, json=asked).json()["id"]
        call = watched.ask("POST", f"/api/v1/credential-leases/{lease}/call", token, json={"url": f"{echo.url}/"})
        wrong = {"url": f"{echo.url}/", "field": "totp_seed"}
        watched.ask("POST", f"/api/v1/credential-leases/{lease}/call", token, json=wrong)
        assert planted in echo.asked[0]["headers"]["authorization"]
    assert (run.returncode, call.status_code) == (3, 200), (run.stderr, call.text)
    assert planted.encode() not in run.stdout + run.stderr
    assert all(planted not in answer.text for answer in watched.answers)
    watched.process.send_signal(signal.SIGTERM)
    assert watched.process.wait(30) == 0
    assert planted not in watched.printed()
    with closing(sqlite3.connect(watched.folder / "data" / "worklore.db")) as database:
        everything = "\n".join(database.iterdump())
    assert "read the queue" in everything
    assert planted not in everything
    assert planted.encode().hex().upper() not in everything
    for path in (watched.folder / "data").rglob("*"):
        assert not path.is_file() or planted.encode() not in path.read_bytes(), path.name


def test_a_secret_is_given_as_a_line_or_in_another_variable_and_never_as_an_argument(
    sqlite_hub: TestHub, sqlite_key: str, planted: str, on: Callable[[TestHub], Technician]
) -> None:
    typed = on(sqlite_hub)
    reads = "import os, sys; print(len(sys.stdin.readline().rstrip('\\n')), 'PASSWORD' in os.environ, sys.stdin.read())"
    run = typed.process(*arguments(sqlite_key, *PYTHON, reads, options=("--stdin",)))
    assert (run.returncode, run.stdout.split()) == (0, [str(len(planted)).encode(), b"False"])
    shows = "import os; print(len(os.environ['DB_TOKEN']), 'PASSWORD' in os.environ, 'TOKEN' in os.environ)"
    run = typed.process(*arguments(sqlite_key, *PYTHON, shows, options=("--field", "token", "--env", "DB_TOKEN")))
    assert run.stdout.split() == [b"11", b"False", b"False"]
    lines = "import os; [print(open(f'/proc/{p}/cmdline').read()) for p in (os.getpid(), os.getppid())]; "
    lines += "print(os.environ['PASSWORD'] in open(f'/proc/{os.getppid()}/environ', errors='replace').read())"
    run = typed.process(*arguments(sqlite_key, *PYTHON, lines))
    assert run.stdout.split(b"\n")[-2:] == [b"False", b""]
    assert b"***" not in run.stdout
    for wrong in (("--env", "A", "--stdin"), ("--env", "A B")):
        assert typed.process(*arguments(sqlite_key, "true", options=wrong)).returncode == 2


def test_signals_and_how_a_program_ended_are_passed_on(
    sqlite_hub: TestHub, sqlite_key: str, on: Callable[[TestHub], Technician], tmp_path: Path
) -> None:
    typed = on(sqlite_hub)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        note = tmp_path / f"note-{number}"
        process = started(typed, *arguments(sqlite_key, *PYTHON, WAITS, str(note)))
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert ended(process)[0] == 7
        assert note.read_text() == f"{int(number)}\n"
    killed = "import os; os.kill(os.getpid(), 9)"
    assert typed.process(*arguments(sqlite_key, *PYTHON, killed)).returncode == 128 + 9
    assert typed.process(*arguments(sqlite_key, "/nowhere/program")).returncode == 127
    assert typed.process(*arguments(sqlite_key, str(tmp_path))).returncode == 126


def test_a_grant_that_ends_in_mid_run_ends_the_program(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, planted: str, tmp_path: Path
) -> None:
    key = stored(api, client_id, password=planted)["id"]
    agent = new_agent(hub, technician(hub), life=timedelta(seconds=4))
    save(Config(tmp_path / "home", hub.url, agent.token, {}))
    note = tmp_path / "note"
    process = started(Technician(hub, tmp_path / "home", api), *arguments(key, *PYTHON, WAITS, str(note)))
    status, out, err = ended(process)
    assert (status, out) == (running.ENDED, "ready\n"), err
    assert "the program was ended" in err
    assert note.read_text() == "15\n"


def test_a_lease_that_is_taken_back_in_mid_run_ends_the_program_and_what_it_started(
    sqlite_hub: TestHub,
    sqlite_key: str,
    on: Callable[[TestHub], Technician],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed, api, note = on(sqlite_hub), sqlite_hub.owner(), tmp_path / "note"
    for name, seconds in (("RENEW_SECONDS", 0.1), ("RETRY_SECONDS", 0.1), ("TERM_SECONDS", 0.3)):
        monkeypatch.setattr(running, name, seconds)

    def take_back() -> None:
        assert waited(lambda: note.exists() and " " in note.read_text())
        lease = api.get("/credential-leases", params={"credential_id": sqlite_key}).json()["items"][0]["id"]
        assert api.delete(f"/credential-leases/{lease}").status_code == 204

    thread = threading.Thread(target=take_back)
    thread.start()
    said = typed(*arguments(sqlite_key, *PYTHON, STUBBORN, str(note)), status=running.ENDED)
    thread.join()
    assert "the program was ended" in said.err
    assert waited(lambda: gone(*map(int, note.read_text().split())))


@pytest.fixture
def fleeting() -> Iterator[tuple[str, ThreadingHTTPServer]]:
    """A hub that lends a secret for a second and is then away."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            key = str(uuid.uuid4())
            answers = {"lease": {"id": key, "seconds": 1.0}, "inject": {"secrets": {"password": "planted-canary"}}}
            answer = answers.get(self.path.rpartition("/")[2])
            content = json.dumps(answer or {"code": "unavailable", "detail": "The database is away."}).encode()
            self.send_response(200 if answer else 503)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", server
    server.shutdown()
    server.server_close()
    thread.join()


def test_without_its_hub_no_program_starts_and_none_goes_on(
    sqlite_hub: TestHub, fleeting: tuple[str, ThreadingHTTPServer], tmp_path: Path
) -> None:
    home, note = tmp_path / "home", tmp_path / "note"
    typed = Technician(sqlite_hub, home, sqlite_hub.owner())
    save(Config(home, fleeting[0], "wl_of-no-hub", {}))
    began = time.monotonic()
    said = typed(*arguments(str(uuid.uuid4()), *PYTHON, WAITS, str(note)), status=running.ENDED)
    assert time.monotonic() - began < 30
    assert "The database is away" in said.err
    assert note.read_text() == "15\n"
    save(Config(home, "http://127.0.0.1:9", "wl_of-no-hub", {}))
    said = typed(*arguments(str(uuid.uuid4()), "touch", str(tmp_path / "ran")), status=running.UNAVAILABLE)
    assert "cannot be reached" in said.err
    assert not (tmp_path / "ran").exists()


def test_what_is_not_held_or_not_allowed_is_not_run(
    sqlite_hub: TestHub, sqlite_key: str, on: Callable[[TestHub], Technician], tmp_path: Path
) -> None:
    typed, api, ran = on(sqlite_hub), sqlite_hub.owner(), tmp_path / "ran"
    absent = typed(*arguments(sqlite_key, "touch", str(ran), options=("--field", "totp_seed")), status=1)
    assert "holds no totp_seed" in absent.err
    lease = api.get("/credential-leases", params={"credential_id": sqlite_key}).json()["items"][0]
    assert lease["released_at"] is not None
    assert api.patch(f"/credentials/{sqlite_key}", json={"is_restricted": True}).status_code == 200
    assert "restricted" in typed(*arguments(sqlite_key, "touch", str(ran)), status=1).err
    assert ask(api, sqlite_key, "permit", user_id=str(uuid.uuid4()), permission_level=None).status_code == 200
    assert not ran.exists()


def test_who_reads_no_more_ends_the_program(
    sqlite_hub: TestHub, sqlite_key: str, on: Callable[[TestHub], Technician]
) -> None:
    process = started(on(sqlite_hub), *arguments(sqlite_key, "yes"))
    assert process.stdout is not None
    assert process.stdout.read(4) == b"y\ny\n"
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.wait(30) == 128 + signal.SIGPIPE
