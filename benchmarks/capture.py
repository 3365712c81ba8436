"""How fast the hub takes transcripts in: made-up sessions of an agent's real shape, cut into pieces as the client cuts
them, into a hub in this process on SQLite (synchronous=FULL, audited and chained), each piece a transaction.

A *unit* is what recall finds: a turn, or a passage of a long one. The rates are the hub's alone, from the parsed piece
to its commit. The floor is asked of a second of this process's own work, so that it holds or fails whatever else runs
on the machine; the rate by the clock stands beside it, the disk's part included.
Every session is sent once more at the end: nothing may be stored twice.
"""

import io
import json
import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from worklore.app import build
from worklore.identity.machine import Machine
from worklore.identity.roles import Role
from worklore.identity.user import User
from worklore.kernel.access import Principal, PrincipalKind
from worklore.kernel.context import Context
from worklore.kernel.settings import Settings
from worklore.kernel.transaction import Database, Operation
from worklore.kernel.types import uuid7
from worklore.memory.capture import Piece, capture
from worklore.memory.trail.store import TRAIL
from worklore.memory.usage import UsageRecord
from worklore.memory.window import MemoryWindow
from worklore_client.transcript import portions

SESSIONS = 30
TURNS = 60
"""Prompts of a session; each has some calls and answers."""
FLOOR = 2_000
SEED = 20_260_301

SUBJECTS = ("tunnel", "backup", "certificate", "mailbox", "switch", "printer", "database", "queue", "cache", "login")
VERBS = ("drops", "fails", "restarts", "grows", "hangs", "answers", "refuses", "expires", "retries", "leaks")
COMMANDS = (
    ("ssh fw-{n:02}.example.com show crypto session", "state ESTABLISHED, rekeying in 2988 s", False),
    (
        "cd /srv/portal && python -m pytest -q tests/test_{subject}.py",
        "Exit code 1\nFAILED tests/test_a.py::test_x",
        True,
    ),
    ("git push origin main", "To git.example.com:team/portal.git", False),
    ("grep -rn {subject} src | head -40", "src/{subject}.py:12: def {subject}(): ...\n" * 30, False),
    ("psql -h db-{n:02}.example.com -c 'select count(*) from {subject}'", "count\n-----\n 4711", False),
    ("docker compose -f deploy/compose.yml up -d {subject}", "Container {subject} Started", False),
)


class Session:
    """Makes the lines of one session."""

    def __init__(self, number: int) -> None:
        self.chance = random.Random(SEED + number)
        self.key = str(uuid.UUID(int=self.chance.getrandbits(128)))
        self.clock = 0

    def record(self, kind: str, content: Any, **more: Any) -> bytes:
        self.clock += self.chance.randint(1, 20)
        clock = self.clock
        time_of_day = f"{clock // 3600 % 24:02}:{clock // 60 % 60:02}:{clock % 60:02}"
        at = f"2026-03-{1 + clock // 86_400:02}T{time_of_day}.000Z"
        message = {"role": kind, "content": content} | more.pop("message", {})
        common = {
            "parentUuid": None,
            "isSidechain": False,
            "userType": "external",
            "cwd": "/srv/portal",
            "version": "2.1.40",
        }
        named = {"sessionId": self.key, "uuid": str(uuid.UUID(int=self.chance.getrandbits(128))), "timestamp": at}
        return (
            json.dumps(common | named | {"gitBranch": "main", "type": kind, "message": message} | more).encode() + b"\n"
        )

    def words(self, sentences: int) -> str:
        chance = self.chance
        return " ".join(
            f"The {chance.choice(SUBJECTS)} on srv-{chance.randrange(90):02} {chance.choice(VERBS)} after "
            f"{chance.randrange(2, 900)} seconds because {chance.choice(SUBJECTS)}_{chance.choice(VERBS)} is off."
            for _ in range(sentences)
        )

    def message(self) -> dict[str, Any]:
        used = {"input_tokens": 12, "output_tokens": self.chance.randrange(20, 900), "cache_read_input_tokens": 40_000}
        return {"id": f"msg_{self.chance.getrandbits(64):016x}", "model": "claude-sonnet-4-5-20250929", "usage": used}

    def lines(self, turns: int) -> Iterator[bytes]:
        for turn in range(turns):
            yield self.record("user", self.words(self.chance.randint(1, 4)))
            message = self.message()
            yield self.record("assistant", [{"type": "text", "text": self.words(2)}], message=message)
            for _ in range(self.chance.randint(0, 3)):
                yield from self.call(message)
            closing = self.words(self.chance.choice((3, 6, 14, 30)))
            if turn % 12 == 11:
                closing += "\n\nNext steps:\n- watch the queue\n- renew the certificate"
            yield self.record("assistant", [{"type": "text", "text": closing}], message=self.message())

    def call(self, message: dict[str, Any]) -> Iterator[bytes]:
        chance, key = self.chance, f"toolu_{self.chance.getrandbits(64):016x}"
        if chance.random() < 0.4:
            path = f"/srv/portal/src/{chance.choice(SUBJECTS)}.py"
            given = {"file_path": path, "old_string": self.words(3), "new_string": self.words(4)}
            name, output, failed = "Edit", f"The file {path} has been updated.\n" + self.words(10), False
            beside: Any = {"filePath": path, "originalFile": self.words(60), "structuredPatch": []}
        else:
            template, printed, failed = chance.choice(COMMANDS)
            subject, number = chance.choice(SUBJECTS), chance.randrange(20)
            given, name = {"command": template.format(subject=subject, n=number)}, "Bash"
            output = printed.replace("{subject}", subject)
            beside = f"Error: {output}" if failed else {"stdout": output, "stderr": "", "interrupted": False}
        used = {"type": "tool_use", "id": key, "name": name, "input": given}
        yield self.record("assistant", [used], message=message)
        result = {"type": "tool_result", "tool_use_id": key, "content": output, "is_error": failed}
        yield self.record("user", [result], toolUseResult=beside)


