"""The noun: one mapped class and how it is offered."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from inspect import cleandoc
from typing import Any, Final, cast

from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.orm import InstrumentedAttribute

from worklore.kernel.access import Visibility
from worklore.kernel.action import Action
from worklore.kernel.context import Context
from worklore.kernel.db import Base

Field = InstrumentedAttribute[Any]
Check = Callable[[Context, Any, Mapping[str, Any]], None]
"""A rule no caller may break: the context, the record as it would be stored, and the former values of changed fields
(empty for a new record). Raises a HubError."""


class Verb(StrEnum):
    """What a surface may do with a record."""

    list = "list"
    get = "get"
    create = "create"
    patch = "patch"
    delete = "delete"


ALL: Final = frozenset(Verb)
READ_ONLY: Final = frozenset({Verb.list, Verb.get})


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A noun as every surface offers it.

    Attributes:
        model: the mapped class; its docstring is the text that readers of the API and agents see.
        name: the noun in the singular, kebab-case; also the noun of its scopes.
        plural: the noun in routes.
        visible: the rows a principal may see.
        guarded: that is asked of everybody, not only of those who are limited to clients.
        filters: fields that may be filtered and sorted by.
        search: text fields that ``q`` looks into.
        columns: the fields of the brief form and of tables.
        by: named look-ups, each a name and the field: a list, or the one record where no two share the field.
        server_set: fields that callers may read and never set.
        fixed: fields that are set once, on creation.
        hidden: fields that are never shown, such as a password's hash.
        verbs: what is offered.
        check: the rule of the noun.
    """

    model: type[Base]
    name: str
    plural: str
    visible: Visibility
    guarded: bool = False
    filters: tuple[Field, ...] = ()
    search: tuple[Field, ...] = ()
    columns: tuple[Field, ...] = ()
    by: tuple[tuple[str, Field], ...] = ()
    server_set: tuple[Field, ...] = ()
    fixed: tuple[Field, ...] = ()
    hidden: tuple[Field, ...] = ()
    verbs: frozenset[Verb] = ALL
    check: Check | None = None

    @cached_property
    def table(self) -> Table[Any]:
        """The table behind the class."""
        return cast("Table[Any]", self.model.__table__)  # no class here is mapped to a join

    @cached_property
    def description(self) -> str:
        """The first paragraph of the class's docstring."""
        return cleandoc(self.model.__doc__ or "").partition("\n\n")[0]

    @property
    def mutable(self) -> bool:
        """True when its rows carry a version."""
        return "version" in self.table.c

    def is_unique(self, name: str) -> bool:
        """True when no two rows have the same value of the column."""
        groups = [
            *(constraint.columns for constraint in self.table.constraints if isinstance(constraint, UniqueConstraint)),
            *(index.columns for index in self.table.indexes if index.unique),
            self.table.primary_key.columns,
        ]
        return bool(self.table.c[name].unique) or any([column.name for column in group] == [name] for group in groups)

    def scope(self, verb: str) -> str:
        """``noun:verb``, with list and get as ``read``, create and patch as ``write``."""
        kind = {"list": "read", "get": "read", "create": "write", "patch": "write"}.get(verb, verb)
        return f"{self.name}:{kind}"


class Catalog:
    """The nouns and verbs of the product, found by name and by table."""

    def __init__(self, resources: Iterable[Resource], actions: Iterable[Action]) -> None:
        self.resources = tuple(resources)
        self.actions = tuple(actions)
        self.by_name = {resource.name: resource for resource in self.resources}
        self.by_table = {resource.table.description: resource for resource in self.resources}
