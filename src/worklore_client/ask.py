"""Asking the hub from within a hook: one request over a bare socket, one limit of time for all of it."""

import _thread
import time

from worklore_client.events import BEGUN, SEPARATOR, Silent, log, read_text, system
from worklore_client.project import find_project

TYPE_CHECKING = False  # as in `events`
if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER_LIMIT = 65_536
LIMITS = {"SessionStart": ("start_ms", 1000), "UserPromptSubmit": ("prompt_ms", 300), "PreToolUse": ("tool_ms", 60)}
"""By event: the setting of how many milliseconds the hub may take to answer, and what it is unless set."""

CACHE_MS = 400
"""What the cache may take when the hub's time is over, in milliseconds: a disk that hangs holds up no agent."""

FRESH_SECONDS = 300
"""What was renewed so lately is not renewed again."""

_TROUBLE = frozenset(
    (
        "hub-timeout",
        "hub-unreachable",
        "hub-broken-on-purpose",
        "answer-torn",
        "answer-rubbish",
        "answer-too-long",
        "answer-401",
        "answer-403",
        "answer-408",
        "answer-429",
    )
)

_PLAIN = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("%"))


def read_settings(home: str) -> dict[str, str]:
    """The client's ``config``: ``key=value`` lines, ``#`` for comments. Silent("not-connected") without one."""
    text = read_text(home + SEPARATOR + "config")
    if text is None:
        raise Silent("not-connected")
    found: dict[str, str] = {}
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals and not key.startswith("#"):
            found[key.strip()] = value.strip()
    return found


