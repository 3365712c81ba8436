"""Subnets and VLANs."""

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.clients.site import Site
from worklore.kernel.access import by_client
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line


class NetworkType(StrEnum):
    """What a network is for."""

    lan = "lan"
    vpn = "vpn"
    vlan = "vlan"
    isolated = "isolated"
    dmz = "dmz"
    wan = "wan"


class Network(Stamped, Record):
    """A subnet or VLAN of a client."""

    __tablename__ = "networks"
    __table_args__ = (
        CheckConstraint("vlan_id BETWEEN 1 AND 4094", name="vlan_id"),
        Index(None, "client_id"),
        Index(None, "site_id"),
    )

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    site_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sites.id", ondelete="SET NULL"))
    network_name: Mapped[str] = mapped_column(Line(255))
    network_type: Mapped[NetworkType | None]
    cidr: Mapped[str] = mapped_column(Line(100), info={"form": "cidr"})
    purpose: Mapped[str | None] = mapped_column(Line(255))
    gateway_ip: Mapped[str | None] = mapped_column(Line(45), info={"form": "ip"})
    vlan_id: Mapped[int | None] = mapped_column(doc="1 to 4094, as IEEE 802.1Q has it.")
    notes: Mapped[str | None]

    client: Mapped[Client | None] = relationship(backref=backref("networks", viewonly=True), viewonly=True)
    site: Mapped[Site | None] = relationship(backref=backref("networks", viewonly=True), viewonly=True)


def check(ctx: Context, network: Network, before: Mapping[str, Any]) -> None:
    """A network at a site is the site's client's."""
    one_client(ctx, network, before)


NETWORKS = Resource(
    model=Network,
    name="network",
    plural="networks",
    visible=by_client(Network.client_id),
    filters=(
        Network.client_id,
        Network.site_id,
        Network.network_name,
        Network.network_type,
        Network.cidr,
        Network.gateway_ip,
        Network.vlan_id,
    ),
    search=(Network.network_name, Network.purpose, Network.notes),
    columns=(Network.network_name, Network.network_type, Network.cidr, Network.vlan_id, Network.client_id),
    by=(("client", Network.client_id),),
    check=check,
)
