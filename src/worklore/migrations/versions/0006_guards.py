"""Times of change that move by themselves, and records that never change."""

from worklore.migrations.guards import create_append_only, create_touch, drop_append_only, drop_touch

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STAMPED = (
    "agents",
    "api_users",
    "archived_work_items",
    "backup_schedules",
    "billable_time",
    "client_keys",
    "clients",
    "configurations",
    "context_snippets",
    "conversation_contexts",
    "credentials",
    "decision_logs",
    "environmental_insights",
    "failure_patterns",
    "firewall_rules",
    "future_enhancements",
    "gates",
    "infrastructure",
    "integration_credentials",
    "learning_metrics",
    "m365_tenants",
    "machines",
    "networks",
    "pending_tasks",
    "project_configuration",
    "project_states",
    "projects",
    "schedules",
    "security_incidents",
    "services",
    "sessions",
    "signing_keys",
    "sites",
    "task_grants",
    "tasks",
    "transcript_cursors",
    "transcripts",
    "vault_keys",
    "vendor_extractors",
    "work_items",
    "workflow_runs",
    "workflows",
)
APPEND_ONLY = ("audit_log", "credential_audit_log")


def upgrade() -> None:
    for table in STAMPED:
        create_touch(table)
    for table in APPEND_ONLY:
        create_append_only(table)


def downgrade() -> None:
    for table in reversed(APPEND_ONLY):
        drop_append_only(table)
    for table in reversed(STAMPED):
        drop_touch(table)
