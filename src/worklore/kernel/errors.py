"""The one exception tree. What a caller may know is in the exception; all else becomes a 500 with an id.

Every error is answered as a problem document (RFC 9457): a stable ``code`` for programs, and for people what
happened (``title``), why (``detail``) and what to do (``hint``).
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

HIDDEN: Final = "***"
"""Stands for what is not repeated."""

_NAME: Final = re.compile(r"[a-z][a-z_.-]*(?:[0-9]{1,3}[a-z_.-]*)?|(?:[A-Z][a-z]{2,}){1,4}")
_LONGEST_NAME: Final = 60


class HubError(Exception):
    """A failure the caller is told about.

    Args:
        detail: why it happened, in one or two sentences; never a secret, never a pasteable destructive command.
        hint: what the caller can do about it.
        code: a stable identifier that overrides the class's own.
        members: further members of the problem document, JSON values only.
    """

    status: ClassVar[int] = 500
    code: str = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, *, hint: str | None = None, code: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.code = code or type(self).code
        self.members: Mapping[str, Any] = members

    def problem(self) -> dict[str, Any]:
        """The problem document as a JSON-ready mapping."""
        document: dict[str, Any] = {
            "type": f"urn:worklore:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.hint:
            document["hint"] = self.hint
        return document | dict(self.members)


def named(text: str) -> str:
    """A caller's word where a name of ours belongs, for a refusal to repeat.

    A word that does not look like such a name is not repeated: it may be a secret in the wrong place.
    """
    return text if len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) else HIDDEN


def limit(name: str, most: int, sent: int | None = None) -> dict[str, Any]:
    """The member that tells which limit was passed: its name, how much it allows, and how much was sent if known."""
    return {"limit": {"name": name, "most": most} | ({} if sent is None else {"sent": sent})}


class BadRequestError(HubError):
    """The request cannot be understood: an unknown parameter, filter or sort field."""

    status = 400
    code = "bad-request"
    title = "The request cannot be understood"


class UnauthenticatedError(HubError):
    """No principal: the token is missing, unknown or expired."""

    status = 401
    code = "token-invalid"
    title = "Sign in first"


class ForbiddenError(HubError):
    """The principal is known and lacks a scope."""

    status = 403
    code = "forbidden"
    title = "Not allowed"


class NotFoundError(HubError):
    """The record does not exist, or this principal may not know that it does."""

    status = 404
    code = "not-found"
    title = "Not found"


class SlowError(HubError):
    """The request did not arrive in time."""

    status = 408
    code = "too-slow"
    title = "The request did not arrive in time"


class ConflictError(HubError):
    """The present state does not allow it: a duplicate, a child in the way, a request still running."""

    status = 409
    code = "conflict"
    title = "Conflict with the present state"


class StaleError(HubError):
    """The record has moved on since the caller read it; ``current`` holds it as it is now."""

    status = 412
    code = "stale-version"
    title = "The record has changed since you read it"


class TooLargeError(HubError):
    """The request body exceeds the limit."""

    status = 413
    code = "too-large"
    title = "Too large"


class AddressTooLongError(HubError):
    """Path and parameters exceed the limit."""

    status = 414
    code = "address-too-long"
    title = "The address is too long"


class InvalidError(HubError):
    """The request is understood and its content is wrong; ``errors`` lists each field."""

    status = 422
    code = "invalid"
    title = "The content is not valid"


class VersionRequiredError(HubError):
    """An agent must say which version it read."""

    status = 428
    code = "version-required"
    title = "Say which version you read"


class TooManyRequestsError(HubError):
    """A limit was reached; ``retry_after`` is in seconds."""

    status = 429
    code = "too-many-requests"
    title = "Too many requests"


class HeadersTooLargeError(HubError):
    """The headers exceed the limit."""

    status = 431
    code = "headers-too-large"
    title = "The headers are too large"


class OtherSideError(HubError):
    """A server that the hub asked for somebody did not answer as it should; what was asked may have had its effect."""

    status = 502
    code = "call-failed"
    title = "The other side did not answer"


class UnavailableError(HubError):
    """The hub cannot do it now; the request had no effect unless ``outcome`` says that it is unknown."""

    status = 503
    code = "unavailable"
    title = "Not available at the moment"
