"""What works and what does not, told aloud: the hooks themselves are silent."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from worklore_cli.connecting import agents_here, connected, hook_log
from worklore_client import agent_settings, checkpoints, hook_entries, operations
from worklore_client.adapters import ADAPTERS, Adapter, Layout
from worklore_client.cached import LIFE_SECONDS
from worklore_client.config import Config, NotConnected, load
from worklore_client.identity import identity
from worklore_client.spool import FlushState, note_files
from worklore_client.wire import Hub, HubError, HubRefused

STALE_SECONDS = 3_600.0
"""Age at which a note that still waits is a fault."""
RESTORED_SECONDS = 30 * 86_400.0
"""For how long it is told that the hub was restored."""
PROJECT_UNKNOWN = "project-unknown"
RECENT = timedelta(days=1)
CLOCK_SECONDS = 120.0
"""How far this machine's clock may be from the hub's: what is told is dated by both."""
SILENT_SECONDS = 86_400.0
"""An agent that is answered and from which nothing was captured for so long has hooks that do not run."""
ADVICE = {
    **dict.fromkeys(checkpoints.WHY, "see `audit` above"),
    "hub-unreachable": "the hub did not answer: is it running, is the network there?",
    "hub-timeout": "the hub took longer than a hook may wait (prompt_ms, start_ms and tool_ms in the configuration)",
    "token-expired": "connect again with a new code",
    "token-invalid": "connect again with a new code",
    "answer-401": "connect again with a new code",
    "answer-403": "this machine or its user may no longer do this: ask whoever looks after the hub",
    "answer-404": "the hub is of a release that does not know this hook: upgrade it",
    "insecure-url": "the hub's address is plain http to another machine: connect with its https address",
    "not-connected": "run `worklore connect URL --code CODE`",
}


@dataclass(frozen=True)
class Check:
    """One finding: `state` is ok, warning or failure. Only failures mean that memory does not work."""

    name: str
    state: str
    detail: str
    hint: str = ""


def examine(home: Path) -> list[Check]:
    """All checks, in the order in which one explains the next. Changes nothing."""
    checks: list[Check] = []
    try:
        config = load(home)
        hub = Hub(config.hub, config.token, timeout=10, ca_file=config.options.get("ca_file", ""), home=config.home)
    except (NotConnected, HubError) as error:
        hint = "Run `worklore connect URL --code CODE`"
        checks.append(Check("connected", "failure", str(error), hint))
    else:
        checks += [*_permissions(config), *_hub(home, hub)]
    checks += [_project(home), *_agents(home)]
    return [*checks, _spool(home), _last_flush(home), _cache(home), _audit(home), _log(home)]


def working(checks: list[Check]) -> bool:
    """True when memory works."""
    return all(check.state != "failure" for check in checks)


def _permissions(config: Config) -> list[Check]:
    path = config.home / "config"
    if path.stat().st_mode & 0o077 == 0:
        return []
    return [Check("permissions", "warning", f"{path} can be read by others", f"chmod 600 {path}")]


def _hub(home: Path, hub: Hub) -> list[Check]:
    asked = time.time()
    try:
        alive = hub.get("/healthz")
    except HubError as error:
        return [Check("hub", "failure", str(error), "Start the hub (`worklore serve`) or correct its address")]
    checks = [Check("hub", "ok", f"{hub.url} answers"), _versions(str(alive.get("version", "")))]
    checks += _clock(alive.get("time"), (asked + time.time()) / 2)
    try:
        me = hub.get("me")
    except HubError as error:
        return [*checks, Check("token", "failure", str(error), "Connect again with a new code")]
    user: Any = me.get("user") or {}
    checks.append(Check("token", "ok", f"valid for {user.get('email', me.get('kind'))}"))
    return [*checks, _memory(home, hub)]


def _versions(hubs: str) -> Check:
    """Releases that differ by more than a correction may not know each other's requests."""
    ours = installed_version("worklore")
    detail = f"hub {hubs or 'unknown'}, this client {ours}"
    ahead, behind = (_release(text) for text in (ours, hubs))
    if not hubs or ahead == behind:
        return Check("versions", "ok", detail)
    older = "the hub" if ahead > behind else "this client"
    return Check("versions", "warning", detail, f"Upgrade {older}; what both know works meanwhile")


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def _clock(told: object, here: float) -> Iterator[Check]:
    try:
        there = datetime.fromisoformat(str(told)).timestamp()
    except ValueError:
        return  # a hub of an earlier release tells no time
    off = here - there
    if abs(off) <= CLOCK_SECONDS:
        yield Check("clock", "ok", f"within {abs(off):.0f} s of the hub's")
        return
    detail = f"{abs(off) / 60:.0f} minutes {'ahead of' if off > 0 else 'behind'} the hub's"
    yield Check("clock", "warning", detail, "Set this machine's clock: what it tells is dated by it")


