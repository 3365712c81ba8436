"""The tables and columns that are promised by name: none may go, and none may change its meaning."""

BASE: dict[str, str] = {
    "machines": "id hostname machine_fingerprint friendly_name machine_type platform os_version "
    "username home_directory has_vpn_access vpn_profiles has_docker has_powershell "
    "powershell_version has_ssh has_git typical_network_location static_ip "
    "claude_working_directory additional_working_dirs installed_tools available_mcps "
    "mcp_capabilities available_skills preferred_shell is_primary is_active last_seen "
    "notes created_at updated_at",
    "clients": "id name type network_subnet domain_name m365_tenant_id primary_contact notes "
    "is_active created_at updated_at",
    "projects": "id client_id name slug category status priority description started_date "
    "target_completion_date completed_date estimated_hours actual_hours gitea_repo_url "
    "notes created_at updated_at",
    "sessions": "id client_id project_id machine_id session_title status session_date start_time "
    "end_time duration_minutes is_billable billable_hours technician summary "
    "session_log_file notes created_at updated_at user_id agent_client external_key "
    "connection_type is_active last_heartbeat last_turn_at last_progress_at tainted_at "
    "git_branch metadata handoff",
    "pending_tasks": "id client_id project_id work_item_id title description priority blocked_by "
    "assigned_to due_date status completed_at created_at updated_at",
    "tasks": "id parent_task_id session_id client_id project_id task_order title description "
    "task_type status blocking_reason assigned_agent estimated_complexity task_context "
    "started_at completed_at created_at updated_at config metadata workspace_path "
    "priority result error attempt max_attempts timeout_seconds run_after lease_owner "
    "lease_expires_at fence work_item_id",
    "tags": "id name category description usage_count created_at",
    "session_tags": "session_id tag_id",
    "work_items": "id session_id category title description status priority is_billable "
    "estimated_minutes actual_minutes affected_systems technologies_used item_order "
    "completed_at created_at updated_at item_type project_id parent_id path depth "
    "branch_name commit_hash pr_number metadata deleted_at created_by updated_by "
    "assigned_to lease_owner lease_expires_at fence approved_by_session",
    "work_item_tags": "work_item_id tag_id",
    "billable_time": "id work_item_id session_id client_id start_time end_time duration_minutes "
    "hourly_rate total_amount is_billable description category invoiced_at invoice_id "
    "notes created_at updated_at",
    "sites": "id client_id name network_subnet vpn_required vpn_subnet gateway_ip dns_servers "
    "notes created_at updated_at",
    "infrastructure": "id client_id site_id asset_type hostname ip_address mac_address os os_version "
    "role_description parent_host_id status environmental_notes powershell_version "
    "shell_type package_manager has_gui limitations notes created_at updated_at",
    "infrastructure_tags": "infrastructure_id tag_id",
    "services": "id infrastructure_id service_name service_type external_url internal_url port "
    "protocol version status notes created_at updated_at",
    "service_relationships": "id from_service_id to_service_id relationship_type notes created_at",
    "networks": "id client_id site_id network_name network_type cidr purpose gateway_ip vlan_id notes "
    "created_at updated_at",
    "firewall_rules": "id infrastructure_id rule_name source_cidr destination_cidr port protocol action "
    "rule_order is_active notes created_by created_at updated_at",
    "m365_tenants": "id client_id tenant_id tenant_name default_domain admin_email cipp_name license_info "
    "notes created_at updated_at",
    "credentials": "id client_id service_id infrastructure_id credential_type service_name username "
    "password_encrypted api_key_encrypted client_id_oauth client_secret_encrypted "
    "tenant_id_oauth token_encrypted connection_string_encrypted key_id integration_code "
    "external_url internal_url custom_port expires_at last_rotated_at requires_vpn "
    "requires_2fa is_active created_at updated_at",
    "credential_audit_log": "id credential_id action user_id ip_address user_agent session_ref details prev_hmac "
    "row_hmac timestamp",
    "credential_permissions": "id credential_id user_id permission_level granted_at granted_by",
    "security_incidents": "id client_id service_id infrastructure_id incident_type incident_date severity "
    "description findings remediation_steps status resolved_at notes created_at "
    "updated_at",
    "file_changes": "id work_item_id session_id file_path change_type backup_path size_bytes description created_at",
    "commands_run": "id work_item_id session_id command_text host shell_type success output_summary "
    "exit_code error_message failure_category resolution resolved execution_order "
    "executed_at",
    "infrastructure_changes": "id work_item_id session_id infrastructure_id change_type target_system before_state "
    "after_state is_permanent rollback_procedure verification_performed "
    "verification_notes created_at",
    "problem_solutions": "id work_item_id session_id client_id problem_title problem_description symptom "
    "error_message investigation_steps root_cause solution_applied verification_method "
    "rollback_plan recurrence_count created_at",
    "deployments": "id work_item_id session_id infrastructure_id service_id deployment_type version "
    "description deployed_from deployed_to rollback_available rollback_procedure "
    "created_at",
    "database_changes": "id work_item_id session_id infrastructure_id database_name change_type sql_executed "
    "rows_affected size_freed_bytes backup_taken backup_location rollback_sql created_at",
    "failure_patterns": "id infrastructure_id client_id pattern_type pattern_signature error_pattern "
    "affected_systems triggering_commands triggering_operations failure_description "
    "root_cause recommended_solution alternative_approaches occurrence_count severity "
    "is_active added_to_insights first_seen last_seen created_at updated_at",
    "operation_failures": "id session_id work_item_id operation_type operation_description target_system "
    "error_message error_code failure_category stack_trace resolution_applied resolved "
    "resolved_at request_data response_data environment_snapshot created_at",
    "environmental_insights": "id client_id infrastructure_id insight_category insight_title insight_description "
    "examples source_pattern_id confidence_level priority last_verified created_at "
    "updated_at",
    "external_integrations": "id session_id integration_type external_id external_url action direction "
    "request_data response_data created_by created_at",
    "integration_credentials": "id integration_name credential_type api_key_encrypted oauth_token_encrypted "
    "oauth_refresh_token_encrypted oauth_expires_at password_encrypted key_id "
    "api_base_url webhook_url is_active last_tested_at last_test_status created_at "
    "updated_at",
    "ticket_links": "id session_id client_id integration_type ticket_id ticket_number ticket_subject "
    "ticket_url ticket_status link_type created_at",
    "backup_log": "id backup_type file_path file_size_bytes checksum_sha256 backup_started_at "
    "backup_completed_at duration_seconds verification_status verification_details "
    "database_host database_name backup_method created_at",
    "api_audit_log": "id user_id method endpoint http_status ip_address user_agent request_id "
    "request_body_redacted response_time_ms error_message timestamp",
    "schema_migrations": "version_id description applied_at applied_by checksum migration_sql",
}
"""The record of work."""


