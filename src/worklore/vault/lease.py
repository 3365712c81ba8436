"""Using a secret without seeing it: a lease says who may, for what and until when, and is looked at for each use."""

import uuid
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import ForeignKey, Index, update
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.identity.agent import Agent, TaskGrant
from worklore.identity.containment import Deed, require_untainted
from worklore.identity.machine import Machine
from worklore.identity.user import User
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import BadRequestError, ConflictError, ForbiddenError
from worklore.kernel.resource import Resource, Verb
from worklore.kernel.types import column, uuid7
from worklore.kernel.wire import Why, WireModel
from worklore.vault.credential import CREDENTIAL_SECRETS, Credential, CredentialAction, SecretField, through_credential
from worklore.vault.grant import PermissionLevel, allows, require_right
from worklore.vault.secret import Secret
from worklore.vault.touch import touched

LIFE: Final = 900
LONGEST: Final = 3600
"""Seconds of a lease."""

LENT: Final = frozenset({Verb.list, Verb.get, Verb.delete})
"""What people may do with what was lent: look at it and take it back."""

REVOKE: Final = "credential-lease:delete"


class CredentialLease(Created, Record):
    """A time in which an agent, a machine or a person may use a credential without seeing it."""

    __tablename__ = "credential_leases"
    __table_args__ = tuple(
        Index(None, name)
        for name in ("credential_id", "client_id", "agent_id", "user_id", "machine_id", "task_grant_id", "expires_at")
    )

    credential_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("credentials.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    agent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    user_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("api_users.id", ondelete="CASCADE"))
    machine_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("machines.id", ondelete="CASCADE"), doc="The machine whose token took it, or that the agent runs on."
    )
    task_grant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("task_grants.id", ondelete="SET NULL"))
    purpose: Mapped[str | None]
    use_count: Mapped[int] = column(default=0)
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    released_at: Mapped[datetime | None]

    credential: Mapped[Credential] = relationship(backref=backref("leases", viewonly=True), viewonly=True)
    agent: Mapped[Agent | None] = relationship(backref=backref("credential_leases", viewonly=True), viewonly=True)
    user: Mapped[User | None] = relationship(backref=backref("credential_leases", viewonly=True), viewonly=True)
    machine: Mapped[Machine | None] = relationship(backref=backref("credential_leases", viewonly=True), viewonly=True)
    task_grant: Mapped[TaskGrant | None] = relationship(
        backref=backref("credential_leases", viewonly=True), viewonly=True
    )


Seconds = Annotated[int, Field(ge=1, le=LONGEST)]


class LeaseAsked(WireModel):
    """What a credential is needed for, and for how many seconds."""

    purpose: Why
    seconds: Seconds = LIFE


class LeaseRenewed(WireModel):
    """For how many seconds from now on the credential is still needed."""

    seconds: Seconds = LIFE


class Leased(WireModel):
    """A lease, and for how many seconds it is good; 0 for one that was released. It ends earlier with its grant."""

    id: uuid.UUID
    credential_id: uuid.UUID
    purpose: str | None
    expires_at: datetime
    seconds: float


class Wanted(WireModel):
    """Which secrets of the leased credential are to be used now."""

    fields: list[SecretField] = Field(min_length=1, max_length=len(SecretField))


class Injected(WireModel):
    """Secrets for the program that runs them into a process of its own; it shows them to nobody."""

    id: uuid.UUID
    credential_id: uuid.UUID
    secrets: dict[SecretField, str]


def lease(ctx: Context, credential: Credential, body: LeaseAsked) -> Leased:
    """Borrow a credential for use: for a time, for a purpose, and for nobody but the caller."""
    require_right(ctx, credential, PermissionLevel.use)
    if not credential.is_active:
        raise ConflictError(
            "The credential is not active.", hint="It was retired; use another one.", code="credential-inactive"
        )
    who = ctx.principal
    row = CredentialLease(
        id=uuid7(),
        credential_id=credential.id,
        client_id=credential.client_id,
        agent_id=who.agent_id,
        user_id=who.user_id,
        machine_id=who.machine_id,
        task_grant_id=who.task_grant_id,
        purpose=body.purpose,
        expires_at=_end(ctx, who.task_grant_id, body.seconds),
    )
    ctx.session.add(row)
    ctx.session.flush()
    return _leased(ctx, row)


