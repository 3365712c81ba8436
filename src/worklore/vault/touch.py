"""The record of who touched which secret: a row for each touch, stored before anything else is done."""

from collections.abc import Iterable
from typing import Any

from worklore.kernel.context import Context
from worklore.vault.credential import Credential, CredentialAction, CredentialAuditLog


def touched(
    ctx: Context, credential: Credential, action: CredentialAction, fields: Iterable[str], **told: str
) -> CredentialAuditLog:
    """Write down who does what with which secrets of a credential. No row, no value: it is stored when this returns.

    With the row goes an entry of the change audit that holds its digest, so that nobody changes the row unseen. The
    address a request came from is in the log of requests, under the same request id.

    Args:
        ctx: the unit of work that does it.
        credential: what is touched.
        action: what is done with it.
        fields: the names of the secrets; never a secret.
        told: what else is to be known of it, such as the reason.
    """
    who = {"on_behalf_of": ctx.principal.on_behalf_of, "request_id": str(ctx.request_id)}
    details: dict[str, Any] = {"fields": [str(field) for field in fields], **who, **told}
    row = CredentialAuditLog(
        credential_id=credential.id,
        action=action,
        user_id=ctx.principal.actor,
        details=details,
        timestamp=ctx.now(),
    )
    ctx.session.add(row)
    ctx.session.flush()
    return row
