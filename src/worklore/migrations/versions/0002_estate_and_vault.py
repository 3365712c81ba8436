"""Estate and vault"""

import sqlalchemy as sa
from alembic import op

from worklore.kernel import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "vault_keys",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("key_id", types.Line(length=64), nullable=False),
        sa.Column("fingerprint", types.Line(length=64), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "added",
                "active",
                "decrypt-only",
                "retired",
                name="keystate",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="added",
            nullable=False,
        ),
        sa.Column("canary", sa.LargeBinary(), nullable=False),
        sa.Column("promoted_at", types.UtcDateTime(), nullable=True),
        sa.Column("retired_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vault_keys")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_vault_keys_fingerprint")),
        sa.UniqueConstraint("key_id", name=op.f("uq_vault_keys_key_id")),
    )
    op.create_index(op.f("ix_vault_keys_state"), "vault_keys", ["state"], unique=False)

    op.create_table(
        "client_keys",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("vault_key_id", types.Id(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "added",
                "active",
                "decrypt-only",
                "retired",
                name="keystate",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="active",
            nullable=False,
        ),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("rotated_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_client_keys_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["vault_key_id"], ["vault_keys.id"], name=op.f("fk_client_keys_vault_key_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_keys")),
        sa.UniqueConstraint("client_id", "generation", name=op.f("uq_client_keys_client_id_generation")),
    )
    op.create_index(op.f("ix_client_keys_client_id"), "client_keys", ["client_id"], unique=False)
    op.create_index(op.f("ix_client_keys_vault_key_id"), "client_keys", ["vault_key_id"], unique=False)

    op.create_table(
        "m365_tenants",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("tenant_id", types.Line(length=100), nullable=False),
        sa.Column("tenant_name", types.Line(length=255), nullable=True),
        sa.Column("default_domain", types.Line(length=255), nullable=True),
        sa.Column("admin_email", types.Line(length=255), nullable=True),
        sa.Column("cipp_name", types.Line(length=255), nullable=True),
        sa.Column("license_info", types.Json(), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_m365_tenants_client_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_m365_tenants")),
        sa.UniqueConstraint("tenant_id", name=op.f("uq_m365_tenants_tenant_id")),
    )
    op.create_index(op.f("ix_m365_tenants_client_id"), "m365_tenants", ["client_id"], unique=False)
    op.create_index(op.f("ix_m365_tenants_default_domain"), "m365_tenants", ["default_domain"], unique=False)

    op.create_table(
        "signing_keys",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("key_id", types.Line(length=64), nullable=False),
        sa.Column(
            "purpose",
            sa.Enum("token", "checkpoint", name="keypurpose", native_enum=False, create_constraint=True, length=50),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "added",
                "active",
                "decrypt-only",
                "retired",
                name="keystate",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="added",
            nullable=False,
        ),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_private_key", sa.LargeBinary(), nullable=True),
        sa.Column("vault_key_id", types.Id(), nullable=True),
        sa.Column("promoted_at", types.UtcDateTime(), nullable=True),
        sa.Column("retired_at", types.UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["vault_key_id"], ["vault_keys.id"], name=op.f("fk_signing_keys_vault_key_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
        sa.UniqueConstraint("key_id", name=op.f("uq_signing_keys_key_id")),
    )
    op.create_index(op.f("ix_signing_keys_purpose_state"), "signing_keys", ["purpose", "state"], unique=False)
    op.create_index(op.f("ix_signing_keys_vault_key_id"), "signing_keys", ["vault_key_id"], unique=False)

    op.create_table(
        "sites",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.Column("name", types.Line(length=255), nullable=False),
        sa.Column("network_subnet", types.Line(length=100), nullable=True),
        sa.Column("vpn_required", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("vpn_subnet", types.Line(length=100), nullable=True),
        sa.Column("gateway_ip", types.Line(length=45), nullable=True),
        sa.Column("dns_servers", types.Json(), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_sites_client_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
    )
    op.create_index(op.f("ix_sites_client_id"), "sites", ["client_id"], unique=False)

    op.create_table(
        "infrastructure",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("site_id", types.Id(), nullable=True),
        sa.Column(
            "asset_type",
            sa.Enum(
                "physical_server",
                "virtual_machine",
                "container",
                "network_device",
                "nas_storage",
                "workstation",
                "firewall",
                "domain_controller",
                name="assettype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("hostname", types.Line(length=255), nullable=False),
        sa.Column("ip_address", types.Line(length=45), nullable=True),
        sa.Column("mac_address", types.Line(length=17), nullable=True),
        sa.Column("os", types.Line(length=255), nullable=True),
        sa.Column("os_version", types.Line(length=100), nullable=True),
        sa.Column("role_description", types.Prose(), nullable=True),
        sa.Column("parent_host_id", types.Id(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "migration_source",
                "migration_destination",
                "decommissioned",
                name="assetstatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="active",
            nullable=False,
        ),
        sa.Column("environmental_notes", types.Prose(), nullable=True),
        sa.Column("powershell_version", types.Line(length=20), nullable=True),
        sa.Column("shell_type", types.Line(length=50), nullable=True),
        sa.Column("package_manager", types.Line(length=50), nullable=True),
        sa.Column("has_gui", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("limitations", types.Json(), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_infrastructure_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["parent_host_id"],
            ["infrastructure.id"],
            name=op.f("fk_infrastructure_parent_host_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_infrastructure_site_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_infrastructure")),
    )
    op.create_index(op.f("ix_infrastructure_asset_type"), "infrastructure", ["asset_type"], unique=False)
    op.create_index(op.f("ix_infrastructure_client_id"), "infrastructure", ["client_id"], unique=False)
    op.create_index(op.f("ix_infrastructure_hostname"), "infrastructure", ["hostname"], unique=False)
    op.create_index(op.f("ix_infrastructure_parent_host_id"), "infrastructure", ["parent_host_id"], unique=False)
    op.create_index(op.f("ix_infrastructure_site_id"), "infrastructure", ["site_id"], unique=False)

    op.create_table(
        "networks",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("site_id", types.Id(), nullable=True),
        sa.Column("network_name", types.Line(length=255), nullable=False),
        sa.Column(
            "network_type",
            sa.Enum(
                "lan",
                "vpn",
                "vlan",
                "isolated",
                "dmz",
                "wan",
                name="networktype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=True,
        ),
        sa.Column("cidr", types.Line(length=100), nullable=False),
        sa.Column("purpose", types.Line(length=255), nullable=True),
        sa.Column("gateway_ip", types.Line(length=45), nullable=True),
        sa.Column("vlan_id", sa.Integer(), nullable=True),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("vlan_id BETWEEN 1 AND 4094", name=op.f("ck_networks_vlan_id")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_networks_client_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name=op.f("fk_networks_site_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_networks")),
    )
    op.create_index(op.f("ix_networks_client_id"), "networks", ["client_id"], unique=False)
    op.create_index(op.f("ix_networks_site_id"), "networks", ["site_id"], unique=False)

    op.create_table(
        "firewall_rules",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column("rule_name", types.Line(length=255), nullable=False),
        sa.Column("source_cidr", types.Line(length=100), nullable=True),
        sa.Column("destination_cidr", types.Line(length=100), nullable=True),
        sa.Column("port", types.Line(length=50), nullable=True),
        sa.Column("protocol", types.Line(length=20), nullable=True),
        sa.Column(
            "action",
            sa.Enum("allow", "deny", "drop", name="ruleaction", native_enum=False, create_constraint=True, length=50),
            nullable=False,
        ),
        sa.Column("rule_order", sa.Integer(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("created_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_firewall_rules_infrastructure_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firewall_rules")),
    )
    op.create_index(op.f("ix_firewall_rules_infrastructure_id"), "firewall_rules", ["infrastructure_id"], unique=False)
    op.create_index(op.f("ix_firewall_rules_is_active"), "firewall_rules", ["is_active"], unique=False)

    op.create_table(
        "services",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column("service_name", types.Line(length=255), nullable=False),
        sa.Column("service_type", types.Line(length=100), nullable=True),
        sa.Column("external_url", types.Line(length=500), nullable=True),
        sa.Column("internal_url", types.Line(length=500), nullable=True),
        sa.Column("port", sa.Integer(), nullable=True),
        sa.Column("protocol", types.Line(length=50), nullable=True),
        sa.Column("software_version", types.Line(length=100), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "running",
                "stopped",
                "error",
                "maintenance",
                name="servicestatus",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            server_default="running",
            nullable=False,
        ),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("port BETWEEN 1 AND 65535", name=op.f("ck_services_port")),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"], ["infrastructure.id"], name=op.f("fk_services_infrastructure_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_services")),
    )
    op.create_index(op.f("ix_services_infrastructure_id"), "services", ["infrastructure_id"], unique=False)
    op.create_index(op.f("ix_services_service_name"), "services", ["service_name"], unique=False)
    op.create_index(op.f("ix_services_status"), "services", ["status"], unique=False)

    op.create_table(
        "credentials",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=True),
        sa.Column("service_id", types.Id(), nullable=True),
        sa.Column("infrastructure_id", types.Id(), nullable=True),
        sa.Column(
            "credential_type",
            sa.Enum(
                "password",
                "api_key",
                "oauth",
                "ssh_key",
                "shared_secret",
                "jwt",
                "connection_string",
                "certificate",
                "totp",
                name="credentialtype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("service_name", types.Line(length=255), nullable=False),
        sa.Column("username", types.Line(length=255), nullable=True),
        sa.Column("password_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("api_key_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("client_id_oauth", types.Line(length=255), nullable=True),
        sa.Column("client_secret_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("tenant_id_oauth", types.Line(length=255), nullable=True),
        sa.Column("token_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("connection_string_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("totp_seed_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("key_id", types.Line(length=64), nullable=False),
        sa.Column("integration_code", types.Line(length=100), nullable=True),
        sa.Column("external_url", types.Line(length=500), nullable=True),
        sa.Column("internal_url", types.Line(length=500), nullable=True),
        sa.Column("custom_port", sa.Integer(), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_rotated_at", types.UtcDateTime(), nullable=True),
        sa.Column("requires_vpn", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("requires_2fa", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("custom_port BETWEEN 1 AND 65535", name=op.f("ck_credentials_port")),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.id"], name=op.f("fk_credentials_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["infrastructure_id"],
            ["infrastructure.id"],
            name=op.f("fk_credentials_infrastructure_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name=op.f("fk_credentials_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
    )
    op.create_index(op.f("ix_credentials_client_id"), "credentials", ["client_id"], unique=False)
    op.create_index(op.f("ix_credentials_credential_type"), "credentials", ["credential_type"], unique=False)
    op.create_index(op.f("ix_credentials_infrastructure_id"), "credentials", ["infrastructure_id"], unique=False)
    op.create_index(op.f("ix_credentials_service_id"), "credentials", ["service_id"], unique=False)

    op.create_table(
        "service_relationships",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("from_service_id", types.Id(), nullable=False),
        sa.Column("to_service_id", types.Id(), nullable=False),
        sa.Column(
            "relationship_type",
            sa.Enum(
                "hosted_on",
                "proxied_by",
                "authenticates_via",
                "backend_for",
                "depends_on",
                "replicates_to",
                name="relationshiptype",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("notes", types.Prose(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("from_service_id <> to_service_id", name=op.f("ck_service_relationships_two_services")),
        sa.ForeignKeyConstraint(
            ["from_service_id"],
            ["services.id"],
            name=op.f("fk_service_relationships_from_service_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["to_service_id"], ["services.id"], name=op.f("fk_service_relationships_to_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_relationships")),
        sa.UniqueConstraint(
            "from_service_id", "to_service_id", "relationship_type", name="uq_service_relationships_services_type"
        ),
    )
    op.create_index(
        op.f("ix_service_relationships_from_service_id"), "service_relationships", ["from_service_id"], unique=False
    )
    op.create_index(
        op.f("ix_service_relationships_to_service_id"), "service_relationships", ["to_service_id"], unique=False
    )

    op.create_table(
        "credential_audit_log",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("credential_id", types.Id(), nullable=True),
        sa.Column(
            "action",
            sa.Enum(
                "view",
                "create",
                "update",
                "delete",
                "rotate",
                "decrypt",
                "use",
                "reveal",
                "share",
                name="credentialaction",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("user_id", types.Line(length=255), nullable=False),
        sa.Column("ip_address", types.Line(length=45), nullable=True),
        sa.Column("user_agent", types.Prose(), nullable=True),
        sa.Column("session_ref", types.Id(), nullable=True),
        sa.Column("details", types.Json(), nullable=True),
        sa.Column("prev_hmac", types.Line(length=64), nullable=True),
        sa.Column("row_hmac", types.Line(length=64), nullable=True),
        sa.Column("timestamp", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["credentials.id"],
            name=op.f("fk_credential_audit_log_credential_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credential_audit_log")),
    )
    op.create_index(
        op.f("ix_credential_audit_log_credential_id"), "credential_audit_log", ["credential_id"], unique=False
    )
    op.create_index(op.f("ix_credential_audit_log_timestamp"), "credential_audit_log", ["timestamp"], unique=False)
    op.create_index(op.f("ix_credential_audit_log_user_id"), "credential_audit_log", ["user_id"], unique=False)

    op.create_table(
        "credential_permissions",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("credential_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Line(length=255), nullable=False),
        sa.Column(
            "permission_level",
            sa.Enum(
                "read",
                "use",
                "reveal",
                "edit",
                "share",
                "rotate",
                "admin",
                name="permissionlevel",
                native_enum=False,
                create_constraint=True,
                length=50,
            ),
            nullable=False,
        ),
        sa.Column("granted_at", types.UtcDateTime(), nullable=False),
        sa.Column("granted_by", types.Line(length=255), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["credentials.id"],
            name=op.f("fk_credential_permissions_credential_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credential_permissions")),
        sa.UniqueConstraint("credential_id", "user_id", name=op.f("uq_credential_permissions_credential_id_user_id")),
    )
    op.create_index(
        op.f("ix_credential_permissions_credential_id"), "credential_permissions", ["credential_id"], unique=False
    )
    op.create_index(op.f("ix_credential_permissions_user_id"), "credential_permissions", ["user_id"], unique=False)


def downgrade() -> None:

    op.drop_table("credential_permissions")

    op.drop_table("credential_audit_log")

    op.drop_table("service_relationships")

    op.drop_table("credentials")

    op.drop_table("services")

    op.drop_table("firewall_rules")

    op.drop_table("networks")

    op.drop_table("infrastructure")

    op.drop_table("sites")

    op.drop_table("signing_keys")

    op.drop_table("m365_tenants")

    op.drop_table("client_keys")

    op.drop_table("vault_keys")
