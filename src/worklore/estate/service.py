"""Applications and services, and which of them needs which."""

import uuid
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.estate.graph import reaches
from worklore.estate.infrastructure import INFRASTRUCTURE, Infrastructure
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.sequence import take
from worklore.kernel.types import Line, column


class ServiceStatus(StrEnum):
    """How a service does."""

    running = "running"
    stopped = "stopped"
    error = "error"
    maintenance = "maintenance"


class RelationshipType(StrEnum):
    """What one service is to another."""

    hosted_on = "hosted_on"
    proxied_by = "proxied_by"
    authenticates_via = "authenticates_via"
    backend_for = "backend_for"
    depends_on = "depends_on"
    replicates_to = "replicates_to"


NEEDS: Final = frozenset({RelationshipType.depends_on, RelationshipType.hosted_on})
"""Relationships in which the first service cannot run without the second."""


class Service(Stamped, Record):
    """An application or service that runs on an asset."""

    __tablename__ = "services"
    __table_args__ = (
        CheckConstraint("port BETWEEN 1 AND 65535", name="port"),
        *(Index(None, name) for name in ("infrastructure_id", "service_name", "status")),
    )

    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="CASCADE"))
    service_name: Mapped[str] = mapped_column(Line(255))
    service_type: Mapped[str | None] = mapped_column(Line(100))
    external_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    internal_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    port: Mapped[int | None] = mapped_column(info={"form": "port"})
    protocol: Mapped[str | None] = mapped_column(Line(50))
    software_version: Mapped[str | None] = mapped_column(
        Line(100), doc="What runs; `version` counts the row's changes."
    )
    status: Mapped[ServiceStatus] = column(default=ServiceStatus.running)
    notes: Mapped[str | None]

    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("services", viewonly=True), viewonly=True
    )


def check(ctx: Context, service: Service, before: Mapping[str, Any]) -> None:
    """A service moves to an asset of another client only when nothing of it stays with the former one."""
    one_client(ctx, service, before)


class ServiceRelationship(Created, Record):
    """What one service is to another: it depends on it, is hosted on it, authenticates by it."""

    __tablename__ = "service_relationships"
    __table_args__ = (
        UniqueConstraint(
            "from_service_id", "to_service_id", "relationship_type", name="uq_service_relationships_services_type"
        ),
        CheckConstraint("from_service_id <> to_service_id", name="two_services"),
        Index(None, "from_service_id"),
        Index(None, "to_service_id"),
    )

    from_service_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("services.id", ondelete="CASCADE"))
    to_service_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("services.id", ondelete="CASCADE"))
    relationship_type: Mapped[RelationshipType]
    notes: Mapped[str | None]

    from_service: Mapped[Service] = relationship(
        foreign_keys=[from_service_id], backref=backref("relationships_to", viewonly=True), viewonly=True
    )
    to_service: Mapped[Service] = relationship(
        foreign_keys=[to_service_id], backref=backref("relationships_from", viewonly=True), viewonly=True
    )


def check_relationship(ctx: Context, related: ServiceRelationship, before: Mapping[str, Any]) -> None:
    """Two services of one client, or the second is the provider's own; none needs itself, be it by way of others."""
    if related.from_service_id == related.to_service_id:
        raise InvalidError("to_service_id must name another service than from_service_id.", field="to_service_id")
    if related.relationship_type in NEEDS:
        _refuse_cycle(ctx, related)
    one_client(ctx, related, before, shared={"to_service_id"})


def _refuse_cycle(ctx: Context, related: ServiceRelationship) -> None:
    def needed(services: frozenset[uuid.UUID]) -> Iterable[uuid.UUID]:
        found = select(ServiceRelationship.to_service_id).where(
            ServiceRelationship.from_service_id.in_(sorted(services)),
            ServiceRelationship.relationship_type.in_(sorted(NEEDS)),
        )
        if related.id is not None:  # pyright: ignore[reportUnnecessaryComparison] - no id before the first flush
            found = found.where(ServiceRelationship.id != related.id)
        return ctx.session.scalars(found)

    take(ctx, "service_relationships", 1)  # one writer at a time: two edges, each harmless alone, can close a cycle
    if reaches(related.to_service_id, related.from_service_id, needed):
        raise InvalidError(
            f"to_service_id ({related.to_service_id}) needs the service from_service_id "
            f"({related.from_service_id}) itself.",
            field="to_service_id",
        )


SERVICES = Resource(
    model=Service,
    name="service",
    plural="services",
    visible=through(Service.infrastructure_id, Infrastructure, INFRASTRUCTURE.visible),
    filters=(
        Service.infrastructure_id,
        Service.service_name,
        Service.service_type,
        Service.status,
        Service.port,
        Service.protocol,
    ),
    search=(Service.service_name, Service.external_url, Service.internal_url, Service.notes),
    columns=(Service.service_name, Service.service_type, Service.status, Service.port, Service.infrastructure_id),
    check=check,
)

SERVICE_RELATIONSHIPS = Resource(
    model=ServiceRelationship,
    name="service-relationship",
    plural="service-relationships",
    visible=through(ServiceRelationship.from_service_id, Service, SERVICES.visible),
    filters=(
        ServiceRelationship.from_service_id,
        ServiceRelationship.to_service_id,
        ServiceRelationship.relationship_type,
    ),
    search=(ServiceRelationship.notes,),
    columns=(
        ServiceRelationship.from_service_id,
        ServiceRelationship.relationship_type,
        ServiceRelationship.to_service_id,
    ),
    check=check_relationship,
)
