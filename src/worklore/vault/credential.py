"""Secrets of clients, sealed field by field, and the record of who touched them."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, and_, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Mapped, backref, mapped_column, relationship

from worklore.clients.client import Client
from worklore.clients.ownership import one_client
from worklore.clients.rules import is_new
from worklore.kernel.access import Principal, Visibility, by_client
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import READ_ONLY, Resource, Verb
from worklore.kernel.types import Line, column, utcnow, uuid7
from worklore.vault.fields import Holder, column_of
from worklore.vault.grant import MANAGE, PermissionLevel, name_keeper, named_for, require_named
from worklore.vault.target import host_and_port


class CredentialType(StrEnum):
    """What sort of secret it is."""

    password = "password"  # noqa: S105 - the name of a kind
    api_key = "api_key"
    oauth = "oauth"
    ssh_key = "ssh_key"
    shared_secret = "shared_secret"  # noqa: S105 - the name of a kind
    jwt = "jwt"
    connection_string = "connection_string"
    certificate = "certificate"
    totp = "totp"


class SecretField(StrEnum):
    """A secret that a credential may hold."""

    login = "login"
    password = "password"  # noqa: S105 - the name of a field
    api_key = "api_key"
    client_secret = "client_secret"  # noqa: S105 - the name of a field
    token = "token"  # noqa: S105 - the name of a field
    connection_string = "connection_string"
    totp_seed = "totp_seed"

    @property
    def column(self) -> str:
        """The attribute of a credential that holds it sealed."""
        return column_of(self)


class CredentialAction(StrEnum):
    """What was done with a secret. Using one does not show it; revealing it does."""

    view = "view"
    create = "create"
    update = "update"
    delete = "delete"
    rotate = "rotate"
    decrypt = "decrypt"
    use = "use"
    reveal = "reveal"
    share = "share"


class Credential(Stamped, Record):
    """A secret of a client, sealed: what it opens and for whom is shown, the secret itself never."""

    __tablename__ = "credentials"
    __table_args__ = (
        CheckConstraint("custom_port BETWEEN 1 AND 65535", name="port"),
        *(Index(None, name) for name in ("client_id", "service_id", "infrastructure_id", "credential_type")),
        Index(None, "login_index"),
    )

    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    service_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("services.id", ondelete="CASCADE"))
    infrastructure_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("infrastructure.id", ondelete="CASCADE"))
    credential_type: Mapped[CredentialType]
    service_name: Mapped[str] = mapped_column(Line(255))
    username: Mapped[str | None] = mapped_column(Line(255))
    login_encrypted: Mapped[bytes | None] = mapped_column(
        info={"sealed": True}, doc="A login name that is not to lie in clear, as username does."
    )
    login_index: Mapped[str | None] = mapped_column(
        Line(64), info={"sealed": True}, doc="HMAC-SHA256 of the login, by a key of the client: finds it unopened."
    )
    password_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    api_key_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    client_id_oauth: Mapped[str | None] = mapped_column(Line(255))
    client_secret_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    tenant_id_oauth: Mapped[str | None] = mapped_column(Line(255))
    token_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    connection_string_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    totp_seed_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    key_id: Mapped[str] = mapped_column(Line(64), doc="The key that seals it.")
    integration_code: Mapped[str | None] = mapped_column(Line(100))
    external_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    internal_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    custom_port: Mapped[int | None] = mapped_column(info={"form": "port"})
    expires_at: Mapped[datetime | None]
    last_rotated_at: Mapped[datetime | None]
    requires_vpn: Mapped[bool] = column(default=False)
    requires_2fa: Mapped[bool] = column(default=False)
    is_active: Mapped[bool] = column(default=True)
    is_restricted: Mapped[bool] = column(
        default=False, doc="Only those named for it know of it; otherwise roles decide."
    )
    allowed_hosts: Mapped[list[str] | None] = mapped_column(
        info={"example": ["api.example.com", "192.0.2.10:8443"]},
        doc="Where the hub may send it beside the hosts of its URLs: host, or host:port.",
    )

    client: Mapped[Client | None] = relationship(backref=backref("credentials", viewonly=True), viewonly=True)
    # By name, for vault and estate do not import each other: a Service, and an Infrastructure.
    service: Mapped[Any] = relationship("Service", backref=backref("credentials", viewonly=True), viewonly=True)
    infrastructure: Mapped[Any] = relationship(
        "Infrastructure", backref=backref("credentials", viewonly=True), viewonly=True
    )

    @property
    def holds(self) -> list[SecretField]:
        """Which secrets it holds."""
        return CREDENTIAL_SECRETS.held(self)


CREDENTIAL_SECRETS: Final = Holder(Credential, SecretField, frozenset({SecretField.login}))


class CredentialAuditLog(Base):
    """An entry of the record of who touched which secret, when and how. It is never changed."""

    __tablename__ = "credential_audit_log"
    __table_args__ = tuple(Index(None, name) for name in ("credential_id", "user_id", "timestamp"))
    audited = False
    witnessed = True

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    credential_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("credentials.id", ondelete="RESTRICT"))
    action: Mapped[CredentialAction]
    user_id: Mapped[str] = mapped_column(Line(255))
    ip_address: Mapped[str | None] = mapped_column(Line(45), info={"form": "ip"})
    user_agent: Mapped[str | None]
    session_ref: Mapped[uuid.UUID | None] = mapped_column(doc="The work session; no key, for it outlives the session.")
    details: Mapped[dict[str, Any] | None]
    prev_hmac: Mapped[str | None] = mapped_column(Line(64), doc="The code of the audit entry before its own.")
    row_hmac: Mapped[str | None] = mapped_column(
        Line(64), doc="The code of the audit entry that holds this row's digest; None in older rows."
    )
    timestamp: Mapped[datetime] = mapped_column(default=utcnow)

    credential: Mapped[Credential | None] = relationship(backref=backref("audit_log", viewonly=True), viewonly=True)


_of_client: Visibility = by_client(Credential.client_id)


def seen(principal: Principal) -> ColumnElement[bool]:
    """Credentials of clients that are seen; restricted ones by those named for them and by who names people."""
    if principal.may(MANAGE):
        return _of_client(principal)
    named = or_(Credential.is_restricted.is_(False), Credential.id.in_(named_for(principal)))
    return and_(_of_client(principal), named)


def through_credential(column: InstrumentedAttribute[Any]) -> Visibility:
    """Rows whose credential, named by a foreign key, is seen."""

    def visible(principal: Principal) -> ColumnElement[bool]:
        if principal.clients is None and principal.may(MANAGE):
            return true()
        return column.in_(select(Credential.id).where(seen(principal)))

    return visible


def check(ctx: Context, credential: Credential, before: Mapping[str, Any]) -> None:
    """What it opens is its client's, and what is sealed for one client opens for no other.

    Whoever changes one that is restricted is named for it; whether it is, is for those who name people as well.
    """
    if not is_new(credential):
        _may_change(ctx, credential, before)
    _check_hosts(credential)
    owner = credential.client_id
    one_client(ctx, credential, before)
    if credential.holds and credential.client_id != owner and not is_new(credential):
        raise InvalidError(
            "It names a record of a client, and its secrets are sealed for the installation.",
            hint="Store the credential anew for that client, and shred this one.",
            field=next(iter(before)),
        )


def _may_change(ctx: Context, credential: Credential, before: Mapping[str, Any]) -> None:
    if not before.get("is_restricted", credential.is_restricted):
        if credential.is_restricted:
            name_keeper(ctx, credential)
        return
    if list(before) != ["is_restricted"]:
        require_named(ctx, credential, PermissionLevel.edit)
    elif not ctx.principal.may(MANAGE):
        require_named(ctx, credential, PermissionLevel.admin)


def _check_hosts(credential: Credential) -> None:
    for text in credential.allowed_hosts or ():
        try:
            host_and_port(text)
        except ValueError as error:
            raise InvalidError(
                f"allowed_hosts: {text[:80]} is not written host or host:port.", field="allowed_hosts"
            ) from error


CREDENTIALS = Resource(
    model=Credential,
    name="credential",
    plural="credentials",
    visible=seen,
    guarded=True,
    filters=(
        Credential.client_id,
        Credential.service_id,
        Credential.infrastructure_id,
        Credential.credential_type,
        Credential.service_name,
        Credential.username,
        Credential.integration_code,
        Credential.key_id,
        Credential.expires_at,
        Credential.last_rotated_at,
        Credential.requires_vpn,
        Credential.requires_2fa,
        Credential.is_active,
        Credential.is_restricted,
    ),
    search=(Credential.service_name, Credential.username, Credential.external_url, Credential.internal_url),
    columns=(
        Credential.service_name,
        Credential.credential_type,
        Credential.username,
        Credential.client_id,
        Credential.expires_at,
    ),
    by=(("client", Credential.client_id),),
    server_set=(Credential.key_id, Credential.last_rotated_at),
    fixed=(Credential.client_id,),
    hidden=(
        Credential.login_encrypted,
        Credential.login_index,
        Credential.password_encrypted,
        Credential.api_key_encrypted,
        Credential.client_secret_encrypted,
        Credential.token_encrypted,
        Credential.connection_string_encrypted,
        Credential.totp_seed_encrypted,
    ),
    # Making one seals it and deleting one shreds it: verbs of the vault, not changes of a row.
    verbs=frozenset({Verb.list, Verb.get, Verb.patch}),
    check=check,
)

CREDENTIAL_AUDIT_LOGS = Resource(
    model=CredentialAuditLog,
    name="credential-audit-log",
    plural="credential-audit-logs",
    visible=through_credential(CredentialAuditLog.credential_id),
    guarded=True,
    filters=(
        CredentialAuditLog.credential_id,
        CredentialAuditLog.action,
        CredentialAuditLog.user_id,
        CredentialAuditLog.ip_address,
        CredentialAuditLog.session_ref,
        CredentialAuditLog.timestamp,
    ),
    search=(CredentialAuditLog.user_id, CredentialAuditLog.user_agent),
    columns=(
        CredentialAuditLog.timestamp,
        CredentialAuditLog.user_id,
        CredentialAuditLog.action,
        CredentialAuditLog.credential_id,
    ),
    by=(("credential", CredentialAuditLog.credential_id), ("user", CredentialAuditLog.user_id)),
    verbs=READ_ONLY,
)
