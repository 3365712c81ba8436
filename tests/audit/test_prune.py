"""Old entries are handed out and taken away; what is left verifies from there, and nothing else can be taken."""

import json
import stat
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from tests.audit.conftest import BEGUN, Chained, at
from tests.audit.test_hub import audit
from tests.audit.test_witness import CREDENTIALS, TOUCHES, ask, credential, renew, touch
from worklore.kernel.audit import AuditEntry
from worklore.kernel.errors import ConflictError
from worklore.kernel.nodes import AuditCut
from worklore.ops import audit_prune
from worklore.ops.audit_prune import finish, prune
from worklore.ops.audit_verify import State

LOG: Any = AuditEntry.__table__
LONG_AGO = 400 * 86_400 * 10**9
BEFORE = datetime.now(UTC) - timedelta(days=100)


def age(made: Chained) -> Chained:
    """What happened four hundred days ago by two processes, and what happened now."""
    with at(time.time_ns() - LONG_AGO):
        made.begin()
        made.old = [made.database.write(lambda ctx: credential(ctx, b"first").id) for _ in range(2)]
        made.database.write(partial(touch, count=3))
        made.another_chain()
        made.add()
        made.add()
        made.checkpoint()
    made.database.write(partial(renew, key=made.old[1], sealed=b"second"))
    made.database.write(partial(touch, count=2))
    ask(made, 3)
    made.checkpoint()
    return made


@pytest.fixture
def aged(unchained: Chained) -> Chained:
    """On SQLite alone."""
    return age(unchained)


def test_on_each_database(schema_url: URL, tmp_path: Path) -> None:
    made = Chained(schema_url, tmp_path)
    try:
        age(made)
        nothing_goes_that_was_not_cut(made, "DELETE FROM audit_log WHERE seq = 1")
        old_entries_go_and_what_is_left_verifies(made)
        nothing_goes_that_was_not_cut(
            made,
            "DELETE FROM audit_log WHERE seq = (SELECT * FROM (SELECT MAX(seq) FROM audit_log) AS last)",
            "DELETE FROM credential_audit_log",
            "DELETE FROM audit_cuts",
            "UPDATE audit_cuts SET seq = seq + 1",
        )
        what_is_left_cannot_be_changed_unseen(made)
    finally:
        made.close()


def pruned(made: Chained) -> audit_prune.Pruned:
    return prune(made.database, made.key, [], BEFORE, made.folder / "old.jsonl")


def counted(made: Chained) -> tuple[int, int]:
    with made.database.reading.connect() as connection:
        return (
            connection.execute(select(func.count()).select_from(LOG)).scalar_one(),
            connection.execute(select(func.count()).select_from(TOUCHES)).scalar_one(),
        )


def old_entries_go_and_what_is_left_verifies(aged: Chained) -> None:
    before = counted(aged)
    done = pruned(aged)
    verdict = aged.verify(rows=True)
    assert (verdict.state, verdict.breaks, verdict.missing) == (State.intact, [], [])
    file = aged.folder / "old.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (len(lines), verdict.cut, done.rows) == (done.entries + done.rows, done.entries, 2)
    assert {line["table"] for line in lines if "table" in line} == {TOUCHES.name}
    after = counted(aged)
    told_again = BEGUN + 2 + 1  # what counted the rows from before, two credentials as they were, and the prune itself
    assert before[1] - after[1] == 2  # the third has its entry at the end of a chain
    assert before[0] - after[0] == done.entries - told_again
    with pytest.raises(ConflictError) as nothing:
        prune(aged.database, aged.key, [], BEFORE, aged.folder / "again.jsonl")
    assert nothing.value.code == "nothing-to-prune"
    # What follows is chained as ever, and a checkpoint from before the cut is still borne out.
    aged.add()
    aged.checkpoint()
    assert aged.verify(rows=True).state is State.intact