def _memory(home: Path, hub: Hub) -> Check:
    about = identity(str(Path.cwd()), home / "roots.json")
    begun = time.perf_counter()
    try:
        answer = hub.post(
            "recall", {"question": "worklore doctor", "project": None, "identity": about, "budget": 200, "limit": 3}
        )
    except HubRefused as error:
        if error.code == PROJECT_UNKNOWN:
            return Check("memory", "ok", "recall answers; this folder belongs to no project yet")
        return Check("memory", "failure", str(error), "Look at the hub's log")
    except HubError as error:
        return Check("memory", "failure", str(error), "Start the hub or look at its log")
    milliseconds = (time.perf_counter() - begun) * 1000
    detail = f"recall answered in {milliseconds:.0f} ms, {answer.get('searched', 0)} searched"
    if answer.get("semantic") == "off":
        return Check("memory", "warning", f"{detail}, by words alone", answer.get("notice", ""))
    return Check("memory", "ok", detail)


def _project(home: Path) -> Check:
    about = identity(str(Path.cwd()), home / "roots.json")
    for name, words in (("remote", "git remote"), ("root_commit", "first commit"), ("marker", "marker file")):
        if about[name]:
            return Check("project", "ok", f"{about['path']} is told by its {words} {about[name]}")
    hint = "A name in .worklore/project makes it the same project on every machine"
    return Check("project", "ok", f"{about['path']} is told by its path on this machine alone. {hint}")


def _agents(home: Path) -> Iterator[Check]:
    adapters = agent_settings.connected_adapters(home, ADAPTERS)
    if not adapters:
        here = [adapter.title for adapter in agents_here()]
        if here:
            said = f"{' and '.join(here)} would be told nothing: no agent has hooks of ours"
            yield Check("hooks", "failure", said, "Run `worklore connect` again")
        else:
            said = "there is no agent on this machine; `worklore recall` and the other commands work"
            yield Check("hooks", "warning", said, "Once one is installed, run `worklore connect` again")
    for adapter in adapters:
        yield _hooks(home, adapter)
        yield from _lately(home, adapter)


def _hooks(home: Path, adapter: Adapter) -> Check:
    name, again = f"{adapter.name} hooks", "Run `worklore connect` again"
    path = adapter.settings_path()
    try:
        found = agent_settings.installed(adapter)
        planned = agent_settings.plan_connect(adapter, home)
    except agent_settings.SettingsRefused as error:
        return Check(name, "failure", str(error), "Repair the file")
    if planned.plugin:
        return Check(name, "ok", f"brought by our plugin, which {path} enables")
    missing = list(dict.fromkeys(event.theirs for event in adapter.events if event.theirs not in found))
    if adapter.layout is not Layout.script and missing:
        return Check(name, "failure", f"{', '.join(missing)} not in {path}", again)
    for entries in found.values():
        for gone in hook_entries.files_gone(entries):
            return Check(name, "failure", f"they run {gone}, which is not there", again)
    if planned.needed:
        return Check(name, "failure", f"{path} holds other entries than this installation writes for {home}", again)
    events = dict.fromkeys(event.theirs for event in adapter.events)
    return Check(name, "ok", f"{', '.join(events)} in {path}")


def _lately(home: Path, adapter: Adapter) -> Iterator[Check]:
    """When the agent was last answered, and when something of it was last captured."""
    times = {what: _modified(home / "last" / f"{adapter.name}.{what}") for what in ("recall", "capture")}
    for what, when in times.items():
        said = f"last {_when(when)}" if when else "not yet"
        yield Check(f"{adapter.name} {what}", "ok", said, "" if when or what == "capture" else adapter.notice)
    if times["recall"] - times["capture"] > SILENT_SECONDS and times["capture"]:
        detail = f"{adapter.title} is answered, but nothing of it was captured since {_when(times['capture'])}"
        yield Check(f"{adapter.name} silence", "warning", detail, "See `last flush` and the log below")


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _cache(home: Path) -> Check:
    changed = _modified(home / "cache.db")
    if not changed:
        return Check("cache", "ok", "none: nothing has been kept for times without the hub")
    age = time.time() - changed
    stale = "" if age <= LIFE_SECONDS else "; too old to be told as it stands"
    return Check("cache", "ok", f"{age / 60:.0f} minutes old{stale}")


