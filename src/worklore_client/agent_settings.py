"""The file in which an agent's hooks are declared: putting our entries in, taking exactly them out again."""

import codecs
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from worklore_client import hook_entries, json_text
from worklore_client.adapters import Adapter, Layout
from worklore_client.config import replace_file, write_private

MARK = "worklore_client/hook.py"
"""What every file that holds our entries says somewhere."""
PLUGIN = "worklore"
"""The name of our plugin, whose hooks take the place of entries in the settings."""


class SettingsRefused(Exception):  # noqa: N818 - reads as the state it is
    """The settings file is not one we can change without harm; the text says why and what to do."""


@dataclass(frozen=True)
class Change:
    """What is to happen to a settings file: its bytes before and after, None where it does not exist.

    `created` names the members that are made for our entries, and `plugin` says that our plugin brings the hooks.
    """

    adapter: Adapter
    path: Path
    before: bytes | None
    after: bytes | None
    created: tuple[str, ...] = ()
    plugin: bool = False

    @property
    def needed(self) -> bool:
        """False when the file already is as it should be."""
        return self.before != self.after


def installed(adapter: Adapter) -> dict[str, list[dict[str, Any]]]:
    """Our entries in the agent's settings, by its own names of events. SettingsRefused when they cannot be read.

    For a script, whose entries are no JSON, those it ought to hold where it does.
    """
    path = adapter.settings_path()
    content = _bytes(path)
    if adapter.layout is Layout.script:
        return {"": [{"args": []}]} if content is not None and _is_ours(content) else {}
    return hook_entries.installed(_text(content, path, adapter), adapter)


def as_wanted(adapter: Adapter, home: Path) -> bool:
    """True when the settings hold exactly the entries that connecting would write now."""
    change = plan_connect(adapter, home)
    return not change.needed


def by_plugin(text: str, adapter: Adapter) -> bool:
    """True when our plugin is enabled in the settings, whatever the market it came from."""
    parsed: Any = json.loads(json_text.plain(text) if adapter.comments else text)
    enabled: Any = cast("dict[str, Any]", parsed).get("enabledPlugins")
    if not isinstance(enabled, dict):
        return False
    return any(
        name.partition("@")[0] == PLUGIN and wanted is True for name, wanted in cast("dict[str, Any]", enabled).items()
    )


# --- planning and writing ------------------------------------------------------------------------------------------


def plan_connect(adapter: Adapter, home: Path) -> Change:
    """What putting our entries into the agent's settings changes. Touches nothing.

    SettingsRefused when the file is not what the agent reads, holds hooks in a form that is not the agent's, or cannot
    be written.
    """
    path = adapter.settings_path()
    before = _bytes(path)
    if adapter.own_file:
        _refuse_others(path, before)
        change = Change(adapter, path, before, hook_entries.document(adapter, home).encode())
    else:
        change = _plan_entries(adapter, home, path, before)
    if change.needed:
        _refuse_unwritable(path)
    return change


def _plan_entries(adapter: Adapter, home: Path, path: Path, before: bytes | None) -> Change:
    wanted = hook_entries.entries(adapter, home)
    text = _text(before, path, adapter)
    record = _record(home, path)
    if by_plugin(text, adapter):
        return Change(adapter, path, before, _original(home, path, before, adapter), plugin=True)
    if hook_entries.installed(text, adapter) == wanted:
        return Change(adapter, path, before, before, tuple(record.get("created", [])))
    original = _original(home, path, before, adapter)
    after, created = hook_entries.with_entries(_text(original, path, adapter), adapter, wanted)
    ending = "\n" if original is None else ""
    return Change(adapter, path, before, _encoded(after + ending, before), tuple(created))


def apply_connect(home: Path, change: Change) -> Path | None:
    """Write the planned change, with a copy of the file as it was beside it.

    Returns the copy's path, None when there was no file before or it holds nothing but our entries.
    """
    if change.plugin:
        apply_disconnect(home, change)
        return None
    path, adapter = change.path, change.adapter
    original = None if adapter.own_file else _original(home, path, change.before, adapter)
    target = path.resolve()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = backup_path(path)
    if original is None:
        backup.unlink(missing_ok=True)
    else:
        replace_file(backup, original, 0o600)
    _write(target, change.after or b"")
    entry = {
        "before": None if original is None else _digest(original),
        "after": _digest(change.after or b""),
        "created": list(change.created),
    }
    _keep_records(home, {**_records(home), str(path): entry})
    return None if original is None else backup


