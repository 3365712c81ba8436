"""A hub and the machines connected to it, all of them real processes, and what may be asked of the hub's database."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, create_engine, func, select, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.pool import NullPool

from worklore_client.spool import flusher_lock, note_files
from worklore_client.wire import Hub

START_SECONDS = 60.0
COMMAND_SECONDS = 60.0
DRAIN_SECONDS = 60.0
REST_SECONDS = 120.0
GROWING = frozenset({"api_audit_log", "audit_checkpoints", "audit_log", "hub_nodes", "injections", "jobs"})
"""Tables that say what was done or told, and so grow with every repetition."""
BACKGROUND = frozenset({"memory_vectors", "pattern_evidence", "session_news"})
"""Tables that background jobs fill and empty."""

Window = tuple[str, str, int, int, int, str, str]
"""Session, record, ordinal, part, parts, role and text of a window: all of it that does not depend on when it came."""

Done = tuple[str, ...]
"""Session, table, record and what the row says."""

TRAIL = {
    "commands_run": "command_text, host, success, exit_code, output_summary, failure_category",
    "operation_failures": "operation_description, target_system, failure_category",
    "conversation_contexts": "title, dense_summary, tokens_before",
}
"""What is compared of a session's trail, by table."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anything of the real client, hub or agent of whoever runs this."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WORKLORE_", "CLAUDE_", "XDG_"))}
    return {**kept, "NO_COLOR": "1", **more}


def memory(pid: int, which: str = "VmHWM") -> int:
    """Bytes the process holds in memory: the most since its start (``VmHWM``) or now (``VmRSS``). 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith(f"{which}:")]
    return int(found[0]) * 1024 if found else 0


def forget_peak(pid: int) -> None:
    """Let the most a process has held be what it holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


