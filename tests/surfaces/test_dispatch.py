import uuid

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match

from worklore.identity.keys import HubKey
from worklore.identity.token import Authenticator
from worklore.kernel.transaction import Database
from worklore.resources import CATALOG
from worklore.surfaces import rest
from worklore.surfaces.dispatch import Dispatch
from worklore.surfaces.http import Gateway

ROOT = "/api/v1"
KEY = str(uuid.UUID(int=7))


def derived() -> APIRouter:
    database = Database.__new__(Database)
    return rest.routes(CATALOG, Gateway(database, Authenticator(HubKey(bytes(32)))))


def scope(method: str, path: str, **more: str) -> dict[str, object]:
    return {"type": "http", "method": method, "path": path, "root_path": "", **more}


def test_every_derived_operation_is_found_as_fastapi_would_find_it() -> None:
    router = derived()
    dispatch = Dispatch(ROOT, router)
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) > len(CATALOG.resources)
    for route in routes:
        path = route.path.replace("{id}", KEY)
        for method in route.methods:
            asked = scope(method, path)
            first = next(found for found in routes if found.matches(asked)[0] is Match.FULL)
            match, child = dispatch.matches(scope(method, ROOT + path))
            assert match is Match.FULL, (method, path)
            assert child["endpoint"] == first.endpoint
            assert child["path_params"] == first.matches(asked)[1]["path_params"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"{ROOT}/projects"),
        ("POST", f"{ROOT}/projects/{KEY}"),
        ("GET", f"{ROOT}/projects/"),
        ("GET", f"{ROOT}/projects/{KEY}/"),
        ("GET", f"{ROOT}/projects/{KEY}/identify"),
        ("GET", f"{ROOT}//{KEY}"),
        ("GET", f"{ROOT}/projects/{{id}}/x"),
        ("GET", "/api/v1"),
        ("GET", "/projects"),
        ("GET", "/healthz"),
    ],
)
def test_what_does_not_fit_is_left_to_fastapi(method: str, path: str) -> None:
    assert Dispatch(ROOT, derived()).matches(scope(method, path)) == (Match.NONE, {})


def test_a_placeholder_in_the_path_is_an_ordinary_id() -> None:
    _, child = Dispatch(ROOT, derived()).matches(scope("GET", f"{ROOT}/projects/{{id}}"))
    assert child["path_params"] == {"id": "{id}"}


def test_below_a_mount_fastapi_finds_its_way_itself() -> None:
    assert Dispatch(ROOT, derived()).matches(scope("GET", f"{ROOT}/projects", root_path="/hub"))[0] is Match.NONE


def test_a_path_of_another_form_is_refused_at_start() -> None:
    router = APIRouter()
    router.add_api_route("/{id}/parts/{part}", lambda: None)
    with pytest.raises(ValueError, match="cannot be dispatched"):
        Dispatch(ROOT, router)
