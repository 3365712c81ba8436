"""`worklore credential report`: a table for people, JSON for programs."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.conftest import unique
from worklore.kernel.types import iso, utcnow

from .commands import technician


def test_it_names_what_wants_looking_after(hubs: Callable[[str], Any], tmp_path: Path) -> None:
    worklore = technician(hubs("sqlite"), tmp_path / "home")
    api, name = worklore.api, unique("client")
    client = api.post("/clients", json={"name": name, "type": "msp_client"}).json()["id"]
    nothing = worklore("credential", "report", "--client", client)
    assert nothing.out == "Nothing wants looking after\n"
    body = {"client_id": client, "credential_type": "password", "service_name": "portal\x1b[31m", "password": "planted"}
    stored = api.post("/credentials/store", json=body | {"expires_at": iso(utcnow() + timedelta(days=3))})
    assert stored.status_code == 200, stored.text
    key = stored.json()["id"]
    said = worklore("credential", "report", "--client", client[:18])
    assert key[:13] in said.out
    assert "expires" in said.out
    assert "planted" not in said.out
    assert "\x1b[31m" not in said.out
    assert worklore("credential", "report", "--client", client, "--within", "1").out == "Nothing wants looking after\n"
    told = worklore("credential", "report", "--client", client, "--json").json
    assert [(item["id"], item["concerns"]) for item in told["items"]] == [(key, ["expires"])]
    assert "--unrotated" in worklore("credential", "report", "--help").out
