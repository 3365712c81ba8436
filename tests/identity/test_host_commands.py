"""People looked after on the hub's own machine, where nobody can sign in any more."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from worklore.app import build
from worklore.identity.renewal import AccessGranted, Caller
from worklore.identity.sign_in import LOCK_AFTER, SignIn, attempt_sign_in, finish_sign_in, verified
from worklore.kernel.access import SYSTEM
from worklore.kernel.errors import TooManyRequestsError
from worklore.kernel.settings import load
from worklore.main import main

EMAIL = "owner@localhost"


def test_an_owner_who_is_locked_out_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKLORE_DATA", str(tmp_path))
    monkeypatch.setenv("WORKLORE_CONFIG", str(tmp_path / "none.env"))

    def told(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["hub", *arguments]) == code
        return capsys.readouterr().out.strip()

    def sign_in(*passwords: str) -> list[Any]:
        hub = build(load())
        key, answers = hub.gateway.authenticator.key, list[Any]()
        for password in passwords:
            body = SignIn(email=EMAIL, password=SecretStr(password))
            try:
                with hub.database.read(SYSTEM) as ctx:
                    attempt, stored = attempt_sign_in(ctx, key, body, Caller())
            except TooManyRequestsError:
                answers.append("locked")
                continue
            done = verified(attempt, stored)
            granted = hub.database.write(lambda ctx, done=done: finish_sign_in(ctx, key, done, timedelta(minutes=1)))
            answers.append(isinstance(granted, AccessGranted))
        hub.close()
        return answers

    told("code")
    assert [user["role"] for user in json.loads(told("user-list", "--json"))] == ["owner"]
    password = told("user-reset", EMAIL)
    assert sign_in(password, *["wrong"] * LOCK_AFTER, password) == [True, *[False] * LOCK_AFTER, "locked"]
    told("user-unlock", EMAIL)
    assert sign_in(password) == [True]
    told("user-disable", EMAIL)
    assert sign_in(password) == [False]
    again = told("user-reset", EMAIL)
    assert sign_in(password, again) == [False, True]
    told("user-role", EMAIL, "auditor")
    assert told("user-list").split() == [EMAIL, "auditor"]
    told("user-reset", "nobody@example.com", code=2)
