"""Claude Code's ``settings.json``: putting our hooks in, taking exactly them out again."""

import codecs
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from worklore_client import json_text
from worklore_client.config import replace_file, write_private

AGENT = "claude-code"
TIMEOUTS = {"SessionStart": 10, "UserPromptSubmit": 5, "PreToolUse": 5, "Stop": 5, "PreCompact": 5}
"""Seconds after which the agent itself gives a hook up, by event: far above what ours allow themselves."""
MATCHERS = {"PreToolUse": "Bash"}
"""The tools before which a hook is run, where it is not run before all: those that run commands."""

HOOK_FILE = Path(__file__).resolve().parent / "hook.py"
_OURS = "worklore_client/hook.py"


class SettingsRefused(Exception):  # noqa: N818 - reads as the state it is
    """The settings file is not one we can change without harm; the text says why and what to do."""


@dataclass(frozen=True)
class Change:
    """What is to happen to the settings file: its bytes before and after, None where it does not exist."""

    path: Path
    before: bytes | None
    after: bytes | None

    @property
    def needed(self) -> bool:
        """False when the file already is as it should be."""
        return self.before != self.after


def settings_path() -> Path:
    """``settings.json`` in ``CLAUDE_CONFIG_DIR``, else in ``~/.claude``."""
    folder = os.environ.get("CLAUDE_CONFIG_DIR")
    return (Path(folder).absolute() if folder else Path.home() / ".claude") / "settings.json"


def entries(home: Path) -> dict[str, dict[str, Any]]:
    """Our handler for each event, in exec form: no shell stands between the agent and the interpreter."""
    return {
        event: {
            "type": "command",
            "command": sys.executable,
            "args": ["-I", "-S", str(HOOK_FILE), str(home), AGENT, event],
            "timeout": seconds,
        }
        for event, seconds in TIMEOUTS.items()
    }


def command_of(entry: dict[str, Any]) -> list[str]:
    """The command line of a handler in exec form."""
    return [str(entry.get("command", "")), *(str(argument) for argument in cast("list[Any]", entry.get("args", [])))]


def is_ours(entry: Any) -> bool:
    """True for a handler that runs our hook file, wherever it is installed."""
    if not isinstance(entry, dict):
        return False
    arguments = cast("dict[str, Any]", entry).get("args")
    return isinstance(arguments, list) and any(
        isinstance(argument, str) and argument.replace("\\", "/").endswith(_OURS)
        for argument in cast("Sequence[Any]", arguments)
    )


