"""A database and the key that it was begun with: a hub with another one does not start, and loses nothing."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.engine import URL, make_url

from tests.conftest import TestHub
from worklore.app import build
from worklore.identity.keys import HubKey, load_key
from worklore.kernel.audit import AuditEntry
from worklore.kernel.errors import UnavailableError
from worklore.kernel.settings import Settings
from worklore.kernel.transaction import Database
from worklore.ops import hub_key
from worklore.vault.keys import SigningKey


@pytest.fixture
def place(dialect: str, hubs: Any, tmp_path: Path) -> tuple[URL, Path]:
    """A database that a hub has begun on, and a data folder with its key."""
    data = tmp_path / "data"
    if dialect == "sqlite":  # whose file one hub has alone
        url = make_url(f"sqlite:///{tmp_path / 'hub.db'}")
        start(url, data)
    else:
        hub: TestHub = hubs(dialect)
        url = hub.database.url
        data.mkdir()
        shutil.copy(hub.hub.settings.data / "hub.key", data)
    return url, data


def start(url: URL, data: Path) -> str:
    """Start a hub and stop it again; the id of its key."""
    hub = build(Settings(data=data, database_url=url.render_as_string(hide_password=False)))
    hub.close()
    return hub.gateway.authenticator.key.key_id


def with_key(data: Path) -> Path:
    """A data folder that has a key of its own."""
    data.mkdir()
    load_key(data / "hub.key", create=True)
    return data


def refused(url: URL, data: Path) -> UnavailableError:
    with pytest.raises(UnavailableError) as error:
        start(url, data)
    return error.value


@contextmanager
def opened(url: URL) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def entries(url: URL) -> int:
    with opened(url) as database, database.reading.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(AuditEntry)) or 0)


def forget_key(url: URL) -> None:
    """As in a database from before keys were known."""
    with opened(url) as database, database.writing.begin() as connection:
        assert connection.execute(delete(SigningKey)).rowcount == 1


def test_a_hub_with_another_key_does_not_start_and_writes_nothing(place: tuple[URL, Path], tmp_path: Path) -> None:
    url, data = place
    own, before = load_key(data / "hub.key", create=False).key_id, entries(url)
    error = refused(url, with_key(tmp_path / "other"))
    assert error.code == "key-foreign"
    assert own in error.detail
    assert "hub.key" in str(error.hint)
    assert refused(url, tmp_path / "empty").code == "key-missing"
    assert not (tmp_path / "empty" / "hub.key").exists()
    assert entries(url) == before
    assert start(url, data) == own, "the hub that it belongs to starts as ever"


def test_a_database_from_before_keys_were_known_learns_its_own(place: tuple[URL, Path], tmp_path: Path) -> None:
    url, data = place
    forget_key(url)
    own = start(url, data)
    assert refused(url, with_key(tmp_path / "other")).code == "key-foreign"
    assert start(url, data) == own


def test_of_two_hubs_that_begin_at_once_with_keys_of_their_own_one_starts(place: tuple[URL, Path]) -> None:
    url, data = place
    own = load_key(data / "hub.key", create=False).key_id
    forget_key(url)
    together = threading.Barrier(2)
    with opened(url) as database, ThreadPoolExecutor(2) as pool:

        def begin(number: int) -> str:
            together.wait()
            try:
                database.write(partial(hub_key.begin, key=HubKey(bytes([number]) * 32)))
            except UnavailableError as error:
                return error.code
            return "begun"

        found = sorted(pool.map(begin, (1, 2)))
    assert found == ["begun", "key-foreign"]
    forget_key(url)
    assert start(url, data) == own
