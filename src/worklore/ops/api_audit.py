"""The log of requests."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from worklore.kernel.access import installation
from worklore.kernel.db import Base
from worklore.kernel.resource import READ_ONLY, Resource
from worklore.kernel.types import Line, utcnow, uuid7


class ApiAuditEntry(Base):
    """A request to the API: who asked what, and what was answered."""

    __tablename__ = "api_audit_log"
    __table_args__ = tuple(Index(None, name) for name in ("user_id", "endpoint", "timestamp", "http_status"))
    audited = False

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[str] = mapped_column(Line(255), doc="The name of the principal.")
    method: Mapped[str | None] = mapped_column(Line(10))
    endpoint: Mapped[str] = mapped_column(Line(500))
    http_status: Mapped[int | None]
    ip_address: Mapped[str | None] = mapped_column(Line(45), info={"form": "ip"})
    user_agent: Mapped[str | None]
    request_id: Mapped[uuid.UUID | None]
    request_body_redacted: Mapped[dict[str, Any] | None]
    response_time_ms: Mapped[int | None]
    error_message: Mapped[str | None]
    timestamp: Mapped[datetime] = mapped_column(default=utcnow)


API_AUDIT = Resource(
    model=ApiAuditEntry,
    name="api-audit-entry",
    plural="api-audit-log",
    visible=installation,
    filters=(
        ApiAuditEntry.user_id,
        ApiAuditEntry.method,
        ApiAuditEntry.endpoint,
        ApiAuditEntry.http_status,
        ApiAuditEntry.ip_address,
        ApiAuditEntry.request_id,
        ApiAuditEntry.response_time_ms,
        ApiAuditEntry.timestamp,
    ),
    search=(ApiAuditEntry.endpoint, ApiAuditEntry.error_message),
    columns=(
        ApiAuditEntry.timestamp,
        ApiAuditEntry.user_id,
        ApiAuditEntry.method,
        ApiAuditEntry.endpoint,
        ApiAuditEntry.http_status,
    ),
    verbs=READ_ONLY,
)
