"""Who may do what with a secret."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.rules import is_new
from worklore.kernel.access import through
from worklore.kernel.context import Context
from worklore.kernel.db import Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, utcnow
from worklore.vault.credential import CREDENTIALS, Credential


class PermissionLevel(StrEnum):
    """What a grant allows. ``read`` means all but the secret itself."""

    read = "read"
    use = "use"
    reveal = "reveal"
    edit = "edit"
    share = "share"
    rotate = "rotate"
    admin = "admin"


class CredentialPermission(Record):
    """A grant: what one user may do with one secret."""

    __tablename__ = "credential_permissions"
    __table_args__ = (
        UniqueConstraint("credential_id", "user_id"),
        Index(None, "credential_id"),
        Index(None, "user_id"),
    )

    credential_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("credentials.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(Line(255))
    permission_level: Mapped[PermissionLevel]
    granted_at: Mapped[datetime] = mapped_column(default=utcnow)
    granted_by: Mapped[str | None] = mapped_column(Line(255))

    credential: Mapped[Credential] = relationship(backref=backref("permissions", viewonly=True), viewonly=True)


def check(ctx: Context, permission: CredentialPermission, before: Mapping[str, Any]) -> None:
    """Who grants, and when, is on the grant; another level is granted anew."""
    if is_new(permission) or "permission_level" in before:
        permission.granted_by = ctx.principal.actor
        permission.granted_at = ctx.now()


CREDENTIAL_PERMISSIONS = Resource(
    model=CredentialPermission,
    name="credential-permission",
    plural="credential-permissions",
    visible=through(CredentialPermission.credential_id, Credential, CREDENTIALS.visible),
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
