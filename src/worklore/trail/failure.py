"""Operations that failed."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.clients.ownership import one_client
from worklore.clients.rules import keep_stamp
from worklore.kernel.access import any_of, through
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column
from worklore.work.news import leave_news
from worklore.work.session import SESSIONS, WorkSession
from worklore.work.traced import Traced, traced
from worklore.work.work_item import WORK_ITEMS, WorkItem


class OperationType(StrEnum):
    """What sort of operation it was."""

    api_call = "api_call"
    file_operation = "file_operation"
    network_request = "network_request"
    database_query = "database_query"
    external_integration = "external_integration"
    service_restart = "service_restart"


class OperationFailure(Traced, Created, Record):
    """An operation that failed: a call, a file, a request, a query, a restart; and what helped."""

    __tablename__ = "operation_failures"
    __table_args__ = (Index(None, "session_id"), Index(None, "work_item_id"), Index(None, "operation_type"))

    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    work_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="CASCADE"))
    operation_type: Mapped[OperationType]
    operation_description: Mapped[str]
    target_system: Mapped[str | None] = mapped_column(Line(255))
    error_message: Mapped[str]
    error_code: Mapped[str | None] = mapped_column(Line(50))
    failure_category: Mapped[str | None] = mapped_column(Line(100))
    stack_trace: Mapped[str | None]
    resolution_applied: Mapped[str | None]
    resolved: Mapped[bool] = column(default=False)
    resolved_at: Mapped[datetime | None]
    request_data: Mapped[dict[str, Any] | None]
    response_data: Mapped[dict[str, Any] | None]
    environment_snapshot: Mapped[dict[str, Any] | None]

    session: Mapped[WorkSession | None] = relationship(
        backref=backref("operation_failures", viewonly=True), viewonly=True
    )
    work_item: Mapped[WorkItem | None] = relationship(
        backref=backref("operation_failures", viewonly=True), viewonly=True
    )


def check(ctx: Context, failure: OperationFailure, before: Mapping[str, Any]) -> None:
    """The work item is of the session's client; the time of resolution is kept; it is learned from."""
    one_client(ctx, failure, before)
    keep_stamp(ctx, failure, before, "resolved_at", ended=bool(failure.resolved))
    leave_news(ctx, failure.session_id)


OPERATION_FAILURES = Resource(
    model=OperationFailure,
    name="operation-failure",
    plural="operation-failures",
    visible=any_of(
        (
            through(OperationFailure.session_id, WorkSession, SESSIONS.visible),
            through(OperationFailure.work_item_id, WorkItem, WORK_ITEMS.visible),
        )
    ),
    filters=(
        OperationFailure.session_id,
        OperationFailure.work_item_id,
        OperationFailure.operation_type,
        OperationFailure.target_system,
        OperationFailure.error_code,
        OperationFailure.failure_category,
        OperationFailure.resolved,
        OperationFailure.resolved_at,
        OperationFailure.source_uuid,
        OperationFailure.subagent,
    ),
    search=(
        OperationFailure.operation_description,
        OperationFailure.error_message,
        OperationFailure.target_system,
        OperationFailure.resolution_applied,
    ),
    columns=(
        OperationFailure.created_at,
        OperationFailure.operation_type,
        OperationFailure.target_system,
        OperationFailure.error_message,
        OperationFailure.resolved,
    ),
    server_set=traced(OperationFailure),
    hidden=(OperationFailure.captured_digest,),
    check=check,
)