def renew(ctx: Context, lease: CredentialLease, body: LeaseRenewed) -> Leased:
    """Keep a lease that is live for longer, at most until the end of its grant."""
    require_holder(ctx, lease)
    require_live(ctx, lease)
    until = _end(ctx, lease.task_grant_id, body.seconds)
    _moved(ctx, lease, "a lease is on record from its beginning to its end", expires_at=until)
    return _leased(ctx, lease, until)


def release(ctx: Context, lease: CredentialLease) -> Leased:
    """End a lease: for whoever holds it, and for those who may take it back. Again is no error."""
    if not ctx.principal.may(REVOKE):
        require_holder(ctx, lease)
    if lease.released_at is None:
        lease.released_at = ctx.now()
        ctx.session.flush()
    return _leased(ctx, lease)


def inject(ctx: Context, lease: CredentialLease, body: Wanted) -> Injected:
    """Hand secrets to a program that uses them, such as `worklore secret run`. Each time is on record."""
    secrets = use(ctx, lease, body.fields, way="inject")
    told = {field: secret.reveal() for field, secret in secrets.items()}
    return Injected(id=lease.id, credential_id=lease.credential_id, secrets=told)


def use(ctx: Context, lease: CredentialLease, asked: list[SecretField], **told: str) -> dict[SecretField, Secret]:
    """Open secrets by a lease, once it is known that it is live and written down that it is used.

    Args:
        ctx: the unit of work, of whoever holds the lease.
        lease: the lease.
        asked: which secrets; at least one.
        told: how they are used, for the record.

    Raises:
        ForbiddenError: it is somebody else's, ``not-yours``; a session of the caller is tainted, ``session-tainted``.
        ConflictError: it has ended, ``lease-ended``; the credential does not hold them, ``secret-absent``.
    """
    if ctx.dry_run:
        raise BadRequestError(
            "A use cannot be tried out: its record would be undone, and the secret used.",
            code="parameter-value",
            parameter="dry_run",
        )
    require_holder(ctx, lease)
    credential = require_live(ctx, lease)
    require_untainted(ctx, Deed.use, credential.id)
    fields = CREDENTIAL_SECRETS.wanted(credential, asked)
    _moved(
        ctx,
        lease,
        "each use has its row in the record of touches",
        use_count=CredentialLease.use_count + 1,
        last_used_at=ctx.now(),
    )
    facts = {"lease": str(lease.id), "purpose": lease.purpose or ""} | told
    touched(ctx, credential, CredentialAction.use, fields, **facts)
    return CREDENTIAL_SECRETS.opened(ctx, credential, fields)


def require_live(ctx: Context, lease: CredentialLease) -> Credential:
    """The credential of a lease that has not ended, whatever could have ended it.

    Raises:
        ConflictError: ``lease-ended``, with the reason.
    """
    credential = ctx.session.get_one(Credential, lease.credential_id)
    reason = _why_ended(ctx, lease, credential)
    if reason is not None:
        raise _ended(reason)
    return credential


