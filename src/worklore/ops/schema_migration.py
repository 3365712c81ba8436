"""The history of the schema."""

import getpass
import hashlib
import os
import socket
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, cast

from alembic.script import Script
from sqlalchemy import Connection, Table, delete, insert, inspect, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.db import Base
from worklore.kernel.types import Line, utcnow

TABLE: Final = "schema_migrations"


class SchemaMigration(Base):
    """A revision of the schema that was applied: by whom, when, and with what statements."""

    __tablename__ = TABLE
    audited = False

    version_id: Mapped[str] = mapped_column(Line(100), primary_key=True)
    description: Mapped[str | None]
    applied_at: Mapped[datetime] = mapped_column(default=utcnow)
    applied_by: Mapped[str | None] = mapped_column(Line(255))
    checksum: Mapped[str | None] = mapped_column(Line(64))
    migration_sql: Mapped[str | None]


def checksum(revision: Script) -> str:
    """The SHA-256 of a revision's file."""
    return hashlib.sha256(Path(revision.path).read_bytes()).hexdigest()


def note(connection: Connection, applied: Iterable[Script], statements: Sequence[str]) -> None:
    """Make the history agree with the revisions that are applied, the newest first; it got there by ``statements``.

    The table is one of the schema's own: revisions that came before it are noted when it appears, without their
    statements, and nothing is noted where it is gone.
    """
    if not inspect(connection).has_table(TABLE):
        return
    revisions = list(applied)
    # The bare table: the statements of a mapped class would set up every mapper there is.
    history = cast("Table", SchemaMigration.__table__)
    known = set(connection.scalars(select(history.c.version_id)))
    gone = known - {revision.revision for revision in revisions}
    if gone:
        connection.execute(delete(history).where(history.c.version_id.in_(gone)))
    for place, revision in enumerate(revisions):
        if revision.revision not in known:
            values = {
                "version_id": revision.revision,
                "description": revision.doc,
                "applied_at": utcnow(),
                "applied_by": _who(),
                "checksum": checksum(revision),
                "migration_sql": ";\n".join(statements) if place == 0 else None,
            }
            connection.execute(insert(history).values(values))


def edited(connection: Connection, revisions: Iterable[Script]) -> list[str]:
    """The applied revisions whose files are no longer those that were applied."""
    if not inspect(connection).has_table(TABLE):
        return []
    history = cast("Table", SchemaMigration.__table__)
    rows = connection.execute(select(history.c.version_id, history.c.checksum))
    applied = {row.version_id: row.checksum for row in rows}
    return sorted(
        revision.revision for revision in revisions if applied.get(revision.revision) not in {None, checksum(revision)}
    )


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
