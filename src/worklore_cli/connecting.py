"""Connecting this machine to a hub, and taking it off again."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worklore_cli.failure import Failure
from worklore_cli.hooks import check_input, installed_commands, run_command
from worklore_cli.machine import describe_machine
from worklore_client import agent_settings, cache, hook_entries, operations
from worklore_client.adapters import ADAPTERS, BY_NAME, Adapter
from worklore_client.agent_settings import Change, SettingsRefused
from worklore_client.config import Config, NotConnected, load, prepare_home, save, write_private
from worklore_client.identity import identity
from worklore_client.spool import note_files
from worklore_client.wire import Hub, HubError, HubRefused, HubUnreachable

Say = Callable[[str], None]
Ask = Callable[[], str]


@dataclass(frozen=True)
class Person:
    """Whoever is at the terminal: asked for a one-time code, and for a password of their own, empty for none."""

    code: Ask
    password: Ask


ROUND_TRIPS = 3
"""Tries of the proving hook: the first after a hub's start can take longer than a hook may wait."""
_FURTHER_CODES = "{}/connect gives one to who signs in there, and `worklore code` on a connected machine makes another"
CHECK_SESSION = "worklore-check"
"""The session the proving hook names: the hub answers it as any other and keeps nothing of it."""
_UNAUTHORISED = 401
_FORBIDDEN = 403
_INVALID = 422


class HubTooOld(Exception):  # noqa: N818 - reads as the state it is
    """The hub is of a release that does not know the agent."""


@dataclass(frozen=True)
class Target:
    """What the user asked for: the hub's url and, where given, code, name of the machine and certificate authority.

    `adapters` are the agents that are to have hooks.
    """

    home: Path
    url: str
    code: str | None = None
    name: str | None = None
    ca_file: str = ""
    adapters: Sequence[Adapter] = ()


@dataclass(frozen=True)
class Plan:
    """What connecting will do: each agent's change, which agents cannot be served, and the token.

    `refused` holds the agents whose settings are no such file that we could change, and why.
    """

    changes: list[Change]
    refused: list[tuple[Adapter, str]]
    config: Config | None
    """The configuration that already works with this hub; None when a code must be exchanged for a token."""


def agents_here() -> list[Adapter]:
    """The agents on this machine: their program is on the path, or their folder is there."""
    return [adapter for adapter in ADAPTERS if shutil.which(adapter.program) or adapter.home().is_dir()]


