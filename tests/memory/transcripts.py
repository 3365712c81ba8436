"""Transcript records and pieces as a client sends them, with content of our own."""

import uuid
from collections.abc import Sequence
from typing import Any

import httpx2

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


def home(api: httpx2.Client) -> dict[str, Any]:
    """A folder whose project is the only one of its client, so that nothing is told there that other tests say."""
    identity = folder()
    found = api.get(f"/projects/{api.post('/projects/identify', json=identity).json()['id']}").json()
    client = api.post("/clients", json={"name": unique("Client"), "type": "msp_client"}).json()
    moved = api.patch(
        f"/projects/{found['id']}", json={"client_id": client["id"]}, headers={"if-match": f'"{found["version"]}"'}
    )
    assert moved.status_code == 200, moved.text
    return identity


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
