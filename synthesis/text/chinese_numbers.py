"""Chinese numbers in words; num2words does not speak Chinese."""

from __future__ import annotations

_DIGITS = "零一二三四五六七八九"
_PLACES = ("千", "百", "十", "")
_GROUPS = ("", "万", "亿", "万亿")  # of four digits each

MAX_NUMBER = 10 ** (4 * len(_GROUPS)) - 1


def cardinal(number: int) -> str:
    """1024 is "一千零二十四". number is from 0 to MAX_NUMBER."""
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"{number} is not from 0 to {MAX_NUMBER}")
    words = ""
    for power in reversed(range(len(_GROUPS))):
        group = number // 10_000**power % 10_000
        if group:
            words += _group(group, after=words) + _GROUPS[power]
        elif words and number % 10_000**power and not words.endswith("零"):
            words += "零"
    return words.removeprefix("一") if words.startswith("一十") else words or "零"


def _group(group: int, after: str) -> str:
    """Up to four digits; a gap between digits that are said is one 零."""
    words, gap = "", False
    for digit, place in zip(f"{group:04}", _PLACES, strict=True):
        if digit == "0":
            gap = True
            continue
        if gap and (words or after) and not (words or after).endswith("零"):
            words += "零"
        words += _DIGITS[int(digit)] + place
        gap = False
    return words
