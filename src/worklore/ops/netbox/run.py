"""An import from its file to its report."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from worklore.kernel.resource import Catalog
from worklore.kernel.transaction import Database
from worklore.ops.netbox import hosts, places
from worklore.ops.netbox.dump import Thing, read
from worklore.ops.netbox.plan import Planned
from worklore.ops.netbox.report import Report
from worklore.ops.netbox.source import NOTED, Source, gather
from worklore.ops.netbox.store import Storing

NAMED: Final = {
    "tenancy.tenantgroup": "a line in the notes of its tenants",
    "tenancy.contact": "a line in the notes of what it is assigned to",
    "tenancy.contactrole": "a word in the line of a contact",
    "dcim.region": "a line in the notes of its sites",
    "dcim.sitegroup": "a line in the notes of its sites",
    "dcim.location": "a line in the notes of its devices",
    "dcim.rack": "a line in the notes of its devices",
    "dcim.devicetype": "a line in the notes of its devices",
    "dcim.manufacturer": "a line in the notes of its devices",
    "dcim.devicerole": "the role of its hosts",
    "dcim.platform": "the operating system of its hosts",
    "dcim.virtualchassis": "a line in the notes of its devices",
    "virtualization.cluster": "a line in the notes of its virtual machines",
    "virtualization.clustertype": "a word in the line of its clusters",
    "virtualization.clustergroup": "a word in the line of its clusters",
    "ipam.role": "the purpose of its networks",
    "ipam.vrf": "a line in the notes of its networks",
    "circuits.circuit": "a line in the notes of its sites",
    "circuits.provider": "a word in the line of its circuits",
    "circuits.circuittype": "a word in the line of its circuits",
}
"""Objects that go into the records of those that name them, and as what."""

SETTLED: Final = frozenset(
    {
        "tenancy.tenant", "extras.tag", "dcim.site", "ipam.prefix", "ipam.vlan", "ipam.service", hosts.DEVICE,
        hosts.MACHINE, *hosts.INTERFACES, "ipam.ipaddress", "dcim.macaddress", "dcim.devicebay",
        "tenancy.contactassignment", "circuits.circuittermination", "extras.taggeditem",
    }
)  # fmt: skip
"""Objects whose fate is decided where they are mapped."""

BOOKKEEPING: Final = frozenset(
    {"auth", "users", "admin", "sessions", "contenttypes", "account", "core", "django_rq", "social_django"}
)
CABLING: Final = ("cable", "port", "outlet", "power", "path")
UNKNOWN: Final = "Worklore has no place for it"

Progress = Callable[[int, int], None]
"""Told how many of all records are done."""


def import_netbox(
    database: Database, catalog: Catalog, path: Path, *, source: str, default_client: str | None, dry_run: bool,
    progress: Progress,
) -> Report:  # fmt: skip
    """Take a dump over. A second run changes what changed in NetBox and nothing else.

    ``source`` names the NetBox: objects of the same source and key are one record. What has no tenant goes to the
    client named ``default_client``, or is left without one. A dry run does everything and undoes it.

    Raises:
        InvalidError: the file is no dump.
        UnavailableError: the file cannot be read.
    """
    begun = time.monotonic()
    report = Report(dry_run=dry_run)
    read_from = Source(read(path, report), source)
    _map(read_from, default_client)
    Storing(database, catalog, report, read_from.plans).run(progress)
    report.seconds = time.monotonic() - begun
    return report


def _map(source: Source, default_client: str | None) -> list[Planned]:
    """Decide what becomes of each object; parents come before what names them."""
    gather(source)
    places.clients(source, default_client)
    places.tags(source)
    places.sites(source)
    places.networks(source)
    interfaces = hosts.Interfaces(source)
    hosts.devices(source, interfaces)
    hosts.machines(source, interfaces)
    hosts.services(source)
    _labels(source)
    for model, things in source.dump.things.items():
        if model not in SETTLED:
            for thing in things.values():
                _settle(source, thing)
    return source.plans


def _labels(source: Source) -> None:
    """Tags on hosts are tags, those on other records lines in the notes, those on what was left are left."""
    taken = {(planned.thing.model, planned.thing.pk) for planned in source.plans}
    for item, about in source.labelled:
        if (about.model, about.pk) not in taken or about.model not in NOTED:
            source.left(item, "what it is on was not taken")
        else:
            source.mapped(item, "a tag" if about.model in {hosts.DEVICE, hosts.MACHINE} else "a line in the notes")


def _settle(source: Source, thing: Thing) -> None:
    app, _, name = thing.model.partition(".")
    if (thing.model, thing.pk) in source.used and thing.model in NAMED:
        source.mapped(thing, NAMED[thing.model])
    elif thing.model in NAMED:
        source.left(thing, "nothing that was taken names it")
    elif app in BOOKKEEPING or app == "extras":
        source.left(thing, "NetBox's own users, rights, settings and bookkeeping")
    elif name.endswith("template"):
        source.left(thing, "a template, from which NetBox makes other objects")
    elif app == "dcim" and any(word in name for word in CABLING):
        source.left(thing, "cabling, ports and power have no place here")
    else:
        source.left(thing, UNKNOWN)
