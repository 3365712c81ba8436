"""The lives of an installation"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "restore_epochs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("began_at", types.UtcDateTime(), nullable=False),
        sa.Column("backup_sha256", types.Line(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restore_epochs")),
        sa.UniqueConstraint("number", name=op.f("uq_restore_epochs_number")),
    )


def downgrade() -> None:
    op.drop_table("restore_epochs")
