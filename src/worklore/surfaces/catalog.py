"""The catalogue as plain data: every noun and verb with its fields, for clients that are built from it.

The command line holds a copy (``python -m worklore catalog`` prints it), so that it can explain and check what a person
types without asking the hub first. Members that say nothing (null, false, empty) are left out.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from pydantic import BaseModel

from worklore.kernel.action import Action
from worklore.kernel.query import filterable, sortable, suffixes
from worklore.kernel.resource import Catalog, Resource, Verb
from worklore.kernel.wire import wire
from worklore.surfaces.openapi import REF

_FORMATS: Final = {"uuid": "id", "date": "date", "date-time": "time", "password": "secret"}
_TYPES: Final = {"integer": "integer", "number": "number", "boolean": "boolean", "array": "list", "object": "object"}


def describe_catalog(catalog: Catalog) -> dict[str, Any]:
    """Nouns and verbs in alphabetical order, the fields of each in the order of its table.

    A field has ``name`` and ``type`` (text, secret, id, time, date, integer, number, decimal, boolean, choice, list,
    object or json) and, where they apply: ``required`` on creation, ``create`` and ``change`` (it may be set then),
    ``null`` (it may be empty), ``choices``, ``max_length``, ``minimum``, ``maximum``, ``default``, ``description``,
    ``reference`` (the noun it is the id of) and ``unique``.
    """
    nouns = sorted(catalog.resources, key=lambda resource: resource.name)
    verbs = sorted(catalog.actions, key=lambda action: (action.on or "", action.path or action.name))
    return {
        "nouns": [_noun(catalog, resource) for resource in nouns],
        "actions": [_action(action) for action in verbs],
    }


def catalog_text(catalog: Catalog) -> str:
    """The same as JSON with a line for each field and action, so that a difference shows what changed."""
    described = describe_catalog(catalog)
    nouns = [_lines(noun) for noun in described["nouns"]]
    actions = [_line(action) for action in described["actions"]]
    return '{"nouns": [\n' + ",\n".join(nouns) + '\n],\n"actions": [\n ' + ",\n ".join(actions) + "\n]}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(noun: dict[str, Any]) -> str:
    rest = ",\n  ".join(f"{_line(name)}: {_line(value)}" for name, value in noun.items() if name != "fields")
    fields = ",\n   ".join(_line(field) for field in noun["fields"])
    return f' {{{rest},\n  "fields": [\n   {fields}]}}'


def _told(**members: Any) -> dict[str, Any]:
    silent: tuple[Any, ...] = ("", [], {})
    return {name: value for name, value in members.items() if not (value is None or value is False or value in silent)}


def _noun(catalog: Catalog, resource: Resource) -> dict[str, Any]:
    names = filterable(resource)
    return _told(
        name=resource.name,
        plural=resource.plural,
        description=" ".join(resource.description.split()),
        verbs=[verb.value for verb in Verb if verb in resource.verbs],
        versioned=resource.mutable,
        fields=_fields(catalog, resource),
        filters={name: list(suffixes(resource, name)) for name in names},
        sort=list(sortable(resource)),
        brief=[field.key for field in resource.columns],
        search=[field.key for field in resource.search],
    )


def _fields(catalog: Catalog, resource: Resource) -> list[dict[str, Any]]:
    schemas = wire(resource)
    read, create, patch = (
        _schema(model) for model in (schemas.read, *_offered(resource, schemas.create, schemas.patch))
    )
    described: list[dict[str, Any]] = []
    # Some fields can be set and never read: they come last.
    for name in dict.fromkeys([*read["properties"], *create["properties"], *patch["properties"]]):
        chosen = next(schema for schema in (create, patch, read) if name in schema["properties"])
        targets = (
            [key.column.table.description for key in schemas.fields[name].foreign_keys]
            if name in read["properties"]
            else []
        )
        parents = [catalog.by_table[table].name for table in targets if table in catalog.by_table]
        described.append(
            _field(name, chosen)
            | _told(
                required=name in create.get("required", ()),
                create=name in create["properties"],
                change=name in patch["properties"],
                unique=resource.is_unique(name) if name in resource.table.c else False,
                reference=parents[0] if parents else None,
            )
        )
    return described


def _offered(resource: Resource, create: type[BaseModel], patch: type[BaseModel]) -> Iterable[type[BaseModel] | None]:
    return (create if Verb.create in resource.verbs else None, patch if Verb.patch in resource.verbs else None)


def _schema(model: type[BaseModel] | None) -> dict[str, Any]:
    empty: dict[str, Any] = {"properties": {}}
    return empty | (model.model_json_schema(ref_template=REF + "{model}") if model else {})


def _action(action: Action) -> dict[str, Any]:
    schema = _schema(action.body)
    required = schema.get("required", ())
    return _told(
        name=action.name,
        noun=action.on,
        path=None if action.on else action.path or action.name,
        scope=action.scope,
        risk=action.risk.value,
        finds=action.finds is not None,
        description=" ".join(action.description.split()),
        body=action.body is not None,
        fields=[_field(name, schema) | _told(required=name in required) for name in schema["properties"]],
    )


def _field(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    definitions = cast("Mapping[str, Any]", schema.get("$defs", {}))
    shape = cast("Mapping[str, Any]", schema["properties"][name])
    shapes = cast("list[Mapping[str, Any]]", shape.get("anyOf", [shape]))
    kinds = [_resolved(kind, definitions) for kind in shapes]
    values = [kind for kind in kinds if kind.get("type") != "null"]
    value: Mapping[str, Any] = values[0] if values else {}
    lengths = [kind["maxLength"] for kind in values if "maxLength" in kind]
    default = shape.get("default")
    return (
        {"name": name, "type": _type(values)}
        | _told(
            null=len(kinds) > len(values),
            choices=[str(choice) for choice in value.get("enum", [])],
            max_length=lengths[0] if lengths else None,
            minimum=value.get("minimum"),
            maximum=value.get("maximum"),
            description=" ".join(str(shape.get("description", "")).split()),
        )
        | ({} if default is None else {"default": default})
    )


def _resolved(kind: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(kind.get("$ref", "")).removeprefix(REF)
    return cast("Mapping[str, Any]", definitions[name]) if name else kind


def _type(values: list[Mapping[str, Any]]) -> str:
    kinds = {str(value.get("type", "")) for value in values}
    if kinds == {"number", "string"}:  # how a schema tells of a decimal
        return "decimal"
    if len(values) != 1:
        return "json"
    value = values[0]
    if "enum" in value:
        return "choice"
    if value.get("type") == "string":
        return _FORMATS.get(str(value.get("format", "")), "text")
    return _TYPES.get(str(value.get("type", "")), "json")
