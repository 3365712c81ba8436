"""Typed settings that the hub keeps for people, workers and integrations."""

import re
import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import orjson
from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.context import Context
from worklore.kernel.db import Base, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column, uuid7


class ValueType(StrEnum):
    """How the text of a value is read."""

    string = "string"
    integer = "integer"
    float = "float"
    boolean = "boolean"
    json = "json"


class Configuration(Stamped, Base):
    """A setting: a key, a typed value, and whether the value is a secret."""

    __tablename__ = "configurations"
    __table_args__ = (Index(None, "value_type"), Index(None, "is_secret"), Index(None, "updated_at"))

    id: Mapped[uuid.UUID] = mapped_column(default=uuid7, unique=True, sort_order=-21)
    key: Mapped[str] = mapped_column(Line(255), primary_key=True, sort_order=-20)
    # Sealed for the audit log too: whether it is a secret can change, and what was written there stays.
    value: Mapped[str] = mapped_column(info={"sealed": True})
    value_type: Mapped[ValueType] = column(default=ValueType.string)
    description: Mapped[str | None]
    is_secret: Mapped[bool] = column(default=False)
    version: Mapped[int] = mapped_column(default=1, server_default="1", sort_order=80)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads it once, when it maps the class


_FORMS: Final = {
    ValueType.integer: re.compile(r"-?[0-9]{1,18}"),
    ValueType.float: re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?"),
    ValueType.boolean: re.compile(r"true|false"),
}


def check(_: Context, configuration: Configuration, __: Mapping[str, Any]) -> None:
    """The value is of its type, and no secret while there is no key to seal it with. The error never shows it."""
    if configuration.is_secret:
        raise InvalidError("This hub cannot seal a secret setting yet.", field="is_secret", code="not-sealed")
    kind = configuration.value_type or ValueType.string
    form = _FORMS.get(kind)
    if (form is not None and not form.fullmatch(configuration.value)) or (
        kind == ValueType.json and not _is_json(configuration.value)
    ):
        raise InvalidError(f"value is no {kind}.", field="value")


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


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
    check=check,
)
