"""What is done with a secret: stored sealed, rotated, revealed with a reason, shredded. Each is on record.

A secret goes in and does not come back but by :func:`reveal`, whose row in the record of touches is in the database
before the value is opened, and in the same transaction: no row, no value.
"""

import uuid
from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from sqlalchemy import inspect

from worklore.clients.ownership import client_of
from worklore.identity.containment import Deed, require_untainted
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import Context
from worklore.kernel.crud import load
from worklore.kernel.errors import BadRequestError, ConflictError, InvalidError
from worklore.kernel.forms import PORTS, of_form
from worklore.kernel.types import uuid7
from worklore.kernel.wire import Clean, UtcTime, Why, WireModel
from worklore.vault.credential import (
    CREDENTIAL_SECRETS,
    CREDENTIALS,
    Credential,
    CredentialAction,
    CredentialType,
    SecretField,
    check,
)
from worklore.vault.grant import PermissionLevel, name_keeper, require_right, require_shown
from worklore.vault.secret import MAX_SECRET
from worklore.vault.touch import touched

Given = Annotated[SecretStr, Field(min_length=1, max_length=MAX_SECRET)]


class Secrets(WireModel):
    """Secrets to seal. None of them is shown again but by revealing it."""

    login: Given | None = None
    password: Given | None = None
    api_key: Given | None = None
    client_secret: Given | None = None
    token: Given | None = None
    connection_string: Given | None = None
    totp_seed: Given | None = None


_Line = Annotated[str, StringConstraints(max_length=255), Clean]
_Url = Annotated[str, StringConstraints(max_length=500), Clean, AfterValidator(of_form("url"))]


class NewCredential(Secrets):
    """A credential to store: what it opens and for whom, and at least one secret."""

    client_id: uuid.UUID | None = None
    service_id: uuid.UUID | None = None
    infrastructure_id: uuid.UUID | None = None
    credential_type: CredentialType
    service_name: _Line
    username: _Line | None = None
    client_id_oauth: _Line | None = None
    tenant_id_oauth: _Line | None = None
    integration_code: Annotated[str, StringConstraints(max_length=100), Clean] | None = None
    external_url: _Url | None = None
    internal_url: _Url | None = None
    custom_port: Annotated[int, Field(ge=PORTS[0], le=PORTS[1])] | None = None
    expires_at: UtcTime | None = None
    requires_vpn: bool = False
    requires_2fa: bool = False
    is_active: bool = True
    is_restricted: bool = False
    """Only those named for it know of it; otherwise roles decide."""
    allowed_hosts: list[Annotated[str, Clean]] | None = None
    """Where the hub may send it beside the hosts of its URLs: host, or host:port."""


class Reason(WireModel):
    """Why a secret is shown, for the record of who touched it."""

    reason: Why
    fields: list[SecretField] = Field(default=[], max_length=len(SecretField))
    """Which secrets; all that it holds when none is named."""


class HeldCredential(WireModel):
    """A credential, and which secrets it holds; never a secret itself."""

    id: uuid.UUID
    client_id: uuid.UUID | None
    credential_type: CredentialType
    service_name: str
    holds: list[SecretField]
    key_id: str
    last_rotated_at: datetime | None
    is_active: bool
    version: int

    @classmethod
    def of(cls, credential: Credential) -> Self:
        """What a credential is, as it stands now."""
        return cls.model_validate(credential, from_attributes=True)


class Revealed(WireModel):
    """The secrets asked for, by the names of their fields."""

    id: uuid.UUID
    secrets: dict[SecretField, str]


def store(ctx: Context, body: NewCredential) -> HeldCredential:
    """Store a credential with its secrets, each sealed for its own field. Only a reveal shows them again."""
    wanted = body.model_dump(exclude=set(Secrets.model_fields), exclude_unset=True)
    credential = Credential(id=uuid7(), **wanted)
    _require_parents(ctx, credential)
    check(ctx, credential, {})
    fields = _seal(ctx, credential, body)
    ctx.session.add(credential)
    ctx.session.flush()
    if credential.is_restricted:
        name_keeper(ctx, credential)
        ctx.session.flush()
    load(ctx, CREDENTIALS, credential.id)
    touched(ctx, credential, CredentialAction.create, fields)
    return HeldCredential.of(credential)


def rotate(ctx: Context, credential: Credential, body: Secrets) -> HeldCredential:
    """Replace secrets of a credential by new ones. Those that are not sent stay."""
    require_right(ctx, credential, PermissionLevel.rotate)
    if not credential.is_active:
        raise ConflictError(
            "The credential is not active.", hint="Set is_active first, or store a new one.", code="credential-inactive"
        )
    fields = _seal(ctx, credential, body)
    credential.last_rotated_at = ctx.now()
    ctx.session.flush()
    touched(ctx, credential, CredentialAction.rotate, fields)
    return HeldCredential.of(credential)


def reveal(ctx: Context, credential: Credential, body: Reason) -> Revealed:
    """Show secrets of a credential. Who asked, when and why is on record before the answer leaves."""
    if ctx.dry_run:
        raise BadRequestError(
            "A reveal cannot be tried out: its record would be undone, and the secret shown.",
            code="parameter-value",
            parameter="dry_run",
        )
    require_shown(ctx)
    require_right(ctx, credential, PermissionLevel.reveal)
    require_untainted(ctx, Deed.reveal, credential.id)
    fields = CREDENTIAL_SECRETS.wanted(credential, body.fields)
    touched(ctx, credential, CredentialAction.reveal, fields, reason=body.reason)
    shown = {field: secret.reveal() for field, secret in CREDENTIAL_SECRETS.opened(ctx, credential, fields).items()}
    return Revealed(id=credential.id, secrets=shown)


def shred(ctx: Context, credential: Credential) -> HeldCredential:
    """Destroy the secrets of a credential for good and retire it. What it opened, and who touched it, stays known."""
    require_right(ctx, credential, PermissionLevel.edit)
    fields = CREDENTIAL_SECRETS.drop(credential)
    credential.is_active = False
    ctx.session.flush()
    touched(ctx, credential, CredentialAction.delete, fields)
    return HeldCredential.of(credential)


def _require_parents(ctx: Context, credential: Credential) -> None:
    """Refuse a parent that is not there, or may not be known to be, in the same words."""
    for name, model in inspect(Credential).relationships.items():
        key = f"{name}_id"
        value = getattr(credential, key, None)
        if value is None:
            continue
        parent = ctx.session.get(model.entity.class_, value)
        seen = ctx.principal.clients
        if parent is None or (seen is not None and client_of(ctx, parent) not in seen):
            raise InvalidError(f"{key}: there is no record with the id {value}.", field=key)


def _seal(ctx: Context, credential: Credential, body: Secrets) -> list[SecretField]:
    """Put the secrets that were sent into the credential, and say which they were."""
    return CREDENTIAL_SECRETS.put(ctx, credential, CREDENTIAL_SECRETS.given(body))


STORE_CREDENTIAL: Final = Action(
    run=store, name="store", path="credentials/store", scope="credential:write", risk=Risk.write
)
ROTATE_CREDENTIAL: Final = Action(run=rotate, name="rotate", on="credential", scope="credential:write", risk=Risk.write)
REVEAL_CREDENTIAL: Final = Action(
    run=reveal, name="reveal", on="credential", scope="credential:reveal", risk=Risk.secret
)
SHRED_CREDENTIAL: Final = Action(
    run=shred, name="shred", on="credential", scope="credential:delete", risk=Risk.destructive
)
