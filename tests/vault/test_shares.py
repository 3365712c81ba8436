"""A link shows a secret as often as it says, to whoever has it, and nobody learns why it shows nothing."""

import re
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, select, update

from tests.conftest import TestHub, unique
from tests.vault.agents import person
from tests.vault.test_credentials import ask, code, renamed, stored, touches
from worklore.identity.limit import RateLimit
from worklore.identity.user import User
from worklore.kernel.db import Base
from worklore.kernel.types import utcnow
from worklore.surfaces.page import STYLE
from worklore.surfaces.share import SCRIPT
from worklore.vault import share
from worklore.vault.credential import CredentialAuditLog
from worklore.vault.share import ShareLink

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(autouse=True)
def without_former_guesses(hub: TestHub) -> None:
    """Every test comes from one address."""
    with hub.database.writing.begin() as connection:
        connection.execute(delete(RateLimit).where(RateLimit.bucket == share.OF_ADDRESS.bucket))


@pytest.fixture
def key(api: httpx2.Client, client_id: uuid.UUID) -> str:
    return str(stored(api, client_id, password="planted <b>&", token="other")["id"])


def shared(api: httpx2.Client, key: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """The token of a new link, and what was told of it."""
    answer = ask(api, key, "share", recipient="kim@example.com", **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    page, _, token = told["url"].partition("#")
    assert page.endswith("/share")
    return token, told


def opened(hub: TestHub, token: str, **more: Any) -> httpx2.Response:
    return hub.client().post("/share", json={"token": token} | more)


def change(hub: TestHub, link: str, **values: Any) -> None:
    with hub.database.writing.begin() as connection:
        connection.execute(update(ShareLink).where(ShareLink.id == uuid.UUID(link)).values(**values))


def test_a_link_shows_its_secret_once(hub: TestHub, api: httpx2.Client, key: str) -> None:
    token, told = shared(api, key, fields=["password"])
    first, second = (opened(hub, token) for _ in range(2))
    assert first.json()["secrets"] == {"password": "planted <b>&"}
    assert (first.json()["views_left"], first.headers["cache-control"]) == (0, "no-store")
    assert first.headers["referrer-policy"] == "no-referrer"
    assert code(second) == (404, "link-ended")
    row = api.get(f"/share-links/{told['id']}").json()
    assert (row["view_count"], row["recipient"], row["fields"]) == (1, "kim@example.com", ["password"])
    found = touches(api, key)
    assert [(each["action"], each["user_id"]) for each in found[2:]] == [("share", "anonymous")]
    assert [each["details"]["share_link"] for each in found[1:]] == [told["id"]] * 2


def test_the_page_uses_nothing_up_and_runs_nothing_from_elsewhere(hub: TestHub, api: httpx2.Client, key: str) -> None:
    token, _ = shared(api, key)
    with httpx2.Client(base_url=hub.url, trust_env=False) as browser:
        page = browser.get("/share")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert re.findall(r"<(?:script|style)>(.*?)</", page.text) == [STYLE, SCRIPT]
        assert not re.findall(r"(?:src|href)=", page.text)
        action = re.search(r'action="([^"]+)"', page.text)[1]
        shown = browser.post(action, data={"token": token, "passphrase": ""})
        assert shown.status_code == 200
        for answer in (page, shown):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["content-type"].startswith("text/html")
        texts = [unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", shown.text, re.DOTALL)]
        assert texts == ["planted <b>&", "other"]
        assert "<b>" not in shown.text
        again = browser.post(action, data={"token": token})
        assert (again.status_code, "planted" in again.text) == (404, False)
        for sent in (b"", b"token=%00", b"\xff\xfe", b"token=" + b"x" * 300, b"token=x&passphrase=" + b"y" * 200):
            refused = browser.post(action, content=sent, headers=FORM)
            assert (refused.status_code in {404, 422}, refused.headers["content-type"][:9]) == (True, "text/html")


def test_whatever_is_wrong_with_a_link_the_answer_is_the_same(
    hub: TestHub, api: httpx2.Client, key: str, client_id: uuid.UUID
) -> None:
    answers: list[httpx2.Response] = [opened(hub, "x"), opened(hub, "x" * 43), opened(hub, "")]
    token, told = shared(api, key)
    change(hub, told["id"], expires_at=utcnow() - timedelta(seconds=1))
    answers.append(opened(hub, token))
    token, told = shared(api, key)
    change(hub, told["id"], revoked_at=utcnow())
    answers.append(opened(hub, token))
    token, told = shared(api, key)
    assert api.delete(f"/share-links/{told['id']}").status_code == 204
    answers.append(opened(hub, token))
    token, _ = shared(api, key, passphrase="correct horse")
    answers += [opened(hub, token), opened(hub, token, passphrase="wrong")]
    sender = hub.client(hub.token(scopes=["*"]))
    token, _ = shared(sender, key)
    with hub.database.writing.begin() as connection:
        connection.execute(update(User).where(User.id == uuid.UUID(person(sender))).values(is_active=False))
    answers.append(opened(hub, token))
    token, _ = shared(api, key)
    restricted, _ = shared(api, key)
    assert api.patch(f"/credentials/{key}", json={"is_restricted": True}).status_code == 200
    answers.append(opened(hub, restricted))
    assert api.patch(f"/credentials/{key}", json={"is_restricted": False}).status_code == 200
    assert ask(api, key, "shred").status_code == 200
    answers.append(opened(hub, token))
    varying = {"request_id"}
    assert {answer.status_code for answer in answers} == {404}
    bodies = [{name: text for name, text in answer.json().items() if name not in varying} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert "planted" not in "".join(answer.text for answer in answers)


def test_a_passphrase_may_be_wrong_a_few_times(hub: TestHub, api: httpx2.Client, key: str) -> None:
    token, _ = shared(api, key, fields=["token"], passphrase="correct horse", max_views=2)
    for _ in range(4):
        assert code(opened(hub, token, passphrase="wrong")) == (404, "link-ended")
    assert opened(hub, token, passphrase="correct horse").json()["secrets"] == {"token": "other"}
    assert code(opened(hub, token, passphrase="wrong")) == (404, "link-ended")
    assert code(opened(hub, token, passphrase="correct horse")) == (404, "link-ended")


def test_guesses_from_one_address_are_few(hub: TestHub, api: httpx2.Client, key: str) -> None:
    token, _ = shared(api, key)
    for number in range(20):
        assert code(opened(hub, f"guess-{number}")) == (404, "link-ended")
    refused = opened(hub, token)
    assert code(refused) == (429, "too-many-requests")
    assert int(refused.headers["retry-after"]) > 0
    assert "sign-in" not in refused.text


def test_twenty_who_look_at_once_see_what_three_may(hub: TestHub, api: httpx2.Client, key: str) -> None:
    token, told = shared(api, key, max_views=3)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: opened(hub, token), range(20)))
    statuses = Counter(answer.status_code for answer in answers)
    # Those who come when there is nothing left are counted as guesses; the twentieth may be told to wait.
    assert statuses[200] == 3
    assert set(statuses) <= {200, 404, 429}
    assert sorted(answer.json()["views_left"] for answer in answers if answer.status_code == 200) == [0, 1, 2]
    assert api.get(f"/share-links/{told['id']}").json()["view_count"] == 3
    assert [row["action"] for row in touches(api, key)].count("share") == 4


def test_without_its_row_a_link_shows_nothing(hub: TestHub, api: httpx2.Client, key: str) -> None:
    token, told = shared(api, key)
    with renamed(hub, CredentialAuditLog.__tablename__):
        answer = opened(hub, token)
    assert (answer.status_code, "planted" in answer.text) == (500, False)
    assert api.get(f"/share-links/{told['id']}").json()["view_count"] == 0
    assert opened(hub, token).status_code == 200


def test_a_link_has_bounds(api: httpx2.Client, key: str) -> None:
    for wrong in (
        {"max_views": 0},
        {"max_views": 21},
        {"expires_in": 0},
        {"expires_in": 30 * 86_400 + 1},
        {"passphrase": "abc"},
        {"recipient": ""},
        {"fields": ["nothing"]},
    ):
        sent = {"recipient": "kim@example.com"} | wrong
        assert code(ask(api, key, "share", **sent)) == (422, "invalid"), wrong
    tried = api.post(f"/credentials/{key}/share", json={"recipient": "x"}, params={"dry_run": "true"})
    assert code(tried) == (400, "parameter-value")
    assert code(ask(api, key, "share", recipient="x", fields=["totp_seed"])) == (409, "secret-absent")


def test_the_key_of_a_link_is_kept_nowhere(
    hub: TestHub, api: httpx2.Client, key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    phrase = unique("phrase")
    token, _ = shared(api, key, passphrase=phrase)
    with httpx2.Client(base_url=hub.url, trust_env=False) as browser:
        assert browser.get(f"/share?{token}").status_code == 200
        browser.get("/share#" + token)
        assert browser.post("/api/v1/share", data={"token": token, "passphrase": "wrong"}).status_code == 404
    assert opened(hub, token, passphrase=phrase).status_code == 200
    hub.hub.requests.move()
    with hub.database.reading.connect() as connection:
        for table in Base.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                assert token not in repr(row), table.description
                assert phrase not in repr(row), table.description
    if hub.database.is_sqlite:
        for path in hub.hub.settings.data.rglob("*"):
            assert not path.is_file() or token.encode() not in path.read_bytes(), path.name
    told = capfd.readouterr()
    assert token not in told.out + told.err
