"""A client's key that was seen is followed by another, and everything under it is sealed anew."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import URL, select

from tests.conftest import TestHub, unique
from tests.vault.conftest import make_client
from tests.vault.test_check import SECRET, fill, found_by_commands, started  # noqa: F401 - a fixture
from tests.vault.test_credentials import secrets_of, stored
from worklore.app import Hub, build
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.errors import ConflictError
from worklore.kernel.settings import Settings
from worklore.kernel.types import uuid7
from worklore.ops.dump import looking
from worklore.resources import HOLDERS
from worklore.vault.credential import CREDENTIAL_SECRETS, Credential, CredentialType, SecretField
from worklore.vault.fields import column_of
from worklore.vault.keys import ClientKey
from worklore.vault.rekeying import _drop, _follow, owners, rekey
from worklore.vault.seal import key_of, vault_of

MANY = int(os.environ.get("WORKLORE_REKEY_SECRETS", "500"))


def keys_of(hub: Hub, client: uuid.UUID | None) -> list[tuple[int, str]]:
    wanted = select(ClientKey.generation, ClientKey.state).order_by(ClientKey.generation)
    wanted = wanted.where(ClientKey.client_id == client if client else ClientKey.client_id.is_(None))
    with hub.database.read(SYSTEM) as ctx:
        return [(generation, state.value) for generation, state in ctx.session.execute(wanted)]


def sealed_by(hub: Hub) -> dict[uuid.UUID, int]:
    """How many values each client key seals."""
    found: dict[uuid.UUID, int] = {}
    with hub.database.reading.connect() as connection:
        for holder in HOLDERS:
            table = Base.metadata.tables[holder.model.__tablename__]
            for row in connection.execute(select(*(table.c[column_of(field)] for field in holder.fields))):
                for value in row:
                    if value is not None:
                        found[key_of(value)] = found.get(key_of(value), 0) + 1
    return found


def opened(hub: Hub) -> int:
    """All that is stored opens; how much it is."""
    count = 0
    with hub.database.read(SYSTEM) as ctx:
        for holder in HOLDERS:
            for record in ctx.session.scalars(select(holder.model)):
                for field in holder.held(record):
                    assert holder.open(ctx, record, field).reveal().startswith(SECRET)
                    count += 1
    return count


def test_all_of_all_tables_is_sealed_anew_and_the_former_keys_are_gone(started: Hub) -> None:  # noqa: F811
    fill(started, 5)
    before, values = sealed_by(started), opened(started)
    clients = sorted(owners(started.database), key=str, reverse=True)
    done = rekey(started.database, HOLDERS, clients)
    assert (done.clients, done.values, done.unreadable) == (2, values, ())
    after = sealed_by(started)
    assert not before.keys() & after.keys()
    assert sum(after.values()) == values == opened(started)
    assert [keys_of(started, client) for client in clients] == [[(2, "active")]] * 2
    assert rekey(started.database, HOLDERS, [None]).clients == 1
    assert [keys_of(started, client) for client in clients] == [[(3, "active")], [(2, "active")]]
    assert values == opened(started)


def test_one_that_does_not_open_keeps_the_former_key(hub: TestHub, api: Any) -> None:
    client = make_client(hub.database)
    good, bad = (stored(api, client, login=unique("login"), password=f"{SECRET} {name}") for name in ("good", "bad"))
    table = Base.metadata.tables["credentials"]
    with hub.database.writing.begin() as connection:
        broken = table.update().where(table.c.id == uuid.UUID(bad["id"]))
        connection.execute(broken.values(password_encrypted=b"rubbish"))
    done = rekey(hub.database, HOLDERS, [client])
    assert [(place.record_id, place.field) for place in done.unreadable] == [
        (uuid.UUID(bad["id"]), "password_encrypted")
    ]
    assert keys_of(hub.hub, client) == [(1, "decrypt-only"), (2, "active")]
    assert secrets_of(api, good["id"], "password") == {"password": f"{SECRET} good"}
    rotated = api.post(f"/credentials/{bad['id']}/rotate", json={"password": SECRET})
    assert rotated.status_code == 200, rotated.text
    done = rekey(hub.database, HOLDERS, [client])
    assert (done.values, done.unreadable) == (0, ()), "gone on with, not begun anew"
    assert keys_of(hub.hub, client) == [(2, "active")]


def test_a_login_is_found_before_during_and_after(hub: TestHub, api: Any) -> None:
    client, login = make_client(hub.database), unique("login")
    key = stored(api, client, login=login)["id"]

    def found() -> list[str]:
        return [item["id"] for item in api.post("/credentials/find-login", json={"login": login}).json()["items"]]

    hub.database.write(lambda ctx: _follow(ctx, client))
    assert keys_of(hub.hub, client) == [(1, "decrypt-only"), (2, "active")]
    assert found() == [key], "not sealed anew yet"
    assert rekey(hub.database, HOLDERS, [client]).values == 1
    assert found() == [key]
    assert api.post(f"/credentials/{key}/rotate", json={"login": f"{login} new"}).status_code == 200
    assert found() == []


def test_what_was_read_before_the_former_key_was_dropped_still_opens(hub: TestHub, api: Any) -> None:
    client = make_client(hub.database)
    key = uuid.UUID(stored(api, client, password=SECRET)["id"])
    if hub.database.is_sqlite:
        assert rekey(hub.database, HOLDERS, [client]).values == 1
        return  # on one writer's file a reader sees one moment throughout
    with hub.database.read(SYSTEM) as ctx:
        record = ctx.session.get_one(Credential, key)
        assert rekey(hub.database, HOLDERS, [client]).values == 1
        assert CREDENTIAL_SECRETS.open(ctx, record, SecretField.password).reveal() == SECRET
    failed = list[uuid.UUID]()
    while not hub.hub.vault.unreadable.empty():  # other tests' secrets may have failed to open, on purpose
        failed.append(hub.hub.vault.unreadable.get_nowait().place.record_id)
    assert key not in failed


def test_a_key_is_not_dropped_under_somebody_who_seals_by_it(hub: TestHub) -> None:
    """Whoever began to seal ends before the next key takes over, so that nothing comes under the former one."""
    client = make_client(hub.database)
    hub.database.write(lambda ctx: vault_of(ctx).make_key(ctx, client, 1))

    def seal(ctx: Context) -> bool:
        """True when the key could not be followed while this transaction was open."""
        credential = Credential(
            id=uuid7(), client_id=client, credential_type=CredentialType.password, service_name=unique("service")
        )
        CREDENTIAL_SECRETS.put(ctx, credential, {SecretField.password: SecretStr(SECRET)})
        ctx.session.add(credential)
        ctx.session.flush()
        with hub.database.reading.connect() as other:
            locked = select(ClientKey.id).where(ClientKey.client_id == client).with_for_update(skip_locked=True)
            return hub.database.is_sqlite or other.execute(locked).first() is None

    assert hub.database.write(seal)
    done = rekey(hub.database, HOLDERS, [client])
    assert (done.values, keys_of(hub.hub, client)) == (1, [(2, "active")])


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "worklore", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_it_is_killed_and_goes_on(hub: TestHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a server while the hub runs; on SQLite, whose file one process has at a time, on one of its own."""
    own = build(Settings(data=tmp_path / "data")) if hub.database.is_sqlite else hub.hub
    found_by_commands(own.settings, monkeypatch)
    client, url = make_client(own.database), own.database.url

    def many(ctx: Context) -> None:
        for _ in range(MANY):
            credential = Credential(
                id=uuid7(), client_id=client, credential_type=CredentialType.password, service_name="portal"
            )
            CREDENTIAL_SECRETS.put(ctx, credential, {SecretField.password: SecretStr(SECRET)})
            ctx.session.add(credential)

    own.database.write(many)
    if hub.database.is_sqlite:
        own.close()
    deep = ("keys", "rewrap", "--deep", "--client", str(client))
    (former,) = seals(url, client)
    going = command(*deep)
    assert going.stderr is not None
    while (line := going.stderr.readline()) and "sealed anew" not in line:
        pass
    going.send_signal(signal.SIGKILL)
    going.communicate(timeout=60)
    between = seals(url, client)
    assert 0 < between[former] < MANY, between
    again = command(*deep, "--json")
    told, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert json.loads(told) == {"clients": 1, "values": between[former], "unreadable": []}
    after = seals(url, client)
    assert (len(after), sum(after.values()), former in after) == (1, MANY, False)


