"""What the hub signs in with at outside systems."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.db import Record, Stamped
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column


class IntegrationCredentialType(StrEnum):
    """How the hub signs in at an outside system."""

    oauth = "oauth"
    api_key = "api_key"
    basic_auth = "basic_auth"


class IntegrationCredential(Stamped, Record):
    """What the hub signs in with at an outside system; its secrets are sealed and never shown."""

    __tablename__ = "integration_credentials"
    __table_args__ = (Index(None, "integration_name"),)

    integration_name: Mapped[str] = mapped_column(Line(100))
    credential_type: Mapped[IntegrationCredentialType]
    api_key_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    oauth_token_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    oauth_refresh_token_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    oauth_expires_at: Mapped[datetime | None]
    password_encrypted: Mapped[bytes | None] = mapped_column(info={"sealed": True})
    key_id: Mapped[str | None] = mapped_column(Line(64), doc="The vault key the secrets are sealed with.")
    api_base_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    webhook_url: Mapped[str | None] = mapped_column(Line(500), info={"form": "url"})
    is_active: Mapped[bool] = column(default=True)
    last_tested_at: Mapped[datetime | None]
    last_test_status: Mapped[str | None] = mapped_column(Line(50))


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
        IntegrationCredential.is_active,
        IntegrationCredential.last_tested_at,
        IntegrationCredential.last_test_status,
    ),
    search=(IntegrationCredential.integration_name,),
    columns=(
        IntegrationCredential.integration_name,
        IntegrationCredential.credential_type,
        IntegrationCredential.is_active,
        IntegrationCredential.last_test_status,
    ),
    server_set=(
        IntegrationCredential.key_id,
        IntegrationCredential.last_tested_at,
        IntegrationCredential.last_test_status,
    ),
    hidden=(
        IntegrationCredential.api_key_encrypted,
        IntegrationCredential.oauth_token_encrypted,
        IntegrationCredential.oauth_refresh_token_encrypted,
        IntegrationCredential.password_encrypted,
    ),
)
