"""At the command line a secret is shown to somebody who signs in at the terminal, for one request."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from tests.client.commands import Technician, technician
from tests.conftest import TestHub
from tests.vault.agents import person
from tests.vault.conftest import make_client
from tests.vault.test_credentials import stored
from worklore.identity.refresh import RefreshFamily
from worklore.identity.user import User

PASSWORD = "correct horse battery"
AT_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.fixture
def typed(sqlite_hub: TestHub, tmp_path: Path) -> Technician:
    return technician(sqlite_hub, tmp_path / "home")


@pytest.fixture
def key(sqlite_hub: TestHub) -> str:
    return str(stored(sqlite_hub.owner(), make_client(sqlite_hub.database), password="planted-canary")["id"])


@pytest.fixture
def somebody(sqlite_hub: TestHub) -> tuple[uuid.UUID, str]:
    """An owner with a password."""
    email = f"kim-{uuid.uuid4()}@example.com"
    who = uuid.UUID(person(sqlite_hub.client(sqlite_hub.token(email=email))))
    hashed = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD)
    with sqlite_hub.database.writing.begin() as connection:
        connection.execute(update(User).where(User.id == who).values(password_hash=hashed))
    return who, email


def at_terminal(typed: Technician, arguments: list[str], *answers: tuple[bytes, str]) -> tuple[int, str]:
    """Type answers when they are asked for; the exit code and all that the terminal shows."""
    environment = {**os.environ, "WORKLORE_HOME": str(typed.home), "NO_COLOR": "1"}
    command = [sys.executable, "-c", AT_A_TERMINAL, sys.executable, "-m", "worklore_cli", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    shown = b""
    for question, answer in answers:
        while question not in shown:
            part = os.read(process.stdout.fileno(), 1000)
            assert part, shown
            shown += part
        process.stdin.write(f"{answer}\n".encode())
        process.stdin.flush()
    rest, _ = process.communicate(timeout=60)
    return process.returncode, (shown + rest).decode()


def test_a_person_signs_in_sees_the_secret_and_is_signed_out(
    sqlite_hub: TestHub, typed: Technician, key: str, somebody: tuple[uuid.UUID, str]
) -> None:
    who, email = somebody
    asked = ["credential", "reveal", key, "reason=The server does not answer"]
    status, shown = at_terminal(typed, asked, (b"Address", email), (b"Password", PASSWORD))
    assert (status, shown.count("planted-canary"), PASSWORD in shown) == (0, 1, False), shown
    families = select(RefreshFamily.revoked_at).where(RefreshFamily.user_id == who)
    with sqlite_hub.database.reading.connect() as connection:
        ends = connection.execute(families).scalars().all()
    assert len(ends) == 1
    assert ends[0] is not None
    assert not any(PASSWORD.encode() in path.read_bytes() for path in typed.home.rglob("*") if path.is_file())
    link = at_terminal(
        typed, ["credential", "share", key, "recipient=kim@example.com"], (b"Address", email), (b"Password", PASSWORD)
    )[1]
    told = json.loads(link[link.index("{") :])
    assert told["url"].startswith(f"{sqlite_hub.url}/share#")
    assert sqlite_hub.client().post("/share", json={"token": told["url"].partition("#")[2]}).status_code == 200


def test_a_wrong_password_shows_nothing(typed: Technician, key: str, somebody: tuple[uuid.UUID, str]) -> None:
    asked = ["credential", "reveal", key, "reason=The server does not answer"]
    status, shown = at_terminal(typed, asked, (b"Address", somebody[1]), (b"Password", "wrong"))
    assert (status, "planted" in shown) == (1, False)
    assert "is wrong" in shown


def test_without_a_terminal_nobody_is_asked(typed: Technician, key: str) -> None:
    for verb, given in (("reveal", "reason=The server is down"), ("share", "recipient=kim@example.com")):
        said = typed("credential", verb, key, given, stdin=f"kim@example.com\n{PASSWORD}\n", status=1)
        assert "at a terminal" in said.err
