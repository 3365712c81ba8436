"""Backups that are damaged, foreign or too new, disks that are full, and processes that are killed: nothing is lost."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.conftest import TestHub, unique
from tests.databases import PREFIX, Templates, drop_database, run_on_server, server_url
from tests.ops.test_backups import SECRET, facts, refusal, rules_of
from worklore.kernel.db import database_url as understood
from worklore.ops import sealed_file
from worklore.ops.backup import BackupType, VerificationStatus
from worklore.ops.backup_note import described, found
from worklore.ops.backups import check, make, manifest
from worklore.ops.dump import sqlite_file
from worklore.ops.restore import restore
from worklore.ops.sealed_file import MAGIC, TAG, read_secret

Part = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def small(templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> URL:
    """A SQLite database with the schema and little else, that nobody has open."""
    return templates.copied("sqlite", tmp_path_factory.mktemp("small") / "small.db")


def head_and_body(path: Path) -> tuple[bytes, bytes]:
    whole = path.read_bytes()
    end = whole.index(b"\n", len(MAGIC)) + 1
    return whole[:end], whole[end:]


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, SECRET], ids=["readable", "encrypted"])
def test_a_file_that_is_not_as_it_was_written_is_refused_before_anything_is_touched(
    small: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: bytes | None
) -> None:
    monkeypatch.setattr(sealed_file, "PART", 4096)
    monkeypatch.setattr(sealed_file, "COST", 1 << 10)
    path = make(small, tmp_path, type=BackupType.manual, encrypt=secret)
    head, body = head_and_body(path)
    step = 4096 + TAG
    parts = [body[start : start + step] for start in range(0, len(body), step)]
    assert len(parts) > 4
    spoiled = {
        "cut at a part": b"".join(parts[:-1]),
        "cut in a part": body[:-100],
        "nothing left": b"",
        "parts in another order": b"".join([parts[1], parts[0], *parts[2:]]),
        "a part twice": b"".join([parts[0], *parts]),
        "a part gone": b"".join([parts[0], *parts[2:]]),
        "one bit": body[:5000] + bytes([body[5000] ^ 1]) + body[5001:],
        "more at the end": body + b"x",
    }
    heads = {"a head of another": head.replace(b'"manual"', b'"weekly"'), "a torn head": head[:40]}
    target = understood(f"sqlite:///{tmp_path / 'live.db'}")
    shutil.copy(sqlite_file(small), sqlite_file(target))
    before = facts(target)
    bad = tmp_path / f"bad{path.suffix}"
    for name, content in {
        **{k: head + v for k, v in spoiled.items()},
        **{k: v + body for k, v in heads.items()},
    }.items():
        bad.write_bytes(content)
        codes = {refusal(lambda: manifest(bad, secret)), refusal(lambda: restore(bad, target, secret))}
        assert codes == {"backup-damaged"}, name
    assert facts(target) == before
    assert sorted(each.name for each in tmp_path.glob("live*")) == ["live.db"]
    bad.write_bytes(head + spoiled["one bit"])
    failed = check(bad, small, secret)
    assert failed.status is VerificationStatus.failed
    assert "changed" in (failed.details or {})["differences"][0]
    assert refusal(lambda: check(tmp_path / "live.db", small, None)) == "no-backup"
    assert refusal(lambda: check(tmp_path / "none", small, None)) == "no-backup"


def test_an_encrypted_backup_opens_with_its_passphrase_alone(small: URL, tmp_path: Path) -> None:
    path = make(small, tmp_path, type=BackupType.manual, encrypt=SECRET)
    target = understood(f"sqlite:///{tmp_path / 'new.db'}")
    assert refusal(lambda: restore(path, target, b"another passphrase")) == "backup-passphrase"
    assert refusal(lambda: restore(path, target, None)) == "backup-encrypted"
    assert refusal(lambda: check(path, small, b"another passphrase")) == "backup-passphrase"
    assert described(path).status is VerificationStatus.not_verified
    assert b"alembic" not in path.read_bytes()
    assert SECRET not in path.read_bytes()
    assert not list(tmp_path.glob("new*[!k]"))
    head, body = head_and_body(path)
    greedy = json.loads(head[len(MAGIC) :])
    greedy["encryption"]["n"] = 1 << 40
    path.write_bytes(MAGIC + json.dumps(greedy).encode() + b"\n" + body)
    assert refusal(lambda: manifest(path, SECRET)) == "backup-damaged"


def test_a_passphrase_that_others_may_read_or_that_is_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a long enough secret\n")
    file.chmod(0o640)
    assert refusal(lambda: read_secret(file)) == "key-open"
    file.chmod(0o600)
    assert read_secret(file) == b"a long enough secret"
    file.write_text("short\n")
    assert refusal(lambda: read_secret(file)) == "passphrase-short"
    assert refusal(lambda: read_secret(tmp_path / "none")) == "no-backup"


def test_a_backup_of_a_newer_schema_or_of_another_database_is_refused(small: URL, tmp_path: Path) -> None:
    path = make(small, tmp_path, type=BackupType.manual)
    head, body = head_and_body(path)
    schema = described(path).database_schema.encode()
    target = understood(f"sqlite:///{tmp_path / 'new.db'}")
    assert refusal(lambda: restore(path, understood("mariadb://root@127.0.0.1/any"), None)) == "backup-dialect"
    path.write_bytes(head.replace(b'"database_schema": "' + schema, b'"database_schema": "9' + schema) + body)
    assert refusal(lambda: restore(path, target, None)) == "schema-newer"
    path.write_bytes(head.replace(b'"format": 1', b'"format": 2') + body)
    assert refusal(lambda: restore(path, target, None)) == "backup-newer"
    empty = understood(f"sqlite:///{tmp_path / 'empty.db'}")
    sqlite_file(empty).touch()
    assert refusal(lambda: make(empty, tmp_path, type=BackupType.manual)) == "nothing-to-back-up"


# --- disks and tools ------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_behind(hub: TestHub, dialect: str, tmp_path: Path) -> None:
    url = hub.database.url
    code = (
        "import sys; from pathlib import Path; from worklore.kernel.db import database_url; "
        "from worklore.ops.backups import make; from worklore.kernel.errors import HubError\n"
        "try: make(database_url(sys.argv[1]), Path(sys.argv[2]), type='manual')\n"
        "except HubError as error: print(error.code)"
    )
    limit = 1_000_000 if dialect == "sqlite" else 20_000  # the copy does not fit; the file itself does not
    said = subprocess.run(
        [sys.executable, "-c", code, url.render_as_string(hide_password=False), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert said.stdout == "backup-folder\n", said.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(small: URL, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(lambda: make(small, tmp_path / "file" / "below", type=BackupType.manual)) == "backup-folder"


def test_a_tool_is_named_when_it_is_missing_and_never_told_the_password(
    hub: TestHub, dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dialect == "sqlite":
        pytest.skip("SQLite needs no tool")
    name = {"postgresql": "pg_dump", "mariadb": "mariadb-dump"}[dialect]
    real, seen = shutil.which(name), tmp_path / "arguments"
    tool = tmp_path / name
    tool.write_text(f'#!/bin/sh\nps -ww -o args= -p $$ >{seen}\necho "$@" >>{seen}\nexec {real} "$@"\n')
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    url = hub.database.url
    if dialect == "postgresql":  # which trusts loopback whatever the password
        url = url.set(password="plainly-secret")
    make(url, tmp_path / "backups", type=BackupType.manual)
    assert url.database in seen.read_text()
    assert "plainly-secret" not in seen.read_text()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(Exception, match=rf"{name} is not installed") as caught:
        make(url, tmp_path / "backups", type=BackupType.manual)
    assert "client" in str(caught.value.hint)  # type: ignore[attr-defined]
    assert len(list((tmp_path / "backups").iterdir())) == 2


# --- kill -9 --------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from worklore.kernel.db import database_url
from worklore.ops import backups, restore, sealed_file
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
kind, at, url, path = sys.argv[1:]
owner, _, name = at.rpartition(".")
thing = {"writer": sealed_file.SealedWriter, "backups": backups, "restore": restore, "path": Path}[owner]
if name == "RENAME":
    real = restore.text
    restore.text = lambda words: die() if words.startswith("RENAME") else real(words)
elif name == "moved":
    real_mend, calls = restore._mend, []
    restore._mend = lambda *given: die() if calls else (calls.append(1), real_mend(*given))
else:
    setattr(thing, name, die)
url = database_url(url)
if kind == "make":
    backups.make(url, Path(path), type="manual")
else:
    restore.restore(Path(path), url, None)
"""


