"""``worklore demo``: a hub of its own, two pretended machines, one memory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from worklore_cli.failure import Failure
from worklore_cli.hooks import told
from worklore_cli.hub_process import RunningHub, temporary_hub
from worklore_cli.tokens import count_tokens

Say = Callable[[str], None]
TRANSCRIPT = Path(__file__).parent / "demo.jsonl"
REMOTE = "https://git.example.com/example-dental/network.git"
PROMPT = "The VPN of the Riverside branch drops every few minutes again. What did we find and change last time?"
COMMAND_SECONDS = 50.0
REMOVE_SECONDS = 5.0


@dataclass(frozen=True)
class PretendedMachine:
    """A home folder and a clone of the client's repository, as on a technician's machine."""

    name: str
    folder: Path

    @property
    def project(self) -> Path:
        """The folder of the project."""
        return self.folder / "network"

    def environment(self) -> dict[str, str]:
        """The environment of its commands: nothing of the real client's home or agent."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WORKLORE_", "CLAUDE_"))}
        return {**kept, "HOME": str(self.folder), "USERPROFILE": str(self.folder), "NO_COLOR": "1"}

    def prepare(self) -> None:
        """Make the folders; the clone is what a hook reads of one."""
        git = self.project / ".git"
        git.mkdir(parents=True)
        (git / "config").write_text(f'[remote "origin"]\n\turl = {REMOTE}\n', encoding="utf-8")
        (self.folder / ".claude").mkdir()

    def worklore(self, *arguments: str) -> str:
        """Run a command of ours on this machine; its output. Failure when it fails."""
        ran = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "worklore_cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.project,
            env=self.environment(),
            timeout=COMMAND_SECONDS,
        )
        if ran.returncode:
            raise Failure(f"on {self.name}, worklore {arguments[0]}: {(ran.stderr or ran.stdout).strip()[-500:]}")
        return ran.stdout

    def hook(self, event: str, **members: Any) -> str:
        """Run the hook from this machine's settings as its agent would; what the agent is told."""
        settings = json.loads((self.folder / ".claude" / "settings.json").read_text(encoding="utf-8"))
        handler = settings["hooks"][event][-1]["hooks"][-1]
        about = {"session_id": "demo-second-machine", "transcript_path": str(self.folder / "none.jsonl")}
        stdin = json.dumps({**about, "cwd": str(self.project), "hook_event_name": event, **members})
        ran = subprocess.run(  # noqa: S603 - the command that connecting wrote
            [handler["command"], *handler["args"]],
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            cwd=self.project,
            env={**self.environment(), "CLAUDE_PROJECT_DIR": str(self.project)},
            timeout=COMMAND_SECONDS,
        )
        return told(ran.stdout)


def demo(say: Say) -> None:
    """Run it all in a folder that is gone afterwards. Failure when the second agent is told nothing."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # A plain kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, stop)
    folder = Path(tempfile.mkdtemp(prefix="worklore-demo-"))
    try:
        with temporary_hub(folder) as hub:
            _show(folder, hub, say)
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove the demo's folder, also while a flusher that was cut short writes its last words into it."""
    end = time.monotonic() + REMOVE_SECONDS
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _show(folder: Path, hub: RunningHub, say: Say) -> None:
    first, second = (PretendedMachine(name, folder / name) for name in ("workshop-pc", "field-laptop"))
    for machine in (first, second):
        machine.prepare()
    say(f"A hub runs at {hub.url} on an SQLite file of its own.")
    agent = ("--agent", "claude-code")  # alone: another's variables may lead out of these folders
    first.worklore("connect", hub.url, "--code", hub.setup_code, "--name", first.name, *agent, "--yes")
    code = json.loads(first.worklore("code", "--json"))["code"]
    second.worklore("connect", hub.url, "--code", code, "--name", second.name, *agent, "--yes")
    say(f"Two machines are connected to it: {first.name} and {second.name}.")
    sums = json.loads(first.worklore("replay", str(TRANSCRIPT), "--json"))
    said = TRANSCRIPT.read_text(encoding="utf-8")
    say(
        f"On {first.name} an agent session was replayed through the real hooks: {sums['hooks']} hooks, "
        f"{sums['failures']} failed, p50 {sums['milliseconds']['p50']:.0f} ms; {sums['windows']} memories stored."
    )
    start = second.hook("SessionStart", source="startup")
    _print_told(f"A new session starts on {second.name}; its agent is told", start, say)
    prompt = second.hook("UserPromptSubmit", prompt=PROMPT)
    _print_told(f'The technician asks "{PROMPT}"; the agent is told', prompt, say)
    if not (start or prompt):
        raise Failure("the agent on the second machine was told nothing", f"See the log of {second.name}")
    cost, tokenizer = count_tokens(start + prompt)
    whole, _ = count_tokens(said)
    say(f"\nCost for the agent: {cost} tokens ({tokenizer}); the transcript it draws on has {whole}.")


def _print_told(heading: str, text: str, say: Say) -> None:
    tokens, tokenizer = count_tokens(text)
    say(f"\n{heading} ({tokens} tokens, {tokenizer}):\n")
    say("\n".join(f"  | {line}" for line in (text or "(nothing)").splitlines()))