def _spool(home: Path) -> Check:
    if torn := operations.torn(home):
        said = f"{len(torn)} writes were set aside half written, the first is {torn[0]}"
        return Check("spool", "failure", said, "Look at it, write it again if it matters, and move it away")
    if conflicts := operations.conflicts(home):
        said = f"{len(conflicts)} writes of this machine contradict what the hub holds"
        return Check("spool", "warning", said, "Run `worklore sync --conflicts`")
    notes, writes = note_files(home), operations.waiting(home)
    if not notes and not writes:
        return Check("spool", "ok", "empty: everything noted and written has been sent")
    age = time.time() - min(path.stat().st_mtime for path in (*notes[:1], *writes[:1]))
    detail = f"{len(notes)} notes and {len(writes)} writes wait, the oldest for {age / 60:.0f} minutes"
    if age < STALE_SECONDS:
        return Check("spool", "ok", detail)
    return Check("spool", "failure", detail, "See `last flush` and the log for what keeps them")


def _last_flush(home: Path) -> Check:
    state = FlushState.load(home)
    if state.last_error:
        said = f"failed at {_when(state.last_failure)}: {state.last_error}"
        return Check("last flush", "warning", said, ADVICE.get(state.last_error, ""))
    if not state.last_success:
        return Check("last flush", "ok", "nothing has been sent yet")
    return Check("last flush", "ok", f"{_when(state.last_success)}, {state.windows} memories stored so far")


def _audit(home: Path) -> Check:
    kept, file = checkpoints.remembered(home), home / checkpoints.KEPT
    alarm = checkpoints.alarm(home)
    if alarm is not None:
        said = f"AUDIT ALARM since {_when(alarm.since)}: the hub contradicts what this machine remembers of its audit"
        hint = (
            f"Tell the hub's operator, who verifies the audit with --checkpoint and a copy of {file}. When the cause "
        )
        away = f"is known, move {home / checkpoints.ALARM} away, and {file} too if the hub was set up anew"
        return Check("audit", "failure", f"{said}: {checkpoints.WHY.get(alarm.code, alarm.code)}", hint + away)
    if not kept:
        return Check("audit", "ok", "the hub has given no checkpoint of its audit yet")
    restored = checkpoints.restored_at(home, str(kept[-1]["hub"]))
    if restored is not None and time.time() - restored < RESTORED_SECONDS:
        said = f"the hub was restored from a backup, as it says, at about {_when(restored)}"
        return Check("audit", "warning", said, "What it was told after that backup may be gone. Was it you?")
    return Check("audit", "ok", f"{len(kept)} checkpoints kept, the last of {_when(kept[-1]['at'] / 1e6)}")


def _log(home: Path) -> Check:
    since = (datetime.now(UTC) - RECENT).strftime("%Y-%m-%dT%H:%M:%SZ")
    recent = [line for line in hook_log(home) if line[:20] >= since]
    if not recent:
        return Check("hook log", "ok", "no failures in the last day")
    detail = f"{len(recent)} failures in the last day, latest: {'; '.join(recent[-3:])}"
    return Check("hook log", "warning", detail, ADVICE.get(recent[-1].split()[-1], f"All of them: {home / 'hook.log'}"))


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


# --- on one screen -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """Where this machine stands. Times are seconds since 1970, 0 for never; `agents` has them by agent."""

    hub: str
    answers: bool
    waiting: int
    last_success: float
    last_error: str
    alarm: str
    cache: float
    agents: dict[str, dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        told = asdict(self)
        return {**told, "last_error": self.last_error or None, "audit_alarm": told.pop("alarm") or None}

    def lines(self) -> Iterator[str]:
        """For people."""
        sent = f"{self.waiting} notes wait" if self.waiting else "everything sent"
        failed = f", last flush failed: {self.last_error}" if self.last_error else ""
        yield f"{self.hub} {'answers' if self.answers else 'DOES NOT ANSWER'}; {sent}{failed}"
        for name, times in self.agents.items():
            told = ", ".join(f"{what} {_when(when) if when else 'not yet'}" for what, when in times.items())
            yield f"{name}: {told}"
        if not self.agents:
            yield "No agent has hooks of ours"
        if self.cache:
            yield f"cache: {_when(self.cache)}"
        if self.alarm:
            yield "AUDIT ALARM, see `worklore doctor`"


def stand(home: Path) -> Standing:
    """Where this machine stands. Failure when it is not connected."""
    config, hub = connected(home)
    try:
        hub.get("/healthz")
        answers = True
    except HubError:
        answers = False
    state, alarm = FlushState.load(home), checkpoints.alarm(home)
    agents = {
        adapter.name: {what: _modified(home / "last" / f"{adapter.name}.{what}") for what in ("recall", "capture")}
        for adapter in agent_settings.connected_adapters(home, ADAPTERS)
    }
    return Standing(
        hub=config.hub,
        answers=answers,
        waiting=len(note_files(home)),
        last_success=state.last_success,
        last_error=state.last_error,
        alarm=alarm.code if alarm else "",
        cache=_modified(home / "cache.db"),
        agents=agents,
    )
