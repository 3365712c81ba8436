"""Memory, tracking and runs"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "configurations",
        sa.Column("key", types.Line(length=255), nullable=False),
        sa.Column("value", types.Prose(), nullable=False),
        sa.Column(
            "value_type",
            sa.Enum(
                "string",
                "integer",
                "float",
                "boolean",
                "json",
                name="valuetype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="string",
            nullable=False,
        ),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column("is_secret", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_configurations")),
    )
    op.create_index(op.f("ix_configurations_is_secret"), "configurations", ["is_secret"], unique=False)
    op.create_index(op.f("ix_configurations_updated_at"), "configurations", ["updated_at"], unique=False)
    op.create_index(op.f("ix_configurations_value_type"), "configurations", ["value_type"], unique=False)

    op.create_table(
        "schedules",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", types.Line(length=200), nullable=False),
        sa.Column("cron_expression", types.Line(length=100), nullable=False),
        sa.Column("kind", types.Line(length=100), nullable=False),
        sa.Column("payload", types.Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("next_run_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_run_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        sa.UniqueConstraint("name", name=op.f("uq_schedules_name")),
    )
    op.create_index(op.f("ix_schedules_next_run_at"), "schedules", ["next_run_at"], unique=False)

    op.create_table(
        "vendor_extractors",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", types.Line(length=100), nullable=False),
        sa.Column(
            "status",
            sa.Enum("operational", "broken", name="vendorstatus", native_enum=False, create_constraint=True, length=50),
            server_default="operational",
            nullable=False,
        ),
        sa.Column("extractor_version", types.Line(length=50), nullable=False),
        sa.Column("metadata", types.Json(), nullable=False),
        sa.Column("created_by", types.Line(length=255), nullable=True),
        sa.Column("updated_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vendor_extractors")),
        sa.UniqueConstraint("name", name=op.f("uq_vendor_extractors_name")),
    )
    op.create_index(op.f("ix_vendor_extractors_status"), "vendor_extractors", ["status"], unique=False)

    op.create_table(
        "workflows",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", types.Line(length=255), nullable=False),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column("definition", types.Json(), nullable=False),
        sa.Column("spec_version", sa.Integer(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "draft",
                "active",
                "archived",
                "paused",
                name="workflowstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="draft",
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("json_valid(definition)", name=op.f("ck_workflows_definition")).ddl_if(dialect="sqlite"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflows")),
    )
    op.create_index(op.f("ix_workflows_created_at"), "workflows", ["created_at"], unique=False)
    op.create_index(op.f("ix_workflows_name"), "workflows", ["name"], unique=False)
    op.create_index(op.f("ix_workflows_status"), "workflows", ["status"], unique=False)

    op.create_table(
        "workflow_runs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("workflow_id", types.Id(), nullable=False),
        sa.Column("spec_version", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "waiting",
                "completed",
                "failed",
                "cancelled",
                name="runstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("input", types.Json(), nullable=True),
        sa.Column("output", types.Json(), nullable=True),
        sa.Column("started_at", types.UtcDateTime(), nullable=True),
        sa.Column("completed_at", types.UtcDateTime(), nullable=True),
        sa.Column("error", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflows.id"], name=op.f("fk_workflow_runs_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_runs")),
    )
    op.create_index(op.f("ix_workflow_runs_status"), "workflow_runs", ["status"], unique=False)
    op.create_index(op.f("ix_workflow_runs_workflow_id"), "workflow_runs", ["workflow_id"], unique=False)

    op.create_table(
        "workflow_versions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("workflow_id", types.Id(), nullable=False),
        sa.Column("spec_version", sa.Integer(), nullable=False),
        sa.Column("definition", types.Json(), nullable=False),
        sa.Column("created_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflows.id"], name=op.f("fk_workflow_versions_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_versions")),
        sa.UniqueConstraint("workflow_id", "spec_version", name=op.f("uq_workflow_versions_workflow_id_spec_version")),
    )
    op.create_table(
        "context_snippets",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column(
            "category",
            sa.Enum(
                "decision",
                "pattern",
                "lesson",
                "blocker",
                "state",
                name="snippetcategory",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("title", types.Line(length=200), nullable=False),
        sa.Column("dense_content", types.Prose(), nullable=False),
        sa.Column("structured_data", types.Json(), nullable=True),
        sa.Column("tags", types.Json(), nullable=True),
        sa.Column("relevance_score", sa.Float(precision=53), server_default=sa.text("(1.0)"), nullable=False),
        sa.Column("importance", sa.Integer(), server_default=sa.text("5"), nullable=False),
        sa.Column("usage_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("relevance_score BETWEEN 0 AND 10", name=op.f("ck_context_snippets_relevance_score")),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_context_snippets_client_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_context_snippets_project_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_context_snippets")),
    )
    op.create_index(op.f("ix_context_snippets_category"), "context_snippets", ["category"], unique=False)
    op.create_index(op.f("ix_context_snippets_client_id"), "context_snippets", ["client_id"], unique=False)
    op.create_index(op.f("ix_context_snippets_project_id"), "context_snippets", ["project_id"], unique=False)
    op.create_index(op.f("ix_context_snippets_relevance_score"), "context_snippets", ["relevance_score"], unique=False)
    op.create_index(op.f("ix_context_snippets_usage_count"), "context_snippets", ["usage_count"], unique=False)

    op.create_table(
        "deployment_events",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("deployed_at", types.UtcDateTime(), nullable=False),
        sa.Column("commit_hash", types.Line(length=40), nullable=False),
        sa.Column("metadata", types.Json(), nullable=False),
        sa.Column("created_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "LENGTH(commit_hash) = 40 AND LENGTH(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(commit_hash, '0', ''), '1', ''), '2', ''), '3', ''), '4', ''), '5', ''), '6', ''), '7', ''), '8', ''), '9', ''), 'a', ''), 'b', ''), 'c', ''), 'd', ''), 'e', ''), 'f', '')) = 0",
            name=op.f("ck_deployment_events_commit_hash"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_deployment_events_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment_events")),
    )
    op.create_index(op.f("ix_deployment_events_commit_hash"), "deployment_events", ["commit_hash"], unique=False)
    op.create_index(op.f("ix_deployment_events_deployed_at"), "deployment_events", ["deployed_at"], unique=False)
    op.create_index(op.f("ix_deployment_events_project_id"), "deployment_events", ["project_id"], unique=False)

    op.create_table(
        "future_enhancements",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("title", types.Line(length=200), nullable=False),
        sa.Column("description", types.Prose(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "planned",
                "approved",
                "implementing",
                "completed",
                name="enhancementstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="planned",
            nullable=False,
        ),
        sa.Column("target_quarter", types.Line(length=7), nullable=True),
        sa.Column("requires_constitutional_principles", types.Json(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("depends_on", types.Json(), nullable=True),
        sa.Column("created_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "LENGTH(target_quarter) = 7 AND SUBSTR(target_quarter, 5, 2) = '-Q' AND SUBSTR(target_quarter, 7, 1) IN ('1', '2', '3', '4') AND LENGTH(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(SUBSTR(target_quarter, 1, 4), '0', ''), '1', ''), '2', ''), '3', ''), '4', ''), '5', ''), '6', ''), '7', ''), '8', ''), '9', '')) = 0",
            name=op.f("ck_future_enhancements_target_quarter"),
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 5", name=op.f("ck_future_enhancements_priority")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_future_enhancements_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_future_enhancements")),
    )
    op.create_index(op.f("ix_future_enhancements_priority"), "future_enhancements", ["priority"], unique=False)
    op.create_index(op.f("ix_future_enhancements_project_id"), "future_enhancements", ["project_id"], unique=False)
    op.create_index(op.f("ix_future_enhancements_status"), "future_enhancements", ["status"], unique=False)
    op.create_index(
        op.f("ix_future_enhancements_target_quarter"), "future_enhancements", ["target_quarter"], unique=False
    )

    op.create_table(
        "run_events",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("run_id", types.Id(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", types.Line(length=50), nullable=False),
        sa.Column("step_key", types.Line(length=200), nullable=True),
        sa.Column("payload", types.Json(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["workflow_runs.id"], name=op.f("fk_run_events_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_events")),
        sa.UniqueConstraint("run_id", "seq", name=op.f("uq_run_events_run_id_seq")),
    )
    op.create_index(op.f("ix_run_events_run_id"), "run_events", ["run_id"], unique=False)

    op.create_table(
        "archived_work_items",
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
        sa.Column("archived_at", types.UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("depth BETWEEN 0 AND 5", name=op.f("ck_archived_work_items_depth")),
        sa.ForeignKeyConstraint(
            ["approved_by_session"],
            ["sessions.id"],
            name=op.f("fk_archived_work_items_approved_by_session"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_archived_work_items_project_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_archived_work_items_session_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archived_work_items")),
    )
    op.create_index(op.f("ix_archived_work_items_archived_at"), "archived_work_items", ["archived_at"], unique=False)
    op.create_index(op.f("ix_archived_work_items_created_at"), "archived_work_items", ["created_at"], unique=False)
    op.create_index(op.f("ix_archived_work_items_item_type"), "archived_work_items", ["item_type"], unique=False)
    op.create_index(op.f("ix_archived_work_items_project_id"), "archived_work_items", ["project_id"], unique=False)
    op.create_index(op.f("ix_archived_work_items_session_id"), "archived_work_items", ["session_id"], unique=False)

    op.create_table(
        "decision_logs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("decision_type", types.Line(length=100), nullable=False),
        sa.Column("decision_text", types.Prose(), nullable=False),
        sa.Column("rationale", types.Prose(), nullable=True),
        sa.Column("alternatives_considered", types.Json(), nullable=True),
        sa.Column(
            "impact",
            sa.Enum(
                "low", "medium", "high", "critical", name="impact", native_enum=False, create_constraint=True, length=50
            ),
            server_default="medium",
            nullable=False,
        ),
        sa.Column("tags", types.Json(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_decision_logs_project_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_decision_logs_session_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision_logs")),
    )
    op.create_index(op.f("ix_decision_logs_decision_type"), "decision_logs", ["decision_type"], unique=False)
    op.create_index(op.f("ix_decision_logs_impact"), "decision_logs", ["impact"], unique=False)
    op.create_index(op.f("ix_decision_logs_project_id"), "decision_logs", ["project_id"], unique=False)
    op.create_index(op.f("ix_decision_logs_session_id"), "decision_logs", ["session_id"], unique=False)

    op.create_table(
        "project_states",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=False),
        sa.Column("last_session_id", types.Id(), nullable=True),
        sa.Column("current_phase", types.Line(length=100), nullable=True),
        sa.Column("progress_percentage", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("blockers", types.Json(), nullable=True),
        sa.Column("next_actions", types.Json(), nullable=True),
        sa.Column("context_summary", types.Prose(), nullable=True),
        sa.Column("key_files", types.Json(), nullable=True),
        sa.Column("important_decisions", types.Json(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("progress_percentage BETWEEN 0 AND 100", name=op.f("ck_project_states_progress_percentage")),
        sa.ForeignKeyConstraint(
            ["last_session_id"], ["sessions.id"], name=op.f("fk_project_states_last_session_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_states_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_states")),
        sa.UniqueConstraint("project_id", name=op.f("uq_project_states_project_id")),
    )
    op.create_index(op.f("ix_project_states_last_session_id"), "project_states", ["last_session_id"], unique=False)
    op.create_index(
        op.f("ix_project_states_progress_percentage"), "project_states", ["progress_percentage"], unique=False
    )

    op.create_table(
        "vendor_deployment_links",
        sa.Column("deployment_id", types.Id(), nullable=False),
        sa.Column("vendor_id", types.Id(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployment_events.id"],
            name=op.f("fk_vendor_deployment_links_deployment_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["vendor_id"],
            ["vendor_extractors.id"],
            name=op.f("fk_vendor_deployment_links_vendor_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("deployment_id", "vendor_id", name=op.f("pk_vendor_deployment_links")),
    )
    op.create_index(
        op.f("ix_vendor_deployment_links_deployment_id"), "vendor_deployment_links", ["deployment_id"], unique=False
    )
    op.create_index(
        op.f("ix_vendor_deployment_links_vendor_id"), "vendor_deployment_links", ["vendor_id"], unique=False
    )

    op.create_table(
        "context_tags",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("context_id", types.Id(), nullable=True),
        sa.Column("snippet_id", types.Id(), nullable=True),
        sa.Column("tag", types.Line(length=100), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("(context_id IS NULL) <> (snippet_id IS NULL)", name=op.f("ck_context_tags_one_bearer")),
        sa.ForeignKeyConstraint(
            ["context_id"], ["conversation_contexts.id"], name=op.f("fk_context_tags_context_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["snippet_id"], ["context_snippets.id"], name=op.f("fk_context_tags_snippet_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_context_tags")),
        sa.UniqueConstraint("context_id", "tag", name=op.f("uq_context_tags_context_id_tag")),
        sa.UniqueConstraint("snippet_id", "tag", name=op.f("uq_context_tags_snippet_id_tag")),
    )
    op.create_index(op.f("ix_context_tags_tag"), "context_tags", ["tag"], unique=False)

    op.create_table(
        "project_configuration",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=False),
        sa.Column(
            "active_context_type",
            sa.Enum(
                "feature",
                "maintenance",
                "research",
                name="activecontext",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column("current_session_id", types.Id(), nullable=True),
        sa.Column("git_branch", types.Line(length=255), nullable=True),
        sa.Column("git_head_commit", types.Line(length=40), nullable=True),
        sa.Column("default_token_budget", sa.Integer(), server_default=sa.text("(200000)"), nullable=False),
        sa.Column("database_healthy", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_health_check_at", types.UtcDateTime(), nullable=True),
        sa.Column("updated_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "LENGTH(git_head_commit) = 40 AND LENGTH(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(git_head_commit, '0', ''), '1', ''), '2', ''), '3', ''), '4', ''), '5', ''), '6', ''), '7', ''), '8', ''), '9', ''), 'a', ''), 'b', ''), 'c', ''), 'd', ''), 'e', ''), 'f', '')) = 0",
            name=op.f("ck_project_configuration_git_head_commit"),
        ),
        sa.CheckConstraint(
            "default_token_budget BETWEEN 1000 AND 1000000", name=op.f("ck_project_configuration_default_token_budget")
        ),
        sa.ForeignKeyConstraint(
            ["current_session_id"],
            ["work_items.id"],
            name=op.f("fk_project_configuration_current_session_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_configuration_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_configuration")),
        sa.UniqueConstraint("project_id", name=op.f("uq_project_configuration_project_id")),
    )
    op.create_index(
        op.f("ix_project_configuration_current_session_id"),
        "project_configuration",
        ["current_session_id"],
        unique=False,
    )

    op.create_table(
        "task_branch_links",
        sa.Column("work_item_id", types.Id(), nullable=False),
        sa.Column("branch_name", types.Line(length=255), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_task_branch_links_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("work_item_id", "branch_name", name=op.f("pk_task_branch_links")),
    )
    op.create_index(op.f("ix_task_branch_links_branch_name"), "task_branch_links", ["branch_name"], unique=False)

    op.create_table(
        "task_commit_links",
        sa.Column("work_item_id", types.Id(), nullable=False),
        sa.Column("commit_hash", types.Line(length=40), nullable=False),
        sa.Column("commit_message", types.Prose(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "LENGTH(commit_hash) = 40 AND LENGTH(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(commit_hash, '0', ''), '1', ''), '2', ''), '3', ''), '4', ''), '5', ''), '6', ''), '7', ''), '8', ''), '9', ''), 'a', ''), 'b', ''), 'c', ''), 'd', ''), 'e', ''), 'f', '')) = 0",
            name=op.f("ck_task_commit_links_commit_hash"),
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_task_commit_links_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("work_item_id", "commit_hash", name=op.f("pk_task_commit_links")),
    )
    op.create_index(op.f("ix_task_commit_links_commit_hash"), "task_commit_links", ["commit_hash"], unique=False)

    op.create_table(
        "task_planning_references",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=False),
        sa.Column("file_path", types.Line(length=1000), nullable=False),
        sa.Column("reference_type", types.Line(length=50), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["work_item_id"],
            ["work_items.id"],
            name=op.f("fk_task_planning_references_work_item_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_planning_references")),
    )
    op.create_index(
        op.f("ix_task_planning_references_work_item_id"), "task_planning_references", ["work_item_id"], unique=False
    )

    op.create_table(
        "task_status_history",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=False),
        sa.Column("from_status", types.Line(length=50), nullable=True),
        sa.Column("to_status", types.Line(length=50), nullable=False),
        sa.Column("changed_at", types.UtcDateTime(), nullable=False),
        sa.Column("changed_by", types.Line(length=255), nullable=True),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_task_status_history_work_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_status_history")),
    )
    op.create_index(op.f("ix_task_status_history_changed_at"), "task_status_history", ["changed_at"], unique=False)
    op.create_index(op.f("ix_task_status_history_work_item_id"), "task_status_history", ["work_item_id"], unique=False)

    op.create_table(
        "tasks",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("parent_task_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("work_item_id", types.Id(), nullable=True),
        sa.Column("task_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("title", types.Line(length=500), nullable=False),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column(
            "task_type",
            sa.Enum(
                "implementation",
                "research",
                "review",
                "deployment",
                "testing",
                "documentation",
                "bugfix",
                "analysis",
                "file_operation",
                "git_operation",
                "shell_operation",
                "http_request",
                "mcp_call",
                "workflow",
                "agent",
                name="tasktype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "blocked",
                "completed",
                "failed",
                "cancelled",
                name="taskstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("blocking_reason", types.Prose(), nullable=True),
        sa.Column("assigned_agent", types.Line(length=100), nullable=True),
        sa.Column(
            "estimated_complexity",
            sa.Enum(
                "trivial",
                "simple",
                "moderate",
                "complex",
                name="complexity",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column("task_context", types.Json(), nullable=True),
        sa.Column("started_at", types.UtcDateTime(), nullable=True),
        sa.Column("completed_at", types.UtcDateTime(), nullable=True),
        sa.Column("config", types.Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("metadata", types.Json(), nullable=True),
        sa.Column("workspace_path", types.Line(length=700), nullable=True),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("result", types.Json(), nullable=True),
        sa.Column("error", types.Prose(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=True),
        sa.Column("run_after", types.UtcDateTime(), nullable=True),
        sa.Column("lease_owner", types.Line(length=200), nullable=True),
        sa.Column("lease_expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_tasks_attempt")),
        sa.CheckConstraint("json_valid(config)", name=op.f("ck_tasks_config")).ddl_if(dialect="sqlite"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_tasks_client_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["parent_task_id"], ["tasks.id"], name=op.f("fk_tasks_parent_task_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_tasks_project_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_tasks_session_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["work_item_id"], ["work_items.id"], name=op.f("fk_tasks_work_item_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index(op.f("ix_tasks_client_id"), "tasks", ["client_id"], unique=False)
    op.create_index(op.f("ix_tasks_created_at"), "tasks", ["created_at"], unique=False)
    op.create_index(op.f("ix_tasks_lease_expires_at"), "tasks", ["lease_expires_at"], unique=False)
    op.create_index(op.f("ix_tasks_parent_task_id"), "tasks", ["parent_task_id"], unique=False)
    op.create_index(op.f("ix_tasks_project_id"), "tasks", ["project_id"], unique=False)
    op.create_index(op.f("ix_tasks_session_id"), "tasks", ["session_id"], unique=False)
    op.create_index(op.f("ix_tasks_status"), "tasks", ["status"], unique=False)
    op.create_index(op.f("ix_tasks_task_type"), "tasks", ["task_type"], unique=False)
    op.create_index(op.f("ix_tasks_work_item_id"), "tasks", ["work_item_id"], unique=False)
    op.create_index(op.f("ix_tasks_workspace_path"), "tasks", ["workspace_path"], unique=False)

    op.create_table(
        "work_item_deployment_links",
        sa.Column("deployment_id", types.Id(), nullable=False),
        sa.Column("work_item_id", types.Id(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployment_events.id"],
            name=op.f("fk_work_item_deployment_links_deployment_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["work_item_id"],
            ["work_items.id"],
            name=op.f("fk_work_item_deployment_links_work_item_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("deployment_id", "work_item_id", name=op.f("pk_work_item_deployment_links")),
    )
    op.create_index(
        op.f("ix_work_item_deployment_links_deployment_id"),
        "work_item_deployment_links",
        ["deployment_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_work_item_deployment_links_work_item_id"), "work_item_deployment_links", ["work_item_id"], unique=False
    )

    op.create_table(
        "deployment_links",
        sa.Column("deployment_id", types.Id(), nullable=False),
        sa.Column("deployment_event_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_event_id"],
            ["deployment_events.id"],
            name=op.f("fk_deployment_links_deployment_event_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_deployment_links_deployment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deployment_id", "deployment_event_id", name=op.f("pk_deployment_links")),
    )
    op.create_index(
        op.f("ix_deployment_links_deployment_event_id"), "deployment_links", ["deployment_event_id"], unique=False
    )
    op.create_index(op.f("ix_deployment_links_deployment_id"), "deployment_links", ["deployment_id"], unique=False)

    op.create_table(
        "tool_executions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("task_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("tool_name", types.Line(length=200), nullable=False),
        sa.Column("arguments", types.Json(), nullable=False),
        sa.Column("output", types.Prose(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "completed",
                "failed",
                "timeout",
                name="executionstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("error", types.Prose(), nullable=True),
        sa.Column("completed_at", types.UtcDateTime(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_tool_executions_duration_ms")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_tool_executions_session_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_tool_executions_task_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_executions")),
    )
    op.create_index(op.f("ix_tool_executions_created_at"), "tool_executions", ["created_at"], unique=False)
    op.create_index(op.f("ix_tool_executions_session_id"), "tool_executions", ["session_id"], unique=False)
    op.create_index(op.f("ix_tool_executions_status"), "tool_executions", ["status"], unique=False)
    op.create_index(op.f("ix_tool_executions_task_id"), "tool_executions", ["task_id"], unique=False)
    op.create_index(
        op.f("ix_tool_executions_task_id_created_at"), "tool_executions", ["task_id", "created_at"], unique=False
    )
    op.create_index(op.f("ix_tool_executions_tool_name"), "tool_executions", ["tool_name"], unique=False)

    op.create_table(
        "workflow_tasks",
        sa.Column("workflow_id", types.Id(), nullable=False),
        sa.Column("task_id", types.Id(), nullable=False),
        sa.Column("run_id", types.Id(), nullable=True),
        sa.Column("step_key", types.Line(length=200), nullable=True),
        sa.Column("sequence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("sequence >= 0", name=op.f("ck_workflow_tasks_sequence")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["workflow_runs.id"], name=op.f("fk_workflow_tasks_run_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_workflow_tasks_task_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflows.id"], name=op.f("fk_workflow_tasks_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workflow_id", "task_id", name=op.f("pk_workflow_tasks")),
    )
    op.create_index(op.f("ix_workflow_tasks_run_id"), "workflow_tasks", ["run_id"], unique=False)
    op.create_index(op.f("ix_workflow_tasks_task_id"), "workflow_tasks", ["task_id"], unique=False)
    op.create_index(op.f("ix_workflow_tasks_workflow_id"), "workflow_tasks", ["workflow_id"], unique=False)
    op.create_index(
        op.f("ix_workflow_tasks_workflow_id_sequence"), "workflow_tasks", ["workflow_id", "sequence"], unique=False
    )


def downgrade() -> None:

    op.drop_table("workflow_tasks")

    op.drop_table("tool_executions")

    op.drop_table("deployment_links")

    op.drop_table("work_item_deployment_links")

    op.drop_table("tasks")

    op.drop_table("task_status_history")

    op.drop_table("task_planning_references")

    op.drop_table("task_commit_links")

    op.drop_table("task_branch_links")

    op.drop_table("project_configuration")

    op.drop_table("context_tags")

    op.drop_table("vendor_deployment_links")

    op.drop_table("project_states")

    op.drop_table("decision_logs")

    op.drop_table("archived_work_items")

    op.drop_table("run_events")

    op.drop_table("future_enhancements")

    op.drop_table("deployment_events")

    op.drop_table("context_snippets")
    op.drop_table("workflow_versions")

    op.drop_table("workflow_runs")

    op.drop_table("workflows")

    op.drop_table("vendor_extractors")

    op.drop_table("schedules")

    op.drop_table("configurations")
