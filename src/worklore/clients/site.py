"""Where a client is."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.kernel.access import by_client
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column


class Site(Stamped, Record):
    """A client's place: an office, a plant, a rack in somebody's data centre."""

    __tablename__ = "sites"
    __table_args__ = (Index(None, "client_id"),)

    client_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Line(255))
    network_subnet: Mapped[str | None] = mapped_column(Line(100), info={"form": "cidr"})
    vpn_required: Mapped[bool] = column(default=False)
    vpn_subnet: Mapped[str | None] = mapped_column(Line(100), info={"form": "cidr"})
    gateway_ip: Mapped[str | None] = mapped_column(Line(45), info={"form": "ip"})
    dns_servers: Mapped[list[Any] | None]
    notes: Mapped[str | None]

    client: Mapped[Client] = relationship(backref=backref("sites", viewonly=True), viewonly=True)


def check(ctx: Context, site: Site, before: Mapping[str, Any]) -> None:
    """A site changes its client only when nothing at it stays with the former one."""
    one_client(ctx, site, before)


SITES = Resource(
    model=Site,
    name="site",
    plural="sites",
    visible=by_client(Site.client_id),
    filters=(Site.client_id, Site.name, Site.network_subnet, Site.vpn_required, Site.gateway_ip),
    search=(Site.name, Site.notes),
    columns=(Site.name, Site.client_id, Site.network_subnet, Site.gateway_ip),
    by=(("client", Site.client_id),),
    check=check,
)
