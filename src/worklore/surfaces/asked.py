"""What a request asks, beside its body: which record, which version, and whether for real."""

import re
import uuid
from typing import Any, Final

from fastapi import Request

from worklore.kernel import crud
from worklore.kernel.errors import BadRequestError, named
from worklore.kernel.resource import Resource

ETAG: Final = re.compile(r'(?:W/)?"(?P<version>[0-9]{1,10})"')
"""A version as a tag; a proxy that compresses makes it a weak one."""

WRITE_PARAMETERS: Final = frozenset({"dry_run", "cascade"})


def record_id(resource: Resource, text: str) -> uuid.UUID:
    """The id in a path.

    Raises:
        NotFoundError: it is no id at all, so nothing has it.
    """
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise crud.missing(resource, text) from error


def flags(request: Request) -> dict[str, bool]:
    """``dry_run`` and ``cascade`` of a write.

    Raises:
        BadRequestError: another parameter, or a value that is not true or false.
    """
    found: dict[str, bool] = {}
    for name, value in request.query_params.multi_items():
        if name not in WRITE_PARAMETERS or value not in {"true", "false"}:
            raise BadRequestError(
                f"{named(name)} is not understood here, or not with that value.",
                hint="Writes take dry_run=true and, to delete, cascade=true.",
                code="parameter-unknown",
                parameter=named(name),
            )
        found[name] = value == "true"
    return found


def expected_version(request: Request) -> int | None:
    """The version in ``If-Match``; None when there is none or it is ``*``.

    Raises:
        BadRequestError: it is not an ETag this hub gives.
    """
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    tag = ETAG.fullmatch(text.strip())
    if tag is None:
        raise BadRequestError("If-Match takes an ETag as the hub gave it.", code="etag-invalid")
    return int(tag["version"])


def etag(item: dict[str, Any]) -> dict[str, str]:
    """The ETag of a record: its version."""
    return {"etag": f'"{item["version"]}"'} if "version" in item else {}
