"""The parameters of derived operations, as OpenAPI tells of them."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from worklore.kernel.query import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, filterable, sortable, suffixes
from worklore.kernel.resource import Resource
from worklore.kernel.wire import wire
from worklore.surfaces.examples import AN_ID, examples

SHARED: Final = "#/components/parameters/"

SUFFIX_MEANING: Final = {
    "": "equals",
    "ne": "differs from",
    "in": "is one of (comma-separated)",
    "isnull": "is empty (true) or not (false)",
    "gt": "is greater or later than",
    "gte": "is at least",
    "lt": "is less or earlier than",
    "lte": "is at most",
    "contains": "contains, whatever the case",
    "startswith": "starts with, whatever the case",
}


def parameter(name: str, where: str, schema: dict[str, Any], description: str, *, required: bool = False) -> Any:
    """One parameter."""
    return {"name": name, "in": where, "required": required, "schema": schema, "description": description}


ID: Final = parameter("id", "path", {"type": "string", "format": "uuid"}, "The record's id.", required=True) | {
    "example": AN_ID
}
ETAG: Final = r'^(\*|(W/)?"[0-9]{1,10}")$'

KEY: Final = parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"},
    "Makes a repeat of this request safe: it is done once and answered alike.",
)
IF_MATCH: Final = parameter(
    "If-Match", "header", {"type": "string", "pattern": ETAG}, "The ETag you read; agents must send it."
)
MESSAGE: Final = parameter("Change-Message", "header", {"type": "string"}, "Why; kept in the audit log.")
DRY_RUN: Final = parameter("dry_run", "query", {"type": "boolean"}, "Do it, show the result, and undo it.")
CASCADE: Final = parameter("cascade", "query", {"type": "boolean"}, "Delete the records that may go with it too.")
COMMON: Final = (ID, KEY, IF_MATCH, MESSAGE, DRY_RUN, CASCADE)
"""What many operations take."""


def choose(resource: Resource) -> list[dict[str, Any]]:
    """Which fields an answer has."""
    names = list(wire(resource).fields)
    listed = _list_of(names)
    return [
        parameter("fields", "query", _pattern(listed), f"Only these fields, comma-separated, of: {', '.join(names)}."),
        parameter("omit", "query", _pattern(f"({listed})?"), "All fields but these."),
        parameter("brief", "query", {"type": "boolean"}, "Only the id and the fields of tables."),
    ]


def _list_of(names: Iterable[str], *, before: str = "") -> str:
    """The pattern of a comma-separated list of names, without its ends."""
    one = f"{before}({'|'.join(names)})"
    return f"{one}(,{one})*"


def _pattern(inner: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{inner}$"}


def list_parameters(resource: Resource) -> list[dict[str, Any]]:
    """Everything a noun's list takes."""
    schemas = wire(resource)
    found = [
        parameter(
            f"{name}__{suffix}" if suffix else name,
            "query",
            _value_schema(schemas.adapter(name), suffix),
            f"{name} {SUFFIX_MEANING[suffix]}",
        )
        for name in filterable(resource)
        for suffix in suffixes(resource, name)
    ]
    if resource.search:
        fields = ", ".join(field.key for field in resource.search)
        found.append(parameter("q", "query", {"type": "string"}, f"Every word occurs in one of: {fields}."))
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return [
        *found,
        parameter(
            "sort",
            "query",
            _pattern(f"({_list_of(sortable(resource), before='-?')})?"),
            f"Comma-separated, `-` for descending: {', '.join(sortable(resource))}.",
        ),
        parameter("limit", "query", limit, "Rows of a page."),
        parameter(
            "offset",
            "query",
            {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
            "Rows to pass over.",
        ),
        parameter("after", "query", {"type": "string"}, "The `next` of the page before: pages that do not shift."),
        parameter(
            "since", "query", {"type": "string", "format": "date-time"}, "Changed since; `deleted` lists what is gone."
        ),
        parameter("total", "query", {"type": "boolean"}, "Count all rows too."),
        *choose(resource),
    ]


def _value_schema(adapter: TypeAdapter[Any], suffix: str) -> dict[str, Any]:
    """What a filter takes: the field's own values, or words that stand for several or none of them."""
    if suffix == "isnull":
        return {"type": "boolean"}
    if suffix in {"in", "contains", "startswith"}:
        return {"type": "string"}
    schema = adapter.json_schema()
    definitions = schema.pop("$defs", {})
    return definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def list_names(resource: Resource) -> list[str]:
    """The parameters of a noun's lists, by the names they are shared under."""
    return [f"{resource.plural}.{item['name']}" for item in list_parameters(resource)]


def choices(resource: Resource) -> list[str]:
    """The parameters of a read of one record, by the names they are shared under."""
    return [f"{resource.plural}.{item['name']}" for item in choose(resource)]


def by_reference(item: str | dict[str, Any]) -> dict[str, Any]:
    """A parameter as an operation names it: shared ones by reference."""
    name = item if isinstance(item, str) else item["name"]
    return {"$ref": f"{SHARED}{name}"} if isinstance(item, str) or item in COMMON else item


def value_parameter(resource: Resource, field: str, parent: Resource | None) -> dict[str, Any]:
    """The value in the path of a look-up."""
    about = f"The id of the {parent.name}." if parent else f"The value of {field}."
    made: dict[str, Any] = parameter(
        "value", "path", _value_schema(wire(resource).adapter(field), ""), about, required=True
    )
    return made | {"example": AN_ID if parent else examples(resource)["read"][field]}


SEVERAL: Final = r"[^,\s\x00]"
"""Values separated by commas, at least one of them more than blank."""


def own_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """The fields of a verb that finds, as parameters."""
    schema = model.model_json_schema()
    return [
        parameter(
            name,
            "query",
            {"type": "string", "pattern": SEVERAL} if found.get("type") == "array" else found,
            found.get("description", ""),
            required=name in schema.get("required", ()),
        )
        for name, found in schema["properties"].items()
    ]
