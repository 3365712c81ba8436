"""What the audit witnesses cannot be changed unseen either: touches of secrets, requests, and sealed fields."""

import os
import random
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from tests.audit.conftest import Chained, at
from tests.conftest import unique
from worklore.kernel.audit import CODES, AuditEntry, covered, unaudited
from worklore.kernel.context import Context
from worklore.kernel.db import Base
from worklore.kernel.types import uuid7
from worklore.ops.api_audit import ApiAuditEntry, Journal, Mover, line
from worklore.ops.audit_verify import State, Verdict
from worklore.ops.audit_witness import WITNESSED
from worklore.ops.retention import expire, kept
from worklore.vault.credential import Credential, CredentialAction, CredentialAuditLog, CredentialType
from worklore.vault.touch import touched

TOUCHES: Any = CredentialAuditLog.__table__
REQUESTS: Any = ApiAuditEntry.__table__
CREDENTIALS: Any = Credential.__table__
ROUNDS = int(os.environ.get("WORKLORE_WITNESS_ROUNDS", "1"))
PAIRS = 16

Row = dict[str, Any]
Tamper = Callable[[Connection, Row, Row, random.Random], Any]


def test_every_table_that_is_to_be_witnessed_is_looked_at() -> None:
    assert {mapper.class_ for mapper in Base.registry.mappers if mapper.class_.witnessed} == set(WITNESSED)


# --- touches --------------------------------------------------------------------------------------------------------


def credential(ctx: Context, sealed: bytes = b"ciphertext") -> Credential:
    made = Credential(
        id=uuid7(),
        credential_type=CredentialType.password,
        service_name=unique("service"),
        password_encrypted=sealed,
        key_id="key",
    )
    ctx.session.add(made)
    ctx.session.flush()
    return made


def touch(ctx: Context, count: int) -> list[uuid.UUID]:
    of = credential(ctx)
    return [touched(ctx, of, CredentialAction.use, ["password"], reason=f"Grüße {n}").id for n in range(count)]


def test_a_touch_and_its_entry_are_stored_together(everywhere: Chained) -> None:
    (key,) = everywhere.database.write(partial(touch, count=1))
    with everywhere.database.reading.connect() as connection:
        entry = connection.execute(select(AuditEntry.__table__).where(AuditEntry.record_id == key)).one()
        row = connection.execute(select(TOUCHES).where(TOUCHES.c.id == key)).one()
    assert (row.row_hmac, row.prev_hmac) == (entry.mac, entry.prev_mac)
    assert (entry.action, entry.table_name, entry.changed.keys()) == ("witness", TOUCHES.name, {"sha256"})


def edit(name: str) -> Tamper:
    def tamper(connection: Connection, one: Row, _: Row, seed: random.Random) -> set[Any]:
        changed = update(TOUCHES).where(TOUCHES.c.id == one["id"])
        value = other(one[name], seed)
        connection.execute(changed.values({name: value}))
        return {one["id"], value} if name == "id" else {one["id"]}

    tamper.__name__ = f"edit_{name}"
    return tamper


def other(value: Any, seed: random.Random) -> Any:
    match value:
        case uuid.UUID():
            return uuid.UUID(bytes=seed.randbytes(16), version=4)
        case CredentialAction():
            return seed.choice([action for action in CredentialAction if action is not value])
        case dict():
            return value | {"reason": seed.randbytes(4).hex()}
        case None:
            return None
        case str():
            return seed.choice([value[:-1], f"{seed.randbytes(4).hex()}{value}"[:64]])
        case _:
            return value + timedelta(microseconds=seed.choice([-1, 1, 10**9]))


def put_there(name: str, value: Any) -> Tamper:
    """A value where there was none."""

    def tamper(connection: Connection, one: Row, _: Row, __: random.Random) -> set[Any]:
        connection.execute(update(TOUCHES).where(TOUCHES.c.id == one["id"]).values({name: value}))
        return {one["id"]}

    tamper.__name__ = f"put_there_{name}"
    return tamper


