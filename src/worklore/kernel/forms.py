"""Forms of text: addresses, networks, URLs and the like, checked by libraries made for them.

A column says which form its text has by ``info={"form": "ip"}``; the wire schemas then refuse anything else. Text is
kept as it was written, trimmed of white space at its ends.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final

from cronsim import CronSim, CronSimError
from pydantic import AnyUrl, TypeAdapter, ValidationError, validate_email
from pydantic_core import PydanticCustomError
from pydantic_extra_types.mac_address import MacAddress

from worklore.kernel.types import utcnow

_URL: Final = TypeAdapter(AnyUrl)
_MAC: Final = TypeAdapter(MacAddress)
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_QUARTER: Final = re.compile(r"\d{4}-Q[1-4]")

PORTS: Final = (1, 65_535)


def _ip(text: str) -> None:
    ipaddress.ip_address(text)


def _cidr(text: str) -> None:
    if "/" not in text:
        raise ValueError
    ipaddress.ip_interface(text)


def _mac(text: str) -> None:
    _MAC.validate_python(text)


def _email(text: str) -> None:
    validate_email(text)


def _url(text: str) -> None:
    if not _URL.validate_python(text).host:
        raise ValueError


def _hostname(text: str) -> None:
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.rstrip(".").split(".")):  # noqa: PLR2004 - RFC 1035
        raise ValueError


def _commit(text: str) -> None:
    if not _COMMIT.fullmatch(text):
        raise ValueError


def _quarter(text: str) -> None:
    if not _QUARTER.fullmatch(text):
        raise ValueError


def _cron(text: str) -> None:
    CronSim(text, utcnow())


_FORMS: Final[Mapping[str, tuple[str, Callable[[str], None]]]] = {
    "ip": ("an IPv4 or IPv6 address, such as 192.0.2.10", _ip),
    "cidr": ("a network with its prefix length, such as 192.0.2.0/24", _cidr),
    "mac": ("a MAC address, such as 00:00:5e:00:53:01", _mac),
    "email": ("an e-mail address, such as somebody@example.com", _email),
    "url": ("a URL with scheme and host, such as https://example.com/", _url),
    "hostname": ("a host name, such as srv-01.example.com", _hostname),
    "commit": ("a commit hash of 40 hexadecimal digits in lower case", _commit),
    "quarter": ("a quarter, such as 2026-Q3", _quarter),
    "cron": ("five cron fields, such as 30 2 * * *", _cron),
}


def of_form(form: str) -> Callable[[str], str]:
    """A validator for pydantic: the text, trimmed, or an error that says what the form looks like.

    Raises:
        KeyError: there is no such form.
    """
    meaning, check = _FORMS[form]

    def validate(text: str) -> str:
        text = text.strip()
        try:
            check(text)
        except (ValueError, ValidationError, PydanticCustomError, CronSimError) as error:
            raise PydanticCustomError("form", "must be {meaning}", {"meaning": meaning, "form": form}) from error
        return text

    return validate
