"""The recall index's unit: a short turn or a work record, or a passage of a long one."""

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
    """Who speaks in a window: the two sides of an agent's session, a person among people, or a work record."""

    user = "user"
    assistant = "assistant"
    person = "person"
    record = "record"


class Kind(StrEnum):
    """What a window is of: a turn of a conversation, or a work record."""

    turn = "turn"
    solution = "solution"
    failure = "failure"
    pattern = "pattern"
    insight = "insight"
    decision = "decision"
    work_item = "work-item"
    deployment = "deployment"
    context = "context"
    snippet = "snippet"


class Trust(StrEnum):
    """How far what a window says can be relied on, the least first."""

    untrusted = "untrusted"
    transcript = "transcript"
    stated = "stated"
    confirmed = "confirmed"

    @property
    def level(self) -> int:
        """Its place, 0 for the least trusted."""
        return list(Trust).index(self)


class MemoryWindow(Created, Record):
    """A short turn of a conversation or a work record, or a passage of a long one; the unit that recall finds."""

    __tablename__ = "memory_windows"
    __table_args__ = (
        UniqueConstraint("project_id", "source_uuid", "part"),
        Index(None, "seq", unique=True),
        Index(None, "project_id", "seq"),
        Index(None, "client_id", "seq"),
        Index(None, "session_id", "ordinal"),
        *(
            Index(None, name)
            for name in ("transcript_id", "machine_id", "superseded_by", "record_id", "infrastructure_id")
        ),
    )
    audited = True

    seq: Mapped[int] = mapped_column(BigInteger, doc="Ascends in the order of commits; every change takes a new one.")
    kind: Mapped[Kind] = column(default=Kind.turn)
    record_id: Mapped[uuid.UUID | None] = mapped_column(doc="The work record this tells of; its kind names the table.")
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("machines.id", ondelete="SET NULL"))
    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("infrastructure.id", ondelete="SET NULL"), doc="The asset that a work record is about."
    )
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

    @property
    def is_derived(self) -> bool:
        """True for a work record's."""
        return self.kind is not Kind.turn


WINDOWS = Resource(
    model=MemoryWindow,
    name="memory",
    plural="memory-windows",
    visible=any_of((by_client(MemoryWindow.client_id), through(MemoryWindow.project_id, Project, PROJECTS.visible))),
    filters=(
        MemoryWindow.kind,
        MemoryWindow.record_id,
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
        MemoryWindow.trust,
        MemoryWindow.superseded_by,
        MemoryWindow.infrastructure_id,
    ),
    search=(MemoryWindow.text,),
    columns=(MemoryWindow.said_at, MemoryWindow.author, MemoryWindow.text),
    hidden=(MemoryWindow.tokens,),
    verbs=frozenset({Verb.list, Verb.get, Verb.delete}),
)
