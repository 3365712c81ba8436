"""A call that the hub makes with a secret: to the credential's own places alone, and the answer comes without it."""

import base64
import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TestHub
from tests.vault.agents import new_agent, technician
from tests.vault.test_credentials import ask, code, stored, touches
from worklore.kernel.errors import HubError
from worklore.vault import broker
from worklore.vault.target import host_and_port, is_this_machine, reachable, target_of

SECRET = "planted/canary+of=a&b"
FORMS = {
    "as it is": SECRET,
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 within": base64.b64encode(f"kim:{SECRET}!".encode()).decode(),
    "percent": quote(SECRET, safe=""),
    "JSON": json.dumps(SECRET).replace("/", r"\/"),
    "hexadecimal": SECRET.encode().hex(),
}


@dataclass
class Echo:
    """A server that answers with what it was asked, and keeps it."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    waits: threading.Event = field(default_factory=threading.Event)
    slow: bool = False

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def echoing(tls: ssl.SSLContext | None = None) -> Iterator[Echo]:
    echo = Echo()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            told = {"method": self.command, "path": self.path, "headers": dict(self.headers.items()), "body": body}
            echo.asked.append(told)
            if echo.slow:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"beginning")
                self.wfile.flush()
                echo.waits.wait(20)
                return
            answer = json.dumps(told | {"forms": FORMS}).encode() if echo.body is None else echo.body
            self.send_response(echo.status)
            for name, value in echo.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_GET = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_POST  # noqa: N815 - the names the base class looks for

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    echo.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield echo
    finally:
        echo.waits.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echoing() as found:
        yield found


@dataclass
class Caller:
    """An agent with a lease on a credential whose place is the echo."""

    api: httpx2.Client
    key: str
    lease: str

    def call(self, url: str, **sent: Any) -> httpx2.Response:
        return self.api.post(f"/credential-leases/{self.lease}/call", json={"url": url} | sent)


def caller(hub: TestHub, client_id: uuid.UUID, url: str, **more: Any) -> Caller:
    made = stored(hub.owner(), client_id, token=SECRET, password=SECRET, external_url=f"{url}/", **more)
    agent = new_agent(hub, technician(hub)).api
    lease = ask(agent, made["id"], "lease", purpose="read the queue").raise_for_status().json()["id"]
    return Caller(agent, made["id"], lease)


def told(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_hub_calls_and_answers_without_the_secret(
    hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, echo: Echo
) -> None:
    echo.headers = {"x-echo": FORMS["base64"], "set-cookie": "session=1", "location": f"/?token={FORMS['percent']}"}
    agent = caller(hub, client_id, echo.url)
    sent = {"method": "POST", "body": "Größe", "headers": {"X-Own": "a", "Content-Type": "text/plain"}}
    answer = agent.call(f"{echo.url}/queue?limit=5", **sent)
    asked = echo.asked[-1]
    assert asked["headers"]["authorization"] == f"Bearer {SECRET}"
    assert (asked["method"], asked["path"], asked["body"]) == ("POST", "/queue?limit=5", "Größe")
    assert (asked["headers"]["x-own"], asked["headers"]["host"]) == ("a", echo.url.removeprefix("http://"))
    shown = told(answer)
    assert answer.headers["cache-control"] == "no-store"
    for form in FORMS.values():
        assert form not in answer.text
        assert form not in shown["body"]
    assert json.loads(shown["body"])["headers"]["authorization"] == "Bearer ***"
    assert set(json.loads(shown["body"])["forms"].values()) >= {"***"}
    assert (shown["headers"]["x-echo"], shown["headers"]["location"]) == ("***", "/?token=***")
    assert "set-cookie" not in shown["headers"]
    row = touches(api, agent.key)[-1]
    told_of = {"way": "call", "host": echo.url.removeprefix("http://"), "method": "POST", "lease": agent.lease}
    assert (row["action"], told_of.items() <= row["details"].items()) == ("use", True)


def test_a_secret_goes_beside_the_username_or_in_a_header_of_its_own(
    hub: TestHub, client_id: uuid.UUID, echo: Echo
) -> None:
    agent = caller(hub, client_id, echo.url)
    basic = agent.call(f"{echo.url}/", carried="basic", field="password")
    pair = base64.b64encode(f"operator:{SECRET}".encode()).decode()
    assert echo.asked[-1]["headers"]["authorization"] == f"Basic {pair}"
    assert pair not in told(basic)["body"]
    assert told(agent.call(f"{echo.url}/", carried="header", header="X-Api-Key"))["status"] == 200
    assert echo.asked[-1]["headers"]["x-api-key"] == SECRET
    assert "authorization" not in echo.asked[-1]["headers"]
    for wrong in (
        {"carried": "header"},
        {"header": "X-Api-Key"},
        {"carried": "header", "header": "Host"},
        {"carried": "header", "header": "X-Api-Key", "headers": {"x-api-key": "1"}},
        {"headers": {"Authorization": "Bearer other"}},
        {"headers": {"X-A": "a\r\nX-B: b"}},
        {"headers": {"X A": "a"}},
        {"method": "CONNECT"},
    ):
        assert code(agent.call(f"{echo.url}/", **wrong)) == (422, "invalid"), wrong
    assert len(echo.asked) == 2


def test_a_secret_goes_nowhere_else(hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, echo: Echo) -> None:
    agent = caller(hub, client_id, "https://portal.example.com", allowed_hosts=["api.example.com:8443", "localhost:1"])
    for url in (
        f"{echo.url}/",
        "https://portal.example.com:444/",
        "https://api.example.com/",
        "https://portal.example.com.example.net/",
        "https://portal.example.com@evil.example.net/",
        "http://localhost:2/",
    ):
        assert code(agent.call(url)) in {(409, "host-not-allowed"), (422, "invalid")}, url
    for url in (
        "http://portal.example.com/",
        "ftp://portal.example.com/",
        "portal.example.com",
        "https://",
        "https://x:y/",
    ):
        answer = agent.call(url)
        assert (code(answer), answer.json()["field"]) == ((422, "invalid"), "url"), url
    assert echo.asked == []
    assert [row["action"] for row in touches(api, agent.key)] == ["create"]


def test_a_redirect_is_told_and_not_followed(hub: TestHub, client_id: uuid.UUID, echo: Echo) -> None:
    agent = caller(hub, client_id, echo.url)
    echo.status, echo.headers, echo.body = 302, {"location": f"{echo.url}/other"}, b""
    shown = told(agent.call(f"{echo.url}/"))
    assert (shown["status"], shown["headers"]["location"], len(echo.asked)) == (302, f"{echo.url}/other", 1)


def test_a_call_needs_a_live_lease(hub: TestHub, api: httpx2.Client, client_id: uuid.UUID, echo: Echo) -> None:
    agent = caller(hub, client_id, echo.url)
    stranger = Caller(technician(hub), agent.key, agent.lease)
    assert code(stranger.call(f"{echo.url}/")) == (403, "not-yours")
    assert code(Caller(agent.api, agent.key, str(uuid.uuid4())).call(f"{echo.url}/")) == (404, "not-found")
    assert api.post(f"/credential-leases/{agent.lease}/release").status_code == 200
    assert code(agent.call(f"{echo.url}/")) == (409, "lease-ended")
    assert echo.asked == []


def test_what_the_other_side_does_wrong_is_told_without_the_secret(
    sqlite_hub: TestHub, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = sqlite_hub
    client = hub.owner().post("/clients", json={"name": f"c{uuid.uuid4()}", "type": "msp_client"}).json()["id"]
    agent = caller(hub, client, echo.url)
    echo.body = b"x" * (broker.MAX_ANSWER + 1)
    assert code(agent.call(f"{echo.url}/")) == (502, "call-answer")
    echo.body, echo.headers = b"x", {"content-encoding": "gzip"}
    assert code(agent.call(f"{echo.url}/")) == (502, "call-answer")
    echo.headers, echo.body = {}, b"\xff\x00" + SECRET.encode()
    shown = told(agent.call(f"{echo.url}/"))
    assert (shown["is_base64"], base64.b64decode(shown["body"])) == (True, b"\xff\x00***")
    monkeypatch.setattr(broker, "CALL_SECONDS", 0.3)
    echo.slow = True
    assert code(agent.call(f"{echo.url}/")) == (502, "call-too-slow")
    echo.slow = False
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    patched = hub.owner().patch(f"/credentials/{agent.key}", json={"allowed_hosts": [f"127.0.0.1:{port}"]})
    assert patched.status_code == 200, patched.text
    for scheme in ("http", "https"):
        answer = agent.call(f"{scheme}://127.0.0.1:{port}/")
        assert code(answer) == (502, "call-failed")
        assert SECRET not in answer.text


def test_a_secret_with_a_line_break_goes_in_no_header(sqlite_hub: TestHub, echo: Echo) -> None:
    hub = sqlite_hub
    client = hub.owner().post("/clients", json={"name": f"c{uuid.uuid4()}", "type": "msp_client"}).json()["id"]
    agent = caller(hub, client, echo.url)
    for secret in ("planted\r\nX-Evil: 1", "planted ß", " planted"):
        assert ask(hub.owner(), agent.key, "rotate", token=secret, password=secret).status_code == 200
        answer = agent.call(f"{echo.url}/")
        assert code(answer) == (409, "secret-in-header")
        assert "planted" not in answer.text
        assert told(agent.call(f"{echo.url}/", carried="basic", field="password"))["status"] == 200
    assert len(echo.asked) == 3


def test_a_name_that_leads_to_this_machine_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leads(*addresses: str) -> Callable[..., Any]:
        return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    target = target_of("https://portal.example.com/")
    for address in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "fe80::1%eth0", "::ffff:127.0.0.1"):  # noqa: S104
        monkeypatch.setattr(socket, "getaddrinfo", leads("192.0.2.10", address))
        with pytest.raises(HubError) as refused:
            reachable(target, None)
        assert refused.value.code == "host-not-allowed"
    monkeypatch.setattr(socket, "getaddrinfo", leads("192.0.2.10", "10.0.0.7"))
    assert [address for _, address in reachable(target, ("192.0.2.10", 8420))] == ["192.0.2.10", "10.0.0.7"]
    with pytest.raises(HubError):
        reachable(target, ("10.0.0.7", 443))
    monkeypatch.setattr(socket, "getaddrinfo", leads("127.0.0.1"))
    assert reachable(target_of("http://localhost:8080/"), None) == [(socket.AF_INET, "127.0.0.1")]


@given(st.text(max_size=40))
def test_a_url_leads_where_it_says(text: str) -> None:
    for url in (f"https://portal.example.com{text}", f"https://{text}", text):
        try:
            target = target_of(url)
        except HubError:
            continue
        assert target.host == target.host.lower()
        assert target.path.startswith("/")
        assert target.tls or is_this_machine(target.host)
        assert not set(target.authority + target.path) & set(" \r\n\\@#") or "@" in target.path


def test_hosts_are_read_as_they_are_written() -> None:
    assert host_and_port("API.example.com") == ("api.example.com", 443)
    assert host_and_port("[2001:db8::1]:8443") == ("2001:db8::1", 8443)


def test_a_certificate_must_be_the_hosts(sqlite_hub: TestHub, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = sqlite_hub
    client = hub.owner().post("/clients", json={"name": f"c{uuid.uuid4()}", "type": "msp_client"}).json()["id"]
    for named, answers in (("127.0.0.1", 200), ("127.0.0.2", 502)):
        certificate, context = of_itself(tmp_path, named)
        broker._trusted.cache_clear()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with echoing(context) as echo:
            answer = caller(hub, client, echo.url).call(f"{echo.url}/")
            assert answer.status_code == answers, answer.text
            assert len(echo.asked) == (answers == 200)
    broker._trusted.cache_clear()


def of_itself(folder: Any, address: str) -> tuple[Any, ssl.SSLContext]:
    """A certificate that an address has signed for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, private = folder / f"{address}.pem", folder / f"{address}.key"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return path, context
