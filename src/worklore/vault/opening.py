"""How a hub opens its vault when it starts, and what it tells of it while it runs."""

import os
import socket
import threading
import uuid
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from queue import Empty
from typing import Final

import structlog
from sqlalchemy import delete, select

from worklore.kernel.access import SYSTEM
from worklore.kernel.audit import record_event, unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.nodes import HubNode
from worklore.kernel.transaction import Database, Operation
from worklore.kernel.types import uuid7
from worklore.vault.hierarchy import begin, first_key, installation_id, refusal
from worklore.vault.keyring import Keyring, write_keyring
from worklore.vault.seal import VAULT, Unreadable, Vault

HEARTBEAT_SECONDS: Final = 20
ALIVE_SECONDS: Final = 90
"""A node whose last heartbeat is older is taken for gone."""

FORGET_DAYS: Final = 7
POLL_SECONDS: Final = 0.5

log = structlog.get_logger()


def open_vault(database: Database, keyring: Keyring) -> Vault:
    """The vault of a database, where every unit of work finds it; sealed when the keys do not fit.

    A database that has no vault key yet takes the first of the keyring. Without one, a new key is written into the
    keyring's file, whose path is logged.
    """
    with database.read(SYSTEM) as ctx:
        first = first_key(ctx, keyring)
    made = None
    if first is not None:
        if keyring.file is not None and not keyring:
            # On the disk before the database knows of it: a key that only the database remembers opens nothing.
            write_keyring(keyring.file, [first])
            keyring = replace(keyring, keys={first.id: first})
            made = keyring.file
            log.info("vault-key-made", file=str(made), next="worklore keys export-kit")
        database.write(partial(begin, key=first))
    with database.read(SYSTEM) as ctx:
        vault = vault_on(ctx, keyring)
    if vault.refusal is not None:
        log.warning("vault-sealed", detail=vault.refusal().detail)
    vault.made = made
    database.provide(VAULT, vault)
    return vault


def vault_on(ctx: ReadContext, keyring: Keyring) -> Vault:
    """The vault of a database as these keys open it; it makes none."""
    return Vault(keyring, installation_id(ctx), refusal(ctx, keyring))


def live_nodes(ctx: ReadContext) -> list[HubNode]:
    """The hub's processes that share this database and run now."""
    since = ctx.now() - timedelta(seconds=ALIVE_SECONDS)
    return list(ctx.session.scalars(select(HubNode).where(HubNode.last_heartbeat > since).order_by(HubNode.name)))


class Watch:
    """A thread that tells the database which keys this process has, and writes down what did not open."""

    def __init__(self, database: Database, vault: Vault, version: str) -> None:
        self._database = database
        self._vault = vault
        self._version = version
        self._id = uuid7()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vault-watch", daemon=True)

    def start(self) -> None:
        """The first heartbeat is in the database when this returns."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Write down what is left, and leave the list of nodes."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.write_down()
        self._database.write(partial(_leave, node=self._id))

    def beat(self) -> None:
        """Say that this process lives, and which keys it has."""
        prints = sorted(key.fingerprint for key in self._vault.keyring)
        self._database.write(partial(_beat, node=self._id, version=self._version, prints=prints))

    def write_down(self) -> None:
        """Record in the audit log what did not open."""
        while True:
            try:
                failed = self._vault.unreadable.get_nowait()
            except Empty:
                return
            operation = Operation(failed.principal, failed.request_id)
            try:
                self._database.write(partial(_record, failed=failed), operation)
            except BaseException:
                self._vault.unreadable.put(failed)
                raise

    def _run(self) -> None:
        waited = 0.0
        while not self._ended.wait(POLL_SECONDS):
            waited += POLL_SECONDS
            try:
                self.write_down()
                if waited >= HEARTBEAT_SECONDS:
                    waited = 0.0
                    self.beat()
            except Exception as error:  # noqa: BLE001 - the database may be away for a while; the next round tries again
                log.warning("vault-watch", error=str(error))


def _record(ctx: Context, failed: Unreadable) -> None:
    facts = {name: str(value) for name, value in asdict(failed.place).items()}
    record_event(ctx, "open", failed.place.table, failed.place.record_id, facts, outcome="unreadable")


def _beat(ctx: Context, node: uuid.UUID, version: str, prints: list[str]) -> None:
    known = ctx.session.get(HubNode, node)
    if known is None:
        host = socket.gethostname()
        known = HubNode(id=node, name=f"{host[:60]}-{os.getpid()}-{node.hex[-12:]}", hostname=host)
        known.software_version = version
        ctx.session.add(known)
        long_gone = delete(HubNode).where(HubNode.last_heartbeat < ctx.now() - timedelta(days=FORGET_DAYS))
        ctx.session.execute(unaudited(long_gone, "nodes are no records"))
    known.key_fingerprints = prints
    known.last_heartbeat = ctx.now()


def _leave(ctx: Context, node: uuid.UUID) -> None:
    known = ctx.session.get(HubNode, node)
    if known is not None:
        ctx.session.delete(known)
