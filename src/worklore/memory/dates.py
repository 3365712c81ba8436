"""Dates a question names, as half-open intervals of UTC time.

English, without a model: days (`7 May 2023`, `May 7th`, `2023-05-07`, `7.5.2023`), months, years, and what is
relative to the time of asking (`yesterday`, `last week`, `on Tuesday`, `two weeks ago`, `in the last three days`). A
question that names a date outright is read by it alone: its "last week" is relative to what it tells of, not to now.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH_NUMBER: Final = (
    {name: number for number, name in enumerate(_MONTHS, 1)}
    | {name[:3]: number for number, name in enumerate(_MONTHS, 1)}
    | {"sept": 9}
)
_MONTH: Final = "(?P<month>" + "|".join(sorted(_MONTH_NUMBER, key=len, reverse=True)) + r")\b\.?"
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS: Final = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        1,
    )
} | {"a": 1, "an": 1, "couple of": 2, "a couple of": 2, "few": 3, "a few": 3}
_COUNT: Final = r"(?P<count>\d{1,3}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + ")"
_UNIT: Final = r"(?P<unit>day|week|month|year)s?"

_ISO_DAY: Final = re.compile(r"\b(?P<year>(?:19|20)\d\d)[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})(?!\d)")
_EUROPEAN_DAY: Final = re.compile(r"\b(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>(?:19|20)\d\d)\b")
_YEAR_PART: Final = r"(?:,?\s*(?P<year>(?:19|20)\d\d)\b)?"
_DAY_MONTH: Final = re.compile(rf"(?i)\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}{_YEAR_PART}")
_MONTH_DAY: Final = re.compile(
    rf"(?i)\b{_MONTH}\s+(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,?\s*(?P<year>(?:19|20)\d\d)\b)?"
)
_MONTH_YEAR: Final = re.compile(rf"(?i)\b{_MONTH},?\s+(?:of\s+)?(?P<year>(?:19|20)\d\d)\b")
_ISO_MONTH: Final = re.compile(r"\b(?P<year>(?:19|20)\d\d)-(?P<month>0[1-9]|1[0-2])(?![-\d])")
# A month alone is one only after a preposition: "may" and "march" are ordinary words.
_BARE_MONTH: Final = re.compile(
    rf"(?i)\b(?:in|during|of|since|by|before|after|until|around|early|late|mid|last|this)[ -]{_MONTH}"
)
_YEAR: Final = re.compile(r"(?<![\d.,:/$€£-])(?P<year>(?:19|20)\d\d)(?![\d:/-]|[.,]\d)")

_AGO: Final = re.compile(rf"(?i)\b{_COUNT}\s+{_UNIT}\s+ago\b")
_WITHIN: Final = re.compile(rf"(?i)\b(?:last|past|previous)\s+{_COUNT}\s+{_UNIT}\b")
_PERIOD: Final = re.compile(r"(?i)\b(?P<which>last|this|past|previous)\s+(?P<unit>week|month|year|weekend)\b")
_NAMED_DAY: Final = re.compile(r"(?i)\b(?:on|last|this|since)\s+(?P<name>" + "|".join(_DAYS) + r")\b")
_NEAR_DAY: Final = re.compile(r"(?i)\b(?P<name>day before yesterday|yesterday|today|tonight|this morning|last night)\b")
_NEAR: Final = {"day before yesterday": 2, "yesterday": 1, "last night": 1, "today": 0, "tonight": 0, "this morning": 0}


@dataclass(frozen=True, slots=True)
class Interval:
    """Time from `start` up to, not including, `end`; both in UTC."""

    start: datetime
    end: datetime


def intervals(question: str, *, now: datetime, default_year: int | None = None) -> list[Interval]:
    """The dates a question names, in the order found and without repetition; empty when it names none.

    Args:
        question: what is asked.
        now: the time of asking, with its time zone.
        default_year: the year meant by a day or month without one; without it, the latest such day that is not in the
        future.
    """
    now = now.astimezone(UTC)
    year_of = _year_chooser(now, default_year)
    for reader in (_explicit_days, _explicit_months, _explicit_years):
        found = list(reader(question, year_of))
        if found:
            return _distinct(found)
    return _distinct(list(_relative(question, now)))


YearOf = Callable[[str | None, int, int], int]


def _year_chooser(now: datetime, default_year: int | None) -> YearOf:
    def year_of(written: str | None, month: int, day: int) -> int:
        if written is not None:
            return int(written)
        if default_year is not None:
            return default_year
        return now.year if (month, day) <= (now.month, now.day) else now.year - 1

    return year_of


def _distinct(found: list[Interval]) -> list[Interval]:
    return list(dict.fromkeys(found))


def _month_number(text: str) -> int:
    return int(text) if text.isdigit() else _MONTH_NUMBER[text.lower().rstrip(".")]


def _explicit_days(question: str, year_of: YearOf) -> Iterator[Interval]:
    for pattern in (_ISO_DAY, _EUROPEAN_DAY, _DAY_MONTH, _MONTH_DAY):
        for match in pattern.finditer(question):
            month, day = _month_number(match["month"]), int(match["day"])
            try:
                start = datetime(year_of(match["year"], month, day), month, day, tzinfo=UTC)
            except ValueError:
                continue  # "30 February", or "May 45": not a date after all
            yield Interval(start, start + timedelta(days=1))


def _explicit_months(question: str, year_of: YearOf) -> Iterator[Interval]:
    for pattern in (_MONTH_YEAR, _ISO_MONTH):
        for match in pattern.finditer(question):
            yield _month(int(match["year"]), _month_number(match["month"]))
    for match in _BARE_MONTH.finditer(question):
        if not _MONTH_YEAR.match(question, match.start("month")):
            month = _month_number(match["month"])
            yield _month(year_of(None, month, 1), month)


def _explicit_years(question: str, _year_of: YearOf) -> Iterator[Interval]:
    for match in _YEAR.finditer(question):
        year = int(match["year"])
        yield Interval(datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))


def _relative(question: str, now: datetime) -> Iterator[Interval]:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    day = timedelta(days=1)
    for match in _NEAR_DAY.finditer(question):
        start = today - _NEAR[match["name"].lower()] * day
        yield Interval(start, start + day)
    for match in _NAMED_DAY.finditer(question):
        back = (today.weekday() - _DAYS.index(match["name"].lower())) % 7 or 7
        yield Interval(today - back * day, today - (back - 1) * day)
    for match in _PERIOD.finditer(question):
        yield _period(match["unit"].lower(), current=match["which"].lower() == "this", today=today)
    for match in _AGO.finditer(question):
        yield _ago(_count(match["count"]), match["unit"].lower(), today)
    for match in _WITHIN.finditer(question):
        yield Interval(_back(today, _count(match["count"]), match["unit"].lower()), today + day)


def _count(text: str) -> int:
    return int(text) if text.isdigit() else _NUMBERS[text.lower()]


def _month(year: int, month: int) -> Interval:
    return Interval(
        datetime(year, month, 1, tzinfo=UTC),
        datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC),
    )


def _months_back(today: datetime, count: int) -> tuple[int, int]:
    index = today.year * 12 + today.month - 1 - count
    return index // 12, index % 12 + 1


def _back(today: datetime, count: int, unit: str) -> datetime:
    """The day `count` units before today; a day the month does not have becomes its first."""
    if unit in ("day", "week"):
        return today - timedelta(days=count * (7 if unit == "week" else 1))
    year, month = _months_back(today, count * (12 if unit == "year" else 1))
    return today.replace(year=year, month=month, day=min(today.day, 28))


def _ago(count: int, unit: str, today: datetime) -> Interval:
    """As "two weeks ago" is meant: as wide as half its unit on both sides, at least a day."""
    middle = _back(today, count, unit)
    slack = timedelta(days={"day": 0, "week": 3, "month": 15, "year": 182}[unit])
    return Interval(middle - slack, middle + slack + timedelta(days=1))


def _period(unit: str, *, current: bool, today: datetime) -> Interval:
    monday = today - timedelta(days=today.weekday())
    week = timedelta(days=7)
    if unit == "week":
        return Interval(monday, monday + week) if current else Interval(monday - week, monday)
    if unit == "weekend":
        saturday = monday + timedelta(days=5)
        start = saturday if current else saturday - week
        return Interval(start, start + timedelta(days=2))
    if unit == "month":
        return _month(*_months_back(today, 0 if current else 1))
    year = today.year if current else today.year - 1
    return Interval(datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
