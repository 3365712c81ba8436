"""Tickets of outside systems that sessions work on."""

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.kernel.access import any_of, by_client, through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line
from worklore.work.session import SESSIONS, WorkSession


class TicketSystem(StrEnum):
    """Where a ticket lives."""

    syncro = "syncro"
    autotask = "autotask"
    connectwise = "connectwise"


class LinkType(StrEnum):
    """What a session is to a ticket."""

    related = "related"
    resolves = "resolves"
    documents = "documents"


class TicketLink(Created, Record):
    """A ticket of an outside system that a session works on."""

    __tablename__ = "ticket_links"
    __table_args__ = (Index(None, "session_id"), Index(None, "client_id"), Index(None, "integration_type", "ticket_id"))

    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="SET NULL"))
    integration_type: Mapped[TicketSystem]
    ticket_id: Mapped[str] = mapped_column(Line(255))
    ticket_number: Mapped[str | None] = mapped_column(Line(100))
    ticket_subject: Mapped[str | None] = mapped_column(Line(500))
    ticket_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    ticket_status: Mapped[str | None] = mapped_column(Line(100))
    link_type: Mapped[LinkType | None]

    session: Mapped[WorkSession | None] = relationship(backref=backref("ticket_links", viewonly=True), viewonly=True)
    client: Mapped[Client | None] = relationship(backref=backref("ticket_links", viewonly=True), viewonly=True)


def check(ctx: Context, link: TicketLink, before: Mapping[str, Any]) -> None:
    """A ticket belongs to the client of its session."""
    one_client(ctx, link, before)


TICKET_LINKS = Resource(
    model=TicketLink,
    name="ticket-link",
    plural="ticket-links",
    visible=any_of((by_client(TicketLink.client_id), through(TicketLink.session_id, WorkSession, SESSIONS.visible))),
    filters=(
        TicketLink.session_id,
        TicketLink.client_id,
        TicketLink.integration_type,
        TicketLink.ticket_id,
        TicketLink.ticket_number,
        TicketLink.ticket_status,
        TicketLink.link_type,
    ),
    search=(TicketLink.ticket_number, TicketLink.ticket_subject),
    columns=(
        TicketLink.integration_type,
        TicketLink.ticket_number,
        TicketLink.ticket_subject,
        TicketLink.ticket_status,
    ),
    check=check,
)
