"""Which hub's key a database was begun with: tokens, chains and second factors are made with it.

The database holds the public half. A hub that is started with another key would find every token unknown and break the
chains of the audit log, so it does not start, and nothing is written.
"""

import uuid
from pathlib import Path
from typing import Final

from sqlalchemy import func, inspect, select

from worklore.identity.keys import HubKey, load_key
from worklore.identity.token import ApiToken
from worklore.kernel.access import SYSTEM
from worklore.kernel.context import Context
from worklore.kernel.errors import UnavailableError
from worklore.kernel.transaction import Database
from worklore.kernel.types import uuid7
from worklore.vault.keys import KeyPurpose, KeyState, SigningKey

FILE: Final = "hub.key"
FIRST: Final = uuid.UUID("019a0000-0000-7000-8000-00000000000b")
"""The id of the first key's row: of two hubs that begin on one database at once, one finds that of the other."""

_KEY_ID: Final = select(SigningKey.key_id).where(
    SigningKey.purpose == KeyPurpose.token, SigningKey.state == KeyState.active
)


def require_own(database: Database, data: Path) -> None:
    """See that the key in the data folder, if there is one, is the one that the database knows, if it knows one.

    Raises:
        UnavailableError: it is another one, or its file cannot be used.
    """
    with database.writing.connect() as connection:
        if not inspect(connection).has_table(SigningKey.__tablename__):
            return
        known = connection.scalars(_KEY_ID).all()
    if known and (data / FILE).exists():
        _compare(list(known), load_key(data / FILE, create=False))


def load_own(database: Database, data: Path) -> HubKey:
    """The key of a database: a new one where none was begun with and no token was made.

    Raises:
        UnavailableError: the key is missing, or is not the one that the database knows.
    """
    with database.read(SYSTEM) as ctx:
        known = list(ctx.session.scalars(_KEY_ID))
        begun = known or ctx.session.scalar(select(func.count()).select_from(ApiToken))
    key = load_key(data / FILE, create=not begun)
    _compare(known, key)
    return key


def begin(ctx: Context, key: HubKey) -> None:
    """Let the database know the key; once.

    Raises:
        UnavailableError: another hub has begun on it with another key.
    """
    known = list(ctx.session.scalars(_KEY_ID))
    _compare(known, key)
    if not known:
        public = key.verifying.public_bytes_raw()
        row = SigningKey(
            id=FIRST, key_id=key.key_id, purpose=KeyPurpose.token, state=KeyState.active, public_key=public
        )
        ctx.session.add(row)


def replace(ctx: Context, key: HubKey) -> None:
    """Go on with another key: what was made with the former one, such as tokens, is void."""
    former = ctx.session.scalars(
        select(SigningKey).where(SigningKey.purpose == KeyPurpose.token, SigningKey.key_id != key.key_id)
    )
    for row in former:
        row.state = KeyState.retired
    own = ctx.session.scalars(select(SigningKey).where(SigningKey.key_id == key.key_id)).one_or_none()
    if own is None:
        own = SigningKey(
            id=uuid7(), key_id=key.key_id, purpose=KeyPurpose.token, public_key=key.verifying.public_bytes_raw()
        )
        ctx.session.add(own)
    own.state = KeyState.active


def _compare(known: list[str], key: HubKey) -> None:
    if known and key.key_id not in known:
        raise UnavailableError(
            f"The database was begun with the hub's key {known[0]}; this hub has {key.key_id}.",
            hint=f"Put the {FILE} that belongs to this database into the data folder, or name another database. "
            "If that key is lost for good, worklore audit accept-key goes on with this one.",
            code="key-foreign",
        )
