"""Whose a record is, and the rule that whatever it names is of the same client.

A record belongs to the client in its own ``client_id``; failing that, to the client of a record that one of its
foreign keys names: a service to its server's client, a deployment to its session's.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from sqlalchemy import FromClause, Select, inspect, select

from worklore.clients.client import Client, ClientType
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.crud import children
from worklore.kernel.db import Base, Record
from worklore.kernel.errors import ConflictError, InvalidError


def client_of(ctx: ReadContext, record: Base) -> uuid.UUID | None:
    """The id of the client a record belongs to; None when it belongs to the installation.

    Parent chains must be free of cycles.
    """
    if isinstance(record, Client):
        return record.id
    own: uuid.UUID | None = getattr(record, "client_id", None)
    if own is not None:
        return own
    owners = (client_of(ctx, parent) for _, parent in _named(ctx, record))
    return next((owner for owner in owners if owner is not None), None)


def one_client(ctx: Context, record: Base, before: Mapping[str, Any], *, shared: Iterable[str] = ()) -> None:
    """Refuse a record that names records of two clients; one that has no client yet gets that of what it names.

    ``shared`` are foreign keys that may also name what is the provider's own, such as a host that carries machines of
    several clients.

    Raises:
        InvalidError: a foreign key names a record of another client.
        ConflictError: the record moves to another client, and records that depend on it would stay with the former.
    """
    own: uuid.UUID | None = getattr(record, "client_id", None)
    for name, parent in _named(ctx, record):
        owner = None if name == "client_id" else client_of(ctx, parent)
        if owner is None or (name in shared and ctx.session.get_one(Client, owner).type is ClientType.internal):
            continue
        if own is not None and own != owner:
            raise InvalidError(f"{name} ({getattr(record, name)}) names a record of another client.", field=name)
        own = owner
    if hasattr(record, "client_id"):
        record.client_id = own  # pyright: ignore[reportAttributeAccessIssue] - the line above asked
    if own is not None and isinstance(record, Record) and any(name in before for name in _keys(type(record))):
        _refuse_left_behind(ctx, record, own)


def _named(ctx: ReadContext, record: Base) -> Iterator[tuple[str, Base]]:
    """The records that a record's foreign keys name, each with the attribute that names it."""
    for name, parents in _keys(type(record)).items():
        value: uuid.UUID | None = getattr(record, name)
        parent = ctx.session.get(parents, value) if value is not None else None
        if parent is not None:
            yield name, parent


@cache
def _keys(model: type[Base]) -> Mapping[str, type[Base]]:
    """The attributes of a class that are foreign keys, each with the class they lead to."""
    return {
        attribute.key: _mapped(key.column.table)
        for attribute in inspect(model).column_attrs
        for key in attribute.columns[0].foreign_keys
    }


def _mapped(table: FromClause) -> type[Base]:
    return next(mapper.class_ for mapper in Base.registry.mappers if mapper.local_table is table)


def _refuse_left_behind(ctx: Context, record: Record, owner: uuid.UUID) -> None:
    model = type(record)
    key = model.__table__.c.id
    for table, strangers in _dependents(model, select(key).where(key == record.id), owner, {model}):
        if ctx.session.execute(strangers.limit(1)).first() is not None:
            raise ConflictError(
                f"It cannot move to the client {owner}: there are {table} that would stay with another client.",
                hint="Move or detach those first.",
                code="left-behind",
                table=table,
            )


def _dependents(
    model: type[Base], ids: Select[Any], owner: uuid.UUID, seen: set[type[Base]]
) -> Iterator[tuple[str, Select[Any]]]:
    """For each table with a client that hangs from the rows ``ids``: its name and its rows of other clients."""
    for key, child in children(model):
        columns = child.__table__.c
        if "client_id" in columns:
            yield child.__table__.description, select(key.parent).where(key.parent.in_(ids), columns.client_id != owner)
        elif "id" in columns and child not in seen:
            yield from _dependents(child, select(columns.id).where(key.parent.in_(ids)), owner, seen | {child})
