"""Who may do what with a restricted secret: the levels people are named with, and what each of them includes."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ForeignKey, Index, Select, UniqueConstraint, select
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.kernel.access import SYSTEM, Principal
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Record
from worklore.kernel.errors import ForbiddenError
from worklore.kernel.types import Line, utcnow, uuid7

if TYPE_CHECKING:
    from worklore.vault.credential import Credential


class PermissionLevel(StrEnum):
    """What a grant allows. ``read`` means all but the secret itself."""

    read = "read"
    use = "use"
    reveal = "reveal"
    edit = "edit"
    share = "share"
    rotate = "rotate"
    admin = "admin"


INCLUDES: Final[Mapping[PermissionLevel, frozenset[PermissionLevel]]] = {
    PermissionLevel.read: frozenset({PermissionLevel.read}),
    PermissionLevel.use: frozenset({PermissionLevel.read, PermissionLevel.use}),
    PermissionLevel.reveal: frozenset({PermissionLevel.read, PermissionLevel.use, PermissionLevel.reveal}),
    PermissionLevel.share: frozenset(
        {PermissionLevel.read, PermissionLevel.use, PermissionLevel.reveal, PermissionLevel.share}
    ),
    PermissionLevel.edit: frozenset({PermissionLevel.read, PermissionLevel.edit}),
    PermissionLevel.rotate: frozenset({PermissionLevel.read, PermissionLevel.rotate}),
    PermissionLevel.admin: frozenset(PermissionLevel),
}
"""What may be done at each level."""

MANAGE: Final = "credential-permission:write"
"""The scope of those who see what is known of every restricted credential and name who may do what with it."""


class CredentialPermission(Record):
    """A grant: what one user may do with one secret, where the secret is restricted to those named."""

    __tablename__ = "credential_permissions"
    __table_args__ = (
        UniqueConstraint("credential_id", "user_id"),
        Index(None, "credential_id"),
        Index(None, "user_id"),
    )

    credential_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("credentials.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(Line(255), doc="The id of the user.")
    permission_level: Mapped[PermissionLevel]
    granted_at: Mapped[datetime] = mapped_column(default=utcnow)
    granted_by: Mapped[str | None] = mapped_column(Line(255))

    # By its name, for the credential's own rules ask who is named.
    credential: Mapped[Any] = relationship("Credential", backref=backref("permissions", viewonly=True), viewonly=True)


def named_for(principal: Principal) -> Select[Any]:
    """The ids of the credentials that a principal, or the person behind it, is named for."""
    return select(CredentialPermission.credential_id).where(CredentialPermission.user_id == str(principal.user_id))


def level_of(ctx: ReadContext, credential: "Credential", user_id: uuid.UUID | None) -> PermissionLevel | None:
    """At which level a person is named for a credential; None when they are not."""
    wanted = select(CredentialPermission.permission_level).where(
        CredentialPermission.credential_id == credential.id, CredentialPermission.user_id == str(user_id)
    )
    return ctx.session.scalars(wanted).one_or_none()


def allows(ctx: ReadContext, credential: "Credential", user_id: uuid.UUID | None, right: PermissionLevel) -> bool:
    """True where roles alone decide, or the person is named at a level that includes the right."""
    if not credential.is_restricted:
        return True
    level = level_of(ctx, credential, user_id)
    return level is not None and right in INCLUDES[level]


def require_right(ctx: ReadContext, credential: "Credential", right: PermissionLevel) -> None:
    """Refuse what the caller's level does not include, where the credential is restricted.

    Raises:
        ForbiddenError: ``credential-permission``.
    """
    if credential.is_restricted:
        require_named(ctx, credential, right)


def require_named(ctx: ReadContext, credential: "Credential", right: PermissionLevel) -> None:
    """Refuse whoever is not named at a level that includes the right; agents and machines have that of their person.

    Raises:
        ForbiddenError: ``credential-permission``.
    """
    level = level_of(ctx, credential, ctx.principal.user_id)
    if ctx.principal is SYSTEM or (level is not None and right in INCLUDES[level]):
        return
    raise ForbiddenError(
        f"This credential is restricted, and you are not named for it with the right to {right}.",
        hint="Ask somebody who manages its permissions.",
        code="credential-permission",
        right=str(right),
    )


def require_shown(ctx: ReadContext) -> None:
    """Refuse to show a secret to whoever may be a program.

    Raises:
        ForbiddenError: ``person-needed``.
    """
    if not ctx.principal.sees_secrets:
        raise ForbiddenError(
            "A secret is shown to people, and this token may be in the hands of a program.",
            hint="Sign in with address, password and code. A machine's token uses secrets by a lease.",
            code="person-needed",
        )


def name_keeper(ctx: Context, credential: "Credential") -> None:
    """Name whoever restricts a credential as its admin, where they would not see it any more."""
    person = ctx.principal.user_id
    if person is None or ctx.principal.may(MANAGE) or level_of(ctx, credential, person) is not None:
        return
    ctx.session.add(
        CredentialPermission(
            id=uuid7(),
            credential_id=credential.id,
            user_id=str(person),
            permission_level=PermissionLevel.admin,
            granted_by=ctx.principal.actor,
            granted_at=ctx.now(),
        )
    )
