"""Clients of a hub's own, places for secrets, and what is stored of them."""

import uuid
from collections.abc import Callable

import pytest

from tests.conftest import unique
from worklore.clients.client import Client
from worklore.kernel.context import Context
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.vault.seal import Place


def make_client(database: Database) -> uuid.UUID:
    def work(ctx: Context) -> uuid.UUID:
        client = Client(id=uuid7(), name=unique("client"), type="msp_client")
        ctx.session.add(client)
        return client.id

    return database.write(work)


@pytest.fixture
def client_id(database: Database) -> uuid.UUID:
    return make_client(database)


@pytest.fixture
def place(client_id: uuid.UUID) -> Place:
    return Place(client_id, "credentials", uuid7(), "password_encrypted", 1)


@pytest.fixture
def new_client(database: Database) -> Callable[[], uuid.UUID]:
    return lambda: make_client(database)
