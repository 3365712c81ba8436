"""Devices and virtual machines become infrastructure with their addresses, services services."""

import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, cast

from worklore.estate.infrastructure import INFRASTRUCTURE, AssetStatus, AssetType
from worklore.estate.service import SERVICES
from worklore.kernel.forms import of_form
from worklore.ops.netbox.dump import Thing
from worklore.ops.netbox.places import NO_CLIENT, place_at, site_of
from worklore.ops.netbox.plan import Planned
from worklore.ops.netbox.source import Source, target

DEVICE: Final = "dcim.device"
MACHINE: Final = "virtualization.virtualmachine"
INTERFACES: Final = {"dcim.interface": ("device", DEVICE), "virtualization.vminterface": ("virtual_machine", MACHINE)}

TYPES: Final = (
    ("firewall", AssetType.firewall),
    ("domain controller", AssetType.domain_controller),
    ("workstation", AssetType.workstation),
    ("desktop", AssetType.workstation),
    ("laptop", AssetType.workstation),
    ("nas", AssetType.nas_storage),
    ("san", AssetType.nas_storage),
    ("storage", AssetType.nas_storage),
    ("container", AssetType.container),
    ("server", AssetType.physical_server),
    ("hypervisor", AssetType.physical_server),
)
"""Words in a device's role, and the type of asset they speak of; all others are network devices."""

GONE: Final = frozenset({"decommissioning", "inventory"})
MANY: Final = 20
"""Addresses listed in the notes of a host."""

_hostname = of_form("hostname")


