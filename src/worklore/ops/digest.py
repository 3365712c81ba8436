"""What the tables of a database hold, as a count and a digest each: equal for equal rows, whatever moved them.

The tables are those that are there, not those that this version knows, so that a database of an older schema can be
compared as well. Rows are taken in the order of their primary key. A digest is comparable between databases of one
dialect: it is taken of what the driver gives.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import Connection, Text, cast, column, inspect, select, table

BATCH: Final = 2_000


class TableFacts(BaseModel):
    """A table's rows, and the SHA-256 over its columns' names and its rows."""

    rows: int
    sha256: str


Facts = dict[str, TableFacts]
"""By the table's name."""


def facts(connection: Connection, told: Callable[[str, int], None] | None = None) -> Facts:
    """Count and digest of every table, all read in the transaction that the connection is in.

    ``told`` hears of each table with the rows read so far.
    """
    seen = inspect(connection)
    found: Facts = {}
    total = 0
    for name in sorted(seen.get_table_names()):
        names = [str(each["name"]) for each in seen.get_columns(name)]
        key = seen.get_pk_constraint(name)["constrained_columns"] or names
        found[name] = _table(connection, name, names, key)
        total += found[name].rows
        if told is not None:
            told(name, total)
    return found


def _table(connection: Connection, name: str, names: Sequence[str], key: Sequence[str]) -> TableFacts:
    columns: list[Any] = [column(each) for each in names]
    if connection.dialect.name == "postgresql":
        # As text: the driver would make objects of JSON, and their text need not be that of the row.
        columns = [cast(each, Text) for each in columns]
    order: list[Any] = [column(each) for each in key]
    rows = select(*columns).select_from(table(name)).order_by(*order)
    digest, count = hashlib.sha256(ascii(tuple(names)).encode()), 0
    result = connection.execute(rows, execution_options={"stream_results": True, "max_row_buffer": BATCH})
    for batch in result.partitions(BATCH):
        # ascii() tells None, text, bytes and numbers apart, and is the same in every version of Python.
        digest.update("\n".join(ascii(tuple(row)) for row in batch).encode() + b"\n")
        count += len(batch)
    return TableFacts(rows=count, sha256=digest.hexdigest())
