"""At the command line a secret is shown to somebody who signs in at the terminal, for one request."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from tests.client.commands import Technician, technician
from tests.conftest import TestHub, unique
from tests.identity.conftest import PASSWORD, Person
from tests.identity.test_second_factor import Enrolled
from tests.vault.conftest import make_client
from tests.vault.test_credentials import stored
from worklore.identity.limit import RateLimit
from worklore.identity.refresh import RefreshFamily
from worklore.vault.share import OF_ADDRESS

AT_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.fixture
def typed(sqlite_hub: TestHub, tmp_path: Path) -> Technician:
    return technician(sqlite_hub, tmp_path / "home")


@pytest.fixture
def key(sqlite_hub: TestHub) -> str:
    return str(stored(sqlite_hub.owner(), make_client(sqlite_hub.database), password="planted-canary")["id"])


@pytest.fixture
def somebody(sqlite_hub: TestHub) -> Enrolled:
    """An owner with a second factor, without which nobody is shown a secret."""
    email = f"{unique('kim')}@example.com"
    who = Person(sqlite_hub, email, sqlite_hub.token(email=email))
    who.join()
    return Enrolled(who)


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
    sqlite_hub: TestHub, typed: Technician, key: str, somebody: Enrolled
) -> None:
    email, codes = somebody.person.email, iter(somebody.recovery)
    asked = ["credential", "reveal", key, "reason=The server does not answer"]
    signs_in = ((b"Address", email), (b"Password", PASSWORD))
    status, shown = at_terminal(typed, asked, *signs_in, (b"Code", next(codes)))
    assert (status, shown.count("planted-canary"), PASSWORD in shown) == (0, 1, False), shown
    families = select(RefreshFamily.revoked_at).where(RefreshFamily.user_id == somebody.person.id)
    with sqlite_hub.database.reading.connect() as connection:
        ends = connection.execute(families.order_by(RefreshFamily.id)).scalars().all()
    assert ends[-1] is not None
    assert not any(PASSWORD.encode() in path.read_bytes() for path in typed.home.rglob("*") if path.is_file())
    shared = ["credential", "share", key, "recipient=kim@example.com"]
    link = at_terminal(typed, shared, *signs_in, (b"Code", next(codes)))[1]
    told = json.loads(link[link.index("{") :])
    assert told["url"].startswith(f"{sqlite_hub.url}/share#")
    with sqlite_hub.database.writing.begin() as connection:
        # What other tests tried in vain from this address counts against it.
        connection.execute(delete(RateLimit).where(RateLimit.bucket == OF_ADDRESS.bucket))
    assert sqlite_hub.client().post("/share", json={"token": told["url"].partition("#")[2]}).status_code == 200


def test_a_wrong_password_shows_nothing(typed: Technician, key: str, somebody: Enrolled) -> None:
    asked = ["credential", "reveal", key, "reason=The server does not answer"]
    status, shown = at_terminal(typed, asked, (b"Address", somebody.person.email), (b"Password", "wrong"))
    assert (status, "planted" in shown) == (1, False)
    assert "is wrong" in shown


def test_without_a_terminal_nobody_is_asked(typed: Technician, key: str) -> None:
    for verb, given in (("reveal", "reason=The server is down"), ("share", "recipient=kim@example.com")):
        said = typed("credential", verb, key, given, stdin=f"kim@example.com\n{PASSWORD}\n", status=1)
        assert "at a terminal" in said.err
