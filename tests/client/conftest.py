"""A real HTTP server that keeps the hub's side of the contract, and a machine that is connected to it."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

import worklore_client
from worklore_client.adapters import BY_NAME
from worklore_client.config import Config, save

HOOK = Path(worklore_client.__file__).parent / "hook.py"
TOKEN = "wl_test-token-of-a-pretended-hub"
ANSWER = '{"hookSpecificOutput":{"hookEventName":"%s","additionalContext":"Grüße aus dem Gedächtnis"}}'


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class PretendedHub:
    """What the hub knows. `mode`: ok, slow, error, rubbish, html; `down` stops listening."""

    url: str = ""
    mode: str = "ok"
    code: str = "SETUP-CODE-1"
    version: str = field(default_factory=lambda: version("worklore"))
    slow: float = 10.0
    clock: float = 0.0
    agents: set[str] = field(default_factory=lambda: set(BY_NAME))
    requests: list[Request] = field(default_factory=list)
    cursors: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    malformed: int = 0
    poison: str = ""
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    identities: list[dict[str, Any]] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def now(self) -> str:
        return datetime.fromtimestamp(time.time() + self.clock, UTC).isoformat()

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if path in request.path]

    def capture(self, body: dict[str, Any], size: int) -> tuple[int, dict[str, Any]]:
        with self.lock:
            if size > 8 * 1024 * 1024:
                return 413, {"code": "too-large"}
            if self.poison and any(self.poison in json.dumps(record) for record in body["records"]):
                return 422, {"code": "unprocessable"}
            key = (body["agent"], body["session"], body["source"])
            offset = self.cursors.get(key, (0, ""))[0]
            if body["from"] not in {offset, 0}:
                return 409, {"code": "cursor-mismatch", "offset": offset}
            new = [record for record in body["records"] if record.get("uuid") not in self.records]
            self.records.update({record["uuid"]: record for record in new if "uuid" in record})
            self.malformed += body["malformed"]
            self.identities.append(body["identity"])
            self.cursors[key] = (body["to"], body["tail_digest"])
            return 200, {"offset": body["to"], "windows": len(new), "duplicates": len(body["records"]) - len(new)}

    def setup(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["code"] != self.code:
            return 401, {"code": "setup-code-invalid", "detail": "The setup code is not valid", "hint": "Get one"}
        token = f"wl_{len(self.tokens)}-issued"
        self.tokens.add(token)
        user, machine = {"id": "u1", "email": "kim@example.com"}, {"id": "m1", "hostname": "bench"}
        return 201, {"token": token, "user": user, "machine": machine, "expires_at": "2027-01-01T00:00:00Z"}

    def answer(self, request: Request) -> tuple[int, dict[str, Any] | bytes]:
        path = urlsplit(request.path)
        body = json.loads(request.body) if request.body and "/hooks/" not in path.path else {}
        if path.path == "/healthz":
            return 200, {"status": "ok", "version": self.version, "time": self.now}
        if path.path == "/api/v1/auth/setup":
            return self.setup(body)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, {"code": "token-invalid", "detail": "The token is not valid"}
        if "/hooks/" in path.path and path.path.split("/")[-2] not in self.agents:
            return 404, {"code": "hook-unknown", "detail": "There is no such hook"}
        if "/hooks/" in path.path:
            return 200, (ANSWER % path.path.rpartition("/")[2]).encode()
        if path.path == "/api/v1/recall" and not (body["identity"] is None or body["identity"]["path"] in self.known):
            return 404, {"code": "project-unknown", "detail": "This folder belongs to no known project."}
        if path.path == "/api/v1/capture":
            return self.capture(body, len(request.body)) if body else self.cursor(path.query)
        return self.answer_simple(path.path, body)

    def cursor(self, query: str) -> tuple[int, dict[str, Any]]:
        values = {name: value[0] for name, value in parse_qs(query).items()}
        offset, digest = self.cursors.get((values["agent"], values["session"], values["source"]), (0, ""))
        return 200, {"offset": offset, "tail_digest": digest or None}

    def answer_simple(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        simple: dict[str, dict[str, Any]] = {
            "/api/v1/me": {"kind": "machine", "user": {"email": "kim@example.com"}, "machine": None, "scopes": []},
            "/api/v1/setup-codes": {"code": "FURTHER-CODE", "expires_at": "2027-01-01T00:00:00Z"},
            "/api/v1/recall": {
                "text": f"<worklore-memory>{body.get('question')}</worklore-memory>",
                "tokens": 12,
                "tokenizer": "cl100k_base",
                "items": [],
                "searched": 3,
                "ms": 1.5,
            },
        }
        return (200, simple[path]) if path in simple else (404, {"code": "not-found", "detail": "No such thing"})


def handler(hub: PretendedHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): unquote(value) for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self.rfile.read(length))
            hub.requests.append(request)
            if hub.mode == "slow":
                hub.released.wait(hub.slow)
            if hub.mode == "rubbish":
                self.close_connection = True
                self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\x00\xff\r\n")
                return
            status, answer = (500, {"code": "internal"}) if hub.mode == "error" else hub.answer(request)
            if hub.mode == "html":
                status, answer = 200, b"<html>Please sign in to the guest network</html>"
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name the base class looks for

    return Handler


@contextlib.contextmanager
def serving(hub: PretendedHub, port: int = 0, address: str = "127.0.0.1") -> Iterator[ThreadingHTTPServer]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = type("Server", (ThreadingHTTPServer,), {"address_family": family})
    server = kind((address, port), handler(hub))
    hub.url = f"http://{f'[{address}]' if ':' in address else address}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hub() -> Iterator[PretendedHub]:
    pretended = PretendedHub()
    with serving(pretended):
        yield pretended


@dataclass
class Machine:
    """A technician's machine: its home folder, connected to the hub."""

    home: Path
    project: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, event: str) -> list[str]:
        return [sys.executable, "-I", "-S", str(HOOK), str(self.home), "claude-code", event]

    def event(self, event: str, **members: Any) -> bytes:
        known = {"session_id": "s-1", "transcript_path": "/nowhere.jsonl", "cwd": str(self.project)}
        return json.dumps({**known, "hook_event_name": event, **members}).encode()

    def run(self, event: str, stdin: bytes | None = None, **members: Any) -> subprocess.CompletedProcess[bytes]:
        raw = self.event(event, **members) if stdin is None else stdin
        environment = {"PATH": os.environ["PATH"], **self.environment}
        return subprocess.run(
            self.command(event), input=raw, capture_output=True, check=False, cwd=self.project, env=environment
        )

    def notes(self) -> list[Path]:
        return sorted((self.home / "spool").glob("*.note"))

    def log(self) -> str:
        path = self.home / "hook.log"
        return path.read_text() if path.exists() else ""

    def drained(self, seconds: float = 20.0) -> bool:
        return waited(lambda: not self.notes(), seconds)


@pytest.fixture
def machine(tmp_path: Path, hub: PretendedHub) -> Machine:
    project = tmp_path / "work" / "firewall"
    project.mkdir(parents=True)
    home = tmp_path / "home"
    options = {"linger_ms": "0", "retry_s": "0", "prompt_ms": "3000", "start_ms": "3000", "tool_ms": "3000"}
    save(Config(home, hub.url, TOKEN, options))
    return Machine(home, project)


def waited(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def record(number: int, text: str = "", kind: str = "user") -> dict[str, Any]:
    uuid = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    words = text or f"Step {number}: checked the tunnel of the branch office"
    return {"type": kind, "uuid": uuid, "sessionId": "s-1", "message": {"role": kind, "content": words}}


def write_records(path: Path, records: list[dict[str, Any]], mode: str = "w") -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(item) + "\n" for item in records)
