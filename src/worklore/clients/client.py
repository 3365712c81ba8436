"""For whom the work is done."""

from enum import StrEnum

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import by_client
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column


class ClientType(StrEnum):
    """What a client is to the installation."""

    msp_client = "msp_client"
    internal = "internal"
    project = "project"


class Client(Stamped, Record):
    """A customer organisation, or the service provider itself."""

    __tablename__ = "clients"
    __table_args__ = (Index(None, "type"), Index(None, "is_active"), Index(None, "domain_name"))

    name: Mapped[str] = mapped_column(Line(255), unique=True)
    type: Mapped[ClientType]
    network_subnet: Mapped[str | None] = mapped_column(Line(100))
    domain_name: Mapped[str | None] = mapped_column(Line(255))
    m365_tenant_id: Mapped[str | None] = mapped_column(Line(36))
    primary_contact: Mapped[str | None] = mapped_column(Line(255))
    notes: Mapped[str | None]
    is_active: Mapped[bool] = column(default=True)


CLIENTS = Resource(
    model=Client,
    name="client",
    plural="clients",
    visible=by_client(Client.id),
    filters=(Client.name, Client.type, Client.domain_name, Client.is_active),
    search=(Client.name, Client.domain_name, Client.primary_contact, Client.notes),
    columns=(Client.name, Client.type, Client.domain_name, Client.is_active),
)
