"""Integrations, operations and who acts"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "api_audit_log",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("user_id", types.Line(length=255), nullable=False),
        sa.Column("method", types.Line(length=10), nullable=True),
        sa.Column("endpoint", types.Line(length=500), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("ip_address", types.Line(length=45), nullable=True),
        sa.Column("user_agent", types.Prose(), nullable=True),
        sa.Column("request_id", types.Id(), nullable=True),
        sa.Column("request_body_redacted", types.Json(), nullable=True),
        sa.Column("response_time_ms", sa.Integer(), nullable=True),
        sa.Column("error_message", types.Prose(), nullable=True),
        sa.Column("timestamp", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_audit_log")),
    )
    op.create_index(op.f("ix_api_audit_log_endpoint"), "api_audit_log", ["endpoint"], unique=False)
    op.create_index(op.f("ix_api_audit_log_http_status"), "api_audit_log", ["http_status"], unique=False)
    op.create_index(op.f("ix_api_audit_log_timestamp"), "api_audit_log", ["timestamp"], unique=False)
    op.create_index(op.f("ix_api_audit_log_user_id"), "api_audit_log", ["user_id"], unique=False)

    op.create_table(
        "audit_checkpoints",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("epoch", types.Id(), nullable=False),
        sa.Column("heads", types.Json(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("root", types.Line(length=64), nullable=False),
        sa.Column("key_id", types.Line(length=64), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_checkpoints")),
    )
    op.create_index(op.f("ix_audit_checkpoints_at"), "audit_checkpoints", ["at"], unique=False)

    op.create_table(
        "backup_log",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column(
            "backup_type",
            sa.Enum(
                "daily",
                "weekly",
                "monthly",
                "manual",
                "pre-migration",
                name="backuptype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("file_path", types.Line(length=500), nullable=False),
        sa.Column("file_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("checksum_sha256", types.Line(length=64), nullable=True),
        sa.Column("backup_started_at", types.UtcDateTime(), nullable=False),
        sa.Column("backup_completed_at", types.UtcDateTime(), nullable=False),
        sa.Column("duration_seconds", sa.Integer(), nullable=True),
        sa.Column(
            "verification_status",
            sa.Enum(
                "passed",
                "failed",
                "not_verified",
                name="verificationstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="not_verified",
            nullable=True,
        ),
        sa.Column("verification_details", types.Json(), nullable=True),
        sa.Column("database_host", types.Line(length=255), nullable=True),
        sa.Column("database_name", types.Line(length=100), nullable=True),
        sa.Column("backup_method", types.Line(length=50), server_default="mysqldump", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_log")),
    )
    op.create_index(op.f("ix_backup_log_backup_completed_at"), "backup_log", ["backup_completed_at"], unique=False)
    op.create_index(op.f("ix_backup_log_backup_type"), "backup_log", ["backup_type"], unique=False)
    op.create_index(op.f("ix_backup_log_verification_status"), "backup_log", ["verification_status"], unique=False)

    op.create_table(
        "handles",
        sa.Column("handle", types.Line(length=32), nullable=False),
        sa.Column("table_name", types.Line(length=64), nullable=False),
        sa.Column("record_id", types.Id(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("handle", name=op.f("pk_handles")),
        sa.UniqueConstraint("record_id", name=op.f("uq_handles_record_id")),
    )
    op.create_table(
        "hub_nodes",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", types.Line(length=100), nullable=False),
        sa.Column("hostname", types.Line(length=255), nullable=False),
        sa.Column("software_version", types.Line(length=50), nullable=False),
        sa.Column("key_fingerprints", types.Json(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_heartbeat", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_nodes")),
        sa.UniqueConstraint("name", name=op.f("uq_hub_nodes_name")),
    )
    op.create_index(op.f("ix_hub_nodes_last_heartbeat"), "hub_nodes", ["last_heartbeat"], unique=False)

    op.create_table(
        "integration_credentials",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("integration_name", types.Line(length=100), nullable=False),
        sa.Column(
            "credential_type",
            sa.Enum(
                "oauth",
                "api_key",
                "basic_auth",
                name="integrationcredentialtype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("api_key_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("oauth_token_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("oauth_refresh_token_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("oauth_expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("password_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("key_id", types.Line(length=64), nullable=True),
        sa.Column("api_base_url", types.Line(length=500), nullable=True),
        sa.Column("webhook_url", types.Line(length=500), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_tested_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_test_status", types.Line(length=50), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_integration_credentials")),
    )
    op.create_index(
        op.f("ix_integration_credentials_integration_name"),
        "integration_credentials",
        ["integration_name"],
        unique=False,
    )

    op.create_table(
        "rate_limits",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("bucket", types.Line(length=50), nullable=False),
        sa.Column("subject", types.Line(length=255), nullable=False),
        sa.Column("window_started_at", types.UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("blocked_until", types.UtcDateTime(), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_limits")),
        sa.UniqueConstraint("bucket", "subject", name=op.f("uq_rate_limits_bucket_subject")),
    )
    op.create_index(op.f("ix_rate_limits_expires_at"), "rate_limits", ["expires_at"], unique=False)

    op.create_table(
        "schema_migrations",
        sa.Column("version_id", types.Line(length=100), nullable=False),
        sa.Column("description", types.Prose(), nullable=True),
        sa.Column("applied_at", types.UtcDateTime(), nullable=False),
        sa.Column("applied_by", types.Line(length=255), nullable=True),
        sa.Column("checksum", types.Line(length=64), nullable=True),
        sa.Column("migration_sql", types.Prose(), nullable=True),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_schema_migrations")),
    )
    op.create_table(
        "agents",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("owner_id", types.Id(), nullable=False),
        sa.Column("machine_id", types.Id(), nullable=True),
        sa.Column("name", types.Line(length=100), nullable=False),
        sa.Column("agent_client", types.Line(length=100), nullable=True),
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
            server_default="read-only",
            nullable=False,
        ),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_seen", types.UtcDateTime(), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machines.id"], name=op.f("fk_agents_machine_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["api_users.id"], name=op.f("fk_agents_owner_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("owner_id", "name", name=op.f("uq_agents_owner_id_name")),
    )
    op.create_index(op.f("ix_agents_is_active"), "agents", ["is_active"], unique=False)
    op.create_index(op.f("ix_agents_machine_id"), "agents", ["machine_id"], unique=False)
    op.create_index(op.f("ix_agents_owner_id"), "agents", ["owner_id"], unique=False)

    op.create_table(
        "backup_schedules",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column(
            "backup_type",
            sa.Enum(
                "daily",
                "weekly",
                "monthly",
                "manual",
                "pre-migration",
                name="backuptype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("cron_expression", types.Line(length=100), nullable=False),
        sa.Column("retention_count", sa.Integer(), server_default=sa.text("7"), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("last_run_at", types.UtcDateTime(), nullable=True),
        sa.Column("next_run_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_backup_id", types.Id(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("retention_count >= 1", name=op.f("ck_backup_schedules_retention_count")),
        sa.ForeignKeyConstraint(
            ["last_backup_id"], ["backup_log.id"], name=op.f("fk_backup_schedules_last_backup_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_schedules")),
    )
    op.create_index(op.f("ix_backup_schedules_last_backup_id"), "backup_schedules", ["last_backup_id"], unique=False)
    op.create_index(op.f("ix_backup_schedules_next_run_at"), "backup_schedules", ["next_run_at"], unique=False)

    op.create_table(
        "agent_clients",
        sa.Column("agent_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_clients_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_agent_clients_client_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "client_id", name=op.f("pk_agent_clients")),
    )
    op.create_index(op.f("ix_agent_clients_client_id"), "agent_clients", ["client_id"], unique=False)

    op.create_table(
        "refresh_families",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("agent_id", types.Id(), nullable=True),
        sa.Column("machine_id", types.Id(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("rotations", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ip_address", types.Line(length=45), nullable=True),
        sa.Column("user_agent", types.Prose(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("idle_expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_reason", types.Line(length=100), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_refresh_families_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["machine_id"], ["machines.id"], name=op.f("fk_refresh_families_machine_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_users.id"], name=op.f("fk_refresh_families_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_families")),
    )
    op.create_index(op.f("ix_refresh_families_agent_id"), "refresh_families", ["agent_id"], unique=False)
    op.create_index(op.f("ix_refresh_families_expires_at"), "refresh_families", ["expires_at"], unique=False)
    op.create_index(op.f("ix_refresh_families_machine_id"), "refresh_families", ["machine_id"], unique=False)
    op.create_index(op.f("ix_refresh_families_user_id"), "refresh_families", ["user_id"], unique=False)

    op.create_table(
        "external_integrations",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("integration_type", types.Line(length=100), nullable=False),
        sa.Column("external_id", types.Line(length=255), nullable=True),
        sa.Column("external_url", types.Line(length=500), nullable=True),
        sa.Column(
            "action",
            sa.Enum(
                "created",
                "updated",
                "linked",
                "attached",
                name="exchangeaction",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column(
            "direction",
            sa.Enum("inbound", "outbound", name="direction", native_enum=False, create_constraint=True, length=50),
            nullable=True,
        ),
        sa.Column("request_data", types.Json(), nullable=True),
        sa.Column("response_data", types.Json(), nullable=True),
        sa.Column("created_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_external_integrations_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_external_integrations")),
    )
    op.create_index(
        op.f("ix_external_integrations_external_id"), "external_integrations", ["external_id"], unique=False
    )
    op.create_index(
        op.f("ix_external_integrations_integration_type"), "external_integrations", ["integration_type"], unique=False
    )
    op.create_index(op.f("ix_external_integrations_session_id"), "external_integrations", ["session_id"], unique=False)

    op.create_table(
        "ticket_links",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column(
            "integration_type",
            sa.Enum(
                "syncro",
                "autotask",
                "connectwise",
                name="ticketsystem",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("ticket_id", types.Line(length=255), nullable=False),
        sa.Column("ticket_number", types.Line(length=100), nullable=True),
        sa.Column("ticket_subject", types.Line(length=500), nullable=True),
        sa.Column("ticket_url", types.Line(length=500), nullable=True),
        sa.Column("ticket_status", types.Line(length=100), nullable=True),
        sa.Column(
            "link_type",
            sa.Enum(
                "related",
                "resolves",
                "documents",
                name="linktype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_ticket_links_client_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_ticket_links_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_links")),
    )
    op.create_index(op.f("ix_ticket_links_client_id"), "ticket_links", ["client_id"], unique=False)
    op.create_index(
        op.f("ix_ticket_links_integration_type_ticket_id"),
        "ticket_links",
        ["integration_type", "ticket_id"],
        unique=False,
    )
    op.create_index(op.f("ix_ticket_links_session_id"), "ticket_links", ["session_id"], unique=False)

    op.create_table(
        "share_links",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("credential_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("created_by_id", types.Id(), nullable=True),
        sa.Column("token_hash", types.Line(length=64), nullable=False),
        sa.Column("recipient", types.Line(length=255), nullable=True),
        sa.Column("max_views", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("view_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_viewed_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("max_views >= 1", name=op.f("ck_share_links_max_views")),
        sa.CheckConstraint("view_count BETWEEN 0 AND max_views", name=op.f("ck_share_links_view_count")),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_share_links_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["api_users.id"], name=op.f("fk_share_links_created_by_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credentials.id"], name=op.f("fk_share_links_credential_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_share_links_token_hash")),
    )
    op.create_index(op.f("ix_share_links_client_id"), "share_links", ["client_id"], unique=False)
    op.create_index(op.f("ix_share_links_created_by_id"), "share_links", ["created_by_id"], unique=False)
    op.create_index(op.f("ix_share_links_credential_id"), "share_links", ["credential_id"], unique=False)
    op.create_index(op.f("ix_share_links_expires_at"), "share_links", ["expires_at"], unique=False)

    op.create_table(
        "task_grants",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("agent_id", types.Id(), nullable=False),
        sa.Column("task_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("scopes", types.Json(), nullable=False),
        sa.Column("reason", types.Prose(), nullable=True),
        sa.Column("granted_by", types.Line(length=255), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_task_grants_agent_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_task_grants_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_grants_task_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_grants")),
    )
    op.create_index(op.f("ix_task_grants_agent_id"), "task_grants", ["agent_id"], unique=False)
    op.create_index(op.f("ix_task_grants_client_id"), "task_grants", ["client_id"], unique=False)
    op.create_index(op.f("ix_task_grants_expires_at"), "task_grants", ["expires_at"], unique=False)
    op.create_index(op.f("ix_task_grants_task_id"), "task_grants", ["task_id"], unique=False)

    op.create_table(
        "credential_leases",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("credential_id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("agent_id", types.Id(), nullable=True),
        sa.Column("user_id", types.Id(), nullable=True),
        sa.Column("task_grant_id", types.Id(), nullable=True),
        sa.Column("purpose", types.Prose(), nullable=True),
        sa.Column("use_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("released_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_credential_leases_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_credential_leases_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credentials.id"], name=op.f("fk_credential_leases_credential_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["task_grant_id"], ["task_grants.id"], name=op.f("fk_credential_leases_task_grant_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["api_users.id"], name=op.f("fk_credential_leases_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credential_leases")),
    )
    op.create_index(op.f("ix_credential_leases_agent_id"), "credential_leases", ["agent_id"], unique=False)
    op.create_index(op.f("ix_credential_leases_client_id"), "credential_leases", ["client_id"], unique=False)
    op.create_index(op.f("ix_credential_leases_credential_id"), "credential_leases", ["credential_id"], unique=False)
    op.create_index(op.f("ix_credential_leases_expires_at"), "credential_leases", ["expires_at"], unique=False)
    op.create_index(op.f("ix_credential_leases_task_grant_id"), "credential_leases", ["task_grant_id"], unique=False)
    op.create_index(op.f("ix_credential_leases_user_id"), "credential_leases", ["user_id"], unique=False)


def downgrade() -> None:

    op.drop_table("credential_leases")

    op.drop_table("task_grants")

    op.drop_table("share_links")

    op.drop_table("ticket_links")

    op.drop_table("external_integrations")

    op.drop_table("refresh_families")

    op.drop_table("agent_clients")

    op.drop_table("backup_schedules")

    op.drop_table("agents")
    op.drop_table("schema_migrations")

    op.drop_table("rate_limits")

    op.drop_table("integration_credentials")

    op.drop_table("hub_nodes")
    op.drop_table("handles")

    op.drop_table("backup_log")

    op.drop_table("audit_checkpoints")

    op.drop_table("api_audit_log")
