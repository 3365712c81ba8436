#!/usr/bin/env python
"""Writes a new migration: what the mapped classes have and a database at the newest revision lacks.

Usage: scripts/revision.py MESSAGE, with the Python of the environment; `make migration` calls it. The comparison runs
on a temporary SQLite file. A person reads and corrects what it wrote: it sees no renames and no data.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from alembic import command

from worklore.kernel.transaction import Database
from worklore.ops import migrate, schema_change


def keep_only_changes(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Alembic's hook: an empty list of directives writes no file."""
    if directives[0].upgrade_ops.is_empty():
        directives.clear()


def main() -> str:
    """Write the revision; what there is to say about it."""
    message = " ".join(sys.argv[1:]).strip()
    if not message:
        sys.exit(__doc__)
    number = max(int(revision) for revision in schema_change.revisions()) + 1
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'schema.db'}")
        try:
            migrate.upgrade(database)
            with database.writing.connect() as connection:
                made = command.revision(
                    schema_change.alembic_config(connection),
                    message=message,
                    autogenerate=True,
                    rev_id=f"{number:04}",
                    process_revision_directives=keep_only_changes,
                )
        finally:
            database.close()
    if not made:
        return "The newest revision has everything the classes have; nothing was written.\n"
    return "Read it and correct it, try it up and down (make test), then commit it with the code.\n"


if __name__ == "__main__":
    sys.stdout.write(main())
