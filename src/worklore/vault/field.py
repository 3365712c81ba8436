"""The secrets of a credential by their names: which it holds, where each is sealed, and opening them."""

from collections.abc import Iterable
from enum import StrEnum

from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError
from worklore.vault.credential import Credential
from worklore.vault.seal import Place, vault_of
from worklore.vault.secret import Secret


class SecretField(StrEnum):
    """A secret that a credential may hold."""

    password = "password"  # noqa: S105 - the name of a field
    api_key = "api_key"
    client_secret = "client_secret"  # noqa: S105 - the name of a field
    token = "token"  # noqa: S105 - the name of a field
    connection_string = "connection_string"
    totp_seed = "totp_seed"

    @property
    def column(self) -> str:
        """The attribute of a credential that holds it sealed."""
        return f"{self.value}_encrypted"


def place_of(credential: Credential, field: SecretField) -> Place:
    """Where a secret is sealed."""
    return Place(credential.client_id, Credential.__tablename__, credential.id, field.column)


def held_by(credential: Credential) -> list[SecretField]:
    """Which secrets a credential holds."""
    return [field for field in SecretField if getattr(credential, field.column) is not None]


def wanted_of(credential: Credential, asked: Iterable[SecretField]) -> list[SecretField]:
    """The secrets that are asked for, each once; all that it holds when none is named.

    Raises:
        ConflictError: ``secret-absent``.
    """
    holds = held_by(credential)
    fields = list(dict.fromkeys(asked)) or holds
    absent = [field for field in fields if field not in holds]
    if absent or not fields:
        raise ConflictError(
            f"The credential holds no {absent[0] if absent else 'secret'}.",
            hint="Rotate it to give it one." if credential.is_active else "It may have been shredded.",
            code="secret-absent",
            holds=holds,
        )
    return fields


def opened(ctx: Context, credential: Credential, fields: Iterable[SecretField]) -> dict[SecretField, Secret]:
    """Secrets of a credential. Whoever opens one has written down before that they do."""
    vault = vault_of(ctx)
    return {field: vault.open(ctx, getattr(credential, field.column), place_of(credential, field)) for field in fields}
