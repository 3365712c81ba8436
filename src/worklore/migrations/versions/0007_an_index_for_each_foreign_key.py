"""An index for each foreign key, so that a deletion finds what hangs from a row without reading the whole table"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = (
    ("archived_work_items", "approved_by_session"),
    ("memory_windows", "machine_id"),
    ("memory_windows", "superseded_by"),
    ("pending_tasks", "work_item_id"),
    ("security_incidents", "infrastructure_id"),
    ("security_incidents", "service_id"),
    ("setup_codes", "user_id"),
    ("work_items", "approved_by_session"),
)


def upgrade() -> None:
    for table, column in COLUMNS:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
        if op.get_bind().dialect.name == "mariadb":
            # MariaDB made an index of its own for the key, and keeps it if a downgrade has made it by name.
            op.execute(f"DROP INDEX IF EXISTS fk_{table}_{column} ON {table}")


def downgrade() -> None:
    for table, column in reversed(COLUMNS):
        if op.get_bind().dialect.name == "mariadb":
            # It refuses to drop the only index that a key has.
            op.create_index(op.f(f"fk_{table}_{column}"), table, [column])
        op.drop_index(op.f(f"ix_{table}_{column}"), table_name=table)
