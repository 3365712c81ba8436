"""What witnesses the audit: batches of requests, cuts of chains, and what may never be changed"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types
from worklore.migrations.guards import (
    create_append_only,
    create_written_once,
    drop_append_only,
    drop_written_once,
    micros_older_than,
    older_than,
)

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

LOGS = ("audit_log", "credential_audit_log")
"""They took no deletion at all."""

WAS_CUT = "EXISTS (SELECT 1 FROM audit_cuts c WHERE c.chain = OLD.chain AND c.seq >= OLD.seq)"
HAS_NO_WITNESS = "OLD.row_hmac IS NOT NULL AND NOT EXISTS (SELECT 1 FROM audit_log a WHERE a.record_id = OLD.id)"
DAY = 23
"""Hours; the settings keep what expires for a day or more, by a clock that may differ a little."""
MONTH = 29 * 24


def upgrade() -> None:
    op.create_table(
        "audit_cuts",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("chain", types.Line(length=100), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("mac", types.Line(length=64), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("export_sha256", types.Line(length=64), nullable=False),
        sa.Column("key_id", types.Line(length=64), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_cuts")),
    )
    op.create_index(op.f("ix_audit_cuts_chain_seq"), "audit_cuts", ["chain", "seq"], unique=True)
    op.add_column("api_audit_log", sa.Column("batch", types.Id(), nullable=True))
    for table in LOGS:
        drop_append_only(table)
    create_written_once("audit_log", WAS_CUT)
    create_written_once("credential_audit_log", HAS_NO_WITNESS)
    create_written_once("audit_cuts", "1 = 0")
    create_written_once("audit_checkpoints", micros_older_than("at", MONTH))
    create_written_once("api_audit_log", older_than("timestamp", DAY))
    create_written_once("tombstones", older_than("deleted_at", DAY))


def downgrade() -> None:
    for table in ("tombstones", "api_audit_log", "audit_checkpoints", "audit_cuts"):
        drop_written_once(table)
    for table in reversed(LOGS):
        drop_written_once(table)
    for table in LOGS:
        create_append_only(table)
    op.drop_column("api_audit_log", "batch")
    op.drop_index(op.f("ix_audit_cuts_chain_seq"), table_name="audit_cuts")
    op.drop_table("audit_cuts")
