"""Wire schemas, derived from a Resource: what callers send, what they get, and how rows become bytes.

Fields are written down once, in the mapped class. ``Create`` and ``Patch`` refuse unknown and server-set fields, carry
the column's length, range and choices, and refuse text that not every database can keep (NUL, lone surrogates).
"""

import re
import types
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, cached_property
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    TypeAdapter,
    create_model,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from sqlalchemy import BigInteger, Column, inspect
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from worklore.kernel.db import Base
from worklore.kernel.forms import PORTS, of_form
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line

INT32: Final = 2**31
INT64: Final = 2**63
MAX_DEPTH: Final = 40
NESTED: Final = "json_depth"
"""The kind of fault of JSON that nests deeper."""

NUMBER: Final = re.compile(r"\s*[-+]?[0-9.]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)
FIRST_YEAR: Final = 1000
"""MariaDB's DATETIME begins here."""


def clean_text(value: str) -> str:
    """Refuse NUL and lone surrogates: PostgreSQL cannot store the first, no database the second."""
    if "\0" in value:
        raise ValueError("text may not contain NUL characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text may not contain lone surrogates") from error
    return value


def clean_json(value: Any) -> Any:
    """Refuse what some database or reader cannot keep: bad text, integers beyond 64 bits, endless nesting."""
    _check_json(value, 0)
    return value


def _check_json(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise PydanticCustomError(NESTED, "JSON may nest at most {most} deep", {"most": MAX_DEPTH})
    if isinstance(value, str):
        clean_text(value)
    elif isinstance(value, int) and not -INT64 <= value < INT64:
        raise ValueError("integers must fit into 64 bits")
    elif isinstance(value, float) and value - value != 0:
        raise ValueError("numbers must be finite")
    elif isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            clean_text(key)
            _check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            _check_json(item, depth + 1)


def _in_utc(moment: datetime) -> datetime:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time is out of range") from error
    if moment.year < FIRST_YEAR:
        raise ValueError(f"the year must be {FIRST_YEAR} or later")
    return moment


def _no_number(value: Any) -> Any:
    """Refuse seconds since 1970, of which nobody can tell whether they are milliseconds."""
    if isinstance(value, int | float) or (isinstance(value, str) and NUMBER.fullmatch(value)):
        raise ValueError("a time is written as 2026-03-09T14:05:00Z, a date as 2026-03-09")
    return value


UtcTime = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_in_utc)]
Clean: Final = AfterValidator(clean_text)
"""For text with constraints, behind them: what stands behind a validator is checked and not described."""

CleanStr = Annotated[str, Clean]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=3, max_length=500),
    Clean,
    Field(json_schema_extra={"pattern": r"^\s*\S[\s\S]+\S\s*$"}),
]
"""Why somebody does something: what stands between the white space at its ends counts."""
CleanJson = Annotated[Any, AfterValidator(clean_json)]


@dataclass(frozen=True)
class _Decimal:
    """Describes a decimal number, which may be sent as an exact text."""

    pattern: str = r"^-?[0-9]{1,8}(\.[0-9]{1,2})?$"

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"anyOf": [{"type": "number"}, {"type": "string", "pattern": self.pattern}]}


_WITHIN: Final = ("schema", "items_schema", "values_schema")
_NUMBERS: Final = frozenset({"int", "float", "decimal"})


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is not written as true or false")  # noqa: TRY004 - what pydantic makes a refusal of
    return value


def _as_described(schema: Any) -> Any:
    """A core schema that takes what its description says: no number for a boolean or a date, no boolean for a number.

    They pass for each other otherwise. Models within are WireModels that have seen to it themselves.
    """
    if not isinstance(schema, dict):
        return schema
    known = cast("dict[str, Any]", schema)
    if known["type"] == "bool":
        return known | {"strict": True}
    if known["type"] in _NUMBERS:
        return core_schema.no_info_before_validator_function(_no_bool, cast("CoreSchema", known))
    if known["type"] == "date":
        return core_schema.no_info_before_validator_function(_no_number, cast("CoreSchema", known))
    if known["type"] == "model":
        return known
    inner: dict[str, Any] = {name: _as_described(known[name]) for name in _WITHIN if name in known}
    if known["type"] == "union":
        inner["choices"] = [_as_described(each) for each in known["choices"]]
    if known["type"] == "model-fields":
        inner["fields"] = {name: _as_described(each) for name, each in known["fields"].items()}
    return known | inner


class WireModel(BaseModel):
    """The manner of every body: unknown fields are refused, and nothing is taken for what it is not."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema that the fields make, held to its description."""
        made = cast("dict[str, Any]", handler(source))
        if made["type"] == "model":
            made = made | {"schema": _as_described(made["schema"])}
        return cast("CoreSchema", made)


