"""The trail of a session, from records to the rows that people and agents see, on every database."""

import json
import uuid
from typing import Any

import httpx2

from tests.conftest import TestHub, unique
from tests.memory.agents import Claude, codex_session, whole_session
from tests.memory.test_capture import post, rows
from tests.memory.transcripts import folder, piece
from worklore.identity.roles import Role
from worklore.identity.token import TokenKind

NOUNS = ("commands", "file-changes", "operation-failures", "deployments", "decision-logs", "pending-tasks")


def renamed(records: list[Any], name: str) -> list[Any]:
    """The same records as those of another session: no two tests share an id."""
    text = json.dumps(records).replace("whole", name).replace("0195aaaa", name[-8:])
    found: list[Any] = json.loads(text.replace('"call_id": "', f'"call_id": "{name}-'))
    return found


def sent(api: httpx2.Client, records: list[Any], identity: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    body = piece(records, identity or folder(), **more)
    post(api, body)
    return body


def session_of(api: httpx2.Client, body: dict[str, Any]) -> dict[str, Any]:
    [session] = rows(api, "sessions", external_key=body["session"])
    return session


def everything(api: httpx2.Client, body: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    key = session_of(api, body)["id"]
    nouns = (*NOUNS, "conversation-contexts", "usage-records", "memory-windows")
    return {noun: sorted(rows(api, noun, session_id=key), key=lambda row: row["id"]) for noun in nouns}


def test_a_session_leaves_its_trail(machine_api: httpx2.Client) -> None:
    name = unique("w")
    body = sent(machine_api, renamed(whole_session(), name))
    found = everything(machine_api, body)
    ran = {row["command_text"]: row for row in found["commands"]}
    assert set(ran) == {
        "ssh web-01.example.com journalctl -u portal -n 50",
        "cd /srv/portal && pytest -q",
        "psql -h db-01.example.com -c 'select 1'",
        "python -m http.server 9000",
        "git push origin main",
        "uptime",
    }
    remote = ran["ssh web-01.example.com journalctl -u portal -n 50"]
    assert (remote["host"], remote["success"], remote["exit_code"]) == ("web-01.example.com", True, 0)
    assert (remote["shell_type"], remote["working_directory"]) == ("bash", "/srv/portal")
    assert remote["executed_at"] < remote["happened_at"]
    failed = ran["cd /srv/portal && pytest -q"]
    assert (failed["success"], failed["exit_code"], failed["failure_category"]) == (False, 1, "test_failure")
    assert failed["error_message"].startswith("FAILED tests/test_a.py")
    assert ran["python -m http.server 9000"]["exit_code"] == 3
    assert ran["uptime"]["output_summary"] == "up 3 days"
    assert [(row["file_path"], row["change_type"], row["description"]) for row in _ordered(found["file-changes"])] == [
        ("/srv/portal/a.py", "created", "+2 lines"),
        ("/srv/portal/a.py", "modified", "+2 -1 lines"),
    ]
    assert [
        (row["operation_type"], row["target_system"], row["failure_category"])
        for row in _ordered(found["operation-failures"])
    ] == [
        ("database_query", "db-01.example.com", "connection_refused"),
        ("file_operation", None, "edit_mismatch"),
    ]
    assert [(row["deployment_type"], row["deployed_to"]) for row in found["deployments"]] == [
        ("git_push", "origin main")
    ]
    assert [(row["decision_type"], row["alternatives_considered"]) for row in _ordered(found["decision-logs"])] == [
        ("answer", ["PostgreSQL"]),
        ("plan", None),
        ("stated", ["a cron job"]),
    ]
    assert {row["title"]: row["status"] for row in found["pending-tasks"]} == {
        "fix the worker": "completed",
        "tell the client": "cancelled",
        "write it down": "pending",
        "watch the queue": "cancelled",
        "renew the certificate": "pending",
    }
    assert {row["client_id"] for row in found["pending-tasks"]} == {session_of(machine_api, body)["client_id"]}
    kinds = {row["context_type"]: row for row in found["conversation-contexts"]}
    assert kinds["general_context"]["tokens_before"] == 150_000
    summary = kinds["session_summary"]
    for said in ("The portal answers with 502", "Watched.", "pytest -q", "/srv/portal/a.py (2 times)", "write it down"):
        assert said in summary["dense_summary"], said
    assert len(summary["key_decisions"]) == 3
    assert [(row["output_tokens"], row["cache_read_tokens"]) for row in found["usage-records"]] == [(200, 5000)]


def _ordered(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda row: row["ordinal"])


def test_pieces_and_repetition_leave_the_same_trail(machine_api: httpx2.Client) -> None:
    name = unique("w")
    records = renamed(whole_session(), name)
    body = sent(machine_api, records[:9], size=900)
    for start in range(9, len(records), 7):
        more = {name: body[name] for name in ("session", "source")}
        sent(
            machine_api,
            records[start : start + 7],
            body["identity"],
            start=start * 100,
            size=700 if start + 7 < len(records) else 100,
            **more,
        )
    pieced = everything(machine_api, body)
    other = sent(machine_api, renamed(whole_session(), unique("w")))
    whole = everything(machine_api, other)
    for noun, found in whole.items():
        said = _said(found)
        assert said == _said(pieced[noun]), noun
    again = body | {"records": records, "from": 0, "to": 9999}
    assert post(machine_api, again)["windows"] == 0
    assert everything(machine_api, body) == pieced


def _said(found: list[dict[str, Any]]) -> list[Any]:
    """What rows say, but for whose they are and how often they were written."""
    left_out = {
        "id",
        "version",
        "session_id",
        "project_id",
        "transcript_id",
        "created_at",
        "updated_at",
        "seq",
        "source_uuid",
    }
    left_out.add("record_id")
    # The place of a record behind the turns follows from its id.
    rows = [row | {"ordinal": 0} if row.get("record_id") else row for row in found]
    return sorted(repr({key: value for key, value in row.items() if key not in left_out}) for row in rows)


def test_a_resumed_session_doubles_nothing(machine_api: httpx2.Client) -> None:
    """A fork is a new session that begins with the records of the old one; these stay with the old one."""
    records = renamed(whole_session(), unique("w"))
    first = sent(machine_api, records)
    before = everything(machine_api, first)
    claude = Claude(unique("fork"))
    fork = sent(machine_api, [*records, *claude.runs("date")], first["identity"])
    assert everything(machine_api, first) == before
    assert [row["command_text"] for row in everything(machine_api, fork)["commands"]] == ["date"]


def test_what_was_deleted_stays_deleted(machine_api: httpx2.Client, api: httpx2.Client) -> None:
    records = renamed(whole_session(), unique("w"))
    body = sent(machine_api, records)
    before = everything(machine_api, body)
    gone = [(noun, before[noun][0]) for noun in (*NOUNS, "conversation-contexts")]
    gone += [("memory-windows", window) for window in before["memory-windows"] if window["kind"] == "turn"]
    for noun, row in gone:
        answer = api.delete(f"/{noun}/{row['id']}", headers={"if-match": f'"{row["version"]}"'})
        assert answer.status_code in {200, 204}, answer.text
    left = everything(machine_api, body)
    post(machine_api, body | {"from": 0, "to": 9999})
    for noun, found in everything(machine_api, body).items():
        assert [row["id"] for row in found] == [row["id"] for row in left[noun]], noun


def test_a_task_outlives_the_turn_it_was_first_said_in(machine_api: httpx2.Client, api: httpx2.Client) -> None:
    claude = Claude(unique("left"))
    first = claude.answers("Next steps:\n- renew the certificate\n- tell the client")
    body = sent(machine_api, [first, claude.answers("Next steps:\n- renew the certificate\n- watch the queue")])
    before = everything(machine_api, body)
    [window] = [row for row in before["memory-windows"] if row["source_uuid"] == first["uuid"]]
    api.delete(f"/memory-windows/{window['id']}", headers={"if-match": f'"{window["version"]}"'}).raise_for_status()
    post(machine_api, body | {"from": 0, "to": 9999})
    assert everything(machine_api, body)["pending-tasks"] == before["pending-tasks"]


def test_a_deleted_session_comes_back_empty_if_at_all(machine_api: httpx2.Client, api: httpx2.Client) -> None:
    records = renamed(whole_session(), unique("w"))
    body = sent(machine_api, records)
    session = session_of(machine_api, body)
    gone = {noun: [row["id"] for row in found] for noun, found in everything(machine_api, body).items()}
    for noun in ("decision-logs", "pending-tasks", "conversation-contexts"):
        for key in gone[noun]:
            version = api.get(f"/{noun}/{key}").json()["version"]
            api.delete(f"/{noun}/{key}", headers={"if-match": f'"{version}"'}).raise_for_status()
    version = session_of(machine_api, body)["version"]
    answer = api.delete(f"/sessions/{session['id']}?cascade=true", headers={"if-match": f'"{version}"'})
    assert answer.status_code in {200, 204}, answer.text
    post(machine_api, body)
    assert session_of(machine_api, body)["session_title"] == "Untitled session"
    left = everything(machine_api, body)
    assert {noun: len(found) for noun, found in left.items() if noun != "usage-records"} == {
        noun: 0 for noun in left if noun != "usage-records"
    }


def test_a_turn_may_shrink_and_grow_again(machine_api: httpx2.Client) -> None:
    claude = Claude(unique("grow"))
    long = "\n\n".join(f"Step {number}: look at the tunnel and the rule number {number}." for number in range(40))
    record = claude.answers(long)
    body = sent(machine_api, [record])
    for text in ("Short.", long):
        record["message"]["content"][0]["text"] = text
        post(machine_api, body | {"records": [record]})
        windows = sorted(everything(machine_api, body)["memory-windows"], key=lambda row: row["part"])
        assert "".join(row["text"] for row in windows) == text
        assert {row["parts"] for row in windows} == {len(windows)}


def test_what_somebody_changed_stays_and_what_rules_change_is_changed(
    machine_api: httpx2.Client, api: httpx2.Client
) -> None:
    claude = Claude(unique("again"))
    records = [claude.says("Look at both"), *claude.runs("make a", "fine"), *claude.runs("make b", "fine")]
    body = sent(machine_api, records)
    one, two = sorted(everything(machine_api, body)["commands"], key=lambda row: row["command_text"])
    answer = api.patch(
        f"/commands/{one['id']}", json={"output_summary": "my words"}, headers={"if-match": f'"{one["version"]}"'}
    )
    assert answer.status_code == 200, answer.text
    answer = api.patch(
        f"/commands/{two['id']}", json={"resolution": "none needed"}, headers={"if-match": f'"{two["version"]}"'}
    )
    assert answer.status_code == 200, answer.text
    for record in records:  # as if the rules made something else of them
        for block in record["message"]["content"]:
            if isinstance(block, dict) and block.get("type") == "tool_result":
                block["content"] = "redacted"
    post(machine_api, body | {"records": records, "to": 9999})
    mine, changed = sorted(everything(machine_api, body)["commands"], key=lambda row: row["command_text"])
    assert (mine["id"], mine["output_summary"], mine["version"]) == (one["id"], "my words", 2)
    assert (changed["id"], changed["output_summary"], changed["version"]) == (two["id"], "redacted", 3)
    assert changed["resolution"] == "none needed"


def test_a_turn_captured_again_has_the_text_of_today_and_is_found_by_it(machine_api: httpx2.Client) -> None:
    name = unique("turn")
    claude = Claude(name)
    long = "\n\n".join(
        f"Step {number}: look at the {name} tunnel and the rule number {number}." for number in range(40)
    )
    records = [claude.says(f"The {name} key is hunter-seven"), claude.answers(long)]
    body = sent(machine_api, records)
    before = everything(machine_api, body)["memory-windows"]
    asked = {"question": f"{name} zebra", "identity": body["identity"], "budget": 500}
    machine_api.post("/recall", json=asked).raise_for_status()
    records[0]["message"]["content"] = f"The {name} key is a zebra"
    records[1]["message"]["content"][0]["text"] = long.split("\n\n")[0]
    assert post(machine_api, body | {"records": records, "to": 9999})["windows"] > 0
    after = everything(machine_api, body)["memory-windows"]
    assert {row["id"] for row in after} < {row["id"] for row in before}
    assert len(after) == 2
    told = machine_api.post("/recall", json=asked).json()["text"]
    assert "zebra" in told
    assert "hunter-seven" not in told


def test_hosts_are_told_from_the_clients_own_assets(hub: TestHub, api: httpx2.Client) -> None:
    machine = hub.client(hub.token(kind=TokenKind.machine, host="ws-99.example.com"))
    host = unique("fw")
    identity = folder()
    body = sent(machine, [Claude(unique("one")).says("Hello")], identity)
    client = session_of(machine, body)["client_id"]
    other = api.post("/clients", json={"name": unique("other"), "type": "msp_client"}).json()["id"]
    made = {}
    for owner, hostname, ip in ((client, f"{host}.example.com", "192.0.2.77"), (other, f"{host}x.example.com", None)):
        asset = {"client_id": owner, "hostname": hostname, "asset_type": "firewall", "ip_address": ip}
        answer = api.post("/infrastructure", json={name: value for name, value in asset.items() if value})
        assert answer.status_code == 201, answer.text
        made[hostname] = answer.json()["id"]
    claude = Claude(unique("hosts"))
    records = [
        *claude.runs(f"ssh admin@{host} 'systemctl restart ipsec'"),
        *claude.runs(f"curl https://{host}.example.com/status"),
        *claude.runs("ping -c 1 192.0.2.77"),
        *claude.runs(f"ssh {host}x uptime"),
        *claude.runs("ls"),
    ]
    body = sent(machine, records, identity)
    found = everything(machine, body)
    own = made[f"{host}.example.com"]
    linked = {row["command_text"]: row["infrastructure_id"] for row in found["commands"]}
    assert list(linked.values()).count(own) == 3
    assert linked[f"ssh {host}x uptime"] is None
    assert linked["ls"] is None
    assert {row["command_text"]: row["host"] for row in found["commands"]}["ls"] == "ws-99.example.com"
    assert [row["infrastructure_id"] for row in found["deployments"]] == [own]


def test_the_work_item_of_the_branch_is_linked(machine_api: httpx2.Client, api: httpx2.Client) -> None:
    identity, branch = folder(), unique("fix/queue")
    first = sent(machine_api, [Claude(unique("one")).says("Hello")], identity)
    project = session_of(machine_api, first)["project_id"]
    item = api.post("/work-items", json={"title": "The queue", "project_id": project, "branch_name": branch}).json()
    claude = Claude(unique("item"), gitBranch=branch)
    body = sent(machine_api, [*claude.runs("make"), *claude.writes("a.py", "x")], identity)
    found = everything(machine_api, body)
    assert [row["work_item_id"] for row in found["commands"] + found["file-changes"]] == [item["id"]] * 2


def test_a_sub_agents_file_belongs_to_its_session(machine_api: httpx2.Client) -> None:
    main, sub = Claude(unique("main")), Claude(unique("sub"), isSidechain=True)
    body = sent(machine_api, [main.says("Find the leak"), *main.runs("ls")])
    source = body["source"].removesuffix(".jsonl") + "/subagents/agent-77.jsonl"
    post(machine_api, body | {"source": source, "records": [sub.says("Look"), *sub.runs("find /srv")]})
    found = everything(machine_api, body)
    assert {row["command_text"]: row["subagent"] for row in found["commands"]} == {"ls": None, "find /srv": "77"}
    assert [row["text"] for row in found["memory-windows"]] == ["Find the leak"]
    asked = {name: body[name] for name in ("agent", "session", "source")}
    assert machine_api.get("/capture", params=asked).json()["others"] == {source: 1000}


def test_codex_is_read_by_its_own_reader(machine_api: httpx2.Client) -> None:
    name = unique("codex")
    body = sent(machine_api, renamed(codex_session(), name), agent="codex")
    found = everything(machine_api, body)
    assert (len(found["commands"]), len(found["file-changes"]), len(found["deployments"])) == (3, 3, 1)
    assert session_of(machine_api, body)["session_title"] == "Orders vanish at night"


def test_the_trail_is_read_in_order_with_its_cost(machine_api: httpx2.Client) -> None:
    body = sent(machine_api, renamed(whole_session(), unique("w")))
    session = session_of(machine_api, body)
    answer = machine_api.post(f"/sessions/{session['id']}/trail")
    assert answer.status_code == 200, answer.text
    trail = answer.json()
    times = [entry["at"] for entry in trail["entries"]]
    assert times == sorted(times)
    assert {entry["kind"] for entry in trail["entries"]} == {
        "command",
        "file",
        "failure",
        "deployment",
        "decision",
        "task",
    }
    failed = next(entry for entry in trail["entries"] if "pytest" in entry["text"])
    assert failed["outcome"] == "exit 1 test_failure"
    (used,) = trail["usage"]
    assert (used["model"], used["messages"], used["currency"]) == ("claude-sonnet-4-5-20250929", 1, "USD")
    assert float(used["cost"]) == float(trail["cost"]["USD"]) == 10 * 3e-6 + 200 * 15e-6 + 5000 * 0.3e-6
    assert trail["left_out"] == 0


def test_an_unknown_model_has_tokens_and_no_cost(machine_api: httpx2.Client) -> None:
    claude = Claude(unique("unknown"))
    used = {"id": "m", "model": "model-of-tomorrow", "usage": {"input_tokens": 7, "output_tokens": 9}}
    body = sent(machine_api, [claude.record("assistant", [{"type": "text", "text": "Hello"}], message=used)])
    trail = machine_api.post(f"/sessions/{session_of(machine_api, body)['id']}/trail").json()
    assert [(one["input_tokens"], one["cost"]) for one in trail["usage"]] == [(7, None)]
    assert trail["cost"] == {}


def test_nobody_sees_another_clients_trail(hub: TestHub, machine_api: httpx2.Client, api: httpx2.Client) -> None:
    body = sent(machine_api, renamed(whole_session(), unique("w")))
    session = session_of(machine_api, body)
    other = api.post("/clients", json={"name": unique("other"), "type": "msp_client"}).json()["id"]
    stranger = hub.client(hub.token(Role.technician, clients=[uuid.UUID(other)]))
    assert stranger.post(f"/sessions/{session['id']}/trail").status_code == 404
    for noun in (*NOUNS, "conversation-contexts", "usage-records"):
        assert rows(stranger, noun, session_id=session["id"]) == [], noun
