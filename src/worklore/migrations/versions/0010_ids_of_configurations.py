"""An id for each configuration, by which it is audited and told as gone like every other record"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types
from worklore.migrations.guards import create_touch, drop_touch

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = "configurations"
INDEXED = ("is_secret", "updated_at", "value_type")
UNIQUE = "uq_configurations_id"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        remake(with_id=True)
        return
    op.add_column(TABLE, sa.Column("id", types.Id(), nullable=True))
    table = sa.table(TABLE, sa.column("key"), sa.column("id", types.Id()))
    for key in op.get_bind().scalars(sa.select(table.c.key).where(table.c.id.is_(None))).all():
        op.get_bind().execute(sa.update(table).where(table.c.key == key).values(id=types.uuid7()))
    op.alter_column(TABLE, "id", existing_type=types.Id(), nullable=False)
    op.create_unique_constraint(op.f(UNIQUE), TABLE, ["id"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        remake(with_id=False)
        return
    op.drop_constraint(op.f(UNIQUE), TABLE, type_="unique")
    op.drop_column(TABLE, "id")


def remake(*, with_id: bool) -> None:
    """SQLite adds no column that may not be empty: the table is made anew with its rows."""
    kept = sa.table(TABLE, *(column for column in columns() if with_id is False or column.name != "id"))
    rows = [dict(row) for row in op.get_bind().execute(sa.select(kept)).mappings()]
    drop_touch(TABLE)
    op.drop_table(TABLE)
    made = [column for column in columns() if with_id or column.name != "id"]
    unique = [sa.UniqueConstraint("id", name=op.f(UNIQUE))] if with_id else []
    op.create_table(TABLE, *made, sa.PrimaryKeyConstraint("key", name=op.f("pk_configurations")), *unique)
    for name in INDEXED:
        op.create_index(op.f(f"ix_configurations_{name}"), TABLE, [name])
    create_touch(TABLE)
    for row in rows:
        values = (row | {"id": types.uuid7()}) if with_id else {name: row[name] for name in row if name != "id"}
        op.get_bind().execute(sa.insert(sa.table(TABLE, *columns())).values(values))


def columns() -> list[sa.Column[Any]]:
    kinds = sa.Enum(
        "string",
        "integer",
        "float",
        "boolean",
        "json",
        name="valuetype",
        native_enum=False,
        create_constraint=True,
        length=50,
    )
    return [
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("key", types.Line(length=255), nullable=False),
        sa.Column("value", types.Prose(), nullable=False),
        sa.Column("value_type", kinds, server_default="string", nullable=False),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column("is_secret", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
    ]