def agents_named(names: Sequence[str]) -> list[Adapter]:
    """The agents of those names, each once. Failure for a name that is none."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise Failure(f"{unknown[0]} is no agent that is known here", f"Known are {', '.join(BY_NAME)}")
    return [BY_NAME[name] for name in dict.fromkeys(names)]


def reached(target: Target) -> Target:
    """The target, by an address that a hub answers at.

    ``localhost`` is taken for 127.0.0.1 everywhere, so that no name service can send a token elsewhere; on a machine
    that has IPv6 alone it becomes ::1 here.
    """
    urls = [target.url]
    if target.url.startswith("http://localhost"):
        urls.append(target.url.replace("localhost", "[::1]", 1))
    for url in urls:
        try:
            answer = Hub(url, timeout=15, ca_file=target.ca_file).get("/healthz")
        except HubUnreachable:
            if url == urls[-1]:
                raise
            continue
        if answer.get("status") == "ok":
            return replace(target, url=url)
    raise Failure(f"what answers at {target.url} is no Worklore hub", "Check the address; `worklore serve` prints it")


def plan(target: Target, *, may_ask: bool = False) -> Plan:
    """Check everything that can be checked without changing anything. The target is `reached`.

    `may_ask` says that somebody can be asked for a code that is lacking.
    """
    hub = Hub(target.url, timeout=15, ca_file=target.ca_file)
    config = None if target.code else _working(target.home, hub.url)
    if config is None and not target.code and not may_ask:
        raise Failure(
            "this machine has no token for that hub yet",
            f"Give a one-time code with --code: the hub prints one when it starts, {_FURTHER_CODES.format(hub.url)}",
        )
    changes: list[Change] = []
    refused: list[tuple[Adapter, str]] = []
    for adapter in target.adapters:
        try:
            changes.append(agent_settings.plan_connect(adapter, target.home))
        except SettingsRefused as refusal:
            refused.append((adapter, str(refusal)))
    if refused and not changes:
        raise SettingsRefused(refused[0][1])
    return Plan(changes, refused, config)


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


def foretell(planned: Plan, say: Say) -> None:
    """Say what connecting would do."""
    say("Would use the token of this machine" if planned.config else "Would exchange a code for a token")
    for change in planned.changes:
        verb = "write our hooks to" if change.needed else "leave the hooks as they are in"
        if change.plugin:
            verb = "take our hooks out, since our plugin brings them, of" if change.needed else "leave to our plugin"
        say(f"{change.adapter.title}: would {verb} {change.path}")
    for adapter, why in planned.refused:
        say(f"{adapter.title}: would be left out: {why}")


def connect(target: Target, planned: Plan, say: Say, person: Person | None = None) -> None:
    """Carry the plan out and prove it by running the hooks that were written.

    `person` is None where nobody can be asked. Failure, at the end, when an agent had to be left out.
    """
    home, config = target.home, planned.config
    prepare_home(home)  # before the code is used up: where nothing can be written it stays good
    if config is None:
        config = _exchange(target, say, person)
    else:
        say(f"Token of this machine for {config.hub} still works: kept")
    save(config)
    # Where our plugin, which comes another way, finds this installation.
    write_private(home / "client", f"{sys.executable}\n{hook_entries.HOOK_FILE}\n")
    hub = Hub(config.hub, config.token, timeout=15, ca_file=config.options.get("ca_file", ""), home=config.home)
    if planned.config is not None:
        _tell_again(hub, target, say)
    _find_project(hub, home, say)
    for change in planned.changes:
        _write(home, change, say)
        try:
            say(f"{change.adapter.title}: round trip through the hook: {prove(home, change.adapter):.0f} ms")
        except HubTooOld:
            say(f"{change.adapter.title}: this hub knows no hooks of it yet, which stay silent until it is upgraded")
    if not target.adapters:
        say(f"No agent was found here, so there are no hooks: `--agent NAME` names one of {', '.join(BY_NAME)}")
    if planned.refused:
        left_out = "; ".join(f"{adapter.title}: {why}" for adapter, why in planned.refused)
        raise Failure(f"connected, but for {left_out}", "Then run `worklore connect` again")


def _write(home: Path, change: Change, say: Say) -> None:
    title = change.adapter.title
    if change.plugin:
        say(f"{title}: our plugin brings the hooks; none of them stand in {change.path}")
    if not change.needed:
        if not change.plugin:
            say(f"{title}: hooks in {change.path} are as they should be: unchanged")
        return
    backup = agent_settings.apply_connect(home, change)
    if not change.plugin:
        events = dict.fromkeys(event.theirs for event in change.adapter.events)
        say(f"{title}: hooks {', '.join(events)} written to {change.path}")
    if backup:
        say(f"The file as it was: {backup}")
    if change.adapter.notice:
        say(f"{change.adapter.notice}")


def _tell_again(hub: Hub, target: Target, say: Say) -> None:
    """Bring what the hub knows of this machine up to date: tools come and go."""
    known: Any = hub.get("me").get("machine") or {}
    if not known.get("id"):
        return
    try:
        row = hub.get(f"machines/{known['id']}")
        facts = describe_machine(target.name or row.get("friendly_name"))
        changed = {name: value for name, value in facts.items() if row.get(name) != value}
        if changed:
            hub.patch(f"machines/{known['id']}", changed, version=row["version"])
            say(f"Told the hub what is new of this machine: {', '.join(changed)}")
    except HubRefused as refusal:
        if refusal.status != _FORBIDDEN:
            raise


def _find_project(hub: Hub, home: Path, say: Say) -> None:
    """Find the project of this folder, or have it made, where the folder says that it is one."""
    about = identity(str(Path.cwd()), home / "roots.json")
    if not (about["remote"] or about["root_commit"] or about["marker"]):
        return
    try:
        found = hub.post("projects/identify", about)
    except HubRefused as refusal:
        say(f"Project of {about['path']}: {refusal}")
    else:
        say(f"Project of {about['path']}: {found['name']}" + (" (new)" if found.get("created") else ""))


def _exchange(target: Target, say: Say, person: Person | None) -> Config:
    answer = _set_up(target, say, person)
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


def _set_up(target: Target, say: Say, person: Person | None) -> dict[str, Any]:
    """The hub's answer to the code. A password that it refuses leaves the code good, so another can be given."""
    hub = Hub(target.url, timeout=30, ca_file=target.ca_file)
    code = target.code
    if code is None and person is not None:
        say(f"Sign in at {hub.url}/connect in a browser: it gives the code for this machine")
        code = person.code()
    asked = {"code": code, "machine": describe_machine(target.name)}
    while True:
        # Who has signed in for the code has a password.
        password = person.password() if person is not None and target.code else ""
        try:
            return hub.post("auth/setup", {**asked, "password": password} if password else asked)
        except HubRefused as refusal:
            if refusal.code == "setup-code-invalid":
                raise Failure(
                    "the hub does not take this code: it is wrong, already used or too old",
                    f"Get a new one: the hub prints one when it starts, {_FURTHER_CODES.format(hub.url)}",
                ) from None
            if refusal.status != _INVALID or not password:
                raise
            say(str(refusal))


