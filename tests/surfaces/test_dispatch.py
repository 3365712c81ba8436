import uuid
from collections.abc import Sequence

import pytest
from fastapi import Request, Response
from starlette.routing import Match, compile_path

from tests.conftest import TestHub
from tests.inprocess import Asked
from worklore.identity.keys import HubKey
from worklore.identity.token import Authenticator
from worklore.kernel.transaction import Database
from worklore.resources import CATALOG
from worklore.surfaces import rest
from worklore.surfaces.dispatch import Dispatch, Operation
from worklore.surfaces.http import Gateway

ROOT = "/api/v1"
KEY = str(uuid.UUID(int=7))


@pytest.fixture(scope="module")
def operations() -> Sequence[Operation]:
    database = Database.__new__(Database)
    return list(rest.operations(CATALOG, Gateway(database, Authenticator(HubKey(bytes(32))))))


def scope(method: str, path: str, **more: str) -> dict[str, object]:
    return {"type": "http", "method": method, "path": path, "root_path": "", **more}


def test_every_operation_is_found_by_its_own_path_and_no_other_before_it(operations: Sequence[Operation]) -> None:
    dispatch = Dispatch(ROOT, operations)
    assert len(operations) > len(CATALOG.resources)
    for operation in operations:
        asked = operation.path.replace("{id}", KEY).replace("{value}", "some value")
        match, child = dispatch.matches(scope(operation.method, ROOT + asked))
        assert match is Match.FULL, operation
        assert child["endpoint"] is operation.endpoint, operation
        pattern, _, _ = compile_path(operation.path)
        found = pattern.match(asked)
        assert found is not None
        assert child["path_params"] == found.groupdict()


@pytest.mark.parametrize(
    "path",
    [
        f"{ROOT}/projects/",
        f"{ROOT}/projects/{KEY}/",
        f"{ROOT}//{KEY}",
        f"{ROOT}/projects/{{id}}/x",
        f"{ROOT}/sites/by-client/",
        f"{ROOT}/sites/by-client/{KEY}/more",
        "/api/v1",
        "/projects",
        "/healthz",
    ],
)
def test_what_does_not_fit_is_left_to_fastapi(operations: Sequence[Operation], path: str) -> None:
    assert Dispatch(ROOT, operations).matches(scope("GET", path)) == (Match.NONE, {})


@pytest.mark.parametrize("path", ["/projects", f"/projects/{KEY}", f"/sites/by-client/{KEY}", "/capture"])
def test_another_method_of_a_path_is_a_partial_match(operations: Sequence[Operation], path: str) -> None:
    assert Dispatch(ROOT, operations).matches(scope("OPTIONS", ROOT + path))[0] is Match.PARTIAL


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/projects", "GET, POST, PATCH, DELETE"),
        (f"/projects/{KEY}", "GET, PATCH, DELETE"),
        (f"/sites/by-client/{KEY}", "GET"),
        (f"/project-states/by-project/{KEY}", "GET, PUT"),
        ("/capture", "GET, POST"),
        ("/projects/identify", "POST"),
        ("/auth/sign-in", "POST"),
    ],
)
def test_what_is_offered_is_told_whichever_routes_have_the_path(sqlite_hub: TestHub, path: str, allowed: str) -> None:
    for method in ("OPTIONS", "TRACE"):
        [answer] = sqlite_hub.in_process([Asked(method, ROOT + path)])
        assert (answer.status, answer.headers["allow"]) == (405, allowed)
        assert answer.json()["detail"] == f"{method} is not offered here; {allowed} is."


def test_a_placeholder_in_the_path_is_an_ordinary_id(operations: Sequence[Operation]) -> None:
    _, child = Dispatch(ROOT, operations).matches(scope("GET", f"{ROOT}/projects/{{id}}"))
    assert child["path_params"] == {"id": "{id}"}


def test_below_a_mount_fastapi_finds_its_way_itself(operations: Sequence[Operation]) -> None:
    assert Dispatch(ROOT, operations).matches(scope("GET", f"{ROOT}/projects", root_path="/hub"))[0] is Match.NONE


@pytest.mark.parametrize("path", ["/{id}/parts/{part}", "/parts/{part}", "/{value}", "/projects/{id}/x/{value}"])
def test_a_path_of_another_form_is_refused_at_start(path: str) -> None:
    async def endpoint(_: Request) -> Response:
        return Response()

    with pytest.raises(ValueError, match="cannot be dispatched"):
        Dispatch(ROOT, [Operation("GET", path, endpoint, dict)])
