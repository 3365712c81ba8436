"""Taking over a NetBox: what is taken, mapped and left; again without a duplicate; what changed there changes here."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.conftest import TestHub, unique
from worklore.clients.client import Client, ClientType
from worklore.estate.infrastructure import Infrastructure
from worklore.estate.network import Network
from worklore.estate.service import Service
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry
from worklore.kernel.context import Context
from worklore.kernel.errors import InvalidError, UnavailableError
from worklore.kernel.transaction import Database
from worklore.main import main
from worklore.ops.netbox import store
from worklore.ops.netbox.plan import key_of
from worklore.ops.netbox.report import Report
from worklore.ops.netbox.run import import_netbox
from worklore.resources import CATALOG
from worklore.work.tag import Tag
from worklore.work.tagging import InfrastructureTag

SAMPLE = Path(__file__).with_name("netbox-sample.json")


class Taking:
    """One made-up NetBox, whose tenants and tags have names that no other test has."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.file = database, folder / "netbox.json"
        self.mark = unique("nb")
        self.content: list[dict[str, Any]] = json.loads(SAMPLE.read_text(encoding="utf-8"))
        for entry in self.content:
            if entry["model"] in {"tenancy.tenant", "extras.tag"}:
                entry["fields"]["name"] += f" {self.mark}"

    def fields(self, model: str, pk: int) -> dict[str, Any]:
        return next(one["fields"] for one in self.content if (one["model"], one.get("pk")) == (model, pk))

    def run(self, *, dry_run: bool = False, progress: Callable[[int, int], None] = lambda *_: None) -> Report:
        self.file.write_text(json.dumps(self.content), encoding="utf-8")
        house = f"House {self.mark}"
        report = import_netbox(
            self.database, CATALOG, self.file, source=self.mark, default_client=house, dry_run=dry_run,
            progress=progress,
        )  # fmt: skip
        for model, fate in report.models.items():
            assert fate.count == fate.taken.total() + fate.mapped.total() + fate.left.total(), model
        return report

    def get(self, kind: type[Any], model: str, pk: int) -> Any:
        with self.database.read(SYSTEM) as ctx:
            return ctx.session.get(kind, key_of(self.mark, model, pk))

    def audited(self) -> int:
        """Entries of this import's messages about everything it can have touched."""
        entries = select(func.count()).select_from(AuditEntry).where(AuditEntry.message == store.MESSAGE)
        with self.database.read(SYSTEM) as ctx:
            return ctx.session.scalars(entries).one()


@pytest.fixture
def taking(database: Database, tmp_path: Path) -> Taking:
    return Taking(database, tmp_path)


CREATED = {"client": 3, "tag": 2, "site": 3, "network": 2, "infrastructure": 8, "service": 1}


