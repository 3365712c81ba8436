"""What a client runs: servers, virtual machines, network gear, storage and workstations."""

import uuid
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.clients.site import Site
from worklore.estate.graph import reaches
from worklore.kernel.access import by_client
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.sequence import take
from worklore.kernel.types import Line, column


class AssetType(StrEnum):
    """What sort of asset it is."""

    physical_server = "physical_server"
    virtual_machine = "virtual_machine"
    container = "container"
    network_device = "network_device"
    nas_storage = "nas_storage"
    workstation = "workstation"
    firewall = "firewall"
    domain_controller = "domain_controller"


class AssetStatus(StrEnum):
    """Where an asset stands in its life."""

    active = "active"
    migration_source = "migration_source"
    migration_destination = "migration_destination"
    decommissioned = "decommissioned"


class Infrastructure(Stamped, Record):
    """An asset: a server, virtual machine, network device, storage or workstation, and what it cannot do."""

    __tablename__ = "infrastructure"
    __table_args__ = tuple(
        Index(None, name) for name in ("client_id", "site_id", "asset_type", "hostname", "parent_host_id")
    )

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    site_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sites.id", ondelete="SET NULL"))
    asset_type: Mapped[AssetType]
    hostname: Mapped[str] = mapped_column(Line(255), info={"form": "hostname"})
    ip_address: Mapped[str | None] = mapped_column(Line(45), info={"form": "ip"})
    mac_address: Mapped[str | None] = mapped_column(Line(17), info={"form": "mac"})
    os: Mapped[str | None] = mapped_column(Line(255))
    os_version: Mapped[str | None] = mapped_column(Line(100))
    role_description: Mapped[str | None]
    parent_host_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("infrastructure.id", ondelete="SET NULL"), doc="The host that carries it."
    )
    status: Mapped[AssetStatus] = column(default=AssetStatus.active)
    environmental_notes: Mapped[str | None]
    powershell_version: Mapped[str | None] = mapped_column(Line(20))
    shell_type: Mapped[str | None] = mapped_column(Line(50))
    package_manager: Mapped[str | None] = mapped_column(Line(50))
    has_gui: Mapped[bool] = column(default=True)
    limitations: Mapped[list[Any] | None]
    notes: Mapped[str | None]

    client: Mapped[Client | None] = relationship(backref=backref("infrastructure", viewonly=True), viewonly=True)
    site: Mapped[Site | None] = relationship(backref=backref("infrastructure", viewonly=True), viewonly=True)
    parent_host: Mapped["Infrastructure | None"] = relationship(
        remote_side="Infrastructure.id", backref=backref("guests", viewonly=True), viewonly=True
    )


def check(ctx: Context, asset: Infrastructure, before: Mapping[str, Any]) -> None:
    """No asset runs on itself; site and host are of the asset's client, or the host is the provider's own."""
    if asset.parent_host_id is not None and asset.id is not None:  # pyright: ignore[reportUnnecessaryComparison] - no id before the first flush
        _refuse_host_cycle(ctx, asset, asset.parent_host_id, moved="parent_host_id" in before)
    one_client(ctx, asset, before, shared={"parent_host_id"})


def _refuse_host_cycle(ctx: Context, asset: Infrastructure, host: uuid.UUID, *, moved: bool) -> None:
    def hosts(assets: frozenset[uuid.UUID]) -> Iterable[uuid.UUID]:
        found = select(Infrastructure.parent_host_id).where(Infrastructure.id.in_(sorted(assets)))
        return [carrier for carrier in ctx.session.scalars(found) if carrier is not None]

    if moved:
        take(ctx, "infrastructure_hosts", 1)  # one mover at a time: two moves, each harmless alone, can close a cycle
    if reaches(host, asset.id, hosts):
        raise InvalidError(f"parent_host_id ({host}) runs on this asset itself.", field="parent_host_id")


INFRASTRUCTURE = Resource(
    model=Infrastructure,
    name="infrastructure",
    plural="infrastructure",
    visible=by_client(Infrastructure.client_id),
    filters=(
        Infrastructure.client_id,
        Infrastructure.site_id,
        Infrastructure.parent_host_id,
        Infrastructure.asset_type,
        Infrastructure.status,
        Infrastructure.hostname,
        Infrastructure.ip_address,
        Infrastructure.mac_address,
        Infrastructure.os,
        Infrastructure.has_gui,
    ),
    search=(
        Infrastructure.hostname,
        Infrastructure.role_description,
        Infrastructure.environmental_notes,
        Infrastructure.notes,
    ),
    columns=(
        Infrastructure.hostname,
        Infrastructure.asset_type,
        Infrastructure.ip_address,
        Infrastructure.status,
        Infrastructure.client_id,
    ),
    by=(("site", Infrastructure.site_id), ("client", Infrastructure.client_id)),
    check=check,
)
