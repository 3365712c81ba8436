"""`worklore vault check` opens every sealed value, and names those that do not open without showing any."""

import json
import os
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from tests.conftest import TestHub, unique
from worklore.app import Hub, build
from worklore.clients.client import Client
from worklore.integrations.credential import INTEGRATION_SECRETS, IntegrationCredential
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.errors import UnavailableError
from worklore.kernel.settings import Settings
from worklore.kernel.types import uuid7
from worklore.main import _parser
from worklore.resources import HOLDERS
from worklore.runs.configuration import Configuration, check
from worklore.vault.credential import CREDENTIAL_SECRETS, Credential, CredentialType
from worklore.vault.fields import column_of
from worklore.vault.keyring import new_key
from worklore.vault.keys import ClientKey

SECRET = "planted canary"
Command = Callable[..., Any]
OTHERS = {
    ("vault_keys", "canary"): "what proves a vault key",
    ("client_keys", "wrapped_key"): "a client's key itself, looked at by itself",
    ("signing_keys", "wrapped_private_key"): "no secret of a record",
    ("second_factors", "seed_encrypted"): "sealed with the hub's key, not by the vault",
}
"""Sealed bytes that no holder tells of, and why."""


def test_every_sealed_column_is_a_holders() -> None:
    known = {(holder.model.__tablename__, column_of(field)) for holder in HOLDERS for field in holder.fields}
    sealed = {
        (table.name, column.name)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.info.get("sealed") and column.type.python_type is bytes
    }
    assert sealed == known | OTHERS.keys()


def fill(hub: Hub, rows: int) -> dict[str, list[uuid.UUID]]:
    """Records of each table that holds secrets, one secret of each kind in each."""

    def work(ctx: Context) -> dict[str, list[uuid.UUID]]:
        client = Client(id=uuid7(), name=unique("client"), type="msp_client")
        ctx.session.add(client)
        ctx.session.flush()
        made: dict[str, list[uuid.UUID]] = {}
        for number in range(rows):
            credential = Credential(
                id=uuid7(),
                client_id=client.id if number % 2 else None,
                credential_type=CredentialType.password,
                service_name=unique("service"),
            )
            integration = IntegrationCredential(id=uuid7(), integration_name="syncro", credential_type="api_key")
            for holder, record in ((CREDENTIAL_SECRETS, credential), (INTEGRATION_SECRETS, integration)):
                given: dict[Any, SecretStr] = {field: SecretStr(f"{SECRET} {field}") for field in holder.fields}
                holder.put(ctx, record, given)
            setting = Configuration(id=uuid7(), key=unique("setting"), value=SECRET, is_secret=True)
            check(ctx, setting, {})
            for record in (credential, integration, setting):
                ctx.session.add(record)
                made.setdefault(record.__tablename__, []).append(record.id)
        return made

    return hub.database.write(work)


def found_by_commands(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands work on what a hub works on."""
    for name in [name for name in os.environ if name.startswith("WORKLORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WORKLORE_DATA", str(settings.data))
    monkeypatch.setenv("WORKLORE_CONFIG", str(settings.data / "none.env"))
    monkeypatch.setenv("WORKLORE_DATABASE_URL", settings.url)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub of its own on SQLite that commands find."""
    settings = Settings(data=tmp_path / "data")
    found_by_commands(settings, monkeypatch)
    hub = build(settings)
    yield hub
    hub.close()


@pytest.fixture
def checked(capsys: pytest.CaptureFixture[str]) -> Command:
    def command(code: int) -> Any:
        options = _parser("vault").parse_args(["vault", "check", "--json"])
        capsys.readouterr()
        assert options.run(options) == code
        said = capsys.readouterr()
        assert SECRET not in said.out + said.err
        return json.loads(said.out)

    return command


def test_it_finds_what_was_changed_while_the_hub_runs(
    hub: TestHub, checked: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other tests leave what does not open in the same database; here only our own records count."""
    found_by_commands(hub.hub.settings, monkeypatch)
    made = fill(hub.hub, 4)
    chance, damaged = random.Random(7), dict[tuple[str, str, str], bytes]()
    with hub.database.writing.begin() as connection:
        for holder in HOLDERS:
            table = Base.metadata.tables[holder.model.__tablename__]
            field = column_of(chance.choice(list(holder.fields)))
            one, two = made[table.name][:2]
            values = [
                connection.execute(select(table.c[field]).where(table.c.id == key)).scalar_one() for key in (one, two)
            ]
            changed = bytearray(values[0])
            changed[chance.randrange(len(changed))] ^= 1
            for key, former, value in ((one, values[0], bytes(changed)), (two, values[1], values[0])):
                connection.execute(table.update().where(table.c.id == key).values({field: value}))
                damaged[table.name, str(key), field] = former
    told = checked(1)
    own = {str(key) for keys in made.values() for key in keys}
    assert {
        (one["table"], one["record"], one["field"]) for one in told["shut"] if one["record"] in own
    } == damaged.keys()
    assert told["values"] >= 4 * (7 + 4 + 1)
    with hub.database.writing.begin() as connection:
        for (name, key, field), former in damaged.items():
            table = Base.metadata.tables[name]
            connection.execute(table.update().where(table.c.id == uuid.UUID(key)).values({field: former}))


def test_a_client_key_that_is_damaged_is_named_with_all_it_seals(started: Hub, checked: Command) -> None:
    made = fill(started, 2)
    assert checked(0) == {"opens": True, "keys": 2, "values": 2 * (7 + 4 + 1), "shut": []}
    table = Base.metadata.tables[ClientKey.__tablename__]
    with started.database.writing.begin() as connection:
        key = connection.execute(select(table.c.id).where(table.c.client_id.is_not(None))).scalar_one()
        connection.execute(table.update().where(table.c.id == key).values(wrapped_key=b"rubbish"))
    shut = checked(1)["shut"]
    assert {"table": "client_keys", "record": str(key), "field": "wrapped_key"} in shut
    assert {one["record"] for one in shut} == {str(key), str(made["credentials"][1])}
    assert len(shut) == 1 + len(CREDENTIAL_SECRETS.fields)


def test_a_sealed_vault_is_told_by_the_exit_code_and_people_read_the_rest(
    started: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(started, 1)
    options = _parser("vault").parse_args(["vault", "check"])
    capsys.readouterr()
    assert options.run(options) == 0
    assert capsys.readouterr().out == "All open: 12 sealed values under 1 client keys.\n"
    monkeypatch.setenv("WORKLORE_VAULT_KEYS", new_key().line())
    done = run([sys.executable, "-m", "worklore", "vault", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "fingerprint" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    monkeypatch.delenv("WORKLORE_VAULT_KEYS")
    (started.settings.data / "keyring").unlink()
    with pytest.raises(UnavailableError, match="no key was given"):
        options.run(options)
