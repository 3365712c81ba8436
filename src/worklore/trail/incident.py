"""Breaches and suspicions, and how they were handled."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.clients.rules import in_order, keep_stamp
from worklore.estate.infrastructure import INFRASTRUCTURE, Infrastructure
from worklore.estate.service import SERVICES, Service
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import column
from worklore.work.project import Priority


class IncidentType(StrEnum):
    """What happened; ``bec`` is the compromise of a business's e-mail."""

    bec = "bec"
    backdoor = "backdoor"
    malware = "malware"
    unauthorized_access = "unauthorized_access"
    data_breach = "data_breach"
    phishing = "phishing"
    ransomware = "ransomware"
    brute_force = "brute_force"


class IncidentStatus(StrEnum):
    """Where the handling stands."""

    investigating = "investigating"
    contained = "contained"
    resolved = "resolved"
    monitoring = "monitoring"


class SecurityIncident(Stamped, Record):
    """A breach or the suspicion of one: what was found and what was done about it."""

    __tablename__ = "security_incidents"
    __table_args__ = tuple(
        Index(None, name)
        for name in ("client_id", "service_id", "infrastructure_id", "status", "severity", "incident_date")
    )

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    service_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("services.id", ondelete="SET NULL"))
    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="SET NULL"))
    incident_type: Mapped[IncidentType]
    incident_date: Mapped[datetime]
    severity: Mapped[Priority]
    description: Mapped[str]
    findings: Mapped[str | None]
    remediation_steps: Mapped[str | None]
    status: Mapped[IncidentStatus] = column(default=IncidentStatus.investigating)
    resolved_at: Mapped[datetime | None]
    notes: Mapped[str | None]

    client: Mapped[Client | None] = relationship(backref=backref("security_incidents", viewonly=True), viewonly=True)
    service: Mapped[Service | None] = relationship(backref=backref("security_incidents", viewonly=True), viewonly=True)
    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("security_incidents", viewonly=True), viewonly=True
    )


def check(ctx: Context, incident: SecurityIncident, before: Mapping[str, Any]) -> None:
    """Asset and service are of the incident's client; it is resolved after it happened."""
    one_client(ctx, incident, before)
    keep_stamp(ctx, incident, before, "resolved_at", ended=incident.status is IncidentStatus.resolved)
    in_order(incident, "incident_date", "resolved_at")


INCIDENTS = Resource(
    model=SecurityIncident,
    name="security-incident",
    plural="security-incidents",
    visible=any_of(
        (
            by_client(SecurityIncident.client_id),
            through(SecurityIncident.service_id, Service, SERVICES.visible),
            through(SecurityIncident.infrastructure_id, Infrastructure, INFRASTRUCTURE.visible),
        )
    ),
    filters=(
        SecurityIncident.client_id,
        SecurityIncident.service_id,
        SecurityIncident.infrastructure_id,
        SecurityIncident.incident_type,
        SecurityIncident.incident_date,
        SecurityIncident.severity,
        SecurityIncident.status,
        SecurityIncident.resolved_at,
    ),
    search=(
        SecurityIncident.description,
        SecurityIncident.findings,
        SecurityIncident.remediation_steps,
        SecurityIncident.notes,
    ),
    columns=(
        SecurityIncident.incident_date,
        SecurityIncident.incident_type,
        SecurityIncident.severity,
        SecurityIncident.status,
        SecurityIncident.client_id,
    ),
    by=(("client", SecurityIncident.client_id), ("status", SecurityIncident.status)),
    check=check,
)
