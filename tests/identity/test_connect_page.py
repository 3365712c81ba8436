"""The page that gives a person a code for a machine: whom it lets in, what it shows, and that it runs nothing."""

import os
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from tests.client.commands import technician
from tests.conftest import TestHub, unique
from tests.identity.conftest import PASSWORD, Person, refusal
from tests.identity.test_second_factor import Enrolled
from tests.identity.test_setup_code import use
from tests.identity.test_typed import typed
from tests.surfaces.browser import PROGRAM, browser
from worklore.identity.roles import Role
from worklore.identity.sign_in import LOCK_AFTER
from worklore.kernel.audit import AuditEntry

JSON = "/auth/setup-code"
CODE = re.compile(r"\b[0-9A-Z]{5}-[0-9A-Z]{5}-[0-9A-Z]{5}\b")


@pytest.fixture
def person(new_person: Any) -> Person:
    made: Person = new_person()
    made.join().raise_for_status()
    return made


def sent(hub: TestHub, **fields: str) -> httpx2.Response:
    """The answer to the page's form."""
    with httpx2.Client(base_url=hub.url, trust_env=False) as client:
        page = client.get("/connect").raise_for_status()
        action = re.findall(r'action="([^"]+)"', page.text)
        assert action == ["/api/v1/auth/setup-code"]
        return client.post(action[0], data=fields)


def test_the_form_gives_a_code_that_connects_one_machine_in_the_person_s_name(hub: TestHub, person: Person) -> None:
    page = sent(hub, email=person.email, password=PASSWORD, code="")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    [code] = CODE.findall(page.text)
    made = use(hub, code)
    assert made.json()["user"]["email"] == person.email
    assert refusal(use(hub, code)) == (401, "setup-code-invalid")
    events = select(AuditEntry.outcome).where(AuditEntry.action == "connect-machine")
    with hub.database.reading.connect() as connection:
        found = connection.execute(events.where(AuditEntry.record_id == person.id)).scalars().all()
    assert found == ["done"]


def test_a_program_is_given_the_same_as_json(hub: TestHub, person: Person) -> None:
    answer = hub.client().post(JSON, json={"email": person.email, "password": PASSWORD})
    assert use(hub, answer.raise_for_status().json()["code"]).status_code == 201
    assert refusal(hub.client().post(JSON, json={"email": person.email})) == (422, "invalid")
    assert refusal(hub.client().post(JSON, content=b"{")) == (422, "invalid")


def test_the_page_runs_nothing_and_sends_its_form_here_alone(hub: TestHub) -> None:
    with httpx2.Client(base_url=hub.url, trust_env=False) as client:
        page = client.get("/connect")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy + page.text


def test_who_is_refused_sees_the_form_again_and_is_counted_as_at_signing_in(hub: TestHub, person: Person) -> None:
    for _ in range(LOCK_AFTER):
        page = sent(hub, email=person.email, password="<b>wrong")
        assert page.status_code == 401
        assert "is wrong" in page.text
        assert "<form" in page.text
        assert "wrong</b>" not in page.text
        assert not CODE.search(page.text)
    locked = sent(hub, email=person.email, password=PASSWORD)
    assert locked.status_code == 429
    assert int(locked.headers["retry-after"]) > 0
    assert refusal(person.sign_in())[0] == 429


def test_a_second_factor_is_asked_for(hub: TestHub, new_person: Any) -> None:
    someone = Enrolled(new_person())
    email = someone.person.email
    without = sent(hub, email=email, password=PASSWORD)
    assert without.status_code == 401
    assert not CODE.search(without.text)
    assert sent(hub, email=email, password=PASSWORD, code="000000").status_code == 401
    assert CODE.search(sent(hub, email=email, password=PASSWORD, code=someone.fresh()).text)


def test_who_may_not_connect_machines_gets_no_code(hub: TestHub, new_person: Any) -> None:
    reader = new_person(Role.read_only)
    reader.join().raise_for_status()
    body = {"email": reader.email, "password": PASSWORD}
    assert refusal(hub.client().post(JSON, json=body)) == (403, "forbidden")


def test_fields_that_are_missing_or_too_long_are_named(hub: TestHub) -> None:
    for fields in ({"email": "kim@example.com"}, {"email": "k" * 300, "password": "x"}):
        page = sent(hub, **fields)
        assert page.status_code == 422
        assert "<form" in page.text


@pytest.mark.skipif(
    not PROGRAM and not os.environ.get("CI"), reason="there is no Chromium here; .ci/run installs it, and never skips"
)
def test_a_machine_is_connected_by_a_browser_and_a_terminal(sqlite_hub: TestHub, tmp_path: Path) -> None:
    email = f"{unique('person')}@example.com"
    person = Person(sqlite_hub, email, sqlite_hub.token(email=email))
    person.join().raise_for_status()

    def code() -> str:
        with browser(tmp_path / "profile") as page:
            page.open(f"{sqlite_hub.url}/connect")
            page.until("document.querySelector('form') !== null")
            for name, value in (("email", email), ("password", PASSWORD)):
                page.value(f"document.querySelector('[name={name}]').value = '{value}'")
            page.value("document.querySelector('button').click()")
            shown = str(page.until("document.querySelector('pre')?.textContent"))
            assert page.errors == []
            return shown

    home = tmp_path / "home"
    home.mkdir()
    shown = typed(sqlite_hub, home, None, "y", code)
    assert f"Sign in at {sqlite_hub.url}/connect" in shown
    assert f"as {email}" in shown
    assert "Password" not in shown


def test_where_nobody_can_be_asked_the_page_is_named(sqlite_hub: TestHub, tmp_path: Path) -> None:
    somebody = technician(sqlite_hub, tmp_path / "home")
    (somebody.home / "config").unlink()
    assert f"{sqlite_hub.url}/connect" in somebody("connect", sqlite_hub.url, status=1).err
