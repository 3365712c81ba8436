"""The vault's own secrets, known to a hub's process so that it can take them out of texts, and told to nobody.

What is held is not the secrets: of each form that a secret is looked for in, Python's keyed hash of its first eight
characters and a keyed digest of the whole, by a key that this process made and never writes down. It is brought up to
date before use, by what the tables say of themselves, and dropped when the vault is sealed.

Only a secret that is long and rare enough is looked for: it would else be found in ordinary words. :func:`tellable` is
the rule.
"""

import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from sqlalchemy import func, or_, select

from worklore.kernel.audit import AuditedSession
from worklore.kernel.context import DERIVED, READING, ReadContext
from worklore.vault.fields import Holder, column_of
from worklore.vault.seal import VAULT, Vault
from worklore_redact.exact import forms
from worklore_redact.fold import fold

KNOWN: Final = "known-secrets"
"""Where a session holds the known secrets of its hub."""

MAX_VALUES: Final = 50_000
"""Sealed values that are looked for; more are named in the log."""

BATCH: Final = 500
RECHECK_SECONDS: Final = 60.0
"""After this long, every record's version is compared, however little the tables seem to have changed."""

PREFIX: Final = 8
"""Characters by which a form is first recognised, and of the shortest secret that is looked for."""

DIFFERENT: Final = 5
LETTERS_ONLY: Final = 12
DIGITS_ONLY: Final = 12
LONG: Final = 512
PIECE: Final = 64
"""A form longer than ``LONG`` is looked for piece by piece, so that a look costs the same however long secrets are."""

NAMES: Final = ("username", "service_name", "external_url", "internal_url", "key", "integration_code")
"""Columns of a record whose value is no secret, even where somebody has made it the password too."""

Form = tuple[int, int, bytes]
"""Hash of the first characters, length, digest."""

log = structlog.get_logger()


def tellable(secret: str) -> bool:
    """Whether a secret can be told from ordinary text.

    It has at least eight characters, five of them different. One of letters alone has at least twelve, or it may be a
    word; one of digits alone at least twelve, or it may be a date or a number of anything.
    """
    text = secret.strip()
    if len(text) < PREFIX or len(set(text)) < DIFFERENT:
        return False
    if text.isalpha():
        return len(text) >= LETTERS_ONLY
    return not text.isdigit() or len(text) >= DIGITS_ONLY


class KnownSecrets:
    """The secrets of one database's vault, in one process."""

    def __init__(self, holders: Sequence[Holder[Any]]) -> None:
        self._holders = holders
        self._lock = threading.Lock()
        self._key = os.urandom(32)
        self._records: dict[tuple[str, uuid.UUID], tuple[int, tuple[Form, ...]]] = {}
        self._stamps: tuple[Any, ...] | None = None
        self._recheck = 0.0
        self._index: Mapping[int, Mapping[int, frozenset[bytes]]] = {}

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
        """The text with a mark in place of each secret of the vault that it holds, and how many these were."""
        index = self._index
        if not index or len(text) < PREFIX:
            return text, 0
        folded = fold(text)
        kept: list[str] = []
        count = done = 0
        for start, end in self._found(folded.text, index):
            first, last = folded.original(start, end)
            if first > done or not kept:
                count += 1
                kept += (text[done:first], mark)
            done = last
        return ("".join([*kept, text[done:]]), count) if kept else (text, 0)

    def _found(self, text: str, index: Mapping[int, Mapping[int, frozenset[bytes]]]) -> Iterator[tuple[int, int]]:
        places = [at for at in range(len(text) - PREFIX + 1) if hash(text[at : at + PREFIX]) in index]
        end = 0
        for at in places:
            if at < end:
                continue
            for length, digests in index[hash(text[at : at + PREFIX])].items():
                if at + length <= len(text) and self._digest(text[at : at + length]) in digests:
                    end = at + length
                    yield at, end
                    break

    def _drop(self) -> None:
        with self._lock:
            self._records, self._index, self._stamps = {}, {}, None

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
                    entries = tuple({form for secret in secrets for form in self._forms(secret)})
                    present[holder.model.__tablename__, record.id] = record.version, entries
                ctx.session.expunge_all()
        if present != self._records:
            self._index = _index(entries for _, entries in present.values())
            self._records = present
        return opened

    def _forms(self, secret: str) -> Iterator[Form]:
        for text in {secret, fold(secret).text, *_within(secret)}:
            if not tellable(text):
                continue
            for form in forms(text):
                try:
                    written = form.decode()
                except UnicodeDecodeError:
                    continue  # UTF-16 is no text
                if len(written) >= PREFIX and "\0" not in written:
                    for piece in _pieces(written):
                        yield hash(piece[:PREFIX]), len(piece), self._digest(piece)

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()


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


def _within(secret: str) -> Iterator[str]:
    """The password within a connection string."""
    try:
        password = urlsplit(secret).password if "://" in secret[:40] else None
    except ValueError:
        password = None
    if password:
        yield password
    found = re.search(r"(?:password|pwd)=([^;\s]{1,200})", secret[:4000], re.IGNORECASE)
    if found:
        yield found[1]


def _pieces(form: str) -> Iterator[str]:
    if len(form) <= LONG:
        yield form
        return
    for at in range(0, len(form) - PIECE, PIECE):
        yield form[at : at + PIECE]
    yield form[-PIECE:]


def _index(records: Iterable[tuple[Form, ...]]) -> Mapping[int, Mapping[int, frozenset[bytes]]]:
    """The forms by the hash of their beginning, then by length, the longest first."""
    grouped: dict[int, dict[int, set[bytes]]] = {}
    for entries in records:
        for beginning, length, digest in entries:
            grouped.setdefault(beginning, {}).setdefault(length, set()).add(digest)
    return {
        beginning: {length: frozenset(lengths[length]) for length in sorted(lengths, reverse=True)}
        for beginning, lengths in grouped.items()
    }


def known_secrets(ctx: ReadContext) -> KnownSecrets | None:
    """The known secrets of the hub that a unit of work belongs to; None for a process that has none."""
    found: KnownSecrets | None = ctx.session.info.get(KNOWN)
    return found
