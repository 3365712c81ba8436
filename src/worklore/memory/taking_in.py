"""What other programs have kept becomes snippets of a project: each once, however often it is imported.

A snippet's id follows from its project, the program and what the program calls it. So what is imported again finds its
snippet: equal, it is left; different, it gets a new version, unless a person has changed it (its digest tells) or it
tells of a later moment; deleted, it stays away. Nobody here vouches for what it says: it is told as what that program
kept, with the least trust there is.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import select

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.crud import load
from worklore.kernel.wire import Clean, UtcTime, WireModel
from worklore.memory import snippet
from worklore.memory.context_tag import MAX_TAG
from worklore.memory.frame import neutral
from worklore.memory.redaction import received
from worklore.memory.snippet import ContextSnippet, SnippetCategory
from worklore.memory.trail.store import digest, edited, forgotten
from worklore.work.project import PROJECTS, Project

MOST: Final = 200
"""Memories of one request."""

TITLE: Final = 200
LONGEST: Final = 100_000
SAID: Final = ("category", "title", "dense_content", "tags")
"""What a snippet says; all else tells where it is from."""


class ImportedMemory(WireModel):
    """What another program has kept."""

    key: Annotated[str, Field(min_length=1, max_length=500), Clean]
    """What the program calls it, the same at each import."""
    source: Annotated[str, Field(min_length=1, max_length=4000), Clean]
    """The file, as its machine calls it."""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$"), Clean]
    """SHA-256 of what it says there: one that stands on the hub already has not changed."""
    title: Annotated[str, Field(min_length=1, max_length=1000), Clean]
    text: Annotated[str, Field(min_length=1, max_length=LONGEST), Clean]
    category: SnippetCategory = SnippetCategory.lesson
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=MAX_TAG), Clean]], Field(max_length=50)] = Field(
        default_factory=list[str]
    )
    happened_at: UtcTime | None = None
    """When it was written there."""


class Batch(WireModel):
    """Memories of one program for one project."""

    project_id: uuid.UUID
    program: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,49}$"), Clean]
    memories: Annotated[list[ImportedMemory], Field(min_length=1, max_length=MOST)]


class TakenIn(WireModel):
    """What became of some memories."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    left: int = 0
    """Left as they are here: a person has changed them, or what is here is of a later time."""
    deleted: int = 0
    """Deleted here before, and so not brought back."""


def take_in(ctx: Context, body: Batch) -> TakenIn:
    """Keep what another program remembered as snippets of a project: each once, a changed one as a new version."""
    project: Project = load(ctx, PROJECTS, body.project_id)
    wanted = {uuid.uuid5(project.id, f"{body.program}\nimported\n{kept.key}"): kept for kept in body.memories}
    gone = forgotten(ctx, list(wanted))
    found = select(ContextSnippet).where(ContextSnippet.id.in_(wanted))
    stored = {each.id: each for each in ctx.session.scalars(found)}
    done = TakenIn()
    for key, kept in wanted.items():
        held = stored.get(key)
        if key in gone:
            done.deleted += 1
        elif held is None:
            held = ContextSnippet(id=key, project_id=project.id, program=body.program, source_key=kept.key)
            _write(ctx, held, kept, project, {})
            done.created += 1
        elif held.source_digest == kept.digest:
            done.unchanged += 1
        elif _is_left(held, kept.happened_at):
            done.left += 1
        else:
            _write(ctx, held, kept, project, {"tags": held.tags})
            done.changed += 1
    return done


def _is_left(held: ContextSnippet, written: datetime | None) -> bool:
    """True for a snippet that a person has changed, and for one that tells of a later moment."""
    if held.happened_at is not None and written is not None and written < held.happened_at:
        return True
    return edited(SAID, {name: getattr(held, name) for name in (*SAID, "captured_digest")})


def _write(
    ctx: Context, held: ContextSnippet, kept: ImportedMemory, project: Project, before: Mapping[str, Any]
) -> None:
    said = [kept.title, kept.text, kept.tags, kept.source]
    title, text, tags, file = received(ctx, said, client_id=project.client_id, session_id=None)
    content = {
        "category": kept.category,
        "title": neutral(title)[:TITLE],
        "dense_content": neutral(text),
        "tags": [tag[:MAX_TAG] for tag in tags] or None,
    }
    for name, value in content.items():
        setattr(held, name, value)
    held.source, held.source_digest, held.happened_at = file, kept.digest, kept.happened_at
    held.captured_digest = digest(content)
    snippet.check(ctx, held, before)
    ctx.session.add(held)
    ctx.session.flush()


TAKE_IN: Final = Action(
    run=take_in, name="take-in", path="context-snippets/take-in", scope="snippet:write", risk=Risk.write
)