def test_an_import_takes_what_fits_and_says_what_it_left(taking: Taking) -> None:
    report = taking.run()
    assert (dict(report.created), report.changed.total(), report.unchanged.total()) == (CREATED, 0, 0)
    models = report.facts()["models"]
    assert models["dcim.device"] == {"count": 6, "taken": {"infrastructure": 6}, "mapped": {}, "left": {}}
    assert models["ipam.prefix"]["left"] == {"refused, see the problems": 1}
    assert models["ipam.ipaddress"]["mapped"] == {"an address of its host": 3}
    assert models["dcim.cable"]["left"] == {"cabling, ports and power have no place here": 1}
    assert models["wireless.wirelesslan"]["left"] == {"Worklore has no place for it": 1}
    assert [problem.line() for problem in report.problems] == [
        "dcim.platform 1: its key occurs twice; the first is taken",
        "? #63: the entry has no model and fields",
        "dcim.device 4: its site Bakehouse is of another tenant; taken without the site",
        "dcim.device 6: tenant names tenancy.tenant 99, which the file does not have",
        "ipam.service 2: device names dcim.device 77, which the file does not have",
        "ipam.prefix 3: cidr (203.0.113.0/33): must be a network with its prefix length, such as 192.0.2.0/24",
        "dcim.device 1: mac_address (not a mac): must be a MAC address, such as 00:00:5e:00:53:01; taken without it",
    ]
    server = taking.get(Infrastructure, "dcim.device", 2)
    assert (server.hostname, server.ip_address, server.mac_address) == (
        "bake-srv-01",
        "192.0.2.10",
        "00:00:5E:00:53:01",
    )
    assert server.client_id == key_of(taking.mark, "tenancy.tenant", 1), "a device without a tenant is its site's"
    assert "Other addresses: 2001:db8::10" in server.notes
    assert taking.get(Infrastructure, "virtualization.virtualmachine", 2).parent_host_id == server.id
    assert taking.get(Network, "ipam.prefix", 1).vlan_id == 20
    assert taking.get(Service, "ipam.service", 1).port == 8443
    client = taking.get(Client, "tenancy.tenant", 1)
    assert (client.primary_contact, client.type) == (
        "Front office, office@bakery.example.com (Billing)",
        ClientType.msp_client,
    )
    with taking.database.read(SYSTEM) as ctx:
        switch = key_of(taking.mark, "dcim.device", 1)
        tags = select(Tag.name).join(InfrastructureTag).where(InfrastructureTag.infrastructure_id == switch)
        assert list(ctx.session.scalars(tags)) == [f"core {taking.mark}"]


def test_a_second_import_changes_nothing(taking: Taking) -> None:
    taking.run()
    before = taking.audited()
    assert before > 0
    again = taking.run()
    assert (again.created.total(), again.changed.total(), dict(again.unchanged)) == (0, 0, CREATED)
    assert taking.audited() == before


def test_what_changed_there_changes_here_and_what_people_wrote_stays(taking: Taking) -> None:
    taking.run()

    def write(ctx: Context) -> None:
        switch = ctx.session.get_one(Infrastructure, key_of(taking.mark, "dcim.device", 1))
        switch.notes, switch.os = f"Ask before a restart.\n\n{switch.notes}", "Switch OS"

    taking.database.write(write)
    taking.fields("dcim.device", 1).update(name="bake-sw-99", serial="SN-2")
    taking.fields("tenancy.tenant", 2)["name"] = f"Sable Quay Press {taking.mark}"
    report = taking.run()
    assert (report.created.total(), dict(report.changed)) == (0, {"client": 1, "infrastructure": 1})
    switch = taking.get(Infrastructure, "dcim.device", 1)
    assert (switch.hostname, switch.os) == ("bake-sw-99", "Switch OS")
    assert switch.notes.startswith("Ask before a restart.\n\nFrom NetBox:\n")
    assert "Serial: SN-2" in switch.notes
    assert "SN-1" not in switch.notes
    assert taking.get(Client, "tenancy.tenant", 2).name == f"Sable Quay Press {taking.mark}"


def test_a_dry_run_tells_the_same_and_leaves_nothing(taking: Taking) -> None:
    before = taking.audited()
    report = taking.run(dry_run=True)
    assert dict(report.created) == CREATED
    assert taking.audited() == before
    assert taking.get(Client, "tenancy.tenant", 1) is None
    assert dict(taking.run().created) == CREATED