def what_is_left_cannot_be_changed_unseen(aged: Chained) -> None:
    for table in ("audit_log", "audit_cuts", TOUCHES.name):
        aged.unguard(table)
    with aged.database.writing.connect() as connection:
        cut, other = connection.execute(select(AuditCut.__table__).order_by(AuditCut.seq)).mappings().all()
        connection.rollback()
        first = (LOG.c.chain == cut["chain"]) & (LOG.c.seq == cut["seq"] + 1)
        next_one = (LOG.c.chain == cut["chain"]) & (LOG.c.seq == cut["seq"] + 2)
        own = AuditCut.__table__.c.id == cut["id"]
        for changed, said in (
            (update(LOG).where(first).values(actor="x"), ("audit_log", "content")),
            (delete(LOG).where(first), ("audit_log", "seq")),
            (update(LOG).where(next_one).values(seq=cut["seq"]), ("audit_log", "seq")),
            (update(AuditCut).where(own).values(seq=cut["seq"] + 1), ("audit_cuts", "cut")),
            (update(AuditCut).where(own).values(signature=b"x" * 64), ("audit_cuts", "cut")),
            (delete(AuditCut).where(own), ("audit_log", "seq")),
            (delete(LOG).where(LOG.c.chain == other["chain"]), ("audit_log", "seq")),
            (update(CREDENTIALS).where(CREDENTIALS.c.id == aged.old[0]).values(password_encrypted=b"x"), SEALED),
            (update(CREDENTIALS).where(CREDENTIALS.c.id == aged.old[1]).values(password_encrypted=b"first"), SEALED),
        ):
            connection.execute(changed)
            breaks = aged.verify(connection, rows=True).breaks
            assert said in {(broken.table, broken.field) for broken in breaks}, changed
            connection.rollback()
    assert aged.verify(rows=True).state is State.intact


SEALED = (CREDENTIALS.name, "password_encrypted")


def test_a_prune_that_is_killed_goes_on(aged: Chained, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(audit_prune, "_take_away", killed)
        with pytest.raises(KeyboardInterrupt):
            pruned(aged)
    verdict = aged.verify()
    assert (verdict.state, verdict.breaks) == (State.incomplete, [])
    assert "the end of a prune" in verdict.missing[0]
    assert finish(aged.database, aged.key) == verdict.cut
    assert aged.verify(rows=True).state is State.intact


def killed(*_: object) -> int:
    raise KeyboardInterrupt


def test_it_refuses(aged: Chained, monkeypatch: pytest.MonkeyPatch) -> None:
    untouched = counted(aged)
    file = aged.folder / "old.jsonl"
    file.write_text("mine")
    with pytest.raises(FileExistsError):
        pruned(aged)
    file.unlink()
    with pytest.raises(ConflictError) as needed:
        prune(aged.database, aged.key, [], datetime.now(UTC) + timedelta(days=1), file)
    assert needed.value.code == "audit-needed"
    with monkeypatch.context() as patch:
        patch.setattr(audit_prune, "_write", lambda out, _told, _facts: out.write(b"half"))
        with pytest.raises(OSError, match="does not hold"):
            pruned(aged)
    file.unlink()
    aged.unguard()
    with aged.database.writing.begin() as connection:
        one = connection.scalar(select(LOG.c.id).where(LOG.c.seq == 2).limit(1))
        connection.execute(update(LOG).where(LOG.c.id == one).values(message="x"))
    with pytest.raises(ConflictError) as broken:
        pruned(aged)
    assert broken.value.code == "audit-not-intact"
    assert counted(aged) == untouched
    assert not file.exists()


def nothing_goes_that_was_not_cut(made: Chained, *statements: str) -> None:
    for statement in statements:
        with made.database.writing.connect() as connection, pytest.raises(DBAPIError, match="is append-only"):
            connection.execute(text(statement))


def test_the_command(tmp_path: Path, chained: Chained) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    chained.add()
    chained.close()
    folder = tmp_path
    early = audit(folder, "prune", "--before", "2001-01-01", "--export", str(tmp_path / "o"), url=url)
    assert (early.returncode, "No entry is older" in early.stderr) == (2, True), early.stderr
    done = audit(folder, "prune", "--before", "2999-01-01", "--export", str(tmp_path / "old.jsonl"), url=url)
    assert done.returncode == 0, done.stderr
    assert "3 entries of 1 chains" in done.stdout
    told = audit(folder, "verify", "--rows", url=url)
    assert (told.returncode, "3 entries were handed out" in told.stdout) == (0, True), told.stdout
    again = audit(folder, "prune", "--before", "2999-01-01", "--export", str(tmp_path / "old.jsonl"), url=url)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    assert audit(folder, "prune", "--before", "2999-01-01", url=url).returncode == 2
