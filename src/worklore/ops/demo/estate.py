"""A client's estate: sites with their networks, hosts within them, services and what they need, firewall rules."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from worklore.clients.client import Client, ClientType
from worklore.clients.site import Site
from worklore.clients.tenant import M365Tenant
from worklore.estate.firewall import FirewallRule, RuleAction
from worklore.estate.infrastructure import AssetStatus, AssetType, Infrastructure
from worklore.estate.network import Network, NetworkType
from worklore.estate.service import RelationshipType, Service, ServiceRelationship, ServiceStatus
from worklore.ops.demo.provider import Provider
from worklore.ops.demo.rows import BEGIN, Row, Rows
from worklore.ops.demo.words import FIRST, PLACES, SECOND, TRADES
from worklore.vault.credential import Credential, CredentialType
from worklore.work.project import slug_of
from worklore.work.tagging import InfrastructureTag

MAX_SITES: Final = 4
NAMES_APART: Final = 500
"""Seeds are so many names apart: two neighbouring seeds share no client's name."""


@dataclass(frozen=True, slots=True)
class Make:
    """What a host of a role is."""

    asset_type: AssetType
    os: str
    versions: tuple[str, ...]
    shell: str
    packages: str | None
    purpose: str
    services: tuple[tuple[str, str, int, str], ...] = ()
    limitation: str | None = None
    tag: str | None = None


ROLES: Final = {
    "firewall": Make(
        AssetType.firewall, "OPNsense", ("24.7", "25.1"), "sh", "pkg", "Firewall and tunnel end",
        (("IPsec", "vpn", 500, "udp"),), tag="firewall",
    ),
    "switch": Make(AssetType.network_device, "ArubaOS-CX", ("10.11", "10.13"), "cli", None, "Access switch",
        limitation="The firmware knows multiple spanning tree only"),
    "hypervisor": Make(
        AssetType.physical_server, "Debian", ("12",), "bash", "apt", "Carries the virtual machines",
        (("libvirt", "virtualisation", 16514, "tcp"),), tag="virtualisation",
    ),
    "directory": Make(
        AssetType.domain_controller, "Windows Server", ("2019", "2022"), "powershell", "winget", "Directory and DNS",
        (("Directory", "identity", 389, "tcp"), ("DNS", "dns", 53, "udp")), tag="identity",
    ),
    "file": Make(
        AssetType.virtual_machine, "Windows Server", ("2019", "2022"), "powershell", "winget", "Files and printing",
        (("File shares", "storage", 445, "tcp"), ("Print queue", "printing", 9100, "tcp")),
        "Windows PowerShell 5.1: no -Parallel", "storage",
    ),
    "mail": Make(
        AssetType.virtual_machine, "Debian", ("11", "12"), "bash", "apt", "Mail relay", (("SMTP", "mail", 25, "tcp"),),
        "postsuper is for root only", "mail",
    ),
    "database": Make(
        AssetType.virtual_machine, "Debian", ("12",), "bash", "apt", "Database of the ledger",
        (("PostgreSQL", "database", 5432, "tcp"),), "No room for a table written anew", "database",
    ),
    "web": Make(
        AssetType.virtual_machine, "Ubuntu", ("22.04", "24.04"), "bash", "apt", "Web server and portal",
        (("Website", "web", 443, "tcp"), ("Portal", "web", 8443, "tcp")), "Port 80 is closed from outside", "web",
    ),
    "proxy": Make(AssetType.container, "Alpine", ("3.20",), "ash", "apk", "Reverse proxy",
        (("Reverse proxy", "web", 443, "tcp"),), tag="web"),
    "backup": Make(AssetType.physical_server, "Debian", ("12",), "bash", "apt", "Backup target",
        (("Backup", "backup", 8000, "tcp"),), tag="backup"),
    "storage": Make(
        AssetType.nas_storage, "TrueNAS", ("24.04", "24.10"), "bash", None, "Storage pool",
        (("iSCSI", "storage", 3260, "tcp"),), "The pool has 512-byte sectors", "storage",
    ),
    "workstation": Make(AssetType.workstation, "Windows", ("10", "11"), "powershell", "winget", "Workplace"),
}  # fmt: skip

