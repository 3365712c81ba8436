"""Our entries in an agent's settings, as text: what they look like, which are ours, putting them in and out.

Every other byte of the text stays as its owner wrote it.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from worklore_client import json_text
from worklore_client.adapters import Adapter, Event, Handler, Layout, Members, WindowsShell

HOOK_FILE = Path(__file__).resolve().parent / "hook.py"
VERSION = 1
"""What ``flat`` files say of their own form."""

_OURS = "worklore_client/hook.py"
_SINGLE_QUOTES = "'\u2018\u2019\u201a\u201b"
"""PowerShell takes each of these for a quotation mark."""


def command(adapter: Adapter, event: Event, home: Path) -> list[str]:
    """Program and arguments of the hook for an event."""
    line = [sys.executable, "-I", "-S", str(HOOK_FILE), str(home), adapter.name, event.name]
    members = adapter.members
    if members != Members() or event.theirs != event.name:
        own_name = event.theirs if members.event else ""
        line.append(f"{members.session},{members.transcript},{own_name},{adapter.answer}")
    return line


def line(words: Sequence[str], shell: WindowsShell | None) -> str:
    """`words` as one command line for a shell of Windows, or for any POSIX shell where `shell` is None."""
    if shell is None:
        return shlex.join(words)
    if shell is WindowsShell.cmd:
        return subprocess.list2cmdline(words)
    doubled = {ord(mark): mark * 2 for mark in _SINGLE_QUOTES}
    return "& " + " ".join(f"'{word.translate(doubled)}'" for word in words)


def handler(adapter: Adapter, event: Event, home: Path) -> dict[str, Any]:
    """The handler of an event, as it stands in the agent's settings."""
    words = command(adapter, event, home)
    made: dict[str, Any] = {} if adapter.layout is Layout.flat and adapter.handler is Handler.line else _COMMAND.copy()
    if adapter.handler is Handler.arguments:
        made |= {"command": words[0], "args": words[1:]}
    elif adapter.handler is Handler.shells:
        made |= {"bash": line(words, None), "powershell": line(words, WindowsShell.powershell)}
    else:
        made["command"] = line(words, adapter.windows_shell if sys.platform == "win32" else None)
    made["timeoutSec" if adapter.handler is Handler.shells else "timeout"] = adapter.time_limit(event)
    if event.background:
        made["async"] = True
    return made


_COMMAND: dict[str, Any] = {"type": "command"}


def entries(adapter: Adapter, home: Path) -> dict[str, list[dict[str, Any]]]:
    """What is to stand in the settings, by the agent's own names of its events, in their order."""
    wanted: dict[str, list[dict[str, Any]]] = {}
    for event in adapter.events:
        made = handler(adapter, event, home)
        matcher = {"matcher": event.matcher} if event.matcher else {}
        entry = {**matcher, "hooks": [made]} if adapter.layout is Layout.groups else {**made, **matcher}
        wanted.setdefault(event.theirs, []).append(entry)
    return wanted


def document(adapter: Adapter, home: Path) -> str:
    """The whole of a file that holds nothing but our entries."""
    if adapter.layout is Layout.script:
        template = (Path(__file__).resolve().parent / "opencode.js").read_text(encoding="utf-8")
        commands = {event.name: command(adapter, event, home) for event in adapter.events}
        return template.replace('"COMMANDS"', json.dumps(commands, indent=2, ensure_ascii=False))
    return json.dumps({"version": VERSION, "hooks": entries(adapter, home)}, indent=2, ensure_ascii=False) + "\n"


def is_ours(entry: Any) -> bool:
    """True for a handler that runs our hook file, wherever it is installed."""
    if not isinstance(entry, dict):
        return False
    members = cast("dict[str, Any]", entry)
    arguments: Any = members.get("args")
    words = list(cast("Sequence[Any]", arguments)) if isinstance(arguments, list) else []
    words += [members.get(name) for name in ("command", "bash", "powershell")]
    return any(isinstance(word, str) and _OURS in word.replace("\\", "/") for word in words)


def words_of(entry: dict[str, Any]) -> list[str]:
    """Program and arguments of a handler, or a shell that is given its command line."""
    if isinstance(entry.get("args"), list):
        return [str(entry.get("command", "")), *(str(word) for word in cast("list[Any]", entry["args"]))]
    if sys.platform == "win32":
        shell = ["powershell", "-NoProfile", "-Command"] if "powershell" in entry else ["cmd", "/C"]
        return [*shell, str(entry.get("powershell") or entry.get("command", ""))]
    return ["/bin/sh", "-c", str(entry.get("bash") or entry.get("command", ""))]


def installed(text: str, adapter: Adapter) -> dict[str, list[dict[str, Any]]]:
    """Our own entries in the text, by the agent's names of its events.

    A group that holds our handler among others counts with ours alone.
    """
    parsed: Any = json.loads(json_text.plain(text) if adapter.comments else text)
    found: dict[str, list[dict[str, Any]]] = {}
    for event, listed in cast("dict[str, Any]", parsed.get("hooks", {})).items():
        ours = list(_ours_in(cast("Sequence[Any]", listed), adapter)) if isinstance(listed, list) else []
        if ours:
            found[event] = ours
    return found


