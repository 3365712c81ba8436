"""Tags of decisions, and those of contexts and snippets from their own lists"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BATCH = 1000
LONGEST = 100
BEARERS = {
    "context_id": "conversation_contexts",
    "snippet_id": "context_snippets",
    "decision_id": "decision_logs",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        kept = [dict(row) | {"decision_id": None} for row in stored()]
        op.drop_table("context_tags")
        create(*BEARERS)
        fill(kept)
    else:
        # Each by itself can be made again: MariaDB commits them one by one.
        op.add_column("context_tags", sa.Column("decision_id", types.Id(), nullable=True))
        op.create_unique_constraint(op.f("uq_context_tags_decision_id_tag"), "context_tags", ["decision_id", "tag"])
        op.create_foreign_key(
            op.f("fk_context_tags_decision_id"),
            "context_tags",
            "decision_logs",
            ["decision_id"],
            ["id"],
            ondelete="CASCADE",
        )
        replace_rule(*BEARERS)
    known = {(row["context_id"], row["snippet_id"], row["decision_id"], row["tag"]) for row in stored(*BEARERS)}
    fill(
        [
            row
            for row in of_lists()
            if (row["context_id"], row["snippet_id"], row["decision_id"], row["tag"]) not in known
        ]
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        kept = [dict(row) for row in stored() if row["context_id"] or row["snippet_id"]]
        op.drop_table("context_tags")
        create("context_id", "snippet_id")
        fill(kept)
    else:
        if any(column["name"] == "decision_id" for column in sa.inspect(op.get_bind()).get_columns("context_tags")):
            op.execute("DELETE FROM context_tags WHERE decision_id IS NOT NULL")
        replace_rule("context_id", "snippet_id")
        op.drop_constraint(op.f("fk_context_tags_decision_id"), "context_tags", type_="foreignkey")
        op.drop_constraint(op.f("uq_context_tags_decision_id_tag"), "context_tags", type_="unique")
        op.drop_column("context_tags", "decision_id")


def replace_rule(*names: str) -> None:
    op.drop_constraint(op.f("ck_context_tags_one_bearer"), "context_tags", type_="check")
    op.create_check_constraint(op.f("ck_context_tags_one_bearer"), "context_tags", rule(*names))


def rule(*names: str) -> str:
    if "decision_id" in names:
        return " + ".join(f"(CASE WHEN {name} IS NULL THEN 0 ELSE 1 END)" for name in names) + " = 1"
    return "(context_id IS NULL) <> (snippet_id IS NULL)"


def columns(*names: str) -> list[sa.Column[Any]]:
    return [
        sa.Column("id", types.Id(), nullable=False),
        *(sa.Column(name, types.Id(), nullable=True) for name in names),
        sa.Column("tag", types.Line(length=100), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
    ]


def create(*names: str) -> None:
    op.create_table(
        "context_tags",
        *columns(*names),
        sa.CheckConstraint(rule(*names), name=op.f("ck_context_tags_one_bearer")),
        *(
            sa.ForeignKeyConstraint(
                [name], [f"{BEARERS[name]}.id"], name=op.f(f"fk_context_tags_{name}"), ondelete="CASCADE"
            )
            for name in names
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_context_tags")),
        *(sa.UniqueConstraint(name, "tag", name=op.f(f"uq_context_tags_{name}_tag")) for name in names),
    )
    op.create_index(op.f("ix_context_tags_tag"), "context_tags", ["tag"], unique=False)


def stored(*names: str) -> Iterator[sa.RowMapping]:
    table = sa.table("context_tags", *columns(*(names or ("context_id", "snippet_id"))))
    yield from op.get_bind().execute(sa.select(table)).mappings().all()


def of_lists() -> Iterator[dict[str, Any]]:
    for bearer, name in BEARERS.items():
        table = sa.table(name, sa.column("id", types.Id()), sa.column("tags", types.Json()))
        for key, tags in op.get_bind().execute(sa.select(table.c.id, table.c.tags)).fetchall():
            normal = {" ".join(tag.lower().split()) for tag in tags or () if isinstance(tag, str)}
            for tag in sorted(text for text in normal if 0 < len(text) <= LONGEST):
                row: dict[str, Any] = dict.fromkeys(BEARERS)
                yield row | {bearer: key, "id": types.uuid7(), "tag": tag, "version": 1, "created_at": types.utcnow()}


def fill(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    table = sa.table("context_tags", *columns(*(name for name in BEARERS if name in rows[0])))
    for start in range(0, len(rows), BATCH):
        op.get_bind().execute(sa.insert(table), rows[start : start + BATCH])