NEEDS: Final = (
    ("Website", RelationshipType.depends_on, "PostgreSQL"),
    ("Portal", RelationshipType.depends_on, "PostgreSQL"),
    ("Portal", RelationshipType.authenticates_via, "Directory"),
    ("Website", RelationshipType.proxied_by, "Reverse proxy"),
    ("File shares", RelationshipType.authenticates_via, "Directory"),
    ("Directory", RelationshipType.depends_on, "DNS"),
    ("Print queue", RelationshipType.depends_on, "File shares"),
    ("PostgreSQL", RelationshipType.replicates_to, "Backup"),
    ("File shares", RelationshipType.hosted_on, "iSCSI"),
)
VIRTUAL: Final = frozenset({AssetType.virtual_machine, AssetType.domain_controller, AssetType.container})


@dataclass(frozen=True, slots=True)
class Host:
    """A host and its role."""

    row: Row
    role: str


@dataclass(slots=True)
class Estate:
    """What a client has."""

    client: Row
    slug: str
    domain: str
    since: datetime
    weight: float
    sites: list[Row] = field(default_factory=list[Row])
    hosts: list[Host] = field(default_factory=list[Host])
    services: list[Row] = field(default_factory=list[Row])

    def with_role(self, roles: Sequence[str]) -> list[Host]:
        """The hosts that have one of the roles."""
        return [host for host in self.hosts if host.role in roles]

    def names(self, chance: random.Random, host: Row) -> dict[str, Any]:
        """What texts of scenarios may name."""
        return {
            "host": host["hostname"],
            "ip": host["ip_address"],
            "domain": self.domain,
            "client": self.client["name"],
            "number": chance.randrange(3, 97),
        }


def client_name(seed: int, number: int) -> str:
    """The name of a client: one of some 56,000, in an order that looks like chance and repeats none."""
    total = len(FIRST) * len(SECOND) * len(TRADES)
    place, trade = divmod((seed * NAMES_APART + number) * 48_271 % total, len(TRADES))
    first, second = divmod(place, len(SECOND))
    return f"{FIRST[first]} {SECOND[second]} {TRADES[trade]}"


def estate(rows: Rows, shared: Provider, number: int) -> Estate:
    """A client with everything it runs. Client number 0 is the provider's own house."""
    chance = rows.chance
    weight = chance.choices((0.4, 1.0, 3.0), (50, 35, 15))[0]
    late = timedelta(days=chance.randrange(30, 420)) if rows.likely(0.2) else timedelta(days=chance.randrange(9))
    since = BEGIN + late + timedelta(hours=8)
    name = client_name(shared.seed, number)
    slug = slug_of(name)
    domain = f"{slug}.example.{chance.choice(('com', 'net', 'org'))}"
    client = rows.add(
        Client,
        since,
        name=name,
        type=ClientType.internal if number == 0 else ClientType.msp_client,
        network_subnet="192.0.2.0/24",
        domain_name=domain,
        primary_contact=f"office@{domain}",
        notes=f"Served since {since:%B %Y}.",
    )
    made = Estate(client, slug, domain, since, weight)
    if rows.likely(0.7):
        client["m365_tenant_id"] = _tenant(rows, made)["tenant_id"]
    for place in range(
        1 if weight < 1 else chance.randrange(1, 3) if weight == 1 else chance.randrange(2, MAX_SITES + 1)
    ):
        _site(rows, shared, made, number, place)
    _relate(rows, made)
    _credentials(rows, made)
    return made


def _tenant(rows: Rows, made: Estate) -> Row:
    return rows.add(
        M365Tenant,
        made.since,
        client_id=made.client["id"],
        tenant_id=str(rows.key(made.since)),
        tenant_name=made.client["name"],
        default_domain=made.domain,
        admin_email=f"admin@{made.domain}",
        cipp_name=made.slug,
        license_info={"business": rows.chance.randrange(5, 80), "exchange": rows.chance.randrange(3)},
    )