def test_a_run_that_broke_off_is_completed_by_the_next(taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CHUNK", 6)

    def interrupted(done: int, _: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        taking.run(progress=interrupted)
    rest = taking.run()
    stored = 12 - 1  # one network is refused
    assert (rest.created.total(), rest.unchanged.total()) == (sum(CREATED.values()) - stored, stored)


def test_a_client_of_the_same_name_is_taken_for_the_tenant(taking: Taking) -> None:
    name = taking.fields("tenancy.tenant", 1)["name"]
    own = Client(name=name, type=ClientType.project, notes="Ours since spring.")
    taking.database.write(lambda ctx: ctx.session.add(own))
    report = taking.run()
    assert (report.created["client"], report.changed["client"]) == (2, 1)
    with taking.database.read(SYSTEM) as ctx:
        client = ctx.session.scalars(select(Client).where(Client.name == name)).one()
    assert client.type is ClientType.project
    assert client.notes.startswith("Ours since spring.\n\nFrom NetBox:\nGroup: Retail")
    assert taking.get(Infrastructure, "dcim.device", 1).client_id == client.id


def test_the_form_of_newer_versions_is_read(taking: Taking) -> None:
    """Since 4.2: a MAC address is an object, a prefix has a scope; since 4.3 a service has a parent object."""
    taking.fields("dcim.interface", 1)["mac_address"] = None
    mac = {"mac_address": "00:00:5E:00:53:02", "assigned_object_type": ["dcim", "interface"], "assigned_object_id": 1}
    taking.content.append({"model": "dcim.macaddress", "pk": 1, "fields": mac})
    prefix, service = taking.fields("ipam.prefix", 2), taking.fields("ipam.service", 1)
    del prefix["site"], service["device"], service["virtual_machine"]
    prefix.update(scope_type=["dcim", "site"], scope_id=2)
    service.update(parent_object_type=["virtualization", "virtualmachine"], parent_object_id=1)
    taking.run()
    assert taking.get(Infrastructure, "dcim.device", 2).mac_address == "00:00:5E:00:53:02"
    assert taking.get(Network, "ipam.prefix", 2).site_id == key_of(taking.mark, "dcim.site", 2)
    host = key_of(taking.mark, "virtualization.virtualmachine", 1)
    assert taking.get(Service, "ipam.service", 1).infrastructure_id == host


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ('{"model": "dcim.site"}', "no list as dumpdata writes it"),
        ("[1, 2]", "holds no object"),
    ],
)
def test_a_file_that_is_no_dump_is_refused(sqlite_hub: TestHub, tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(InvalidError, match=said):
        run_on(sqlite_hub, file)
    with pytest.raises(UnavailableError, match="cannot be read"):
        run_on(sqlite_hub, tmp_path / "missing.json")


JUNK = (None, "", 0, -1, 2**70, 1.5, True, [], {}, {"a": 1}, "x" * 700, "\0", "999", ["dcim", "site"], "[1, 2", "70000")


def test_whatever_fields_hold_the_rest_goes_in(sqlite_hub: TestHub, tmp_path: Path) -> None:
    """Each field may hold anything: what is refused is told, every object is counted once, nothing else fails."""
    chance = random.Random(5)
    told = 0
    for _ in range(25):
        taking = Taking(sqlite_hub.database, tmp_path)
        for _ in range(chance.randrange(1, 25)):
            entry = chance.choice(taking.content[:-1])
            if chance.random() < 0.9 and entry["fields"]:
                entry["fields"][chance.choice(list(entry["fields"]))] = chance.choice(JUNK)
            else:
                entry["pk"] = chance.choice(JUNK)
        told += len(taking.run(dry_run=True).problems)
    assert told > 25 * 7, "more than what is wrong with the sample itself"


def run_on(hub: TestHub, file: Path) -> Report:
    return import_netbox(
        hub.database, CATALOG, file, source="x", default_client=None, dry_run=False, progress=lambda *_: None
    )


def test_the_command_prints_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = f"sqlite:///{tmp_path / 'own.db'}"
    assert main(["import", "netbox", str(SAMPLE), "--database-url", target, "--json"]) == 1, "there are problems"
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["created"]["client"] == 2
    assert report["models"]["dcim.site"]["left"] == {"it has no tenant, and no default client was named": 1}
    assert main(["import", "netbox", str(SAMPLE), "--database-url", target, "--dry-run"]) == 1
    assert "client: 0 would be created, 0 would be changed, 2 unchanged" in capsys.readouterr().out
    assert main(["import", "netbox", str(tmp_path / "none.json"), "--database-url", target]) == 2
