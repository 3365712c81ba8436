"""What a firewall lets through."""

import re
import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.rules import is_new
from worklore.estate.infrastructure import INFRASTRUCTURE, Infrastructure
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column

PORTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
MAX_PORT: Final = 65535


class RuleAction(StrEnum):
    """What happens to a packet that matches: denied ones are answered, dropped ones are not."""

    allow = "allow"
    deny = "deny"
    drop = "drop"


class FirewallRule(Stamped, Record):
    """A rule on a firewall: from where, to where, on which ports, and what happens then."""

    __tablename__ = "firewall_rules"
    __table_args__ = (Index(None, "infrastructure_id"), Index(None, "is_active"))

    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="CASCADE"))
    rule_name: Mapped[str] = mapped_column(Line(255))
    source_cidr: Mapped[str | None] = mapped_column(Line(100), info={"form": "cidr"}, doc="Nothing: from anywhere.")
    destination_cidr: Mapped[str | None] = mapped_column(Line(100), info={"form": "cidr"}, doc="Nothing: to anywhere.")
    port: Mapped[str | None] = mapped_column(
        Line(50),
        info={"example": "80,443,8000-8080"},
        doc="Ports and ranges joined by commas, such as 80,443,8000-8080; or any.",
    )
    protocol: Mapped[str | None] = mapped_column(Line(20))
    action: Mapped[RuleAction]
    rule_order: Mapped[int | None]
    is_active: Mapped[bool] = column(default=True)
    notes: Mapped[str | None]
    created_by: Mapped[str | None] = mapped_column(Line(255))

    infrastructure: Mapped[Infrastructure | None] = relationship(
        backref=backref("firewall_rules", viewonly=True), viewonly=True
    )


def is_port_list(text: str) -> bool:
    """True for ``any``, or for ports 1 to 65535 and ascending ranges of them, joined by commas."""
    if text.strip().lower() == "any":
        return True
    for part in text.split(","):
        found = PORTS.fullmatch(part.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2] or found[1]) <= MAX_PORT:
            return False
    return True


def check(ctx: Context, rule: FirewallRule, _: Mapping[str, Any]) -> None:
    """The ports are ports; who made the rule is on it."""
    if rule.port is not None and not is_port_list(rule.port):
        raise InvalidError(
            f"port ({rule.port}) must be `any`, or ports from 1 to {MAX_PORT} and ranges of them joined by commas.",
            field="port",
        )
    if is_new(rule):
        rule.created_by = ctx.principal.actor


FIREWALL_RULES = Resource(
    model=FirewallRule,
    name="firewall-rule",
    plural="firewall-rules",
    visible=through(FirewallRule.infrastructure_id, Infrastructure, INFRASTRUCTURE.visible),
    filters=(
        FirewallRule.infrastructure_id,
        FirewallRule.rule_name,
        FirewallRule.source_cidr,
        FirewallRule.destination_cidr,
        FirewallRule.port,
        FirewallRule.protocol,
        FirewallRule.action,
        FirewallRule.rule_order,
        FirewallRule.is_active,
        FirewallRule.created_by,
    ),
    search=(FirewallRule.rule_name, FirewallRule.notes),
    columns=(
        FirewallRule.rule_name,
        FirewallRule.action,
        FirewallRule.port,
        FirewallRule.rule_order,
        FirewallRule.infrastructure_id,
    ),
    server_set=(FirewallRule.created_by,),
    check=check,
)
