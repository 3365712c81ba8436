"""What is taken out of a text, what stays, and that neither hostile text nor a second pass changes the answer."""

import json
import re
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklore_redact import engine
from worklore_redact.engine import MARK, State, lines_of, redact
from worklore_redact.fold import fold
from worklore_redact.values import member, redact_json

from .corpus import planted

KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 6 + "-----END PRIVATE KEY-----"


def test_a_secret_becomes_a_mark_and_all_else_stays() -> None:
    done = redact("FW01 (192.0.2.7): the admin pw is Tr0ub4dor&3, changed on 2026-03-04.")
    assert done.text == "FW01 (192.0.2.7): the admin pw is [redacted:password], changed on 2026-03-04."
    assert (done.state, done.found) == (State.redacted, {"password": 1})
    assert redact("Password reset for anna done.").state is State.clean


@pytest.mark.parametrize(
    "disguised",
    [
        "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44: Geheim77!",  # full-width letters
        "pass\u200bword: Gehe\u200bim77!",  # zero width
        "pass\u2060word\ufe0f: Geheim\u034f77!",
        "\u202epassword: Geheim77!\u202c",  # the direction turned
        "pa\u00adssword: Geheim77!",  # soft hyphen
        "\x1b[1mpassword\x1b[0m: \x1b[31mGeheim\x1b[0m77!",  # a terminal's colours
        "p\U000e0061assword: Geheim77!",  # a tag character
        "".join(chr(0x1D400 - 0x41 - 6 + ord(each)) for each in "password") + ": Geheim77!",  # mathematical letters
    ],
)
def test_what_nobody_sees_hides_nothing(disguised: str) -> None:
    done = redact(f"vorher ﬁ {disguised} nachher Ⅷ")
    assert done.state is State.redacted
    assert "77!" not in done.text
    # The rest is as it was: not brought to the form that was searched.
    assert done.text.startswith("vorher ﬁ ")
    assert done.text.endswith(" nachher Ⅷ")


@given(st.text())
def test_the_form_leads_back_to_the_text(text: str) -> None:
    folded = fold(text)
    assert len(folded.small) == len(folded.text)
    for at in range(len(folded.text)):
        start, end = folded.original(at, at + 1)
        assert 0 <= start < end <= len(text)


