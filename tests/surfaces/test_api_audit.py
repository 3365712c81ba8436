"""Every request leaves an entry, whatever became of it and whoever kills the hub; no entry holds a secret."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from worklore.app import build
from worklore.kernel import crud
from worklore.kernel.access import SYSTEM
from worklore.kernel.settings import Settings
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow
from worklore.ops.api_audit import ApiAuditEntry, Journal, Mover, line

SECRET = "planted canary"
CALLERS = 4
ANSWERED = 300


def entries(database: Database, asked: set[str]) -> list[ApiAuditEntry]:
    """The entries of requests, by the ids they were asked under."""
    with database.read(SYSTEM) as ctx:
        keys = [uuid.UUID(key) for key in asked]
        found = select(ApiAuditEntry).where(ApiAuditEntry.request_id.in_(keys)).order_by(ApiAuditEntry.id)
        return list(ctx.session.scalars(found))


class Asker:
    """Asks under ids of its own, and knows the entries of what it asked."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.asked: list[str] = []

    def __call__(self, client: httpx2.Client, method: str, path: str, **options: Any) -> httpx2.Response:
        self.asked.append(str(uuid.uuid4()))
        headers = {"x-request-id": self.asked[-1], **options.pop("headers", {})}
        return client.request(method, path, headers=headers, **options)

    def entries(self) -> list[ApiAuditEntry]:
        self.hub.hub.requests.move()
        return entries(self.hub.database, set(self.asked))


def test_every_request_leaves_an_entry(hub: Any, api: httpx2.Client) -> None:
    ask, root, nobody = Asker(hub), httpx2.Client(base_url=hub.url, trust_env=False, timeout=60), hub.client()
    me = api.get("/me").json()["user"]["email"]
    started = utcnow()
    name = f"Example Dental {uuid.uuid4()}"
    made = ask(api, "POST", "/clients", json={"name": name, "type": "msp_client", "notes": "some words"}).json()
    ask(api, "GET", f"/clients/{made['id']}?fields=name")
    ask(api, "PATCH", f"/clients/{made['id']}", json={"name": 7, "nonsense": True})
    ask(nobody, "GET", "/clients")
    ask(nobody, "POST", "/auth/sign-in", json={"email": "nobody@example.com", "password": "x"})
    ask(api, "GET", "/nothing-here")
    ask(api, "PUT", "/clients")
    ask(nobody, "POST", "/clients", content=b"x" * 100)
    ask(api, "POST", "/clients", content=iter([b" " * 1024] * (8 * 1024 + 1)))
    ask(api, "POST", "/hooks/claude-code/SessionStart", json={"session_id": "one", "cwd": "/"})
    ask(root, "GET", "/api/docs")
    ask(root, "GET", "/api/openapi.json")
    ask(root, "GET", "/healthz")
    root.close()
    found = ask.entries()
    assert [(entry.method, entry.endpoint.removeprefix("/api/v1"), entry.http_status) for entry in found] == [
        ("POST", "/clients", 201),
        ("GET", f"/clients/{made['id']}", 200),
        ("PATCH", f"/clients/{made['id']}", 422),
        ("GET", "/clients", 401),
        ("POST", "/auth/sign-in", 401),
        ("GET", "/nothing-here", 404),
        ("PUT", "/clients", 405),
        ("POST", "/clients", 401),
        ("POST", "/clients", 413),
        ("POST", "/hooks/claude-code/SessionStart", 200),
        ("GET", "/api/docs", 200),
        ("GET", "/api/openapi.json", 200),
    ]
    assert {entry.user_id for entry in found} == {found[0].user_id, "anonymous"}
    assert found[0].user_id.startswith("token:wl_"), me
    assert [entry.user_id == "anonymous" for entry in found[:5]] == [False, False, False, True, True]
    assert found[0].request_body_redacted == {"name": name, "type": "msp_client", "notes": "***"}
    assert found[2].request_body_redacted == {"name": "***", "***": "***"}
    assert found[4].request_body_redacted == {"email": "***", "password": "***"}
    assert found[1].request_body_redacted is None
    assert found[3].error_message == "token-missing: Sign in first"
    assert {entry.ip_address for entry in found} == {"127.0.0.1"}
    assert all(entry.user_agent and entry.user_agent.startswith("python-httpx") for entry in found)
    assert all(started <= entry.timestamp <= utcnow() and entry.response_time_ms is not None for entry in found)