def split_url(url: str) -> tuple[bool, str, int, str]:
    """(tls, host, port, path prefix) of a hub's url.

    Raises Silent("bad-url"), or Silent("insecure-url") for plain http to anything but this machine's loopback: the
    token and the prompts would cross the network in the clear.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not separator or scheme not in ("http", "https") or not authority or "@" in authority:
        raise Silent("bad-url")
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        port = port.lstrip(":")
    else:
        host, _, port = authority.partition(":")
    if not host or (port and not port.isdigit()):
        raise Silent("bad-url")
    tls = scheme == "https"
    if not tls and not is_loopback(host):
        raise Silent("insecure-url")
    return tls, host, int(port or (443 if tls else 80)), (slash + path).rstrip("/")


def is_loopback(host: str) -> bool:
    """True for localhost, 127.0.0.0/8 and ::1; a name that merely resolves there is not trusted."""
    first, *rest = host.split(".")
    quad = first == "127" and len(rest) == len("...") and all(n.isdigit() and len(n) < len("1000") for n in rest)
    return quad or host in ("localhost", "::1")


def ask(settings: dict[str, str], path: str, headers: str, body: bytes) -> bytes:
    """POST `body` and return the whole answer of a 200. Blocks: the caller has set a limit by `watch`."""
    tls, host, port, prefix = split_url(settings.get("hub", ""))
    name = "[" + host + "]" if ":" in host else host
    head = (
        f"POST {prefix}/api/v1/{path} HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n"
        f"Authorization: Bearer {settings.get('token', '')}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    )
    try:
        answer = _exchange_tls if tls else _exchange_plain
        raw = answer(host, port, head.encode("ascii", "replace") + body, settings)
    except OSError:
        raise Silent("hub-unreachable") from None
    return answer_body(raw)


def _exchange_plain(host: str, port: int, request: bytes, _settings: dict[str, str]) -> bytes:
    import _socket  # noqa: PLC0415 - not needed by the events that only leave a note

    # "localhost" is taken for the address itself, so no name service can send the token elsewhere.
    address = "127.0.0.1" if host == "localhost" else host
    link = _socket.socket(_socket.AF_INET6 if ":" in address else _socket.AF_INET, _socket.SOCK_STREAM)
    try:
        link.connect((address, port))
        link.sendall(request)
        return _read_all(link.recv)
    finally:
        link.close()


def _exchange_tls(host: str, port: int, request: bytes, settings: dict[str, str]) -> bytes:
    import socket  # noqa: PLC0415 - 40 ms with ssl, paid only where the hub is reached by https
    import ssl  # noqa: PLC0415 - same

    context = ssl.create_default_context(cafile=settings.get("ca_file") or None)
    with socket.create_connection((host, port)) as plain, context.wrap_socket(plain, server_hostname=host) as link:
        link.sendall(request)
        return _read_all(link.recv)


def _read_all(receive: "Callable[[int], bytes]") -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := receive(16_384):
        parts.append(part)
        size += len(part)
        if size > ANSWER_LIMIT:
            raise Silent("answer-too-long")
    return b"".join(parts)


def answer_body(raw: bytes) -> bytes:
    """The body of a complete 200 whose content is the hub's own; Silent otherwise.

    Something else may listen on the port or stand in between, so an answer that is neither hook output (a JSON
    object) nor a block of ours is not shown to the agent.
    """
    head, blank, body = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    version, _, status = lines[0].partition(b" ")
    if not blank or not version.startswith(b"HTTP/1.") or not status[:3].isdigit():
        raise Silent("answer-rubbish")
    if status[:3] != b"200":
        raise Silent("answer-" + status[:3].decode())
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name, value = name.strip().lower(), value.strip()
        if name == b"transfer-encoding" and value.lower() == b"chunked":
            body = _unchunked(body)
        elif name == b"content-length" and (not value.isdigit() or int(value) != len(body)):
            raise Silent("answer-torn")
    shown = body.strip()
    if shown and not shown.startswith(b"<worklore") and not (shown[:1] == b"{" and shown[-1:] == b"}"):
        raise Silent("answer-rubbish")
    return body


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        size, newline, rest = body.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            raise Silent("answer-torn") from None
        if not newline or len(rest) < length + 2:
            raise Silent("answer-torn")
        if length == 0:
            return b"".join(parts)
        parts.append(rest[:length])
        body = rest[length + 2 :]


def header(name: str, value: str) -> str:
    """A header line with `value` percent-encoded as UTF-8 where it is not plain printable ASCII; "" without a value."""
    if not value:
        return ""
    if not (value.isascii() and value.isprintable()) or "%" in value or value != value.strip():
        data = value.encode("utf-8", "replace")
        value = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)
    return name + ": " + value + "\r\n"


def watch(milliseconds: int, since: float, late: "Callable[[], None]") -> _thread.LockType:
    """Calls `late` and ends the process `milliseconds` after `since`, unless the caller takes the returned lock first.

    One limit for everything: name service, connecting, TLS, a hub that answers byte by byte.
    """
    lock = _thread.allocate_lock()

    def expire() -> None:
        time.sleep(max(0.0, since + milliseconds / 1000 - time.monotonic()))
        if lock.acquire(blocking=False):
            try:
                late()
            finally:
                system._exit(0)  # noqa: SLF001 - the documented name of the function

    _thread.start_new_thread(expire, ())
    return lock


def prompt_memory(home: str, agent: str, event: str, raw: bytes, folder: str, *, names: str) -> bool:
    """Ask the hub what the agent should know now and print its answer byte for byte. True when it answered.

    What this machine has kept answers when the hub does not, or not in time; `names` as for `events.run`.
    """
    settings = read_settings(home)
    name, unless_set = LIMITS[event]
    limit = settings.get(name, "")
    place: list[str] = []

    def without_hub(why: str) -> None:
        log(home, event, why)
        if is_trouble(why):
            watch(CACHE_MS, time.monotonic(), lambda: log(home, event, "cache-timeout"))
            from worklore_client.cached import fall_back  # noqa: PLC0415 - paid only when the hub did not answer

            try:
                place[:] = place or find_project(folder)  # whose reading may be what took the time
                fall_back(home, settings, event, raw, place, names=names, why=why)
            except Exception as error:  # noqa: BLE001 - as in `events.main`, which a late answer does not come back to
                log(home, event, "internal-" + type(error).__name__)

    lock = watch(int(limit) if limit.isdigit() else unless_set, BEGUN, lambda: without_hub("hub-timeout"))
    try:
        place[:] = find_project(folder)
        root, remote, marker = place
        headers = header("X-Worklore-Remote", remote) + header("X-Worklore-Marker", marker)
        headers += header("X-Worklore-Time", str(time.time_ns() // 1_000_000))
        see_that_hub_is_whole(home)
        answer = ask(settings, f"hooks/{agent}/{event}", headers + header("X-Worklore-Cwd", root), raw)
    except Silent as end:
        lock.acquire()  # the failure has its own line; the watch must not add another
        without_hub(end.code)
        return False
    lock.acquire()
    while answer:
        answer = answer[system.write(1, answer) :]
    if event == "SessionStart":
        want_refresh(home, root)
    return True


def is_trouble(code: str) -> bool:
    """True for what another layer may help with, or an agent should know of."""
    return code in _TROUBLE or code[:8] == "answer-5"


def broken_hub(home: str) -> bool:
    """True while `worklore offline simulate` has the hub broken."""
    if read_text(home + SEPARATOR + "offline", 4_096) is None:
        return False
    from worklore_client.cached import broken  # noqa: PLC0415 - only where something is simulated

    return broken(home, "hub")


def see_that_hub_is_whole(home: str) -> None:
    """Silent("hub-broken-on-purpose") where it is not."""
    if broken_hub(home):
        raise Silent("hub-broken-on-purpose")


def want_refresh(home: str, folder: str) -> None:
    """Leave the wish that the flusher renews what is kept of a folder's project, where that is not fresh."""
    try:
        if time.time() - system.stat(home + SEPARATOR + "cache.db").st_mtime < FRESH_SECONDS:
            return
    except OSError:
        pass  # there is none yet
    path = home + SEPARATOR + "spool" + SEPARATOR + "refresh"
    try:
        handle = system.open(path, system.O_WRONLY | system.O_APPEND | system.O_CREAT, 0o600)
        try:
            if system.fstat(handle).st_size < ANSWER_LIMIT:
                system.write(handle, (folder + "\n").encode("utf-8", "surrogateescape"))
        finally:
            system.close(handle)
    except OSError:
        log(home, "SessionStart", "refresh-unwritable")
