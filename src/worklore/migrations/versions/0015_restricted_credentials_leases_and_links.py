"""Restricted credentials and the hosts they may be sent to, the machine that holds a lease, and what a link shows"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

LEASES = "credential_leases"
NAMED = {
    "agent_id": "agents",
    "client_id": "clients",
    "credential_id": "credentials",
    "task_grant_id": "task_grants",
    "user_id": "api_users",
    "machine_id": "machines",
}
FORMER = [name for name in NAMED if name != "machine_id"]
ADDED = {"credentials": ("is_restricted", "allowed_hosts"), "share_links": ("passphrase_hash", "fields")}


def upgrade() -> None:
    op.add_column("credentials", sa.Column("is_restricted", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("credentials", sa.Column("allowed_hosts", types.Json(), nullable=True))
    op.add_column("share_links", sa.Column("passphrase_hash", types.Line(length=64), nullable=True))
    op.add_column("share_links", sa.Column("fields", types.Json(), server_default=sa.text("'[]'"), nullable=False))
    if op.get_bind().dialect.name == "sqlite":
        remake(*NAMED)
        return
    op.add_column(LEASES, sa.Column("machine_id", types.Id(), nullable=True))
    op.create_index(op.f(f"ix_{LEASES}_machine_id"), LEASES, ["machine_id"], unique=False)
    op.create_foreign_key(
        op.f(f"fk_{LEASES}_machine_id"), LEASES, "machines", ["machine_id"], ["id"], ondelete="CASCADE"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        remake(*FORMER)
    else:
        op.drop_constraint(op.f(f"fk_{LEASES}_machine_id"), LEASES, type_="foreignkey")
        op.drop_index(op.f(f"ix_{LEASES}_machine_id"), table_name=LEASES)
        op.drop_column(LEASES, "machine_id")
    for table, names in ADDED.items():
        for name in names:
            op.drop_column(table, name)


# --- SQLite adds no foreign key: the table is made anew with its rows -------------------------------------------------


def remake(*names: str) -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(LEASES)}
    known = [column for column in columns(*names) if column.name in there]
    kept = sa.table(LEASES, *(sa.column(column.name, column.type) for column in known))
    rows = [dict(row) for row in op.get_bind().execute(sa.select(kept)).mappings()]
    op.drop_table(LEASES)
    op.create_table(
        LEASES,
        *columns(*names),
        *(
            sa.ForeignKeyConstraint(
                [name],
                [f"{NAMED[name]}.id"],
                name=op.f(f"fk_{LEASES}_{name}"),
                ondelete="SET NULL" if name == "task_grant_id" else "CASCADE",
            )
            for name in names
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{LEASES}")),
    )
    for name in (*names, "expires_at"):
        op.create_index(op.f(f"ix_{LEASES}_{name}"), LEASES, [name], unique=False)
    for row in rows:
        op.get_bind().execute(sa.insert(kept).values(row))


def columns(*names: str) -> list[sa.Column[Any]]:
    return [
        sa.Column("id", types.Id(), nullable=False),
        *(sa.Column(name, types.Id(), nullable=name != "credential_id") for name in names),
        sa.Column("purpose", types.Prose(), nullable=True),
        sa.Column("use_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("released_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
    ]
