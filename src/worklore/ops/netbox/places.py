"""Tenants become clients, tags tags, sites sites, prefixes with their VLANs networks."""

import uuid
from typing import Final

from worklore.clients.client import CLIENTS, ClientType
from worklore.clients.site import SITES
from worklore.estate.network import NETWORKS, NetworkType
from worklore.ops.netbox.dump import Thing
from worklore.ops.netbox.plan import Planned, key_of
from worklore.ops.netbox.source import Source, target
from worklore.work.tag import TAGS
from worklore.work.tagging import tag_name

NO_CLIENT: Final = "it has no tenant, and no default client was named"
KINDS: Final = (
    ("guest", NetworkType.isolated),
    ("dmz", NetworkType.dmz),
    ("vpn", NetworkType.vpn),
    ("tunnel", NetworkType.vpn),
    ("wan", NetworkType.wan),
    ("uplink", NetworkType.wan),
    ("transit", NetworkType.wan),
)
"""Words in a role or a name, and the type of network they speak of."""


def clients(source: Source, default_client: str | None) -> None:
    """Each tenant, and the client for what has none."""
    tenants = {tenant.text("name"): tenant for tenant in source.dump.all("tenancy.tenant")}
    if default_client in tenants:
        source.default_client = source.key(tenants[default_client])
    elif default_client is not None:
        key = key_of(source.name, "default-client", default_client)
        thing = Thing("--default-client", default_client, {})
        source.dump.report.of(thing.model).count += 1
        fields = {"name": default_client, "type": ClientType.internal.value}
        source.default_client = key
        source.plan(Planned(thing, CLIENTS, key, fields, by_name="name"), key)
    for tenant in source.dump.all("tenancy.tenant"):
        group = source.path_of(tenant, "group", "tenancy.tenantgroup")
        fields = {"name": tenant.text("name"), "type": ClientType.msp_client.value}
        facts = source.about(tenant, f"Group: {group}" if group else "", _labelled(source, tenant))
        contact = next((line for line in facts if line.startswith("Contact: ")), "")
        if contact:
            fields["primary_contact"] = contact.removeprefix("Contact: ")[:255]
        key = source.key(tenant)
        source.plan(Planned(tenant, CLIENTS, key, fields, facts, by_name="name"), key)


def tags(source: Source) -> None:
    """Each tag, under its name in lower case, as tags are kept here."""
    for tag in source.dump.all("extras.tag"):
        fields = {"name": tag_name(tag.text("name")), "category": "netbox"}
        if tag.text("description"):
            fields["description"] = tag.text("description")
        source.plan(Planned(tag, TAGS, source.key(tag), fields, by_name="name"), None)


def sites(source: Source) -> None:
    """Each site of a client."""
    for site in source.dump.all("dcim.site"):
        client = source.client_of(site)
        if client is None:
            source.left(site, NO_CLIENT)
            continue
        region = source.path_of(site, "region", "dcim.region")
        group = source.path_of(site, "group", "dcim.sitegroup")
        facts = source.about(
            site,
            f"Region: {region}" if region else "",
            f"Group: {group}" if group else "",
            *(f"{word}: {site.text(name)}" for word, name in (
                ("Facility", "facility"), ("Address", "physical_address"), ("Time zone", "time_zone"),
            ) if site.text(name)),
            _labelled(source, site),
        )  # fmt: skip
        fields = {"client_id": client, "name": site.text("name")}
        source.plan(Planned(site, SITES, source.key(site), fields, facts), client)


def site_of(source: Source, thing: Thing | None) -> Thing | None:
    """The site of an object, named by itself or, since NetBox 4.2, as its scope."""
    found = source.named(thing, "site", "dcim.site")
    if found is None and thing is not None:
        scope = target(source, thing, "scope")
        found = scope if scope is not None and scope.model == "dcim.site" else None
    return found


def networks(source: Source) -> None:
    """Each prefix. A VLAN goes into the networks of its prefixes; one without a subnet is a line at its site."""
    for prefix in source.dump.all("ipam.prefix"):
        site, vrf = site_of(source, prefix), source.named(prefix, "vrf", "ipam.vrf")
        vlan = source.named(prefix, "vlan", "ipam.vlan")
        client = source.client_of(prefix, vlan, vrf, site)
        if client is None:
            source.left(prefix, NO_CLIENT)
            continue
        role = source.name_of(prefix, "role", "ipam.role") or source.name_of(vlan, "role", "ipam.role")
        name = prefix.text("description") or (vlan.text("name") if vlan else "") or role or prefix.text("prefix")
        fields: dict[str, object] = {
            "client_id": client,
            "network_name": name,
            "network_type": _kind(f"{role} {name}".lower(), vlan).value,
            "cidr": prefix.text("prefix"),
        }
        if role:
            fields["purpose"] = role
        if vlan is not None and vlan.text("vid").isdecimal():
            fields["vlan_id"] = int(vlan.text("vid"))
        place_at(source, prefix, fields, site, client)
        facts = source.about(
            prefix,
            f"VRF: {vrf.text('name')}" if vrf else "",
            f"VLAN: {vlan.text('name')}" if vlan else "",
            _labelled(source, prefix),
        )
        source.plan(Planned(prefix, NETWORKS, source.key(prefix), fields, facts), client)
    for vlan in source.dump.all("ipam.vlan"):
        if ("ipam.vlan", vlan.pk) in source.used:
            source.mapped(vlan, "the VLAN of the networks of its prefixes")
        elif (site := source.named(vlan, "site", "dcim.site")) is not None and source.key(site) in source.owners:
            source.mapped(vlan, "a line in the notes of its site, as it has no prefix")
        else:
            source.left(vlan, "it has no prefix, and a network here has a subnet")


def place_at(
    source: Source, thing: Thing, fields: dict[str, object], site: Thing | None, client: uuid.UUID | None
) -> None:
    """Put a record at its site; one of another client is told and left out, since both must be of one client."""
    if site is None:
        return
    if source.owners.get(source.key(site)) == client:
        fields["site_id"] = source.key(site)
    else:
        source.dump.report.problem(
            thing.model, thing.pk, f"its site {site.text('name')} is of another tenant; taken without the site"
        )


def _kind(words: str, vlan: Thing | None) -> NetworkType:
    found = next((kind for word, kind in KINDS if word in words), None)
    return found or (NetworkType.vlan if vlan else NetworkType.lan)


def _labelled(source: Source, thing: Thing) -> str:
    labels = source.labels[thing.model, thing.pk]
    return f"Tags: {', '.join(labels)}" if labels else ""
