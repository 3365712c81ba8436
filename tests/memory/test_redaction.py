"""No secret is stored by capture or told by recall; the vault's own are known exactly, and old rows are swept."""

import base64
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import event, func, select, update

from tests.conftest import TestHub, unique
from tests.memory.test_capture import post, rows
from tests.memory.transcripts import conversation, folder, piece
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry, unaudited
from worklore.kernel.context import Context
from worklore.kernel.errors import UnavailableError
from worklore.memory import sweep as sweeping
from worklore.memory.redaction import VAULT_SECRET, told, version
from worklore.memory.sweep import RedactionSweep, sweep
from worklore.memory.window import MemoryWindow
from worklore.memory.written import OF_SESSIONS, columns_of
from worklore.resources import HOLDERS
from worklore.trail.command import CommandRun
from worklore.vault.known import KNOWN, KnownSecrets, known_secrets
from worklore.vault.seal import VAULT, Vault

PASSWORD = "Geheim77!" + "x"


@pytest.fixture(scope="module")
def kept(api: httpx2.Client) -> str:
    """A secret that is in the vault and that no rule would find."""
    secret = "violet" + uuid.uuid4().hex[:9] + "meadow"
    client = api.post("/clients", json={"name": unique("client"), "type": "msp_client"}).json()["id"]
    body = {"client_id": client, "credential_type": "password", "service_name": unique("fw"), "password": secret}
    assert api.post("/credentials/store", json=body).status_code < 300
    return secret


def everything(hub: TestHub, session: str) -> str:
    """What the hub has of a session, and of its audit, as text."""
    with hub.database.read(SYSTEM) as ctx:
        windows = ctx.session.execute(
            select(MemoryWindow.text, MemoryWindow.tokens).where(MemoryWindow.session_id == uuid.UUID(session))
        )
        audit = ctx.session.scalars(select(AuditEntry.changed).order_by(AuditEntry.at.desc()).limit(200))
        return "\n".join(map(str, [*windows, *audit]))


def test_what_a_client_did_not_take_out_is_not_stored(hub: TestHub, machine_api: httpx2.Client) -> None:
    said = f"the admin pw for FW01 is {PASSWORD}"
    body = piece(conversation(said, "Noted [redacted:jwt], and the MTU is 1400"), folder())
    post(machine_api, body)
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    assert session["session_title"] == "the admin pw for FW01 is [redacted:password]"
    assert "geheim77" not in everything(hub, session["id"]).lower()
    counted = hub.owner().get("/redactions", params={"session_id": session["id"]}).json()["items"]
    assert sorted((row["stage"], row["rule"], row["count"]) for row in counted) == [
        ("capture", "password", 1),
        ("client", "jwt", 1),
    ]


def test_the_audit_tells_how_many_and_not_what(hub: TestHub, machine_api: httpx2.Client) -> None:
    body = piece(conversation(f"pw: {PASSWORD}", f"and PIN 4711, pw {PASSWORD}"), folder())
    post(machine_api, body)
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    with hub.database.read(SYSTEM) as ctx:
        entry = ctx.session.scalars(
            select(AuditEntry).where(AuditEntry.action == "redact", AuditEntry.record_id == uuid.UUID(session["id"]))
        ).one()
    assert entry.changed == {"stage": "capture", "found": {"password": 2, "pin": 1}}


def test_the_vaults_own_secrets_are_found_in_every_form(hub: TestHub, machine_api: httpx2.Client, kept: str) -> None:
    forms = [
        kept,
        base64.b64encode(kept.encode()).decode(),
        base64.b64encode(f"user:{kept}:more".encode()).decode(),
        quote(kept, safe=""),
        json.dumps(kept),
        kept[:7] + "\u200b" + kept[7:],
        kept.encode().hex(),
    ]
    body = piece(conversation(*(f"it printed {form} here" for form in forms)), folder())
    post(machine_api, body)
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    said = rows(machine_api, "memory-windows", session_id=session["id"], sort="ordinal")
    assert all(f"[redacted:{VAULT_SECRET}]" in row["text"] for row in said)
    assert len(said) == len(forms)
    assert kept not in everything(hub, session["id"])


