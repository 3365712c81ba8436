"""The OpenAPI document of derived routes: parameters, bodies, answers, scope and risk of each operation."""

from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from worklore.kernel.action import Action, Risk
from worklore.kernel.query import DEFAULT_LIMIT, MAX_LIMIT, filterable, sortable, suffixes
from worklore.kernel.resource import Catalog, Resource
from worklore.kernel.wire import wire

REF: Final = "#/components/schemas/"
RISK: Final = {"list": Risk.read, "get": Risk.read, "create": Risk.write, "patch": Risk.write}

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "What happened, why, and what to do (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "A stable name of the problem, for programs."},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string", "format": "uuid"},
    },
    "additionalProperties": True,
}

MEANING: Final = {
    400: "A parameter that does not exist or cannot be read.",
    401: "No valid token.",
    403: "The scope is missing.",
    404: "There is none, or you may not see it.",
    409: "A duplicate, records that depend on it, or a request still running.",
    412: "The record has changed since you read it; `current` holds it as it is now.",
    413: "The body is too large.",
    422: "The content is not valid, or the Idempotency-Key was used for another request.",
    428: "Agents and machines must say which version they read.",
}

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


def _parameter(name: str, where: str, schema: dict[str, Any], description: str, *, required: bool = False) -> Any:
    return {"name": name, "in": where, "required": required, "schema": schema, "description": description}


_ID: Final = _parameter("id", "path", {"type": "string", "format": "uuid"}, "The record's id.", required=True)
_KEY: Final = _parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "maxLength": 200},
    "Makes a repeat of this request safe: it is done once and answered alike.",
)
_IF_MATCH: Final = _parameter("If-Match", "header", {"type": "string"}, "The ETag you read; agents must send it.")
_MESSAGE: Final = _parameter("Change-Message", "header", {"type": "string"}, "Why; kept in the audit log.")
_DRY_RUN: Final = _parameter("dry_run", "query", {"type": "boolean"}, "Do it, show the result, and undo it.")
_CASCADE: Final = _parameter("cascade", "query", {"type": "boolean"}, "Delete the records that may go with it too.")


def _choose(resource: Resource) -> list[dict[str, Any]]:
    names = ", ".join(wire(resource).fields)
    return [
        _parameter("fields", "query", {"type": "string"}, f"Only these fields, comma-separated, of: {names}."),
        _parameter("omit", "query", {"type": "string"}, "All fields but these."),
        _parameter("brief", "query", {"type": "boolean"}, "Only the id and the fields of tables."),
    ]


def _list_parameters(resource: Resource) -> list[dict[str, Any]]:
    found = [
        _parameter(
            f"{name}__{suffix}" if suffix else name, "query", {"type": "string"}, f"{name} {SUFFIX_MEANING[suffix]}"
        )
        for name in filterable(resource)
        for suffix in suffixes(resource, name)
    ]
    if resource.search:
        fields = ", ".join(field.key for field in resource.search)
        found.append(_parameter("q", "query", {"type": "string"}, f"Every word occurs in one of: {fields}."))
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return [
        *found,
        _parameter(
            "sort",
            "query",
            {"type": "string"},
            f"Comma-separated, `-` for descending: {', '.join(sortable(resource))}.",
        ),
        _parameter("limit", "query", limit, "Rows of a page."),
        _parameter("offset", "query", {"type": "integer", "minimum": 0, "default": 0}, "Rows to pass over."),
        _parameter("after", "query", {"type": "string"}, "The `next` of the page before: pages that do not shift."),
        _parameter(
            "since", "query", {"type": "string", "format": "date-time"}, "Changed since; `deleted` lists what is gone."
        ),
        _parameter("total", "query", {"type": "boolean"}, "Count all rows too."),
        *_choose(resource),
    ]


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF + model.__name__}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _problems(*codes: int) -> dict[str, Any]:
    return {
        str(code): {
            "description": MEANING[code],
            "content": {"application/problem+json": {"schema": {"$ref": f"{REF}Problem"}}},
        }
        for code in codes
    }


def _several(schema: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1, "maxItems": 500}]}


