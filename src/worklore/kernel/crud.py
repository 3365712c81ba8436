"""The only generic writer: list, get, create, patch and delete, the same for every noun and surface.

What a principal may not see does not exist for it: not in a list, not by id, not as a parent it names. Deletes go
child by child through the session, so that nothing disappears without an audit entry.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from pydantic import BaseModel
from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Select,
    and_,
    bindparam,
    inspect,
    null,
    select,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError

from worklore.kernel.access import Principal, PrincipalKind
from worklore.kernel.audit import Tombstone, forgotten
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base, is_transient
from worklore.kernel.errors import (
    BadRequestError,
    ConflictError,
    InvalidError,
    NotFoundError,
    StaleError,
    VersionRequiredError,
    named,
)
from worklore.kernel.query import Ask, converters, count, cursor_of, statement, to_wire
from worklore.kernel.refusals import complete, no_such, refused
from worklore.kernel.resource import Catalog, Resource
from worklore.kernel.types import Raw, iso, wire_value
from worklore.kernel.wire import sent, wire

MAX_LISTED: Final = 20
"""Children named in a refusal."""

MAX_TOMBSTONES: Final = 10_000
DELETED: Final = "deleted"
"""Where a unit of work keeps the list of what it deletes, for a dry run to show."""


@dataclass(slots=True)
class Page:
    """A part of a list in wire form."""

    items: list[dict[str, Any]]
    next: str | None
    total: int | None
    deleted: list[dict[str, Any]] | None

    def body(self) -> dict[str, Any]:
        """The answer's body."""
        body: dict[str, Any] = {"items": self.items, "next": self.next}
        if self.total is not None:
            body["total"] = self.total
        if self.deleted is not None:
            body["deleted"] = self.deleted
        return body


def visibility(resource: Resource, principal: Principal) -> ColumnElement[bool] | None:
    """The condition on what the principal sees; None when it sees every row."""
    return None if principal.clients is None and not resource.guarded else resource.visible(principal)


def list_(ctx: ReadContext, resource: Resource, ask: Ask, only: ColumnElement[bool] | None = None) -> Page:
    """One page of a list, straight from the cursor to wire form; of the rows that are ``only`` so, when given."""
    conditions = [condition for condition in (visibility(resource, ctx.principal), only) if condition is not None]
    extra = and_(*conditions) if conditions else None
    made, values = statement(resource, ask, extra)
    connection = ctx.session.connection()
    rows: Sequence[Any] = connection.execute(made, values).fetchall()
    more = len(rows) > ask.limit
    rows = rows[: ask.limit]
    shown = tuple(made.selected_columns.keys())
    items = to_wire(rows, shown, converters(resource, shown, connection.dialect))
    last = [items[-1][name] for name, _ in ask.sort] if more else []
    if len(shown) > len(ask.fields):
        items = [{name: item[name] for name in ask.fields} for item in items]
    return Page(
        items,
        cursor_of(ask.sort, last) if more else None,
        connection.execute(count(resource, ask, extra)).scalar_one() if ask.total else None,
        _deleted(ctx, resource, ask) if ask.since else None,
    )


def _deleted(ctx: ReadContext, resource: Resource, ask: Ask) -> list[dict[str, Any]]:
    """The tombstones since the moment asked for: all of them.

    Raises:
        BadRequestError: they are no longer kept, or more than ``MAX_TOMBSTONES``.
    """
    gone = (
        select(Tombstone.record_id, Tombstone.deleted_at)
        .where(Tombstone.table_name == resource.table.description, Tombstone.deleted_at >= ask.since)
        .order_by(Tombstone.deleted_at)
        .limit(MAX_TOMBSTONES + 1)
    )
    if ctx.principal.clients is not None:
        gone = gone.where(Tombstone.client_id.in_(sorted(ctx.principal.clients)))
    rows = ctx.session.execute(gone).all()
    before = forgotten(ctx)
    if len(rows) > MAX_TOMBSTONES or (before is not None and ask.since is not None and ask.since <= before):
        raise BadRequestError(
            "Not every deletion since then can be told.",
            hint="Read the whole list anew, without `since`, and ask from that time on.",
            code="since-too-old",
        )
    return [{"id": str(row.record_id), "deleted_at": iso(row.deleted_at)} for row in rows]


def get(
    ctx: ReadContext, resource: Resource, key: object, fields: tuple[str, ...], *, by: str = "id"
) -> dict[str, Any]:
    """One record in wire form, by its id or another field that no two share; always with its version if it has one.

    Raises:
        NotFoundError: there is none, or the principal may not see it.
    """
    shown = fields if not resource.mutable or "version" in fields else (*fields, "version")
    made = _one(resource, shown, by)
    if (seen := visibility(resource, ctx.principal)) is not None:
        made = made.where(seen)
    connection = ctx.session.connection()
    row = connection.execute(made, {"key": key}).first()
    if row is None:
        raise missing(resource, key, by)
    return to_wire([row], shown, converters(resource, shown, connection.dialect))[0]


