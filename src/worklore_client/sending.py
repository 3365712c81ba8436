"""Sending the operations that wait, in their order, each once: the hub knows every key it has taken.

An operation that the hub refuses stays on this machine as a conflict, with what stands on the hub, and the next one
goes; an answer that did not come, or a hub in trouble, ends the round, so that the order is kept.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from worklore_client import operations
from worklore_client.events import log
from worklore_client.operations import Operation, Spooled
from worklore_client.wire import Hub, HubRefused, HubUnreachable

UNAUTHORISED = 401
_LATER = frozenset({408, 425, 429})
_SERVER_ERROR = 500
_SUCCESS = range(200, 300)
_RUNNING = "still-running"
_LOST_RESULT = "already-done"


@dataclass
class Sent:
    """What came of a round."""

    taken: int = 0
    conflicts: int = 0
    left: int = 0
    folders: list[str] = field(default_factory=list[str])
    """Those of the projects that the operations were about."""


def send(home: Path, hub: Hub, epoch: str | None, progress: Callable[[], None] = lambda: None) -> Sent:
    """Send all that waits. The caller holds the flusher's lock.

    `epoch` is the hub's present life, which is written down with what it has taken. Raises HubUnreachable when no
    answer comes, HubRefused when the hub takes nothing now: what is left waits.
    """
    sent = Sent()
    for path in operations.waiting(home):
        spooled = operations.read(home, path)
        if spooled is None:
            continue
        conflict = _send_one(home, hub, spooled, epoch)
        sent.conflicts += conflict
        sent.taken += not conflict
        if spooled.operation.folder and spooled.operation.folder not in sent.folders:
            sent.folders.append(spooled.operation.folder)
        progress()
    sent.left = len(operations.waiting(home))
    return sent


def _send_one(home: Path, hub: Hub, spooled: Spooled, epoch: str | None) -> bool:
    """Send one operation; True when it became a conflict."""
    operation = spooled.operation
    try:
        place, content = _resolved(home, operation)
    except LookupError as missing:
        outcome = {"code": "made-nothing", "detail": f"what it belongs to was not made ({missing.args[0]})"}
        operations.settled(spooled, outcome, conflict=True)
        return True
    headers = {"Idempotency-Key": operation.key}
    if operation.if_match is not None:
        headers["If-Match"] = f'"{operation.if_match}"'
    if operation.message:
        headers["Change-Message"] = quote(operation.message)
    status, raw = hub.exchange(operation.method, place, content, headers)
    answer = _object(raw)
    if answer is None:
        raise HubUnreachable(f"what answers at {hub.url} is no hub (it said {status} without a word of JSON)")
    if status in _SUCCESS:
        record: dict[str, Any] = {name: answer[name] for name in ("id", "version") if name in answer}
        operations.settled(spooled, {**record, "status": status, "epoch": epoch}, conflict=False)
        return False
    if status == UNAUTHORISED or status in _LATER or status >= _SERVER_ERROR or answer.get("code") == _RUNNING:
        raise HubRefused(status, answer)
    if answer.get("code") == _LOST_RESULT:
        operations.settled(spooled, {"status": status, "epoch": epoch}, conflict=False)
        return False
    log(str(home), "sync", f"conflict-{status}")
    operations.settled(spooled, outcome_of(status, answer), conflict=True)
    return True


def outcome_of(status: int, problem: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a refusal: its code, its reason, and the record as it stands on the hub."""
    told = ("code", "title", "detail", "hint", "field", "current")
    return {"status": status, **{name: problem[name] for name in told if name in problem}}


def _object(raw: bytes) -> dict[str, Any] | None:
    """The answer as an object; {} for none or a list, None for what is no JSON."""
    try:
        parsed: Any = json.loads(raw) if raw else {}
    except ValueError:
        return None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}


def _resolved(home: Path, operation: Operation) -> tuple[str, bytes | None]:
    """Path and body with the ids of what earlier operations made. LookupError with the key of one that has none."""
    content = None if operation.body is None else json.dumps(operation.body, ensure_ascii=False)
    place = operation.path
    for text in (place, content or ""):
        for key in _keys(text):
            made = operations.answer_of(home, key)
            if made is None:
                raise LookupError(key)
            place = place.replace(f"{{op:{key}}}", made)
            content = content.replace(f"{{op:{key}}}", made) if content else content
    return place, None if content is None else content.encode("utf-8", "replace")


def _keys(text: str) -> list[str]:
    return list(dict.fromkeys(part.partition("}")[0] for part in text.split("{op:")[1:]))
