"""Connecting this machine to a hub, and taking it off again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worklore_cli.failure import Failure
from worklore_cli.hooks import installed_commands, run_hook
from worklore_cli.machine import describe_machine
from worklore_client import agent_settings, cache, operations
from worklore_client.config import Config, NotConnected, load, prepare_home, save
from worklore_client.spool import note_files
from worklore_client.wire import Hub, HubError, HubRefused

Say = Callable[[str], None]
AskPassword = Callable[[], str]
"""Asks the person for a password of their own; empty for none."""
ROUND_TRIPS = 3
"""Tries of the proving hook: the first after a hub's start can take longer than a hook may wait."""
CHECK_SESSION = "worklore-check"
"""The session the proving hook names: the hub answers it as any other and keeps nothing of it."""
_UNAUTHORISED = 401
_INVALID = 422


@dataclass(frozen=True)
class Target:
    """What the user asked for: the hub's url and, where given, code, name of the machine and certificate authority."""

    home: Path
    url: str
    code: str | None = None
    name: str | None = None
    ca_file: str = ""


@dataclass(frozen=True)
class Plan:
    """What connecting will do: the settings' change, and whether the code is still to be exchanged."""

    change: agent_settings.Change
    created: list[str]
    config: Config | None
    """The configuration that already works with this hub; None when a code must be exchanged for a token."""


def plan(target: Target) -> Plan:
    """Check everything that can be checked without changing anything."""
    hub = Hub(target.url, timeout=15, ca_file=target.ca_file)
    if hub.get("/healthz").get("status") != "ok":
        raise Failure(
            f"what answers at {target.url} is no Worklore hub", "Check the address; `worklore serve` prints it"
        )
    config = None if target.code else _working(target.home, hub.url)
    if config is None and not target.code:
        raise Failure(
            "this machine has no token for that hub yet",
            "Give a one-time code with --code: the hub prints one when it starts, "
            "and `worklore code` on a connected machine makes another",
        )
    change, created = agent_settings.plan_connect(target.home, agent_settings.settings_path())
    return Plan(change, created, config)


def _working(home: Path, url: str) -> Config | None:
    try:
        config = load(home)
    except NotConnected:
        return None
    if config.hub != url:
        return None
    try:
        Hub(url, config.token, ca_file=config.options.get("ca_file", "")).get("me")
    except HubRefused as refusal:
        if refusal.status == _UNAUTHORISED:
            return None
        raise
    return config


def connect(target: Target, planned: Plan, say: Say, ask_password: AskPassword | None = None) -> None:
    """Carry the plan out and prove it by running the hook that was written.

    `ask_password` is for a person at a terminal; None where nobody can be asked.
    """
    home, config = target.home, planned.config
    prepare_home(home)  # before the code is used up: where nothing can be written it stays good
    if config is None:
        config = _exchange(target, say, ask_password)
    else:
        say(f"Token of this machine for {config.hub} still works: kept")
    save(config)
    if planned.change.needed:
        backup = agent_settings.apply_connect(home, planned.change, planned.created)
        say(f"Hooks {', '.join(agent_settings.TIMEOUTS)} written to {planned.change.path}")
        if backup:
            say(f"The file as it was: {backup}")
    else:
        say(f"Hooks in {planned.change.path} are as they should be: unchanged")
    milliseconds = prove(home)
    say(f"Round trip through the hook: {milliseconds:.0f} ms")


def _exchange(target: Target, say: Say, ask_password: AskPassword | None) -> Config:
    answer = _set_up(target, say, ask_password)
    try:
        token, who, machine = str(answer["token"]), answer["user"]["email"], answer["machine"]["hostname"]
    except (KeyError, TypeError):
        raise Failure(f"what answers at {target.url} is no Worklore hub (no token came)") from None
    try:
        options = load(target.home).options
    except NotConnected:
        options = {}
    if target.ca_file:
        options["ca_file"] = str(Path(target.ca_file).absolute())
    say(f"Signed in to {target.url} as {who}; this machine is {machine}")
    if answer.get("password_set"):
        say(f"{who} can sign in with that password now")
    return Config(target.home, Hub(target.url).url, token, options)