def bodies(number: int) -> Iterator[dict[str, Any]]:
    session = Session(number)
    for portion in portions(io.BytesIO(b"".join(session.lines(TURNS))), 0):
        yield {
            "agent": "claude-code",
            "session": session.key,
            "source": f"/home/somebody/.claude/projects/portal/{session.key}.jsonl",
            "from": portion.start,
            "to": portion.end,
            "records": portion.records,
            "identity": {"remote": "git@git.example.com:team/portal.git", "path": "/srv/portal", "name": "portal"},
        }


def counts(database: Database) -> dict[str, int]:
    tables = (MemoryWindow, *TRAIL, UsageRecord)
    with database.reading.connect() as connection:
        return {
            model.__tablename__: connection.execute(select(func.count()).select_from(model)).scalar_one()
            for model in tables
        }


def somebody(database: Database) -> Operation:
    def work(ctx: Context) -> Principal:
        user = User(id=uuid7(), email="somebody@example.com", name="Somebody", role=Role.technician)
        machine = Machine(id=uuid7(), hostname="ws-07")
        ctx.session.add_all([user, machine])
        ctx.session.flush()
        return Principal(PrincipalKind.machine, "ws-07", frozenset({"*"}), user_id=user.id, machine_id=machine.id)

    return Operation(database.write(work))


def run() -> dict[str, Any]:
    began = time.perf_counter()
    sent = [json.dumps(body) for number in range(SESSIONS) for body in bodies(number)]
    client = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        hub = build(Settings(data=Path(folder), database_url=f"sqlite:///{folder}/hub.db"))
        try:
            operation = somebody(hub.database)
            began = time.perf_counter()
            pieces = [Piece.model_validate_json(text) for text in sent]
            parsing = time.perf_counter() - began

            def send(piece: Piece) -> int:
                return hub.database.write(lambda ctx: capture(ctx, piece), operation).windows

            send(pieces[0])  # the tokenizer and the compiled statements are there afterwards
            began, worked = time.perf_counter(), time.process_time()
            units = sum(map(send, pieces[1:]))
            seconds, worked = time.perf_counter() - began, time.process_time() - worked
            stored = counts(hub.database)
            began = time.perf_counter()
            doubled = sum(map(send, (piece for piece in pieces if piece.from_ == 0)))
            repeated = time.perf_counter() - began
            same = counts(hub.database) == stored
        finally:
            hub.close()
    records = sum(len(piece.records) for piece in pieces[1:])
    rate = units / worked
    return {
        "units": units,
        "records": records,
        "bytes": sum(map(len, sent)),
        "stored": stored,
        "units_per_second": round(units / seconds),
        "units_per_cpu_second": round(rate),
        "records_per_cpu_second": round(records / worked),
        "seconds_of_reading_json": round(parsing, 2),
        "client_records_per_second": round(records / client),
        "seconds_to_send_all_again": round(repeated, 2),
        "holds": rate >= FLOOR and doubled == 0 and same,
    }


def table(figures: dict[str, Any]) -> str:
    rows = [f"  {name:28} {value}" for name, value in figures.items() if name != "stored"]
    stored = ", ".join(f"{number} {name}" for name, number in figures["stored"].items() if number)
    return "\n".join([*rows, f"  stored: {stored}"])


if __name__ == "__main__":
    print(table(run()))
