"""An example of each noun's bodies, made from its columns."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import Boolean, Column, Date, Enum, Float, Integer
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from worklore.kernel.resource import Resource
from worklore.kernel.types import Id, Json, Line, Money, Prose, UtcDateTime, wire_value
from worklore.kernel.wire import wire

AN_ID: Final = "0199a2c0-5b1e-7c3a-9f00-5d2f6b7a8c9d"
A_TIME: Final = "2026-03-09T14:05:00.123456Z"
LATER: Final = "2026-03-09T15:35:00.000000Z"

FORMS: Final = {
    "ip": "192.0.2.10",
    "cidr": "192.0.2.0/24",
    "mac": "00:00:5e:00:53:01",
    "port": 443,
    "email": "technician@example.com",
    "url": "https://portal.example.com/",
    "hostname": "srv-01.example.com",
    "commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "quarter": "2026-Q2",
    "cron": "30 2 * * *",
}
"""A text of each form."""

WORDS: Final = {
    "hostname": "srv-01",
    "command_text": "systemctl restart nginx",
    "file_path": "/etc/nginx/nginx.conf",
    "host": "srv-01",
    "title": "Renew the certificate of the portal",
    "name": "Example",
    "client_code": "EXAMPLE",
    "database_name": "orders",
    "extractor_version": "2.4.0",
    "username": "svc-backup",
}
"""What stands in fields of these names."""

VALUES: Final[tuple[tuple[type[Any], Any], ...]] = (
    (Id, AN_ID),
    (Boolean, True),
    (Date, A_TIME[:10]),
    (Money, "95.00"),
    (Float, 1.0),
    (Integer, 1),
)
"""What stands in fields of other types, the first that fits."""


@cache
def examples(resource: Resource) -> dict[str, dict[str, Any]]:
    """What creates a record, what changes one and what is read: ``create``, ``patch`` and ``read``."""
    schemas = wire(resource)
    brief = {column.key for column in resource.columns}
    wanted = [
        name
        for name, field in schemas.create.model_fields.items()
        if field.is_required()
        or "example" in resource.table.c[name].info
        or (name in brief and not resource.table.c[name].foreign_keys)
    ]
    create = {name: _value(resource, resource.table.c[name]) for name in wanted}
    plain = [name for name in schemas.patch.model_fields if name in create]
    read = {name: create.get(name, _stored(resource, column)) for name, column in schemas.fields.items()}
    return {"create": create, "patch": {name: create[name] for name in plain[-1:]}, "read": read}


def _stored(resource: Resource, column: Column[Any]) -> Any:
    """What a field holds that was not sent."""
    default = column.default
    if isinstance(default, ScalarElementColumnDefault):
        return wire_value(default.arg)
    if column.nullable:
        return None
    return _value(resource, column)


def _value(resource: Resource, column: Column[Any]) -> Any:
    kind, form = column.type, column.info.get("form")
    if "example" in column.info:
        return column.info["example"]
    if form is not None:
        return FORMS[form]
    if isinstance(kind, Enum):
        return kind.enums[0]
    if isinstance(kind, Json):
        return {} if wire(resource).adapter(column.name).json_schema().get("type") == "object" else []
    if isinstance(kind, UtcDateTime):
        return LATER if column.name.startswith(("end", "completed", "expires")) else A_TIME
    if isinstance(kind, Line | Prose):
        text = WORDS.get(column.name, f"Example {str(column.name).replace('_', ' ')}")
        return text[: kind.length] if isinstance(kind, Line) else text
    return next(value for types, value in VALUES if isinstance(kind, types))


def example_of(model: type[BaseModel]) -> dict[str, Any]:
    """An example of a verb's body: the fields that must be sent, or all where none must."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    wanted = schema.get("required") or schema["properties"]
    return {name: _of_schema(name, schema["properties"][name], definitions) for name in wanted}


def _of_schema(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return _of_schema(name, schema["anyOf"][0], definitions)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"), schema.get("format"):
        case "string", "uuid":
            return AN_ID
        case "string", "date-time":
            return A_TIME
        case "string", _:
            return WORDS.get(name, f"Example {name.replace('_', ' ')}")
        case "integer" | "number", _:
            return schema.get("minimum", 1)
        case "boolean", _:
            return True
        case "array", _:
            return [_of_schema(name, schema["items"], definitions)]
        case _:
            inner = schema.get("properties", {})
            wanted = schema.get("required", ())
            return {key: _of_schema(key, inner[key], definitions) for key in wanted}
