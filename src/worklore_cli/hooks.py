"""Running the hooks as the agent does: the very command of its settings, JSON on stdin."""

import json
import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worklore_cli.failure import Failure
from worklore_client import agent_settings
from worklore_client.adapters import CLAUDE_CODE, Adapter, Event, Layout
from worklore_client.hook_entries import words_of

HOOK_SECONDS = 30.0


@dataclass(frozen=True)
class HookRun:
    """One run of a hook. `failure` is None when it kept its promise: exit 0 and a silent standard error."""

    event: str
    milliseconds: float
    output: str
    failure: str | None


def installed_commands(home: Path, adapter: Adapter = CLAUDE_CODE) -> dict[str, list[str]]:
    """The command line of each of our hooks in the agent's settings, by our own names of events.

    Raises Failure when there is none that serves `home`, since then nothing would be driven.
    """
    commands: dict[str, list[str]] = {}
    found = agent_settings.installed(adapter) if adapter.layout is not Layout.script else {}
    for theirs, entries in found.items():
        names = [event.name for event in adapter.events if event.theirs == theirs]
        handlers = [each for entry in entries for each in (entry.get("hooks") or [entry])]
        commands |= {name: words_of(each) for name, each in zip(names, handlers, strict=False)}
    serving = {
        name: words for name, words in commands.items() if str(home) in words or shlex.quote(str(home)) in words[-1]
    }
    if not serving:
        raise Failure(
            f"no hooks of {home} in {adapter.settings_path()}", "Run `worklore connect URL --code CODE` first"
        )
    return serving


def check_input(adapter: Adapter, event: Event, session: str, home: Path) -> dict[str, Any]:
    """An event as the agent would send it, of a session that the hub answers and keeps nothing of."""
    members = adapter.members
    about = {members.session: session, members.transcript: str(home / "worklore-check.jsonl"), "source": "startup"}
    return {**about, **({members.event: event.theirs} if members.event else {})}


def run_hook(command: list[str], event: str, folder: Path, **members: Any) -> HookRun:
    """Run one of Claude Code's hooks in `folder` with the event's members as the agent would send them."""
    return run_command(command, event, folder, {"hook_event_name": event, "permission_mode": "default", **members})


def run_command(command: list[str], event: str, folder: Path, members: dict[str, Any]) -> HookRun:
    """Run one hook in `folder`; `members` are what it reads, beside the folder."""
    stdin = json.dumps({"cwd": str(folder), **members})
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
