"""One vault key follows another: under the hub's eyes, by the command, and through a kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, func, insert, select

from tests.conftest import TestHub, unique
from worklore.app import Hub, build
from worklore.clients.client import Client
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.errors import HubError
from worklore.kernel.nodes import HubNode
from worklore.kernel.settings import Settings
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow, uuid7
from worklore.main import _parser
from worklore.vault.hierarchy import OpenKey, active_key, register, unwrap, wrap
from worklore.vault.keyring import Keyring, new_key, parse
from worklore.vault.keys import ClientKey, KeyState, VaultKey
from worklore.vault.opening import ALIVE_SECONDS, Watch, live_nodes
from worklore.vault.rotation import promote, retire, rewrap, standings
from worklore.vault.seal import Place, vault_of
from worklore.vault.secret import Secret

MANY = int(os.environ.get("WORKLORE_REWRAP_KEYS", "2000"))


def refused(work: Callable[[], object], code: str) -> HubError:
    with pytest.raises(HubError) as error:
        work()
    assert error.value.code == code, error.value.detail
    return error.value


def seal(hub: Hub, place: Place) -> bytes:
    return hub.database.write(lambda ctx: vault_of(ctx).seal(ctx, Secret(str(place.record_id)), place))


def opened(hub: Hub, sealed: bytes, place: Place) -> str:
    with hub.database.read(SYSTEM) as ctx:
        return vault_of(ctx).open(ctx, sealed, place).reveal()


def states(hub: Hub, keyring: Keyring) -> dict[str, tuple[str, int]]:
    with hub.database.read(SYSTEM) as ctx:
        return {row.key_id: (row.state.value, row.rows) for row in standings(ctx, keyring)}


def own_client(hub: Hub) -> uuid.UUID:
    def work(ctx: Context) -> uuid.UUID:
        client = Client(id=uuid7(), name=unique("client"), type="msp_client")
        ctx.session.add(client)
        return client.id

    return hub.database.write(work)


def test_a_key_follows_another_while_the_hub_runs(schema_url: URL, tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    both = Keyring({key.id: key for key in (old, new)}, "both")
    url = schema_url.render_as_string(hide_password=False)
    hub = build(Settings(data=tmp_path, database_url=url, vault_keys=f"{old.line()} {new.line()}"))
    try:
        places = [Place(own_client(hub), "credentials", uuid7(), "password_encrypted") for _ in range(5)]
        sealed = {place: seal(hub, place) for place in places}
        write = hub.database.write
        refused(lambda: write(lambda ctx: promote(ctx, new, [])), "vault-key-unknown")
        write(lambda ctx: register(ctx, new, KeyState.added).id)

        lagging = HubNode(name="other", hostname="other", software_version="1", key_fingerprints=[old.fingerprint])
        write(lambda ctx: ctx.session.add(lagging))
        hub.watch.beat()
        error = refused(lambda: write(lambda ctx: promote(ctx, new, live_nodes(ctx)).id), "vault-key-lags")
        assert error.members["nodes"] == ["other"], "this hub has both"
        assert states(hub, both) == {old.id: ("active", 5), new.id: ("added", 0)}

        def outlive(ctx: Context) -> None:
            node = ctx.session.scalars(select(HubNode).where(HubNode.name == "other")).one()
            node.last_heartbeat = ctx.now() - timedelta(seconds=ALIVE_SECONDS + 1)

        write(outlive)
        write(lambda ctx: promote(ctx, new, live_nodes(ctx)).id)
        write(lambda ctx: promote(ctx, new, live_nodes(ctx)).id)
        later = Place(own_client(hub), "credentials", uuid7(), "password_encrypted")
        sealed[later] = seal(hub, later)
        assert states(hub, both) == {old.id: ("decrypt-only", 5), new.id: ("active", 1)}
        assert refused(lambda: write(lambda ctx: retire(ctx, old.id).id), "vault-key-needed").members["rows"] == 5
        refused(lambda: write(lambda ctx: retire(ctx, new.id).id), "vault-key-state")
        assert states(hub, both)[old.id] == ("decrypt-only", 5), "what was refused changed nothing"

        assert (rewrap(hub.database, both).rewrapped, rewrap(hub.database, both).rewrapped) == (5, 0)
        write(lambda ctx: retire(ctx, old.id).id)
        assert states(hub, both) == {old.id: ("retired", 0), new.id: ("active", 6)}
        refused(lambda: write(lambda ctx: promote(ctx, old, []).id), "vault-key-state")
        assert all(opened(hub, sealed[place], place) == str(place.record_id) for place in sealed)
    finally:
        hub.close()
    hub = build(Settings(data=tmp_path, database_url=url, vault_keys=new.line()))
    try:
        assert all(opened(hub, sealed[place], place) == str(place.record_id) for place in sealed), (
            "by the new key alone"
        )
    finally:
        hub.close()


def test_a_node_is_listed_while_it_runs(hub: TestHub) -> None:
    watch = Watch(hub.database, hub.hub.vault, "1")

    def listed() -> list[list[str]]:
        with hub.database.read(SYSTEM) as ctx:
            return [node.key_fingerprints for node in live_nodes(ctx) if node.id == watch._id]

    assert listed() == []
    watch.start()
    assert listed() == [[key.fingerprint for key in hub.hub.vault.keyring]]
    watch.stop()
    assert listed() == []


# --- by the command -------------------------------------------------------------------------------------------------


@dataclass
class Host:
    """A folder of a hub, and its commands."""

    data: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        """What a command told: its JSON, or its error."""
        options = _parser("keys").parse_args(["keys", *arguments, "--json"])
        self.capsys.readouterr()
        try:
            ended = options.run(options)
        except HubError as error:
            ended, told = 2, error.detail
        else:
            told = json.loads(self.capsys.readouterr().out)
        assert ended == code, told
        return told

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "worklore", "keys", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def keys(self) -> list[str]:
        return list(parse((self.data / "keyring").read_text(), "keyring"))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    for name in [name for name in os.environ if name.startswith("WORKLORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WORKLORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("WORKLORE_CONFIG", str(tmp_path / "none.env"))
    build(Settings(data=tmp_path / "data")).close()
    (tmp_path / "passphrase").write_text("correct horse battery staple\n")
    (tmp_path / "passphrase").chmod(0o600)
    return Host(tmp_path / "data", capsys)


def test_the_command_makes_verifies_and_restores_a_kit(host: Host, tmp_path: Path) -> None:
    kit, passphrase = str(tmp_path / "kit"), str(tmp_path / "passphrase")
    host("export-kit", kit, passphrase)
    assert Path(kit).stat().st_mode & 0o777 == 0o600
    ring = parse((host.data / "keyring").read_text(), "keyring")
    assert all(key.line().partition(":")[2].encode() not in Path(kit).read_bytes() for key in ring.values())
    assert host("verify-kit", kit, passphrase)["verified"] is True
    added = host("add")["key_id"]
    assert host("verify-kit", kit, passphrase, code=1)["missing"] == [added]
    host("export-kit", kit, passphrase, code=2)
    (host.data / "keyring").unlink()
    assert host("status", code=1)["keys"][0]["given"] is False
    host("restore-kit", kit, passphrase)
    assert host.keys() == list(ring)
    assert host("status")["keys"][0]["proven"] is True
    host("restore-kit", kit, passphrase, code=2)
    Path(kit).write_bytes(Path(kit).read_bytes()[:-1] + b"x")
    assert "damaged" in host("verify-kit", kit, passphrase, code=2)


def test_a_database_that_no_hub_has_begun_on_has_no_keys(host: Host) -> None:
    database = Database(f"sqlite:///{host.data / 'worklore.db'}")
    with database.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM restore_epochs")
    database.close()
    assert "No hub has begun" in host("status", code=2)


def test_a_running_hub_on_sqlite_has_the_file(host: Host) -> None:
    hub = build(Settings(data=host.data))
    try:
        assert "Another hub" in host("status", code=2)
    finally:
        hub.close()


def test_rewrapping_is_killed_and_goes_on(host: Host) -> None:
    """Keys of many generations stand for keys of many clients."""
    old = parse((host.data / "keyring").read_text(), "keyring")[host.keys()[0]]
    hub = build(Settings(data=host.data))
    client = own_client(hub)
    installation = hub.vault._installation
    keys = [OpenKey(uuid7(), client, number + 1, os.urandom(32)) for number in range(MANY)]

    def fill(ctx: Context) -> None:
        active = active_key(ctx)
        assert active is not None
        rows = [
            {
                "id": key.id,
                "client_id": client,
                "vault_key_id": active.id,
                "generation": key.generation,
                "wrapped_key": wrap(key, old, installation),
                "created_at": utcnow(),
                "updated_at": utcnow(),
            }
            for key in keys
        ]
        ctx.session.execute(unaudited(insert(ClientKey), "a test's rows"), rows)

    hub.database.write(fill)
    place = Place(client, "credentials", uuid7(), "password_encrypted")
    sealed = seal(hub, place)
    hub.close()
    new = host("add")["key_id"]
    host("promote", new)

    kills, seen = 0, list[int]()
    while True:
        going = host.start("rewrap")
        assert going.stderr is not None
        if kills < 2:
            while (line := going.stderr.readline()) and "rewrapped" not in line:
                pass
            time.sleep(0.02 * kills)
            going.send_signal(signal.SIGKILL)
            kills += 1
        going.communicate(timeout=120)
        left = next(row["rows"] for row in host("status")["keys"] if row["key_id"] == old.id)
        seen.append(left)
        if kills == 2 and left == 0:
            break
        if left:
            host("retire", old.id, code=2)
    assert any(0 < left < MANY for left in seen), f"no kill came in between: {seen}"
    assert seen == sorted(seen, reverse=True)
    host("retire", old.id)

    ring = parse((host.data / "keyring").read_text(), "keyring")
    (host.data / "keyring").rename(host.data / "both")
    hub = build(Settings(data=host.data, vault_keys=ring[new].line()))
    try:
        with hub.database.read(SYSTEM) as ctx:
            stored = {
                row.id: unwrap(row, hub.vault.keyring, installation) for row in ctx.session.scalars(select(ClientKey))
            }
            assert ctx.session.scalar(select(func.count()).select_from(VaultKey)) == 2
        assert {key.id: key.secret for key in keys} == {key: stored[key].secret for key in stored}
        assert opened(hub, sealed, place) == str(place.record_id)
    finally:
        hub.close()
