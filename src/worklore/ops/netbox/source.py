"""A dump as the mappings read it: who owns what, what is said about it, and which objects were of use."""

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final, cast

from worklore.kernel.types import dumps
from worklore.ops.netbox.dump import Dump, Thing
from worklore.ops.netbox.plan import Planned, key_of

PLAIN_STATUS: Final = "active"
MANY: Final = 1_000_000

NOTED: Final = frozenset(
    {
        "tenancy.tenant", "dcim.site", "ipam.prefix", "ipam.service", "dcim.device", "virtualization.virtualmachine",
    }
)  # fmt: skip
"""What has notes here."""

Lines = dict[tuple[str, str], list[str]]


@dataclass(slots=True)
class Source:
    """One NetBox. ``owners`` says whose each planned record is; ``used`` holds the objects that were looked up."""

    dump: Dump
    name: str
    default_client: uuid.UUID | None = None
    owners: dict[uuid.UUID, uuid.UUID | None] = field(default_factory=dict[uuid.UUID, uuid.UUID | None])
    used: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    plans: list[Planned] = field(default_factory=list[Planned])
    labels: Lines = field(default_factory=lambda: defaultdict(list))
    labelled: list[tuple[Thing, Thing]] = field(default_factory=list[tuple[Thing, Thing]])
    lines: Lines = field(default_factory=lambda: defaultdict(list))

    def key(self, thing: Thing) -> uuid.UUID:
        """The id of the record an object becomes."""
        return key_of(self.name, thing.model, thing.pk)

    def named(self, thing: Thing | None, name: str, model: str) -> Thing | None:
        """The object a field names; it was of use."""
        found = self.dump.named(thing, name, model) if thing is not None else None
        if found is not None:
            self.used.add((found.model, found.pk))
        return found

    def name_of(self, thing: Thing | None, name: str, model: str) -> str:
        """The name of the object a field names; empty where it names none."""
        found = self.named(thing, name, model)
        return found.text("name") if found else ""

    def path_of(self, thing: Thing | None, name: str, model: str) -> str:
        """The names of a nested object and of those above it, topmost first."""
        names: list[str] = []
        found = self.named(thing, name, model)
        while found is not None and found.text("name") not in names:
            names.insert(0, found.text("name"))
            found = self.named(found, "parent", model)
        return " / ".join(names)

    def client_of(self, *things: Thing | None) -> uuid.UUID | None:
        """The client of the first of some objects that has a tenant; else the default one."""
        for thing in things:
            tenant = self.named(thing, "tenant", "tenancy.tenant")
            if tenant is not None:
                return self.key(tenant)
        return self.default_client

    def plan(self, planned: Planned, owner: uuid.UUID | None) -> None:
        """Let an object become a record of a client."""
        self.owners[planned.key] = owner
        self.plans.append(planned)

    def left(self, thing: Thing, why: str) -> None:
        """Leave an object."""
        self.dump.report.of(thing.model).left[why] += 1

    def mapped(self, thing: Thing, what: str) -> None:
        """An object that has gone into other records."""
        self.dump.report.of(thing.model).mapped[what] += 1

    def about(self, thing: Thing, *more: str) -> list[str]:
        """The lines of notes about an object: what was gathered of it, and what its own fields say."""
        status = thing.choice("status")
        custom = thing.fields.get("custom_field_data")
        filled = cast("dict[str, Any]", custom).items() if isinstance(custom, dict) else ()
        return [
            *more,
            f"Status: {status}" if status and status != PLAIN_STATUS else "",
            *(
                f"{name}: {value if isinstance(value, str) else dumps(value)}"
                for name, value in filled
                if value not in (None, "", [])
            ),
            *self.lines[thing.model, thing.pk],
            thing.text("description"),
            thing.text("comments"),
        ]


def gather(source: Source) -> None:
    """What other objects say about an object: its tags, contacts, VLANs, and the circuits that end at it."""
    _gather_tags(source)
    _gather_contacts(source)
    _gather_circuits(source)
    with_prefix = {str(prefix.fields.get("vlan")) for prefix in source.dump.all("ipam.prefix")}
    for vlan in source.dump.all("ipam.vlan"):
        if vlan.pk not in with_prefix and vlan.text("site"):
            source.lines["dcim.site", vlan.text("site")].append(f"VLAN {vlan.text('vid')}: {vlan.text('name')}")


def _gather_tags(source: Source) -> None:
    for item in source.dump.all("extras.taggeditem"):
        tag, about = source.named(item, "tag", "extras.tag"), _target(source, item, "content_type", "object_type")
        if tag is None or about is None:
            source.left(item, "what it names is not in the file")
        else:
            source.labels[about.model, about.pk].append(tag.text("name"))
            source.labelled.append((item, about))


def _gather_contacts(source: Source) -> None:
    for assignment in source.dump.all("tenancy.contactassignment"):
        about = _target(source, assignment, "content_type", "object_type")
        if about is None or about.model not in NOTED:
            source.left(assignment, "what it is about is not taken")
            continue
        contact = source.named(assignment, "contact", "tenancy.contact")
        if contact is None:
            source.left(assignment, "what it names is not in the file")
            continue
        role = source.name_of(assignment, "role", "tenancy.contactrole")
        line = f"Contact: {person(contact)}{f' ({role})' if role else ''}"
        place = 0 if assignment.choice("priority") == "primary" else MANY
        source.lines[about.model, about.pk].insert(place, line)
        source.mapped(assignment, "a line in the notes of what it is about")


def _gather_circuits(source: Source) -> None:
    for end in source.dump.all("circuits.circuittermination"):
        site = source.dump.named(end, "site", "dcim.site") or target(source, end, "termination")
        if site is None or site.model != "dcim.site":
            source.left(end, "it ends at no site")
            continue
        circuit = source.named(end, "circuit", "circuits.circuit")
        provider = source.name_of(circuit, "provider", "circuits.provider")
        kind = source.name_of(circuit, "type", "circuits.circuittype")
        cid, status = (circuit.text("cid"), circuit.choice("status")) if circuit else ("", "")
        source.lines[site.model, site.pk].append(f"Circuit {cid}: {', '.join(filter(None, (provider, kind, status)))}")
        source.mapped(end, "a line in the notes of its site")


def person(contact: Thing) -> str:
    """A contact on one line."""
    return ", ".join(contact.text(name) for name in ("name", "title", "phone", "email") if contact.text(name))


def _target(source: Source, thing: Thing, *kinds: str, key: str = "object_id") -> Thing | None:
    """The object that a pair of content type and key names."""
    for kind in kinds:
        model = source.dump.kind(thing.fields.get(kind))
        found = source.dump.get(model, thing.fields.get(key)) if model else None
        if found is not None:
            return found
    return None


def target(source: Source, thing: Thing, prefix: str) -> Thing | None:
    """The object that ``<prefix>_type`` and ``<prefix>_id`` name."""
    return _target(source, thing, f"{prefix}_type", key=f"{prefix}_id")
