"""Merged pull requests that were deployed, and what they carried."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import Field
from sqlalchemy import CheckConstraint, ForeignKey, Index, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import through
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.crud import load
from worklore.kernel.db import Base, Created, Record
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line
from worklore.kernel.wire import WireModel
from worklore.tracking.authorship import sign_created
from worklore.tracking.shapes import DeploymentMetadata, commit_rule
from worklore.tracking.vendor import VENDORS, VendorExtractor
from worklore.trail.deployment import DEPLOYMENTS, Deployment
from worklore.work.item_metadata import check_metadata
from worklore.work.project import PROJECTS, Project
from worklore.work.work_item import WORK_ITEMS, WorkItem

MAX_LINKS: Final = 200


EXAMPLE: Final = {
    "pr_number": 1287,
    "pr_title": "Read scanned invoices",
    "commit_hash": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "test_summary": {"unit": 812, "integration": 64},
    "constitutional_compliance": True,
}


class DeploymentEvent(Created, Record):
    """A merged pull request that was deployed, with the summary of its tests."""

    __tablename__ = "deployment_events"
    __table_args__ = (
        CheckConstraint(commit_rule("commit_hash"), name="commit_hash"),
        *(Index(None, name) for name in ("deployed_at", "commit_hash", "project_id")),
    )

    project_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    deployed_at: Mapped[datetime]
    commit_hash: Mapped[str] = mapped_column(Line(40), info={"form": "commit"})
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", info={"example": EXAMPLE})
    created_by: Mapped[str | None] = mapped_column(Line(255))

    project: Mapped[Project | None] = relationship(backref=backref("deployment_events", viewonly=True), viewonly=True)


class VendorDeploymentLink(Created, Base):
    """An extractor that a deployment event changed."""

    __tablename__ = "vendor_deployment_links"
    __table_args__ = (Index(None, "deployment_id"), Index(None, "vendor_id"))

    deployment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("deployment_events.id", ondelete="CASCADE"), primary_key=True
    )
    vendor_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("vendor_extractors.id", ondelete="CASCADE"), primary_key=True
    )

    deployment: Mapped[DeploymentEvent] = relationship(backref=backref("vendor_links", viewonly=True), viewonly=True)
    vendor: Mapped[VendorExtractor] = relationship(backref=backref("deployment_links", viewonly=True), viewonly=True)


class WorkItemDeploymentLink(Created, Base):
    """A work item that a deployment event brought out; it stays when the item is marked as deleted."""

    __tablename__ = "work_item_deployment_links"
    __table_args__ = (Index(None, "deployment_id"), Index(None, "work_item_id"))

    deployment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("deployment_events.id", ondelete="CASCADE"), primary_key=True
    )
    work_item_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"), primary_key=True)

    deployment: Mapped[DeploymentEvent] = relationship(backref=backref("work_item_links", viewonly=True), viewonly=True)
    work_item: Mapped[WorkItem] = relationship(backref=backref("deployment_links", viewonly=True), viewonly=True)


class DeploymentLink(Base):
    """What was put onto an asset, and the deployment event it came from."""

    __tablename__ = "deployment_links"
    __table_args__ = (Index(None, "deployment_id"), Index(None, "deployment_event_id"))

    deployment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True)
    deployment_event_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("deployment_events.id", ondelete="CASCADE"), primary_key=True
    )

    deployment: Mapped[Deployment] = relationship(backref=backref("event_links", viewonly=True), viewonly=True)
    deployment_event: Mapped[DeploymentEvent] = relationship(
        backref=backref("asset_links", viewonly=True), viewonly=True
    )


def check(ctx: Context, deployment: DeploymentEvent, _: Mapping[str, Any]) -> None:
    """The metadata has its shape and names the same commit."""
    check_metadata(DeploymentMetadata, deployment.metadata_)
    if deployment.metadata_["commit_hash"] != deployment.commit_hash:
        raise InvalidError(
            f"commit_hash ({deployment.commit_hash}) must be that of the metadata, "
            f"{deployment.metadata_['commit_hash']}.",
            field="commit_hash",
        )
    sign_created(ctx, deployment)


DEPLOYMENT_EVENTS = Resource(
    model=DeploymentEvent,
    name="deployment-event",
    plural="deployment-events",
    visible=through(DeploymentEvent.project_id, Project, PROJECTS.visible),
    filters=(
        DeploymentEvent.project_id,
        DeploymentEvent.deployed_at,
        DeploymentEvent.commit_hash,
        DeploymentEvent.created_by,
    ),
    columns=(DeploymentEvent.deployed_at, DeploymentEvent.commit_hash, DeploymentEvent.project_id),
    server_set=(DeploymentEvent.created_by,),
    check=check,
)


class LinkedRecords(WireModel):
    """What a deployment event brought out: ids of extractors, of work items, and of deployments onto assets."""

    vendors: list[uuid.UUID] = Field(default=[], max_length=MAX_LINKS)
    work_items: list[uuid.UUID] = Field(default=[], max_length=MAX_LINKS)
    deployments: list[uuid.UUID] = Field(default=[], max_length=MAX_LINKS)


Link = VendorDeploymentLink | WorkItemDeploymentLink | DeploymentLink


def _links(ctx: Context, event: DeploymentEvent, body: LinkedRecords) -> Iterable[Link]:
    """The links that the body names, as they would be; each names a record the principal may see."""
    for key in dict.fromkeys(body.vendors):
        yield VendorDeploymentLink(deployment_id=event.id, vendor_id=load(ctx, VENDORS, key).id)
    for key in dict.fromkeys(body.work_items):
        yield WorkItemDeploymentLink(deployment_id=event.id, work_item_id=load(ctx, WORK_ITEMS, key).id)
    for key in dict.fromkeys(body.deployments):
        yield DeploymentLink(deployment_event_id=event.id, deployment_id=load(ctx, DEPLOYMENTS, key).id)


def _linked(ctx: Context, event: DeploymentEvent) -> LinkedRecords:
    vendors = select(VendorDeploymentLink.vendor_id).where(VendorDeploymentLink.deployment_id == event.id)
    items = select(WorkItemDeploymentLink.work_item_id).where(WorkItemDeploymentLink.deployment_id == event.id)
    assets = select(DeploymentLink.deployment_id).where(DeploymentLink.deployment_event_id == event.id)
    # Built without validation: a body names at most MAX_LINKS, an event may have gathered more.
    return LinkedRecords.model_construct(
        vendors=sorted(ctx.session.scalars(vendors)),
        work_items=sorted(ctx.session.scalars(items)),
        deployments=sorted(ctx.session.scalars(assets)),
    )


def _stored(ctx: Context, link: Link) -> Base | None:
    key = tuple(getattr(link, column.key) for column in link.__table__.primary_key)
    return ctx.session.get(type(link), key)


def link_deployment(ctx: Context, event: DeploymentEvent, body: LinkedRecords) -> LinkedRecords:
    """Note what a deployment event brought out. Links that exist already stay."""
    for link in _links(ctx, event, body):
        if _stored(ctx, link) is None:
            ctx.session.add(link)
    ctx.session.flush()
    return _linked(ctx, event)


def unlink_deployment(ctx: Context, event: DeploymentEvent, body: LinkedRecords) -> LinkedRecords:
    """Take back what was noted of a deployment event. Links that do not exist are passed over."""
    for link in _links(ctx, event, body):
        stored = _stored(ctx, link)
        if stored is not None:
            ctx.session.delete(stored)
    ctx.session.flush()
    return _linked(ctx, event)


LINK_DEPLOYMENT = Action(
    run=link_deployment, name="link", on="deployment-event", scope="deployment-event:write", risk=Risk.write
)
UNLINK_DEPLOYMENT = Action(
    run=unlink_deployment, name="unlink", on="deployment-event", scope="deployment-event:write", risk=Risk.write
)
