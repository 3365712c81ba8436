"""The made-up provider: the same rows on every database, rows that every rule allows, a load that can be repeated."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import TestHub, serve
from tests.databases import Templates, drop_database
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.errors import ConflictError
from worklore.kernel.resource import Verb
from worklore.kernel.transaction import Database, Operation
from worklore.kernel.types import wire_value
from worklore.kernel.wire import wire
from worklore.main import main
from worklore.ops.demo.client import client
from worklore.ops.demo.load import Loaded, load
from worklore.ops.demo.profile import PROFILES
from worklore.ops.demo.provider import provider
from worklore.ops.demo.words import TAGS
from worklore.resources import CATALOG

SEED = 7
SMALL = PROFILES["small"]


def quiet(*_: Any) -> None:
    """Progress nobody looks at."""


@dataclass
class Filled:
    """A hub of its own, filled in two runs since the first was cut off; and what each table held then."""

    hub: TestHub
    rest: Loaded
    digests: dict[str, str]


@pytest.fixture(scope="module")
def filled(dialect: str, templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp(f"demo-{dialect}")
    url = templates.copied(dialect, folder / "demo.db")
    life = serve(url, folder)
    hub = next(life)
    made_by_a_hub = stored(hub.database).keys()

    def interrupted(done: int, _: Loaded) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(hub.database, SMALL, SEED, add=False, progress=interrupted)
    rest = load(hub.database, SMALL, SEED, add=True, progress=quiet)
    digests = stored(hub.database)
    yield Filled(hub, rest, {table: digest for table, digest in digests.items() if table not in made_by_a_hub})
    for _ in life:
        raise AssertionError("a hub starts once")
    if dialect != "sqlite":
        drop_database(dialect, url.database or "")


@cache
def expected() -> dict[str, str]:
    """The digest of each table as the seed has it, worked out without a database."""
    shared = provider(SEED, SMALL)
    tables = {table: list(rows) for table, rows in shared.rows}
    uses: Counter[Any] = Counter()
    for number in range(SMALL.clients):
        made = client(shared, number)
        for table, rows in made.rows:
            tables.setdefault(table, []).extend(rows)
        tables.setdefault("memory_windows", []).extend(made.windows)
        uses += made.labels
    for seq, row in enumerate(tables["memory_windows"], 1):
        row["seq"] = seq
    for row in tables["tags"]:
        row["usage_count"] = uses[row["id"]]
    return {table: digest(rows) for table, rows in tables.items()}


def digest(rows: list[dict[str, Any]]) -> str:
    lines = sorted(json.dumps({name: wire_value(row[name]) for name in sorted(row)}, default=bytes.hex) for row in rows)
    return f"{len(lines)} rows {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def stored(database: Database) -> dict[str, str]:
    """The digest of each table with rows, but for those that record what is done."""
    own = {"api_audit_log", "audit_checkpoints", "audit_log", "hub_nodes", "sequences"}
    found: dict[str, str] = {}
    with database.read(SYSTEM) as ctx:
        for table in Base.metadata.sorted_tables:
            rows = [dict(row._mapping) for row in ctx.session.connection().execute(select(table))]
            if rows and table.name not in own:
                found[table.name] = digest(rows)
    return found


def test_a_seed_makes_the_same_rows_on_every_database(filled: Filled) -> None:
    """And so does a load that was cut off after its second client and finished by another."""
    assert (filled.rest.clients, filled.rest.present) == (SMALL.clients - 2, 2)
    assert filled.digests == expected()


def test_another_seed_makes_others() -> None:
    shared = provider(SEED + 1, SMALL)
    names = {client(shared, number).name for number in range(SMALL.clients)}
    assert not names & {client(provider(SEED, SMALL), number).name for number in range(SMALL.clients)}


def test_every_row_keeps_every_rule(filled: Filled) -> None:
    """What the API would refuse or change in a row is no believable row."""

    def examine(ctx: Context) -> Counter[str]:
        looked: Counter[str] = Counter()
        for resource in CATALOG.resources:
            schemas = wire(resource)
            for record in ctx.session.scalars(select(resource.model)).all():
                looked[resource.name] += 1
                for name, adapter in ((name, schemas.adapter(name)) for name in schemas.fields):
                    value = getattr(record, schemas.attributes[name])
                    if value is not None:
                        adapter.validate_python(value)
                if resource.check is not None:
                    resource.check(ctx, record, {})
            changed = [record for record in ctx.session.dirty if ctx.session.is_modified(record)]
            changed += [*ctx.session.new, *ctx.session.deleted]
            assert not changed, (resource.name, changed[0].__dict__)
        return looked

    looked = filled.hub.database.write(examine, Operation(dry_run=True))
    missing = {
        "site", "m365-tenant", "firewall-rule", "infrastructure", "network", "service", "service-relationship",
        "credential", "billable-time", "pending-task", "project", "session", "tag", "work-item", "command",
        "database-change", "deployment", "operation-failure", "file-change", "security-incident",
        "infrastructure-change", "environmental-example", "environmental-insight", "failure-pattern",
        "problem-solution", "context", "decision", "project-state", "snippet", "transcript", "memory",
        "project-configuration", "enhancement", "status-change", "deployment-event",
        "planning-reference", "learning-metric", "vendor", "ticket-link", "machine", "user",
    } - looked.keys()  # fmt: skip
    assert not missing


def test_loading_again_adds_nothing(filled: Filled) -> None:
    database = filled.hub.database
    with pytest.raises(ConflictError, match="5 clients already"):
        load(database, SMALL, SEED, add=False, progress=quiet)
    again = load(database, SMALL, SEED, add=True, progress=quiet)
    assert (again.clients, again.present, again.rows.total()) == (0, SMALL.clients, 0)


def test_the_command_adds_another_seed_beside_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["demo-data", "--database-url", f"sqlite:///{tmp_path / 'two.db'}", "--json"]
    assert main([*given, "--seed", "7"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main([*given, "--seed", "8"]) == 2
    assert "say --add" in capsys.readouterr().err
    assert main([*given, "--seed", "8", "--add"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert first["clients"] == second["clients"] == SMALL.clients
    assert (first["tables"]["tags"], second["tables"]["tags"]) == (len(TAGS), 0)


def test_each_batch_is_audited(filled: Filled) -> None:
    """Every row of an audited table is in an entry: the counts add up to what the table holds."""
    with filled.hub.database.read(SYSTEM) as ctx:
        entries = ctx.session.scalars(select(AuditEntry).where(AuditEntry.action.in_(("demo-data", "capture")))).all()
        counted: Counter[str] = Counter()
        for entry in entries:
            counted[entry.table_name] += entry.changed["count"]
    unaudited = {mapper.local_table.name for mapper in Base.registry.mappers if not mapper.class_.audited}
    held = {table: int(text.partition(" ")[0]) for table, text in filled.digests.items() if table not in unaudited}
    assert counted == held


def test_the_api_lists_every_noun_and_recall_finds_what_was_said(filled: Filled) -> None:
    api = filled.hub.owner()
    for resource in CATALOG.resources:
        if Verb.list in resource.verbs:
            answer = api.get(f"/{resource.plural}", params={"limit": 5, "total": "true"})
            assert answer.status_code == 200, (resource.plural, answer.text)
    window = api.get("/memory-windows", params={"q": "lock", "limit": 1}).json()["items"][0]
    project = api.get(f"/projects/{window['project_id']}").json()
    found = api.post("/recall", json={"question": window["text"], "project": project["slug"]})
    assert found.status_code == 200, found.text
    assert window["id"] in {item["id"] for item in found.json()["items"]}


def test_the_api_changes_what_was_made_up(filled: Filled) -> None:
    api = filled.hub.owner()
    for plural, field in {
        "clients": "notes", "sites": "notes", "infrastructure": "notes", "services": "notes", "networks": "notes",
        "projects": "notes", "sessions": "notes", "work-items": "description", "commands": "output_summary",
        "failure-patterns": "error_pattern", "environmental-insights": "insight_description",
        "security-incidents": "notes", "pending-tasks": "description", "billable-time": "notes",
    }.items():  # fmt: skip
        record = api.get(f"/{plural}", params={"limit": 1}).json()["items"][0]
        changed = api.patch(f"/{plural}/{record['id']}", json={field: "seen"}, params={"dry_run": "true"})
        assert changed.status_code == 200, (plural, changed.text)
        assert changed.json()[field] == "seen"
