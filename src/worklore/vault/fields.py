"""Secrets in the columns of a record: sealed, opened and dropped in the same way whatever table they are of."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import SecretStr

from worklore.kernel.context import Context, ReadContext
from worklore.kernel.errors import ConflictError, InvalidError
from worklore.vault.seal import Place, key_of, vault_of
from worklore.vault.secret import Secret

F = TypeVar("F", bound=StrEnum)


def column_of(field: str) -> str:
    """The attribute that holds a secret of this name sealed."""
    return f"{field}_encrypted"


@dataclass(frozen=True, slots=True)
class Holder(Generic[F]):
    """A table whose records hold secrets.

    Each secret is sealed for its own place: the record's client (the installation where the table has no
    ``client_id``), the table, the record and the column.

    Attributes:
        model: the mapped class.
        fields: the names of the secrets; ``token`` stands in ``token_encrypted``.
        indexed: those that can be found by an equal text: ``login`` by the blind index in ``login_index``.
    """

    model: type[Any]
    fields: type[F]
    indexed: frozenset[F] = frozenset()

    @property
    def columns(self) -> list[Any]:
        """The sealed columns, of the class."""
        return [getattr(self.model, column_of(field)) for field in self.fields]

    def held(self, record: Any) -> list[F]:
        """Which secrets a record holds."""
        return [field for field in self.fields if getattr(record, column_of(field)) is not None]

    def given(self, body: Any) -> dict[F, SecretStr]:
        """The secrets that were sent, of a body that has a member for each.

        Raises:
            InvalidError: there is none.
        """
        found = {field: text for field in self.fields if (text := getattr(body, field)) is not None}
        if not found:
            raise InvalidError(
                "There is no secret to seal.",
                hint=f"Send at least one of {', '.join(self.fields)}.",
                field=next(iter(self.fields)),
            )
        return found

    def put(self, ctx: Context, record: Any, given: Mapping[F, SecretStr]) -> list[F]:
        """Seal secrets into a record, and say which they were.

        Raises:
            InvalidError: one is empty, too long or no text; it is named, and not repeated.
            UnavailableError: the vault is sealed, or the client's key cannot be read.
        """
        for field, text in given.items():
            try:
                secret = Secret(text.get_secret_value())
            except InvalidError as error:
                error.members = {**error.members, "field": str(field)}
                raise
            self.seal(ctx, record, field, secret)
        return list(given)

    def seal(self, ctx: Context, record: Any, field: F, secret: Secret) -> None:
        """Seal one secret into a record by its client's newest key, and renew its index."""
        vault, place = vault_of(ctx), self.place(record, field)
        sealed = vault.seal(ctx, secret, place)
        setattr(record, column_of(field), sealed)
        if hasattr(record, "key_id"):
            record.key_id = str(key_of(sealed))
        if field in self.indexed:
            index = vault.blind_index(ctx, place.client_id, field, secret.reveal())
            setattr(record, f"{field}_index", index.hex())

    def open(self, ctx: ReadContext, record: Any, field: F) -> Secret:
        """A secret that a record holds.

        Raises:
            UnavailableError: as :meth:`Vault.open`.
        """
        vault, column = vault_of(ctx), column_of(field)
        if not vault.knows(ctx, getattr(record, column)):
            # Sealed anew by another key since the record was read, and the former key dropped.
            ctx.session.refresh(record, [column])
        return vault.open(ctx, getattr(record, column), self.place(record, field))

    def wanted(self, record: Any, asked: Iterable[F]) -> list[F]:
        """The secrets that are asked for, each once; all that a record holds when none is named.

        Raises:
            ConflictError: ``secret-absent``.
        """
        holds = self.held(record)
        fields = list(dict.fromkeys(asked)) or holds
        absent = [field for field in fields if field not in holds]
        if absent or not fields:
            raise ConflictError(
                f"It holds no {absent[0] if absent else 'secret'}.",
                hint="Rotate it to give it one." if record.is_active else "It may have been shredded.",
                code="secret-absent",
                holds=holds,
            )
        return fields

    def opened(self, ctx: ReadContext, record: Any, fields: Iterable[F]) -> dict[F, Secret]:
        """Secrets of a record by their names. Whoever opens one has written down before that they do."""
        return {field: self.open(ctx, record, field) for field in fields}

    def drop(self, record: Any) -> list[F]:
        """Take every secret out of a record, and its index with it; say which they were."""
        fields = self.held(record)
        for field in fields:
            setattr(record, column_of(field), None)
            if field in self.indexed:
                setattr(record, f"{field}_index", None)
        return fields

    def place(self, record: Any, field: F) -> Place:
        """Where a secret of a record stands."""
        client: uuid.UUID | None = getattr(record, "client_id", None)
        return Place(client, self.model.__tablename__, record.id, column_of(field))
