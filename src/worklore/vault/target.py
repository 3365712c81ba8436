"""Where a credential may be sent: the hosts of its own URLs and those it allows, and what none of them may lead to."""

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from worklore.kernel.errors import ConflictError, InvalidError, OtherSideError

if TYPE_CHECKING:
    from worklore.vault.credential import Credential

PORTS: Final = {"https": 443, "http": 80}

Address = tuple[str, int]
"""A host, in lower case and without brackets, and a port."""


@dataclass(frozen=True, slots=True)
class Target:
    """A place to send a request to.

    Attributes:
        tls: https; plain http goes to this machine alone.
        host: as its certificate must name it.
        path: with the query, from the slash on.
    """

    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header tells them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"


def host_and_port(text: str) -> Address:
    """The address that ``host``, ``host:port`` or ``[address]:port`` names; port 443 unless it is told.

    Raises:
        ValueError: it is none of these.
    """
    if any(mark in text for mark in "/?#@ \t\r\n\\%") or not text.isascii() or not text.isprintable():
        raise ValueError("it holds more than a host and a port")
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError("it names no host")
    return parts.hostname, parts.port or PORTS["https"]


def target_of(url: str) -> Target:
    """The place that a URL names.

    Raises:
        InvalidError: it is no URL of a web server, holds a name and password, or is plain http to another machine.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    clean = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not host or parts.scheme not in PORTS or parts.username is not None or port == 0 or not clean:
        raise InvalidError("url: it must be https://host/path, in ASCII and without a name and password.", field="url")
    if parts.scheme == "http" and not is_this_machine(host):
        raise InvalidError("url: plain http would show the secret on its way; use https.", field="url")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", host, port or PORTS[parts.scheme], path)


def is_this_machine(host: str) -> bool:
    """True for localhost and addresses of the loopback; a name that merely leads there is not trusted."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_allowed(credential: "Credential", target: Target) -> None:
    """Refuse a place that is not the credential's.

    Raises:
        ConflictError: ``host-not-allowed``, with the places that are.
    """
    allowed = frozenset(_allowed(credential))
    if (target.host, target.port) not in allowed:
        raise ConflictError(
            f"The credential may not be sent to {target.host[:100]}, port {target.port}.",
            hint="It goes to the hosts of its external_url and internal_url, and to its allowed_hosts.",
            code="host-not-allowed",
            allowed=sorted(f"{host}:{port}" for host, port in allowed),
        )


def _allowed(credential: "Credential") -> Iterator[Address]:
    for url in (credential.external_url, credential.internal_url):
        parts = urlsplit(url or "")
        if parts.hostname and parts.scheme in PORTS:
            yield parts.hostname, parts.port or PORTS[parts.scheme]
            if credential.custom_port is not None:
                yield parts.hostname, credential.custom_port
    yield from (host_and_port(text) for text in credential.allowed_hosts or ())


def reachable(target: Target, own: Address | None) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses a place may be reached at, in the order to be tried: found once, and connected to as they are.

    An address of this machine, of the local link or of no machine at all is only for those who name the address
    itself: a name leads wherever its owner, or whoever answers for the name service, wants. ``own`` is where this hub
    answers.

    Raises:
        ConflictError: ``host-not-allowed``.
        OtherSideError: the name leads nowhere.
    """
    named = is_address(target.host) or target.host == "localhost"
    try:
        known = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OtherSideError(
            f"The name {target.host[:100]} leads nowhere.", hint="Look at the credential's URL."
        ) from error
    found: list[tuple[socket.AddressFamily, str]] = [(family, str(place[0])) for family, _, _, _, place in known]
    if not named and any(not _elsewhere(address) or (address, target.port) == own for _, address in found):
        raise ConflictError(
            f"The name {target.host[:100]} leads to the hub's own machine or to the local link.",
            hint="Name the address itself in allowed_hosts if that is what you want.",
            code="host-not-allowed",
        )
    return found


def is_address(host: str) -> bool:
    """True for an address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _elsewhere(text: str) -> bool:
    """True for an address that another machine may have, on a private network too."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast)
