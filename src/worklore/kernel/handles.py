"""Short names of records, for those who pay by the word.

An agent pays 18 tokens for a UUID and 5 for a handle such as ``wi-a3f8``.
"""

import uuid
from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.db import Base
from worklore.kernel.types import Line, utcnow


class Handle(Base):
    """A short name of a record; it is given once and never to another record."""

    __tablename__ = "handles"
    audited = False

    handle: Mapped[str] = mapped_column(Line(32), primary_key=True)
    table_name: Mapped[str] = mapped_column(Line(64))
    record_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
