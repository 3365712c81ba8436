"""Second factors of people, tokens of programs limited to clients, and invitations"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types
from worklore.migrations.guards import create_touch, drop_touch

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

ADDED = (
    ("refresh_families", "second_factor", sa.Boolean(), False),
    ("setup_codes", "is_invitation", sa.Boolean(), False),
    ("setup_codes", "sets_password", sa.Boolean(), False),
    ("api_tokens", "is_limited", sa.Boolean(), False),
    ("api_tokens", "name", types.Line(length=100), True),
    ("api_tokens", "last_used_ip", types.Line(length=45), True),
)
"""Table, column, type, and whether it may be empty; what may not is false in the rows that are there."""


def upgrade() -> None:
    for table, name, kind, nullable in ADDED:
        default = None if nullable else sa.false()
        op.add_column(table, sa.Column(name, kind, server_default=default, nullable=nullable))
    op.create_table(
        "second_factors",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("seed_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("recovery_hashes", types.Json(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_users.id"], name=op.f("fk_second_factors_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_factors")),
        sa.UniqueConstraint("user_id", name=op.f("uq_second_factors_user_id")),
    )
    create_touch("second_factors")
    op.create_table(
        "api_token_clients",
        sa.Column("token_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_api_token_clients_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["api_tokens.id"], name=op.f("fk_api_token_clients_token_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", "client_id", name=op.f("pk_api_token_clients")),
    )
    op.create_index(op.f("ix_api_token_clients_client_id"), "api_token_clients", ["client_id"], unique=False)


def downgrade() -> None:
    # Before this revision a token had no limit of its own, and a code connected a machine whatever it was made for.
    tokens = sa.table("api_tokens", sa.column("is_limited"))
    codes = sa.table("setup_codes", sa.column("is_invitation"))
    op.execute(sa.delete(tokens).where(tokens.c.is_limited == sa.true()))
    op.execute(sa.delete(codes).where(codes.c.is_invitation == sa.true()))
    op.drop_table("api_token_clients")
    drop_touch("second_factors")
    op.drop_table("second_factors")
    for table, name, _, _ in reversed(ADDED):
        op.drop_column(table, name)