def _ours_in(listed: Sequence[Any], adapter: Adapter) -> Iterator[dict[str, Any]]:
    for item in listed:
        if adapter.layout is Layout.flat:
            if is_ours(item):
                yield item
            continue
        handlers = cast("dict[str, Any]", item).get("hooks") if isinstance(item, dict) else None
        ours = [each for each in cast("Sequence[Any]", handlers) if is_ours(each)] if isinstance(handlers, list) else []
        if ours:
            yield {**cast("dict[str, Any]", item), "hooks": ours}


def files_gone(entries: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The programs and files that entries run and that are not there."""
    for entry in entries:
        for each in entry.get("hooks") or [entry]:
            words = words_of(each)
            if words[:2] == ["/bin/sh", "-c"]:
                words = shlex.split(words[2])
            yield from (word for word in (words[0], *words) if _is_file_of_ours(word) and not Path(word).exists())


def _is_file_of_ours(word: str) -> bool:
    return Path(word).is_absolute() and (word.endswith(".py") or Path(word).stem.startswith(("python", "pypy")))


# --- the text ------------------------------------------------------------------------------------------------------


def with_entries(text: str, adapter: Adapter, wanted: dict[str, list[dict[str, Any]]]) -> tuple[str, list[str]]:
    """`text` with the wanted entries, each last in its list, and the members that had to be made for them."""
    created: list[str] = []

    def make(key: str, value: Any, *path: str) -> str:
        created.append(key)
        return json_text.append(text, _member(text, *path), value, key=key)

    if adapter.layout is Layout.flat and json_text.parse(text).member("version") is None:
        text = make("version", VERSION)
    if json_text.parse(text).member("hooks") is None:
        text = make("hooks", {})
    for event, listed in wanted.items():
        if _member(text, "hooks").member(event) is None:
            text = make(event, [], "hooks")
        for entry in listed:
            text = json_text.append(text, _member(text, "hooks", event), entry)
    return text, created


def without_entries(text: str, adapter: Adapter, created: list[str] | None) -> str:
    """`text` without our handlers and without groups that held nothing else.

    The members named in `created` go too where they are empty now; None: every one that this has emptied.
    """
    hooks = json_text.parse(text).member("hooks")
    if hooks is None or hooks.keys is None:
        return text
    emptied: list[str] = []
    for event in dict.fromkeys(hooks.keys):
        while (cleaned := _without_one(text, event, adapter)) is not None:
            text = cleaned
            emptied += [event, "hooks"]
    removable = emptied if created is None else created
    for event in dict.fromkeys(hooks.keys):
        if event in removable:
            text = _without_empty(text, _member(text, "hooks"), event)
    if "hooks" in removable:
        text = _without_empty(text, json_text.parse(text), "hooks")
    root = json_text.parse(text)
    version = root.index("version")
    added_since = "hooks" in removable and root.member("hooks") is not None
    if "version" in removable and version is not None and not added_since:
        text = json_text.remove(text, root, version)
    return text


def _without_empty(text: str, container: json_text.Node, key: str) -> str:
    place = container.index(key)
    if place is None or container.items[place].items:
        return text
    return json_text.remove(text, container, place)


def _without_one(text: str, event: str, adapter: Adapter) -> str | None:
    """`text` without the first of our handlers for `event`, None when there is none left."""
    listed = _member(text, "hooks", event)
    for place, item in enumerate(listed.items):
        if adapter.layout is Layout.flat:
            if is_ours(_value(text, item)):
                return json_text.remove(text, listed, place)
            continue
        handlers = item.member("hooks") if item.keys is not None else None
        for position, each in enumerate(handlers.items if handlers else []):
            if handlers and is_ours(_value(text, each)):
                alone = len(handlers.items) == 1 and _is_our_group(text, item, event, adapter)
                return json_text.remove(text, listed, place) if alone else json_text.remove(text, handlers, position)
    return None


def _is_our_group(text: str, group: json_text.Node, event: str, adapter: Adapter) -> bool:
    """True for a group that holds nothing but what ours has beside its handler."""
    if group.keys == ["hooks"]:
        return True
    node = group.member("matcher")
    if node is None or group.keys != ["matcher", "hooks"]:
        return False
    return _value(text, node) in {ours.matcher for ours in adapter.events if ours.theirs == event and ours.matcher}


def _value(text: str, node: json_text.Node) -> Any:
    return json.loads(json_text.plain(text)[node.start : node.end])


def _member(text: str, *path: str) -> json_text.Node:
    node = json_text.parse(text)
    for key in path:
        inner = node.member(key)
        if inner is None:
            raise KeyError(key)
        node = inner
    return node
