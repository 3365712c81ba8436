"""The recall index's unit: a short turn, or a passage of a long one."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import Line, column
from worklore.work.project import PROJECTS, Project

SEQUENCE = "memory_windows"


class Role(StrEnum):
    """Who speaks in a window: the two sides of an agent's session, or a person among people."""

    user = "user"
    assistant = "assistant"
    person = "person"


class MemoryWindow(Created, Record):
    """A short turn of a conversation, or a passage of a long one, as it was said; the unit that recall finds."""

    __tablename__ = "memory_windows"
    __table_args__ = (
        UniqueConstraint("project_id", "source_uuid", "part"),
        Index(None, "seq", unique=True),
        Index(None, "project_id", "seq"),
        Index(None, "session_id", "ordinal"),
        Index(None, "client_id"),
        *(Index(None, name) for name in ("transcript_id", "machine_id", "superseded_by")),
    )
    audited = True

    seq: Mapped[int] = mapped_column(BigInteger, doc="Ascends in the order of commits; every change takes a new one.")
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("machines.id", ondelete="SET NULL"))
    transcript_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("transcripts.id", ondelete="SET NULL"))
    source_uuid: Mapped[str] = mapped_column(Line(100), doc="The record of the source this was said in.")
    ordinal: Mapped[int] = mapped_column(doc="Place of the turn within its session.")
    part: Mapped[int] = column(default=0)
    parts: Mapped[int] = column(default=1)
    role: Mapped[Role]
    author: Mapped[str] = mapped_column(Line(255))
    said_at: Mapped[datetime]
    text: Mapped[str]
    tokens: Mapped[str] = mapped_column(doc="The text's terms as the index holds them, joined by spaces.")
    token_count: Mapped[int]
    git_branch: Mapped[str | None] = mapped_column(Line(255))
    valid_from: Mapped[datetime | None]
    valid_to: Mapped[datetime | None]
    superseded_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("memory_windows.id", ondelete="SET NULL"))
    trust: Mapped[str] = mapped_column(Line(20), default="transcript", server_default="transcript")


WINDOWS = Resource(
    model=MemoryWindow,
    name="memory",
    plural="memory-windows",
    visible=any_of((by_client(MemoryWindow.client_id), through(MemoryWindow.project_id, Project, PROJECTS.visible))),
    filters=(
        MemoryWindow.session_id,
        MemoryWindow.project_id,
        MemoryWindow.client_id,
        MemoryWindow.machine_id,
        MemoryWindow.role,
        MemoryWindow.author,
        MemoryWindow.said_at,
        MemoryWindow.source_uuid,
        MemoryWindow.ordinal,
        MemoryWindow.part,
        MemoryWindow.seq,
    ),
    search=(MemoryWindow.text,),
    columns=(MemoryWindow.said_at, MemoryWindow.author, MemoryWindow.text),
    hidden=(MemoryWindow.tokens,),
    verbs=frozenset({Verb.list, Verb.get, Verb.delete}),
)
