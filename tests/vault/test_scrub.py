"""What programs and servers write comes without the secret, in every form and wherever its parts end."""

import base64
import html
import json
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklore_redact.exact import MARK, SHORTEST, Scrubber, forms, scrub

# Without what the mark is made of, and what no database keeps; long enough not to occur by chance.
SECRET = st.text(
    st.characters(exclude_characters="*", exclude_categories=["Cs"], min_codepoint=1), min_size=6, max_size=60
).filter(lambda text: len(text.strip()) >= 6)
AROUND = st.binary(max_size=40)

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 without its end": lambda text: base64.b64encode(text.encode()).rstrip(b"="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()),
    "base64 for URLs without its end": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
    "percent": lambda text: quote(text, safe="").encode(),
    "percent in a path": lambda text: quote(text).encode(),
    "percent of forms": lambda text: quote_plus(text).encode(),
    "percent in lower case": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()).encode(),
    "JSON": lambda text: json.dumps(text).encode(),
    "JSON beyond ASCII": lambda text: json.dumps(text, ensure_ascii=False).encode(),
    "JSON with slashes": lambda text: json.dumps(text).replace("/", r"\/").encode(),
    "HTML": lambda text: html.escape(text).encode(),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "hexadecimal in upper case": lambda text: text.encode().hex().upper().encode(),
    "UTF-16": lambda text: text.encode("utf-16-le"),
}


def in_parts(scrubber: Scrubber, data: bytes, ends: list[int]) -> bytes:
    cuts = sorted({min(end, len(data)) for end in ends} | {0, len(data)})
    parts = [scrubber.feed(data[start:end]) for start, end in pairwise(cuts)]
    return b"".join([*parts, scrubber.end()])


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(secret=SECRET, before=AROUND, after=AROUND)
def test_no_form_of_a_secret_is_left(encoding: str, secret: str, before: bytes, after: bytes) -> None:
    written = ENCODINGS[encoding](secret)
    clean = scrub(before + written + after, [secret])
    assert MARK in clean
    for form in forms(secret):
        assert form not in clean


@given(secret=SECRET, before=AROUND, after=AROUND, url=st.booleans())
def test_a_secret_within_a_text_in_base64_is_found_wherever_it_begins(
    secret: str, before: bytes, after: bytes, url: bool
) -> None:
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    whole = encode(before + secret.encode() + after)
    clean = scrub(whole, [secret])
    assert MARK in clean
    # What is left of it are the letters at its ends, which its neighbours share.
    left = len(whole) - len(clean) + len(MARK)
    assert left >= len(secret.encode()) * 8 // 6 - 2


@given(
    secrets=st.lists(SECRET, min_size=1, max_size=3),
    pieces=st.lists(st.one_of(AROUND, st.integers(0, 10**6)), max_size=8),
    ends=st.lists(st.integers(0, 600), max_size=30),
)
def test_parts_put_together_are_the_whole(secrets: list[str], pieces: list[bytes | int], ends: list[int]) -> None:
    known = sorted({form for secret in secrets for form in forms(secret)})
    # Forms, and beginnings of forms, beside anything at all.
    data = b"".join(
        piece
        if isinstance(piece, bytes)
        else known[piece % len(known)][: None if piece % 2 else 1 + piece % len(known[piece % len(known)])]
        for piece in pieces
    )
    whole = scrub(data, secrets)
    assert in_parts(Scrubber(secrets), data, ends) == whole
    assert in_parts(Scrubber(secrets), data, list(range(len(data)))) == whole
    assert all(secret.encode() not in whole for secret in secrets)


@given(secret=SECRET, text=st.binary(max_size=200))
def test_what_is_no_secret_is_passed_on_as_it_is(secret: str, text: bytes) -> None:
    if not any(form in text for form in forms(secret)):
        assert scrub(text, [secret]) == text


def test_nothing_is_held_back_but_the_beginning_of_a_secret() -> None:
    scrubber = Scrubber(["planted-canary"])
    assert scrubber.feed(b"Password for the portal: ") == b"Password for the portal: "
    assert scrubber.feed(b"ok, plant") == b"ok, "
    assert scrubber.feed(b"s: ") == b"plants: "
    assert scrubber.feed(b"planted-") == b""
    assert scrubber.feed(b"canary!") == b"***!"
    assert scrubber.feed(b"planted") == b""
    assert scrubber.end() == b"planted"


def test_of_two_that_begin_alike_the_longer_goes() -> None:
    assert scrub(b"a longest b long c", ["long", "longest"]) == b"a *** b *** c"
    parts = Scrubber(["long", "longest"])
    assert parts.feed(b"long") == b""
    assert parts.feed(b"est") + parts.end() == b"***"


def test_lines_of_a_key_and_a_secret_without_its_line_break_are_found() -> None:
    lines = ["-----BEGIN PRIVATE KEY-----", "MC4CAQAwBQYDK2VwBCIEIJ" + "a" * 42, "-----END PRIVATE KEY-----"]
    key = "\n".join(lines) + "\n"
    assert scrub(f"1: {lines[1]}\n2: x".encode(), [key]) == b"1: ***\n2: x"
    assert scrub(key.replace("\n", "\r\n").encode(), [key]).strip() == MARK
    assert scrub(b"got planted, planted", ["planted\n"]) == b"got ***, ***"


def test_a_short_secret_is_taken_out_and_its_shorter_forms_are_not_looked_for() -> None:
    assert scrub(b"pin 42", ["42"]) == b"pin ***"
    assert all(len(form) >= SHORTEST or form == b"42" for form in forms("42"))
    assert scrub(b"anything", []) == b"anything"


def test_a_long_secret_costs_no_more_than_its_length() -> None:
    """A certificate with its chain, in small parts."""
    secret = "".join(f"{number:08x}" for number in range(4096))
    data = b"x" * 5000 + secret.encode() + b"y" * 5000
    parts = [data[start : start + 97] for start in range(0, len(data), 97)]
    scrubber = Scrubber([secret])
    assert b"".join([*(scrubber.feed(part) for part in parts), scrubber.end()]) == b"x" * 5000 + MARK + b"y" * 5000
