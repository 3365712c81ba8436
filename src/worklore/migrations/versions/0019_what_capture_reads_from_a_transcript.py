"""What capture reads from a transcript: where rows come from, what a command took and reached, and what messages cost"""

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TRACED = (
    "commands_run",
    "file_changes",
    "operation_failures",
    "deployments",
    "decision_logs",
    "pending_tasks",
    "conversation_contexts",
)
NAMES = ("source_uuid", "subagent", "happened_at", "ordinal", "captured_digest")
KEYS = (("commands_run", "infrastructure_id", "infrastructure"), ("pending_tasks", "session_id", "sessions"))
COUNTED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_long_tokens")


def upgrade() -> None:
    for table in TRACED:
        op.add_column(table, sa.Column("source_uuid", types.Line(length=100), nullable=True))
        op.add_column(table, sa.Column("subagent", types.Line(length=100), nullable=True))
        op.add_column(table, sa.Column("happened_at", types.UtcDateTime(), nullable=True))
        op.add_column(table, sa.Column("ordinal", sa.Integer(), nullable=True))
        op.add_column(table, sa.Column("captured_digest", types.Line(length=64), nullable=True))
    op.add_column("commands_run", sa.Column("working_directory", types.Line(length=1000), nullable=True))
    op.add_column("commands_run", sa.Column("duration_ms", sa.BigInteger(), nullable=True))
    op.add_column("transcript_cursors", sa.Column("state", types.Json(), nullable=True))
    for table, name, parent in KEYS:
        add_key(table, name, parent)
        op.create_index(op.f(f"ix_{table}_{name}"), table, [name], unique=False)
    op.create_index(op.f("ix_tombstones_record_id"), "tombstones", ["record_id"], unique=False)
    op.create_table(
        "usage_records",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("model", types.Line(length=100), nullable=False),
        sa.Column("subagent", types.Line(length=100), nullable=True),
        sa.Column("used_at", types.UtcDateTime(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in COUNTED),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_usage_records_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_records")),
    )
    for name in ("session_id", "model", "used_at"):
        op.create_index(op.f(f"ix_usage_records_{name}"), "usage_records", [name], unique=False)


def downgrade() -> None:
    for name in ("used_at", "model"):
        op.drop_index(op.f(f"ix_usage_records_{name}"), table_name="usage_records")
    op.drop_table("usage_records")
    op.drop_index(op.f("ix_tombstones_record_id"), table_name="tombstones")
    for table, name, parent in reversed(KEYS):
        drop_key(table, name, parent)
    op.drop_column("transcript_cursors", "state")
    op.drop_column("commands_run", "duration_ms")
    op.drop_column("commands_run", "working_directory")
    for table in reversed(TRACED):
        for name in reversed(NAMES):
            op.drop_column(table, name)


def add_key(table: str, name: str, parent: str) -> None:
    """A nullable column that names a record of another table."""
    op.add_column(table, sa.Column(name, types.Id(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        remake(table, lambda sql: f"{sql.rstrip().removesuffix(')').rstrip()}, {key_of(table, name, parent)}\n)")
    else:
        op.create_foreign_key(op.f(f"fk_{table}_{name}"), table, parent, [name], ["id"], ondelete="SET NULL")


def drop_key(table: str, name: str, parent: str) -> None:
    """Undo :func:`add_key`."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    if not sqlite:
        op.drop_constraint(op.f(f"fk_{table}_{name}"), table, type_="foreignkey")
    op.drop_index(op.f(f"ix_{table}_{name}"), table_name=table)
    if sqlite:
        remake(table, lambda sql: sql.replace(f", {key_of(table, name, parent)}", ""))
    op.drop_column(table, name)


# --- SQLite adds no foreign key: the table is made anew with its rows, indexes and triggers ---------------------------


def key_of(table: str, name: str, parent: str) -> str:
    return f"CONSTRAINT fk_{table}_{name} FOREIGN KEY({name}) REFERENCES {parent} (id) ON DELETE SET NULL"


def remake(table: str, change: Callable[[str], str]) -> None:
    """Nothing names these tables, so that none loses a row by it."""
    bind = op.get_bind()
    told = bind.execute(sa.text("SELECT type, sql FROM sqlite_master WHERE tbl_name = :name"), {"name": table}).all()
    (made,) = (row.sql for row in told if row.type == "table")
    names = ", ".join(column["name"] for column in sa.inspect(bind).get_columns(table))
    bind.exec_driver_sql(f"CREATE TABLE kept_rows AS SELECT {names} FROM {table}")  # noqa: S608 - names of our own tables
    op.drop_table(table)
    bind.exec_driver_sql(change(made))
    bind.exec_driver_sql(f"INSERT INTO {table} ({names}) SELECT {names} FROM kept_rows")  # noqa: S608 - names of our own tables
    op.drop_table("kept_rows")
    for row in told:
        if row.type != "table" and row.sql:
            bind.exec_driver_sql(row.sql)
