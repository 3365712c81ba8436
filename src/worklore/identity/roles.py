"""Roles: what a person or an agent may do, in one table.

A role gives verbs on groups of nouns. Every noun is in one group, and a test sees to it, so that a new noun is nobody's
but the owner's and the administrator's until somebody says whose.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person may do, in short."""

    owner = "owner"
    admin = "admin"
    technician = "technician"
    auditor = "auditor"
    read_only = "read-only"
    client_portal = "client-portal"
    agent = "agent"


GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "identity": (
        "agent",
        "api-token",
        "machine",
        "rate-limit",
        "refresh-family",
        "setup-code",
        "task-grant",
        "user",
    ),
    "vault": (
        "credential",
        "credential-audit-log",
        "credential-lease",
        "credential-permission",
        "integration-credential",
        "share-link",
    ),
    "audit": ("api-audit-entry", "audit", "redaction", "redaction-sweep"),
    "ops": ("backup-log-entry", "backup-schedule", "configuration", "job"),
    "clients": ("client", "m365-tenant", "site"),
    "estate": ("firewall-rule", "infrastructure", "network", "service", "service-relationship"),
    "work": (
        "billable-time",
        "gate",
        "pending-task",
        "project",
        "project-identity",
        "session",
        "tag",
        "tag-synonym",
        "work-item",
    ),
    "trail": (
        "command",
        "database-change",
        "deployment",
        "file-change",
        "infrastructure-change",
        "operation-failure",
        "security-incident",
    ),
    "knowledge": (
        "environmental-example",
        "environmental-insight",
        "failure-pattern",
        "learning-metric",
        "problem-solution",
    ),
    "memory": (
        "context",
        "context-tag",
        "contradiction",
        "correction",
        "decision",
        "injection",
        "memory",
        "memory-forget",
        "project-state",
        "session-taint",
        "snippet",
        "supersession",
        "taint-approval",
        "transcript",
        "usage-record",
        "warning",
    ),
    "tracking": (
        "archived-work-item",
        "deployment-event",
        "enhancement",
        "planning-reference",
        "project-configuration",
        "status-change",
        "vendor",
    ),
    "runs": (
        "run-event",
        "schedule",
        "task",
        "tool-execution",
        "workflow",
        "workflow-run",
        "workflow-version",
    ),
    "integrations": ("external-integration", "ticket-link"),
}
"""The nouns of scopes, in the groups that roles are given."""

RECORD: Final = ("clients", "estate", "work", "trail", "knowledge", "memory", "tracking", "runs", "integrations")
"""The work record: all but who may act, secrets, the hub's own upkeep, and who did what."""

CHANGED_BY_TECHNICIANS: Final = tuple(group for group in RECORD if group != "clients")
WRITTEN_BY_AGENTS: Final = ("work", "trail", "knowledge", "memory", "tracking", "runs")


def _on(groups: Iterable[str], *verbs: str) -> frozenset[str]:
    return frozenset(f"{noun}:{verb}" for group in groups for noun in GROUPS[group] for verb in verbs)


SCOPES: Final[Mapping[Role, frozenset[str]]] = {
    Role.owner: frozenset({"*"}),
    Role.admin: frozenset({"*"}),
    Role.technician: _on(RECORD, "read")
    | _on(CHANGED_BY_TECHNICIANS, "*")
    | {"agent:*", "task-grant:*", "machine:read", "setup-code:write", "api-token:write"}
    | {"credential:read", "credential:list", "credential:use", "credential:reveal", "credential:permit"}
    | {"credential-lease:read"},
    Role.auditor: frozenset({"*:read", "*:verify"}),
    Role.read_only: _on(RECORD, "read"),
    Role.client_portal: frozenset({"client:read", "work-item:read", "security-incident:read", "billable-time:read"}),
    Role.agent: _on(RECORD, "read")
    | _on(WRITTEN_BY_AGENTS, "write")
    | {"credential:read", "credential:list", "credential:use"},
}
"""The scopes of each role."""

FOR_PEOPLE: Final = frozenset({Role.owner, Role.admin, Role.client_portal})
"""Roles that no agent can have."""


def common(one: Iterable[str], other: Iterable[str]) -> frozenset[str]:
    """The scopes that both sets give, wildcards taken for what they stand for."""
    second = [_parts(scope) for scope in other]
    met = (_met(_parts(scope), also) for scope in one for also in second)
    return frozenset(scope for scope in met if scope is not None)


def _parts(scope: str) -> tuple[str, str]:
    noun, _, verb = scope.partition(":")
    return noun, verb or "*"


def _met(one: tuple[str, str], other: tuple[str, str]) -> str | None:
    parts: list[str] = []
    for mine, yours in zip(one, other, strict=True):
        if mine != yours and "*" not in {mine, yours}:
            return None
        parts.append(yours if mine == "*" else mine)
    return "*" if parts == ["*", "*"] else ":".join(parts)
