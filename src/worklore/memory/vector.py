"""The vectors of memory's windows, made in the background: capture never waits for the model.

One job of all hub nodes reads windows in the order of their numbers and stores what the model makes of each, so the
last number it has done says where to go on, after a restart as after a change of the model.
"""

import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, delete, func, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base
from worklore.kernel.jobs import may_end
from worklore.kernel.transaction import Database
from worklore.kernel.types import Line
from worklore.memory.embed import DIMENSIONS, MODEL, Embedding, ModelUnavailableError, TokenVectors, Vector, embedder
from worklore.memory.window import MemoryWindow, Role

JOB: Final = "embed-memory"
JOB_SECONDS: Final = 5
BATCH: Final = 64

DERIVED_DATA: Final = "made from the windows, and made again at will"


class MemoryVector(Base):
    """What the model makes of a window: 16-bit floats of the whole, 8-bit integers of each token."""

    __tablename__ = "memory_vectors"
    __table_args__ = (Index(None, "model", "seq"),)
    audited = False
    derived = True

    window_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("memory_windows.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, doc="The window's, when this was made from it.")
    model: Mapped[str] = mapped_column(Line(64))
    pooled: Mapped[bytes] = mapped_column(LargeBinary)
    tokens: Mapped[bytes] = mapped_column(LargeBinary)


def pooled_of(stored: bytes) -> Vector | None:
    """The vector of a whole window as it is stored; None for one of another size than the model makes."""
    vector = np.frombuffer(stored, np.float16) if len(stored) == 2 * DIMENSIONS else None
    return None if vector is None else vector.astype(np.float32)


def tokens_of(stored: bytes) -> TokenVectors:
    """The vectors of a window's tokens as they are stored; none of those of another size."""
    whole = stored if len(stored) % DIMENSIONS == 0 else b""
    return np.frombuffer(whole, np.int8).reshape(-1, DIMENSIONS)


def said(text: str, *, author: str, role: str) -> str:
    """What of a unit the model reads: its text, after its author's name where people talk to each other."""
    return text if role else f"{author}: {text}"


def embed_memory(database: Database, _: Mapping[str, Any]) -> None:
    """Make the vectors of all windows that have none of this model. Does nothing where there is no model."""
    model = embedder()
    if isinstance(model, ModelUnavailableError):
        return
    while True:
        with database.read(SYSTEM) as ctx:
            rows = _waiting(ctx)
        if not rows:
            return
        texts = [said(row.text, author=row.author, role="" if row.role is Role.person else row.role) for row in rows]
        database.write(partial(store_vectors, rows=rows, made=model.embed(texts)))
        may_end()


def done(ctx: ReadContext) -> int:
    """The number of the last window that has vectors of the present model."""
    return ctx.session.scalar(select(func.max(MemoryVector.seq)).where(MemoryVector.model == MODEL)) or 0


def _waiting(ctx: ReadContext) -> Sequence[Any]:
    columns = (
        MemoryWindow.id,
        MemoryWindow.seq,
        MemoryWindow.author,
        MemoryWindow.role,
        MemoryWindow.text,
    )
    newer = select(*columns).where(MemoryWindow.seq > done(ctx)).order_by(MemoryWindow.seq).limit(BATCH)
    return ctx.session.execute(newer).all()


def store_vectors(ctx: Context, rows: Sequence[Any], made: Sequence[Embedding]) -> None:
    """Keep the vectors of windows, but of those that have changed or gone since they were read."""
    keys = [row.id for row in rows]
    same = {row.id: row.seq for row in ctx.session.execute(
        select(MemoryWindow.id, MemoryWindow.seq).where(MemoryWindow.id.in_(keys))
    )}  # fmt: skip
    kept = [
        {
            "window_id": row.id,
            "seq": row.seq,
            "model": MODEL,
            "pooled": vectors.pooled.astype(np.float16).tobytes(),
            "tokens": vectors.tokens.tobytes(),
        }
        for row, vectors in zip(rows, made, strict=True)
        if same.get(row.id) == row.seq
    ]
    former = delete(MemoryVector).where(MemoryVector.window_id.in_(keys))
    ctx.session.execute(unaudited(former, DERIVED_DATA).execution_options(synchronize_session=False))
    if kept:
        ctx.session.connection().execute(insert(MemoryVector), kept)
