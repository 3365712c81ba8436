"""What single nouns ask of a record beyond its columns, as data: for the tests that are written once for all nouns.

Each exemption has its reason, and `test_no_exemption_is_stale` fails for one that no longer applies.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from worklore.kernel.resource import Resource
from worklore.kernel.types import iso, utcnow
from worklore.kernel.wire import wire
from worklore.resources import CATALOG

if TYPE_CHECKING:
    from tests.conformance.rows import Rows

Body = dict[str, Any]

# --- values ---------------------------------------------------------------------------------------------------------

FORMS: Final[Mapping[str, Callable[["Rows"], Any]]] = {
    "ip": lambda rows: rows.chance.choice([f"192.0.2.{rows.number(1, 254)}", f"2001:db8::{rows.number(1, 9999)}"]),
    "cidr": lambda rows: f"2001:db8:{rows.number(0, 9999)}::/64",
    "mac": lambda rows: f"00:00:5e:00:53:{rows.number(0, 255):02x}",
    "email": lambda rows: f"{rows.word()}@example.com",
    "url": lambda rows: f"https://{rows.word()}.example.com/path?a=1",
    "hostname": lambda rows: f"{rows.word()}.example.com",
    "commit": lambda rows: f"{rows.chance.getrandbits(160):040x}",
    "quarter": lambda rows: f"{rows.number(2020, 2040)}-Q{rows.number(1, 4)}",
    "cron": lambda rows: f"{rows.number(0, 59)} {rows.number(0, 23)} * * 1-5",
    "port": lambda rows: rows.number(1, 65_535),
}
"""A text of each form."""

RANGES: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "network": {"vlan_id": (1, 4094)},
    "billable-time": {"duration_minutes": (1, 600)},
    "work-item": {"pr_number": (1, 10**6)},
    "environmental-insight": {"priority": (1, 10)},
    "failure-pattern": {"occurrence_count": (1, 999)},
    "problem-solution": {"recurrence_count": (1, 999)},
    "project-state": {"progress_percentage": (0, 100)},
    "project-configuration": {"default_token_budget": (1_000, 1_000_000)},
    "enhancement": {"priority": (1, 5)},
    "task": {"max_attempts": (1, 9), "timeout_seconds": (1, 9_999)},
    "backup-schedule": {"retention_count": (1, 99)},
    "share-link": {"max_views": (10, 20), "view_count": (0, 9)},
    "archived-work-item": {"depth": (0, 5)},
    "memory": {"seq": (-(10**16), -1)},  # below all that is captured beside it: who has read so far has read these
    "run-event": {"seq": (1, 10**9)},
    "workflow-version": {"spec_version": (2, 10**9)},
}
"""Numbers whose range is narrower than that of their column."""

CHOICES: Final[Mapping[str, Mapping[str, tuple[Any, ...]]]] = {
    "agent": {"role": ("technician", "auditor", "read-only", "agent")},
    "user": {"role": ("owner", "admin", "technician", "auditor", "read-only", "client-portal")},
    "task-grant": {"scopes": (["client:read"], ["session:*", "*:read"])},
    "firewall-rule": {"port": ("any", "443", "80,443,8000-8080")},
    "context": {"relevance_score": (0.0, 0.1, 2.5, 10.0)},
    "memory": {"kind": ("turn",)},  # a window of another kind goes with its record: tests/memory/test_records.py
    "snippet": {"relevance_score": (0.0, 0.1, 2.5, 10.0)},
    "gate": {"kind": ("decision", "check"), "state": ("waiting",)},
    "backup-schedule": {"is_enabled": (True,)},  # one that is switched off is never due, whatever its expression
    "enhancement": {"depends_on": ([],)},
    "vendor": {"status": ("operational",)},
    "configuration": {
        "value": ("1", "22", "333"),
        "value_type": ("string", "integer", "float", "json"),
        "is_secret": (False,),  # a secret one reads as a mask: tests/vault/test_configurations.py
    },
    "integration-credential": {
        "api_key_header": ("X-Api-Key", "x-auth-token"),
        "probes": ([], [{"scope": "tickets.read", "method": "HEAD", "path": "/tickets?limit=1"}]),
    },
    "workflow": {"status": ("draft", "active", "paused")},
    "credential": {"is_restricted": (False,)},  # one that is restricted is seen by those named for it alone
}
"""Values that a noun's rule allows, where it does not allow all."""

