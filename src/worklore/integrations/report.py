"""Which secrets want looking after: those that expire, those that were not rotated for long, those that do not work."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import ColumnElement, func, or_, select

from worklore.integrations.credential import INTEGRATION_CREDENTIALS, IntegrationCredential
from worklore.integrations.probe import ProbeOutcome
from worklore.kernel.action import Action, Risk
from worklore.kernel.context import ReadContext
from worklore.kernel.crud import visibility
from worklore.kernel.resource import Resource
from worklore.kernel.wire import WireModel
from worklore.vault.credential import CREDENTIALS, Credential

MAX_ITEMS: Final = 1000
MAX_DAYS: Final = 36_500


class Concern(StrEnum):
    """Why a credential is in the report."""

    expired = "expired"
    expires = "expires"
    unrotated = "unrotated"
    failed = "failed"


Days = Annotated[int, Field(ge=0, le=MAX_DAYS)]


class ReportAsked(WireModel):
    """What the report is to name."""

    expires_within_days: Days = 30
    unrotated_days: Days = 180
    client_id: uuid.UUID | None = None
    """Of one client alone; without it those of all that may be seen, and of integrations."""


class Reported(WireModel):
    """A credential that wants looking after."""

    noun: str
    id: uuid.UUID
    client_id: uuid.UUID | None
    name: str
    concerns: list[Concern]
    expires_at: datetime | None
    last_rotated_at: datetime | None
    """When its secrets were last given; the time it was made where they never were anew."""
    last_test_status: str | None


class CredentialReport(WireModel):
    """Credentials that want looking after: the first to expire first, then the longest unrotated."""

    at: datetime
    items: list[Reported]
    more: bool
    """There are more than the thousand told."""


@dataclass(frozen=True, slots=True)
class _Noun:
    """A noun that is reported: the attributes in which its name and its expiry stand."""

    resource: Resource
    name: str
    expires: str


_CREDENTIALS: Final = _Noun(CREDENTIALS, "service_name", "expires_at")
_INTEGRATIONS: Final = _Noun(INTEGRATION_CREDENTIALS, "integration_name", "oauth_expires_at")


def report(ctx: ReadContext, body: ReportAsked) -> CredentialReport:
    """Tell which active credentials expire soon or have expired, were not rotated for long, or failed their test.

    Of what the caller may see; integration credentials too, for those who may read them.
    """
    now = ctx.now()
    soon, old = now + timedelta(days=body.expires_within_days), now - timedelta(days=body.unrotated_days)
    of_client = () if body.client_id is None else (Credential.client_id == body.client_id,)
    found = _found(ctx, _CREDENTIALS, _late(_CREDENTIALS, soon, old), *of_client)
    if body.client_id is None and ctx.principal.may(INTEGRATION_CREDENTIALS.scope("list")):
        failed = IntegrationCredential.last_test_status != ProbeOutcome.ok.value
        found += _found(ctx, _INTEGRATIONS, or_(_late(_INTEGRATIONS, soon, old), failed))
    for item in found:
        item.concerns = list(_concerns(item, now, soon, old))
    found.sort(key=lambda item: (item.expires_at or soon, item.last_rotated_at or now, item.id))
    return CredentialReport(at=now, items=found[:MAX_ITEMS], more=len(found) > MAX_ITEMS)


def _late(noun: _Noun, soon: datetime, old: datetime) -> ColumnElement[bool]:
    """The rows that expire before ``soon`` or were last given their secrets before ``old``."""
    model: Any = noun.resource.model
    given = func.coalesce(model.last_rotated_at, model.created_at, type_=model.created_at.type)
    return or_(getattr(model, noun.expires) <= soon, given <= old)


def _found(ctx: ReadContext, noun: _Noun, *conditions: ColumnElement[bool]) -> list[Reported]:
    """The rows that may be seen and all conditions are true of, one more than the report can tell."""
    model: Any = noun.resource.model
    wanted = select(model).where(model.is_active, *conditions)
    visible = visibility(noun.resource, ctx.principal)
    if visible is not None:
        wanted = wanted.where(visible)
    expires = getattr(model, noun.expires)
    rows = ctx.session.scalars(wanted.order_by(expires.is_(None), expires, model.id).limit(MAX_ITEMS + 1)).all()
    return [
        Reported(
            noun=noun.resource.name,
            id=row.id,
            client_id=getattr(row, "client_id", None),
            name=getattr(row, noun.name),
            concerns=[],
            expires_at=getattr(row, noun.expires),
            last_rotated_at=row.last_rotated_at or row.created_at,
            last_test_status=getattr(row, "last_test_status", None),
        )
        for row in rows
    ]


def _concerns(item: Reported, now: datetime, soon: datetime, old: datetime) -> Iterator[Concern]:
    if item.expires_at is not None and item.expires_at <= soon:
        yield Concern.expired if item.expires_at <= now else Concern.expires
    if item.last_rotated_at is not None and item.last_rotated_at <= old:
        yield Concern.unrotated
    if item.last_test_status not in {None, ProbeOutcome.ok.value}:
        yield Concern.failed


REPORT_CREDENTIALS: Final = Action(
    run=report, name="report", path="credentials/report", scope="credential:read", risk=Risk.read
)