def _set_up(target: Target, say: Say, ask_password: AskPassword | None) -> dict[str, Any]:
    """The hub's answer to the code. A password that it refuses leaves the code good, so another can be given."""
    hub = Hub(target.url, timeout=30, ca_file=target.ca_file)
    asked = {"code": target.code, "machine": describe_machine(target.name)}
    while True:
        password = ask_password() if ask_password else ""
        try:
            return hub.post("auth/setup", {**asked, "password": password} if password else asked)
        except HubRefused as refusal:
            if refusal.code == "setup-code-invalid":
                raise Failure(
                    "the hub does not take this code: it is wrong, already used or too old",
                    "Get a new one: the hub prints one when it starts, "
                    "`worklore code` on a connected machine makes another",
                ) from None
            if refusal.status != _INVALID or not password:
                raise
            say(str(refusal))


def prove(home: Path) -> float:
    """Run the installed SessionStart hook; the milliseconds it took. Failure unless the hub answered through it.

    A hook prints nothing when it fails, but leaves a line in its log: no new line means that the hub said 200.
    """
    commands = installed_commands(home)
    missing = [event for event in agent_settings.TIMEOUTS if event not in commands]
    if missing:
        raise Failure(f"no hook for {', '.join(missing)} in {agent_settings.settings_path()}", "Run `worklore connect`")
    lines: list[str] = []
    for _ in range(ROUND_TRIPS):
        before = hook_log(home)
        run = run_hook(
            commands["SessionStart"],
            "SessionStart",
            Path.cwd(),
            session_id=CHECK_SESSION,
            transcript_path=str(home / "worklore-check.jsonl"),
            source="startup",
        )
        if run.failure:
            raise Failure(
                f"the hook does not run: {run.failure}", "Run `worklore connect` again with this installation"
            )
        lines = [line for line in hook_log(home)[len(before) :] if " flush " not in line]
        if not lines:
            return run.milliseconds
        time.sleep(0.2)
    raise Failure(f"the hook ran but the hub did not answer it: {lines[-1].split()[-1]}", "Run `worklore doctor`")


def hook_log(home: Path) -> list[str]:
    """The lines of the hooks' log, oldest first."""
    try:
        return (home / "hook.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def disconnect(home: Path, say: Say, *, dry_run: bool) -> None:
    """Take our hooks out of the agent's settings and forget the token. What waits in the spool is kept."""
    change = agent_settings.plan_disconnect(home, agent_settings.settings_path())
    if dry_run:
        say(f"Would {'take our hooks out of' if change.needed else 'leave'} {change.path}")
        return
    agent_settings.apply_disconnect(home, change)
    say(f"Hooks taken out of {change.path}" if change.needed else f"No hooks of ours in {change.path}")
    try:
        hub = load(home).hub
    except NotConnected:
        say("This machine held no token")
    else:
        (home / "config").unlink()
        cache.forget(home)
        say(f"Token for {hub} removed from this machine; on the hub it stays valid until it is revoked or expires")
    kept = len(operations.waiting(home)) + len(operations.conflicts(home))
    if kept:
        say(f"{kept} writes of this machine are not on the hub and are kept in {home / 'spool'}")
    waiting = len(note_files(home))
    if waiting:
        say(
            f"{waiting} transcript notes were not sent yet and are kept in {home / 'spool'}: connect again to send them"
        )


def connected(home: Path) -> tuple[Config, Hub]:
    """The configuration and a hub to ask. Failure when this machine is not connected."""
    try:
        config = load(home)
        return config, Hub(config.hub, config.token, timeout=15, ca_file=config.options.get("ca_file", ""), home=home)
    except NotConnected as error:
        raise Failure(f"this machine is not connected ({error})", "Run `worklore connect URL --code CODE`") from None
    except HubError as error:
        raise Failure(str(error), f"Correct the address in {home / 'config'}") from None
