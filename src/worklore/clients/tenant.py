"""A client's Microsoft 365."""

import uuid
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.kernel.access import by_client
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line


class M365Tenant(Stamped, Record):
    """A Microsoft 365 tenant: its ids, its domain and what is licensed in it."""

    __tablename__ = "m365_tenants"
    __table_args__ = (Index(None, "client_id"), Index(None, "default_domain"))

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    tenant_id: Mapped[str] = mapped_column(Line(100), unique=True, doc="The id that Microsoft gave the tenant.")
    tenant_name: Mapped[str | None] = mapped_column(Line(255))
    default_domain: Mapped[str | None] = mapped_column(Line(255), info={"form": "hostname"})
    admin_email: Mapped[str | None] = mapped_column(Line(255), info={"form": "email"})
    cipp_name: Mapped[str | None] = mapped_column(Line(255), doc="The tenant's name in CIPP, which manages tenants.")
    license_info: Mapped[dict[str, Any] | None]
    notes: Mapped[str | None]

    client: Mapped[Client | None] = relationship(backref=backref("m365_tenants", viewonly=True), viewonly=True)


TENANTS = Resource(
    model=M365Tenant,
    name="m365-tenant",
    plural="m365-tenants",
    visible=by_client(M365Tenant.client_id),
    filters=(M365Tenant.client_id, M365Tenant.tenant_id, M365Tenant.tenant_name, M365Tenant.default_domain),
    search=(M365Tenant.tenant_name, M365Tenant.default_domain, M365Tenant.admin_email, M365Tenant.notes),
    columns=(M365Tenant.tenant_name, M365Tenant.default_domain, M365Tenant.client_id),
    by=(("client", M365Tenant.client_id),),
)