def _site(rows: Rows, shared: Provider, made: Estate, number: int, place: int) -> None:
    chance = rows.chance
    low = 64 * place
    gateway = f"192.0.2.{low + 1}"
    site = rows.add(
        Site,
        made.since,
        client_id=made.client["id"],
        name=PLACES[0] if place == 0 else chance.choice(PLACES[1:]),
        network_subnet=f"192.0.2.{low}/26",
        vpn_required=place > 0,
        vpn_subnet=f"2001:db8:{number:x}:{place:x}f0::/64" if place else None,
        gateway_ip=gateway,
        dns_servers=[f"192.0.2.{low + 2}", "2001:db8::53"],
    )
    made.sites.append(site)
    _networks(rows, made, site, number, place)
    staff = {0.4: 3, 1.0: 8, 3.0: 16}[made.weight]
    kinds = ["firewall", "switch", "hypervisor", "directory", "file"] if place == 0 else ["firewall", "switch", "file"]
    if place == 0:
        kinds += [role for role in ("mail", "database", "web", "proxy", "backup", "storage") if rows.likely(0.75)]
        kinds += ["directory", "hypervisor", "web"] if made.weight > 1 else []
    kinds += ["workstation"] * chance.randrange(staff, staff + 5)
    hypervisor: Row | None = None
    for order, role in enumerate(kinds):
        host = _host(rows, made, role, place=place, order=order, on=(site, hypervisor))
        hypervisor = host.row if role == "hypervisor" else hypervisor
        label = ROLES[role].tag
        if label:
            rows.add(InfrastructureTag, made.since, infrastructure_id=host.row["id"], tag_id=shared.tags[label])
        if role == "firewall":
            _rules(rows, host.row, low, chance.choice(shared.technicians).email)


def _networks(rows: Rows, made: Estate, site: Row, number: int, place: int) -> None:
    low = 64 * place
    plans: tuple[tuple[str, NetworkType, str, str, str, int | None], ...] = (
        ("Servers", NetworkType.lan, f"192.0.2.{low}/26", f"192.0.2.{low + 1}", "Servers and network gear", 10),
        ("Workplaces", NetworkType.vlan, f"198.51.100.{low}/26", f"198.51.100.{low + 1}", "Workplaces", 20),
        ("Uplink", NetworkType.wan, f"203.0.113.{8 * place}/29", f"203.0.113.{8 * place + 1}", "To the provider", None),
        ("Phones", NetworkType.vlan, f"2001:db8:{number:x}:{place:x}30::/64", "", "Phones", 30),
        ("Guests", NetworkType.isolated, f"2001:db8:{number:x}:{place:x}40::/64", "", "Guests, no way inside", 40),
    )
    for name, kind, cidr, gateway, purpose, vlan in plans[: 3 if made.weight < 1 else 5]:
        rows.add(
            Network,
            made.since,
            client_id=made.client["id"],
            site_id=site["id"],
            network_name=f"{name} {site['name']}",
            network_type=kind,
            cidr=cidr,
            purpose=purpose,
            gateway_ip=gateway or cidr.removesuffix("/64") + "1",
            vlan_id=vlan,
        )


