"""Links that show a secret to somebody without an account: a few times, for a while, and then no more.

A link's key is 32 random bytes. What is stored is their keyed hash, under a key that is derived from the hub's for this
alone, so that neither the database nor the log of requests leads to a secret.
"""

import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import Field, SecretStr, StringConstraints
from sqlalchemy import CheckConstraint, ForeignKey, Index, select, update
from sqlalchemy.orm import Mapped, backref, mapped_column, relationship

from worklore.identity.containment import Deed, require_untainted
from worklore.identity.limit import Limit
from worklore.identity.user import User
from worklore.kernel.action import Action, Risk
from worklore.kernel.audit import unaudited
from worklore.kernel.context import Context, ReadContext
from worklore.kernel.db import Created, Record
from worklore.kernel.errors import BadRequestError, ConflictError, UnavailableError
from worklore.kernel.resource import Resource
from worklore.kernel.types import Line, column, uuid7
from worklore.kernel.wire import Clean, WireModel
from worklore.vault.credential import CREDENTIAL_SECRETS, Credential, CredentialAction, SecretField, through_credential
from worklore.vault.grant import PermissionLevel, allows, require_right, require_shown
from worklore.vault.lease import LENT
from worklore.vault.touch import touched

PATH: Final = "/share"
MAX_VIEWS: Final = 20
LIFE: Final = 24 * 3600
LONGEST: Final = 30 * 24 * 3600
"""Seconds of a link."""

OF_ADDRESS: Final = Limit("share-address", 20, timedelta(minutes=15))
OF_LINK: Final = Limit("share-link", 5, timedelta(days=30))
"""Guesses from one network address, and wrong passphrases of one link."""

KEEPER: Final = "share-keeper"


@dataclass(frozen=True, slots=True)
class ShareKeeper:
    """What a hub makes links with: the key of their hashes, and its address where people reach it if that is told."""

    key: bytes
    address: str | None

    def hashed(self, kind: str, text: str) -> str:
        """The keyed hash of a token or a passphrase."""
        return hmac.digest(self.key, f"{kind}:{text}".encode(), "sha256").hex()


def keeper_of(ctx: ReadContext) -> ShareKeeper:
    """That of the hub which a unit of work belongs to.

    Raises:
        UnavailableError: this process has none.
    """
    keeper: ShareKeeper | None = ctx.session.info.get(KEEPER)
    if keeper is None:
        raise UnavailableError("This command makes no links.", hint="Ask the hub.", code="vault-sealed")
    return keeper


class ShareLink(Created, Record):
    """A link that shows a credential a few times and then no more; the link itself is shown once and never stored."""

    __tablename__ = "share_links"
    __table_args__ = (
        CheckConstraint("max_views >= 1", name="max_views"),
        CheckConstraint("view_count BETWEEN 0 AND max_views", name="view_count"),
        *(Index(None, name) for name in ("credential_id", "client_id", "created_by_id", "expires_at")),
    )

    credential_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("credentials.id", ondelete="CASCADE"))
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("clients.id", ondelete="CASCADE"))
    created_by_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("api_users.id", ondelete="SET NULL"))
    token_hash: Mapped[str] = mapped_column(Line(64), unique=True, info={"sealed": True})
    passphrase_hash: Mapped[str | None] = mapped_column(
        Line(64), info={"sealed": True}, doc="What must be told beside the link; None for a link that is enough."
    )
    fields: Mapped[list[str]] = column(default=[], doc="The names of the secrets it shows.")
    recipient: Mapped[str | None] = mapped_column(Line(255))
    max_views: Mapped[int] = column(default=1)
    view_count: Mapped[int] = column(default=0)
    expires_at: Mapped[datetime]
    last_viewed_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    credential: Mapped[Credential] = relationship(backref=backref("share_links", viewonly=True), viewonly=True)
    creator: Mapped[User | None] = relationship(backref=backref("share_links", viewonly=True), viewonly=True)


class NewShare(WireModel):
    """Whom to show which secrets, how often and for how many seconds; a passphrase is told by another way."""

    fields: list[SecretField] = Field(default=[], max_length=len(SecretField))
    """Which secrets; all that it holds when none is named."""
    recipient: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), Clean]
    max_views: Annotated[int, Field(ge=1, le=MAX_VIEWS)] = 1
    expires_in: Annotated[int, Field(ge=1, le=LONGEST)] = LIFE
    passphrase: Annotated[SecretStr, Field(min_length=4, max_length=128)] | None = None


class Shared(WireModel):
    """A link, shown this once. Behind its # stands the key, which is sent nowhere until the button is pressed."""

    id: uuid.UUID
    url: str
    fields: list[SecretField]
    recipient: str
    max_views: int
    expires_at: datetime


class OpenShare(WireModel):
    """The key of a link, which stands behind its #, and its passphrase if it has one."""

    token: Annotated[str, Field(max_length=200), Clean]
    passphrase: Annotated[SecretStr, Field(max_length=128)] | None = None


class ShownShare(WireModel):
    """What a link shows, and how often it still will."""

    service_name: str
    secrets: dict[SecretField, str]
    views_left: int
    expires_at: datetime


