"""The composition root: settings, database, surfaces and background work, put together here and nowhere else."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from threading import Thread
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from worklore.identity.containment import GUARD, WALL
from worklore.identity.keys import HUB_KEY, HubKey
from worklore.identity.setup import first_user, is_set_up, new_code
from worklore.identity.token import Authenticator
from worklore.identity.uses import Uses
from worklore.kernel.access import SYSTEM
from worklore.kernel.ballast import Ballast
from worklore.kernel.context import Context
from worklore.kernel.epoch import ensure_epoch
from worklore.kernel.errors import UnavailableError
from worklore.kernel.events import Subscriptions, deliver, pending, postpone
from worklore.kernel.idempotency import forget_expired
from worklore.kernel.jobs import Handler, Runner, ensure_repeating
from worklore.kernel.settings import Settings
from worklore.kernel.transaction import Database
from worklore.memory import figures, remembered, sweep, vector
from worklore.memory.compress import distil
from worklore.memory.embed import ModelUnavailableError, embedder
from worklore.memory.life.taint import clients_left, refuse_tainted
from worklore.memory.recollection import warm
from worklore.memory.trail.prices import PRICES
from worklore.memory.trail.prices import load as load_prices
from worklore.memory.warn import learn
from worklore.memory.warn.known import known_failures
from worklore.ops import audit_chain, audit_witness, backup_schedules, backups, hub_key, migrate
from worklore.ops.api_audit import Journal, Mover
from worklore.ops.backup import BackupType
from worklore.ops.dump import sqlite_file
from worklore.ops.retention import expire, kept
from worklore.ops.sealed_file import read_secret
from worklore.resources import CATALOG, HOLDERS
from worklore.surfaces import agents, audit, broker, connect, health, reference, rest, share, sign_in, sync
from worklore.surfaces.api_audit import ApiAudit, Bodies
from worklore.surfaces.dispatch import Dispatch, Front
from worklore.surfaces.headers import SafeHeaders
from worklore.surfaces.http import ANSWERS, BoundedHead, Faults, Gateway, on_error
from worklore.surfaces.openapi import install_openapi
from worklore.vault.keyring import Keyring, load_keyring
from worklore.vault.known import KNOWN, KnownSecrets
from worklore.vault.opening import Watch, open_vault
from worklore.vault.seal import Vault
from worklore.vault.share import KEEPER, ShareKeeper
from worklore.vault.share import PATH as SHARE

log = structlog.get_logger()

ROOT: Final = "/api/v1"
VERSION: Final = version("worklore")
DESCRIPTION: Final = "The record of work and the memory that people and their AI agents share."

SUBSCRIPTIONS: Final[Subscriptions] = {}
"""Who hears of which event."""

REPEATING: Final[Mapping[str, int]] = {
    "deliver-events": 30,
    "forget-idempotency-keys": 3600,
    "expire-records": 3600,
    "renew-statistics": 86_400,
    "learn": 15,
    "tidy-what-was-learned": 3600,
    "measure-learning": 3600,
    backup_schedules.JOB: backup_schedules.JOB_SECONDS,
    vector.JOB: vector.JOB_SECONDS,
    sweep.JOB: sweep.JOB_SECONDS,
    remembered.JOB: remembered.JOB_SECONDS,
}
"""Background jobs of the hub and the seconds between their runs."""


def deliver_events(database: Database, _: Mapping[str, Any]) -> None:
    """Deliver what waits in the outbox, one unit of work for each event."""
    with database.read(SYSTEM) as reading:
        waiting = pending(reading)
    for event in waiting:
        try:
            database.write(partial(deliver, event=event, subscriptions=SUBSCRIPTIONS))
        except Exception as error:  # noqa: BLE001 - one event that fails does not hold up the others
            database.write(partial(postpone, event=event, error=error))


def forget_keys(database: Database, _: Mapping[str, Any]) -> None:
    """Drop idempotency keys whose time is over."""
    database.write(forget_expired)


def count_rows(database: Database, _: Mapping[str, Any]) -> None:
    """Renew what the database knows of how its tables are filled."""
    database.renew_statistics()


HANDLERS: Final[Mapping[str, Handler]] = {
    "deliver-events": deliver_events,
    "forget-idempotency-keys": forget_keys,
    "renew-statistics": count_rows,
    vector.JOB: vector.embed_memory,
    sweep.JOB: sweep.job,
    remembered.JOB: remembered.index_records,
    "learn": learn.study_news,
    "tidy-what-was-learned": learn.tidy,
    "measure-learning": figures.measure,
}


@dataclass(slots=True)
class Hub:
    """A hub, put together. :meth:`close` takes it apart again."""

    settings: Settings
    database: Database
    gateway: Gateway
    runner: Runner
    requests: Mover
    uses: Uses
    witness: audit_chain.Witness
    vault: Vault
    watch: Watch
    warming: Thread
    app: ASGIApp

    def setup_code(self) -> str | None:
        """A one-time code for the first machine; None when the hub is set up already."""
        with self.database.read(SYSTEM) as ctx:
            if is_set_up(ctx):
                return None
        key = self.gateway.authenticator.key
        return self.database.write(lambda ctx: new_code(ctx, key, first_user(ctx))).code

    def close(self) -> None:
        """Finish what runs and let go of the database."""
        if self.warming.ident is not None:
            self.warming.join()  # a process must not end while the embedding model is being loaded
        self.runner.stop()
        self.requests.stop()
        self.uses.stop()
        self.watch.stop()
        self.witness.stop()
        self.database.close()


def build(settings: Settings, *, upgrade: bool = False) -> Hub:
    """Put a hub together on its database. An empty one is set up; an older one is upgraded if that is asked for.

    Raises:
        UnavailableError: the database, its schema, its folder or the key is not usable; the text says what to do.
    """
    distil.require(settings.distil)
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnavailableError(
            f"The folder {settings.data} cannot be made: {error.strerror}.", hint="Set WORKLORE_DATA to another folder."
        ) from error
    database = Database(settings.url)
    try:
        empty = migrate.state(database).is_empty
        audit_chain.join(database, settings.data)
        if upgrade or empty:
            secret = read_secret(settings.backup_key_file)
            saved = partial(backups.create, folder=settings.backups, type=BackupType.pre_migration, encrypt=secret)
            migrate.upgrade(database, backup=saved)
        migrate.require(database)
        key = hub_key.load_own(database, settings.data)
        database.provide(HUB_KEY, key)
        chains = audit_chain.chained(database, key, settings.data)
        database.write(partial(_prepare, key=key))
        vault = open_vault(database, keyring(settings))
        database.provide(KNOWN, KnownSecrets(HOLDERS))
        database.provide(KEEPER, ShareKeeper(key.sharing, settings.public_url))
        database.provide(GUARD, refuse_tainted)
        database.provide(WALL, clients_left)
        database.provide(PRICES, load_prices(settings.prices) if settings.prices else None)
        _reserve(database, settings)
        journal = Journal(settings.data / "api-audit", database.make_room)
    except BaseException:
        database.close()
        raise
    authenticator = Authenticator(key, all_need_second_factor=settings.second_factor == "vault")
    gateway = Gateway(database, authenticator)
    of_settings = {"expire-records": _expiry(settings), backup_schedules.JOB: _backups(settings)}
    runner = Runner(database, {**HANDLERS, **of_settings}, settings.job_threads)
    requests = Mover(database, journal)
    uses = Uses(database, authenticator)
    witness = audit_chain.Witness(database, key, chains, settings.data / audit_chain.CHECKPOINT_FILE)
    witness.testify(always=True)
    watch = Watch(database, vault, VERSION)

    warming = Thread(target=_warm, args=(database,), name="warm-memory", daemon=True)

    def start() -> None:
        watch.start()
        runner.start()
        requests.start()
        uses.start()
        witness.start()
        warming.start()

    behind, dispatch = create_app(gateway, settings, on_start=start, newest=lambda: witness.newest)
    answers = Faults(BoundedHead(Front(behind, dispatch, on_error)))
    app = SafeHeaders(ApiAudit(answers, journal, Bodies(ROOT, CATALOG)))
    return Hub(settings, database, gateway, runner, requests, uses, witness, vault, watch, warming, app)


def _reserve(database: Database, settings: Settings) -> None:
    """Keep some room beside a SQLite file for when the disk is full."""
    if database.is_sqlite and settings.ballast_mib:
        file = sqlite_file(database.url)
        database.ballast = Ballast(file.with_name(f"{file.name}.ballast"), settings.ballast_mib << 20)
        database.ballast.renew()


def keyring(settings: Settings) -> Keyring:
    """The vault's keys, from where the settings say."""
    given = settings.vault_keys.get_secret_value() if settings.vault_keys else None
    return load_keyring(
        settings.data / "keyring", file=settings.vault_keyring, keys=given, command=settings.vault_key_command
    )


