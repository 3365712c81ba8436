"""Over the network: https with an authority of one's own, and errors that say what to do."""

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from worklore_client.config import Config, NotConnected, load, save
from worklore_client.flush import flush
from worklore_client.spool import FlushState
from worklore_client.wire import Hub, HubAddressRefused, HubRefused, HubUnreachable

from .conftest import TOKEN, Machine, PretendedHub, handler, record, serving, waited, write_records
from .test_flush import noted


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub.example.com")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    path = tmp_path_factory.mktemp("tls") / "hub.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure_hub(certificate: Path) -> Iterator[PretendedHub]:
    hub = PretendedHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    hub.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_https_with_the_authority_that_was_named(
    machine: Machine, secure_hub: PretendedHub, certificate: Path, tmp_path: Path
) -> None:
    options = {"ca_file": str(certificate), "linger_ms": "0", "retry_s": "0", "start_ms": "5000"}
    save(Config(machine.home, secure_hub.url, TOKEN, options))
    assert b"additionalContext" in machine.run("SessionStart").stdout
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(1)])
    noted(machine, transcript)
    assert waited(lambda: flush(machine.home))  # the flusher that the hook started may hold the lock
    assert len(secure_hub.records) == 1
    assert machine.log() == ""


def test_a_certificate_nobody_vouches_for_is_no_hub(machine: Machine, secure_hub: PretendedHub) -> None:
    save(Config(machine.home, secure_hub.url, TOKEN, {"start_ms": "5000"}))
    ran = machine.run("SessionStart")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"Memory is unavailable" in ran.stdout
    assert machine.log().split()[1:] == ["SessionStart", "hub-unreachable"]
    assert not secure_hub.requests
    with pytest.raises(HubUnreachable):
        Hub(secure_hub.url, TOKEN).get("me")


def test_errors_say_what_the_hub_said_and_never_the_token(hub: PretendedHub) -> None:
    with pytest.raises(HubRefused) as refusal:
        Hub(hub.url, "wl_wrong-secret").get("me")
    assert (refusal.value.status, refusal.value.code) == (401, "token-invalid")
    assert "The token is not valid" in str(refusal.value)
    hub.mode = "error"
    with pytest.raises(HubRefused, match="HTTP 500"):
        Hub(hub.url, "wl_wrong-secret").get("me")
    for mode in ("html", "rubbish"):
        hub.mode = mode
        with pytest.raises(HubUnreachable, match="is no hub"):
            Hub(hub.url, "wl_wrong-secret").post("recall", {"question": "x"})
    hub.mode = "slow"
    with pytest.raises(HubUnreachable, match=r"did not answer within 0\.2 seconds"):
        Hub(hub.url, "wl_wrong-secret", timeout=0.2).get("me")


def test_plain_http_is_for_this_machine_alone(hub: PretendedHub) -> None:
    for url in ("http://192.0.2.7:8420", "http://hub.example.com/"):
        with pytest.raises(HubAddressRefused, match="Use https"):
            Hub(url, TOKEN)
    assert Hub(hub.url.replace("127.0.0.1", "localhost"), TOKEN).get("me")["kind"] == "machine"


def test_a_prefix_in_the_address_is_kept(hub: PretendedHub) -> None:
    with pytest.raises(HubRefused):
        Hub(f"{hub.url}/worklore/", TOKEN).get("me")
    assert hub.requests[-1].path == "/worklore/api/v1/me"


def test_the_configuration_keeps_the_token_to_itself(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    config = Config(home, "http://127.0.0.1:8420", TOKEN, {"prompt_ms": "250", "empty": ""})
    save(config)
    assert TOKEN not in repr(config)
    assert (home / "config").stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o777 for path in (home, home / "spool", home / "locks")} == {0o700}
    again = load(home)
    assert (again.hub, again.token, again.options) == (config.hub, TOKEN, {"prompt_ms": "250"})
    assert (again.number("prompt_ms", 300), again.number("start_ms", 1000)) == (250, 1000)
    with pytest.raises(ValueError, match="line break"):
        save(Config(home, "http://127.0.0.1:8420", "wl_a\nhub=http://192.0.2.1", {}))
    for text in ("", "hub=http://127.0.0.1:1\n", "# hub=x\ntoken=y\n"):
        (home / "config").write_text(text)
        with pytest.raises(NotConnected):
            load(home)


def test_a_hub_that_restarts_is_found_again(machine: Machine, tmp_path: Path) -> None:
    first = PretendedHub()
    with serving(first) as server:
        port = server.server_port
        save(Config(machine.home, first.url, TOKEN, {"linger_ms": "0", "retry_s": "0"}))
        transcript = tmp_path / "t.jsonl"
        write_records(transcript, [record(n) for n in range(3)])
        noted(machine, transcript)
        assert flush(machine.home)
    write_records(transcript, [record(n) for n in range(3, 6)], mode="a")
    noted(machine, transcript)
    assert not flush(machine.home)
    with serving(first, port):
        assert flush(machine.home)
    assert len(first.records) == 6
    assert FlushState.load(machine.home).duplicates == 0
