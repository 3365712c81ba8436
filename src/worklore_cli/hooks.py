"""Running the hooks as the agent does: the very command of its settings, JSON on stdin."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worklore_cli.failure import Failure
from worklore_client.agent_settings import command_of, installed, settings_path

HOOK_SECONDS = 30.0


@dataclass(frozen=True)
class HookRun:
    """One run of a hook. `failure` is None when it kept its promise: exit 0 and a silent standard error."""

    event: str
    milliseconds: float
    output: str
    failure: str | None


def installed_commands(home: Path) -> dict[str, list[str]]:
    """The command line of each of our hooks in the agent's settings; only those that serve `home`.

    Raises Failure when there is none, since then nothing would be driven.
    """
    commands = {
        event: command_of(ours[-1])
        for event, ours in installed(settings_path()).items()
        if str(home) in command_of(ours[-1])
    }
    if not commands:
        raise Failure(f"no hooks of {home} in {settings_path()}", "Run `worklore connect URL --code CODE` first")
    return commands


def run_hook(command: list[str], event: str, folder: Path, **members: Any) -> HookRun:
    """Run one hook in `folder` with the event's members as the agent would send them."""
    stdin = json.dumps({"cwd": str(folder), "hook_event_name": event, "permission_mode": "default", **members})
    environment = {**os.environ, "CLAUDE_PROJECT_DIR": str(folder)}
    begun = time.perf_counter()
    try:
        ran = subprocess.run(  # noqa: S603 - the command that connecting wrote
            command,
            input=stdin.encode("utf-8", "replace"),
            capture_output=True,
            check=False,
            cwd=folder,
            env=environment,
            timeout=HOOK_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return HookRun(event, (time.perf_counter() - begun) * 1000, "", f"{type(error).__name__} running {command[0]}")
    elapsed = (time.perf_counter() - begun) * 1000
    failure = None
    if ran.returncode or ran.stderr:
        failure = f"exit {ran.returncode}: {ran.stderr.decode('utf-8', 'replace').strip()[-200:]}"
    return HookRun(event, elapsed, ran.stdout.decode("utf-8", "replace"), failure)


def told(output: str) -> str:
    """The text a hook's output gives to the agent: its additionalContext, or the output itself when it is no JSON."""
    try:
        parsed: Any = json.loads(output)
    except ValueError:
        return output
    try:
        return str(parsed["hookSpecificOutput"]["additionalContext"])
    except (KeyError, TypeError):
        return ""