@lru_cache(maxsize=512)
def _one(resource: Resource, names: tuple[str, ...], by: str) -> Select[Any]:
    columns = wire(resource).fields
    key = resource.table.c[by]
    return select(*(type_coerce(columns[name], Raw()).label(name) for name in names)).where(
        key == bindparam("key", type_=key.type)
    )


def load(ctx: ReadContext, resource: Resource, key: object, *, by: str = "id") -> Any:
    """One record as an object of its class, by its id or another field that no two share.

    Raises:
        NotFoundError: there is none, or the principal may not see it.
    """
    made = select(resource.model).where(resource.table.c[by] == key)
    if (seen := visibility(resource, ctx.principal)) is not None:
        made = made.where(seen)
    found = ctx.session.execute(made).scalar_one_or_none()
    if found is None:
        raise missing(resource, key, by)
    return found


def missing(resource: Resource, key: object, by: str = "id") -> NotFoundError:
    """The error for a record that is not there, or may not be known to be."""
    known = str(key) if isinstance(key, uuid.UUID) else named(str(key))
    return NotFoundError(
        f"There is no {resource.name} with the {by} {known}.", hint=f"List {resource.plural} to find it."
    )


def shown(resource: Resource, record: Any, fields: Iterable[str] | None = None) -> dict[str, Any]:
    """The wire form of an object."""
    schemas = wire(resource)
    return {name: wire_value(getattr(record, schemas.attributes[name])) for name in fields or schemas.fields}


