"""Naming people for a restricted credential, as a noun and as a verb of the credential."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select

from worklore.clients.rules import is_new
from worklore.identity.user import User
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import uuid7
from worklore.kernel.wire import WireModel
from worklore.vault.credential import Credential, through_credential
from worklore.vault.grant import MANAGE, CredentialPermission, PermissionLevel, require_right


class PersonToName(WireModel):
    """A person and what they may do with a credential from now on; null takes it back."""

    user_id: uuid.UUID
    permission_level: PermissionLevel | None


class NamedPerson(WireModel):
    """A person who is named for a credential, and what they may do with it."""

    user_id: str
    permission_level: PermissionLevel


class NamedPeople(WireModel):
    """Everybody who is named for a credential. It counts where the credential is restricted."""

    credential_id: uuid.UUID
    is_restricted: bool
    people: list[NamedPerson]


def check(ctx: Context, permission: CredentialPermission, before: Mapping[str, Any]) -> None:
    """It names a user who is there. Who grants, and when, is on the grant; another level is granted anew."""
    if is_new(permission):
        permission.user_id = _known(ctx, permission.user_id)
    if is_new(permission) or "permission_level" in before:
        permission.granted_by = ctx.principal.actor
        permission.granted_at = ctx.now()


def _known(ctx: Context, user_id: str) -> str:
    try:
        key = uuid.UUID(user_id)
    except ValueError:
        key = None
    if key is None or ctx.session.get(User, key) is None:
        raise InvalidError(f"user_id: there is no user with the id {user_id[:80]}.", field="user_id")
    return str(key)


def permit(ctx: Context, credential: Credential, body: PersonToName) -> NamedPeople:
    """Name a person for a credential, change their level, or take it back. For who is named as its admin."""
    if not ctx.principal.may(MANAGE):
        require_right(ctx, credential, PermissionLevel.admin)
        if not credential.is_restricted:
            ctx.principal.require(MANAGE)
    mine = select(CredentialPermission).where(CredentialPermission.credential_id == credential.id)
    known = ctx.session.scalars(mine.where(CredentialPermission.user_id == str(body.user_id))).one_or_none()
    if body.permission_level is None:
        if known is not None:
            ctx.session.delete(known)
    elif known is None:
        row = CredentialPermission(
            id=uuid7(),
            credential_id=credential.id,
            user_id=str(body.user_id),
            permission_level=body.permission_level,
        )
        check(ctx, row, {})
        ctx.session.add(row)
    elif known.permission_level is not body.permission_level:
        before = {"permission_level": known.permission_level}
        known.permission_level = body.permission_level
        check(ctx, known, before)
    ctx.session.flush()
    people = [
        NamedPerson(user_id=row.user_id, permission_level=row.permission_level)
        for row in ctx.session.scalars(mine.order_by(CredentialPermission.user_id))
    ]
    return NamedPeople(credential_id=credential.id, is_restricted=credential.is_restricted, people=people)


CREDENTIAL_PERMISSIONS = Resource(
    model=CredentialPermission,
    name="credential-permission",
    plural="credential-permissions",
    visible=through_credential(CredentialPermission.credential_id),
    guarded=True,
    filters=(
        CredentialPermission.credential_id,
        CredentialPermission.user_id,
        CredentialPermission.permission_level,
        CredentialPermission.granted_at,
        CredentialPermission.granted_by,
    ),
    search=(CredentialPermission.user_id,),
    columns=(
        CredentialPermission.credential_id,
        CredentialPermission.user_id,
        CredentialPermission.permission_level,
        CredentialPermission.granted_at,
    ),
    server_set=(CredentialPermission.granted_at, CredentialPermission.granted_by),
    fixed=(CredentialPermission.credential_id, CredentialPermission.user_id),
    check=check,
)

PERMIT: Final = Action(run=permit, name="permit", on="credential", scope="credential:permit", risk=Risk.write)
