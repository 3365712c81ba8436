"""What a find must be beside matching: the difference between a secret and a word, a variable, a version, an example.

A check gets the text, the place where the match begins and that of the find, and gives back the find's place, made
shorter where its end is punctuation, or None where it is no secret.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

Check = Callable[[str, int, int, int], tuple[int, int] | None]
"""``(text, match start, find start, find end)`` to the place of the secret, or None."""

_QUOTES: Final = "\"'`\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb"
_TRAILING: Final = ".,;:)]}>|*\\" + _QUOTES
_SYMBOLS: Final = frozenset("!@#$%^&*?+=~\u00a7\u20ac")

_PLACEHOLDER: Final = re.compile(
    r"""[<\[{(]{1,3}[^<>\[\]{}()]{0,80}[>\]})]{1,3} | \\?\$(?:(?:env:|script:|global:)?[A-Za-z_]\w*|[{(].*)
    | %[\w]{2,40}%
    | [*x.\-_?#\u2022\u2026]{3,}
    | \W+ | @?\{.* | .*\{\{.* | .*<[\w .-]{2,40}>.* | (?:your|my|the|some|insert|enter|replace|put)[ _-].*
    | .*(?:example|placeholder|redacted|dummy|your[_-]|_here\b|-here\b|xxxx|\.\.\.|\u2026|\*\*\*).*""",
    re.VERBOSE | re.IGNORECASE,
)
"""What stands for a secret in a manual or a template, and what was hidden already."""

_CODE: Final = re.compile(
    r"""[A-Za-z_$@][\w$]*(?:\??\.[A-Za-z_$][\w$]*)+[\[(;]?.* | [^\s"']*[A-Za-z0-9_]\(.* | [A-Za-z_][\w.]*\[.*
    | \w+::\w.* | new | await | f?[rb]?["'].* | &\w.* | [A-Za-z_]\w*\|\|?.* | /[^\s/].*/[gimsuy]*""",
    re.VERBOSE,
)
"""An expression of a program: a path of names, a call, a place in a list."""

_PATH: Final = re.compile(r"(?:~|\.{1,2})?/(?:[\w.@-]+/)+[\w.@{}-]*|/[\w.-]+|[A-Za-z]:\\.*|[a-z][a-z+]{1,9}://.*")
_DATE: Final = re.compile(r"\d{4}-\d\d?-\d\d?(?:T.*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{1,2}:\d\d(?::\d\d)?")
_VERSION: Final = re.compile(r"v?\d+(?:\.\d+){1,4}(?:[-+][\w.]+)?(?:/\d{1,3})?(?::\d{1,5})?")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_TECHNICAL: Final = re.compile(
    r"""(?:sha|aes|md|rsa|utf|iso|base|oauth|ipv|tls|ssl|http|ldapv?|argon|scrypt|pbkdf|hs|rs|es|ed|rfc|cve|x|v|win|
    windows|server|office|o|m|exchange|srv|dc|fw|sw|ap|vlan|port|kb|step|line|page|tier|level|room|gen|id|nr|no)
    [-_ ]?\d[\d.-]{0,10}[a-z]{0,3}(?:-[a-z]{2,8}){0,2}|argon2id?|bcrypt|base64.*|\d+[-\u2013](?:\d+|[a-z]+(?:-[a-z]+)*)
    |\d+(?:st|nd|rd|th|x|d|h|m|s|ms|kb|mb|gb|px|%)
    |2fa|mfa|oauth2|pkcs\#?\d+|i18n|l10n|k8s|p2p|b2b|o365|m365|w32tm""",
    re.VERBOSE | re.IGNORECASE,
)
"""Words of the trade that hold digits."""

_NO_VALUE: Final = frozenset(
    [
        "any",
        "array",
        "auth",
        "authentication",
        "bool",
        "boolean",
        "buffer",
        "bytes",
        "changed",
        "char",
        "client",
        "config",
        "default",
        "disabled",
        "email",
        "empty",
        "enabled",
        "encrypted",
        "expired",
        "export",
        "false",
        "field",
        "file",
        "forgot",
        "hash",
        "hashed",
        "help",
        "hidden",
        "hint",
        "incorrect",
        "input",
        "int",
        "integer",
        "invalid",
        "key",
        "label",
        "leer",
        "list",
        "login",
        "max",
        "min",
        "missing",
        "must",
        "name",
        "new",
        "nil",
        "no",
        "none",
        "not",
        "null",
        "number",
        "object",
        "off",
        "ok",
        "on",
        "one",
        "optional",
        "password",
        "passwort",
        "kennwort",
        "passphrase",
        "pass",
        "pin",
        "plain",
        "prompt",
        "protected",
        "redacted",
        "ref",
        "required",
        "reset",
        "same",
        "secret",
        "secretref",
        "see",
        "self",
        "set",
        "sha1",
        "sha256",
        "show",
        "siehe",
        "str",
        "string",
        "stored",
        "template",
        "test",
        "text",
        "tba",
        "tbd",
        "the",
        "this",
        "token",
        "true",
        "type",
        "undefined",
        "unchanged",
        "unknown",
        "unset",
        "update",
        "user",
        "username",
        "valid",
        "value",
        "varchar",
        "vault",
        "void",
        "weak",
        "wrong",
        "yes",
        "secretstr",
        "optional[str]",
        "bcrypt",
        "argon2",
        "argon2id",
        "base64",
        "bearer",
        "basic",
        "digest",
        "md5",
        "keyring",
        "keychain",
        "keepass",
        "keepassxc",
        "bitwarden",
        "1password",
        "lastpass",
        "itglue",
        "hudu",
        "passbolt",
        "unbekannt",
        "vergessen",
        "falsch",
        "geheim",
        "erforderlich",
    ]
)
"""What follows ``password:`` and is none: types, words of forms and of sentences, names of password stores."""

_LETTERS: Final = re.compile(r"[^\W\d_]+(?:[-_'\u2019/][^\W\d_]+)*", re.UNICODE)


def entropy(value: str) -> float:
    """Shannon's entropy of a text by its own letters, in bits for each."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())


def varied(text: str, _: int, start: int, end: int) -> tuple[int, int] | None:
    """A token of a known format that no manual has made up: enough different letters, and no word for an example."""
    value = text[start:end]
    if len(set(value)) < min(8, len(value) // 2 + 1) or _is_placeholder(value):
        return None
    return start, end


def dense(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """A token without a form of its own, beside a word that says what it is: mixed, and of high entropy."""
    start, end = _trimmed(text, start, end)
    value = text[start:end]
    if len(value) < 12 or _is_placeholder(value) or _CODE.fullmatch(value) or _PATH.fullmatch(value):
        return None
    digits = any(letter.isdigit() for letter in value)
    letters = any(letter.isalpha() for letter in value)
    if not (digits and letters) or _DATE.fullmatch(value) or _VERSION.fullmatch(value):
        return None
    if text[end : end + 1] in "([" and text[end : end + 1]:
        return None  # a name that is called
    if _words(value):
        return None
    return (start, end) if entropy(value) >= 2.9 and varied(text, at, start, end) else None


def _words(value: str) -> bool:
    """Whether a value is a name put together of words, such as ``key_2_rotation`` or ``my-service-v2``."""
    parts = [part for part in re.split(r"[-_./:]", value) if part]
    plain = [part for part in parts if re.fullmatch(r"[A-Za-z]?[a-z]{2,}|[A-Z]{2,}|v?\d{1,3}|[a-z]+\d{1,2}", part)]
    return len(parts) > 1 and len(plain) == len(parts)


def assigned(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """A value after ``password:`` or ``password=``, that is none of a program's own names or types."""
    quoted = text[start - 1 : start] in _QUOTES if start else False
    if not quoted:
        start, end = _trimmed(text, start, end)
    value = text[start:end]
    lowered = value.lower().strip()
    if len(value) < 3 or lowered in _NO_VALUE or _is_placeholder(value.strip()):
        return None
    if quoted:
        # Within a string of JSON that holds JSON, the closing quote has a backslash.
        end -= value.endswith("\\") and text[end : end + 1] in _QUOTES
        return (start, end) if _quoted_value(value) and text[end : end + 1] not in "([" else None
    if _CODE.fullmatch(value) or _PATH.fullmatch(value) or text[end : end + 1] in ("(", "["):
        return None
    if value.isdigit():
        return (start, end) if 4 <= len(value) <= 32 else None
    if _LETTERS.fullmatch(value) or re.fullmatch(r"[A-Za-z_]\w*", value):
        return (start, end) if _stands_alone(text, at, start, end, value) else None
    return None if _DATE.fullmatch(value) or _VERSION.fullmatch(value) else (start, end)


def _quoted_value(value: str) -> bool:
    """Whether what stands in quotes is a secret rather than a sentence, a path or a label."""
    if _PATH.fullmatch(value) or "\n" in value:
        return False
    if " " in value.strip():
        return _strong(value.replace(" ", "")) and value.count(" ") <= 3
    return True


def _stands_alone(text: str, at: int, start: int, end: int, value: str) -> bool:
    """Whether a value of plain letters, or one that may be a name, is what a line of a settings file gives.

    ``PASSWORD=postgres`` is, ``password = given`` and ``login(password=given)`` are programs.
    """
    line = text.rfind("\n", 0, at) + 1
    before = text[line:at]
    if re.search(r"[(\[{,;]|\bself\b|^\s*(?:let|const|var|val|def|return|if|elif|else|for|while)\b", before) or (
        text[end : end + 1] in ("(", ",", ")", ";")
    ):
        return _strong(value) and _kinds(value) >= 3 and "_" not in value
    lead = text[at:start]
    rest = text[end : text.find("\n", end) if text.find("\n", end) >= 0 else len(text)].strip(" \t\r*|`\"'")
    mixed = _strong(value)
    if "=" in lead and ":" not in lead:
        if " " in lead.strip(" ") or lead.endswith(" "):
            return mixed and not re.search(r"[a-z]_[a-z]", value)
        return bool(re.fullmatch(r"\s*(?:(?:export|set|ENV|env|setx|-e|--env|[-*#])\s+)*[\w.-]*", before)) or mixed
    return mixed or (
        not rest and bool(re.fullmatch(r"[\s>*#|-]*[\w.\" -]{0,40}", before)) and not _SENTENCE.search(before)
    )


_SENTENCE: Final = re.compile(r"\b(?:the|a|an|your|das|der|ein|le|la|el|is|ist|for|and)\b", re.IGNORECASE)


def spoken(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """A value in a sentence: ``the password is ...``. In quotes almost anything is one; else it must look like none."""
    quoted = text[start - 1 : start] in _QUOTES if start else False
    if not quoted:
        start, end = _trimmed(text, start, end)
    value = text[start:end]
    if len(value) < 4 or value.lower() in _NO_VALUE or _is_placeholder(value):
        return None
    if quoted:
        if re.fullmatch(r"[A-Za-z_]+", value) and not _SAYS.search(text[at:start]):
            return None  # a function, a name
        one = (
            not _PATH.fullmatch(value)
            and not _CODE.fullmatch(value)
            and not re.fullmatch(r"[a-z]+(?:_[a-z]+)+|--?[\w-]+", value)
        )
        return (start, end) if one and _quoted_value(value) else None
    if _CODE.fullmatch(value) or _PATH.fullmatch(value) or text[end : end + 1] in ("(", "["):
        return None
    if value.isdigit():
        return (start, end) if _PIN.search(text[at:start]) and len(value) <= 12 else None
    return (start, end) if _strong(value) else None


_SAYS: Final = re.compile(r"[:=]|\b(?:is|was|are|now|ist|lautet|war|est|es|è|é|jest|är)\b", re.IGNORECASE)
_PIN: Final = re.compile(r"\b(?:pin|code|puk|combination|geheimzahl|password|passwort|kennwort|pwd?)\b", re.IGNORECASE)


def passed(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """As :func:`assigned`, for ``pass``, which is what tests do and what is handed on more often than a password."""
    kept = assigned(text, at, start, end)
    tests = text[at : at + 4] == "PASS" and ":" in text[at:start]
    return None if kept is None or (tests and not _strong(text[start:end])) or "/" in text[kept[0] : kept[1]] else kept


def phrase(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """Several words that are a passphrase: not those of a sentence about one."""
    start, end = _trimmed(text, start, end)
    words = re.split(r"[\s_.-]+", text[start:end])
    if len(words) < 3 or any(word.lower() in _NO_VALUE or word.lower() in _FUNCTION for word in words):
        return None
    return start, end


_FUNCTION: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "his",
        "how",
        "i",
        "if",
        "in",
        "is",
        "it",
        "its",
        "may",
        "more",
        "must",
        "my",
        "never",
        "of",
        "on",
        "or",
        "our",
        "out",
        "shall",
        "should",
        "so",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "they",
        "this",
        "to",
        "too",
        "up",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
        "der",
        "die",
        "das",
        "und",
        "ist",
        "nicht",
        "ein",
        "eine",
        "auf",
        "mit",
        "von",
        "zu",
        "im",
    ]
)


def _strong(value: str) -> bool:
    """Whether a word is a password by its looks: letters with digits or symbols, and no word of the trade."""
    core = value
    if len(core) < 6 or _TECHNICAL.fullmatch(core) or _DATE.fullmatch(core) or _VERSION.fullmatch(core):
        return False
    if _UUID.fullmatch(core) or ("@" in core[1:] and re.fullmatch(r"[\w.+-]+@[\w-]+\.[\w.]+", core)):
        return False
    if re.fullmatch(r"[\w-]+(?:\.[\w-]+)*\.[a-z][a-z0-9]{1,9}(?::\d+)?(?:/.*)?", core) and not any(
        mark in _SYMBOLS for mark in core
    ):
        return False  # a host, a file, a module
    if re.fullmatch(r"(?:[^\W\d_]{3,}[-_.]){2,}\d{1,4}", core):
        return True  # words and a number, as people and programs make them up
    letters = any(letter.isalpha() for letter in core)
    digits = any(letter.isdigit() for letter in core)
    symbols = any(letter in _SYMBOLS for letter in core[:-1]) or (core[-1] in "!$#@*%" and digits)
    if re.fullmatch(r"#\d+|[a-z_]{1,12}=\w*|--?[\w=-]+|[\w.-]+==[\d.]+|[\w.]+(?:[=!<>]=|=)[\w.]+|@\w+|\d+%?", core):
        return False
    return letters and ((digits and not _words(core) and not _hexlike(core)) or (symbols and len(core) >= 7))


def _kinds(value: str) -> int:
    """How many kinds of characters a value has: small and capital letters, digits, others."""
    small, capital, digit = (any(map(test, value)) for test in (str.islower, str.isupper, str.isdigit))
    return small + capital + digit + (not value.isalnum())


def _hexlike(value: str) -> bool:
    """Whether a value may be a commit or a digest."""
    return re.fullmatch(r"[0-9a-f]{7,12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}", value) is not None


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the punctuation of the sentence around it; a bracket that the value itself opens stays."""
    while end > start and text[end - 1] in _TRAILING:
        opened = {")": "(", "]": "[", "}": "{"}.get(text[end - 1])
        if opened and opened in text[start : end - 1] and text[start] != opened:
            break
        end -= 1
    while start < end and text[start] in "*" + _QUOTES:
        start += 1
    return start, end


def _is_placeholder(value: str) -> bool:
    torn = value[:1] in ("[", "<", "{") and not any(closing in value for closing in "]>}")
    return torn or _PLACEHOLDER.fullmatch(value) is not None


def community(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """An SNMP community other than the two that every device comes with."""
    start, end = _trimmed(text, start, end)
    value = text[start:end].lower()
    if not _SNMP.search(text[max(0, at - 40) : start + len(value) + 12]):
        return None  # people
    none = value in {"public", "private", "string", "strings", "name", "read", "write"} | _NO_VALUE | _FUNCTION
    return None if none or len(value) < 4 or _is_placeholder(value) else (start, end)


_SNMP: Final = re.compile(
    r"snmp|string|\bread\b|\bwrite\b|\br[ow]\b|v2c|\btrap|\bpoll|r[ow]comm|com2sec", re.IGNORECASE
)


def configured(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """A word where a command or a device's configuration takes a secret: whatever it is, but for a variable."""
    start, end = _trimmed(text, start, end)
    value = text[start:end]
    quoted = text[start - 1 : start] in _QUOTES
    other = (not quoted and value.startswith(("-", "/dev/"))) or re.fullmatch(r"@[A-Za-z_./-]+|[.\w]*\$\w+", value)
    none = len(value) < 3 or value.lower() in _NO_VALUE or _is_placeholder(value) or other
    return None if none or _CODE.fullmatch(value) else (start, end)


def command_password(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """The argument of an option that takes a password: not the next option, not a variable, not an address."""
    kept = configured(text, at, start, end)
    if kept is None:
        return None
    value = text[kept[0] : kept[1]]
    plain = _LETTERS.fullmatch(value) and (len(value) < 6 or value.islower())
    quoted = text[start - 1 : start] in _QUOTES
    if value.startswith("/") or _PATH.fullmatch(value) or _VERSION.fullmatch(value) or (plain and not quoted):
        return None
    return kept


def option_password(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """The argument of a short option that takes a password with some programs, and a port or a path with others."""
    kept = command_password(text, at, start, end)
    if kept is None:
        return None
    value = text[kept[0] : kept[1]]
    port = value.isdigit() or re.fullmatch(r"[\d,.:/-]+|[\w.]+:[\w./]+", value)
    return None if port or not (_strong(value) or text[start - 1 : start] in _QUOTES) else kept


def piped(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """What is written into a program that asks for a password."""
    line = text[max(text.rfind("\n", 0, start), start - 200) + 1 : start]
    written = re.search(r"\b(?:echo|printf|Write-Output)\b[^|]{0,80}$", line)
    return configured(text, at, start, end) if written else None


def device(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """A word where a device's configuration takes a secret: no plain word of a sentence about one."""
    kept = configured(text, at, start, end)
    if kept is None:
        return None
    value = text[kept[0] : kept[1]]
    if _PATH.fullmatch(value) or value.lower() in _FUNCTION or "\\" in value:
        return None
    encoded = re.fullmatch(r"[0-9A-F]{8,}", value) is not None
    return (
        kept
        if encoded
        or _strong(value)
        or (text[start - 1 : start] in _QUOTES and len(value) > 3)
        or (_kinds(value) >= 3 and len(value) >= 6 and not _TECHNICAL.fullmatch(value))
        else None
    )


def password_of_url(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """A password in a URL, unless a variable or an example stands there."""
    value = text[start:end]
    none = value.lower() in {"password", "pass", "pwd", "passwd", "pw", "secret", "token", "xxx"} or _is_placeholder(
        value
    )
    return None if none or (value.startswith(("$", "%24", "{", "<"))) else (start, end)


def recovery_key(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """Eight groups of six digits, each a multiple of 11 below 720,896: how BitLocker writes 16 bits with a check."""
    groups = re.findall(r"\d{6}", text[start:end])
    fit = sum(int(group) % 11 == 0 and int(group) < 720_896 for group in groups)
    return (start, end) if fit >= 6 else None


def base32(text: str, at: int, start: int, end: int) -> tuple[int, int] | None:
    """A seed of one-time passwords."""
    value = text[start:end].replace(" ", "").replace("-", "")
    return (start, end) if len(value) >= 16 and len(set(value)) >= 6 else None


CHECKS: Final[Mapping[str, Check]] = {
    "varied": varied,
    "dense": dense,
    "assigned": assigned,
    "passed": passed,
    "spoken": spoken,
    "phrase": phrase,
    "community": community,
    "configured": configured,
    "command-password": command_password,
    "option-password": option_password,
    "piped": piped,
    "device": device,
    "password-of-url": password_of_url,
    "recovery-key": recovery_key,
    "base32": base32,
}
"""The checks by the names that rules call them."""