def test_a_fault_of_ours_and_a_limit_leave_an_entry(sqlite_hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, api = Asker(sqlite_hub), sqlite_hub.owner()

    def fail(*_: Any) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(crud, "list_", fail)
    assert ask(api, "GET", "/clients").status_code == 500
    email = f"{uuid.uuid4()}@example.com"
    sqlite_hub.token(email=email)
    while ask(sqlite_hub.client(), "POST", "/auth/sign-in", json={"email": email, "password": "x"}).status_code != 429:
        assert len(ask.asked) < 20
    found = ask.entries()
    assert [found[0].http_status, found[0].error_message] == [500, "internal: Something went wrong"]
    assert [found[-1].http_status, len(found)] == [429, len(ask.asked)]


def test_no_entry_holds_a_secret_or_what_people_say(sqlite_hub: Any) -> None:
    ask, token = Asker(sqlite_hub), sqlite_hub.token()
    api, nobody = sqlite_hub.client(token), sqlite_hub.client()
    user = api.get("/me").json()["user"]["id"]
    journal: Journal = sqlite_hub.hub.requests._journal
    ask(nobody, "POST", "/auth/sign-in", json={"email": SECRET, "password": SECRET})
    ask(nobody, "POST", "/auth/setup", json={"code": SECRET, "machine": {"hostname": SECRET}})
    ask(api, "POST", "/auth/password", json={"password": SECRET, "current": SECRET})
    ask(api, "PATCH", f"/users/{user}", json={"password_hash": SECRET, SECRET: SECRET})
    ask(api, "PATCH", f"/users/{user}", json={"email": SECRET})
    ask(api, "POST", "/clients", json={"name": str(uuid.uuid4()), "type": "internal", "notes": SECRET})
    ask(api, "POST", "/clients", json=[{"name": str(uuid.uuid4()), "type": "internal", "notes": SECRET}] * 2)
    ask(api, "POST", "/clients", content=f'"{SECRET}"'.encode())
    ask(api, "POST", "/recall", json={"question": SECRET})
    ask(api, "POST", "/capture", json={"records": [{"text": SECRET}]})
    ask(api, "POST", "/hooks/claude-code/UserPromptSubmit", json={"prompt": SECRET, "session_id": SECRET, "cwd": "/"})
    ask(api, "POST", "/projects/identify", json={"path": "/", "remote": f"https://x:{SECRET}@example.com/x.git"})
    ask(nobody, "GET", f"/clients?token={SECRET}&{SECRET}=1", headers={"authorization": f"Bearer {SECRET}"})
    ask(api, "GET", f"/clients/{token}", headers={"user-agent": token})
    ask(nobody, "POST", f"/nothing/{token}", json={SECRET: SECRET})
    kept = journal.current.read_text() if journal.current else ""
    assert all(key in kept for key in ask.asked), "the journal holds them until they are rows"
    told = kept + json.dumps([entry.request_body_redacted for entry in ask.entries()])
    assert SECRET not in told
    assert token not in told
    assert len(ask.entries()) == len(ask.asked)
    assert [sorted(entry.request_body_redacted or ()) for entry in ask.entries()][8:11] == [["bytes", "sha256"]] * 3


def test_while_the_journal_cannot_be_written_nothing_changes(sqlite_hub: Any) -> None:
    ask, api = Asker(sqlite_hub), sqlite_hub.owner()
    journal: Journal = sqlite_hub.hub.requests._journal
    name = f"Example Dental {uuid.uuid4()}"
    body = {"name": name, "type": "msp_client"}
    journal.rotate()
    journal._file = os.open("/dev/full", os.O_WRONLY)
    assert ask(api, "GET", "/clients").status_code == 200
    refused = ask(api, "POST", "/clients", json=body)
    assert (refused.status_code, refused.json()["code"]) == (503, "audit-unavailable")
    assert api.get("/clients", params={"name": name}).json()["items"] == []
    journal.rotate()
    assert ask(api, "GET", "/clients").status_code == 200
    assert ask(api, "POST", "/clients", json=body).status_code == 201
    assert [(entry.method, entry.http_status) for entry in ask.entries()] == [("GET", 200), ("POST", 201)]
    with sqlite_hub.database.read(SYSTEM) as ctx:
        (gap,) = ctx.session.scalars(select(ApiAuditEntry).where(ApiAuditEntry.user_id == "system"))
    assert gap.error_message is not None
    assert gap.error_message.startswith("3 requests ")


def test_what_a_dead_process_left_is_taken_in_once(database: Database, tmp_path: Path) -> None:
    """Half a line is passed over, a file that was moved and not yet removed adds nothing, the living are left alone."""
    dead, living, ours = (Journal(tmp_path / "journal") for _ in range(3))
    asked = [str(uuid.uuid4()) for _ in range(5)]
    for journal, key in zip([dead, dead, dead, living, ours], asked, strict=True):
        journal.write(line(user_id="x", endpoint="/x", request_id=uuid.UUID(key)))
        if key == asked[1]:
            dead.rotate()
    assert dead.current is not None
    assert dead.current.stat().st_mode & 0o777 == 0o600
    with dead.current.open("ab") as file:
        file.write(b'{"id":"01')
    shutil.copytree(tmp_path / "journal", tmp_path / "before")
    dead._lock.release()
    mover = Mover(database, ours)
    mover.move()
    taken = {*asked[:3], asked[4]}
    assert {str(entry.request_id) for entry in entries(database, set(asked))} == taken
    assert {file.name.partition("-")[0] for file in (tmp_path / "journal").glob("*.jsonl")} == {living.name}
    shutil.copytree(tmp_path / "before", tmp_path / "journal", dirs_exist_ok=True)
    mover.move()
    assert len(entries(database, set(asked))) == len(taken)
    living.close()
    mover.stop()
    mover = Mover(database, Journal(tmp_path / "journal"))
    mover.stop()
    assert len(entries(database, set(asked))) == len(asked)
    assert list((tmp_path / "journal").iterdir()) == []


# --- a process that is killed ---------------------------------------------------------------------------------------


@pytest.fixture
def serving(tmp_path: Path, schema_url: URL) -> Iterator[tuple[dict[str, Any], subprocess.Popen[bytes]]]:
    """A hub as a process, and what it told when it was ready."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WORKLORE_", "XDG_"))}
    kept |= {"HOME": str(tmp_path), "WORKLORE_CONFIG": str(tmp_path / "none.env")}
    kept |= {"WORKLORE_DATABASE_URL": schema_url.render_as_string(hide_password=False)}
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "worklore", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    process = subprocess.Popen([*command, "--ready-file", str(ready)], env=kept)
    try:
        end = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        yield json.loads(ready.read_text()), process
    finally:
        process.kill()
        process.wait()


def ask_until_killed(url: str, token: str, answered: list[str]) -> None:
    with httpx2.Client(
        base_url=f"{url}/api/v1", headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    ) as api:
        while True:
            key = str(uuid.uuid4())
            method, path = ("POST", "/tags") if len(answered) % 3 == 0 else ("GET", f"/tags/{key}")
            body = {"name": key} if method == "POST" else None
            try:
                api.request(method, path, json=body, headers={"x-request-id": key})
            except httpx2.TransportError:
                return
            answered.append(key)


def test_no_answered_request_is_lost_to_kill_9(serving: Any, schema_url: URL, tmp_path: Path) -> None:
    told, process = serving
    machine = {"hostname": "bench-01", "machine_fingerprint": "0123456789abcdef"}
    code = {"code": told["setup_code"], "machine": machine}
    token = httpx2.post(f"{told['url']}/api/v1/auth/setup", json=code, trust_env=False, timeout=30).json()["token"]
    answered: list[str] = []
    load = [threading.Thread(target=ask_until_killed, args=(told["url"], token, answered)) for _ in range(CALLERS)]
    for caller in load:
        caller.start()
    end = time.monotonic() + 60
    while len(answered) < ANSWERED:
        assert time.monotonic() < end, f"{len(answered)} requests were answered in a minute"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    for caller in load:
        caller.join()
    process.wait()
    assert list((tmp_path / "data" / "api-audit").glob("*.jsonl")), "it was killed with lines that were no rows yet"
    hub = build(Settings(data=tmp_path / "data", database_url=schema_url.render_as_string(hide_password=False)))
    try:
        hub.requests.start()
        hub.requests.stop()
        with hub.database.read(SYSTEM) as ctx:
            stored = Counter(str(key) for key in ctx.session.scalars(select(ApiAuditEntry.request_id)))
    finally:
        hub.close()
    assert {key: stored[key] for key in answered if stored[key] != 1} == {}
