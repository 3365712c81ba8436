"""What the hub signs in with elsewhere: sealed, never shown, and tried out at a real server."""

import logging
import ssl
import threading
import uuid
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from tests.conftest import TestHub, unique
from worklore.integrations import probe
from worklore.integrations.credential import INTEGRATION_CREDENTIALS, INTEGRATION_SECRETS, IntegrationSecret
from worklore.integrations.sealed import IntegrationSecrets
from worklore.kernel.audit import AuditEntry
from worklore.kernel.db import Base

STATUSES = {"/fine": 200, "/stranger": 401, "/barred": 403, "/gone": 404, "/broken": 500}


class System(ThreadingHTTPServer):
    """An outside system: it answers by the path, and remembers what it was asked with."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.leads = ""
        self.let_go = threading.Event()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def headers_of(self, path: str) -> dict[str, str]:
        return next(headers for _, asked, headers in self.asked if asked == path)


class Answer(BaseHTTPRequestHandler):
    server: System

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, {key.lower(): text for key, text in self.headers.items()}))
        path = self.path.removeprefix("/base")
        if path == "/slow":
            self.server.let_go.wait(20)
        leads = {"/moved": "/base/fine", "/away": self.server.leads, "/round": "/base/round"}.get(path)
        self.send_response(302 if leads else STATUSES.get(path, 200))
        if leads:
            self.send_header("location", leads)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def serving(server: System) -> Iterator[System]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def system() -> Iterator[System]:
    yield from serving(System())


@pytest.fixture
def elsewhere() -> Iterator[System]:
    yield from serving(System())


def made(api: httpx2.Client, kind: str = "api_key", **more: Any) -> str:
    sent = {"integration_name": unique("syncro"), "credential_type": kind} | more
    answer = api.post("/integration-credentials", json=sent)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def verb(api: httpx2.Client, key: str, name: str, **sent: str) -> httpx2.Response:
    return api.post(f"/integration-credentials/{key}/{name}", json=sent or None)


def tried(api: httpx2.Client, key: str) -> tuple[str, dict[str, tuple[str, int | None]]]:
    answer = verb(api, key, "test")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    stored = api.get(f"/integration-credentials/{key}").json()
    assert {name: stored[name] for name in told if name != "id"} == {name: told[name] for name in told if name != "id"}
    assert all(result["milliseconds"] >= 0 for result in told["test_results"])
    return told["last_test_status"], {
        result["scope"]: (result["outcome"], result["status"]) for result in told["test_results"]
    }


def probes(*paths: str, method: str = "GET") -> list[dict[str, str]]:
    return [{"scope": path[1:], "method": method, "path": path} for path in paths]


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_every_sealed_column_has_its_field() -> None:
    assert set(IntegrationSecret) == IntegrationSecrets.model_fields.keys()
    assert {f"{field}_encrypted" for field in IntegrationSecret} == {
        field.key for field in INTEGRATION_CREDENTIALS.hidden
    }


def test_secrets_are_given_replaced_and_removed_and_never_shown(hub: TestHub, api: httpx2.Client) -> None:
    mark = f"canary{uuid.uuid4().hex}"
    planted = {field.value: f"{mark} Größe {field}" for field in IntegrationSecret}
    key = made(api)
    answers = [
        verb(api, key, "rotate", **planted),
        verb(api, key, "rotate", api_key=f"{mark} second"),
        verb(api, key, "rotate", api_key=mark * 2000),
        verb(api, key, "rotate", apikey=mark),
        api.post(f"/integration-credentials/{key}/rotate?dry_run=true", json=planted),
        api.patch(f"/integration-credentials/{key}", json={"api_key_encrypted": mark}),
        api.get(f"/integration-credentials/{key}"),
        api.get("/integration-credentials", params={"q": mark}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 422, 422, 200, 422, 200, 200]
    assert not any(mark in answer.text for answer in answers)
    assert answers[6].json()["holds"] == list(IntegrationSecret)
    assert answers[6].json()["last_rotated_at"] is not None
    (listed,) = api.get("/integration-credentials", params={"id": key, "brief": "true"}).json()["items"]
    assert listed["holds"] == list(IntegrationSecret)
    hub.hub.requests.move()
    with hub.database.reading.connect() as connection:
        for table in Base.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                assert mark not in repr(row), table.description
    shredded = verb(api, key, "shred").json()
    assert (shredded["holds"], shredded["is_active"]) == ([], False)
    assert code(verb(api, key, "rotate", api_key="x")) == (409, "credential-inactive")
    assert code(verb(api, key, "test")) == (409, "integration-address")
    table = INTEGRATION_SECRETS.model.__table__
    columns = [table.c[f"{field}_encrypted"] for field in IntegrationSecret]
    with hub.database.reading.connect() as connection:
        assert not any(connection.execute(select(*columns).where(table.c.id == uuid.UUID(key))).one())


def test_a_test_probes_each_scope_and_records_what_it_found(
    hub: TestHub, api: httpx2.Client, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.5)
    base = f"http://127.0.0.1:{system.port}/base"
    key = made(api, api_base_url=base, probes=probes("/fine", "/stranger", "/barred", "/gone", "/broken", "/slow"))
    assert code(verb(api, key, "test")) == (409, "secret-absent")
    assert verb(api, key, "rotate", api_key="planted-key").status_code == 200
    assert tried(api, key) == (
        "unauthorized",
        {
            "fine": ("ok", 200),
            "stranger": ("unauthorized", 401),
            "barred": ("forbidden", 403),
            "gone": ("not-found", 404),
            "broken": ("failed", 500),
            "slow": ("timeout", None),
        },
    )
    assert system.headers_of("/base/fine")["authorization"] == "Bearer planted-key"
    api.patch(f"/integration-credentials/{key}", json={"probes": probes("/fine", "/moved", method="HEAD")})
    assert tried(api, key) == ("ok", {"fine": ("ok", 200), "moved": ("ok", 200)})
    assert {asked[0] for asked in system.asked[-3:]} == {"HEAD"}
    record = select(AuditEntry.action, AuditEntry.changed).where(AuditEntry.record_id == uuid.UUID(key))
    with hub.database.reading.connect() as connection:
        entries = connection.execute(record.order_by(AuditEntry.at, AuditEntry.id)).all()
    assert [entry.action for entry in entries] == ["create", "update", "use", "update", "update", "use", "update"]
    assert entries[2].changed == {"fields": ["api_key"], "purpose": "test"}
    assert entries[3].changed["last_test_status"] == [None, "unauthorized"]
    assert "planted-key" not in repr(entries)
    assert verb(api, key, "rotate", api_key="another").status_code == 200
    assert api.get(f"/integration-credentials/{key}").json()["last_test_status"] is None


def test_each_kind_signs_in_in_its_own_way(api: httpx2.Client, system: System) -> None:
    base = f"http://localhost:{system.port}/"
    pair = b64encode("Größe:pass:wörd".encode()).decode()
    for kind, secret, more, header, sent in (
        ("api_key", {"api_key": "k-1"}, {}, "authorization", "Bearer k-1"),
        ("api_key", {"api_key": "k-2"}, {"api_key_header": "X-Api-Key"}, "x-api-key", "k-2"),
        ("oauth", {"oauth_token": "t-1", "oauth_refresh_token": "r-1"}, {}, "authorization", "Bearer t-1"),
        ("basic_auth", {"password": "pass:wörd"}, {"username": "Größe"}, "authorization", f"Basic {pair}"),
    ):
        key = made(api, kind, api_base_url=base, **more)
        assert verb(api, key, "rotate", **secret).status_code == 200
        assert tried(api, key) == ("ok", {"connection": ("ok", 200)})
        headers = system.asked[-1][2]
        assert headers[header] == sent
        assert not [text for text in headers.values() if "r-1" in text]
    broken = made(api, api_base_url=base)
    assert verb(api, broken, "rotate", api_key="planted\r\nx-evil: 1").status_code == 200
    refused = verb(api, broken, "test")
    assert code(refused) == (409, "secret-no-header")
    assert "planted" not in refused.text


def test_a_secret_follows_no_redirect_to_another_host(api: httpx2.Client, system: System, elsewhere: System) -> None:
    system.leads = f"http://127.0.0.1:{elsewhere.port}/caught"
    key = made(api, api_base_url=f"http://127.0.0.1:{system.port}/base", probes=probes("/away", "/round"))
    verb(api, key, "rotate", api_key="planted")
    assert tried(api, key) == ("failed", {"away": ("failed", 302), "round": ("failed", 302)})
    assert elsewhere.asked == []
    assert len([path for _, path, _ in system.asked if path == "/base/round"]) <= probe.MAX_REDIRECTS + 1


def test_a_secret_goes_nowhere_but_to_the_host_it_was_given_for(api: httpx2.Client) -> None:
    for address in (
        "http://api.example.com/",
        "http://192.0.2.1/",
        "ftp://api.example.com/",
        "https://a:b@example.com/",
    ):
        sent = {"integration_name": "x", "credential_type": "api_key", "api_base_url": address}
        refused = api.post("/integration-credentials", json=sent)
        assert (refused.status_code, refused.json()["field"]) == (422, "api_base_url"), address
    key = made(api, api_base_url="https://api.example.com/v1")
    verb(api, key, "rotate", api_key="planted")
    for address in ("https://evil.example.com/v1", "https://api.example.com:8443/v1", "http://127.0.0.1:1/", None):
        refused = api.patch(f"/integration-credentials/{key}", json={"api_base_url": address})
        assert (refused.status_code, refused.json()["field"]) == (422, "api_base_url"), address
    path = f"/integration-credentials/{key}"
    assert api.patch(path, json={"api_base_url": "https://api.example.com:443/v2"}).status_code == 200
    verb(api, key, "shred")
    assert api.patch(path, json={"api_base_url": "https://other.example.com/", "is_active": True}).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        [{"scope": "x", "path": "no-slash"}],
        [{"scope": "x", "path": "/a b"}],
        [{"scope": "x", "path": "/", "method": "DELETE"}],
        [{"scope": "", "path": "/"}],
        [{"scope": "x", "path": "/", "body": 1}],
        ["/"],
        [{"scope": "x", "path": "/"}] * 21,
    ],
)
def test_a_probe_that_is_none_is_refused(sqlite_hub: TestHub, wrong: list[Any]) -> None:
    sent = {"integration_name": "x", "credential_type": "api_key", "probes": wrong}
    refused = sqlite_hub.owner().post("/integration-credentials", json=sent)
    assert (refused.status_code, refused.json()["field"]) == (422, "probes")


def test_who_does_not_answer_is_unreachable(
    sqlite_hub: TestHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 2.0)
    caplog.set_level(logging.DEBUG)
    api = sqlite_hub.owner()
    key = made(api, api_base_url="http://127.0.0.1:1/", probes=probes("/fine"))
    verb(api, key, "rotate", api_key="planted-canary")
    assert tried(api, key) == ("unreachable", {"fine": ("unreachable", None)})
    assert "planted-canary" not in caplog.text
    none = verb(sqlite_hub.client(sqlite_hub.token(scopes=["integration-credential:write"])), key, "test")
    assert code(none) == (403, "scope-missing")
    rehearsed = api.post(f"/integration-credentials/{key}/test?dry_run=true")
    assert code(rehearsed) == (400, "parameter-value")


def test_a_test_is_repeated_under_a_key_without_asking_again(sqlite_hub: TestHub, system: System) -> None:
    api = sqlite_hub.owner()
    key = made(api, api_base_url=f"http://127.0.0.1:{system.port}/")
    verb(api, key, "rotate", api_key="planted")
    once = {"idempotency-key": unique("key")}
    first, again = (api.post(f"/integration-credentials/{key}/test", headers=once) for _ in range(2))
    assert first.json() == again.json()
    assert len(system.asked) == 1


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key in one file, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return file


def test_over_tls_the_certificate_must_be_trusted(
    sqlite_hub: TestHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path)
    server = System()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    api = sqlite_hub.owner()
    for _ in serving(server):
        key = made(api, api_base_url=f"https://localhost:{server.port}/base", probes=probes("/fine"))
        verb(api, key, "rotate", api_key="planted")
        assert tried(api, key)[0] == "unreachable"
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert tried(api, key) == ("ok", {"fine": ("ok", 200)})


def test_a_probe_takes_no_longer_than_it_may(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from one that sends its headers by and by: what counts is the whole, not each pause."""

    def drip(answer: Answer) -> None:
        answer.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(400):
            if system.let_go.wait(0.05):
                return
            answer.wfile.write(b"x-more: 1\r\n")

    monkeypatch.setattr(Answer, "do_GET", drip)
    monkeypatch.setattr(probe, "SECONDS", 0.4)
    (result,) = probe.ask(probe.Target(f"http://127.0.0.1:{system.port}/", {}), [])
    assert result.outcome == "timeout"
    system.let_go.set()
