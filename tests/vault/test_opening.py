"""A hub that starts with the right key, another, none, half of one: what it says and what goes on working."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient

from worklore.app import Hub, build
from worklore.kernel.access import SYSTEM
from worklore.kernel.errors import HubError, UnavailableError
from worklore.kernel.settings import Settings
from worklore.kernel.types import uuid7
from worklore.vault.keyring import Keyring, load_keyring, new_key, parse, write_keyring
from worklore.vault.seal import Place, vault_of
from worklore.vault.secret import Secret

PLACE = Place(None, "credentials", uuid7(), "password_encrypted")
Start = Callable[..., Hub]


@pytest.fixture
def start(tmp_path: Path, keyless: Path) -> Iterator[Start]:
    """A hub on one SQLite file that has no vault key yet; the one before it is closed."""
    shutil.copytree(keyless, tmp_path / "data")
    hubs: list[Hub] = []

    def begin(**given: Any) -> Hub:
        while hubs:
            hubs.pop().close()
        hubs.append(build(Settings(data=tmp_path / "data", **given)))
        return hubs[-1]

    yield begin
    for hub in hubs:
        hub.close()


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hub that was never given a key: made once, since the schema takes a second."""
    folder = tmp_path_factory.mktemp("keyless")
    build(Settings(data=folder, vault_key_command="true")).close()
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the keyring is unless told otherwise."""
    return tmp_path / "data" / "keyring"


def seal(hub: Hub) -> bytes:
    return hub.database.write(lambda ctx: vault_of(ctx).seal(ctx, Secret("planted"), PLACE))


def opened(hub: Hub, sealed: bytes) -> str:
    with hub.database.read(SYSTEM) as ctx:
        return vault_of(ctx).open(ctx, sealed, PLACE).reveal()


def refused(work: Callable[[], object], code: str) -> HubError:
    with pytest.raises(HubError) as error:
        work()
    assert error.value.code == code, error.value.detail
    return error.value


def ready(hub: Hub) -> dict[str, Any]:
    with TestClient(hub.app) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 200
        told: dict[str, Any] = answer.json()
        return told


def only(file: Path) -> Any:
    (key,) = parse(file.read_text(), "a file").values()
    return key


def test_an_empty_database_gets_a_new_key_in_a_file_of_its_owner(start: Start, file: Path) -> None:
    hub = start()
    assert file.stat().st_mode & 0o777 == 0o600
    assert hub.vault.made == file
    sealed = seal(hub)
    again = start()
    assert again.vault.made is None
    assert opened(again, sealed) == "planted"


def test_without_its_key_a_hub_runs_and_its_vault_is_sealed(start: Start, file: Path) -> None:
    hub = start()
    sealed, kept = seal(hub), file.read_text()
    file.unlink()
    hub = start()
    assert ready(hub)["vault"] == "sealed"
    assert not file.exists(), "never a new key beside a canary"
    error = refused(lambda: opened(hub, sealed), "vault-sealed")
    assert error.status == 503
    assert error.members["expected"] == [only_text(kept).fingerprint]
    refused(lambda: seal(hub), "vault-sealed")
    write_keyring(file, parse(kept, "what was there").values())
    assert opened(start(), sealed) == "planted"


def only_text(text: str) -> Any:
    (key,) = parse(text, "a text").values()
    return key


@pytest.mark.parametrize("same_id", [True, False])
def test_another_key_is_refused_with_both_fingerprints(start: Start, file: Path, same_id: bool) -> None:
    sealed, right = seal(start()), only(file)
    wrong = new_key()
    if same_id:
        wrong = type(wrong)(right.id, wrong.secret)
    hub = start(vault_keys=wrong.line())
    error = refused(lambda: opened(hub, sealed), "vault-wrong-key")
    said = json.dumps(error.problem())
    assert (error.members["expected"], error.members["supplied"]) == ([right.fingerprint], [wrong.fingerprint])
    assert right.fingerprint in error.detail
    assert wrong.fingerprint in error.detail
    for key in (right, wrong):
        assert base64.b64encode(key.secret).decode() not in said
        assert key.secret.hex() not in said
    refused(lambda: seal(hub), "vault-wrong-key")
    assert ready(hub)["vault"] == "sealed"
    assert opened(start(), sealed) == "planted", "the file is as it was"


def test_a_canary_that_was_changed_refuses(start: Start) -> None:
    hub = start()
    sealed = seal(hub)
    with hub.database.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE vault_keys SET canary = zeroblob(120)")
    hub = start()
    assert "canary" in refused(lambda: opened(hub, sealed), "vault-wrong-key").detail


def test_of_an_empty_database_the_first_of_given_keys_is_taken(start: Start, file: Path) -> None:
    first, second = new_key(), new_key()
    hub = start(vault_keys=f"{first.line()} {second.line()}")
    sealed = seal(hub)
    assert not file.exists()
    assert hub.vault.made is None
    assert opened(start(vault_keys=first.line()), sealed) == "planted"


def test_an_empty_database_and_a_command_without_a_key_is_sealed(start: Start, file: Path) -> None:
    hub = start(vault_key_command="true")
    refused(lambda: seal(hub), "vault-sealed")
    assert not file.exists()


@pytest.mark.parametrize(
    "entry",
    [
        "key-1",
        "key-1:",
        "key-1:" + base64.b64encode(bytes(31)).decode(),
        "key-1:" + base64.b64encode(bytes(33)).decode(),
        "key-1:" + bytes(32).hex(),
        "key-1:" + base64.b64encode(bytes(32)).decode()[:-1],
        "key-1:" + base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        "KEY:" + base64.b64encode(bytes(32)).decode(),
        base64.b64encode(bytes(32)).decode(),
        "key-1:" + base64.b64encode(bytes(32)).decode() + " key-1:" + base64.b64encode(b"1" * 32).decode(),
        "key-1:" + base64.b64encode(bytes(32)).decode() + " key-2:" + base64.b64encode(bytes(32)).decode(),
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(start: Start, entry: str) -> None:
    error = refused(lambda: start(vault_keys=entry), "vault-key-form")
    assert "WORKLORE_VAULT_KEYS" in error.detail
    for part in entry.split():
        secret = part.partition(":")[2]
        assert not secret or secret not in str(error.problem())


def test_a_keyring_that_others_may_read_is_refused(start: Start, file: Path) -> None:
    start()
    file.chmod(0o640)
    error = refused(start, "key-open")
    assert str(file) in error.detail


def test_a_keyring_that_is_no_text_is_refused(start: Start, file: Path) -> None:
    start()
    file.write_bytes(os.urandom(32) + b"\xff")
    refused(start, "vault-key-form")


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_keyring_of_the_wrong_length_is_refused_without_being_repeated(start: Start, file: Path, size: int) -> None:
    start()
    encoded = base64.b64encode(os.urandom(size)).decode()
    file.write_text(f"key-1:{encoded}\n")
    error = refused(start, "vault-key-form")
    assert str(file) in error.detail
    assert "32 bytes" in error.detail
    assert not encoded or encoded not in str(error.problem())


def test_a_keyring_that_cannot_be_read_is_refused(start: Start, file: Path) -> None:
    """A folder in its place, which nobody can read as a file; the test's user may read whatever is one."""
    start()
    file.unlink()
    file.mkdir(mode=0o700)
    assert str(file) in refused(start, "vault-key-file").detail


