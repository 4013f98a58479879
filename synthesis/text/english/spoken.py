"""Numbers as English says them in each place: a count, an amount, a year, a code."""

from __future__ import annotations

from synthesis.text import number_words
from synthesis.text.number_words import MAX_DIGITS

# A number as it is written: 7, 13,000, 1,00,000, 3.14, .5. It stops before ".", "," of the sentence.
NUMBER = r"(?:\d{1,3}(?:,\d{2,3}){0,5},\d{3}(?!\d)|\d{1,40})(?:\.\d{1,40})?(?!\d)|(?<!\d)\.\d{1,40}(?!\d)"
NOT_INSIDE = r"(?<![\w.,])"  # where a number may begin

CAPITAL = "[A-Z\ue000-\uf8ff]"  # begins a name; private-use characters stand for the user's own pronunciations

_MAX_PLAIN_DIGITS = 9  # a longer run without separators is a code: a phone, an order, a card
_FIRST_YEAR, _LAST_YEAR = 1010, 2099


def cardinal(number: int) -> str:
    return number_words.cardinal(number, "en")


def ordinal(number: int) -> str:
    return number_words.ordinal(number, "en")


def year(number: int) -> str:
    return number_words.year(number, "en")


def digits(run: str) -> str:
    return number_words.digits(run, "en")


def quantity(written: str) -> str:
    """How many: "1,984.5" is "one thousand nine hundred and eighty-four point five"."""
    whole, point, fraction = written.replace(",", "").partition(".")
    if len(whole) > MAX_DIGITS or (_is_code(whole) and not point):
        spoken = digits(whole)
    else:
        spoken = cardinal(int(whole)) if whole else ""
    return f"{spoken} point {digits(fraction)}".strip() if point else spoken


def number(written: str) -> str:
    """A number of which nothing is known but how it is written: "1984" is read like a year, "007" digit by digit."""
    if written.isdecimal():
        if len(written) == 4 and _FIRST_YEAR <= int(written) <= _LAST_YEAR:
            return year(int(written))
        if len(written) > _MAX_PLAIN_DIGITS:
            return digits(written)
    return quantity(written)


def is_one(written: str) -> bool:
    return written.replace(",", "") == "1"


def plural(word: str) -> str:
    """ "twenty" is "twenties", "hundred" is "hundreds"."""
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "ch")) else f"{word}s"


def _is_code(whole: str) -> bool:
    return len(whole) > 1 and int(whole[0]) == 0
