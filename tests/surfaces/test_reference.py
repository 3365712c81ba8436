"""The page of the API's reference works without a network; headers that make answers safe stand on all of them."""

import hashlib
import json
import os
import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import TestHub
from tests.inprocess import Asked
from tests.surfaces.browser import PROGRAM, browser
from worklore.kernel import crud
from worklore.surfaces.reference import POLICY

ORIGIN = files("worklore.surfaces") / "static" / "swagger-ui"


@pytest.mark.skipif(
    not PROGRAM and not os.environ.get("CI"), reason="there is no Chromium here; .ci/run installs it, and never skips"
)
def test_the_page_lists_operations_and_asks_no_other_host(sqlite_hub: TestHub, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as page:
        page.open(f"{sqlite_hub.url}/api/docs#/clients")
        page.until("document.querySelectorAll('.opblock-tag').length > 50")
        assert page.value("document.title") == "Worklore API"
        page.until("document.querySelector('.opblock-summary-path') !== null")
        shown = page.value("[...document.querySelectorAll('.opblock-summary-path')].map(e => e.textContent).join(' ')")
        assert "/api/v1/clients/{id}" in shown.replace("\N{ZERO WIDTH SPACE}", "")
        assert page.errors == []
        assert {urlsplit(url).netloc for url in page.asked} - {""} == {urlsplit(sqlite_hub.url).netloc}
        assert len(page.asked) >= 5


def test_whatever_the_description_refers_to_is_there() -> None:
    document = json.loads((Path(__file__).parents[2] / "docs/reference/openapi.json").read_text())
    named, waiting = set[str](), [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            named |= {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    assert len(named) > 100
    for name in named:
        assert name.startswith("#/"), name
        found = document
        for step in name.removeprefix("#/").split("/"):
            assert step in found, name
            found = found[step]


def test_its_files_are_those_of_the_makers(sqlite_hub: TestHub) -> None:
    """As ORIGIN.txt says, which tells the version and the digest of each."""
    told = dict(reversed(line.split()) for line in ORIGIN.joinpath("ORIGIN.txt").read_text().splitlines()[-2:])
    assert told.keys() == {"swagger-ui-bundle.js", "swagger-ui.css"}
    for name, digest in told.items():
        assert hashlib.sha256(ORIGIN.joinpath(name).read_bytes()).hexdigest() == digest
    assert "Apache License" in ORIGIN.joinpath("LICENSE").read_text()


def test_its_files_are_kept_for_a_year_and_the_page_is_not(sqlite_hub: TestHub) -> None:
    with sqlite_hub.client() as anyone:
        page = anyone.get(f"{sqlite_hub.url}/api/docs")
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["content-security-policy"] == POLICY
        assert "unsafe" not in POLICY
        names = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
        assert len(names) == 3
        assert "http" not in page.text.replace("<!doctype", "")
        for name in names:
            file = anyone.get(f"{sqlite_hub.url}/api/{name}")
            assert file.status_code == 200
            assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
            digest = name.partition("/")[2].partition("-")[0]
            assert hashlib.sha256(file.content).hexdigest().startswith(digest), "another content has another name"
        for absent in ("docs/", "docs/reference.js", "docs/..%2fheaders.py", "docs/swagger-ui.css"):
            assert anyone.get(f"{sqlite_hub.url}/api/{absent}").status_code == 404


ANSWERS = (
    ("GET", "/healthz", 200),
    ("GET", "/api/docs", 200),
    ("GET", "/api/openapi.json", 200),
    ("GET", "/api/v1/me", 200),
    ("GET", "/api/v1/clients", 200),
    ("GET", "/api/v1/nothing", 404),
    ("GET", "/nothing", 404),
    ("POST", "/api/v1/clients", 422),
    ("PUT", "/api/v1/clients", 405),
    ("OPTIONS", "/api/v1/clients", 405),
    ("POST", "/api/v1/auth/sign-in", 422),
    ("GET", f"/api/v1/clients?q={'x' * 50_000}", 414),
)


def test_every_answer_has_the_headers_that_make_it_safe(sqlite_hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    token = sqlite_hub.token()
    foreign = {"origin": "https://elsewhere.example.com", "access-control-request-method": "GET"}
    some = [(method, path, status, token) for method, path, status in ANSWERS]
    some += [("GET", "/api/v1/me", 401, ""), ("GET", "/api/v1/sites", 500, token)]
    for method, path, status, bearer in some:
        with monkeypatch.context() as patch:
            if status == 500:
                patch.setattr(crud, "list_", None)
            head = {"authorization": f"Bearer {bearer}"} | foreign
            [answer] = sqlite_hub.in_process([Asked(method, path, head, {} if method == "POST" else None)])
        assert answer.status == status, (method, path[:60], answer.text[:200])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == ("no-cache" if "openapi" in path else "no-store")
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "strict-transport-security" not in answer.headers, "over plain HTTP nobody may heed it"
        assert "server" not in answer.headers
