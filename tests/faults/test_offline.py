"""What a machine reads and writes while its hub is away, over real hubs and processes."""

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import unique
from tests.faults.rig import HubProcess, Station, waited
from tests.memory.transcripts import conversation, piece
from worklore_client import cache, operations
from worklore_client.config import Config, load
from worklore_client.layers import Answer, Question, read
from worklore_client.wire import Hub

TALK = (
    "The nightly backup of nas-07 fails with 0x80070035",
    "The share was renamed; the job has the new path and the backup of nas-07 ran through",
)
TRAILERS = (
    "Worklore-Decision: The share was renamed for the backup of nas-07\n"
    "Worklore-Work-Item: Replace the share, in progress\nWorklore-Vendor: acme-invoices is operational\n"
    "Worklore-Configuration: branch main\n"
    "Worklore-Warning: systemctl restart nginx says Access denied"
)
GIT = ["git", "-c", "user.name=Kim", "-c", "user.email=kim@example.com", "-c", "commit.gpgsign=false"]


class Workshop:
    """A hub process, and a machine on whose project something is known."""

    def __init__(self, folder: Path, hub: HubProcess) -> None:
        self.hub = hub
        self.name = unique("acme")
        self.station = Station(folder / "bench", remote=f"https://git.example.com/{self.name}/network.git")
        self.station.project.mkdir(parents=True)
        git = ["git", "init", "-q"]
        subprocess.run(git, cwd=self.station.project, check=True)
        subprocess.run(["git", "remote", "add", "origin", self.station.remote], cwd=self.station.project, check=True)
        self.station.settings.parent.mkdir()
        self.station.connect(self.hub.url, self.hub.code())
        self.station.configure(prompt_ms=5000, start_ms=5000, tool_ms=5000)
        self.identity = {"remote": self.station.remote, "path": str(self.station.project), "name": "network"}
        self.api.post("capture", piece(conversation(*TALK), self.identity))
        self.project = str(self.api.post("projects/identify", self.identity)["id"])
        self.item = self.api.post("work-items", {"project_id": self.project, "title": "Replace the share"})
        metadata = {
            "format_support": {"excel": True, "csv": True, "pdf": False, "ocr": False},
            "test_results": {"passing": 41, "total": 43, "skipped": 1},
            "extractor_version": "2.4.0",
            "manifest_compliant": True,
        }
        vendor = {"name": self.name, "extractor_version": "2.4.0", "metadata": metadata}
        self.api.post("vendor-extractors", vendor)
        self.api.post("project-configuration", {"project_id": self.project, "git_branch": "main"})
        pattern = {
            "pattern_type": "permission_denied",
            "pattern_signature": f"restart denied {self.name}",
            "error_pattern": "Access denied",
            "triggering_commands": ["systemctl restart nginx"],
            "failure_description": "Restarting nginx is denied here",
            "root_cause": "no rights",
            "recommended_solution": "Ask the owner of the service",
            "occurrence_count": 3,
        }
        self.api.post("failure-patterns", pattern)
        commit = [*GIT, "commit", "-q", "--allow-empty", "-m", f"Rename\n\n{TRAILERS}"]
        subprocess.run(commit, cwd=self.station.project, check=True)
        assert self.station.worklore("offline", "journal", "on").returncode == 0
        self.json("sync")

    @property
    def api(self) -> Hub:
        return Hub(self.hub.url, self.config.token)

    @property
    def config(self) -> Config:
        return load(self.station.home)

    def ask(self, what: str, text: str = "") -> Answer:
        return read(self.config, Question(what, str(self.station.project), text))

    def break_layers(self, *layers: str) -> None:
        done = self.station.worklore("offline", "simulate", *layers) if layers else self.mend()
        assert done.returncode == 0, done.stderr

    def mend(self) -> Any:
        return self.station.worklore("offline", "simulate", "--off")

    def json(self, *arguments: str) -> Any:
        done = self.station.worklore(*arguments, "--json")
        assert done.stdout, (done.returncode, done.stderr)
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    made = HubProcess(tmp_path_factory.mktemp("hub") / "hub")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def workshop(hub: HubProcess, tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path, hub)
    yield made
    made.station.kill_flushers()


