"""From failures in the record to a warning before the next one, over the real path."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from sqlalchemy import select

from tests.client.conftest import waited
from tests.conftest import TestHub, unique
from tests.memory.transcripts import folder
from worklore.identity.token import TokenKind
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.memory.figures import measure
from worklore.memory.warn.evidence import PatternEvidence
from worklore.memory.warn.learn import relearn, study, tidy
from worklore.work.news import SessionNews, leave_news

START = datetime(2026, 3, 3, 10, tzinfo=UTC)
DENIED = "Failed to restart nginx.service: Access denied"


class Place:
    """A client with a project and a host, and sessions in which commands are run there."""

    def __init__(self, hub: TestHub, api: httpx2.Client) -> None:
        self.hub, self.api = hub, api
        self.client = self.made("clients", name=unique("client"), type="msp_client")["id"]
        self.identity = folder()
        self.project = self.made("projects", client_id=self.client, name=unique("project"))
        self.host = f"{unique('srv')}.example.com"
        self.minute = 0

    def made(self, plural: str, **body: Any) -> dict[str, Any]:
        answer = self.api.post(f"/{plural}", json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def session(self, **more: Any) -> str:
        body = {"client_id": self.client, "project_id": self.project["id"], "session_title": "work", **more}
        return str(self.made("sessions", **body)["id"])

    def ran(self, session: str, command: str, error: str | None = None, *, host: str | None = None) -> str:
        """Run a command; with an error it fails."""
        self.minute += 1
        outcome = {"success": True, "exit_code": 0}
        if error is not None:
            outcome = {"success": False, "exit_code": 1}
        made = self.made(
            "commands",
            session_id=session,
            command_text=command,
            host=host or self.host,
            error_message=error,
            executed_at=(START + timedelta(minutes=self.minute)).isoformat(),
            **outcome,
        )
        return str(made["id"])

    def learn(self) -> None:
        """What the background job does, for this client's sessions alone."""
        from worklore.work.news import News  # noqa: PLC0415 - one helper needs it
        from worklore.work.session import WorkSession  # noqa: PLC0415 - same

        with self.hub.database.read(SYSTEM) as ctx:
            mine = select(SessionNews.session_id, SessionNews.serial).join(
                WorkSession, WorkSession.id == SessionNews.session_id
            )
            waiting = ctx.session.execute(mine.where(WorkSession.client_id == uuid.UUID(self.client))).all()
        for row in waiting:
            study(self.hub.database, News(*row))

    def patterns(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get("/failure-patterns", params={"client_id": self.client}).json()[
            "items"
        ]
        return found

    def insights(self) -> list[dict[str, Any]]:
        answer = self.api.get("/environmental-insights", params={"client_id": self.client})
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    def asked(self, command: str, api: httpx2.Client | None = None, **more: Any) -> dict[str, Any]:
        body = {"command": command, "host": self.host, "project": self.project["id"], **more}
        answer = (api or self.api).post("/warnings", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def twice(self, command: str = "systemctl restart nginx", error: str = DENIED) -> None:
        """Let a command fail in two sessions."""
        for _ in range(2):
            self.ran(self.session(), command, error)
        self.learn()


@pytest.fixture
def place(hub: TestHub, api: httpx2.Client) -> Place:
    return Place(hub, api)


def test_what_failed_twice_is_warned_of_there_and_nowhere_else(place: Place) -> None:
    place.ran(place.session(), "systemctl restart nginx", DENIED)
    place.learn()
    assert place.patterns() == []
    assert place.asked("systemctl restart nginx")["warnings"] == []
    place.ran(place.session(), f"ssh root@{place.host} 'systemctl restart nginx'", DENIED)
    place.learn()
    (pattern,) = place.patterns()
    assert pattern["occurrence_count"] == 2
    assert pattern["pattern_type"] == "permission_denied"
    assert pattern["affected_systems"] == [place.host]
    (insight,) = place.insights()
    assert (insight["confidence_level"], insight["insight_category"]) == ("suspected", "permissions")
    (warning,) = place.asked("systemctl restart nginx")["warnings"]
    assert (warning["pattern"], warning["insight"]) == (pattern["id"], insight["id"])
    assert (warning["confidence"], warning["count"], warning["error"]) == ("suspected", 2, DENIED)
    assert warning["last_seen"].startswith("2026-03-03")
    # In other words, by a short name, through ssh from somewhere else.
    assert place.asked("cd /tmp && systemctl restart nginx --no-block")["warnings"]
    assert place.asked("systemctl restart nginx", host=place.host.partition(".")[0])["warnings"]
    assert place.asked(f"ssh admin@{place.host} systemctl restart nginx", host=None)["warnings"]
    for other in (
        "systemctl status nginx",
        "systemctl restart postgresql",
        "sudo systemctl restart nginx",
        "echo systemctl restart nginx",
        "ls",
        "nginx -t",
    ):
        assert place.asked(other)["warnings"] == [], other
    assert place.asked("systemctl restart nginx", host="other.example.com")["warnings"] == []
    assert place.asked("ssh other.example.com systemctl restart nginx")["warnings"] == []


def test_what_is_looked_at_again_counts_once(place: Place, hub: TestHub) -> None:
    place.twice()
    for _ in range(2):
        hub.database.write(lambda ctx: [leave_news(ctx, uuid.UUID(key)) for key in _sessions(ctx, place)])
        place.learn()
    assert [pattern["occurrence_count"] for pattern in place.patterns()] == [2]
    assert len(place.insights()) == 1


def _sessions(ctx: Context, place: Place) -> list[str]:
    found = select(PatternEvidence.session_id).where(PatternEvidence.client_id == uuid.UUID(place.client))
    return [str(key) for key in ctx.session.scalars(found)]


def test_confidence_rises_with_failures_and_what_helped_and_falls_when_it_works_again(place: Place) -> None:
    place.twice()
    session = place.session()
    place.ran(session, "systemctl restart nginx", DENIED)
    place.ran(session, "sudo systemctl restart nginx")
    place.learn()
    (warning,) = place.asked("systemctl restart nginx")["warnings"]
    assert warning["confidence"] == "likely"
    assert warning["instead"] == "This worked instead: sudo systemctl restart nginx"
    assert place.asked("sudo systemctl restart nginx")["warnings"] == []
    session = place.session()
    place.ran(session, "systemctl restart nginx", DENIED)
    place.ran(session, "sudo systemctl restart nginx")
    place.learn()
    assert place.asked("systemctl restart nginx")["warnings"][0]["confidence"] == "confirmed"
    expected: list[list[str]] = [["likely"], ["suspected"], []]
    for confidences in expected:
        place.ran(place.session(), "systemctl restart nginx")
        place.learn()
        assert [one["confidence"] for one in place.asked("systemctl restart nginx")["warnings"]] == confidences
    assert [pattern["is_active"] for pattern in place.patterns()] == [False]
    place.ran(place.session(), "systemctl restart nginx", DENIED)
    place.learn()
    assert place.asked("systemctl restart nginx")["warnings"][0]["confidence"] == "confirmed"


def test_a_recorded_solution_is_what_is_recommended(place: Place) -> None:
    place.made(
        "problem-solutions",
        session_id=place.session(),
        problem_description="nginx cannot be restarted",
        error_message=f"2026-01-01 {DENIED}\n",
        root_cause="The operators' group may not restart services.",
        solution_applied="Ask the operators' group to be given the right.\nrm -rf /etc/polkit-1\nThen sign in again.",
    )
    place.twice(error=f"2026-02-02 {DENIED}")
    (warning,) = place.asked("systemctl restart nginx")["warnings"]
    assert warning["confidence"] == "likely"
    assert "given the right." in warning["instead"]
    assert "Then sign in again." in warning["instead"]
    assert "rm -rf" not in json.dumps(place.asked("systemctl restart nginx"))


def test_peoples_word_stands(place: Place) -> None:
    place.twice()
    (pattern,), (insight,) = place.patterns(), place.insights()
    changes = (
        (f"/failure-patterns/{pattern['id']}", {"recommended_solution": "Use the portal."}),
        (f"/environmental-insights/{insight['id']}", {"confidence_level": "confirmed", "priority": 9}),
    )
    for path, body in changes:
        assert place.api.patch(path, json=body).status_code == 200
    place.twice()
    (warning,) = place.asked("systemctl restart nginx")["warnings"]
    assert (warning["confidence"], warning["priority"], warning["instead"]) == ("confirmed", 9, "Use the portal.")
    assert warning["count"] == 4
    assert place.api.patch(f"/failure-patterns/{pattern['id']}", json={"is_active": False}).status_code == 200
    place.twice()
    assert place.asked("systemctl restart nginx")["warnings"] == []
    assert place.patterns()[0]["corrected"] == ["is_active", "recommended_solution"]
    assert place.api.delete(f"/failure-patterns/{pattern['id']}", params={"cascade": "true"}).status_code == 204
    place.twice()
    assert place.patterns() == []


def test_what_a_person_wrote_warns_too(place: Place) -> None:
    insight = place.made(
        "environmental-insights",
        client_id=place.client,
        insight_category="version_limitations",
        insight_title="PowerShell 5 everywhere",
        insight_description="Use Get-WmiObject; the servers have PowerShell 5 alone.",
        confidence_level="confirmed",
    )
    place.made(
        "environmental-examples",
        insight_id=insight["id"],
        example_type="fails",
        command_text="pwsh -Command Get-CimInstance Win32_BIOS",
    )
    (warning,) = place.asked("Get-CimInstance Win32_BIOS")["warnings"]
    assert (warning["insight"], warning["pattern"], warning["confidence"]) == (insight["id"], None, "confirmed")
    assert warning["instead"].startswith("Use Get-WmiObject")
    place.made(
        "failure-patterns",
        client_id=place.client,
        pattern_type="configuration_error",
        pattern_signature="backup without a mount",
        failure_description="The backup writes to the root disk.",
        root_cause="The share is not mounted by itself.",
        recommended_solution="Mount it first.",
        triggering_commands=["/opt/backup/run nightly"],
        affected_systems=[place.host],
    )
    assert place.asked("/opt/backup/run nightly")["warnings"][0]["instead"] == "Mount it first."
    assert place.asked("/opt/backup/run nightly", host="other.example.com")["warnings"] == []


def test_one_that_fails_on_several_hosts_is_suspected_on_the_others(place: Place) -> None:
    for host in ("a.example.com", "b.example.com"):
        for _ in range(2):
            place.ran(place.session(), "tar --zstd -xf x.tar", "tar: unrecognized option '--zstd'", host=host)
    place.learn()
    (warning,) = place.asked("tar --zstd -cf y.tar z")["warnings"]
    assert warning["confidence"] == "suspected"
    assert "a.example.com, b.example.com" in warning["why"]
    assert place.asked("tar -cf y.tar z")["warnings"] == []


def test_no_client_hears_of_anothers_failures(place: Place, hub: TestHub, api: httpx2.Client) -> None:
    place.twice()
    other = Place(hub, api)
    assert other.asked("systemctl restart nginx", host=place.host)["warnings"] == []
    stranger = hub.client(hub.token(clients=[other.client]))
    answer = stranger.post("/warnings", json={"command": "systemctl restart nginx", "host": place.host})
    assert answer.json()["warnings"] == []
    hidden = stranger.post("/warnings", json={"command": "ls", "project": place.project["id"]})
    assert (hidden.status_code, hidden.json()["code"]) == (404, "project-unknown")
    # Whoever sees the client and names no project is told by the host.
    seen = api.post("/warnings", json={"command": "systemctl restart nginx", "host": place.host}).json()
    assert len(seen["warnings"]) == 1
    assert stranger.get(f"/warnings/{seen['warnings'][0]['id']}").status_code == 404


def test_an_asset_is_known_by_its_id_name_and_address(place: Place) -> None:
    number = uuid.uuid4().int % 250
    asset = place.made(
        "infrastructure",
        client_id=place.client,
        asset_type="virtual_machine",
        hostname=place.host,
        ip_address=f"192.0.2.{number + 1}",
    )
    place.twice()
    assert place.patterns()[0]["infrastructure_id"] == asset["id"]
    for name in (asset["id"], asset["hostname"].upper(), asset["ip_address"]):
        assert len(place.asked("systemctl restart nginx", host=name)["warnings"]) == 1, name


def test_what_is_forgotten_is_warned_of_no_more(place: Place, hub: TestHub) -> None:
    sessions = [place.session(), place.session()]
    for session in sessions:
        place.ran(session, "systemctl restart nginx", DENIED)
    place.learn()
    assert len(place.patterns()) == 1
    for session in sessions:
        answer = place.api.delete(f"/sessions/{session}", params={"cascade": "true"})
        assert answer.status_code == 204, answer.text
    tidy(hub.database, {})
    assert (place.patterns(), place.insights()) == ([], [])
    assert place.asked("systemctl restart nginx")["warnings"] == []


def test_a_unit_of_work_that_is_undone_leaves_nothing_in_the_index(place: Place, hub: TestHub) -> None:
    place.twice()
    key = _key(hub, place)

    def fail(ctx: Context) -> None:
        pattern = relearn(ctx, key)
        assert pattern is not None
        pattern.triggering_commands = ["systemctl stop sshd"]
        ctx.session.flush()
        raise RuntimeError("undone")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            hub.database.write(fail)
        assert place.asked("systemctl stop sshd")["warnings"] == []
        assert len(place.asked("systemctl restart nginx")["warnings"]) == 1


def _key(hub: TestHub, place: Place) -> str:
    with hub.database.read(SYSTEM) as ctx:
        found = select(PatternEvidence.pattern_key).where(PatternEvidence.client_id == uuid.UUID(place.client))
        return ctx.session.scalars(found.limit(1)).one()


@pytest.mark.parametrize(
    "command",
    [
        "x",
        "🛠️",
        "مرحبا",
        "'",
        '"$(',
        "a" * 20_000,
        "\\" * 5_000,
        "(" * 9_000,
        "ssh " * 4_000,
        "<<EOF\n" * 3_000,
        "; | && #",
    ],
)
def test_any_command_is_answered(place: Place, command: str) -> None:
    assert place.asked(command)["warnings"] == []


def test_bad_questions_are_refused_clearly(api: httpx2.Client) -> None:
    for body in ({}, {"command": ""}, {"command": "a" * 20_001}, {"command": "ls", "nonsense": 1}, {"command": "a\0"}):
        assert api.post("/warnings", json=body).status_code == 422, body


# --- sessions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(hub: TestHub) -> Callable[[Place], httpx2.Client]:
    """A machine whose host name is the place's host."""
    return lambda place: hub.client(hub.token(kind=TokenKind.machine, host=place.host))


def hook(api: httpx2.Client, place: Place, session: str, command: str, **more: Any) -> str:
    body = {"session_id": session, "hook_event_name": "PreToolUse", "cwd": "/x", "tool_name": "Bash"}
    body |= {"tool_input": {"command": command}}
    headers = {"x-worklore-remote": quote(place.identity["remote"]), "x-worklore-cwd": quote(place.identity["path"])}
    headers |= {"x-worklore-time": str(int(START.timestamp() * 1000))} | more
    answer = api.post("/hooks/claude-code/PreToolUse", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["hookSpecificOutput"]["additionalContext"]) if answer.content else ""


def noted(place: Place, key: str) -> dict[str, Any]:
    """The session of a key, once what it was told is noted, for which no agent waits."""

    def found() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = place.api.get("/sessions", params={"external_key": key}).json()["items"]
        return items

    assert waited(lambda: bool(found()))
    return found()[0]


def own_project(place: Place) -> None:
    """Let the folder be the place's project."""
    answer = place.api.post("/projects/identify", json=place.identity)
    assert answer.status_code == 200, answer.text
    place.project = place.api.get(f"/projects/{answer.json()['id']}").json()
    place.client = place.project["client_id"]


def test_an_agent_is_warned_before_it_runs_a_command_once_in_a_session(
    place: Place, machine: Callable[[Place], httpx2.Client]
) -> None:
    own_project(place)
    unit = unique("nginx")
    command, error = f"systemctl restart {unit}", f"Failed to restart {unit}.service: Access denied"
    place.twice(command, error)
    api, key = machine(place), unique("session")
    told = hook(api, place, key, command)
    assert told.startswith("<worklore-memory>")
    assert error in told
    assert "(suspected)" in told
    assert hook(api, place, key, command) == ""
    session = noted(place, key)["id"]
    assert hook(api, place, key, command) == ""
    assert hook(api, place, unique("session"), f"systemctl status {unit}") == ""
    assert hook(api, place, unique("session"), f"ssh {place.host} {command}")
    assert hook(api, place, unique("session"), f"ssh elsewhere.example.com {command}") == ""
    (warning,) = place.api.get("/warnings", params={"session_id": session}).json()["items"]
    assert (warning["event"], warning["host"], warning["outcome"]) == ("PreToolUse", place.host, None)
    shown = place.api.get("/injections", params={"session_id": warning["session_id"]}).json()["items"]
    assert [(one["event"], one["source_uuid"]) for one in shown] == [("PreToolUse", f"warning:{warning['id']}")]


def test_a_hook_without_a_command_or_a_project_is_answered_with_nothing(place: Place) -> None:
    for body in ({}, {"tool_input": 7}, {"tool_input": {"command": 7}}, {"tool_input": {"file_path": "/x"}}):
        answer = place.api.post(
            "/hooks/claude-code/PreToolUse",
            content=json.dumps({"session_id": "s", **body}),
            headers={"x-worklore-time": "nonsense"},
        )
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("event", "after", "expected"),
    [
        ("PreToolUse", [("systemctl restart nginx", DENIED), ("sudo systemctl restart nginx", None)], "heeded"),
        ("PreToolUse", [("systemctl restart nginx", DENIED), ("systemctl restart nginx", DENIED)], "ignored"),
        ("PreToolUse", [("systemctl restart nginx", None)], "wrong"),
        ("PreToolUse", [], None),
        ("asked", [("systemctl restart nginx", DENIED)], "ignored"),
        ("asked", [("systemctl restart nginx", None)], "wrong"),
        ("asked", [("sudo systemctl restart nginx", None)], "heeded"),
    ],
)
def test_what_the_session_ran_afterwards_tells_the_outcome(
    place: Place,
    machine: Callable[[Place], httpx2.Client],
    event: str,
    after: list[tuple[str, str | None]],
    expected: str | None,
) -> None:
    own_project(place)
    place.twice()
    key, api = unique("session"), machine(place)
    if event == "asked":
        place.asked("systemctl restart nginx", api, agent="claude-code", session=key)
        place.minute = int((datetime.now(UTC) - START).total_seconds() // 60) + 1
    else:
        at = START + timedelta(minutes=place.minute, seconds=30)
        assert hook(api, place, key, "systemctl restart nginx", **{"x-worklore-time": str(int(at.timestamp() * 1000))})
    session = noted(place, key)
    for command, error in after:
        place.ran(session["id"], command, error)
    place.learn()
    (warning,) = place.api.get("/warnings", params={"session_id": session["id"]}).json()["items"]
    assert warning["outcome"] == expected
    told = place.api.post(f"/warnings/{warning['id']}/outcome", json={"outcome": "wrong"})
    assert told.status_code == 200, told.text
    place.learn()
    warning = place.api.get(f"/warnings/{warning['id']}").json()
    assert (warning["outcome"], warning["outcome_source"]) == ("wrong", "told")
    measure(place.hub.database, {})
    figures = place.api.get(
        "/learning-metrics", params={"client_id": place.client, "metric_name__in": "warnings_given,warnings_wrong"}
    )
    assert figures.status_code == 200, figures.text
    values = {one["metric_name"]: one["metric_value"] for one in figures.json()["items"]}
    assert values["warnings_given"] >= 1
    assert values["warnings_wrong"] >= 1


def test_an_outcome_that_is_none_is_refused(place: Place) -> None:
    assert place.api.post(f"/warnings/{uuid.uuid4()}/outcome", json={"outcome": "wrong"}).status_code == 404
    place.twice()
    (warning,) = place.asked("systemctl restart nginx")["warnings"]
    assert place.api.post(f"/warnings/{warning['id']}/outcome", json={"outcome": "fine"}).status_code == 422


def test_a_project_without_a_name_is_none(machine_api: httpx2.Client) -> None:
    asked = {"command": "ls", "project": "", "identity": {"path": ""}}
    answer = machine_api.post("/warnings", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (404, "project-unknown")
