"""How long a text may take to say. Knows scripts, not languages or voices: wide bounds that only nonsense passes."""

from __future__ import annotations

import unicodedata

_LETTER_S = 1 / 15.0  # 150 to 160 words a minute, audio books' rate, of 4.8 letters and a space: 15 characters a second
_SIGN_S = {  # what one sign of a script takes where it is more than a letter
    "CJK": 0.22,  # a syllable
    "HANGUL": 0.19,
    "HIRAGANA": 0.13,
    "KATAKANA": 0.13,
    "ETHIOPIC": 0.15,
    "ARABIC": 0.10,  # vowels are not written
    "HEBREW": 0.10,
    "SYRIAC": 0.10,
}
_DIGIT_S = 0.4  # a word each
_SYMBOL_S = 0.7  # if it is said at all: a name of several words

_QUICKEST, _SLOWEST = 0.38, 2.3  # times the usual rate
_SHORT_S, _LONG_S = 0.1, 1.0  # a word alone is slow, and begins and ends


def duration_bounds_s(text: str) -> tuple[float, float]:
    """The least and the most that saying the text can take, pauses at the end aside."""
    least = most = 0.0
    for character in text:
        seconds = _seconds(character)
        most += seconds
        if character.isalnum() or character.isspace():
            least += seconds
    return max(0.0, least * _QUICKEST - _SHORT_S), most * _SLOWEST + _LONG_S


def _seconds(character: str) -> float:
    if character.isascii():
        if character.isalpha() or character in " '-.,":
            return _LETTER_S
        return _DIGIT_S if character.isdigit() else _SYMBOL_S / 2
    category = unicodedata.category(character)
    if category[0] in "MZ":
        return 0.0
    if category == "Nd":
        return _DIGIT_S
    if category[0] in "SP":
        return _SYMBOL_S
    return _SIGN_S.get(
        unicodedata.name(character, "").split()[0:1][0] if unicodedata.name(character, "") else "", _LETTER_S
    )
