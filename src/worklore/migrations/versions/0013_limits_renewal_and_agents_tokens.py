"""Limits to clients as a fact of their own, two more roles, refresh tokens, and tokens of agents for one grant"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types
from worklore.migrations.guards import create_touch, drop_touch

revision = "0013"
down_revision = "0010"
branch_labels = None
depends_on = None

FORMER = ("owner", "admin", "technician", "auditor", "read-only")
ROLES = (*FORMER, "client-portal", "agent")
LIMITED = {"api_users": ("user_clients", "user_id"), "agents": ("agent_clients", "agent_id")}
NAMED = {"agent_id": "agents", "task_grant_id": "task_grants"}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        remake("api_users", users(ROLES, limited=True), {"is_limited": False})
        remake("agents", agents(ROLES, limited=True), {"is_limited": False})
        remake("api_tokens", tokens(named=True), dict.fromkeys(NAMED))
    else:
        for table in LIMITED:
            replace_roles(table, ROLES)
            op.add_column(table, limit())
        for name, parent in NAMED.items():
            op.add_column("api_tokens", sa.Column(name, types.Id(), nullable=True))
            op.create_index(op.f(f"ix_api_tokens_{name}"), "api_tokens", [name])
            op.create_foreign_key(
                op.f(f"fk_api_tokens_{name}"), "api_tokens", parent, [name], ["id"], ondelete="CASCADE"
            )
    for table, (rows, key) in LIMITED.items():
        whose = sa.table(table, sa.column("id", types.Id()), sa.column("is_limited", sa.Boolean()))
        has_some = whose.c.id.in_(sa.select(sa.table(rows, sa.column(key)).c[key]))
        op.execute(sa.update(whose).where(has_some).values(is_limited=True))
    op.create_table(
        "refresh_tokens",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("family_id", types.Id(), nullable=False),
        sa.Column("token_hash", types.Line(length=64), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["family_id"], ["refresh_families.id"], name=op.f("fk_refresh_tokens_family_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_refresh_tokens_token_hash")),
    )
    op.create_index(op.f("ix_refresh_tokens_family_id"), "refresh_tokens", ["family_id"], unique=False)


def downgrade() -> None:
    op.drop_table("refresh_tokens")
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    if on_sqlite or has_column("api_tokens", "agent_id"):
        agents_own = sa.table("api_tokens", sa.column("agent_id"))
        op.execute(sa.delete(agents_own).where(agents_own.c.agent_id.is_not(None)))
    for table, (rows, key) in LIMITED.items():
        if on_sqlite or has_column(table, "is_limited"):
            shut_out(table, rows, key)
    if on_sqlite:
        remake("api_tokens", tokens(named=False))
        remake("agents", agents(FORMER, limited=False))
        remake("api_users", users(FORMER, limited=False))
        return
    for name in NAMED:
        op.drop_constraint(op.f(f"fk_api_tokens_{name}"), "api_tokens", type_="foreignkey")
        op.drop_index(op.f(f"ix_api_tokens_{name}"), "api_tokens")
        op.drop_column("api_tokens", name)
    for table in LIMITED:
        op.drop_column(table, "is_limited")
        replace_roles(table, FORMER)


def has_column(table: str, name: str) -> bool:
    return any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(table))


def shut_out(table: str, rows: str, key: str) -> None:
    """Before this revision a limit was a row: whoever is limited to no client at all would see every one."""
    names = ("role", "is_limited", "is_active")
    whose = sa.table(table, sa.column("id", types.Id()), *(sa.column(name) for name in names))
    has_none = whose.c.id.not_in(sa.select(sa.table(rows, sa.column(key)).c[key]))
    limited_to = sa.or_(whose.c.is_limited == sa.true(), whose.c.role == "client-portal")
    op.execute(sa.update(whose).where(has_none, limited_to).values(is_active=sa.false()))
    op.execute(sa.update(whose).where(whose.c.role.not_in(FORMER)).values(role="read-only"))


def replace_roles(table: str, allowed: tuple[str, ...]) -> None:
    name = op.f(f"ck_{table}_role")
    op.drop_constraint(name, table, type_="check")
    listed = ", ".join(f"'{role}'" for role in allowed)
    op.create_check_constraint(name, table, f"role IN ({listed})")


# --- SQLite changes no constraint: a table is made anew with its rows --------------------------------------------


def remake(name: str, parts: list[Any], added: dict[str, Any] | None = None) -> None:
    columns = {part.name: part for part in parts if isinstance(part, sa.Column)}
    former = [column for column in sa.inspect(op.get_bind()).get_columns(name) if column["name"] in columns]
    stored = sa.table(name, *(sa.column(column["name"], columns[column["name"]].type) for column in former))
    indexes = [index for index in sa.inspect(op.get_bind()).get_indexes(name) if not index["unique"]]
    rows = [dict(row) | (added or {}) for row in op.get_bind().execute(sa.select(stored)).mappings()]
    touched = "updated_at" in columns
    if touched:
        drop_touch(name)
    op.drop_table(name)
    op.create_table(name, *parts)
    for index in indexes:
        if set(index["column_names"]) <= columns.keys():
            op.create_index(index["name"], name, index["column_names"])
    for key in added or {}:
        if key in NAMED:
            op.create_index(op.f(f"ix_{name}_{key}"), name, [key])
    if touched:
        create_touch(name)
    made = sa.table(name, *(sa.column(key, column.type) for key, column in columns.items()))
    for row in rows:
        op.get_bind().execute(sa.insert(made).values(row))


def role(allowed: tuple[str, ...], default: str) -> sa.Column[Any]:
    kind = sa.Enum(*allowed, name="role", native_enum=False, create_constraint=True, length=50)
    return sa.Column("role", kind, server_default=default, nullable=False)


def limit() -> sa.Column[Any]:
    return sa.Column("is_limited", sa.Boolean(), server_default=sa.false(), nullable=False)


def stamped() -> list[sa.Column[Any]]:
    return [
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
    ]


def users(allowed: tuple[str, ...], *, limited: bool) -> list[Any]:
    return [
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("email", types.Line(length=255), nullable=False),
        sa.Column("name", types.Line(length=255), nullable=False),
        role(allowed, "technician"),
        sa.Column("password_hash", types.Line(length=255), nullable=True),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        *([limit()] if limited else []),
        sa.Column("failed_sign_ins", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("locked_until", types.UtcDateTime(), nullable=True),
        *stamped(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_users")),
        sa.UniqueConstraint("email", name=op.f("uq_api_users_email")),
    ]


def agents(allowed: tuple[str, ...], *, limited: bool) -> list[Any]:
    return [
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("owner_id", types.Id(), nullable=False),
        sa.Column("machine_id", types.Id(), nullable=True),
        sa.Column("name", types.Line(length=100), nullable=False),
        sa.Column("agent_client", types.Line(length=100), nullable=True),
        role(allowed, "read-only"),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        *([limit()] if limited else []),
        sa.Column("last_seen", types.UtcDateTime(), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        *stamped(),
        foreign("agents", "machine_id", "machines", "SET NULL"),
        foreign("agents", "owner_id", "api_users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("owner_id", "name", name=op.f("uq_agents_owner_id_name")),
    ]


def tokens(*, named: bool) -> list[Any]:
    kinds = sa.Enum("machine", "agent", "user", name="tokenkind", native_enum=False, create_constraint=True, length=50)
    return [
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", kinds, nullable=False),
        sa.Column("token_hash", types.Line(length=64), nullable=False),
        sa.Column("hint", types.Line(length=20), nullable=False),
        sa.Column("scopes", types.Json(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("machine_id", types.Id(), nullable=True),
        *(sa.Column(name, types.Id(), nullable=True) for name in NAMED if named),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        foreign("api_tokens", "machine_id", "machines"),
        foreign("api_tokens", "user_id", "api_users"),
        *(foreign("api_tokens", name, parent) for name, parent in NAMED.items() if named),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    ]


def foreign(table: str, name: str, parent: str, gone: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([name], [f"{parent}.id"], name=op.f(f"fk_{table}_{name}"), ondelete=gone)
