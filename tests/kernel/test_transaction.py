"""The unit of work on each database: all or nothing, again from its start, never lost."""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm.exc import StaleDataError

from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry, UnauditedWriteError, unaudited
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.sequence import take
from worklore.kernel.transaction import Database, Operation
from worklore.kernel.types import uuid7
from worklore.work.tag import Tag


def name() -> str:
    return f"unit-{uuid.uuid4().hex}"


def add(tag: str) -> Callable[[Context], uuid.UUID]:
    def work(ctx: Context) -> uuid.UUID:
        made = Tag(id=uuid7(), name=tag)
        ctx.session.add(made)
        ctx.session.flush()
        return made.id

    return work


def found(database: Database, *names: str) -> list[str]:
    with database.read(SYSTEM) as ctx:
        return sorted(ctx.session.scalars(select(Tag.name).where(Tag.name.in_(names))))


def test_an_exception_leaves_nothing_behind(database: Database) -> None:
    tag = name()

    def work(ctx: Context) -> None:
        key = add(tag)(ctx)
        raise ConflictError(str(key))

    with pytest.raises(ConflictError) as refused:
        database.write(work)
    assert found(database, tag) == []
    with database.read(SYSTEM) as ctx:
        entry = select(AuditEntry).where(AuditEntry.record_id == uuid.UUID(refused.value.detail))
        assert ctx.session.scalars(entry).all() == []
    database.write(add(tag))
    assert found(database, tag) == [tag]


def test_a_dry_run_gives_its_result_and_leaves_nothing(database: Database) -> None:
    tag = name()
    assert database.write(add(tag), Operation(dry_run=True)).version == 7
    assert found(database, tag) == []


def test_a_unit_that_lost_a_race_runs_again_from_its_start(database: Database) -> None:
    tag, runs = name(), []

    def work(ctx: Context) -> int:
        runs.append(1)
        add(tag)(ctx)
        if len(runs) < 3:
            raise StaleDataError("lost")
        return len(runs)

    assert database.write(work) == 3
    assert found(database, tag) == [tag]


def test_units_that_wait_share_a_commit_and_one_that_fails_harms_no_other(database: Database) -> None:
    good, bad = [name() for _ in range(40)], [name() for _ in range(10)]

    def fail(tag: str) -> Callable[[Context], None]:
        def work(ctx: Context) -> None:
            add(tag)(ctx)
            raise ConflictError("on purpose")

        return work

    def hopeless(ctx: Context) -> None:
        raise StaleDataError("always")

    with ThreadPoolExecutor(16) as threads:
        waiting = [threads.submit(database.write, add(tag)) for tag in good[:20]]
        failing = [threads.submit(database.write, fail(tag)) for tag in bad]
        lost = threads.submit(database.write, hopeless)
        waiting += [threads.submit(database.write, add(tag)) for tag in good[20:]]
        for future in waiting:
            future.result(timeout=60)
        for future in failing:
            with pytest.raises(ConflictError):
                future.result(timeout=60)
        with pytest.raises(Exception, match="busy"):
            lost.result(timeout=60)
    assert found(database, *good, *bad) == sorted(good)


class Collapse(BaseException):
    """What a library written in Rust raises when it panics."""


def test_a_unit_that_collapses_does_not_stop_the_writer(database: Database) -> None:
    def work(ctx: Context) -> None:
        raise Collapse

    with pytest.raises(Collapse):
        database.write(work)
    tag = name()
    database.submit(add(tag)).result(timeout=20)
    assert found(database, tag) == [tag]


def test_no_update_is_lost(api: httpx2.Client) -> None:
    key = api.post("/tags", json={"name": name()}).json()["id"]
    accepted: list[int] = []

    def change(worker: int) -> None:
        for _ in range(8):
            seen = api.get(f"/tags/{key}")
            answer = api.patch(f"/tags/{key}", json={"description": name()}, headers={"if-match": seen.headers["etag"]})
            if answer.status_code == 200:
                accepted.append(answer.json()["version"])
            else:
                assert answer.status_code == 412
                assert answer.json()["current"]["id"] == key

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(change, range(6)))
    assert len(accepted) == len(set(accepted)) == api.get(f"/tags/{key}").json()["version"] - 1
    assert accepted


def test_a_deadlock_is_resolved_by_running_again(database: Database) -> None:
    if database.is_sqlite:
        return  # one writer cannot deadlock
    one, two = database.write(add(name())), database.write(add(name()))
    both = threading.Barrier(2, timeout=20)
    runs: list[int] = []

    def crossing(first: uuid.UUID, second: uuid.UUID) -> None:
        met = False

        def work(ctx: Context) -> None:
            nonlocal met
            runs.append(1)
            for step, key in enumerate((first, second)):
                counted = update(Tag).where(Tag.id == key).values(usage_count=Tag.usage_count + 1)
                ctx.session.execute(unaudited(counted.execution_options(synchronize_session=False), "a test"))
                if step == 0 and not met:
                    met = True
                    both.wait()

        database.write(work)

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(crossing, one, two), threads.submit(crossing, two, one)]:
            future.result(timeout=60)
    assert len(runs) >= 3
    with database.read(SYSTEM) as ctx:
        assert list(ctx.session.scalars(select(Tag.usage_count).where(Tag.id.in_([one, two])))) == [2, 2]


