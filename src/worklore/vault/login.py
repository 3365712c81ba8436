"""Credentials found by a login name that nobody opens: by its blind index."""

import uuid
from typing import Final

from sqlalchemy import select

from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.crud import visibility
from worklore.kernel.errors import NotFoundError
from worklore.kernel.wire import WireModel
from worklore.vault.credential import CREDENTIALS, Credential, SecretField
from worklore.vault.revealing import Given, HeldCredential
from worklore.vault.seal import vault_of

PART: Final = 500
"""Indexes that are looked for by one statement: one for each client."""


class Login(WireModel):
    """A login name, and whose it is when that is known."""

    login: Given
    client_id: uuid.UUID | None = None


class FoundCredentials(WireModel):
    """The credentials with a login, the oldest first; never a secret itself."""

    items: list[HeldCredential]


def find_login(ctx: ReadContext, body: Login) -> FoundCredentials:
    """Find the credentials of a login name that is kept sealed. Case and spaces around it do not matter.

    Only of clients that the caller may see.
    """
    seen = ctx.principal.clients
    if body.client_id is None:
        clients = seen
    elif seen is None or body.client_id in seen:
        clients = frozenset({body.client_id})
    else:
        raise NotFoundError(f"There is no client with the id {body.client_id}.", hint="List clients to find it.")
    indexes = vault_of(ctx).blind_indexes(ctx, clients, SecretField.login, body.login.get_secret_value())
    wanted = select(Credential)
    visible = visibility(CREDENTIALS, ctx.principal)
    if visible is not None:
        wanted = wanted.where(visible)
    found: list[Credential] = []
    for begin in range(0, len(indexes), PART):
        part = [index.hex() for index in indexes[begin : begin + PART]]
        found += ctx.session.scalars(wanted.where(Credential.login_index.in_(part)))
    return FoundCredentials(items=[HeldCredential.of(each) for each in sorted(found, key=lambda one: one.id)])


FIND_LOGIN: Final = Action(
    run=find_login, name="find-login", path="credentials/find-login", scope="credential:read", risk=Risk.read
)