class Writer:
    """Creates, changes and deletes records of any noun, within the caller's unit of work."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def create(self, ctx: Context, resource: Resource, bodies: Sequence[BaseModel]) -> list[Any]:
        """New records, all or none.

        Raises:
            InvalidError: a rule refused one, or it names a parent that does not exist for this principal.
            ConflictError: one like it exists already.
        """
        together = self._create_together(ctx, resource, bodies) if len(bodies) > 1 else None
        made = self._create_in_turn(ctx, resource, bodies) if together is None else together
        if visibility(resource, ctx.principal) is not None:
            for record in made:
                load(ctx, resource, record.id)
        return made

    def _create_in_turn(self, ctx: Context, resource: Resource, bodies: Sequence[BaseModel]) -> list[Any]:
        made: list[Any] = []
        for body in bodies:
            values = sent(resource, body)
            self._check_parents(ctx, resource, values)
            record = resource.model(**values)
            ctx.session.add(record)
            made.append(record)
            self._store(ctx, resource, record, {}, empty=_nulls(values), beside=made)
        return made

    def _create_together(self, ctx: Context, resource: Resource, bodies: Sequence[BaseModel]) -> list[Any] | None:
        """New records by few statements; None when one was refused, to be found by making them one after the other.

        A rule that looks into the database sees the records before its own: to look is to store what waits.
        """
        made: list[Any] = []
        try:
            with ctx.session.begin_nested():
                for body in bodies:
                    values = sent(resource, body)
                    self._check_parents(ctx, resource, values)
                    record = resource.model(**values)
                    if resource.check is not None:
                        resource.check(ctx, record, {})
                    _send_nulls(resource, record, _nulls(values))
                    ctx.session.add(record)
                    made.append(record)
        except (InvalidError, ConflictError):
            return None
        except DBAPIError as error:
            if is_transient(error):
                raise
            return None
        return made

    def patch(self, ctx: Context, resource: Resource, record: Any, body: BaseModel, version: int | None) -> Any:
        """Change the fields sent. ``version`` is the one the caller read; None when it did not say.

        Raises:
            StaleError: the record has moved on; it carries the record as it is now.
            VersionRequiredError: an agent or machine must say which version it read.
        """
        self.require_version(ctx, resource, record, version)
        values = sent(resource, body)
        self._check_parents(ctx, resource, values)
        former = {name: getattr(record, name) for name, value in values.items() if getattr(record, name) != value}
        for name in former:
            setattr(record, name, values[name])
        self._store(ctx, resource, record, former)
        if visibility(resource, ctx.principal) is not None:
            load(ctx, resource, record.id)
        return record

    def delete(self, ctx: Context, resource: Resource, record: Any, version: int | None, *, cascade: bool) -> None:
        """Delete a record; its children too when ``cascade``, each with its own audit entry.

        Raises:
            ConflictError: it has children; ``children`` lists them.
        """
        self.require_version(ctx, resource, record, version)
        self._delete(ctx, record, cascade=cascade)

    def require_version(self, ctx: Context, resource: Resource, record: Any, version: int | None) -> None:
        """Compare what the caller read with what is there."""
        if not resource.mutable:
            return
        if version is None:
            if ctx.principal.kind is PrincipalKind.user:
                return
            raise VersionRequiredError(
                "Agents and machines say which version they read.",
                hint="Send the record's ETag as If-Match, or `version` in a bulk body.",
            )
        if record.version != version:
            raise self._stale(resource, record)

    @staticmethod
    def _stale(resource: Resource, record: Any) -> StaleError:
        return StaleError(
            f"The {resource.name} is at version {record.version} now.",
            hint="Look at `current`, decide again, and send its version.",
            current=shown(resource, record),
        )

    def _store(
        self,
        ctx: Context,
        resource: Resource,
        record: Any,
        former: Mapping[str, Any],
        *,
        empty: Iterable[str] = (),
        beside: Sequence[Any] = (),
    ) -> None:
        values: Mapping[str, Any] = {}
        try:
            if resource.check is not None:
                with ctx.session.no_autoflush:
                    resource.check(ctx, record, former)
            _send_nulls(resource, record, empty)
            # Copied, since a flush that fails takes them from the record.
            values = _held(record)
            ctx.session.flush()
        except InvalidError as error:
            complete(resource, _held(record), error)
            raise
        except DBAPIError as error:
            ids = [each.id for each in beside]
            # A row that moved on meanwhile is no error yet: the unit runs again and compares versions anew.
            raise refused(ctx, self._catalog, resource, values, error, beside=ids) or error from error

    def _check_parents(self, ctx: Context, resource: Resource, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if value is None:
                continue
            for key in inspect(resource.model).column_attrs[name].columns[0].foreign_keys:
                parent = self._catalog.by_table.get(key.column.table.description)
                if parent is None or visibility(parent, ctx.principal) is None:
                    continue
                try:
                    load(ctx, parent, value)
                except NotFoundError as error:
                    raise no_such(self._catalog, resource, key.parent.key, values) from error

    def _delete(self, ctx: Context, record: Any, *, cascade: bool) -> None:
        model = cast("type[Base]", type(record))
        # Whoever adds a child holds its parent's row for a moment: with the row in hand no child can slip in.
        ctx.session.refresh(record, with_for_update=True)
        blocking: list[dict[str, Any]] = []
        for key, child in children(model):
            found = ctx.session.execute(select(child).where(key.parent == record.id)).scalars().all()
            rule = (key.ondelete or "RESTRICT").upper()
            if rule == "CASCADE":
                found = [each for each in found if not each.is_derived]
            if not found:
                continue
            if rule == "SET NULL":
                for dependent in found:
                    self._release(ctx, dependent, key.parent.key)
            elif cascade and rule == "CASCADE":
                for dependent in found:
                    self._delete(ctx, dependent, cascade=True)
            else:
                blocking.append(self._listed(child, rule, found))
        if blocking:
            raise ConflictError(
                f"The {self._noun(model)} still has records that depend on it.",
                hint="Retire it instead, or delete them first; cascade=true deletes those that may go with it, "
                "and a dry run shows which.",
                code="has-children",
                children=blocking,
            )
        ctx.session.delete(record)
        ctx.session.flush()
        gone: list[dict[str, str]] = ctx.info.setdefault(DELETED, [])
        gone.append({"noun": self._noun(model), "id": str(getattr(record, "id", ""))})

    def _release(self, ctx: Context, dependent: Any, name: str) -> None:
        """Take the key of a record that goes off one that stays, by its noun's rule: what follows from it moves."""
        former = getattr(dependent, name)
        setattr(dependent, name, None)
        resource = self._catalog.by_table.get(dependent.__table__.description)
        if resource is not None and resource.check is not None:
            with ctx.session.no_autoflush:
                resource.check(ctx, dependent, {name: former})
            # A rule may take the client from another record that goes with the same cascade, a little later.
            setattr(dependent, name, None)

    def _noun(self, model: type[Base]) -> str:
        table = model.__table__.description
        return self._catalog.by_table[table].name if table in self._catalog.by_table else table

    def _listed(self, child: type[Base], rule: str, found: Sequence[Any]) -> dict[str, Any]:
        ids = [str(record.id) for record in found[:MAX_LISTED] if hasattr(record, "id")]
        return {
            "noun": self._noun(child),
            "count": len(found),
            "ids": ids,
            "cascades": rule == "CASCADE",
        }


def _held(record: Base) -> dict[str, Any]:
    return dict(vars(record))


def _nulls(values: Mapping[str, Any]) -> list[str]:
    return [name for name, value in values.items() if value is None]


def _send_nulls(resource: Resource, record: Any, names: Iterable[str]) -> None:
    """A null that was sent is a null; None alone would ask for the column's default."""
    for name in names:
        if inspect(resource.model).column_attrs[name].columns[0].default is not None:
            setattr(record, name, null())


def children(model: type[Base]) -> Iterator[tuple[ForeignKey, type[Base]]]:
    """The foreign keys that point at a class's table, with the classes they are in, in a stable order."""
    table = model.__table__
    for mapper in sorted(Base.registry.mappers, key=lambda mapper: mapper.local_table.description):
        for column in mapper.local_table.columns:
            for key in column.foreign_keys:
                if key.column.table is table:
                    yield key, mapper.class_
