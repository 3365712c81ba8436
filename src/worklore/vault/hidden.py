"""What is told of a restricted credential elsewhere, in the history of changes: not to those who may not know of it."""

from typing import Any, Final

from sqlalchemy import ColumnElement, or_, select, true, union_all
from sqlalchemy.orm import InstrumentedAttribute

from worklore.kernel.access import Principal, Visibility
from worklore.vault.credential import Credential, CredentialAuditLog
from worklore.vault.grant import MANAGE, CredentialPermission, named_for
from worklore.vault.lease import CredentialLease
from worklore.vault.share import ShareLink

OF_CREDENTIALS: Final = (CredentialAuditLog, CredentialPermission, CredentialLease, ShareLink)


def of_nothing_hidden(record: InstrumentedAttribute[Any]) -> Visibility:
    """Rows whose record, named by its id, is no restricted credential that is hidden, nor belongs to one."""

    def visible(principal: Principal) -> ColumnElement[bool]:
        if principal.may(MANAGE):
            return true()
        hidden = select(Credential.id).where(Credential.is_restricted, Credential.id.not_in(named_for(principal)))
        theirs = [select(model.id).where(model.credential_id.in_(hidden)) for model in OF_CREDENTIALS]
        return or_(record.is_(None), record.not_in(union_all(hidden, *theirs)))

    return visible
