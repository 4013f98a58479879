"""Numbers in words: by num2words in the languages it speaks, Hindi by indic-numtowords, Chinese by our own few lines.

num2words keeps state on its converters (Arabic, decimals), so one call at a time is made; answers are kept.
"""

from __future__ import annotations

import threading
from functools import lru_cache

from synthesis.text import chinese_numbers

MAX_DIGITS = 18  # of a number that is said as one; a longer one is said digit by digit

_LOCK = threading.Lock()


@lru_cache(maxsize=16_384)
def cardinal(number: int, language: str) -> str:
    """12 is "twelve". number has at most MAX_DIGITS digits and is not negative."""
    return _words(number, language, "cardinal")


@lru_cache(maxsize=4_096)
def ordinal(number: int, language: str) -> str:
    """12 is "twelfth"."""
    return _words(number, language, "ordinal")


@lru_cache(maxsize=4_096)
def year(number: int, language: str) -> str:
    """1984 is "nineteen eighty-four"."""
    return _words(number, language, "year")


def digits(run: str, language: str, separator: str = " ") -> str:
    """Each digit of run by its name: "40" is "four zero"."""
    return separator.join(cardinal(int(digit), language) for digit in run)


def _words(number: int, language: str, form: str) -> str:
    # The libraries take 60 to 90 ms to load, which a cold start without numbers need not wait for.
    if language == "zh":
        return chinese_numbers.cardinal(number)
    if language == "hi":
        from indic_numtowords import num2words as indic_words

        return str(indic_words(number, lang="hi"))
    from num2words import num2words

    with _LOCK:
        words: str = num2words(number, lang=language, to=form) or num2words(number, lang=language)  # no "zeroth" in es
    # The commas within a number ask for pauses that nobody makes; "oh-five" is said as two words.
    return " ".join(words.replace(",", "").replace("oh-", "oh ").split())
