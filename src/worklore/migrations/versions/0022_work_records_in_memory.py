"""Work records among memory's windows, which need neither a session nor a project; vectors follow their windows"""
# ruff: noqa: S608 - the names are this file's own

from typing import Any

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLE = "memory_windows"
VECTORS = "memory_vectors"
KINDS = ("turn", "solution", "failure", "pattern", "insight", "decision", "work-item", "deployment", "context", "snippet")  # fmt: skip
FORMER = ("user", "assistant", "person")
ROLES = (*FORMER, "record")
KEYS = {
    "client_id": ("clients", "CASCADE"),
    "machine_id": ("machines", "SET NULL"),
    "project_id": ("projects", "CASCADE"),
    "session_id": ("sessions", "CASCADE"),
    "superseded_by": (TABLE, "SET NULL"),
    "transcript_id": ("transcripts", "SET NULL"),
}
ASSET = {"infrastructure_id": ("infrastructure", "SET NULL")}
INDEXES = (("project_id", "seq"), ("session_id", "ordinal"), ("transcript_id",), ("machine_id",), ("superseded_by",))


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        remake(TABLE, windows(records=True), [*INDEXES, ("client_id", "seq"), ("record_id",), ("infrastructure_id",)])
        remake(VECTORS, vectors(projects=False), [("model", "seq")])
        return
    op.add_column(TABLE, sa.Column("kind", sa.String(50), server_default="turn", nullable=False))
    op.create_check_constraint(op.f("ck_memory_windows_kind"), TABLE, listed("kind", KINDS))
    op.add_column(TABLE, sa.Column("record_id", types.Id(), nullable=True))
    op.add_column(TABLE, sa.Column("infrastructure_id", types.Id(), nullable=True))
    op.create_index(op.f("ix_memory_windows_record_id"), TABLE, ["record_id"])
    op.create_index(op.f("ix_memory_windows_infrastructure_id"), TABLE, ["infrastructure_id"])
    add_key("infrastructure_id", *ASSET["infrastructure_id"])
    op.create_index(op.f("ix_memory_windows_client_id_seq"), TABLE, ["client_id", "seq"])
    op.drop_index(op.f("ix_memory_windows_client_id"), TABLE)
    replace_roles(ROLES)
    for name in ("session_id", "project_id"):
        op.alter_column(TABLE, name, existing_type=types.Id(), nullable=True)
    op.drop_constraint(op.f("fk_memory_vectors_project_id"), VECTORS, type_="foreignkey")
    op.drop_index(op.f("ix_memory_vectors_project_id_seq"), VECTORS)
    op.drop_column(VECTORS, "project_id")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DELETE FROM {VECTORS} WHERE window_id IN (SELECT id FROM {TABLE} WHERE kind <> 'turn')")
        op.execute(f"DELETE FROM {TABLE} WHERE kind <> 'turn'")
        remake(VECTORS, vectors(projects=True), [("project_id", "seq"), ("model", "seq")], OF_WINDOW)
        remake(TABLE, windows(records=False), [*INDEXES, ("client_id",)])
        return
    op.execute(f"DELETE FROM {TABLE} WHERE kind <> 'turn'")
    op.add_column(VECTORS, sa.Column("project_id", types.Id(), nullable=True))
    op.execute(f"UPDATE {VECTORS} SET project_id = ({OF_WINDOW['project_id']})")
    op.alter_column(VECTORS, "project_id", existing_type=types.Id(), nullable=False)
    op.create_index(op.f("ix_memory_vectors_project_id_seq"), VECTORS, ["project_id", "seq"])
    op.create_foreign_key(
        op.f("fk_memory_vectors_project_id"), VECTORS, "projects", ["project_id"], ["id"], ondelete="CASCADE"
    )
    for name in ("session_id", "project_id"):
        op.alter_column(TABLE, name, existing_type=types.Id(), nullable=False)
    replace_roles(FORMER)
    op.create_index(op.f("ix_memory_windows_client_id"), TABLE, ["client_id"])
    op.drop_index(op.f("ix_memory_windows_client_id_seq"), TABLE)
    op.drop_constraint(op.f("fk_memory_windows_infrastructure_id"), TABLE, type_="foreignkey")
    op.drop_index(op.f("ix_memory_windows_infrastructure_id"), TABLE)
    op.drop_index(op.f("ix_memory_windows_record_id"), TABLE)
    op.drop_column(TABLE, "infrastructure_id")
    op.drop_column(TABLE, "record_id")
    op.drop_constraint(op.f("ck_memory_windows_kind"), TABLE, type_="check")
    op.drop_column(TABLE, "kind")


