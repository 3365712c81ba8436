"""What the hub signs in with at outside systems. Its secrets are for the hub's own use: nobody is shown them."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.clients.rules import is_new
from worklore.integrations.probe import MAX_PROBES, Probe, origin, why_not
from worklore.kernel.access import installation
from worklore.kernel.context import Context
from worklore.kernel.db import Record, Stamped
from worklore.kernel.errors import InvalidError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.vault.fields import Holder


class IntegrationCredentialType(StrEnum):
    """How the hub signs in at an outside system."""

    oauth = "oauth"
    api_key = "api_key"
    basic_auth = "basic_auth"


class IntegrationSecret(StrEnum):
    """A secret that an integration credential may hold."""

    api_key = "api_key"
    oauth_token = "oauth_token"  # noqa: S105 - the name of a field
    oauth_refresh_token = "oauth_refresh_token"  # noqa: S105 - the name of a field
    password = "password"  # noqa: S105 - the name of a field


EXAMPLE: Final = [{"scope": "tickets.read", "method": "GET", "path": "/tickets?limit=1"}]


class IntegrationCredential(Stamped, Record):
    """What the hub signs in with at an outside system; its secrets are sealed and never shown."""

    __tablename__ = "integration_credentials"
    __table_args__ = (Index(None, "integration_name"),)

    integration_name: Mapped[str] = mapped_column(Line(100))
    credential_type: Mapped[IntegrationCredentialType]
    username: Mapped[str | None] = mapped_column(Line(255), doc="The name that goes with the password.")
    api_key_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    api_key_header: Mapped[str | None] = mapped_column(
        Line(100), doc="The header that carries the API key as it is; without one it is sent as a bearer token."
    )
    oauth_token_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    oauth_refresh_token_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    oauth_expires_at: Mapped[datetime | None]
    password_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    holds: Mapped[list[str]] = column(default=[], doc="The names of the secrets it holds.")
    key_id: Mapped[str | None] = mapped_column(Line(64), doc="The key the secrets are sealed with.")
    last_rotated_at: Mapped[datetime | None]
    api_base_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    webhook_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    is_active: Mapped[bool] = column(default=True)
    probes: Mapped[list[Any]] = column(
        default=[],
        info={"example": EXAMPLE},
        doc="What a test asks for below api_base_url: for each scope that is needed its name, a method (GET or HEAD) "
        "and a path. Without any, a test asks for api_base_url itself.",
    )
    last_tested_at: Mapped[datetime | None]
    last_test_status: Mapped[str | None] = mapped_column(Line(50), doc="ok, or the first outcome that was not.")
    test_results: Mapped[list[Any] | None] = mapped_column(doc="What the last test found, for each probe.")


INTEGRATION_SECRETS: Final = Holder(IntegrationCredential, IntegrationSecret)

_PROBES: Final = TypeAdapter(list[Probe])
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110, 5.6.2."""


def check(_: Context, credential: IntegrationCredential, before: Mapping[str, Any]) -> None:
    """A secret is sent to the host that it was given for, and probes stay there."""
    _check_probes(credential.probes or [])
    header, address = credential.api_key_header, credential.api_base_url
    if header is not None and not _HEADER.fullmatch(header):
        raise InvalidError("api_key_header is no name of a header.", field="api_key_header")
    if not is_new(credential) and "api_base_url" not in before:
        return
    if address is not None and (why := why_not(address)) is not None:
        raise InvalidError(f"No secret can be sent to api_base_url: {why}.", field="api_base_url")
    if credential.holds and origin(before["api_base_url"] or "") != origin(address or ""):
        raise InvalidError(
            "api_base_url names another host than that which the secrets were given for.",
            hint="Shred them, change it, and give them anew.",
            field="api_base_url",
        )


def _check_probes(probes: list[Any]) -> None:
    if len(probes) > MAX_PROBES:
        raise InvalidError(f"There are at most {MAX_PROBES} probes.", field="probes")
    try:
        _PROBES.validate_python(probes)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(["probes", *(str(part) for part in first["loc"])])
        raise InvalidError(f"{where}: {first['msg']}.", field="probes") from error


INTEGRATION_CREDENTIALS = Resource(
    model=IntegrationCredential,
    name="integration-credential",
    plural="integration-credentials",
    visible=installation,
    filters=(
        IntegrationCredential.integration_name,
        IntegrationCredential.credential_type,
        IntegrationCredential.key_id,
        IntegrationCredential.oauth_expires_at,
        IntegrationCredential.last_rotated_at,
        IntegrationCredential.is_active,
        IntegrationCredential.last_tested_at,
        IntegrationCredential.last_test_status,
    ),
    search=(IntegrationCredential.integration_name,),
    columns=(
        IntegrationCredential.integration_name,
        IntegrationCredential.credential_type,
        IntegrationCredential.holds,
        IntegrationCredential.is_active,
        IntegrationCredential.last_test_status,
    ),
    server_set=(
        IntegrationCredential.holds,
        IntegrationCredential.key_id,
        IntegrationCredential.last_rotated_at,
        IntegrationCredential.last_tested_at,
        IntegrationCredential.last_test_status,
        IntegrationCredential.test_results,
    ),
    hidden=(
        IntegrationCredential.api_key_encrypted,
        IntegrationCredential.oauth_token_encrypted,
        IntegrationCredential.oauth_refresh_token_encrypted,
        IntegrationCredential.password_encrypted,
    ),
    check=check,
)
