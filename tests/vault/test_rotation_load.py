"""One vault key follows another while eight callers read and write secrets over HTTP: nothing fails, all opens.

On MariaDB and PostgreSQL the key is changed by the command, in processes of its own, one of them killed in the middle,
and a second hub lacks the new key at first. On SQLite, whose file one process has at a time, the hub's own process
changes it, and the rewrapping is broken off in the middle. `make rotate` does it with 10,000 credentials.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import URL, select

from tests.conftest import TestHub, serve, unique
from tests.vault.test_check import found_by_commands
from worklore.app import build
from worklore.clients.client import Client
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.settings import Settings
from worklore.kernel.types import uuid7
from worklore.resources import HOLDERS
from worklore.vault.check import check
from worklore.vault.credential import CREDENTIAL_SECRETS, Credential, CredentialType, SecretField
from worklore.vault.hierarchy import register
from worklore.vault.keyring import VaultKeyBytes, new_key, write_keyring
from worklore.vault.keys import KeyState
from worklore.vault.opening import live_nodes
from worklore.vault.rekeying import rekey
from worklore.vault.rotation import promote, retire, rewrap, standings

CREDENTIALS = int(os.environ.get("WORKLORE_ROTATE_CREDENTIALS", "300"))
CLIENTS = int(os.environ.get("WORKLORE_ROTATE_CLIENTS", "450"))
PAUSE = float(os.environ.get("WORKLORE_ROTATE_PAUSE", "0.2"))
"""Seconds between the requests of a caller: other tests run beside this one."""
CALLERS = 8
VERBS = ("reveal", "read", "rotate", "store")
EACH = 5
"""How often each is done at least, all callers together, however soon the key is changed."""
DEEP = 5
"""Clients whose own key is followed by another too, in the middle of it all."""


class BrokenOffError(Exception):
    """Stands for a kill where the rewrapping runs in this very process."""


def fill(ctx: Context) -> dict[str, str]:
    """Clients, each with a key, and credentials spread over them, each with a password; the passwords by id."""
    clients = [Client(id=uuid7(), name=unique("client"), type="msp_client") for _ in range(CLIENTS)]
    ctx.session.add_all(clients)
    ctx.session.flush()
    passwords: dict[str, str] = {}
    for number in range(max(CREDENTIALS, CLIENTS)):
        credential = Credential(
            id=uuid7(),
            client_id=clients[number % CLIENTS].id,
            credential_type=CredentialType.password,
            service_name=f"service {number}",
        )
        secret = f"{credential.id} 0"
        CREDENTIAL_SECRETS.put(ctx, credential, {SecretField.password: SecretStr(secret)})
        ctx.session.add(credential)
        passwords[str(credential.id)] = secret
    return passwords


@dataclass
class Caller(Thread):
    """Reads and writes secrets of its own credentials until it is told to end, and notes whatever went wrong."""

    api: httpx2.Client
    passwords: dict[str, str]
    client_id: str
    ended: Event
    chance: Random
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            key = self.chance.choice(list(self.passwords))
            verb = self.chance.choice(VERBS)
            try:
                self.ask(verb, key, number)
                self.done[verb] += 1
            except Exception as error:  # noqa: BLE001 - each failure is what the test looks for
                self.failed.append(f"{verb}: {error!r}")
            time.sleep(PAUSE)

    def ask(self, verb: str, key: str, number: int) -> None:
        if verb == "reveal":
            shown = self._post(f"/credentials/{key}/reveal", {"reason": "load"})["secrets"]
            assert shown == {"password": self.passwords[key]}, f"{key} shows another secret"
        elif verb == "rotate":
            secret = f"{key} {number}"
            self._post(f"/credentials/{key}/rotate", {"password": secret})
            self.passwords[key] = secret
        elif verb == "store":
            new = {"client_id": self.client_id, "credential_type": "password", "service_name": "new", "password": "x"}
            self.passwords[self._post("/credentials/store", new)["id"]] = "x"
        else:
            answer = self.api.get(f"/credentials/{key}")
            assert answer.status_code == 200, answer.text

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def loaded(hub: TestHub, passwords: dict[str, str]) -> Iterator[list[Caller]]:
    """Eight callers at work; at the end none of them has failed."""
    ended, keys, token = Event(), list(passwords), hub.token(scopes=["*"])
    client = hub.client(token).get(f"/credentials/{keys[0]}").json()["client_id"]
    callers = [
        Caller(hub.client(token), {key: passwords[key] for key in keys[number::CALLERS]}, client, ended, Random(number))
        for number in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    try:
        yield callers
    finally:
        ended.set()
        for caller in callers:
            caller.join()


def all_done(callers: list[Caller]) -> Counter[str]:
    return sum((caller.done for caller in callers), Counter[str]())


def enough(callers: list[Caller]) -> None:
    """Wait until the callers have done something of everything, or one has failed."""
    deadline = time.monotonic() + 60
    while min(all_done(callers)[verb] for verb in VERBS) < EACH and not any(caller.failed for caller in callers):
        assert time.monotonic() < deadline, all_done(callers)
        time.sleep(0.02)


class InProcess:
    """The key is changed by the process of the hub."""

    def __init__(self, hub: TestHub, new: VaultKeyBytes) -> None:
        self.database, self.ring, self.new = hub.database, hub.hub.vault.keyring, new

    def add(self) -> None:
        self.database.write(lambda ctx: register(ctx, self.new, KeyState.added).id)

    def promote(self) -> None:
        self.database.write(lambda ctx: promote(ctx, self.new, live_nodes(ctx)).id)

    def rewrap_and_die(self) -> None:
        def tell(_: int) -> None:
            raise BrokenOffError

        with pytest.raises(BrokenOffError):
            rewrap(self.database, self.ring, tell)

    def rewrap(self) -> None:
        assert rewrap(self.database, self.ring).unreadable == ()

    def retire(self, key: str) -> None:
        self.database.write(lambda ctx: retire(ctx, key).id)


class ByCommand(InProcess):
    """The key is changed by `worklore keys`, while the hub and another one run."""

    def promote(self) -> None:
        assert self._ended("promote", self.new.id) == (0, "")

    def rewrap_and_die(self) -> None:
        going = self._start("rewrap")
        assert going.stderr is not None
        while (line := going.stderr.readline()) and "rewrapped" not in line:
            pass
        going.send_signal(signal.SIGKILL)
        going.communicate(timeout=60)
        assert going.returncode == -signal.SIGKILL

    def rewrap(self) -> None:
        assert self._ended("rewrap", "--json") == (0, "")

    @staticmethod
    def _start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "worklore", "keys", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _ended(self, *arguments: str) -> tuple[int, str]:
        process = self._start(*arguments)
        _, said = process.communicate(timeout=300)
        return process.returncode, said


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(ConflictError) as error:
        yield
    assert error.value.code == code


@contextmanager
def second_hub(ready: Path, keys: str) -> Iterator[None]:
    """Another hub on the same database, given these keys only."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worklore", "serve", "--port", "0", "--ready-file", str(ready)],
        env=os.environ | {"WORKLORE_VAULT_KEYS": keys, "WORKLORE_LOG_LEVEL": "warning"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, "the second hub did not start"
            assert time.monotonic() < deadline, "the second hub did not start in time"
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def rings() -> tuple[VaultKeyBytes, VaultKeyBytes]:
    return new_key(), new_key()


@pytest.mark.slow
def test_a_key_is_changed_under_load(
    schema_url: URL,
    dialect: str,
    tmp_path: Path,
    rings: tuple[VaultKeyBytes, VaultKeyBytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = rings
    write_keyring(tmp_path / "keyring", [old, new])
    for hub in serve(schema_url, tmp_path):
        found_by_commands(hub.hub.settings, monkeypatch)
        hub.hub.watch.start()
        passwords = hub.database.write(fill)
        rotation = InProcess(hub, new) if hub.database.is_sqlite else ByCommand(hub, new)

        def wraps(hub: TestHub = hub) -> dict[str, int]:
            with hub.database.read(SYSTEM) as ctx:
                return {row.key_id: row.rows for row in standings(ctx, hub.hub.vault.keyring)}

        began = time.monotonic()
        with loaded(hub, passwords) as callers:
            rotation.add()
            if isinstance(rotation, ByCommand):
                with second_hub(tmp_path / "ready", old.line()), refused("vault-key-lags"):
                    InProcess.promote(rotation)
            rotation.promote()
            rotation.rewrap_and_die()
            between = wraps()
            assert 0 < between[old.id] < CLIENTS, f"it did not end in the middle: {between}"
            with refused("vault-key-needed"):
                rotation.retire(old.id)
            rotation.rewrap()
            rotation.retire(old.id)
            deep = rekey(hub.database, HOLDERS, clients_of(hub)[:DEEP])
            assert (deep.clients, deep.unreadable) == (DEEP, ())
            enough(callers)
        seconds = time.monotonic() - began
        failed = [what for caller in callers for what in caller.failed]
        assert failed == []
        done = all_done(callers)
        assert wraps() == {old.id: 0, new.id: CLIENTS}
        told = {"database": dialect, "credentials": len(passwords), "seconds": round(seconds, 1), **done}
        print(json.dumps(told))  # noqa: T201 - with pytest -s
        passwords = {key: secret for caller in callers for key, secret in caller.passwords.items()}
    hub_again(schema_url, tmp_path, new, passwords)


def clients_of(hub: TestHub) -> list[uuid.UUID]:
    with hub.database.read(SYSTEM) as ctx:
        return list(ctx.session.scalars(select(Client.id).order_by(Client.id)))


def hub_again(url: URL, folder: Path, key: VaultKeyBytes, passwords: dict[str, str]) -> None:
    """By the new key alone all opens, and is what was written last."""
    (folder / "keyring").rename(folder / "both")
    again = build(Settings(data=folder, database_url=url.render_as_string(hide_password=False), vault_keys=key.line()))
    try:
        with again.database.read(SYSTEM) as ctx:
            assert check(ctx, HOLDERS).shut == ()
            opened = {
                str(record.id): CREDENTIAL_SECRETS.open(ctx, record, SecretField.password).reveal()
                for record in ctx.session.scalars(select(Credential))
            }
        assert opened == passwords
    finally:
        again.close()
