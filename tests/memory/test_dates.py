"""Dates in questions; asked on Wednesday, 15 May 2024, 10:30 UTC."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklore.memory.dates import intervals

NOW = datetime(2024, 5, 15, 10, 30, tzinfo=UTC)


def days(first: str, last: str | None = None) -> tuple[date, date]:
    return date.fromisoformat(first), date.fromisoformat(last or first)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("what broke on 2023-11-06?", days("2023-11-06")),
        ("what broke on 6.11.2023?", days("2023-11-06")),
        ("as mentioned on November 6, 2023", days("2023-11-06")),
        ("as mentioned on the 6th of november 2023", days("2023-11-06")),
        ("Nov. 6th 2023", days("2023-11-06")),
        ("what did we do on May 3?", days("2024-05-03")),
        ("what did we do on 3 June?", days("2023-06-03")),
        ("in March 2024", days("2024-03-01", "2024-03-31")),
        ("during 2024-02", days("2024-02-01", "2024-02-29")),
        ("what happened in December?", days("2023-12-01", "2023-12-31")),
        ("projects of 2023", days("2023-01-01", "2023-12-31")),
        ("what did I do yesterday?", days("2024-05-14")),
        ("the day before yesterday", days("2024-05-13")),
        ("what changed today", days("2024-05-15")),
        ("the call on Tuesday", days("2024-05-14")),
        ("last Wednesday's outage", days("2024-05-08")),
        ("everything from last week", days("2024-05-06", "2024-05-12")),
        ("this week", days("2024-05-13", "2024-05-19")),
        ("last weekend", days("2024-05-11", "2024-05-12")),
        ("last month", days("2024-04-01", "2024-04-30")),
        ("last year", days("2023-01-01", "2023-12-31")),
        ("two weeks ago", days("2024-04-28", "2024-05-04")),
        ("3 days ago", days("2024-05-12")),
        ("in the past three days", days("2024-05-12", "2024-05-15")),
    ],
)
def test_a_date_is_read(question: str, expected: tuple[date, date]) -> None:
    (found,) = intervals(question, now=NOW)
    assert (found.start.date(), (found.end - timedelta(seconds=1)).date()) == expected
    assert found.start.time() == found.end.time() == datetime.min.time()


@pytest.mark.parametrize(
    "question",
    [
        "who may march on the server",
        "port 2024:8080 and 192.0.2024",
        "version 3.11 of the mayor's tool",
        "30 February",
        "why does it fail",
        "",
    ],
)
def test_what_is_no_date_gives_none(question: str) -> None:
    assert intervals(question, now=NOW) == []


def test_an_outright_date_silences_the_relative_one() -> None:
    (found,) = intervals("the issue last week, as mentioned on November 6, 2023", now=NOW)
    assert found.start == datetime(2023, 11, 6, tzinfo=UTC)


def test_several_dates_are_all_given_once() -> None:
    found = intervals("between 1 May 2023 and 3 May 2023, so May 1, 2023 on", now=NOW)
    assert [interval.start.day for interval in found] == [1, 3]


def test_the_default_year_is_taken_where_none_is_named() -> None:
    (found,) = intervals("what did we do on May 3?", now=NOW, default_year=2021)
    assert found.start.year == 2021


def test_the_day_is_that_of_utc() -> None:
    now = datetime(2024, 5, 15, 1, 0, tzinfo=timezone(timedelta(hours=9)))
    (found,) = intervals("today", now=now)
    assert found.start == datetime(2024, 5, 14, tzinfo=UTC)


@given(
    st.text(alphabet="0123456789 -./,abcdefMay thursdaylstwekmonthyearago"),
    st.datetimes(NOW.replace(year=1990, tzinfo=None), NOW.replace(year=2100, tzinfo=None)),
)
def test_any_text_gives_well_formed_intervals(question: str, moment: datetime) -> None:
    for interval in intervals(question, now=moment.replace(tzinfo=UTC)):
        assert interval.start < interval.end
        assert interval.start.tzinfo == interval.end.tzinfo == UTC


@pytest.mark.parametrize("question", ["999 years ago", "999 months ago", "in the last 999 years", "999 weeks ago"])
def test_the_far_past_is_a_date_too(question: str) -> None:
    (found,) = intervals(question, now=NOW)
    assert found.start < found.end
