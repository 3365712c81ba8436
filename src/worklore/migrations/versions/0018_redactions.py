"""How many secrets were taken out, and how far old rows were swept"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "redactions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("stage", types.Line(length=20), nullable=False),
        sa.Column("rule", types.Line(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("rules_version", types.Line(length=64), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redactions")),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_redactions_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_redactions_session_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_redactions_session_id"), "redactions", ["session_id"], unique=False)
    op.create_index(op.f("ix_redactions_client_id"), "redactions", ["client_id"], unique=False)
    op.create_index(op.f("ix_redactions_rule_created_at"), "redactions", ["rule", "created_at"], unique=False)
    op.create_table(
        "redaction_sweeps",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("rules_version", types.Line(length=64), nullable=False),
        sa.Column("table_name", types.Line(length=64), nullable=False),
        sa.Column("last_id", types.Id(), nullable=True),
        sa.Column("looked_at", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("changed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redaction_sweeps")),
        sa.UniqueConstraint("rules_version", "table_name", name=op.f("uq_redaction_sweeps_rules_version_table_name")),
    )
    op.create_index(op.f("ix_redaction_sweeps_created_at"), "redaction_sweeps", ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("redaction_sweeps")
    op.drop_table("redactions")
