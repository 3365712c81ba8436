"""Whether a secret opens what an integration needs: a real request for each scope, and what came of it.

Nothing of an answer is read but its status. An answer that leads to another host is not followed, and a secret goes
over TLS, whose certificate the machine must trust; in clear only to the machine itself.
"""

import asyncio
import ipaddress
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from pydantic import StringConstraints

from worklore.kernel.wire import Clean, WireModel

if TYPE_CHECKING:
    import httpx2

MAX_PROBES: Final = 20
MAX_REDIRECTS: Final = 3
SECONDS: Final = 10.0
"""What one probe may take in all, its redirects included."""


class ProbeMethod(StrEnum):
    """How a probe asks; neither changes anything."""

    GET = "GET"
    HEAD = "HEAD"


class ProbeOutcome(StrEnum):
    """What came of a probe."""

    ok = "ok"
    unauthorized = "unauthorized"
    forbidden = "forbidden"
    not_found = "not-found"
    failed = "failed"
    timeout = "timeout"
    unreachable = "unreachable"


OUTCOMES: Final[Mapping[int, ProbeOutcome]] = {
    HTTPStatus.UNAUTHORIZED: ProbeOutcome.unauthorized,
    HTTPStatus.FORBIDDEN: ProbeOutcome.forbidden,
    HTTPStatus.NOT_FOUND: ProbeOutcome.not_found,
}
SUCCESS: Final = range(200, 300)


class Probe(WireModel):
    """A scope that an integration needs, and a path that answers whoever has it."""

    scope: Annotated[str, StringConstraints(min_length=1, max_length=100), Clean]
    method: ProbeMethod = ProbeMethod.GET
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=500)]


class ProbeResult(WireModel):
    """What came of a probe."""

    scope: str
    outcome: ProbeOutcome
    status: int | None
    """The answer's status; none where there was no answer."""
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where probes go, and the headers that sign them in."""

    url: str
    headers: Mapping[str, str] = field(repr=False)


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what must stay the same for a secret to go there."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def why_not(url: str) -> str | None:
    """Why no secret may go to an address; None when one may."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        return "it names a user; give username, and the password as a secret"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts)):
        return None
    return "secrets are sent by https alone, or by http to this machine"


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def ask(target: Target, probes: Sequence[Probe]) -> list[ProbeResult]:
    """What each probe finds, in their order; all are asked at once. Without any, the address itself is asked for.

    Blocks the calling thread, for ``SECONDS`` and a little more at most.
    """
    return asyncio.run(_ask(target, probes))


async def _ask(target: Target, probes: Sequence[Probe]) -> list[ProbeResult]:
    import httpx2  # noqa: PLC0415 - a twentieth of a second that no start of the hub should wait for

    parts = urlsplit(target.url)
    below = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    asked = [(probe.scope, probe.method, below + probe.path) for probe in probes]
    # The system's own certificates, which its keeper may add to, and neither proxies nor names from the environment.
    async with httpx2.AsyncClient(verify=ssl.create_default_context(), trust_env=False, timeout=SECONDS) as client:
        every = asked or [("connection", ProbeMethod.GET, target.url)]
        return await asyncio.gather(*(_one(client, target, *each) for each in every))


async def _one(client: "httpx2.AsyncClient", target: Target, scope: str, method: str, url: str) -> ProbeResult:
    import httpx2  # noqa: PLC0415 - imported already

    status: int | None = None
    began = time.perf_counter()
    try:
        async with asyncio.timeout(SECONDS):
            status = await _status(client, target, method, url)
        outcome = ProbeOutcome.ok if status in SUCCESS else OUTCOMES.get(status, ProbeOutcome.failed)
    except (TimeoutError, httpx2.TimeoutException):
        outcome = ProbeOutcome.timeout
    # Their texts may hold what was sent.
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
        outcome = ProbeOutcome.unreachable
    spent = round((time.perf_counter() - began) * 1000)
    return ProbeResult(scope=scope, outcome=outcome, status=status, milliseconds=spent)


async def _status(client: "httpx2.AsyncClient", target: Target, method: str, url: str) -> int:
    """The status that stands at the end of redirects within the host; that of a redirect elsewhere is the last."""
    status = 0
    for _ in range(MAX_REDIRECTS + 1):
        async with client.stream(method, url, headers=target.headers) as answer:
            status, leads = answer.status_code, answer.headers.get("location")
        further = urljoin(url, leads) if answer.is_redirect and leads else url
        if further == url or origin(further) != origin(url):
            break
        url = further
    return status
