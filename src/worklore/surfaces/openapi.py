"""The OpenAPI document of derived operations: parameters, bodies, answers, examples, scope and risk of each."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, Final, cast

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from worklore.kernel.action import Action, Risk
from worklore.kernel.resource import Catalog, Resource
from worklore.kernel.wire import wire
from worklore.surfaces.dispatch import Operation
from worklore.surfaces.examples import AN_ID, example_of, examples
from worklore.surfaces.http import JsonResponse, known_already
from worklore.surfaces.parameters import (
    CASCADE,
    COMMON,
    DRY_RUN,
    ID,
    IF_MATCH,
    KEY,
    MESSAGE,
    by_reference,
    choices,
    list_names,
    list_parameters,
    own_parameters,
    value_parameter,
)

REF: Final = "#/components/schemas/"
RISK: Final = {"list": Risk.read, "get": Risk.read, "create": Risk.write, "patch": Risk.write, "put": Risk.write}
MAX_BULK: Final = 500

Codes = tuple[int, ...]

READING: Final[Codes] = (400, 401, 403)
WRITING: Final[Codes] = (400, 401, 403, 409, 413, 422)
CHANGING: Final[Codes] = (400, 401, 403, 404, 409, 412, 413, 422, 428)

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

NAMED: Final[dict[str, Any]] = {
    "id": {"type": "string", "format": "uuid"},
    "version": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
}
"""How a bulk request names a record."""

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


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF + model.__name__}


def _json(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema} | ({} if example is None else {"example": example})}


def _problems(codes: Iterable[int]) -> dict[str, Any]:
    return {str(code): {"$ref": f"#/components/responses/{code}"} for code in codes}


def _operation(
    name: str,
    summary: str,
    description: str,
    tag: str,
    *,
    scope: str,
    risk: Risk,
    parameters: Sequence[Any],
    answers: dict[str, Any],
    problems: Iterable[int],
    body: dict[str, Any] | None = None,
    needs_body: bool = True,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": name.replace("-", "_").replace("/", "_"),
        "summary": summary,
        "description": description,
        "tags": [tag],
        "parameters": [by_reference(item) for item in parameters],
        "responses": answers | _problems(problems),
        "x-scope": scope,
        "x-risk": risk.value,
    }
    return made | ({} if body is None else {"requestBody": {"required": needs_body, "content": body}})


class _Noun:
    """The bodies of a noun."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        schemas = wire(resource)
        self.read, self.create, self.patch = _ref(schemas.read), _ref(schemas.create), _ref(schemas.patch)
        self.example = examples(resource)
        self.title = resource.name.replace("-", " ")
        self.titles = resource.plural.replace("-", " ")
        self.change = {"$ref": f"{self.patch['$ref']}Item"}
        self.named = {"type": "object", "required": ["id"], "properties": NAMED, "additionalProperties": False}
        self.name = {"id": AN_ID} | ({"version": 1} if resource.mutable else {})

    def one(self, code: int, text: str) -> dict[str, Any]:
        """An answer that is a record."""
        return {str(code): {"description": text, "content": _json(self.read, self.example["read"])}}

    def one_or_more(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A record, or the list of a bulk request."""
        return {"oneOf": [schema, self.more(schema)]}

    def more(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The list of a bulk request."""
        return {"type": "array", "items": schema, "minItems": 1, "maxItems": MAX_BULK}

    def page(self) -> dict[str, Any]:
        """An answer that is a part of a list."""
        next_ = {"type": ["string", "null"], "description": "`after` of the next page; null at the end."}
        page = {
            "type": "object",
            "required": ["items", "next"],
            "properties": {
                "items": {"type": "array", "items": self.read},
                "next": next_,
                "total": {"type": "integer"},
                "deleted": {"type": "array", "items": {"type": "object"}},
            },
        }
        example = {"items": [self.example["read"]], "next": None}
        return {"200": {"description": "A page.", "content": _json(page, example)}}


def describe_operation(resource: Resource, verb: str, *, many: bool) -> dict[str, Any]:
    """The description of an operation of a noun."""
    noun = _Noun(resource)
    body: dict[str, Any] | None = None
    problems: Codes
    write = [KEY, MESSAGE, DRY_RUN]
    match verb:
        case "list":
            summary = f"List {noun.titles}"
            parameters, problems, answers = list_names(resource), READING, noun.page()
        case "get":
            summary = f"Get one {noun.title}"
            parameters, problems = [ID, *choices(resource)], (*READING, 404)
            answers = noun.one(200, "The record.") | {"304": {"description": "Unchanged."}}
        case "create":
            summary = f"Create one {noun.title}, or several"
            parameters, problems = write, WRITING
            body = _json(noun.one_or_more(noun.create), noun.example["create"])
            made = _json(noun.one_or_more(noun.read), noun.example["read"])
            answers = {"201": {"description": "Made.", "content": made}}
        case "patch" if many:
            summary = f"Change several {noun.titles}"
            parameters, problems = write, CHANGING
            body = _json(noun.more(noun.change), [noun.name | noun.example["patch"]])
            changed = _json({"type": "array", "items": noun.read}, [noun.example["read"]])
            answers = {"200": {"description": "Changed.", "content": changed}}
        case "patch":
            summary = f"Change one {noun.title}"
            parameters, problems, answers = [ID, IF_MATCH, *write], CHANGING, noun.one(200, "Changed.")
            body = _json(noun.patch, noun.example["patch"])
        case _:
            summary = f"Delete several {noun.titles}" if many else f"Delete one {noun.title}"
            parameters = [*write, CASCADE] if many else [ID, IF_MATCH, *write, CASCADE]
            problems = CHANGING
            body = _json(noun.more(noun.named), [noun.name]) if many else None
            would = _json({"type": "object"}, {"would_delete": [{"noun": resource.name, "id": AN_ID}]})
            answers = {
                "204": {"description": "Deleted."},
                "200": {"description": "A dry run: what would be deleted.", "content": would},
            }
    return _operation(
        f"{verb}_{'many_' if many else ''}{resource.plural if verb == 'list' or many else resource.name}",
        summary,
        resource.description,
        resource.plural,
        scope=resource.scope(verb),
        risk=RISK.get(verb, Risk.destructive),
        parameters=parameters,
        answers=answers,
        problems=problems,
        body=body,
    )


def describe_lookup(resource: Resource, verb: str, name: str, field: str, parent: Resource | None) -> dict[str, Any]:
    """The description of a look-up by the value of a field."""
    noun = _Noun(resource)
    value = value_parameter(resource, field, parent)
    body: dict[str, Any] | None = None
    match verb:
        case "list":
            summary = f"List {noun.titles} by {name.replace('-', ' ')}"
            parameters, answers = [value, *list_names(resource)], noun.page()
            problems: Codes = (*READING, 404) if parent else READING
        case "get":
            summary = f"Get the {noun.title} by {name.replace('-', ' ')}"
            parameters, problems = [value, *choices(resource)], (*READING, 404)
            answers = noun.one(200, "The record.") | {"304": {"description": "Unchanged."}}
        case _:
            summary = f"Make or change the {noun.title} by {name.replace('-', ' ')}"
            parameters, problems = [value, IF_MATCH, KEY, MESSAGE, DRY_RUN], CHANGING
            answers = noun.one(200, "Changed.") | noun.one(201, "Made.")
            wanted = {
                key: text for key, text in (noun.example["create"] | noun.example["patch"]).items() if key != field
            }
            body = _json({"type": "object"}, wanted)
    return _operation(
        f"{verb}_{resource.plural if verb == 'list' else resource.name}_by_{name}",
        summary,
        resource.description,
        resource.plural,
        scope=resource.scope("create" if verb == "put" else verb),
        risk=RISK[verb],
        parameters=parameters,
        answers=answers,
        problems=problems,
        body=body,
    )


def describe_action(action: Action, resource: Resource | None) -> dict[str, Any]:
    """The description of a verb."""
    noun = resource.name if resource else (action.path or action.name).partition("/")[0]
    summary = action.description.partition(". ")[0].rstrip(".")
    if action.finds and resource is not None:
        own = own_parameters(action.body) if action.body else []
        return _operation(
            f"{action.name}_{resource.plural}",
            summary,
            action.description,
            resource.plural,
            scope=action.scope,
            risk=action.risk,
            parameters=[*own, *list_names(resource)],
            answers=_Noun(resource).page(),
            problems=(*READING, 404),
        )
    parameters = [ID] if resource else []
    if action.risk is not Risk.read:
        parameters = [*parameters, KEY, MESSAGE, DRY_RUN]
    return _operation(
        f"{action.name}_{noun}" if resource else action.name,
        summary,
        action.description,
        resource.plural if resource else noun,
        scope=action.scope,
        risk=action.risk,
        parameters=parameters,
        answers={"200": {"description": "Done.", "content": _json(_ref(action.result))}},
        problems=(*READING, 404, 409, 413, 422),
        body=_json(_ref(action.body), example_of(action.body)) if action.body is not None else None,
        # No body is an empty one, which is enough where no field must be sent.
        needs_body=action.body is not None and any(field.is_required() for field in action.body.model_fields.values()),
    )


def _complete(schemas: dict[str, Any], catalog: Catalog) -> None:
    """What the models do not say: `fields` and `omit` leave fields out, and a bulk change names its record."""
    for resource in catalog.resources:
        read, patch = wire(resource).read.__name__, wire(resource).patch.__name__
        schemas[read].pop("required", None)
        change = schemas[patch]
        schemas[f"{patch}Item"] = change | {"properties": change["properties"] | NAMED, "required": ["id"]}


def _objects(schema: object) -> Iterator[dict[str, Any]]:
    """Each object within a schema, itself included."""
    if isinstance(schema, dict):
        known = cast("dict[str, Any]", schema)
        yield known
        for each in list(known.values()):
            yield from _objects(each)
    elif isinstance(schema, list):
        for each in cast("list[object]", schema):
            yield from _objects(each)


def _for_programs(schemas: dict[str, Any]) -> None:
    """What pydantic says in a way that programs stumble over, or not at all.

    A list whose items differ by place is told as one of any of them. An object whose members' names have a pattern
    takes no others.
    """
    for known in _objects(schemas):
        if "prefixItems" in known:
            known["items"] = {"anyOf": known.pop("prefixItems")}
        if "patternProperties" in known:
            known.setdefault("additionalProperties", False)


def _own(paths: dict[str, Any]) -> None:
    """Our problems in the place of FastAPI's, for the routes that it describes."""
    for path in paths.values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["4XX"] = {"$ref": "#/components/responses/4XX"}


def _models(catalog: Catalog) -> Iterable[type[BaseModel]]:
    for resource in catalog.resources:
        schemas = wire(resource)
        yield from (schemas.read, schemas.create, schemas.patch)
    for action in catalog.actions:
        if not action.finds:
            yield action.result
            if action.body is not None:
                yield action.body


def document(app: FastAPI, root: str, operations: Iterable[Operation], catalog: Catalog) -> dict[str, Any]:
    """The whole document: FastAPI's of its own routes, and ours of the derived operations below ``root``."""
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
    components.setdefault("schemas", {}).update(definitions.get("$defs", {}))
    components["schemas"]["Problem"] = PROBLEM_SCHEMA
    _complete(components["schemas"], catalog)
    _for_programs(components["schemas"])
    _own(made["paths"])
    components["parameters"] = {
        f"{resource.plural}.{item['name']}": item
        for resource in catalog.resources
        for item in list_parameters(resource)
    }
    components["parameters"] |= {item["name"]: item for item in COMMON}
    problem = {"application/problem+json": {"schema": {"$ref": f"{REF}Problem"}}}
    meanings = {str(code): text for code, text in MEANING.items()} | {"4XX": "Refused; `code` says why."}
    components["responses"] = {code: {"description": text, "content": problem} for code, text in meanings.items()}
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"bearer": []}]
    for operation in operations:
        made["paths"].setdefault(root + operation.path, {})[operation.method.lower()] = operation.describe()
    return made


def install_openapi(app: FastAPI, root: str, operations: Sequence[Operation], catalog: Catalog) -> None:
    """Let the app's document be the whole one: made once, when somebody first asks, and sent as the bytes it is."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app, root, operations, catalog)
        return app.openapi_schema

    @cache
    def served() -> tuple[bytes, str]:
        text = orjson.dumps(made())
        return text, f'"{hashlib.sha256(text).hexdigest()[:32]}"'

    def answer(request: Request) -> Response:
        text, tag = served()
        headers = {"etag": tag, "cache-control": "no-cache"}
        if known_already(request, tag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return JsonResponse(text, headers=headers)

    app.openapi = made  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    app.router.routes.insert(0, Route(app.openapi_url or "", answer))
