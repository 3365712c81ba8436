"""What a hub's database user needs where another owns the tables: to add to the audit, and never to change it."""

from collections.abc import Iterable, Iterator
from typing import Final

ALL: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
ADDED_TO: Final = ("SELECT", "INSERT")
EXPIRES: Final = ("SELECT", "INSERT", "DELETE")
READ: Final = ("SELECT",)

RIGHTS: Final = {
    "audit_log": ADDED_TO,
    "audit_cuts": ADDED_TO,
    "credential_audit_log": ADDED_TO,
    "audit_checkpoints": EXPIRES,
    "api_audit_log": EXPIRES,
    "tombstones": EXPIRES,
    "alembic_version": READ,
}
"""Tables of which the hub needs less than all; the owner upgrades the schema, and prunes the audit."""


def statements(dialect: str, tables: Iterable[str], user: str) -> Iterator[str]:
    """The statements that give a user what a hub needs, ``user`` as the database quotes it.

    MariaDB cannot take a table out of a right on the whole database, so that each table is named.
    """
    if dialect == "postgresql":
        yield f"GRANT USAGE ON SCHEMA public TO {user}"
    for table in sorted(tables):
        yield f"GRANT {', '.join(RIGHTS.get(table, ALL))} ON {table} TO {user}"
