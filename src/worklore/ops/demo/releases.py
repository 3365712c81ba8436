"""What development projects brought out: merged changes, the items they belong to, and the documents they came from."""

from datetime import timedelta
from typing import Final

from worklore.ops.demo.provider import Provider, Technician
from worklore.ops.demo.rows import UNTIL, Row, Rows
from worklore.tracking.deployment_event import DeploymentEvent, VendorDeploymentLink, WorkItemDeploymentLink
from worklore.tracking.task_links import TaskBranchLink, TaskCommitLink, TaskPlanningReference

DEVELOPMENT: Final = "development"
TOUCHES_VENDOR: Final = 0.4


def releases(rows: Rows, shared: Provider, project: Row, phases: list[Row], lead: Technician) -> None:
    """A release at the end of each phase that is over, with its branch, its commit and the summary of its tests."""
    if project["category"] != DEVELOPMENT:
        return
    for number, phase in enumerate(phases, 1):
        rows.add(
            TaskPlanningReference,
            phase["created_at"],
            work_item_id=phase["id"],
            file_path=f"docs/plan/{number:02}.md",
            reference_type="plan",
        )
        if phase["completed_at"] is not None and phase["completed_at"] < UNTIL:
            _release(rows, shared, phase, number, lead)


def _release(rows: Rows, shared: Provider, phase: Row, number: int, lead: Technician) -> None:
    chance, at = rows.chance, phase["completed_at"] - timedelta(hours=1)
    commit = f"{chance.getrandbits(160):040x}"
    event = rows.add(
        DeploymentEvent,
        at,
        project_id=phase["project_id"],
        deployed_at=at,
        commit_hash=commit,
        metadata={
            "pr_number": number,
            "pr_title": phase["title"],
            "commit_hash": commit,
            "test_summary": {"passed": chance.randrange(40, 400), "failed": 0, "skipped": chance.randrange(4)},
            "constitutional_compliance": True,
        },
        created_by=lead.email,
    )
    rows.add(WorkItemDeploymentLink, at, deployment_id=event["id"], work_item_id=phase["id"])
    rows.add(TaskBranchLink, at, work_item_id=phase["id"], branch_name=f"phase-{number}")
    rows.add(TaskCommitLink, at, work_item_id=phase["id"], commit_hash=commit, commit_message=phase["title"])
    phase |= {"branch_name": f"phase-{number}", "commit_hash": commit, "pr_number": number}
    if rows.likely(TOUCHES_VENDOR):
        vendor = shared.vendors[chance.choice(sorted(shared.vendors))]
        rows.add(VendorDeploymentLink, at, deployment_id=event["id"], vendor_id=vendor)
