"""A technician's computer: what it can do and where it usually is."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.context import ReadContext
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column


class MachineType(StrEnum):
    """What sort of computer it is."""

    laptop = "laptop"
    desktop = "desktop"
    workstation = "workstation"
    vm = "vm"


class Machine(Stamped, Record):
    """A technician's computer: what it can do and where it usually is."""

    __tablename__ = "machines"
    __table_args__ = (Index(None, "is_active"), Index(None, "platform"), Index(None, "hostname"))

    hostname: Mapped[str] = mapped_column(Line(255))
    machine_fingerprint: Mapped[str | None] = mapped_column(Line(500), unique=True)
    friendly_name: Mapped[str | None] = mapped_column(Line(255))
    machine_type: Mapped[MachineType | None]
    platform: Mapped[str | None] = mapped_column(Line(50))
    os_version: Mapped[str | None] = mapped_column(Line(100))
    username: Mapped[str | None] = mapped_column(Line(255))
    home_directory: Mapped[str | None] = mapped_column(Line(500))
    has_vpn_access: Mapped[bool] = column(default=False)
    vpn_profiles: Mapped[list[Any] | None]
    has_docker: Mapped[bool] = column(default=False)
    has_powershell: Mapped[bool] = column(default=False)
    powershell_version: Mapped[str | None] = mapped_column(Line(20))
    has_ssh: Mapped[bool] = column(default=True)
    has_git: Mapped[bool] = column(default=True)
    typical_network_location: Mapped[str | None] = mapped_column(Line(100))
    static_ip: Mapped[str | None] = mapped_column(Line(45))
    claude_working_directory: Mapped[str | None] = mapped_column(Line(500))
    additional_working_dirs: Mapped[list[Any] | None]
    installed_tools: Mapped[list[Any] | None]
    available_mcps: Mapped[list[Any] | None]
    mcp_capabilities: Mapped[list[Any] | None]
    available_skills: Mapped[list[Any] | None]
    preferred_shell: Mapped[str | None] = mapped_column(Line(50))
    is_primary: Mapped[bool] = column(default=False)
    is_active: Mapped[bool] = column(default=True)
    last_seen: Mapped[datetime | None]
    notes: Mapped[str | None]


MACHINES = Resource(
    model=Machine,
    name="machine",
    plural="machines",
    visible=installation,
    filters=(Machine.hostname, Machine.platform, Machine.machine_type, Machine.is_active, Machine.last_seen),
    search=(Machine.hostname, Machine.friendly_name, Machine.notes),
    columns=(Machine.hostname, Machine.friendly_name, Machine.platform, Machine.last_seen),
)


def names_of(ctx: ReadContext, ids: set[uuid.UUID]) -> dict[uuid.UUID, str]:
    """What people call machines, by their ids."""
    if not ids:
        return {}
    named = select(Machine.id, Machine.friendly_name, Machine.hostname).where(Machine.id.in_(sorted(ids)))
    return {row.id: row.friendly_name or row.hostname for row in ctx.session.execute(named)}