def test_a_keyring_without_a_key_is_a_sealed_vault(start: Start, file: Path) -> None:
    sealed = seal(start())
    file.write_text("# nothing but a comment\n")
    hub = start()
    assert ready(hub)["vault"] == "sealed"
    refused(lambda: opened(hub, sealed), "vault-sealed")
    assert file.read_text() == "# nothing but a comment\n", "no key is made beside a canary"


def test_two_hubs_with_different_keys_share_no_secret(database_url: URL, tmp_path: Path) -> None:
    """The one with the database's key goes on; the other runs with its vault sealed, and says which key it lacks."""
    url, right, wrong = database_url.render_as_string(hide_password=False), new_key(), new_key()
    one = build(Settings(data=tmp_path, database_url=url, vault_keys=right.line()))
    try:
        sealed = seal(one)
        if one.database.is_sqlite:
            with pytest.raises(UnavailableError, match="Another hub"):
                build(Settings(data=tmp_path, database_url=url, vault_keys=wrong.line()))
            return
        other = build(Settings(data=tmp_path, database_url=url, vault_keys=wrong.line()))
        try:
            error = refused(lambda: opened(other, sealed), "vault-wrong-key")
            assert error.members == {"expected": [right.fingerprint], "supplied": [wrong.fingerprint]}
            refused(lambda: seal(other), "vault-wrong-key")
        finally:
            other.close()
        assert opened(one, sealed) == "planted"
    finally:
        one.close()