def kill(kind: str, at: str, url: URL, path: Path) -> None:
    given = [kind, at, url.render_as_string(hide_password=False), str(path)]
    ended = subprocess.run([sys.executable, "-c", KILLED, *given], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize("at", ["writer.finish", "backups.sha256_of", "path.replace"])
def test_a_backup_that_is_killed_leaves_no_file_under_its_name(small: URL, tmp_path: Path, at: str) -> None:
    kill("make", at, small, tmp_path)
    assert list(tmp_path.glob("*.backup")) == []
    path = make(small, tmp_path, type=BackupType.manual)
    assert list(found(tmp_path)) == [path]
    assert [each.name for each in tmp_path.glob(".*unfinished*")] == []
    assert [each.name for each in sqlite_file(small).parent.glob(".*")] == []


@pytest.fixture
def restored(dialect: str, hub: TestHub, tmp_path: Path) -> Iterator[tuple[Path, URL]]:
    """A backup, and a database made of it."""
    path = make(hub.database.url, tmp_path / "backups", type=BackupType.manual)
    name = f"{PREFIX}{os.getpid()}_k_{unique('k')[-6:]}"
    url = (
        understood(f"sqlite:///{tmp_path / 'k.db'}") if dialect == "sqlite" else server_url(dialect).set(database=name)
    )
    restore(path, url, None)
    yield path, url
    if dialect != "sqlite":
        listing = "SELECT datname FROM pg_database" if dialect == "postgresql" else "SHOW DATABASES"
        for (database,) in run_on_server(dialect, listing):
            if database.startswith(name):
                drop_database(dialect, database)


@pytest.mark.slow
def test_a_restore_that_is_killed_leaves_the_old_or_the_new_and_the_next_one_works(
    restored: tuple[Path, URL], dialect: str
) -> None:
    path, url = restored
    before, rules = facts(url), rules_of(url)
    points: dict[str, list[str]] = {
        "sqlite": ["restore._begin", "restore._second_name", "path.replace"],
        "postgresql": ["restore._begin"],
        "mariadb": ["restore.RENAME"],
    }
    for at in points[dialect]:
        kill("restore", at, url, path)
        assert facts(url) == before, at
    if dialect == "mariadb":
        kill("restore", "restore.moved", url, path)
    done: Any = restore(path, url, None)
    assert rules_of(url) == rules
    kept = facts(url.set(database=done.kept))
    if dialect == "mariadb":
        assert rules_of(url.set(database=done.kept)) == rules
        assert kept.keys() == before.keys()
    else:
        assert kept == before
