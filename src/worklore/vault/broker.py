"""Calls that the hub makes itself, with a secret in them: who asked for the call gets the answer without the secret.

The secret goes to the places of its credential alone, and its use is on record before the call leaves. Names are looked
up once and their addresses connected to, so that no second answer of a name service leads elsewhere. Redirects are told
and not followed.
"""

import base64
import contextlib
import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from threading import Timer
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from worklore.kernel.context import Context
from worklore.kernel.errors import ConflictError, InvalidError, OtherSideError
from worklore.kernel.wire import Clean, WireModel
from worklore.vault.credential import SecretField
from worklore.vault.lease import CredentialLease, require_holder, require_live, use
from worklore.vault.secret import Secret
from worklore.vault.target import Address, Target, reachable, require_allowed, target_of
from worklore_redact.exact import Scrubber

CALL_SECONDS: Final = 30
"""From connecting to the last byte of the answer."""

MAX_ANSWER: Final = 1024 * 1024
MAX_SENT: Final = 256 * 1024
"""Bytes of the bodies of answers and of calls."""

NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_|~-]{1,100}$"
OURS: Final = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that are no caller's to set."""

KEPT_BACK: Final = frozenset({"set-cookie", "set-cookie2", "authentication-info"})
"""Headers of answers that are as good as the secret for a while."""


class CallMethod(StrEnum):
    """What is asked of the other side."""

    get = "GET"
    head = "HEAD"
    post = "POST"
    put = "PUT"
    patch = "PATCH"
    delete = "DELETE"


class Carried(StrEnum):
    """How the secret goes along."""

    bearer = "bearer"
    basic = "basic"
    header = "header"


HeaderName = Annotated[str, StringConstraints(pattern=NAME)]
HeaderValue = Annotated[str, StringConstraints(max_length=4000), Clean]


class NewCall(WireModel):
    """A request that the hub is to make with a secret: as a bearer token, beside the username, or in a header."""

    url: Annotated[str, StringConstraints(max_length=2000), Clean]
    method: CallMethod = CallMethod.get
    field: SecretField = SecretField.token
    carried: Carried = Carried.bearer
    header: HeaderName | None = None
    """The header that carries the secret, where that is how it goes."""
    headers: dict[HeaderName, HeaderValue] = Field(default={}, max_length=50)
    body: Annotated[str, StringConstraints(max_length=MAX_SENT), Clean] | None = None


class Called(WireModel):
    """What the other side answered, with *** wherever the secret stood."""

    status: int
    headers: dict[str, str]
    body: str
    is_base64: bool
    """True for a body that is no text: it is given in base64."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is on record and may be made."""

    target: Target
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    secrets: tuple[str, ...] = field(repr=False)


def prepare(ctx: Context, lease: CredentialLease, asked: NewCall) -> Call:
    """A call by a lease, to a place of its credential. Its row in the record of touches is stored when this returns.

    Raises:
        InvalidError: the URL, or a header, is not to be sent.
        ConflictError: the place is not the credential's, or the secret cannot stand in a header.
    """
    require_holder(ctx, lease)
    target, sent = target_of(asked.url), _headers(asked)
    credential = require_live(ctx, lease)
    require_allowed(credential, target)
    told = {"way": "call", "host": target.authority, "method": asked.method.value}
    secret = use(ctx, lease, [asked.field], **told)[asked.field]
    name, value = _carrying(asked, credential.username, secret)
    headers = {"accept": "*/*", "user-agent": "worklore"} | sent
    headers |= {"host": target.authority, "accept-encoding": "identity", "connection": "close", name: value}
    body = None if asked.body is None else asked.body.encode()
    secrets = (secret.reveal(), value.partition(" ")[2] or value)
    return Call(target, asked.method.value, headers, body, secrets)


def _headers(asked: NewCall) -> dict[str, str]:
    """The caller's own headers, by their names in lower case.

    Raises:
        InvalidError: one of them is the hub's to set, or the one that carries the secret.
    """
    sent = {name.lower(): value for name, value in asked.headers.items()}
    carrier = (asked.header or "").lower()
    if (asked.header is not None) != (asked.carried is Carried.header) or carrier in OURS:
        raise InvalidError("header: it names where the secret goes when it goes in a header.", field="header")
    for name, value in sent.items():
        if name in OURS or name == carrier or not (value.isascii() and value.isprintable()):
            raise InvalidError(f"headers: {name} is not the caller's to set, or is no plain text.", field="headers")
    return sent