def test_a_lock_that_is_waited_for_too_long_is_asked_for_again(database: Database) -> None:
    if database.is_sqlite:
        return  # it has one writer
    key = database.write(add(name()))
    held, attempts = threading.Event(), list[int]()
    shortly = {
        "postgresql": "SET LOCAL lock_timeout = '100ms'",
        "mariadb": "SET SESSION innodb_lock_wait_timeout = 1",
    }

    def hold() -> None:
        with database.writing.begin() as connection:
            connection.execute(select(Tag.id).where(Tag.id == key).with_for_update())
            held.set()
            end = time.monotonic() + 10
            while len(attempts) < 2 and time.monotonic() < end:
                time.sleep(0.01)

    def change(ctx: Context) -> None:
        attempts.append(1)
        ctx.session.connection().exec_driver_sql(shortly[database.dialect])
        ctx.session.get_one(Tag, key, with_for_update=True).description = "changed"

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        held.wait(10)
        try:
            database.write(change)
        finally:
            database.writing.dispose()  # none keeps the short wait
        holding.result(10)
    assert len(attempts) > 1


def test_a_file_kept_busy_by_another_program_is_waited_for(sqlite_hub: Any) -> None:
    database, tag = sqlite_hub.database, name()
    import sqlite3  # noqa: PLC0415 - this test alone plays another program

    other = sqlite3.connect(str(database._file()), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waiting = database.submit(add(tag))
    time.sleep(0.3)
    assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    waiting.result(timeout=20)
    assert found(database, tag) == [tag]


def test_a_commit_that_fails_is_never_answered_as_done(sqlite_hub: Any) -> None:
    tag, api = name(), sqlite_hub.owner()
    engine = sqlite_hub.database.writing

    def refuse(connection: Any) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk full"))

    from sqlalchemy import event  # noqa: PLC0415 - beside its use

    event.listen(engine, "commit", refuse)
    try:
        answer = api.post("/tags", json={"name": tag})
    finally:
        event.remove(engine, "commit", refuse)
    assert answer.status_code in {500, 503}
    assert found(sqlite_hub.database, tag) == []
    assert api.post("/tags", json={"name": tag}).status_code == 201


def test_a_thousand_failures_keep_no_connection(hub: Any, api: httpx2.Client) -> None:
    tag = name()
    engines = (hub.database.writing, hub.database.reading, hub.database.glancing)
    api.post("/tags", json={"name": tag})

    def fail(number: int) -> int:
        if number % 2:
            return api.post("/tags", json={"name": tag}).status_code
        return api.get(f"/tags/{uuid.uuid4()}").status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(fail, range(1000))) == {404, 409}
    deadline = time.monotonic() + 5  # the last answer leaves a moment before its connection is back
    while any(engine.pool.checkedout() for engine in engines) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [engine.pool.checkedout() for engine in engines] == [0, 0, 0]


def test_changes_behind_the_audit_are_refused(database: Database) -> None:
    for statement in (
        update(Tag).values(category="x"),
        insert(Tag).values(name=name()),
        text("DELETE FROM tags"),
    ):
        with pytest.raises(UnauditedWriteError):
            database.write(lambda ctx, statement=statement: ctx.session.execute(statement))


def test_the_order_of_numbers_is_the_order_of_commits(database: Database) -> None:
    """A slow transaction that takes its number first also commits first: nobody sees a later number before it."""
    series, order = name()[:60], []
    taken, go = threading.Event(), threading.Event()
    database.write(lambda ctx: take(ctx, series, 1))

    def slow(ctx: Context) -> int:
        number = take(ctx, series, 2)
        taken.set()
        go.wait(10)
        return number.stop - 1

    def quick(ctx: Context) -> int:
        return take(ctx, series, 1)[0]

    def run(work: Callable[[Context], int]) -> None:
        order.append(database.write(work))

    threads = [threading.Thread(target=run, args=(work,)) for work in (slow, quick)]
    threads[0].start()
    assert taken.wait(10)
    threads[1].start()
    time.sleep(0.2)
    assert order == []
    go.set()
    for thread in threads:
        thread.join(20)
    assert sorted(order) == [3, 4]

    def undone(ctx: Context) -> None:
        take(ctx, series, 5)
        raise ConflictError("undone")

    with pytest.raises(ConflictError):
        database.write(undone)
    assert database.write(quick) == 5
