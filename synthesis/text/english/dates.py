"""Dates: "March 15, 2024" and "2024-03-15" are "March fifteenth, twenty twenty-four".

Of a date in numbers whose order cannot be told, the month comes first, as in the United States.
"""

from __future__ import annotations

import re

from synthesis.text.english.spoken import number, ordinal, plural, year
from synthesis.text.rules import Rule, any_of, listed

_MONTHS = listed("January February March April May June July August September October November December")
_SHORT = {month[:3]: month for month in _MONTHS if month != "May"} | {"Sept": "September"}
_MONTH = rf"(?P<month>{any_of(_MONTHS)}|{any_of(_SHORT)}\b\.?)"
_DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_SHORT_DAYS = {day[:3]: day for day in _DAYS} | {"Tues": "Tuesday", "Thur": "Thursday", "Thurs": "Thursday"}
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_FIRST_DAY = r"(?:(?P<first>\d{1,2})(?:st|nd|rd|th)?\s?[-–]\s?)?"
_LAST_DAY = r"(?:\s?[-–]\s?(?P<last>\d{1,2})(?:st|nd|rd|th)?)?"
_YEAR = r"(?:(?P<comma>,)?\s(?P<year>\d{4})(?![\w:]|[.,]\d))?"
_NO_NUMBER_AFTER = r"(?![\w:/%]|[.,]\d)"
_START = r"(?<![\w.,:/$£€-])"


def _month(written: str) -> str:
    return _SHORT.get(written.rstrip("."), written)


def _day(written: str) -> str | None:
    return ordinal(int(written)) if 1 <= int(written) <= 31 else None


def _day_first(match: re.Match[str]) -> str:
    day, first = _day(match["day"]), _day(match["first"]) if match["first"] else ""
    if day is None or first is None:
        return match.group()
    the = match["the"] or "the "
    days = f"{first} to {day}" if first else day
    after = f"{match['comma'] or ''} {year(int(match['year']))}" if match["year"] else ""
    return f"{the}{days} of {_month(match['month'])}{after}"


def _month_first(match: re.Match[str]) -> str:
    day, last = _day(match["day"]), _day(match["last"]) if match["last"] else ""
    if day is None or last is None:
        return match.group()
    days = f"{day} to {last}" if last else day
    after = f", {year(int(match['year']))}" if match["year"] else ""
    return f"{_month(match['month'])} {days}{after}"


def _month_and_year(match: re.Match[str]) -> str:
    return f"{_month(match['month'])} {number(match['year'])}"


def _iso(match: re.Match[str]) -> str:
    return _say(match, match["month"], match["day"], match["year"]) + (" " if match["time"] else "")


def _numeric(match: re.Match[str]) -> str:
    first, second = match["first"], match["second"]
    day_comes_first = int(first) > 12 or match["sign"] == "."
    month, day = (second, first) if day_comes_first else (first, second)
    written_year = match["year"]
    if len(written_year) == 2:
        written_year = ("19" if int(written_year) >= 70 else "20") + written_year
    return _say(match, month, day, written_year)


def _say(match: re.Match[str], month: str, day: str, written_year: str) -> str:
    spoken_day = _day(day)
    if spoken_day is None or not 1 <= int(month) <= 12:
        return match.group()
    return f"{_MONTHS[int(month) - 1]} {spoken_day}, {year(int(written_year))}"


def _decade(match: re.Match[str]) -> str:
    return plural(year(int(match.group(1))))


def _short_decade(match: re.Match[str]) -> str:
    return plural(number(match.group(1)))


RULES = (
    Rule(
        "weekday, short",
        re.compile(rf"\b({any_of(_SHORT_DAYS)})(?:\.,?|,)(?=\s(?:\d|{any_of([*_MONTHS, *_SHORT])}\b))"),
        lambda match: f"{_SHORT_DAYS[match.group(1)]},",
        digits=True,
    ),
    Rule(
        "ISO date",
        re.compile(
            r"(?<![\w./-])(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})(?:(?P<time>T)(?=\d)|(?![\w/-]))"
        ),
        _iso,
        digits=True,
    ),
    Rule(
        "date in numbers",
        re.compile(
            r"(?<![\w./-])(?P<first>\d{1,2})(?P<sign>[/.-])(?P<second>\d{1,2})(?P=sign)(?P<year>\d{4}|(?<=/)\d\d)(?![\w/-]|\.\d)"
        ),
        _numeric,
        digits=True,
    ),
    Rule(
        "day, then month",
        re.compile(rf"(?P<the>\b[Tt]he\s)?{_START}{_FIRST_DAY}{_DAY}(?:\sof)?\s{_MONTH}(?![\w]){_YEAR}"),
        _day_first,
        digits=True,
    ),
    Rule(
        "month, then day",
        re.compile(rf"\b{_MONTH}\s(?:the\s)?{_DAY}{_LAST_DAY}{_YEAR}{_NO_NUMBER_AFTER}"),
        _month_first,
        digits=True,
    ),
    Rule(
        "month and year", re.compile(rf"\b{_MONTH},?\s(?P<year>\d{{4}})(?![\w:]|[.,]\d)"), _month_and_year, digits=True
    ),
    Rule("decade", re.compile(r"(?<![\w.,])(\d{3}0)['’]?s\b"), _decade, digits=True),
    Rule("short decade", re.compile(r"(?<![\w.,])['’‘]?(\d0)['’]?s\b"), _short_decade, digits=True),
    Rule(
        "year without its century",
        re.compile(r"(?<![\w.,])['’‘](\d\d)(?![\w'’.,]\w|[\w'’])"),
        lambda match: number(match.group(1)),
        digits=True,
    ),
)
