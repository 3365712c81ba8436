"""The audit as an operator and a caller meet it: a hub that is killed, the command, and the checkpoint."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx2

from tests.conftest import NO_TLS, unique
from tests.processes.test_serve import Process, environment
from worklore.identity.user import Role
from worklore.ops.audit_chain import CHECKPOINT_FILE, KEY_FILE, Checkpoint, Extension, extends

WRITERS = 4


def audit(folder: Path, *arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worklore", "audit", *arguments],
        env=environment(folder.parent, WORKLORE_DATA=str(folder), WORKLORE_DATABASE_URL=url),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def token(url: str, code: str) -> str:
    machine = {"hostname": unique("host"), "platform": "linux", "machine_fingerprint": unique("print")}
    asked = {"code": code, "machine": machine}
    answer = httpx2.post(f"{url}/api/v1/auth/setup", json=asked, verify=NO_TLS, trust_env=False, timeout=30)
    return str(answer.json()["token"])


def test_a_hub_killed_while_it_writes_leaves_a_chain_that_holds(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    hub = Process(folder)
    told = hub.ready()
    head = {"authorization": f"Bearer {token(told['url'], told['setup_code'])}"}
    made: list[str] = []
    enough = threading.Event()

    def write() -> None:
        with httpx2.Client(base_url=f"{told['url']}/api/v1", headers=head, verify=NO_TLS, trust_env=False) as api:
            try:
                while True:
                    answer = api.post("/clients", json={"name": unique("client"), "type": "internal"})
                    made.append(answer.json()["id"])
                    if len(made) > 100:
                        enough.set()
            except httpx2.TransportError:
                return

    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    assert hub.end(signal.SIGKILL) == -signal.SIGKILL
    for writer in writers:
        writer.join()
    found = audit(folder, "verify", "--json")
    verdict: dict[str, Any] = json.loads(found.stdout)
    assert (found.returncode, verdict["state"], verdict["chains"]) == (0, "intact", 1), found
    assert verdict["records"] > len(made)
    history = audit(folder, "history", made[0]).stdout.splitlines()
    assert history[0].partition("  ")[2].startswith("create clients by ")
    assert '    type: null -> "internal"' in history
    exported = [json.loads(line) for line in audit(folder, "export").stdout.splitlines()]
    assert len(exported) == verdict["records"]
    # The next hub goes on with the same chain.
    again = Process(folder)
    again.ready()
    assert again.end(signal.SIGTERM) == 0
    assert json.loads(audit(folder, "verify", "--json").stdout)["chains"] == 1
    # A checkpoint kept elsewhere, and a key that is gone.
    lines = (folder / CHECKPOINT_FILE).read_text().splitlines()
    stray = Checkpoint.model_validate_json(lines[-1])
    (tmp_path / "kept.jsonl").write_text(stray.model_copy(update={"records": 1}).model_dump_json())
    wrong = audit(folder, "verify", "--checkpoint", str(tmp_path / "kept.jsonl"))
    assert wrong.returncode == 1
    assert "checkpoint" in wrong.stdout
    os.rename(folder / KEY_FILE, tmp_path / "former.key")  # noqa: PTH104 - one word
    assert audit(folder, "verify").returncode == 2
    assert audit(folder, "verify", "--key", str(tmp_path / "former.key")).returncode == 0


def test_everybody_who_is_signed_in_gets_the_checkpoint(sqlite_hub: Any) -> None:
    assert sqlite_hub.client().get("/audit/checkpoint").status_code == 401
    reader = sqlite_hub.client(sqlite_hub.token(Role.read_only, scopes=["client:read"]))
    one = Checkpoint.model_validate(reader.get("/audit/checkpoint").json())
    assert one.flaw(sqlite_hub.hub.gateway.authenticator.key.witness.public_key()) is None
    sqlite_hub.token()
    sqlite_hub.hub.witness.testify()
    assert extends(one, Checkpoint.model_validate(reader.get("/audit/checkpoint").json())) is Extension.extended
