"""Known secrets are found in every form, all of them, and nothing else is."""

import base64
import json
import random
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklore_redact.known import Matcher, tellable

from .corpus import Maker, clean

SECRETS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), min_size=8, max_size=80).filter(tellable)


def looking_for(*secrets: str) -> Matcher:
    matcher = Matcher()
    matcher.look_for([matcher.forms(secret) for secret in secrets])
    return matcher


@pytest.mark.parametrize(
    ("secret", "told_apart"),
    [
        ("hunter2", False),
        ("password", False),
        ("PostgreSQL", False),
        ("20260304", False),
        ("aaaaaaa1", False),
        ("Sommer2024", True),
        ("correct horse", True),
        ("qwkzjxhpvbnm", True),
        ("4711-0815", True),
    ],
)
def test_which_secrets_can_be_told_from_words(secret: str, told_apart: bool) -> None:
    assert tellable(secret) is told_apart


@given(secret=SECRETS, before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_is_found_as_it_is_wherever_it_stands(secret: str, before: str, after: str) -> None:
    left, count = looking_for(secret).take_out(before + secret + after, "\x00")
    assert count
    assert secret not in left


def test_many_secrets_are_all_found_and_clean_lines_hold_none() -> None:
    m = Maker(5)
    secrets = [secret for _ in range(600) if tellable(secret := m.password())]
    matcher = looking_for(*secrets)
    for secret in secrets:
        plain = secret.encode()
        for form in (
            secret,
            base64.b64encode(plain).decode(),
            base64.urlsafe_b64encode(b"ab" + plain + b"c").decode(),
            quote(secret, safe=""),
            json.dumps(secret),
            plain.hex(),
        ):
            left, count = matcher.take_out(f"it says {form} here", "*")
            assert count, (secret, form)
            assert secret not in left
    assert [line for line in clean(5, 2_000) if matcher.take_out(line, "*")[1]] == []


def test_a_long_secret_is_found_whole_and_one_that_begins_like_it_is_not() -> None:
    chance = random.Random(1)
    head = "-----BEGIN PRIVATE KEY-----\n"
    key, other = (
        head + "\n".join(base64.b64encode(chance.randbytes(48)).decode() for _ in range(25)) for _ in range(2)
    )
    matcher = looking_for(key)
    left, _ = matcher.take_out(f"a {key} b", "*")
    assert left == "a * b"
    # Nothing but the first line that all keys have in common may go.
    assert other[len(head) :] in matcher.take_out(other, "*")[0]


def test_secrets_that_are_no_longer_looked_for_stay() -> None:
    matcher = looking_for("Sommer2024!")
    matcher.look_for([])
    assert matcher.take_out("Sommer2024!", "*") == ("Sommer2024!", 0)


def test_a_password_within_a_connection_string_is_known_by_itself() -> None:
    matcher = looking_for("postgres://app:Gx71kkPq@db.example.com/app")
    assert matcher.take_out("PGPASSWORD Gx71kkPq", "*")[0] == "PGPASSWORD *"
