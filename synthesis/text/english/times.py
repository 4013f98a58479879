"""Times of day: "8:35 p.m." is "eight thirty-five P M", "6:05" is "six oh five"."""

from __future__ import annotations

import re

from synthesis.text.english.spoken import cardinal, digits
from synthesis.text.rules import Rule

_HALF = r"(?P<half>[AaPp])(?P<dots>\.?)\s?[Mm]\b(?P<stop>\.?)"
_HALF_AHEAD = r"[AaPp]\.?\s?[Mm]\b"
_CLOCK = r"\d{1,2}(?::\d\d)?"
_START = r"(?<![\w:.,/])"


def _ends_sentence(match: re.Match[str]) -> bool:
    """Whether the full stop of "p.m." is the sentence's as well."""
    if not match["stop"]:
        return False
    after = match.string[match.end() : match.end() + 3]
    return not match["dots"] or not after.strip() or (after[:1].isspace() and after.lstrip(" \n\"“'‘(")[:1].isupper())


def _half(match: re.Match[str]) -> str:
    if not match["half"]:
        return ""
    return f" {match['half'].upper()} M{'.' if _ends_sentence(match) else ''}"


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = int(match["hour"]), int(match["minute"]), match["second"]
    if hour > 24 or minute > 59 or (second and int(second) > 59):
        return match.group()
    if minute == 0 and not int(second or 0):
        after = "" if match["half"] else " o'clock" if 0 < hour <= 12 and not match["hours"] else " hundred"
    else:
        after = f" oh {digits(str(minute))}" if minute < 10 else f" {cardinal(minute)}"
    seconds = f" and {cardinal(int(second))} second{'' if int(second) == 1 else 's'}" if int(second or 0) else ""
    zone = " U T C" if match["utc"] else " hours" if match["hours"] else ""
    return f"{cardinal(hour)}{after}{seconds}{_half(match)}{zone}"


def _hour(match: re.Match[str]) -> str:
    return f"{cardinal(int(match['hour']))}{_half(match)}" if int(match["hour"]) <= 24 else match.group()


RULES = (
    Rule(
        "from one time to another",
        re.compile(
            rf"{_START}({_CLOCK}(?:\s?[AaPp]\.?[Mm]\b\.?)?)\s?[-–—]\s?(?={_CLOCK}\s?{_HALF_AHEAD})"
            rf"|{_START}(\d{{1,2}}:\d\d)\s?[-–—]\s?(?=\d{{1,2}}:\d\d(?!\d))"
        ),
        lambda match: f"{match.group(1) or match.group(2)} to ",
        digits=True,
    ),
    Rule(
        "time of day",
        re.compile(
            rf"{_START}(?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?![:\d]|\.\d)(?:(?P<utc>Z\b)|(?P<hours>\s?h(?:rs)?\b)|\s?{_HALF})?"
        ),
        _clock,
        digits=True,
    ),
    Rule("full hour", re.compile(rf"{_START}(?P<hour>\d{{1,2}})\s?{_HALF}"), _hour, digits=True),
)