def _why_ended(ctx: Context, lease: CredentialLease, credential: Credential) -> str | None:
    now = ctx.now()
    if lease.released_at is not None:
        return "it was released or taken back"
    if lease.expires_at <= now:
        return "its time is over"
    user = ctx.session.get(User, lease.user_id) if lease.user_id else None
    if user is None or not user.is_active:
        return "its owner was disabled"
    machine = ctx.session.get(Machine, lease.machine_id) if lease.machine_id else None
    if machine is not None and not machine.is_active:
        return "the machine was retired"
    if lease.agent_id is not None:
        agent = ctx.session.get(Agent, lease.agent_id)
        if agent is None or not agent.is_active:
            return "the agent was disabled"
        # The grant may be gone altogether; the agent works by no other.
        grant = ctx.session.get(TaskGrant, lease.task_grant_id) if lease.task_grant_id else None
        if grant is None or grant.revoked_at is not None or grant.expires_at <= now:
            return "the grant of its task has ended"
    if not credential.is_active:
        return "the credential was retired"
    if not allows(ctx, credential, lease.user_id, PermissionLevel.use):
        return "the permission to use the credential was taken away"
    return None


def _ended(reason: str) -> ConflictError:
    return ConflictError(
        f"The lease has ended: {reason}.", hint="Take a new one if you still may.", code="lease-ended", reason=reason
    )


def require_holder(ctx: Context, lease: CredentialLease) -> None:
    """Refuse everybody but the one who took a lease, with the grant they took it by.

    Raises:
        ForbiddenError: ``not-yours``.
        ConflictError: the grant is another one by now, ``lease-ended``.
    """
    who = ctx.principal
    if (who.user_id, who.agent_id, who.machine_id) != (lease.user_id, lease.agent_id, lease.machine_id):
        raise ForbiddenError("The lease is not yours.", hint="Take one of your own.", code="not-yours")
    if who.task_grant_id != lease.task_grant_id:
        raise _ended("the grant of its task has ended")


def _end(ctx: Context, grant_id: uuid.UUID | None, seconds: int) -> datetime:
    until = ctx.now() + timedelta(seconds=seconds)
    grant = ctx.session.get(TaskGrant, grant_id) if grant_id else None
    return until if grant is None else min(until, grant.expires_at)


def _moved(ctx: Context, lease: CredentialLease, why: str, **values: Any) -> None:
    """Change a lease that nobody has released meanwhile."""
    live = update(CredentialLease).where(CredentialLease.id == lease.id, CredentialLease.released_at.is_(None))
    statement = unaudited(live.values(**values), why).execution_options(synchronize_session=False)
    moved: Any = ctx.session.execute(statement)
    if not moved.rowcount:
        raise _ended("it was released or taken back")


def _leased(ctx: Context, lease: CredentialLease, until: datetime | None = None) -> Leased:
    until = until or lease.expires_at
    left = 0.0 if lease.released_at else max(0.0, (until - ctx.now()).total_seconds())
    return Leased(
        id=lease.id,
        credential_id=lease.credential_id,
        purpose=lease.purpose,
        expires_at=until,
        seconds=left,
    )


CREDENTIAL_LEASES = Resource(
    model=CredentialLease,
    name="credential-lease",
    plural="credential-leases",
    visible=through_credential(CredentialLease.credential_id),
    guarded=True,
    filters=(
        CredentialLease.credential_id,
        CredentialLease.client_id,
        CredentialLease.agent_id,
        CredentialLease.user_id,
        CredentialLease.machine_id,
        CredentialLease.task_grant_id,
        CredentialLease.expires_at,
        CredentialLease.released_at,
    ),
    columns=(
        CredentialLease.credential_id,
        CredentialLease.agent_id,
        CredentialLease.expires_at,
        CredentialLease.use_count,
    ),
    verbs=LENT,
)

USE: Final = "credential:use"
LEASE_CREDENTIAL: Final = Action(run=lease, name="lease", on="credential", scope=USE, risk=Risk.write)
RENEW_LEASE: Final = Action(run=renew, name="renew", on="credential-lease", scope=USE, risk=Risk.write)
RELEASE_LEASE: Final = Action(run=release, name="release", on="credential-lease", scope=USE, risk=Risk.write)
INJECT_LEASE: Final = Action(run=inject, name="inject", on="credential-lease", scope=USE, risk=Risk.secret)
