"""A fault in a statement of ours is told from a database that is away."""

import sqlite3

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from worklore.kernel.db import is_away
from worklore.kernel.transaction import Database


def raised(database: Database, statement: str) -> DBAPIError:
    with database.reading.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    return caught.value


@pytest.mark.parametrize("statement", ["SELECT nothing FROM tags", "SELECT 1 FROM nowhere", "SELEKT 1"])
def test_a_wrong_statement_is_no_absence(database: Database, statement: str) -> None:
    assert not is_away(raised(database, statement))


def test_a_full_disk_and_a_server_that_is_not_there_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("small") / "small.db"
    full = create_engine(f"sqlite:///{path}")
    with full.connect() as connection:
        connection.execute(text("PRAGMA max_page_count=2"))
        connection.execute(text("CREATE TABLE rows (text)"))
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text("INSERT INTO rows VALUES (:text)"), {"text": "x" * 100_000})
    full.dispose()
    assert isinstance(caught.value.orig, sqlite3.OperationalError)
    assert is_away(caught.value)
    with pytest.raises(OperationalError) as refused:
        create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none").connect()
    assert is_away(refused.value)