class HubProcess:
    """A hub on one database, which keeps its address over any number of deaths."""

    def __init__(self, folder: Path, url: URL | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._sqlite = folder / "hub.db"
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = ""
        self.patience = START_SECONDS
        """Seconds in which it must start."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        where = self._url.render_as_string(hide_password=False) if self._url else f"sqlite:///{self._sqlite}"
        command = [sys.executable, "-m", "worklore", "serve", "--port", str(self.port)]
        command += ["--ready-file", str(ready), "--data", str(self.folder)]
        with (self.folder / "hub.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment(where)
            )
        end = time.monotonic() + self.patience
        while not ready.exists():
            assert self._process.poll() is None, f"the hub did not start: {self.log()[-2000:]}"
            assert time.monotonic() < end, "the hub did not start in time"
            time.sleep(0.02)
        if not self._keeper:
            self._keeper = self._first_machine(json.loads(ready.read_text())["setup_code"])

    def _environment(self, where: str) -> dict[str, str]:
        return clean_environment(
            WORKLORE_DATABASE_URL=where, WORKLORE_CONFIG=str(self.folder / "no.env"), HOME=str(self.folder)
        )

    def _first_machine(self, code: str) -> str:
        machine = {"hostname": "keeper", "machine_fingerprint": "0" * 64, "friendly_name": "keeper"}
        return str(Hub(self.url).post("auth/setup", {"code": code, "machine": machine})["token"])

    def code(self) -> str:
        """A further one-time code."""
        return str(Hub(self.url, self._keeper).post("setup-codes", {})["code"])

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def log(self) -> str:
        return (self.folder / "hub.log").read_text(encoding="utf-8", errors="replace")

    # --- what it holds, read past the hub

    def engine(self) -> Engine:
        if self._url is not None:
            return create_engine(self._url, poolclass=NullPool)
        read_only = f"file:{self._sqlite}?mode=ro"
        return create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(read_only, uri=True, timeout=20), poolclass=NullPool
        )

    def counts(self, *, killed: bool = False) -> dict[str, int]:
        """Rows of each table that must not grow when the same comes again, once all that came was learned from.

        A hub that was killed holds its background jobs for as long as their lease lasts: what those make is left out.
        """
        left_out = GROWING | BACKGROUND if killed else GROWING
        if not killed:
            self._rest()
        engine = self.engine()
        schema = MetaData()
        schema.reflect(engine)
        with engine.connect() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in schema.sorted_tables
                if table.name not in left_out
            }

    def _rest(self) -> None:
        """Wait until the hub has learned from all sessions and its model has read all windows."""
        end = time.monotonic() + REST_SECONDS
        while self.count("session_news") or self.count("memory_vectors") < self.count("memory_windows"):
            assert time.monotonic() < end, "the hub's background work does not come to an end"
            time.sleep(0.2)

    def count(self, table: str) -> int:
        """Rows of one table."""
        with self.engine().connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

    def windows(self, *sessions: str) -> list[Window]:
        """The windows of some sessions, or of all, in their order."""
        asked = text(
            "SELECT s.external_key, w.source_uuid, w.ordinal, w.part, w.parts, w.role, w.text"
            " FROM memory_windows w JOIN sessions s ON s.id = w.session_id WHERE w.kind = 'turn'"
        )
        with self.engine().connect() as connection:
            rows = [
                (str(r[0]), str(r[1]), int(r[2]), int(r[3]), int(r[4]), str(r[5]), str(r[6]))
                for r in connection.execute(asked)
            ]
        chosen = [row for row in rows if not sessions or row[0] in sessions]
        return sorted(chosen, key=lambda row: (row[0], row[2], row[3]))

    def trail(self, *sessions: str) -> list[Done]:
        """What was done in some sessions, or in all, as their trails say."""
        found: list[Done] = []
        with self.engine().connect() as connection:
            for table, shown in TRAIL.items():
                joined = f"{table} t JOIN sessions s ON s.id = t.session_id"
                asked = text(f"SELECT s.external_key, t.source_uuid, {shown} FROM {joined}")
                rows = connection.execute(asked)
                found += [(str(key), table, str(source), *map(_plain, rest)) for key, source, *rest in rows]
        return sorted(row for row in found if not sessions or row[0] in sessions)

    def change(self, statement: str, **values: Any) -> int:
        """Change rows behind the hub's back; how many."""
        if self._url is None:
            with contextlib.closing(sqlite3.connect(self._sqlite, timeout=20)) as connection, connection:
                return connection.execute(statement, values).rowcount
        with create_engine(self._url, poolclass=NullPool).begin() as connection:
            return connection.execute(text(statement), values).rowcount


def _plain(value: Any) -> str:
    """A value as it reads the same from every database: SQLite and MariaDB know truth as 1."""
    return str(int(value) if isinstance(value, bool) else value)


@dataclass
class Station:
    """A technician's machine: a home folder of its own, with an agent's settings and a clone of a repository."""

    folder: Path
    remote: str = "https://git.example.com/example-dental/network.git"
    linger: int = 0
    commands: dict[str, list[str]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The client's home."""
        return self.folder / ".worklore"

    @property
    def project(self) -> Path:
        return self.folder / "network"

    @property
    def settings(self) -> Path:
        """The agent's settings file."""
        return self.folder / ".claude" / "settings.json"

    def prepare(self) -> None:
        git = self.project / ".git"
        git.mkdir(parents=True)
        (git / "config").write_text(f'[remote "origin"]\n\turl = {self.remote}\n')
        self.settings.parent.mkdir()

    def environment(self) -> dict[str, str]:
        return clean_environment(HOME=str(self.folder), USERPROFILE=str(self.folder))

    def worklore(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
        """A command as the technician types it."""
        return subprocess.run(
            [sys.executable, "-m", "worklore_cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.project,
            env=self.environment(),
            timeout=seconds,
        )

    def connect(self, url: str, code: str) -> None:
        done = self.worklore("connect", url, "--code", code, "--name", self.folder.name, "--yes")
        assert done.returncode == 0, done.stderr
        settings = json.loads(self.settings.read_text(encoding="utf-8-sig"))
        handlers = {event: groups[-1]["hooks"][-1] for event, groups in settings["hooks"].items()}
        self.commands = {event: [each["command"], *each["args"]] for event, each in handlers.items()}
        self.configure(linger_ms=self.linger, retry_s=1)

    def configure(self, **options: Any) -> None:
        """Set lines of the client's configuration."""
        path = self.home / "config"
        lines = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in options]
        path.write_text("\n".join([*lines, *(f"{key}={value}" for key, value in options.items())]) + "\n")

    def start_hook(self, event: str, session: str, transcript: Path, **members: Any) -> subprocess.Popen[bytes]:
        """The hook of the agent's settings, started as the agent does."""
        about = {"session_id": session, "transcript_path": str(transcript), "cwd": str(self.project)}
        stdin = json.dumps({**about, "hook_event_name": event, "permission_mode": "default", **members})
        process = subprocess.Popen(
            self.commands[event],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.project,
            env={**self.environment(), "CLAUDE_PROJECT_DIR": str(self.project)},
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin.encode("utf-8", "replace"))
            process.stdin.close()
        process.stdin = None
        return process

    def hook(self, event: str, session: str, transcript: Path, **members: Any) -> bytes:
        """Run a hook to its end; what it printed. It must exit 0 with nothing on its standard error."""
        process = self.start_hook(event, session, transcript, **members)
        said, wrong = process.communicate(timeout=30)
        assert (process.returncode, wrong) == (0, b""), (event, process.returncode, wrong)
        return said

    def log(self) -> list[str]:
        path = self.home / "hook.log"
        return path.read_text().splitlines() if path.exists() else []

    def flushers(self) -> Iterator[int]:
        """The processes that send for this machine."""
        ours = str(self.home).encode()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = entry.read_bytes().split(b"\0")
            except OSError:
                continue  # it has just ended
            if arguments[-3:-1] == [ours, b"flush"]:
                yield int(entry.parent.name)

    def kill_flushers(self) -> int:
        """Kill what sends for this machine; how many were hit."""
        hit = 0
        for pid in list(self.flushers()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                hit += 1
        return hit

    def idle(self) -> bool:
        """True when nothing waits to be sent and nobody sends."""
        if note_files(self.home):
            return False
        with flusher_lock(self.home) as free:
            return free and not note_files(self.home)

    def settled(self, seconds: float = DRAIN_SECONDS) -> bool:
        """Wait for `idle`."""
        return waited(self.idle, seconds)


def waited(condition: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
