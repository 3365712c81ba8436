"""The history of the schema."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.db import Base
from worklore.kernel.types import Line, utcnow


class SchemaMigration(Base):
    """A revision of the schema that was applied: by whom, when, and with what statements."""

    __tablename__ = "schema_migrations"
    audited = False

    version_id: Mapped[str] = mapped_column(Line(100), primary_key=True)
    description: Mapped[str | None]
    applied_at: Mapped[datetime] = mapped_column(default=utcnow)
    applied_by: Mapped[str | None] = mapped_column(Line(255))
    checksum: Mapped[str | None] = mapped_column(Line(64))
    migration_sql: Mapped[str | None]