def test_a_secret_that_changes_is_known_at_once(hub: TestHub, api: httpx2.Client) -> None:
    first, second = ("river" + uuid.uuid4().hex[:10] + "stone" for _ in range(2))
    body = {"credential_type": "password", "service_name": unique("nas"), "password": first}
    key = api.post("/credentials/store", json=body).json()["id"]

    def found(text: str) -> bool:
        def look(ctx: Context) -> bool:
            known = known_secrets(ctx)
            assert known is not None
            known.refresh(ctx)
            return known.take_out(text, "*")[1] > 0

        return hub.database.write(look)

    assert found(first)
    assert not found(second)
    assert api.post(f"/credentials/{key}/rotate", json={"password": second}).status_code < 300
    assert found(second)
    assert not found(first)


@pytest.mark.usefixtures("kept")
def test_a_sealed_vault_is_not_looked_for(hub: TestHub) -> None:
    vault = hub.database.provided(VAULT)
    assert isinstance(vault, Vault)
    known = KnownSecrets(HOLDERS)
    with hub.database.read(SYSTEM) as ctx:
        known.refresh(ctx)
        assert len(known)
        vault.refusal = lambda: UnavailableError("sealed", code="vault-sealed")
        try:
            assert known.refresh(ctx) == 0
        finally:
            vault.refusal = None
        assert not len(known)


def test_nothing_of_a_secret_is_held(hub: TestHub, kept: str) -> None:
    known = hub.database.provided(KNOWN)
    assert isinstance(known, KnownSecrets)
    with hub.database.read(SYSTEM) as ctx:
        known.refresh(ctx)
    assert len(known)
    assert kept[:8] not in repr(vars(known)) + repr(vars(known._matcher))


def test_recall_and_its_question(hub: TestHub, machine_api: httpx2.Client) -> None:
    where = folder()
    body = piece(conversation("The branch office VPN drops", "Set the MTU to 1400 on the firewall"), where)
    post(machine_api, body)
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    # As a row from before there was a rule for it.
    as_of_old(hub, session["id"], f"The branch office VPN drops, pw: {PASSWORD}")
    asked = {"question": f"branch office VPN, pw: {PASSWORD}", "identity": where, "budget": 500}
    answer = machine_api.post("/recall", json=asked)
    assert answer.status_code == 200
    assert "pw: [redacted:password]" in answer.json()["text"]
    assert "Geheim" not in answer.text
    hook = {"session_id": unique("s"), "cwd": where["path"], "prompt": f"branch office VPN {PASSWORD}"}
    headers = {"x-worklore-remote": where["remote"]}
    printed = machine_api.post("/hooks/claude-code/UserPromptSubmit", json=hook, headers=headers)
    assert "[redacted:password]" in printed.text
    assert "Geheim" not in printed.text


def as_of_old(hub: TestHub, session: str, text: str) -> None:
    """Make the first window of a session what it would be without redaction."""

    def change(ctx: Context) -> None:
        first = (MemoryWindow.session_id == uuid.UUID(session)) & (MemoryWindow.ordinal == 0)
        terms = " ".join([*text.lower().replace(":", "").split(), "geheim77"])
        changing = update(MemoryWindow).where(first).values(text=text, tokens=terms)
        ctx.session.execute(unaudited(changing, "a test's").execution_options(synchronize_session=False))

    hub.database.write(change)


@pytest.fixture
def unswept(hub: TestHub) -> Iterator[None]:
    """As if the rules had just changed."""

    def forget(ctx: Context) -> None:
        for row in ctx.session.scalars(select(RedactionSweep).where(RedactionSweep.rules_version == version())):
            ctx.session.delete(row)

    hub.database.write(forget)
    yield
    hub.database.write(forget)