def remove(connection: Connection, one: Row, _: Row, __: random.Random) -> set[Any]:
    connection.execute(delete(TOUCHES).where(TOUCHES.c.id == one["id"]))
    return {one["id"]}


def put_in(connection: Connection, one: Row, _: Row, seed: random.Random) -> set[Any]:
    forged = one | {"id": uuid7(), "row_hmac": seed.choice([one["row_hmac"], seed.randbytes(32).hex()])}
    connection.execute(insert(TOUCHES), [forged])
    return {forged["id"]}


def exchange(connection: Connection, one: Row, two: Row, seed: random.Random) -> set[Any]:
    """What two rows tell changes places, with their codes or without."""
    names = set(one) - {"id"} - (CODES if seed.random() < 0.5 else set())
    for row, values in ((one, two), (two, one)):
        changed = update(TOUCHES).where(TOUCHES.c.id == row["id"])
        connection.execute(changed.values({name: values[name] for name in names}))
    return {one["id"], two["id"]}


KINDS: list[Tamper] = [
    *(edit(name) for name in ("id", "action", "user_id", "details", "timestamp", "prev_hmac", "row_hmac")),
    *(put_there(*pair) for pair in (("ip_address", "192.0.2.7"), ("user_agent", "x"), ("session_ref", uuid7()))),
    put_there("credential_id", None),
    put_there("details", None),
    remove,
    put_in,
    exchange,
]


def test_every_change_of_a_touch_is_found(everywhere: Chained) -> None:
    chained = everywhere
    keys = chained.database.write(partial(touch, count=2 * PAIRS))
    chained.unguard(TOUCHES.name)
    assert chained.verify().state is State.intact
    seed = random.Random(1)
    found = 0
    with chained.database.writing.connect() as connection:
        of_keys = select(TOUCHES).where(TOUCHES.c.id.in_(keys)).order_by(TOUCHES.c.id)
        rows = [dict(row) for row in connection.execute(of_keys).mappings()]
        connection.rollback()
        for turn in range(ROUNDS):
            wanted = set[Any]()
            for number in range(PAIRS):
                one, two = rows[2 * number : 2 * number + 2]
                wanted |= KINDS[(turn * PAIRS + number) % len(KINDS)](connection, one, two, seed)
            verdict = chained.verify(connection)
            connection.rollback()
            told = {broken.id for broken in verdict.breaks if broken.table == TOUCHES.name}
            assert {str(key) for key in wanted} == told
            found += PAIRS
    assert found == ROUNDS * PAIRS
    assert chained.verify().state is State.intact


