"""Sending what other programs have kept: what the hub has of it is asked first, and only what differs is sent.

Each request stands by itself, and a memory's id on the hub follows from what its program calls it. So an import that
was stopped, or lost its hub, is simply run again: it goes on where it was and doubles nothing.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worklore_cli.catalog import noun
from worklore_cli.imports.memory import Found, Unread
from worklore_cli.nouns_hub import Records
from worklore_client.identity import identity

BATCH = 200
BATCH_BYTES = 4 * 1024 * 1024
"""Half of what a body may have."""

SNIPPET = "snippet"
TAKE_IN = "context-snippets/take-in"


@dataclass(frozen=True)
class Project:
    """Where memories go. `id` is empty while a dry run speaks of a project that is yet to be made."""

    id: str
    name: str


@dataclass
class Counts:
    """Memories by what became of them, or would: the hub's own words."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    left: int = 0
    deleted: int = 0
    empty: int = 0
    gone: int = 0
    unread: list[Unread] = field(default_factory=list[Unread])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "unread": [{"what": each.what, "why": each.why} for each in self.unread]}

    def line(self, *, dry_run: bool) -> str:
        """For people."""
        would = "would be " if dry_run else ""
        parts = [f"{self.created} {would}new", f"{self.changed} {would}changed", f"{self.unchanged} unchanged"]
        rest = {
            "left as people have changed them, or newer here": self.left,
            "deleted here, and not brought back": self.deleted,
            "without words": self.empty,
            "gone there and kept here": self.gone,
            "not read": len(self.unread),
        }
        return ", ".join([*parts, *(f"{count} {what}" for what, count in rest.items() if count)])


def find_project(hub: Records, home: Path, *, wanted: str | None, folder: str, dry_run: bool) -> Project:
    """The project that is named, else that of a folder, which is made unless this is a dry run."""
    if wanted is not None:
        found = hub.get(f"projects/{hub.find(noun('project'), wanted)}")
        return Project(found["id"], found["name"])
    about = identity(folder, home / "roots.json")
    told = hub.write("POST", "projects/identify", about, dry_run=dry_run).body
    return Project("" if dry_run and told["created"] else told["id"], told["name"])


@dataclass
class Sending:
    """The memories of one program on their way into one project.

    `covers` says of a memory that the hub has, by its key and its file, whether it would be among what is read now:
    what the other machines of a project have imported is not gone because it is not here.
    """

    hub: Records
    program: str
    project: Project
    covers: Callable[[str, str], bool]
    dry_run: bool
    counts: Counts = field(default_factory=Counts)

    def run(self, found: Iterable[Found], progress: Callable[[], None] = lambda: None) -> Counts:
        """Send what differs. `counts` holds at any moment what has become of those that were read."""
        held = self._held()
        seen: set[str] = set()
        waiting: list[dict[str, Any]] = []
        size = 0
        for each in found:
            progress()
            if isinstance(each, Unread):
                self.counts.unread.append(each)
                seen.add(each.key)
                continue
            body = each.outgoing()
            if body is None:
                self.counts.empty += 1
                continue
            seen.add(body["key"])
            if held.get(body["key"], ("", ""))[0] == body["digest"]:
                self.counts.unchanged += 1
                continue
            length = len(json.dumps(body, ensure_ascii=False).encode())
            if waiting and (len(waiting) == BATCH or size + length > BATCH_BYTES):
                self._send(waiting, held)
                waiting, size = [], 0
            waiting.append(body)
            size += length
        if waiting:
            self._send(waiting, held)
        self.counts.gone = sum(key not in seen and self.covers(key, source) for key, (_, source) in held.items())
        return self.counts

    def _held(self) -> dict[str, tuple[str, str]]:
        """Digest and file of what the hub has of this program in this project, by key."""
        if not self.project.id:
            return {}
        asked = {"project_id": self.project.id, "program": self.program, "fields": "source_key,source_digest,source"}
        pages = self.hub.pages(noun(SNIPPET), asked, None)
        return {
            each["source_key"]: (each["source_digest"], each["source"] or "") for items, _ in pages for each in items
        }

    def _send(self, memories: list[dict[str, Any]], held: dict[str, tuple[str, str]]) -> None:
        if self.dry_run:
            changed = sum(each["key"] in held for each in memories)
            self.counts.changed += changed
            self.counts.created += len(memories) - changed
            return
        body = {"project_id": self.project.id, "program": self.program, "memories": memories}
        told = self.hub.write("POST", TAKE_IN, body).body
        for name in ("created", "changed", "unchanged", "left", "deleted"):
            setattr(self.counts, name, getattr(self.counts, name) + told[name])