CREDENTIALS = Base.metadata.tables["credentials"]


def seals(url: URL, client: uuid.UUID) -> dict[uuid.UUID, int]:
    """How many passwords of a client each key seals."""
    passwords = select(CREDENTIALS.c.password_encrypted).where(CREDENTIALS.c.client_id == client)
    with looking(url) as connection:
        return Counter(key_of(value) for value in connection.execute(passwords).scalars())


def test_one_key_follows_however_many_make_it_at_once(hub: TestHub) -> None:
    client, barrier = make_client(hub.database), Barrier(4)
    hub.database.write(lambda ctx: vault_of(ctx).make_key(ctx, client, 1))
    made: list[uuid.UUID | None] = []

    def follow() -> None:
        barrier.wait()
        made.append(hub.database.write(lambda ctx: _follow(ctx, client)))

    threads = [Thread(target=follow) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1
    assert keys_of(hub.hub, client) == [(1, "decrypt-only"), (2, "active")]
    assert rekey(hub.database, HOLDERS, [client]).values == 0
    assert keys_of(hub.hub, client) == [(2, "active")]


def test_a_former_key_under_which_something_is_left_is_not_deleted(hub: TestHub, api: Any) -> None:
    client = make_client(hub.database)
    key = stored(api, client, password=SECRET)["id"]
    newest = hub.database.write(lambda ctx: _follow(ctx, client))
    assert newest is not None
    with pytest.raises(ConflictError) as error:
        hub.database.write(lambda ctx: _drop(ctx, HOLDERS, client, newest))
    assert error.value.members["rows"] == 1
    assert keys_of(hub.hub, client) == [(1, "decrypt-only"), (2, "active")]
    assert secrets_of(api, key) == {"password": SECRET}
