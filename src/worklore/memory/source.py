"""Where memory comes from: transcript files, and how far each has been read."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.db import Base, Record, Stamped
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, column, utcnow
from worklore.work.project import PROJECTS, Project


class Transcript(Stamped, Record):
    """A transcript file of an agent on a machine, and the session it records."""

    __tablename__ = "transcripts"
    __table_args__ = (
        UniqueConstraint("agent_client", "source_digest"),
        *(Index(None, name) for name in ("session_id", "project_id", "client_id", "machine_id")),
    )

    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("machines.id", ondelete="SET NULL"))
    agent_client: Mapped[str] = mapped_column(Line(100))
    external_key: Mapped[str] = mapped_column(Line(200), doc="The agent's own id of the session.")
    source: Mapped[str] = mapped_column(doc="The file's path on its machine.")
    source_digest: Mapped[str] = mapped_column(Line(64), doc="SHA-256 of machine, session and path: what is unique.")


class TranscriptCursor(Base):
    """How far a transcript has been read. It moves in the transaction of the rows that reading made."""

    __tablename__ = "transcript_cursors"
    audited = False

    transcript_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("transcripts.id", ondelete="CASCADE"), primary_key=True)
    byte_offset: Mapped[int] = mapped_column(BigInteger, default=0)
    tail_digest: Mapped[str | None] = mapped_column(Line(64))
    last_uuid: Mapped[str | None] = mapped_column(Line(100))
    next_ordinal: Mapped[int] = column(default=0)
    records: Mapped[int] = column(default=0)
    malformed: Mapped[int] = column(default=0)
    skipped: Mapped[int] = column(default=0)
    state: Mapped[dict[str, Any] | None] = mapped_column(
        doc="What the reader of the records that follow must know: calls that have no result yet, open lists."
    )
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


TRANSCRIPTS = Resource(
    model=Transcript,
    name="transcript",
    plural="transcripts",
    visible=any_of((by_client(Transcript.client_id), through(Transcript.project_id, Project, PROJECTS.visible))),
    filters=(
        Transcript.session_id,
        Transcript.project_id,
        Transcript.machine_id,
        Transcript.agent_client,
        Transcript.external_key,
    ),
    columns=(Transcript.agent_client, Transcript.external_key, Transcript.source),
    verbs=READ_ONLY,
)