def describe_operation(resource: Resource, verb: str, *, many: bool) -> dict[str, Any]:
    """What FastAPI is told of a derived operation."""
    schemas = wire(resource)
    one = _ref(schemas.read)
    body: dict[str, Any] | None = None
    problems: tuple[int, ...]
    named: dict[str, Any]
    item: dict[str, Any]
    match verb:
        case "list":
            parameters, problems = _list_parameters(resource), (400, 401, 403)
            page = {
                "type": "object",
                "required": ["items", "next"],
                "properties": {
                    "items": {"type": "array", "items": one},
                    "next": {"type": ["string", "null"], "description": "`after` of the next page; null at the end."},
                    "total": {"type": "integer"},
                    "deleted": {"type": "array", "items": {"type": "object"}},
                },
            }
            answer = {"200": {"description": "A page.", "content": _json(page)}}
        case "get":
            parameters, problems = [_ID, *_choose(resource)], (400, 401, 403, 404)
            answer = {
                "200": {"description": "The record.", "content": _json(one)},
                "304": {"description": "Unchanged."},
            }
        case "create":
            parameters, problems = [_KEY, _MESSAGE, _DRY_RUN], (400, 401, 403, 409, 413, 422)
            body = _several(_ref(schemas.create))
            answer = {"201": {"description": "Made.", "content": _json(_several(one))}}
        case "patch" if many:
            parameters, problems = [_KEY, _MESSAGE, _DRY_RUN], (400, 401, 403, 404, 409, 412, 413, 422, 428)
            named = {"id": {"type": "string", "format": "uuid"}, "version": {"type": "integer"}}
            item = {"allOf": [_ref(schemas.patch), {"type": "object", "required": ["id"], "properties": named}]}
            body = {"type": "array", "items": item, "minItems": 1, "maxItems": 500}
            answer = {"200": {"description": "Changed.", "content": _json({"type": "array", "items": one})}}
        case "patch":
            parameters, problems = (
                [_ID, _IF_MATCH, _KEY, _MESSAGE, _DRY_RUN],
                (400, 401, 403, 404, 409, 412, 413, 422, 428),
            )
            body = _ref(schemas.patch)
            answer = {"200": {"description": "Changed.", "content": _json(one)}}
        case _:
            parameters = (
                [_KEY, _MESSAGE, _DRY_RUN, _CASCADE] if many else [_ID, _IF_MATCH, _KEY, _MESSAGE, _DRY_RUN, _CASCADE]
            )
            problems = (400, 401, 403, 404, 409, 412, 428)
            if many:
                named = {"id": {"type": "string", "format": "uuid"}, "version": {"type": "integer"}}
                item = {"type": "object", "required": ["id"], "properties": named}
                body = {"type": "array", "items": item, "minItems": 1, "maxItems": 500}
            answer = {
                "204": {"description": "Deleted."},
                "200": {"description": "A dry run: what would be deleted.", "content": _json({"type": "object"})},
            }
    extra: dict[str, Any] = {
        "parameters": parameters,
        "responses": answer | _problems(*problems),
        "x-scope": resource.scope(verb),
        "x-risk": RISK.get(verb, Risk.destructive).value,
    }
    if body is not None:
        extra["requestBody"] = {"required": True, "content": _json(body)}
    noun = resource.plural if verb == "list" or many else resource.name
    title = resource.name.replace("-", " ")
    plural = resource.plural.replace("-", " ")
    summary = {
        "list": f"List {plural}",
        "get": f"Get one {title}",
        "create": f"Create one {title}, or several",
        "patch": f"Change several {plural}" if many else f"Change one {title}",
        "delete": f"Delete several {plural}" if many else f"Delete one {title}",
    }[verb]
    return {
        "operation_id": f"{verb}_{'many_' if many else ''}{noun}".replace("-", "_"),
        "summary": summary,
        "description": resource.description,
        "tags": [resource.plural],
        "openapi_extra": extra,
        "status_code": 201 if verb == "create" else 204 if verb == "delete" else 200,
    }


def describe_action(action: Action, resource: Resource | None) -> dict[str, Any]:
    """What FastAPI is told of a verb."""
    parameters = [_ID] if resource else []
    if action.risk is not Risk.read:
        parameters = [*parameters, _KEY, _MESSAGE, _DRY_RUN]
    extra: dict[str, Any] = {
        "parameters": parameters,
        "responses": {"200": {"description": "Done.", "content": _json(_ref(action.result))}}
        | _problems(400, 401, 403, *((404,) if resource else ()), 409, 413, 422),
        "x-scope": action.scope,
        "x-risk": action.risk.value,
    }
    if action.body is not None:
        extra["requestBody"] = {"required": True, "content": _json(_ref(action.body))}
    noun = resource.name if resource else (action.path or action.name).partition("/")[0]
    return {
        "operation_id": f"{action.name}_{noun}".replace("-", "_") if resource else action.name.replace("-", "_"),
        "summary": action.description.partition(". ")[0].rstrip("."),
        "description": action.description,
        "tags": [resource.plural if resource else noun],
        "openapi_extra": extra,
    }


def _models(catalog: Catalog) -> Iterable[type[BaseModel]]:
    for resource in catalog.resources:
        schemas = wire(resource)
        yield from (schemas.read, schemas.create, schemas.patch)
    for action in catalog.actions:
        yield action.result
        if action.body is not None:
            yield action.body


def install_openapi(app: FastAPI, catalog: Catalog) -> None:
    """Let the app's document hold the derived schemas too."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                openapi_version="3.1.0",
            )
            _, definitions = models_json_schema(
                [(model, "validation") for model in dict.fromkeys(_models(catalog))], ref_template=REF + "{model}"
            )
            components = made.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            schemas.update(definitions.get("$defs", {}))
            schemas["Problem"] = PROBLEM_SCHEMA
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"bearer": []}]
            for path in made["paths"].values():
                for operation in path.values():
                    # FastAPI adds its own 200 and 422 to operations that describe their answers themselves.
                    if "x-scope" in operation and "content" not in operation["responses"].get("422", {"content": 0}):
                        operation["responses"].pop("422", None)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