class Interfaces:
    """Addresses and MAC addresses of hosts, by the host's model and key."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.addresses: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.macs: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._useful: set[tuple[str, str]] = set()
        self._read_addresses()
        self._read_macs()

    def _read_addresses(self) -> None:
        for address in self._source.dump.all("ipam.ipaddress"):
            interface = target(self._source, address, "assigned_object")
            host = self._host(interface)
            if host is None or interface is None:
                self._source.left(address, "it is assigned to no device or virtual machine")
                continue
            self._useful.add((interface.model, interface.pk))
            self.addresses[host.model, host.pk].append(address.text("address").partition("/")[0])
            self._source.mapped(address, "an address of its host")

    def _read_macs(self) -> None:
        for address in self._source.dump.all("dcim.macaddress"):
            host = self._host(target(self._source, address, "assigned_object"))
            if host is None:
                self._source.left(address, "it is assigned to no device or virtual machine")
            else:
                self.macs[host.model, host.pk].append(address.text("mac_address"))
                self._source.mapped(address, "the MAC address of its host")
        for model in INTERFACES:
            for interface in self._source.dump.all(model):
                host = self._host(interface) if interface.text("mac_address") else None
                if host is not None:
                    self.macs[host.model, host.pk].append(interface.text("mac_address"))
                    self._useful.add((model, interface.pk))
                if (model, interface.pk) in self._useful:
                    self._source.mapped(interface, "the address of its host")
                else:
                    self._source.left(interface, "it has neither an address nor a MAC address")

    def _host(self, interface: Thing | None) -> Thing | None:
        if interface is None or interface.model not in INTERFACES:
            return None
        name, model = INTERFACES[interface.model]
        return self._source.dump.named(interface, name, model)


def devices(source: Source, interfaces: Interfaces) -> None:
    """Each device; one that sits in the bay of another is carried by that one."""
    carriers = _carriers(source)
    for device in sorted(source.dump.all(DEVICE), key=lambda device: _height(carriers, device)):
        site, rack = site_of(source, device), source.named(device, "rack", "dcim.rack")
        client = source.client_of(device, rack, site)
        if client is None:
            source.left(device, NO_CLIENT)
            continue
        kind = source.named(device, "device_type", "dcim.devicetype")
        role = source.name_of(device, "role", "dcim.devicerole") or source.name_of(
            device, "device_role", "dcim.devicerole"
        )
        hostname, facts = _named(device, kind.text("slug") if kind else "device")
        fields = _host(source, interfaces, device, role)
        fields |= {"client_id": client, "hostname": hostname, "asset_type": _type(role).value}
        place_at(source, device, fields, site, client)
        _carry(source, device, fields, carriers.get(device.pk), client)
        model = f"{source.name_of(kind, 'manufacturer', 'dcim.manufacturer')} {kind.text('model') if kind else ''}"
        location = source.path_of(device, "location", "dcim.location")
        stack = source.name_of(device, "virtual_chassis", "dcim.virtualchassis")
        told = (
            ("Model", model.strip()),
            ("Serial", device.text("serial")),
            ("Asset tag", device.text("asset_tag")),
            ("Location", location),
            ("Rack", " U".join(filter(None, (rack.text("name") if rack else "", device.text("position"))))),
            ("Stack", stack),
        )
        facts += [f"{word}: {text}" for word, text in told if text]
        facts += _addresses(interfaces, device, fields)
        labels = source.labels[device.model, device.pk]
        planned = Planned(device, INFRASTRUCTURE, source.key(device), fields, source.about(device, *facts), labels)
        source.plan(planned, client)


def machines(source: Source, interfaces: Interfaces) -> None:
    """Each virtual machine, on the device it is pinned to."""
    for machine in source.dump.all(MACHINE):
        cluster = source.named(machine, "cluster", "virtualization.cluster")
        site = site_of(source, machine) or site_of(source, cluster)
        client = source.client_of(machine, cluster, site)
        if client is None:
            source.left(machine, NO_CLIENT)
            continue
        hostname, facts = _named(machine, "vm")
        role = source.name_of(machine, "role", "dcim.devicerole")
        fields = _host(source, interfaces, machine, role)
        fields |= {"client_id": client, "hostname": hostname, "asset_type": AssetType.virtual_machine.value}
        place_at(source, machine, fields, site, client)
        _carry(source, machine, fields, source.named(machine, "device", DEVICE), client)
        kind = source.name_of(cluster, "type", "virtualization.clustertype")
        group = source.name_of(cluster, "group", "virtualization.clustergroup")
        told = (
            ("Cluster", ", ".join(filter(None, (cluster.text("name") if cluster else "", kind, group)))),
            ("Processors", machine.text("vcpus")),
            ("Memory in MB", machine.text("memory")),
            ("Disk", machine.text("disk")),
        )
        facts += [f"{word}: {text}" for word, text in told if text]
        facts += _addresses(interfaces, machine, fields)
        labels = source.labels[machine.model, machine.pk]
        planned = Planned(machine, INFRASTRUCTURE, source.key(machine), fields, source.about(machine, *facts), labels)
        source.plan(planned, client)


def services(source: Source) -> None:
    """Each service, on the host it runs on, at its first port; the others are in its notes."""
    for service in source.dump.all("ipam.service"):
        host = (
            source.named(service, "device", DEVICE)
            or source.named(service, "virtual_machine", MACHINE)
            or target(source, service, "parent_object")
        )
        if host is None or source.key(host) not in source.owners:
            source.left(service, "the host it runs on was not taken")
            continue
        ports = list(_ports(service.fields.get("ports")))
        fields: dict[str, object] = {"infrastructure_id": source.key(host), "service_name": service.text("name")}
        if ports:
            fields["port"] = ports[0]
        if service.text("protocol"):
            fields["protocol"] = service.choice("protocol")
        facts = source.about(service, f"Ports: {', '.join(map(str, ports))}" if len(ports) > 1 else "")
        source.plan(Planned(service, SERVICES, source.key(service), fields, facts), source.owners[source.key(host)])


def _host(source: Source, interfaces: Interfaces, thing: Thing, role: str) -> dict[str, object]:
    """What devices and virtual machines have in common."""
    fields: dict[str, object] = {
        "status": (AssetStatus.decommissioned if thing.choice("status") in GONE else AssetStatus.active).value
    }
    if role:
        fields["role_description"] = role
    platform = source.name_of(thing, "platform", "dcim.platform")
    if platform:
        fields["os"] = platform
    primary = source.named(thing, "primary_ip4", "ipam.ipaddress") or source.named(
        thing, "primary_ip6", "ipam.ipaddress"
    )
    known = interfaces.addresses[thing.model, thing.pk]
    if primary is not None:
        fields["ip_address"] = primary.text("address").partition("/")[0]
    elif known:
        fields["ip_address"] = known[0]
    macs = interfaces.macs[thing.model, thing.pk]
    if macs:
        fields["mac_address"] = macs[0]
    return fields


def _addresses(interfaces: Interfaces, thing: Thing, fields: dict[str, object]) -> list[str]:
    others = [one for one in interfaces.addresses[thing.model, thing.pk] if one != fields.get("ip_address")]
    more = f" and {len(others) - MANY} more" if len(others) > MANY else ""
    return [f"Other addresses: {', '.join(others[:MANY])}{more}"] if others else []


def _named(thing: Thing, otherwise: str) -> tuple[str, list[str]]:
    """A host name, and the name as it was where that is none."""
    name = thing.text("name")
    if not name:
        return f"{otherwise}-{thing.pk}", ["Without a name in NetBox"]
    try:
        return _hostname(name), []
    except ValueError:
        plain = re.sub(r"[^A-Za-z0-9.]+", "-", name)
        labels = [label[:63].strip("-") for label in plain.split(".")]
        return ".".join(filter(None, labels)).lower() or f"{otherwise}-{thing.pk}", [f"Name in NetBox: {name}"]


def _type(role: str) -> AssetType:
    words = role.lower()
    return next((kind for word, kind in TYPES if re.search(rf"\b{word}\b", words)), AssetType.network_device)


def _carriers(source: Source) -> dict[str, Thing]:
    """The chassis of each device that sits in a bay."""
    carriers: dict[str, Thing] = {}
    for bay in source.dump.all("dcim.devicebay"):
        inside, chassis = source.named(bay, "installed_device", DEVICE), source.named(bay, "device", DEVICE)
        if inside is None or chassis is None:
            source.left(bay, "nothing sits in it")
        else:
            carriers[inside.pk] = chassis
            source.mapped(bay, "what sits in it is carried by its chassis")
    return carriers


def _height(carriers: dict[str, Thing], device: Thing) -> int:
    """How many devices carry a device, so that those that carry others come first."""
    height, at = 0, carriers.get(device.pk)
    while at is not None and height <= len(carriers):
        height, at = height + 1, carriers.get(at.pk)
    return height


def _carry(
    source: Source, thing: Thing, fields: dict[str, object], carrier: Thing | None, client: uuid.UUID | None
) -> None:
    if carrier is None:
        return
    owner = source.owners.get(source.key(carrier))
    if owner in {client, source.default_client} and owner is not None:
        fields["parent_host_id"] = source.key(carrier)
    else:
        what = f"its host {carrier.text('name')} is of another tenant; taken without it"
        source.dump.report.problem(thing.model, thing.pk, what)


def _ports(value: object) -> Iterator[int]:
    """Ports of a service; an array stands in a dump as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = [value]
    for port in cast("list[object]", value) if isinstance(value, list) else [value]:
        if str(port).isdecimal():
            yield int(str(port))
