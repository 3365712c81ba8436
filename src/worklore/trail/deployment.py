"""Software put onto an asset during work."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.estate.infrastructure import Infrastructure
from worklore.estate.service import Service
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.traced import Traced, traced
from worklore.work.work_item import WorkItem


class Deployment(Traced, Created, Record):
    """Software put onto an asset: what, from where, to where, and the way back."""

    __tablename__ = "deployments"
    __table_args__ = tuple(
        Index(None, name) for name in ("work_item_id", "session_id", "infrastructure_id", "service_id")
    )

    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="SET NULL"))
    service_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("services.id", ondelete="SET NULL"))
    deployment_type: Mapped[str | None] = mapped_column(Line(50))
    software_version: Mapped[str | None] = mapped_column(
        Line(100), doc="What was deployed; `version` counts the row's changes."
    )
    description: Mapped[str | None]
    deployed_from: Mapped[str | None] = mapped_column(Line(500))
    deployed_to: Mapped[str | None] = mapped_column(Line(500))
    rollback_available: Mapped[bool] = column(default=False)
    rollback_procedure: Mapped[str | None]

    work_item: Mapped[WorkItem | None] = relationship(backref=backref("deployments", viewonly=True), viewonly=True)
    session: Mapped[WorkSession] = relationship(backref=backref("deployments", viewonly=True), viewonly=True)
    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("deployments", viewonly=True), viewonly=True
    )
    service: Mapped[Service | None] = relationship(backref=backref("deployments", viewonly=True), viewonly=True)


def check(ctx: Context, deployment: Deployment, before: Mapping[str, Any]) -> None:
    """Work item, asset and service are of the session's client."""
    one_client(ctx, deployment, before, shared={"infrastructure_id", "service_id"})


DEPLOYMENTS = Resource(
    model=Deployment,
    name="deployment",
    plural="deployments",
    visible=through(Deployment.session_id, WorkSession, SESSIONS.visible),
    filters=(
        Deployment.work_item_id,
        Deployment.session_id,
        Deployment.infrastructure_id,
        Deployment.service_id,
        Deployment.deployment_type,
        Deployment.software_version,
        Deployment.rollback_available,
        Deployment.source_uuid,
        Deployment.subagent,
    ),
    search=(Deployment.description, Deployment.deployed_from, Deployment.deployed_to, Deployment.rollback_procedure),
    columns=(
        Deployment.created_at,
        Deployment.deployment_type,
        Deployment.software_version,
        Deployment.infrastructure_id,
        Deployment.rollback_available,
    ),
    server_set=traced(Deployment),
    hidden=(Deployment.captured_digest,),
    check=check,
)
