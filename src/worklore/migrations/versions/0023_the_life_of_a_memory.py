"""The life of a memory: superseded, contradicted, corrected, forgotten; and sessions that read from outside"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=50)


def _refers(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE")


def _indexed(table: str, *groups: str) -> None:
    for group in groups:
        columns = group.split(" ")
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns, unique=False)


def upgrade() -> None:
    op.create_table(
        "memory_forgets",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", _choice("forgotten", "item", "transcript", "session", "client"), nullable=False),
        sa.Column("record_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("source_uuid", types.Line(length=100), nullable=True),
        sa.Column("until", types.UtcDateTime(), nullable=False),
        sa.Column("reason", types.Prose(), nullable=False),
        sa.Column("actor", types.Line(length=255), nullable=False),
        sa.Column("counts", types.Json(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        _refers("memory_forgets", "client_id", "clients"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_forgets")),
    )
    _indexed("memory_forgets", "client_id", "session_id", "record_id", "created_at")

    op.create_table(
        "memory_supersessions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("window_id", types.Id(), nullable=False),
        sa.Column("by_id", types.Id(), nullable=False),
        sa.Column("valid_from", types.UtcDateTime(), nullable=False),
        sa.Column("former_valid_to", types.UtcDateTime(), nullable=True),
        sa.Column("former_valid_from", types.UtcDateTime(), nullable=True),
        sa.Column("reason", types.Prose(), nullable=False),
        sa.Column("actor", types.Line(length=255), nullable=False),
        sa.Column("undone_at", types.UtcDateTime(), nullable=True),
        sa.Column("undone_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        _refers("memory_supersessions", "window_id", "memory_windows"),
        _refers("memory_supersessions", "by_id", "memory_windows"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_supersessions")),
    )
    _indexed("memory_supersessions", "window_id", "by_id", "created_at")

    op.create_table(
        "memory_contradictions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("window_id", types.Id(), nullable=False),
        sa.Column("other_id", types.Id(), nullable=False),
        sa.Column("reason", types.Prose(), nullable=False),
        sa.Column("actor", types.Line(length=255), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        _refers("memory_contradictions", "window_id", "memory_windows"),
        _refers("memory_contradictions", "other_id", "memory_windows"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_contradictions")),
        sa.UniqueConstraint("window_id", "other_id", name=op.f("uq_memory_contradictions_window_id_other_id")),
    )
    _indexed("memory_contradictions", "window_id", "other_id")

    op.create_table(
        "memory_corrections",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("window_id", types.Id(), nullable=False),
        sa.Column("former_text", types.Prose(), nullable=False),
        sa.Column("former_trust", types.Line(length=20), nullable=False),
        sa.Column("reason", types.Prose(), nullable=False),
        sa.Column("author", types.Line(length=255), nullable=False),
        sa.Column("undone_at", types.UtcDateTime(), nullable=True),
        sa.Column("undone_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        _refers("memory_corrections", "window_id", "memory_windows"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_corrections")),
    )
    _indexed("memory_corrections", "window_id", "created_at")

    op.create_table(
        "session_taints",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("kind", _choice("taintkind", "web", "search", "mcp", "mail", "stated"), nullable=False),
        sa.Column("tool", types.Line(length=100), nullable=False),
        sa.Column("source_uuid", types.Line(length=100), nullable=True),
        sa.Column("reason", types.Prose(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        _refers("session_taints", "session_id", "sessions"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_taints")),
        sa.UniqueConstraint("session_id", "kind", "tool", name=op.f("uq_session_taints_session_id_kind_tool")),
    )
    _indexed("session_taints", "created_at")

    op.create_table(
        "taint_approvals",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("deed", _choice("deed", "reveal", "use", "share", "cross-client"), nullable=False),
        sa.Column("record_id", types.Id(), nullable=True),
        sa.Column("reason", types.Prose(), nullable=False),
        sa.Column("approved_by", types.Line(length=255), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        _refers("taint_approvals", "session_id", "sessions"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taint_approvals")),
    )
    _indexed("taint_approvals", "session_id expires_at", "record_id", "created_at")

    _indexed("sessions", "tainted_at")


def downgrade() -> None:
    op.drop_index(op.f("ix_sessions_tainted_at"), table_name="sessions")
    op.drop_table("taint_approvals")
    op.drop_table("session_taints")
    op.drop_table("memory_corrections")
    op.drop_table("memory_contradictions")
    op.drop_table("memory_supersessions")
    op.drop_table("memory_forgets")
