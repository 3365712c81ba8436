"""What cannot be audited does not happen: a log that takes no entry, and a disk that is full."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from tests.conftest import TestHub, serve, unique
from tests.vault.test_credentials import REASON, ask, body, stored
from worklore.kernel.ballast import Ballast
from worklore.kernel.db import database_url
from worklore.ops.api_audit import Journal, line

REFUSING = {
    "sqlite": "CREATE TRIGGER audit_refuses BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'no'); END",
    "mariadb": "CREATE TRIGGER audit_refuses BEFORE INSERT ON audit_log FOR EACH ROW "
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'",
    "postgresql": "CREATE TRIGGER audit_refuses BEFORE INSERT ON audit_log EXECUTE FUNCTION audit_refuses()",
}


@contextmanager
def refusing(hub: TestHub) -> Iterator[None]:
    """The change audit takes no entry."""
    postgres = hub.dialect == "postgresql"
    with hub.database.writing.begin() as connection:
        if postgres:
            raises = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
            connection.execute(text(f"CREATE FUNCTION audit_refuses() {raises}"))
        connection.execute(text(REFUSING[hub.dialect]))
    try:
        yield
    finally:
        with hub.database.writing.begin() as connection:
            connection.execute(text(f"DROP TRIGGER audit_refuses{' ON audit_log' if postgres else ''}"))
            if postgres:
                connection.execute(text("DROP FUNCTION audit_refuses()"))


def test_without_an_entry_nothing_is_changed_or_shown(hub: TestHub, api: Any) -> None:
    client = api.post("/clients", json={"name": unique("client"), "type": "internal"}).json()
    key = stored(api, client["id"], password="planted canary")["id"]
    before = api.get(f"/clients/{client['id']}").json()
    other = api.post("/clients", json={"name": unique("client"), "type": "internal"}).json()
    name = unique("client")
    with refusing(hub):
        answers = [
            ask(api, key, "reveal", reason=REASON),
            ask(api, key, "rotate", password="planted second"),
            ask(api, key, "shred"),
            api.post("/credentials/store", json=body(client["id"], password="planted third")),
            api.post("/clients", json={"name": name, "type": "internal"}),
            api.post("/clients", json=[{"name": name, "type": "internal"}] * 2),
            api.patch(f"/clients/{client['id']}", json={"notes": "changed"}),
            api.delete(f"/clients/{other['id']}"),
        ]
        signed_in = hub.client().post("/auth/sign-in", json={"email": "nobody@example.com", "password": "x" * 12})
        assert api.get(f"/clients/{client['id']}").json() == before
        assert api.get(f"/clients/{other['id']}").json() == other
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "audit-unavailable"), answer.text
        assert "planted" not in answer.text
    assert signed_in.status_code == 503
    assert api.get("/clients", params={"name": name}).json()["items"] == []
    touches = api.get(f"/credential-audit-logs/by-credential/{key}").json()["items"]
    assert [touch["action"] for touch in touches] == ["create"]
    shown = ask(api, key, "reveal", reason=REASON)
    assert shown.json()["secrets"] == {"password": "planted canary"}


# --- a full disk ----------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[TestHub]:
    with contextmanager(serve)(database_url(f"sqlite:///{tmp_path / 'hub.db'}"), tmp_path) as hub:
        yield hub


def pages(hub: TestHub, more: int) -> None:
    """Let the file grow by so many pages only: SQLite then says what it says of a full disk."""
    with hub.database.writing.connect() as connection:
        most = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + more
        assert connection.exec_driver_sql(f"PRAGMA max_page_count={most}").scalar_one() == most


def fill(api: Any) -> Any:
    """Write until something is refused."""
    for _ in range(2_000):
        answer = api.post("/clients", json={"name": unique("client"), "type": "internal", "notes": "x" * 5_000})
        if answer.status_code != 201:
            return answer
    raise AssertionError("the disk is never full")


def test_on_a_full_disk_the_reserve_is_given_up_and_changes_are_refused(
    own: TestHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    api, ballast = own.owner(), own.database.ballast
    assert ballast is not None
    assert ballast.path.stat().st_size == 16 << 20
    real = type(ballast).give

    def give(self: Ballast) -> bool:
        """What the file's room would do on a disk: let the database grow again."""
        gave = real(self)
        if gave:
            pages(own, 4_000)
        return gave

    made = api.post("/clients", json={"name": unique("client"), "type": "internal"}).json()
    pages(own, 20)
    free = [ballast.size]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    monkeypatch.setattr(own.database._writer, "_make_room", lambda: give(ballast))
    refused = fill(api)
    assert (refused.status_code, refused.json()["code"]) == (503, "disk-full")
    assert not ballast.path.exists()
    assert own.client().get(f"{own.url}/readyz").json()["disk"] == "full"
    assert "the disk is full" in "".join(capfd.readouterr())
    # Reading goes on, and who signs in is audited.
    assert api.get(f"/clients/{made['id']}").status_code == 200
    sign_in = own.client().post("/auth/sign-in", json={"email": "nobody@example.com", "password": "x" * 12})
    assert sign_in.status_code == 401
    assert api.delete(f"/clients/{made['id']}").json()["code"] == "disk-full"
    # Room again.
    free[0] = 4 * ballast.size
    assert own.client().get(f"{own.url}/readyz").json()["disk"] == "ok"
    assert ballast.path.exists()
    assert api.post("/clients", json={"name": unique("client"), "type": "internal"}).status_code == 201
    own.hub.witness.testify()
    assert own.hub.witness.newest is not None


def test_without_a_reserve_a_full_disk_is_told_as_well(own: TestHub) -> None:
    own.database.ballast = None
    pages(own, 20)
    refused = fill(own.owner())
    assert (refused.status_code, refused.json()["code"]) == (503, "disk-full")
    pages(own, 4_000)
    assert own.owner().post("/clients", json={"name": unique("client"), "type": "internal"}).status_code == 201


def test_the_journal_gives_the_reserve_up_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ballast = Ballast(tmp_path / "ballast", 1 << 16)
    assert ballast.renew()
    journal = Journal(tmp_path / "api-audit", ballast.give)
    real, asked = os.write, []

    def write(handle: int, data: bytes) -> int:
        asked.append(len(data))
        if ballast.path.exists():
            raise OSError(errno.ENOSPC, "no room")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        journal.write(line(user_id="kim", endpoint="/"))
    assert (journal.broken, ballast.is_given, len(asked)) == (False, True, 2)
    journal.rotate()
    assert [file.read_bytes().count(b"\n") for file in journal.finished()] == [1]
    journal.close()


def test_a_reserve_is_made_only_where_there_is_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = Ballast(tmp_path / "huge", 1 << 60)
    assert (huge.renew(), huge.path.exists()) == (False, False)
    assert (huge.give(), huge.is_given) == (False, True)
    small = Ballast(tmp_path / "small", 1 << 16)
    assert small.renew()
    assert small.renew()
    assert small.path.stat().st_mode & 0o077 == 0
    assert small.give()
    assert not small.give()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert (small.renew(), small.is_given, small.path.exists()) == (False, True, False)
    assert small.renew()
    assert not small.is_given
