"""Every operation, by every role, on what is one's own client's and on what is another's: made from the document.

A new operation is in it by itself. On SQLite, since no database can change who may do what; what a limit is as SQL is
tested on all of them in `test_access`.
"""

import re
import uuid
from collections import Counter
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import delete

from tests.conformance.rules import SHARED
from tests.conformance.test_access import OPEN, SELF, operations
from tests.conftest import TestHub
from worklore.identity.roles import SCOPES, Role
from worklore.identity.user import UserClient
from worklore.kernel.access import Principal, PrincipalKind
from worklore.kernel.resource import Resource
from worklore.resources import CATALOG

ROOT = "/api/v1/"
BY_PLURAL = {resource.plural: resource for resource in CATALOG.resources}
REFUSED_OTHERWISE = {"owner-only", "more-than-own", "not-yours", "forbidden", "person-needed", "credential-permission"}
"""Why one who has the scope may still be told 403: rules about who gives which rights."""

ASKED = {
    "capture": {"agent": "claude-code", "session": "s", "source": "/x"},
    "decision-logs/by-tags": {"tags": "vpn"},
    "context-snippets/by-tags": {"tags": "vpn"},
}
"""Parameters without which an operation is not understood."""

PLACES = {"agent": "claude-code", "event": "SessionStart"}


def noun_of(path: str) -> Resource | None:
    return BY_PLURAL.get(path.removeprefix(ROOT).split("/")[0])


def place(path: str, sample: dict[str, Any]) -> str:
    """A path with the sample's own values in it."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name == "value":
            field = path.split("/by-")[1].split("/", maxsplit=1)[0].replace("-", "_")
            return quote(str(sample.get(field) or sample.get(f"{field}_id") or "x"), safe="")
        return PLACES.get(name) or str(sample["id"])

    return re.sub(r"{(\w+)}", fill, path)


def ask(caller: httpx2.Client, hub: TestHub, method: str, path: str, sample: dict[str, Any]) -> httpx2.Response:
    """The operation, so that nothing of it stays."""
    below = path.removeprefix(ROOT)
    parameters = ASKED.get(below, {}) | ({} if method == "GET" or noun_of(path) is None else {"dry_run": "true"})
    many = method in {"PATCH", "DELETE"} and "{" not in path
    body: Any = [{"id": sample["id"]}] if many else None if method in {"GET", "DELETE"} else {}
    return caller.request(method, hub.url + place(path, sample), params=parameters, json=body)


@pytest.mark.parametrize("role", list(Role))
def test_every_operation_does_what_the_roles_say(role: Role, sqlite_hub: TestHub, sqlite_rows: Any) -> None:
    rows, hub = sqlite_rows, sqlite_hub
    other = rows.stranger()[0]
    within, without = (hub.client(hub.token(role, clients=[client])) for client in (rows.client, other))
    may = Principal(PrincipalKind.user, "somebody", SCOPES[role]).may
    cells: Counter[str] = Counter()
    for method, path, operation in operations():
        if (method, path) in OPEN | SELF:
            continue
        noun, scope = noun_of(path), operation["x-scope"]
        sample = rows.samples(noun)[0] if noun else {"id": rows.client}
        for caller in (within, without):
            answer = ask(caller, hub, method, path, sample)
            cell = (
                role.value,
                method,
                path,
                "own" if caller is within else "other",
                answer.status_code,
                answer.text[:300],
            )
            assert answer.status_code not in {401, 405, *range(500, 600)}, cell
            if not may(scope):
                assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing"), cell
                cells["refused"] += 1
                break
            if answer.status_code == 403:
                assert answer.json()["code"] in REFUSED_OTHERWISE, cell
            if caller is without and (noun is None or noun.name not in SHARED):
                if answer.is_success:
                    assert rows.client not in answer.text, cell
                    assert noun is None or sample["id"] not in answer.text, cell
                if noun is not None and "id}" in path:
                    assert not answer.is_success, cell
                    assert method != "GET" or answer.status_code == 404, cell
            cells["foreign" if caller is without else "own"] += 1
    assert sum(cells.values()) >= len(operations()) - len(OPEN | SELF)
    assert cells["own"] == cells["foreign"] > 0


def test_one_who_is_limited_to_nothing_sees_nothing(sqlite_hub: TestHub, sqlite_rows: Any) -> None:
    """Also an owner whose every row of a limit is gone."""
    hub, rows = sqlite_hub, sqlite_rows
    token = hub.token(clients=[rows.stranger()[0]])
    key = hub.client(token).get("/me").json()["user"]["id"]
    with hub.database.writing.begin() as connection:
        assert connection.execute(delete(UserClient).where(UserClient.user_id == uuid.UUID(key))).rowcount == 1
    hub.hub.gateway.authenticator.forget()
    nothing = hub.client(token)
    assert nothing.get("/me").json()["clients"] == []
    for noun in CATALOG.resources:
        rows.samples(noun)
        if noun.name not in SHARED:
            assert nothing.get(f"/{noun.plural}").json()["items"] == [], noun.name
