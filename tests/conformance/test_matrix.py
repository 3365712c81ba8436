"""Every operation, by every role, on what is one's own client's and on what is another's: made from the document.

A new operation is in it by itself. The whole matrix runs on SQLite; on the servers each operation is asked by one role,
always the same, and `make matrix` runs all of it on all three.
"""

import os
import re
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from sqlalchemy import delete

from tests.conformance.rules import SHARED
from tests.conformance.test_access import OPEN, SELF, operations
from tests.conftest import TestHub
from tests.inprocess import Answer, Asked
from worklore.identity.roles import SCOPES, Role
from worklore.identity.user import UserClient
from worklore.kernel.access import Principal, PrincipalKind
from worklore.kernel.resource import Resource
from worklore.resources import CATALOG

WHOLE = os.environ.get("WORKLORE_MATRIX") == "whole"
READS_AT_ONCE = 8
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


def request(method: str, path: str, sample: dict[str, Any], token: str) -> Asked:
    """The operation, so that nothing of it stays."""
    below = path.removeprefix(ROOT)
    parameters = ASKED.get(below, {}) | ({} if method == "GET" or noun_of(path) is None else {"dry_run": "true"})
    many = method in {"PATCH", "DELETE"} and "{" not in path
    body: Any = [{"id": sample["id"]}] if many else None if method in {"GET", "DELETE"} else {}
    return Asked(method, f"{place(path, sample)}?{urlencode(parameters)}", {"authorization": f"Bearer {token}"}, body)


@dataclass(frozen=True)
class Cell:
    """An operation by a role, on its own client's record or on another's."""

    method: str
    path: str
    scope: str
    sample: dict[str, Any]
    foreign: bool
    asked: Asked

    @property
    def noun(self) -> Resource | None:
        return noun_of(self.path)


def whose(method: str, path: str) -> Role:
    """The role that asks an operation where one must do."""
    return list(Role)[zlib.crc32(f"{method} {path}".encode()) % len(Role)]


def cells(role: Role, rows: Any, tokens: dict[bool, str], may: Callable[[str], bool], *, whole: bool) -> Iterator[Cell]:
    """Of a role: whoever lacks the scope is refused whatever the record, and asks once."""
    for method, path, operation in operations():
        if (method, path) in OPEN | SELF or not (whole or whose(method, path) is role):
            continue
        noun, scope = noun_of(path), operation["x-scope"]
        sample = rows.sample(noun) if noun else {"id": rows.client}
        for foreign in (False, True) if may(scope) else (False,):
            yield Cell(method, path, scope, sample, foreign, request(method, path, sample, tokens[foreign]))


def check(cell: Cell, answer: Answer, own: str, about: object, *, may: bool) -> str:
    """Nothing of another's is shown or changed; what the answer was, in a word."""
    assert answer.status not in {401, 405, *range(500, 600)}, about
    if not may:
        assert (answer.status, answer.json()["code"]) == (403, "scope-missing"), about
        return "refused"
    if answer.status == 403:
        assert answer.json()["code"] in REFUSED_OTHERWISE, about
    if cell.foreign and (cell.noun is None or cell.noun.name not in SHARED):
        done = answer.status < 300
        if done:
            assert own not in answer.text, about
            assert cell.noun is None or cell.sample["id"] not in answer.text, about
        if cell.noun is not None and "id}" in cell.path:
            assert not done, about
            assert cell.method != "GET" or answer.status == 404, about
    return "foreign" if cell.foreign else "own"


@pytest.mark.parametrize("role", list(Role))
def test_every_operation_does_what_the_roles_say(role: Role, hub: TestHub, rows: Any) -> None:
    tokens = {
        foreign: hub.token(role, clients=[client])
        for foreign, client in ((False, rows.client), (True, rows.stranger()[0]))
    }
    may = Principal(PrincipalKind.user, "somebody", SCOPES[role]).may
    whole = WHOLE or hub.dialect == "sqlite"
    counted: Counter[str] = Counter()
    every = list(cells(role, rows, tokens, may, whole=whole))
    for writes in (False, True):
        # Trials of writes hold locks, and would wait for each other.
        some = [cell for cell in every if (cell.method != "GET") == writes]
        answers = hub.in_process([cell.asked for cell in some], at_once=1 if writes else READS_AT_ONCE)
        for cell, answer in zip(some, answers, strict=True):
            about = (role.value, cell.method, cell.path, cell.foreign, answer.status, answer.text[:300])
            counted[check(cell, answer, rows.client, about, may=may(cell.scope))] += 1
    assert counted["own"] == counted["foreign"]
    if whole:
        assert counted["own"] > 0
        assert counted["own"] + counted["refused"] == len(operations()) - len(OPEN | SELF)


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
        rows.sample(noun)
        if noun.name not in SHARED:
            assert nothing.get(f"/{noun.plural}").json()["items"] == [], noun.name