def plan_disconnect(adapter: Adapter, home: Path) -> Change:
    """What taking our entries out of the agent's settings changes. Touches nothing."""
    path = adapter.settings_path()
    before = _bytes(path)
    if adapter.own_file:
        ours = before is not None and _is_ours(before)
        return Change(adapter, path, before, None if ours else before)
    return Change(adapter, path, before, _original(home, path, before, adapter))


def apply_disconnect(home: Path, change: Change) -> None:
    """Write the planned change; a file that connecting made goes again. Copy and record go too."""
    if change.needed:
        target = change.path.resolve()
        if change.after is None:
            target.unlink(missing_ok=True)
        else:
            _write(target, change.after)
    backup_path(change.path).unlink(missing_ok=True)
    records = _records(home)
    if records.pop(str(change.path), None) is not None:
        _keep_records(home, records)


def backup_path(path: Path) -> Path:
    """Where the file as it was before connecting is kept."""
    return path.with_name(path.name + ".worklore-backup")


def connected_adapters(home: Path, adapters: tuple[Adapter, ...]) -> list[Adapter]:
    """The agents whose settings hold entries of ours, or a record of them."""
    records = _records(home)
    found: list[Adapter] = []
    for adapter in adapters:
        content = None
        path = adapter.settings_path()
        if path.is_file() and os.access(path, os.R_OK):
            content = path.read_bytes()
        if str(path) in records or (content is not None and _is_ours(content)):
            found.append(adapter)
    return found


def _is_ours(content: bytes) -> bool:
    return MARK.encode() in content.replace(b"\\\\", b"/").replace(b"\\", b"/")


# --- the file ------------------------------------------------------------------------------------------------------


def _original(home: Path, path: Path, present: bytes | None, adapter: Adapter) -> bytes | None:
    """The settings file without us: byte for byte the old one while nobody else has changed it since."""
    if present is None:
        return None
    record = _record(home, path)
    if record and record.get("after") == _digest(present):
        if record.get("before") is None:
            return None
        kept = _bytes(backup_path(path))
        if kept is not None and _digest(kept) == record.get("before"):
            return kept
    text = _text(present, path, adapter)
    cleaned = hook_entries.without_entries(text, adapter, record.get("created") if record else None)
    return present if cleaned == text else _encoded(cleaned, present)


def _record(home: Path, path: Path) -> dict[str, Any]:
    found: Any = _records(home).get(str(path))
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _records(home: Path) -> dict[str, Any]:
    """What was written where, by the file's path. Without it our entries are still told by the file they run."""
    try:
        raw: Any = json.loads((home / "installed.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(raw, dict):
        return {}
    records = cast("dict[str, Any]", raw)
    # The first release knew one file, and wrote its record without a name above it.
    return {str(records["settings"]): records} if "settings" in records else records


def _keep_records(home: Path, records: dict[str, Any]) -> None:
    if records:
        write_private(home / "installed.json", json.dumps(records, indent=2) + "\n")
    else:
        (home / "installed.json").unlink(missing_ok=True)


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


def _refuse_others(path: Path, content: bytes | None) -> None:
    if content is not None and content.strip() and not _is_ours(content):
        raise SettingsRefused(f"{path} is a file of somebody else's: nothing was changed. Move it away and try again")


def _refuse_unwritable(path: Path) -> None:
    """A file that was made read-only is meant to stay as it is, although its folder would let us replace it."""
    target = path.resolve()
    if target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
        raise SettingsRefused(f"{path} is read-only: nothing was changed. Make it writable and try again")
    folder = next((above for above in target.parents if above.exists()), target.parent)
    if not os.access(folder, os.W_OK):
        raise SettingsRefused(f"{path}: its folder is read-only: nothing was changed")


def _text(content: bytes | None, path: Path, adapter: Adapter) -> str:
    """The settings as text, checked to be what the agent would read; ``{}`` for no file or an empty one."""
    try:
        text = (content or b"").decode("utf-8-sig")
        if not (json_text.plain(text) if adapter.comments else text).strip():
            text += "{}"  # nothing, or nothing but comments
        json_text.parse(text)
        parsed: Any = json.loads(json_text.plain(text) if adapter.comments else text)
    except ValueError as error:
        raise SettingsRefused(f"{path} is not JSON ({error}): nothing was changed. Repair it and try again") from None
    hooks: Any = cast("dict[str, Any]", parsed).get("hooks", {}) if isinstance(parsed, dict) else None
    ours = {event.theirs for event in adapter.events}
    if not isinstance(hooks, dict) or not all(
        isinstance(listed, list) for event, listed in cast("dict[str, Any]", hooks).items() if event in ours
    ):
        raise SettingsRefused(
            f"{path} holds no settings of the agent (its hooks have another form): nothing was changed"
        )
    return text