def test_one_source_never_stands_in_for_another(start: Start, file: Path, tmp_path: Path) -> None:
    start()
    refused(lambda: start(vault_keys=new_key().line(), vault_key_command="true"), "vault-key-sources")
    other = tmp_path / "elsewhere"
    hub = start(vault_keyring=other)
    refused(lambda: seal(hub), "vault-sealed")
    assert not other.exists(), "the database has a canary, so no new key is made there either"
    assert file.exists()


def test_a_command_prints_the_keys(start: Start, tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "my keys").write_text(f"# a note\n\n{key.line()}\n")
    sealed = seal(start(vault_key_command=f"cat '{tmp_path / 'my keys'}'"))
    assert opened(start(vault_keys=key.line()), sealed) == "planted"


@pytest.mark.parametrize("command", ["false", "/nowhere/such-a-command", "cat 'unfinished"])
def test_a_command_that_fails_leaves_the_vault_sealed_and_says_so(start: Start, command: str) -> None:
    start()
    hub = start(vault_key_command=command)
    assert "command" in refused(lambda: seal(hub), "vault-sealed").detail


def test_a_command_that_prints_something_else_is_refused(start: Start) -> None:
    refused(lambda: start(vault_key_command="echo Permission denied"), "vault-key-form")


def test_a_key_of_another_installation_opens_nothing_here(start: Start, file: Path, tmp_path: Path) -> None:
    """The same key for two databases: the canary tells them apart, and so does each sealed value."""
    sealed, key = seal(start()), only(file)
    other = build(Settings(data=tmp_path / "other", vault_keys=key.line()))
    try:
        seal(other)
        refused(lambda: opened(other, sealed), "credential-unreadable")
    finally:
        other.close()


def test_a_keyring_is_never_written_over(file: Path) -> None:
    write_keyring(file, [new_key()])
    before = file.read_text()
    refused(lambda: write_keyring(file, [new_key()]), "keyring-exists")
    assert file.read_text() == before


def test_no_key_stands_in_what_a_keyring_says_of_itself() -> None:
    key = new_key()
    ring = Keyring({key.id: key}, "a test")
    shown = repr(ring) + repr(key) + str(key) + key.fingerprint
    assert base64.b64encode(key.secret).decode() not in shown
    assert repr(key.secret) not in shown
    with pytest.raises(UnavailableError):
        load_keyring(Path("/nowhere"), file=None, keys=f"{key.line()}{key.line()}", command=None)


def test_a_process_prints_where_its_key_is_and_no_key(tmp_path: Path) -> None:
    """Its settings are told masked, and its start names the file."""
    key = new_key()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKLORE_")} | {
        "WORKLORE_DATA": str(tmp_path),
        "WORKLORE_CONFIG": str(tmp_path / "none.env"),
        "WORKLORE_VAULT_KEYS": key.line(),
    }
    shown = subprocess.run(
        [sys.executable, "-m", "worklore", "config", "show"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "WORKLORE_VAULT_KEYS" in shown
    assert base64.b64encode(key.secret).decode() not in shown
