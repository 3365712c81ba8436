"""What is noted beside the record goes after its days, and nothing else; who asks too late for deletions is told."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.engine import URL

from worklore.identity.limit import RateLimit
from worklore.identity.refresh import RefreshFamily, RefreshToken
from worklore.identity.token import ApiToken, SetupCode
from worklore.identity.user import User
from worklore.kernel import crud
from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import AuditEntry, Tombstone, forgotten
from worklore.kernel.context import Context
from worklore.kernel.errors import BadRequestError
from worklore.kernel.events import OutboxEvent
from worklore.kernel.jobs import Job, JobState
from worklore.kernel.query import understand
from worklore.kernel.transaction import Database
from worklore.kernel.types import iso, utcnow, uuid7
from worklore.memory.injection import Injection
from worklore.ops.api_audit import ApiAuditEntry
from worklore.ops.retention import BATCH, SIGN_IN_DAYS, TOKEN_DAYS, expire, kept
from worklore.work.session import WorkSession
from worklore.work.tag import TAGS

DAYS = 10
OLD = utcnow() - timedelta(days=DAYS, minutes=1)
NEW = utcnow() - timedelta(days=DAYS - 1)


@pytest.fixture
def own(schema_url: URL) -> Iterator[Database]:
    database = Database(schema_url)
    yield database
    database.close()


def id_of(moment: datetime) -> uuid.UUID:
    """An id as it would have been made at a time."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | uuid7().int & ((1 << 80) - 1))


