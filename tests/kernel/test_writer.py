import threading
import uuid
from concurrent.futures import Future

import pytest
from sqlalchemy import select

from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry
from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.kernel.transaction import Database, Operation
from worklore.work.tag import Tag


def unused() -> str:
    return f"writer-{uuid.uuid4().hex}"


def add(ctx: Context, name: str) -> uuid.UUID:
    tag = Tag(name=name)
    ctx.session.add(tag)
    ctx.session.flush()
    return tag.id


def add_and_fail(ctx: Context, name: str) -> uuid.UUID:
    add(ctx, name)
    raise ConflictError("on purpose")


def kept(database: Database, name: str) -> bool:
    with database.read(SYSTEM) as ctx:
        return ctx.session.scalar(select(Tag.id).where(Tag.name == name)) is not None


def test_a_unit_that_is_alone_and_fails_leaves_nothing(database: Database) -> None:
    name = unused()
    with pytest.raises(ConflictError):
        database.write(lambda ctx: add_and_fail(ctx, name))
    assert not kept(database, name)
    database.write(lambda ctx: add(ctx, name))
    assert kept(database, name)


def test_a_dry_run_that_is_alone_shows_its_result_and_leaves_nothing(database: Database) -> None:
    name = unused()
    shown = database.write(lambda ctx: add(ctx, name), Operation(dry_run=True))
    assert isinstance(shown, uuid.UUID)
    assert not kept(database, name)
    with database.read(SYSTEM) as ctx:
        assert ctx.session.scalar(select(AuditEntry.id).where(AuditEntry.record_id == shown)) is None


def test_units_that_share_a_commit_fail_each_for_itself(database: Database) -> None:
    names = [unused() for _ in range(12)]
    started, go = threading.Event(), threading.Event()

    def hold(_: Context) -> None:
        started.set()
        assert go.wait(10)

    holder = threading.Thread(target=database.write, args=(hold,))
    holder.start()
    assert started.wait(10)
    futures: list[Future[uuid.UUID]] = []

    def submit(place: int, name: str) -> None:
        work, dry_run = (add_and_fail, False) if place % 3 == 0 else (add, place % 3 == 1)
        futures.append(database.submit(lambda ctx: work(ctx, name), Operation(dry_run=dry_run)))

    for place, name in enumerate(names):  # on SQLite they wait behind the first and then share one commit
        submit(place, name)
    go.set()
    holder.join()
    for place, future in enumerate(futures):
        if place % 3 == 0:
            with pytest.raises(ConflictError):
                future.result(10)
        else:
            future.result(10)
    assert [kept(database, name) for name in names] == [place % 3 == 2 for place in range(len(names))]
