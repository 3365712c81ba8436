"""Snippets that another program kept before: where from, what they are called there, when they were written"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLE = "context_snippets"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("program", types.Line(length=50), nullable=True))
    op.add_column(TABLE, sa.Column("source", types.Prose(), nullable=True))
    op.add_column(TABLE, sa.Column("source_key", types.Line(length=500), nullable=True))
    op.add_column(TABLE, sa.Column("source_digest", types.Line(length=64), nullable=True))
    op.add_column(TABLE, sa.Column("happened_at", types.UtcDateTime(), nullable=True))
    op.add_column(TABLE, sa.Column("captured_digest", types.Line(length=64), nullable=True))
    op.create_index(op.f("ix_context_snippets_project_id_program"), TABLE, ["project_id", "program"])
    op.drop_index(op.f("ix_context_snippets_project_id"), TABLE)


def downgrade() -> None:
    op.create_index(op.f("ix_context_snippets_project_id"), TABLE, ["project_id"])
    op.drop_index(op.f("ix_context_snippets_project_id_program"), TABLE)
    for name in ("captured_digest", "happened_at", "source_digest", "source_key", "source", "program"):
        op.drop_column(TABLE, name)
