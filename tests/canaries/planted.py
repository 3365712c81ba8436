"""Secrets that can be found again in whatever form they come out, and the search for them.

All secrets of a run share a mark of 16 random letters and digits, and each has a number: what holds the mark, in any
form, holds a secret. A search for one mark in all its forms takes as long for a thousand secrets as for one.
"""

import base64
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
"""Of base32, so that a TOTP seed can hold the mark. None of it is escaped in a URL, in JSON or in SQL."""

ED25519 = bytes.fromhex("302e020100300506032b657004220420")
"""How the DER of a private key of Ed25519 begins (RFC 8410); 32 bytes follow."""

KINDS = ("password", "api_key", "client_secret", "token", "connection_string", "totp_seed", "private_key")


@dataclass
class Planter:
    """Makes secrets, each with its number."""

    mark: str = field(default_factory=lambda: "".join(secrets.choice(ALPHABET) for _ in range(16)))
    made: int = 0

    def __call__(self, kind: str = "password") -> str:
        """The next secret."""
        number, digits = self.made, ""
        self.made += 1
        for _ in range(6):
            number, digit = divmod(number, len(ALPHABET))
            digits = ALPHABET[digit] + digits
        return _of_kind(kind, self.mark + digits)


def _of_kind(kind: str, core: str) -> str:
    match kind:
        case "password":
            return f"{core} p\u00e4\u00df'\"\\%25%{{x}}\U0001f511{core}"
        case "api_key":
            return f"sk_live_{core}"
        case "client_secret":
            return f"{core}~Q.%2f+/=&{core}"
        case "token":
            return f"{core}\r\n\t{core}"
        case "connection_string":
            return f"Server=db.example.com;Database=erp;User Id=sa;Password={core}';--;Encrypt=true"
        case "totp_seed":
            return f"{core}{core}"[:32]
        case _:
            return _private_key(core)


def _private_key(core: str) -> str:
    """A key that programs read, whose base64 holds the mark."""
    text = base64.b64encode(ED25519 + bytes(32)).decode()
    text = text[:22] + core.ljust(42, "A")
    assert base64.b64decode(text).startswith(ED25519)
    return f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"


def forms(text: str) -> dict[str, bytes]:
    """What to look for, by the name of the form, in lower case."""
    plain, wide = text.encode(), text.encode("utf-16-le")
    patterns = {
        "raw": plain,
        "UTF-16": b"\0".join(bytes([byte]) for byte in plain),
        "hexadecimal": plain.hex().encode(),
        "hexadecimal of UTF-16": wide.hex().encode(),
        "percent-encoded": b"".join(b"%%%02x" % byte for byte in plain),
        "escaped as JSON": b"".join(b"\\u%04x" % byte for byte in plain),
        "escaped as Python": b"".join(b"\\x%02x" % byte for byte in plain),
        "octal": b"".join(b"\\%03o" % byte for byte in plain),
        "bytes as numbers": b", ".join(b"%d" % byte for byte in plain),
    }
    for name, content in (("base64", plain), ("base64 of UTF-16", wide)):
        patterns |= {f"{name} at {shift}": _inside(content, shift) for shift in range(3)}
    return {name: pattern.lower() for name, pattern in patterns.items()}


def _inside(content: bytes, shift: int) -> bytes:
    """The base64 of a content that begins ``shift`` bytes into a group, without what its neighbours have a part in."""
    whole = len(content) - (shift + len(content)) % 3
    return base64.b64encode(bytes(shift) + content[:whole])[-(-shift * 8 // 6) :]


@dataclass(frozen=True)
class Hit:
    """A secret that was found: which, where, in which form, and where it stands there."""

    what: str
    place: str
    form: str
    offset: int


@dataclass
class Finder:
    """Looks for the mark of what was planted, and for secrets that the hub itself has made."""

    mark: str
    places: int = 0
    searched: int = 0
    hits: list[Hit] = field(default_factory=list)
    _patterns: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._patterns["planted"] = forms(self.mark)

    def know(self, name: str, *texts: str) -> None:
        """Look for these, too."""
        for place, text in enumerate(texts):
            self._patterns[f"{name} {place}" if place else name] = forms(text)

    @property
    def known(self) -> int:
        """How many texts are looked for."""
        return len(self._patterns)

    def search(self, place: str, contents: bytes | Iterable[bytes], *, but: Iterable[str] = ()) -> None:
        """Look into a place; ``but`` names secrets of the hub that belong there."""
        self.places += 1
        for content in [contents] if isinstance(contents, bytes) else contents:
            self.searched += len(content)
            self.hits += self.found(place, content, frozenset(but))

    def found(self, place: str, content: bytes, but: frozenset[str] = frozenset()) -> Iterator[Hit]:
        """The first hit of each secret in each form."""
        # What is escaped within what is escaped has two backslashes for one, or four.
        lower = re.sub(rb"\\\\+", rb"\\", content.lower())
        for what, patterns in self._patterns.items():
            if what in but:
                continue
            for form, pattern in patterns.items():
                offset = lower.find(pattern)
                if offset >= 0:
                    yield Hit(what, place, form, offset)
