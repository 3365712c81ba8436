"""The table of contents of the product: every noun, every verb and every holder of secrets, in explicit tuples."""

from typing import Any, Final

from worklore.clients.client import CLIENTS
from worklore.clients.site import SITES
from worklore.clients.tenant import TENANTS
from worklore.estate.firewall import FIREWALL_RULES
from worklore.estate.infrastructure import INFRASTRUCTURE
from worklore.estate.network import NETWORKS
from worklore.estate.service import SERVICE_RELATIONSHIPS, SERVICES
from worklore.identity.agent import AGENTS, TASK_GRANTS
from worklore.identity.limit import RATE_LIMITS
from worklore.identity.machine import MACHINES
from worklore.identity.program import ISSUE_TOKEN, REVOKE_TOKEN
from worklore.identity.refresh import REFRESH_FAMILIES
from worklore.identity.setup import INVITE
from worklore.identity.standing import STANDING
from worklore.identity.token import API_TOKENS
from worklore.identity.user import USERS
from worklore.integrations.credential import INTEGRATION_CREDENTIALS, INTEGRATION_SECRETS
from worklore.integrations.exchange import EXTERNAL_INTEGRATIONS
from worklore.integrations.report import REPORT_CREDENTIALS
from worklore.integrations.sealed import ROTATE_INTEGRATION, SHRED_INTEGRATION, TEST_INTEGRATION
from worklore.integrations.ticket_link import TICKET_LINKS
from worklore.kernel.action import Action
from worklore.kernel.resource import Catalog, Resource
from worklore.knowledge.example import ENVIRONMENTAL_EXAMPLES
from worklore.knowledge.insight import ENVIRONMENTAL_INSIGHTS
from worklore.knowledge.metric import LEARNING_METRICS
from worklore.knowledge.pattern import FAILURE_PATTERNS
from worklore.knowledge.solution import PROBLEM_SOLUTIONS
from worklore.memory.capture import CAPTURE
from worklore.memory.compressing import COMPRESS_SESSION, MAKE_SNIPPET, STATE_BRIEF
from worklore.memory.context import CONTEXTS
from worklore.memory.context_pack import PACK_OF_CLIENT, PACK_OF_WORK_ITEM
from worklore.memory.decision import DECISIONS
from worklore.memory.found import (
    CONTEXT_TAGS,
    DECISIONS_BY_TAGS,
    RECALL_CONTEXTS,
    RECENT_DECISIONS,
    SNIPPETS_BY_TAGS,
    TOP_SNIPPETS,
)
from worklore.memory.injection import INJECTIONS
from worklore.memory.life.contradict import CONTRADICT, CONTRADICTIONS
from worklore.memory.life.correct import CORRECT, CORRECTIONS, UNCORRECT
from worklore.memory.life.forget import FORGETTING
from worklore.memory.life.forgotten import FORGETS
from worklore.memory.life.merge import MERGE
from worklore.memory.life.provenance import PROVENANCE
from worklore.memory.life.supersede import RESTORE, SUPERSEDE, SUPERSESSIONS
from worklore.memory.life.taint import SESSION_TAINTS, TAINT_APPROVALS, TAINTING
from worklore.memory.project_state import PROJECT_STATES
from worklore.memory.recall import RECALL
from worklore.memory.redaction import REDACTIONS
from worklore.memory.snippet import SNIPPETS
from worklore.memory.source import TRANSCRIPTS
from worklore.memory.stats import INJECTION_FEEDBACK, MEMORY_STATS
from worklore.memory.sweep import REDACTION_SWEEPS
from worklore.memory.taking_in import TAKE_IN
from worklore.memory.trail.shown import TRAIL_OF_SESSION
from worklore.memory.usage import USAGE_RECORDS
from worklore.memory.warn.outcome import WARNING_OUTCOME
from worklore.memory.warn.told import WARNINGS
from worklore.memory.warn.warning import WARN
from worklore.memory.window import WINDOWS
from worklore.ops.api_audit import API_AUDIT
from worklore.ops.backup import BACKUP_SCHEDULES, BACKUPS
from worklore.ops.job import CANCEL_JOB, JOBS, RETRY_JOB
from worklore.runs.configuration import CONFIGURATION_SECRETS, CONFIGURATIONS
from worklore.runs.schedule import SCHEDULES
from worklore.runs.task import TASKS
from worklore.runs.tool_execution import TOOL_EXECUTIONS
from worklore.runs.workflow import (
    ADD_TASKS,
    PUBLISH,
    REMOVE_TASKS,
    RUN_EVENTS,
    WORKFLOW_RUNS,
    WORKFLOW_VERSIONS,
    WORKFLOWS,
)
from worklore.tracking.archive import ARCHIVED_WORK_ITEMS
from worklore.tracking.configuration import PROJECT_CONFIGURATIONS
from worklore.tracking.deployment_event import DEPLOYMENT_EVENTS, LINK_DEPLOYMENT, UNLINK_DEPLOYMENT
from worklore.tracking.enhancement import ENHANCEMENTS
from worklore.tracking.task_links import LINK_GIT, PLANNING_REFERENCES, STATUS_HISTORY, UNLINK_GIT
from worklore.tracking.vendor import VENDORS
from worklore.trail.command import COMMANDS
from worklore.trail.database_change import DATABASE_CHANGES
from worklore.trail.deployment import DEPLOYMENTS
from worklore.trail.failure import OPERATION_FAILURES
from worklore.trail.file_change import FILE_CHANGES
from worklore.trail.incident import INCIDENTS
from worklore.trail.infrastructure_change import INFRASTRUCTURE_CHANGES
from worklore.vault.credential import CREDENTIAL_AUDIT_LOGS, CREDENTIAL_SECRETS, CREDENTIALS
from worklore.vault.fields import Holder
from worklore.vault.lease import CREDENTIAL_LEASES, INJECT_LEASE, LEASE_CREDENTIAL, RELEASE_LEASE, RENEW_LEASE
from worklore.vault.login import FIND_LOGIN
from worklore.vault.permission import CREDENTIAL_PERMISSIONS, PERMIT
from worklore.vault.revealing import REVEAL_CREDENTIAL, ROTATE_CREDENTIAL, SHRED_CREDENTIAL, STORE_CREDENTIAL
from worklore.vault.share import SHARE_CREDENTIAL, SHARE_LINKS
from worklore.work.billable_time import BILLABLE_TIME
from worklore.work.claim import CLAIMS
from worklore.work.dependency import ADD_DEPENDENCY, DEPENDENCIES, REMOVE_DEPENDENCY
from worklore.work.gate import GATES
from worklore.work.identity import IDENTIFY, PROJECT_IDENTITIES
from worklore.work.pending_task import PENDING_TASKS
from worklore.work.project import PROJECTS
from worklore.work.ready import READY_WORK
from worklore.work.session import SESSIONS
from worklore.work.tag import TAGS
from worklore.work.tagging import (
    TAG_INFRASTRUCTURE,
    TAG_SESSION,
    TAG_SYNONYMS,
    TAG_WORK_ITEM,
    UNTAG_INFRASTRUCTURE,
    UNTAG_SESSION,
    UNTAG_WORK_ITEM,
)
from worklore.work.work_item import WORK_ITEMS

