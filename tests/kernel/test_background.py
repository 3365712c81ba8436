"""Jobs and events on each database: leased, repeated, delivered after the commit and never without it."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.events import OutboxEvent, deliver, emit, pending, postpone
from worklore.kernel.jobs import LEASE, Job, JobState, Runner, claim, enqueue, ensure_repeating, may_end, settle
from worklore.kernel.transaction import Database
from worklore.kernel.types import utcnow


def kind() -> str:
    return f"kind-{uuid.uuid4().hex[:12]}"


def job(database: Database, key: uuid.UUID) -> Job:
    with database.read(SYSTEM) as ctx:
        return ctx.session.get_one(Job, key)


def age(database: Database, key: uuid.UUID, **values: Any) -> None:
    moved = update(Job).where(Job.id == key).values(**values).execution_options(synchronize_session=False)
    database.write(lambda ctx: ctx.session.execute(unaudited(moved, "a test moves time")) and None)


def test_each_job_is_carried_out_once_by_whoever_is_quicker(database: Database) -> None:
    name, done = kind(), []
    for number in range(12):
        database.write(lambda ctx, number=number: enqueue(ctx, name, {"number": number}))
    handlers = {name: lambda _, payload: done.append(payload["number"])}
    runners = [Runner(database, handlers, 1) for _ in range(4)]

    def work(runner: Runner) -> None:
        while runner.run_one():
            pass

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, runners))
    assert sorted(done) == list(range(12))


def test_a_lost_lease_is_taken_over_and_its_holder_changes_nothing(database: Database) -> None:
    name = kind()
    key = database.write(lambda ctx: enqueue(ctx, name, {}))
    first = database.write(lambda ctx: claim(ctx, "one", frozenset({name})))
    assert first is not None
    assert database.write(lambda ctx: claim(ctx, "two", frozenset({name}))) is None
    age(database, key, lease_expires_at=utcnow() - timedelta(seconds=1))
    second = database.write(lambda ctx: claim(ctx, "two", frozenset({name})))
    assert second is not None
    assert (second.attempt, second.lease_owner) == (2, "two")
    assert second.lease_expires_at > utcnow() + LEASE / 2
    database.write(lambda ctx: settle(ctx, first, None))
    assert job(database, key).state is JobState.running
    database.write(lambda ctx: settle(ctx, second, None))
    assert job(database, key).state is JobState.done


def test_a_job_longer_than_its_lease_is_not_taken_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worklore.kernel.jobs.LEASE", timedelta(seconds=0.6))
    name, took_over = kind(), []

    def work(_: Database, __: Any) -> None:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            took_over.append(database.write(lambda ctx: claim(ctx, "other", frozenset({name}))))
            time.sleep(0.1)

    key = database.write(lambda ctx: enqueue(ctx, name, {}))
    assert Runner(database, {name: work}, 1).run_one()
    assert set(took_over) == {None}
    row = job(database, key)
    assert (row.state, row.attempt, row.lease_expires_at) == (JobState.done, 1, None)


def test_a_long_job_ends_between_its_parts_and_goes_on_after_the_next_start(database: Database) -> None:
    name, parts = kind(), []
    begun = threading.Event()

    def work(_: Database, __: Any) -> None:
        while len(parts) < 3 or not second:
            parts.append(1)
            begun.set()
            time.sleep(0.01)
            may_end()

    second: list[Runner] = []
    key = database.write(lambda ctx: enqueue(ctx, name, {}))
    first = Runner(database, {name: work}, 1)
    first.start()
    assert begun.wait(20)
    first.stop()  # which would wait for ever for what never ends
    left = job(database, key)
    assert (left.state, left.attempt, left.error, left.lease_owner) == (JobState.pending, 0, None, None)
    second.append(Runner(database, {name: work}, 1))
    assert second[0].run_one()
    assert job(database, key).state is JobState.done
    assert len(parts) >= 3


def test_workers_that_never_began_can_be_stopped(sqlite_hub: Any) -> None:
    Runner(sqlite_hub.database, {}, 2).stop()


def test_a_handler_that_fails_backs_off_and_ends(database: Database) -> None:
    name, waits = kind(), []

    def fail(_: Database, __: Any) -> None:
        raise ValueError("on purpose")

    key = database.write(lambda ctx: enqueue(ctx, name, {}))
    runner = Runner(database, {name: fail}, 1)
    for _ in range(10):
        assert runner.run_one()
        row = job(database, key)
        waits.append((row.run_after - utcnow()).total_seconds())
        assert row.error == "ValueError: on purpose"
        assert not runner.run_one()
        age(database, key, run_after=utcnow() - timedelta(seconds=1))
    assert waits[0] > 0.5
    assert waits[5] > 10 * waits[0]
    assert job(database, key).state is JobState.failed
    assert not runner.run_one()


def test_a_repeating_job_exists_once(database: Database) -> None:
    name = kind()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: database.write(lambda ctx: ensure_repeating(ctx, name, 60)), range(4)))
    ran: list[int] = []
    runner = Runner(database, {name: lambda *_: ran.append(1)}, 1)
    assert runner.run_one()
    assert not runner.run_one()
    with database.read(SYSTEM) as ctx:
        (row,) = ctx.session.scalars(select(Job).where(Job.kind == name))
    assert (row.state, row.attempt, ran) == (JobState.pending, 0, [1])
    assert 50 < (row.run_after - utcnow()).total_seconds() < 61


def test_an_event_is_delivered_after_the_commit_and_not_at_all_without_it(database: Database) -> None:
    name, heard = kind(), []

    def undone(ctx: Context) -> None:
        emit(ctx, name, "undone", {})
        raise ConflictError("undone")

    with pytest.raises(ConflictError):
        database.write(undone)
    database.write(lambda ctx: emit(ctx, name, "done", {"ß": [1]}))

    def mine() -> list[Any]:
        with database.read(SYSTEM) as ctx:
            return [event for event in pending(ctx) if event.name == name]

    (event,) = mine()
    assert (event.key, event.payload) == ("done", {"ß": [1]})

    def stumble(ctx: Context, event: Any) -> None:
        heard.append(event.key)
        if len(heard) == 1:
            raise ValueError("the first time")

    with pytest.raises(ValueError, match="the first time") as failure:
        database.write(lambda ctx: deliver(ctx, event, {name: (stumble,)}))
    database.write(lambda ctx: postpone(ctx, event, failure.value))
    assert mine() == []
    sooner = update(OutboxEvent).where(OutboxEvent.id == event.id).values(next_attempt_at=utcnow())
    sooner = sooner.execution_options(synchronize_session=False)
    database.write(lambda ctx: ctx.session.execute(unaudited(sooner, "a test moves time")) and None)
    assert [waiting.id for waiting in mine()] == [event.id]
    database.write(lambda ctx: deliver(ctx, event, {name: (stumble,)}))
    assert heard == ["done", "done"]
    assert mine() == []