def rows(moment: datetime, session: uuid.UUID, count: int) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Rows of that time in each table that forgets."""
    ended = {"kind": "x", "payload": {}, "run_after": moment, "created_at": moment, "ended_at": moment}
    event = {"event": "x", "key": "x", "payload": {}, "created_at": moment, "next_attempt_at": moment}
    told = {"session_id": session, "event": "x", "source_uuid": "x", "why": "x", "tokens": 1, "created_at": moment}
    each: list[tuple[Any, list[dict[str, Any]]]] = [
        (ApiAuditEntry, [{"user_id": "x", "endpoint": "/", "timestamp": moment}] * count),
        (Injection, [told]),
        (OutboxEvent, [event | {"delivered_at": moment}, event | {"delivered_at": None}]),
        (Tombstone, [{"table_name": "tags", "record_id": uuid7(), "client_id": None, "deleted_at": moment}]),
        (Job, [ended | {"state": state, "key": None} for state in (JobState.done, JobState.failed)]),
        (Job, [ended | {"state": JobState.cancelled, "key": f"kept-{moment}"}]),
        (Job, [ended | {"state": JobState.pending, "key": None, "ended_at": None}]),
    ]
    return [(model, [row | {"id": id_of(moment)} for row in made]) for model, made in each]


def test_only_what_is_old_goes_in_batches_that_are_audited(own: Database) -> None:
    session = WorkSession(id=uuid7(), session_title="x")

    def fill(ctx: Context) -> None:
        ctx.session.add(session)
        ctx.session.flush()
        for model, made in rows(OLD, session.id, BATCH + 1) + rows(NEW, session.id, 3):
            ctx.session.connection().execute(insert(model), made)

    own.write(fill)
    rules = kept(api_audit=DAYS, injections=DAYS, events=DAYS, tombstones=DAYS, jobs=DAYS)
    for _ in range(2):
        expire(own, {}, rules=rules)
    models: list[Any] = [ApiAuditEntry, Injection, OutboxEvent, Tombstone, Job]
    with own.read(SYSTEM) as ctx:
        left = {model.__tablename__: ctx.session.scalar(select(func.count(model.id))) for model in models}
    assert left == {"api_audit_log": 3, "injections": 1, "outbox_events": 3, "tombstones": 1, "jobs": 6}
    with own.read(SYSTEM) as ctx:
        entries = ctx.session.scalars(select(AuditEntry).where(AuditEntry.action == "expire")).all()
        jobs = ctx.session.scalars(select(Job)).all()
    told = sorted((entry.table_name, entry.changed["count"]) for entry in entries)
    batches = [("api_audit_log", 1), ("api_audit_log", BATCH)]
    assert told == [*batches, ("injections", 1), ("jobs", 2), ("outbox_events", 1), ("tombstones", 1)]
    assert sorted((job.state, job.created_at < NEW - timedelta(hours=1)) for job in jobs) == [
        (JobState.cancelled, False),
        (JobState.cancelled, True),
        (JobState.done, False),
        (JobState.failed, False),
        (JobState.pending, False),
        (JobState.pending, True),
    ]


def test_what_let_somebody_in_goes_after_it_has_ended(own: Database) -> None:
    now = utcnow()
    user = User(id=uuid7(), email="kim@example.com", name="Kim")
    ended = {"sign-in": now - timedelta(days=SIGN_IN_DAYS, hours=1), "token": now - timedelta(days=TOKEN_DAYS, hours=1)}
    lately, later = now - timedelta(days=1), now + timedelta(days=1)

    def family(ends: datetime, revoked: datetime | None = None) -> list[Any]:
        own_id = uuid7()
        each = {"user_id": user.id, "generation": 1, "expires_at": later, "idle_expires_at": ends}
        hashes = [uuid7().hex * 2 for _ in range(2)]
        return [
            RefreshFamily(id=own_id, revoked_at=revoked, **each),
            *(RefreshToken(id=uuid7(), family_id=own_id, token_hash=text) for text in hashes),
        ]

    def token(ends: datetime, revoked: datetime | None = None) -> ApiToken:
        about = {"kind": "user", "hint": "wl_x", "scopes": [], "user_id": user.id, "generation": 1}
        return ApiToken(id=uuid7(), token_hash=uuid7().hex * 2, expires_at=ends, revoked_at=revoked, **about)

    def code(ends: datetime) -> SetupCode:
        return SetupCode(id=uuid7(), code_hash=uuid7().hex * 2, user_id=user.id, expires_at=ends)

    def limit(ends: datetime) -> RateLimit:
        return RateLimit(id=uuid7(), bucket="x", subject=uuid7().hex, window_started_at=now, expires_at=ends)

    def fill(ctx: Context) -> None:
        ctx.session.add(user)
        ctx.session.flush()
        families = [family(ended["sign-in"]), family(later, ended["sign-in"]), family(lately), family(later, lately)]
        for made in (*families, family(later)):
            ctx.session.add(made[0])
            ctx.session.flush()
            ctx.session.add_all(made[1:])
        ctx.session.add_all(
            [token(ended["token"]), token(later, ended["token"]), token(ended["sign-in"]), token(later)]
        )
        ctx.session.add_all([code(ended["sign-in"]), code(lately), limit(lately), limit(later)])

    own.write(fill)
    for _ in range(2):
        expire(own, {}, rules=kept(api_audit=1, injections=1, events=1, tombstones=1, jobs=1))
    models: list[Any] = [RefreshFamily, RefreshToken, ApiToken, SetupCode, RateLimit]
    with own.read(SYSTEM) as ctx:
        left = [ctx.session.scalar(select(func.count(model.id))) for model in models]
        entries = ctx.session.scalars(select(AuditEntry).where(AuditEntry.action == "expire")).all()
    assert left == [3, 6, 2, 1, 1]
    gone = {entry.table_name: entry.changed["count"] for entry in entries}
    assert gone == {"refresh_families": 2, "refresh_tokens": 4, "api_tokens": 2, "setup_codes": 1, "rate_limits": 1}
    assert len(entries) == len(gone)


def deleted(database: Database, since: datetime) -> int:
    with database.read(SYSTEM) as ctx:
        page = crud.list_(ctx, TAGS, understand(TAGS, [("since", iso(since))]))
    assert page.deleted is not None
    return len(page.deleted)


def test_who_asks_for_deletions_that_are_forgotten_is_told_to_read_anew(own: Database) -> None:
    def fill(ctx: Context) -> None:
        for moment in (OLD, NEW):
            made = {"id": id_of(moment), "table_name": "tags", "record_id": uuid7(), "deleted_at": moment}
            ctx.session.connection().execute(insert(Tombstone), [made])

    own.write(fill)
    assert [deleted(own, OLD), deleted(own, OLD - timedelta(days=1)), deleted(own, NEW)] == [2, 2, 1]
    expire(own, {}, rules=kept(api_audit=1, injections=1, events=1, tombstones=DAYS, jobs=1))
    with own.read(SYSTEM) as ctx:
        assert forgotten(ctx) == OLD
    for since in (OLD, OLD - timedelta(days=1), datetime(2001, 1, 1, tzinfo=UTC)):
        with pytest.raises(BadRequestError) as refused:
            deleted(own, since)
        assert refused.value.code == "since-too-old"
    assert deleted(own, OLD + timedelta(microseconds=1)) == 1


def test_all_deletions_are_told_or_none(sqlite_hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crud, "MAX_TOMBSTONES", 3)
    own, later = sqlite_hub.database, utcnow() + timedelta(days=1)
    made = [{"id": uuid7(), "table_name": "tags", "record_id": uuid7(), "deleted_at": later} for _ in range(4)]
    own.write(lambda ctx: ctx.session.connection().execute(insert(Tombstone), made[:3]) and None)
    assert deleted(own, later) == 3
    own.write(lambda ctx: ctx.session.connection().execute(insert(Tombstone), made[3:]) and None)
    with pytest.raises(BadRequestError):
        deleted(own, later)