QUESTIONS = {
    "brief": "",
    "recall": "why does the backup of nas-07 fail?",
    "warnings": "sudo -n true; systemctl restart nginx",
    "work-items": "",
    "vendors": "",
    "configuration": "",
}
SAYS = {
    "brief": "The share was renamed",
    "recall": "The share was renamed",
    "warnings": "Access denied",
    "work-items": "Replace the share",
    "vendors": "acme-",
    "configuration": "main",
}


def test_each_layer_answers_when_those_above_are_broken(workshop: Workshop) -> None:
    told = workshop.json("sync")
    assert (told["synchronised"], told["refreshed"]) == (True, ["network"]), (told, workshop.station.log())
    for broken in ((), ("hub",), ("hub", "cache"), ("hub", "cache", "git"), ("hub", "cache", "git", "journal")):
        workshop.break_layers(*broken)
        for what, text in QUESTIONS.items():
            answer = workshop.ask(what, text)
            expected = [layer for layer in ("hub", "cache", "git", "journal") if layer not in broken]
            assert answer.layer == (expected[0] if expected else ""), (what, answer)
            assert [warning.partition(":")[0] for warning in answer.warnings] == list(broken)
            assert all("broken on purpose" in warning for warning in answer.warnings)
            if expected:
                assert SAYS[what] in answer.text, (what, answer)
                assert answer.age is not None
                assert answer.age < 120
    workshop.break_layers()
    status = workshop.json("offline", "status")
    assert {layer: found["answers"] for layer, found in status["layers"].items()} == dict.fromkeys(
        ("hub", "cache", "git", "journal"), True
    )


def test_what_is_kept_too_long_comes_last_and_says_its_age(workshop: Workshop) -> None:
    workshop.json("sync")
    with sqlite3.connect(workshop.station.home / "cache.db") as link:
        link.execute("UPDATE projects SET fetched = fetched - 7200")
    link.close()
    workshop.break_layers("hub")
    answer = workshop.ask("work-items")
    assert answer.layer in {"git", "journal"}, answer
    assert "2 hours old" in str(answer.warnings) or "120 minutes old" in str(answer.warnings)
    workshop.break_layers("hub", "git", "journal")
    expired = workshop.ask("work-items")
    assert expired.layer == "cache"
    assert expired.age is not None
    assert expired.age > 7000
    assert SAYS["work-items"] in expired.text
    workshop.mend()
    workshop.json("sync")


def test_a_hook_answers_from_the_cache_and_names_it(workshop: Workshop, tmp_path: Path) -> None:
    workshop.json("sync")
    station, transcript = workshop.station, tmp_path / "t.jsonl"
    workshop.break_layers("hub")
    try:
        session = "offline-1"
        started = station.hook("SessionStart", session, transcript, source="startup")
        assert "The share was renamed" in told(started)
        assert "The hub did not answer; this is what this machine has kept, less than a minute old." in told(started)
        prompt = station.hook("UserPromptSubmit", session, transcript, prompt='Why did\nthe backup of "nas-07" fail?')
        assert "The share was renamed" in told(prompt)
        assert "2026-03-03" in told(prompt)
        assert station.hook("UserPromptSubmit", session, transcript, prompt="the backup of nas-07 again?") == (b""), (
            "nothing is told twice"
        )
        command = {"command": "sudo -u www-data true; systemctl restart nginx"}
        warned = station.hook("PreToolUse", session, transcript, tool_name="Bash", tool_input=command)
        assert "Access denied" in told(warned)
        assert station.hook("PreToolUse", session, transcript, tool_name="Bash", tool_input={"command": "ls"}) == b""
        assert [line.split()[1:] for line in station.log()[-2:]] == [
            ["PreToolUse", "cache-answered"],
            ["PreToolUse", "hub-broken-on-purpose"],
        ]
    finally:
        workshop.mend()


def told(output: bytes) -> str:
    return str(json.loads(output)["hookSpecificOutput"]["additionalContext"]) if output else ""


