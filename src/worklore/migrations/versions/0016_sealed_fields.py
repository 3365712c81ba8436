"""Sealed fields: login names, secret settings, and what integrations need to be tried out"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

EMPTY_LIST = "'[]'"
COLUMNS = {
    "credentials": {"login_encrypted": sa.LargeBinary(), "login_index": types.Line(length=64)},
    "integration_credentials": {
        "username": types.Line(length=255),
        "api_key_header": types.Line(length=100),
        "last_rotated_at": types.UtcDateTime(),
        "test_results": types.Json(),
    },
    "configurations": {"value_encrypted": sa.LargeBinary()},
}
LISTS = ("holds", "probes")


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True))
    for name in LISTS:
        column = sa.Column(name, types.Json(), server_default=sa.text(EMPTY_LIST), nullable=False)
        op.add_column("integration_credentials", column)
    op.create_index(op.f("ix_credentials_login_index"), "credentials", ["login_index"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_credentials_login_index"), table_name="credentials")
    for name in LISTS:
        op.drop_column("integration_credentials", name)
    for table, columns in COLUMNS.items():
        for name in columns:
            op.drop_column(table, name)
