"""Whoever can write to the database but has not the hub's key changes nothing unseen."""

import os
import random
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from tests.audit.conftest import BEGUN, Chained
from worklore.kernel.audit import AuditEntry
from worklore.kernel.chain import FIELDS, START
from worklore.kernel.context import Context
from worklore.kernel.epoch import begin_epoch
from worklore.kernel.types import uuid7
from worklore.ops.audit_verify import State

TABLE: Any = AuditEntry.__table__
C = TABLE.c
LENGTH = 6
"""Entries of a chain."""
ROUNDS = int(os.environ.get("WORKLORE_TAMPER_ROUNDS", "5"))
SIZES = {"sqlite": 200}
"""Chains; in each round one entry of every chain is changed. The servers get fewer."""

Row = dict[str, Any]
Tamper = Callable[[Connection, list[Row], random.Random], None]


def edit(name: str) -> Tamper:
    def tamper(connection: Connection, rows: list[Row], seed: random.Random) -> None:
        row = seed.choice(rows)
        changed = update(TABLE).where(C.id == row["id"]).values({name: other(name, row[name], seed)})
        connection.execute(changed)

    tamper.__name__ = f"edit_{name}"
    return tamper


def other(name: str, value: Any, seed: random.Random) -> Any:
    """Another value, of the same kind."""
    match name:
        case "chain":
            return seed.choice([None, f"{seed.randbytes(6).hex()}.0.{value.rpartition('.')[2]}"])
        case "seq":
            return value + seed.choice([LENGTH, 1000])
        case "at":
            return value + seed.choice([-1, 1, 1_000_000])
        case "prev_mac" | "mac":
            return seed.choice([seed.randbytes(32).hex(), value[:-1] + ("0" if value[-1] != "0" else "1")])
        case "id" | "record_id" | "client_id" | "request_id":
            return uuid.UUID(bytes=seed.randbytes(16), version=4)
        case "changed":
            return {**value, "notes": [None, seed.randbytes(3).hex()]}
        case _:
            return f"{value or ''}{seed.choice(['x', ' ', '.'])}"


def remove(connection: Connection, rows: list[Row], seed: random.Random) -> None:
    connection.execute(delete(TABLE).where(C.id == seed.choice(rows)["id"]))


def cut_off(connection: Connection, rows: list[Row], seed: random.Random) -> None:
    connection.execute(delete(TABLE).where(C.chain == rows[0]["chain"], C.seq > seed.randrange(LENGTH)))


def put_in(connection: Connection, rows: list[Row], seed: random.Random) -> None:
    forged = rows[-1] | {"id": uuid7(), "seq": LENGTH + 1, "prev_mac": rows[-1]["mac"], "mac": seed.randbytes(32).hex()}
    connection.execute(insert(TABLE), [forged])


def exchange(connection: Connection, rows: list[Row], seed: random.Random) -> None:
    """Two entries change places, with all that says where they stand or with nothing of it."""
    one, two = seed.sample(rows, 2)
    places = seed.choice([("seq",), ("seq", "prev_mac"), ("seq", "prev_mac", "mac")])
    spare = {"seq": -1, "prev_mac": "x", "mac": "x"}
    for row, values in ((one, spare), (two, one), (one, two)):
        moved = update(TABLE).where(C.id == row["id"]).values({name: values[name] for name in places})
        connection.execute(moved)


KINDS: list[Tamper] = [*(edit(name) for name in (*FIELDS, "mac")), remove, cut_off, put_in, exchange]


def test_every_change_is_found(everywhere: Chained) -> None:
    chained = everywhere
    chains, rounds = SIZES.get(chained.database.dialect, 20), ROUNDS
    names: list[str] = []
    for _ in range(chains):
        names.append(chained.another_chain())
        for _ in range(LENGTH):
            chained.add()
    chained.checkpoint()
    chained.unguard()
    assert chained.verify().state is State.intact
    seed = random.Random(0)
    changed = 0
    with chained.database.writing.connect() as connection:
        own = select(TABLE).where(C.chain.in_(names)).order_by(C.chain, C.seq)
        found = connection.execute(own).mappings().all()
        rows: dict[str, list[Row]] = {}
        for row in found:
            rows.setdefault(row["chain"], []).append(dict(row))
        victims = list(rows.values())
        assert [len(of_chain) for of_chain in victims] == [LENGTH] * chains
        connection.rollback()
        for turn in range(rounds):
            for number, of_chain in enumerate(victims):
                KINDS[(turn + number) % len(KINDS)](connection, of_chain, seed)
                changed += 1
            verdict = chained.verify(connection)
            noticed = {broken.chain for broken in verdict.breaks}
            for number, of_chain in enumerate(victims):
                name = of_chain[0]["chain"]
                unseen = name not in noticed and not any(name in what for what in verdict.missing)
                assert not unseen, KINDS[(turn + number) % len(KINDS)].__name__
            connection.rollback()
    assert changed == chains * rounds
    assert chained.verify().state is State.intact