RESOURCES: Final[tuple[Resource, ...]] = (
    # identity
    AGENTS,
    TASK_GRANTS,
    RATE_LIMITS,
    MACHINES,
    REFRESH_FAMILIES,
    API_TOKENS,
    USERS,
    # clients
    CLIENTS,
    SITES,
    TENANTS,
    # estate
    FIREWALL_RULES,
    INFRASTRUCTURE,
    NETWORKS,
    SERVICES,
    SERVICE_RELATIONSHIPS,
    # vault
    CREDENTIALS,
    CREDENTIAL_AUDIT_LOGS,
    CREDENTIAL_LEASES,
    CREDENTIAL_PERMISSIONS,
    SHARE_LINKS,
    # work
    BILLABLE_TIME,
    GATES,
    PROJECT_IDENTITIES,
    PENDING_TASKS,
    PROJECTS,
    SESSIONS,
    TAGS,
    TAG_SYNONYMS,
    WORK_ITEMS,
    # trail
    COMMANDS,
    DATABASE_CHANGES,
    DEPLOYMENTS,
    OPERATION_FAILURES,
    FILE_CHANGES,
    INCIDENTS,
    INFRASTRUCTURE_CHANGES,
    # knowledge
    ENVIRONMENTAL_EXAMPLES,
    ENVIRONMENTAL_INSIGHTS,
    LEARNING_METRICS,
    FAILURE_PATTERNS,
    PROBLEM_SOLUTIONS,
    # memory
    CONTEXTS,
    CONTEXT_TAGS,
    CONTRADICTIONS,
    CORRECTIONS,
    DECISIONS,
    FORGETS,
    INJECTIONS,
    PROJECT_STATES,
    REDACTIONS,
    REDACTION_SWEEPS,
    SESSION_TAINTS,
    SNIPPETS,
    SUPERSESSIONS,
    TAINT_APPROVALS,
    TRANSCRIPTS,
    USAGE_RECORDS,
    WARNINGS,
    WINDOWS,
    # tracking
    ARCHIVED_WORK_ITEMS,
    PROJECT_CONFIGURATIONS,
    DEPLOYMENT_EVENTS,
    ENHANCEMENTS,
    PLANNING_REFERENCES,
    STATUS_HISTORY,
    VENDORS,
    # runs
    CONFIGURATIONS,
    SCHEDULES,
    TASKS,
    TOOL_EXECUTIONS,
    WORKFLOWS,
    WORKFLOW_VERSIONS,
    WORKFLOW_RUNS,
    RUN_EVENTS,
    # integrations
    INTEGRATION_CREDENTIALS,
    EXTERNAL_INTEGRATIONS,
    TICKET_LINKS,
    # ops
    API_AUDIT,
    BACKUPS,
    BACKUP_SCHEDULES,
    JOBS,
)

