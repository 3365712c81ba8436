"""Typed settings that the hub keeps for people, workers and integrations; secret ones are sealed.

The column that is read and listed holds a mask in the place of a secret value, so that no surface can show one. Code
of the hub asks :func:`value_of`.
"""

import re
import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import orjson
from sqlalchemy import Index, select
from sqlalchemy.orm import Mapped, mapped_column

from worklore.clients.rules import is_new
from worklore.kernel.access import installation
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Base, Stamped
from worklore.kernel.errors import InvalidError, NotFoundError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column, uuid7
from worklore.vault.fields import Holder
from worklore.vault.secret import Secret

MASK: Final = "********"
"""What is read in the place of a secret value."""


class ValueType(StrEnum):
    """How the text of a value is read."""

    string = "string"
    integer = "integer"
    float = "float"
    boolean = "boolean"
    json = "json"


class SecretValue(StrEnum):
    """The one secret of a setting."""

    text = "value"


class Configuration(Stamped, Base):
    """A setting: a key, a typed value, and whether the value is a secret."""

    __tablename__ = "configurations"
    __table_args__ = (Index(None, "value_type"), Index(None, "is_secret"), Index(None, "updated_at"))

    id: Mapped[uuid.UUID] = mapped_column(default=uuid7, unique=True, sort_order=-21)
    key: Mapped[str] = mapped_column(Line(255), primary_key=True, sort_order=-20)
    # Sealed for the audit log too: whether it is a secret can change, and what was written there stays.
    value: Mapped[str] = mapped_column(info={"sealed": True})
    value_encrypted: Mapped[bytes | None] = mapped_column(
        info={"sealed": True}, doc="The value of a secret setting, sealed; value holds a mask then."
    )
    value_type: Mapped[ValueType] = column(default=ValueType.string)
    description: Mapped[str | None]
    is_secret: Mapped[bool] = column(default=False)
    version: Mapped[int] = mapped_column(default=1, server_default="1", sort_order=80)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads it once, when it maps the class


CONFIGURATION_SECRETS: Final = Holder(Configuration, SecretValue)

_FORMS: Final = {
    ValueType.integer: re.compile(r"-?[0-9]{1,18}"),
    ValueType.float: re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?"),
    ValueType.boolean: re.compile(r"true|false"),
}


def check(ctx: Context, configuration: Configuration, before: Mapping[str, Any]) -> None:
    """The value is of its type, and sealed when it is a secret. What is sealed is opened by giving it anew alone.

    No error shows the value.
    """
    given = is_new(configuration) or "value" in before
    if configuration.value_encrypted is not None and not given:
        if not configuration.is_secret:
            raise _anew("is_secret", "A secret value is not shown by changing what it is.")
        if "value_type" in before:
            raise _anew("value_type", "A secret value is not compared with another type.")
        return
    kind = configuration.value_type or ValueType.string
    form = _FORMS.get(kind)
    if (form is not None and not form.fullmatch(configuration.value)) or (
        kind == ValueType.json and not _is_json(configuration.value)
    ):
        raise InvalidError(f"value is no {kind}.", field="value")
    if configuration.is_secret:
        _seal(ctx, configuration)
    else:
        CONFIGURATION_SECRETS.drop(configuration)


def _seal(ctx: Context, configuration: Configuration) -> None:
    if configuration.value == MASK:
        raise InvalidError("value is the mask that is read in the place of a secret.", field="value")
    try:
        secret = Secret(configuration.value)
    except InvalidError as error:
        error.members = {**error.members, "field": "value"}
        raise
    # The mask first: the vault may have to store a key, and that stores whatever waits to be stored.
    configuration.value = MASK
    configuration.id = configuration.id or uuid7()
    CONFIGURATION_SECRETS.seal(ctx, configuration, SecretValue.text, secret)


def _anew(field: str, why: str) -> InvalidError:
    return InvalidError(why, hint="Send the value anew with it.", field=field)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def value_of(ctx: ReadContext, key: str) -> Any:
    """The value of a setting as its type says, for code of the hub: a secret one in clear, for the caller to guard.

    Raises:
        NotFoundError: there is no such setting.
        UnavailableError: it is a secret, and the vault is sealed or cannot open it.
    """
    found = ctx.session.scalars(select(Configuration).where(Configuration.key == key)).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no configuration with the key {key[:80]}.")
    sealed = found.value_encrypted is not None
    text = CONFIGURATION_SECRETS.open(ctx, found, SecretValue.text).reveal() if sealed else found.value
    match found.value_type:
        case ValueType.string:
            return text
        case ValueType.boolean:
            return text == "true"
        case ValueType.integer:
            return int(text)
        case ValueType.float:
            return float(text)
        case ValueType.json:
            return orjson.loads(text)


CONFIGURATIONS = Resource(
    model=Configuration,
    name="configuration",
    plural="configurations",
    visible=installation,
    filters=(Configuration.key, Configuration.value_type, Configuration.is_secret),
    search=(Configuration.key, Configuration.description),
    columns=(Configuration.key, Configuration.value, Configuration.value_type),
    by=(("key", Configuration.key),),
    fixed=(Configuration.key,),
    hidden=(Configuration.value_encrypted,),
    check=check,
)
