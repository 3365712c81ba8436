"""The vault's own secrets, known to a hub's process so that it can take them out of texts, and told to nobody.

What is held is not the secrets but what a :class:`~worklore_redact.known.Matcher` keeps of them. It is brought up to
date before use, by what the tables say of themselves, and dropped when the vault is sealed.
"""

import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import structlog
from sqlalchemy import func, or_, select

from worklore.kernel.audit import AuditedSession
from worklore.kernel.context import DERIVED, READING, ReadContext
from worklore.vault.fields import Holder, column_of
from worklore.vault.seal import VAULT, Vault
from worklore_redact.known import Form, Matcher

KNOWN: Final = "known-secrets"
"""Where a session holds the known secrets of its hub."""

MAX_VALUES: Final = 50_000
"""Sealed values that are looked for; more are named in the log."""

BATCH: Final = 500
RECHECK_SECONDS: Final = 60.0
"""After this long, every record's version is compared, however little the tables seem to have changed."""

NAMES: Final = ("username", "service_name", "external_url", "internal_url", "key", "integration_code")
"""Columns of a record whose value is no secret, even where somebody has made it the password too."""

log = structlog.get_logger()


class KnownSecrets:
    """The secrets of one database's vault, in one process."""

    def __init__(self, holders: Sequence[Holder[Any]]) -> None:
        self._holders = holders
        self._lock = threading.Lock()
        self._matcher = Matcher()
        self._records: dict[tuple[str, uuid.UUID], tuple[int, tuple[Form, ...]]] = {}
        self._stamps: tuple[Any, ...] | None = None
        self._recheck = 0.0

    def __len__(self) -> int:
        """Records whose secrets are looked for."""
        return len(self._records)

    def refresh(self, ctx: ReadContext) -> int:
        """Take in what has changed in the vault; how many sealed values were opened. A sealed vault gives none."""
        vault: Vault | None = ctx.session.info.get(VAULT)
        if vault is None or vault.refusal is not None:
            self._drop()
            return 0
        stamps = tuple(_stamp(ctx, holder) for holder in self._holders)
        if stamps == self._stamps and time.monotonic() < self._recheck:
            return 0
        with self._lock:
            if stamps == self._stamps and time.monotonic() < self._recheck:
                return 0
            # Seen past the caller's unit of work: what that has not committed may be undone, and keys stay open so.
            info = {name: ctx.session.info[name] for name in (VAULT, DERIVED, READING)}
            with AuditedSession(ctx.session.info[READING], autoflush=False, info=info) as session:
                opened = self._read(ReadContext(session, ctx.principal), vault)
            self._stamps, self._recheck = stamps, time.monotonic() + RECHECK_SECONDS
        return opened

    def take_out(self, text: str, mark: str) -> tuple[str, int]:
        """As :meth:`Matcher.take_out`, of what the last refresh has found."""
        return self._matcher.take_out(text, mark)

    @property
    def clean(self) -> dict[str, None]:
        """As :attr:`Matcher.clean`, for what the last refresh has found."""
        return self._matcher.clean

    def _drop(self) -> None:
        with self._lock:
            self._records, self._stamps = {}, None
            self._matcher.look_for(())

    def _read(self, ctx: ReadContext, vault: Vault) -> int:
        present: dict[tuple[str, uuid.UUID], tuple[int, tuple[Form, ...]]] = {}
        changed: list[tuple[Holder[Any], uuid.UUID]] = []
        for holder in self._holders:
            table = holder.model.__tablename__
            for key, version in ctx.session.execute(
                select(holder.model.id, holder.model.version).where(_holding(holder)).order_by(holder.model.id.desc())
            ):
                known = self._records.get((table, key))
                if known is not None and known[0] == version:
                    present[table, key] = known
                else:
                    changed.append((holder, key))
        room = MAX_VALUES - len(present)
        if len(changed) > room:
            log.warning("secrets are not looked for in texts", beyond=MAX_VALUES, left_out=len(changed) - room)
        opened = 0
        for holder, keys in _by_holder(changed[:room]):
            for start in range(0, len(keys), BATCH):
                rows = select(holder.model).where(holder.model.id.in_(keys[start : start + BATCH]))
                for record in ctx.session.scalars(rows):
                    secrets = list(_secrets(ctx, vault, holder, record))
                    opened += len(secrets)
                    entries = tuple({form for secret in secrets for form in self._matcher.forms(secret)})
                    present[holder.model.__tablename__, record.id] = record.version, entries
                ctx.session.expunge_all()
        if present != self._records:
            self._matcher.look_for(entries for _, entries in present.values())
            self._records = present
        return opened


def _stamp(ctx: ReadContext, holder: Holder[Any]) -> tuple[Any, ...]:
    """What moves whenever a record that holds secrets is made, changed or deleted, almost always."""
    model = holder.model
    return tuple(ctx.session.execute(select(func.count(), func.sum(model.version), func.max(model.updated_at))).one())


def _holding(holder: Holder[Any]) -> Any:
    return or_(*(column.is_not(None) for column in holder.columns))


def _by_holder(changed: Iterable[tuple[Holder[Any], uuid.UUID]]) -> Iterator[tuple[Holder[Any], list[uuid.UUID]]]:
    grouped: dict[str, tuple[Holder[Any], list[uuid.UUID]]] = {}
    for holder, key in changed:
        grouped.setdefault(holder.model.__tablename__, (holder, []))[1].append(key)
    yield from grouped.values()


def _secrets(ctx: ReadContext, vault: Vault, holder: Holder[Any], record: Any) -> Iterator[str]:
    """What a record holds and can be opened, but for login names and for what stands beside it in clear."""
    named = {str(value).casefold() for name in NAMES if (value := getattr(record, name, None))}
    for field in holder.held(record):
        if field in holder.indexed:
            continue
        secret = vault.quietly(ctx, getattr(record, column_of(field)), holder.place(record, field))
        if secret is not None and secret.reveal().strip().casefold() not in named:
            yield secret.reveal()


def known_secrets(ctx: ReadContext) -> KnownSecrets | None:
    """The known secrets of the hub that a unit of work belongs to; None for a process that has none."""
    found: KnownSecrets | None = ctx.session.info.get(KNOWN)
    return found