def _host(rows: Rows, made: Estate, role: str, *, place: int, order: int, on: tuple[Row, Row | None]) -> Host:
    """A host at the site ``on`` names first, on the hypervisor it names second."""
    site, hypervisor = on
    chance, make = rows.chance, ROLES[role]
    block, low = ("198.51.100", 64 * place + 2) if role == "workstation" else ("192.0.2", 64 * place + 1)
    same = sum(host.role == role for host in made.hosts)
    windows = make.shell == "powershell"
    host = rows.add(
        Infrastructure,
        made.since + timedelta(minutes=order + 60 * place),
        client_id=made.client["id"],
        site_id=site["id"],
        asset_type=make.asset_type,
        hostname=f"{made.slug.split('-')[0]}-{role}-{same + 1:02}",
        ip_address=f"{block}.{low + order}",
        mac_address=f"00:00:5e:00:53:{len(made.hosts) % 256:02x}",
        os=make.os,
        os_version=chance.choice(make.versions),
        role_description=make.purpose,
        parent_host_id=hypervisor["id"] if hypervisor and make.asset_type in VIRTUAL else None,
        status=AssetStatus.decommissioned if role == "workstation" and rows.likely(0.08) else AssetStatus.active,
        powershell_version="5.1" if windows else None,
        shell_type=make.shell,
        package_manager=make.packages,
        has_gui=windows,
        limitations=[make.limitation] if make.limitation else None,
    )
    made.hosts.append(Host(host, role))
    for name, kind, port, protocol in make.services:
        made.services.append(
            rows.add(
                Service,
                host["created_at"],
                infrastructure_id=host["id"],
                service_name=name,
                service_type=kind,
                external_url=f"https://www.{made.domain}/" if name == "Website" else None,
                internal_url=f"https://{host['hostname']}.{made.domain}:{port}/" if kind == "web" else None,
                port=port,
                protocol=protocol,
                software_version=f"{chance.randrange(1, 20)}.{chance.randrange(10)}",
                status=chance.choices(list(ServiceStatus), (94, 2, 2, 2))[0],
            )
        )
    return made.hosts[-1]


def _rules(rows: Rows, firewall: Row, low: int, author: str) -> None:
    servers, workplaces = f"192.0.2.{low}/26", f"198.51.100.{low}/26"
    plans = (
        ("Workplaces to servers", workplaces, servers, "53,80,443,445,389", "tcp", RuleAction.allow),
        ("Office to SSH", workplaces, servers, "22", "tcp", RuleAction.allow),
        ("Website from everywhere", None, servers, "443", "tcp", RuleAction.allow),
        ("Tunnel", "203.0.113.0/24", None, "500,4500", "udp", RuleAction.allow),
        ("Remote desktop from outside", None, servers, "3389", "tcp", RuleAction.deny),
        ("The rest", None, None, "any", "any", RuleAction.drop),
    )
    for order, (name, source, target, port, protocol, action) in enumerate(plans, 1):
        rows.add(
            FirewallRule,
            firewall["created_at"],
            infrastructure_id=firewall["id"],
            rule_name=name,
            source_cidr=source,
            destination_cidr=target,
            port=port,
            protocol=protocol,
            action=action,
            rule_order=order * 10,
            created_by=author,
        )


def _relate(rows: Rows, made: Estate) -> None:
    first: dict[str, Row] = {}
    for service in made.services:
        first.setdefault(service["service_name"], service)
    for source, kind, target in NEEDS:
        if source in first and target in first:
            rows.add(
                ServiceRelationship,
                made.since + timedelta(hours=3),
                from_service_id=first[source]["id"],
                to_service_id=first[target]["id"],
                relationship_type=kind,
            )


def _credentials(rows: Rows, made: Estate) -> None:
    """What there is to sign in with, without a secret: what it opens, the name, when it was last rotated."""
    for host in made.with_role(("firewall", "directory", "database", "web", "storage")):
        rotated = made.since + timedelta(days=rows.chance.randrange(300))
        rows.add(
            Credential,
            made.since + timedelta(hours=4),
            client_id=made.client["id"],
            infrastructure_id=host.row["id"],
            credential_type=CredentialType.ssh_key if host.role in {"web", "database"} else CredentialType.password,
            service_name=f"Administration of {host.row['hostname']}",
            username="operator",
            key_id="none",
            integration_code=f"demo-{host.row['hostname']}",
            internal_url=f"https://{host.row['hostname']}.{made.domain}/",
            last_rotated_at=rotated,
            expires_at=rotated + timedelta(days=365),
            requires_vpn=True,
            requires_2fa=host.role == "firewall",
        )
