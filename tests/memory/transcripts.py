"""Transcript records and pieces as a client sends them, with content of our own."""

import uuid
from collections.abc import Sequence
from typing import Any

from tests.conftest import unique


def record(
    role: str, text: str, *, minute: int = 0, day: int = 3, key: str | None = None, **more: Any
) -> dict[str, Any]:
    """A record of a transcript as the agent writes it."""
    return {
        "type": role,
        "uuid": key or str(uuid.uuid4()),
        "timestamp": f"2026-03-{day:02}T10:{minute:02}:00.000Z",
        "message": {"role": role, "content": text if role == "user" else [{"type": "text", "text": text}]},
        "gitBranch": "main",
    } | more


def conversation(*texts: str, day: int = 3) -> list[dict[str, Any]]:
    """Records of a user and an assistant who speak in turn."""
    return [record(("user", "assistant")[place % 2], text, minute=place, day=day) for place, text in enumerate(texts)]


def folder(remote: str | None = None) -> dict[str, Any]:
    """What a machine knows of a folder; by default of one that no test has used."""
    name = unique("app")
    return {"remote": remote or f"git@git.example.com:team/{name}.git", "path": f"/home/somebody/{name}", "name": name}


def piece(
    records: Sequence[Any], identity: dict[str, Any], *, start: int = 0, size: int = 1000, **more: Any
) -> dict[str, Any]:
    """A piece of a transcript file as the client posts it."""
    return {
        "agent": "claude-code",
        "session": more.pop("session", unique("session")),
        "source": more.pop("source", "/home/somebody/.claude/projects/app/session.jsonl"),
        "from": start,
        "to": start + size,
        "tail_digest": "0" * 64,
        "records": list(records),
        "identity": identity,
    } | more
