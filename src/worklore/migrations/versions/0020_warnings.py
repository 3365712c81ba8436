"""Warnings: what was learned from failures and by what evidence, what was warned of, and what came of it"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

FIRST_NEWS = """
INSERT INTO session_news (session_id, noted_at)
SELECT s.id, s.created_at FROM sessions s
WHERE EXISTS (SELECT 1 FROM commands_run c WHERE c.session_id = s.id)
   OR EXISTS (SELECT 1 FROM operation_failures f WHERE f.session_id = s.id)
"""
"""What was recorded before is learned from too."""


def upgrade() -> None:
    op.create_table(
        "session_news",
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("noted_at", types.UtcDateTime(), nullable=False),
        sa.Column("serial", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_session_news_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_news")),
    )
    op.create_index(op.f("ix_session_news_noted_at"), "session_news", ["noted_at"], unique=False)

    op.create_table(
        "pattern_evidence",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("pattern_key", types.Line(length=64), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "failed", "worked", "fixed", name="evidencekind", native_enum=False, create_constraint=True, length=50
            ),
            nullable=False,
        ),
        sa.Column("command_id", types.Id(), nullable=True),
        sa.Column("failure_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("host", types.Line(length=255), nullable=False),
        sa.Column("signature", types.Line(length=500), nullable=False),
        sa.Column("class_name", types.Line(length=50), nullable=False),
        sa.Column("line", types.Line(length=300), nullable=False),
        sa.Column("seen_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "(CASE WHEN command_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN failure_id IS NULL THEN 0 ELSE 1 END) = 1",
            name=op.f("ck_pattern_evidence_one_source"),
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_pattern_evidence_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["command_id"], ["commands_run.id"], name=op.f("fk_pattern_evidence_command_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["failure_id"], ["operation_failures.id"], name=op.f("fk_pattern_evidence_failure_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_pattern_evidence_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pattern_evidence")),
        sa.UniqueConstraint(
            "command_id", "pattern_key", "kind", name=op.f("uq_pattern_evidence_command_id_pattern_key_kind")
        ),
        sa.UniqueConstraint(
            "failure_id", "pattern_key", "kind", name=op.f("uq_pattern_evidence_failure_id_pattern_key_kind")
        ),
    )
    op.create_index(op.f("ix_pattern_evidence_client_id"), "pattern_evidence", ["client_id"], unique=False)
    op.create_index(
        op.f("ix_pattern_evidence_pattern_key_kind"), "pattern_evidence", ["pattern_key", "kind"], unique=False
    )
    op.create_index(op.f("ix_pattern_evidence_session_id"), "pattern_evidence", ["session_id"], unique=False)

    op.create_table(
        "warnings",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("pattern_id", types.Id(), nullable=True),
        sa.Column("insight_id", types.Id(), nullable=True),
        sa.Column("event", types.Line(length=50), nullable=False),
        sa.Column("host", types.Line(length=255), nullable=False),
        sa.Column(
            "confidence",
            sa.Enum(
                "confirmed",
                "likely",
                "suspected",
                name="confidence",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("told_at", types.UtcDateTime(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum("heeded", "ignored", "wrong", name="outcome", native_enum=False, create_constraint=True, length=50),
            nullable=True,
        ),
        sa.Column(
            "outcome_source",
            sa.Enum("told", "derived", name="outcomesource", native_enum=False, create_constraint=True, length=50),
            nullable=True,
        ),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_warnings_client_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["insight_id"], ["environmental_insights.id"], name=op.f("fk_warnings_insight_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["pattern_id"], ["failure_patterns.id"], name=op.f("fk_warnings_pattern_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_warnings_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warnings")),
    )
    op.create_index(op.f("ix_warnings_client_id"), "warnings", ["client_id"], unique=False)
    op.create_index(op.f("ix_warnings_created_at"), "warnings", ["created_at"], unique=False)
    op.create_index(op.f("ix_warnings_insight_id"), "warnings", ["insight_id"], unique=False)
    op.create_index(op.f("ix_warnings_pattern_id"), "warnings", ["pattern_id"], unique=False)
    op.create_index(op.f("ix_warnings_session_id"), "warnings", ["session_id"], unique=False)

    op.add_column(
        "environmental_examples", sa.Column("seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.create_index(op.f("ix_environmental_examples_seq"), "environmental_examples", ["seq"], unique=False)

    op.add_column("environmental_insights", sa.Column("corrected", types.Json(), nullable=True))

    op.add_column("failure_patterns", sa.Column("learned_key", types.Line(length=64), nullable=True))
    op.add_column("failure_patterns", sa.Column("corrected", types.Json(), nullable=True))
    op.add_column("failure_patterns", sa.Column("seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_index(op.f("ix_failure_patterns_learned_key"), "failure_patterns", ["learned_key"], unique=True)
    op.create_index(op.f("ix_failure_patterns_seq"), "failure_patterns", ["seq"], unique=False)

    op.add_column("injections", sa.Column("used", sa.Boolean(), nullable=True))

    op.execute(FIRST_NEWS)


def downgrade() -> None:
    op.drop_column("injections", "used")

    op.drop_index(op.f("ix_failure_patterns_seq"), table_name="failure_patterns")
    op.drop_index(op.f("ix_failure_patterns_learned_key"), table_name="failure_patterns")
    op.drop_column("failure_patterns", "seq")
    op.drop_column("failure_patterns", "corrected")
    op.drop_column("failure_patterns", "learned_key")

    op.drop_column("environmental_insights", "corrected")

    op.drop_index(op.f("ix_environmental_examples_seq"), table_name="environmental_examples")
    op.drop_column("environmental_examples", "seq")

    op.drop_table("warnings")

    op.drop_table("pattern_evidence")

    op.drop_table("session_news")
