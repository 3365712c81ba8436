"""Taking secrets out of bytes that somebody else has made: a program's output, a server's answer.

Of the standard library alone and of nothing else here, for the hub and the command line both need it. It finds a
secret as it is and in the forms that programs usually bring it into; whoever wants to hide a secret from it can, by any
other form.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MARK = b"***"
"""What stands where a secret was."""

SHORTEST = 4
"""Bytes of the shortest form beside the secret itself: shorter ones occur by chance everywhere."""

LINE = 16
"""Bytes of a line of a secret, such as a private key's, that is looked for on its own."""

UNRESERVED = "!*'()"
"""What JavaScript leaves as it is beside what everybody does."""


def forms(secret: str) -> frozenset[bytes]:
    """A secret in every form that is looked for.

    As it is, and in base64 (with the URL's alphabet, without its end, and from within a longer text), percent-encoded,
    as JSON and HTML write it, in hexadecimal and in UTF-16.
    """
    plain = secret.encode("utf-8", "surrogatepass")
    found = {plain}
    for text in _texts(secret):
        found.update(form for form in _encoded(text) if len(form) >= SHORTEST)
    return frozenset(form for form in found if form)


def _texts(secret: str) -> Iterator[str]:
    """The secret, as it is without what a shell cuts off, and as files of another system hold it; its long lines."""
    yield secret
    yield secret.strip()
    lines = secret.splitlines()
    if len(lines) > 1:
        yield "\r\n".join(lines)
        yield from (line for line in lines if len(line) >= LINE)


def _encoded(text: str) -> Iterator[bytes]:
    plain = text.encode("utf-8", "surrogatepass")
    yield plain
    yield from _base64(plain)
    yield from (plain.hex().encode(), plain.hex().upper().encode())
    yield from (text.encode(name, "surrogatepass") for name in ("utf-16-le", "utf-16-be"))
    yield html.escape(text).encode("utf-8", "surrogatepass")
    yield html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;").encode("utf-8", "surrogatepass")
    written = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    for each in written:
        for variant in (each, each.replace("/", r"\/"), _as_browsers_write(each)):
            yield from _cases(variant.encode("utf-8", "surrogatepass"), rb"\\u[0-9a-fA-F]{4}")
    percent = {quote(plain, safe=""), quote(plain), quote_plus(plain), quote(plain, safe=UNRESERVED)}
    for each in (*percent, "".join(f"%{byte:02X}" for byte in plain)):
        yield from _cases(each.encode(), rb"%[0-9A-F]{2}")


def _as_browsers_write(text: str) -> str:
    """JSON that may stand within a page: as Go, and others, write it unasked."""
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _cases(text: bytes, escape: bytes) -> Iterator[bytes]:
    """A text, and with the hexadecimal digits of its escapes in either case."""
    yield text
    yield re.sub(escape, lambda found: found[0].lower(), text)
    yield re.sub(escape, lambda found: found[0][:2] + found[0][2:].upper(), text)


def _base64(plain: bytes) -> Iterator[bytes]:
    """Base64 of the bytes alone, and what no neighbour can change of it where they stand within a longer text."""
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        alone = alphabet(plain)
        yield from (alone, alone.rstrip(b"="))
        for before in range(3):
            first = -(-before * 8 // 6)
            last = (before + len(plain)) * 8 // 6
            yield alphabet(bytes(before) + plain)[first:last]


class Scrubber:
    """Bytes that come in parts, without the secrets.

    What it gives back in parts is, put together, what :func:`scrub` makes of the whole, wherever the parts end. It
    holds back only what may be the beginning of a secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first: where two begin at one place, the longer goes.
        known = sorted({form for secret in secrets for form in forms(secret)}, key=lambda form: (-len(form), form))
        self._held = b""
        self._longest = len(known[0]) if known else 0
        self._by_first: dict[int, list[bytes]] = {}
        for form in known:
            self._by_first.setdefault(form[0], []).append(form)
        firsts = b"".join(re.escape(bytes([first])) for first in self._by_first)
        self._any = re.compile(b"|".join(map(re.escape, known)) if known else b"(?!)")
        self._first = re.compile(b"[" + firsts + b"]" if known else b"(?!)")

    def feed(self, part: bytes) -> bytes:
        """The next part, as far as it can be given."""
        return self._given(self._held + part, ended=False)

    def end(self) -> bytes:
        """What is left, once nothing more comes."""
        return self._given(self._held, ended=True)

    def _given(self, data: bytes, *, ended: bool) -> bytes:
        clean: list[bytes] = []
        start = 0
        while True:
            waits = len(data) if ended else self._waits(data, start)
            found = self._any.search(data, start)
            if found is None or found.start() >= waits:
                break
            clean += (data[start : found.start()], MARK)
            start = found.end()
        clean.append(data[start:waits])
        self._held = data[waits:]
        return b"".join(clean)

    def _waits(self, data: bytes, start: int) -> int:
        """Where the first piece begins that runs to the end and may become a secret; the end for none."""
        start = max(start, len(data) - self._longest + 1)
        for place in self._first.finditer(data, start):
            rest = data[place.start() :]
            if any(len(form) > len(rest) and form.startswith(rest) for form in self._by_first[rest[0]]):
                return place.start()
        return len(data)


def scrub(data: bytes, secrets: Iterable[str]) -> bytes:
    """The whole of something, without the secrets."""
    scrubber = Scrubber(secrets)
    return scrubber.feed(data) + scrubber.end()
