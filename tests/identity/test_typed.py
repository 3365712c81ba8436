"""What people type: connecting with a password of their own, and the verbs of people, agents, machines and tokens."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.client.commands import Technician, technician
from tests.conftest import TestHub, unique
from tests.identity.conftest import PASSWORD, Person


@pytest.fixture
def worklore(sqlite_hub: TestHub, tmp_path: Path) -> Technician:
    (tmp_path / "home").mkdir()
    return technician(sqlite_hub, tmp_path / "home")


def typed(hub: TestHub, home: Path, code: str | None, *answers: str | Callable[[], str]) -> str:
    """Connect a machine at a terminal; what stands there at the end. An answer may be thought of when it is asked."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "HOME": str(home), "WORKLORE_HOME": str(home / ".worklore"), "NO_COLOR": "1"}
    (home / ".claude").mkdir(parents=True)
    command = [sys.executable, "-m", "worklore_cli", "connect", hub.url, *(["--code", code] if code else [])]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=home, start_new_session=True
    )
    os.close(theirs)
    shown, waiting, deadline = "", list(answers), time.monotonic() + 60
    ready = select.poll()  # not select, which knows no high numbers
    ready.register(ours)
    while time.monotonic() < deadline:
        if not ready.poll(1000):
            continue
        try:
            shown += os.read(ours, 65536).decode()
        except OSError:  # the other end is closed
            break
        if waiting and shown.endswith(": "):
            answer = waiting.pop(0)
            os.write(ours, f"{answer if isinstance(answer, str) else answer()}\n".encode())
            shown += "\n"
    try:
        assert process.wait(30) == 0, shown
    finally:
        process.kill()  # one that is still there waits for an answer that nobody has
        os.close(ours)
    return shown


def test_connecting_at_a_terminal_asks_for_a_first_password(sqlite_hub: TestHub, tmp_path: Path) -> None:
    email = f"{unique('person')}@example.com"
    person = Person(sqlite_hub, email, sqlite_hub.token(email=email))
    codes = [person.api.post("/setup-codes").json()["code"] for _ in range(2)]
    weak = "aaaaaaaaaaaa"
    shown = typed(sqlite_hub, tmp_path / "one", codes[0], "y", weak, weak, PASSWORD, PASSWORD)
    assert "one pattern" in shown
    assert "can sign in with that password now" in shown
    assert PASSWORD not in shown
    assert weak not in shown
    assert person.sign_in().status_code == 200
    shown = typed(sqlite_hub, tmp_path / "two", codes[1], "y", "")
    assert "can sign in" not in shown
    assert person.sign_in().status_code == 200


def test_people_are_looked_after_by_commands(worklore: Technician) -> None:
    email = f"{unique('kim')}@example.com"
    worklore("user", "add", f"email={email}", "name=Kim", "role=technician")
    refused = worklore("user", "invite", email, status=1)
    assert "for people, who sign in at a terminal" in refused.err
    owner = worklore.hub.owner()
    key = owner.get("/users", params={"email": email}).json()["items"][0]["id"]
    code = owner.post(f"/users/{key}/invite").json()["code"]
    assert worklore.hub.client().post("/auth/join", json={"code": code, "password": PASSWORD}).status_code == 200
    person = Person(worklore.hub, email, "")
    assert person.sign_in().status_code == 200
    assert worklore("user", "role", email, "role=auditor").json["role"] == "auditor"
    assert worklore("user", "sign-out", email).json["ended"] == 1
    refused = worklore("user", "disable", email, stdin="n\n", status=1)
    assert "Shut a person out" in refused.out
    assert worklore("user", "disable", email, "--yes").json["is_active"] is False
    assert person.sign_in().status_code == 401
    assert worklore("user", "enable", email).json["is_active"] is True
    listed = worklore("user", "list", "--filter", f"email={email}").out
    assert email[:8] in listed
    assert "auditor" in listed


def test_agents_machines_and_tokens_are_looked_after_by_commands(worklore: Technician) -> None:
    me: Any = worklore.hub.client(token_of(worklore)).get("/me").json()
    name = unique("agent")
    key = worklore("agent", "add", f"name={name}", "role=technician").out.split()[-1]
    assert worklore("agent", "show", key, "--json").json["owner_id"] == me["user"]["id"]
    assert worklore("agent", "role", key, "role=read-only").json["role"] == "read-only"
    assert worklore("agent", "disable", key, "--yes").json["is_active"] is False
    assert worklore("agent", "enable", key).json["is_active"] is True
    machine = worklore("machine", "add", f"hostname={unique('host')}").out.split()[-1]
    assert worklore("machine", "disable", machine, "--yes").json["is_active"] is False
    assert worklore("machine", "enable", machine).json["is_active"] is True
    assert "yourself out" in worklore("machine", "disable", me["machine"]["id"], "--yes", status=1).err
    assert "yourself out" in worklore("user", "disable", me["user"]["email"], "--yes", status=1).err
    refused = worklore("api-token", "issue", "name=Report", "scopes=client:read,session:read", status=1)
    assert "signed in" in refused.err
    listed = worklore("api-token", "list", "--filter", f"machine_id={me['machine']['id']}", "--json").json
    assert [row["kind"] for row in listed] == ["machine"]


def token_of(worklore: Technician) -> str:
    config = (worklore.home / "config").read_text()
    return next(line.partition("=")[2] for line in config.splitlines() if line.startswith("token"))
