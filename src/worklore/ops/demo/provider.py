"""What the provider itself has: technicians with their machines, labels, vendors."""

import random
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from worklore.identity.machine import Machine, MachineType
from worklore.identity.roles import Role
from worklore.identity.user import User
from worklore.ops.demo.profile import Profile
from worklore.ops.demo.rows import BEGIN, UNTIL, Row, Rows
from worklore.ops.demo.words import FAMILY, GIVEN, TAGS, VENDORS
from worklore.tracking.vendor import VendorExtractor, VendorStatus
from worklore.work.tag import Tag

PLATFORMS: Final = (("linux", "Debian 12", "bash"), ("windows", "Windows 11", "pwsh"), ("darwin", "macOS 15", "zsh"))


@dataclass(frozen=True, slots=True)
class Technician:
    """Somebody who works for clients, on a machine of their own."""

    user_id: uuid.UUID
    name: str
    email: str
    machine_id: uuid.UUID
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class Provider:
    """What all clients share. ``tags`` and ``vendors`` are ids by name."""

    seed: int
    profile: Profile
    technicians: tuple[Technician, ...]
    tags: dict[str, uuid.UUID]
    vendors: dict[str, uuid.UUID]
    rows: Rows

    def chance(self, number: int) -> random.Random:
        """The chance of one client: whatever happens at the others, its rows are the same."""
        return seeded(self.seed, "client", number)


def seeded(*parts: object) -> random.Random:
    """Chance that depends on the parts alone."""
    return random.Random("/".join(map(str, parts)))  # noqa: S311 - made-up rows, no secrets


def provider(seed: int, profile: Profile) -> Provider:
    """The provider of a seed. Each row has a chance of its own, so a larger profile has the rows of a smaller one."""
    rows = Rows(seeded(seed, "provider"))
    technicians = tuple(_technician(rows, seed, number) for number in range(profile.technicians))
    tags: dict[str, uuid.UUID] = {}
    for name, category in TAGS.items():
        rows.chance = seeded("tag", name)
        tags[name] = rows.add(Tag, BEGIN, name=name, category=category)["id"]
    vendors: dict[str, uuid.UUID] = {}
    for name in VENDORS:
        rows.chance = seeded("vendor", name)
        vendors[name] = _vendor(rows, name, technicians[0].email)["id"]
    return Provider(seed, profile, technicians, tags, vendors, rows)


def _technician(rows: Rows, seed: int, number: int) -> Technician:
    chance = rows.chance = seeded(seed, "technician", number)
    given, family = chance.choice(GIVEN), chance.choice(FAMILY)
    email = f"{given}.{family}.{seed}-{number}@example.com".lower()
    user = rows.add(User, BEGIN, email=email, name=f"{given} {family}", role=Role.technician)
    platform, version, shell = chance.choice(PLATFORMS)
    login = given.lower()
    home = f"C:\\Users\\{login}" if platform == "windows" else f"/home/{login}"
    machine = rows.add(
        Machine,
        BEGIN,
        hostname=f"{login}-{family.lower()}-laptop",
        machine_fingerprint=f"{chance.getrandbits(128):032x}",
        friendly_name=f"Laptop of {given} {family}",
        machine_type=MachineType.laptop,
        platform=platform,
        os_version=version,
        username=login,
        home_directory=home,
        has_vpn_access=True,
        has_docker=rows.likely(0.5),
        has_powershell=shell == "pwsh",
        powershell_version="7.4.6" if shell == "pwsh" else None,
        installed_tools=["git", "ssh", *chance.sample(["nmap", "restic", "psql", "ansible", "tcpdump"], 3)],
        preferred_shell=shell,
        last_seen=UNTIL - timedelta(hours=chance.randrange(8, 90)),
    )
    return Technician(user["id"], user["name"], email, machine["id"], home, shell)


def _vendor(rows: Rows, name: str, author: str) -> Row:
    chance = rows.chance
    version = f"{chance.randrange(1, 4)}.{chance.randrange(10)}.{chance.randrange(10)}"
    total = chance.randrange(20, 90)
    broken = rows.likely(0.2)
    metadata: dict[str, Any] = {
        "format_support": {"excel": rows.likely(0.5), "csv": True, "pdf": True, "ocr": rows.likely(0.3)},
        "test_results": {"passing": total - (chance.randrange(2, 9) if broken else 1), "total": total, "skipped": 1},
        "extractor_version": version,
        "manifest_compliant": not broken,
    }
    return rows.add(
        VendorExtractor,
        BEGIN,
        name=name,
        status=VendorStatus.broken if broken else VendorStatus.operational,
        extractor_version=version,
        metadata=metadata,
        created_by=author,
        updated_by=author,
    )