@pytest.mark.parametrize("tamper", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_said_of_a_change(chained: Chained, tamper: Tamper) -> None:
    chained.another_chain()
    for _ in range(LENGTH):
        chained.add()
    chained.checkpoint()
    chained.unguard()
    with chained.database.writing.connect() as connection:
        name = connection.scalar(select(C.chain).order_by(C.seq.desc()).limit(1))
        found = connection.execute(select(TABLE).where(C.chain == name).order_by(C.seq)).mappings().all()
        tamper(connection, [dict(row) for row in found], random.Random(3))
        verdict = chained.verify(connection)
        connection.rollback()
    said = {broken.field for broken in verdict.breaks} or {"missing"}
    wanted: dict[str, set[str]] = {
        "edit_chain": {"seq", "unchained", "missing", "content"},
        "edit_seq": {"seq"},
        "edit_prev_mac": {"prev_mac"},
        "edit_mac": {"mac", "content"},
        "remove": {"seq", "missing"},
        "cut_off": {"missing"},
        "put_in": {"content"},
        "exchange": {"prev_mac", "content", "mac"},
    }
    assert said <= wanted.get(tamper.__name__, {"content"}), said
    assert verdict.state is (State.broken if verdict.breaks else State.incomplete)


def test_what_was_there_before_the_chains_is_covered(everywhere: Chained) -> None:
    chained = everywhere
    verdict = chained.verify()
    assert (verdict.state, verdict.unchained) == (State.intact, 3)
    chained.unguard()
    one = {"id": uuid7(), "at": 1, "actor": "x", "action": "x", "table_name": "x", "changed": {}, "outcome": "done"}
    with chained.database.writing.connect() as connection:
        key = connection.scalar(select(C.id).where(C.chain.is_(None)).limit(1))
        connection.rollback()
        for changed in (
            update(TABLE).where(C.id == key).values(actor="somebody"),
            update(TABLE).where(C.id == key).values(prev_mac=START),
            delete(TABLE).where(C.id == key),
            insert(TABLE).values(one),
        ):
            connection.execute(changed)
            assert [broken.field for broken in chained.verify(connection).breaks] == ["unchained"], changed
            connection.rollback()
    assert chained.verify().state is State.intact


def test_an_older_file_in_its_place(chained: Chained, tmp_path: Path) -> None:
    file, older = Path(str(chained.url.database)), tmp_path / "older.db"
    chained.add()
    chained.checkpoint()
    with chained.database.writing.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql(f"VACUUM INTO '{older}'")
    chained.add()
    chained.checkpoint()
    chained.close()
    for name in ("-wal", "-shm"):
        file.with_name(file.name + name).unlink(missing_ok=True)
    shutil.copyfile(older, file)
    again = Chained(chained.url, tmp_path)
    verdict = again.verify()
    assert verdict.state is State.incomplete
    assert f"a checkpoint knows {BEGUN + 2} entries" in verdict.missing[0]
    # What is written from there on cannot stand where the lost entry stood.
    again.begin()
    again.add()
    assert [broken.field for broken in again.verify().breaks] == ["checkpoint"]
    # A restore says so: then the checkpoints of the former life that the file no longer has do not count.
    again.database.write(restored)
    verdict = again.verify()
    assert (verdict.state, verdict.earlier_lives) == (State.intact, 1)
    again.close()


def restored(ctx: Context) -> None:
    begin_epoch(ctx, "0" * 64)


def test_without_the_key_nothing_is_called_intact(chained: Chained) -> None:
    chained.checkpoint()
    chained.key.audit, chained.key.key_id = bytes(32), "another"
    verdict = chained.verify()
    assert (verdict.state, len(verdict.missing)) == (State.incomplete, 2)