ENDED: Final[Mapping[str, tuple[str, Any]]] = {
    "pending-task": ("status", "completed"),
    "work-item": ("status", "completed"),
    "operation-failure": ("resolved", True),
    "security-incident": ("status", "resolved"),
    "task": ("status", "completed"),
    "tool-execution": ("status", "completed"),
    "workflow-run": ("status", "completed"),
}
"""Nouns that bear the time of their end: full records have ended, minimal ones have not."""

LEFT_OUT: Final[Mapping[str, Mapping[str, str]]] = {
    "billable-time": {"invoiced_at": "what is invoiced does not change any more"},
    "task-grant": {"revoked_at": "what is revoked stays revoked"},
    "gate": {"run_id": "a gate waits for a work item or for a run", "step_key": "it belongs to a run"},
}
"""Fields that full records go without, and why."""


# --- records whose fields depend on each other ----------------------------------------------------------------------


def _grant(_: "Rows", body: Body) -> None:
    if "expires_at" in body:
        body["expires_at"] = iso(utcnow() + timedelta(hours=1))


def _relationship(rows: "Rows", body: Body) -> None:
    body["to_service_id"] = rows.create(CATALOG.by_name["service"], id=rows.key())["id"]


def _gate(rows: "Rows", body: Body) -> None:
    body["work_item_id"] = rows.parent(CATALOG.by_name["work-item"])


def _synonym(rows: "Rows", body: Body) -> None:
    body["synonym"] = rows.word()


def _context_tag(rows: "Rows", body: Body) -> None:
    """On one record, and one whose own tags nobody changes."""
    body["tag"] = rows.word()
    bearers = {name: body.pop(name) for name in ("context_id", "snippet_id", "decision_id") if name in body}
    if len(bearers) == 1:
        body |= bearers
        return
    body["snippet_id"] = rows.create(CATALOG.by_name["snippet"], id=rows.key(), client_id=rows.client)["id"]


def _state(rows: "Rows", body: Body) -> None:
    """One state for each project, and a session of no other one."""
    body["project_id"] = rows.create(CATALOG.by_name["project"], id=rows.key())["id"]
    if "last_session_id" in body:
        body["last_session_id"] = rows.create(CATALOG.by_name["session"], id=rows.key(), client_id=rows.client)["id"]


def _configuration(rows: "Rows", body: Body) -> None:
    """One configuration for each project, and a session that is a work item of that project."""
    body["project_id"] = rows.create(CATALOG.by_name["project"], id=rows.key())["id"]
    if "current_session_id" in body:
        item = {"item_type": "session", "project_id": body["project_id"]}
        body["current_session_id"] = rows.create(CATALOG.by_name["work-item"], id=rows.key(), **item)["id"]


def _deployment_event(rows: "Rows", body: Body) -> None:
    body["metadata"] = {
        "pr_number": rows.number(1, 9999),
        "pr_title": rows.word(),
        "commit_hash": body["commit_hash"],
        "test_summary": {"passed": rows.number(0, 99)},
        "constitutional_compliance": True,
        "note": "ß",
    }


def _vendor(rows: "Rows", body: Body) -> None:
    body["metadata"] = {
        "format_support": {"excel": True, "csv": True, "pdf": False, "ocr": False},
        "test_results": {"passing": rows.number(0, 50), "total": 99, "skipped": 1},
        "extractor_version": body["extractor_version"],
        "manifest_compliant": True,
    }


def _run(rows: "Rows", body: Body) -> None:
    published = rows.api.post(f"/workflows/{body['workflow_id']}/publish")
    assert published.status_code == 200, published.text
    body["spec_version"] = published.json()["spec_version"]


def _permission(rows: "Rows", body: Body) -> None:
    """For a user who is there, and not named for that credential yet."""
    body["user_id"] = rows.create(CATALOG.by_name["user"], id=rows.key())["id"]


def _contradiction(rows: "Rows", body: Body) -> None:
    """Of two memories that no other mark names together, of one client."""
    for name in ("window_id", "other_id"):
        body[name] = rows.create(CATALOG.by_name["memory"], id=rows.key(), client_id=rows.client)["id"]


