"""Machines remember where the hub's audit stood: a real hub, the flusher that runs on a machine, and what it finds."""

import json
import os
import shutil
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.conftest import adding
from tests.client.conftest import record, write_records
from tests.conftest import TestHub, serve
from worklore.identity.keys import HubKey
from worklore.identity.token import TokenKind
from worklore.kernel.audit import CHAINS
from worklore.kernel.db import database_url
from worklore.kernel.epoch import begin_epoch
from worklore.ops.audit_chain import HandedOut, of_file, root_of
from worklore.ops.audit_verify import State, verify
from worklore_client import checkpoints
from worklore_client.config import Config, save
from worklore_client.ed25519 import valid
from worklore_client.flush import flush

STATUS = "status"


class Site:
    """A hub in a folder of its own, and a machine that is connected to it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.home = folder / "home"
        self.transcript = folder / "t.jsonl"
        self.said = 0
        self.data.mkdir()

    @contextmanager
    def hub(self) -> Iterator[TestHub]:
        """The machine keeps its token, and knows the hub by one name whatever its port is."""
        with contextmanager(serve)(database_url(f"sqlite:///{self.data / 'hub.db'}"), self.data) as hub:
            if not self.home.exists():
                token = hub.token(kind=TokenKind.machine)
                save(Config(self.home, hub.url, token, {"linger_ms": "0", "retry_s": "0"}))
            config = self.home / "config"
            kept = [line for line in config.read_text().splitlines() if not line.startswith("hub=")]
            config.write_text("\n".join([f"hub={hub.url}", *kept]) + "\n")
            yield hub

    def sync(self) -> list[dict[str, Any]]:
        """The agent said something, and the flusher sends it; the checkpoints that are kept then."""
        self.said += 1
        write_records(self.transcript, [record(self.said)], mode="a")
        note = {"agent": "claude-code", "event": "Stop", "session_id": "s-1", "folder": str(self.home)}
        (self.home / "spool" / "1.note").write_text(json.dumps({**note, "transcript_path": str(self.transcript)}))
        assert flush(self.home)
        return checkpoints.remembered(self.home)

    def alarm(self) -> str | None:
        found = checkpoints.alarm(self.home)
        return found and found.code

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.home), "WORKLORE_HOME": str(self.home)}
        command = [sys.executable, "-m", "worklore_cli", *arguments, "--json"]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)

    def audit_check(self) -> dict[str, str]:
        checks = json.loads(self.command("doctor").stdout)
        found: list[dict[str, str]] = checks["checks"] if isinstance(checks, dict) else checks
        return next(check for check in found if check["name"] == "audit")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def more(hub: TestHub) -> None:
    """Something happens, and the hub says where its audit stands then."""
    hub.database.write(adding())
    hub.hub.witness.testify()


def cut_off(hub: TestHub, entries: int) -> None:
    """Take the last entries away, as somebody could who has the database and not the key."""
    with hub.database.writing.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER trigger_audit_log_no_delete")
        last = "SELECT seq FROM audit_log WHERE chain IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET ?"
        seq = connection.exec_driver_sql(last, (entries,)).scalar_one()
        connection.exec_driver_sql("DELETE FROM audit_log WHERE seq > ?", (seq,))
    chains: Any = hub.database.provided(CHAINS)
    chains.forget()


def test_checkpoints_come_with_every_sync_and_go_on_from_each_other(site: Site) -> None:
    with site.hub() as hub:
        assert len(site.sync()) == 1
        assert len(site.sync()) == 1
        more(hub)
        first, second = site.sync()
        assert (second["id"], first["hub"]) == (str(hub.hub.witness.newest.id), hub.url)  # type: ignore[union-attr]
        assert site.alarm() is None
        assert site.audit_check()["state"] == "ok"
        assert json.loads(site.command(STATUS).stdout)["audit_alarm"] is None
        file = site.home / checkpoints.KEPT
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # The file as it is, in the hands of whoever verifies.
        key: HubKey = hub.hub.gateway.authenticator.key
        with hub.database.reading.connect() as connection:
            verdict = verify(connection, [key], of_file(file))
        assert (verdict.state, verdict.checkpoints >= 2) == (State.intact, True)


@pytest.mark.parametrize("grown", [1, 9], ids=["still shorter", "longer again"])
def test_an_end_that_was_cut_off_raises_the_alarm(site: Site, capfd: pytest.CaptureFixture[str], grown: int) -> None:
    with site.hub() as hub:
        more(hub)
        site.sync()
        more(hub)
        kept = site.sync()
        cut_off(hub, 4)
        for _ in range(grown):
            hub.database.write(adding())
        hub.hub.witness.testify()
        assert "run worklore audit verify" in "".join(capfd.readouterr())
        assert site.sync() == kept
        assert site.alarm() == "checkpoint-not-extended"
        assert "checkpoint-not-extended" in (site.home / "hook.log").read_text()
        # It stays until somebody has looked, however the hub goes on.
        for _ in range(9):
            hub.database.write(adding())
        hub.hub.witness.testify()
        site.sync()
        check = site.audit_check()
        assert (check["state"], "AUDIT ALARM" in check["detail"]) == ("failure", True)
        assert check["hint"].count(checkpoints.KEPT) == 2
        said = site.command(STATUS)
        assert (said.returncode, json.loads(said.stdout)["audit_alarm"]) == (1, "checkpoint-not-extended")
        found = json.loads((site.home / checkpoints.ALARM).read_text())
        assert found["kept"]["id"] == kept[-1]["id"] != found["seen"]["id"]
        # What the machine kept is what the operator needs.
        with hub.database.reading.connect() as connection:
            key = hub.hub.gateway.authenticator.key
            verdict = verify(connection, [key], of_file(site.home / checkpoints.KEPT))
        assert verdict.state is State.broken
        (site.home / checkpoints.ALARM).rename(site.home / "seen.json")
        assert site.alarm() is None


def test_an_older_database_in_its_place_is_found_at_the_first_sync(site: Site, tmp_path: Path) -> None:
    with site.hub() as hub:
        site.sync()
        with hub.database.writing.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql(f"VACUUM INTO '{tmp_path / 'older.db'}'")
        more(hub)
        kept = site.sync()
        address = hub.url
    for name in ("hub.db-wal", "hub.db-shm"):
        (site.data / name).unlink(missing_ok=True)
    shutil.copyfile(tmp_path / "older.db", site.data / "hub.db")
    with site.hub() as hub:
        at_home(site, address, hub.url)
        site.sync()
        assert checkpoints.remembered(site.home)[-1]["id"] == kept[-1]["id"]
        assert site.alarm() == "checkpoint-not-extended"


def at_home(site: Site, former: str, url: str) -> None:
    """The hub has another port now; its address did not change as far as the machine is concerned."""
    file = site.home / checkpoints.KEPT
    file.write_text(file.read_text().replace(former, url))


def test_a_restore_that_is_announced_is_a_warning(site: Site) -> None:
    with site.hub() as hub:
        more(hub)
        former = site.sync()[-1]
        cut_off(hub, 2)
        hub.database.write(lambda ctx: begin_epoch(ctx, "0" * 64) and None)
        more(hub)
        assert len(site.sync()) == 2
        assert site.alarm() is None
        check = site.audit_check()
        assert (check["state"], "restored" in check["detail"]) == ("warning", True)
        assert site.command(STATUS).returncode == 0
        assert checkpoints.keep(site.home, hub.url, former, there) == "checkpoint-former-life"


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "checkpoint-forged": lambda told: told | {"records": told["records"] + 1},
    "signature": lambda told: told | {"signature": "00" * 64},
    "no hex": lambda told: told | {"signature": "x"},
    "root": lambda told: told | {"root": "0" * 64},
    "heads": lambda told: told | {"heads": {chain: [seq + 1, mac] for chain, (seq, mac) in told["heads"].items()}},
    "at": lambda told: told | {"at": told["at"] + 1},
    "epoch": lambda told: told | {"epoch": str(uuid.uuid4())},
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_checkpoint_is_told_as_such(tmp_path: Path, forge: Callable[[dict[str, Any]], Any]) -> None:
    told = made(KEY, {"a.0.k": (7, "0" * 64)})
    assert checkpoints.keep(tmp_path, "https://hub.example.com", forge(told), there) == "checkpoint-forged"
    assert checkpoints.remembered(tmp_path) == []
    assert checkpoints.alarm(tmp_path) is not None


KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LIFE = uuid.uuid4()


def made(key: Ed25519PrivateKey, heads: dict[str, tuple[int, str]], at: int = 1) -> dict[str, Any]:
    """A checkpoint as a hub with that key would hand it out."""
    records = sum(seq for seq, _ in heads.values())
    public = key.public_key().public_bytes_raw().hex()
    told = HandedOut(
        id=uuid.uuid4(),
        at=at,
        epoch=LIFE,
        heads=heads,
        records=records,
        root=root_of(heads),
        key_id=public[:8],
        signature="",
        public_key=public,
    )
    told.signature = key.sign(told.message()).hex()
    found: dict[str, Any] = told.model_dump(mode="json")
    return found


def test_another_key_is_an_alarm_and_another_hub_is_none(tmp_path: Path) -> None:
    hub, heads = "https://hub.example.com", {"a.0.k": (7, "0" * 64)}
    assert checkpoints.keep(tmp_path, hub, made(KEY, heads), there) is None
    other = Ed25519PrivateKey.generate()
    assert checkpoints.keep(tmp_path, "https://other.example.com", made(other, {"b.0.k": (1, "1" * 64)}), there) is None
    assert checkpoints.keep(tmp_path, hub, made(other, heads, at=2), there) == "checkpoint-other-key"
    assert len(checkpoints.remembered(tmp_path)) == 2


def test_an_older_one_from_another_process_of_the_hub_is_no_news(tmp_path: Path) -> None:
    """What tells is whether the hub still has what is remembered here, not whose clock is ahead."""
    hub = "https://hub.example.com"
    old = made(KEY, {"a.0.k": (7, "0" * 64)}, at=5)
    new = made(KEY, {"a.0.k": (9, "1" * 64), "b.0.k": (1, "2" * 64)}, at=2)
    assert [checkpoints.keep(tmp_path, hub, told, there) for told in (new, old, new)] == [None] * 3
    assert [each["id"] for each in checkpoints.remembered(tmp_path)] == [new["id"]]
    more = made(KEY, {"a.0.k": (12, "3" * 64), "b.0.k": (1, "2" * 64)}, at=9)
    assert checkpoints.keep(tmp_path, hub, more, lambda heads: heads != new["heads"]) == "checkpoint-not-extended"
    assert len(checkpoints.remembered(tmp_path)) == 1


def there(_: dict[str, Any]) -> bool:
    """The hub has what it is asked for."""
    return True


def test_the_file_is_bounded_and_outlives_a_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MOST", 5)
    hub = "https://hub.example.com"
    told = [made(KEY, {"a.0.k": (number, f"{number:064}")}, at=number) for number in range(1, 9)]
    for each in told[:3]:
        assert checkpoints.keep(tmp_path, hub, each, there) is None
    file = tmp_path / checkpoints.KEPT
    file.write_bytes(file.read_bytes()[:-40])
    for each in told[3:]:
        assert checkpoints.keep(tmp_path, hub, each, there) is None
    assert [each["at"] for each in checkpoints.remembered(tmp_path)] == [4, 5, 6, 7, 8]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("told", [[], "x", {}, {"heads": {}}, {"id": 1}, {**made(KEY, {}), "heads": {"a": "b"}}])
def test_what_is_no_checkpoint_is_noted_and_no_alarm(tmp_path: Path, told: object) -> None:
    assert checkpoints.keep(tmp_path, "https://hub.example.com", told, there) == "checkpoint-unreadable"
    assert checkpoints.keep(tmp_path, "https://hub.example.com", None, there) is None
    assert checkpoints.alarm(tmp_path) is None


def test_signatures_are_judged_as_the_other_library_does() -> None:
    for size in (0, 1, 63, 64, 200):
        key, message = Ed25519PrivateKey.generate(), os.urandom(size)
        public, signature = key.public_key().public_bytes_raw(), key.sign(message)
        assert valid(public, message, signature)
        for place in range(0, 64, 7):
            changed = bytearray(signature)
            changed[place] ^= 1 << (place % 8)
            assert not valid(public, message, bytes(changed))
        assert not valid(public, message + b"x", signature)
        assert not valid(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), message, signature)
        assert not valid(public, message, signature[:63])
        assert not valid(public[:31], message, signature)
    # RFC 8032, section 7.1, test 2.
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert valid(public, b"\x72", signature)
    assert not valid(b"\xff" * 32, b"\x72", signature)
    assert not valid(public, b"\x72", signature[:32] + b"\xff" * 32)
