"""The shell commands in the documents do what they say: each is run against a real hub, or listed here with a reason.

A block is a fence of ``sh``. It is known by its document and its first line, and runs as a whole under ``bash -eu``
in a scratch home. What names a machine, a person or a record in a document is replaced by what is there in the test.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import NO_TLS

ROOT = Path(__file__).resolve().parents[2]
FIRST = ("README.md", "docs/client.md", "docs/rest.md", "docs/cli.md", "docs/import-and-export.md")
DOCUMENTS = [*FIRST, *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs/operations").glob("*.md")))]
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

NOT_RUN = {
    ("README.md", "git clone <this repository> worklore && cd worklore"): "installs from the package index",
    ("README.md", "make run                     # the hub, on http://127.0.0.1:8420, on SQLite"): "installs as well",
    (
        "docs/operations/backup.md",
        "rsync --archive --exclude='.*' /var/lib/worklore/backups/ backup@offsite.example.com:worklore/",
    ): "another machine",
    ("docs/operations/install.md", "git clone <this repository> worklore"): "installs from the package index",
    ("docs/operations/install.md", "make setup-dev"): "installs, and builds a wheel: tests/packaging does",
    ("docs/operations/install.md", "git pull"): "there is nothing newer to pull",
    ("docs/operations/netbox.md", "cd /opt/netbox/netbox"): "needs a NetBox",
    (
        "docs/operations/systemd.md",
        "sudo useradd --system --home-dir /var/lib/worklore --shell /usr/sbin/nologin worklore",
    ): "systemd, as root",
    ("docs/operations/systemd.md", "sudo cat /run/worklore/ready.json"): "systemd",
    ("docs/operations/systemd.md", "sudo install -d -m 0700 /etc/worklore"): "as root",
    ("docs/operations/systemd.md", "sudo install -d -m 0700 -o worklore -g worklore /srv/backups"): "as root",
    ("docs/operations/systemd.md", "systemctl status worklore"): "systemd",
    ("docs/operations/tls-proxy.md", "worklore connect https://hub.example.com --code CODE"): "needs a certificate",
    ("docs/operations/troubleshooting.md", "make kill TRANSCRIPTS=~/.claude/projects/SOME-PROJECT"): "ten minutes",
    ("docs/operations/troubleshooting.md", "make outage"): "an hour at most",
}
"""Blocks that cannot run here, and why."""

HUB_STOPPED = {
    "sudo systemctl stop worklore",
    "mkdir -m 700 /tmp/drill",
    "worklore demo-data --profile small --database-url sqlite:////tmp/demo.db",
    "(umask 077; openssl rand -base64 24 >passphrase)",
    "worklore keys restore-kit kit.worklore passphrase    # writes the keyring anew, where there is none",
    "worklore keys add                    # a new key in the keyring, known to the database, used for nothing yet",
    "worklore keys rewrap --deep --client installation",
    "worklore import netbox netbox.json --dry-run",
    "worklore memory sweep --dry-run",
    "worklore db current          # where the schema stands; exit code 1 when it is not up to date",
    "worklore db downgrade -1             # one revision; or the name of one, or base for none at all",
    "worklore backup restore FILE",
    "worklore db check            # exit code 1, and one line for each difference",
}
"""First lines of the blocks that need the database for themselves. They run last, in their order."""

OWN_HOME = {"README.md", "docs/client.md"}
"""Documents that connect and disconnect a machine; all others are read on one that is connected."""

SESSION = ROOT / "src/worklore_cli/demo.jsonl"
BACKUP = '"$(ls -t "$PWD"/backups/*.backup | head -1)"'
PROJECT = '"$(worklore project list --json | sed -n \'s/.*"id": "\\([^"]*\\)".*/\\1/p\' | head -1)"'
CREDENTIAL = PROJECT.replace("project", "credential")
INTEGRATION = PROJECT.replace("worklore project", "worklore integration-credential")
KEY = "\"$(grep -v '#' keyring | {} -1 | cut -d: -f1)\""
REPLACED = (
    ("", "http://127.0.0.1:8420", "$HUB"),
    ("", "--code CODE", "--code $CODE --yes"),
    ("", "sudo systemctl stop worklore", ":"),
    ("", "sudo systemctl start worklore", ":"),
    ("", "/tmp/", "$HOME/"),  # noqa: S108 - what stands in the documents
    ("", "/etc/worklore/", "$HOME/etc/"),
    ("docs/client.md", "FILE", str(SESSION)),
    ("docs/client.md", "trail SESSION", f"trail {PROJECT.replace('project', 'session')}"),
    ("docs/cli.md", "019a1b2c-3d4e", PROJECT),
    ("docs/operations/backup.md", "/srv/backups/worklore-daily-20260301T030000Z-1c0ffe.backup", BACKUP),
    ("docs/operations/backup.md", "FILE", f"{BACKUP} --yes"),
    ("docs/operations/keys.md", "worklore keys restore-kit", "mv keyring lost; worklore keys restore-kit"),
    ("docs/operations/keys.md", "key-5f3a91c2", KEY.format("tail")),
    ("docs/operations/keys.md", "key-0b77d410", KEY.format("head")),
    ("docs/operations/secrets.md", "019a1b2c-3d4e", CREDENTIAL),
    ("docs/operations/integrations.md", "$SYNCRO_KEY", "made-up"),
    ("docs/operations/integrations.md", " ID", f" {INTEGRATION}"),
    ("docs/operations/upgrade.md", "FILE", f"{BACKUP} --yes"),
    ("docs/operations/upgrade.md", "worklore db downgrade -1", "worklore db downgrade -1 --yes"),
)
"""Of a document, or of all: what stands there, and what is run instead."""

SHELL = """
worklore() {
    if [ "${1:-}" != serve ]; then command worklore "$@"; return; fi
    rm -f "$HOME/ready"
    command worklore "$@" --port 0 --ready-file "$HOME/ready" &
    until [ -e "$HOME/ready" ]; do kill -0 $!; sleep 0.1; done
    kill $!
    wait $!
}
curl() { command curl --fail-with-body "$@"; }
"""
"""A hub that a block starts is stopped once it serves; `wait` tells how it left. A refusal by the hub is a failure."""


MARKER = "documents"
NETBOX = [
    {"model": "tenancy.tenant", "pk": 1, "fields": {"name": "Example Bakery", "slug": "example-bakery"}},
    {"model": "dcim.site", "pk": 1, "fields": {"name": "Bakehouse", "slug": "bakehouse", "tenant": 1}},
]
"""A dump that is imported without a problem."""

CLAUDE_MEM = """
CREATE TABLE sdk_sessions (id INTEGER, project TEXT);
CREATE TABLE observations (id INTEGER, project TEXT, type TEXT, text TEXT, created_at_epoch INTEGER);
INSERT INTO observations VALUES (1, 'data', 'discovery', 'The oven is at 192.0.2.7', 1767571200000);
"""


@dataclass(frozen=True)
class Block:
    document: str
    text: str

    @property
    def name(self) -> tuple[str, str]:
        return self.document, self.text.splitlines()[0]


def blocks() -> list[Block]:
    return [Block(name, text) for name in DOCUMENTS for text in FENCE.findall((ROOT / name).read_text())]


class Machine:
    """A scratch home, a hub on a free port, and a shell."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.shared = folder / "home"
        self._folder = folder
        for each in (self.data, self.shared / "etc"):
            each.mkdir(parents=True)
        (self.data / ".worklore").mkdir()
        (self.data / ".worklore/project").write_text(f"{MARKER}\n")  # the same project for every pretended machine
        (self.data / "netbox.json").write_text(json.dumps(NETBOX))
        self._kept_by_other_programs()
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("WORKLORE_", "CLAUDE_", "XDG_"))
        }
        kept["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
        self._environment = kept | {"WORKLORE_DATA": str(self.data), "NO_COLOR": "1", "TERM": "dumb"}
        self._start()
        self.run(f"worklore connect {self.url} --code {self._first_code} --yes", self.shared)
        config = (self.shared / ".worklore/config").read_text()
        (token,) = re.findall(r"^token=(.+)$", config, re.MULTILINE)
        self._environment |= {"HUB": self.url, "TOKEN": token}
        self._headers = {"authorization": f"Bearer {token}"}
        self._post("projects/identify", {"marker": MARKER, "path": str(self.data)})  # an agent has worked here

    def _kept_by_other_programs(self) -> None:
        """A little of each thing that is imported."""
        kept = self.shared / ".claude/projects" / re.sub(r"[^A-Za-z0-9]", "-", str(self.data))
        (kept / "memory").mkdir(parents=True)
        (kept / "memory/oven.md").write_text("The oven wants a restart after each update.\n")
        said = {"type": "user", "uuid": "u-1", "sessionId": "s-1", "cwd": str(self.data), "message": {"role": "user"}}
        said["message"] |= {"content": "Why is the oven off line?"}
        (kept / "s-1.jsonl").write_text(json.dumps(said) + "\n")
        (self.data / "CLAUDE.md").write_text("# Bakehouse\n\nThe oven is in VLAN 20.\n")
        (self.shared / "basic-memory").mkdir()
        (self.shared / "basic-memory/oven.md").write_text("---\ntitle: Oven\n---\n- [fact] It runs firmware 3 #oven\n")
        (self.data / "memories.json").write_text(json.dumps([{"id": "m-1", "memory": "Kim looks after the oven"}]))
        (self.shared / ".claude-mem").mkdir()
        with closing(sqlite3.connect(self.shared / ".claude-mem/claude-mem.db")) as link:
            link.executescript(CLAUDE_MEM)

    def _start(self) -> None:
        ready, log = self._folder / "ready.json", self._folder / "hub.log"
        command = ["worklore", "serve", "--port", "0", "--ready-file", str(ready)]
        environment = self._environment | {"HOME": str(self.shared)}
        with log.open("wb") as output:
            self._hub = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=self.data)
        end = time.monotonic() + 30
        while not ready.exists():
            assert self._hub.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        said = json.loads(ready.read_text())
        self.url, self._first_code = said["url"], said["setup_code"]

    def _post(self, path: str, body: dict[str, str]) -> Any:
        answer = httpx2.post(f"{self.url}/api/v1/{path}", json=body, headers=self._headers, verify=NO_TLS)
        return answer.raise_for_status().json()

    def stop_hub(self) -> int:
        self._hub.terminate()
        return self._hub.wait(20)

    def carry_out(self, block: Block) -> None:
        text = block.text
        for document, there, here in REPLACED:
            if document in {"", block.document}:
                text = text.replace(there, here)
        home = self.shared
        if block.document in OWN_HOME:
            home = self._folder / block.document.replace("/", "-")
            home.mkdir(exist_ok=True)
        if "$CODE" in text:
            self._environment["CODE"] = self._post("setup-codes", {})["code"]
        self.run(text, home)

    def run(self, text: str, home: Path) -> None:
        done = subprocess.run(
            ["timeout", "60", "bash", "-euo", "pipefail", "-c", SHELL + text],  # ends what the block has started, too
            env=self._environment | {"HOME": str(home)},
            cwd=self.data,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n--- ended with {done.returncode} and said:\n{done.stdout}"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.stop_hub()


def test_what_is_said_of_blocks_is_said_of_one_that_is_there() -> None:
    every = blocks()
    names = [block.name for block in every]
    assert len(names) == len(set(names)), "two blocks of one document begin with the same line"
    assert set(NOT_RUN) <= set(names)
    assert {first for _, first in names} >= HUB_STOPPED
    for document, there, _ in REPLACED:
        assert any(there in block.text for block in every if document in {"", block.document}), there


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["first-pages", "operations"])
def test_commands_in_the_documents_do_what_they_say(machine: Machine, *, first: bool) -> None:
    to_run = [block for block in blocks() if block.name not in NOT_RUN and (block.document in FIRST) == first]
    for block in to_run:
        if block.name[1] not in HUB_STOPPED:
            machine.carry_out(block)
    assert machine.stop_hub() == 0
    for block in to_run:
        if block.name[1] in HUB_STOPPED:
            machine.carry_out(block)