OF_WINDOW = {"project_id": f"SELECT w.project_id FROM {TABLE} w WHERE w.id = {VECTORS}.window_id"}


def add_key(name: str, table: str, on_delete: str) -> None:
    op.create_foreign_key(op.f(f"fk_memory_windows_{name}"), TABLE, table, [name], ["id"], ondelete=on_delete)


def replace_roles(allowed: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_memory_windows_role"), TABLE, type_="check")
    op.create_check_constraint(op.f("ck_memory_windows_role"), TABLE, listed("role", allowed))


def listed(name: str, allowed: tuple[str, ...]) -> str:
    values = ", ".join(f"'{value}'" for value in allowed)
    return f"{name} IN ({values})"


# --- SQLite changes no constraint: a table is made anew with its rows --------------------------------------------


def remake(name: str, parts: list[Any], indexes: list[tuple[str, ...]], added: dict[str, str] | None = None) -> None:
    """Make a table anew under its name; `added` tells how a column that it lacked is found."""
    columns = [part.name for part in parts if isinstance(part, sa.Column)]
    former = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(name)}
    found = {column: column for column in columns if column in former} | {
        column: f"({how})" for column, how in (added or {}).items()
    }
    # Under another name first: a table that is renamed takes along the keys that name it.
    op.create_table(f"{name}_anew", *parts)
    op.execute(f"INSERT INTO {name}_anew ({', '.join(found)}) SELECT {', '.join(found.values())} FROM {name}")
    op.drop_table(name)
    op.execute(f"ALTER TABLE {name}_anew RENAME TO {name}")
    for index in indexes:
        op.create_index(op.f(f"ix_{name}_{'_'.join(index)}"), name, list(index))
    if name == TABLE:
        op.create_index(op.f("ix_memory_windows_seq"), TABLE, ["seq"], unique=True)


def windows(*, records: bool) -> list[Any]:
    keys = KEYS | (ASSET if records else {})
    return [
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        *([sa.Column("kind", choice("kind", KINDS), server_default="turn", nullable=False)] if records else []),
        *([sa.Column("record_id", types.Id(), nullable=True)] if records else []),
        sa.Column("session_id", types.Id(), nullable=records),
        sa.Column("project_id", types.Id(), nullable=records),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("machine_id", types.Id(), nullable=True),
        *([sa.Column("infrastructure_id", types.Id(), nullable=True)] if records else []),
        sa.Column("transcript_id", types.Id(), nullable=True),
        sa.Column("source_uuid", types.Line(length=100), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("parts", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("role", choice("role", ROLES if records else FORMER), nullable=False),
        sa.Column("author", types.Line(length=255), nullable=False),
        sa.Column("said_at", types.UtcDateTime(), nullable=False),
        sa.Column("text", types.Prose(), nullable=False),
        sa.Column("tokens", types.Prose(), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("git_branch", types.Line(length=255), nullable=True),
        sa.Column("valid_from", types.UtcDateTime(), nullable=True),
        sa.Column("valid_to", types.UtcDateTime(), nullable=True),
        sa.Column("superseded_by", types.Id(), nullable=True),
        sa.Column("trust", types.Line(length=20), server_default="transcript", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        *(
            sa.ForeignKeyConstraint([name], [f"{table}.id"], name=op.f(f"fk_memory_windows_{name}"), ondelete=action)
            for name, (table, action) in keys.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_windows")),
        sa.UniqueConstraint(
            "project_id", "source_uuid", "part", name=op.f("uq_memory_windows_project_id_source_uuid_part")
        ),
    ]


def vectors(*, projects: bool) -> list[Any]:
    keys = {"window_id": TABLE} | ({"project_id": "projects"} if projects else {})
    return [
        sa.Column("window_id", types.Id(), nullable=False),
        *([sa.Column("project_id", types.Id(), nullable=False)] if projects else []),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("model", types.Line(length=64), nullable=False),
        sa.Column("pooled", sa.LargeBinary(), nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        *(
            sa.ForeignKeyConstraint([name], [f"{table}.id"], name=op.f(f"fk_memory_vectors_{name}"), ondelete="CASCADE")
            for name, table in keys.items()
        ),
        sa.PrimaryKeyConstraint("window_id", name=op.f("pk_memory_vectors")),
    ]


def choice(name: str, allowed: tuple[str, ...]) -> sa.Enum:
    named = op.f(f"ck_memory_windows_{name}")
    return sa.Enum(*allowed, name=named, native_enum=False, create_constraint=True, length=50)