def test_what_is_written_offline_is_sent_once_and_read_meanwhile(workshop: Workshop) -> None:
    station, item = workshop.station, workshop.item["id"]
    workshop.json("sync")
    workshop.break_layers("hub")
    kept = workshop.json("remember", "The spare switch is in rack 3, its password: Geheim77x")
    assert kept["state"] == "waiting"
    assert workshop.json("remember", "We keep the old path for a week", "--decision", "--why", "Two jobs use it")
    done = station.worklore("work-item", "set", item, "status=blocked")
    assert done.returncode == 0, done.stderr
    assert "waits" in done.stdout + done.stderr
    assert station.worklore("work-item", "set", item[:23], "priority=high").returncode == 0
    listed = station.worklore("work-item", "list", "--json")
    assert [(row["status"], row["priority"]) for row in json.loads(listed.stdout) if row["id"] == item] == [
        ("blocked", "high")
    ], listed.stderr
    spooled = [path.read_text() for path in operations.waiting(station.home)]
    assert len(spooled) == 4
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in operations.waiting(station.home))
    assert "Geheim77x" not in "".join(spooled)
    journal = station.project / ".worklore" / "journal" / "journal.md"
    assert "rack 3" in journal.read_text()
    assert "Geheim77x" not in journal.read_text()
    workshop.mend()
    synced = workshop.json("sync")
    assert (synced["taken"], synced["waiting"], synced["conflicts"]) == (4, 0, 0), synced
    assert workshop.json("sync")["taken"] == 0
    found = workshop.api.get(f"work-items/{item}")
    assert (found["status"], found["priority"]) == ("blocked", "high")
    snippets = workshop.api.get("context-snippets", project_id=workshop.project)["items"]
    assert [each["dense_content"] for each in snippets] == [
        "The spare switch is in rack 3, its password: [redacted:password]"
    ]
    decided = workshop.api.get("decision-logs", project_id=workshop.project)["items"]
    assert [each["rationale"] for each in decided] == ["Two jobs use it"]


def test_a_conflict_is_kept_with_both_sides_until_somebody_decides(workshop: Workshop) -> None:
    station = workshop.station
    made = [workshop.api.post("work-items", {"project_id": workshop.project, "title": f"Task {n}"}) for n in (1, 2)]
    workshop.json("sync")
    workshop.break_layers("hub")
    for each in made:
        assert station.worklore("work-item", "set", each["id"], "title=Mine").returncode == 0
    workshop.mend()
    for each in made:
        changed = json.dumps({"title": "Theirs"}).encode()
        assert workshop.api.exchange("PATCH", f"work-items/{each['id']}", changed, {"If-Match": '"1"'})[0] == 200
    synced = station.worklore("sync", "--json")
    assert synced.returncode == 1
    assert json.loads(synced.stdout)["conflicts"] == 2
    both = workshop.json("sync", "--conflicts")
    assert [(each["mine"]["title"], each["theirs"]["title"], each["status"]) for each in both] == [
        ("Mine", "Theirs", 412)
    ] * 2
    shown = station.worklore("sync", "--conflicts").stdout
    assert "mine:" in shown
    assert "theirs:" in shown
    first, second = (str(each["number"]) for each in both)
    assert workshop.api.get(f"work-items/{made[0]['id']}")["title"] == "Theirs"
    done = station.worklore("sync", "--resolve", f"{first}=mine", "--resolve", f"{second}=theirs", "--json")
    assert (done.returncode, json.loads(done.stdout)["conflicts"]) == (0, 0)
    assert [workshop.api.get(f"work-items/{each['id']}")["title"] for each in made] == ["Mine", "Theirs"]


def test_after_a_restore_what_was_sent_lately_is_offered_again(workshop: Workshop) -> None:
    """The hub begins a new life without what it was told last, as after a restore; both arrive once all the same."""
    station = workshop.station
    assert workshop.json("remember", "Rack 4 is locked")["state"] == "taken"
    assert workshop.json("remember", "Rack 5 is open")["state"] == "taken"
    lost = operations.done(station.home)[-1]
    key, gone = lost.operation.key, lost.outcome["id"]
    workshop.hub.change("DELETE FROM idempotency_keys WHERE key = :key", key=key)
    workshop.hub.change("DELETE FROM context_snippets WHERE id = :id", id=gone.replace("-", ""))
    workshop.hub.change("DELETE FROM context_snippets WHERE id = :id", id=gone)
    life = workshop.hub.change(
        "INSERT INTO restore_epochs (id, number, began_at)"
        " SELECT '0199aaaa-0000-7000-8000-000000000001', number + 1, began_at FROM restore_epochs"
    )
    assert life == 1
    synced = workshop.json("sync")
    assert synced["offered_again"] >= 2
    texts = [each["dense_content"] for each in workshop.api.get("context-snippets", limit="100")["items"]]
    assert (texts.count("Rack 4 is locked"), texts.count("Rack 5 is open")) == (1, 1)


