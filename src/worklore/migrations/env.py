"""Alembic's entry: runs on the connection it is handed."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import DefaultClause, Double, Float
from sqlalchemy.sql.elements import False_, True_
from sqlalchemy.types import TypeEngine

from worklore.kernel import epoch, events, handles, idempotency, jobs, nodes, sequence, types
from worklore.kernel.db import Base
from worklore.ops import schema_migration
from worklore.resources import CATALOG
from worklore.runs import configuration
from worklore.vault import keys

TABLES = (CATALOG, configuration, epoch, events, handles, idempotency, jobs, keys, nodes, schema_migration, sequence)
"""Imported for the tables they define."""

DOUBLE = 53
"""The binary digits of a double-precision number."""

connection = context.config.attributes["connection"]


def render(kind: str, thing: Any, _: AutogenContext) -> str | Literal[False]:
    """How a revision names the kernel's types, and truth, which every dialect spells in its own way."""
    if kind == "type" and type(thing).__module__ == types.__name__:
        return "types.Json()" if isinstance(thing, types.Json) else f"types.{thing!r}"
    if kind == "server_default" and isinstance(thing, DefaultClause) and isinstance(thing.arg, True_ | False_):
        return "sa.true()" if isinstance(thing.arg, True_) else "sa.false()"
    return False


def differs(_: Any, __: Any, ___: Any, found: TypeEngine[Any], wanted: TypeEngine[Any]) -> bool | None:
    """Whether a column's type differs; None for Alembic's own opinion. MariaDB calls FLOAT(53) DOUBLE, as it is one."""
    return False if isinstance(found, Double) and isinstance(wanted, Float) and wanted.precision == DOUBLE else None


def ended(*_: Any, **given: Any) -> None:
    """After each step, tell the progress that made it which revisions are applied now."""
    heads = tuple(given["heads"])
    applied = context.script.iterate_revisions(heads, "base") if heads else ()
    context.config.attributes["progress"].ended(list(applied))


context.configure(
    connection=connection,
    target_metadata=Base.metadata,  # complete, now that every module with a table is imported
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=differs,
    render_item=render,
    transaction_per_migration=False,
    on_version_apply=ended,
)
with context.begin_transaction():
    context.run_migrations()
