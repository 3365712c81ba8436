"""What was said anew comes before what it takes the place of; of two that are alike the newer comes first."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from worklore.memory.index import Entry, Index
from worklore.memory.rank import rank
from worklore.memory.renewal import asks_how_it_is, tells_change
from worklore.memory.units import entry

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOW = START + timedelta(days=60)
WORDS = ["router", "backup", "quota", "licence", "tunnel", "printer", "seats", "invoice"]


def said(*texts: str, role: str = "user", apart: timedelta = timedelta(hours=1)) -> list[Entry]:
    """Statements in sessions of their own, one after the other."""
    return [
        entry(
            text,
            id=str(place),
            session=f"s{place}",
            ordinal=0,
            part=0,
            time=(START + place * apart).timestamp(),
            author=role,
            role=role,
        )
        for place, text in enumerate(texts)
    ]


def order(entries: list[Entry], question: str) -> list[str]:
    return [hit.id for hit in rank(Index(entries), question, now=NOW)]


def test_the_later_statement_comes_first_where_a_question_asks_how_it_is() -> None:
    talk = said(
        "The mailbox quota of the sales department is 20 GB on the mail server",
        "the lift is out of order",
        "They raised the sales quota to 35 GB",
        "coffee is in the kitchen",
    )
    [first, *_] = rank(Index(talk), "What is the mailbox quota of the sales department?", now=NOW)
    assert first.id == "2"
    assert "said anew" in first.why
    assert abs(sum(first.parts.values()) - first.relevance) < 1e-6
    assert order(talk, "What was the mailbox quota of the sales department at first?")[0] == "0"
    assert order(talk, "When did we set the mailbox quota of the sales department?")[0] == "0"


def test_what_an_agent_said_or_somebody_else_takes_nothings_place() -> None:
    talk = said("The mailbox quota of the sales department is 20 GB on the mail server")
    later = said("filler", "They raised the sales quota to 35 GB", role="assistant")
    assert order([*talk, *later[1:]], "What is the mailbox quota of the sales department?")[0] == "0"


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), st.integers(1, 400), st.sampled_from(["user", ""]))
def test_of_two_that_are_alike_the_newer_comes_first(words: list[str], hours: int, role: str) -> None:
    text = " ".join(words)
    talk = said(text, text, "something else altogether", role=role, apart=timedelta(hours=hours))
    assert order(talk, f"tell me about the {words[0]}")[:2] == ["1", "0"]


@given(st.text(max_size=300))
def test_any_text_can_be_looked_at(text: str) -> None:
    assert isinstance(tells_change(text), bool)
    assert isinstance(asks_how_it_is(text), bool)
    rank(Index(said(text, text)), text, now=NOW)