def prove(home: Path, adapter: Adapter) -> float:
    """Run the agent's SessionStart hook; the milliseconds it took.

    Failure unless the hub answered through it, HubTooOld where it knows no such hook.

    A hook prints nothing when it fails, but leaves a line in its log: no new line means that the hub said 200.
    """
    event = adapter.events[0]
    try:
        command = installed_commands(home, adapter)[event.name]
    except (Failure, KeyError):  # a script, or our plugin: the very same command
        command = hook_entries.command(adapter, event, home)
    lines: list[str] = []
    for _ in range(ROUND_TRIPS):
        before = hook_log(home)
        run = run_command(command, event.name, Path.cwd(), check_input(adapter, event, CHECK_SESSION, home))
        if run.failure:
            raise Failure(
                f"the hook does not run: {run.failure}", "Run `worklore connect` again with this installation"
            )
        lines = [line for line in hook_log(home)[len(before) :] if " flush " not in line]
        if not lines:
            return run.milliseconds
        if lines[-1].endswith(" answer-404"):
            raise HubTooOld
        time.sleep(0.2)
    raise Failure(f"the hook ran but the hub did not answer it: {lines[-1].split()[-1]}", "Run `worklore doctor`")


def hook_log(home: Path) -> list[str]:
    """The lines of the hooks' log, oldest first."""
    try:
        return (home / "hook.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def disconnect(home: Path, say: Say, *, names: Sequence[str] = (), dry_run: bool) -> None:
    """Take our hooks out of the agents' settings and forget the token. What waits in the spool is kept.

    With `names` it is those agents alone, and the token stays.
    """
    adapters = agents_named(names) if names else agent_settings.connected_adapters(home, ADAPTERS)
    refused: list[str] = []
    for adapter in adapters:
        try:
            change = agent_settings.plan_disconnect(adapter, home)
        except SettingsRefused as refusal:
            refused.append(str(refusal))
            continue
        if dry_run:
            say(f"Would {'take our hooks out of' if change.needed else 'leave'} {change.path}")
            continue
        agent_settings.apply_disconnect(home, change)
        say(f"Hooks taken out of {change.path}" if change.needed else f"No hooks of ours in {change.path}")
    if not adapters:
        say("No agent here has hooks of ours")
    if not names and not dry_run:
        _forget(home, say)
    if refused:
        raise Failure("; ".join(refused), "Take the entries that run worklore_client/hook.py out of it by hand")


def _forget(home: Path, say: Say) -> None:
    try:
        hub = load(home).hub
    except NotConnected:
        say("This machine held no token")
    else:
        (home / "config").unlink()
        (home / "client").unlink(missing_ok=True)
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
