"""Taking secrets out of what memory stores and tells: the vault's own, and what the rules find.

Capture passes :func:`received` before anything else is made of what came; what goes out passes :func:`told`, since it
may have been stored by older rules; a question passes :func:`asked`. How many of which kind were found is kept, and
nothing of what they were.
"""

import re
import uuid
from collections import Counter
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, insert
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import by_client
from worklore.kernel.audit import record_event
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base, Created
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, uuid7
from worklore.vault.credential import Credential
from worklore.vault.known import KnownSecrets, known_secrets
from worklore_redact import engine
from worklore_redact.engine import MARK, State
from worklore_redact.rules import rules
from worklore_redact.values import redact_json

VAULT_SECRET: Final = "vault-secret"  # noqa: S105 - the name of a mark
REFRESHED: Final = "known-secrets-refreshed"
"""Where a unit of work notes that it has brought the vault's secrets up to date."""

KEPT_TEXTS: Final = 4_096
"""Texts on their way out whose judgement is remembered: windows are told again and again."""


class Redaction(Created, Base):
    """How many secrets of one kind were taken out at one occasion."""

    __tablename__ = "redactions"
    __table_args__ = (Index(None, "session_id"), Index(None, "client_id"), Index(None, "rule", "created_at"))
    audited = False
    derived = True

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    stage: Mapped[str] = mapped_column(Line(20), doc="client, capture or sweep: where it was found.")
    rule: Mapped[str] = mapped_column(Line(64), doc="The name in the mark that stands in its place.")
    count: Mapped[int]
    rules_version: Mapped[str] = mapped_column(Line(64), doc="The rules of the hub that counted.")


REDACTIONS = Resource(
    model=Redaction,
    name="redaction",
    plural="redactions",
    visible=by_client(Redaction.client_id),
    filters=(Redaction.client_id, Redaction.session_id, Redaction.stage, Redaction.rule, Redaction.rules_version),
    columns=(Redaction.stage, Redaction.rule, Redaction.count, Redaction.session_id),
    by=(("session", Redaction.session_id),),
    verbs=READ_ONLY,
)


def received(
    ctx: Context, records: list[Any], *, client_id: uuid.UUID | None, session_id: uuid.UUID | None
) -> list[Any]:
    """The records of a piece without secrets; how many were found here, and before they came here, is noted."""
    sent = Counter[str]()
    _count_marks(records, sent)
    found = Counter[str]()
    clean: list[Any] = without_secrets(ctx, records, found)
    note(ctx, "client", sent, client_id=client_id, session_id=session_id)
    note(ctx, "capture", found, client_id=client_id, session_id=session_id)
    return clean


def without_secrets(ctx: Context, value: Any, found: Counter[str]) -> Any:
    """A text or JSON value without the vault's secrets and what the rules find; ``found`` is added to."""
    known = _up_to_date(ctx)
    if known is None:
        return redact_json(value, found)

    stand_in, clean = engine.mark(VAULT_SECRET), known.clean

    def each(text: str) -> engine.Redaction:
        rest, count = known.take_out(text, stand_in)
        done = engine.redact(rest)
        if not count:
            if not done.found:
                engine.remember(clean, text)
            return done
        state = State.quarantined if done.state is State.quarantined else State.redacted
        return engine.Redaction(done.text, state, {**done.found, VAULT_SECRET: count})

    return redact_json(value, found, each, clean)


def _up_to_date(ctx: Context) -> KnownSecrets | None:
    """The vault's secrets as they are when a unit of work first asks: it may store hundreds of texts."""
    known = known_secrets(ctx)
    if known is not None and not ctx.info.get(REFRESHED):
        ctx.info[REFRESHED] = True
        opened = known.refresh(ctx)
        if opened:
            record_event(ctx, "match", Credential.__tablename__, None, {"opened": opened, "purpose": "redaction"})
    return known


def note(
    ctx: Context, stage: str, found: Counter[str], *, client_id: uuid.UUID | None, session_id: uuid.UUID | None
) -> None:
    """Write down how many secrets were found, by rule."""
    if not found:
        return
    shared = {"client_id": client_id, "session_id": session_id, "stage": stage, "created_at": ctx.now()}
    shared["rules_version"] = version()
    rows = [shared | {"id": uuid7(), "rule": rule, "count": count} for rule, count in sorted(found.items())]
    ctx.session.connection().execute(insert(Redaction), rows)
    if stage == "capture":
        record_event(ctx, "redact", "sessions", session_id, {"stage": stage, "found": dict(sorted(found.items()))})


def version() -> str:
    """Which rules this hub has."""
    return rules().version


def _count_marks(value: Any, sent: Counter[str]) -> None:
    """The marks in what a client has sent: it has taken out what it found before it sent anything."""
    if isinstance(value, str):
        if "[redacted:" in value or "[quarantined:" in value:
            sent.update(re.split("[:\\]]", found)[1] for found in MARK.findall(value))
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType] - JSON
            _count_marks(item, sent)
    elif isinstance(value, dict):
        for item in value.values():  # pyright: ignore[reportUnknownVariableType] - JSON
            _count_marks(item, sent)


@lru_cache(KEPT_TEXTS)
def told(text: str) -> str:
    """A text as it may be told: the rules of today applied to what the rules of its day have left."""
    return engine.redact(text).text


def asked(ctx: ReadContext, question: str) -> str:
    """A question without secrets: neither searched for nor logged. What stood there leaves a gap."""
    known = known_secrets(ctx)
    clean = question if known is None else known.take_out(question, " ")[0]
    return MARK.sub(" ", engine.redact(clean).text)
