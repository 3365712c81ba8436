"""Numbers whose order is the order of commits, on all three databases.

A number is taken by an UPDATE of one row, which holds its lock until the transaction ends; the next taker waits for
that commit. So whoever sees number ``n`` sees every lower number that will ever exist. Take them last: other takers
wait for your commit.
"""

from sqlalchemy import BigInteger, Connection, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base
from worklore.kernel.types import Line


class Sequence(Base):
    """The last number given out under a name."""

    __tablename__ = "sequences"
    audited = False

    name: Mapped[str] = mapped_column(Line(64), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


def take(ctx: Context, name: str, count: int) -> range:
    """The next ``count`` numbers of a sequence, from 1."""
    return take_on(ctx.session.connection(), name, count)


def take_on(connection: Connection, name: str, count: int) -> range:
    """As :func:`take`, for those who are within a flush."""
    moved = connection.execute(update(Sequence).where(Sequence.name == name).values(value=Sequence.value + count))
    if moved.rowcount == 0:
        connection.execute(insert(Sequence), [{"name": name, "value": count}])
    last = connection.execute(select(Sequence.value).where(Sequence.name == name)).scalar_one()
    return range(last - count + 1, last + 1)


def last(ctx: ReadContext, name: str) -> int:
    """The last number of a sequence that a reader's view holds; 0 before the first."""
    return ctx.session.scalar(select(Sequence.value).where(Sequence.name == name)) or 0