PIECES = st.one_of(
    st.text(max_size=30),
    st.sampled_from([each.text for each in planted(3, 400)]),
    st.sampled_from(
        [
            *("password: ", "pw ", "-----BEGIN PRIVATE KEY-----\n", "<private>", "</private>", '"', "`", "="),
            *("[redacted:password]", "<worklore-memory>", "</worklore-memory>", "ghp_", "eyJ", "://a:", "\\"),
            *("@b.example ", "\u200b", "\n", "token "),
        ]
    ),
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact(text)
    twice = redact(once.text)
    assert twice.text == once.text
    assert twice.state is State.clean


@given(st.lists(PIECES, max_size=6).map("".join))
def test_what_is_left_was_there_before(text: str) -> None:
    """Nothing is invented: without its marks, what is left is a part of the text, in order."""
    at = 0
    for piece in re.split(MARK, redact(text).text):
        found = text.find(piece, at)
        assert found >= 0
        at = found + len(piece)


def test_marks_of_an_earlier_pass_stay_and_hide_nothing() -> None:
    assert redact("password: [redacted:password]").state is State.clean
    done = redact("[redacted:password] and pw: Geheim77! [redacted:jwt]")
    assert done.text == "[redacted:password] and pw: [redacted:password] [redacted:jwt]"


def test_private_parts() -> None:
    assert redact("a <private>b\nc</private> d").text == "a [redacted:private] d"
    assert redact("a < PRIVATE >b <private>c</private> d</private> e").text == "a [redacted:private] e"
    assert redact("a <private>b, and it is never closed").text == "a [redacted:private]"
    assert redact("Put it into `<private>` tags.").state is State.clean


def test_what_memory_itself_has_injected_leaves_without_a_trace() -> None:
    assert redact("a\n<worklore-memory>\nnotes\n</worklore-memory>\nb").text == "a\n\nb"
    assert redact("The tag is <worklore-memory>.").state is State.clean


def test_a_private_key_is_taken_out_whole_and_one_without_an_end_withholds_the_text() -> None:
    assert redact(f"here\n{KEY}\nthere").text == "here\n[redacted:private-key]\nthere"
    assert redact(json.dumps({"key": KEY})).text == '{"key": "[redacted:private-key]"}'
    cut = redact(f"here\n{KEY[:150]}\n[22 characters left out]")
    assert (cut.text, cut.state) == ("[quarantined:private-key-cut]", State.quarantined)
    assert redact('if "-----BEGIN PRIVATE KEY-----" in text: refuse()').state is State.clean


def test_a_text_that_takes_too_long_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BASE_SECONDS", 0.0)
    monkeypatch.setattr(engine, "SECONDS_PER_CHARACTER", 0.0)
    done = redact("password " * 1000)
    assert (done.text, done.state) == ("[quarantined:time]", State.quarantined)


HOSTILE = {
    "anchors": "password",
    "nouns and fillers": "password for ",
    "verbs": "password is ",
    "quotes": "password\"'`\"'`",
    "open brackets": "password (",
    "separators": "password:::===",
    "urls": "://a:b@",
    "url without end": "://" + "a:" * 20,
    "tokens": "eyJ.eyJ.",
    "dots": "eyJ" + "a" * 40 + ".",
    "curl": "curl -u a ",
    "options": "docker login -a -b ",
    "private": "<private>",
    "keys": "-----BEGIN PRIVATE KEY-----",
    "marks": "[redacted:x]",
    "cookies": "cookie: a=b; ",
    "kubernetes": "kind: secret\ndata:\n a: b\n",
    "digits": "123456-",
    "one letter": "a",
    "zero width": "pass\u200bword ",
    "escapes": "\x1b[1m",
    "escape without end": "\x1b]",
    "spaces": "password" + " " * 20,
    "backslashes": "password\\\\\\",
    "snmp": "snmpget -v3 -A x -X ",
    "machine": "machine a login b password ",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_no_more_than_its_length(name: str) -> None:
    """From one length to four times as long: about four times as long, and within the time box."""
    unit = HOSTILE[name]

    def seconds(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        begun = time.thread_time()
        done = redact(text)
        spent = time.thread_time() - begun
        assert "time" not in done.found
        return spent

    short, long = (min(seconds(size) for _ in range(3)) for size in (16_000, 64_000))  # the least: others use the cores
    assert long < 8 * short + 0.1
    assert long < 1.28 + engine.BASE_SECONDS


def test_values_of_json() -> None:
    found: Counter[str] = Counter()
    given = {
        "command": "mysql -u root -pGeheim77 app",
        "input": {"password": "hunter2", "api_key": "8f14e45fceea167a5a36dedd4bea2543", "token": "next", "count": 3},
        "dbPassword": "correct horse 9!",
        "list": ["PIN 4711", None, True],
        "ghp_" + "aB3dE6fG9h" * 4: 1,
    }
    assert redact_json(given, found) == {
        "command": "mysql -u root -p[redacted:password] app",
        "input": {"password": "[redacted:password]", "api_key": "[redacted:secret]", "token": "next", "count": 3},
        "dbPassword": "[redacted:password]",
        "list": ["PIN [redacted:pin]", None, True],
        "[redacted:github-token]": 1,
    }
    assert found == {"password": 3, "secret": 1, "pin": 1, "github-token": 1}


def test_members_that_only_sound_like_a_secret() -> None:
    for name, text in [
        ("password", "required"),
        ("password", "${DB_PASSWORD}"),
        ("password_policy", "at least 12"),
        ("tokenizer", "cl100k_base"),
        ("token", "[redacted:secret]"),
        ("author", "anna77"),
        ("uuid", "0b5d3f36-6c3e-4a52-9a51-6a7c84a4a0a1"),
    ]:
        assert member(name, text) is None, name


def test_lines_are_told() -> None:
    text = "one\ntwo\npw: Geheim77!\nfour\nPIN 4711"
    assert lines_of(text, redact(text).finds) == [3, 5]