def _carrying(asked: NewCall, username: str | None, secret: Secret) -> tuple[str, str]:
    """The header that carries a secret."""
    text = secret.reveal()
    if asked.carried is Carried.basic:
        if not username or ":" in username:
            raise ConflictError(
                "The credential has no username that can stand beside its secret.",
                hint="Set its username, or send the secret in another way.",
                code="secret-in-header",
            )
        return "authorization", f"Basic {base64.b64encode(f'{username}:{text}'.encode()).decode()}"
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise ConflictError(
            "This secret cannot stand in a header: it has line breaks, blanks at its ends, or letters beyond ASCII.",
            hint="Send it as basic, or use it by `worklore secret run`.",
            code="secret-in-header",
        )
    return (asked.header.lower(), text) if asked.header else ("authorization", f"Bearer {text}")


def make(call: Call, own: Address | None) -> Called:
    """Make a call that is on record. It takes its time: no unit of work waits for it.

    Args:
        call: the call.
        own: where this hub answers itself.

    Raises:
        OtherSideError: ``call-failed``, ``call-too-slow`` or ``call-answer``.
        ConflictError: the place leads where it must not, ``host-not-allowed``.
    """
    connection = _connected(call.target, own)
    link: socket.socket = connection.sock  # the connection lets go of it once it has the head of the answer
    late = False

    def expire() -> None:
        nonlocal late
        late = True
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)

    timer = Timer(CALL_SECONDS, expire)
    timer.start()
    try:
        connection.request(call.method, call.target.path, call.body, dict(call.headers))
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER + 1)
        if len(body) <= MAX_ANSWER and not late and answer.getheader("Content-Encoding", "identity") == "identity":
            return _scrubbed(call, answer.status, answer.getheaders(), body)
    except (OSError, http.client.HTTPException) as error:
        # The socket's own limit may be reached a moment before the timer's.
        late = late or isinstance(error, TimeoutError)
        if not late:
            # Not chained: what the library says may hold the headers.
            raise _failed(type(error).__name__) from None
    finally:
        timer.cancel()
        connection.close()
    if late:
        raise OtherSideError(
            f"The answer did not come within {CALL_SECONDS} seconds; the call may have had its effect.",
            code="call-too-slow",
        )
    raise OtherSideError(
        f"The answer has more than {MAX_ANSWER} bytes, or is compressed though it was asked not to be.",
        hint="Ask for less of it.",
        code="call-answer",
    )


@cache
def _trusted() -> ssl.SSLContext:
    """The certificate authorities of this machine, or those that SSL_CERT_FILE names."""
    return ssl.create_default_context()


def _connected(target: Target, own: Address | None) -> http.client.HTTPConnection:
    """A connection to the first address of a place that takes one."""
    connection = http.client.HTTPConnection(target.host, target.port)
    failed = "no address"
    for family, address in reachable(target, own):
        plain = socket.socket(family, socket.SOCK_STREAM)
        plain.settimeout(CALL_SECONDS)
        try:
            plain.connect((address, target.port))
            connection.sock = _trusted().wrap_socket(plain, server_hostname=target.host) if target.tls else plain
        except OSError as error:
            plain.close()
            failed = type(error).__name__
        else:
            return connection
    raise _failed(failed)


def _failed(why: str) -> OtherSideError:
    return OtherSideError(
        f"The other side cannot be reached, or does not speak HTTP ({why}).",
        hint="Look at the address and the certificate; the call may have had its effect.",
    )


def _scrubbed(call: Call, status: int, headers: list[tuple[str, str]], body: bytes) -> Called:
    def clean(data: bytes) -> bytes:
        scrubber = Scrubber(call.secrets)
        return scrubber.feed(data) + scrubber.end()

    shown: dict[str, Any] = {}
    for name, value in headers:
        if name.lower() not in KEPT_BACK:
            known = clean(name.lower().encode("latin-1")).decode("latin-1")
            text = clean(value.encode("latin-1")).decode("latin-1")
            shown[known] = f"{shown[known]}, {text}" if known in shown else text
    content = clean(body)
    try:
        return Called(status=status, headers=shown, body=content.decode(), is_base64=False)
    except UnicodeDecodeError:
        return Called(status=status, headers=shown, body=base64.b64encode(content).decode(), is_base64=True)