def _backups(settings: Settings) -> Handler:
    return partial(backup_schedules.make_due, folder=settings.backups, key_file=settings.backup_key_file)


def _expiry(settings: Settings) -> Handler:
    rules = kept(
        api_audit=settings.keep_api_audit_days,
        injections=settings.keep_injections_days,
        events=settings.keep_events_days,
        tombstones=settings.keep_tombstones_days,
        jobs=settings.keep_jobs_days,
    )
    return partial(expire, rules=rules)


def _warm(database: Database) -> None:
    model = embedder()
    if isinstance(model, ModelUnavailableError):
        log.warning("recall goes by words alone", reason=str(model))
    with database.read(SYSTEM) as ctx:
        warm(ctx)
        known_failures(ctx).catch_up(ctx)


def _prepare(ctx: Context, key: HubKey) -> None:
    audit_witness.begin(ctx)
    hub_key.begin(ctx, key)
    ensure_epoch(ctx)
    for kind, seconds in REPEATING.items():
        ensure_repeating(ctx, kind, seconds)


def create_app(
    gateway: Gateway,
    settings: Settings,
    *,
    on_start: Callable[[], None] | None = None,
    newest: Callable[[], audit_chain.HandedOut | None] = lambda: None,
) -> tuple[FastAPI, Dispatch]:
    """The application, and the way past it. ``newest`` gives the last checkpoint of the audit."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        if on_start is not None:
            on_start()
        yield

    app = FastAPI(
        title="Worklore",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's page loads its script from another host
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        lifespan=lifespan,
    )
    for kind, handler in ANSWERS.items():
        app.add_exception_handler(kind, handler)
    app.include_router(health.routes(gateway, VERSION))
    access = timedelta(minutes=settings.access_minutes)
    app.include_router(sign_in.routes(gateway, access, timedelta(days=settings.token_days)), prefix=ROOT)
    app.include_router(connect.routes(gateway, f"{ROOT}/auth/setup-code"))
    app.include_router(agents.routes(gateway, newest), prefix=ROOT)
    app.include_router(sync.routes(gateway, newest), prefix=ROOT)
    app.include_router(audit.routes(gateway), prefix=ROOT)
    app.router.routes.extend(reference.routes("/api/docs"))
    app.include_router(broker.routes(gateway), prefix=ROOT)
    app.include_router(share.routes(gateway, f"{ROOT}{SHARE}"))
    derived = list(rest.operations(CATALOG, gateway))
    dispatch = Dispatch(ROOT, derived)
    app.router.routes.insert(0, dispatch)
    install_openapi(app, ROOT, derived, CATALOG)
    return app, dispatch


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document, made without a database."""
    database = Database.__new__(Database)
    app, _ = create_app(Gateway(database, Authenticator(HubKey(bytes(32)))), Settings())
    return app.openapi()
