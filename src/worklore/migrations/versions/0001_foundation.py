"""The kernel's tables and the first nouns"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "api_users",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("email", types.Line(length=255), nullable=False),
        sa.Column("name", types.Line(length=255), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "owner",
                "admin",
                "technician",
                "auditor",
                "read-only",
                name="role",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="technician",
            nullable=False,
        ),
        sa.Column("password_hash", types.Line(length=255), nullable=True),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("failed_sign_ins", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("locked_until", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_users")),
        sa.UniqueConstraint("email", name=op.f("uq_api_users_email")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", types.Line(length=255), nullable=False),
        sa.Column("on_behalf_of", types.Line(length=255), nullable=True),
        sa.Column("action", types.Line(length=50), nullable=False),
        sa.Column("table_name", types.Line(length=64), nullable=False),
        sa.Column("record_id", types.Id(), nullable=True),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("changed", types.Json(), nullable=False),
        sa.Column("message", types.Prose(), nullable=True),
        sa.Column("request_id", types.Id(), nullable=True),
        sa.Column("outcome", types.Line(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_actor_at"), "audit_log", ["actor", "at"], unique=False)
    op.create_index(op.f("ix_audit_log_client_id"), "audit_log", ["client_id"], unique=False)
    op.create_index(op.f("ix_audit_log_record_id_at"), "audit_log", ["record_id", "at"], unique=False)

    op.create_table(
        "clients",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", types.Line(length=255), nullable=False),
        sa.Column(
            "type",
            sa.Enum(
                "msp_client",
                "internal",
                "project",
                name="clienttype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("network_subnet", types.Line(length=100), nullable=True),
        sa.Column("domain_name", types.Line(length=255), nullable=True),
        sa.Column("m365_tenant_id", types.Line(length=36), nullable=True),
        sa.Column("primary_contact", types.Line(length=255), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
        sa.UniqueConstraint("name", name=op.f("uq_clients_name")),
    )
    op.create_index(op.f("ix_clients_domain_name"), "clients", ["domain_name"], unique=False)
    op.create_index(op.f("ix_clients_is_active"), "clients", ["is_active"], unique=False)
    op.create_index(op.f("ix_clients_type"), "clients", ["type"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("principal", types.Line(length=255), nullable=False),
        sa.Column("key", types.Line(length=200), nullable=False),
        sa.Column("digest", types.Line(length=64), nullable=False),
        sa.Column("state", types.Line(length=20), nullable=False),
        sa.Column("pointer", types.Json(), nullable=True),
        sa.Column("request_id", types.Id(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_expires_at"), "idempotency_keys", ["expires_at"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", types.Line(length=100), nullable=False),
        sa.Column("key", types.Line(length=200), nullable=True),
        sa.Column("payload", types.Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "running",
                "done",
                "failed",
                "cancelled",
                name="jobstate",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("run_after", types.UtcDateTime(), nullable=False),
        sa.Column("repeat_seconds", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_owner", types.Line(length=200), nullable=True),
        sa.Column("lease_expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("started_at", types.UtcDateTime(), nullable=True),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("error", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("key", name=op.f("uq_jobs_key")),
    )
    op.create_index(op.f("ix_jobs_kind"), "jobs", ["kind"], unique=False)
    op.create_index(op.f("ix_jobs_state_run_after"), "jobs", ["state", "run_after"], unique=False)

    op.create_table(
        "machines",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("hostname", types.Line(length=255), nullable=False),
        sa.Column("machine_fingerprint", types.Line(length=500), nullable=True),
        sa.Column("friendly_name", types.Line(length=255), nullable=True),
        sa.Column(
            "machine_type",
            sa.Enum(
                "laptop",
                "desktop",
                "workstation",
                "vm",
                name="machinetype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column("platform", types.Line(length=50), nullable=True),
        sa.Column("os_version", types.Line(length=100), nullable=True),
        sa.Column("username", types.Line(length=255), nullable=True),
        sa.Column("home_directory", types.Line(length=500), nullable=True),
        sa.Column("has_vpn_access", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("vpn_profiles", types.Json(), nullable=True),
        sa.Column("has_docker", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("has_powershell", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("powershell_version", types.Line(length=20), nullable=True),
        sa.Column("has_ssh", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("has_git", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("typical_network_location", types.Line(length=100), nullable=True),
        sa.Column("static_ip", types.Line(length=45), nullable=True),
        sa.Column("claude_working_directory", types.Line(length=500), nullable=True),
        sa.Column("additional_working_dirs", types.Json(), nullable=True),
        sa.Column("installed_tools", types.Json(), nullable=True),
        sa.Column("available_mcps", types.Json(), nullable=True),
        sa.Column("mcp_capabilities", types.Json(), nullable=True),
        sa.Column("available_skills", types.Json(), nullable=True),
        sa.Column("preferred_shell", types.Line(length=50), nullable=True),
        sa.Column("is_primary", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_seen", types.UtcDateTime(), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machines")),
        sa.UniqueConstraint("machine_fingerprint", name=op.f("uq_machines_machine_fingerprint")),
    )
    op.create_index(op.f("ix_machines_hostname"), "machines", ["hostname"], unique=False)
    op.create_index(op.f("ix_machines_is_active"), "machines", ["is_active"], unique=False)
    op.create_index(op.f("ix_machines_platform"), "machines", ["platform"], unique=False)

    op.create_table(
        "outbox_events",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("event", types.Line(length=100), nullable=False),
        sa.Column("key", types.Line(length=200), nullable=False),
        sa.Column("payload", types.Json(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("delivered_at", types.UtcDateTime(), nullable=True),
        sa.Column("next_attempt_at", types.UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", types.Prose(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_events")),
    )
    op.create_index(
        op.f("ix_outbox_events_delivered_at_next_attempt_at"),
        "outbox_events",
        ["delivered_at", "next_attempt_at"],
        unique=False,
    )

    op.create_table(
        "sequences",
        sa.Column("name", types.Line(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sequences")),
    )
    op.create_table(
        "tags",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", types.Line(length=100), nullable=False),
        sa.Column("category", types.Line(length=50), nullable=True),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column("usage_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
        sa.UniqueConstraint("name", name=op.f("uq_tags_name")),
    )
    op.create_index(op.f("ix_tags_category"), "tags", ["category"], unique=False)
    op.create_index(op.f("ix_tags_usage_count"), "tags", ["usage_count"], unique=False)

    op.create_table(
        "tombstones",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("table_name", types.Line(length=64), nullable=False),
        sa.Column("record_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("deleted_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstones")),
    )
    op.create_index(
        op.f("ix_tombstones_table_name_deleted_at"), "tombstones", ["table_name", "deleted_at"], unique=False
    )

    op.create_table(
        "api_tokens",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("machine", "agent", "user", name="tokenkind", native_enum=False, create_constraint=True, length=50),
            nullable=False,
        ),
        sa.Column("token_hash", types.Line(length=64), nullable=False),
        sa.Column("hint", types.Line(length=20), nullable=False),
        sa.Column("scopes", types.Json(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("machine_id", types.Id(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machines.id"], name=op.f("fk_api_tokens_machine_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["api_users.id"], name=op.f("fk_api_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
    op.create_index(op.f("ix_api_tokens_machine_id"), "api_tokens", ["machine_id"], unique=False)
    op.create_index(op.f("ix_api_tokens_user_id"), "api_tokens", ["user_id"], unique=False)

    op.create_table(
        "projects",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.Column("name", types.Line(length=255), nullable=False),
        sa.Column("slug", types.Line(length=255), nullable=True),
        sa.Column("category", types.Line(length=50), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "working",
                "blocked",
                "critical",
                "deferred",
                "complete",
                name="projectstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="working",
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
            server_default="medium",
            nullable=True,
        ),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column("started_date", sa.Date(), nullable=True),
        sa.Column("target_completion_date", sa.Date(), nullable=True),
        sa.Column("completed_date", sa.Date(), nullable=True),
        sa.Column("estimated_hours", types.Money(), nullable=True),
        sa.Column("actual_hours", types.Money(), nullable=True),
        sa.Column("gitea_repo_url", types.Line(length=500), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_projects_client_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("slug", name=op.f("uq_projects_slug")),
    )
    op.create_index(op.f("ix_projects_client_id"), "projects", ["client_id"], unique=False)
    op.create_index(op.f("ix_projects_name"), "projects", ["name"], unique=False)
    op.create_index(op.f("ix_projects_priority"), "projects", ["priority"], unique=False)
    op.create_index(op.f("ix_projects_status"), "projects", ["status"], unique=False)

    op.create_table(
        "setup_codes",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("code_hash", types.Line(length=64), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["api_users.id"], name=op.f("fk_setup_codes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_setup_codes")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_setup_codes_code_hash")),
    )
    op.create_table(
        "user_clients",
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_user_clients_client_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_users.id"], name=op.f("fk_user_clients_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "client_id", name=op.f("pk_user_clients")),
    )
    op.create_index(op.f("ix_user_clients_client_id"), "user_clients", ["client_id"], unique=False)

    op.create_table(
        "project_identities",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "remote",
                "root_commit",
                "marker",
                "path",
                name="identitykind",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("value", types.Line(length=500), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_identities_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_identities")),
    )
    op.create_index(op.f("ix_project_identities_kind_value"), "project_identities", ["kind", "value"], unique=True)
    op.create_index(op.f("ix_project_identities_project_id"), "project_identities", ["project_id"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("machine_id", types.Id(), nullable=True),
        sa.Column("user_id", types.Id(), nullable=True),
        sa.Column("session_title", types.Line(length=500), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "planned",
                "in_progress",
                "completed",
                "blocked",
                "cancelled",
                name="sessionstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="in_progress",
            nullable=False,
        ),
        sa.Column("session_date", sa.Date(), nullable=False),
        sa.Column("start_time", types.UtcDateTime(), nullable=True),
        sa.Column("end_time", types.UtcDateTime(), nullable=True),
        sa.Column("duration_minutes", sa.Integer(), nullable=True),
        sa.Column("is_billable", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("billable_hours", types.Money(), nullable=True),
        sa.Column("technician", types.Line(length=255), nullable=True),
        sa.Column("summary", types.Prose(), nullable=True),
        sa.Column("session_log_file", types.Line(length=500), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("agent_client", types.Line(length=100), nullable=True),
        sa.Column("external_key", types.Line(length=200), nullable=True),
        sa.Column(
            "connection_type",
            sa.Enum(
                "hook",
                "mcp",
                "http",
                "websocket",
                "grpc",
                "cli",
                name="connectiontype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="hook",
            nullable=False,
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_heartbeat", types.UtcDateTime(), nullable=False),
        sa.Column("last_turn_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_progress_at", types.UtcDateTime(), nullable=True),
        sa.Column("tainted_at", types.UtcDateTime(), nullable=True),
        sa.Column("git_branch", types.Line(length=255), nullable=True),
        sa.Column("metadata", types.Json(), nullable=True),
        sa.Column("handoff", types.Json(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_sessions_client_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machines.id"], name=op.f("fk_sessions_machine_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_sessions_project_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["api_users.id"], name=op.f("fk_sessions_user_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("agent_client", "external_key", name=op.f("uq_sessions_agent_client_external_key")),
    )
    op.create_index(op.f("ix_sessions_agent_client"), "sessions", ["agent_client"], unique=False)
    op.create_index(op.f("ix_sessions_client_id"), "sessions", ["client_id"], unique=False)
    op.create_index(op.f("ix_sessions_created_at"), "sessions", ["created_at"], unique=False)
    op.create_index(op.f("ix_sessions_is_active"), "sessions", ["is_active"], unique=False)
    op.create_index(op.f("ix_sessions_last_heartbeat"), "sessions", ["last_heartbeat"], unique=False)
    op.create_index(op.f("ix_sessions_machine_id"), "sessions", ["machine_id"], unique=False)
    op.create_index(op.f("ix_sessions_project_id"), "sessions", ["project_id"], unique=False)
    op.create_index(op.f("ix_sessions_session_date"), "sessions", ["session_date"], unique=False)
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)

    op.create_table(
        "conversation_contexts",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("project_id", types.Id(), nullable=True),
        sa.Column("machine_id", types.Id(), nullable=True),
        sa.Column(
            "context_type",
            sa.Enum(
                "session_summary",
                "project_state",
                "general_context",
                "technical_decision",
                name="contexttype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("title", types.Line(length=200), nullable=False),
        sa.Column("dense_summary", types.Prose(), nullable=True),
        sa.Column("key_decisions", types.Json(), nullable=True),
        sa.Column("current_state", types.Json(), nullable=True),
        sa.Column("tags", types.Json(), nullable=True),
        sa.Column("relevance_score", sa.Float(precision=53), server_default=sa.text("(1.0)"), nullable=False),
        sa.Column("importance", sa.Integer(), server_default=sa.text("5"), nullable=False),
        sa.Column("usage_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("tokens_before", sa.Integer(), nullable=True),
        sa.Column("tokens_after", sa.Integer(), nullable=True),
        sa.Column("content_hash", types.Line(length=64), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("relevance_score BETWEEN 0 AND 10", name=op.f("ck_conversation_contexts_relevance_score")),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machines.id"], name=op.f("fk_conversation_contexts_machine_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_conversation_contexts_project_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_conversation_contexts_session_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation_contexts")),
        sa.UniqueConstraint(
            "project_id", "content_hash", name=op.f("uq_conversation_contexts_project_id_content_hash")
        ),
    )
    op.create_index(
        op.f("ix_conversation_contexts_context_type"), "conversation_contexts", ["context_type"], unique=False
    )
    op.create_index(op.f("ix_conversation_contexts_machine_id"), "conversation_contexts", ["machine_id"], unique=False)
    op.create_index(op.f("ix_conversation_contexts_project_id"), "conversation_contexts", ["project_id"], unique=False)
    op.create_index(
        op.f("ix_conversation_contexts_relevance_score"), "conversation_contexts", ["relevance_score"], unique=False
    )
    op.create_index(op.f("ix_conversation_contexts_session_id"), "conversation_contexts", ["session_id"], unique=False)

    op.create_table(
        "injections",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("event", types.Line(length=50), nullable=False),
        sa.Column("source_uuid", types.Line(length=100), nullable=False),
        sa.Column("why", types.Line(length=200), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("useful", sa.Boolean(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_injections_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_injections")),
    )
    op.create_index(op.f("ix_injections_session_id"), "injections", ["session_id"], unique=False)

    op.create_table(
        "session_tags",
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("tag_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_session_tags_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f("fk_session_tags_tag_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", "tag_id", name=op.f("pk_session_tags")),
    )
    op.create_index(op.f("ix_session_tags_session_id"), "session_tags", ["session_id"], unique=False)
    op.create_index(op.f("ix_session_tags_tag_id"), "session_tags", ["tag_id"], unique=False)

    op.create_table(
        "transcripts",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("machine_id", types.Id(), nullable=True),
        sa.Column("agent_client", types.Line(length=100), nullable=False),
        sa.Column("external_key", types.Line(length=200), nullable=False),
        sa.Column("source", types.Prose(), nullable=False),
        sa.Column("source_digest", types.Line(length=64), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_transcripts_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machines.id"], name=op.f("fk_transcripts_machine_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_transcripts_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_transcripts_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transcripts")),
        sa.UniqueConstraint("agent_client", "source_digest", name=op.f("uq_transcripts_agent_client_source_digest")),
    )
    op.create_index(op.f("ix_transcripts_client_id"), "transcripts", ["client_id"], unique=False)
    op.create_index(op.f("ix_transcripts_machine_id"), "transcripts", ["machine_id"], unique=False)
    op.create_index(op.f("ix_transcripts_project_id"), "transcripts", ["project_id"], unique=False)
    op.create_index(op.f("ix_transcripts_session_id"), "transcripts", ["session_id"], unique=False)

    op.create_table(
        "memory_windows",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("project_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("machine_id", types.Id(), nullable=True),
        sa.Column("transcript_id", types.Id(), nullable=True),
        sa.Column("source_uuid", types.Line(length=100), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("parts", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "role",
            sa.Enum("user", "assistant", "person", name="role", native_enum=False, create_constraint=True, length=50),
            nullable=False,
        ),
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
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_memory_windows_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machines.id"], name=op.f("fk_memory_windows_machine_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_memory_windows_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_memory_windows_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["superseded_by"], ["memory_windows.id"], name=op.f("fk_memory_windows_superseded_by"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["transcript_id"], ["transcripts.id"], name=op.f("fk_memory_windows_transcript_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_windows")),
        sa.UniqueConstraint(
            "project_id", "source_uuid", "part", name=op.f("uq_memory_windows_project_id_source_uuid_part")
        ),
    )
    op.create_index(op.f("ix_memory_windows_client_id"), "memory_windows", ["client_id"], unique=False)
    op.create_index(op.f("ix_memory_windows_project_id_seq"), "memory_windows", ["project_id", "seq"], unique=False)
    op.create_index(op.f("ix_memory_windows_seq"), "memory_windows", ["seq"], unique=True)
    op.create_index(
        op.f("ix_memory_windows_session_id_ordinal"), "memory_windows", ["session_id", "ordinal"], unique=False
    )
    op.create_index(op.f("ix_memory_windows_transcript_id"), "memory_windows", ["transcript_id"], unique=False)

    op.create_table(
        "transcript_cursors",
        sa.Column("transcript_id", types.Id(), nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), nullable=False),
        sa.Column("tail_digest", types.Line(length=64), nullable=True),
        sa.Column("last_uuid", types.Line(length=100), nullable=True),
        sa.Column("next_ordinal", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("records", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("malformed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transcript_id"], ["transcripts.id"], name=op.f("fk_transcript_cursors_transcript_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("transcript_id", name=op.f("pk_transcript_cursors")),
    )


def downgrade() -> None:

    op.drop_table("transcript_cursors")

    op.drop_table("memory_windows")

    op.drop_table("transcripts")

    op.drop_table("session_tags")

    op.drop_table("injections")

    op.drop_table("conversation_contexts")

    op.drop_table("sessions")

    op.drop_table("project_identities")

    op.drop_table("user_clients")
    op.drop_table("setup_codes")

    op.drop_table("projects")

    op.drop_table("api_tokens")

    op.drop_table("tombstones")

    op.drop_table("tags")
    op.drop_table("sequences")

    op.drop_table("outbox_events")

    op.drop_table("machines")

    op.drop_table("jobs")

    op.drop_table("idempotency_keys")

    op.drop_table("clients")

    op.drop_table("audit_log")
    op.drop_table("api_users")
