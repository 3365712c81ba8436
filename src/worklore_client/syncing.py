"""Bringing this machine and its hub together: what waits here goes there, what agents read there is kept here.

The hub's answer says in which life it is. After a restore it may have lost what it was told since its backup, so what
this machine has sent lately is offered again first.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from worklore_client import cache, journal, operations, sending
from worklore_client.config import Config, write_private
from worklore_client.events import log
from worklore_client.identity import identity
from worklore_client.spool import tidy_told
from worklore_client.wire import Hub, HubRefused, HubUnreachable

MOST_PAGES = 100
MOST_FOLDERS = 5
"""Folders whose projects one run of the flusher renews."""

_UNKNOWN = frozenset({404, 405})
_FORBIDDEN = 403
STATE = "sync.json"

Keep = Callable[[object], None]
"""Is given the checkpoint of the hub's audit."""


@dataclass
class Round:
    """What one round did. `refreshed` names projects, `missing` folders of none; `restored` counts operations."""

    taken: int = 0
    conflicts: int = 0
    left: int = 0
    restored: int = 0
    refreshed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    cache_error: str = ""


def sync_round(config: Config, hub: Hub, folders: Iterable[str], keep: Keep) -> Round:
    """Fetch, send, and fetch again where something was sent. The caller holds the flusher's lock.

    HubUnreachable or HubRefused where the hub does not take part; what is here stays as it is then.
    """
    made = Round()
    operations.tidy(config.home)
    tidy_told(config.home)
    wanted = [*dict.fromkeys(folders)][:MOST_FOLDERS]
    found = [_fetched(config, hub, folder, keep, made) for folder in wanted or _any_folder(config)]
    epochs = [epoch for epoch in found if epoch]
    epoch = epochs[-1] if epochs else None
    if epoch is not None:
        made.restored = _live_in(config, epoch)
    if operations.waiting(config.home):
        sent = sending.send(config.home, hub, epoch)
        made.taken, made.conflicts, made.left = sent.taken, sent.conflicts, sent.left
        for folder in [*dict.fromkeys([*wanted, *sent.folders])][:MOST_FOLDERS]:
            _fetched(config, hub, folder, keep, made)
    return made


def _any_folder(config: Config) -> list[str]:
    """A folder to ask with where none is wanted and operations wait: the hub tells its life in any answer."""
    return [str(config.home)] if operations.waiting(config.home) else []


def _live_in(config: Config, epoch: str) -> int:
    """Remember the hub's life; how many operations wait again because it is another than before."""
    state = load_state(config.home)
    known = state.get("epoch") if state.get("hub") == config.hub else None
    if known == epoch:
        return 0
    count = operations.offer_again(config.home, epoch) if known is not None else 0
    if count:
        log(str(config.home), "sync", "restored-hub-offered-again")
    write_private(config.home / STATE, json.dumps({"hub": config.hub, "epoch": epoch, "since": time.time()}) + "\n")
    return count


def load_state(home: Path) -> dict[str, Any]:
    """What is remembered of the hub: `hub`, `epoch` and `since` when. {} where nothing is."""
    try:
        raw: Any = json.loads((home / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}


# --- fetching


def _fetched(config: Config, hub: Hub, folder: str, keep: Keep, made: Round) -> str | None:
    """Renew what is kept of a folder's project; the hub's life, None where it does not tell."""
    about = identity(folder, config.home / "roots.json")
    try:
        answer, project = _all_of(config, hub, about, keep)
    except HubRefused as refusal:
        if refusal.status in _UNKNOWN | {_FORBIDDEN}:
            return None  # an older hub, or a token that may not read memory: operations go all the same
        raise
    except (OSError, sqlite3.Error) as error:
        # What is kept is a copy: where it cannot be written, everything else goes on.
        made.cache_error = code_of(error)
        log(str(config.home), "sync", made.cache_error)
        return None
    if project:
        made.refreshed = tuple(dict.fromkeys([*made.refreshed, project]))
        journal.mirror(config, folder, about)
    elif folder != str(config.home):
        made.missing = (*made.missing, folder)
    epoch = answer.get("epoch")
    return epoch if isinstance(epoch, str) else None


def code_of(error: Exception) -> str:
    """One word for the log of why the cache cannot be written."""
    name = getattr(error, "sqlite_errorname", "") or getattr(error, "strerror", "") or type(error).__name__
    return "cache-" + "".join(letter if letter.isalnum() else "-" for letter in str(name).lower())


def _all_of(config: Config, hub: Hub, about: Mapping[str, Any], keep: Keep) -> tuple[dict[str, Any], str]:
    """The hub's last answer and the project's name; "" for a folder of no project."""
    answer: dict[str, Any] = {}
    for anew in (False, True):
        cursor = None if anew else _cursor(config, about)
        answer, items, gone = _pages(hub, about, cursor, keep)
        if answer.get("project") is None:
            if cursor is not None:
                with cache.writing(config) as writer:
                    writer.drop(about)
            return answer, ""
        if _taken(config, about, answer, items, gone):
            break
    return answer, str(answer["project"]["name"])


def _cursor(config: Config, about: Mapping[str, Any]) -> str | None:
    reader = cache.reading(config)
    if reader is None:
        return None
    try:
        held = reader.project(about)
    except sqlite3.Error:
        return None
    finally:
        reader.close()
    return held.cursor if held else None


def _pages(
    hub: Hub, about: Mapping[str, Any], cursor: str | None, keep: Keep
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    items: list[dict[str, Any]] = []
    gone: list[str] = []
    whole = False
    for page in range(MOST_PAGES):
        answer = hub.post("sync", {"identity": about, "cursor": cursor})
        if not isinstance(answer.get("parts"), dict):
            raise HubUnreachable("what answers is no hub (it told nothing to take along)")
        if page == 0:
            keep(answer.get("checkpoint"))
        if answer["memories"] is None:
            return answer, items, gone
        if answer["whole"]:
            items, gone, whole = [], [], True
        items += answer["memories"]["items"]
        gone += answer["memories"]["gone"]
        cursor = answer["cursor"]
        if not answer["more"]:
            return {**answer, "whole": whole}, items, gone
    raise HubUnreachable("the hub's answer does not come to an end")


def _taken(
    config: Config,
    about: Mapping[str, Any],
    answer: Mapping[str, Any],
    items: list[dict[str, Any]],
    gone: list[str],
) -> bool:
    """Write it into the cache; one that is full is emptied of other projects first."""
    try:
        with cache.writing(config) as writer:
            complete = writer.take(about, answer, items, gone)
            writer.make_room(about)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_FULL":
            raise
        with cache.writing(config) as writer:
            for held in writer.projects():
                writer.remove(held)
            complete = writer.take(about, answer, items, gone) and bool(answer["whole"])
    return complete
