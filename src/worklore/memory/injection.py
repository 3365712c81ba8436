"""What was told to which session, so that nothing is told twice."""

import uuid
from collections.abc import Mapping

from sqlalchemy import ForeignKey, Index, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import through
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base, Created
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, uuid7
from worklore.work.session import SESSIONS, WorkSession


class Injection(Created, Base):
    """A turn that was put before an agent: when, why and at what cost."""

    __tablename__ = "injections"
    __table_args__ = (Index(None, "session_id"),)
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(Line(50))
    source_uuid: Mapped[str] = mapped_column(Line(100), doc="The turn that was shown.")
    why: Mapped[str] = mapped_column(Line(200))
    tokens: Mapped[int] = mapped_column(doc="Tokens of the whole text the turn was part of.")
    useful: Mapped[bool | None] = mapped_column(doc="What the agent or a person said of it.")
    used: Mapped[bool | None] = mapped_column(doc="Its rare words came up in what the session said afterwards.")


INJECTIONS = Resource(
    model=Injection,
    name="injection",
    plural="injections",
    visible=through(Injection.session_id, WorkSession, SESSIONS.visible),
    filters=(
        Injection.session_id,
        Injection.event,
        Injection.source_uuid,
        Injection.useful,
        Injection.used,
        Injection.created_at,
    ),
    columns=(Injection.event, Injection.source_uuid, Injection.why, Injection.tokens, Injection.used, Injection.useful),
    verbs=READ_ONLY,
)


def told(ctx: ReadContext, session_id: uuid.UUID) -> set[str]:
    """The turns a session has been shown."""
    return set(ctx.session.scalars(select(Injection.source_uuid).where(Injection.session_id == session_id)))


def note(ctx: Context, session_id: uuid.UUID, event: str, turns: Mapping[str, str], tokens: int) -> None:
    """Write down what a session was shown: turn to reason."""
    shared = {"session_id": session_id, "event": event, "tokens": tokens, "created_at": ctx.now()}
    rows = [shared | {"id": uuid7(), "source_uuid": turn, "why": why[:200]} for turn, why in turns.items()]
    if rows:
        ctx.session.connection().execute(insert(Injection), rows)