@pytest.mark.usefixtures("unswept")
def test_old_rows_are_swept(hub: TestHub, machine_api: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 7)
    body = piece(conversation("The printer is offline", "Restarted the spooler"), folder())
    post(machine_api, body)
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    old = rows(machine_api, "memory-windows", session_id=session["id"], sort="ordinal")[0]
    as_of_old(hub, session["id"], f"The printer is offline, password: {PASSWORD}")
    command = {"session_id": session["id"], "command_text": "mysql -u root app", "host": "db01"}
    key = machine_api.post("/commands", json=command).json()["id"]
    with_secret = update(CommandRun).where(CommandRun.id == uuid.UUID(key))
    changing = unaudited(with_secret.values(command_text=f"mysql -u root -p{PASSWORD} app"), "a test's")
    hub.database.write(lambda ctx: ctx.session.execute(changing.execution_options(synchronize_session=False)) and None)

    tried = sweep(hub.database, dry_run=True)
    assert tried.changed["memory_windows"] >= 1
    assert tried.changed["commands_run"] >= 1
    assert PASSWORD in everything(hub, session["id"])

    # Stopped, and gone on with.
    part = sweep(hub.database, batches=1)
    assert not part.ended
    done = sweep(hub.database)
    assert part.changed + done.changed == tried.changed
    assert Counter(part.found) + Counter(done.found) == tried.found
    assert sweep(hub.database).looked_at == 0

    new = rows(machine_api, "memory-windows", session_id=session["id"], sort="ordinal")[0]
    assert new["text"] == "The printer is offline, password: [redacted:password]"
    assert new["id"] == old["id"]
    assert new["seq"] > old["seq"]
    assert new["version"] == old["version"] + 1
    assert "geheim77" not in everything(hub, session["id"]).lower()
    shown = machine_api.get(f"/commands/{key}").json()["command_text"]
    assert shown == "mysql -u root -p[redacted:password] app"
    with hub.database.read(SYSTEM) as ctx:
        swept = ctx.session.scalars(select(RedactionSweep).where(RedactionSweep.rules_version == version())).all()
        entries = ctx.session.scalar(select(func.count()).where(AuditEntry.action == "redact"))
    assert {row.table_name for row in swept} == {each.model.__tablename__ for each in OF_SESSIONS}
    assert all(row.ended_at is not None for row in swept)
    assert entries


def test_what_is_written_through_the_api_is_redacted_before_the_audit_sees_it(
    hub: TestHub, api: httpx2.Client, machine_api: httpx2.Client, kept: str
) -> None:
    body = piece(conversation("The mail queue is stuck", "Flushed it"), folder())
    post(machine_api, body)
    [session] = rows(machine_api, "sessions", external_key=body["session"])
    command = {"session_id": session["id"], "command_text": f"mysql -u root -p{PASSWORD} app"}
    made = api.post("/commands", json=command).json()
    assert made["command_text"] == "mysql -u root -p[redacted:password] app"
    changed = api.patch(
        f"/commands/{made['id']}", json={"output_summary": f"it said {kept}"}, headers={"If-Match": '"1"'}
    )
    assert changed.json()["output_summary"] == f"it said [redacted:{VAULT_SECRET}]"
    left = everything(hub, session["id"])
    assert PASSWORD not in left
    assert kept not in left


def test_what_is_told_is_judged_by_the_rules_of_today() -> None:
    assert told(f"pw: {PASSWORD}") == "pw: [redacted:password]"
    assert told("pw: [redacted:password]") == "pw: [redacted:password]"


def test_every_text_that_comes_from_sessions_is_swept() -> None:
    columns: dict[str, Any] = {each.name: columns_of(each) for each in OF_SESSIONS}
    assert set(columns["memory"]) == {"author", "text", "git_branch"}
    assert {"command_text", "output_summary", "error_message"} <= set(columns["command"])
    assert {"stack_trace", "request_data", "response_data"} <= set(columns["operation-failure"])


def test_the_vault_is_looked_at_once_for_all_texts_of_a_change(hub: TestHub, api: httpx2.Client) -> None:
    looks: list[str] = []

    def note(*told: Any) -> None:
        if "sum(credentials.version)" in told[2]:
            looks.append(told[2])

    session = api.post("/sessions", json={"session_title": unique("session")}).json()["id"]
    event.listen(hub.database.writing, "before_cursor_execute", note)
    try:
        several = [
            {"session_id": session, "command_text": f"ping {n}", "output_summary": f"answer {n}"} for n in range(20)
        ]
        answer = api.post("/commands", json=several)
    finally:
        event.remove(hub.database.writing, "before_cursor_execute", note)
    assert answer.status_code == 201, answer.text
    assert len(looks) == 1