ACTIONS: Final[tuple[Action, ...]] = (
    # identity
    *STANDING,
    INVITE,
    ISSUE_TOKEN,
    REVOKE_TOKEN,
    # vault
    STORE_CREDENTIAL,
    ROTATE_CREDENTIAL,
    REVEAL_CREDENTIAL,
    SHRED_CREDENTIAL,
    PERMIT,
    LEASE_CREDENTIAL,
    RENEW_LEASE,
    RELEASE_LEASE,
    INJECT_LEASE,
    SHARE_CREDENTIAL,
    FIND_LOGIN,
    # work
    DEPENDENCIES,
    ADD_DEPENDENCY,
    REMOVE_DEPENDENCY,
    READY_WORK,
    *CLAIMS,
    IDENTIFY,
    TAG_SESSION,
    UNTAG_SESSION,
    TAG_WORK_ITEM,
    UNTAG_WORK_ITEM,
    TAG_INFRASTRUCTURE,
    UNTAG_INFRASTRUCTURE,
    # memory
    CAPTURE,
    TRAIL_OF_SESSION,
    RECALL,
    PACK_OF_CLIENT,
    PACK_OF_WORK_ITEM,
    RECALL_CONTEXTS,
    SNIPPETS_BY_TAGS,
    TOP_SNIPPETS,
    DECISIONS_BY_TAGS,
    RECENT_DECISIONS,
    WARN,
    WARNING_OUTCOME,
    INJECTION_FEEDBACK,
    MEMORY_STATS,
    COMPRESS_SESSION,
    MAKE_SNIPPET,
    TAKE_IN,
    STATE_BRIEF,
    SUPERSEDE,
    RESTORE,
    CONTRADICT,
    CORRECT,
    UNCORRECT,
    PROVENANCE,
    MERGE,
    *FORGETTING,
    *TAINTING,
    # tracking
    LINK_DEPLOYMENT,
    UNLINK_DEPLOYMENT,
    LINK_GIT,
    UNLINK_GIT,
    # runs
    PUBLISH,
    ADD_TASKS,
    REMOVE_TASKS,
    # integrations
    ROTATE_INTEGRATION,
    SHRED_INTEGRATION,
    TEST_INTEGRATION,
    REPORT_CREDENTIALS,
    # ops
    RETRY_JOB,
    CANCEL_JOB,
)

HOLDERS: Final[tuple[Holder[Any], ...]] = (CREDENTIAL_SECRETS, INTEGRATION_SECRETS, CONFIGURATION_SECRETS)
"""Every table whose records hold secrets that the vault seals."""

CATALOG: Final = Catalog(RESOURCES, ACTIONS)