@dataclass(frozen=True)
class Wire:
    """The schemas of one resource. Each is made when it is first needed: a model costs milliseconds.

    Attributes:
        title: the name of the read schema.
        kinds: the type of each shown field's values, with the column's constraints.
        members: the members of each schema by its name, as ``create_model`` takes them.
        fields: the shown columns by name.
        attributes: the class's attribute of each field; they differ where a name is taken, as ``metadata`` is.
    """

    title: str
    kinds: Mapping[str, Any]
    members: Mapping[str, Mapping[str, Any]]
    fields: Mapping[str, Column[Any]]
    attributes: Mapping[str, str]
    _adapters: dict[str, TypeAdapter[Any]] = field(default_factory=dict[str, TypeAdapter[Any]])

    @cached_property
    def read(self) -> type[BaseModel]:
        """What callers get."""
        return create_model(self.title, __base__=WireModel, **self.members["read"])

    @cached_property
    def create(self) -> type[BaseModel]:
        """What creates a record."""
        return create_model(f"{self.title}Create", __base__=WireModel, **self.members["create"])

    @cached_property
    def patch(self) -> type[BaseModel]:
        """What changes one; only the fields sent are changed."""
        return create_model(f"{self.title}Patch", __base__=WireModel, **self.members["patch"])

    def adapter(self, name: str) -> TypeAdapter[Any]:
        """A parser of a shown field's values."""
        if name not in self._adapters:
            self._adapters[name] = TypeAdapter(self.kinds[name])
        return self._adapters[name]


@cache
def wire(resource: Resource) -> Wire:
    """The schemas of a resource."""
    # A relationship names a class by its word where their modules would else import each other.
    hints = get_type_hints(resource.model, localns={one.class_.__name__: one.class_ for one in Base.registry.mappers})
    server_set = {field.key for field in resource.server_set} | {"version", "created_at", "updated_at"}
    hidden = {field.key for field in resource.hidden}
    fixed = {field.key for field in resource.fixed} | {"id"}
    read: dict[str, Any] = {}
    create: dict[str, Any] = {}
    patch: dict[str, Any] = {}
    columns: dict[str, Column[Any]] = {}
    kinds: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    for attribute in inspect(resource.model).column_attrs:
        column = attribute.columns[0]
        assert isinstance(column, Column)  # noqa: S101 - column properties of a table are its columns
        key = str(column.name)  # a reserved word is a str of SQLAlchemy's own, which no JSON writer takes for a key
        attributes[key] = attribute.key
        kind, nullable = _unwrap(get_args(hints[attribute.key])[0])
        value = _constrained(kind, column)
        about = Field(description=column.doc) if column.doc else Field()
        if key not in hidden:
            columns[key] = column
            kinds[key] = value
            read[key] = (kind | None if nullable else kind, about)
        if key in server_set or key in hidden:
            continue
        optional = nullable or column.default is not None or column.server_default is not None
        wanted = value | None if nullable else value
        create[key] = (wanted, _with_default(column)) if optional else (wanted, about)
        if key not in fixed:
            patch[key] = (wanted, Field(default=None, description=column.doc))
    title = "".join(part.capitalize() for part in resource.name.split("-"))
    return Wire(title, kinds, {"read": read, "create": create, "patch": patch}, columns, attributes)


def _with_default(column: Column[Any]) -> Any:
    default = column.default
    constant = default.arg if isinstance(default, ScalarElementColumnDefault) else None
    return Field(default=constant, description=column.doc)


def _unwrap(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in {Union, types.UnionType}:
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return kinds[0], True
    return hint, False


def _constrained(kind: Any, column: Column[Any]) -> Any:
    if kind is str:
        length = column.type.length if isinstance(column.type, Line) else None
        plain = Annotated[str, StringConstraints(max_length=length), AfterValidator(clean_text)]
        form = column.info.get("form")
        return Annotated[plain, AfterValidator(of_form(form))] if form else plain
    if kind is datetime:
        return UtcTime
    if kind is bool or kind is date or kind is uuid.UUID:
        return kind
    if kind is int:
        if column.info.get("form") == "port":
            return Annotated[int, Field(ge=PORTS[0], le=PORTS[1])]
        bound = INT64 if isinstance(column.type, BigInteger) else INT32
        return Annotated[int, Field(ge=-bound, lt=bound)]
    if kind is float:
        return Annotated[float, Field(allow_inf_nan=False)]
    if kind is Decimal:
        return Annotated[Decimal, Field(max_digits=10, decimal_places=2), _Decimal()]
    if get_origin(kind) in {dict, list}:
        return Annotated[kind, AfterValidator(clean_json)]
    return kind


def sent(resource: Resource, body: BaseModel) -> dict[str, Any]:
    """The fields the caller really sent, by the class's attributes, as Python values."""
    attributes = wire(resource).attributes
    return {attributes[name]: getattr(body, name) for name in body.model_fields_set}