RECALL: dict[str, str] = {
    "conversation_contexts": "id session_id project_id machine_id context_type title dense_summary key_decisions "
    "current_state tags relevance_score importance usage_count last_used_at tokens_before "
    "tokens_after content_hash created_at updated_at",
    "context_snippets": "id project_id client_id category title dense_content structured_data tags "
    "relevance_score importance usage_count last_used_at created_at updated_at",
    "project_states": "id project_id last_session_id current_phase progress_percentage blockers "
    "next_actions context_summary key_files important_decisions created_at updated_at",
    "decision_logs": "id project_id session_id decision_type decision_text rationale "
    "alternatives_considered impact tags created_at updated_at",
    "context_tags": "id context_id snippet_id tag created_at",
}
"""What recall adds to it."""


TRACKING: dict[str, str] = {
    "vendor_extractors": "id version name status extractor_version metadata created_at updated_at created_by "
    "updated_by",
    "deployment_events": "id project_id deployed_at commit_hash metadata created_at created_by",
    "project_configuration": "id project_id active_context_type current_session_id git_branch git_head_commit "
    "default_token_budget database_healthy last_health_check_at version updated_at "
    "updated_by",
    "future_enhancements": "id project_id title description priority status target_quarter "
    "requires_constitutional_principles depends_on version created_at updated_at "
    "created_by",
    "work_item_dependencies": "source_id target_id dependency_type created_at created_by",
    "vendor_deployment_links": "deployment_id vendor_id created_at",
    "work_item_deployment_links": "deployment_id work_item_id created_at",
    "archived_work_items": "id session_id category title description status priority is_billable "
    "estimated_minutes actual_minutes affected_systems technologies_used item_order "
    "completed_at created_at updated_at item_type project_id parent_id path depth "
    "branch_name commit_hash pr_number metadata deleted_at created_by updated_by "
    "assigned_to lease_owner lease_expires_at fence approved_by_session archived_at",
    "task_branch_links": "work_item_id branch_name created_at",
    "task_commit_links": "work_item_id commit_hash commit_message created_at",
    "task_planning_references": "work_item_id file_path reference_type created_at",
    "task_status_history": "work_item_id from_status to_status changed_at changed_by",
    "deployment_links": "deployment_id deployment_event_id",
}
"""Projects, their deployments and plans."""


