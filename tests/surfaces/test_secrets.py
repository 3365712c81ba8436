"""A hub's process is given secrets, and shows them nowhere it was not asked to."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

PASSWORD = "planted canary of a password"
WRONG = "planted canary of a guess"


@dataclass
class Watched:
    """A hub as a process that logs all it can, and everything it said to those who called it."""

    folder: Path
    told: dict[str, Any]
    process: subprocess.Popen[bytes]
    answers: list[httpx2.Response] = field(default_factory=list)

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        url = f"{self.told['url']}{path}"
        answer = httpx2.request(method, url, headers=headers, trust_env=False, timeout=30, **options)
        self.answers.append(answer)
        return answer

    def printed(self) -> str:
        return (self.folder / "output").read_text()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WORKLORE_", "XDG_"))}
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "worklore", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready)],
            stdout=output,
            stderr=output,
            env=kept
            | {"HOME": str(tmp_path), "WORKLORE_LOG_LEVEL": "debug", "WORKLORE_CONFIG": str(tmp_path / "none.env")},
        )
    end = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    yield Watched(tmp_path, json.loads(ready.read_text()), process)
    process.kill()
    process.wait()


def go_wrong(watched: Watched, machine: dict[str, str], email: str, *, token: str, access: str, second: str) -> None:
    """Whatever can go wrong with a secret."""
    code = watched.told["setup_code"]
    for body in (
        {"email": email, "password": WRONG},
        {"email": PASSWORD, "password": WRONG},
        {"email": [PASSWORD], "password": [WRONG]},
        {"email": email, "password": PASSWORD * 9},
        {"email": email, "password": WRONG, "passwort": PASSWORD},
    ):
        assert watched.ask("POST", "/api/v1/auth/sign-in", json=body).status_code in {401, 422}
    for body in ({"password": WRONG, "current": WRONG}, {"password": PASSWORD, "current": 7}, [PASSWORD], PASSWORD):
        assert watched.ask("POST", "/api/v1/auth/password", token, json=body).status_code == 403
        assert watched.ask("POST", "/api/v1/auth/password", access, json=body).status_code in {401, 422}
        assert watched.ask("POST", "/api/v1/auth/join", json=body).status_code == 422
    for used in (code, second[:-1], code + second):
        answer = watched.ask("POST", "/api/v1/auth/setup", json={"code": used, "machine": machine})
        assert answer.status_code == 401
    for bearer in (token[:-1], token + "x", access[:-2], access + "x", second):
        assert watched.ask("GET", "/api/v1/me", bearer).status_code == 401
    for method, path in (
        ("GET", "/api/v1/me"),
        ("GET", "/api/v1/api-tokens"),
        ("GET", "/api/v1/users"),
        ("GET", "/api/v1/machines"),
        ("GET", "/api/v1/users?password_hash=x"),
        ("POST", "/api/v1/clients"),
        ("GET", "/api/openapi.json"),
    ):
        watched.ask(method, path, token)


def test_no_secret_is_shown_where_it_was_not_asked_for(watched: Watched) -> None:
    code = watched.told["setup_code"]
    machine = {"hostname": "bench-01", "machine_fingerprint": "0123456789abcdef"}
    spoilt = watched.ask("POST", "/api/v1/auth/setup", json={"code": code, "machine": machine | {"hostname": 7}})
    assert spoilt.status_code == 422
    made = watched.ask("POST", "/api/v1/auth/setup", json={"code": code, "machine": machine, "password": PASSWORD})
    assert made.json()["password_set"] is True
    token = made.json()["token"]
    email = made.json()["user"]["email"]
    further = watched.ask("POST", "/api/v1/setup-codes", token)
    second = further.json()["code"]
    signed = watched.ask("POST", "/api/v1/auth/sign-in", json={"email": email, "password": PASSWORD})
    access = signed.json()["access_token"]
    shown = {id(made): token, id(further): second, id(signed): access}

    go_wrong(watched, machine, email, token=token, access=access, second=second)
    secrets = {"token": token, "access token": access, "code": code, "second code": second, "password": PASSWORD}
    secrets |= {"guess": WRONG}
    for what, secret in secrets.items():
        for answer in watched.answers:
            if shown.get(id(answer)) != secret:
                assert secret not in answer.text, (what, str(answer.request.url))
            assert secret not in str(answer.headers), what

    watched.process.send_signal(signal.SIGTERM)
    assert watched.process.wait(30) == 0
    printed = watched.printed()
    assert printed.count(code) == 2, "on its own, and in the command to type; nowhere else"
    for what, secret in secrets.items():
        assert secret == code or secret not in printed, what
    with closing(sqlite3.connect(watched.folder / "data" / "worklore.db")) as database:
        everything = "\n".join(database.iterdump())
    assert "sign-in" in everything, "the dump holds the audit log"
    for what, secret in secrets.items():
        assert secret not in everything, what
        assert secret.replace("-", "") not in everything, what
