"""Exchanges with outside systems."""

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line
from worklore.work.session import SESSIONS, WorkSession


class ExchangeAction(StrEnum):
    """What an exchange did."""

    created = "created"
    updated = "updated"
    linked = "linked"
    attached = "attached"


class Direction(StrEnum):
    """Which way an exchange went, seen from the hub."""

    inbound = "inbound"
    outbound = "outbound"


class ExternalIntegration(Created, Record):
    """One exchange with an outside system, such as a ticket made there or a backup report read from there."""

    __tablename__ = "external_integrations"
    __table_args__ = tuple(Index(None, name) for name in ("session_id", "integration_type", "external_id"))

    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    integration_type: Mapped[str] = mapped_column(Line(100), doc="The outside system, such as syncro or zapier.")
    external_id: Mapped[str | None] = mapped_column(Line(255), doc="The record's id over there.")
    external_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    action: Mapped[ExchangeAction | None]
    direction: Mapped[Direction | None]
    request_data: Mapped[dict[str, Any] | None]
    response_data: Mapped[dict[str, Any] | None]
    created_by: Mapped[str | None] = mapped_column(Line(255))

    session: Mapped[WorkSession | None] = relationship(
        backref=backref("external_integrations", viewonly=True), viewonly=True
    )


def check(ctx: Context, exchange: ExternalIntegration, _: Mapping[str, Any]) -> None:
    """Whoever notes an exchange stands under it."""
    if exchange.created_by is None:
        exchange.created_by = ctx.principal.actor


EXTERNAL_INTEGRATIONS = Resource(
    model=ExternalIntegration,
    name="external-integration",
    plural="external-integrations",
    visible=through(ExternalIntegration.session_id, WorkSession, SESSIONS.visible),
    filters=(
        ExternalIntegration.session_id,
        ExternalIntegration.integration_type,
        ExternalIntegration.external_id,
        ExternalIntegration.action,
        ExternalIntegration.direction,
        ExternalIntegration.created_by,
        ExternalIntegration.created_at,
    ),
    search=(ExternalIntegration.external_id, ExternalIntegration.external_url),
    columns=(
        ExternalIntegration.integration_type,
        ExternalIntegration.external_id,
        ExternalIntegration.action,
        ExternalIntegration.direction,
    ),
    server_set=(ExternalIntegration.created_by,),
    check=check,
)