def test_a_torn_operation_holds_up_no_other(workshop: Workshop) -> None:
    home = workshop.station.home
    workshop.break_layers("hub")
    workshop.json("remember", "Before the torn one")
    torn = operations.waiting(home)[-1]
    torn.write_bytes(torn.read_bytes()[:40])
    workshop.json("remember", "After the torn one")
    workshop.mend()
    synced = workshop.json("sync")
    assert (synced["taken"], synced["waiting"], synced["torn"]) == (1, 0, 1)
    assert "operation-torn" in str(workshop.station.log())
    for path in operations.torn(home):
        path.unlink()


def test_a_torn_cache_is_made_anew_and_a_newer_one_set_aside(workshop: Workshop, tmp_path: Path) -> None:
    home = workshop.station.home
    workshop.json("sync")
    cache.forget(home)
    (home / "cache.db").write_bytes(b"SQLite format 3\0" + os.urandom(8000))
    workshop.break_layers("hub")
    said = workshop.station.hook("SessionStart", "torn-1", tmp_path / "t.jsonl", source="startup")
    assert "Memory is unavailable" in told(said)
    again = workshop.station.hook("UserPromptSubmit", "torn-1", tmp_path / "t.jsonl", prompt="and now the backup?")
    assert again == b"", "that memory is unavailable is said once a session"
    workshop.mend()
    assert workshop.json("sync")["refreshed"] == ["network"]
    with sqlite3.connect(home / "cache.db") as link:
        link.execute("PRAGMA user_version = 99")
    link.close()
    assert cache.reading(workshop.config) is None
    assert workshop.json("sync")["refreshed"] == ["network"]
    assert (home / "cache.db.99").exists()
    assert (home / "cache.db").stat().st_mode & 0o777 == 0o600


def test_a_clock_gone_wrong_changes_what_is_said_of_the_age_alone(workshop: Workshop) -> None:
    workshop.json("sync")
    with sqlite3.connect(workshop.station.home / "cache.db") as link:
        link.execute("UPDATE projects SET fetched = fetched + 400000000")
    link.close()
    workshop.break_layers("hub", "git", "journal")
    answer = workshop.ask("work-items")
    assert (answer.layer, answer.age) == ("cache", None)
    assert "of unknown age" in answer.source()
    workshop.mend()
    workshop.json("sync")


def test_a_hub_that_accepts_and_never_answers_costs_two_seconds(workshop: Workshop) -> None:
    import socket  # noqa: PLC0415 - one test needs it

    workshop.json("sync")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        config = workshop.config
        deaf = Config(config.home, f"http://127.0.0.1:{mute.getsockname()[1]}", config.token, config.options)
        begun = time.monotonic()
        answer = read(deaf, Question("work-items", str(workshop.station.project)))
        assert time.monotonic() - begun < 8
        # Its cache is another hub's: the project's own history answers.
        assert answer.layer in {"git", "journal"}
        assert "did not answer within 2 seconds" in answer.warnings[0]


def test_a_revoked_token_forgets_what_was_kept(workshop: Workshop, tmp_path: Path) -> None:
    station = workshop.station
    workshop.json("sync")
    assert (station.home / "cache.db").exists()
    ours = str(workshop.api.get("me")["machine"]["id"])
    revoked = "UPDATE api_tokens SET revoked_at = created_at WHERE machine_id IN (:text, :hex)"
    assert workshop.hub.change(revoked, text=ours, hex=ours.replace("-", "")) == 1
    workshop.hub.kill()  # nobody remembers the token
    workshop.hub.start()
    station.configure(start_ms=20_000)
    said = station.hook("SessionStart", "revoked-1", tmp_path / "t.jsonl", source="startup")
    assert "does not take this machine's token any more" in told(said)
    assert not (station.home / "cache.db").exists()
    assert waited(lambda: not any(station.flushers()), 20)
    workshop.break_layers("hub")
    assert workshop.ask("work-items").layer != "cache"
