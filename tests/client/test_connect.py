"""Connecting a machine with several agents to a real hub, as a person does it."""

import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TestHub, unique
from worklore_client.adapters import ADAPTERS, BY_NAME

from .test_project import git


class Home:
    """A user's home on a machine of its own, with the folders of some agents."""

    def __init__(self, hub: TestHub, path: Path, agents: tuple[str, ...]) -> None:
        self.hub, self.path, self.api = hub, path, hub.owner()
        kept = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "NO_COLOR": "1"}
        self.environment = {**kept, "HOME": str(path), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        for agent in agents:
            (path / BY_NAME[agent].folder).mkdir(parents=True)
        self.project = path / "work" / unique("app")
        self.project.mkdir(parents=True)

    @property
    def code(self) -> str:
        return str(self.api.post("/setup-codes", json={}).json()["code"])

    def worklore(self, *arguments: str, status: int = 0, **environment: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "worklore_cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.project,
            env={**self.environment, **environment},
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
        )
        assert ran.returncode == status, (arguments, ran.stdout, ran.stderr)
        return ran.stdout + ran.stderr

    def files(self) -> dict[str, bytes]:
        """All the files of the agents, by their path."""
        folders = [self.path / adapter.folder for adapter in ADAPTERS]
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def home(sqlite_hub: TestHub, tmp_path: Path) -> Home:
    return Home(sqlite_hub, tmp_path / "kim's café", ("claude-code", "codex", "gemini-cli", "cursor", "copilot-cli"))


def test_every_agent_found_is_served_once_and_comes_back_as_it_was(home: Home) -> None:
    (home.path / ".gemini" / "settings.json").write_text('{\n  // dark\n  "theme": "dark",\n}\n')
    (home.path / ".claude" / "settings.json").write_text('{"model": "opus"}')
    before = home.files()
    git(home.project, "init", "-q", "-b", "main")
    git(home.project, "remote", "add", "origin", f"https://git.example.com/msp/{home.project.name}.git")

    told = home.worklore("connect", home.hub.url, "--code", home.code, "--dry-run")
    assert told.count("would write our hooks") == 5
    assert home.files() == before
    assert not (home.path / ".worklore").exists()

    told = home.worklore("connect", home.hub.url, "--code", home.code, "--yes", "--name", "Kim's laptop")
    assert told.count("round trip through the hook") == 5
    assert "type /hooks in Codex" in told
    assert f"{home.project.name} (new)" in told
    assert set(home.files()) >= {f"{BY_NAME[name].folder}/{BY_NAME[name].file}" for name in ("codex", "copilot-cli")}
    assert not (home.path / ".config" / "opencode").exists()
    written = home.files()
    told = home.worklore("connect", home.hub.url)
    assert told.count("as they should be: unchanged") == 5
    assert home.files() == written

    checks = {each["name"]: each for each in json.loads(home.worklore("doctor", "--json"))["checks"]}
    assert {f"{name} hooks" for name in ("claude-code", "codex", "gemini-cli", "cursor", "copilot-cli")} <= set(checks)
    assert checks["clock"]["state"] == checks["versions"]["state"] == checks["project"]["state"] == "ok"
    assert checks["cursor recall"]["detail"].startswith("last 2")
    standing = json.loads(home.worklore("status", "--json"))
    assert standing["answers"]
    assert standing["agents"]["codex"]["recall"] > 0
    assert standing["agents"]["codex"]["capture"] == 0

    assert "No hook has given up" in home.worklore("log")
    home.worklore("disconnect", "--agent", "codex")
    assert not (home.path / ".codex" / "hooks.json").exists()
    assert (home.path / ".worklore" / "config").exists()
    home.worklore("disconnect")
    assert home.files() == before


def test_the_hub_knows_what_the_machine_can_do(home: Home) -> None:
    home.worklore("connect", home.hub.url, "--code", home.code, "--agent", "claude-code", "--name", home.project.name)
    rows = home.api.get("/machines", params={"hostname": socket.gethostname()}).json()["items"]
    (row,) = (each for each in rows if each["friendly_name"] == home.project.name)
    assert row["has_git"] is True
    assert row["home_directory"] == str(home.path)
    assert "git" in row["installed_tools"]
    assert row["platform"] == platform.system().lower()
    tools = home.path / "bin"
    tools.mkdir()
    for name in ("terraform", "docker"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    told = home.worklore("connect", home.hub.url, "--agent", "claude-code", PATH=f"{tools}:/usr/bin:/bin")
    assert "installed_tools" in told
    row = home.api.get(f"/machines/{row['id']}").json()
    assert "terraform" in row["installed_tools"]
    assert row["has_docker"] is True


def test_one_agents_broken_settings_do_not_keep_the_others_out(home: Home) -> None:
    broken = home.path / ".cursor" / "hooks.json"
    broken.write_text("{")
    told = home.worklore("connect", home.hub.url, "--code", home.code, "--yes", status=1)
    assert "Claude Code: round trip" in told
    assert "connected, but for Cursor" in told
    assert broken.read_text() == "{"
    assert "cursor" not in home.worklore("status")


def test_an_agent_that_nobody_knows_is_named_as_such(home: Home) -> None:
    told = home.worklore("connect", home.hub.url, "--code", "X", "--agent", "clippy", status=1)
    assert "clippy is no agent that is known here" in told
    assert "opencode" in told


def test_a_machine_without_agents_is_connected_all_the_same(sqlite_hub: TestHub, tmp_path: Path) -> None:
    home = Home(sqlite_hub, tmp_path / "bare", ())
    told = home.worklore("connect", home.hub.url, "--code", home.code)
    assert "No agent was found here" in told
    assert home.files() == {}
    checks = {each["name"]: each for each in json.loads(home.worklore("doctor", "--json"))["checks"]}
    assert checks["hooks"]["state"] == "warning"
    told = home.worklore("connect", home.hub.url, "--agent", "opencode")
    assert "OpenCode: round trip" in told
    assert (home.path / ".config" / "opencode" / "plugins" / "worklore.js").exists()
    home.worklore("doctor")


def test_an_agent_that_came_after_connecting_is_missed_by_the_doctor(sqlite_hub: TestHub, tmp_path: Path) -> None:
    home = Home(sqlite_hub, tmp_path, ())
    home.worklore("connect", sqlite_hub.url, "--code", home.code, "--yes")
    (tmp_path / BY_NAME["claude-code"].folder).mkdir()
    assert "Claude Code would be told nothing" in home.worklore("doctor", status=1)
