"""What memory derives from its texts, made anew: index terms, windows of work records, vectors.

Each hub process reads its index from these columns; whatever changes takes a new number, so every one of them learns of
it before its next answer. A run can be stopped anywhere: what is right already is left as it is, and one that is told
where the last one was goes on there.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import delete, func, select, update

from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.sequence import take
from worklore.kernel.transaction import Database
from worklore.memory import tokens
from worklore.memory.remembered import index_records
from worklore.memory.units import unit_terms
from worklore.memory.vector import DERIVED_DATA, MemoryVector, embed_memory
from worklore.memory.window import SEQUENCE, MemoryWindow, Role

BATCH: Final = 500

Tell = Callable[[int, int, str], None]


@dataclass(slots=True)
class Reindexed:
    """How many windows were looked at and changed, and the last one, from which another run can go on."""

    looked_at: int = 0
    changed: int = 0
    last: uuid.UUID | None = None


def reindex(
    database: Database,
    *,
    after: uuid.UUID | None = None,
    vectors: bool = False,
    tell: Tell = lambda _, __, ___: None,
    done: Reindexed | None = None,
) -> Reindexed:
    """Make anew what is derived.

    Args:
        database: the hub's.
        after: go on behind this window, which another run has named.
        vectors: make all vectors anew too, by the model there is; they are made in the order of the windows' numbers.
        tell: hears how many windows are done, of how many, and what is at work.
        done: counts along, for whoever may be interrupted.
    """
    done = done or Reindexed()
    done.last = after
    with database.read(SYSTEM) as ctx:
        total = ctx.session.scalar(select(func.count()).select_from(MemoryWindow)) or 0
    while True:
        with database.read(SYSTEM) as ctx:
            rows = _batch(ctx, done.last)
        if not rows:
            break
        wrong = {row.id: values for row in rows if (values := _derived(row)) is not None}
        if wrong:
            done.changed += database.write(partial(_mend, wrong=wrong))
        done.looked_at += len(rows)
        done.last = rows[-1].id
        tell(min(done.looked_at, total), total, "terms")
    index_records(database, {})
    if vectors:
        database.write(_drop_vectors)
        tell(total, total, "vectors")
        embed_memory(database, {})
    return done


def _batch(ctx: ReadContext, after: uuid.UUID | None) -> Sequence[Any]:
    columns = (
        MemoryWindow.id,
        MemoryWindow.text,
        MemoryWindow.author,
        MemoryWindow.role,
        MemoryWindow.tokens,
        MemoryWindow.token_count,
    )
    wanted = select(*columns).order_by(MemoryWindow.id).limit(BATCH)
    return ctx.session.execute(wanted if after is None else wanted.where(MemoryWindow.id > after)).all()


def _derived(row: Any) -> dict[str, Any] | None:
    """What the window's terms must be, where they are not."""
    role = "" if row.role is Role.person else row.role.value
    terms = " ".join(unit_terms(row.text, author=row.author, role=role))
    size = tokens.count(row.text)
    return None if (terms, size) == (row.tokens, row.token_count) else {"tokens": terms, "token_count": size}


def _mend(ctx: Context, wrong: dict[uuid.UUID, dict[str, Any]]) -> int:
    for (key, values), seq in zip(wrong.items(), take(ctx, SEQUENCE, len(wrong)), strict=True):
        made = update(MemoryWindow).where(MemoryWindow.id == key).values(seq=seq, **values)
        ctx.session.execute(unaudited(made, DERIVED_DATA).execution_options(synchronize_session=False))
    return len(wrong)


def _drop_vectors(ctx: Context) -> None:
    dropped = unaudited(delete(MemoryVector), DERIVED_DATA)
    ctx.session.execute(dropped.execution_options(synchronize_session=False))