@pytest.mark.parametrize("tamper", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_said_of_a_changed_touch(chained: Chained, tamper: Tamper) -> None:
    keys = chained.database.write(partial(touch, count=2))
    chained.unguard(TOUCHES.name)
    with chained.database.writing.connect() as connection:
        rows = connection.execute(select(TOUCHES).where(TOUCHES.c.id.in_(keys)).order_by(TOUCHES.c.id)).mappings().all()
        tamper(connection, dict(rows[0]), dict(rows[1]), random.Random(2))
        verdict = chained.verify(connection)
        connection.rollback()
    said = {broken.field for broken in verdict.breaks}
    wanted: dict[str, set[str]] = {
        "edit_id": {"inserted", "deleted"},
        "edit_prev_hmac": {"prev_hmac"},
        "edit_row_hmac": {"row_hmac"},
        "remove": {"deleted"},
        "put_in": {"inserted"},
        "exchange": {"row_hmac", "content"},
    }
    assert said <= wanted.get(tamper.__name__, {"content"}), said
    assert verdict.state is State.broken


def test_a_touch_whose_codes_are_taken_away_is_missed(chained: Chained) -> None:
    keys = chained.database.write(partial(touch, count=2))
    chained.unguard(TOUCHES.name)
    with chained.database.writing.connect() as connection:
        bare = update(TOUCHES).where(TOUCHES.c.id == keys[0]).values(row_hmac=None, prev_hmac=None)
        connection.execute(bare)
        verdict = chained.verify(connection)
        connection.rollback()
    assert [(broken.table, broken.field) for broken in verdict.breaks] == [(TOUCHES.name, "unwitnessed")]


def test_touches_from_before_there_were_witnesses_are_covered(unchained: Chained) -> None:
    made = unchained
    keys = made.database.write(partial(touch, count=3))
    made.begin()
    made.database.write(partial(touch, count=1))
    verdict = made.verify()
    assert (verdict.state, verdict.touches) == (State.intact, 4)
    made.unguard(TOUCHES.name)
    with made.database.writing.connect() as connection:
        for changed in (
            update(TOUCHES).where(TOUCHES.c.id == keys[1]).values(user_id="nobody"),
            delete(TOUCHES).where(TOUCHES.c.id == keys[1]),
        ):
            connection.execute(changed)
            assert "unwitnessed" in {broken.field for broken in made.verify(connection).breaks}
            connection.rollback()


# --- requests -------------------------------------------------------------------------------------------------------


def ask(chained: Chained, count: int) -> None:
    """Requests on their way from the journal to the table: one batch."""
    journal = Journal(chained.folder / "api-audit")
    mover = Mover(chained.database, journal)
    for number in range(count):
        path = f"/api/v1/clients/{number}"
        body = {"name": f"Größe {number}"} if number % 2 else None
        journal.write(line(user_id="kim", endpoint=path, http_status=200, request_id=uuid7(), body=body))
    mover.stop()


def of_requests(verdict: Verdict) -> list[str]:
    assert all(broken.table == REQUESTS.name for broken in verdict.breaks), verdict.breaks
    return [broken.field for broken in verdict.breaks]


def test_every_change_of_a_request_is_found(everywhere: Chained) -> None:
    chained = everywhere
    for _ in range(3):
        ask(chained, 5)
    chained.unguard(REQUESTS.name)
    verdict = chained.verify()
    assert (verdict.state, verdict.requests >= 15) == (State.intact, True)
    with chained.database.writing.connect() as connection:
        rows = [dict(row) for row in connection.execute(select(REQUESTS).order_by(REQUESTS.c.id)).mappings()]
        connection.rollback()
        victim, first, other_batch = rows[-2], rows[-5], rows[-7]
        assert victim["batch"] == first["id"] != other_batch["batch"]
        one = REQUESTS.c.id == victim["id"]
        new = victim | {"id": uuid7()}
        edits: list[tuple[Any, list[str]]] = [
            (update(REQUESTS).where(one).values({name: value}), ["batch"])
            for name, value in (
                ("user_id", "robin"),
                ("method", "PUT"),
                ("endpoint", "/"),
                ("http_status", 404),
                ("ip_address", "192.0.2.1"),
                ("user_agent", "x"),
                ("request_id", uuid7()),
                ("request_body_redacted", {"name": "y"}),
                ("response_time_ms", 9),
                ("error_message", "x"),
                ("timestamp", victim["timestamp"] + timedelta(microseconds=1)),
                ("id", uuid7()),
            )
        ]
        edits += [
            (delete(REQUESTS).where(one), ["batch"]),
            (delete(REQUESTS).where(REQUESTS.c.id == first["id"]), ["batch"]),
            (delete(REQUESTS).where(REQUESTS.c.batch == first["id"]), ["batch"]),
            (insert(REQUESTS).values(new), ["batch"]),
            (insert(REQUESTS).values(new | {"batch": uuid7()}), ["inserted"]),
            (insert(REQUESTS).values(new | {"batch": None}), ["unwitnessed"]),
            (update(REQUESTS).where(one).values(batch=other_batch["batch"]), ["batch", "batch"]),
        ]
        for changed, said in edits:
            connection.execute(changed)
            assert of_requests(chained.verify(connection)) == said, changed
            connection.rollback()
    assert chained.verify().state is State.intact


def test_what_retention_has_taken_is_not_missed(everywhere: Chained, monkeypatch: pytest.MonkeyPatch) -> None:
    chained = everywhere
    before = chained.verify().requests
    ten_days_ago = time.time_ns() - 10 * 86_400 * 10**9
    with at(ten_days_ago):
        ask(chained, 6)
    ask(chained, 3)
    assert chained.verify().requests == before + 9
    rules = kept(api_audit=9, injections=9, events=9, tombstones=9, jobs=9)[:1]
    monkeypatch.setattr("worklore.ops.retention.BATCH", 4)
    expire(chained.database, {}, rules=rules)
    verdict = chained.verify()
    assert (verdict.state, verdict.breaks, verdict.requests) == (State.intact, [], before + 3)


# --- sealed fields --------------------------------------------------------------------------------------------------


def renew(ctx: Context, key: uuid.UUID, sealed: bytes | None) -> None:
    ctx.session.get_one(Credential, key).password_encrypted = sealed


def of_sealed(chained: Chained, connection: Connection | None = None, **options: Any) -> list[tuple[str, str | None]]:
    verdict = chained.verify(connection, rows=True, **options)
    return [(broken.field, broken.id) for broken in verdict.breaks]


def test_a_row_put_back_to_an_older_ciphertext_is_found(everywhere: Chained) -> None:
    chained = everywhere
    write = chained.database.write
    keys = [write(lambda ctx: credential(ctx, b"first").id) for _ in range(3)]
    old, shredded, whole = keys
    write(partial(renew, key=old, sealed=b"second"))
    write(partial(renew, key=shredded, sealed=None))
    with chained.database.reading.connect() as connection:
        former = dict(connection.execute(select(CREDENTIALS).where(CREDENTIALS.c.id == whole)).mappings().one())
    write(partial(renew, key=whole, sealed=b"second"))
    write(partial(renew, key=whole, sealed=b"third"))
    verdict = chained.verify(rows=True)
    assert (verdict.state, verdict.undigested) == (State.intact, 0)
    assert verdict.sealed >= 3
    former.pop("id")
    with chained.database.writing.connect() as connection:
        for key, values in (
            (old, {"password_encrypted": b"first"}),
            (old, {"password_encrypted": b"never"}),
            (old, {"password_encrypted": None}),
            (shredded, {"password_encrypted": b"first"}),
            (whole, former),
        ):
            connection.execute(update(CREDENTIALS).where(CREDENTIALS.c.id == key).values(values))
            assert chained.verify(connection).breaks == []
            assert of_sealed(chained, connection) == [("password_encrypted", str(key))], values
            assert of_sealed(chained, connection, sample=10_000) == [("password_encrypted", str(key))], values
            connection.rollback()
        put_in = former | {"id": uuid7()}
        connection.execute(insert(CREDENTIALS), [put_in])
        assert of_sealed(chained, connection) == [("password_encrypted", str(put_in["id"]))]
        connection.rollback()
    assert of_sealed(chained, sample=1) == []


def test_what_was_written_before_there_were_digests_is_counted(chained: Chained) -> None:
    key = chained.database.write(lambda ctx: credential(ctx, b"first").id)
    chained.unguard()
    old = update(AuditEntry).where(AuditEntry.record_id == key).values(changed={"password_encrypted": "sealed"})
    chained.database.write(lambda ctx: ctx.session.connection().execute(unaudited(old, "as it was")) and None)
    assert chained.verify(rows=True).undigested == 1


def test_a_digest_covers_all_but_the_codes() -> None:
    assert {column.key for column in TOUCHES.c} - {column.key for column in covered(TOUCHES)} == CODES