def installed(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Our handlers in the settings file at `path`, by event. SettingsRefused when it cannot be read."""
    text = _text(_bytes(path), path)
    document: Any = json.loads(text)
    hooks: dict[str, Any] = document.get("hooks", {})
    found = {
        event: [entry for group in cast("Sequence[Any]", groups) for entry in _handlers(group) if is_ours(entry)]
        for event, groups in hooks.items()
        if isinstance(groups, list)
    }
    return {event: ours for event, ours in found.items() if ours}


def _handlers(group: Any) -> list[Any]:
    handlers = cast("dict[str, Any]", group).get("hooks") if isinstance(group, dict) else None
    return list(cast("Sequence[Any]", handlers)) if isinstance(handlers, list) else []


# --- the text ------------------------------------------------------------------------------------------------------


def with_hooks(text: str, wanted: dict[str, dict[str, Any]]) -> tuple[str, list[str]]:
    """`text` with one group of its own for each handler, and the containers that had to be made for them."""
    created: list[str] = []
    root = json_text.parse(text)
    if root.member("hooks") is None:
        text = json_text.append(text, root, {}, key="hooks")
        created.append("hooks")
    for event, entry in wanted.items():
        hooks = _member(text, "hooks")
        if hooks.member(event) is None:
            text = json_text.append(text, hooks, [], key=event)
            created.append(event)
        group = {"matcher": MATCHERS[event]} if event in MATCHERS else {}
        text = json_text.append(text, _member(text, "hooks", event), {**group, "hooks": [entry]})
    return text, created


def without_hooks(text: str, created: list[str] | None) -> str:
    """`text` without our handlers and without groups that held nothing else.

    The containers named in `created` go too where they are empty now; None: every one that this has emptied.
    """
    hooks = json_text.parse(text).member("hooks")
    if hooks is None or hooks.keys is None:
        return text
    emptied: list[str] = []
    for event in dict.fromkeys(hooks.keys):
        while (cleaned := _without_one(text, event)) is not None:
            text = cleaned
            emptied += [event, "hooks"]
    removable = emptied if created is None else created
    for event in dict.fromkeys(hooks.keys):
        if event in removable:
            text = _without_empty(text, _member(text, "hooks"), event)
    return _without_empty(text, json_text.parse(text), "hooks") if "hooks" in removable else text


def _without_empty(text: str, container: json_text.Node, key: str) -> str:
    place = container.index(key)
    if place is None or container.items[place].items:
        return text
    return json_text.remove(text, container, place)


def _without_one(text: str, event: str) -> str | None:
    """`text` without the first of our handlers for `event`, None when there is none left."""
    groups = _member(text, "hooks", event)
    for place, group in enumerate(groups.items):
        handlers = group.member("hooks") if group.keys is not None else None
        for position, handler in enumerate(handlers.items if handlers else []):
            if handlers and is_ours(json.loads(text[handler.start : handler.end])):
                alone = len(handlers.items) == 1 and _is_our_group(text, event, group)
                return json_text.remove(text, groups, place) if alone else json_text.remove(text, handlers, position)
    return None


def _is_our_group(text: str, event: str, group: json_text.Node) -> bool:
    """True for a group that holds nothing but what ours has beside its handler."""
    if group.keys == ["hooks"]:
        return True
    node = group.member("matcher")
    if node is None or event not in MATCHERS or group.keys != ["matcher", "hooks"]:
        return False
    return bool(json.loads(text[node.start : node.end]) == MATCHERS[event])


def _member(text: str, *path: str) -> json_text.Node:
    node = json_text.parse(text)
    for key in path:
        inner = node.member(key)
        if inner is None:
            raise KeyError(key)
        node = inner
    return node


# --- the file ------------------------------------------------------------------------------------------------------


def plan_connect(home: Path, path: Path) -> tuple[Change, list[str]]:
    """What putting our hooks into `path` changes, and the containers it makes. Touches nothing.

    SettingsRefused when the file is not JSON, or holds hooks in a form that is not the agent's.
    """
    before = _bytes(path)
    wanted = entries(home)
    if installed(path) == {event: [entry] for event, entry in wanted.items()}:
        return Change(path, before, before), _record(home).get("created", [])
    original = _original(home, path, before)
    after, created = with_hooks(_text(original, path), wanted)
    return Change(path, before, _encoded(after + ("\n" if original is None else ""), before)), created


def apply_connect(home: Path, change: Change, created: list[str]) -> Path | None:
    """Write the planned change, with a backup beside it; the backup's path, None when there was no file before."""
    original = _original(home, change.path, change.before)
    target = change.path.resolve()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = backup_path(change.path)
    if original is None:
        backup.unlink(missing_ok=True)
    else:
        replace_file(backup, original, 0o600)
    _write(target, change.after or b"")
    record = {
        "settings": str(change.path),
        "before": None if original is None else _digest(original),
        "after": _digest(change.after or b""),
        "created": created,
    }
    write_private(home / "installed.json", json.dumps(record, indent=2) + "\n")
    return None if original is None else backup


def plan_disconnect(home: Path, path: Path) -> Change:
    """What taking our hooks out of `path` changes. Touches nothing."""
    before = _bytes(path)
    return Change(path, before, _original(home, path, before))


def apply_disconnect(home: Path, change: Change) -> None:
    """Write the planned change; a file that connecting made goes again. Backup and record go too."""
    if change.needed:
        target = change.path.resolve()
        if change.after is None:
            target.unlink(missing_ok=True)
        else:
            _write(target, change.after)
    backup_path(change.path).unlink(missing_ok=True)
    (home / "installed.json").unlink(missing_ok=True)


def backup_path(path: Path) -> Path:
    """Where the file as it was before connecting is kept."""
    return path.with_name(path.name + ".worklore-backup")


def _original(home: Path, path: Path, present: bytes | None) -> bytes | None:
    """The settings file without us: byte for byte the old one while nobody else has changed it since."""
    if present is None:
        return None
    record = _record(home)
    known = record.get("settings") == str(path)
    if known and record.get("after") == _digest(present):
        if record.get("before") is None:
            return None
        kept = _bytes(backup_path(path))
        if kept is not None and _digest(kept) == record.get("before"):
            return kept
    text = _text(present, path)
    cleaned = without_hooks(text, record.get("created") if known else None)
    return present if cleaned == text else _encoded(cleaned, present)


def _record(home: Path) -> dict[str, Any]:
    try:
        raw: Any = json.loads((home / "installed.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # without it our entries are still recognised by the file they run
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}


def _encoded(text: str, like: bytes | None) -> bytes:
    """`text` as bytes, with the byte order mark that `like` begins with."""
    return (codecs.BOM_UTF8 if (like or b"").startswith(codecs.BOM_UTF8) else b"") + text.encode("utf-8")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsRefused(f"{path} cannot be read ({error.strerror})") from None


def _write(target: Path, content: bytes) -> None:
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    replace_file(target, content, mode)


def _text(content: bytes | None, path: Path) -> str:
    """The settings as text, checked to be what the agent would read; ``{}`` for no file or an empty one."""
    try:
        text = (content or b"").decode("utf-8-sig")
        if text.strip():
            json_text.parse(text)
        document: Any = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise SettingsRefused(f"{path} is not JSON ({error}): nothing was changed. Repair it and try again") from None
    hooks: Any = cast("dict[str, Any]", document).get("hooks", {}) if isinstance(document, dict) else None
    if not isinstance(hooks, dict) or not all(
        isinstance(groups, list) for event, groups in cast("dict[str, Any]", hooks).items() if event in TIMEOUTS
    ):
        raise SettingsRefused(
            f"{path} holds no settings of the agent (its hooks have another form): nothing was changed"
        )
    return text if text.strip() else "{}"