RUNS: dict[str, str] = {
    "workflows": "id name description definition spec_version status created_at updated_at",
    "workflow_versions": "workflow_id spec_version definition created_at created_by",
    "run_events": "run_id seq kind step_key payload created_at",
    "schedules": "name cron_expression kind payload is_enabled next_run_at last_run_at",
    "workflow_runs": "id workflow_id spec_version status input output started_at completed_at error "
    "created_at updated_at",
    "workflow_tasks": "workflow_id task_id run_id step_key sequence created_at",
    "tool_executions": "id task_id session_id tool_name arguments output status error created_at "
    "completed_at duration_ms",
    "configurations": "key value value_type description is_secret created_at updated_at",
}
"""Tasks and workflows that agents and workers carry out."""


ADDED: dict[str, str] = {
    "api_users": "email generation locked_until",
    "user_clients": "",
    "api_tokens": "kind scopes machine_id expires_at revoked_at last_used_at",
    "api_token_clients": "",
    "second_factors": "user_id last_step",
    "refresh_families": "",
    "refresh_tokens": "",
    "agents": "owner_id role",
    "agent_clients": "",
    "task_grants": "",
    "credential_leases": "",
    "share_links": "",
    "setup_codes": "",
    "rate_limits": "",
    "vault_keys": "",
    "client_keys": "",
    "signing_keys": "",
    "project_identities": "kind value project_id",
    "handles": "",
    "gates": "work_item_id kind condition state decided_by",
    "tag_synonyms": "tag_id synonym",
    "environmental_examples": "insight_id example_type command_text expected actual",
    "learning_metrics": "metric_date metric_name metric_value client_id details",
    "backup_schedules": "backup_type cron_expression retention_count is_enabled last_run_at next_run_at last_backup_id",
    "audit_log": "actor on_behalf_of action table_name record_id client_id changed message request_id outcome",
    "audit_checkpoints": "",
    "hub_nodes": "",
    "idempotency_keys": "",
    "outbox_events": "payload delivered_at attempts",
    "jobs": "kind payload run_after",
    "tombstones": "table_name record_id client_id deleted_at",
    "transcripts": "",
    "transcript_cursors": "",
    "memory_windows": "seq session_id project_id client_id role superseded_by",
    "injections": "",
}
"""Who acts, keys, memory and the kernel; columns where they are promised."""


RENAMED = {("services", "version"): "software_version", ("deployments", "version"): "software_version"}
"""Every mutable row has a `version` of its own, which each update checks; the software's has another name."""
