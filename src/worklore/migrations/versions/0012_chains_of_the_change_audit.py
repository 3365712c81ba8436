"""Chains of the change audit: each row is sealed over itself and the row before"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0012"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLE = "audit_log"
COLUMNS = {
    "chain": types.Line(length=100),
    "seq": sa.BigInteger(),
    "prev_mac": types.Line(length=64),
    "mac": types.Line(length=64),
}
UNIQUE = (["chain", "seq"], ["chain", "prev_mac"])


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column(TABLE, sa.Column(name, kind, nullable=True))
    for names in UNIQUE:
        op.create_index(op.f(f"ix_{TABLE}_{'_'.join(names)}"), TABLE, names, unique=True)


def downgrade() -> None:
    for names in UNIQUE:
        op.drop_index(op.f(f"ix_{TABLE}_{'_'.join(names)}"), table_name=TABLE)
    for name in COLUMNS:
        op.drop_column(TABLE, name)
