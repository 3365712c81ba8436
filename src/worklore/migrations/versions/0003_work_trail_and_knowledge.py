"""Work, trail and knowledge"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "learning_metrics",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("metric_date", sa.Date(), nullable=False),
        sa.Column("metric_name", types.Line(length=100), nullable=False),
        sa.Column("metric_value", sa.Float(precision=53), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("details", types.Json(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_learning_metrics_client_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_learning_metrics")),
        sa.UniqueConstraint(
            "metric_date",
            "metric_name",
            "client_id",
            name=op.f("uq_learning_metrics_metric_date_metric_name_client_id"),
        ),
    )
    op.create_index(op.f("ix_learning_metrics_client_id"), "learning_metrics", ["client_id"], unique=False)
    op.create_index(
        op.f("ix_learning_metrics_metric_name_metric_date"),
        "learning_metrics",
        ["metric_name", "metric_date"],
        unique=False,
    )

    op.create_table(
        "tag_synonyms",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("tag_id", types.Id(), nullable=False),
        sa.Column("synonym", types.Line(length=100), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f("fk_tag_synonyms_tag_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag_synonyms")),
        sa.UniqueConstraint("synonym", name=op.f("uq_tag_synonyms_synonym")),
    )
    op.create_index(op.f("ix_tag_synonyms_tag_id"), "tag_synonyms", ["tag_id"], unique=False)

    op.create_table(
        "failure_patterns",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column(
            "pattern_type",
            sa.Enum(
                "command_compatibility",
                "version_mismatch",
                "permission_denied",
                "service_unavailable",
                "configuration_error",
                "environmental_limitation",
                name="patterntype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("pattern_signature", types.Line(length=500), nullable=False),
        sa.Column("error_pattern", types.Prose(), nullable=True),
        sa.Column("affected_systems", types.Json(), nullable=True),
        sa.Column("triggering_commands", types.Json(), nullable=True),
        sa.Column("triggering_operations", types.Json(), nullable=True),
        sa.Column("failure_description", types.Prose(), nullable=False),
        sa.Column("root_cause", types.Prose(), nullable=False),
        sa.Column("recommended_solution", types.Prose(), nullable=False),
        sa.Column("alternative_approaches", types.Json(), nullable=True),
        sa.Column("occurrence_count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "severity",
            sa.Enum(
                "blocking",
                "major",
                "minor",
                "info",
                name="patternseverity",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("added_to_insights", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("first_seen", types.UtcDateTime(), nullable=False),
        sa.Column("last_seen", types.UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_failure_patterns_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_failure_patterns_infrastructure_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failure_patterns")),
    )
    op.create_index(op.f("ix_failure_patterns_client_id"), "failure_patterns", ["client_id"], unique=False)
    op.create_index(
        op.f("ix_failure_patterns_infrastructure_id"), "failure_patterns", ["infrastructure_id"], unique=False
    )
    op.create_index(
        op.f("ix_failure_patterns_pattern_signature"), "failure_patterns", ["pattern_signature"], unique=False
    )
    op.create_index(op.f("ix_failure_patterns_pattern_type"), "failure_patterns", ["pattern_type"], unique=False)

    op.create_table(
        "infrastructure_tags",
        sa.Column("infrastructure_id", types.Id(), nullable=False),
        sa.Column("tag_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_infrastructure_tags_infrastructure_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tag_id"], ["tags.id"], name=op.f("fk_infrastructure_tags_tag_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("infrastructure_id", "tag_id", name=op.f("pk_infrastructure_tags")),
    )
    op.create_index(
        op.f("ix_infrastructure_tags_infrastructure_id"), "infrastructure_tags", ["infrastructure_id"], unique=False
    )
    op.create_index(op.f("ix_infrastructure_tags_tag_id"), "infrastructure_tags", ["tag_id"], unique=False)

    op.create_table(
        "work_items",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("parent_id", types.Id(), nullable=True),
        sa.Column("path", types.Line(length=500), server_default="/", nullable=False),
        sa.Column("depth", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "item_type",
            sa.Enum(
                "project",
                "session",
                "task",
                "research",
                name="itemtype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="task",
            nullable=False,
        ),
        sa.Column(
            "category",
            sa.Enum(
                "infrastructure",
                "troubleshooting",
                "configuration",
                "development",
                "maintenance",
                "security",
                "documentation",
                name="workcategory",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column("title", types.Line(length=500), nullable=False),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "active",
                "blocked",
                "completed",
                "deferred",
                "cancelled",
                name="workitemstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="active",
            nullable=False,
        ),
        sa.Column(
            "priority",
            sa.Enum(
                "critical",
                "high",
                "medium",
                "low",
                name="priority",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column("is_billable", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("estimated_minutes", sa.Integer(), nullable=True),
        sa.Column("actual_minutes", sa.Integer(), nullable=True),
        sa.Column("affected_systems", types.Json(), nullable=True),
        sa.Column("technologies_used", types.Json(), nullable=True),
        sa.Column("item_order", sa.Integer(), nullable=True),
        sa.Column("completed_at", types.UtcDateTime(), nullable=True),
        sa.Column("branch_name", types.Line(length=255), nullable=True),
        sa.Column("commit_hash", types.Line(length=40), nullable=True),
        sa.Column("pr_number", sa.Integer(), nullable=True),
        sa.Column("metadata", types.Json(), nullable=True),
        sa.Column("assigned_to", types.Line(length=255), nullable=True),
        sa.Column("lease_owner", types.Line(length=255), nullable=True),
        sa.Column("lease_expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("approved_by_session", types.Id(), nullable=True),
        sa.Column("deleted_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_by", types.Line(length=255), nullable=True),
        sa.Column("updated_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("depth BETWEEN 0 AND 5", name=op.f("ck_work_items_depth")),
        sa.ForeignKeyConstraint(
            ["approved_by_session"],
            ["sessions.id"],
            name=op.f("fk_work_items_approved_by_session"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["work_items.id"], name=op.f("fk_work_items_parent_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_work_items_project_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_work_items_session_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_items")),
    )
    op.create_index(op.f("ix_work_items_category"), "work_items", ["category"], unique=False)
    op.create_index(op.f("ix_work_items_completed_at"), "work_items", ["completed_at"], unique=False)
    op.create_index(op.f("ix_work_items_deleted_at"), "work_items", ["deleted_at"], unique=False)
    op.create_index(op.f("ix_work_items_item_type"), "work_items", ["item_type"], unique=False)
    op.create_index(op.f("ix_work_items_parent_id"), "work_items", ["parent_id"], unique=False)
    op.create_index(op.f("ix_work_items_path"), "work_items", ["path"], unique=False)
    op.create_index(op.f("ix_work_items_project_id"), "work_items", ["project_id"], unique=False)
    op.create_index(op.f("ix_work_items_session_id"), "work_items", ["session_id"], unique=False)
    op.create_index(op.f("ix_work_items_status"), "work_items", ["status"], unique=False)

    op.create_table(
        "billable_time",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.Column("start_time", types.UtcDateTime(), nullable=False),
        sa.Column("end_time", types.UtcDateTime(), nullable=True),
        sa.Column("duration_minutes", sa.Integer(), nullable=False),
        sa.Column("duration_seconds", sa.Integer(), nullable=True),
        sa.Column("billed_seconds", sa.Integer(), nullable=False),
        sa.Column("hourly_rate", types.Money(), nullable=False),
        sa.Column("total_amount", types.Money(), nullable=False),
        sa.Column("is_billable", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("description", types.Prose(), nullable=False),
        sa.Column("category", types.Line(length=50), nullable=True),
        sa.Column("invoiced_at", types.UtcDateTime(), nullable=True),
        sa.Column("invoice_id", types.Line(length=100), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("billed_seconds >= 0", name=op.f("ck_billable_time_billed_seconds")),
        sa.CheckConstraint("duration_minutes > 0", name=op.f("ck_billable_time_duration_minutes")),
        sa.CheckConstraint("duration_seconds >= 0", name=op.f("ck_billable_time_duration_seconds")),
        sa.CheckConstraint("end_time >= start_time", name=op.f("ck_billable_time_end_time")),
        sa.CheckConstraint("hourly_rate >= 0", name=op.f("ck_billable_time_hourly_rate")),
        sa.CheckConstraint("total_amount >= 0", name=op.f("ck_billable_time_total_amount")),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_billable_time_client_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_billable_time_session_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_billable_time_work_item_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billable_time")),
    )
    op.create_index(op.f("ix_billable_time_client_id"), "billable_time", ["client_id"], unique=False)
    op.create_index(op.f("ix_billable_time_invoiced_at"), "billable_time", ["invoiced_at"], unique=False)
    op.create_index(op.f("ix_billable_time_session_id"), "billable_time", ["session_id"], unique=False)
    op.create_index(op.f("ix_billable_time_work_item_id"), "billable_time", ["work_item_id"], unique=False)

    op.create_table(
        "commands_run",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("command_text", types.Prose(), nullable=False),
        sa.Column("host", types.Line(length=255), nullable=True),
        sa.Column("shell_type", types.Line(length=50), nullable=True),
        sa.Column("success", sa.Boolean(), nullable=True),
        sa.Column("output_summary", types.Prose(), nullable=True),
        sa.Column("exit_code", sa.BigInteger(), nullable=True),
        sa.Column("error_message", types.Prose(), nullable=True),
        sa.Column("failure_category", types.Line(length=100), nullable=True),
        sa.Column("resolution", types.Prose(), nullable=True),
        sa.Column("resolved", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("execution_order", sa.Integer(), nullable=True),
        sa.Column("executed_at", types.UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_commands_run_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_commands_run_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands_run")),
    )
    op.create_index(op.f("ix_commands_run_session_id"), "commands_run", ["session_id"], unique=False)
    op.create_index(op.f("ix_commands_run_success"), "commands_run", ["success"], unique=False)
    op.create_index(op.f("ix_commands_run_work_item_id"), "commands_run", ["work_item_id"], unique=False)

    op.create_table(
        "database_changes",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column("database_name", types.Line(length=255), nullable=False),
        sa.Column("change_type", types.Line(length=50), nullable=False),
        sa.Column("sql_executed", types.Prose(), nullable=True),
        sa.Column("rows_affected", sa.BigInteger(), nullable=True),
        sa.Column("size_freed_bytes", sa.BigInteger(), nullable=True),
        sa.Column("backup_taken", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("backup_location", types.Line(length=500), nullable=True),
        sa.Column("rollback_sql", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_database_changes_infrastructure_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_database_changes_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_database_changes_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_database_changes")),
    )
    op.create_index(
        op.f("ix_database_changes_infrastructure_id"), "database_changes", ["infrastructure_id"], unique=False
    )
    op.create_index(op.f("ix_database_changes_session_id"), "database_changes", ["session_id"], unique=False)
    op.create_index(op.f("ix_database_changes_work_item_id"), "database_changes", ["work_item_id"], unique=False)

    op.create_table(
        "deployments",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column("service_id", types.Id(), nullable=True),
        sa.Column("deployment_type", types.Line(length=50), nullable=True),
        sa.Column("software_version", types.Line(length=100), nullable=True),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column("deployed_from", types.Line(length=500), nullable=True),
        sa.Column("deployed_to", types.Line(length=500), nullable=True),
        sa.Column("rollback_available", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("rollback_procedure", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_deployments_infrastructure_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name=op.f("fk_deployments_service_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_deployments_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_deployments_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
    )
    op.create_index(op.f("ix_deployments_infrastructure_id"), "deployments", ["infrastructure_id"], unique=False)
    op.create_index(op.f("ix_deployments_service_id"), "deployments", ["service_id"], unique=False)
    op.create_index(op.f("ix_deployments_session_id"), "deployments", ["session_id"], unique=False)
    op.create_index(op.f("ix_deployments_work_item_id"), "deployments", ["work_item_id"], unique=False)

    op.create_table(
        "environmental_insights",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column(
            "insight_category",
            sa.Enum(
                "command_constraints",
                "service_configuration",
                "version_limitations",
                "custom_installations",
                "network_constraints",
                "permissions",
                name="insightcategory",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("insight_title", types.Line(length=500), nullable=False),
        sa.Column("insight_description", types.Prose(), nullable=False),
        sa.Column("examples", types.Json(), nullable=True),
        sa.Column("source_pattern_id", types.Id(), nullable=True),
        sa.Column(
            "confidence_level",
            sa.Enum(
                "confirmed",
                "likely",
                "suspected",
                name="confidence",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="likely",
            nullable=False,
        ),
        sa.Column("priority", sa.Integer(), server_default=sa.text("5"), nullable=False),
        sa.Column("last_verified", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("priority BETWEEN 1 AND 10", name=op.f("ck_environmental_insights_priority")),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_environmental_insights_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_environmental_insights_infrastructure_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["source_pattern_id"],
            ["failure_patterns.id"],
            name=op.f("fk_environmental_insights_source_pattern_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environmental_insights")),
    )
    op.create_index(op.f("ix_environmental_insights_client_id"), "environmental_insights", ["client_id"], unique=False)
    op.create_index(
        op.f("ix_environmental_insights_infrastructure_id"),
        "environmental_insights",
        ["infrastructure_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_environmental_insights_insight_category"), "environmental_insights", ["insight_category"], unique=False
    )
    op.create_index(
        op.f("ix_environmental_insights_source_pattern_id"),
        "environmental_insights",
        ["source_pattern_id"],
        unique=False,
    )

    op.create_table(
        "file_changes",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("file_path", types.Line(length=1000), nullable=False),
        sa.Column("change_type", types.Line(length=50), nullable=False),
        sa.Column("backup_path", types.Line(length=1000), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_file_changes_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_file_changes_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_changes")),
    )
    op.create_index(op.f("ix_file_changes_session_id"), "file_changes", ["session_id"], unique=False)
    op.create_index(op.f("ix_file_changes_work_item_id"), "file_changes", ["work_item_id"], unique=False)

    op.create_table(
        "gates",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("run_id", types.Id(), nullable=True),
        sa.Column("step_key", types.Line(length=100), nullable=True),
        sa.Column(
            "kind",
            sa.Enum("time", "decision", "check", name="gatekind", native_enum=False, create_constraint=True, length=50),
            nullable=False,
        ),
        sa.Column("condition", types.Json(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "waiting", "passed", "refused", name="gatestate", native_enum=False, create_constraint=True, length=50
            ),
            server_default="waiting",
            nullable=False,
        ),
        sa.Column("decided_by", types.Line(length=255), nullable=True),
        sa.Column("decided_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("(run_id IS NULL) = (step_key IS NULL)", name=op.f("ck_gates_step")),
        sa.CheckConstraint("(work_item_id IS NULL) <> (run_id IS NULL)", name=op.f("ck_gates_one_waiter")),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_gates_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gates")),
    )
    op.create_index(op.f("ix_gates_run_id"), "gates", ["run_id"], unique=False)
    op.create_index(op.f("ix_gates_state"), "gates", ["state"], unique=False)
    op.create_index(op.f("ix_gates_work_item_id"), "gates", ["work_item_id"], unique=False)

    op.create_table(
        "infrastructure_changes",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column("change_type", types.Line(length=50), nullable=False),
        sa.Column("target_system", types.Line(length=255), nullable=False),
        sa.Column("before_state", types.Prose(), nullable=True),
        sa.Column("after_state", types.Prose(), nullable=True),
        sa.Column("is_permanent", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("rollback_procedure", types.Prose(), nullable=True),
        sa.Column("verification_performed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("verification_notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_infrastructure_changes_infrastructure_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_infrastructure_changes_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_infrastructure_changes_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_infrastructure_changes")),
    )
    op.create_index(
        op.f("ix_infrastructure_changes_infrastructure_id"),
        "infrastructure_changes",
        ["infrastructure_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_infrastructure_changes_session_id"), "infrastructure_changes", ["session_id"], unique=False
    )
    op.create_index(
        op.f("ix_infrastructure_changes_work_item_id"), "infrastructure_changes", ["work_item_id"], unique=False
    )

    op.create_table(
        "operation_failures",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column(
            "operation_type",
            sa.Enum(
                "api_call",
                "file_operation",
                "network_request",
                "database_query",
                "external_integration",
                "service_restart",
                name="operationtype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("operation_description", types.Prose(), nullable=False),
        sa.Column("target_system", types.Line(length=255), nullable=True),
        sa.Column("error_message", types.Prose(), nullable=False),
        sa.Column("error_code", types.Line(length=50), nullable=True),
        sa.Column("failure_category", types.Line(length=100), nullable=True),
        sa.Column("stack_trace", types.Prose(), nullable=True),
        sa.Column("resolution_applied", types.Prose(), nullable=True),
        sa.Column("resolved", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("resolved_at", types.UtcDateTime(), nullable=True),
        sa.Column("request_data", types.Json(), nullable=True),
        sa.Column("response_data", types.Json(), nullable=True),
        sa.Column("environment_snapshot", types.Json(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_operation_failures_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_operation_failures_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation_failures")),
    )
    op.create_index(
        op.f("ix_operation_failures_operation_type"), "operation_failures", ["operation_type"], unique=False
    )
    op.create_index(op.f("ix_operation_failures_session_id"), "operation_failures", ["session_id"], unique=False)
    op.create_index(op.f("ix_operation_failures_work_item_id"), "operation_failures", ["work_item_id"], unique=False)

    op.create_table(
        "pending_tasks",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("title", types.Line(length=500), nullable=False),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column(
            "priority",
            sa.Enum(
                "critical",
                "high",
                "medium",
                "low",
                name="priority",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="medium",
            nullable=False,
        ),
        sa.Column("blocked_by", types.Prose(), nullable=True),
        sa.Column("assigned_to", types.Line(length=255), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "in_progress",
                "blocked",
                "completed",
                "cancelled",
                name="pendingtaskstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("completed_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_pending_tasks_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_pending_tasks_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_pending_tasks_work_item_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_tasks")),
    )
    op.create_index(op.f("ix_pending_tasks_client_id"), "pending_tasks", ["client_id"], unique=False)
    op.create_index(op.f("ix_pending_tasks_priority"), "pending_tasks", ["priority"], unique=False)
    op.create_index(op.f("ix_pending_tasks_project_id"), "pending_tasks", ["project_id"], unique=False)
    op.create_index(op.f("ix_pending_tasks_status"), "pending_tasks", ["status"], unique=False)

    op.create_table(
        "problem_solutions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("problem_title", types.Line(length=500), nullable=True),
        sa.Column("problem_description", types.Prose(), nullable=False),
        sa.Column("symptom", types.Prose(), nullable=True),
        sa.Column("error_message", types.Prose(), nullable=True),
        sa.Column("investigation_steps", types.Json(), nullable=True),
        sa.Column("root_cause", types.Prose(), nullable=True),
        sa.Column("solution_applied", types.Prose(), nullable=False),
        sa.Column("verification_method", types.Prose(), nullable=True),
        sa.Column("rollback_plan", types.Prose(), nullable=True),
        sa.Column("recurrence_count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_problem_solutions_client_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_problem_solutions_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_problem_solutions_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_problem_solutions")),
    )
    op.create_index(op.f("ix_problem_solutions_client_id"), "problem_solutions", ["client_id"], unique=False)
    op.create_index(op.f("ix_problem_solutions_session_id"), "problem_solutions", ["session_id"], unique=False)
    op.create_index(op.f("ix_problem_solutions_work_item_id"), "problem_solutions", ["work_item_id"], unique=False)

    op.create_table(
        "security_incidents",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("service_id", types.Id(), nullable=True),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column(
            "incident_type",
            sa.Enum(
                "bec",
                "backdoor",
                "malware",
                "unauthorized_access",
                "data_breach",
                "phishing",
                "ransomware",
                "brute_force",
                name="incidenttype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("incident_date", types.UtcDateTime(), nullable=False),
        sa.Column(
            "severity",
            sa.Enum(
                "critical",
                "high",
                "medium",
                "low",
                name="priority",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("description", types.Prose(), nullable=False),
        sa.Column("findings", types.Prose(), nullable=True),
        sa.Column("remediation_steps", types.Prose(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "investigating",
                "contained",
                "resolved",
                "monitoring",
                name="incidentstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="investigating",
            nullable=False,
        ),
        sa.Column("resolved_at", types.UtcDateTime(), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_security_incidents_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_security_incidents_infrastructure_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name=op.f("fk_security_incidents_service_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_incidents")),
    )
    op.create_index(op.f("ix_security_incidents_client_id"), "security_incidents", ["client_id"], unique=False)
    op.create_index(op.f("ix_security_incidents_incident_date"), "security_incidents", ["incident_date"], unique=False)
    op.create_index(op.f("ix_security_incidents_severity"), "security_incidents", ["severity"], unique=False)
    op.create_index(op.f("ix_security_incidents_status"), "security_incidents", ["status"], unique=False)

    op.create_table(
        "work_item_dependencies",
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("target_id", types.Id(), nullable=False),
        sa.Column(
            "dependency_type",
            sa.Enum(
                "blocks", "depends_on", name="dependencytype", native_enum=False, create_constraint=True, length=50
            ),
            nullable=False,
        ),
        sa.Column("created_by", types.Line(length=255), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("source_id <> target_id", name=op.f("ck_work_item_dependencies_two_items")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["work_items.id"], name=op.f("fk_work_item_dependencies_source_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["work_items.id"], name=op.f("fk_work_item_dependencies_target_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "target_id", name=op.f("pk_work_item_dependencies")),
    )
    op.create_index(op.f("ix_work_item_dependencies_source_id"), "work_item_dependencies", ["source_id"], unique=False)
    op.create_index(op.f("ix_work_item_dependencies_target_id"), "work_item_dependencies", ["target_id"], unique=False)

    op.create_table(
        "work_item_tags",
        sa.Column("work_item_id", types.Id(), nullable=False),
        sa.Column("tag_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f("fk_work_item_tags_tag_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_work_item_tags_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("work_item_id", "tag_id", name=op.f("pk_work_item_tags")),
    )
    op.create_index(op.f("ix_work_item_tags_tag_id"), "work_item_tags", ["tag_id"], unique=False)
    op.create_index(op.f("ix_work_item_tags_work_item_id"), "work_item_tags", ["work_item_id"], unique=False)

    op.create_table(
        "environmental_examples",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("insight_id", types.Id(), nullable=False),
        sa.Column(
            "example_type",
            sa.Enum("works", "fails", name="exampletype", native_enum=False, create_constraint=True, length=50),
            nullable=False,
        ),
        sa.Column("command_text", types.Prose(), nullable=False),
        sa.Column("expected", types.Prose(), nullable=True),
        sa.Column("actual", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["insight_id"],
            ["environmental_insights.id"],
            name=op.f("fk_environmental_examples_insight_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environmental_examples")),
    )
    op.create_index(
        op.f("ix_environmental_examples_example_type"), "environmental_examples", ["example_type"], unique=False
    )
    op.create_index(
        op.f("ix_environmental_examples_insight_id"), "environmental_examples", ["insight_id"], unique=False
    )


def downgrade() -> None:

    op.drop_table("environmental_examples")

    op.drop_table("work_item_tags")

    op.drop_table("work_item_dependencies")

    op.drop_table("security_incidents")

    op.drop_table("problem_solutions")

    op.drop_table("pending_tasks")

    op.drop_table("operation_failures")

    op.drop_table("infrastructure_changes")

    op.drop_table("gates")

    op.drop_table("file_changes")

    op.drop_table("environmental_insights")

    op.drop_table("deployments")

    op.drop_table("database_changes")

    op.drop_table("commands_run")

    op.drop_table("billable_time")

    op.drop_table("work_items")

    op.drop_table("infrastructure_tags")

    op.drop_table("failure_patterns")

    op.drop_table("tag_synonyms")

    op.drop_table("learning_metrics")