MAKERS: Final[Mapping[str, Callable[["Rows", Body], None]]] = {
    "task-grant": _grant,
    "service-relationship": _relationship,
    "gate": _gate,
    "tag-synonym": _synonym,
    "context-tag": _context_tag,
    "project-state": _state,
    "project-configuration": _configuration,
    "deployment-event": _deployment_event,
    "vendor": _vendor,
    "workflow-run": _run,
    "credential-permission": _permission,
    "contradiction": _contradiction,
}
"""Nouns with fields that depend on each other."""


# --- where a test for all nouns cannot hold as it stands ------------------------------------------------------------

SHARED: Final[Mapping[str, str]] = {
    "tag": "labels are the vocabulary of the whole installation",
    "tag-synonym": "as the labels they stand for",
}
"""Nouns that everybody sees, and why."""

FOLLOWS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("billable-time", "start_time"): frozenset({"duration_seconds"}),
    ("billable-time", "end_time"): frozenset({"duration_seconds"}),
    ("billable-time", "duration_minutes"): frozenset({"billed_seconds", "total_amount"}),
    ("billable-time", "hourly_rate"): frozenset({"total_amount"}),
    ("credential-permission", "permission_level"): frozenset({"granted_at"}),
    ("backup-log-entry", "backup_started_at"): frozenset({"duration_seconds"}),
    ("backup-log-entry", "backup_completed_at"): frozenset({"duration_seconds"}),
    ("backup-schedule", "cron_expression"): frozenset({"next_run_at"}),
    ("agent", "role"): frozenset({"generation"}),
    ("agent", "is_active"): frozenset({"generation"}),
    ("agent", "is_limited"): frozenset({"generation"}),
    ("agent", "owner_id"): frozenset({"generation"}),
    ("agent", "machine_id"): frozenset({"generation"}),
    ("user", "role"): frozenset({"generation"}),
    ("user", "is_active"): frozenset({"generation"}),
    ("user", "is_limited"): frozenset({"generation"}),
    **{
        (noun, name): frozenset({"corrected"})
        for noun in ("environmental-insight", "failure-pattern")
        for name in wire(CATALOG.by_name[noun]).patch.model_fields
    },
}
"""What the hub works out anew when a field changes."""

TIED: Final[Mapping[tuple[str, str], str]] = {
    ("project-configuration", "current_session_id"): "it names a work item of this project",
    ("deployment-event", "commit_hash"): "the metadata names it too",
    ("deployment-event", "metadata"): "it names the commit",
    ("vendor", "extractor_version"): "the metadata names it too",
    ("vendor", "metadata"): "it names the version",
}
"""Fields that are refused when another record's value is set without the field they belong to."""

REFILLED: Final[Mapping[tuple[str, str], str]] = {
    ("problem-solution", "client_id"): "it is the session's client",
    ("task", "started_at"): "what has ended has begun",
    ("tool-execution", "duration_ms"): "it follows from the end",
    **{
        (noun, "resolved_at" if noun in {"operation-failure", "security-incident"} else "completed_at"): (
            "the hub stamps what has ended"
        )
        for noun in ENDED
    },
}
"""Fields that do not stay empty: the hub fills them."""

FOLDED: Final[Mapping[tuple[str, str], str]] = {
    ("tag-synonym", "synonym"): "a synonym is kept in lower case, without blanks around it",
}
"""Unique texts whose case does not count."""

UNRELATED: Final[Mapping[tuple[str, str], str]] = {
    ("project-configuration", "current_session_id"): "only a work item of type session, in the project, will do",
    ("problem-solution", "client_id"): "it is the client of the session that it must name",
}
"""Foreign keys whose parent a minimal record cannot be."""


def follows(resource: Resource, name: str) -> frozenset[str]:
    return FOLLOWS.get((resource.name, name), frozenset())


def plain_field(resource: Resource, record: dict[str, Any], other: dict[str, Any]) -> str:
    """A field that is no key, different in the two, and may change; alone and not unique if there is such a one."""
    plain = [
        name
        for name in wire(resource).patch.model_fields
        if name in other
        and record.get(name) != other[name]
        and not resource.table.c[name].foreign_keys
        and (resource.name, name) not in TIED
        and name != ENDED.get(resource.name, ("",))[0]
    ]
    return min(plain, key=lambda name: (bool(resource.table.c[name].unique), len(follows(resource, name))))
