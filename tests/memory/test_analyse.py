"""Terms: the analyser's promises, and stems pinned to pairs worked out from the published Porter2 rules."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklore.memory.analyse import STOP_WORDS, terms, token_column
from worklore.memory.irregular import PLAIN
from worklore.memory.stem import stem

STEMS = {
    # step 0 and 1a
    "firewall's": "firewal",
    "classes": "class",
    "ties": "tie",
    "retries": "retri",
    "gas": "gas",
    "gaps": "gap",
    "status": "status",
    # step 1b
    "agreed": "agre",
    "feed": "feed",
    "hopped": "hop",
    "hoping": "hope",
    "rating": "rate",
    "enabling": "enabl",
    "sized": "size",
    "adding": "add",
    "sing": "sing",
    "luxuriated": "luxuri",
    # step 1c
    "cry": "cri",
    "by": "by",
    "say": "say",
    "deploy": "deploy",
    # steps 2 to 5
    "conditional": "condit",
    "organization": "organiz",
    "migration": "migrat",
    "migrated": "migrat",
    "usefulness": "use",
    "effectively": "effect",
    "technologist": "technolog",
    "configurable": "configur",
    "configuration": "configur",
    "hierarchical": "hierarch",
    "replicate": "replic",
    "settlement": "settlement",
    "adjustment": "adjust",
    "connection": "connect",
    "rate": "rate",
    "cease": "ceas",
    "controll": "control",
    "roll": "roll",
    # exceptions and invariants
    "skies": "sky",
    "dying": "die",
    "news": "news",
    "only": "onli",
    "proceed": "proceed",
    "outing": "outing",
    "generate": "generat",
    "communities": "communiti",
    # not English words
    "naïve": "naïve",
    "db2": "db2",
}


@pytest.mark.parametrize(("word", "expected"), STEMS.items())
def test_stem_follows_the_published_rules(word: str, expected: str) -> None:
    assert stem(word) == expected


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz'", max_size=20))
def test_a_stem_is_never_longer_than_one_letter_more_nor_empty(word: str) -> None:
    result = stem(word)
    assert len(result) <= len(word) + 1
    assert result or not word.strip("'")


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("getUserName failed", "user name"),
        ("set max_retry_count", "retry count"),
        ("edit src/app/main_loop.py", "main loop"),
        ("edit src/app/main_loop.py", "src/app/main_loop.py"),
        ("db-01.example.com is down", "db-01.example.com"),
        ("DB-01.example.com is down", "example"),
        ("ERR_CONN_RESET again", "err_conn_reset"),
        ("ping 192.0.2.7 now", "192.0.2.7"),
        ("cost was $1,200,000", "1200000"),
        ("The café's naïve résumé", "cafe naive resume"),
        ("\uff26\uff35\uff2c\uff2c width", "full"),
        ("HTTPServer2 crashed", "http server"),
        ("東京都の天気", "東京"),
        ("Anna's laptop", "anna laptops"),
        ("the certificates expired", "certificate expires"),
    ],
)
def test_a_name_is_found_however_it_is_written(written: str, asked: str) -> None:
    assert set(terms(asked)) <= set(terms(written))
    assert terms(asked)


def test_an_address_is_one_thing_and_not_four_numbers() -> None:
    assert terms("192.0.2.7") == ["192.0.2.7"]


def test_stop_words_and_contractions_leave_nothing() -> None:
    assert terms("I'm sure they don't, and it isn't what we'd have") == ["sure"]
    assert terms(" ".join(STOP_WORDS)) == []


def test_won_is_a_word_and_wont_is_not() -> None:
    assert terms("we won") == ["win"]
    assert terms("we won't, they won\u2019t") == []


@pytest.mark.parametrize(("told", "asked"), [("Ada went home", "go"), ("her children wrote", "child write")])
def test_irregular_forms_are_found_by_each_other(told: str, asked: str) -> None:
    assert set(terms(asked)) <= set(terms(told))


def test_no_irregular_form_leads_on_to_another() -> None:
    assert not PLAIN.keys() & {*PLAIN.values()}


def test_digests_and_encoded_runs_are_not_indexed() -> None:
    assert terms("a" * 65) == []
    assert terms("x-" + "7" * 80 + "-disk") == ["disk"]


@given(st.text())
def test_terms_survive_the_column_they_are_stored_in(text: str) -> None:
    found = terms(text)
    assert token_column(text).split() == found
    assert token_column(text).split(" ") == (found or [""])


@given(st.text(), st.text())
def test_a_blank_line_separates_terms_as_two_texts(left: str, right: str) -> None:
    assert terms(f"{left}\n\n{right}") == [*terms(left), *terms(right)]


@given(st.text())
def test_canonically_equal_texts_have_equal_terms(text: str) -> None:
    composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert terms(composed) == terms(decomposed)
