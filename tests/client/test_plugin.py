"""Claude Code's plugin: true to the table of agents, and its hooks run as the agent runs them."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from worklore_client import hook_entries
from worklore_client.adapters import CLAUDE_CODE

from .conftest import Machine, PretendedHub, record, write_records

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins/claude-code"
LAUNCHER = PLUGIN / "hooks/worklore_hook.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plugin", ROOT / "scripts/plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_file_is_what_the_table_says(script: ModuleType) -> None:
    made = script.files()
    for path, text in made.items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path}: make reference writes it anew"
    there = {path.relative_to(ROOT) for path in PLUGIN.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert there == {path for path in made if path.parts[0] == "plugins"} | {LAUNCHER.relative_to(ROOT)}


def test_the_market_offers_a_plugin_that_is_there() -> None:
    market = json.loads((ROOT / ".claude-plugin/marketplace.json").read_text())
    (offered,) = market["plugins"]
    about = json.loads((ROOT / offered["source"] / ".claude-plugin/plugin.json").read_text())
    assert (about["name"], about["version"]) == (offered["name"], offered["version"])
    hooks = json.loads((PLUGIN / "hooks/hooks.json").read_text())["hooks"]
    assert set(hooks) == {event.theirs for event in CLAUDE_CODE.events}
    assert {path.stem for path in (PLUGIN / "commands").glob("*.md")} == {"recall", "remember", "handoff"}


def test_what_its_commands_run_is_there() -> None:
    said = "".join(path.read_text() for path in (PLUGIN / "commands").glob("*.md"))
    named = set(re.findall(r"\bworklore ([a-z-]+)", said))
    assert named >= {"recall", "remember"}
    commands = (ROOT / "docs/reference/commands.md").read_text()
    assert {name for name in named if f"\n## worklore {name}\n" not in commands} == set()


def run(machine: Machine, event: str, **members: str) -> subprocess.CompletedProcess[bytes]:
    handler = json.loads((PLUGIN / "hooks/hooks.json").read_text())["hooks"][event][0]["hooks"][0]
    words = [word.replace("${CLAUDE_PLUGIN_ROOT}", str(PLUGIN)) for word in handler["args"]]
    environment = {"PATH": os.environ["PATH"], "HOME": str(machine.home.parent), "WORKLORE_HOME": str(machine.home)}
    environment |= machine.environment
    return subprocess.run(
        [sys.executable, *words],
        input=machine.event(event, **members),
        capture_output=True,
        check=False,
        cwd=machine.project,
        env=environment,
    )


def test_its_hooks_find_the_client_that_connecting_named(machine: Machine, hub: PretendedHub, tmp_path: Path) -> None:
    ran = run(machine, "UserPromptSubmit", prompt="hello")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")  # not connected yet
    (machine.home / "client").write_text(f"{sys.executable}\n{hook_entries.HOOK_FILE}\n")
    ran = run(machine, "UserPromptSubmit", prompt="hello")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert json.loads(ran.stdout)["hookSpecificOutput"]["hookEventName"] == "UserPromptSubmit"
    transcript = tmp_path / "t.jsonl"
    write_records(transcript, [record(1)])
    assert run(machine, "Stop", transcript_path=str(transcript)).stdout == b""
    assert machine.drained()
    assert len(hub.records) == 1
    machine.environment["WORKLORE_HOME"] = ""
    machine.home.rename(machine.home.parent / ".worklore")
    assert run(machine, "UserPromptSubmit", prompt="hello").stdout


@pytest.mark.parametrize("content", ["", "one line", "/opt/gone/python\n/opt/gone/worklore_client/hook.py\n"])
def test_a_client_that_is_gone_disturbs_nobody(machine: Machine, content: str) -> None:
    (machine.home / "client").write_text(content)
    for event in ("SessionStart", "Stop"):
        ran = run(machine, event)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_an_older_python_hands_over_to_the_clients_own(machine: Machine) -> None:
    (machine.home / "client").write_text(f"{sys.executable}\n{hook_entries.HOOK_FILE}\n")
    text = LAUNCHER.read_text().replace("OLDEST = (3, 11)", "OLDEST = (99,)")
    older = machine.home / "older.py"
    older.write_text(text)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", str(older), "UserPromptSubmit"],
        input=machine.event("UserPromptSubmit", prompt="hello"),
        capture_output=True,
        check=False,
        env={"WORKLORE_HOME": str(machine.home)},
    )
    assert json.loads(ran.stdout)["hookSpecificOutput"]["hookEventName"] == "UserPromptSubmit"
