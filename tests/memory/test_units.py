"""Cutting turns, and counting tokens."""

from hypothesis import given
from hypothesis import strategies as st

from worklore.memory.tokens import count, count_within
from worklore.memory.units import PASSAGE_TOKENS, WHOLE_TOKENS, entry, passages

SENTENCE = "The switch in rack two lost its uplink after the power test. "
CODE = "```sh\n" + "systemctl restart frr && journalctl -u frr -n 50\n" * 4 + "```\n"


def test_a_short_turn_stays_whole() -> None:
    text = SENTENCE * 3
    assert [(piece.part, piece.parts, piece.text) for piece in passages(text)] == [(0, 1, text)]


def test_a_turn_without_a_visible_character_gives_nothing() -> None:
    assert passages(" \n\t\n") == []


def test_paragraphs_and_code_are_not_torn() -> None:
    paragraph = SENTENCE * 6
    pieces = [piece.text for piece in passages(f"{paragraph}\n\n{CODE}\n\n{paragraph}")]
    assert sum(CODE.rstrip() in piece for piece in pieces) == 1
    assert all(piece.count("```") in (0, 2) for piece in pieces)


def test_a_long_paragraph_ends_passages_at_sentences() -> None:
    pieces = passages(SENTENCE * 30)
    assert len(pieces) > 2
    assert all(piece.text.rstrip().endswith(".") for piece in pieces)


@given(st.text(alphabet=st.sampled_from("ab c.\n`#é漢\x00"), max_size=3000))
def test_passages_join_to_the_turn_and_keep_to_the_limit(text: str) -> None:
    pieces = passages(text, limit=20, whole=30)
    assert "".join(piece.text for piece in pieces) == (text if text.strip() else "")
    assert [piece.part for piece in pieces] == list(range(len(pieces)))
    assert {piece.parts for piece in pieces} <= {len(pieces)}
    assert all(piece.text.strip() for piece in pieces) or len(pieces) == 1


@given(st.lists(st.sampled_from([SENTENCE, CODE, "\n\n", "# Heading\n", "word " * 50, "x" * 300]), max_size=30))
def test_no_passage_of_ordinary_text_is_over_the_limit(parts: list[str]) -> None:
    pieces = passages("".join(parts))
    limit = WHOLE_TOKENS if len(pieces) == 1 else PASSAGE_TOKENS
    # Joining can add white space that is free of charge only when counted alone.
    assert all(count(piece.text) <= limit + 5 for piece in pieces)


def test_an_unbroken_run_is_cut_all_the_same() -> None:
    assert max(count(piece.text) for piece in passages("0f3c" * 4000)) <= 400


def test_an_entry_names_its_author_only_where_people_talk() -> None:
    common = {"id": "u1", "session": "s", "ordinal": 0, "part": 0, "time": 0.0, "author": "Anna Berg"}
    talk = entry("Was it yesterday?", role="", **common)
    assert talk.terms == ["anna", "berg", "yesterday"]
    assert talk.asks
    assert talk.tells_time
    prompt = entry("Restart it.", role="user", **common)
    assert prompt.terms == ["restart"]
    assert not prompt.asks
    assert not prompt.tells_time
    assert entry("Restart it.", role="user", indexed=("stored",), **common).terms == ("stored",)


def test_lone_surrogates_can_be_counted() -> None:
    assert count("a\ud800b") >= 2
    assert count("") == 0


@given(st.text(alphabet=st.sampled_from("ab .\n#é漢\x00\ud800"), max_size=60), st.integers(-1, 80))
def test_counting_up_to_a_limit_agrees_with_counting(text: str, limit: int) -> None:
    assert count_within(text, limit) == (count(text) if count(text) <= limit else None)
