"""Where work items show: branches, commits, planning documents; and how their status moved."""

import uuid
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import CheckConstraint, ForeignKey, Index, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import through
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Created, Record
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, utcnow, uuid7
from worklore.kernel.wire import Clean, WireModel
from worklore.tracking.shapes import CommitHash, commit_rule
from worklore.work.work_item import WORK_ITEMS, WorkItem

MAX_LINKS: Final = 200


class TaskBranchLink(Created, Base):
    """A branch that a work item is done on."""

    __tablename__ = "task_branch_links"
    __table_args__ = (Index(None, "branch_name"),)

    work_item_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"), primary_key=True)
    branch_name: Mapped[str] = mapped_column(Line(255), primary_key=True)

    work_item: Mapped[WorkItem] = relationship(backref=backref("branch_links", viewonly=True), viewonly=True)


class TaskCommitLink(Created, Base):
    """A commit that belongs to a work item."""

    __tablename__ = "task_commit_links"
    __table_args__ = (CheckConstraint(commit_rule("commit_hash"), name="commit_hash"), Index(None, "commit_hash"))

    work_item_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"), primary_key=True)
    commit_hash: Mapped[str] = mapped_column(Line(40), primary_key=True, info={"form": "commit"})
    commit_message: Mapped[str | None]

    work_item: Mapped[WorkItem] = relationship(backref=backref("commit_links", viewonly=True), viewonly=True)


class TaskPlanningReference(Created, Record):
    """A planning document that a work item comes from."""

    __tablename__ = "task_planning_references"
    __table_args__ = (Index(None, "work_item_id"),)

    work_item_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    file_path: Mapped[str] = mapped_column(Line(1000))
    reference_type: Mapped[str | None] = mapped_column(Line(50))

    work_item: Mapped[WorkItem] = relationship(backref=backref("planning_references", viewonly=True), viewonly=True)


class TaskStatusHistory(Base):
    """A change of a work item's status: from what, to what, when and by whom."""

    __tablename__ = "task_status_history"
    __table_args__ = (Index(None, "work_item_id"), Index(None, "changed_at"))
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    work_item_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    # Plain text: a history keeps the words of its time, whatever becomes of the vocabulary.
    from_status: Mapped[str | None] = mapped_column(Line(50))
    to_status: Mapped[str] = mapped_column(Line(50))
    changed_at: Mapped[datetime] = mapped_column(default=utcnow)
    changed_by: Mapped[str | None] = mapped_column(Line(255))

    work_item: Mapped[WorkItem] = relationship(backref=backref("status_history", viewonly=True), viewonly=True)


PLANNING_REFERENCES = Resource(
    model=TaskPlanningReference,
    name="planning-reference",
    plural="task-planning-references",
    visible=through(TaskPlanningReference.work_item_id, WorkItem, WORK_ITEMS.visible),
    filters=(
        TaskPlanningReference.work_item_id,
        TaskPlanningReference.file_path,
        TaskPlanningReference.reference_type,
    ),
    search=(TaskPlanningReference.file_path,),
    columns=(
        TaskPlanningReference.work_item_id,
        TaskPlanningReference.file_path,
        TaskPlanningReference.reference_type,
    ),
)

STATUS_HISTORY = Resource(
    model=TaskStatusHistory,
    name="status-change",
    plural="task-status-history",
    visible=through(TaskStatusHistory.work_item_id, WorkItem, WORK_ITEMS.visible),
    filters=(
        TaskStatusHistory.work_item_id,
        TaskStatusHistory.from_status,
        TaskStatusHistory.to_status,
        TaskStatusHistory.changed_at,
        TaskStatusHistory.changed_by,
    ),
    columns=(
        TaskStatusHistory.work_item_id,
        TaskStatusHistory.from_status,
        TaskStatusHistory.to_status,
        TaskStatusHistory.changed_at,
        TaskStatusHistory.changed_by,
    ),
    verbs=READ_ONLY,
)


class Commit(WireModel):
    """A commit by its full hash."""

    commit_hash: CommitHash
    commit_message: Annotated[str, Field(max_length=10_000), Clean] | None = None


class GitPlaces(WireModel):
    """Branches and commits of a work item."""

    branches: list[Annotated[str, Field(min_length=1, max_length=255), Clean]] = Field(default=[], max_length=MAX_LINKS)
    commits: list[Commit] = Field(default=[], max_length=MAX_LINKS)


def _places(ctx: Context, item: WorkItem) -> GitPlaces:
    branches = select(TaskBranchLink.branch_name).where(TaskBranchLink.work_item_id == item.id)
    commits = select(TaskCommitLink).where(TaskCommitLink.work_item_id == item.id).order_by(TaskCommitLink.created_at)
    return GitPlaces.model_construct(
        branches=sorted(ctx.session.scalars(branches)),
        commits=[
            Commit(commit_hash=link.commit_hash, commit_message=link.commit_message)
            for link in ctx.session.scalars(commits)
        ],
    )


def link_git(ctx: Context, item: WorkItem, body: GitPlaces) -> GitPlaces:
    """Note the branches and commits of a work item. What is noted already stays; a commit's message is renewed."""
    for name in dict.fromkeys(body.branches):
        if ctx.session.get(TaskBranchLink, (item.id, name)) is None:
            ctx.session.add(TaskBranchLink(work_item_id=item.id, branch_name=name))
    for commit in {commit.commit_hash: commit for commit in body.commits}.values():
        link = ctx.session.get(TaskCommitLink, (item.id, commit.commit_hash))
        if link is None:
            ctx.session.add(TaskCommitLink(work_item_id=item.id, **commit.model_dump()))
        elif commit.commit_message is not None:
            link.commit_message = commit.commit_message
    ctx.session.flush()
    return _places(ctx, item)


def unlink_git(ctx: Context, item: WorkItem, body: GitPlaces) -> GitPlaces:
    """Take back branches and commits of a work item. What is not noted is passed over."""
    links = [ctx.session.get(TaskBranchLink, (item.id, name)) for name in dict.fromkeys(body.branches)]
    hashes = dict.fromkeys(commit.commit_hash for commit in body.commits)
    for link in (*links, *(ctx.session.get(TaskCommitLink, (item.id, commit)) for commit in hashes)):
        if link is not None:
            ctx.session.delete(link)
    ctx.session.flush()
    return _places(ctx, item)


LINK_GIT = Action(run=link_git, name="link-git", on="work-item", scope="work-item:write", risk=Risk.write)
UNLINK_GIT = Action(run=unlink_git, name="unlink-git", on="work-item", scope="work-item:write", risk=Risk.write)