def share(ctx: Context, credential: Credential, body: NewShare) -> Shared:
    """Make a link that shows secrets to somebody without an account, a few times and for a while."""
    if ctx.dry_run:
        raise BadRequestError(
            "A link cannot be tried out: what it shows would not be there.", code="parameter-value", parameter="dry_run"
        )
    require_shown(ctx)
    require_right(ctx, credential, PermissionLevel.share)
    require_untainted(ctx, Deed.share, credential.id)
    if not credential.is_active:
        raise ConflictError(
            "The credential is not active.", hint="It was retired; share another one.", code="credential-inactive"
        )
    fields = CREDENTIAL_SECRETS.wanted(credential, body.fields)
    keeper, token = keeper_of(ctx), secrets.token_urlsafe(32)
    link = ShareLink(
        id=uuid7(),
        credential_id=credential.id,
        client_id=credential.client_id,
        created_by_id=ctx.principal.user_id,
        token_hash=keeper.hashed("token", token),
        fields=[str(field) for field in fields],
        recipient=body.recipient,
        max_views=body.max_views,
        view_count=0,
        expires_at=ctx.now() + timedelta(seconds=body.expires_in),
    )
    if body.passphrase is not None:
        link.passphrase_hash = _passphrase(keeper, link, body.passphrase.get_secret_value())
    ctx.session.add(link)
    ctx.session.flush()
    touched(ctx, credential, CredentialAction.share, fields, share_link=str(link.id), recipient=body.recipient)
    return Shared(
        id=link.id,
        url=f"{(keeper.address or '').rstrip('/')}{PATH}#{token}",
        fields=fields,
        recipient=body.recipient,
        max_views=link.max_views,
        expires_at=link.expires_at,
    )


def view(ctx: Context, body: OpenShare, address: str | None) -> ShownShare | None:
    """What a link shows, counted and written down before it is opened; None when there is nothing to show.

    None rather than an exception: what is counted of a guess must be committed.

    Raises:
        TooManyRequestsError: too many guesses came from the address.
    """
    who = address or "unknown"
    OF_ADDRESS.refuse(ctx, who, alone=True)
    keeper = keeper_of(ctx)
    link = _live(ctx, keeper, body.token)
    if link is None or not _proven(ctx, keeper, link, body):
        OF_ADDRESS.count(ctx, who)
        return None
    counted = update(ShareLink).where(
        ShareLink.id == link.id,
        ShareLink.view_count < ShareLink.max_views,
        ShareLink.revoked_at.is_(None),
        ShareLink.expires_at > ctx.now(),
    )
    counted = counted.values(view_count=ShareLink.view_count + 1, last_viewed_at=ctx.now())
    quiet = unaudited(counted, "each view has its row in the record of touches")
    seen = ctx.session.execute(quiet.execution_options(synchronize_session=False))
    if not seen.rowcount:  # type: ignore[attr-defined]  # an update has one
        return None
    ctx.session.refresh(link)
    credential = ctx.session.get_one(Credential, link.credential_id)
    fields = [SecretField(name) for name in link.fields]
    facts = {"share_link": str(link.id), "recipient": link.recipient or "", "view": str(link.view_count)}
    touched(ctx, credential, CredentialAction.share, fields, **facts)
    secrets = CREDENTIAL_SECRETS.opened(ctx, credential, fields)
    return ShownShare(
        service_name=credential.service_name,
        secrets={field: secret.reveal() for field, secret in secrets.items()},
        views_left=link.max_views - link.view_count,
        expires_at=link.expires_at,
    )


def _live(ctx: Context, keeper: ShareKeeper, token: str) -> ShareLink | None:
    """The link of a token, if it may still show what it was made for."""
    wanted = select(ShareLink).where(ShareLink.token_hash == keeper.hashed("token", token))
    link = ctx.session.scalars(wanted).one_or_none()
    if link is None or link.revoked_at is not None or link.expires_at <= ctx.now():
        return None
    credential = ctx.session.get_one(Credential, link.credential_id)
    creator = ctx.session.get(User, link.created_by_id) if link.created_by_id else None
    held = all(getattr(credential, SecretField(name).column) is not None for name in link.fields)
    may = creator is not None and creator.is_active and allows(ctx, credential, creator.id, PermissionLevel.share)
    return link if credential.is_active and held and may and link.view_count < link.max_views else None


def _proven(ctx: Context, keeper: ShareKeeper, link: ShareLink, body: OpenShare) -> bool:
    """True when the passphrase is right, or none is needed. After a few that are wrong the link ends."""
    if link.passphrase_hash is None:
        return True
    given = body.passphrase.get_secret_value() if body.passphrase else ""
    if hmac.compare_digest(_passphrase(keeper, link, given), link.passphrase_hash):
        return True
    if OF_LINK.count(ctx, str(link.id)) is not None:
        link.revoked_at = ctx.now()
    return False


def _passphrase(keeper: ShareKeeper, link: ShareLink, text: str) -> str:
    return keeper.hashed(f"passphrase:{link.id}", text)


SHARE_LINKS = Resource(
    model=ShareLink,
    name="share-link",
    plural="share-links",
    visible=through_credential(ShareLink.credential_id),
    guarded=True,
    filters=(
        ShareLink.credential_id,
        ShareLink.client_id,
        ShareLink.created_by_id,
        ShareLink.recipient,
        ShareLink.expires_at,
        ShareLink.revoked_at,
    ),
    columns=(ShareLink.credential_id, ShareLink.recipient, ShareLink.view_count, ShareLink.expires_at),
    hidden=(ShareLink.token_hash, ShareLink.passphrase_hash),
    verbs=LENT,
)

SHARE_CREDENTIAL: Final = Action(run=share, name="share", on="credential", scope="share-link:write", risk=Risk.secret)
