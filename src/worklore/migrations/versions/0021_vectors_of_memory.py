"""Vectors of memory's windows, which the embedding model makes in the background"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memory_vectors",
        sa.Column("window_id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("model", types.Line(length=64), nullable=False),
        sa.Column("pooled", sa.LargeBinary(), nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["window_id"], ["memory_windows.id"], name=op.f("fk_memory_vectors_window_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_memory_vectors_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("window_id", name=op.f("pk_memory_vectors")),
    )
    op.create_index(op.f("ix_memory_vectors_project_id_seq"), "memory_vectors", ["project_id", "seq"])
    op.create_index(op.f("ix_memory_vectors_model_seq"), "memory_vectors", ["model", "seq"])


def downgrade() -> None:
    op.drop_table("memory_vectors")
